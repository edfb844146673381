"""Clips as a page holds them: sampled, in whole millimetres, as base64."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from skeltools.plots.camera import apart, is_set_apart

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from skeltools.store import ClipFile

BUDGET = 7_000_000
"""Most characters that the clips of a page take together: a page then stays below ten million bytes."""

MOST_FRAMES = 128
"""A clip of more frames is thinned to every second, third, ... frame."""


@dataclass
class Pool:
    """The clips of a page, each held once.

    Attributes:
        packed: The clips, in the order they were added.
        places: Place of a clip by content digest of its file and name.
        size: Characters they take.
    """

    packed: list[dict[str, Any]] = field(default_factory=list)
    places: dict[tuple[str, str], int] = field(default_factory=dict)
    size: int = 0

    def add(self, file: ClipFile, row: int) -> int | None:
        """Add a clip and return its place; None where there is no room left."""
        key = (file.digest, file.names[row])
        if key not in self.places:
            made = pack(file, row)
            if self.size + len(made["data"]) > BUDGET:
                return None
            self.places[key] = len(self.packed)
            self.packed.append(made)
            self.size += len(made["data"])
        return self.places[key]


def pack(file: ClipFile, row: int) -> dict[str, Any]:
    """Return a clip as a page holds it.

    ``data`` is base64 of int16 (frames, bodies, 25, 3), little-endian, millimetres; a body that is absent in
    a frame is zeros. Bodies that were centred on themselves are set apart, as ``apart`` says.
    """
    clip = file.clips([row])[0]
    centre = str(file.attrs.get("chain.centre", ""))
    label = int(file.labels[row])
    step = thinning(file.frames)
    moved = apart(clip, centre)[:, ::step]
    bodies = np.flatnonzero(clip.any(axis=(0, 1, 2)))
    count = int(bodies[-1]) + 1 if len(bodies) else 1
    values = np.clip(np.nan_to_num(moved[..., :count] * 1000).round(), -32768, 32767)
    packed = values.transpose(1, 3, 2, 0).astype("<i2")
    return {
        "name": file.names[row],
        "label": label,
        "class": file.classes[label] if 0 <= label < len(file.classes) else None,
        "frames": int(packed.shape[0]),
        "bodies": count,
        "apart": is_set_apart(clip, centre),
        "data": base64.b64encode(packed.tobytes()).decode("ascii"),
    }


def thinning(frames: int) -> int:
    """Return n where every n-th of `frames` frames is kept."""
    return -(-frames // MOST_FRAMES)


def pack_salience(salience: NDArray[np.float32], bodies: int, low: float, high: float) -> dict[str, Any]:
    """Return salience (T', 25, 2) as base64 of uint8 (T', bodies, 25); 0 is `low`, 255 is `high`."""
    spread = np.nan_to_num((salience[..., :bodies] - low) / (high - low))
    values = np.clip((spread * 255).round(), 0, 255).astype(np.uint8).transpose(0, 2, 1)
    return {
        "frames": int(values.shape[0]),
        "data": base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii"),
    }
