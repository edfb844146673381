"""CSV files as recordings: a row per frame, or a row per frame and joint.

With a header, columns are found by name: ``left elbow_x``, ``left_elbow_x``, ``LeftElbowX`` and ``7_x``, ``x7`` alike
for joint 7; or ``frame``, ``joint``, ``x``, ``y``, ``z``. Without one, a row is the V * C numbers of a frame.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skeltools.datasets.descriptor import Descriptor
from skeltools.errors import FormatError, counted, did_you_mean
from skeltools.files import kinds
from skeltools.formats import points, text
from skeltools.formats.points import Observed
from skeltools.formats.recording import Recording

_FRAME = ("frame", "frameid", "frameindex", "framenumber")
_BODY = ("body", "person", "bodyid", "personid", "track", "trackid")
_SCORE = ("score", "confidence", "visibility", "conf", "c")
_PASSED = ("time", "timestamp", "timestampusec", "timestampms", "seconds", "ms")
"""Columns of time, which nothing is read from: frames are in order."""

_AXES = ("x", "y", "z")
_LONGEST = 1 << 20
"""Most characters of a cell or cells of a row; csv's own limit is 131,072."""


def read(data: bytes, path: str, how: Descriptor) -> Recording:
    """Read a CSV file, its cells separated by commas, semicolons or tabs.

    Raises:
        FormatError: It is none, a row is ragged, a column is missing or unknown, a cell is not a number, frames are out
            of order, or it does not hold what the descriptor says.
    """
    rows = cells(data, path)
    header = rows[0][1]
    if len(rows) == 1 and not all(_is_number(cell) for cell in header):
        raise FormatError(path, "there are no frames, only a header.")
    if all(_is_number(cell) for cell in header):
        found = _plain(rows, path, how)
    elif any(_key(cell) == "joint" for cell in header):
        found = _long(header, rows[1:], path, how)
    else:
        found = _wide(header, rows[1:], path, how)
    return points.recording(found, path, how)


def cells(data: bytes, path: str) -> list[tuple[int, list[str]]]:
    """Return (line, cells) of each row of a CSV file that is not empty.

    Raises:
        FormatError: It is not text, empty, or its quotes are faulty.
    """
    text.check_kind(data, path)
    try:
        content = kinds.decode(data)
    except ValueError as error:
        raise FormatError(path, f"this is not a CSV file: {str(error).rstrip('.')}.") from None
    first = next((line for line in content.splitlines() if line.strip()), "")
    if not first:
        raise FormatError(path, "this is an empty file; expected a CSV file.")
    separator = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=separator, strict=True)
    found: list[tuple[int, list[str]]] = []
    try:
        for row in reader:
            if any(map(str.strip, row)):
                found.append((reader.line_num, [cell.strip() for cell in row]))
    except csv.Error as error:
        raise FormatError(path, f"this is not a CSV row: {error}.", reader.line_num) from None
    width = len(found[0][1])
    for line, row in found:
        if len(row) != width:
            raise FormatError(
                path, f"{counted(len(row), 'cell')}; the first row has {width}. The table is ragged.", line
            )
    return found


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _number(cell: str, path: str, line: int, column: str) -> float:
    if _is_number(cell):
        return float(cell)
    if not cell:
        told = "is empty; write a joint that was not seen as zeros"
    elif re.fullmatch(r"-?[0-9]+,[0-9]+", cell):
        told = f"is '{cell:.40}', with a decimal comma; write a decimal point"
    else:
        told = f"is '{cell:.40}', which is not a number"
    raise FormatError(path, f"column {column} {told}.", line)


def _whole(cell: str, path: str, line: int, column: str) -> int:
    value = _number(cell, path, line, column)
    if not (value == value // 1 and abs(value) < 2**53):
        raise FormatError(path, f"column {column} is '{cell:.40}'; expected a whole number.", line)
    return int(value)


def _plain(rows: list[tuple[int, list[str]]], path: str, how: Descriptor) -> Observed:
    """Read rows without a header, V * C numbers each, or as many for each of several bodies."""
    joints, width = how.skeleton.num_joints, len(rows[0][1])
    channels = how.dimensions
    if width % (joints * channels):
        channels = 3
    if width % (joints * channels):
        raise FormatError(
            path,
            f"{counted(width, 'number')} per row without a header; expected {joints} * {how.dimensions} for the "
            f"skeleton "
            f"{how.skeleton.name}, or a header that names the columns.",
            rows[0][0],
        )
    names = [str(place + 1) for place in range(width)]
    values = np.array([_floats(row, names, path, line) for line, row in rows])
    bodies = values.reshape(len(rows), -1, joints, channels)
    there = bodies[..., : how.dimensions].any(axis=(2, 3))
    frame, slot = np.nonzero(there)
    return Observed(len(rows), bodies[there], frame, slot, slot, [rows[place][0] for place in frame.tolist()])


def _floats(row: Sequence[str], names: Sequence[str], path: str, line: int) -> list[float]:
    return [_number(cell, path, line, f"'{name}'") for cell, name in zip(row, names, strict=True)]


def _columns(header: Sequence[str], path: str) -> dict[str, int]:
    """Return the places of the columns by simplified name."""
    found: dict[str, int] = {}
    for place, name in enumerate(header):
        if not _key(name):
            raise FormatError(path, f"column {place + 1} has no name in the header.", 1)
        if _key(name) in found:
            raise FormatError(path, f"column '{name:.60}' occurs twice in the header.", 1)
        found[_key(name)] = place
    return found


def _one_of(columns: dict[str, int], names: Sequence[str]) -> int | None:
    return next((columns.pop(name) for name in names if name in columns), None)


def _wide(header: Sequence[str], rows: list[tuple[int, list[str]]], path: str, how: Descriptor) -> Observed:
    """Read a row per frame (and body), with named columns."""
    columns = _columns(header, path)
    frame_at, body_at = _one_of(columns, _FRAME), _one_of(columns, _BODY)
    _one_of(columns, _PASSED)
    spelled = {
        (joint, channel): next((word for word in _spellings(joint, channel, how) if word in columns), None)
        for joint in range(how.skeleton.num_joints)
        for channel in range(how.dimensions + (how.dimensions == 2))
    }
    if how.dimensions == 2 and all(word is None for (_, channel), word in spelled.items() if channel == 2):
        spelled = {key: word for key, word in spelled.items() if key[1] < 2}
    missing = [key for key, word in spelled.items() if word is None]
    if missing:
        joint, channel = missing[0]
        raise FormatError(
            path,
            f"no column '{how.skeleton.joints[joint]}_{_suffix(channel, how)}' ({counted(len(missing), 'column')} "
            f"of the skeleton {how.skeleton.name} missing); the header has {', '.join(header)[:160]}.",
            1,
        )
    places = [columns.pop(str(word)) for word in spelled.values()]
    _nothing_else(columns, header, path, ["frame", "body", "time"])
    names = [f"'{header[place]}'" for place in places]
    coords = np.array(
        [
            [_number(row[place], path, line, name) for place, name in zip(places, names, strict=True)]
            for line, row in rows
        ]
    ).reshape(len(rows), how.skeleton.num_joints, -1)
    return _in_frames(coords, rows, frame_at, body_at, path, how)


def _suffix(channel: int, how: Descriptor) -> str:
    return "score" if how.dimensions == 2 and channel == 2 else _AXES[channel]


def _spellings(joint: int, channel: int, how: Descriptor) -> list[str]:
    """Return what the column of a coordinate may be called, simplified."""
    name = _key(how.skeleton.joints[joint])
    ends = _SCORE if how.dimensions == 2 and channel == 2 else (_AXES[channel],)
    numbered = (f"{joint}", f"joint{joint}", f"j{joint}")
    return [
        word
        for end in ends
        for word in (f"{name}{end}", f"{end}{name}", *(f"{text}{end}" for text in numbered), f"{end}{joint}")
    ]


def _nothing_else(columns: dict[str, int], header: Sequence[str], path: str, known: list[str]) -> None:
    if columns:
        word, place = next(iter(columns.items()))
        raise FormatError(
            path,
            f"unknown column '{header[place]:.60}'. Beside the joints' there may be {', '.join(known)}; take others "
            f"out.{did_you_mean(word, known)}",
            1,
        )


def _in_frames(
    coords: NDArray[np.float64],
    rows: list[tuple[int, list[str]]],
    frame_at: int | None,
    body_at: int | None,
    path: str,
    how: Descriptor,
) -> Observed:
    """Give each row its frame, by number or in order, and its place there; rows of zeros are not bodies."""
    if body_at is not None and frame_at is None:
        raise FormatError(path, "there is a column of bodies but none of frames. Add a column 'frame'.", 1)
    numbers = (
        _frames([(line, row[frame_at]) for line, row in rows], path)
        if frame_at is not None
        else list(range(len(rows)))
    )
    ids = (
        [_whole(row[body_at], path, line, "'body'") for line, row in rows]
        if body_at is not None
        else [0] * len(rows)
    )
    seen: dict[int, set[int]] = {}
    frame, slot, kept, lines = [], [], [], []
    for place, (number, body) in enumerate(zip(numbers, ids, strict=True)):
        here = seen.setdefault(number, set())
        if body in here:
            told = f" for body {body}" if body_at is not None else ""
            line, row = rows[place]
            raise FormatError(path, f"frame {row[frame_at or 0]} occurs twice{told}.", line)
        if coords[place, :, : how.dimensions].any():
            frame.append(number)
            slot.append(len(here))
            kept.append(place)
            lines.append(rows[place][0])
        here.add(body)
    found = [ids[place] for place in kept] if body_at is not None else slot
    return Observed(numbers[-1] + 1 if numbers else 0, coords[kept], frame, slot, found, lines)


def _frames(numbered: list[tuple[int, str]], path: str) -> list[int]:
    """Return 0-based frames of (line, cell), counted from the first.

    Raises:
        FormatError: They are out of order, or too many.
    """
    found: list[int] = []
    for line, cell in numbered:
        number = _whole(cell, path, line, "'frame'")
        if found and number < found[-1]:
            raise FormatError(
                path, f"frame {number} comes after frame {found[-1]}: frames are out of order.", line
            )
        found.append(number)
    if found and found[-1] - found[0] >= points.MOST_FRAMES:
        raise FormatError(path, f"frames {found[0]} to {found[-1]} are more than {points.MOST_FRAMES:,}.")
    return [number - found[0] for number in found]


def _long(header: Sequence[str], rows: list[tuple[int, list[str]]], path: str, how: Descriptor) -> Observed:
    """Read a row per frame and joint (and body)."""
    columns = _columns(header, path)
    frame_at, body_at, joint_at = _one_of(columns, _FRAME), _one_of(columns, _BODY), columns.pop("joint")
    _one_of(columns, _PASSED)
    axes = [columns.pop(axis, None) for axis in _AXES[: how.dimensions]]
    score_at = _one_of(columns, _SCORE)
    for name, place in (("frame", frame_at), *zip(_AXES, axes, strict=False)):
        if place is None:
            raise FormatError(
                path, f"no column '{name}' beside 'joint'; the header has {', '.join(header)[:160]}.", 1
            )
    _nothing_else(columns, header, path, ["frame", "joint", "x", "y", "z", "score", "body", "time"])
    places = [place for place in axes if place is not None]
    if how.dimensions == 2 and score_at is not None:
        places.append(score_at)
    joint_of = {_key(name): place for place, name in enumerate(how.skeleton.joints)}
    joint_of |= {str(place): place for place in range(how.skeleton.num_joints) if str(place) not in joint_of}
    numbers = _frames([(line, row[frame_at or 0]) for line, row in rows], path)
    found: dict[tuple[int, int], dict[int, list[float]]] = {}
    lines: dict[tuple[int, int], int] = {}
    for number, (line, row) in zip(numbers, rows, strict=True):
        joint = joint_of.get(_key(row[joint_at]))
        if joint is None:
            hint = did_you_mean(row[joint_at].lower(), how.skeleton.joints)
            raise FormatError(
                path, f"'{row[joint_at]:.60}' is not a joint of the skeleton {how.skeleton.name}.{hint}", line
            )
        body = _whole(row[body_at], path, line, "'body'") if body_at is not None else 0
        joints = found.setdefault((number, body), {})
        lines.setdefault((number, body), line)
        if joint in joints:
            raise FormatError(
                path, f"joint '{row[joint_at]:.60}' occurs twice in frame {row[frame_at or 0]}.", line
            )
        joints[joint] = [_number(row[place], path, line, f"'{header[place]}'") for place in places]
    return _whole_bodies(found, lines, numbers, path, how)


def _whole_bodies(
    found: dict[tuple[int, int], dict[int, list[float]]],
    lines: dict[tuple[int, int], int],
    numbers: list[int],
    path: str,
    how: Descriptor,
) -> Observed:
    coords: list[Any] = []
    frame: list[int] = []
    slot: list[int] = []
    ids: list[int] = []
    at: list[int] = []
    count: dict[int, int] = {}
    for (number, body), joints in found.items():
        if len(joints) < how.skeleton.num_joints:
            lacking = next(name for place, name in enumerate(how.skeleton.joints) if place not in joints)
            raise FormatError(
                path, f"the frame that begins here lacks joint '{lacking}'.", lines[number, body]
            )
        values = np.array([joints[joint] for joint in range(how.skeleton.num_joints)])
        place = count.get(number, 0)
        count[number] = place + 1
        if values[:, : how.dimensions].any():
            coords.append(values)
            frame.append(number)
            slot.append(place)
            ids.append(body)
            at.append(lines[number, body])
    return Observed(numbers[-1] + 1 if numbers else 0, coords, frame, slot, ids, at)
