"""Reading a converted file."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from skeltools import datasets
from skeltools.errors import DataError, SettingError
from skeltools.formats.recording import Recording
from skeltools.store.layout import FORMAT, VERSION, decode


class ClipFile:
    """A converted file, open for reading; use it in a ``with`` statement.

    Attributes:
        path: The file.
        dataset: What its clips are from.
        classes: Class names by 0-based label.
        frames: T, frames a clip.
        digest: SHA-256 of its content, hex: equal for equal names, labels, clips and splits.
        attrs: Root attributes as plain Python values (docs/data-format.md lists them).
        splits: Names of the splits it holds.

    Raises:
        DataError: There is no such file, it is not an HDF5 file, not one that skeltools converted, or of
            another version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise DataError(f"{self.path} does not exist. Make it with 'skeltools convert'.")
        if self.path.is_dir():
            raise DataError(
                f"{self.path} is a folder, not a converted file. Make one with 'skeltools convert'."
            )
        try:
            self._file = h5py.File(self.path, "r")
        except OSError as error:
            if not h5py.is_hdf5(self.path):
                raise DataError(
                    f"{self.path} is not an HDF5 file. Make one with 'skeltools convert'."
                ) from None
            raise DataError(f"{self.path} cannot be opened: {' '.join(str(error).split())}.") from None
        try:
            self._check()
        except BaseException:
            self._file.close()
            raise

    def _check(self) -> None:
        self.attrs: dict[str, object] = {key: decode(value) for key, value in self._file.attrs.items()}
        if self.attrs.get("format") != FORMAT:
            raise DataError(f"{self.path} was not written by skeltools. Make one with 'skeltools convert'.")
        version = self.attrs.get("format_version")
        if version != VERSION:
            raise DataError(
                f"{self.path} has format version {version}, this skeltools reads version {VERSION}. "
                "Convert the source again."
            )
        try:
            self.dataset = datasets.get(str(self.attrs["dataset"]))
            self.classes: tuple[str, ...] = tuple(self._file.attrs["class_names"])
            self.digest = str(self.attrs["content_digest"])
            self._clips: h5py.Dataset = self._file["clips"]
            self.frames = int(self._clips.shape[2])
            self.splits: tuple[str, ...] = tuple(
                split for split in self.dataset.splits if split in self._file["splits"]
            ) + tuple(split for split in self._file["splits"] if split not in self.dataset.splits)
        except (KeyError, IndexError, AttributeError, SettingError) as error:
            raise DataError(f"{self.path} is damaged ({error}). Convert the source again.") from None

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
        return [name.decode("utf-8") for name in self._file["name"][:]]

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """0-based labels, int64 (N,)."""
        return np.asarray(self._file["label"][:], np.int64)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the further columns: ``frames``, ``length``, ``bodies``, ``subject`` and so on."""
        skip = {"clips", "motion", "name", "label", "digest", "excluded"}
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
        values = self._file[name][:]
        if values.dtype == object:
            return [value.decode("utf-8") for value in values]
        return np.asarray(values, np.int64)

    @cached_property
    def digests(self) -> NDArray[np.uint8]:
        """SHA-256 of each clip's values, uint8 (N, 32)."""
        return np.asarray(self._file["digest"][:], np.uint8)

    @cached_property
    def excluded(self) -> list[tuple[str, str]]:
        """(name, reason) of every clip that was left out."""
        return [
            (name.decode("utf-8"), reason.decode("utf-8"))
            for name, reason in self._file["excluded"][:].tolist()
        ]

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
            raise DataError(f"{self.path} has no split '{split}': {there}.")
        if part not in datasets.PARTITIONS:
            raise DataError(f"A split has no side '{part}': choose train or test.")
        return np.asarray(self._file[f"splits/{split}/{part}"][:], np.int64)

    @cached_property
    def subsets(self) -> list[tuple[str, str, int]]:
        """The label subsets stored: (split, percentage as text, seed) of each."""
        found = [
            (split, percent, int(seed))
            for split in self.splits
            for percent, seeds in self._file.get(f"subsets/{split}", {}).items()
            for seed in seeds
        ]
        return sorted(found, key=lambda item: (item[0], float(item[1]), item[2]))

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
        return np.asarray(self._file[where][:], np.int64)

    @property
    def has_raw(self) -> bool:
        """Whether the recordings were kept (``convert --keep-raw``)."""
        return "raw/data" in self._file

    def recording(self, row: int) -> Recording:
        """Return the recording of a row.

        Raises:
            DataError: The recordings were not kept.
        """
        if not self.has_raw:
            raise DataError(f"{self.path} holds no recordings. Convert with --keep-raw to keep them.")
        start, stop = self._file["raw/offset"][row : row + 2].tolist()
        return Recording(
            frames=int(self._raw_frames[row]),
            coords=np.asarray(self._file["raw/data"][start:stop], np.float32),
            frame=np.asarray(self._file["raw/frame"][start:stop], np.int32),
            slot=np.asarray(self._file["raw/slot"][start:stop], np.int32),
            ids=np.asarray(self._file["raw/id"][start:stop], np.int64),
        )

    @cached_property
    def _raw_frames(self) -> NDArray[np.int64]:
        return np.asarray(self._file["raw/frames"][:], np.int64)

    def raw_counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return how many bodies were observed in each recording, and its frames, int64 (N,) each.

        Raises:
            DataError: The recordings were not kept.
        """
        if not self.has_raw:
            raise DataError(f"{self.path} holds no recordings. Convert with --keep-raw to keep them.")
        offsets = np.asarray(self._file["raw/offset"][:], np.int64)
        return offsets[1:] - offsets[:-1], self._raw_frames

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of /clips."""
        return tuple(self._clips.shape)

    def length_of(self, name: str) -> int | None:
        """Return the number of rows of a dataset (or entries of a group), None where there is none."""
        return len(self._file[name]) if name in self._file else None

    def stored(self, start: int, stop: int) -> NDArray[np.floating[Any]]:
        """Return the clips of rows start to stop-1 in the type they are stored in."""
        return np.asarray(self._clips[start:stop])

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
        return self._read(self._file["motion"], rows)

    def clips(self, rows: ArrayLike | None = None) -> NDArray[np.float32]:
        """Read clips.

        Args:
            rows: Row numbers in any order, repeats allowed; None for all.

        Returns:
            float32 (n, 3, T, 25, 2), metres.

        Raises:
            DataError: A row number is out of range.
        """
        return self._read(self._clips, rows)

    def _read(self, values: h5py.Dataset, rows: ArrayLike | None) -> NDArray[np.float32]:
        if rows is None:
            return np.asarray(values[:], np.float32)
        index = np.asarray(rows, np.int64).reshape(-1)
        if len(index) and not 0 <= index.min() <= index.max() < len(self):
            raise DataError(f"{self.path} has rows 0 to {len(self) - 1}, not {index.min()} to {index.max()}.")
        offset = values.id.get_offset()
        if offset is not None and values.dtype.kind == "f" and hasattr(os, "preadv"):
            return self._read_at(offset, values, index).astype(np.float32, copy=False)
        found = np.empty((len(index), *values.shape[1:]), np.float32)
        for place, row in enumerate(index.tolist()):
            found[place] = values[row]
        return found

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
