"""The chain from a recording to a clip ``(3, T, 25, 2)``: bodies, length, centre, resize, rotate.

The default is spec section 3, the chain behind the published numbers. Every step where other projects
differ is a setting of `Chain`; values stand in the recipes of `skeltools.preparations`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skeltools import bodies
from skeltools.formats import backend
from skeltools.formats.recording import Recording
from skeltools.settings import Resolved, build, resolve, setting
from skeltools.skeleton import LEFT_SHOULDER, NUM_BODIES, NUM_JOINTS, RIGHT_SHOULDER

MOST_FRAMES = 300
"""The reference cuts longer clips to their middle 300 frames before anything else."""

BASE = "skeattnclr"
PACKAGE = "skeltools.preparations"


@dataclass(frozen=True)
class Chain:
    """The settings of the chain, stored with the data as attributes ``chain.*``."""

    range: str = setting(
        "Frames that a PKU-MMD label names: rows start-1 to end-1, or one frame fewer.",
        choices=("start-1..end", "start..end"),
    )
    most_frames: int = setting("Longer clips are cut to this many frames; 0 leaves them.", low=0)
    cut: str = setting("Which frames of a longer clip are kept.", choices=("middle", "first"))
    zeros: str = setting(
        "Clips in which no body, or not the first, has a position.", choices=("exclude", "keep")
    )
    split_names: str = setting(
        "How a PKU-MMD split file is read: split at commas and stripped, or split at ', ' and not stripped, "
        "so that a carriage return moves the last training video to the test set.",
        choices=("comma", "comma-space"),
    )
    splits: str = setting(
        "The dataset's own splits, or for NTU-120 also an 'xview' by camera.", choices=("official", "camera")
    )
    bodies: str = setting(
        "The first two of each frame in file order, ids ignored; the two places with the most spread; or "
        "tracked by id, denoised and ordered by motion.",
        choices=("first", "spread", "tracked"),
    )
    gaps: str = setting(
        "Frames in which a body is missing stay zero, or are closed, so that it comes back too early.",
        choices=("keep", "close"),
    )
    absent: str = setting("A second body that is never there: zeros, or a copy.", choices=("zeros", "copy"))
    length: str = setting(
        "L, the frames used from the front: as many as have a first body, as many as have any body, or up "
        "to the last with any body.",
        choices=("first-body", "any-body", "last"),
    )
    span: float = setting("Central share of the L frames that is used.", above=0.0, high=1.0)
    centre: str = setting(
        "What is subtracted: the centre joint of the same frame and body; of the same frame and person 1; "
        "of person 1 in the first frame; nothing.",
        choices=("frame", "person", "first", "none"),
    )
    centre_joint: int = setting("The centre joint, 0-based.", low=0, high=NUM_JOINTS - 1)
    resize: str = setting(
        "Linear interpolation with half-pixel centres, or the middle frame of each of T equal segments.",
        choices=("linear", "sample"),
    )
    frames: int = setting("T, frames a clip.", low=1, high=1000)
    rotation: str = setting(
        "About y frame by frame with one sign a body; spine and shoulders of person 1's first frame to z and "
        "x; none.",
        choices=("yaw", "axes", "none"),
    )
    motion: str = setting(
        "Where the motion stream is taken: from the stored clip, or before the resize (then also stored, as "
        "/motion).",
        choices=("clip", "source"),
    )
    dtype: str = setting("Type the coordinates are stored in.", choices=("float32", "float16"))

    def settings(self) -> dict[str, str | int | float]:
        """Return every setting by name."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    @property
    def clip_bytes(self) -> int:
        """Bytes of one stored clip."""
        return 3 * self.frames * NUM_JOINTS * 2 * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class _Schema:
    chain: Chain


def choose(
    prep: str = BASE, *, overrides: Iterable[str] = (), options: Mapping[str, Any] | None = None
) -> Resolved[Chain]:
    """Resolve a preparation recipe.

    Args:
        prep: Name of a packaged recipe (skeattnclr, aimclr, ctrgcn, cmd) or path of a TOML file.
        overrides: ``chain.key=value`` texts.
        options: Values by dotted key that came from short options; None is skipped.

    Raises:
        SettingError: Unknown recipe or setting, or a value that does not fit.
    """
    found = resolve(_Schema, BASE, prep, overrides=overrides, options=options, package=PACKAGE)
    return Resolved(found.values.chain, found.flat, found.origin, found.title)


def stored(attributes: Mapping[str, Any]) -> Chain:
    """Rebuild the chain from a file's root attributes.

    Raises:
        SettingError: A setting is missing or does not fit.
    """
    keys = [item.name for item in fields(Chain)]
    return build(
        _Schema, {f"chain.{key}": attributes[f"chain.{key}"] for key in keys if f"chain.{key}" in attributes}
    ).chain


@lru_cache(maxsize=16)
def _default(frames: int) -> Chain:
    return choose(options={"chain.frames": frames}).values


class Prepared(NamedTuple):
    """A prepared clip and what was found in its recording.

    Attributes:
        clip: (3, T, 25, 2), metres, in the chain's dtype.
        motion: The motion stream where the chain takes it before the resize, else None.
        frames: Frames of the recording.
        length: L.
        bodies: 1, or 2 when the second body is there in any frame; 0 in a clip of zeros.
        gaps: Frames without a first body between the first and the last frame with one.
    """

    clip: NDArray[np.floating[Any]]
    motion: NDArray[np.floating[Any]] | None
    frames: int
    length: int
    bodies: int
    gaps: int


def prepare(raw: NDArray[np.float32], frames: int = 64) -> tuple[NDArray[np.float32], int]:
    """Run the default chain (spec section 3) on one raw clip.

    Args:
        raw: float32 (3, L, 25, 2), metres; an absent body is zeros.
        frames: T, the frames of the result.

    Returns:
        The clip, float32 (3, T, 25, 2), and its length (0, with a clip of zeros, when body 0 is never there).
        A body that is absent throughout stays all zero. Computed in double precision and rounded once.
    """
    chain = _default(frames)
    raw = window(raw, chain)
    length = length_of(raw)
    clip, _ = _finish(raw, length, chain, 2)
    return clip, length


def apply(recording: Recording, chain: Chain, labelled: bool = False) -> Prepared | str:
    """Prepare one recording.

    Args:
        recording: What was read.
        chain: The settings.
        labelled: The recording is the frame range of a label (PKU-MMD), so ``chain.range`` applies.

    Returns:
        The prepared clip, or the reason (code, colon, details) for leaving it out.
    """
    if backend.compiled() and _is_reference(chain):
        return _apply_compiled(recording, chain)
    found = choose_frames(recording, chain, labelled)
    if isinstance(found, str):
        return found
    raw, length, second = found
    clip, motion = _finish(raw, length, chain, 2 if second or chain.absent == "copy" else 1)
    return Prepared(
        clip=clip,
        motion=motion,
        frames=recording.frames - int(labelled and chain.range == "start..end"),
        length=length,
        bodies=int(raw[..., 0].any()) + second,
        gaps=missing_frames(raw),
    )


_REFERENCE = {
    "range": "start-1..end", "zeros": "exclude", "bodies": "first", "gaps": "keep", "absent": "zeros",
    "length": "first-body", "span": 1.0, "centre": "frame", "resize": "linear", "rotation": "yaw",
    "motion": "clip", "dtype": "float32",
}  # fmt: skip
"""The steps that are compiled; the other settings are arguments."""


@lru_cache(maxsize=16)
def _is_reference(chain: Chain) -> bool:
    return all(getattr(chain, key) == value for key, value in _REFERENCE.items())


def _apply_compiled(recording: Recording, chain: Chain) -> Prepared | str:
    """Do what `apply` does, in one compiled pass; bit for bit the same."""
    from skeltools.formats import _compiled

    if recording.frames == 0:
        return EMPTY
    kept = recording.slot < NUM_BODIES
    if not recording.coords.any() or not recording.coords[kept].any():
        return ALL_ZERO
    place = np.full((recording.frames, NUM_BODIES), -1, np.int32)
    place[recording.frame[kept], recording.slot[kept]] = np.flatnonzero(kept)
    frames, most = recording.frames, chain.most_frames
    start = (frames - most) // 2 if most and frames > most and chain.cut == "middle" else 0
    stop = min(frames, start + most) if most else frames
    joints = (chain.centre_joint, LEFT_SHOULDER, RIGHT_SHOULDER)
    clip, length, gaps = _compiled.prepare(recording.coords, place, (start, stop), chain.frames, joints)
    if length == 0:
        return UNTRACKED
    second = place[:, 1]
    return Prepared(
        clip=clip,
        motion=None,
        frames=frames,
        length=length,
        bodies=1 + bool(recording.coords[second[second >= 0]].any()),
        gaps=gaps,
    )


EMPTY = "empty: no frames"
ALL_ZERO = "all-zero: no body has a position in any frame"
UNTRACKED = "untracked: joint 0 of the first body has no position in any frame"


def choose_frames(
    recording: Recording, chain: Chain, labelled: bool = False
) -> tuple[NDArray[np.float32], int, bool] | str:
    """Do the first half of the chain: frames, bodies, gaps, length.

    Returns:
        The raw clip, float32 (3, frames, 25, 2), L, and whether there is a second body; or the reason for
        leaving the clip out.
    """
    if labelled and chain.range == "start..end":
        recording = recording.without_first_frame()
    if recording.frames == 0:
        return EMPTY
    raw = bodies.select(recording, chain.bodies)
    if chain.gaps == "close":
        raw = bodies.close_gaps(raw)
    if not raw.any():
        if chain.zeros == "exclude":
            return ALL_ZERO
        raw = np.zeros((3, 1, NUM_JOINTS, 2), np.float32)
    second = bool(raw[..., 1].any())
    if chain.absent == "copy" and not second:
        raw = raw.copy()
        raw[..., 1] = raw[..., 0]
    raw = window(raw, chain)
    length = length_of(raw, chain.length)
    if length == 0 and chain.zeros == "exclude":
        return UNTRACKED
    return raw, length, second


def central(raw: NDArray[np.float32], length: int, chain: Chain) -> NDArray[np.float32]:
    """Return the central share of the first `length` frames of a raw clip, as ``chain.span`` says."""
    margin = int((1 - chain.span) * length / 2)
    return raw[:, margin : length - margin]


def finish(raw: NDArray[np.float32], chain: Chain) -> NDArray[Any]:
    """Do the second half of the chain on the frames that are used: centre, resize, rotate."""
    return finish_both(raw, chain)[0]


def finish_both(raw: NDArray[np.float32], chain: Chain) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Do what `finish` does; return the clip and, with ``chain.motion`` = source, its motion, else None."""
    return _finish(raw, raw.shape[1], replace(chain, span=1.0), NUM_BODIES)


def window(raw: NDArray[np.float32], chain: Chain) -> NDArray[np.float32]:
    """Cut a raw clip (3, L, 25, M) of more than ``most_frames`` frames to its middle or first ones."""
    frames = raw.shape[1]
    if chain.most_frames == 0 or frames <= chain.most_frames:
        return raw
    start = (frames - chain.most_frames) // 2 if chain.cut == "middle" else 0
    return raw[:, start : start + chain.most_frames]


def length_of(raw: NDArray[np.float32], how: str = "first-body") -> int:
    """Return L of a raw clip: by default the number of frames in which joint 0 of body 0 is not all zero.

    Args:
        raw: (3, frames, 25, M).
        how: As ``chain.length``.
    """
    if how == "first-body":
        return int(raw[:, :, 0, 0].any(axis=0).sum())
    there = raw.any(axis=(0, 2, 3))
    if how == "any-body":
        return int(there.sum())
    return int(np.flatnonzero(there)[-1]) + 1 if there.any() else 0


def missing_frames(raw: NDArray[np.float32]) -> int:
    """Return how many frames between the first and the last with a first body have none."""
    present = np.flatnonzero(raw[:, :, 0, 0].any(axis=0))
    return 0 if len(present) == 0 else int(present[-1] - present[0] + 1 - len(present))


def _finish(
    raw: NDArray[np.float32], length: int, chain: Chain, columns: int
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Centre, resize and rotate the first `length` frames; return the clip and, where asked for, its motion.

    Only the first `columns` bodies are worked on; the others are zero and stay so.
    """
    dtype = np.dtype(chain.dtype)
    if length == 0:
        zeros = np.zeros((3, chain.frames, *raw.shape[2:]), dtype)
        return zeros, zeros if chain.motion == "source" else None
    clip = central(raw, length, chain)[..., :columns].astype(np.float64)
    _centre(clip, chain)
    if chain.rotation == "axes":
        clip = bodies.to_first_frame_axes(clip)
    pick = resize if chain.resize == "linear" else sample
    motion = None
    if chain.motion == "source":
        moved = np.zeros_like(clip)
        moved[:, :-1] = clip[:, 1:] - clip[:, :-1]
        motion = pick(moved, chain.frames)
    clip = pick(clip, chain.frames)
    if chain.rotation == "yaw":
        cosine, sine = _yaw(clip)
        clip = _turn(clip, cosine, sine)
        if motion is not None:
            motion = _turn(motion, cosine, sine)
    return _stored(clip, dtype), None if motion is None else _stored(motion, dtype)


def _stored(clip: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return (3, T, 25, M) as (3, T, 25, 2) in the type it is stored in."""
    if clip.shape[3] == NUM_BODIES:
        return clip.astype(dtype)
    both = np.zeros((*clip.shape[:3], NUM_BODIES), dtype)
    both[..., : clip.shape[3]] = clip
    return both


def _centre(clip: NDArray[np.float64], chain: Chain) -> None:
    """Subtract the centre from (3, L, 25, M), in place; a body stays zero where it is absent."""
    joint = chain.centre_joint
    if chain.centre == "frame":
        clip -= clip[:, :, joint : joint + 1]
    elif chain.centre != "none":
        there = np.asarray(clip.any(axis=(0, 2), keepdims=True))
        person = clip[:, :, joint : joint + 1, :1]
        if chain.centre == "first":
            first = int(np.argmax(there[0, :, 0, 0]))
            person = person[:, first : first + 1]
        clip -= person * there


@lru_cache(maxsize=1024)
def _positions(length: int, frames: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Return, for each output frame, the frame before, the frame after and the weight of the latter."""
    at = np.clip((np.arange(frames) + 0.5) * length / frames - 0.5, 0, length - 1)
    before = at.astype(np.intp)
    after = np.minimum(before + 1, length - 1)
    return before, after, (at - before)[:, None, None]


def resize(clip: NDArray[np.float64], frames: int) -> NDArray[np.float64]:
    """Resize (3, L, 25, M) to `frames` by linear interpolation with half-pixel centres."""
    before, after, weight = _positions(clip.shape[1], frames)
    earlier = clip.take(before, axis=1)
    later = clip.take(after, axis=1)
    later -= earlier
    later *= weight
    later += earlier
    return later


def sample(clip: NDArray[np.float64], frames: int) -> NDArray[np.float64]:
    """Take the middle frame of each of `frames` equal segments of (3, L, 25, M)."""
    middle = ((np.arange(frames) + 0.5) * clip.shape[1] / frames).astype(np.intp)
    taken: NDArray[np.float64] = clip.take(middle, axis=1)
    return taken


def rotate(clip: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn each body of (3, T, 25, M) about the y axis so that its shoulder line is parallel to x.

    The angle is found frame by frame, its sign once a body (spec section 3, step 4). Works in place.
    """
    return _turn(clip, *_yaw(clip))


def _yaw(clip: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return cosine and sine, (T, M) each, of the angle of each frame and body."""
    shoulders = clip[:, :, RIGHT_SHOULDER] - clip[:, :, LEFT_SHOULDER]  # (3, T, M)
    across, depth = shoulders[0], shoulders[2]
    cosine = across / (np.sqrt(across * across + depth * depth) + 0.0001)
    sine = np.sqrt(1.0 - cosine * cosine)
    total = np.cumsum(depth, axis=0)[-1]  # added up frame by frame, as the compiled chain does
    return cosine, np.where(total >= 0, -sine, sine)


def _turn(
    clip: NDArray[np.float64], cosine: NDArray[np.float64], sine: NDArray[np.float64]
) -> NDArray[np.float64]:
    cosine, sine = cosine[:, None], sine[:, None]
    x, z = clip[0].copy(), clip[2].copy()
    clip[0] = cosine * x - sine * z
    clip[2] = sine * x + cosine * z
    return clip
