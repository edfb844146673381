"""The layout of a converted file, shared by writer and reader; documented in docs/data-format.md."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import h5py
import numpy as np
from numpy.typing import NDArray

VERSION = 2
"""Of the layout. Version 1 had no skeleton and no number of bodies: it held Kinect v2 and two."""

READABLE = (1, 2)

TEXT = h5py.string_dtype("utf-8")
EXCLUDED = np.dtype([("name", TEXT), ("reason", TEXT)])

TEXT_COLUMNS = ("video", "view")
"""Columns that hold texts; every other column holds int64."""


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes, hex."""
    return hashlib.sha256(data).hexdigest()


def content_digest(
    names: Iterable[str],
    labels: Iterable[int],
    digests: NDArray[np.uint8],
    splits: Mapping[str, Mapping[str, NDArray[np.int64]]],
) -> str:
    """Return the SHA-256 of what a file says: names, labels and clips in row order, and the splits.

    Args:
        names: N clip names.
        labels: N 0-based labels.
        digests: uint8 (N, 32), the SHA-256 of each clip's values (little-endian, C order).
        splits: Row indices by split and side.
    """
    total = hashlib.sha256()
    for name, label, digest in zip(names, labels, digests, strict=True):
        total.update(f"{name}\t{label}\t".encode() + digest.tobytes())
    for split in sorted(splits):
        for part in sorted(splits[split]):
            total.update(f"{split}/{part}\t".encode() + splits[split][part].astype("<i8").tobytes())
    return total.hexdigest()
