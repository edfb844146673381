"""Our own NumPy archive: clips, labels, names, class names and the rows of each split."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skeltools.datasets.registry import PARTITIONS
from skeltools.errors import FormatError, counted
from skeltools.exchange.shared import Arrays, Reading, blocks, check_numbers, clip_name, lost, stored_type
from skeltools.files.arrays import Member, write_archive
from skeltools.files.kinds import Kind
from skeltools.progress import Progress
from skeltools.skeletons import Form
from skeltools.store.reader import ClipFile

KEYS = frozenset({"clips", "labels", "names"})
NEEDS_SPLIT = False
KIND = Kind.NPZ


def read(path: Path, content: Mapping[str, NDArray[Any]], how: Reading) -> Arrays:
    """Read an archive that `write` made.

    Args:
        path: The file, for messages.
        content: Its arrays.
        how: How it is read.

    Raises:
        SettingError: A preparation or names are given.
        FormatError: The arrays do not fit each other or the dataset.
    """
    how.takes_no_chain(path, "is a file")
    how.takes_no_names(path)
    clips, labels = content["clips"], content["labels"]
    names = _checked_names(path, content, how.form)
    sides = _sides(path, content, names)
    order = sorted(range(len(names)), key=names.__getitem__)
    return Arrays(
        names=[names[row] for row in order],
        labels=[int(labels[row]) for row in order],
        clips=[clips[row] for row in order],
        files=[path] * len(order),
        train=sides["train"],
        test=sides["test"],
        frames=clips.shape[2],
        dtype=stored_type([clips]),
        classes=len(content["classes"]) if "classes" in content else None,
    )


def _checked_names(path: Path, content: Mapping[str, NDArray[Any]], form: Form) -> list[str]:
    clips, labels = content["clips"], content["labels"]
    if (
        clips.ndim != 5
        or clips.shape[1] != 3
        or clips.shape[3:] != (form.joints, form.bodies)
        or 0 in clips.shape
    ):
        raise FormatError(
            path, f"clips has shape {clips.shape}; expected (N, 3, T, {form.joints}, {form.bodies})."
        )
    check_numbers(clips, "clips", path)
    if labels.shape != (len(clips),) or labels.dtype.kind not in "iu":
        raise FormatError(
            path, f"labels has shape {labels.shape}; expected {counted(len(clips), 'whole number')}."
        )
    if content["names"].shape != (len(clips),):
        raise FormatError(path, f"names has shape {content['names'].shape}; expected {len(clips)} names.")
    try:
        names = [clip_name(name) for name in content["names"].tolist()]
    except TypeError as error:
        raise FormatError(path, f"{error}.") from None
    if len(set(names)) != len(names):
        raise FormatError(path, "a name occurs twice.")
    return names


def _sides(
    path: Path, content: Mapping[str, NDArray[Any]], names: list[str]
) -> dict[str, dict[str, set[str]]]:
    sides: dict[str, dict[str, set[str]]] = {part: {} for part in PARTITIONS}
    for key, rows in content.items():
        split, _, part = key.rpartition("_")
        if split and part in sides:
            if (
                rows.ndim != 1
                or rows.dtype.kind not in "iu"
                or (rows < 0).any()
                or (rows >= len(names)).any()
            ):
                raise FormatError(path, f"{key} holds something other than rows 0 to {len(names) - 1}.")
            sides[part][split] = {names[row] for row in rows.tolist()}
    for split in sides["train"].keys() ^ sides["test"].keys():
        raise FormatError(
            path, f"split '{split}' has one side only; expected {split}_train and {split}_test."
        )
    return sides


def paths(file: ClipFile) -> list[str]:
    """Return nothing: an export is one file."""
    return []


def write(file: ClipFile, out: Path, progress: Progress) -> list[str]:
    """Write an archive, clips in the type they are stored in; return what is lost."""
    progress.start("exporting", len(file))
    small = {
        "labels": file.labels,
        "names": np.array(file.names),
        "classes": np.array(file.classes),
    }
    small |= {f"{split}_{part}": file.rows(split, part) for split in file.splits for part in PARTITIONS}
    descr = "<f2" if file.stored(0, 0).dtype == np.float16 else "<f4"
    clips = Member(file.shape, descr, blocks(file, np.arange(len(file)), progress))
    write_archive(out, {"clips": clips} | {name: Member.of(values) for name, values in small.items()})
    progress.finish()
    return [lost(file, "frames of the recordings")]
