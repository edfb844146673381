"""IntelliRehabDS raw text files (docs/method.md#intellirehabds): bytes in, recordings out.

The first line holds a version. Then a line per frame: three time numbers and 25 groups
``(JointName,TrackingState,x,y,z,u,v)``; a line with fewer groups is not a frame, which is counted.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from skeltools.errors import FormatError
from skeltools.formats import text
from skeltools.formats.ntu import number_fault
from skeltools.formats.text import shown
from skeltools.skeletons import load

NUM_JOINTS = load("kinect2").num_joints

_GROUP = re.compile(rb"\(([^(),]*),([^(),]*),([^(),]*),([^(),]*),([^(),]*),([^(),]*),([^(),]*)\)")

JOINTS = (
    "SpineBase", "SpineMid", "Neck", "Head", "ShoulderLeft", "ElbowLeft", "WristLeft", "HandLeft",
    "ShoulderRight", "ElbowRight", "WristRight", "HandRight", "HipLeft", "KneeLeft", "AnkleLeft", "FootLeft",
    "HipRight", "KneeRight", "AnkleRight", "FootRight", "SpineShoulder", "HandTipLeft", "ThumbLeft",
    "HandTipRight", "ThumbRight",
)  # fmt: skip
"""Kinect's joint names in the order of the skeleton kinect2, in which they are in a line."""

_NAMES = tuple(name.encode() for name in JOINTS)


_COMMAS = re.compile(rb"\([^(),]*,[^(),]*(,\s*-?[0-9]+,[0-9]+){2}")
"""A group whose numbers have decimal commas."""

_TIMES = re.compile(rb"[0-9.,;:+\-eE\s]*")
"""Words beside the groups of a line."""


def parse(data: bytes, path: str) -> NDArray[np.float32]:
    """Return the frames of a raw file, float32 (frames, 1, 25, 3), metres.

    Raises:
        FormatError: As `read`.
    """
    return read(data, path)[0]


def read(data: bytes, path: str) -> tuple[NDArray[np.float32], int]:
    """Read a raw file.

    Returns:
        The frames, float32 (frames, 1, 25, 3), metres, and how many lines have fewer joints and so are none.

    Raises:
        FormatError: There is no version line, a line is damaged, a frame's joints or coordinates are faulty,
            or the file ends within a line.
    """
    data = text.plain(data, path)
    lines = data.split(b"\n")
    if not lines[0].strip().startswith(b"Version"):
        text.check_kind(data, path)
        problem = f"expected a version, not {shown(lines[0])}." if lines[0].strip() else "no version line."
        raise FormatError(path, problem, 1)
    tokens: list[bytes] = []
    numbers: list[int] = []
    dropped = 0
    for number, line in enumerate(lines[1:], start=2):
        groups = _GROUP.findall(line)
        if not len(groups) == line.count(b"(") == line.count(b")") == NUM_JOINTS:
            if not line.strip():
                continue
            fault = _line_fault(line, groups, cut=number == len(lines))
            if fault is not None:
                raise FormatError(path, fault, number)
            if len(groups) < NUM_JOINTS:
                dropped += 1
                continue
        if len(groups) > NUM_JOINTS:
            raise FormatError(path, f"{len(groups)} joints in a frame; expected {NUM_JOINTS}.", number)
        for group, name in zip(groups, _NAMES, strict=True):
            if group[0].strip() != name:
                problem = f"joint {shown(group[0])} is where {name.decode()} was expected."
                raise FormatError(path, problem, number)
            tokens += group[2:5]
        numbers.append(number)
    try:
        if any(b"_" in token for token in tokens):
            raise ValueError
        with np.errstate(over="ignore"):
            values = np.array(list(map(float, tokens)), np.float64).astype(np.float32)
        if not np.isfinite(values).all():
            raise ValueError
    except ValueError:
        place, fault = next(
            (place, fault) for place, token in enumerate(tokens) if (fault := number_fault(token))
        )
        raise FormatError(path, fault, numbers[place // (3 * NUM_JOINTS)]) from None
    return values.reshape(-1, 1, NUM_JOINTS, 3), dropped


def _line_fault(line: bytes, groups: list[bytes], cut: bool) -> str | None:
    """Say what is wrong with a line that is not a whole frame; None where it just has fewer joints, or more.

    `cut`: no line end follows, so the file may have been cut off within it.
    """
    if _COMMAS.search(line):
        return "the numbers have decimal commas. Write them with decimal points."
    rest = _GROUP.sub(b"", line)
    if cut and len(groups) < NUM_JOINTS and (groups or b"(" in rest or rest.rstrip().endswith(b",")):
        return f"the file ends within this line, after {len(groups)} joints; it is truncated. Fetch it again."
    if _TIMES.fullmatch(rest):
        return None
    wrong = rest[rest.find(b"(") :] if b"(" in rest else rest
    return f"{shown(wrong)} is not a group (JointName,TrackingState,x,y,z,u,v)."
