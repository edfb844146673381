"""Actions of the arms and the upper body. Each changes the pose of the `Stage` it is given."""

from __future__ import annotations

import numpy as np

from skeltools.synth.pose import LEFT, RIGHT
from skeltools.synth.stage import Stage, path


def drink(s: Stage) -> None:
    """Take a cup at the waist, lift it to the mouth, tip it, put it back."""
    waist, mouth = s.spot(0.08, -0.30, 0.27), s.spot(0.05, 0.03, 0.20)
    s.move(
        RIGHT,
        [
            (0.0, None),
            (0.2, waist),
            (0.45, mouth),
            (0.75, mouth + np.array([0.02, 0.03, -0.01])),
            (0.9, waist),
            (1.0, None),
        ],
        elbow=(0.8, -0.7, -0.2),
        hand=(-0.8, 0.3, -0.1),
    )
    s.pose.head[:, 0] -= s.vary(0.15, 0.4) * s.hold(0.4, 0.55, 0.7, 0.82)


def throw(s: Stage) -> None:
    """Wind up behind the head, throw forward, follow through, with a step and a twist."""
    back, release, low = s.spot(0.28, 0.14, -0.16), s.spot(0.08, 0.16, 0.46), s.spot(-0.12, -0.30, 0.32)
    s.move(
        RIGHT, [(0.0, None), (0.38, back), (0.52, release), (0.66, low), (1.0, None)], elbow=(1.0, 0.0, -0.3)
    )
    twist = path(s.u, [0, 0.38, 0.6, 1], np.array([0, -0.45, 0.45, 0.0])) * s.amplitude
    s.pose.bend[:, 1] += twist
    s.pose.turn[:, 1] += 0.4 * twist
    s.pose.bend[:, 0] += path(s.u, [0, 0.38, 0.6, 1], np.array([0, -0.15, 0.3, 0.0])) * s.amplitude
    if s.chance(0.6):
        s.step(
            LEFT,
            [
                (0, (0, 0, 0)),
                (0.3, (0, 0.1, 0.12)),
                (0.45, (0, 0, 0.26)),
                (0.75, (0, 0, 0.26)),
                (1, (0, 0, 0)),
            ],
        )
        s.pose.root[:, 2] += 0.12 * s.hold(0.25, 0.5, 0.7, 1.0)


def clap(s: Stage) -> None:
    """Clap in front of the chest."""
    meet = s.spot(0.0, -0.14 + s.vary(-0.12, 0.08), 0.30)
    meet[0] = s.vary(0.015, 0.04)
    beat = s.cycles(2.4, 0.15, 0.88)
    apart = 0.13 * s.amplitude * s.vary(0.6, 1.3)
    opening = apart * np.sin(np.pi * beat) ** 2
    for side in (LEFT, RIGHT):
        weight = s.move(side, [(0, None), (0.15, meet), (0.88, meet), (1, None)], hand=(-0.5, 0.6, 0.8))
        s.shift(side, np.stack([opening * weight, 0.1 * opening * weight, 0 * opening], axis=1))


def cheer(s: Stage) -> None:
    """Throw both arms up and shake them, bouncing."""
    beat = s.cycles(1.6, 0.2, 0.85)
    shake = np.sin(2 * np.pi * beat)
    high = s.spot(0.24, 0.40, 0.05)
    for side in (LEFT, RIGHT):
        up = high + s.draw.normal(0, 0.03, 3)
        weight = s.move(side, [(0, None), (0.22, up), (0.82, up), (1, None)], elbow=(1.0, 0.0, 0.3))
        s.shift(side, np.outer(0.07 * s.amplitude * shake * weight, [0.2, 1.0, 0.3]))
    s.pose.root[:, 1] -= (
        0.05 * s.amplitude * s.hold(0.15, 0.3, 0.8, 0.95) * (0.5 - 0.5 * np.cos(2 * np.pi * beat))
    )


def wave(s: Stage) -> None:
    """Raise a hand and wave it from side to side."""
    top = s.spot(0.27, 0.20 + s.vary(-0.14, 0.12), 0.12)
    weight = s.move(
        RIGHT, [(0, None), (0.2, top), (0.84, top), (1, None)], elbow=(0.9, -0.9, 0.0), hand=(0, 1, 0.15)
    )
    swing = np.sin(2 * np.pi * s.cycles(1.5, 0.18, 0.86)) * weight * s.amplitude
    s.shift(RIGHT, np.outer(swing, [0.13, -0.02, 0.0]))
    s.pose.hand[:, RIGHT, 0] -= 0.7 * swing


def phone(s: Stage) -> None:
    """Lift a telephone to the ear and keep it there."""
    ear = s.spot(0.12, 0.08, 0.08)
    s.move(
        RIGHT,
        [
            (0, None),
            (0.12, s.spot(0.12, -0.3, 0.25)),
            (0.35, ear),
            (0.9, ear + s.draw.normal(0, 0.01, 3)),
            (1, None),
        ],
        elbow=(0.8, -0.9, 0.1),
        hand=(-0.15, 0.9, -0.2),
    )
    s.pose.head[:, 2] += s.vary(0.0, 0.2) * s.hold(0.2, 0.4, 0.9, 1.0)


def point(s: Stage) -> None:
    """Stretch an arm out and point."""
    away = s.vary(-0.15, 0.4)
    aim = s.spot(0.14 + 0.5 * np.sin(away), s.vary(-0.12, 0.12), 0.5 * np.cos(away))
    s.move(RIGHT, [(0, None), (0.3, aim), (0.78, aim), (1, None)], hand=(0.4 * away, 0.0, 1.0))
    s.pose.head[:, 1] -= 0.5 * away * s.hold(0.1, 0.3, 0.75, 0.95)
    s.pose.bend[:, 1] -= 0.3 * away * s.hold(0.1, 0.3, 0.75, 0.95)


def rub_hands(s: Stage) -> None:
    """Rub the palms against each other at the waist."""
    meet = s.spot(0.02, -0.24 + s.vary(-0.1, 0.06), 0.28)
    meet[0] = s.vary(0.015, 0.035)
    rub = np.sin(2 * np.pi * s.cycles(2.2, 0.18, 0.88)) * s.amplitude
    for side, sign in ((LEFT, 1), (RIGHT, -1)):
        weight = s.move(side, [(0, None), (0.18, meet), (0.88, meet), (1, None)], hand=(-0.6, 0.1, 0.9))
        s.shift(side, np.outer(sign * rub * weight, [0.0, 0.012, 0.05]))


def bow(s: Stage) -> None:
    """Bow from the hips and rise again."""
    deep = s.vary(0.5, 1.1) * s.amplitude * s.hold(0.05, 0.42, 0.58, 0.97)
    s.pose.turn[:, 0] += 0.62 * deep
    s.pose.bend[:, 0] += 0.38 * deep
    s.pose.head[:, 0] += 0.35 * deep
    s.pose.root[:, 2] -= 0.13 * deep


def salute(s: Stage) -> None:
    """Bring a flat hand to the brow, hold, drop it."""
    brow = s.spot(0.15, 0.16, 0.12)
    s.move(
        RIGHT,
        [(0, None), (s.vary(0.2, 0.32), brow), (s.vary(0.7, 0.82), brow), (1, None)],
        elbow=(1.0, -0.1, 0.15),
        hand=(-0.8, 0.55, -0.1),
    )


def palms_together(s: Stage) -> None:
    """Put the palms together in front of the chest and hold."""
    meet = s.spot(0.02, -0.10, 0.22)
    meet[0] = s.vary(0.015, 0.03)
    for side in (LEFT, RIGHT):
        s.move(
            side,
            [(0, None), (0.28, meet), (0.8, meet), (1, None)],
            elbow=(1.0, -0.5, -0.1),
            hand=(-0.15, 1, 0.2),
        )
    s.pose.head[:, 0] += s.vary(0.0, 0.25) * s.hold(0.2, 0.4, 0.75, 0.95)


def cross_hands(s: Stage) -> None:
    """Cross the forearms in front to say stop."""
    high = s.vary(-0.12, 0.08)
    for side, depth in ((LEFT, 0.30), (RIGHT, 0.35)):
        cross = s.spot(-0.09, high, depth)
        s.move(
            side,
            [(0, None), (0.3, cross), (0.78, cross), (1, None)],
            elbow=(1.0, -0.6, 0.1),
            hand=(-0.4, 1, 0.3),
        )


def touch_head(s: Stage) -> None:
    """Hold the head with one hand or both, as with a headache."""
    spot = s.spot(0.10, 0.15, 0.05)
    for side in (RIGHT, LEFT) if s.chance(0.5) else (RIGHT,):
        s.move(
            side,
            [(0, None), (0.3, spot), (0.85, spot + s.draw.normal(0, 0.015, 3)), (1, None)],
            elbow=(1.0, -0.3, 0.35),
            hand=(-0.7, 0.6, -0.2),
        )
    s.pose.head[:, 0] += s.vary(0.1, 0.45) * s.hold(0.15, 0.4, 0.85, 1.0)
    s.pose.bend[:, 0] += s.vary(0.0, 0.2) * s.hold(0.15, 0.4, 0.85, 1.0)


def touch_chest(s: Stage) -> None:
    """Press a hand on chest or stomach and stoop."""
    spot = s.spot(-0.01, s.vary(-0.32, -0.14), 0.16)
    for side in (RIGHT, LEFT) if s.chance(0.35) else (RIGHT,):
        s.move(
            side,
            [(0, None), (0.28, spot), (0.85, spot), (1, None)],
            elbow=(1.0, -0.5, -0.4),
            hand=(-1, 0, -0.2),
        )
    s.pose.bend[:, 0] += s.vary(0.1, 0.4) * s.amplitude * s.hold(0.15, 0.45, 0.8, 1.0)
    s.pose.head[:, 0] += 0.2 * s.hold(0.15, 0.45, 0.8, 1.0)


def touch_back(s: Stage) -> None:
    """Reach for the lower back and arch it."""
    spot = s.spot(0.09, -0.38, -0.12)
    for side in (RIGHT, LEFT) if s.chance(0.4) else (RIGHT,):
        s.move(
            side,
            [(0, None), (0.3, spot), (0.85, spot), (1, None)],
            elbow=(0.9, 0.1, -0.9),
            hand=(-0.9, -0.4, 0.0),
        )
    s.pose.bend[:, 0] -= s.vary(0.1, 0.35) * s.amplitude * s.hold(0.2, 0.5, 0.8, 1.0)


def arm_circles(s: Stage) -> None:
    """Swing both straight arms in circles at the sides."""
    turn = 2 * np.pi * s.cycles(0.9, 0.08, 0.94) * (1 if s.chance(0.5) else -1)
    reach = 0.44
    for side in (LEFT, RIGHT):
        weight = s.move(
            side, [(0, None), (0.1, s.spot(0.22, -0.04, 0.0)), (0.9, s.spot(0.22, -0.04, 0.0)), (1, None)]
        )
        s.shift(
            side,
            reach * weight[:, None] * np.stack([0.1 * np.abs(np.sin(turn)), -np.cos(turn), np.sin(turn)], 1),
        )


def hands_up(s: Stage) -> None:
    """Raise both hands and keep them up."""
    for side in (LEFT, RIGHT):
        top = s.spot(0.24, 0.30, 0.08)
        s.move(side, [(0, None), (0.3, top), (0.8, top), (1, None)], elbow=(1.0, -0.3, 0.1), hand=(0, 1, 0.1))


def cross_arms(s: Stage) -> None:
    """Fold the arms over the chest."""
    for side, depth in ((LEFT, 0.17), (RIGHT, 0.21)):
        fold = s.spot(-0.10, -0.20, depth)
        s.move(
            side,
            [(0, None), (0.35, fold), (0.82, fold), (1, None)],
            elbow=(0.9, -0.7, 0.2),
            hand=(-1, 0.2, -0.2),
        )
