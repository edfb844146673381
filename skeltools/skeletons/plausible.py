"""Could these coordinates be people in metres? Sizes, bones and distances that tell another unit or damage.

What no person can be is refused: a body larger than the sensor sees deep. Centred, turned and scaled clips
pass, for their bodies are small; what is merely odd is counted, never refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skeltools.errors import SettingError, did_you_mean

UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001}
"""Units that coordinates are read in, in metres."""

MOST_SIZE = 8.0
"""A recorded body of more than this many metres is none: a Kinect sees eight metres deep."""

MOST_SCALED = 25.0
"""Clips that somebody prepared may be scaled by a short bone, so that a body has this many units at most."""

MOST_TORSOS = 12.0
"""A person of more than this many torsos is odd: three to four are usual."""

MOST_COORDINATE = 10_000.0
"""No coordinate of a recording is beyond this many metres; those of clips so stay finite in float16."""

LEAST_SIZE = 0.05
"""A body smaller than this many metres is none: the unit that was given is wrong."""

LONGEST_BONE, FARTHEST = 1.5, 15.0
"""Metres beyond which a bone, or a distance from the sensor, is odd."""

_LOOKED_AT = 16
"""Frames of a prepared clip that are measured."""


class Measures(NamedTuple):
    """What N clips measure, float64 (N,) each, 0 where there is nobody.

    Attributes:
        size: The largest extent along an axis of the larger person: the median over frames.
        bone: The longest bone: the mean over frames and persons.
        distance: The farthest joint from the origin, which is the sensor unless clips were centred: the
            median over frames of the farther person.
    """

    size: NDArray[np.float64]
    bone: NDArray[np.float64]
    distance: NDArray[np.float64]


def check_unit(unit: str) -> str:
    """Return the unit.

    Raises:
        SettingError: It is not one of `UNITS`.
    """
    if unit not in UNITS:
        known = ", ".join(UNITS)
        raise SettingError(f"Unknown unit '{unit}'. Choose one of: {known}.{did_you_mean(unit, UNITS)}")
    return unit


def in_metres(coords: NDArray[Any], unit: str) -> NDArray[Any]:
    """Return coordinates in metres, in their own type; those of unit ``m`` as they are."""
    if unit == "m":
        return coords
    return (coords.astype(np.float64) * UNITS[unit]).astype(coords.dtype)


def measure(clips: NDArray[Any], parents: Sequence[int]) -> Measures:
    """Measure clips at up to sixteen of their frames.

    Args:
        clips: (N, C, T, V, M) of C = 2 or 3 finite coordinates; absent bodies are zeros.
        parents: The parent of each of the V joints; a root is its own.
    """
    frames = clips.shape[2]
    picks = np.linspace(0, frames - 1, min(frames, _LOOKED_AT)).round().astype(int)
    picked = clips[:, :, picks].astype(np.float64)
    there = np.asarray(picked.any(axis=(1, 3)))  # (N, T, M)
    size = _middle((picked.max(axis=3) - picked.min(axis=3)).max(axis=1), there)
    distance = _middle(np.sqrt((picked**2).sum(axis=1).max(axis=2)), there)
    squares = ((picked - picked[:, :, :, list(parents)]) ** 2).sum(axis=1).sum(axis=(1, 3))  # (N, V)
    count = np.maximum(there.sum(axis=(1, 2)), 1)
    bone = np.sqrt(squares.max(axis=1, initial=0.0) / count)
    return Measures(size, bone, distance)


def _middle(values: NDArray[np.float64], there: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the median over frames of (N, T, M) where somebody is there, the largest of the M persons."""
    ordered = np.sort(np.where(there, values, np.inf), axis=1)
    count = there.sum(axis=1)  # (N, M)
    place = np.maximum(count - 1, 0)[:, None] // 2
    middle = np.take_along_axis(ordered, place, axis=1)[:, 0]
    return np.asarray(np.where(count > 0, middle, 0.0).max(axis=1, initial=0.0))


def size_fault(size: float, unit: str = "m", most: float = MOST_SIZE) -> str | None:
    """Say what is wrong with a person's size, or return None.

    Args:
        size: Metres, after reading in `unit`; 0 where there is nobody.
        unit: How the coordinates were read; only one that was asked for can make a person too small.
        most: The largest size there is: `MOST_SIZE` of recordings, `MOST_SCALED` of prepared clips.
    """
    told = f"a person of {size:,.0f} m" if 10 <= size < 1e9 else f"a person of {size:.2g} m"
    if unit != "m" and not LEAST_SIZE <= size <= most and size > 0:
        return f"{told}: not in {unit}? Choose another --unit, or leave it out for metres."
    if size > most:
        for other, name, low, high in (
            ("cm", "centimetres", 30, 400),
            ("mm", "millimetres", 400, 1000 * MOST_SIZE),
        ):
            if low <= size < high:
                return f"{told}: {name}? Read them with --unit {other}."
        return f"{told}; expected coordinates in metres."
    return None


def judge(
    coords: NDArray[np.float32], frame: NDArray[Any], person: NDArray[Any], unit: str = "m"
) -> tuple[str | None, int]:
    """Judge the bodies of a recording; cheap where they are people in metres.

    Args:
        coords: (B, V, C), the observed bodies, metres.
        frame: (B,), the 0-based frame of each.
        person: (B,), which of the persons of its frame each is.
        unit: The unit they were read in.

    Returns:
        Why they cannot be people, or None; and how many of them are larger than `MOST_SIZE`.
    """
    if len(coords) == 0 or (unit == "m" and not _wide(coords)):
        return None, 0
    sizes = body_sizes(coords)
    for number in np.unique(person):
        of = sizes[(person == number) & (sizes > 0)]
        if len(of):
            fault = size_fault(float(np.sort(of)[(len(of) - 1) // 2]), unit)
            if fault is not None:
                return fault, 0
    body, joint, axis = np.unravel_index(np.abs(coords).argmax(), coords.shape)
    value = float(coords[body, joint, axis])
    if abs(value) > MOST_COORDINATE:
        fault = (
            f"{'xyz'[axis]} of joint {joint} in frame {frame[body] + 1} is {value:.3g} m; expected "
            f"coordinates in metres, of {MOST_COORDINATE:,.0f} at most."
        )
        return fault, 0
    return None, int((sizes > MOST_SIZE).sum())


def _wide(coords: NDArray[np.float32]) -> bool:
    """Whether the coordinates lie so far apart, or so far off, that a body may be too large."""
    low, high = float(coords.min()), float(coords.max())
    return high - low > MOST_SIZE or max(high, -low) > MOST_COORDINATE


def body_sizes(coords: NDArray[Any]) -> NDArray[np.float64]:
    """Return the largest extent along an axis of each body of (B, V, C), float64 (B,)."""
    wide = coords.astype(np.float64)
    return np.asarray((wide.max(axis=1) - wide.min(axis=1)).max(axis=1))


def clip_faults(
    clips: NDArray[Any], parents: Sequence[int], unit: str = "m", most: float = MOST_SCALED
) -> list[tuple[int, str]]:
    """Return (index, what is wrong) of the clips (N, C, T, V, M), metres, whose bodies cannot be people."""
    sizes = measure(clips, parents).size.tolist()
    found = ((index, size_fault(size, unit, most)) for index, size in enumerate(sizes))
    return [(index, fault) for index, fault in found if fault is not None]
