"""The layout of a converted file, shared by writer and reader; documented in docs/data-format.md."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from skeltools.errors import DataError
from skeltools.files.hdf5 import decode

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


def narrowed(values: NDArray[np.floating[Any]], dtype: np.dtype[Any], what: str) -> NDArray[np.floating[Any]]:
    """Return coordinates in another type.

    Raises:
        DataError: One is beyond what the type holds, and would become infinite; `what` names the clips.
    """
    with np.errstate(over="ignore"):
        made = values.astype(dtype)
    if not np.isfinite(made).all():
        raise DataError(
            f"{what}: a coordinate of {np.abs(values).max():.3g} is beyond what {dtype.name} holds. Are these clips "
            "of people in metres? 'skeltools verify' tells more."
        )
    return made


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


RECORD = "record_digest"
"""Root attribute of files of version 2: the digest of all that `content_digest` leaves out."""

MOTION_DIGEST, RAW_DIGEST = "motion_digest", "raw/digest"
"""SHA-256 of each row of ``/motion`` and of each recording, uint8 (N, 32), where the file has these."""

_ROW_BY_ROW = ("clips", "motion", "raw/data", "raw/frame", "raw/slot", "raw/id", "raw/frames", "raw/offset")
"""Datasets that digests of single rows cover."""


def record_digest(file: h5py.File) -> str:
    """Return the SHA-256 of a file's attributes and of every dataset, clips and recordings by their digests.

    Args:
        file: An open file, safe to read (`skeltools.files.hdf5.check`).
    """
    total = hashlib.sha256()
    for key in sorted(set(file.attrs) - {RECORD}):
        total.update(f"{key}\0{json.dumps(decode(file.attrs[key]), sort_keys=True)}\0".encode())
    for name in sorted(_datasets(file)):
        if name in _ROW_BY_ROW:
            total.update(f"{name}\0{file[name].shape[1:]}\0{file[name].dtype.str}\0".encode())
            continue
        values = file[name][:]
        total.update(f"{name}\0{values.shape}\0".encode())
        for column in [values[field] for field in values.dtype.names] if values.dtype.names else [values]:
            if column.dtype == object:
                total.update(b"".join(b"%d:%b" % (len(text), text) for text in column.reshape(-1).tolist()))
            else:
                total.update(column.dtype.newbyteorder("<").str.encode() + column.tobytes())
    return total.hexdigest()


def _datasets(file: h5py.File) -> list[str]:
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    return found


def recording_digest(frames: int, parts: Iterable[NDArray[np.generic]]) -> bytes:
    """Return the SHA-256 of a recording: its frames, and its bodies as they are stored."""
    total = hashlib.sha256(b"%d\0" % frames)
    for part in parts:
        total.update(np.ascontiguousarray(part).tobytes())
    return total.digest()
