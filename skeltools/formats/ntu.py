"""NTU RGB+D ``.skeleton`` files (docs/method.md#ntu-rgbd): bytes in, recordings out.

A file holds the frame count; then, for each frame, the body count; then, for each body, a line of ten
values that begins with the tracking id, the joint count (25) and 25 lines of twelve values that begin
with x y z in metres. CRLF and LF are both accepted, also mixed.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from skeltools.errors import FormatError, counted
from skeltools.formats import backend, text
from skeltools.formats.recording import Recording
from skeltools.formats.text import shown
from skeltools.skeletons import load

SUFFIX = ".skeleton"

NUM_JOINTS = load("kinect2").num_joints

MOST_BODIES = 6
"""A Kinect v2 follows at most six bodies, so a frame with more is damaged."""

_BODY_VALUES = 10
_JOINT_VALUES = 12
_MOST_ID = 2**64 - 1
_WHOLE = re.compile(rb"[ \t\r]*([0-9]{1,9})[ \t\r]*")
_UNUSED = rb"[0-9+\-.eEnNaAiIfFtTyY]+"
_JOINT = re.compile(rb"[ \t\r]*(\S+)[ \t\r]+(\S+)[ \t\r]+(\S+)(?:[ \t\r]+" + _UNUSED + rb"){9}[ \t\r]*")
_BODY = re.compile(rb"[ \t\r]*([0-9]{1,20})(?:[ \t\r]+" + _UNUSED + rb"){9}[ \t\r]*")


def parse(data: bytes, path: str) -> NDArray[np.float32]:
    """Read the first two bodies of each frame.

    Args:
        data: The content of a ``.skeleton`` file.
        path: Its name, for messages.

    Returns:
        Raw clip, float32 (3, L, 25, 2), metres; an absent body is zeros.

    Raises:
        FormatError: The content is not what the format says, with the line.
    """
    return read(data, path).first(2)


def read(data: bytes, path: str) -> Recording:
    """Read every body of every frame.

    Raises:
        FormatError: The content is not what the format says, with the line.
    """
    data = text.plain(data, path)
    if backend.compiled():
        from skeltools.formats import _compiled

        found = _compiled.skeleton(data, NUM_JOINTS, MOST_BODIES)
        if found is not None:
            return Recording(*found)
    return read_plain(data, path)


def read_plain(data: bytes, path: str) -> Recording:
    """Read every body without the compiled parser; what `read` falls back to.

    Raises:
        FormatError: The content is not what the format says, with the line.
    """
    text.check_kind(data, path)
    lines = data.split(b"\n")
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise FormatError(path, "the file is empty; expected a frame count.")
    frames = _whole(lines, 0, path, "a frame count", "")
    at = 1
    tokens: list[bytes] = []
    frame: list[int] = []
    slot: list[int] = []
    ids: list[int] = []
    for index in range(frames):
        where = f"frame {index + 1} of {frames}"
        bodies = _whole(lines, at, path, "a body count", where)
        if bodies > MOST_BODIES:
            problem = (
                f"{counted(bodies, 'body', 'bodies')} in {where}; a Kinect follows at most {MOST_BODIES}."
            )
            raise FormatError(path, problem, at + 1)
        at += 1
        for order in range(bodies):
            ids.append(_body(lines, at, path, where))
            joints = _whole(lines, at + 1, path, "a joint count", where)
            if joints != NUM_JOINTS:
                raise FormatError(path, f"{joints} joints in {where}; expected {NUM_JOINTS}.", at + 2)
            at += 2
            for number in range(at, at + NUM_JOINTS):
                match = _JOINT.fullmatch(lines[number]) if number < len(lines) else None
                if match is None:
                    raise _joint_fault(lines, number, path, where)
                tokens += match.groups()
            frame.append(index)
            slot.append(order)
            at += NUM_JOINTS
    if at < len(lines):
        rest = next(number for number in range(at, len(lines)) if lines[number].strip())
        raise FormatError(
            path, f"the file goes on after its {counted(frames, 'frame')}; is the count right?", rest + 1
        )
    return Recording(
        frames=frames,
        coords=_coordinates(tokens, lines, path),
        frame=np.array(frame, np.int32),
        slot=np.array(slot, np.int32),
        ids=np.array(ids, np.uint64).view(np.int64),
    )


def _truncated(lines: list[bytes], path: str, where: str) -> FormatError:
    problem = f"the file ends here, in {where}; it is truncated. Fetch it again."
    return FormatError(path, problem, len(lines))


def _whole(lines: list[bytes], number: int, path: str, what: str, where: str) -> int:
    if number >= len(lines):
        raise _truncated(lines, path, where)
    match = _WHOLE.fullmatch(lines[number])
    if match is None:
        of = f" of {where}" if where else ""
        raise FormatError(path, f"expected {what}{of}, not {shown(lines[number])}.", number + 1)
    return int(match[1])


def _body(lines: list[bytes], number: int, path: str, where: str) -> int:
    if number >= len(lines):
        raise _truncated(lines, path, where)
    match = _BODY.fullmatch(lines[number])
    if match is None or int(match[1]) > _MOST_ID:
        raise FormatError(path, _body_fault(lines[number], where), number + 1)
    return int(match[1])


def _body_fault(line: bytes, where: str) -> str:
    values = line.split()
    if len(values) != _BODY_VALUES:
        return f"{counted(len(values), 'value')} in a body line of {where}; expected {_BODY_VALUES}."
    if re.fullmatch(rb"[0-9]{1,20}", values[0]) and int(values[0]) <= _MOST_ID:
        return f"a body line of {where} must be a tracking id and 9 numbers, not {shown(line)}."
    return (
        f"{shown(values[0])} in a body line of {where} is not a tracking id, which is a whole number from 0 to "
        f"{_MOST_ID} written in digits."
    )


def _joint_fault(lines: list[bytes], number: int, path: str, where: str) -> FormatError:
    if number >= len(lines):
        return _truncated(lines, path, where)
    values = lines[number].split()
    if len(values) != _JOINT_VALUES:
        if number == len(lines) - 1:
            return _truncated(lines, path, where)
        problem = f"{counted(len(values), 'value')} in a joint line of {where}; expected {_JOINT_VALUES}."
        return FormatError(path, problem, number + 1)
    bad = next((value for value in values[3:] if not re.fullmatch(_UNUSED, value)), lines[number])
    return FormatError(path, f"{shown(bad)} in {where} is not a number.", number + 1)


def _coordinates(tokens: list[bytes], lines: list[bytes], path: str) -> NDArray[np.float32]:
    """Return the x y z of every joint line, float32 (B, 25, 3)."""
    try:
        if any(b"_" in token for token in tokens):
            raise ValueError
        with np.errstate(over="ignore"):
            coords = np.array(list(map(float, tokens)), np.float64).astype(np.float32)
        if not np.isfinite(coords).all():
            raise ValueError
    except ValueError:
        raise _coordinate_fault(lines, path) from None
    return coords.reshape(-1, NUM_JOINTS, 3)


def _coordinate_fault(lines: list[bytes], path: str) -> FormatError:
    """Find the joint line whose coordinates are not finite numbers; there is one."""
    for number, line in enumerate(lines):
        match = _JOINT.fullmatch(line)
        for token in match.groups() if match else ():
            fault = number_fault(token)
            if fault:
                return FormatError(path, fault, number + 1)
    raise AssertionError("no faulty coordinate found")


def number_fault(token: bytes) -> str | None:
    """Return what is wrong with a coordinate, or None when it is a finite number."""
    try:
        value = float(token) if b"_" not in token else None
    except ValueError:
        value = None
    if value is None:
        return f"{shown(token)} is not a number."
    with np.errstate(over="ignore"):
        if not np.isfinite(np.float32(value)):
            return f"{shown(token)} is not a finite coordinate in metres."
    return None
