"""Which bodies of a recording make a clip: by file order, by spread, or tracked by id and denoised.

The choices of other projects (divergences 5, 6 and 10), each under a name of its own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skeltools.formats.recording import Recording
from skeltools.skeleton import LEFT_SHOULDER, NUM_BODIES, NUM_JOINTS, RIGHT_SHOULDER

_SHORTEST = 11
"""A track of at most this many frames is noise where there is another (CTR-GCN)."""

_WIDEST = 0.8
"""A body is too wide in a frame where its extent in x exceeds this share of its extent in y (CTR-GCN)."""

_TOO_WIDE = 0.69754
"""A track that is too wide in at least this share of its frames is noise (CTR-GCN)."""

_LEAST_MOTION, _MOST_MOTION = 0.089925, 2.0
"""A track whose motion lies outside is noise where there is another (CTR-GCN)."""


def select(recording: Recording, how: str) -> NDArray[np.float32]:
    """Return the bodies of a recording as float32 (3, L, 25, 2), metres; absent ones are zeros.

    Args:
        recording: L frames.
        how: ``first``: the first two of each frame in file order; ``spread``: the two places in the frame
            whose coordinates have the greatest standard deviation over their frames; ``tracked``: tracks by
            id, without those that look like noise, ordered by motion.
    """
    if how == "spread":
        return _by_spread(recording)
    if how == "tracked":
        return _tracked(recording)
    return recording.first_two()


def _place(
    recording: Recording, groups: list[NDArray[np.intp]], onto: list[int] | None = None
) -> NDArray[np.float32]:
    """Put groups of observations into body columns (by default the n-th group into column n)."""
    raw = np.zeros((recording.frames, NUM_BODIES, NUM_JOINTS, 3), np.float32)
    for number, group in enumerate(groups):
        column = number if onto is None else onto[number]
        raw[recording.frame[group], column] = recording.coords[group]
    return np.ascontiguousarray(raw.transpose(3, 0, 2, 1))


def _by_spread(recording: Recording) -> NDArray[np.float32]:
    found = []
    for slot in range(int(recording.slot.max(initial=-1)) + 1):
        group = np.flatnonzero(recording.slot == slot)
        group = group[recording.coords[group].any(axis=(1, 2))]
        if len(group):
            spread = recording.coords[group].astype(np.float64).std(axis=(0, 1)).sum()
            found.append((-spread, slot, group))
    found.sort(key=lambda item: item[:2])
    return _place(recording, [group for _, _, group in found[:NUM_BODIES]])


def _motion(coords: NDArray[np.float32]) -> float:
    """Return the variance of (n, 25, 3) over frames and joints, summed over x, y and z."""
    return float(coords.astype(np.float64).reshape(-1, 3).var(axis=0).sum())


def _tracked(recording: Recording) -> NDArray[np.float32]:
    """Tracks by id, denoised by length, width and motion, the one with the most motion first.

    The last track is never dropped. A further track joins the first column in which it overlaps nothing.
    """
    tracks = [np.flatnonzero(recording.ids == track) for track in dict.fromkeys(recording.ids.tolist())]
    tracks = _keep(tracks, [len(track) > _SHORTEST for track in tracks])
    motions = [_motion(recording.coords[track]) for track in tracks]
    if len(tracks) > 1:
        narrow = [_narrow(recording.coords[track]) for track in tracks]
        fit = [bool((~flags).mean() < _TOO_WIDE) for flags in narrow]
        if not any(fit):
            fit[int(np.argmax(motions))] = True
        kept = []
        for track, flags, fits in zip(tracks, narrow, fit, strict=True):
            if fits:
                kept.append(track[flags] if flags.any() else track)
        tracks = kept
        motions = [_motion(recording.coords[track]) for track in tracks]
        moving = [_LEAST_MOTION < motion < _MOST_MOTION for motion in motions]
        if any(moving):
            tracks = _keep(tracks, moving)
            motions = [motion for motion, fits in zip(motions, moving, strict=True) if fits]
    order = sorted(range(len(tracks)), key=lambda number: -motions[number])
    groups: list[NDArray[np.intp]] = []
    onto: list[int] = []
    free = np.ones((NUM_BODIES, recording.frames), bool)
    for number in order:
        at = recording.frame[tracks[number]]
        lifetime = slice(int(at[0]), int(at[-1]) + 1)
        column = next((column for column in range(NUM_BODIES) if free[column, lifetime].all()), None)
        if column is not None:
            free[column, lifetime] = False
            groups.append(tracks[number])
            onto.append(column)
    return _place(recording, groups, onto)


def _keep(tracks: list[NDArray[np.intp]], fit: list[bool]) -> list[NDArray[np.intp]]:
    """Drop the tracks that do not fit, unless none does: then keep the longest."""
    if any(fit):
        return [track for track, fits in zip(tracks, fit, strict=True) if fits]
    return [max(tracks, key=len)] if tracks else []


def _narrow(coords: NDArray[np.float32]) -> NDArray[np.bool_]:
    extent = coords.max(axis=1) - coords.min(axis=1)
    flags: NDArray[np.bool_] = extent[:, 0] <= _WIDEST * extent[:, 1]
    return flags


def close_gaps(raw: NDArray[np.float32]) -> NDArray[np.float32]:
    """Move each body of (3, L, 25, M) forward over the frames it misses, then drop frames without a body.

    A body that leaves and returns so comes back too early: what several projects do.
    """
    closed = np.zeros_like(raw)
    there = np.asarray(raw.any(axis=(0, 2)))  # (L, M)
    for body in range(raw.shape[3]):
        present = np.flatnonzero(there[:, body])
        if len(present):
            start = int(present[0])
            closed[:, start : start + len(present), :, body] = raw[..., body][:, present]
    return closed[:, closed.any(axis=(0, 2, 3))]


def to_first_frame_axes(clip: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn (3, L, 25, M) so that person 1's spine (joint 0 to 1) in the first frame lies along z and then
    the shoulder line (left to right) along x. One rotation for all frames and bodies.
    """
    first = clip[:, int(np.argmax(clip[..., 0].any(axis=(0, 2)))), :, 0]
    upright = _rotation_onto(first[:, 1] - first[:, 0], np.array([0.0, 0.0, 1.0]))
    first = upright @ first
    sideways = _rotation_onto(first[:, RIGHT_SHOULDER] - first[:, LEFT_SHOULDER], np.array([1.0, 0.0, 0.0]))
    turned = sideways @ upright @ clip.reshape(3, -1)
    return turned.reshape(clip.shape)


def _rotation_onto(vector: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the 3x3 rotation that turns `vector` the shortest way onto the direction of `target`."""
    size = np.linalg.norm(vector)
    axis = np.cross(vector, target)
    length = np.linalg.norm(axis)
    if size < 1e-6 or length < 1e-6 * size:
        return np.eye(3)
    x, y, z = axis / length
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    cosine = float(vector @ target / size)
    sine = float(length / size)
    turn: NDArray[np.float64] = np.eye(3) + sine * cross + (1 - cosine) * (cross @ cross)
    return turn
