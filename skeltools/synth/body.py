"""Body proportions and forward kinematics: from a pose in channels to 25 joints in metres.

Lengths in a `Pose` are those of a body 1.70 m tall; `joints` scales them to the body at hand. Joint order:
that of the skeleton kinect2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skeltools.skeletons import load
from skeltools.synth.pose import Array, Pose

NUM_JOINTS = load("kinect2").num_joints
NOMINAL_HEIGHT = 1.70
_FLOOR = 0.02
"""Least height of a joint, metres: whoever lies on the floor does not sink into it."""


@dataclass(frozen=True)
class Body:
    """Lengths of one body in metres, as a Kinect v2 sees them.

    `spine` is pelvis to mid spine and mid spine to between the shoulders, `neck` from there to the neck
    and on to the head, `shoulder` and `hip` the offsets (outwards, down) of one side, `arm` upper arm,
    forearm, wrist to hand, hand to tip, and thumb, `leg` thigh, shin and foot, `ankle` the height of the
    ankle above the floor.
    """

    height: float
    spine: tuple[float, float]
    neck: tuple[float, float]
    shoulder: tuple[float, float]
    hip: tuple[float, float]
    arm: tuple[float, float, float, float, float]
    leg: tuple[float, float, float]
    ankle: float

    @property
    def scale(self) -> float:
        """Size beside the nominal body."""
        return self.height / NOMINAL_HEIGHT

    @property
    def pelvis(self) -> float:
        """Height of the pelvis above the floor when the legs are all but straight."""
        return self.ankle + self.hip[1] + 0.997 * (self.leg[0] + self.leg[1])


def rotation(angles: Array) -> Array:
    """Return matrices (..., 3, 3) of roll, pitch and yaw in turn; `angles` (..., 3) are pitch, yaw, roll."""
    (sp, sy, sr), (cp, cy, cr) = np.moveaxis(np.sin(angles), -1, 0), np.moveaxis(np.cos(angles), -1, 0)
    out = np.empty((*angles.shape, 3))
    out[..., 0, 0], out[..., 0, 1], out[..., 0, 2] = cy * cr + sy * sp * sr, sy * sp * cr - cy * sr, sy * cp
    out[..., 1, 0], out[..., 1, 1], out[..., 1, 2] = cp * sr, cp * cr, -sp
    out[..., 2, 0], out[..., 2, 1], out[..., 2, 2] = cy * sp * sr - sy * cr, sy * sr + cy * sp * cr, cy * cp
    return out


def turned(matrix: Array, vector: Array) -> Array:
    """Return `matrix` (L, 3, 3) applied to `vector` (3,), (L, 3) or (L, K, 3)."""
    if vector.ndim == 3:
        return np.asarray(vector @ matrix.swapaxes(-1, -2))
    return np.asarray((matrix * vector[..., None, :]).sum(-1))


def unit(vector: Array) -> Array:
    """Return `vector` with length 1 along its last axis (zero stays zero)."""
    length = np.sqrt((vector * vector).sum(-1, keepdims=True))
    return np.asarray(vector / np.maximum(length, 1e-9))


def two_bones(start: Array, target: Array, first: float, second: float, pole: Array) -> tuple[Array, Array]:
    """Return the middle and end (L, K, 3) of two bones that reach from `start` towards `target`.

    A target out of reach is approached along the same line. The middle joint points to `pole`.
    """
    line = target - start
    length = np.sqrt((line * line).sum(-1, keepdims=True))
    along = line / np.maximum(length, 1e-9)
    reach = np.clip(length, abs(first - second) + 0.02, 0.998 * (first + second))
    side = unit(pole - (pole * along).sum(-1, keepdims=True) * along)
    cosine = (reach**2 + first**2 - second**2) / (2 * reach * first)
    sine = np.sqrt(np.maximum(1 - cosine**2, 0))
    return start + first * (cosine * along + sine * side), start + reach * along


def joints(body: Body, pose: Pose) -> Array:
    """Return the joints (L, 25, 3) of `body` in `pose`, metres in the frame of the pose."""
    frames, s = len(pose), body.scale
    out = np.empty((frames, NUM_JOINTS, 3))
    pelvis = rotation(pose.turn)
    chest = pelvis @ rotation(pose.bend)
    low, high = pelvis @ rotation(0.35 * pose.bend), pelvis @ rotation(0.8 * pose.bend)
    root = pose.root * s
    root[:, 1] += body.pelvis
    out[:, 0] = root
    out[:, 1] = root + body.spine[0] * low[..., 1]
    out[:, 20] = top = out[:, 1] + body.spine[1] * high[..., 1]
    skull = chest @ rotation(pose.head)
    out[:, 2] = top + body.neck[0] * (chest @ rotation(0.4 * pose.head))[..., 1]
    out[:, 3] = out[:, 2] + body.neck[1] * (0.97 * skull[..., 1] + 0.22 * skull[..., 2])

    outwards = np.array([1.0, -1.0])
    shoulder = np.empty((frames, 2, 3))
    shoulder[..., 0] = outwards * body.shoulder[0]
    shoulder[..., 1] = pose.shrug * s - body.shoulder[1]
    shoulder[..., 2] = 0.0
    upper, fore, palm, tip, thumb = body.arm
    elbow, wrist = two_bones(shoulder, pose.wrist * s, upper, fore, pose.elbow)
    forearm = unit(wrist - elbow)
    point = unit(0.25 * forearm + pose.hand + forearm * ((pose.hand**2).sum(-1, keepdims=True) < 1e-6))
    inward = np.stack([-outwards, np.full(2, 0.3), np.full(2, 0.5)], axis=-1)
    across = unit(inward - (inward * point).sum(-1, keepdims=True) * point)
    hand = wrist + palm * point
    arms = (shoulder, elbow, wrist, hand, hand + tip * point, wrist + thumb * unit(1.1 * point + across))
    local = np.stack(arms, axis=2).reshape(frames, 12, 3)
    out[:, [4, 5, 6, 7, 21, 22, 8, 9, 10, 11, 23, 24]] = top[:, None] + turned(chest, local)

    thigh, shin, foot = body.leg
    offset = np.stack([outwards * body.hip[0], np.full(2, -body.hip[1]), np.zeros(2)], axis=-1)
    hips = root[:, None] + turned(pelvis, np.broadcast_to(offset, (frames, 2, 3)))
    target = pose.ankle * s
    target[..., 1] += body.ankle
    knee, ankle = two_bones(hips, target, thigh, shin, turned(pelvis, pose.knee))
    pitch, yaw = pose.toe[..., 0], pose.toe[..., 1]
    drop = np.arcsin(np.clip(0.6 * body.ankle / foot, 0, 0.9))
    ahead = np.stack(
        [np.sin(yaw) * np.cos(pitch - drop), np.sin(pitch - drop), np.cos(yaw) * np.cos(pitch - drop)],
        axis=-1,
    )
    legs = np.stack((hips, knee, ankle, ankle + foot * ahead), axis=2)
    out[:, 12:20] = legs.reshape(frames, 8, 3)
    np.maximum(out[..., 1], _FLOOR, out=out[..., 1])
    return out
