"""CTR-GCN's layout, and that of MAMP and STARS: one archive per split, without names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skeltools.datasets.contract import placeholder
from skeltools.datasets.registry import PARTITIONS, Dataset, parse_ntu_name
from skeltools.errors import FormatError, SettingError, SourceError
from skeltools.exchange.shared import Arrays, Reading, Sequences, blocks, check_numbers, lost
from skeltools.files.arrays import Member, write_archive
from skeltools.files.texts import LARGEST, read_text
from skeltools.formats.ntu import SUFFIX
from skeltools.preparation.chain import PADDED
from skeltools.progress import Progress
from skeltools.store.notes import Note
from skeltools.store.reader import ClipFile

KEYS = frozenset({"x_train", "y_train", "x_test", "y_test"})
NEEDS_SPLIT = True

NAMES = "skes_available_name.txt"
"""What CTR-GCN calls its list of names."""

_SPLITS = {"cs": "xsub", "csub": "xsub", "xsub": "xsub", "cv": "xview", "xview": "xview", "cset": "xset",
           "xset": "xset"}  # fmt: skip
"""Splits by the end of the file's name: CTR-GCN's words and those of MAMP and STARS."""

_FILES = {
    ("ntu60", "xsub"): "NTU60_CS", ("ntu60", "xview"): "NTU60_CV", ("ntu120", "xsub"): "NTU120_CSub",
    ("ntu120", "xset"): "NTU120_CSet", ("pku1", "xsub"): "PKUv1_XSub", ("pku1", "xview"): "PKUv1_XView",
    ("pku2", "xsub"): "PKUv2_XSub", ("pku2", "xview"): "PKUv2_XView",
}  # fmt: skip
"""What the projects call their files, without the suffix."""

_ROW_ORDER: dict[str, Callable[[Any], int]] = {
    "xsub": lambda clip: int(clip.subject),
    "xview": lambda clip: {2: 0, 3: 1, 1: 2}.get(clip.camera, 3),
    "xset": lambda clip: int(clip.setup),
}
"""What CTR-GCN's rows are ordered by on each side of a split, before the name."""


def read(path: Path, content: Mapping[str, NDArray[Any]], how: Reading) -> Arrays:
    """Read ``x_train``, ``x_test`` (N, T, M x V x 3) and ``y_train``, ``y_test`` (N, classes).

    Args:
        path: The file, whose name tells the split.
        content: Its arrays.
        how: How it is read; ``labels`` is a text file with the names.

    Raises:
        FormatError: The name tells no split, or the arrays or names do not fit.
    """
    split = _split_of(path, how.dataset)
    names, notes = _names(path, content, split, how)
    sequences = Sequences(path, how)
    classes = 0
    for part in PARTITIONS:
        points = content[f"x_{part}"]
        form = how.form
        width = form.bodies * form.joints * 3
        if points.ndim != 3 or points.shape[2] != width or points.shape[1] == 0:
            raise FormatError(path, f"x_{part} has shape {points.shape}; expected (N, T, {width}).")
        check_numbers(points, f"x_{part}", path)
        labels, classes = _one_hot(path, f"y_{part}", content[f"y_{part}"], len(points))
        # A frame: body slowest, then joint, then x y z.
        shaped = points.reshape(*points.shape[:2], form.bodies, form.joints, 3).transpose(0, 4, 1, 3, 2)
        for name, label, clip in zip(names[part], labels, shaped, strict=True):
            there = _without_padding(clip)
            sequences.add(name, label, clip if how.chain is None else there, there.shape[1])
    arrays = sequences.arrays({split: set(names["train"])}, {split: set(names["test"])}, notes)
    return Arrays(**{**vars(arrays), "classes": classes or None})


def _split_of(path: Path, dataset: Dataset | None) -> str:
    own = sorted(dataset.splits if dataset else (), key=len)
    ends = [split for split in own if re.search(rf"(^|[_\-.]){re.escape(split)}$", path.stem, re.IGNORECASE)]
    split = ends[-1] if ends else _SPLITS.get(re.split(r"[_\-.]", path.stem)[-1].lower())
    if split is None:
        raise FormatError(
            path,
            "its name does not tell the split. Call it as CTR-GCN does, such as NTU60_CS.npz (xsub), "
            "NTU60_CV.npz (xview) or NTU120_CSet.npz (xset).",
        )
    return split


def _without_padding(clip: NDArray[Any]) -> NDArray[Any]:
    """Return (3, T, V, M) up to its last frame with a position."""
    with np.errstate(invalid="ignore"):  # a signalling NaN, refused later as any NaN is
        there = np.flatnonzero(clip.any(axis=(0, 2, 3)))
    return clip[:, : int(there[-1]) + 1 if len(there) else 1]


def _one_hot(path: Path, key: str, values: NDArray[Any], count: int) -> tuple[list[int], int]:
    """Return the labels of one-hot rows and the number of classes; of whole numbers, these and 0."""
    if values.shape == (count,) and values.dtype.kind in "iu":
        return [int(value) for value in values], 0
    if values.ndim != 2 or len(values) != count or values.dtype.kind not in "fiub":
        raise FormatError(
            path, f"{key} has shape {values.shape}; expected ({count}, classes), one 1 in each row."
        )
    wrong = np.flatnonzero(((values != 0) & (values != 1)).any(axis=1) | ((values == 1).sum(axis=1) != 1))
    if len(wrong):
        raise FormatError(path, f"row {wrong[0]} of {key} is not one 1 among zeros.")
    return [int(label) for label in values.argmax(axis=1)], values.shape[1]


def _names(
    path: Path, content: Mapping[str, NDArray[Any]], split: str, how: Reading
) -> tuple[dict[str, list[str]], list[Note]]:
    """Return names by side, in the order of the rows, and what to tell about them.

    Raises:
        FormatError: The names that were given are not as many as the rows.
    """
    counts = {part: len(content[f"x_{part}"]) for part in PARTITIONS}
    ruled = how.dataset is not None and split in how.dataset.train
    if how.labels is None and how.known is not None and ruled:
        sides = _in_order([name for name in how.known if _parsed(how.dataset, name)], split, how.dataset)
        if {part: len(names) for part, names in sides.items()} == counts:
            return sides, []
    if how.labels is None:
        named = {part: [placeholder(part, row) for row in range(counts[part])] for part in PARTITIONS}
        text = (
            f"{path.name} holds no names: its clips are called train_000000 and so on, by side and row. With "
            "--labels NAMES.txt, one clip name per line, they get their own."
        )
        return named, [Note("unnamed", sum(counts.values()), text)]
    given = _listed_names(how.labels)
    if not ruled:
        raise SettingError(
            f"--labels names the rows of splits that names tell, not of {split} of {path}. Leave it out."
        )
    for number, name in given:
        if _parsed(how.dataset, name) is None:
            called = how.dataset.namings[0].called if how.dataset else ""
            like = "S001C001P001R001A001" if called.startswith("NAME") else called.partition(".")[0]
            raise FormatError(how.labels, f"'{name:.60}' is not a name such as {like}.", number)
    sides = _in_order([name for _, name in given], split, how.dataset)
    for part, names in sides.items():
        if len(names) != counts[part]:
            raise FormatError(
                how.labels,
                f"{len(names):,} of its names are on the {part} side of {split}, but x_{part} of {path} has "
                f"{counts[part]:,} rows. Give the names of exactly these clips (CTR-GCN: "
                "statistics/skes_available_name.txt).",
            )
    return sides, []


def _parsed(dataset: Dataset | None, name: str) -> Any | None:
    """Return what a clip's name says, None where it is not one of the dataset's."""
    found = (naming.parse(name) for naming in (dataset.namings if dataset else ()))
    return next((clip for clip in found if clip is not None), None)


def _in_order(names: Sequence[str], split: str, dataset: Dataset | None) -> dict[str, list[str]]:
    """Return names by side of a split, in the order of CTR-GCN's rows; those on neither side are left out."""
    sides: dict[str, list[str]] = {part: [] for part in PARTITIONS}
    for name in names:
        side = dataset.train[split](_parsed(dataset, name)) if dataset else None
        if side is not None:
            sides["train" if side else "test"].append(name)
    return {part: sorted(found, key=lambda name: _place(name, split)) for part, found in sides.items()}


def _place(name: str, split: str) -> tuple[int, str]:
    """Return what rows are ordered by: NTU's numbers, then the name; of other names, the name alone."""
    clip = parse_ntu_name(name)
    return (_ROW_ORDER[split](clip) if clip is not None and split in _ROW_ORDER else 0), name


def _listed_names(path: Path) -> list[tuple[int, str]]:
    """Return (line, name) of a text file with one clip name per line."""
    try:
        lines = read_text(path, LARGEST).splitlines()
    except FileNotFoundError:
        raise SourceError(f"{path} does not exist. Give a text file with one clip name per line.") from None
    except (OSError, ValueError) as error:
        raise SourceError(
            f"{path} cannot be read: {error}. Give a text file with one clip name per line."
        ) from None
    found = [
        (number, line.strip().removesuffix(SUFFIX)) for number, line in enumerate(lines, 1) if line.strip()
    ]
    if len({name for _, name in found}) != len(found):
        raise FormatError(path, "a name occurs twice.")
    return found


def paths(file: ClipFile) -> list[str]:
    """Return the names of the files that an export of `file` makes."""
    archives = [f"{_stem(file, split)}.npz" for split in file.splits]
    return [*archives, *([NAMES] if _are_named(file) else [])]


def _stem(file: ClipFile, split: str) -> str:
    name = file.dataset.name
    return _FILES.get((name, split), f"{name.upper()}_{split}")


def _rows(file: ClipFile, split: str) -> dict[str, NDArray[np.int64]]:
    """Return the rows of each side in CTR-GCN's order."""
    return {
        part: np.array(
            sorted(file.rows(split, part).tolist(), key=lambda row: _place(file.names[row], split)), np.int64
        )
        for part in PARTITIONS
    }


def _are_named(file: ClipFile) -> bool:
    """Whether the names alone give the sides and rows of every split, so that a list of them names the rows."""
    dataset = file.dataset
    if not all(split in dataset.train for split in file.splits):
        return False
    if any(_parsed(dataset, name) is None for name in file.names):
        return False
    for split in file.splits:
        sides = _in_order(file.names, split, dataset)
        rows = _rows(file, split)
        if any([file.names[row] for row in rows[part].tolist()] != sides[part] for part in PARTITIONS):
            return False
    return True


def write(file: ClipFile, out: Path, progress: Progress) -> list[str]:
    """Write an archive for each split into a folder, and a list of names where it names the rows.

    Returns:
        What is lost, and what their readers expect.
    """
    progress.start("exporting", len(file) * len(file.splits))
    out.mkdir()
    width = file.form.bodies * file.form.joints * 3
    hot = np.eye(len(file.classes))
    for split in file.splits:
        members = {}
        for part, rows in _rows(file, split).items():
            shape = (len(rows), file.frames, width)
            members[f"x_{part}"] = Member(shape, "<f4", _flat(blocks(file, rows, progress)))
            members[f"y_{part}"] = Member((len(rows), len(hot)), "<f8", _hot(hot, file.labels[rows]))
        write_archive(out / f"{_stem(file, split)}.npz", members)
    progress.finish()
    named = _are_named(file)
    if named:
        (out / NAMES).write_text("".join(f"{name}\n" for name in file.names), encoding="utf-8")
    more = ["frames of the recordings", "class names", *([] if named else ["names"])]
    notes = [lost(file, *more)]
    if named:
        notes.append(f"its rows have no names: {NAMES} beside it gives them back (import --labels {NAMES}).")
    if (file.frames, file.attrs.get("chain.length")) != (PADDED, "padded"):
        notes.append(
            f"CTR-GCN's own arrays are not resized but padded to {PADDED} frames: for these, prepare with --prep "
            f"ctrgcn --set chain.length=padded --set chain.span=1.0 --frames {PADDED}."
        )
    return notes


def _flat(clips: Iterator[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """Yield (n, T, M x V x 3) of clips (n, 3, T, V, M): in a frame body slowest, then joint, then x y z."""
    for block in clips:
        yield np.ascontiguousarray(block.transpose(0, 2, 4, 3, 1)).reshape(len(block), block.shape[2], -1)


def _hot(hot: NDArray[np.float64], labels: NDArray[np.int64]) -> Iterator[NDArray[np.float64]]:
    for start in range(0, len(labels), 1024):
        yield hot[labels[start : start + 1024]]
