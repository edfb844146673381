"""Compiled parsers of the raw text formats, by Numba, which not every platform has.

They read well-formed files only: at the first oddity (a fault, or a number whose decimal digits do not
fit into 53 bits) they give up, and the plain Python parsers of `skeltools.formats` decide. So both paths
accept the same files, give the same bits and raise the same errors.

A number of at most 53 bits of digits and a power of ten of at most 22 is rounded correctly by one
multiplication or division of two exact doubles, which is what Python's ``float`` gives.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

_POWERS = np.array([float(f"1e{power}") for power in range(23)])

_BAD, _PART, _BLANK, _NEWLINE = 0, 1, 2, 4
_CLASS = np.zeros(256, np.uint8)
_CLASS[np.frombuffer(b"0123456789+-.eEnNaAiIfFtTyY", np.uint8)] = _PART
_CLASS[np.frombuffer(b" \t\r", np.uint8)] = _BLANK
_CLASS[10] = _NEWLINE


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _digits(data: Any, at: int, end: int, whole: Any) -> Any:
    """Read digits behind `whole`; return (the number, how many digits, the position after them)."""
    digits = 0
    while at < end:
        digit = np.int64(data[at]) - 48
        if digit < 0 or digit > 9:
            break
        whole = whole * 10 + digit
        digits += 1
        at += 1
    return whole, digits, at


@numba.njit(cache=True, inline="always")  # type: ignore[untyped-decorator]
def _number(data: Any, at: int, end: int) -> Any:
    """Return (value, position after the token), the position -1 where the token is not an easy number."""
    negative = False
    if at < end and (data[at] == 45 or data[at] == 43):
        negative = data[at] == 45
        at += 1
    whole = np.int64(0)
    digits = 0
    point = end  # one loop for both sides of the point: a call of `_digits` for each takes 1.4 times as long
    while at < end:
        if data[at] == 46 and point == end:
            point = at + 1
        else:
            digit = np.int64(data[at]) - 48
            if digit < 0 or digit > 9:
                break
            whole = whole * 10 + digit
            digits += 1
        at += 1
    shift = np.int64(min(point - at, 0))
    if digits == 0 or digits > 18 or whole > 9007199254740992:
        return 0.0, -1
    if at < end and (data[at] == 101 or data[at] == 69):
        at += 1
        down = False
        if at < end and (data[at] == 45 or data[at] == 43):
            down = data[at] == 45
            at += 1
        power, digits, at = _digits(data, at, end, np.int64(0))
        if digits == 0 or digits > 4:
            return 0.0, -1
        shift += -power if down else power
    if at < end and data[at] > 32:
        return 0.0, -1
    value = float(whole)
    if whole != 0:
        if shift < -22 or shift > 22:
            return 0.0, -1
        value = value / _POWERS[-shift] if shift < 0 else value * _POWERS[shift]
    return (-value if negative else value), at


@numba.njit(cache=True, inline="always")  # type: ignore[untyped-decorator]
def _blanks(data: Any, at: int, end: int) -> int:
    while at < end and (data[at] == 32 or data[at] == 9 or data[at] == 13):
        at += 1
    return at


@numba.njit(cache=True, inline="always")  # type: ignore[untyped-decorator]
def _count(data: Any, at: int, end: int) -> Any:
    """Read a line with one whole number; return (number, start of the next line), -1 where it is none."""
    at = _blanks(data, at, end)
    whole, digits, at = _digits(data, at, end, np.int64(0))
    at = _blanks(data, at, end)
    if digits == 0 or digits > 9 or (at < end and data[at] != 10):
        return 0, -1
    return whole, at + 1


@numba.njit(cache=True, inline="always")  # type: ignore[untyped-decorator]
def _rest(data: Any, at: int, end: int, tokens: int) -> int:
    """Pass over exactly `tokens` number-like tokens up to the line's end; return the next line's start."""
    before = np.uint8(0)
    seen = 0
    while at < end:
        kind = _CLASS[data[at]]
        if kind & 3 == 0:
            if kind == 0:
                return -1
            break
        part = kind & 1  # no branch on tokens' ends, which nothing can predict
        seen += part & (before ^ 1)
        before = part
        at += 1
    return at + 1 if seen == tokens else -1


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _skeleton(data: Any, coords: Any, frame: Any, slot: Any, ids: Any, joints: int, most: int) -> Any:
    """Parse an NTU file; return (frames, bodies), frames -1 where the Python parser must decide."""
    end = len(data)
    bodies = 0
    frames, at = _count(data, 0, end)
    if at < 0:
        return -1, 0
    for index in range(frames):
        if at >= end:
            return -1, 0
        present, at = _count(data, at, end)
        if at < 0 or present > most or bodies + present > len(frame):
            return -1, 0
        for order in range(present):
            at = _blanks(data, at, end)
            track, digits, at = _digits(data, at, end, np.int64(0))
            if digits == 0 or digits > 18 or at >= end or (data[at] != 32 and data[at] != 9):
                return -1, 0
            at = _rest(data, at, end, 9)
            if at < 0:
                return -1, 0
            there, at = _count(data, at, end)
            if at < 0 or there != joints:
                return -1, 0
            for joint in range(joints):
                for axis in range(3):
                    at = _blanks(data, at, end)
                    value, at = _number(data, at, end)
                    if at < 0:
                        return -1, 0
                    coords[bodies, joint, axis] = value
                at = _rest(data, at, end, 9)
                if at < 0:
                    return -1, 0
            frame[bodies] = index
            slot[bodies] = order
            ids[bodies] = track
            bodies += 1
    while at < end:
        kind = _CLASS[data[at]]
        if kind != 2 and kind != 4:
            return -1, 0
        at += 1
    return frames, bodies


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _table(data: Any, values: Any) -> int:
    """Parse rows of numbers; return the number of rows, -1 where the Python parser must decide."""
    end = len(data)
    most, columns = values.shape
    row = 0
    at = 0
    while at < end:
        start = _blanks(data, at, end)
        if start >= end or data[start] == 10:
            for rest in range(start, end):
                kind = _CLASS[data[rest]]
                if kind != 2 and kind != 4:
                    return -1
            break
        if row >= most:
            return -1
        at = start
        for column in range(columns):
            at = _blanks(data, at, end)
            value, at = _number(data, at, end)
            if at < 0:
                return -1
            values[row, column] = value
        at = _blanks(data, at, end)
        if at < end and data[at] != 10:
            return -1
        at += 1
        row += 1
    return row


def skeleton(
    data: bytes, joints: int, most_bodies: int
) -> tuple[int, NDArray[np.float32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int64]] | None:
    """Parse an NTU ``.skeleton`` file.

    Returns:
        (frames, coordinates (B, joints, 3), frame (B,), order in the frame (B,), tracking id (B,)) of the
        B bodies in file order, or None where the Python parser must decide.
    """
    room = len(data) // (joints * 24) + 1  # a joint line has 12 values and so at least 24 bytes
    coords = np.empty((room, joints, 3), np.float32)
    frame, slot = np.empty(room, np.int32), np.empty(room, np.int32)
    ids = np.empty(room, np.int64)
    frames, bodies = _skeleton(np.frombuffer(data, np.uint8), coords, frame, slot, ids, joints, most_bodies)
    if frames < 0 or not np.isfinite(coords[:bodies]).all():
        return None
    return frames, coords[:bodies], frame[:bodies], slot[:bodies], ids[:bodies]


def table(data: bytes, columns: int) -> NDArray[np.float32] | None:
    """Parse lines of `columns` numbers each into (rows, columns); None where Python must decide."""
    values = np.empty((len(data) // (2 * columns) + 1, columns), np.float32)
    rows = _table(np.frombuffer(data, np.uint8), values)
    if rows < 0 or not np.isfinite(values[:rows]).all():
        return None
    return values[:rows]


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def _prepare(
    coords: Any, place: Any, start: int, stop: int, clip: Any, centre: int, left: int, right: int
) -> Any:
    """Prepare the bodies of frames start to stop-1 by the reference's chain.

    `place` (F, M) holds the observation of each frame and column, -1 where there is none; `clip`
    (3, T, V, M) is filled. Every operation is the one, and in the order, of `skeltools.preparation.chain`; with that
    in its place converting NTU's files takes 1.3 times the CPU time.
    Returns L and the frames the first body misses in between.
    """
    joints = coords.shape[1]
    frames = clip.shape[1]
    length = 0
    first = -1
    last = -1
    for frame in range(start, stop):
        row = place[frame, 0]
        if row >= 0 and (coords[row, 0, 0] != 0 or coords[row, 0, 1] != 0 or coords[row, 0, 2] != 0):
            length += 1
            last = frame
            if first < 0:
                first = frame
    gaps = last - first + 1 - length if length else 0
    if length == 0:
        clip[:] = 0
        return 0, gaps
    work = np.empty((3, frames, joints))
    for body in range(place.shape[1]):
        there = False
        for frame in range(len(place)):
            row = place[frame, body]
            if row >= 0:
                for joint in range(joints):
                    for axis in range(3):
                        there = there or coords[row, joint, axis] != 0
                if there:
                    break
        if not there:
            clip[:, :, :, body] = 0
            continue
        total = 0.0
        for t in range(frames):
            at = min(max((t + 0.5) * length / frames - 0.5, 0.0), float(length - 1))
            before = int(at)
            weight = at - before
            earlier = place[start + before, body]
            later = place[start + min(before + 1, length - 1), body]
            for axis in range(3):
                low = np.float64(coords[earlier, centre, axis]) if earlier >= 0 else 0.0
                high = np.float64(coords[later, centre, axis]) if later >= 0 else 0.0
                for joint in range(joints):
                    one = np.float64(coords[earlier, joint, axis]) - low if earlier >= 0 else 0.0
                    two = np.float64(coords[later, joint, axis]) - high if later >= 0 else 0.0
                    work[axis, t, joint] = (two - one) * weight + one
            total += work[2, t, right] - work[2, t, left]
        for t in range(frames):
            across = work[0, t, right] - work[0, t, left]
            depth = work[2, t, right] - work[2, t, left]
            cosine = across / (np.sqrt(across * across + depth * depth) + 0.0001)
            sine = np.sqrt(1.0 - cosine * cosine)
            if total >= 0:
                sine = -sine
            for joint in range(joints):
                x = work[0, t, joint]
                z = work[2, t, joint]
                clip[0, t, joint, body] = cosine * x - sine * z
                clip[1, t, joint, body] = work[1, t, joint]
                clip[2, t, joint, body] = sine * x + cosine * z
    return length, gaps


def prepare(
    coords: NDArray[np.float32],
    place: NDArray[np.int32],
    window: tuple[int, int],
    frames: int,
    joints: tuple[int, int, int],
) -> tuple[NDArray[np.float32], int, int]:
    """Prepare a recording by the reference's chain (docs/method.md#chain).

    Args:
        coords: float32 (B, V, 3), every observed body, metres.
        place: int32 (F, M), the observation of each frame and column, -1 where there is none.
        window: The first of the F frames that is used and the one after the last.
        frames: T.
        joints: Centre, left shoulder and right shoulder.

    Returns:
        The clip, float32 (3, T, V, M), L, and the frames without a first body between those with one.
    """
    clip = np.empty((3, frames, coords.shape[1], place.shape[1]), np.float32)
    length, gaps = _prepare(coords, place, *window, clip, *joints)
    return clip, length, gaps
