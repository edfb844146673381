"""NW-UCLA's JSON files: bytes in, recordings out.

A file is an object of ``file_name``, ``label`` (1 to 10, the class plus 1) and ``skeletons``, a list of frames,
each a list of 20 joints ``[x, y, z]`` in metres, y up, z away from the camera. There is one body.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skeltools.datasets.nwucla import parse_name
from skeltools.errors import FormatError
from skeltools.formats import text
from skeltools.formats.recording import Recording
from skeltools.skeletons import load

_JOINTS = load("kinect1").joints
_KEYS = ("file_name", "label", "skeletons")
_LARGEST = float(np.finfo(np.float32).max)


def read(data: bytes, path: str, name: str) -> Recording:
    """Read a raw file.

    Args:
        data: Its content.
        path: Where it lies, for messages.
        name: Its name without extension, which its label must agree with.

    Returns:
        The recording, with notes of kind ``one-frame``, ``zero-joints`` and ``other-keys``.

    Raises:
        FormatError: It is not JSON or damaged, lacks a key, contradicts its name, a frame has not 20 joints, or
            a coordinate is not a finite number.
    """
    content = _load(text.plain(data, path), path)
    for key in _KEYS:
        if key not in content:
            raise FormatError(path, f"there is no '{key}'. Its keys must be {', '.join(_KEYS)}.")
    _check_name(content, path, name)
    frames = _coordinates(content["skeletons"], path)
    seen = np.asarray(frames.any(axis=2))
    counts = {
        "one-frame": int(len(frames) == 1),
        "other-keys": len(content) - len(_KEYS),
        "zero-joints": int((~seen[seen.any(axis=1)]).sum()),
    }
    told = tuple((kind, count) for kind, count in counts.items() if count)
    return Recording.from_columns(frames[:, None], told)


def _load(data: bytes, path: str) -> dict[str, Any]:
    twice: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        twice.extend(key for key, _ in items[len(found) :])
        return found

    try:
        content = json.loads(data.decode(), object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        text.check_kind(data, path)
        problem = f"damaged JSON at column {error.colno}: {error.msg}. Fetch it again."
        raise FormatError(path, problem, error.lineno) from None
    except UnicodeDecodeError as error:
        text.check_kind(data, path)
        line = data.count(b"\n", 0, error.start) + 1
        raise FormatError(path, f"byte {error.start} is not UTF-8. Fetch it again.", line) from None
    except (ValueError, RecursionError) as error:
        raise FormatError(path, f"this JSON is not read: {str(error) or 'it nests too deep'}.") from None
    if twice or not isinstance(content, dict):
        what = "a key occurs twice in an object" if twice else "this is not a JSON object"
        raise FormatError(path, f"{what}; expected one object of {', '.join(_KEYS)}.")
    return content


def _check_name(content: dict[str, Any], path: str, name: str) -> None:
    clip = parse_name(name)
    assert clip is not None, "planned by its name"
    if content["file_name"] != name:
        raise FormatError(path, f"its file_name is {_shown(content['file_name'])}, not '{name}'.")
    if content["label"] != clip.label + 1 or isinstance(content["label"], bool):
        raise FormatError(
            path,
            f"its label is {_shown(content['label'])}, but the name says action {clip.action}, which is label "
            f"{clip.label + 1}.",
        )


def _coordinates(skeletons: Any, path: str) -> NDArray[np.float32]:
    """Return the frames, float32 (L, 20, 3)."""
    if not isinstance(skeletons, list):
        raise FormatError(path, f"skeletons must be a list of frames, not {_shown(skeletons)}.")
    if not skeletons:
        return np.zeros((0, len(_JOINTS), 3), np.float32)
    try:
        # Flat lists are about twice as fast as nested ones, and let each value's type be seen.
        joints = [joint for frame in skeletons for joint in frame]
        values = [value for joint in joints for value in joint]
        whole = {*map(len, skeletons)} == {len(_JOINTS)} and {*map(len, joints)} == {3}
        if not whole or not {*map(type, values)} <= {float, int}:
            raise TypeError
        with np.errstate(over="ignore"):
            found = np.array(values, np.float64).astype(np.float32)
    except (TypeError, OverflowError):
        raise FormatError(path, _fault(skeletons)) from None
    if not np.isfinite(found).all():
        raise FormatError(path, _fault(skeletons))
    return found.reshape(-1, len(_JOINTS), 3)


def _fault(skeletons: list[Any]) -> str:
    """Say what is wrong, and in which frame, counted from 1."""
    for number, frame in enumerate(skeletons, start=1):
        where = f"frame {number} of {len(skeletons)}"
        if not isinstance(frame, list):
            return f"{where} is {_shown(frame)}; expected a list of {len(_JOINTS)} joints."
        if len(frame) != len(_JOINTS):
            return f"{where} has {len(frame)} joints; expected {len(_JOINTS)}."
        for joint, name in zip(frame, _JOINTS, strict=True):
            if not isinstance(joint, list) or len(joint) != 3:
                return f"{where}, {name}: {_shown(joint)} is not [x, y, z]."
            for value in joint:
                if type(value) not in (float, int):
                    return f"{where}, {name}: {_shown(value)} is not a number."
                if not abs(value) <= _LARGEST:
                    return f"{where}, {name}: {_shown(value)} is not a finite coordinate in metres."
    raise AssertionError("no fault found")


def _shown(value: Any) -> str:
    try:
        return text.shown(json.dumps(value).encode())
    except (ValueError, RecursionError):
        return "a value that cannot be shown"
