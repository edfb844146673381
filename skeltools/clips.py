"""Converted files for other people's code: arrays, and a torch data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from skeltools.errors import WrongTypeError, counted, take_path
from skeltools.store.reader import ClipFile
from skeltools.transforms.streams import check_stream, to_stream


class Clips(NamedTuple):
    """One side of a split.

    Attributes:
        x: float32 (n, 3, T, V, M), metres.
        y: 0-based labels, int64 (n,).
        names: n clip names.

    Examples:
        >>> train, test = skeltools.open_clips("ntu60.h5", "xsub")
        >>> x, y, names = train
        >>> x.shape, y.dtype, names[0]
        ((50, 3, 64, 25, 2), dtype('int64'), 'S001C002P016R002A024')
    """

    x: NDArray[np.float32]
    y: NDArray[np.int64]
    names: list[str]

    def __repr__(self) -> str:
        return f"<Clips: {counted(len(self.names), 'clip')}, x {self.x.dtype} {self.x.shape}>"


def open_clips(path: str | Path, split: str, stream: str = "joint") -> tuple[Clips, Clips]:
    """Read both sides of a split into memory.

    Args:
        path: A converted file.
        split: Such as ``xsub``.
        stream: ``joint``, ``motion`` or ``bone``. A file converted with ``chain.motion = source``
            gives its own motion.

    Returns:
        The training side and the test side.

    Raises:
        DataError: The path is not a converted file, or it has no such split.
        SettingError: There is no such stream.

    Examples:
        >>> train, test = skeltools.open_clips("ntu60.h5", "xsub", "bone")
        >>> train.x.shape
        (50, 3, 64, 25, 2)
        >>> test.y.shape
        (50,)
    """
    check_stream(stream)
    with ClipFile(path) as file:
        train, test = (_side(file, file.rows(split, part), stream) for part in ("train", "test"))
    return train, test


def _side(file: ClipFile, rows: NDArray[np.int64], stream: str) -> Clips:
    return Clips(_read(file, rows, stream), file.labels[rows], [file.names[row] for row in rows.tolist()])


def _read(file: ClipFile, rows: NDArray[np.int64], stream: str) -> NDArray[np.float32]:
    if stream == "motion" and file.has_motion:
        return file.motion(rows)
    clips = file.clips(rows)
    if stream == "joint":
        return clips
    found: NDArray[np.float32] = to_stream(torch.from_numpy(clips), stream, file.form.skeleton).numpy()
    return found


class ClipDataset(Dataset[tuple[torch.Tensor, int]]):
    """One side of a split as a torch data set of (clip float32 (3, T, V, M), label).

    Clips are read as they are asked for, so memory does not grow with the file; it may be handed to the
    worker processes of a ``DataLoader``, each of which opens the file for itself.

    Args:
        path: A converted file.
        split: Such as ``xsub``.
        part: ``train`` or ``test``.
        stream: ``joint``, ``motion`` or ``bone``.
        transform: Called with each clip, for augmentation.

    Raises:
        DataError: The path is not a converted file, or it has no such split or side.
        SettingError: There is no such stream.

    Examples:
        >>> data = skeltools.ClipDataset("ntu60.h5", "xsub", "train")
        >>> loader = torch.utils.data.DataLoader(data, batch_size=10, shuffle=True)
        >>> clips, labels = next(iter(loader))
        >>> clips.shape, labels.dtype
        (torch.Size([10, 3, 64, 25, 2]), torch.int64)

        Worker processes (``num_workers=4``) and a ``transform`` work as with any data set:

        >>> mirrored = skeltools.ClipDataset("ntu60.h5", "xsub", transform=lambda clip: -clip)
        >>> bool((mirrored[0][0] == -data[0][0]).all())
        True
    """

    def __init__(
        self,
        path: str | Path,
        split: str,
        part: str = "train",
        stream: str = "joint",
        transform: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> None:
        if transform is not None and not callable(transform):
            raise WrongTypeError(f"transform must be callable or None, not {type(transform).__qualname__}.")
        check_stream(stream)
        self.path = take_path(path, "path")
        self.stream = stream
        self.transform = transform
        self._file: ClipFile | None = None
        with ClipFile(self.path) as file:
            self._rows = file.rows(split, part)
            self.labels = file.labels[self._rows]
            self.names = [file.names[row] for row in self._rows.tolist()]
            self.classes = file.classes

    def __repr__(self) -> str:
        return f"<ClipDataset {self.path}: {counted(len(self), 'clip')}, {self.stream}>"

    def __len__(self) -> int:
        """Number of clips."""
        return len(self._rows)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """Return a clip and its label."""
        if self._file is None:
            self._file = ClipFile(self.path)
        rows = self._rows[index : index + 1] if index >= 0 else self._rows[index:][:1]
        if len(rows) == 0:
            raise IndexError(index)
        clip = torch.from_numpy(_read(self._file, rows, self.stream)[0])
        if self.transform is not None:
            clip = self.transform(clip)
        return clip, int(self.labels[index])

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open file behind: every process opens its own."""
        return {**self.__dict__, "_file": None}
