"""Features on disk, so that further seeds, variants and protocols cost no pass through the encoder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skeltools.files.arrays import read_arrays
from skeltools.files.writing import replacing, sweep

_VERSION = 1


class FeatureCache:
    """Features by what they depend on: encoder state and code, data, rows, stream and device.

    Args:
        folder: Where files go, made when needed; None keeps features in memory only.
        tidy: Whether to remove what writing that was cut off left there.
    """

    def __init__(self, folder: Path | None, tidy: bool = True) -> None:
        self.folder = folder
        if (
            folder is not None and tidy
        ):  # what is found is not written again, so nobody else would remove these
            sweep(folder)
        self._memory: dict[str, Tensor] = {}

    def load(self, key: str) -> Tensor | None:
        """Return the features kept under a key, float32 (n, D), or None.

        A file that is damaged counts as absent and is made anew.
        """
        if key in self._memory:
            return self._memory[key]
        path = self._path(key)
        if path is None or not path.exists():
            return None
        try:
            content = read_arrays(path)
            features: NDArray[np.float32] = content["features"]
            intact = str(content["sha256"]) == hashlib.sha256(features.tobytes()).hexdigest()
        except (OSError, ValueError, KeyError):
            return None
        if not intact or features.ndim != 2 or features.dtype != np.float32:
            return None
        self._memory[key] = torch.from_numpy(features)
        return self._memory[key]

    def store(self, key: str, features: Tensor) -> None:
        """Keep features (n, D) under a key."""
        self._memory[key] = features
        path = self._path(key)
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        array = features.numpy()
        with replacing(path) as part, part.open("wb") as file:
            np.savez(file, features=array, sha256=np.array(hashlib.sha256(array.tobytes()).hexdigest()))

    def _path(self, key: str) -> Path | None:
        return None if self.folder is None else self.folder / f"{key}.npz"


def key(parts: Mapping[str, str | int], rows: NDArray[np.int64]) -> str:
    """Return the key of features: SHA-256 of everything they depend on, shortened to 32 hex digits."""
    content = {"version": _VERSION, **parts, "rows": hashlib.sha256(rows.astype("<i8").tobytes()).hexdigest()}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]
