"""Clips as a page holds them: sampled, in whole millimetres, as base64; and their skeletons."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from skeltools.plots import palette
from skeltools.plots.camera import APART, apart, bodies, is_flat, is_set_apart

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from skeltools.skeletons import Skeleton
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
        skeletons: The skeletons of the clips, each once; a clip names the place of its own.
        places: Place of a clip by content digest of its file and name.
        size: Characters they take.
    """

    packed: list[dict[str, Any]] = field(default_factory=list)
    skeletons: list[Skeleton] = field(default_factory=list)
    places: dict[tuple[str, str], int] = field(default_factory=dict)
    size: int = 0

    def add(self, file: ClipFile, row: int) -> int | None:
        """Add a clip and return its place; None where there is no room left."""
        key = (file.digest, file.names[row])
        if key not in self.places:
            made = pack(file, row)
            if self.size + len(made["data"]) > BUDGET:
                return None
            self.places[key] = self.hold(file.form.skeleton, made)
        return self.places[key]

    def hold(self, skeleton: Skeleton, made: dict[str, Any]) -> int:
        """Add a packed clip of a skeleton, whatever room is left, and return its place."""
        self.packed.append({"skeleton": self._skeleton(skeleton)} | made)
        self.size += len(made["data"])
        return len(self.packed) - 1

    def _skeleton(self, skeleton: Skeleton) -> int:
        if skeleton not in self.skeletons:
            self.skeletons.append(skeleton)
        return self.skeletons.index(skeleton)

    def values(self) -> dict[str, Any]:
        """Return what the page holds of clips and skeletons."""
        return {"skeletons": [describe(one) for one in self.skeletons], "clips": self.packed}


def describe(skeleton: Skeleton) -> dict[str, Any]:
    """Return a skeleton as a page holds it: names of joints, bones, and parts with their colours."""
    colours = palette.of_parts(skeleton.parts)
    return {
        "name": skeleton.name,
        "joints": list(skeleton.joints),
        "bones": [list(pair) for pair in skeleton.bones],
        "parts": [
            {"name": name, "joints": list(joints), "colour": colours[name]}
            for name, joints in skeleton.parts.items()
        ],
    }


def pack(file: ClipFile, row: int) -> dict[str, Any]:
    """Return a clip as a page holds it, as `pack_points` gives it, with its name and class.

    Bodies that were centred on themselves are set apart by ``apart`` metres, otherwise 0.
    """
    clip = file.clips([row])[0]
    centre = str(file.attrs.get("chain.centre", ""))
    label = int(file.labels[row])
    moved = apart(clip, centre)[:, :: thinning(file.frames)]
    return {
        "name": file.names[row],
        "label": label,
        "class": file.classes[label] if 0 <= label < len(file.classes) else None,
    } | pack_points(moved, APART if is_set_apart(clip, centre) else 0, max(bodies(clip), default=0) + 1)


def pack_points(clip: NDArray[Any], moved: float, count: int | None = None) -> dict[str, Any]:
    """Return (3, frames, V, M) of at most `count` bodies, those up to the last that is there, as a page holds it.

    ``data`` is base64 of int16 (frames, bodies, V, 3), little-endian, in steps of ``unit`` metres: one
    millimetre, or more where a coordinate is beyond 32 metres. A body that is absent in a frame is zeros.
    ``flat`` says whether the clip is 2-D, ``apart`` how far its bodies were `moved` apart, metres.
    """
    count = max(bodies(clip), default=0) + 1 if count is None else count
    values = np.nan_to_num(clip[..., :count], posinf=0.0, neginf=0.0)
    unit = max(0.001, float(np.abs(values).max()) / 32767)
    packed = (values * (1 / unit)).round().transpose(1, 3, 2, 0).astype("<i2")
    return {
        "frames": int(packed.shape[0]),
        "bodies": count,
        "apart": moved,
        "flat": is_flat(clip),
        "unit": unit,
        "data": base64.b64encode(packed.tobytes()).decode("ascii"),
    }


def thinning(frames: int) -> int:
    """Return n where every n-th of `frames` frames is kept."""
    return -(-frames // MOST_FRAMES)


def pack_salience(salience: NDArray[np.float32], bodies: int, low: float, high: float) -> dict[str, Any]:
    """Return salience (T', V, M) as base64 of uint8 (T', bodies, V); 0 is `low`, 255 is `high`."""
    spread = np.nan_to_num((salience[..., :bodies] - low) / (high - low))
    values = np.clip((spread * 255).round(), 0, 255).astype(np.uint8).transpose(0, 2, 1)
    return {
        "frames": int(values.shape[0]),
        "data": base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii"),
    }
