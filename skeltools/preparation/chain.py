"""The chain from a recording to a clip ``(3, T, V, M)``.

Its steps, in order: range, bodies (with gaps), most_frames and cut, pad, absent, length, span
(`choose_frames` and `central`); centre, rotation to axes, scale, resize, rotation by yaw (`finish`). Of 2-D key
points the score comes first; scaled by the torso, centre and scale are one step.

The default is the chain behind the published numbers. Every step where other projects
differ is a setting of `Chain`; values are in the recipes of `skeltools.preparation.recipes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skeltools.datasets.contract import Dataset
from skeltools.errors import SettingError
from skeltools.formats import backend
from skeltools.formats.recording import Recording
from skeltools.preparation import bodies, torso
from skeltools.settings import Resolved, build, resolve, setting
from skeltools.skeletons import Form, Skeleton, load

PADDED = 300
"""Frames that projects' scripts pad a clip to; no NTU recording has more."""

BASE = "skeattnclr"
PACKAGE = "skeltools.preparation.recipes"


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
        "The first two of each frame in file order, ids ignored; of the first four places the two with the "
        "most spread; or tracked by id, without short and wide tracks, ordered by motion.",
        choices=("first", "spread", "tracked"),
    )
    gaps: str = setting(
        "Frames in which a body is missing stay zero, or are closed, so that it comes back too early.",
        choices=("keep", "close"),
    )
    pad: str = setting(
        "Frames before a body comes and after it has left: zeros; or it is moved to the front and its frames "
        "are repeated to the end.",
        choices=("zeros", "repeat"),
    )
    absent: str = setting(
        "The second body of a clip with one: zeros, or a copy of the first.", choices=("zeros", "copy")
    )
    length: str = setting(
        "L, the frames used from the front: as many as have joint 0 of the first body, as many as have any joint "
        f"of it, as many as have any body, up to the last with any body, {PADDED} however few there are, or all.",
        choices=("first-body", "first-person", "any-body", "last", "padded", "all"),
    )
    span: float = setting("Central share of the L frames that is used.", above=0.0, high=1.0)
    centre: str = setting(
        "What is subtracted: the centre joint of the same frame and body; of the same frame and person 1; "
        "of person 1 in its first frame, whichever frames are used; nothing.",
        choices=("frame", "person", "first", "none"),
    )
    centre_joint: int = setting("The centre joint, 0-based; -1 is the skeleton's own centre.", low=-1)
    scale: str = setting(
        "Metres stay; each coordinate by itself is scaled to -1 to 1 over all frames and joints of the clip; or the "
        "clip is divided by the torso, mid-shoulders to mid-hips, the median of a body's frames, where joints that are "
        "not there stay zero. 2-D key points ask for the last.",
        choices=("none", "minmax", "torso"),
    )
    score: float = setting("Of 2-D key points: a joint with a score below this is absent.", low=0.0)
    resize: str = setting(
        "Linear interpolation with half-pixel centres, the middle frame of each of T equal segments, or the frames "
        "floor(k (L - 1) / (T - 1)), k from 0 to T - 1.",
        choices=("linear", "sample", "floor"),
    )
    frames: int = setting("T, frames per clip.", low=1, high=1000)
    rotation: str = setting(
        "About y frame by frame with one sign per body; about y by one angle, so that the shoulders of person 1's "
        "first frame point along x; spine and shoulders of that frame to z and x; none.",
        choices=("yaw", "first", "axes", "none"),
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

    def clip_bytes(self, form: Form) -> int:
        """Return the bytes of one stored clip."""
        return 3 * self.frames * form.joints * form.bodies * np.dtype(self.dtype).itemsize

    def of(self, skeleton: Skeleton, dimensions: int = 3) -> Chain:
        """Return the chain for clips of a skeleton: where its centre is one joint, by its number.

        Raises:
            SettingError: It has no such joint, a step is defined for Kinect v2 alone, or for other clips than those of
                `dimensions`.
        """
        flat = dimensions == 2
        if flat and (self.scale != "torso" or self.rotation != "none"):
            key = "rotation=none" if self.scale == "torso" else "scale=torso"
            raise SettingError(f"2-D key points need chain.{key}. Take --prep keypoints2d, which has it.")
        if self.scale == "torso" and (
            self.centre != "frame" or self.rotation in ("first", "axes") or self.motion != "clip"
        ):
            raise SettingError(
                "chain.scale=torso goes with chain.centre=frame, chain.motion=clip and a rotation of yaw or none."
            )
        if self.centre_joint >= skeleton.num_joints:
            raise SettingError(
                f"chain.centre_joint {self.centre_joint} is not a joint of the skeleton {skeleton.name}, which has "
                f"{skeleton.num_joints}: 0 to {skeleton.num_joints - 1}, or -1 for its own centre."
            )
        if self.rotation == "axes" and skeleton != load("kinect2"):
            raise SettingError(
                f"chain.rotation=axes turns the spine of Kinect v2 (joints 0 and 1), not of {skeleton.name}. "
                "Choose yaw, first or none."
            )
        if self.centre_joint == -1 and len(skeleton.centre) == 1:
            return replace(self, centre_joint=skeleton.centre[0])
        return self


LATER = {"chain.scale": "none", "chain.score": 0.0}
"""Settings that files of earlier builds do not state, with what those builds did."""


@dataclass(frozen=True)
class _Schema:
    chain: Chain


def choose(
    prep: str = BASE,
    *,
    dataset: str = "",
    skeleton: Skeleton | None = None,
    dimensions: int = 3,
    overrides: Iterable[str] = (),
    options: Mapping[str, Any] | None = None,
) -> Resolved[Chain]:
    """Resolve a preparation recipe.

    Args:
        prep: Name of a packaged recipe (skeattnclr, aimclr, ctrgcn, cmd, anyskeleton, keypoints2d) or path of a TOML
            file.
        dataset: Name of the dataset, for what a recipe says of some datasets alone (``[[when]]``).
        skeleton: That of the dataset; Kinect v2 when None.
        dimensions: 3, or 2 for key points.
        overrides: ``chain.key=value`` texts.
        options: Values by dotted key that came from short options; None is skipped.

    Raises:
        SettingError: Unknown recipe or setting, or a value that does not fit.
    """
    found = resolve(
        _Schema,
        BASE,
        prep,
        context={"dataset": dataset},
        overrides=overrides,
        options=options,
        package=PACKAGE,
    )
    chain = found.values.chain.of(skeleton or load("kinect2"), dimensions)
    flat = {f"chain.{key}": value for key, value in chain.settings().items()}
    return Resolved(chain, flat, found.origin, found.title)


def usual(dataset: Dataset) -> str:
    """Return the preparation that the clips of a dataset get where none is asked for."""
    if dataset.dimensions == 2:
        return "keypoints2d"
    return BASE if dataset.own is None or dataset.skeleton == load("kinect2") else "anyskeleton"


def stored(attributes: Mapping[str, Any]) -> Chain:
    """Rebuild the chain from a file's root attributes.

    Raises:
        SettingError: A setting is missing or does not fit.
    """
    keys = [f"chain.{item.name}" for item in fields(Chain)]
    there = {**LATER, **attributes}
    return build(_Schema, {key: there[key] for key in keys if key in there}).chain


@lru_cache(maxsize=16)
def _default(frames: int) -> Chain:
    return choose(options={"chain.frames": frames}).values


class Prepared(NamedTuple):
    """A prepared clip and what was found in its recording.

    Attributes:
        clip: (3, T, V, M), metres, in the chain's dtype.
        motion: The motion stream where the chain takes it before the resize, else None.
        frames: Frames of the recording.
        length: L.
        bodies: How many bodies are there in any frame; 0 in a clip of zeros.
        gaps: Frames without a first body between the first and the last frame with one.
    """

    clip: NDArray[np.floating[Any]]
    motion: NDArray[np.floating[Any]] | None
    frames: int
    length: int
    bodies: int
    gaps: int


class Chosen(NamedTuple):
    """The frames of a recording that a clip is made of: what the first half of the chain gives.

    Attributes:
        raw: float32 (3, F, V, M), metres; zeros where a body is not there.
        there: bool (F, M), in which frames each body is there.
        first: float32 (3, 1, V, 1), person 1 in the first frame it is there in, whichever frames are used.
        length: L.
        others: How many bodies there are beside the first.
    """

    raw: NDArray[np.float32]
    there: NDArray[np.bool_]
    first: NDArray[np.float32]
    length: int
    others: int = 1

    @classmethod
    def of(cls, raw: NDArray[np.float32], there: NDArray[np.bool_], length: int, others: int = 1) -> Chosen:
        """Return these frames, person 1 found in them."""
        at = int(np.argmax(raw[..., 0].any(axis=(0, 2))))
        return cls(raw, there, raw[:, at : at + 1, :, :1], length, others)


def prepare(raw: NDArray[np.float32], frames: int = 64) -> tuple[NDArray[np.float32], int]:
    """Run the default chain on one raw clip of Kinect v2.

    Args:
        raw: float32 (3, L, V, M), metres; an absent body is zeros.
        frames: T, the frames of the result.

    Returns:
        The clip, float32 (3, T, V, M), and its length (0, with a clip of zeros, when body 0 is never there).
        A body that is absent throughout stays all zero. Computed in double precision and rounded once.
    """
    chain = _default(frames)
    raw = window(raw, chain)
    chosen = Chosen.of(raw, np.asarray(raw.any(axis=(0, 2))), length_of(raw))
    form = Form(load("kinect2"), raw.shape[3], frames)
    return finish(central(chosen, chain), chain, form)[0], chosen.length


def apply(recording: Recording, chain: Chain, form: Form, labelled: bool = False) -> Prepared | str:
    """Prepare one recording.

    Args:
        recording: What was read.
        chain: The settings.
        form: Skeleton and number of bodies of the clip.
        labelled: The recording is the frame range of a label (PKU-MMD), so ``chain.range`` applies.

    Returns:
        The prepared clip, or the reason (code, colon, details) for leaving it out.
    """
    if backend.compiled() and _is_reference(chain):  # which no chain of 2-D key points is
        return _finite(_apply_compiled(recording, chain, form))
    with np.errstate(over="ignore", invalid="ignore"):  # too large values are reported below
        chosen = choose_frames(recording, chain, form, labelled)
        if isinstance(chosen, str):
            return chosen
        clip, motion = finish(central(chosen, chain), chain, form)
    made = Prepared(
        clip=clip,
        motion=motion,
        frames=recording.frames - int(labelled and chain.range == "start..end"),
        length=chosen.length,
        bodies=int(chosen.raw[..., 0].any()) + chosen.others,
        gaps=missing_frames(chosen.raw, chain.length),
    )
    return _finite(made)


def _finite(made: Prepared | str) -> Prepared | str:
    """Leave out a clip with a coordinate that its type cannot hold: as infinity it would spoil every mean."""
    if isinstance(made, str) or all(np.isfinite(x).all() for x in (made.clip, made.motion) if x is not None):
        return made
    return TOO_LARGE.format(made.clip.dtype)


_REFERENCE = {
    "range": "start-1..end", "zeros": "exclude", "bodies": "first", "gaps": "keep", "pad": "zeros",
    "absent": "zeros", "length": "first-body", "span": 1.0, "centre": "frame", "scale": "none",
    "resize": "linear", "rotation": "yaw", "motion": "clip", "dtype": "float32",
}  # fmt: skip
"""The steps that are compiled; the other settings are arguments."""


@lru_cache(maxsize=16)
def _is_reference(chain: Chain) -> bool:
    return chain.centre_joint >= 0 and all(getattr(chain, key) == value for key, value in _REFERENCE.items())


def _apply_compiled(recording: Recording, chain: Chain, form: Form) -> Prepared | str:
    """Do what `apply` does, in one compiled pass; bit for bit the same."""
    from skeltools.formats import _compiled

    if recording.frames == 0:
        return EMPTY
    kept = recording.slot < form.bodies
    if not recording.coords.any() or not recording.coords[kept].any():
        return ALL_ZERO
    place = np.full((recording.frames, form.bodies), -1, np.int32)
    place[recording.frame[kept], recording.slot[kept]] = np.flatnonzero(kept)
    frames = recording.frames
    start, stop, _ = _kept(frames, chain).indices(frames)
    joints = (chain.centre_joint, form.skeleton.left_shoulder, form.skeleton.right_shoulder)
    clip, length, gaps = _compiled.prepare(recording.coords, place, (start, stop), chain.frames, joints)
    if length == 0:
        return UNTRACKED
    others = (column[column >= 0] for column in place[:, 1:].T)
    return Prepared(
        clip=clip,
        motion=None,
        frames=frames,
        length=length,
        bodies=1 + sum(bool(recording.coords[column].any()) for column in others),
        gaps=gaps,
    )


EMPTY = "empty: no frames"
ALL_ZERO = "all-zero: no body has a position in any frame"
UNTRACKED = "untracked: joint 0 of the first body has no position in any frame"
UNSEEN = "untracked: the first body has no position in any frame that is used"
NO_TORSO = "no-torso: no frame shows both shoulders and both hips, by which the clip is scaled"
TOO_LARGE = "too-large: centred, turned or scaled, a coordinate is beyond what {} holds"
OF_CHAIN = frozenset(
    reason.partition(":")[0]
    for reason in (EMPTY, ALL_ZERO, UNTRACKED, NO_TORSO, TOO_LARGE, bodies.TOO_SHORT, bodies.TOO_LONG)
)
"""Codes of the reasons for which the chain leaves a clip out."""


def choose_frames(recording: Recording, chain: Chain, form: Form, labelled: bool = False) -> Chosen | str:
    """Do the first half of the chain, up to L: which bodies, in which frames.

    Returns:
        All frames (`central` takes those that are used); or the reason for leaving the clip out.
    """
    if labelled and chain.range == "start..end":
        recording = recording.without_first_frame()
    if form.dimensions == 2:
        recording = torso.keypoints(recording, chain.score)
    if recording.frames == 0:
        return EMPTY
    found = bodies.select(recording, chain.bodies, chain.gaps, form.bodies)
    if isinstance(found, str):
        return found
    raw, there, alone = found
    if not raw.any():
        if chain.zeros == "exclude":
            return ALL_ZERO
        raw = np.zeros((3, 1, form.joints, form.bodies), np.float32)
        there = np.zeros((1, form.bodies), bool)
    others = 0 if alone else int(raw[..., 1:].any(axis=(0, 1, 2)).sum())
    kept = _kept(raw.shape[1], chain)
    raw, there = raw[:, kept], there[kept]
    if chain.length == "padded":
        more = max(0, PADDED - raw.shape[1])
        raw, there = np.pad(raw, ((0, 0), (0, more), (0, 0), (0, 0))), np.pad(there, ((0, more), (0, 0)))
    if chain.pad == "repeat":
        raw, there = bodies.repeat(raw, there)
    if chain.absent == "copy" and alone and form.bodies > 1:
        columns = [0, 0, *range(2, form.bodies)]
        raw, there = raw[..., columns], there[:, columns]
    length = length_of(raw, chain.length, there) if there.any() else 0
    centred = chain.centre != "first" or raw[..., 0].any()
    if chain.zeros == "exclude" and not (length and centred):
        return UNTRACKED if chain.length == "first-body" else UNSEEN
    chosen = Chosen.of(raw, there, length, others)
    if chain.scale == "torso" and length and not torso.lengths(central(chosen, chain).raw, form.skeleton)[0]:
        return NO_TORSO
    return chosen


def central(chosen: Chosen, chain: Chain) -> Chosen:
    """Return the frames that are used: the central share of the first L frames, as ``chain.span`` says."""
    margin = int((1 - chain.span) * chosen.length / 2)
    used = slice(margin, chosen.length - margin)
    return chosen._replace(raw=chosen.raw[:, used], there=chosen.there[used])


def finish(used: Chosen, chain: Chain, form: Form) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Do the second half of the chain on the frames that are used: centre, resize, rotate.

    Returns:
        The clip and, with ``chain.motion`` = source, its motion, else None.
    """
    dtype = np.dtype(chain.dtype)
    if used.length == 0:
        zeros = np.zeros((3, chain.frames, form.joints, form.bodies), dtype)
        return zeros, zeros if chain.motion == "source" else None
    if not used.others and chain.absent == "zeros":  # the other bodies are zero and stay so
        used = used._replace(raw=used.raw[..., :1], there=used.there[:, :1])
    if chain.scale == "torso":
        return _stored(_by_torso(used, chain, form), dtype, form.bodies), None
    clip = _centred(used.raw, used.there, used.first, chain, form.skeleton)
    if chain.rotation == "axes":
        first = _centred(used.first, np.ones((1, 1), bool), used.first, chain, form.skeleton)
        clip = bodies.to_first_frame_axes(clip, form.skeleton, first)
    if chain.rotation == "first":
        clip = bodies.facing(clip, form.skeleton, used.first)
    exact = clip.astype(np.float64, copy=False)
    if chain.scale == "minmax":
        exact = minmax(exact, used.there)
    pick = _PICK[chain.resize]
    motion = None
    if chain.motion == "source":
        moved = np.zeros_like(exact)
        moved[:, :-1] = exact[:, 1:] - exact[:, :-1]
        motion = pick(moved, chain.frames)
    exact = pick(exact, chain.frames)
    if chain.rotation == "yaw":
        cosine, sine = _yaw(exact, form.skeleton)
        exact = _turn(exact, cosine, sine)
        if motion is not None:
            motion = _turn(motion, cosine, sine)
    return _stored(exact, dtype, form.bodies), None if motion is None else _stored(motion, dtype, form.bodies)


def _by_torso(used: Chosen, chain: Chain, form: Form) -> NDArray[np.float64]:
    """Return the frames that are used in torsos, float64 (3, T, V, M)."""
    skeleton = form.skeleton
    joints = list(skeleton.centre) if chain.centre_joint < 0 else [chain.centre_joint]
    clip, there = torso.scaled(used.raw, skeleton, joints)
    if chain.resize == "linear":
        clip = torso.resize(clip, there, chain.frames)
    else:
        clip = _PICK[chain.resize](clip, chain.frames)
    if chain.rotation == "yaw":
        shown = clip.any(axis=0)
        clip = rotate(clip, skeleton) * shown
    return clip


def window(raw: NDArray[np.float32], chain: Chain) -> NDArray[np.float32]:
    """Cut a raw clip (3, L, V, M) of more than ``most_frames`` frames to its middle or first ones."""
    kept = _kept(raw.shape[1], chain)
    return raw if kept == slice(raw.shape[1]) else raw[:, kept]


def _kept(frames: int, chain: Chain) -> slice:
    if chain.most_frames == 0 or frames <= chain.most_frames:
        return slice(frames)
    start = (frames - chain.most_frames) // 2 if chain.cut == "middle" else 0
    return slice(start, start + chain.most_frames)


def length_of(
    raw: NDArray[np.float32], how: str = "first-body", there: NDArray[np.bool_] | None = None
) -> int:
    """Return L of a raw clip: by default the number of frames in which joint 0 of body 0 is not all zero.

    Args:
        raw: (3, frames, V, M).
        how: As ``chain.length``.
        there: bool (frames, M), in which frames each body is there; None for those that are not zero.
    """
    if how == "first-body":
        return int(raw[:, :, 0, 0].any(axis=0).sum())
    if how == "first-person":
        return int(raw[..., 0].any(axis=(0, 2)).sum())
    if how in ("padded", "all"):
        return int(raw.shape[1])
    if there is None:
        there = np.asarray(raw.any(axis=(0, 2)))
    any_body = np.asarray(there.any(axis=1))
    if how == "any-body":
        return int(any_body.sum())
    return int(np.flatnonzero(any_body)[-1]) + 1 if any_body.any() else 0


def missing_frames(raw: NDArray[np.float32], how: str = "first-body") -> int:
    """Return how many frames between the first and the last with a first body have none.

    It is there where it has joint 0, or with `how` = ``first-person`` where it has any joint.
    """
    first = raw[..., 0] if how == "first-person" else raw[:, :, :1, 0]
    present = np.flatnonzero(first.any(axis=(0, 2)))
    return 0 if len(present) == 0 else int(present[-1] - present[0] + 1 - len(present))


def _stored(clip: NDArray[np.float64], dtype: np.dtype[Any], bodies: int) -> NDArray[Any]:
    """Return (3, T, V, m) with m <= M bodies as (3, T, V, M) in the type it is stored in."""
    if clip.shape[3] == bodies:
        return clip.astype(dtype)
    every = np.zeros((*clip.shape[:3], bodies), dtype)
    every[..., : clip.shape[3]] = clip
    return every


def _centred(
    raw: NDArray[np.float32],
    there: NDArray[np.bool_],
    first: NDArray[np.float32],
    chain: Chain,
    skeleton: Skeleton,
) -> NDArray[np.floating[Any]]:
    """Return (3, L, V, M) less the centre; what is not there stays zero.

    ``person`` and ``first`` are computed in float32, as in the scripts that they are from.
    """
    joints = list(skeleton.centre) if chain.centre_joint < 0 else [chain.centre_joint]
    if chain.centre == "frame":
        clip = raw.astype(np.float64)
        clip -= clip[:, :, joints].mean(axis=2, keepdims=True)
        return clip
    if chain.centre == "person":
        centre = raw[:, :, joints, :1].mean(axis=2, keepdims=True)
        return np.asarray(raw - centre * (raw.sum(axis=0) != 0))  # by joints
    if chain.centre == "first":
        return np.asarray(raw - first[:, :, joints].mean(axis=2, keepdims=True) * there[None, :, None])
    return raw


@lru_cache(maxsize=1024)
def _positions(length: int, frames: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Return, for each output frame, the frame before, the frame after and the weight of the latter."""
    at = np.clip((np.arange(frames) + 0.5) * length / frames - 0.5, 0, length - 1)
    before = at.astype(np.intp)
    after = np.minimum(before + 1, length - 1)
    return before, after, (at - before)[:, None, None]


def resize(clip: NDArray[np.float64], frames: int) -> NDArray[np.float64]:
    """Resize (3, L, V, M) to `frames` by linear interpolation with half-pixel centres."""
    before, after, weight = _positions(clip.shape[1], frames)
    earlier = clip.take(before, axis=1)
    later = clip.take(after, axis=1)
    later -= earlier
    later *= weight
    later += earlier
    return later


def sample(clip: NDArray[np.float64], frames: int) -> NDArray[np.float64]:
    """Take the middle frame of each of `frames` equal segments of (3, L, V, M)."""
    middle = ((np.arange(frames) + 0.5) * clip.shape[1] / frames).astype(np.intp)
    taken: NDArray[np.float64] = clip.take(middle, axis=1)
    return taken


def floor(clip: NDArray[np.float64], frames: int) -> NDArray[np.float64]:
    """Take the frames floor(k (L - 1) / (T - 1)) of (3, L, V, M), k from 0 to T - 1 = `frames` - 1."""
    at = np.arange(frames) * (clip.shape[1] - 1) // max(1, frames - 1)
    taken: NDArray[np.float64] = clip.take(at, axis=1)
    return taken


_PICK = {"linear": resize, "sample": sample, "floor": floor}


def minmax(clip: NDArray[np.float64], there: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Scale (3, L, V, M) so that each coordinate goes from -1 to 1 over all frames, joints and bodies.

    A coordinate that never changes becomes 0. What is not there, by `there` (L, M), stays zero.
    """
    here = clip.transpose(0, 1, 3, 2)[:, there]  # (3, observations, V)
    low, high = (edge(axis=(1, 2))[:, None, None, None] for edge in (here.min, here.max))
    scaled = 2 * (clip - low) / np.where(high > low, high - low, 1.0) - (high > low)
    found: NDArray[np.float64] = scaled * there[None, :, None]
    return found


def rotate(clip: NDArray[np.float64], skeleton: Skeleton) -> NDArray[np.float64]:
    """Turn each body of (3, T, V, M) about the y axis so that its shoulder line is parallel to x.

    The angle is found frame by frame, its sign once per body. Works in place.
    """
    return _turn(clip, *_yaw(clip, skeleton))


def _yaw(clip: NDArray[np.float64], skeleton: Skeleton) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return cosine and sine, (T, M) each, of the angle of each frame and body."""
    shoulders = clip[:, :, skeleton.right_shoulder] - clip[:, :, skeleton.left_shoulder]  # (3, T, M)
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
