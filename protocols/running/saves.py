"""What an evaluation that trains an encoder keeps while it is under way, so that it can go on where it stopped."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

from skeltools.errors import OutputError, RunError
from skeltools.files import tensors
from skeltools.files.writing import replacing

EVERY = 60.0
"""Least seconds between two saves; a signal saves at once."""


class Save:
    """A file with the state of one training, of one evaluation.

    Args:
        path: Where it lies; None where nothing is kept.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether it is time to save."""
        return self.path is not None and time.monotonic() - self._last >= EVERY

    def load(self) -> dict[str, Any] | None:
        """Return what was saved, on the CPU; None where there is nothing, or nothing that can be read."""
        if self.path is None or not self.path.exists():
            return None
        try:
            found = tensors.load(self.path, "save", "It is made anew.")
        except RunError:
            return None
        return found if isinstance(found, dict) else None

    def store(self, content: dict[str, Any]) -> None:
        """Save a state.

        Raises:
            OutputError: It cannot be written.
        """
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.path) as part:
            try:
                torch.save(content, part)
            except RuntimeError as error:  # what torch makes of a disk that is full
                reason = str(error).splitlines()[0].rstrip(".") if str(error) else "unknown reason"
                raise OutputError(
                    f"{self.path} cannot be written ({reason}); is the disk full? Make room and run it again."
                ) from error
        self._last = time.monotonic()
