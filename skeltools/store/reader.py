"""Reading a converted file."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from skeltools.datasets import registry as datasets
from skeltools.datasets.contract import OTHER_SPLITS
from skeltools.errors import DataError, SettingError, counted, did_you_mean, take_path
from skeltools.files import hdf5 as guard
from skeltools.files import kinds
from skeltools.files.cores import cores
from skeltools.files.hdf5 import FORMAT, decode
from skeltools.files.kinds import Kind
from skeltools.files.texts import other_version
from skeltools.formats.recording import Recording
from skeltools.skeletons import Form, Skeleton
from skeltools.store import notes
from skeltools.store.layout import (
    MOTION_DIGEST,
    RAW_DIGEST,
    READABLE,
    RECORD,
    content_digest,
    record_digest,
    recording_digest,
)

P = ParamSpec("P")
R = TypeVar("R")

_FAULTS = (OSError, KeyError, IndexError, ValueError, TypeError, AttributeError, RuntimeError, MemoryError)
"""What h5py and NumPy raise on damaged input."""

_CUT = re.compile(r"truncated file: .*stored_eof = (\d+)")
"""What the HDF5 library says of a file that ends too early."""


def _named(read: Callable[Concatenate[ClipFile, P], R]) -> Callable[Concatenate[ClipFile, P], R]:
    """Let a method say which file it is that cannot be read, whatever h5py or the system raises."""

    @wraps(read)
    def reading(self: ClipFile, /, *given: P.args, **named: P.kwargs) -> R:
        try:
            return read(self, *given, **named)
        except (OSError, KeyError, RuntimeError) as error:
            raise self._damaged(error) from None

    return reading


_BLOCK = 256
"""Clips read at a time."""

_THREADS, _SHARED = 8, 8 << 20
"""Threads that compare clips with their digests, and from how many bytes on there is more than one."""

_MOST_FRAMES = 1_000_000
"""A recording of more frames (nine hours at 30 per second) is damaged."""


class ClipFile:
    """A converted file, open for reading; use it in a ``with`` statement.

    Attributes:
        path: The file.
        dataset: What its clips are from.
        classes: Class names by 0-based label.
        frames: T, frames per clip.
        form: Skeleton and number of bodies of its clips.
        digest: SHA-256 of its content, hex: equal for equal names, labels, clips and splits.
        attrs: Root attributes as plain Python values (docs/data-format.md lists them).
        splits: Names of the splits it holds.

    What decides a result is compared with the file's digests: names, labels, splits, subsets, class names,
    columns and attributes when it is opened, clips and recordings whenever they are read.

    Args:
        path: The file.
        checked: Whether digests are compared; False for those who look for faults themselves.
        known: Digests of the clips, uint8 (N, 32), as an opening of this file that was checked has them. Clips are
            compared with these, and the rest of the file is not compared again.

    Raises:
        DataError: There is no such file, it is not an HDF5 file, not one that skeltools converted, of another
            version, or not as it was written.

    Examples:
        >>> with skeltools.ClipFile("ntu60.h5") as file:
        ...     rows = file.rows("xsub", "test")
        ...     clips = file.clips(rows[:4])
        ...     label = file.classes[file.labels[rows[0]]]
        >>> clips.shape, label
        ((4, 3, 64, 25, 2), 'nod head/bow')
    """

    def __init__(
        self, path: str | Path, *, checked: bool = True, known: NDArray[np.uint8] | None = None
    ) -> None:
        self.path, self.checked = take_path(path, "path"), checked
        if not self.path.exists():
            raise DataError(f"{self.path} does not exist. Make it with 'skeltools convert'.")
        if self.path.is_dir():
            raise DataError(
                f"{self.path} is a folder, not a converted file. Make one with 'skeltools convert'."
            )
        if not self.path.is_file():
            raise DataError(
                f"{self.path} is a device or a pipe, not a file. Make one with 'skeltools convert'."
            )
        try:
            self._file = h5py.File(self.path, "r")
        except (OSError, RuntimeError, ValueError) as error:
            if not self._has_signature():
                raise DataError(f"{self.path} is not an HDF5 file{self._kind()}") from None
            cut = _CUT.search(str(error))
            if cut is not None:
                raise DataError(
                    f"{self.path} is cut short: {self.path.stat().st_size:,} of {int(cut[1]):,} bytes are there. Copy "
                    "it again, or write it again with 'skeltools convert'."
                ) from None
            raise DataError(f"{self.path} cannot be opened: {' '.join(str(error).split())}.") from None
        try:
            self._check(known)
        except DataError:
            self._file.close()
            raise
        except _FAULTS as error:
            self._file.close()
            raise self._damaged(error) from None

    def __repr__(self) -> str:
        if not self._file:
            return f"<ClipFile {self.path}, closed>"
        splits = f", splits {', '.join(self.splits)}" if self.splits else ""
        return (
            f"<ClipFile {self.path}: {counted(len(self), 'clip')} of {self.dataset.name}, "
            f"{counted(self.frames, 'frame')}, "
            f"{self.form.skeleton.name}{splits}>"
        )

    def _kind(self) -> str:
        """Return what the file is instead, and what to do."""
        convert, take = (f"Make one with 'skeltools {word}'." for word in ("convert", "import"))
        prepared = dict.fromkeys((Kind.PICKLE, Kind.NPY, Kind.NPZ), take)
        packed = dict.fromkeys((Kind.ZIP, Kind.SEVEN_ZIP), convert)
        return kinds.but(kinds.tell(self.path), convert, prepared | packed)

    def _has_signature(self) -> bool:
        """Tell whether HDF5 finds its signature.

        Raises:
            DataError: The file's bytes cannot be read.
        """
        try:
            return bool(h5py.is_hdf5(self.path))
        except (OSError, RuntimeError, ValueError) as error:
            raise DataError(f"{self.path} cannot be read: {' '.join(str(error).split())}.") from None

    def _damaged(self, error: Exception) -> DataError:
        told = " ".join(str(error).split()) or type(error).__name__
        return DataError(f"{self.path} is damaged ({told:.300}). Convert the source again.")

    def _foreign(self) -> DataError:
        return DataError(f"{self.path} was not written by skeltools. Make one with 'skeltools convert'.")

    def _check(self, known: NDArray[np.uint8] | None) -> None:
        if "format" not in self._file.attrs:
            raise self._foreign()
        guard.attributes(self._file.attrs, self.path)  # before any is read
        guard.check(self._file, self.path)
        self.attrs: dict[str, object] = {key: decode(value) for key, value in self._file.attrs.items()}
        if self.attrs["format"] != FORMAT:
            raise self._foreign()
        version = self.attrs.get("format_version")
        if version not in READABLE:
            raise DataError(f"{self.path} {other_version({'version': version}, READABLE)}")
        try:
            definition = self.attrs.get("definition")
            if definition is not None and not isinstance(definition, str):
                raise KeyError("definition is not text")
            self.dataset = datasets.of_file(str(self.attrs["dataset"]), definition)
            names = self.attrs["class_names"]
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise KeyError("class_names is not a list of texts")
            self.classes: tuple[str, ...] = tuple(names)
            self.digest = str(self.attrs["content_digest"])
            self._clips: h5py.Dataset = self._file["clips"]
            skeleton, bodies = self._skeleton()
            self._check_clips("clips", skeleton.num_joints, bodies)
            if "motion" in self._file:
                self._check_clips("motion", skeleton.num_joints, bodies)
            self.frames = int(self._clips.shape[2])
            dimensions = self.attrs.get("dimensions", self.dataset.dimensions)
            if dimensions not in (2, 3):
                raise KeyError("dimensions is neither 2 nor 3")
            self.form = Form(skeleton, bodies, self.frames, int(dimensions))
            self.splits: tuple[str, ...] = tuple(
                split for split in self.dataset.splits if split in self._file["splits"]
            ) + tuple(split for split in self._file["splits"] if split not in self.dataset.splits)
        except (KeyError, IndexError, AttributeError, SettingError) as error:
            raise DataError(f"{self.path} is damaged ({error}). Convert the source again.") from None
        if known is not None:
            if known.shape != (len(self), 32):
                raise self._changed(f"it holds {counted(len(self), 'clip')}, and held {len(known):,} before")
            self.digests = known
        elif self.checked:
            for problem in self.digest_faults():
                raise self._changed(problem)

    @_named
    def digest_faults(self) -> list[str]:
        """Return what is not as it was written: names, labels, clips' digests, splits; attributes and the rest."""
        found = []
        splits = {
            split: {part: self.stored_rows(f"splits/{split}/{part}") for part in datasets.PARTITIONS}
            for split in self.splits
        }
        if content_digest(self.names, self.stored_labels.tolist(), self.digests, splits) != self.digest:
            found.append("names, labels, digests and splits do not match the content digest")
        stored = self.attrs.get(RECORD)
        if stored is None and self.attrs["format_version"] == 1:
            return found
        if record_digest(self._file) != stored:
            found.append(
                f"attributes, class names, columns, subsets, reasons or digests of rows do not match the {RECORD}"
            )
        return found

    def _changed(self, problem: str) -> DataError:
        return DataError(
            f"{self.path} is not as it was written: {problem}. 'skeltools verify' tells more; convert the source "
            "again."
        )

    def _skeleton(self) -> tuple[Skeleton, int]:
        """Return the skeleton and the number of bodies that the file states; those of the dataset in version 1."""
        if self.attrs["format_version"] == 1:
            return self.dataset.skeleton, self.dataset.bodies
        text, bodies = self.attrs["skeleton"], self.attrs["bodies"]
        if not isinstance(text, str) or not isinstance(bodies, int) or bodies < 1:
            raise KeyError("skeleton and bodies are not text and number")
        return Skeleton.from_json(text, "its skeleton"), bodies

    def _check_clips(self, name: str, joints: int, bodies: int) -> None:
        values = self._file[name]
        if not isinstance(values, h5py.Dataset) or values.dtype not in (np.float32, np.float16):
            raise KeyError(f"{name} is not a dataset of float32 or float16")
        shape = values.shape
        if len(shape) != 5 or shape[1] != 3 or shape[3:] != (joints, bodies) or shape[2] < 1:
            raise KeyError(f"{name} has shape {shape}, not (N, 3, T, {joints}, {bodies})")

    def _values(self, name: str, kinds: str, rank: int = 1, rows: int | None = None) -> NDArray[Any]:
        """Return the values of a dataset that is what the layout says.

        Args:
            name: Its path in the file.
            kinds: Kinds of NumPy types it may have.
            rank: Number of dimensions.
            rows: Length that it must have; None for any.

        Raises:
            DataError: It is not, or cannot be read.
        """
        try:
            found = self._file[name]
            if not isinstance(found, h5py.Dataset) or found.ndim != rank or found.dtype.kind not in kinds:
                raise ValueError(f"/{name} is not what it should be")
            if rows is not None and len(found) != rows:
                raise ValueError(f"/{name} has {counted(len(found), 'row')}, /clips {rows:,}")
            values: NDArray[Any] = found[:]
            return values
        except _FAULTS as error:
            raise self._damaged(error) from None

    def _texts(self, values: Any) -> list[str]:
        try:
            return [value.decode("utf-8") if isinstance(value, bytes) else str(value) for value in values]
        except UnicodeDecodeError as error:
            raise self._damaged(error) from None

    def _rows(self, name: str) -> NDArray[np.int64]:
        """Return row numbers that a dataset holds, each one of the file's."""
        found = self.stored_rows(name)
        if len(found) and not 0 <= found.min() <= found.max() < len(self):
            raise self._damaged(ValueError(f"/{name} names rows that are not there"))
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __len__(self) -> int:
        """Number of clips."""
        return int(self._clips.shape[0])

    @cached_property
    def names(self) -> list[str]:
        """Clip names, in row order, which is their alphabetical order."""
        return self._texts(self._values("name", "O", rows=len(self)))

    @property
    def has_labels(self) -> bool:
        """Whether the file has a column of labels."""
        return "label" in self._file

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """0-based labels, int64 (N,), each below the number of classes."""
        labels = self.stored_labels
        wrong = labels[(labels < 0) | (labels >= len(self.classes))]
        if len(wrong):
            raise self._damaged(
                ValueError(f"/label holds {wrong[0]}, of {counted(len(self.classes), 'class', 'classes')}")
            )
        return labels

    @cached_property
    def stored_labels(self) -> NDArray[np.int64]:
        """The labels whatever they are, for those who look for faults."""
        return np.asarray(self._values("label", "iu", rows=len(self)), np.int64)

    @property
    @_named
    def columns(self) -> tuple[str, ...]:
        """Names of the further columns: ``frames``, ``length``, ``bodies``, ``subject`` and so on."""
        skip = {"clips", "motion", "name", "label", "digest", "excluded", MOTION_DIGEST}
        return tuple(
            key for key, item in self._file.items() if isinstance(item, h5py.Dataset) and key not in skip
        )

    def column(self, name: str) -> NDArray[np.int64] | list[str]:
        """Return a column by name, int64 (N,) or a list of N texts.

        Raises:
            DataError: There is no such column; the message names those there are.
        """
        if name not in self.columns:
            raise DataError(f"{self.path} has no column '{name}', only {', '.join(self.columns)}.")
        values = self._values(name, "iuO", rows=len(self))
        if values.dtype == object:
            return self._texts(values)
        return np.asarray(values, np.int64)

    @cached_property
    def digests(self) -> NDArray[np.uint8]:
        """SHA-256 of each clip's values, uint8 (N, 32)."""
        return np.asarray(self._values("digest", "u", 2, len(self)), np.uint8)

    def digest_of(self, rows: NDArray[np.int64]) -> str:
        """Return the SHA-256 (hex) of the clips of some rows, in their order, by their digests."""
        return hashlib.sha256(self.digests[rows].tobytes()).hexdigest()

    @cached_property
    def excluded(self) -> list[tuple[str, str]]:
        """(name, reason) of every clip that was left out."""
        values = self._values("excluded", "V")
        if values.dtype.names != ("name", "reason"):
            raise self._damaged(ValueError("/excluded is not what it should be"))
        return list(zip(self._texts(values["name"]), self._texts(values["reason"]), strict=True))

    @cached_property
    def notes(self) -> list[notes.Note]:
        """What was decided when the file was made and is not a clip left out, by kind."""
        try:
            return notes.stored(self.attrs)
        except _FAULTS as error:
            raise self._damaged(error) from None

    def stored_rows(self, name: str) -> NDArray[np.int64]:
        """Return the row numbers under a name such as ``splits/xsub/train`` as they stand, in range or not.

        Raises:
            DataError: There are none of that name.
        """
        return np.asarray(self._values(name, "iu"), np.int64)

    def rows(self, split: str, part: str) -> NDArray[np.int64]:
        """Return the rows of one side of a split, increasing, int64 (n,).

        Args:
            split: Name of a split, such as ``xsub``.
            part: ``train`` or ``test``.

        Raises:
            DataError: The file has no such split or side; the message names those there are.
        """
        if split not in self.splits:
            there = f"it has {', '.join(self.splits)}" if self.splits else "it has none"
            other = {word: name for word, name in OTHER_SPLITS.items() if name in self.splits}
            hint = "" if split in OTHER_SPLITS.values() else did_you_mean(split, self.splits, other)
            raise DataError(f"{self.path} has no split '{split}': {there}.{hint}")
        if part not in datasets.PARTITIONS:
            raise DataError(f"A split has no side '{part}': choose train or test.")
        return self._rows(f"splits/{split}/{part}")

    @cached_property
    def subsets(self) -> list[tuple[str, str, int]]:
        """The label subsets stored: (split, percentage as text, seed) of each."""
        try:
            found = [
                (split, percent, int(seed))
                for split in self.splits
                for percent, seeds in self._file.get(f"subsets/{split}", {}).items()
                for seed in seeds
            ]
            return sorted(found, key=lambda item: (item[0], float(item[1]), item[2]))
        except _FAULTS as error:
            raise self._damaged(error) from None

    @_named
    def subset(self, split: str, percent: str, seed: int) -> NDArray[np.int64]:
        """Return the rows of a stored label subset, increasing, int64 (n,).

        Args:
            split: Name of a split.
            percent: Share as a percentage, as text: ``1``, ``10``, ``0.5``.
            seed: Seed of the draw.

        Raises:
            DataError: There is no such subset.
        """
        where = f"subsets/{split}/{percent}/{seed}"
        if where not in self._file:
            raise DataError(
                f"{self.path} has no subset of {percent} % of '{split}' with seed {seed}. "
                "Make it with 'skeltools subset'."
            )
        return self._rows(where)

    @property
    def has_raw(self) -> bool:
        """Whether the recordings were kept (``convert --keep-raw``)."""
        return "raw/data" in self._file

    @property
    def has_ids(self) -> bool:
        """Whether the recordings kept tell bodies apart by tracking id."""
        return "raw/id" in self._file

    def recording(self, row: int) -> Recording:
        """Return the recording of a row.

        Raises:
            DataError: The recordings were not kept.
        """
        if not self.has_raw:
            raise DataError(f"{self.path} holds no recordings. Convert with --keep-raw to keep them.")
        try:
            start, stop = self._file["raw/offset"][row : row + 2].tolist()
            found = Recording(
                frames=int(self._raw_frames[row]),
                coords=np.asarray(self._file["raw/data"][start:stop], np.float32),
                frame=np.asarray(self._file["raw/frame"][start:stop], np.int32),
                slot=np.asarray(self._file["raw/slot"][start:stop], np.int32),
                ids=np.asarray(self._file["raw/id"][start:stop], np.int64),
            )
            bodies = stop - start
            if not 0 <= found.frames <= _MOST_FRAMES or found.coords.shape != (bodies, self.form.joints, 3):
                raise ValueError(f"the recording of row {row} has another shape than its counts say")
            if not len(found.frame) == len(found.slot) == len(found.ids) == bodies:
                raise ValueError(f"the recording of row {row} is shorter than its counts say")
            if bodies and not (found.frame.min() >= 0 and found.frame.max() < found.frames):
                raise ValueError(f"the recording of row {row} has bodies outside its frames")
            if bodies and found.slot.min() < 0:
                raise ValueError(f"the recording of row {row} has bodies without a place")
            if self.checked and not self.recording_intact(row, found):
                raise ValueError(f"the recording of row {row} does not match its digest")
            return found
        except _FAULTS as error:
            raise self._damaged(error) from None

    def recording_intact(self, row: int, recording: Recording) -> bool:
        """Tell whether a recording is the one that was kept; those of version 1 have no digest."""
        if RAW_DIGEST not in self._file:
            return True
        parts = (
            recording.coords.astype("<f4", copy=False),
            recording.frame.astype("<i4", copy=False),
            recording.slot.astype("<i4", copy=False),
            recording.ids.astype("<i8", copy=False),
        )
        return recording_digest(recording.frames, parts) == bytes(self._raw_digests[row])

    @cached_property
    def _raw_digests(self) -> NDArray[np.uint8]:
        return np.asarray(self._values(RAW_DIGEST, "u", 2, len(self)), np.uint8)

    @cached_property
    def motion_digests(self) -> NDArray[np.uint8] | None:
        """SHA-256 of each row of ``/motion``, uint8 (N, 32); None in files of version 1."""
        if MOTION_DIGEST not in self._file:
            return None
        return np.asarray(self._values(MOTION_DIGEST, "u", 2, len(self)), np.uint8)

    @cached_property
    def _raw_frames(self) -> NDArray[np.int64]:
        return np.asarray(self._values("raw/frames", "iu", rows=len(self)), np.int64)

    def raw_counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return how many bodies were observed in each recording, and its frames, int64 (N,) each.

        Raises:
            DataError: The recordings were not kept.
        """
        if not self.has_raw:
            raise DataError(f"{self.path} holds no recordings. Convert with --keep-raw to keep them.")
        offsets = np.asarray(self._values("raw/offset", "iu", rows=len(self) + 1), np.int64)
        return offsets[1:] - offsets[:-1], self._raw_frames

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of /clips."""
        return tuple(self._clips.shape)

    @_named
    def length_of(self, name: str) -> int | None:
        """Return the number of rows of a dataset (or entries of a group), None where there is none."""
        return len(self._file[name]) if name in self._file else None

    @_named
    def stored(self, start: int, stop: int, name: str = "clips") -> NDArray[np.floating[Any]]:
        """Return the rows start to stop-1 of ``/clips`` or ``/motion`` in the type they are stored in, unchecked."""
        return np.asarray(self._file[name][start:stop])

    @property
    def has_motion(self) -> bool:
        """Whether the file holds a motion stream of its own (``chain.motion = source``)."""
        return "motion" in self._file

    def motion(self, rows: ArrayLike | None = None) -> NDArray[np.float32]:
        """Read the motion stream that was taken before the resize; as `clips`.

        Raises:
            DataError: The file holds none, or a row number is out of range.
        """
        if not self.has_motion:
            raise DataError(f"{self.path} holds no motion stream. Convert with --set chain.motion=source.")
        return self._read(self._file["motion"], rows, self.motion_digests if self.checked else None)

    def clips(self, rows: ArrayLike | None = None) -> NDArray[np.float32]:
        """Read clips.

        Args:
            rows: Row numbers in any order, repeats allowed; None for all.

        Returns:
            float32 (n, 3, T, V, M), metres.

        Raises:
            DataError: A row number is out of range.
        """
        return self._read(self._clips, rows, self.digests if self.checked else None)

    def confirm(self, rows: ArrayLike) -> None:
        """Read clips and compare them with their digests, each once while the file is open.

        Raises:
            DataError: One is not the clip that was written, or a row number is out of range.
        """
        index = np.asarray(rows, np.int64).reshape(-1)
        left = index[~self._confirmed[index]]
        for start in range(0, len(left), _BLOCK):
            self.clips(left[start : start + _BLOCK])

    @cached_property
    def _confirmed(self) -> NDArray[np.bool_]:
        return np.zeros(len(self), bool)

    @_named
    def _read(
        self, values: h5py.Dataset, rows: ArrayLike | None, digests: NDArray[np.uint8] | None
    ) -> NDArray[np.float32]:
        if rows is None:
            rows = np.arange(len(self))
        index = np.asarray(rows, np.int64).reshape(-1)
        if len(index) and not 0 <= index.min() <= index.max() < len(self):
            raise DataError(f"{self.path} has rows 0 to {len(self) - 1}, not {index.min()} to {index.max()}.")
        offset = values.id.get_offset()
        if offset is not None and values.dtype.kind == "f" and hasattr(os, "preadv"):
            found = self._read_at(offset, values, index)
        else:
            found = np.empty((len(index), *values.shape[1:]), values.dtype)
            for place, row in enumerate(index.tolist()):
                found[place] = values[row]
        if self.checked and digests is not None:
            self._compare(found, index, digests, values.name)
            if values == self._clips:
                self._confirmed[index] = True
        return found.astype(np.float32, copy=False)

    def _compare(
        self,
        found: NDArray[np.floating[Any]],
        index: NDArray[np.int64],
        digests: NDArray[np.uint8],
        name: str,
    ) -> None:
        """Refuse rows that are not those that were written; the first of them is named."""

        def wrong(start: int) -> int | None:
            part = slice(start, start + share)
            for row, clip in zip(index[part].tolist(), found[part], strict=True):
                if hashlib.sha256(clip).digest() != digests[row].tobytes():
                    return int(row)
            return None

        threads = min(_THREADS, cores()) if found.nbytes >= _SHARED else 1
        share = -(-len(index) // threads) or 1
        starts = range(0, len(index), share)
        if threads == 1:
            rows = [wrong(start) for start in starts]
        else:  # hashlib lets other threads run meanwhile
            with ThreadPoolExecutor(threads) as pool:
                rows = list(pool.map(wrong, starts))
        for row in rows:
            if row is not None:
                raise self._changed(f"{name} of {self.names[row]} does not match its digest")

    def _read_at(
        self, offset: int, values: h5py.Dataset, index: NDArray[np.int64]
    ) -> NDArray[np.floating[Any]]:
        """Read rows of an array that lies in one piece from `offset` on, in the type it is stored in.

        By the open file's descriptor, several times as fast as h5py. Not by a map of the file: that counts as
        memory under ``ulimit -v``, ends the process where the file is cut off meanwhile, and opens whatever
        has the file's name by then.
        """
        descriptor = self._file.id.get_vfd_handle()
        found = np.empty((len(index), *values.shape[1:]), values.dtype)
        for row, clip in zip(index.tolist(), found, strict=True):
            left, place = memoryview(clip.reshape(-1).view(np.uint8)), offset + row * clip.nbytes
            while left:
                done = os.preadv(descriptor, [left], place)
                if done == 0:
                    raise DataError(
                        f"{self.path} ends before row {row}: it was cut off. Convert the source again."
                    )
                left, place = left[done:], place + done
        return found
