"""Clips scaled by the torso: what ``chain.scale = torso`` does, for key points of an image and for joints in space.

A joint that is not there stays zero: it is neither centred nor mixed with the frames in which it is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from skeltools.formats.recording import Recording
from skeltools.skeletons import Skeleton


def keypoints(recording: Recording, least: float) -> Recording:
    """Return a recording of key points (x, y, score) as (x, y, 0): a joint with a score below `least` is zero.

    A body without any joint left is none.
    """
    coords = recording.coords.copy()
    coords[coords[..., 2] < least] = 0
    coords[..., 2] = 0
    seen = coords.any(axis=(1, 2))
    return replace(
        recording,
        coords=coords[seen],
        frame=recording.frame[seen],
        slot=recording.slot[seen],
        ids=recording.ids[seen],
    )


def lengths(raw: NDArray[np.floating], skeleton: Skeleton) -> NDArray[np.float64]:
    """Return the torso of each body of (3, L, V, M), mid-shoulders to mid-hips: the median over the frames that show
    all four joints, float64 (M,); that of the first body with one where a body has none, 0 where nobody has.
    """
    ends = [
        [skeleton.left_shoulder, skeleton.right_shoulder],
        [skeleton.left_hip, skeleton.right_hip],
    ]
    shown = np.asarray(np.asarray(raw.any(axis=0))[:, [*ends[0], *ends[1]]].all(axis=1))  # (L, M)
    upper, lower = (raw[:, :, pair].astype(np.float64).mean(axis=2) for pair in ends)
    size = np.sqrt(((upper - lower) ** 2).sum(axis=0))  # (L, M)
    found = np.array(
        [
            float(np.median(size[shown[:, body], body])) if shown[:, body].any() else 0.0
            for body in range(raw.shape[3])
        ]
    )
    known = found[found > 0]
    return np.where(found > 0, found, known[0] if len(known) else 0.0)


def scaled(
    raw: NDArray[np.floating], skeleton: Skeleton, joints: list[int]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Centre (3, L, V, M) frame by frame and body by body, and divide it by the torso.

    The centre is the mean of `joints`; in a frame that does not show them all, that of the nearest frame that does
    (of two, the earlier); of a body that never shows them, the mean of what it shows.

    Returns:
        float64 (3, L, V, M), in torsos, and which joints are there, bool (L, V, M); others are zeros.
    """
    torso = lengths(raw, skeleton)
    there = np.asarray(raw.any(axis=0))  # (L, V, M)
    clip = np.zeros(raw.shape, np.float64)
    for body in range(raw.shape[3]):
        if there[..., body].any():
            centre = _centres(raw[..., body], there[..., body], joints)
            clip[..., body] = (raw[..., body] - centre[:, :, None]) / torso[body] * there[..., body]
    return clip, there


def _centres(raw: NDArray[np.floating], there: NDArray[np.bool_], joints: list[int]) -> NDArray[np.float64]:
    """Return the centre of each frame of one body (3, L, V), float64 (3, L)."""
    shown = np.flatnonzero(there[:, joints].all(axis=1))
    if len(shown) == 0:
        count = np.maximum(there.sum(axis=1), 1)
        return np.asarray(raw.astype(np.float64).sum(axis=2) / count)
    centres = raw[:, shown][:, :, joints].astype(np.float64).mean(axis=2)
    after = np.searchsorted(shown, np.arange(len(there))).clip(max=len(shown) - 1)
    before = np.maximum(after - 1, 0)
    frames = np.arange(len(there))
    nearest = np.where(np.abs(frames - shown[before]) <= np.abs(shown[after] - frames), before, after)
    return np.asarray(centres[:, nearest])


def resize(clip: NDArray[np.float64], there: NDArray[np.bool_], frames: int) -> NDArray[np.float64]:
    """Resize (3, L, V, M) to `frames` by linear interpolation, joint by joint.

    Where only one of the two frames that a new one lies between has a joint, the nearer of them decides: it is taken
    from there, or zero.
    """
    length = clip.shape[1]
    at = np.clip((np.arange(frames) + 0.5) * length / frames - 0.5, 0, length - 1)
    before = at.astype(np.intp)
    after = np.minimum(before + 1, length - 1)
    weight = (at - before)[:, None, None]
    weight = np.where(there[before] & there[after], weight, weight > 0.5)
    return np.asarray(clip[:, before] * (1 - weight) + clip[:, after] * weight)
