"""pyskl's layout: a pickle of splits and annotations, one per clip, with keypoints in 3-D or in pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skeltools.datasets.registry import PARTITIONS
from skeltools.errors import FormatError, SettingError, counted
from skeltools.exchange.shared import (
    SIDES,
    Arrays,
    Reading,
    Sequences,
    blocks,
    check_numbers,
    clip_label,
    clip_name,
    lost,
)
from skeltools.files import pickles
from skeltools.files.kinds import Kind
from skeltools.preparation.chain import Chain
from skeltools.progress import Progress
from skeltools.skeletons import Skeleton, load
from skeltools.store.layout import narrowed
from skeltools.store.notes import Note, listed
from skeltools.store.reader import ClipFile

NEEDS_SPLIT = True
KIND = Kind.PICKLE

THRESHOLD = 0.01
"""Keypoints in pixels of this score or less are absent, as in pyskl's reader."""

_FLAT = "coco17"
"""The skeleton of pyskl's keypoints in pixels."""


def read(path: Path, how: Reading) -> Arrays:
    """Read ``split`` and ``annotations``: ``frame_dir``, ``label`` and ``keypoint`` (M, T, V, 3), or (M, T, 17, 2).

    Keypoints in pixels become (x, y, 0) as pyskl's reader scales them: 0 in the middle of the image, 1 at its right
    and its lower edge; where ``keypoint_score`` (M, T, 17) is `THRESHOLD` or less, 0.

    Raises:
        SettingError: Names are given, or a unit for pixels.
        FormatError: It is damaged or holds something else.
    """
    how.takes_no_names(path)
    content = pickles.load(path)
    expected = "expected pyskl's dictionary with 'split' and 'annotations'"
    if not isinstance(content, dict) or not {"split", "annotations"} <= content.keys():
        raise FormatError(path, f"{expected}.")
    annotations = content["annotations"]
    if not isinstance(annotations, (list, tuple)):
        raise FormatError(path, f"'annotations' is not a list; {expected}.")
    splits = _splits(path, content["split"])
    notes: list[Note] = []
    flat = _is_flat(annotations)
    if flat:
        if how.unit != "m":
            raise SettingError(f"--unit is for metres; the keypoints of {path} are pixels. Leave it out.")
        how = replace(how, skeleton=load(_FLAT), chain=how.chain and _flat_chain(how.chain, load(_FLAT)))
    sequences = Sequences(path, how)
    absent = 0
    for number, item in enumerate(annotations, start=1):
        where = f"annotation {number} of {len(annotations)}"
        name, label, points = _annotation(path, where, item)
        if flat:
            points, scores = _from_pixels(path, name, item, points, how.chain is not None)
            absent += int((scores <= np.float32(THRESHOLD)).sum())
        elif points.ndim != 4 or points.shape[2:] != (how.form.joints, 3) or 0 in points.shape:
            raise FormatError(
                path, f"{name}: keypoint has shape {points.shape}; expected (M, T, {how.form.joints}, 3)."
            )
        sequences.add(name, label, points.transpose(3, 1, 2, 0))
    if flat:
        notes += _flat_notes(len(annotations), absent, how.chain)
    named = {*sequences.names, *(name for name, _ in sequences.excluded)}
    sides: dict[str, dict[str, set[str]]] = {part: {} for part in PARTITIONS}
    for key, members in splits.items():
        split, _, side = key.rpartition("_")
        part = {"train": "train", "val": "test", "test": "test"}.get(side)
        if part is None or not split:
            raise FormatError(path, f"split '{key}' is not named like xsub_train or xsub_val.")
        sides[part][split] = members
        what = f"of split {key} {'has' if len(members - named) == 1 else 'have'} no annotation"
        notes += listed(f"split-missing.{key}", sorted(members - named), "clip", what)
    return sequences.arrays(sides["train"], sides["test"], notes)


def _splits(path: Path, found: Any) -> dict[str, set[str]]:
    try:
        return {clip_name(key): set(map(clip_name, names)) for key, names in found.items()}
    except (TypeError, AttributeError) as error:
        told = str(error) if "not a name" in str(error) else "'split' is not a dictionary of lists of names"
        raise FormatError(
            path, f"{told}; expected names such as S001C001P001R001A001 by xsub_train."
        ) from None


def _annotation(path: Path, where: str, item: Any) -> tuple[str, int, NDArray[Any]]:
    """Return name, label and keypoints of one of pyskl's annotations."""
    keys = "frame_dir, label and keypoint"
    if not isinstance(item, dict):
        told = "None" if item is None else f"of type {type(item).__name__}"
        raise FormatError(path, f"{where} is {told}; expected a dictionary with {keys}.")
    missing = next((key for key in ("frame_dir", "label", "keypoint") if key not in item), None)
    if missing is not None:
        raise FormatError(path, f"{where} has no '{missing}'; expected a dictionary with {keys}.")
    try:
        name, label = clip_name(item["frame_dir"]), clip_label(item["label"])
    except TypeError as error:
        raise FormatError(path, f"{where}: {error}.") from None
    points = item["keypoint"]
    if not isinstance(points, np.ndarray):
        raise FormatError(path, f"{where}, {name}: keypoint is {type(points).__name__}; expected an array.")
    check_numbers(points, f"{name}: keypoint", path)
    return name, label, points


# --- Keypoints in pixels


def _is_flat(annotations: Any) -> bool:
    """Whether these are keypoints in pixels: those of the first annotation have two coordinates and a score, or an
    image they are in."""
    first = annotations[0] if annotations else None
    if not isinstance(first, dict) or not isinstance(first.get("keypoint"), np.ndarray):
        return False
    return bool(first["keypoint"].shape[-1:] == (2,)) and ("keypoint_score" in first or "img_shape" in first)


def _flat_chain(chain: Chain, skeleton: Skeleton) -> Chain:
    """Return a chain for key points: about the skeleton's own centre.

    Raises:
        SettingError: A step of it needs depth.
    """
    return replace(chain, centre_joint=-1).of(skeleton, 2)


def _from_pixels(
    path: Path, name: str, item: dict[str, Any], points: NDArray[Any], prepared: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return float32 (M, T, V, 3) and the scores, float32 (M, T, V).

    As pyskl's reader scales them and without those of a low score; or, where they are to be prepared, x to the right
    and y up in half heights of the image, and the score, which a chain takes.
    """
    joints = load(_FLAT).num_joints
    if points.ndim != 4 or points.shape[2:] != (joints, 2) or 0 in points.shape:
        raise FormatError(path, f"{name}: keypoint has shape {points.shape}; expected (M, T, {joints}, 2).")
    shape = item.get("img_shape")
    if (
        not isinstance(shape, (tuple, list))
        or len(shape) != 2
        or not all(isinstance(size, (int, np.integer)) and 0 < size <= 1 << 16 for size in shape)
    ):
        raise FormatError(path, f"{name}: img_shape is missing or is not (height, width) in pixels.")
    height, width = (int(size) for size in shape)
    score = item.get("keypoint_score", np.ones(points.shape[:3], np.float32))
    if not isinstance(score, np.ndarray) or score.shape != points.shape[:3] or score.dtype.kind not in "fiu":
        raise FormatError(path, f"{name}: keypoint_score is not an array of numbers {points.shape[:3]}.")
    with np.errstate(over="ignore", invalid="ignore"):
        scores = score.astype(np.float32)  # compared as pyskl does
    if not np.isfinite(scores).all():
        raise FormatError(path, f"{name}: keypoint_score holds NaN or an infinite number.")
    made = np.zeros((*points.shape[:3], 3), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        given = points.astype(np.float32)
    made[..., 0] = (given[..., 0] - width / 2) / ((height if prepared else width) / 2)
    made[..., 1] = (given[..., 1] - height / 2) / (height / 2)
    if prepared:
        made[..., 1] *= -1
        made[..., 2] = scores
    else:
        made[scores <= np.float32(THRESHOLD)] = 0
    return made, scores


def _flat_notes(clips: int, absent: int, chain: Chain | None) -> list[Note]:
    text = f"keypoints in pixels of {counted(clips, 'clip')}: "
    if chain is not None:
        text += f"y up, prepared as 2-D key points; those of a score below {chain.score:g} are absent"
    else:
        text += (
            f"x and y from -1 to 1 across the image, y down, z = 0; {absent:,} of a score of {THRESHOLD} or less are "
            "absent"
        )
    return [Note("pixels", clips, f"{text}, scores are not kept.")]


# --- Out


def paths(file: ClipFile) -> list[str]:
    """Return nothing: an export is one file."""
    return []


def write(file: ClipFile, out: Path, progress: Progress) -> list[str]:
    """Write a pickle with float16 keypoints (M, T, V, 3) of the bodies that are there; return what is lost."""
    progress.start("exporting", len(file))
    bodies = np.asarray(file.column("bodies"))
    split = {
        f"{name}_{side}": [file.names[row] for row in file.rows(name, part).tolist()]
        for name in file.splits
        for part, side in SIDES.items()
    }
    most = [0.0]

    def annotations() -> Iterator[dict[str, Any]]:
        for row, clip in enumerate(
            clip for block in blocks(file, np.arange(len(file)), progress) for clip in block
        ):
            points = clip.transpose(3, 1, 2, 0)[: max(1, int(bodies[row]))]
            half = np.ascontiguousarray(
                narrowed(points, np.dtype(np.float16), f"{file.path}, {file.names[row]}")
            )
            most[0] = max(most[0], float(np.abs(half - points).max()))
            yield {
                "frame_dir": file.names[row],
                "label": int(file.labels[row]),
                "keypoint": half,
                "total_frames": file.frames,
            }

    with out.open("wb") as target:
        pickles.dump({"split": split, "annotations": pickles.Stream(annotations())}, target)
    progress.finish()
    notes = [lost(file, "frames of the recordings", "class names")]
    if most[0] > 0:
        notes.append(f"coordinates are rounded to float16: up to {most[0]:.2g} m off.")
    return notes
