"""One performance of an action: who does what, in time and in space, seen by nobody yet."""

from __future__ import annotations

import numpy as np

from skeltools.synth.actions import Action
from skeltools.synth.body import joints
from skeltools.synth.performer import Performer
from skeltools.synth.pose import Array, Pose
from skeltools.synth.stage import FPS, Stage

NATURAL_FRAMES = (40, 120)
"""Shortest and longest recording unless asked otherwise, frames at 30 per second."""


def phases(draw: np.random.Generator, length: int, before: float, after: float) -> Array:
    """Return the phase of an action (length,) that leaves shares `before` and `after` of the time idle.

    The phase is 0 before the action and 1 after it; between, it may hurry at first or at last.
    """
    moment = (np.arange(length) + 0.5) / length
    hurry = float(np.exp(draw.normal(0, 0.2)))
    return np.asarray(np.clip((moment - before) / (1 - before - after), 0, 1) ** hurry)


def duration(action: Action, who: Performer, draw: np.random.Generator) -> float:
    """Return how long `who` takes for `action` this time, seconds."""
    return action.seconds * float(np.exp(draw.normal(0, 0.12))) / who.tempo


def act(
    action: Action,
    people: list[Performer],
    draw: np.random.Generator,
    u: Array,
    seconds: float,
    spot: tuple[float, float],
    heading: float,
) -> list[Pose]:
    """Return the pose of each of `people` while they do `action`, placed on the floor of the world.

    Args:
        action: What to do.
        people: As many as it takes; the first one acts.
        draw: Generator of this performance.
        u: (L,) phase of the action.
        seconds: How long the action lasts.
        spot: (x, z) of the first person, or of the middle between two, metres.
        heading: Direction the first person looks into (radians about y; 0 is along z).
    """
    stages = [Stage(who, draw, u, seconds) for who in people]
    poses, gap = [], 0.0
    if action.solo is not None:
        action.solo(stages[0])
    elif action.duo is not None:
        gap = float(draw.uniform(*action.gap))
        action.duo(stages[0], stages[1], gap)
    flip = draw.random() >= people[0].right_handed
    for place, stage in enumerate(stages):
        pose = stage.pose.mirrored() if flip else stage.pose
        side = 2 * place - 1
        x = spot[0] + side * 0.5 * gap * np.sin(heading) + place * draw.normal(0, 0.05)
        z = spot[1] + side * 0.5 * gap * np.cos(heading) + place * draw.normal(0, 0.05)
        size = stage.who.body.scale
        looking = heading + place * np.pi + bool(gap) * draw.normal(0, 0.06)
        poses.append(pose.placed(x / size, z / size, looking))
    return poses


def perform(
    action: Action,
    people: list[Performer],
    draw: np.random.Generator,
    heading: float,
    frames: tuple[int, int] = NATURAL_FRAMES,
) -> Array:
    """Return the joints (L, B, 25, 3) of one recording of `action`, metres in the world, B people.

    Args:
        action: What to do.
        people: As many as it takes; the first one acts.
        draw: Generator of this performance.
        heading: Direction the first person looks into (radians about y; 0 is along z).
        frames: Least and greatest L; what happens is stretched to fit.
    """
    before, after = draw.uniform(0.02, 0.30), draw.uniform(0.02, 0.28)
    low, high = NATURAL_FRAMES
    natural = np.clip(duration(action, people[0], draw) * FPS / (1 - before - after), low, high)
    length = round(frames[0] + (natural - low) / (high - low) * (frames[1] - frames[0]))
    u = phases(draw, length, before, after)
    spot = draw.normal(0, 0.15, 2)
    seconds = length * (1 - before - after) / FPS
    poses = act(action, people, draw, u, seconds, (float(spot[0]), float(spot[1])), heading)
    return np.stack([joints(who.body, pose) for who, pose in zip(people, poses, strict=True)], axis=1)
