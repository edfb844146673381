"""Small actions of the hands about face, chest and waist: NTU-120's novel classes. Style as in `gestures`."""

from __future__ import annotations

import numpy as np

from skeltools.synth.pose import LEFT, RIGHT
from skeltools.synth.stage import Stage


def _look_down(s: Stage, angle: float) -> None:
    """Look at what the hands do while they do it."""
    s.pose.head[:, 0] += angle * s.hold(0.05, 0.25, 0.85, 1.0)


def tear_paper(s: Stage) -> None:
    """Hold a sheet before the chest and rip it, hands going opposite ways; join the halves, rip again."""
    meet = s.spot(0.0, s.vary(-0.22, -0.12), 0.30)
    meet[0] = s.vary(0.03, 0.06)
    rip = s.amplitude * np.sin(np.pi * s.cycles(0.9, 0.2, 0.86)) ** 2
    for side, sign in ((LEFT, 1), (RIGHT, -1)):
        weight = s.move(side, [(0, None), (0.18, meet), (0.86, meet), (1, None)], hand=(-0.6, 0.5, 0.6))
        s.shift(side, np.outer(rip * weight, [0.15, 0.09 * sign, 0.07 * sign]))
    _look_down(s, s.vary(0.15, 0.4))


def take_off_glasses(s: Stage) -> None:
    """Take a pair of glasses by its temples, pull it off ahead, bring it down."""
    temple, off, low = s.spot(0.09, 0.10, 0.10), s.spot(0.08, 0.07, 0.33), s.spot(0.10, -0.27, 0.28)
    keys = [(0, None), (0.26, temple), (0.42, temple), (0.55, off), (0.76, low), (0.86, low), (1, None)]
    for side in (RIGHT, LEFT) if s.chance(0.6) else (RIGHT,):
        s.move(side, keys, elbow=(1.0, -0.6, 0.2), hand=(-0.1, 0.9, 0.2))
    s.pose.head[:, 0] += s.vary(0.1, 0.3) * s.hold(0.15, 0.35, 0.5, 0.7)


def reach_into_pocket(s: Stage) -> None:
    """Raise a hand to the hip, slide it into the trouser pocket, feel about, bring a thing out."""
    above, inside, out = s.spot(0.25, -0.34, 0.0), s.spot(0.19, -0.47, 0.06), s.spot(0.10, -0.26, 0.30)
    weight = s.move(
        RIGHT,
        [(0, None), (0.2, above), (0.36, inside), (0.6, inside), (0.7, above), (0.84, out), (1, None)],
        elbow=(0.8, 0.1, -1.0),
        hand=(-0.15, -1.0, 0.25),
    )
    feel = np.sin(2 * np.pi * s.cycles(2.0, 0.36, 0.6)) * s.hold(0.34, 0.4, 0.56, 0.62) * weight
    s.shift(RIGHT, np.outer(feel, [0.015, 0.025, 0.01]))
    s.pose.hand[:, RIGHT] += np.outer(s.hold(0.62, 0.8, 0.85, 1.0), [0.0, 1.2, 0.7])
    side = s.hold(0.1, 0.35, 0.6, 0.8)
    s.pose.bend[:, 2] += s.vary(0.05, 0.18) * side
    s.pose.head[:, 0] += s.vary(0.1, 0.4) * side
    s.pose.head[:, 1] -= s.vary(0.1, 0.3) * side


def wipe_face(s: Stage) -> None:
    """Wipe the face with one hand or both, up and down and across."""
    face = s.spot(0.06, 0.10, 0.18)
    stroke = 2 * np.pi * s.cycles(1.5, 0.24, 0.84)
    for side in (RIGHT, LEFT) if s.chance(0.35) else (RIGHT,):
        weight = s.move(
            side,
            [(0, None), (0.24, face), (0.84, face), (1, None)],
            elbow=(1.0, -0.7, 0.1),
            hand=(-0.7, 0.7, -0.2),
        )
        wipe = s.amplitude * weight
        s.shift(
            side, np.stack([0.05 * wipe * np.sin(0.5 * stroke), 0.08 * wipe * np.cos(stroke), 0 * wipe], 1)
        )
    s.pose.head[:, 0] += s.vary(0.0, 0.25) * s.hold(0.15, 0.35, 0.8, 1.0)


def use_fan(s: Stage) -> None:
    """Fan oneself with a quick hand beside the face."""
    near = s.spot(0.15, s.vary(-0.08, 0.06), 0.27)
    weight = s.move(
        RIGHT,
        [(0, None), (0.16, near), (0.9, near), (1, None)],
        elbow=(0.9, -0.9, 0.0),
        hand=(-0.3, 0.9, 0.1),
    )
    swing = np.sin(2 * np.pi * s.cycles(2.6, 0.14, 0.92)) * weight * s.amplitude
    s.shift(RIGHT, np.outer(swing, [0.02, 0.02, 0.06]))
    s.pose.hand[:, RIGHT] += np.outer(swing, [-0.3, 0.0, 0.7])
    s.pose.head[:, 0] -= s.vary(0.0, 0.2) * s.hold(0.1, 0.3, 0.85, 1.0)


def put_on_headphone(s: Stage) -> None:
    """Take a headphone at the waist, lift it over the head with both hands, press it on the ears."""
    for side in (LEFT, RIGHT):
        low, over, ear = s.spot(0.10, -0.26, 0.28), s.spot(0.15, 0.32, 0.10), s.spot(0.13, 0.10, 0.03)
        s.move(
            side,
            [(0, None), (0.18, low), (0.28, low), (0.52, over), (0.66, ear), (0.86, ear), (1, None)],
            elbow=(1.0, -0.4, 0.2),
            hand=(-0.35, 0.9, 0.0),
        )
    s.pose.head[:, 0] += s.vary(0.1, 0.3) * s.hold(0.35, 0.55, 0.7, 0.9)


def hush(s: Stage) -> None:
    """Lay a finger upright on the lips and hold it there, leaning forward a little."""
    lips = s.spot(0.01, 0.01, 0.19)
    s.move(
        RIGHT,
        [(0, None), (s.vary(0.22, 0.32), lips), (0.8, lips), (1, None)],
        elbow=(0.7, -1.0, 0.1),
        hand=(-0.05, 1.0, -0.2),
    )
    lean = s.vary(0.05, 0.2) * s.amplitude * s.hold(0.1, 0.35, 0.75, 1.0)
    s.pose.bend[:, 0] += lean
    s.pose.head[:, 0] += 0.5 * lean


def staple_book(s: Stage) -> None:
    """Hold a book flat at the waist with one hand, press a stapler down on its edge with the other."""
    book = s.spot(0.02, -0.31, 0.30)
    above = s.spot(-0.02, -0.19, 0.30)
    s.move(LEFT, [(0, None), (0.16, book), (0.9, book), (1, None)], hand=(-0.8, 0.1, 0.4))
    weight = s.move(RIGHT, [(0, None), (0.2, above), (0.88, above), (1, None)], hand=(-0.5, -0.3, 0.7))
    press = np.sin(np.pi * s.cycles(1.1, 0.22, 0.86)) ** 4 * weight
    along = (s.hold(0.22, 0.86) - 0.5) * weight
    s.shift(RIGHT, np.outer(press * s.amplitude, [0, -0.09, 0]) + np.outer(along, [0, 0, 0.07]))
    s.pose.bend[:, 0] += 0.05 * press + s.vary(0.05, 0.2) * s.hold(0.1, 0.25, 0.85, 1.0)
    _look_down(s, s.vary(0.3, 0.6))


def sniff(s: Stage) -> None:
    """Bring something under the nose, bend to it, draw in air with small lifts of head and chest."""
    nose = s.spot(0.05, 0.0, 0.23)
    for side in (RIGHT, LEFT) if s.chance(0.4) else (RIGHT,):
        s.move(
            side,
            [(0, None), (0.3, nose), (0.78, nose), (1, None)],
            elbow=(0.7, -1.0, -0.2),
            hand=(-0.6, 0.35, 0.3),
        )
    bent = s.hold(0.15, 0.35, 0.72, 0.92)
    breath = np.sin(np.pi * s.cycles(1.5, 0.34, 0.76)) ** 2 * bent
    s.pose.head[:, 0] += s.vary(0.25, 0.5) * bent - 0.18 * breath
    s.pose.bend[:, 0] += s.vary(0.08, 0.2) * bent - 0.06 * breath
    s.pose.shrug += 0.025 * breath[:, None]


def apply_cream(s: Stage) -> None:
    """Spread cream between the hands, then rub it into both cheeks in circles."""
    cheek, meet = s.spot(0.10, 0.03, 0.15), s.spot(0.02, -0.17, 0.28)
    way = 1 if s.chance(0.5) else -1
    turn = way * 2 * np.pi * s.cycles(1.4, 0.38, 0.88, least=3)
    rub = np.sin(2 * np.pi * s.cycles(1.8, 0.12, 0.28)) * s.hold(0.1, 0.15, 0.24, 0.3)
    for side, sign in ((LEFT, 1), (RIGHT, -1)):
        weight = s.move(
            side,
            [(0, None), (0.13, meet), (0.26, meet), (0.4, cheek), (0.88, cheek), (1, None)],
            elbow=(1.0, -0.6, 0.1),
            hand=(-0.4, 0.9, -0.1),
        )
        circle = 0.05 * s.amplitude * weight * s.hold(0.34, 0.42, 0.84, 0.92)
        s.shift(side, np.stack([circle * np.cos(turn), circle * np.sin(turn), 0.03 * sign * rub], 1))
    s.pose.head[:, 0] += s.vary(0.0, 0.2) * s.hold(0.3, 0.45, 0.85, 1.0)


def open_box(s: Stage) -> None:
    """Lift the two flaps of a box at the waist up and outwards, press them down, look inside."""
    height, wide = s.vary(-0.28, -0.18), 0.28 * s.amplitude
    for side in (LEFT, RIGHT):
        lid, upright, down = (
            s.spot(0.03, height, 0.33),
            s.spot(0.14, height + 0.17, 0.33),
            s.spot(wide, height - 0.03, 0.28),
        )
        s.move(
            side,
            [(0, None), (0.22, lid), (0.34, lid), (0.5, upright), (0.66, down), (0.86, down), (1, None)],
            elbow=(1.0, -0.7, -0.3),
            hand=(-0.3, 0.1, 0.9),
        )
    s.pose.bend[:, 0] += s.vary(0.1, 0.3) * s.hold(0.45, 0.7, 0.82, 1.0)
    _look_down(s, s.vary(0.2, 0.5))


def yawn(s: Stage) -> None:
    """Throw the head back and cover the mouth with a hand; often the other arm stretches out and up."""
    mouth = s.spot(0.06, 0.05, 0.21)
    s.move(
        RIGHT,
        [(0, None), (0.32, mouth), (0.76, mouth), (1, None)],
        elbow=(1.0, -0.6, 0.2),
        hand=(-0.8, 0.4, -0.1),
    )
    if s.chance(0.6):
        up = s.spot(0.38, 0.30, -0.04)
        s.move(
            LEFT, [(0, None), (0.45, up), (0.68, up), (1, None)], elbow=(1.0, 0.1, -0.2), hand=(0.3, 1.0, 0)
        )
    deep = s.hold(0.15, 0.45, 0.66, 0.92)
    s.pose.head[:, 0] -= s.vary(0.3, 0.5) * deep
    s.pose.bend[:, 0] -= s.vary(0.08, 0.22) * s.amplitude * deep
    s.pose.shrug += 0.035 * deep[:, None]
