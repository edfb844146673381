"""One recording from a file in any form that skeltools reads: raw texts, arrays, annotations.

Raw texts have the skeleton of their dataset: Kinect v1 in NW-UCLA, else v2. Arrays name no skeleton: theirs is the
one that is asked for, which only the number of joints can contradict.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skeltools.datasets import nwucla as nwucla_names
from skeltools.datasets.contract import placeholder
from skeltools.datasets.descriptor import Descriptor
from skeltools.errors import FormatError, SourceError, counted, did_you_mean
from skeltools.files import kinds, pickles
from skeltools.files.arrays import open_array
from skeltools.files.arrays import read_arrays as read_npz
from skeltools.files.kinds import Kind
from skeltools.files.reading import read_regular
from skeltools.formats import irds, ntu, nwucla, own, pku
from skeltools.formats.recording import Recording
from skeltools.formats.sources import list_entries
from skeltools.skeletons import Form, Skeleton, load, plausible

AXES = ("TVC", "TMVC", "MTVC", "CTV", "CTVM", "TF")
"""Orders of axes of one recording: T frames, M bodies, V joints, C coordinates; F is M * V * 3 numbers per frame,
body slowest."""

MOST_BODIES = 8
"""An axis of more is not taken for bodies unless the order of axes is named."""

WANTED = (
    "Give an NTU .skeleton file, a PKU-MMD or IntelliRehabDS .txt file, NW-UCLA's .json, a .npy or .npz array, or a "
    "pyskl pickle."
)

_REMEDIES = dict.fromkeys((Kind.EMPTY, Kind.FOLDER, Kind.SPECIAL, Kind.UNKNOWN), WANTED) | {
    Kind.OURS: "Its clips are prepared; a protocol's record holds their scores. Give a recording.",
}
_PREPARED = (
    "it holds prepared clips, and preparing them twice changes them. Give recordings, or use 'skeltools import' "
    "and a protocol."
)


@dataclass(frozen=True)
class Found:
    """What a file held.

    Attributes:
        path: The file.
        clip: Name of the recording where the file holds several, else empty.
        recording: The recording, metres.
        notes: What the user should know, a sentence each.
    """

    path: Path
    clip: str
    recording: Recording
    notes: tuple[str, ...] = ()


def read(
    path: str | Path, form: Form, *, unit: str = "m", clip: str | None = None, axes: str | None = None
) -> Found:
    """Read one recording.

    Args:
        path: An NTU ``.skeleton`` file; a text of PKU-MMD (a whole video) or IntelliRehabDS; a ``.npy`` array in
            one of the orders `AXES`; an ``.npz`` file of such arrays, or CTR-GCN's; a pickle of pyskl's
            annotations, of one annotation or of an array.
        form: Skeleton that the recording must have, and how many bodies clips have room for.
        unit: Unit of the coordinates: m, cm or mm.
        clip: Which recording of a file with several: its name, its key or its place from 0.
        axes: The order of an array's axes, one of `AXES`; None finds it from the shape.

    Raises:
        FormatError: The file is damaged, has another skeleton or unit, holds prepared clips, or its axes cannot
            be found.
        SourceError: It is of no kind that holds a recording, or `clip` is needed or unknown.
    """
    path = Path(path)
    if form.dimensions == 2:
        raise FormatError(path, "the run's clips are 2-D. Name the descriptor of the data: --data mine.toml")
    name, recording, notes = _recording(path, form, clip, axes)
    coords = plausible.in_metres(recording.coords, unit)
    fault, _ = plausible.judge(coords, recording.frame, recording.slot, unit)
    if fault is not None:
        raise FormatError(path, fault)
    moved = Recording(
        recording.frames, coords, recording.frame, recording.slot, recording.ids, recording.notes
    )
    return Found(path, name, moved, (*notes, *_crowded(moved, form)))


def read_own(path: str | Path, form: Form, how: Descriptor, *, clip: str | None = None) -> Found:
    """Read one recording of data of one's own.

    Args:
        path: A file, or a folder of OpenPose's file per frame.
        form: What the clips of the run look like.
        how: What the data are.
        clip: Which recording of a source with several: its name or its place from 0.

    Raises:
        FormatError: The file is damaged, or has another skeleton or number of dimensions than the run.
        SourceError: There is no recording in it, or `clip` is needed or unknown.
    """
    path = Path(path)
    _same_skeleton(path, how.skeleton, form.skeleton)
    if how.dimensions != form.dimensions:
        raise FormatError(path, f"its recordings are {how.dimensions}-D, the run's {form.dimensions}-D.")
    if not path.exists():
        raise FormatError(path, "the file does not exist")
    found = own.find(list_entries([path]))
    for _, error in found.damaged:
        raise error
    name, chosen = _pick(path, [(one.stem, one) for one in found.clips], clip)
    parts = [(part.read(), part.path) for part in chosen.parts]
    (made,) = own.read(chosen.entry.read(), chosen.entry.path, how, [chosen.member], parts)
    if isinstance(made, FormatError):
        raise made
    return Found(path, name if len(found.clips) > 1 else "", made, _crowded(made, form))


def _crowded(recording: Recording, form: Form) -> tuple[str, ...]:
    most = int(recording.slot.max(initial=-1)) + 1
    if most <= form.bodies:
        return ()
    return (
        f"up to {counted(most, 'body', 'bodies')} in a frame; clips of the run have room for {form.bodies}",
    )


def _recording(
    path: Path, form: Form, clip: str | None, axes: str | None
) -> tuple[str, Recording, tuple[str, ...]]:
    try:
        kind = kinds.tell(path)
        if kind in (Kind.NPY, Kind.NPZ, Kind.PICKLE):
            name, values, order, notes = _array(path, kind, form, clip)
            return name, _columns(path, values, axes or order, form), notes
        texts = (Kind.TEXT, Kind.BOM, Kind.UTF16, Kind.JSON)
        if kind in texts or (path.suffix == ntu.SUFFIX and kind not in (Kind.FOLDER, Kind.SPECIAL)):
            return "", *_text(path, read_regular(path), form)
    except FileNotFoundError:
        raise FormatError(path, "the file does not exist") from None
    except OSError as error:
        raise FormatError(path, f"it cannot be read: {error.strerror or error}") from None
    raise SourceError(f"{path} is {kinds.described(kind, _REMEDIES)}")


def _text(path: Path, data: bytes, form: Form) -> tuple[Recording, tuple[str, ...]]:
    """Read a raw text: NTU and NW-UCLA by their suffix, IntelliRehabDS by its first line, else PKU-MMD."""
    if path.suffix == nwucla_names.NAMING.suffix:
        return _json(path, data, form)
    _same_skeleton(path, load("kinect2"), form.skeleton)
    if path.suffix == ntu.SUFFIX:
        return ntu.read(data, str(path)), ()
    if data[:64].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"Version"):
        frames, dropped = irds.read(data, str(path))
        lines = (
            f"{counted(dropped, 'line')} with fewer joints, which {'is' if dropped == 1 else 'are'} no frame"
        )
        return Recording.from_columns(frames), (lines,) if dropped else ()
    return Recording.from_columns(pku.parse_skeleton(data, str(path))), ()


def _json(path: Path, data: bytes, form: Form) -> tuple[Recording, tuple[str, ...]]:
    naming = nwucla_names.NAMING
    if naming.parse(path.stem) is None:
        raise FormatError(path, f"NW-UCLA's files are named {naming.called}. Name it as its file_name says.")
    found = nwucla.read(data, str(path), path.stem)
    _same_skeleton(path, load("kinect1"), form.skeleton)
    return found, ()


def _same_skeleton(path: Path, found: Skeleton, need: Skeleton) -> None:
    if found.joints != need.joints:
        raise FormatError(
            path,
            f"its skeleton is {found.name} ({found.num_joints} joints), the run's {need.name} "
            f"({need.num_joints}). Give a recording of {need.name}, or a run on {found.name}.",
        )


# --- Arrays


def _array(
    path: Path, kind: Kind, form: Form, clip: str | None
) -> tuple[str, NDArray[Any], str | None, tuple[str, ...]]:
    """Return name, numbers, order of axes where the layout says it, and notes."""
    if kind is Kind.PICKLE:
        return _pickled(path, pickles.load(path), clip)
    try:
        if kind is Kind.NPY:
            return "", open_array(path), None, ()
        content = read_npz(path)
    except (OSError, ValueError) as error:
        raise FormatError(path, f"not readable as {kind.value} ({' '.join(str(error).split())}).") from None
    if {"clips", "labels"} <= content.keys():
        raise FormatError(path, _PREPARED)
    rows = [
        (placeholder(part, row), values)
        for part in ("train", "test")
        if content.get(f"x_{part}", np.zeros(0)).ndim == 3
        for row, values in enumerate(content[f"x_{part}"])
    ]
    if rows:
        name, values = _pick(path, rows, clip)
        with np.errstate(invalid="ignore"):  # a signalling NaN, refused later as any NaN is
            there = np.flatnonzero(values.any(axis=1))
        return name, values[: int(there[-1]) + 1 if len(there) else 0], "TF", ()
    several = [(key, values) for key, values in content.items() if values.dtype.kind in "fiu"]
    name, values = _pick(path, several, clip)
    return (name if len(several) > 1 else ""), values, None, ()


def _pickled(
    path: Path, content: Any, clip: str | None
) -> tuple[str, NDArray[Any], str | None, tuple[str, ...]]:
    if isinstance(content, np.ndarray):
        return "", content, None, ()
    several = content.get("annotations") if isinstance(content, dict) else content
    items = several if isinstance(several, (list, tuple)) else [content]
    if not items or not all(
        isinstance(item, dict) and isinstance(item.get("keypoint"), np.ndarray) for item in items
    ):
        raise FormatError(path, "expected pyskl's annotations: dictionaries with an array 'keypoint'.")
    named = [(str(item.get("frame_dir", place)), item) for place, item in enumerate(items)]
    name, item = _pick(path, named, clip)
    scored = item.get("keypoint_score") is not None
    notes = ("keypoint_score is not used",) if scored else ()
    order = "MTVC" if item["keypoint"].ndim == 4 else None
    return (name if len(items) > 1 else ""), item["keypoint"], order, notes


def _pick(path: Path, items: Sequence[tuple[str, Any]], clip: str | None) -> tuple[str, Any]:
    """Return the one of several recordings that is called `clip` or is at that place."""
    if not items:
        raise SourceError(f"{path} holds no recording. {WANTED}")
    names = [name for name, _ in items]
    if clip is None:
        if len(items) == 1:
            return items[0]
        shown = ", ".join(f"{name:.40}" for name in names[:3])
        raise SourceError(
            f"{path} holds {counted(len(items), 'recording')}. Choose one by name or place: --clip NAME ({shown}"
            f"{', ...' if len(items) > 3 else ''}) or --clip 0 to {len(items) - 1}"
        )
    if names.count(clip) == 1:
        return items[names.index(clip)]
    if clip.isascii() and clip.isdigit() and int(clip) < len(items):
        return items[int(clip)]
    raise SourceError(
        f"{path} holds no recording '{clip}' (or several); it has places 0 to {len(items) - 1}."
        f"{did_you_mean(clip, names)}"
    )


def _columns(path: Path, values: NDArray[Any], axes: str | None, form: Form) -> Recording:
    """Return the recording of an array of numbers."""
    if values.dtype.kind not in "fiu":
        raise FormatError(path, f"the array has type {values.dtype}; expected float32 or other numbers.")
    if values.ndim == 5:
        raise FormatError(path, _PREPARED)
    order = axes or _order(path, values.shape, form)
    if not _fits(values.shape, order, form):
        raise FormatError(path, f"{_shape(values.shape)} is not {_told(order, form)}.")
    if order == "TF":
        values = values.reshape(len(values), -1, form.joints, 3)
        order = "TMVC"
    if "M" not in order:
        values, order = values[..., None], order + "M"
    values = values.transpose([order.index(axis) for axis in "TMVC"])
    with np.errstate(over="ignore", invalid="ignore"):
        values = values.astype(np.float32)
    _check_finite(path, values)
    return Recording.from_columns(values)


def _check_finite(path: Path, values: NDArray[np.float32]) -> None:
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        frame, body, joint, axis = (int(place) for place in bad[0])
        more = f" (and {counted(len(bad) - 1, 'number')} more)" if len(bad) > 1 else ""
        raise FormatError(
            path,
            f"{'xyz'[axis]} of joint {joint} of body {body} in frame {frame}, counted from 0, is not a finite "
            f"number{more}. Fill in what is missing; an absent body is zeros in all its joints.",
        )


def _fits(shape: tuple[int, ...], axes: str, form: Form, most: int | None = None) -> bool:
    """Whether a shape is of an order of axes, with at most so many bodies."""
    size = dict(zip(axes, shape, strict=False))
    if len(shape) != len(axes) or 0 in shape[1:] or size.get("M") == 0:
        return False
    if axes == "TF":
        width = 3 * form.joints
        return size["F"] % width == 0 and (most is None or size["F"] <= most * width)
    bodies = size.get("M", 1)
    return size["V"] == form.joints and size["C"] == 3 and (most is None or bodies <= most)


def _order(path: Path, shape: tuple[int, ...], form: Form) -> str:
    """Return the only order of axes that a shape can have."""
    found = [axes for axes in AXES if _fits(shape, axes, form, MOST_BODIES)]
    if len(found) == 1:
        return found[0]
    if found:
        choices = " or ".join(f"--axes {axes}" for axes in found)
        raise FormatError(path, f"{_shape(shape)} can be read in several ways. Choose: {choices}")
    raise FormatError(
        path,
        f"{_shape(shape)} is not a recording of {form.skeleton.name}: expected {_told('TVC', form)}, or with bodies "
        f"{_told('TMVC', form)}, in another order of axes too (--axes).",
    )


def _shape(shape: tuple[int, ...]) -> str:
    return f"an array of shape {shape}"


def _told(axes: str, form: Form) -> str:
    width = {"V": str(form.joints), "C": "3", "F": f"M * {3 * form.joints}"}
    return f"({', '.join(width.get(axis, axis) for axis in axes)})"
