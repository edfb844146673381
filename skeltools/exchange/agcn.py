"""2s-AGCN's layout, and that of CMD, HiCo, ISC and UmURL: padded clips, labels and numbers of frames of each split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skeltools.errors import FormatError, counted
from skeltools.exchange.shared import (
    SIDES,
    Arrays,
    Reading,
    Sequences,
    as_they_are,
    lost,
    open_npy,
    read_folder,
    write_folder,
)
from skeltools.files.arrays import write_array
from skeltools.preparation.chain import PADDED
from skeltools.progress import Progress
from skeltools.store.notes import Note
from skeltools.store.reader import ClipFile

ARRAY = "data_joint.npy"
COUNTS = "num_frame.npy"
NEEDS_SPLIT = True


def read(source: Path, how: Reading) -> Arrays:
    """Read ``<split>/{train,val}_data_joint.npy`` (N, 3, T, V, M), ``_label.pkl`` and ``_num_frame.npy`` (N,).

    The third file, frames of each recording, may be missing, as 2s-AGCN's own scripts make none. A preparation
    begins with the first ``min(num_frame, T)`` frames: what comes after is padding.

    Raises:
        SourceError: There are no such files.
        FormatError: One is damaged or does not fit the others.
    """
    found = read_folder(source, how, ARRAY)
    frames: dict[str, int] = {}
    without = set()
    for path, names in found.names.items():
        counts = _counts(path, len(names))
        if counts is None:
            without.update(names)
            continue
        for name, count in zip(names, counts.tolist(), strict=True):
            if frames.setdefault(name, count) != count:
                raise FormatError(
                    path.with_name(path.name.replace(ARRAY, COUNTS)),
                    f"{name} has {counted(count, 'frame')} here, {frames[name]} elsewhere.",
                )
    without -= frames.keys()
    if without:
        text = (
            f"{counted(len(without), 'clip')} without _num_frame.npy: all frames were taken as the recording's, "
            "padding included."
        )
        found.notes.append(Note("num-frame", len(without), text))
        frames |= {name: found.clips[name][1].shape[1] for name in without}
    if how.chain is None:
        arrays = as_they_are(found)
        return Arrays(**{**vars(arrays), "columns": {"frames": [frames[name] for name in arrays.names]}})
    sequences = Sequences(source, how)
    for name, (label, clip, _) in found.clips.items():
        sequences.add(name, label, clip[:, : frames[name]], frames[name])
    return sequences.arrays(found.sides["train"], found.sides["test"], found.notes)


def _counts(path: Path, clips: int) -> NDArray[Any] | None:
    """Return the numbers of frames that belong to an array of so many clips; None where there are none."""
    beside = path.with_name(path.name.replace(ARRAY, COUNTS))
    if not beside.exists():
        return None
    values = open_npy(beside)
    if values.shape != (clips,) or values.dtype.kind not in "iu":
        raise FormatError(
            beside,
            f"its shape is {values.shape}, its type {values.dtype}; expected {counted(clips, 'whole number')}.",
        )
    wrong = np.flatnonzero((values < 1) | (values > 1_000_000))
    if len(wrong):
        raise FormatError(beside, f"row {wrong[0]} is {values[wrong[0]]}; expected frames of a recording.")
    return values


def paths(file: ClipFile) -> list[str]:
    """Return the names of the files that an export of `file` makes."""
    ends = (ARRAY, "label.pkl", COUNTS)
    return [f"{split}/{side}_{end}" for split in file.splits for side in SIDES.values() for end in ends]


def write(file: ClipFile, out: Path, progress: Progress) -> list[str]:
    """Write the clips of every split, float32; return what is lost.

    The number of frames tells readers where padding begins: that of the recording where the clips are padded, T
    where they were resized.
    """
    progress.start("exporting", len(file) * len(file.splits))
    write_folder(file, out, ARRAY, progress)
    padded = _is_padded(file)
    frames = np.asarray(file.column("frames")) if padded else np.full(len(file), file.frames)
    for split in file.splits:
        for part, side in SIDES.items():
            rows = file.rows(split, part)
            with (out / split / f"{side}_{COUNTS}").open("wb") as target:
                write_array(target, (len(rows),), "<i8", [frames[rows]])
    progress.finish()
    more = [] if padded else ["frames of the recordings (these clips are resized: num_frame is T)"]
    notes = [lost(file, *more, "class names")]
    if not padded:
        notes.append(
            f"2s-AGCN's own arrays are not resized but padded to {PADDED} frames: for these, prepare with --prep cmd "
            f"--set chain.length=padded --set chain.span=1.0 --frames {PADDED}."
        )
    return notes


def _is_padded(file: ClipFile) -> bool:
    """Whether the clips are those of scripts before frames are cropped and resized, as far as that is known."""
    chain = {key: file.attrs.get(f"chain.{key}") for key in ("length", "span")}
    return chain["length"] is None or (chain == {"length": "padded", "span": 1.0} and file.frames == PADDED)
