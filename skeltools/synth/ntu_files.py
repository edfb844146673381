"""NTU RGB+D ``.skeleton`` files: recordings as text, just as the sensor's own software writes them."""

from __future__ import annotations

import numpy as np

from skeltools.skeletons import load
from skeltools.synth.body import NUM_JOINTS, unit
from skeltools.synth.pose import Array
from skeltools.synth.sensor import Recording

_DEPTH = (366.0, 256.5, 208.5)
_COLOUR = (1060.0, 960.0, 566.0)
_COLOUR_OFFSET = 0.052
_LEAVES = [3, 15, 19, 21, 22, 23, 24]

_JOINT = " ".join(["%.7g"] * 11) + " %d\r\n"
_BODY = " 0 %d %d %d %d 0 %.7g %.7g 2\r\n25\r\n" + NUM_JOINTS * _JOINT


def orientations(points: Array) -> Array:
    """Return a quaternion (w, x, y, z) for each joint of `points` (..., 25, 3).

    Its y axis runs along the bone that ends in the joint and its z axis is as near to the front of the
    body as may be. Ends of limbs have none: zeros, as the sensor writes them.
    """
    bone = points - points[..., list(load("kinect2").parents), :]
    bone[..., 20, :] = points[..., 20, :] - points[..., 1, :]
    bone[..., 0, :] = points[..., 1, :] - points[..., 0, :]
    y = unit(bone)
    across = points[..., 4:5, :] - points[..., 8:9, :]
    front = np.cross(across, bone[..., 20:21, :])
    front = unit(front) + 0.2 * unit(bone[..., 20:21, :])
    x = unit(np.cross(y, front))
    z = np.cross(x, y)
    trace = np.stack(
        [
            1 + x[..., 0] + y[..., 1] + z[..., 2],
            1 + x[..., 0] - y[..., 1] - z[..., 2],
            1 - x[..., 0] + y[..., 1] - z[..., 2],
            1 - x[..., 0] - y[..., 1] + z[..., 2],
        ],
        axis=-1,
    )
    out = 0.5 * np.sqrt(np.maximum(trace, 0))
    out[..., 1] = np.copysign(out[..., 1], y[..., 2] - z[..., 1])
    out[..., 2] = np.copysign(out[..., 2], z[..., 0] - x[..., 2])
    out[..., 3] = np.copysign(out[..., 3], x[..., 1] - y[..., 0])
    out[..., _LEAVES, :] = 0.0
    return np.asarray(out)


def encode(recording: Recording, draw: np.random.Generator) -> bytes:
    """Return the bytes of a ``.skeleton`` file that holds `recording`: 12 values per joint, CRLF.

    Args:
        recording: What the sensor wrote down.
        draw: Generator of the values nobody reads, such as the state of the hands.
    """
    points = recording.points
    frames, bodies = points.shape[:2]
    values = np.empty((frames, bodies, 306))
    lean = points[:, :, 20] - points[:, :, 0]
    values[..., 0:4] = draw.integers(0, 2, (1, bodies, 4))
    values[..., 4] = np.clip(1.4 * lean[..., 0] / np.maximum(np.abs(lean[..., 1]), 0.1), -1, 1)
    values[..., 5] = np.clip(-1.4 * lean[..., 2] / np.maximum(np.abs(lean[..., 1]), 0.1), -1, 1)
    rows = values[..., 6:].reshape(frames, bodies, NUM_JOINTS, 12)
    x, y, z = points[..., 0], points[..., 1], np.maximum(points[..., 2], 0.4)
    rows[..., 0:3] = points
    rows[..., 3] = _DEPTH[0] * x / z + _DEPTH[1]
    rows[..., 4] = -_DEPTH[0] * y / z + _DEPTH[2]
    rows[..., 5] = _COLOUR[0] * (x + _COLOUR_OFFSET) / z + _COLOUR[1]
    rows[..., 6] = -_COLOUR[0] * y / z + _COLOUR[2]
    rows[..., 7:11] = orientations(points)
    rows[..., 11] = recording.state

    count = (recording.slots >= 0).sum(axis=1)
    template = [f"{frames}\r\n"]
    for here, slots in zip(count.tolist(), recording.slots.tolist(), strict=True):
        template.append(f"{here}\r\n")
        template.extend(f"{recording.ids[body]}{_BODY}" for body in slots[:here])
    frame, place = np.nonzero(recording.slots >= 0)
    chosen = values[frame, recording.slots[frame, place]]
    return ("".join(template) % tuple(chosen.ravel().tolist())).encode("ascii")
