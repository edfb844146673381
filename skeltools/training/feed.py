"""Feeding clips to the training step: from a tensor on the device, or streamed from the file."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from skeltools.environment import free_memory
from skeltools.errors import SkeltoolsError
from skeltools.files.signals import blocked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from skeltools.store import ClipFile


class Feed(Protocol):
    """A source of batches."""

    def batches(self, places: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (rows in the file, clips) of each batch, both on the device.

        Args:
            places: Positions among the training rows, int64 (batches, N), on the CPU.
        """


class DeviceFeed:
    """All training clips as one tensor on the device; a batch is an index gather.

    Args:
        file: The open data.
        rows: Training rows (n,).
        device: Where the clips go.
    """

    def __init__(self, file: ClipFile, rows: NDArray[np.int64], device: torch.device) -> None:
        self.rows = torch.from_numpy(rows).to(device)
        self.clips = torch.from_numpy(file.clips(rows)).to(device)

    def batches(self, places: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in places.to(self.rows.device):
            yield self.rows[batch], self.clips[batch]


class StreamFeed:
    """Clips read from the file by worker processes, a few batches ahead of their use.

    Args:
        file: The open data.
        rows: Training rows (n,).
        device: Where the clips go.
        workers: Processes that read.
    """

    def __init__(self, file: ClipFile, rows: NDArray[np.int64], device: torch.device, workers: int) -> None:
        self.path, self.rows, self.device, self.workers = file.path, rows, device, workers
        self.known = file.digests if file.checked else None

    def batches(self, places: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        loader = DataLoader(
            _Reader(self.path, self.known),
            sampler=[self.rows[batch.numpy()] for batch in places],  # type: ignore[arg-type]
            batch_size=None,
            num_workers=self.workers,
            worker_init_fn=_leave_signals_to_parent,
            generator=torch.Generator(),  # else it draws from the one that dropout uses
            pin_memory=self.device.type == "cuda",
        )
        with blocked():  # a process that starts must not be ended before it ignores signals
            batches = iter(loader)
        try:
            for rows, clips in batches:
                if isinstance(clips, SkeltoolsError):
                    raise clips
                yield rows.to(self.device, non_blocking=True), clips.to(self.device, non_blocking=True)
        finally:
            # Not left to the garbage collector: an error's traceback keeps the iterator, and at its end Python waits
            # for the iterator's processes, which ignore the signal that would end them.
            if self.workers:
                batches._shutdown_workers()  # type: ignore[attr-defined]


def _leave_signals_to_parent(worker: int) -> None:
    """Ignore SIGINT, SIGTERM and SIGHUP, which terminals and schedulers send to every process of a job.

    The training process catches them, writes a checkpoint and then ends its workers.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


class _Reader(Dataset[tuple[Tensor, Tensor | SkeltoolsError]]):
    """Batches of a file by their rows, or what is wrong with them.

    Each process opens the file for itself, in every epoch anew, and compares clips with the digests that are known.
    """

    def __init__(self, path: Path, known: NDArray[np.uint8] | None) -> None:
        self.path, self.known = path, known
        self._file: ClipFile | None = None

    def __getitem__(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor | SkeltoolsError]:
        try:
            if self._file is None:
                from skeltools.store import ClipFile

                self._file = ClipFile(self.path, checked=self.known is not None, known=self.known)
            return torch.from_numpy(rows), torch.from_numpy(self._file.clips(rows))
        except SkeltoolsError as error:  # raised here, it would reach the user with a traceback
            return torch.from_numpy(rows), error


def make_feed(file: ClipFile, rows: NDArray[np.int64], device: torch.device, kind: str, workers: int) -> Feed:
    """Return the feed called `kind`; ``auto`` is ``device`` if clips take under half its free memory."""
    if kind == "auto":
        need = len(rows) * 3 * file.frames * file.form.joints * file.form.bodies * 4
        kind = "device" if need < free_memory(device) // 2 else "stream"
    if kind == "device":
        return DeviceFeed(file, rows, device)
    return StreamFeed(file, rows, device, workers)
