"""Writing a converted file: complete under a temporary name in the same folder, then renamed."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

import skeltools
from skeltools.datasets import subsets
from skeltools.datasets.contract import TEST, TRAIN, Dataset
from skeltools.errors import OutputError
from skeltools.files.hdf5 import FORMAT
from skeltools.files.writing import as_utf8, no_room, replacing
from skeltools.skeletons import Form
from skeltools.store import notes
from skeltools.store.layout import (
    EXCLUDED,
    MOTION_DIGEST,
    RAW_DIGEST,
    RECORD,
    TEXT,
    VERSION,
    content_digest,
    record_digest,
    recording_digest,
)

SHARES = (0.01, 0.1)
SEEDS = (0, 1, 2, 3, 4)
"""Label subsets that every file holds."""


RawBodies = tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]]
"""Coordinates float32 (B, V, 3), frames, slots and tracking ids (B,) of the bodies of a recording."""


@dataclass(frozen=True)
class Raw:
    """Raw recordings to be kept: every observed body, recording after recording in row order.

    Attributes:
        counts: N numbers of observed bodies.
        frames: N numbers of frames.
        read: Gives the observed bodies of a row.
    """

    counts: Sequence[int] | NDArray[np.int64]
    frames: Sequence[int] | NDArray[np.int64]
    read: Callable[[int], RawBodies]


@dataclass(frozen=True)
class Contents:
    """Everything a converted file holds beside the clips themselves; N rows in name order.

    Attributes:
        dataset: What the clips are from.
        names: N clip names, sorted.
        labels: N 0-based labels.
        columns: Further columns of N whole numbers or texts, by name.
        digests: uint8 (N, 32), SHA-256 of each clip's values.
        sides: For each split, the side of each clip, int8 (N,): `TRAIN`, `TEST` or `NEITHER` of the datasets' contract.
        excluded: (name, reason) of every clip left out.
        settings: How the clips were prepared, as far as that is known; stored as ``chain.*``.
        prep: Name of the preparation recipe; ``imported`` for arrays made elsewhere.
        frames: T.
        dtype: ``float32`` or ``float16``.
        source_digest: SHA-256 over the raw files, hex.
        raw: Raw recordings to keep, or None.
        notes: What was decided that is not a clip left out.
        stated: What the clips look like, where the dataset's own do not.
        attributes: Further root attributes.
    """

    dataset: Dataset
    names: Sequence[str]
    labels: Sequence[int]
    columns: Mapping[str, Sequence[int] | Sequence[str] | NDArray[np.int64]]
    digests: NDArray[np.uint8]
    sides: Mapping[str, NDArray[np.int8]]
    excluded: Sequence[tuple[str, str]]
    settings: Mapping[str, str | int | float]
    prep: str
    frames: int
    dtype: str
    source_digest: str
    raw: Raw | None = None
    notes: Sequence[notes.Note] = ()
    stated: Form | None = None
    attributes: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def form(self) -> Form:
        """What the clips look like."""
        return self.stated or self.dataset.form(self.frames)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of ``/clips``."""
        return (len(self.names), 3, self.frames, self.form.joints, self.form.bodies)


def write_file(
    path: Path,
    contents: Contents,
    arrays: Mapping[str, Iterable[bytes]],
) -> None:
    """Write a converted file.

    Args:
        path: The file, which appears under this name only when it is complete.
        contents: What goes in beside the clips.
        arrays: For ``clips`` (and ``motion``), the values of N clips (3, T, V, M), little-endian, in blocks
            of any size.

    Raises:
        OutputError: The disk is full or the folder cannot be written.
    """
    shape = contents.shape
    dtype = np.dtype(contents.dtype).newbyteorder("<")
    with replacing(path) as temporary, room_for(path):
        with h5py.File(temporary, "w", libver=("earliest", "v110")) as file:
            _write_small(file, contents)
            if contents.raw is not None:
                _write_raw(file, contents.raw, contents.form.joints)
            offsets = {name: _reserve(file, name, shape, dtype) for name in arrays}
        size = dtype.itemsize * int(np.prod(shape[1:]))
        rows = _RowDigests(size)
        with temporary.open("r+b") as target:
            for name, blocks in arrays.items():
                target.seek(offsets[name])
                written = sum(map(target.write, rows.of(blocks) if name == "motion" else blocks))
                if written != size * shape[0]:
                    raise OSError("the clips written so far are gone")
        with h5py.File(temporary, "r+") as file:
            if "motion" in arrays:
                file.create_dataset(MOTION_DIGEST, data=rows.digests(), shape=(shape[0], 32))
            seal(file)


def seal(file: h5py.File) -> None:
    """Write the digest of all that decides a result into a file; the last step of every change to it."""
    file.attrs[RECORD] = record_digest(file)


class _RowDigests:
    """SHA-256 of each row of an array that passes by in blocks of any size."""

    def __init__(self, size: int) -> None:
        self._size, self._left = size, b""
        self._found: list[bytes] = []

    def of(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the blocks as they are."""
        for block in blocks:
            data = self._left + block
            whole = len(data) - len(data) % self._size
            for start in range(0, whole, self._size):
                self._found.append(hashlib.sha256(data[start : start + self._size]).digest())
            self._left = data[whole:]
            yield block

    def digests(self) -> NDArray[np.uint8]:
        """Return them, uint8 (N, 32)."""
        return np.frombuffer(b"".join(self._found), np.uint8).reshape(-1, 32)


@contextmanager
def room_for(path: Path) -> Iterator[None]:
    """Turn what h5py raises on a full disk, of several types and without the file's name, into one error.

    Raises:
        OutputError: The disk is full.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            if getattr(error, "errno", None) == number or f"errno = {number}," in str(error):
                raise OutputError(no_room(path, OSError(number, os.strerror(number)))) from error
        raise


_RAW_BLOCK = 1 << 17
"""Observed bodies written at a time."""


def _write_raw(file: h5py.File, raw: Raw, joints: int) -> None:
    offsets = np.concatenate([[0], np.cumsum(np.asarray(raw.counts, np.int64))])
    total = int(offsets[-1])
    file.create_dataset("raw/offset", data=offsets.astype("<i8"))
    data = file.create_dataset("raw/data", (total, joints, 3), "<f4")
    file.create_dataset("raw/frames", data=np.asarray(raw.frames, "<i8"))
    frame = file.create_dataset("raw/frame", (total,), "<i4")
    slot = file.create_dataset("raw/slot", (total,), "<i4")
    ids = file.create_dataset("raw/id", (total,), "<i8")
    types = ("<f4", "<i4", "<i4", "<i8")
    digests: list[bytes] = []
    row = 0
    while row < len(raw.counts):
        start = int(offsets[row])
        parts: list[RawBodies] = []
        while row < len(raw.counts) and (not parts or offsets[row + 1] - start <= _RAW_BLOCK):
            parts.append(raw.read(row))
            stored = (np.asarray(part, kind) for part, kind in zip(parts[-1], types, strict=True))
            digests.append(recording_digest(int(raw.frames[row]), stored))
            row += 1
        stop = int(offsets[row])
        if stop > start:
            for number, target in enumerate((data, frame, slot, ids)):
                target[start:stop] = np.concatenate([part[number] for part in parts])
    file.create_dataset(RAW_DIGEST, data=np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32))


def _reserve(file: h5py.File, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    """Make a contiguous dataset without writing it; return where its bytes go in the file."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_layout(h5py.h5d.CONTIGUOUS)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    plist.set_obj_track_times(False)  # no clock in the file: equal input gives equal bytes
    kind = h5py.h5t.py_create(dtype, logical=True)
    made = h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple(shape), plist)
    return int(made.get_offset() or 0)


def room_in_front(clips: int) -> int:
    """Return how many bytes to leave free in front of N clips for all else in their file (`write_around`)."""
    return _PAGE * (16 + -(-_AROUND * clips // _PAGE))


_PAGE = 4096
_AROUND = 320
"""Bytes per clip that everything beside the clips takes at most. A change needs another `SPOOL_LAYOUT`."""


def write_around(path: Path, contents: Contents, clips: Path, room: int) -> bool:
    """Turn a file of clips into a converted file without copying them: all else goes into the room in front.

    `clips` then has a second name, `path`; remove the first. Whatever happens, the clips themselves stay.

    Args:
        path: The converted file, which appears under this name only when it is complete.
        contents: What goes in beside the clips; no raw recordings.
        clips: The file of N clips (3, T, V, M), little-endian, in row order, on the disk of `path`.
        room: Bytes in front of them.

    Returns:
        False when the room is too small or the disk knows no second names; nothing has been done then.

    Raises:
        OutputError: The disk is full or the folder cannot be written.
    """
    shape = contents.shape
    dtype = np.dtype(contents.dtype).newbyteorder("<")
    size = dtype.itemsize * int(np.prod(shape))
    head, other = clips.with_name("head"), clips.with_name("other name")
    with room_for(path):
        aligned = {"alignment_threshold": size, "alignment_interval": room}
        with h5py.File(head, "w", libver=("earliest", "v110"), **aligned) as file:
            _write_small(file, contents)
            offset = _reserve(file, "clips", shape, dtype)
            seal(file)
        try:
            other.unlink(missing_ok=True)
            os.link(clips, other)
            other.unlink()
        except OSError:
            return False
        if offset != room or clips.stat().st_size < room + size:
            return False
        with replacing(path) as temporary:
            with head.open("rb") as source, clips.open("r+b") as target:
                target.write(source.read(room))
                source.seek(room + size)
                target.seek(room + size)
                target.write(source.read())
                target.truncate()
            os.link(clips, temporary)
    return True


def read_clips(
    source: BinaryIO, rows: Sequence[int] | NDArray[np.intp], size: int, room: int = 0
) -> Iterator[bytes]:
    """Yield clips of `size` bytes at places `rows` of a file, the first at byte `room`, in whole runs."""
    index = np.asarray(rows, np.int64)
    starts = np.flatnonzero(np.diff(index, prepend=-2) != 1).tolist()
    for start, stop in zip(starts, [*starts[1:], len(index)], strict=True):
        source.seek(room + int(index[start]) * size)
        left = (stop - start) * size
        while left:
            block = source.read(min(left, 1 << 22))
            if not block:
                return
            left -= len(block)
            yield block


def write_subsets(
    file: h5py.File,
    split: str,
    names: Sequence[str],
    labels: NDArray[np.int64],
    rows: NDArray[np.int64],
    shares: Sequence[float],
    seeds: Sequence[int],
) -> None:
    """Draw label subsets of a split's training rows and store them, replacing equal ones."""
    for share in shares:
        for seed in seeds:
            drawn = subsets.draw(names, labels, rows, share, seed)
            where = f"subsets/{split}/{subsets.percent_name(share)}/{seed}"
            if where in file:
                del file[where]
            file.create_dataset(where, data=drawn.astype("<i8"))


def _write_small(file: h5py.File, contents: Contents) -> None:
    rows = len(contents.names)
    file.create_dataset("name", data=np.array(contents.names, object), dtype=TEXT, shape=(rows,))
    file.create_dataset("label", data=np.asarray(contents.labels, "<i8"), shape=(rows,))
    for column, values in sorted(contents.columns.items()):
        if len(values) and isinstance(values[0], str):
            file.create_dataset(column, data=np.array(values, object), dtype=TEXT)
        else:
            file.create_dataset(column, data=np.asarray(values, "<i8"), shape=(rows,))
    file.create_dataset("digest", data=contents.digests, shape=(rows, 32))
    splits = {
        split: {"train": np.flatnonzero(sides == TRAIN), "test": np.flatnonzero(sides == TEST)}
        for split, sides in contents.sides.items()
    }
    file.create_group("splits")
    for split, parts in splits.items():
        for part, indices in parts.items():
            file.create_dataset(f"splits/{split}/{part}", data=indices.astype("<i8"))
            file.attrs[f"count.{split}.{part}"] = len(indices)
    labels = np.asarray(contents.labels, np.int64)
    for split, parts in splits.items():
        write_subsets(file, split, contents.names, labels, parts["train"], SHARES, SEEDS)
    excluded = np.empty(len(contents.excluded), EXCLUDED)
    for index, entry in enumerate(contents.excluded):
        excluded[index] = tuple(as_utf8(text) for text in entry)
    file.create_dataset("excluded", data=excluded, dtype=EXCLUDED)
    attributes = {
        "format": FORMAT,
        "format_version": VERSION,
        "skeltools_version": skeltools.__version__,
        "dataset": contents.dataset.name,
        "skeleton": contents.form.skeleton.to_json(),
        "bodies": contents.form.bodies,
        **(
            {}
            if contents.form.dimensions == contents.dataset.dimensions
            else {"dimensions": contents.form.dimensions}
        ),
        **({} if contents.dataset.definition is None else {"definition": contents.dataset.definition}),
        "licence": contents.dataset.licence,
        "source_digest": contents.source_digest,
        "content_digest": content_digest(contents.names, contents.labels, contents.digests, splits),
        "count.clips": rows,
        "count.excluded": len(contents.excluded),
        "prep": contents.prep,
        **{f"chain.{key}": value for key, value in contents.settings.items()},
        **notes.attributes(contents.notes),
        **contents.attributes,
    }
    for key, value in attributes.items():
        file.attrs[key] = as_utf8(value) if isinstance(value, str) else value
    file.attrs.create("class_names", np.array(contents.dataset.classes, object), dtype=TEXT)
