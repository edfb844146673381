"""A continuous video: one action after the other, with natural passages between, for PKU-MMD."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skeltools.synth.actions import Action
from skeltools.synth.body import joints
from skeltools.synth.chance import generator
from skeltools.synth.performer import Performer
from skeltools.synth.pose import Array, Pose, join, passage
from skeltools.synth.scene import act, duration, phases
from skeltools.synth.stage import FPS


@dataclass(frozen=True)
class Timeline:
    """A video as it happens.

    Attributes:
        truth: (L, B, 25, 3) joints in the world, metres; B is 2 if any action has two people.
        there: (L, B) whether each person is in view.
        spans: First frame and the frame after the last of each action, 0-based.
    """

    truth: Array
    there: NDArray[np.bool_]
    spans: list[tuple[int, int]]


def play(actions: list[Action], people: list[Performer], seed: int, video: str) -> Timeline:
    """Return the video in which the first of `people` does `actions` in turn, the second helping out.

    The video of the first n actions is the beginning of the video of more.

    Args:
        actions: At least one.
        people: Two performers.
        seed: Seed of the whole data set.
        video: Name of the video without its view, which keys every draw.
    """
    mine: list[Pose] = []
    theirs: list[Pose] = []
    there: list[NDArray[np.bool_]] = []
    spans = []
    clock = 0
    for index, action in enumerate(actions):
        draw = generator(seed, "event", video, str(index))
        pause = int(draw.integers(14, 60))
        share = draw.uniform(0.04, 0.10, 2)
        wanted = duration(action, people[0], draw) * FPS
        length = int(np.clip(round(wanted), 20, 280) / (1 - share.sum()))
        u = phases(draw, length, float(share[0]), float(share[1]))
        heading = float(draw.normal(0, 0.2))
        if action.people == 2:
            heading += np.pi / 2 * draw.choice([-1, 1])
        spot = (float(draw.normal(0, 0.1)), float(draw.normal(0, 0.1)))
        cast = people[: action.people]
        poses = act(action, cast, draw, u, (1 - share.sum()) * length / FPS, spot, heading)
        if mine:
            mine.append(passage(mine[-1], poses[0], pause))
            there.append(np.zeros(pause, dtype=bool))
            theirs.append(_still(theirs[-1], pause))
            clock += pause
        mine.append(poses[0])
        theirs.append(poses[1] if action.people == 2 else _still(theirs[-1] if theirs else poses[0], length))
        there.append(np.full(length, action.people == 2))
        busy = np.flatnonzero((u > 0) & (u < 1))
        spans.append((clock + int(busy[0]), clock + int(busy[-1]) + 1))
        clock += length
    first = joints(people[0].body, join(mine))
    if not any(part.any() for part in there):
        return Timeline(first[:, None], np.ones((clock, 1), dtype=bool), spans)
    second = joints(people[1].body, join(theirs))
    seen = np.stack([np.ones(clock, dtype=bool), np.concatenate(there)], axis=1)
    return Timeline(np.stack([first, second], axis=1), seen, spans)


def _still(pose: Pose, frames: int) -> Pose:
    return Pose(**{name: values[-1:].repeat(frames, axis=0) for name, values in pose.channels().items()})
