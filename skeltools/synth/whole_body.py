"""Actions that move the legs and the whole body. Each changes the pose of the `Stage` it is given."""

from __future__ import annotations

import numpy as np

from skeltools.synth.pose import LEFT, RIGHT, Array
from skeltools.synth.stage import Stage, path, wander


def pick_up(s: Stage) -> None:
    """Bend down with more or less of a squat, take something from the floor, rise."""
    down = s.hold(0.05, 0.42, 0.56, 0.95)
    squat = s.vary(0.15, 0.75)
    s.pose.root[:, 1] -= (0.12 + 0.30 * squat) * down
    s.pose.root[:, 2] -= (0.16 - 0.06 * squat) * down
    s.pose.turn[:, 0] += (1.0 - 0.35 * squat) * down
    s.pose.bend[:, 0] += (0.75 - 0.2 * squat) * down
    s.pose.head[:, 0] -= 0.2 * down
    floor = s.spot(0.10, -0.16, 0.48)
    lifted = s.spot(0.12, -0.32, 0.22)
    s.move(RIGHT, [(0, None), (0.42, floor), (0.56, floor), (0.85, lifted), (1, None)])


def _seat(s: Stage, seated: Array) -> None:
    lean = np.sin(np.pi * seated)
    s.pose.root[:, 1] -= s.vary(0.36, 0.42) * seated
    s.pose.root[:, 2] -= 0.36 * seated + 0.05 * lean
    s.pose.turn[:, 0] += 0.55 * s.amplitude * lean
    s.pose.bend[:, 0] += 0.30 * s.amplitude * lean - 0.05 * seated
    knees = s.chance(0.6)
    for side in (LEFT, RIGHT):
        lap = s.spot(0.12, -0.40, 0.24) if knees else s.spot(0.22, -0.44, 0.12)
        goal = lap * ([1, 1, 1] if side == LEFT else [-1, 1, 1])
        s.pose.wrist[:, side] += seated[:, None] * (goal - s.pose.wrist[:, side])
        swing = (0.12 * s.amplitude * lean)[:, None] * np.array([0.3, 0.5, 1.0])
        s.shift(side, swing)


def sit_down(s: Stage) -> None:
    """Sit down on a chair."""
    _seat(s, s.hold(0.15, 0.85))


def stand_up(s: Stage) -> None:
    """Get up from a chair."""
    _seat(s, 1 - s.hold(0.15, 0.85))


def kick(s: Stage) -> None:
    """Kick forward with one leg."""
    high, far = 0.34 * s.amplitude * s.vary(0.6, 1.4), 0.62 * s.amplitude
    s.step(
        RIGHT,
        [
            (0, (0, 0, 0)),
            (0.32, (0, 0.14, -0.26)),
            (0.5, (-0.05, high, far)),
            (0.58, (-0.05, high, far)),
            (0.85, (0, 0.03, 0.05)),
            (1, (0, 0, 0)),
        ],
    )
    lean = path(s.u, [0, 0.32, 0.52, 0.85, 1], np.array([0, 0.12, -0.24, 0.0, 0.0])) * s.amplitude
    s.pose.turn[:, 0] += lean
    s.pose.root[:, 0] += 0.06 * s.hold(0.1, 0.3, 0.7, 0.9)
    for side, sign in ((LEFT, 1.0), (RIGHT, -1.0)):
        swing = path(s.u, [0, 0.32, 0.52, 0.9, 1], np.array([0, -0.06, 0.16, 0.0, 0.0])) * s.amplitude
        s.shift(side, np.outer(np.abs(swing), [0.8, 0.5, 0]) + np.outer(sign * swing, [0, 0, 1.0]))


def side_kick(s: Stage) -> None:
    """Kick to the side with one leg, leaning away."""
    high, far = 0.42 * s.amplitude * s.vary(0.6, 1.3), 0.55 * s.amplitude
    keys = [
        (0, (0, 0, 0)),
        (0.3, (0, 0.22, 0.10)),
        (0.5, (far, high, 0)),
        (0.58, (far, high, 0)),
        (0.85, (0, 0.03, 0)),
    ]
    s.step(RIGHT, [*keys, (1, (0, 0, 0))])
    s.pose.turn[:, 2] -= 0.38 * s.amplitude * s.hold(0.25, 0.5, 0.6, 0.9)
    s.pose.root[:, 0] += 0.10 * s.hold(0.1, 0.3, 0.7, 0.95)


def _bounce(beat: Array, envelope: Array) -> tuple[Array, Array]:
    """Return (crouch, flight), each (L,) in 0..1: 45 % of a beat on the floor, the rest in the air."""
    part = beat - np.floor(beat)
    ground, air = np.clip(part / 0.45, 0, 1), np.clip((part - 0.45) / 0.55, 0, 1)
    return envelope * np.sin(np.pi * ground), envelope * 4 * air * (1 - air)


def hop(s: Stage) -> None:
    """Hop on one foot, the other drawn up."""
    crouch, flight = _bounce(s.cycles(1.9, 0.18, 0.85), s.hold(0.15, 0.2, 0.84, 0.88))
    rise = 0.10 * s.amplitude * flight
    up = s.hold(0.02, 0.16, 0.88, 1.0)
    s.pose.root[:, 1] += rise - 0.07 * crouch
    s.pose.root[:, 0] += 0.07 * up
    s.pose.ankle[:, LEFT, 1] += rise
    s.pose.ankle[:, LEFT, 0] -= 0.06 * up
    s.pose.toe[:, LEFT, 0] -= 0.5 * flight
    s.pose.ankle[:, RIGHT, 1] += up * s.vary(0.2, 0.4) + rise
    s.pose.ankle[:, RIGHT, 2] -= up * s.vary(0.0, 0.34)
    lift = up * s.vary(0.02, 0.16)
    for side in (LEFT, RIGHT):
        s.shift(side, np.stack([lift, lift + 0.05 * flight, 0.5 * lift], axis=1))


def jump_up(s: Stage) -> None:
    """Crouch, leap straight up, land and recover."""
    crouch = s.hold(0.08, 0.3, 0.36, 0.44) + 0.7 * s.hold(0.60, 0.68, 0.72, 0.92)
    air = np.clip((s.u - 0.43) / 0.2, 0, 1)
    flight = 0.27 * s.amplitude * 4 * air * (1 - air)
    s.pose.root[:, 1] += flight - 0.24 * s.amplitude * crouch
    s.pose.ankle[:, :, 1] += flight[:, None]
    s.pose.toe[:, :, 0] -= (2.6 * flight)[:, None]
    s.pose.turn[:, 0] += 0.35 * crouch
    s.pose.bend[:, 0] += 0.25 * crouch
    s.pose.root[:, 2] -= 0.08 * crouch
    up, back = s.vary(0.1, 0.75), s.vary(0.05, 0.25)
    swing = path(s.u, [0, 0.3, 0.48, 0.68, 1], np.array([0, -back, up, 0.1 * up, 0.0])) * s.amplitude
    for side in (LEFT, RIGHT):
        s.shift(side, np.stack([0.1 * np.abs(swing), np.abs(swing), 0.6 * swing], axis=1))


def squat(s: Stage) -> None:
    """Squat down and come up, once or several times."""
    count = 1 if s.seconds < 2.2 else int(s.draw.integers(1, 4))
    low = np.sin(np.pi * s.cycles(0.0, 0.05, 0.95, least=count)) ** 2 * s.amplitude
    s.pose.root[:, 1] -= 0.42 * low
    s.pose.root[:, 2] -= 0.12 * low
    s.pose.turn[:, 0] += 0.55 * low
    s.pose.bend[:, 0] += 0.15 * low
    front = s.spot(0.16, -0.05, 0.44)
    if s.chance(0.6):
        for side in (LEFT, RIGHT):
            s.move(side, [(0, None), (0.3, front), (0.75, front), (1, None)])


def run_on_spot(s: Stage) -> None:
    """Run without leaving the place."""
    beat = s.cycles(1.5, 0.08, 0.94)
    going = s.hold(0.05, 0.15, 0.88, 0.97)
    for side in (LEFT, RIGHT):
        wave = np.sin(2 * np.pi * beat + np.pi * side)
        rise = going * np.maximum(wave, 0) * s.amplitude
        s.pose.ankle[:, side, 1] += 0.26 * rise
        s.pose.ankle[:, side, 2] -= 0.12 * rise
        s.move(
            side, [(0, None), (0.12, s.spot(0.17, -0.30, 0.16)), (0.92, s.spot(0.17, -0.30, 0.16)), (1, None)]
        )
        s.shift(side, np.outer(-going * wave * s.amplitude, [0.0, 0.08, 0.15]))
    s.pose.root[:, 1] += 0.03 * going * np.cos(4 * np.pi * beat)


def butt_kicks(s: Stage) -> None:
    """Run on the spot with the heels thrown up behind."""
    beat = s.cycles(1.4, 0.08, 0.94)
    going = s.hold(0.05, 0.15, 0.88, 0.97)
    for side in (LEFT, RIGHT):
        rise = going * np.maximum(np.sin(2 * np.pi * beat + np.pi * side), 0) * s.amplitude
        s.pose.ankle[:, side, 1] += 0.42 * rise
        s.pose.ankle[:, side, 2] -= 0.42 * rise
    s.pose.turn[:, 0] += 0.12 * going


def stagger(s: Stage) -> None:
    """Walk unsteadily, swaying to and fro."""
    going = s.hold(0.0, 0.15, 0.85, 1.0)
    sway = wander(s.draw, 2.6 * s.time, 6) * going[:, None] * s.amplitude
    distance = s.vary(0.5, 1.1) * s.hold(0.05, 0.95) + 0.10 * sway[:, 5]
    s.walk(distance, stride=0.38, lift=0.08)
    aside = 0.13 * sway[:, 0]
    s.pose.root[:, 0] += aside
    s.pose.ankle[:, :, 0] += 0.8 * aside[:, None]
    s.pose.turn[:, 2] -= 0.14 * sway[:, 0]
    s.pose.bend += sway[:, 1:4] * [0.14, 0.12, 0.12]
    s.pose.bend[:, 0] += 0.15 * going
    for side in (LEFT, RIGHT):
        s.shift(side, going[:, None] * [0.14, 0.12, 0.05] + 0.08 * sway[:, [4, 1 + side, 2]])


def fall(s: Stage) -> None:
    """Lose balance and drop to the floor, forwards, backwards or sideways; stay there."""
    way = s.draw.choice(["back", "front", "side"], p=[0.4, 0.25, 0.35])
    down = s.hold(0.2, 0.72)
    knees = s.hold(0.12, 0.5)
    s.pose.root[:, 1] -= 0.30 * knees + 0.42 * down
    if way == "back":
        s.pose.turn[:, 0] -= 1.30 * down
        s.pose.root[:, 2] -= 0.62 * down
        s.pose.bend[:, 0] += 0.25 * down
    elif way == "front":
        s.pose.turn[:, 0] += 1.35 * down
        s.pose.root[:, 2] += 0.48 * down
        s.pose.ankle[:, :, 2] -= 0.55 * down[:, None]
        s.pose.bend[:, 0] -= 0.15 * down
    else:
        s.pose.turn[:, 2] += 1.25 * down
        s.pose.root[:, 0] -= 0.45 * down
        s.pose.bend[:, 2] -= 0.2 * down
        s.pose.ankle[:, :, 2] += [0.25, 0.1] * down[:, None]
    flail = s.hold(0.2, 0.45, 0.6, 0.85)
    for side in (LEFT, RIGHT):
        s.shift(side, np.outer(flail, [0.16, 0.30, 0.12]) * s.amplitude + np.outer(down, [0.08, 0.18, 0.05]))


def walk_ahead(s: Stage) -> None:
    """Walk a few steps."""
    s.walk(s.vary(1.0, 1.8) * s.hold(0.0, 1.0))
