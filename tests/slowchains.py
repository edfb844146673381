"""The chains of CTR-GCN's and CMD's scripts, written out in plain loops, independent of the package's own."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Frame = list[tuple[int, NDArray[np.float32]]]
"""The bodies of a frame in file order: tracking id and coordinates (25, 3)."""

Clip = list[list[NDArray[np.float32]]]
"""Frames of two bodies of (25, 3) each."""


def zero() -> NDArray[np.float32]:
    return np.zeros((25, 3), np.float32)


def spread_over(points: list[NDArray[np.float32]], kind: type) -> list[float]:
    """Mean squared distance from the mean along each axis, of all joints of all frames."""
    found = []
    for axis in range(3):
        values = np.array([joint[axis] for frame in points for joint in frame], kind)
        found.append(float(((values - values.mean()) ** 2).mean()))
    return found


def slow_ctrgcn(frames: list[Frame], dataset: str, size: int) -> NDArray[np.float64] | str:
    """docs/method.md#chain-of-ctrgcn written out with loops; a text where the scripts would stop."""
    moved = slow_ctrgcn_stored(frames, dataset)
    if isinstance(moved, str):
        return moved
    valid = sum(bool(a.any() or b.any()) for a, b in moved)  # 6
    bias = int(0.05 * valid / 2)
    return interpolated(moved[bias : valid - bias], size)


def slow_ctrgcn_stored(frames: list[Frame], dataset: str) -> list[list[NDArray[np.float64]]] | str:
    """The same up to what the scripts store, before it is padded to 300 frames."""
    frames = [frame for frame in frames if frame]  # 1
    if not frames:
        return "empty"
    tracks: dict[int, dict[str, object]] = {}  # 2
    for number, frame in enumerate(frames):
        for track, points in frame:
            if track not in tracks:
                tracks[track] = {"start": number, "points": []}
            tracks[track]["points"].append(points)  # type: ignore[attr-defined]
    left = [(int(t["start"]), list(t["points"])) for t in tracks.values()]  # type: ignore
    if any(start + len(points) > len(frames) for start, points in left):
        return "an id twice in a frame"
    several = len(left) > 1
    ordered = [(start, points, 0.0) for start, points in left]
    if several:  # 3
        left = [(start, points) for start, points in left if len(points) > 11]  # a
        if not left:
            return "all short"
        remaining = len(left)
        ordered = []
        for start, points in left:  # b
            motion = sum(spread_over(points, np.float64))
            narrow = []
            for one in points:
                width = float(one[:, 0].max()) - float(one[:, 0].min())
                height = float(one[:, 1].max()) - float(one[:, 1].min())
                if width <= 0.8 * height:
                    narrow.append(one)
            if remaining > 1 and len(narrow) < len(points):
                if (len(points) - len(narrow)) / len(points) >= 0.69754:
                    remaining -= 1
                    continue
                motion = min(motion, sum(spread_over(narrow, np.float64)))
            ordered.append((start, points, motion))
        if len(ordered) > 1:  # d
            ordered = sorted(ordered, key=lambda item: -item[2])
    two = len(ordered) > 1
    clip: Clip = [[zero(), zero()] for _ in frames]
    here = [[0, 0], [0, 0]]
    for rank, (start, points, _) in enumerate(ordered):
        end = start + len(points) - 1
        if rank == 0:
            here[0] = [start, end]
            onto = 0
        elif min(here[0][1], end) - max(here[0][0], start) <= 0:
            onto = 0
        elif min(here[1][1], end) - max(here[1][0], start) <= 0:
            onto = 1
        else:
            continue
        here[onto] = [min(start, here[onto][0]), max(end, here[onto][1])]
        for step, one in enumerate(points):
            clip[start + step][onto] = one.copy()
    if several:  # e
        clip = [both for both in clip if both[0].any() or both[1].any()]
    with_first = [both for both in clip if both[0].any()]
    if not with_first:
        return "no first body"
    origin = with_first[0][0][1].astype(np.float64)  # 4
    moved = []
    for both in clip:
        a, b = (one.astype(np.float64) for one in both)
        if not two:
            a = a - origin
            moved.append([a, a.copy() if dataset == "ntu120" else b])  # 5
        else:
            moved.append([one - origin if one.any() else one for one in (a, b)])
    return moved


def interpolated(frames: list[list[NDArray[np.float64]]], size: int) -> NDArray[np.float64]:
    out = np.zeros((3, size, 25, 2))
    for t in range(size):
        at = min(max((t + 0.5) * len(frames) / size - 0.5, 0.0), len(frames) - 1.0)
        low = math.floor(at)
        high = min(low + 1, len(frames) - 1)
        for body in range(2):
            mixed = frames[low][body] * (1 - (at - low)) + frames[high][body] * (at - low)
            out[:, t, :, body] = mixed.T
    return out


def slow_cmd(frames: list[Frame], size: int) -> NDArray[np.float64]:
    """docs/method.md#chain-of-cmd written out with loops."""
    centred = slow_cmd_stored(frames)
    valid = min(len(frames), 300)
    bias = int(0.05 * valid / 2)
    used = [[one.astype(np.float64) for one in both] for both in centred[bias : valid - bias]]
    return interpolated(used, size)


def slow_cmd_stored(frames: list[Frame]) -> list[list[NDArray[np.float32]]]:
    """The same up to what the scripts store, 300 frames of two bodies."""
    places = []
    for place in range(4):
        points = [frame[place][1] if place < len(frame) else zero() for frame in frames]
        seen = [one for one in points if one.any()]
        energy = sum(math.sqrt(v) for v in spread_over(seen, np.float64)) if seen else 0.0
        places.append((energy, points))
    places.sort(key=lambda item: -item[0])
    bodies = []
    for _, points in places[:2]:
        filled = (points + [zero()] * 300)[:300]
        if any(one.any() for one in filled):
            if not filled[0].any():
                filled = [one for one in filled if one.any()]
                filled += [zero()] * (300 - len(filled))
            last = max(number for number, one in enumerate(filled) if one.any())
            for number in range(last + 1, 300):
                filled[number] = filled[number - last - 1]
        bodies.append(filled)
    centred = []
    for number in range(300):
        middle = bodies[0][number][1]
        both = []
        for body in range(2):
            one = bodies[body][number].copy()
            for joint in range(25):
                if one[joint].any():
                    one[joint] = one[joint] - middle  # float32
            both.append(one)
        centred.append(both)
    for start, end, target in ((0, 1, [0.0, 0.0, 1.0]), (4, 8, [1.0, 0.0, 0.0])):
        bone = (centred[0][0][end] - centred[0][0][start]).astype(np.float64)
        turn = np.eye(3)
        axis = np.cross(bone, target)
        if np.abs(bone).sum() >= 1e-6 and np.abs(axis).sum() >= 1e-6:
            angle = math.atan2(float(np.linalg.norm(axis)), float(bone @ target))
            a = math.cos(angle / 2)
            b, c, d = -axis / np.linalg.norm(axis) * math.sin(angle / 2)
            turn = np.array(
                [
                    [a * a + b * b - c * c - d * d, 2 * (b * c + a * d), 2 * (b * d - a * c)],
                    [2 * (b * c - a * d), a * a + c * c - b * b - d * d, 2 * (c * d + a * b)],
                    [2 * (b * d + a * c), 2 * (c * d - a * b), a * a + d * d - b * b - c * c],
                ]
            )
        centred = [[(one @ turn.T).astype(np.float32) for one in both] for both in centred]
    return centred
