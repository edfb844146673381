"""Actions of two people who face each other, `gap` nominal metres apart at the start.

The first `Stage` is the one who acts. Both change their own poses, each in the person frame of its own.
"""

from __future__ import annotations

import numpy as np

from skeltools.synth.pose import LEFT, RIGHT
from skeltools.synth.stage import Stage, ease, path


def _recoil(b: Stage, start: float, strength: float) -> None:
    """Let `b` be thrown back from phase `start` on and come upright again."""
    hit = b.hold(start, start + 0.13, start + 0.18, min(start + 0.45, 1.0))
    b.pose.bend[:, 0] -= strength * 0.30 * hit
    b.pose.head[:, 0] -= strength * 0.25 * hit
    b.pose.turn[:, 0] -= strength * 0.10 * hit
    for side in (LEFT, RIGHT):
        b.shift(side, np.outer(strength * hit, [0.06, 0.10, 0.10]))
    back = b.hold(start, min(start + 0.4, 1.0))
    b.walk(-0.28 * strength * back, stride=0.30, lift=0.06)


def punch(a: Stage, b: Stage, gap: float) -> None:
    """Punch or slap the other person, who recoils."""
    hit = a.spot(0.0, a.vary(-0.08, 0.14), 0.52)
    guard = a.spot(0.16, -0.18, 0.12)
    if a.chance(0.45):
        guard = a.spot(0.34, 0.0, -0.02)
    a.move(
        RIGHT,
        [(0, None), (0.34, guard), (0.46, hit), (0.56, hit), (0.7, guard), (1, None)],
        elbow=(0.9, -0.6, -0.3),
    )
    twist = path(a.u, [0, 0.34, 0.47, 0.7, 1], np.array([0, -0.4, 0.5, 0.0, 0.0])) * a.amplitude
    a.pose.bend[:, 1] += twist
    a.pose.turn[:, 0] += 0.12 * a.hold(0.3, 0.46, 0.58, 0.8)
    a.walk(max(gap - 0.75, 0.1) * a.hold(0.05, 0.42), stride=0.4)
    _recoil(b, 0.44, b.vary(0.6, 1.3))


def kick_other(a: Stage, b: Stage, gap: float) -> None:
    """Kick the other person, who recoils."""
    high, far = 0.50 * a.amplitude * a.vary(0.6, 1.2), 0.60 * a.amplitude
    a.walk(max(gap - 0.95, 0.05) * a.hold(0.0, 0.3), stride=0.4)
    keys = [
        (0, (0.0, 0.0, 0.0)),
        (0.32, (0, 0.16, -0.20)),
        (0.47, (-0.04, high, far)),
        (0.54, (-0.04, high, far)),
    ]
    a.step(RIGHT, [*keys, (0.8, (0, 0.03, 0.03)), (1, (0, 0, 0))])
    a.pose.turn[:, 0] -= 0.28 * a.amplitude * a.hold(0.34, 0.48, 0.56, 0.8)
    a.pose.root[:, 0] += 0.05 * a.hold(0.2, 0.35, 0.7, 0.9)
    for side in (LEFT, RIGHT):
        a.shift(side, np.outer(a.hold(0.3, 0.45, 0.6, 0.85), [0.10, 0.14, 0.08]) * a.amplitude)
    _recoil(b, 0.46, b.vary(0.6, 1.2))


def push(a: Stage, b: Stage, gap: float) -> None:
    """Push the other person away with both hands; they stumble back."""
    for side in (LEFT, RIGHT):
        drawn, thrust = a.spot(0.14, -0.10, 0.18), a.spot(0.10, -0.04, 0.50)
        a.move(
            side, [(0, None), (0.32, drawn), (0.48, thrust), (0.62, thrust), (1, None)], hand=(-0.1, 0.9, 0.5)
        )
    a.pose.turn[:, 0] += 0.22 * a.amplitude * a.hold(0.3, 0.48, 0.6, 0.9)
    a.walk(max(gap - 0.7, 0.1) * a.hold(0.0, 0.45), stride=0.4)
    _recoil(b, 0.45, b.vary(1.3, 2.4))


def hug(a: Stage, b: Stage, gap: float) -> None:
    """Walk up to each other, embrace, let go."""
    share = a.vary(0.35, 0.65)
    close = gap - 0.34
    for s, part, height in ((a, share, -0.02), (b, 1 - share, -0.24)):
        s.walk(part * close * (s.hold(0.0, 0.35) - 0.45 * s.hold(0.78, 1.0)), stride=0.42)
        for side in (LEFT, RIGHT):
            wide, around = s.spot(0.28, height, 0.34), s.spot(-0.02, height - 0.04, 0.36)
            s.move(
                side,
                [
                    (0, None),
                    (0.26, wide),
                    (0.44, around),
                    (0.72, around),
                    (0.84, wide - [0.08, 0.12, 0.1]),
                    (1, None),
                ],
                elbow=(1.0, -0.4, 0.2),
                hand=(-0.9, 0.0, 0.1),
            )
        lean = s.hold(0.25, 0.45, 0.72, 0.88)
        s.pose.bend[:, 0] += 0.18 * lean
        s.pose.head[:, 2] += 0.2 * lean


def shake_hands(a: Stage, b: Stage, gap: float) -> None:
    """Step up, shake right hands, let go."""
    near = min(gap, a.vary(0.85, 1.0))
    beat = np.sin(2 * np.pi * a.cycles(1.8, 0.36, 0.78))
    middle = a.vary(-0.30, -0.20)
    for s in (a, b):
        s.walk(0.5 * (gap - near) * s.hold(0.0, 0.3), stride=0.4)
        meet = np.array([-0.02, middle, 0.46 * near / s.who.body.scale - 0.03]) + s.draw.normal(0, 0.012, 3)
        weight = s.move(RIGHT, [(0, None), (0.34, meet), (0.78, meet), (1, None)], hand=(0, 0, 1))
        s.shift(RIGHT, np.outer(beat * weight, [0, 0.04, 0]))
        s.pose.bend[:, 0] += s.vary(0.02, 0.2) * s.hold(0.15, 0.35, 0.75, 0.95)


def walk_together(a: Stage, b: Stage, gap: float) -> None:
    """Walk towards each other."""
    near = a.vary(0.6, 0.9)
    share = a.vary(0.4, 0.6)
    for s, part in ((a, share), (b, 1 - share)):
        s.walk(part * (gap - near) * s.hold(0.0, 1.0), stride=s.vary(0.5, 0.66))


def walk_apart(a: Stage, b: Stage, gap: float) -> None:
    """Turn round and walk away from each other."""
    far = a.vary(0.8, 1.5)
    for s in (a, b):
        way = 1 if s.chance(0.5) else -1
        turn = way * (np.pi - s.vary(0.0, 0.25)) * ease((s.u - 0.02) / s.vary(0.24, 0.36))
        # Facing the other way, ahead is away: walk first in the person frame, then turn everything.
        ahead = far * s.hold(0.18, 1.0) * s.vary(0.85, 1.15)
        s.walk(ahead, stride=s.vary(0.5, 0.66))
        s.pose.root[:, 2] -= ahead
        s.pose.ankle[:, :, 2] -= ahead[:, None]
        s.about(turn)
        for where in (s.pose.root, s.pose.ankle[:, LEFT], s.pose.ankle[:, RIGHT]):
            where[:, 0] += ahead * np.sin(turn)
            where[:, 2] += ahead * np.cos(turn)


def grab(a: Stage, b: Stage, gap: float) -> None:
    """Step up, seize what the other person holds and pull it away; they reach after it."""
    held = b.spot(0.06, b.vary(-0.26, -0.16), 0.26)
    after = b.spot(0.06, b.vary(-0.16, -0.02), 0.48)
    b.move(
        RIGHT,
        [(0, None), (0.12, held), (0.46, held), (0.6, after), (0.74, after), (1, None)],
        hand=(-0.2, 0.2, 1),
    )
    b.pose.turn[:, 0] += 0.2 * b.amplitude * b.hold(0.46, 0.6, 0.74, 0.95)
    near = min(gap, a.vary(0.75, 0.9))
    seize, away = a.spot(-0.06, a.vary(-0.22, -0.12), 0.46), a.spot(0.16, -0.22, 0.10)
    sides = (RIGHT, LEFT) if a.chance(0.3) else (RIGHT,)
    for side in sides:
        a.move(
            side,
            [(0, None), (0.36, seize), (0.46, seize), (0.62, away), (0.86, away), (1, None)],
            elbow=(0.8, -0.8, -0.6),
            hand=(-0.1, 0.1, 1),
        )
    a.walk((gap - near) * a.hold(0.0, 0.36) - a.vary(0.1, 0.35) * a.hold(0.48, 0.9), stride=0.4)
    a.pose.turn[:, 0] += (
        path(a.u, [0, 0.36, 0.46, 0.62, 1], np.array([0, 0.22, 0.22, -0.1, 0.0])) * a.amplitude
    )


def take_photo(a: Stage, b: Stage, gap: float) -> None:
    """Hold a camera before the face and press the button; the other person poses."""
    for side in (LEFT, RIGHT):
        eye = a.spot(0.09, a.vary(0.02, 0.10), 0.28)
        a.move(
            side,
            [(0, None), (0.26, eye), (0.84, eye), (1, None)],
            elbow=(0.9, -0.9, 0.0),
            hand=(-0.35, 0.9, 0.1),
        )
    a.pose.head[:, 0] += a.vary(0.0, 0.15) * a.hold(0.2, 0.35, 0.8, 0.95)
    a.pose.bend[:, 0] += a.vary(-0.1, 0.15) * a.hold(0.2, 0.35, 0.8, 0.95)
    sides = (RIGHT, LEFT) if b.chance(0.25) else (RIGHT,)
    if b.chance(0.5):
        pose, elbow, hand = b.spot(0.22, 0.12, 0.16), (0.9, -0.9, 0.0), (0.0, 1.0, 0.2)
    else:
        pose, elbow, hand = b.spot(0.24, -0.40, 0.0), (1.0, 0.0, -0.5), (-0.8, -0.5, 0.3)
    for side in sides:
        b.move(side, [(0, None), (0.3, pose), (0.8, pose), (1, None)], elbow=elbow, hand=hand)
    b.pose.head[:, 2] += b.vary(-0.2, 0.2) * b.hold(0.2, 0.4, 0.8, 1.0)
