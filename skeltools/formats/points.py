"""What readers of one's own data share: bodies as a file has them, judged and turned into a `Recording`.

Coordinates come out in metres with y up; of 2-D key points as (x, y, score), y up, in the file's own unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skeltools.datasets.descriptor import Descriptor
from skeltools.errors import FormatError, counted
from skeltools.formats.recording import Recording
from skeltools.skeletons import plausible

MOST_FRAMES = 1_000_000
"""Most frames of a recording (nine hours at 30 per second)."""

MOST_PEOPLE = 1_000
"""Most bodies of a frame."""

_MOST_PIXELS = 1e6

_TURNS: dict[str, NDArray[np.float64]] = {
    "y": np.eye(3),
    "-y": np.diag([1.0, -1.0, -1.0]),
    "z": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "-z": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "x": np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]),
    "-x": np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]),
}
"""The rotation that turns the axis that is up in the file to y."""


class Observed(NamedTuple):
    """The B bodies of a recording of L frames as the file has them.

    Attributes:
        frames: L, frames without a body included.
        coords: B arrays (V, C) of numbers, or one array (B, V, C).
        frame: B 0-based frames, never decreasing.
        slot: B places among the bodies of their frames, each once per frame.
        ids: B tracking ids; `slot` where the format has none.
        line: The line of each body where the file has lines, for messages.
    """

    frames: int
    coords: Sequence[NDArray[Any]] | NDArray[Any]
    frame: Sequence[int] | NDArray[Any]
    slot: Sequence[int] | NDArray[Any]
    ids: Sequence[int] | NDArray[Any]
    line: Sequence[int] = ()


def numbers(values: Any, path: str, what: str) -> NDArray[np.float64]:
    """Return nested lists of numbers, all of equal length, as an array.

    Raises:
        FormatError: They are ragged or hold something other than numbers.
    """
    try:
        found = np.array(values)
    except (ValueError, OverflowError):  # ragged; NumPy says so with a ValueError
        raise FormatError(path, f"{what} is ragged: lists of unequal lengths are side by side.") from None
    if found.dtype.kind not in "iuf" or found.size == 0:
        told = "empty" if found.size == 0 else "no list of numbers alone"
        raise FormatError(path, f"{what} is {told}; expected a number for each coordinate.")
    return found.astype(np.float64)


def of_array(array: NDArray[Any], path: str, how: Descriptor, what: str = "the array") -> Recording:
    """Return the recording of an array (T, V, C) or (T, M, V, C); a body of zeros is absent.

    Raises:
        FormatError: It has another shape or type, or as `recording`.
    """
    expected = f"expected (T, {how.skeleton.num_joints}, C) or (T, M, {how.skeleton.num_joints}, C)"
    if array.dtype.kind not in "iuf":
        raise FormatError(path, f"{what} has type {array.dtype}; expected numbers.")
    if array.ndim not in (3, 4):
        raise FormatError(path, f"{what} has shape {array.shape}; {expected}.")
    if array.ndim == 3:
        array = array[:, None]
    check_shape(array.shape[2:], path, how, what)
    if 0 in array.shape:
        raise FormatError(path, f"{what} has shape {array.shape}, so there are no frames.")
    if len(array) > MOST_FRAMES or array.shape[1] > MOST_PEOPLE:
        raise FormatError(
            path, f"{what} has {counted(len(array), 'frame')} of {counted(array.shape[1], 'body', 'bodies')}; "
                f"expected at most "
            f"{MOST_FRAMES:,} of {MOST_PEOPLE:,}. {expected[0].upper()}{expected[1:]}."
        )  # fmt: skip
    with np.errstate(invalid="ignore"):  # a signalling NaN, which is refused below as any NaN is
        present = array[..., : how.dimensions].any(axis=(2, 3))
    frame, slot = np.nonzero(present)
    return recording(Observed(len(array), array[present], frame, slot, slot), path, how)


def check_shape(shape: Sequence[int], path: str, how: Descriptor, what: str) -> None:
    """Refuse a body of another number of joints or coordinates than the descriptor says.

    Raises:
        FormatError: It is.
    """
    joints, channels = shape
    if joints != how.skeleton.num_joints:
        raise FormatError(
            path,
            f"{what} has {joints} joints; the skeleton {how.skeleton.name} has {how.skeleton.num_joints}. "
            "Name another skeleton in the descriptor.",
        )
    allowed = (2, 3) if how.dimensions == 2 else (3,)
    if channels not in allowed:
        named = "x, y or x, y, score" if how.dimensions == 2 else "x, y, z"
        hint = ' unit = "pixel" reads 2-D key points.' if channels == 2 else ""
        raise FormatError(
            path, f"{what} has {counted(channels, 'number')} per joint; expected {named}.{hint}"
        )


def recording(found: Observed, path: str, how: Descriptor) -> Recording:
    """Judge what was observed and return it in metres, or as key points, with y up.

    Raises:
        FormatError: There are no frames; a number is NaN or infinite; bodies cannot be people in the unit that
            the descriptor names; or a frame has more bodies than it says, unless it says that these are chosen.
    """
    if found.frames == 0:
        raise FormatError(path, "there are no frames.")
    frame, slot = np.asarray(found.frame, np.int64), np.asarray(found.slot, np.int64)
    if len(found.coords) == 0:
        empty = np.zeros((0, how.skeleton.num_joints, 3), np.float32)
        none = np.zeros(0, np.int32)
        return Recording(found.frames, empty, none, none, np.zeros(0, np.int64))
    with np.errstate(invalid="ignore"):  # as in `of_array`
        coords = np.asarray(found.coords, np.float64)
    _finite(coords, frame, slot, found, path, how)
    beyond = np.flatnonzero(slot >= how.bodies)
    notes: tuple[tuple[str, int], ...] = ()
    if len(beyond):
        if how.crowd == "refuse":
            first = int(frame[beyond[0]])
            here = int((frame == first).sum())
            raise FormatError(
                path,
                f"frame {first + 1} has {counted(max(here, int(slot[beyond[0]]) + 1), 'body', 'bodies')}, the "
                f"descriptor says bodies = "
                f'{how.bodies}. Raise it, or let crowd = "choose" leave the choice to chain.bodies.',
            )
        notes += (("crowded", len(np.unique(frame[beyond]))),)
    coords = _keypoints(coords, path, how) if how.dimensions == 2 else _metres(coords, path, how)
    stored = coords.astype(np.float32)
    if how.dimensions == 3:
        large = int((plausible.body_sizes(stored) > plausible.MOST_SIZE).sum())
        notes += (("outsized", large),) if large else ()
    return Recording(
        frames=found.frames,
        coords=stored,
        frame=frame.astype(np.int32),
        slot=slot.astype(np.int32),
        ids=np.asarray(found.ids, np.int64),
        notes=notes,
    )


def _finite(
    coords: NDArray[np.float64],
    frame: NDArray[np.int64],
    slot: NDArray[np.int64],
    found: Observed,
    path: str,
    how: Descriptor,
) -> None:
    finite = np.isfinite(coords)
    if finite.all():
        return
    body, joint, axis = (int(place) for place in np.argwhere(~finite)[0])
    value = str(coords[body, joint, axis]).replace("nan", "NaN")
    more = int((~finite).sum()) - 1
    raise FormatError(
        path,
        f"{('x', 'y', 'z' if how.dimensions == 3 else 'the score')[axis]} of '{how.skeleton.joints[joint]}' of body "
        f"{slot[body] + 1} in frame {frame[body] + 1} is {value}{f' (and {more:,} numbers more)' if more else ''}; "
        "expected finite numbers. Write a body that is absent as zeros.",
        found.line[body] if found.line else None,
    )


def _keypoints(coords: NDArray[np.float64], path: str, how: Descriptor) -> NDArray[np.float64]:
    """Return key points (B, V, 2 or 3) as (x, y, score); without scores, a joint at (0, 0) has 0, others 1."""
    if np.abs(coords[..., :2]).max() > _MOST_PIXELS:
        raise FormatError(
            path, f"a coordinate is {np.abs(coords[..., :2]).max():.3g} pixels; expected at most 1,000,000."
        )
    if coords.shape[2] == 2:
        there = coords.any(axis=2, keepdims=True)
        coords = np.concatenate([coords, there], axis=2)
    elif coords[..., 2].min() < 0 or coords[..., 2].max() > _MOST_SCORE:
        odd = coords[..., 2].min() if coords[..., 2].min() < 0 else coords[..., 2].max()
        raise FormatError(
            path, f"a score is {odd:.3g}; expected x, y and a score of 0 to {_MOST_SCORE:g} for each joint."
        )
    if how.up == "-y":
        coords = coords * np.array([1.0, -1.0, 1.0])
    return coords


_MOST_SCORE = 100.0


def _metres(coords: NDArray[np.float64], path: str, how: Descriptor) -> NDArray[np.float64]:
    """Return (B, V, 3) in metres with y up."""
    scale = plausible.UNITS[how.unit]
    metres = coords * scale @ _TURNS[how.up].T
    size = float(np.median(plausible.body_sizes(metres)))
    if size > plausible.MOST_SIZE or 0 < size < plausible.LEAST_SIZE:
        others = [
            unit
            for unit, other in plausible.UNITS.items()
            if unit != how.unit and 0.3 <= size / scale * other <= 4
        ]
        hint = f' Did you mean unit = "{others[0]}"?' if others else " Name the unit that it is in."
        raise FormatError(path, f'a person of {size:,.4g} m with unit = "{how.unit}".{hint}')
    if np.abs(metres).max() > plausible.MOST_COORDINATE:
        raise FormatError(
            path,
            f"a coordinate is {np.abs(metres).max():.3g} m; expected {plausible.MOST_COORDINATE:,.0f} m at most.",
        )
    return np.asarray(metres)
