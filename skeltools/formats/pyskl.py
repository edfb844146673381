"""pyskl's pickles as recordings: ``annotations`` of 2-D key points with scores, or of 3-D joints."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from skeltools.datasets.descriptor import Descriptor
from skeltools.errors import FormatError, counted
from skeltools.files import pickles
from skeltools.formats import points
from skeltools.formats.recording import Recording


class Annotation(NamedTuple):
    """One clip of a pickle: its name, 0-based label and the dictionary that holds it."""

    name: str
    label: int
    content: dict[Any, Any]


def parse(data: bytes, path: str) -> tuple[list[Annotation], dict[str, dict[str, set[str]]]]:
    """Return the annotations of a pickle, and the names on the sides of its splits, by split and side.

    Raises:
        FormatError: It is not a pickle of pyskl's, or a name or label is none.
    """
    content = pickles.loads(data, path)
    if isinstance(content, list):
        content = {"annotations": content}
    if not isinstance(content, dict) or not isinstance(content.get("annotations"), (list, tuple)):
        raise FormatError(path, "expected pyskl's dictionary with a list 'annotations' (and 'split').")
    found = []
    seen: set[str] = set()
    for number, item in enumerate(content["annotations"], start=1):
        where = f"annotation {number} of {len(content['annotations'])}"
        if not isinstance(item, dict):
            raise FormatError(path, f"{where} is {type(item).__name__}; expected a dictionary.")
        name, label = item.get("frame_dir", item.get("filename")), item.get("label")
        if not isinstance(name, str) or not 1 <= len(name) <= 255:
            raise FormatError(path, f"{where} has no frame_dir, the name of its clip.")
        if isinstance(label, bool) or not isinstance(label, (int, np.integer)) or label < 0:
            raise FormatError(path, f"{where}, {name}: label must be a whole number from 0.")
        if name in seen:
            raise FormatError(path, f"{where}: two annotations are called '{name}'.")
        seen.add(name)
        found.append(Annotation(name, int(label), item))
    if not found:
        raise FormatError(path, "there is no annotation in it.")
    return found, _splits(content.get("split", {}), path)


def _splits(content: Any, path: str) -> dict[str, dict[str, set[str]]]:
    """Return names by split and side of lists such as xsub_train and xsub_val."""
    if not isinstance(content, dict):
        raise FormatError(path, "'split' must be a dictionary of lists of names.")
    found: dict[str, dict[str, set[str]]] = {}
    for key, names in content.items():
        split, _, side = str(key).rpartition("_")
        part = {"train": "train", "val": "test", "test": "test"}.get(side)
        if not isinstance(key, str) or not isinstance(names, (list, tuple, set)) or not all(
            isinstance(name, str) for name in names
        ):  # fmt: skip
            raise FormatError(path, "'split' must be a dictionary of lists of names.")
        if part is not None:
            found.setdefault(split or "own", {})[part] = set(names)
        elif key in ("train", "val", "test"):
            found.setdefault("own", {})["train" if key == "train" else "test"] = set(names)
        else:
            raise FormatError(path, f"split '{key}' is not named like xsub_train or xsub_val.")
    for split, sides in found.items():
        if sides.keys() != {"train", "test"}:
            raise FormatError(
                path, f"split '{split}' has one side only; expected {split}_train and {split}_val."
            )
        both = sides["train"] & sides["test"]
        if both:
            raise FormatError(path, f"split '{split}' has '{min(both)}' on both sides.")
    return found


def read(item: Annotation, path: str, how: Descriptor) -> Recording:
    """Return the recording of an annotation: keypoint (M, T, V, C), and keypoint_score (M, T, V) of key points.

    Raises:
        FormatError: They have another shape or type, or do not hold what the descriptor says.
    """
    keypoint, score = item.content.get("keypoint"), item.content.get("keypoint_score")
    what = f"{item.name}: keypoint"
    if not isinstance(keypoint, np.ndarray) or keypoint.dtype.kind not in "iuf":
        raise FormatError(path, f"{what} is not an array of numbers.")
    if keypoint.ndim == 3:
        keypoint = keypoint[None]
    if keypoint.ndim != 4:
        raise FormatError(path, f"{what} has shape {keypoint.shape}; expected (M, T, V, C).")
    array = keypoint.astype(np.float64)
    if how.dimensions == 2 and keypoint.shape[3] == 2 and score is not None:
        if not isinstance(score, np.ndarray) or score.dtype.kind not in "iuf":
            raise FormatError(path, f"{item.name}: keypoint_score is not an array of numbers.")
        score = score[None] if score.ndim == 2 else score
        if score.shape != keypoint.shape[:3]:
            raise FormatError(
                path, f"{item.name}: keypoint_score has shape {score.shape}, keypoint {keypoint.shape}."
            )
        array = np.concatenate([array, score[..., None]], axis=3)
    frames = item.content.get("total_frames")
    if isinstance(frames, (int, np.integer)) and int(frames) != keypoint.shape[1]:
        raise FormatError(
            path,
            f"{item.name}: total_frames is {frames}, keypoint has {counted(keypoint.shape[1], 'frame')}.",
        )
    return points.of_array(array.transpose(1, 0, 2, 3), path, how, what)
