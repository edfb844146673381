"""PKU-MMD text files (docs/method.md#pku-mmd): skeletons, labels and split files; bytes in, arrays out."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skeltools.errors import FormatError, counted
from skeltools.formats import backend, text
from skeltools.formats.ntu import number_fault
from skeltools.formats.text import shown
from skeltools.skeletons import load

NUM_BODIES = 2
NUM_JOINTS = load("kinect2").num_joints
COLUMNS = NUM_BODIES * NUM_JOINTS * 3
"""Numbers in a row of a skeleton file: two bodies of 25 joints, x y z each."""

PARTS = {
    "pku1": re.compile(r"[0-9]{4}-[LMR]", re.ASCII),
    "pku2": re.compile(r"A[0-9]{2}N[0-9]{2}-[LMR]", re.ASCII),
}
"""Video names of each part."""

VIDEO = re.compile(r"(?:[0-9]{4}|A[0-9]{2}N[0-9]{2})-([LMR])", re.ASCII)
"""Video names: ``0002-L`` (part I), ``A01N02-R`` (part II); the letter is the view."""

_WHOLE = re.compile(rb"[ \t\r]*(-?[0-9]{1,9})[ \t\r]*")


@dataclass(frozen=True)
class Action:
    """One row of a label file.

    Attributes:
        row: 1-based row number in the file, which is part of the clip's name.
        label: 1-based class.
        start: 1-based first frame.
        end: 1-based last frame, inside.
    """

    row: int
    label: int
    start: int
    end: int


def parse_skeleton(data: bytes, path: str) -> NDArray[np.float32]:
    """Read a skeleton file.

    Returns:
        float32 (frames, 2, 25, 3), metres; an absent body is zeros.

    Raises:
        FormatError: A row does not hold 150 finite numbers, or there is no row.
    """
    data = text.plain(data, path)
    values = None
    if backend.compiled():
        from skeltools.formats import _compiled

        values = _compiled.table(data, COLUMNS)
        if values is not None and len(values) == 0:
            values = None
    if values is None:
        values = _plain(data, path)
    return values.reshape(-1, NUM_BODIES, NUM_JOINTS, 3)


def _plain(data: bytes, path: str) -> NDArray[np.float32]:
    text.check_kind(data, path)
    lines = data.split(b"\n")
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise FormatError(path, f"the file is empty; expected rows of {COLUMNS} numbers.")
    values = np.empty((len(lines), COLUMNS), np.float32)
    for number, line in enumerate(lines):
        tokens = line.split()
        if len(tokens) != COLUMNS:
            problem = f"{counted(len(tokens), 'number')} in the row; expected {COLUMNS}."
            raise FormatError(path, problem, number + 1)
        try:
            if b"_" in line:
                raise ValueError
            with np.errstate(over="ignore"):
                values[number] = list(map(float, tokens))
            if not np.isfinite(values[number]).all():
                raise ValueError
        except ValueError:
            fault = next(filter(None, map(number_fault, tokens)))
            raise FormatError(path, fault, number + 1) from None
    return values


def parse_labels(data: bytes, path: str, classes: int) -> list[Action]:
    """Read a label file, one ``class,start,end,confidence`` a row; blank lines are passed over.

    Rows with end < start are returned like any other: real labels hold some.

    Raises:
        FormatError: A row is not four whole numbers, or the class is not in 1..classes.
    """
    actions, faults = sort_labels(data, path, classes)
    for _, fault in faults:
        raise fault
    return actions


def sort_labels(data: bytes, path: str, classes: int) -> tuple[list[Action], list[tuple[int, FormatError]]]:
    """Read a label file; return its actions, and the rows that are none with what is wrong in each.

    Raises:
        FormatError: The file holds no row, or is not text.
    """
    data = text.plain(data, path)
    actions: list[Action] = []
    faults: list[tuple[int, FormatError]] = []
    row = 0
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        row += 1
        fields = [_WHOLE.fullmatch(field) for field in line.split(b",")]
        if len(fields) != 4 or None in fields:
            if row == 1:
                text.check_kind(data, path)
            problem = f"expected class,start,end,confidence as four whole numbers, not {shown(line)}."
            faults.append((row, FormatError(path, problem, number)))
            continue
        label, start, end, _ = (int(field[1]) for field in fields if field is not None)
        if 1 <= label <= classes:
            actions.append(Action(row, label, start, end))
        else:
            problem = f"class {label} is not one of 1 to {classes}."
            faults.append((row, FormatError(path, problem, number)))
    if row == 0:
        raise FormatError(path, "the file is empty; expected rows class,start,end,confidence.")
    return actions, faults


def parse_split(data: bytes, path: str) -> tuple[dict[str, int], dict[str, int]]:
    """Read a split file: a heading, training videos, a heading, test videos; names separated by commas.

    Trailing commas, spaces and blank lines are passed over.

    Returns:
        The training videos and the test videos, each name with its line.

    Raises:
        FormatError: There are not four lines, a name is not a video's, or one is on both sides.
    """
    try:
        content = text.plain(data, path).decode("ascii")
        lines = [(number, line.strip()) for number, line in enumerate(content.split("\n"), start=1)]
    except UnicodeDecodeError:
        text.check_kind(data, path)
        raise FormatError(path, "the file is not plain text; expected a split file.") from None
    lines = [(number, line) for number, line in lines if line]
    if len(lines) != 4:
        problem = (
            f"{len(lines)} lines with text; expected four: heading, training videos, heading, test videos."
        )
        raise FormatError(path, problem)
    sides: list[dict[str, int]] = []
    for number, line in (lines[1], lines[3]):
        names = [name.strip() for name in line.split(",")]
        names = [name for name in names if name]
        for name in names:
            if not VIDEO.fullmatch(name):
                raise FormatError(path, f"{shown(name.encode())} is not a video name such as 0002-L.", number)
        sides.append(dict.fromkeys(names, number))
    both = sorted(sides[0].keys() & sides[1].keys())
    if both:
        raise FormatError(path, f"video {both[0]} is on both sides of the split.", sides[1][both[0]])
    return sides[0], sides[1]


def parse_split_unstripped(data: bytes, path: str) -> set[str]:
    """Return the training videos as CMD and MAMP read them: the second line, split at ', ' and not stripped.

    With CRLF line ends the last training video keeps its carriage return, so it matches no video and ends
    on the test side (docs/method.md#divergence-4).

    Raises:
        FormatError: There is no second line.
    """
    lines = text.plain(data, path).decode("latin-1").split("\n")
    if len(lines) < 2:
        raise FormatError(path, "there is no second line; expected the training videos.")
    return set(lines[1].split(", "))
