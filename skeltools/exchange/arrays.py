"""Files other projects use, in and out: the layout is found in the file, or named. Each has a module of its own."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skeltools.convert.plan import Reading as RawReading
from skeltools.datasets.contract import NEITHER, TEST, TRAIN
from skeltools.datasets.registry import Dataset, parse_ntu_name
from skeltools.errors import DataError, FormatError, OutputError, SettingError, SourceError, counted
from skeltools.exchange import agcn, aimclr, ctrgcn, npz, pyskl
from skeltools.exchange.shared import Arrays, Reading, checked
from skeltools.files import kinds
from skeltools.files.arrays import read_arrays as read_npz
from skeltools.files.kinds import Kind
from skeltools.files.reading import open_regular
from skeltools.files.writing import CONVERTED, check_output, check_writable, replacing
from skeltools.preparation.chain import Chain, missing_frames
from skeltools.progress import SILENT, Progress
from skeltools.skeletons import Form, plausible
from skeltools.store.layout import sha256
from skeltools.store.reader import ClipFile
from skeltools.store.writer import Contents, write_file

LAYOUTS: dict[str, Any] = {"aimclr": aimclr, "ctrgcn": ctrgcn, "agcn": agcn, "pyskl": pyskl, "npz": npz}
"""The layouts by name, each a module that reads and writes."""

WANTED = (
    "Give a folder of AimCLR's or 2s-AGCN's .npy files, CTR-GCN's .npz file, a pyskl pickle or skeltools' own .npz "
    "file."
)

_SAVE = (
    "Save its arrays in a layout that import reads, for example numpy.savez(FILE, x_train=..., y_train=..., "
    "x_test=..., y_test=...) as CTR-GCN's."
)
_REMEDIES = {
    Kind.NPY: "Give the folder that holds it beside its labels: train_position.npy, train_label.pkl ...",
    Kind.TORCH: "Load it with torch.load and save what it holds with pickle.dump.",
    **dict.fromkeys((Kind.HDF5, Kind.MATLAB), _SAVE),
    **dict.fromkeys((Kind.EMPTY, Kind.TEXT, Kind.BOM, Kind.JSON, Kind.SPECIAL), WANTED),
    **dict.fromkeys((Kind.ZIP, Kind.SEVEN_ZIP), "Unpack it; raw recordings are read by 'convert'."),
}


def import_arrays(
    dataset: Dataset,
    source: str | Path,
    out: str | Path,
    *,
    chain: Chain | None = None,
    prep_name: str = "imported",
    unit: str = "m",
    labels: str | Path | None = None,
    known: Sequence[str] | None = None,
    form: Form | None = None,
    replace: bool = False,
    progress: Progress = SILENT,
) -> int:
    """Turn somebody's prepared clips into a converted file.

    How the clips were prepared is not in their files, so the result records only T, the type and
    ``prep = imported`` (unless `chain` prepares them here). `skeltools identify` can find out more. What
    was left out or made up is in its exclusions and notes.

    Args:
        dataset: What the clips are from.
        source: See `read_arrays`.
        out: The file to write.
        chain: See `read_arrays`.
        prep_name: Name of that preparation.
        unit: Unit of the coordinates: m, cm or mm. The result is in metres.
        labels: See `read_arrays`.
        known: See `read_arrays`.
        form: See `read_arrays`.
        replace: Rebuild `out` if it exists.
        progress: Receiver of progress.

    Returns:
        The number of clips.

    Raises:
        SettingError, SourceError, FormatError: See `read_arrays`; also a label that the dataset has not or
            that contradicts the clip's name, a number that is not finite, or a body of no person's size.
        OutputError: `out` exists and `replace` is not set, or it cannot be written there.
    """
    out = Path(out)
    plausible.check_unit(unit)
    beside = () if labels is None else (Path(labels),)
    check_output(out, replace, Path(source), *beside, kinds=CONVERTED)
    arrays = read_arrays(source, chain, unit=unit, labels=labels, dataset=dataset, known=known, form=form)
    base = form or dataset.form(arrays.frames)
    form = Form(
        arrays.skeleton or base.skeleton,
        base.bodies,
        arrays.frames,
        2 if arrays.skeleton else base.dimensions,
    )
    _check_labels(dataset, Path(source), arrays)
    _check_sides(dataset, Path(source), arrays)
    dtype = np.dtype(arrays.dtype).newbyteorder("<")

    def stored(row: int) -> NDArray[Any]:
        clip = arrays.clips[row]
        if chain is None:  # otherwise that was done before it was prepared
            clip = checked(clip, arrays.names[row], arrays.files[row], form.skeleton, unit)
        return np.ascontiguousarray(clip, dtype)

    progress.start("reading", len(arrays.names))
    digests, columns = [], {name: [] for name in ("frames", "length", "bodies", "gaps")}  # type: ignore[var-annotated]
    for row in range(len(arrays.names)):
        values = stored(row)
        digests.append(sha256(values.tobytes()))
        columns["frames"].append(arrays.frames)  # unless the files say otherwise, below
        columns["length"].append(int(values.any(axis=(0, 2, 3)).sum()))
        columns["bodies"].append(int(values.any(axis=(0, 1, 2)).sum()))
        columns["gaps"].append(missing_frames(values))
        progress.advance()
    progress.finish()
    columns |= arrays.columns
    for naming in dataset.namings:
        clips = [naming.parse(name) for name in arrays.names]
        if all(clip is not None for clip in clips):
            columns |= {name: [getattr(clip, name) for clip in clips] for name in naming.columns}
            break
    settings: dict[str, str | int | float] = {"frames": arrays.frames, "dtype": arrays.dtype}
    if arrays.chain is not None:
        settings = dict(arrays.chain.settings())
    settings |= RawReading(unit=unit).settings()
    contents = Contents(
        dataset=dataset,
        names=arrays.names,
        labels=arrays.labels,
        columns=columns,
        digests=np.frombuffer(bytes.fromhex("".join(digests)), np.uint8).reshape(-1, 32),
        sides={
            split: np.array([_side(name, arrays, split) for name in arrays.names], np.int8)
            for split in arrays.train
        },
        excluded=arrays.excluded,
        settings=settings,
        prep=prep_name,
        frames=arrays.frames,
        dtype=arrays.dtype,
        source_digest=_digest_of(Path(source)),
        notes=arrays.notes,
        stated=form,
    )
    blocks = (stored(row).tobytes() for row in range(len(arrays.names)))
    write_file(out, contents, {"clips": blocks})
    return len(arrays.names)


def read_arrays(
    source: str | Path,
    chain: Chain | None = None,
    *,
    unequal: str = "Give --prep to prepare them.",
    unit: str = "m",
    labels: str | Path | None = None,
    dataset: Dataset | None = None,
    known: Sequence[str] | None = None,
    form: Form | None = None,
) -> Arrays:
    """Read somebody's prepared clips.

    Args:
        source: A folder of AimCLR (`skeltools.exchange.aimclr`) or 2s-AGCN (`agcn`); a pickle of pyskl (`pyskl`);
            CTR-GCN's ``NTU60_CS.npz`` (`ctrgcn`); or an ``.npz`` file of `skeltools export` (`npz`).
        chain: How to prepare the sequences of pyskl, CTR-GCN and 2s-AGCN; None takes them as they are, which asks for
            equal lengths. The others take none: their clips are prepared.
        unequal: What to do about a pickle with sequences of several lengths, for the message.
        unit: Unit of the coordinates: m, cm or mm. Clips that `chain` prepares come out in metres, others as
            they are, for `checked`.
        labels: For a folder with ``_label.npy``, a folder with the ``_label.pkl`` that hold the names; for
            CTR-GCN's file, a text file with one clip name per line.
        dataset: What the clips are from; CTR-GCN's order of names depends on it.
        known: Names that CTR-GCN's rows have where there are as many and `labels` gives none.
        form: What the clips look like, whatever their T; None for the dataset's own skeleton and bodies.

    Raises:
        SettingError: `chain` or `labels` is given for what takes none.
        SourceError: There is no such folder or file, or it is of another kind.
        FormatError: A file in it is damaged or does not fit the others.
    """
    source = Path(source)
    how = Reading(chain, unequal, unit, None if labels is None else Path(labels), dataset, known, form)
    if not source.exists():
        raise SourceError(f"{source} does not exist. {WANTED}")
    kind = kinds.tell(source)
    if kind is Kind.FOLDER:
        holds = [layout for layout in (agcn, aimclr) if _holds(source, layout.ARRAY)]
        if len(holds) > 1:
            raise SourceError(
                f"{source} holds both train_{aimclr.ARRAY} and train_{agcn.ARRAY}. Put them into folders of their own."
            )
        return agcn.read(source, how) if agcn in holds else aimclr.read(source, how)
    if kind is Kind.NPZ:
        return _read_archive(source, how)
    if kind not in (Kind.PICKLE, Kind.UNKNOWN):
        raise SourceError(f"{source} is {kinds.described(kind, _REMEDIES)}")
    try:
        return pyskl.read(source, how)
    except FormatError as error:
        if error.problem.startswith("not a pickle") or error.problem.startswith("the pickle cannot"):
            raise FormatError(source, f"{error.problem} {WANTED}") from None
        raise


def _holds(folder: Path, array: str) -> bool:
    """Whether a folder, or one in it, holds the training side of a split under this name."""
    return any((place / f"train_{array}").exists() for place in (folder, *folder.iterdir()))


def _read_archive(path: Path, how: Reading) -> Arrays:
    try:
        content = read_npz(path)
    except (OSError, ValueError) as error:
        raise FormatError(path, f"not a readable NumPy archive ({' '.join(str(error).split())}).") from None
    if content.keys() >= npz.KEYS:
        return npz.read(path, content, how)
    if content.keys() >= ctrgcn.KEYS:
        return ctrgcn.read(path, content, how)
    raise FormatError(
        path,
        f"it holds {', '.join(sorted(content))[:200] or 'nothing'}; expected x_train, y_train, x_test and "
        "y_test (CTR-GCN), or clips, labels and names (skeltools export).",
    )


@contextmanager
def converted(paths: tuple[Path, Path], labels: Path | None = None) -> Iterator[tuple[ClipFile, ClipFile]]:
    """Open two converted files, one of which may be what `import_arrays` reads, of the other's dataset.

    That one is imported into a folder that goes in the end. Layouts without names take those of the other where
    there are as many.

    Args:
        paths: The two.
        labels: See `read_arrays`.

    Raises:
        DataError: Neither is a converted file.
        SettingError, SourceError, FormatError: As `import_arrays`.
    """
    layouts = [_is_layout(path) for path in paths]
    if labels is not None and not any(layouts):
        raise SettingError(
            "--labels gives names to arrays without any; both are converted files. Leave it out."
        )
    with ExitStack() as stack:
        opened = {
            place: stack.enter_context(ClipFile(path))
            for place, path in enumerate(paths)
            if not layouts[place]
        }
        if not opened:
            raise DataError(f"Neither {paths[0]} nor {paths[1]} is a converted file: one must be.")
        other = next(iter(opened.values()))
        for place, path in enumerate(paths):
            if layouts[place]:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="skeltools-")))
                made = folder / "imported.h5"
                import_arrays(other.dataset, path, made, labels=labels, known=other.names, form=other.form)
                opened[place] = stack.enter_context(ClipFile(made))
        yield opened[0], opened[1]


def holds_clips(path: Path) -> bool:
    """Whether a path seems to be prepared clips: a converted file, a pickle, an archive, a folder of arrays."""
    if not path.exists():
        return False
    kind = kinds.tell(path)
    if kind is Kind.FOLDER:
        return any(_holds(path, layout.ARRAY) for layout in (agcn, aimclr))
    return kind in (Kind.OURS, Kind.PICKLE, Kind.NPZ)


def _is_layout(path: Path) -> bool:
    """Whether a path is what `read_arrays` may read: a folder, a pickle or an archive."""
    return path.exists() and kinds.tell(path) in (Kind.FOLDER, Kind.PICKLE, Kind.NPZ)


def _side(name: str, arrays: Arrays, split: str) -> int:
    return TRAIN if name in arrays.train[split] else TEST if name in arrays.test[split] else NEITHER


def _check_labels(dataset: Dataset, source: Path, arrays: Arrays) -> None:
    """Refuse labels that the dataset has not, or that contradict the action numbers of NTU's names.

    Raises:
        FormatError: There are such labels.
    """
    classes = len(dataset.classes)
    if arrays.classes is not None and arrays.classes != classes:
        raise FormatError(
            source,
            f"its labels are of {counted(arrays.classes, 'class', 'classes')}; {dataset.name} has {classes}. "
            f"Name its dataset.",
        )
    parsed = [parse_ntu_name(name) if dataset.format == "ntu" else None for name in arrays.names]
    wrong = [
        (clip.action - 1 - label, name, label)
        for name, label, clip in zip(arrays.names, arrays.labels, parsed, strict=True)
        if clip is not None and clip.action - 1 != label
    ]
    bad = next((label for label in arrays.labels if not 0 <= label < classes), None)
    from_one = min(arrays.labels) >= 1 and (
        max(arrays.labels) == classes if not wrong else {gap for gap, _, _ in wrong} == {-1}
    )
    remedy = " All labels are one too high, as if counted from 1: subtract 1." if from_one else ""
    if wrong:
        gap, name, label = wrong[0]
        right = label + gap
        raise FormatError(
            source,
            f"{name} has label {label}, but its name says action {right + 1}, which is label {right}; "
            f"so with {len(wrong):,} of {counted(len(arrays.names), 'clip')}."
            f"{remedy or ' Labels are the action numbers of the names minus 1.'}",
        )
    if bad is not None:
        raise FormatError(source, f"label {bad} is not one of 0 to {classes - 1} of {dataset.name}.{remedy}")


def _check_sides(dataset: Dataset, source: Path, arrays: Arrays) -> None:
    """Refuse clips on both sides of a split, or on neither unless the dataset's split leaves clips out."""
    for split in arrays.train:
        both = arrays.train[split] & arrays.test[split]
        missing = set(arrays.names) - arrays.train[split] - arrays.test[split]
        missing = set() if dataset.leaves_out(split) else missing
        if both or missing:
            name = min(both or missing)
            where = "both sides" if both else "neither side"
            raise FormatError(source, f"{name} is on {where} of split '{split}'.")


def _digest_of(source: Path) -> str:
    """Return the SHA-256 over (path inside, SHA-256 of the content) of the source's files."""
    files = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
    total = hashlib.sha256()
    for path in files:
        with open_regular(path) as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        inside = path.relative_to(source).as_posix() if path != source else path.name
        total.update(f"{inside}\0{content}\n".encode())
    return total.hexdigest()


def export(
    file: ClipFile, to: str, out: str | Path, *, replace: bool = False, progress: Progress = SILENT
) -> list[str]:
    """Write the clips of a file in a form other projects read; memory does not grow with their number.

    Args:
        file: An open file.
        to: ``aimclr``: a folder ``<split>/{train,val}_position.npy`` and ``_label.pkl``; ``agcn``: a folder
            ``<split>/{train,val}_data_joint.npy``, ``_label.pkl`` and ``_num_frame.npy``; ``ctrgcn``: a folder with
            ``NTU60_CS.npz`` and so on, one per split; ``pyskl``: a pickle with float16 keypoints; ``npz``: a NumPy
            archive with clips, labels, names and rows of the splits.
        out: The folder or file to write; it appears when it is complete.
        replace: Rebuild `out` if it exists. A folder is replaced only when it holds nothing but an export.
        progress: Receiver of progress.

    Returns:
        What the layout has no place for, and what its readers expect, in sentences.

    Raises:
        OutputError: `out` exists and `replace` is not set, or it cannot be written there.
        DataError: The file holds no split, which all but npz need.
    """
    out = Path(out)
    layout = LAYOUTS[to]
    paths = set(layout.paths(file))
    if paths:
        if out.exists() and not (replace and out.is_dir() and _is_export(out, paths)):
            remedy = "Give another name." if replace else "Use --replace to rebuild it."
            raise OutputError(f"{out} already exists. {remedy}")
        if not out.absolute().parent.is_dir():
            raise OutputError(f"{out.parent} does not exist. Create it.")
        check_writable(out, new=not out.exists())
    else:
        check_output(out, replace, file.path, kinds=(layout.KIND,))
    if layout.NEEDS_SPLIT and not file.splits:
        raise DataError(f"{file.path} holds no split, which {to} needs.")
    with replacing(out) as part:
        notes: list[str] = layout.write(file, part, progress)
    return notes


def _is_export(folder: Path, paths: set[str]) -> bool:
    folders = {path.rpartition("/")[0] for path in paths}
    return all(
        item.relative_to(folder).as_posix() in (folders if item.is_dir() else paths)
        for item in folder.rglob("*")
    )
