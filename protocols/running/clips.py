"""Clips that pass through the encoder again and again: batches by index, from memory where the clips fit there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skeltools.environment import free_memory
from skeltools.transforms import augment
from skeltools.transforms.draws import Draws
from skeltools.transforms.streams import to_stream

if TYPE_CHECKING:
    from skeltools.store import ClipFile

_SHARE = 0.5
"""Share of the free memory that clips may take, as in pretraining."""

_CHUNK = 512
"""Clips read at a time."""


class Clips:
    """Some clips of a file as one stream, on a device.

    Args:
        file: The open file.
        rows: Rows of the clips, int64 (n,).
        stream: ``joint``, ``motion`` or ``bone``.
        device: Where batches go.
        in_memory: Whether to hold all clips on the device; None: where they fit.
        view: Augmentations, as `skeltools.transforms.augment.parse` reads them.
        seed: Seed of their draws, which depend on seed, epoch and row alone.

    Attributes:
        epoch: The epoch, from 0, for which they are drawn.
    """

    def __init__(
        self,
        file: ClipFile,
        rows: NDArray[np.int64],
        stream: str,
        device: torch.device,
        in_memory: bool | None = None,
        view: str = "none",
        seed: int = 0,
    ) -> None:
        self._file, self._rows, self._stream, self._device = file, rows, stream, device
        self._view, self._seed = augment.parse(view, file.form.skeleton), seed
        self.epoch = 0
        self._held: Tensor | None = None
        clip = (3, file.frames, file.form.joints, file.form.bodies)
        size = 4 * len(rows) * math.prod(clip)
        if in_memory if in_memory is not None else size < _SHARE * free_memory(device):
            self._held = torch.empty((len(rows), *clip), device=device)
            for begin in range(0, len(rows), _CHUNK):
                self._held[begin : begin + _CHUNK] = self._read(rows[begin : begin + _CHUNK])

    def __len__(self) -> int:
        """Number of clips."""
        return len(self._rows)

    def batch(self, index: Tensor) -> Tensor:
        """Return the clips at places `index` (b,) int64 of the rows, float32 (b, 3, T, V, M)."""
        if self._held is not None:
            x = self._held[index.to(self._device)]
        else:
            x = self._read(self._rows[index.cpu().numpy()])
        if not self._view.operations:
            return x
        rows = torch.from_numpy(self._rows)[index.cpu()].to(self._device)
        return self._streamed(self._view(x, Draws(self._seed, self.epoch, rows, "protocol/")))

    def _read(self, rows: NDArray[np.int64]) -> Tensor:
        """Return clips as they are held: of the stream, or joints where views are made of them."""
        x = torch.from_numpy(self._file.clips(rows)).to(self._device, torch.float32)
        return x if self._view.operations else self._streamed(x)

    def _streamed(self, x: Tensor) -> Tensor:
        return to_stream(x, self._stream, self._file.form.skeleton)
