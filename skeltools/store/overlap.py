"""Which clips of one file are those of another: by name where datasets share recordings, else by content."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from skeltools.datasets import registry as datasets
from skeltools.datasets.contract import is_placeholder
from skeltools.errors import SettingError
from skeltools.store.reader import ClipFile


@dataclass(frozen=True)
class Clips:
    """What tells clips apart, whatever file they lie in.

    Attributes:
        dataset: Name of their dataset.
        names: Their names (n,).
        digests: SHA-256 of their stored values, uint8 (n, 32).
    """

    dataset: str
    names: list[str]
    digests: NDArray[np.uint8]

    @classmethod
    def of(cls, file: ClipFile, rows: NDArray[np.int64] | None = None) -> Self:
        """Return those of some rows of an open file; of all where None."""
        where = range(len(file)) if rows is None else rows.tolist()
        return cls(
            file.dataset.name,
            [file.names[row] for row in where],
            file.digests if rows is None else file.digests[rows],
        )

    def among(self, others: Clips) -> NDArray[np.bool_]:
        """Return which of these clips are among others, bool (n,).

        Datasets that share recordings (NTU-60 and NTU-120; a dataset and itself) are compared by name, however
        the clips were prepared: equal values under two names are two recordings, as their authors have it. Clips
        of other datasets, and those that have no name of their own (`is_placeholder`), are compared by the digest
        of their values, which finds them where they were prepared alike.
        """
        values = {digest.tobytes() for digest in others.digests}
        if _recordings(self.dataset) != _recordings(others.dataset):
            return np.array([digest.tobytes() in values for digest in self.digests], bool)
        names = {name for name in others.names if not is_placeholder(name)}
        unnamed = {
            digest.tobytes()
            for name, digest in zip(others.names, others.digests, strict=True)
            if is_placeholder(name)
        }
        return np.array(
            [
                digest.tobytes() in (values if is_placeholder(name) else unnamed) or name in names
                for name, digest in zip(self.names, self.digests, strict=True)
            ],
            bool,
        )


def _recordings(dataset: str) -> str:
    """Return what the recordings of a dataset are called; data of one's own are called by their dataset."""
    try:
        return datasets.get(dataset).recordings or dataset
    except SettingError:
        return dataset
