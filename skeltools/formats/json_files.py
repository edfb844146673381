"""JSON files as recordings: MediaPipe's landmarks, OpenPose's file per frame, k4abt's bodies, and plain lists.

A recording is a list of frames, alone or under ``frames``. A frame is

- an object with ``bodies`` of ``joint_positions`` (Azure Kinect's k4abt; millimetres, y down),
- an object with ``people`` of ``pose_keypoints_2d`` or ``pose_keypoints_3d`` (OpenPose),
- an object with landmarks (MediaPipe; ``pose_world_landmarks`` and the like in metres, ``landmarks`` in the image),
- a list of landmarks ``{"x": ..., "y": ..., "z": ..., "visibility": ...}``, or a list of such lists, or
- a list of joints [x, y, z], or a list of such lists, one per body.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skeltools.datasets.descriptor import Descriptor
from skeltools.errors import FormatError, counted
from skeltools.files import kinds
from skeltools.files.texts import parse_json
from skeltools.formats import points, text
from skeltools.formats.points import Observed
from skeltools.formats.recording import Recording

OPENPOSE = re.compile(r"(.*?)_?([0-9]{1,12})_keypoints\.json", re.IGNORECASE)
"""A file per frame: what is in front of its number, and the number."""

WORLD = ("pose_world_landmarks", "poseWorldLandmarks", "world_landmarks", "worldLandmarks")
IMAGE = ("pose_landmarks", "poseLandmarks", "landmarks", "keypoints")
_LISTS = ("frames", "data", "keypoints", "joints", "skeletons", "poses")
"""Keys under which a recording's frames may be."""

_ORDER = ("frame_id", "frame", "frame_index", "timestamp_usec", "timestamp_ms", "timestamp")
"""Keys of a frame that grow from one to the next."""

Body = tuple[NDArray[np.float64], int | None]
"""A body's (V, C) and its tracking id where there is one."""


def read(data: bytes, path: str, how: Descriptor) -> Recording:
    """Read a JSON file of a whole recording.

    Raises:
        FormatError: It is not JSON or holds none of what is read, frames are out of order, or it does not hold what the
            descriptor says.
    """
    content = parsed(data, path)
    if isinstance(content, dict) and "people" in content:
        content = [content]
    return _recording(frames_of(content, path), path, how)


def read_frames(files: Iterable[tuple[bytes, str]], path: str, how: Descriptor) -> Recording:
    """Read OpenPose's files of one recording, a frame each, in order.

    Raises:
        FormatError: As `read`.
    """
    frames = []
    for data, name in files:
        content = parsed(data, name)
        if not isinstance(content, dict) or "people" not in content:
            raise FormatError(name, "expected OpenPose's object with 'people'.")
        frames.append((content, name))
    return _recording([frame for frame, _ in frames], path, how, [name for _, name in frames])


def parsed(data: bytes, path: str) -> Any:
    """Return the values of a JSON file.

    Raises:
        FormatError: It is none.
    """
    if kinds.of(data[: kinds.HEAD]) is not kinds.Kind.JSON:
        text.check_kind(data, path)
    try:
        return parse_json(kinds.decode(data))
    except (ValueError, RecursionError) as error:
        told = "it is empty" if not data.strip() else str(error).rstrip(".")
        raise FormatError(path, f"this is not readable JSON: {told}.") from None


def frames_of(content: Any, path: str) -> list[Any]:
    """Return the frames of a parsed file.

    Raises:
        FormatError: There are none.
    """
    if isinstance(content, dict):
        key = next((key for key in _LISTS if isinstance(content.get(key), list)), None)
        if key is None:
            raise FormatError(
                path,
                f"no list of frames under 'frames'; there is {', '.join(map(str, content))[:120] or 'nothing'}.",
            )
        content = content[key]
    if not isinstance(content, list):
        raise FormatError(path, f"expected a list of frames, not {type(content).__name__}.")
    if not content:
        raise FormatError(path, "there are no frames.")
    if len(content) > points.MOST_FRAMES:
        raise FormatError(path, f"{counted(len(content), 'frame')}; expected {points.MOST_FRAMES:,} at most.")
    return content


def _recording(frames: Sequence[Any], path: str, how: Descriptor, files: Sequence[str] = ()) -> Recording:
    coords: list[NDArray[np.float64]] = []
    frame: list[int] = []
    slot: list[int] = []
    ids: list[int] = []
    last: dict[str, float] = {}
    for number, item in enumerate(frames):
        where = files[number] if files else path
        if not files:
            _in_order(item, number, last, path)
        found = bodies_of(item, where, "the frame" if files else f"frame {number + 1}", how)
        if len(found) > points.MOST_PEOPLE:
            raise FormatError(where, f"frame {number + 1} has {counted(len(found), 'body', 'bodies')}.")
        for place, (body, track) in enumerate(found):
            points.check_shape(body.shape, where, how, f"body {place + 1} of frame {number + 1}")
            if coords and body.shape != coords[0].shape:
                raise FormatError(
                    where,
                    f"frame {number + 1} has {counted(body.shape[1], 'number')} per joint, others "
                    f"{coords[0].shape[1]}.",
                )
            if body[:, : how.dimensions].any():
                coords.append(body)
                frame.append(number)
                slot.append(place)
                ids.append(place if track is None else track)
    return points.recording(Observed(len(frames), coords, frame, slot, ids), path, how)


def _in_order(item: Any, number: int, last: dict[str, float], path: str) -> None:
    """Refuse a frame whose number or time is not above that of the one before."""
    if not isinstance(item, dict):
        return
    for key in _ORDER:
        value = item.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if key in last and value <= last[key]:
                raise FormatError(
                    path, f"{key} {value} of frame {number + 1} follows {last[key]}: frames are out of order."
                )
            last[key] = value


def bodies_of(item: Any, path: str, where: str, how: Descriptor) -> list[Body]:
    """Return the bodies of a frame.

    Raises:
        FormatError: It is not one of the forms that are read.
    """
    if item is None or item == []:
        return []
    if isinstance(item, dict):
        return _of_object(item, path, where, how)
    if not isinstance(item, list):
        raise FormatError(path, f"{where} is {type(item).__name__}; expected an object or a list of joints.")
    first = item[0]
    if isinstance(first, dict):
        return [(_landmarks(item, path, where, how), None)]
    if isinstance(first, list) and first and isinstance(first[0], dict):
        return [(_landmarks(body, path, where, how), None) for body in item]
    array = points.numbers(item, path, where)
    if array.ndim == 2:
        return [(array, None)]
    if array.ndim == 3:
        return [(body, None) for body in array]
    raise FormatError(path, f"{where} is a list of shape {array.shape}; expected (V, C) or (M, V, C).")


def _of_object(item: dict[Any, Any], path: str, where: str, how: Descriptor) -> list[Body]:
    for key, take in (("bodies", _k4abt), ("people", _openpose)):
        if key in item:
            found = item[key]
            if not isinstance(found, list) or not all(isinstance(body, dict) for body in found):
                raise FormatError(path, f"'{key}' of {where} must be a list of objects.")
            return [take(body, path, where, how) for body in found]
    keys = IMAGE if how.dimensions == 2 else (*WORLD, *IMAGE)
    chosen = next((word for word in keys if word in item), None)
    if chosen is None:
        raise FormatError(
            path,
            f"{where} has {', '.join(map(str, item))[:120] or 'nothing'}; expected bodies, people or landmarks "
            f"({', '.join(keys)}).",
        )
    if how.dimensions == 3 and chosen in ("pose_landmarks", "poseLandmarks") and how.unit != "pixel":
        raise FormatError(
            path,
            f"{where} has image landmarks alone ({chosen}), which are not metres. Save pose_world_landmarks, "
            'or say unit = "pixel" in the descriptor.',
        )
    found = item[chosen]
    if isinstance(found, dict) and "landmark" in found:
        found = found["landmark"]
    return bodies_of(found, path, where, how) if not isinstance(found, dict) else _refuse(path, where, chosen)


def _refuse(path: str, where: str, key: str) -> list[Body]:
    raise FormatError(path, f"'{key}' of {where} must be a list of landmarks.")


def _k4abt(body: dict[Any, Any], path: str, where: str, how: Descriptor) -> Body:
    if "joint_positions" not in body:
        raise FormatError(path, f"a body of {where} has no joint_positions.")
    array = points.numbers(body["joint_positions"], path, f"joint_positions of {where}")
    if array.ndim != 2:
        raise FormatError(path, f"joint_positions of {where} has shape {array.shape}; expected (V, 3).")
    track = body.get("body_id")
    if track is not None and (not isinstance(track, int) or isinstance(track, bool) or abs(track) >= 2**63):
        raise FormatError(path, f"body_id of {where} is {track!r:.40}; expected a whole number.")
    return array, track


def _openpose(body: dict[Any, Any], path: str, where: str, how: Descriptor) -> Body:
    key = "pose_keypoints_2d" if how.dimensions == 2 else "pose_keypoints_3d"
    found = body.get(key, body.get("pose_keypoints") if how.dimensions == 2 else None)
    if not isinstance(found, list) or not found:
        raise FormatError(path, f"a person of {where} has no {key}.")
    array = points.numbers(found, path, f"{key} of {where}")
    width = how.dimensions + 1
    if array.ndim != 1 or array.size != width * how.skeleton.num_joints:
        raise FormatError(
            path,
            f"{key} of {where} has {array.size} numbers; expected {width} for each of the "
            f"{how.skeleton.num_joints} joints of {how.skeleton.name}.",
        )
    whole = array.reshape(-1, width)
    return (whole if how.dimensions == 2 else whole[:, :3]), None


_COORDINATES = ("x", "y", "z")


def _landmarks(found: Any, path: str, where: str, how: Descriptor) -> NDArray[np.float64]:
    """Return landmarks as (V, 3), of key points with their visibility as the score, 1 where there is none."""
    if not isinstance(found, list) or not all(isinstance(point, dict) for point in found):
        raise FormatError(path, f"the landmarks of {where} must be a list of objects with x, y and z.")
    rows = []
    for number, point in enumerate(found):
        row = [point.get(axis) for axis in _COORDINATES[: how.dimensions]]
        if how.dimensions == 2:
            row.append(point.get("visibility", point.get("score", 1.0)))
        for axis, value in zip("xyz" if how.dimensions == 3 else ("x", "y", "visibility"), row, strict=True):
            if not isinstance(value, (int, float)) or isinstance(value, bool):
                told = (
                    f"has no {axis}" if value is None else f"has {axis} {value!r:.40}, which is not a number"
                )
                raise FormatError(path, f"landmark {number} of {where} {told}.")
        rows.append(row)
    return points.numbers(rows, path, f"the landmarks of {where}")
