"""Performers: their bodies, habits and how these vary from one repetition to the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skeltools.synth.body import NOMINAL_HEIGHT, Body
from skeltools.synth.chance import generator

RESTS = ("hang", "clasp", "hips", "back", "pocket")
"""Ways of holding an arm that has nothing to do; hanging is by far the most common."""


@dataclass(frozen=True)
class Performer:
    """One person.

    Attributes:
        body: The body.
        right_handed: Chance of doing a one-sided action with the right side.
        tempo: Speed, 1 is average.
        amplitude: Extent of movements, 1 is average.
        lean: Habitual pitch of the chest (radians), and its roll and twist.
        stance: Half the distance between the feet, nominal metres.
        crouch: How far the pelvis hangs below straight legs, nominal metres.
        elbow: How far the elbows point outwards, 0 is average.
        unrest: Extent of idle sway, 1 is average.
        rest: What idle arms like to do, one of `RESTS`.
        aim: Offset of where the hands go, nominal metres.
    """

    body: Body
    right_handed: float
    tempo: float
    amplitude: float
    lean: tuple[float, float, float]
    stance: float
    crouch: float
    elbow: float
    unrest: float
    rest: str
    aim: tuple[float, float, float]


def performer(seed: int, key: str) -> Performer:
    """Return the performer called `key` under `seed`."""
    draw = generator(seed, "performer", key)
    height = float(np.clip(draw.normal(1.69, 0.09), 1.46, 1.94))
    ratio = 1 + np.clip(draw.normal(0, 1, 7), -2, 2) * np.array([0.03, 0.03, 0.03, 0.03, 0.05, 0.06, 0.06])
    trunk, arm, leg, neck, shoulder, hip, foot = (ratio * height / NOMINAL_HEIGHT).tolist()
    body = Body(
        height=height,
        spine=(0.295 * trunk, 0.225 * trunk),
        neck=(0.073 * neck, 0.128 * neck),
        shoulder=(0.150 * shoulder, 0.045 * trunk),
        hip=(0.074 * hip, 0.025 * trunk),
        arm=(0.265 * arm, 0.238 * arm, 0.070 * arm, 0.058 * arm, 0.045 * arm),
        leg=(0.372 * leg, 0.378 * leg, 0.118 * foot),
        ankle=0.075 * foot,
    )
    return Performer(
        body=body,
        right_handed=0.95 if draw.random() < 0.85 else 0.1,
        tempo=float(np.exp(draw.normal(0, 0.18))),
        amplitude=float(np.clip(draw.normal(1.0, 0.10), 0.7, 1.3)),
        lean=(float(draw.normal(0.07, 0.09)), float(draw.normal(0, 0.04)), float(draw.normal(0, 0.06))),
        stance=float(np.clip(draw.normal(0.11, 0.04), 0.05, 0.24)),
        crouch=float(draw.gamma(2.0, 0.004)),
        elbow=float(draw.normal(0, 0.15)),
        unrest=float(np.exp(draw.normal(0, 0.3))),
        rest=str(draw.choice(RESTS, p=[0.88, 0.03, 0.03, 0.03, 0.03])),
        aim=(float(draw.normal(0, 0.012)), float(draw.normal(0, 0.012)), float(draw.normal(0, 0.012))),
    )
