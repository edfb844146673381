"""Cameras: where they stand and the world as they see it.

World: y up from the floor, metres. Camera: the Kinect's frame, x to the sensor's left, y up, z ahead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skeltools.synth.body import rotation
from skeltools.synth.chance import generator
from skeltools.synth.pose import Array

_YAW = (0.0, -45.0, 45.0)
_HEIGHT = (0.45, 1.45, 2.75)
_AIM_HEIGHT = 0.95
_MOST_PITCH, _MOST_ROLL = np.radians(40.0), np.radians(14.0)


@dataclass(frozen=True)
class Camera:
    """A camera that looks at the place of action, the origin of the floor.

    Attributes:
        yaw: Where it stands, seen from the place of action (radians; 0 is along z).
        height: Height above the floor, metres.
        distance: Distance on the floor, metres.
        pitch: How far it looks down, radians.
        roll: How far it is tilted to the side, radians.
    """

    yaw: float
    height: float
    distance: float
    pitch: float
    roll: float

    def see(self, points: Array) -> Array:
        """Return `points` (..., 3) of the world in the frame of this camera."""
        ahead = np.array([-np.sin(self.yaw), 0.0, -np.cos(self.yaw)])
        left = np.array([ahead[2], 0.0, -ahead[0]])
        level = np.stack([left, [0.0, 1.0, 0.0], ahead])
        place = np.array([0.0, self.height, 0.0]) - self.distance * ahead
        tilt = rotation(np.array([self.pitch, 0.0, self.roll]))
        return np.asarray((points - place) @ (tilt.T @ level).T)


def camera(seed: int, place: str, number: int) -> Camera:
    """Return camera `number` (1 to 3) of the set-up called `place`.

    The three stand in front, to the right and to the left, at knee, chest and above head height, each
    a little different in every set-up; so their pitches differ too.
    """
    common = generator(seed, "place", place)
    stretch, rise = common.uniform(0.85, 1.2), common.normal(0, 0.12)
    draw = generator(seed, "camera", place, str(number))
    height = float(np.clip(_HEIGHT[number - 1] + rise + draw.normal(0, 0.25), 0.2, 3.2))
    distance = float(stretch * draw.uniform(2.6, 3.4))
    slant = np.arctan2(height - _AIM_HEIGHT, distance)
    return Camera(
        yaw=float(np.radians(_YAW[number - 1] + draw.normal(0, 4))),
        height=height,
        distance=distance,
        pitch=float(np.clip(slant + np.radians(draw.normal(0, 5)), -_MOST_PITCH, _MOST_PITCH)),
        roll=float(np.clip(np.radians(draw.normal(0, 6)), -_MOST_ROLL, _MOST_ROLL)),
    )
