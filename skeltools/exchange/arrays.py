"""Files other projects use, in and out: AimCLR's arrays, pyskl's pickle, NumPy archives."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skeltools.convert.plan import Reading
from skeltools.datasets.registry import PARTITIONS, Dataset, parse_ntu_name
from skeltools.errors import DataError, FormatError, OutputError, counted
from skeltools.exchange.layouts import SIDES, Arrays, checked
from skeltools.exchange.layouts import read_arrays as read_arrays
from skeltools.files import pickles
from skeltools.files.writing import replacing
from skeltools.formats.ntu import SUFFIX
from skeltools.preparation.chain import Chain, missing_frames
from skeltools.progress import SILENT, Progress
from skeltools.skeletons import plausible
from skeltools.store.layout import sha256
from skeltools.store.reader import ClipFile
from skeltools.store.writer import Contents, check_output, write_file

TARGETS = ("aimclr", "pyskl", "npz")
_BLOCK = 256


def import_arrays(
    dataset: Dataset,
    source: str | Path,
    out: str | Path,
    *,
    chain: Chain | None = None,
    prep_name: str = "imported",
    unit: str = "m",
    labels: str | Path | None = None,
    replace: bool = False,
    progress: Progress = SILENT,
) -> int:
    """Turn somebody's prepared clips into a converted file.

    How the clips were prepared is not in their files, so the result records only T, the type and
    ``prep = imported`` (unless `chain` prepares them here). `skeltools identify` can find out more. What
    was left out or made up stands in its exclusions and notes.

    Args:
        dataset: What the clips are from.
        source: See `read_arrays`.
        out: The file to write.
        chain: See `read_arrays`.
        prep_name: Name of that preparation.
        unit: Unit of the coordinates: m, cm or mm. The result is in metres.
        labels: See `read_arrays`.
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
    check_output(out, replace, Path(source), *beside)
    arrays = read_arrays(source, chain, unit=unit, labels=labels, dataset=dataset)
    _check_labels(dataset, Path(source), arrays)
    _check_sides(Path(source), arrays)
    dtype = np.dtype(arrays.dtype).newbyteorder("<")

    def stored(row: int) -> NDArray[Any]:
        clip = arrays.clips[row]
        if chain is None:  # otherwise that was done before it was prepared
            clip = checked(clip, arrays.names[row], arrays.files[row], dataset.skeleton, unit)
        return np.ascontiguousarray(clip, dtype)

    progress.start("reading", len(arrays.names))
    digests, columns = [], {name: [] for name in ("frames", "length", "bodies", "gaps")}  # type: ignore[var-annotated]
    for row in range(len(arrays.names)):
        values = stored(row)
        digests.append(sha256(values.tobytes()))
        columns["frames"].append(arrays.frames)
        columns["length"].append(int(values.any(axis=(0, 2, 3)).sum()))
        columns["bodies"].append(int(values.any(axis=(0, 1, 2)).sum()))
        columns["gaps"].append(missing_frames(values))
        progress.advance()
    progress.finish()
    clips = [parse_ntu_name(name) for name in arrays.names]
    if all(clip is not None for clip in clips):
        for name in ("subject", "camera", "setup", "replication"):
            columns[name] = [getattr(clip, name) for clip in clips]
    settings: dict[str, str | int | float] = {"frames": arrays.frames, "dtype": arrays.dtype}
    if chain is not None:
        settings = dict(chain.settings())
    settings |= Reading(unit=unit).settings()
    contents = Contents(
        dataset=dataset,
        names=arrays.names,
        labels=arrays.labels,
        columns=columns,
        digests=np.frombuffer(bytes.fromhex("".join(digests)), np.uint8).reshape(-1, 32),
        sides={
            split: np.array([name in train for name in arrays.names], np.int8)
            for split, train in arrays.train.items()
        },
        excluded=arrays.excluded,
        settings=settings,
        prep=prep_name,
        frames=arrays.frames,
        dtype=arrays.dtype,
        source_digest=_digest_of(Path(source)),
        notes=arrays.notes,
    )
    blocks = (stored(row).tobytes() for row in range(len(arrays.names)))
    write_file(out, contents, {"clips": blocks})
    return len(arrays.names)


def _check_labels(dataset: Dataset, source: Path, arrays: Arrays) -> None:
    """Refuse labels that the dataset has not, or that contradict the action numbers of NTU's names.

    Raises:
        FormatError: There are such labels.
    """
    classes = len(dataset.classes)
    if arrays.classes is not None and arrays.classes != classes:
        raise FormatError(
            source,
            f"its labels are of {arrays.classes} classes; {dataset.name} has {classes}. Name its dataset.",
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


def _check_sides(source: Path, arrays: Arrays) -> None:
    for split in arrays.train:
        both = arrays.train[split] & arrays.test[split]
        missing = set(arrays.names) - arrays.train[split] - arrays.test[split]
        if both or missing:
            name = min(both or missing)
            where = "both sides" if both else "neither side"
            raise FormatError(source, f"{name} is on {where} of split '{split}'.")


def _digest_of(source: Path) -> str:
    """Return the SHA-256 over (path inside, SHA-256 of the content) of the source's files."""
    files = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
    total = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        inside = path.relative_to(source).as_posix() if path != source else path.name
        total.update(f"{inside}\0{content}\n".encode())
    return total.hexdigest()


def export(
    file: ClipFile, to: str, out: str | Path, *, replace: bool = False, progress: Progress = SILENT
) -> None:
    """Write the clips of a file in a form other projects read.

    Args:
        file: An open file.
        to: ``aimclr``: a folder ``<split>/{train,val}_position.npy`` and ``_label.pkl``; ``pyskl``: a pickle
            with float16 keypoints; ``npz``: a NumPy archive with clips, labels, names and rows of the splits.
        out: The folder or file to write; it appears when it is complete.
        replace: Rebuild `out` if it exists. A folder is replaced only when it holds nothing but an export.
        progress: Receiver of progress.

    Raises:
        OutputError: `out` exists and `replace` is not set, or it cannot be written there.
        DataError: The file holds no split, which aimclr and pyskl need.
    """
    out = Path(out)
    if to == "aimclr":
        if out.exists() and not (replace and out.is_dir() and _is_export(out)):
            remedy = "Give another name." if replace else "Use --replace to rebuild it."
            raise OutputError(f"{out} already exists. {remedy}")
        if not out.absolute().parent.is_dir():
            raise OutputError(f"{out.parent} does not exist. Create it.")
    else:
        check_output(out, replace, file.path)
    if to != "npz" and not file.splits:
        raise DataError(f"{file.path} holds no split, which {to} needs.")
    with replacing(out) as part:
        {"aimclr": _to_aimclr, "pyskl": _to_pyskl, "npz": _to_npz}[to](file, part, progress)


def _is_export(folder: Path) -> bool:
    wanted = {f"{side}_{what}" for side in SIDES.values() for what in ("position.npy", "label.pkl")}
    return all(
        item.is_dir() and {path.name for path in item.iterdir()} <= wanted for item in folder.iterdir()
    )


def _blocks(file: ClipFile, rows: NDArray[np.int64], progress: Progress) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(rows), _BLOCK):
        block = file.clips(rows[start : start + _BLOCK])
        yield block
        progress.advance(len(block))


def _to_aimclr(file: ClipFile, out: Path, progress: Progress) -> None:
    progress.start("exporting", len(file) * len(file.splits))
    for split in file.splits:
        folder = out / split
        folder.mkdir(parents=True)
        for part, side in SIDES.items():
            rows = file.rows(split, part)
            shape = (len(rows), *file.shape[1:])
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            # Written, not mapped: a full disk is an error here, and the end of the process there.
            with (folder / f"{side}_position.npy").open("wb") as target:
                np.lib.format.write_array_header_1_0(target, header)
                for block in _blocks(file, rows, progress):
                    target.write(block.astype("<f4", copy=False).tobytes())
            names = [file.names[row] + SUFFIX for row in rows.tolist()]
            with (folder / f"{side}_label.pkl").open("wb") as target:
                pickles.dump((names, file.labels[rows].tolist()), target)
    progress.finish()


def _to_pyskl(file: ClipFile, out: Path, progress: Progress) -> None:
    progress.start("exporting", len(file))
    bodies = np.asarray(file.column("bodies"))
    annotations: list[dict[str, Any]] = []
    for block in _blocks(file, np.arange(len(file)), progress):
        for clip in block.astype(np.float16):
            row = len(annotations)
            points = clip.transpose(3, 1, 2, 0)[: max(1, int(bodies[row]))]
            annotations.append(
                {
                    "frame_dir": file.names[row],
                    "label": int(file.labels[row]),
                    "keypoint": np.ascontiguousarray(points),
                    "total_frames": file.frames,
                }
            )
    split = {
        f"{name}_{side}": [file.names[row] for row in file.rows(name, part).tolist()]
        for name in file.splits
        for part, side in SIDES.items()
    }
    with out.open("wb") as target:
        pickles.dump({"split": split, "annotations": annotations}, target)
    progress.finish()


def _to_npz(file: ClipFile, out: Path, progress: Progress) -> None:
    progress.start("exporting", len(file))
    splits: dict[str, Any] = {
        f"{split}_{part}": file.rows(split, part) for split in file.splits for part in PARTITIONS
    }
    with out.open("wb") as target:
        np.savez(
            target,
            clips=file.clips(),
            labels=file.labels,
            names=np.array(file.names),
            classes=np.array(file.classes),
            **splits,
        )
    progress.advance(len(file))
    progress.finish()
