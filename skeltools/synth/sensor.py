"""The depth sensor: what it makes of true joints. Jitter, guesses at hidden joints, lost and false bodies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skeltools.synth.body import NUM_JOINTS
from skeltools.synth.pose import Array

TRACKED, INFERRED = 2, 1

_GROUPS: dict[tuple[int, ...], tuple[float, float]] = {
    (0, 1, 20): (0.4, 7.0),
    (2, 3): (0.5, 9.0),
    (4, 8): (0.8, 11.0),
    (5, 9): (2.0, 15.0),
    (6, 10): (4.5, 18.0),
    (7, 11): (5.5, 21.0),
    (21, 23): (9.0, 26.0),
    (22, 24): (10.0, 28.0),
    (12, 16): (0.5, 8.0),
    (13, 17): (1.8, 15.0),
    (14, 18): (2.5, 18.0),
    (15, 19): (6.0, 26.0),
}
_JITTER, _DRIFT = np.zeros(NUM_JOINTS), np.zeros(NUM_JOINTS)
for _joints, (_fast, _slow) in _GROUPS.items():
    _JITTER[list(_joints)], _DRIFT[list(_joints)] = _fast / 1000, _slow / 1000
_LIMBS = np.array([5, 6, 7, 9, 10, 11, 13, 14, 15, 17, 18, 19, 21, 22, 23, 24])
_RESTLESS = np.array([6, 7, 10, 11, 15, 19, 21, 22, 23, 24])
_DRIFT_FRAMES = 9


@dataclass(frozen=True)
class Recording:
    """What the sensor wrote down.

    Attributes:
        points: (L, B, 25, 3) float64, joints of every body ever seen, metres in the camera frame, with
            the 7 significant digits that raw files hold.
        state: (L, B, 25) tracking state of each joint, 2 tracked or 1 inferred.
        slots: (L, B) which body stands in each place of a frame; -1 where there is none. Places fill
            from the front.
        ids: (B,) tracking ids.
    """

    points: Array
    state: NDArray[np.int64]
    slots: NDArray[np.int64]
    ids: tuple[int, ...]

    def clip(self) -> NDArray[np.float32]:
        """Return the first two bodies of each frame in file order, float32 (3, L, 25, 2); absent is zero."""
        out = np.zeros((len(self.points), 2, NUM_JOINTS, 3))
        for place in range(min(2, self.slots.shape[1])):
            here = self.slots[:, place] >= 0
            out[here, place] = self.points[here, self.slots[here, place]]
        return np.ascontiguousarray(out.transpose(3, 0, 2, 1), dtype=np.float32)


def significant(values: Array, digits: int = 7) -> Array:
    """Return `values`, zero or beyond 1e-12, rounded to so many significant digits."""
    safe = np.where(values == 0, 1.0, values)
    power = 10.0 ** (digits - 1 - np.floor(np.log10(np.abs(safe))))
    return np.asarray(np.round(values * power) / power)


def observe(
    truth: Array, draw: np.random.Generator, there: NDArray[np.bool_] | None = None, losses: bool = True
) -> Recording:
    """Return what the sensor makes of `truth` (L, B, 25, 3), metres in the camera frame.

    Args:
        truth: Joints as they are.
        draw: Generator of everything that goes wrong.
        there: (L, B), whether each body is in view; always if None.
        losses: Whether bodies may be lost, come late, change places or be seen where there is none, as
            befalls short recordings.
    """
    frames, bodies = truth.shape[:2]
    present = np.ones((frames, bodies), dtype=bool) if there is None else there.copy()
    hidden = _hidden(truth, present, draw)
    state = np.where(hidden > 0.5, INFERRED, TRACKED)
    points = truth + _error(truth, hidden, draw)
    order = np.tile(draw.permutation(bodies), (frames, 1))
    if losses:
        if bodies == 2 and draw.random() < 0.015:
            order[int(draw.integers(frames)) :] = order[0, ::-1]
        points, state, present = _losses(points, state, present, draw)
        extra = np.arange(bodies, points.shape[1])
        order = np.concatenate([order, np.tile(extra, (frames, 1))], axis=1)
    seen = np.take_along_axis(present, order, axis=1)
    front = np.argsort(~seen, axis=1, kind="stable")
    slots = np.take_along_axis(np.where(seen, order, -1), front, axis=1)
    ids = 2**56 + 2 * draw.choice(np.arange(1000, 9000), points.shape[1], replace=False)
    return Recording(significant(points), state, slots, tuple(ids.tolist()))


def _smooth(values: Array, width: int) -> Array:
    """Return a moving average of `values` (L, ...) over `width` frames (odd), edges repeated."""
    half = width // 2
    padded = np.concatenate([values[:1].repeat(half, 0), values, values[-1:].repeat(half, 0)])
    total = np.cumsum(np.concatenate([np.zeros_like(padded[:1]), padded]), axis=0)
    return np.asarray((total[width:] - total[:-width]) / width)


def _hidden(truth: Array, present: NDArray[np.bool_], draw: np.random.Generator) -> Array:
    """Return how hidden each joint is (L, B, 25) in 0..1: behind a trunk, or lost for no visible reason."""
    frames, bodies = truth.shape[:2]
    limbs = truth[:, :, _LIMBS]
    hidden = np.zeros((frames, bodies, NUM_JOINTS))
    for other in range(bodies):
        low, high = truth[:, other, 0], truth[:, other, 20]
        span = high - low
        along = ((limbs - low[:, None, None]) * span[:, None, None]).sum(-1)
        along = np.clip(along / (span * span).sum(-1)[:, None, None], 0, 1)
        gap = limbs - (low[:, None, None] + along[..., None] * span[:, None, None])
        behind = (np.hypot(gap[..., 0], gap[..., 1]) < 0.13) & (gap[..., 2] > 0.05)
        behind &= present[:, other, None, None]
        hidden[:, :, _LIMBS] = np.maximum(hidden[:, :, _LIMBS], behind)
    lost = draw.random((bodies, len(_RESTLESS))) < 0.06
    for body, joint in np.argwhere(lost):
        begin = int(draw.integers(frames))
        hidden[begin : begin + int(draw.integers(4, 20)), body, _RESTLESS[joint]] = 1.0
    return _smooth(hidden, 5)


def _error(truth: Array, hidden: Array, draw: np.random.Generator) -> Array:
    """Return the error (L, B, 25, 3) in metres: drift and jitter, greater where a joint is hidden."""
    frames, bodies = truth.shape[:2]
    knots = frames // _DRIFT_FRAMES + 2
    where = np.arange(frames) / _DRIFT_FRAMES
    left = where.astype(np.int64)
    part = 0.5 - 0.5 * np.cos(np.pi * (where - left))
    weights = np.zeros((frames, knots))
    weights[np.arange(frames), left] = 1 - part
    weights[np.arange(frames), left + 1] = part
    slow = np.tensordot(weights, draw.standard_normal((knots, bodies, NUM_JOINTS, 3)), axes=1)
    slow += draw.standard_normal((bodies, NUM_JOINTS, 3))
    fast = draw.standard_normal((frames, bodies, NUM_JOINTS, 3))
    depth = (truth[:, :, :1, 2:] / 3.0) ** 2
    quality = float(np.exp(draw.normal(0, 0.25)))
    drift = _DRIFT * (0.6 + 1.6 * hidden) * quality
    jitter = _JITTER * (1.0 + 0.8 * hidden) * quality
    return np.asarray(slow * drift[..., None] + fast * jitter[..., None] * depth)


def _losses(
    points: Array, state: NDArray[np.int64], present: NDArray[np.bool_], draw: np.random.Generator
) -> tuple[Array, NDArray[np.int64], NDArray[np.bool_]]:
    frames, bodies = present.shape
    if draw.random() < 0.04:
        begin = int(draw.integers(frames))
        present[begin : begin + int(draw.integers(1, 7))] = False
    if draw.random() < 0.015:
        present[: int(draw.integers(1, 6))] = False
    if bodies == 2:
        fate = draw.random()
        if fate < 0.12:
            present[: int(draw.integers(2, 2 + frames // 3)), 1] = False
        elif fate < 0.20:
            present[-int(draw.integers(2, 2 + frames // 3)) :, 1] = False
    if not present.any():
        present[:, 0] = True
    if draw.random() < 0.02:
        length = int(draw.integers(3, 3 + frames // 3))
        begin = int(draw.integers(frames))
        away = np.array([draw.choice([-1.0, 1.0]) * draw.uniform(0.6, 1.3), 0.0, draw.uniform(0.0, 0.8)])
        shape = draw.uniform(0.4, 0.9) * (points[0, 0] - points[0, 0, 0]) + draw.normal(
            0, 0.05, (NUM_JOINTS, 3)
        )
        ghost = points[0, 0, 0] + away + shape + draw.normal(0, 0.02, (frames, NUM_JOINTS, 3))
        there = np.zeros(frames, dtype=bool)
        there[begin : begin + length] = True
        points = np.concatenate([points, ghost[:, None]], axis=1)
        state = np.concatenate([state, np.full((frames, 1, NUM_JOINTS), INFERRED)], axis=1)
        present = np.concatenate([present, there[:, None]], axis=1)
    return points, state, present
