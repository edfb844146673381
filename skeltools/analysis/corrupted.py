"""Corrupted clips of a file, those whose recordings are corrupted before the preparation among them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from skeltools.errors import DataError, SettingError
from skeltools.formats.recording import Recording
from skeltools.preparation import chain as preparation
from skeltools.transforms import corrupt
from skeltools.transforms.corrupt import Corruption, Space

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from skeltools.store import ClipFile


class Corruptor:
    """One corruption of the clips of a file.

    Args:
        file: The open file.
        text: The corruption, such as ``noise(0.05)``.
        seed: Seed of its draws, which depend on it and the clips' names alone.

    Raises:
        SettingError: It cannot be read, does not suit the clips, or needs recordings that the file does not hold.
    """

    def __init__(self, file: ClipFile, text: str, seed: int = 0) -> None:
        self._file, self._seed = file, seed
        form = file.form
        self.pipeline = corrupt.parse(text, form.skeleton, form.dimensions, Space.of(dict(file.attrs)))
        self._first = [operation for operation in self._operations if operation.before]
        if self._first and (len(self._first) > 1 or self._operations[0] is not self._first[0]):
            raise SettingError(
                f"Corruption '{text}': what acts before the preparation must be written first."
            )
        if self._first and not (file.has_raw and file.has_ids):
            raise SettingError(
                f"Corruption '{text}': {file.path} holds no recordings to turn. Convert with --keep-raw."
            )

    @property
    def _operations(self) -> list[Corruption]:
        return [operation for operation in self.pipeline.operations if isinstance(operation, Corruption)]

    @property
    def idle(self) -> str | None:
        """Why it changes no clip of the file, or None."""
        reasons = [operation.idle(self._file.form.bodies) for operation in self._operations]
        return next(filter(None, reasons), None) if all(reasons) else None

    @torch.no_grad()
    def __call__(self, rows: NDArray[np.int64], clips: Tensor) -> Tensor:
        """Return corrupted clips.

        Args:
            rows: Rows of the clips, int64 (n,).
            clips: The clips as they are, joint coordinates (n, 3, T, V, M), on any device; they are not changed.
        """
        draws = corrupt.draws_of([self._file.names[row] for row in rows], self._seed, clips.device)
        if self._first:
            angles = self._first[0].draw(draws.scoped("0"), clips)["angle"]
            clips = self._prepared(rows, torch.rad2deg(angles).tolist()).to(clips)
        return self.pipeline(clips, draws)

    def _prepared(self, rows: NDArray[np.int64], degrees: list[float]) -> Tensor:
        """Prepare turned recordings as the file's were."""
        file = self._file
        use = preparation.stored(file.attrs)
        made = []
        for row, angle in zip(rows.tolist(), degrees, strict=True):
            found = preparation.apply(_turned(file.recording(row), angle), use, file.form)
            if isinstance(found, str):
                raise DataError(f"{file.path}: of {file.names[row]}, turned, no clip can be made ({found}).")
            made.append(np.asarray(found.clip, np.float32))
        return torch.from_numpy(np.stack(made))


def _turned(recording: Recording, degrees: float) -> Recording:
    return recording if math.isclose(degrees, 0) else corrupt.turn_recording(recording, degrees)
