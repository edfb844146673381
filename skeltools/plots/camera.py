"""From metres to the plane of a picture: camera, bodies set apart, extent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skeltools.errors import SettingError, did_you_mean

VIEWS: dict[str, tuple[float, float]] = {
    "front": (0.0, 0.0),
    "side": (90.0, 0.0),
    "back": (180.0, 0.0),
    "top": (0.0, 90.0),
    "corner": (35.0, 15.0),
}
"""Named cameras: azimuth and elevation in degrees."""

APART = 1.2
"""Metres between neighbouring bodies that were each centred on themselves."""


@dataclass(frozen=True)
class Camera:
    """An orthographic camera.

    The sensor's x grows to the right of a person who faces it, so that person's right side is on the left of
    a picture taken from the front, as in a photograph.

    Attributes:
        azimuth: Degrees about the vertical axis: 0 looks from the sensor, 90 from the left side of a person
            who faces the sensor.
        elevation: Degrees above the horizon.
    """

    azimuth: float = 0.0
    elevation: float = 0.0

    def project(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return right, up and towards the camera, (3, ...) metres, of points (3, ...): x, y up, z depth."""
        turn, tilt = np.radians(self.azimuth), np.radians(self.elevation)
        x, y, z = (np.asarray(axis, np.float64) for axis in points)
        right = np.sin(turn) * z - np.cos(turn) * x
        near = -np.sin(turn) * x - np.cos(turn) * z
        up = np.cos(tilt) * y - np.sin(tilt) * near
        return np.stack([right, up, np.cos(tilt) * near + np.sin(tilt) * y])


def named(view: str) -> Camera:
    """Return a camera by name.

    Raises:
        SettingError: There is no such view.
    """
    if view not in VIEWS:
        raise SettingError(
            f"Unknown view '{view}'. Choose one of: {', '.join(VIEWS)}.{did_you_mean(view, VIEWS)}"
        )
    return Camera(*VIEWS[view])


def present(clip: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return in which frames each body of a clip (3, T, V, M) is there, bool (T, M)."""
    return np.asarray(clip.any(axis=(0, 2)))


def bodies(clip: NDArray[np.floating]) -> list[int]:
    """Return which bodies of a clip (3, T, V, M) are there in any frame."""
    found: list[int] = np.flatnonzero(present(clip).any(axis=0)).tolist()
    return found


def is_flat(clip: NDArray[np.floating]) -> bool:
    """Return whether a clip (3, T, V, M) is of a 2-D skeleton: a body is there, and every z is 0."""
    return bool(clip[:2].any()) and not clip[2].any()


def is_set_apart(clip: NDArray[np.floating], centre: str) -> bool:
    """Return whether `apart` moves the bodies of a clip (3, T, V, M)."""
    return centre == "frame" and len(bodies(clip)) > 1


def apart(clip: NDArray[np.floating], centre: str) -> NDArray[np.float64]:
    """Set bodies side by side where each was centred on itself, as ``chain.centre = frame`` does.

    Args:
        clip: (3, T, V, M).
        centre: The file's ``chain.centre``.

    Returns:
        float64 (3, T, V, M), the first body on the left of a picture from the front; an absent body stays zero.
    """
    moved = np.array(clip, np.float64)
    there = present(clip)
    if is_set_apart(clip, centre):
        shown = bodies(clip)
        for place, body in enumerate(shown):
            moved[0, :, :, body] += ((len(shown) - 1) / 2 - place) * APART * there[:, None, body]
    return moved


def extent(
    flat: NDArray[np.float64], there: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the middle (right, up) and the half width and height, (2,) each, of a projected clip's frame.

    Outliers do not shrink the picture: the farthest half per cent of the points on each side may lie outside.

    Args:
        flat: (3, T, V, M) of `Camera.project`.
        there: (T, M) of `present`.
    """
    points = flat[:2].transpose(0, 1, 3, 2)[:, there].reshape(2, -1)
    if points.size == 0:
        return np.zeros(2), np.ones(2)
    low, high = np.percentile(points, [0.5, 99.5], axis=1)
    return (low + high) / 2, np.maximum((high - low) / 2 * 1.14, 0.1)
