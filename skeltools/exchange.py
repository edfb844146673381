"""Files other projects use, in and out: AimCLR's arrays, pyskl's pickle, NumPy archives."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from skeltools import pickles
from skeltools.arrays import open_array
from skeltools.datasets import PARTITIONS, Dataset, parse_ntu_name
from skeltools.errors import DataError, FormatError, OutputError, SettingError, SourceError
from skeltools.files import replacing
from skeltools.formats.ntu import SUFFIX
from skeltools.formats.recording import Recording
from skeltools.preparation import Chain, apply, missing_frames
from skeltools.progress import SILENT, Progress
from skeltools.skeleton import NUM_BODIES, NUM_JOINTS
from skeltools.store.layout import sha256
from skeltools.store.reader import ClipFile
from skeltools.store.writer import Contents, check_output, write_file

TARGETS = ("aimclr", "pyskl", "npz")
_BLOCK = 256
_SIDES = {"train": "train", "test": "val"}
"""Names of the sides of a split in AimCLR's and pyskl's files."""

_WANTED = "Give a folder of AimCLR's .npy files or a pyskl pickle."


@dataclass(frozen=True)
class Arrays:
    """Prepared clips from elsewhere.

    Attributes:
        names: n clip names, all different.
        labels: n 0-based labels.
        clips: n clips (3, T, 25, 2), each an array, float32 or float16.
        train: For each split, the names on its training side.
        test: For each split, the names on its test side.
        frames: T.
        dtype: ``float32`` or ``float16``.
    """

    names: list[str]
    labels: list[int]
    clips: Sequence[NDArray[Any]]
    train: dict[str, set[str]]
    test: dict[str, set[str]]
    frames: int
    dtype: str


def read_arrays(
    source: str | Path, chain: Chain | None = None, *, unequal: str = "Give --prep to prepare them."
) -> Arrays:
    """Read somebody's prepared clips.

    Args:
        source: A folder with ``<split>/{train,val}_position.npy`` and ``_label.pkl`` (AimCLR, CrosSCLR,
            SkeAttnCLR, PSTL), or with these files themselves; or a pyskl pickle.
        chain: For a pyskl pickle, how to prepare its sequences; None takes them as they are, which asks for
            equal lengths. A folder takes none: its clips are prepared.
        unequal: What to do about a pickle with sequences of several lengths, for the message.

    Raises:
        SettingError: `chain` is given for a folder.
        SourceError: There is no such folder or file, or it is neither.
        FormatError: A file in it is damaged or does not fit the others.
    """
    source = Path(source)
    if not source.exists():
        raise SourceError(f"{source} does not exist. {_WANTED}")
    if not source.is_dir():
        return _read_pyskl(source, chain, unequal)
    if chain is not None:
        raise SettingError(
            f"--prep and its --set prepare a pyskl pickle's sequences; {source} is a folder of prepared "
            "clips. Leave them out."
        )
    return _read_aimclr(source)


def _bare(name: str) -> str:
    return name.removesuffix(SUFFIX)


def _read_aimclr(source: Path) -> Arrays:
    folders = (
        [source]
        if (source / "train_position.npy").exists()
        else sorted(folder for folder in source.iterdir() if (folder / "train_position.npy").exists())
    )
    if not folders:
        raise SourceError(f"{source} holds neither train_position.npy nor folders with one, such as xsub/.")
    found: dict[str, tuple[int, NDArray[Any]]] = {}
    sides: dict[str, dict[str, set[str]]] = {part: {} for part in PARTITIONS}
    shapes = set()
    for folder in folders:
        split = "xsub" if folder == source and source.name not in ("xview", "xset") else folder.name
        for part, side in _SIDES.items():
            names, labels = _read_labels(folder / f"{side}_label.pkl")
            path = folder / f"{side}_position.npy"
            clips = _read_npy(path)
            if len(clips) != len(names):
                raise FormatError(path, f"{len(clips)} clips, but {side}_label.pkl names {len(names)}.")
            shapes.add(clips.shape[1:])
            if len(set(names)) != len(names):
                raise FormatError(folder / f"{side}_label.pkl", "a name occurs twice.")
            for row, (name, label) in enumerate(zip(names, labels, strict=True)):
                known = found.setdefault(name, (label, clips[row]))
                if known[0] != label:
                    raise FormatError(
                        folder / f"{side}_label.pkl", f"{name} has label {label} here, {known[0]} elsewhere."
                    )
            sides[part][split] = set(names)
    if len(shapes) > 1:
        raise FormatError(source, f"its clips have different shapes: {', '.join(map(str, sorted(shapes)))}.")
    order = sorted(found)
    return Arrays(
        names=order,
        labels=[found[name][0] for name in order],
        clips=[found[name][1] for name in order],
        train=sides["train"],
        test=sides["test"],
        frames=next(iter(shapes))[1],
        dtype=str(found[order[0]][1].dtype) if order else "float32",
    )


def _read_labels(path: Path) -> tuple[list[str], list[int]]:
    content = pickles.load(path)
    if (
        not isinstance(content, (list, tuple))
        or len(content) != 2
        or not all(map(_is_row, content))
        or len(content[0]) != len(content[1])
    ):
        raise FormatError(path, "expected a list of names and an equally long list of labels.")
    try:
        return [_name(name) for name in content[0]], [_label(label) for label in content[1]]
    except (TypeError, ValueError):
        raise FormatError(path, "expected a list of names and a list of whole numbers.") from None


def _is_row(values: Any) -> bool:
    return isinstance(values, (list, tuple)) or (isinstance(values, np.ndarray) and values.ndim == 1)


_LONGEST = 255
"""Most characters of a clip's name."""


def _name(name: Any) -> str:
    """Return a clip's name without its suffix.

    Raises:
        TypeError: It is not a printable text of a sensible length.
    """
    if not isinstance(name, str) or not name.isprintable() or not 1 <= len(name) <= _LONGEST:
        raise TypeError("no name")
    return _bare(str(name))


def _label(label: Any) -> int:
    """Return a label as a whole number.

    Raises:
        TypeError: It is none.
    """
    if isinstance(label, (bool, np.bool_)) or not isinstance(label, (int, np.integer)):
        raise TypeError("no whole number")
    return int(label)


def _read_npy(path: Path) -> NDArray[Any]:
    try:
        clips: NDArray[Any] = open_array(path)
    except FileNotFoundError:
        raise SourceError(f"{path} does not exist.") from None
    except (ValueError, OSError) as error:
        told = " ".join(str(error).split())
        raise FormatError(path, f"not a NumPy array ({told}).") from None
    if (
        clips.ndim != 5
        or clips.shape[1] != 3
        or clips.shape[3:] != (NUM_JOINTS, NUM_BODIES)
        or clips.shape[2] < 1
    ):
        raise FormatError(
            path, f"its shape is {clips.shape}; expected (N, 3, T, {NUM_JOINTS}, {NUM_BODIES})."
        )
    if clips.dtype not in (np.float32, np.float16):
        raise FormatError(path, f"its type is {clips.dtype}; expected float32 or float16.")
    return clips


def _points(points: Any) -> NDArray[Any]:
    if not isinstance(points, np.ndarray):
        raise TypeError("no array")
    return points


def _read_pyskl(path: Path, chain: Chain | None, unequal: str) -> Arrays:
    try:
        content = pickles.load(path)
    except FormatError as error:
        if h5py.is_hdf5(path):
            raise SourceError(f"{path} is an HDF5 file, which is converted already. {_WANTED}") from None
        raise FormatError(path, f"{error.problem} {_WANTED}") from None
    try:
        splits = {_name(name): set(map(_name, names)) for name, names in content["split"].items()}
        annotations = [
            (_name(item["frame_dir"]), _label(item["label"]), _points(item["keypoint"]))
            for item in content["annotations"]
        ]
    except (KeyError, TypeError, AttributeError, ValueError, IndexError):
        raise FormatError(path, "expected pyskl's dictionary with 'split' and 'annotations'.") from None
    names, labels, clips = [], [], []
    for name, label, points in annotations:
        if points.ndim != 4 or points.shape[2:] != (NUM_JOINTS, 3) or 0 in points.shape:
            raise FormatError(
                path, f"{name}: keypoint has shape {points.shape}; expected (M, T, {NUM_JOINTS}, 3)."
            )
        if points.dtype.kind != "f":
            raise FormatError(path, f"{name}: keypoint has type {points.dtype}; expected numbers.")
        both = np.zeros((3, points.shape[1], NUM_JOINTS, NUM_BODIES), points.dtype)
        both[..., : min(len(points), NUM_BODIES)] = points[:NUM_BODIES].transpose(3, 1, 2, 0)
        if chain is not None:
            made = apply(Recording.from_columns(both.transpose(1, 3, 2, 0).astype(np.float32)), chain)
            if isinstance(made, str):
                continue
            both = made.clip
        names.append(name)
        labels.append(label)
        clips.append(both)
    if not names:
        raise SourceError(f"{path} holds no clip.")
    if len(set(names)) != len(names):
        raise FormatError(path, "a frame_dir occurs twice.")
    lengths = {clip.shape[1] for clip in clips}
    if len(lengths) > 1:
        raise FormatError(path, f"its sequences have {min(lengths)} to {max(lengths)} frames. {unequal}")
    order = sorted(range(len(names)), key=names.__getitem__)
    sides: dict[str, dict[str, set[str]]] = {part: {} for part in PARTITIONS}
    for key, members in splits.items():
        split, _, side = key.rpartition("_")
        part = {"train": "train", "val": "test", "test": "test"}.get(side)
        if part is None or not split:
            raise FormatError(path, f"split '{key}' is not named like xsub_train or xsub_val.")
        sides[part][split] = members & set(names)
    dtype = "float16" if clips[0].dtype == np.float16 else "float32"
    return Arrays(
        names=[names[place] for place in order],
        labels=[labels[place] for place in order],
        clips=[clips[place].astype(dtype, copy=False) for place in order],
        train=sides["train"],
        test={split: sides["test"].get(split, set()) for split in sides["train"]},
        frames=lengths.pop(),
        dtype=dtype,
    )


def import_arrays(
    dataset: Dataset,
    source: str | Path,
    out: str | Path,
    *,
    chain: Chain | None = None,
    prep_name: str = "imported",
    replace: bool = False,
    progress: Progress = SILENT,
) -> int:
    """Turn somebody's prepared clips into a converted file.

    How the clips were prepared is not in their files, so the result records only T, the type and
    ``prep = imported`` (unless `chain` prepares them here). `skeltools identify` can find out more.

    Args:
        dataset: What the clips are from.
        source: See `read_arrays`.
        out: The file to write.
        chain: See `read_arrays`.
        prep_name: Name of that preparation.
        replace: Rebuild `out` if it exists.
        progress: Receiver of progress.

    Returns:
        The number of clips.

    Raises:
        SettingError, SourceError, FormatError: See `read_arrays`; also a label that the dataset has not.
        OutputError: `out` exists and `replace` is not set, or it cannot be written there.
    """
    out = Path(out)
    check_output(out, replace, Path(source))
    arrays = read_arrays(source, chain)
    bad = next((label for label in arrays.labels if not 0 <= label < len(dataset.classes)), None)
    if bad is not None:
        raise FormatError(
            source, f"label {bad} is not one of 0 to {len(dataset.classes) - 1} of {dataset.name}."
        )
    for split in arrays.train:
        both = arrays.train[split] & arrays.test[split]
        missing = set(arrays.names) - arrays.train[split] - arrays.test[split]
        if both or missing:
            name = min(both or missing)
            where = "both sides" if both else "neither side"
            raise FormatError(source, f"{name} is on {where} of split '{split}'.")
    dtype = np.dtype(arrays.dtype).newbyteorder("<")

    progress.start("reading", len(arrays.names))
    digests, columns = [], {name: [] for name in ("frames", "length", "bodies", "gaps")}  # type: ignore[var-annotated]
    for clip in arrays.clips:
        values = np.ascontiguousarray(clip, dtype)
        digests.append(sha256(values.tobytes()))
        columns["frames"].append(arrays.frames)
        columns["length"].append(int(values.any(axis=(0, 2, 3)).sum()))
        columns["bodies"].append(int(values[..., 0].any()) + int(values[..., 1].any()))
        columns["gaps"].append(missing_frames(values))
        progress.advance()
    progress.finish()
    clips = [parse_ntu_name(name) for name in arrays.names]
    if all(clip is not None for clip in clips):
        for name in ("subject", "camera", "setup", "replication"):
            columns[name] = [getattr(clip, name) for clip in clips]
    settings: dict[str, str | int | float] = {"frames": arrays.frames, "dtype": arrays.dtype}
    if chain is not None:
        settings = chain.settings()
    contents = Contents(
        dataset=dataset,
        names=arrays.names,
        labels=arrays.labels,
        columns=columns,
        digests=np.frombuffer(bytes.fromhex("".join(digests)), np.uint8).reshape(-1, 32),
        train={
            split: np.array([name in train for name in arrays.names], bool)
            for split, train in arrays.train.items()
        },
        excluded=[],
        settings=settings,
        prep=prep_name,
        frames=arrays.frames,
        dtype=arrays.dtype,
        source_digest=_digest_of(Path(source)),
    )
    blocks = (np.ascontiguousarray(clip, dtype).tobytes() for clip in arrays.clips)
    write_file(out, contents, {"clips": blocks})
    return len(arrays.names)


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
    wanted = {f"{side}_{what}" for side in _SIDES.values() for what in ("position.npy", "label.pkl")}
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
        for part, side in _SIDES.items():
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
                pickle.dump((names, file.labels[rows].tolist()), target, protocol=4)
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
        for part, side in _SIDES.items()
    }
    with out.open("wb") as target:
        pickle.dump({"split": split, "annotations": annotations}, target, protocol=4)
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
