"""A performer on stage: a natural idle pose in time, and the means by which actions change it.

Positions are given as (outwards, up, ahead) in nominal metres. Hands live in the chest frame, whose
origin lies between the shoulders: the mouth is near (0, 0.13, 0.11), the hips near (0.1, -0.5, 0).
Actions are written for the right side; the caller mirrors the joints for the left.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from skeltools.synth.performer import RESTS, Performer
from skeltools.synth.pose import Array, Pose

FPS = 30.0
Point = tuple[float, float, float]
OUT = np.array([[1.0, 1.0, 1.0], [-1.0, 1.0, 1.0]])
"""From (outwards, up, ahead) to (x, y, z), by side."""

_REST: dict[str, tuple[Point, Point]] = {
    "hang": ((0.225, -0.505, 0.03), (0.45, -0.2, -1.0)),
    "clasp": ((0.035, -0.42, 0.17), (1.0, -0.4, -0.5)),
    "hips": ((0.245, -0.40, 0.0), (1.0, 0.0, -0.5)),
    "back": ((0.04, -0.43, -0.12), (1.0, -0.2, -0.6)),
    "pocket": ((0.205, -0.44, 0.06), (0.7, -0.1, -1.0)),
}
_REST_HAND: dict[str, Point] = {
    "hang": (0.0, 0.0, 0.0),
    "clasp": (-0.8, -0.5, 0.2),
    "hips": (-0.8, -0.5, 0.3),
    "back": (-1.0, -0.2, 0.0),
    "pocket": (-0.1, -1.0, 0.2),
}


def ease(x: Array) -> Array:
    """Return the minimum-jerk rise from 0 at x <= 0 to 1 at x >= 1."""
    x = np.clip(x, 0.0, 1.0)
    return np.asarray(x * x * x * (10 + x * (6 * x - 15)))


def path(u: Array, times: Sequence[float], values: Array) -> Array:
    """Return minimum-jerk movement through `values` (K, ...) at `times` (K,) for each phase of `u` (L,)."""
    knots = np.asarray(times, dtype=np.float64)
    step = np.clip(np.searchsorted(knots, u, side="right") - 1, 0, len(knots) - 2)
    part = ease((u - knots[step]) / np.maximum(knots[step + 1] - knots[step], 1e-6))
    part = part.reshape(part.shape + (1,) * (values.ndim - 1))
    return np.asarray(values[step] + (values[step + 1] - values[step]) * part)


def wander(draw: np.random.Generator, seconds: Array, channels: int) -> Array:
    """Return slow smooth noise (L, channels) of about unit deviation."""
    rate = draw.uniform(0.08, 0.55, (3, channels)) * 2 * np.pi
    phase = draw.uniform(0, 2 * np.pi, (3, channels))
    weight = np.array([1.0, 0.7, 0.45])[:, None]
    waves = np.sin(seconds[:, None, None] * rate + phase) * weight
    return np.asarray(waves.sum(axis=1) * 1.05)


class Stage:
    """One performer during one recording.

    Attributes:
        draw: Generator of everything that varies in this performance.
        who: The performer.
        frames: Length L in frames.
        time: (L,) seconds from the start.
        u: (L,) phase of the action, 0 before it begins, 1 after it ends.
        seconds: Duration of the action.
        amplitude: Extent of movements, 1 is average.
        tempo: Speed of repeated movements, 1 is average.
        pose: The pose, idle at first; actions change it.
    """

    def __init__(self, who: Performer, draw: np.random.Generator, u: Array, seconds: float) -> None:
        self.who, self.draw, self.u, self.seconds = who, draw, u, seconds
        self.frames = len(u)
        self.time = np.arange(self.frames) / FPS
        self.amplitude = float(np.clip(who.amplitude * draw.normal(1.0, 0.08), 0.6, 1.45))
        self.tempo = float(who.tempo * np.exp(draw.normal(0, 0.15)))
        self.tilt = np.zeros((self.frames, 3))
        self.pose = self._idle()

    def _idle(self) -> Pose:
        who, draw, frames = self.who, self.draw, self.frames
        slow = wander(draw, self.time, 20) * who.unrest * float(np.exp(draw.normal(0, 0.25)))
        breath = np.sin(2 * np.pi * (0.28 * self.time + draw.random()))
        root = np.zeros((frames, 3))
        root[:, 0], root[:, 2] = 0.012 * slow[:, 0], 0.012 * slow[:, 1]
        root[:, 1] = -who.crouch - abs(draw.normal(0, 0.006))
        turn = slow[:, 2:5] * 0.012
        turn[:, 1] += draw.normal(0, 0.05)
        bend = slow[:, 5:8] * 0.018 + np.array(who.lean) * [1, 0, 0] + draw.normal(0, [0.06, 0.06, 0.035])
        bend[:, 1] += who.lean[2]
        bend[:, 2] += who.lean[1]
        bend[:, 0] += 0.008 * breath
        head = slow[:, 8:11] * [0.04, 0.07, 0.03] + draw.normal(0, [0.10, 0.12, 0.05])
        shrug = np.repeat((0.004 * breath + 0.012 * draw.normal())[:, None], 2, axis=1) + draw.normal(
            0, 0.006, 2
        )

        wrist, elbow, hand = (np.empty((frames, 2, 3)) for _ in range(3))
        shared = who.rest if draw.random() < 0.9 else str(draw.choice(RESTS))
        for side in range(2):
            habit = shared if draw.random() < 0.8 else "hang"
            where, pole = _REST[habit]
            loose = draw.normal(0, [0.025, 0.02, 0.035] if habit == "hang" else [0.015, 0.02, 0.015])
            wrist[:, side] = (np.array(where) + loose) * OUT[side]
            wrist[:, side] += 0.007 * slow[:, 11 + 3 * side : 14 + 3 * side]
            elbow[:, side] = (np.array([pole[0] + who.elbow, pole[1], pole[2]])) * OUT[side]
            hand[:, side] = np.array(_REST_HAND[habit]) * OUT[side]

        ankle, toe = np.zeros((frames, 2, 3)), np.zeros((frames, 2, 2))
        stance = max(0.04, who.stance + draw.normal(0, 0.02))
        stagger = draw.normal(0, 0.04)
        ankle[:, :, 0] = [stance, -stance]
        ankle[:, :, 2] = [stagger / 2, -stagger / 2]
        toe[:, :, 1] = np.array([1.0, -1.0]) * abs(draw.normal(0.2, 0.12))
        knee = np.tile(np.array([[0.15, 0.0, 1.0], [-0.15, 0.0, 1.0]]), (frames, 1, 1))
        return Pose(root, turn, bend, head, shrug, wrist, elbow, hand, ankle, toe, knee)

    # timing

    def vary(self, low: float, high: float) -> float:
        """Return a uniform draw."""
        return float(self.draw.uniform(low, high))

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return bool(self.draw.random() < probability)

    def hold(self, rise: float, top: float, fall: float = 2.0, end: float = 3.0) -> Array:
        """Return an envelope (L,): 0 until `rise`, 1 from `top` to `fall`, 0 after `end`."""
        return np.asarray(ease((self.u - rise) / (top - rise)) * (1 - ease((self.u - fall) / (end - fall))))

    def cycles(self, rate: float, begin: float = 0.0, end: float = 1.0, least: int = 2) -> Array:
        """Return how often something was done (L,) at `rate` hertz between two phases, whole in the end."""
        count = max(least, round(rate * self.tempo * self.seconds * (end - begin)))
        return np.asarray(np.clip((self.u - begin) / (end - begin), 0, 1) * count)

    # arms

    def spot(self, out: float, up: float, ahead: float) -> Array:
        """Return a hand target near (out, up, ahead) as this performer would aim at it this time."""
        return np.array([out, up, ahead]) + self.who.aim + self.draw.normal(0, 0.015, 3)

    def move(
        self,
        side: int,
        keys: Sequence[tuple[float, Array | None]],
        elbow: Point = (0.75, -0.8, -0.4),
        hand: Point = (0.0, 0.0, 0.0),
    ) -> Array:
        """Move a hand through `keys` (phase, target or None for its rest) and return its weight (L,).

        Targets are (outwards, up, ahead). Elbow and hand directions fade in with the weight.
        """
        times = [at for at, _ in keys]
        for index in range(1, len(times) - 1):
            room = min(times[index] - times[index - 1], times[index + 1] - times[index])
            times[index] += float(np.clip(self.draw.normal(0, 0.12), -0.3, 0.3)) * room
        weight = path(self.u, times, np.array([0.0 if target is None else 1.0 for _, target in keys]))
        given = [target for _, target in keys]
        filled = [
            target if target is not None else next(t for t in [*given[i:], *given[i::-1]] if t is not None)
            for i, target in enumerate(given)
        ]
        goal = path(self.u, times, np.stack(filled)) * OUT[side]
        blend = weight[:, None]
        self.pose.wrist[:, side] += blend * (goal - self.pose.wrist[:, side])
        pole = np.array([elbow[0] + 0.6 * self.who.elbow, elbow[1], elbow[2]]) * OUT[side]
        self.pose.elbow[:, side] += blend * (pole - self.pose.elbow[:, side])
        self.pose.hand[:, side] += blend * (np.array(hand) * OUT[side] - self.pose.hand[:, side])
        return weight

    def shift(self, side: int, offset: Array) -> None:
        """Add `offset` (L, 3) = (outwards, up, ahead) to where a hand is."""
        self.pose.wrist[:, side] += offset * OUT[side]

    # legs

    def step(self, side: int, keys: Sequence[tuple[float, Point]]) -> None:
        """Move a foot by offsets (outwards, up, ahead) through `keys`."""
        offsets = path(self.u, [at for at, _ in keys], np.array([point for _, point in keys]))
        self.pose.ankle[:, side] += offsets * OUT[side]

    def walk(self, distance: Array, stride: float = 0.62, lift: float = 0.10) -> None:
        """Walk ahead until the pelvis has gone `distance` (L,), nominal metres; falling is backwards.

        Arms swing against the legs; the feet come together where the body does not move.
        """
        speed = np.abs(np.gradient(distance)) * FPS
        kernel = np.hanning(11) / np.hanning(11).sum()
        going = np.clip(np.convolve(np.pad(speed, 5, mode="edge"), kernel, mode="valid") / 0.45, 0, 1)
        begin = self.draw.random()
        phase = distance / (2 * stride) + begin
        self.pose.root[:, 2] += distance
        self.pose.root[:, 1] -= 0.03 * going * np.abs(np.sin(2 * np.pi * phase))
        swing = self.vary(0.6, 1.4) * self.amplitude
        for side in range(2):
            turns = phase + 0.5 * side
            whole = np.floor(turns)
            air = np.clip((turns - whole - 0.58) / 0.42, 0, 1)
            ahead = 2 * stride * (whole + ease(air) + 0.29 - turns)
            self.pose.ankle[:, side, 2] += distance + going * ahead
            self.pose.ankle[:, side, 1] += going * lift * np.sin(np.pi * air)
            self.pose.toe[:, side, 0] -= going * 0.4 * np.sin(np.pi * np.clip(air * 1.5, 0, 1))
            arm = -going * swing * np.cos(2 * np.pi * (turns - 0.04))
            self.shift(side, np.stack([0 * arm, 0.04 * going + 0.03 * np.abs(arm), 0.17 * arm], axis=1))
        self.pose.bend[:, 1] += 0.07 * going * np.cos(2 * np.pi * phase)

    def about(self, angle: Array) -> None:
        """Turn the whole body left by `angle` (L,) on the spot, feet and all."""
        sine, cosine = np.sin(angle)[:, None], np.cos(angle)[:, None]
        x, z = self.pose.ankle[..., 0].copy(), self.pose.ankle[..., 2].copy()
        cx, cz = self.pose.root[:, :1], self.pose.root[:, 2:]
        self.pose.ankle[..., 0] = cx + cosine * (x - cx) + sine * (z - cz)
        self.pose.ankle[..., 2] = cz - sine * (x - cx) + cosine * (z - cz)
        self.pose.turn[:, 1] += angle
        self.pose.toe[..., 1] += angle[:, None]
        rate = np.clip(np.abs(np.gradient(angle)) * FPS / 2.5, 0, 1)
        tread = np.sin(2 * np.pi * 1.8 * self.time)
        self.pose.ankle[:, 0, 1] += 0.06 * rate * np.maximum(tread, 0)
        self.pose.ankle[:, 1, 1] += 0.06 * rate * np.maximum(-tread, 0)
