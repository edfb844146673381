"""A pose in channels that can be edited, mirrored, placed and joined before any joint is computed.

Person frame: x to the person's left, y up from the floor, z straight ahead. Angles are radians: pitch
leans forward, yaw turns left, roll leans right. Side 0 is left, side 1 right.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEFT, RIGHT = 0, 1

_FLIP_POINT = np.array([-1.0, 1.0, 1.0])
_FLIP_ANGLE = np.array([1.0, -1.0, -1.0])


@dataclass
class Pose:
    """What a body does, frame by frame: float64 arrays, L frames first, lengths in nominal metres.

    Attributes:
        root: (L, 3) pelvis; y is relative to standing, so 0 stands and -0.4 sits.
        turn: (L, 3) pitch, yaw, roll of the pelvis.
        bend: (L, 3) pitch, yaw, roll of the chest beside the pelvis.
        head: (L, 3) pitch, yaw, roll of the head beside the chest.
        shrug: (L, 2) how far each shoulder is raised, upwards.
        wrist: (L, 2, 3) target of each wrist in the chest frame (origin between the shoulders).
        elbow: (L, 2, 3) direction in which each elbow points, chest frame.
        hand: (L, 2, 3) direction of each hand in the chest frame; zero continues the forearm.
        ankle: (L, 2, 3) target of each ankle in the person frame; y is relative to standing on the floor.
        toe: (L, 2, 2) pitch (toes up) and yaw of each foot.
        knee: (L, 2, 3) direction in which each knee points, person frame; it is turned with the pelvis.
    """

    root: Array
    turn: Array
    bend: Array
    head: Array
    shrug: Array
    wrist: Array
    elbow: Array
    hand: Array
    ankle: Array
    toe: Array
    knee: Array

    def __len__(self) -> int:
        return len(self.root)

    def channels(self) -> dict[str, Array]:
        """Return every array by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def mirrored(self) -> Pose:
        """Return the pose with left and right exchanged."""
        return Pose(
            root=self.root * _FLIP_POINT,
            turn=self.turn * _FLIP_ANGLE,
            bend=self.bend * _FLIP_ANGLE,
            head=self.head * _FLIP_ANGLE,
            shrug=self.shrug[:, ::-1],
            wrist=self.wrist[:, ::-1] * _FLIP_POINT,
            elbow=self.elbow[:, ::-1] * _FLIP_POINT,
            hand=self.hand[:, ::-1] * _FLIP_POINT,
            ankle=self.ankle[:, ::-1] * _FLIP_POINT,
            toe=self.toe[:, ::-1] * [1.0, -1.0],
            knee=self.knee[:, ::-1] * _FLIP_POINT,
        )

    def placed(self, x: float, z: float, heading: float) -> Pose:
        """Return the pose at (x, z) on the floor, nominal metres, looking to `heading` (radians about y)."""
        sine, cosine = np.sin(heading), np.cos(heading)
        turn = np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]])
        spot, yaw = np.array([x, 0.0, z]), np.array([0.0, heading, 0.0])
        moved = self.channels() | {
            "root": self.root @ turn + spot,
            "ankle": self.ankle @ turn + spot,
            "turn": self.turn + yaw,
            "toe": self.toe + yaw[:2],
        }
        return Pose(**moved)


def join(poses: list[Pose]) -> Pose:
    """Return one pose after the other, frames of all together."""
    parts = [pose.channels() for pose in poses]
    return Pose(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def passage(first: Pose, then: Pose, frames: int) -> Pose:
    """Return `frames` frames that lead from the end of `first` to the start of `then`.

    Channels move together with minimum jerk; feet that change places are lifted, one after the other.
    """
    part = (np.arange(frames) + 1) / (frames + 1)
    rise = part**3 * (10 + part * (6 * part - 15))
    end, start = first.channels(), then.channels()
    between = {}
    for name in end:
        a, b = end[name][-1], start[name][0]
        between[name] = a + (b - a) * rise.reshape(-1, *([1] * a.ndim))
    for side in (LEFT, RIGHT):
        way = float(np.hypot(*(start["ankle"][0, side, ::2] - end["ankle"][-1, side, ::2])))
        phase = np.clip(2 * part - side, 0, 1)
        between["ankle"][:, side, 1] += min(0.4 * way, 0.12) * np.sin(np.pi * phase)
    return Pose(**between)
