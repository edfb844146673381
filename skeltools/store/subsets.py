"""Label subsets stored in a converted file: drawing further ones into it, and listing them."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from skeltools.datasets.subsets import parse_percent
from skeltools.files.writing import replacing
from skeltools.store.reader import ClipFile
from skeltools.store.writer import room_for, seal, write_subsets


class StoredSubset(NamedTuple):
    """A stored subset: what it is of, its clips and the classes among them, SHA-256 of its names in order."""

    split: str
    percent: str
    seed: int
    clips: int
    classes: int
    digest: str


def list_subsets(file: ClipFile) -> list[StoredSubset]:
    """Return every stored subset, by split, share and seed."""
    found = []
    for split, percent, seed in file.subsets:
        rows = file.subset(split, percent, seed)
        names = "\n".join(file.names[row] for row in rows)
        classes = len(np.unique(file.labels[rows]))
        digest = hashlib.sha256(names.encode()).hexdigest()
        found.append(StoredSubset(split, percent, seed, len(rows), classes, digest))
    return found


def add_subsets(path: str | Path, percents: Sequence[str], seeds: Sequence[int]) -> None:
    """Draw subsets of every split's training side into a file.

    The file is copied, completed and put in the place of the old one, so it is whole at every moment.

    Args:
        path: The file.
        percents: Shares as percentages, such as ``0.5``.
        seeds: Seeds of the draws.

    Raises:
        SettingError: A share is not a percentage.
        DataError: The file is not a converted file.
    """
    path = Path(path)
    shares = [parse_percent(text) for text in percents]
    with ClipFile(path) as opened:
        names, labels = opened.names, opened.labels
        sides = {split: opened.rows(split, "train") for split in opened.splits}
    with replacing(path, update=True) as temporary, room_for(path):
        shutil.copyfile(path, temporary)
        with h5py.File(temporary, "r+") as file:
            for split, rows in sides.items():
                write_subsets(file, split, names, labels, rows, shares, seeds)
            seal(file)
