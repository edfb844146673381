"""IntelliRehabDS raw text files (spec section 7): bytes in, recordings out.

The first line holds a version. Then a line a frame: three time numbers and 25 groups
``(JointName,TrackingState,x,y,z,u,v)``; a line with fewer groups is no frame.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skeltools.errors import FormatError
from skeltools.formats.ntu import _shown, number_fault
from skeltools.skeleton import NUM_JOINTS

NAME = re.compile(r"([0-9]{1,6})_([0-9]{1,6})_([0-8])_([0-9]{1,4})_([123])_([A-Za-z][A-Za-z0-9-]*)", re.ASCII)

_GROUP = re.compile(rb"\(([^(),]*),([^(),]*),([^(),]*),([^(),]*),([^(),]*),([^(),]*),([^(),]*)\)")

JOINTS = (
    "SpineBase", "SpineMid", "Neck", "Head", "ShoulderLeft", "ElbowLeft", "WristLeft", "HandLeft",
    "ShoulderRight", "ElbowRight", "WristRight", "HandRight", "HipLeft", "KneeLeft", "AnkleLeft", "FootLeft",
    "HipRight", "KneeRight", "AnkleRight", "FootRight", "SpineShoulder", "HandTipLeft", "ThumbLeft",
    "HandTipRight", "ThumbRight",
)  # fmt: skip
"""Kinect's joint names in the order of `skeltools.skeleton.JOINTS`, in which they stand in a line."""

_NAMES = tuple(name.encode() for name in JOINTS)


class IrdsName(NamedTuple):
    """What a raw file's name says: 0-based gesture; correct 1 (yes), 2 (no) or 3 (poorly executed)."""

    subject: int
    date: int
    gesture: int
    repetition: int
    correct: int
    position: str


def parse_name(stem: str) -> IrdsName | None:
    """Return what a file name such as ``215_18_4_5_1_stand`` says, or None when it is not one."""
    match = NAME.fullmatch(stem)
    if match is None:
        return None
    subject, date, gesture, repetition, correct = map(int, match.groups()[:5])
    return IrdsName(subject, date, gesture, repetition, correct, match[6])


def parse(data: bytes, path: str) -> NDArray[np.float32]:
    """Read a raw file.

    Returns:
        float32 (frames, 1, 25, 3), metres.

    Raises:
        FormatError: There is no version line, or a frame's joints or coordinates are faulty.
    """
    lines = data.split(b"\n")
    if not lines[0].strip().startswith(b"Version"):
        problem = f"expected a version, not {_shown(lines[0])}." if lines[0].strip() else "no version line."
        raise FormatError(path, problem, 1)
    tokens: list[bytes] = []
    numbers: list[int] = []
    for number, line in enumerate(lines[1:], start=2):
        groups = _GROUP.findall(line)
        if len(groups) < NUM_JOINTS:
            continue
        if len(groups) > NUM_JOINTS:
            raise FormatError(path, f"{len(groups)} joints in a frame; expected {NUM_JOINTS}.", number)
        for group, name in zip(groups, _NAMES, strict=True):
            if group[0].strip() != name:
                problem = f"joint {_shown(group[0])} stands where {name.decode()} was expected."
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
    return values.reshape(-1, 1, NUM_JOINTS, 3)
