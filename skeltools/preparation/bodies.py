"""Which bodies of a recording make a clip: by file order, by spread, or tracked by id without noise.

The choices of other projects, each under a name of its own: docs/method.md#chain-of-ctrgcn,
docs/method.md#chain-of-cmd, docs/method.md#divergence-5 and docs/method.md#divergence-6.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skeltools.formats.recording import Recording
from skeltools.skeletons import Skeleton

_PLACES = 4
"""Places of a frame that `spread` chooses from (2s-AGCN, CMD)."""

_SHORTEST = 11
"""A track of at most this many observations is noise where there is another (CTR-GCN)."""

_WIDEST = 0.8
"""A body is too wide in a frame where its extent in x exceeds this share of its extent in y (CTR-GCN)."""

_TOO_WIDE = 0.69754
"""A track that is too wide in at least this share of its frames is noise while there is another (CTR-GCN)."""

TOO_SHORT = f"too-short: several bodies, each of them seen {_SHORTEST} times or fewer, so that none is left"
TOO_LONG = "id-twice: a tracking id occurs twice in a frame, so that its track is longer than the clip"


class Bodies(NamedTuple):
    """The bodies of a clip.

    Attributes:
        raw: float32 (3, L, V, M), metres; zeros where a body is not there.
        there: bool (L, M), in which frames each body is there.
        alone: Whether the clip has one body only, which ``absent = copy`` then copies.
    """

    raw: NDArray[np.float32]
    there: NDArray[np.bool_]
    alone: bool


def select(recording: Recording, how: str, gaps: str = "keep", bodies: int = 2) -> Bodies | str:
    """Return the bodies of a recording, or the reason (code, colon, details) why none is left.

    Args:
        recording: L frames.
        how: ``first``: the first two of each frame in file order; ``spread``: of the first four places of a
            frame the two whose coordinates have the greatest standard deviation over their frames;
            ``tracked``: tracks by id, without those that look like noise, most motion first.
        gaps: ``keep``: a body is in the frames it was seen in. ``close``: frames without a body are
            dropped, and a body that returns goes on right after its last frame, too early.
        bodies: M, the most that a clip holds.
    """
    if how == "first" and gaps == "keep":
        return _bodies(recording.first(bodies))
    if how == "tracked":
        ids = recording.ids
        groups = [np.flatnonzero(ids == track) for track in dict.fromkeys(ids.tolist())]
    else:
        seen = recording.coords.any(axis=(1, 2))
        places = bodies if how == "first" else max(_PLACES, bodies)
        groups = [np.flatnonzero(seen & (recording.slot == place)) for place in range(places)]
    frames, at = recording.frames, recording.frame
    if gaps == "close":
        frames, at = _close(at, groups)
        if any(at[group].max(initial=-1) >= frames for group in groups):
            return TOO_LONG
    if how == "tracked":
        return _tracked(recording.coords, frames, at, groups, bodies)
    if how == "spread":
        groups = _by_spread(recording.coords, groups)[:bodies]
    return _bodies(_place(recording.coords, frames, at, list(enumerate(groups)), bodies))


def _bodies(raw: NDArray[np.float32]) -> Bodies:
    there = np.asarray(raw.any(axis=(0, 2)))
    return Bodies(raw, there, not there[:, 1:].any())


def _close(at: NDArray[np.int32], groups: list[NDArray[np.intp]]) -> tuple[int, NDArray[np.int32]]:
    """Return the number of frames that hold any of the groups and the frame of each observation among them.

    A group begins at its first such frame; each further observation takes the next.
    """
    used = np.zeros(int(at.max(initial=-1)) + 1, bool)
    for group in groups:
        used[at[group]] = True
    closed = np.full_like(at, -1)
    for group in groups:
        if len(group):
            closed[group] = used[: at[group[0]]].sum() + np.arange(len(group))
    return int(used.sum()), closed


def _place(
    coords: NDArray[np.float32],
    frames: int,
    at: NDArray[np.int32],
    groups: list[tuple[int, NDArray[np.intp]]],
    bodies: int,
) -> NDArray[np.float32]:
    """Put groups of observations into body columns; later ones overwrite."""
    raw = np.zeros((frames, bodies, *coords.shape[1:]), np.float32)
    for column, group in groups:
        raw[at[group], column] = coords[group]
    return np.ascontiguousarray(raw.transpose(3, 0, 2, 1))


def _by_spread(coords: NDArray[np.float32], groups: list[NDArray[np.intp]]) -> list[NDArray[np.intp]]:
    """Return the groups, the greatest spread first, of equal ones the last place first (as theirs)."""
    spreads = [
        float(coords[group].astype(np.float64).std(axis=(0, 1)).sum()) if len(group) else 0.0
        for group in groups
    ]
    order = sorted(range(len(groups)), key=lambda place: (spreads[place], place), reverse=True)
    return [groups[place] for place in order]


def _motion(coords: NDArray[np.float32]) -> np.float32:
    """Return the variance of (n, V, 3) over frames and joints, summed over x, y and z; float32 as theirs."""
    moved: np.float32 = coords.reshape(-1, 3).var(axis=0).sum()
    return moved


def _tracked(
    coords: NDArray[np.float32],
    frames: int,
    at: NDArray[np.int32],
    tracks: list[NDArray[np.intp]],
    bodies: int,
) -> Bodies | str:
    """Choose among tracks as CTR-GCN's scripts do.

    Where there are several, short ones and those too wide go, the last one never for its width; frames whose
    coordinates add up to 0 are dropped. Of those left, the one with the most motion comes first.
    """
    several = len(tracks) > 1
    if several:
        tracks = [track for track in tracks if len(track) > _SHORTEST]
        if not tracks:
            return TOO_SHORT
        tracks = _without_wide(coords, tracks)
    alone = len(tracks) <= 1
    columns = [(0, track) for track in tracks] if alone else _columns(at, tracks, bodies)
    raw = _place(coords, frames, at, columns, bodies)
    by_frame = raw.transpose(1, 3, 2, 0).reshape(frames, bodies, 3 * coords.shape[1])  # in their order
    there = by_frame.sum(axis=2) != 0
    if several:
        kept = by_frame.reshape(frames, bodies * 3 * coords.shape[1]).sum(axis=1) != 0
        raw, there = raw[:, kept], there[kept]
    elif tracks:
        there[at[tracks[0]], 0] = True  # be it with zeros
    return Bodies(raw, there, alone)


def _without_wide(coords: NDArray[np.float32], tracks: list[NDArray[np.intp]]) -> list[NDArray[np.intp]]:
    """Return the tracks without those too wide, most motion first; of equal motion in the order given.

    The motion of a track with some wide frames is that of the others where it is smaller; the frames stay.
    """
    left = len(tracks)
    found = []
    for track in tracks:
        motion = _motion(coords[track])
        narrow = _narrow(coords[track])
        if left > 1 and not narrow.all():
            if (len(narrow) - narrow.sum()) / len(narrow) >= _TOO_WIDE:
                left -= 1
                continue
            motion = min(motion, _motion(coords[track][narrow]))
        found.append((motion, track))
    found.sort(key=lambda item: item[0], reverse=True)
    return [track for _, track in found]


def _narrow(coords: NDArray[np.float32]) -> NDArray[np.bool_]:
    extent = coords.max(axis=1) - coords.min(axis=1)
    flags: NDArray[np.bool_] = extent[:, 0] <= np.float32(_WIDEST) * extent[:, 1]
    return flags


def _columns(
    at: NDArray[np.int32], tracks: list[NDArray[np.intp]], bodies: int
) -> list[tuple[int, NDArray[np.intp]]]:
    """Give each track the first body with whose interval it shares at most one frame; others go.

    Body 1's interval is that of the first track, the others' begin as frame 0 alone; all grow with what joins.
    """
    placed = [(0, tracks[0])]
    intervals = [(int(at[tracks[0][0]]), int(at[tracks[0][-1]]))] + [(0, 0)] * (bodies - 1)
    for track in tracks[1:]:
        start, end = int(at[track[0]]), int(at[track[-1]])
        for column, (first, last) in enumerate(intervals):
            if min(last, end) - max(first, start) <= 0:
                placed.append((column, track))
                intervals[column] = (min(first, start), max(last, end))
                break
    return placed


def repeat(
    raw: NDArray[np.float32], there: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Fill the frames of (3, L, V, M) that a body misses at its start and end, as 2s-AGCN's scripts do.

    A body that is missing in the first frame is moved to the front, the frames it is there in one after the
    other. After the frame in which a body is last there, all its frames so far are repeated up to frame L.
    """
    raw, there = raw.copy(), there.copy()
    for body in range(raw.shape[3]):
        at = np.flatnonzero(there[:, body])
        if len(at):
            source = at if at[0] > 0 else np.arange(at[-1] + 1)
            source = np.resize(source, len(there))  # again and again
            raw[..., body], there[:, body] = raw[..., body][:, source], there[source, body]
    return raw, there


def to_first_frame_axes(
    clip: NDArray[np.floating], skeleton: Skeleton, first: NDArray[np.floating] | None = None
) -> NDArray[np.floating]:
    """Turn (3, L, V, M) so that person 1's spine (joint 0 to 1) in the first frame lies along z and then
    the shoulder line (left to right) along x. One rotation for all frames and bodies.

    Args:
        clip: float32 or float64; every step is rounded to it.
        skeleton: Its shoulders make the line.
        first: (3, 1, V, 1), person 1 where the axes are taken; None for the clip's own first frame.
    """
    if first is None:
        first = clip[:, :1, :, :1]
    shoulders = (skeleton.left_shoulder, skeleton.right_shoulder)
    for (start, end), target in (((0, 1), (0.0, 0.0, 1.0)), (shoulders, (1.0, 0.0, 0.0))):
        turn = _rotation_onto(first[:, 0, end, 0] - first[:, 0, start, 0], np.array(target))
        first, clip = (
            (turn @ part.reshape(3, -1)).reshape(part.shape).astype(part.dtype) for part in (first, clip)
        )
    return clip


def facing(
    clip: NDArray[np.floating], skeleton: Skeleton, first: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Turn (3, L, V, M) about y by one angle, so that the shoulders of `first` point along x, right of left.

    Where the person went and how it turned afterwards is kept, relative to how it stood at first. Nothing is turned
    where the shoulders of `first` lie above each other or are missing.

    Args:
        clip: Metres, y up.
        skeleton: Its shoulders make the line.
        first: (3, 1, V, 1), person 1 where the angle is taken.
    """
    x, _, z = first[:, 0, skeleton.right_shoulder, 0] - first[:, 0, skeleton.left_shoulder, 0].astype(
        np.float64
    )
    across = np.hypot(x, z)
    cosine, sine = (x / across, -z / across) if across > 1e-6 else (1.0, 0.0)
    turn = np.array([[cosine, 0.0, -sine], [0.0, 1.0, 0.0], [sine, 0.0, cosine]])
    return np.asarray((turn @ clip.reshape(3, -1)).reshape(clip.shape))


def _rotation_onto(vector: NDArray[np.floating], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the 3x3 rotation that turns `vector` the shortest way onto the direction of `target`.

    Nothing is turned where the two are parallel, opposite or nearly so, or `vector` is next to nothing: with
    the bounds, and the angle in the type of `vector`, of 2s-AGCN's scripts.
    """
    axis = np.cross(vector, target)
    if np.abs(vector).sum() < 1e-6 or np.abs(axis).sum() < 1e-6:
        return np.eye(3)
    angle = np.arccos(np.clip(vector / np.linalg.norm(vector) @ target, -1.0, 1.0))
    if angle < 1e-6:
        return np.eye(3)
    x, y, z = axis / np.sqrt(axis @ axis)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    turn: NDArray[np.float64] = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
    return turn
