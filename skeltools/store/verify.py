"""Is a converted file what it says? Structure, digests, values, labels, splits; and near duplicates."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skeltools.datasets.registry import PARTITIONS
from skeltools.errors import DataError, counted
from skeltools.progress import SILENT, Progress
from skeltools.skeletons import Skeleton, plausible
from skeltools.store.layout import sha256
from skeltools.store.overlap import Clips
from skeltools.store.reader import ClipFile

_BLOCK = 256
"""Clips read at a time."""


@dataclass
class Findings:
    """What a check found.

    Attributes:
        faults: What makes the file unfit for use.
        notes: What deviates from the official dataset, as a subset does; what is odd in people's measures;
            what was decided when the file was made.
    """

    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(file: ClipFile, progress: Progress = SILENT) -> Findings:
    """Check a file: columns, names, labels, digests, NaN and infinite values, people's sizes, bones and
    distances from the sensor, splits, official counts.

    Args:
        file: An open file.
        progress: Receiver of progress.
    """
    found = Findings()
    _structure(file, found)
    if found.faults:
        return found
    _labels_and_names(file, found)
    _splits(file, found)
    _values(file, found, progress)
    found.notes += [note.text for note in file.notes]
    return found


def _structure(file: ClipFile, found: Findings) -> None:
    count = len(file)
    shape, form = file.shape, file.form
    if len(shape) != 5 or shape[1] != 3 or shape[3:] != (form.joints, form.bodies):
        found.faults.append(f"/clips has shape {shape}, not (N, 3, T, {form.joints}, {form.bodies})")
    for name in ("name", "label", "digest", *file.columns):
        length = file.length_of(name)
        if length is None:
            found.faults.append(f"/{name} is missing")
        elif length != count:
            found.faults.append(f"/{name} has {counted(length, 'row')}, /clips {count}")
    for name in ("excluded", "splits"):
        if file.length_of(name) is None:
            found.faults.append(f"/{name} is missing")
    for key in ("count.clips", "count.excluded", "source_digest"):
        if key not in file.attrs:
            found.faults.append(f"attribute {key} is missing")


def _labels_and_names(file: ClipFile, found: Findings) -> None:
    labels = file.stored_labels
    bad = np.flatnonzero((labels < 0) | (labels >= len(file.classes)))
    for row in bad[:5].tolist():
        found.faults.append(f"{file.names[row]}: label {labels[row]} is not in 0 to {len(file.classes) - 1}")
    if file.names != sorted(file.names):
        found.faults.append("the names are not in alphabetical order")
    if len(set(file.names)) != len(file):
        found.faults.append("a name occurs twice")
    if file.attrs["count.clips"] != len(file):
        found.faults.append(f"attribute count.clips says {file.attrs['count.clips']}, there are {len(file)}")
    if file.attrs["count.excluded"] != len(file.excluded):
        found.faults.append(
            f"attribute count.excluded says {file.attrs['count.excluded']}, there are {len(file.excluded)}"
        )


def _splits(file: ClipFile, found: Findings) -> None:
    everything = np.arange(len(file))
    for split in file.splits:
        sides = {part: file.stored_rows(f"splits/{split}/{part}") for part in PARTITIONS}
        for part, rows in sides.items():
            if len(rows) and (rows.min() < 0 or rows.max() >= len(file)):
                found.faults.append(f"split {split}: its {part} side names rows that do not exist")
            if len(rows) != len(np.unique(rows)):
                found.faults.append(f"split {split}: its {part} side names a row twice")
        both = np.intersect1d(sides["train"], sides["test"])
        if len(both):
            found.faults.append(
                f"split {split}: {counted(len(both), 'clip is', 'clips are')} on both sides, "
                f"{_name(file, both[0])} first"
            )
        neither = np.setdiff1d(everything, np.concatenate(list(sides.values())))
        if len(neither) and not file.dataset.leaves_out(split):
            found.faults.append(
                f"split {split}: {counted(len(neither), 'clip is', 'clips are')} on neither side, "
                f"{_name(file, neither[0])} first"
            )
        counts = (len(sides["train"]), len(sides["test"]))
        official = file.dataset.counts.get(split)
        if official is not None and official != counts:
            found.notes.append(
                f"split {split}: {counts[0]:,} / {counted(counts[1], 'clip')}, "
                f"officially {official[0]:,} / {official[1]:,}"
            )
    for split, percent, seed in file.subsets:
        outside = np.setdiff1d(
            file.stored_rows(f"subsets/{split}/{percent}/{seed}"),
            file.stored_rows(f"splits/{split}/train"),
        )
        if len(outside):
            where = f"subset {split}/{percent}/{seed}"
            found.faults.append(f"{where} has {counted(len(outside), 'row')} outside the training side")


def _name(file: ClipFile, row: int) -> str:
    return file.names[row] if 0 <= row < len(file) else f"row {row}"


def _blocks(file: ClipFile, progress: Progress) -> Iterator[tuple[int, NDArray[np.floating]]]:
    progress.start("verifying", len(file))
    for start in range(0, len(file), _BLOCK):
        block = file.stored(start, start + _BLOCK)
        yield start, block
        progress.advance(len(block))
    progress.finish()


def _values(file: ClipFile, found: Findings, progress: Progress) -> None:
    digests = file.digests
    wrong, odd = [], []
    measured = _Measured(file.form.skeleton)
    for start, block in _blocks(file, progress):
        finite = np.isfinite(block).all(axis=(1, 2, 3, 4))
        odd += (start + np.flatnonzero(~finite)).tolist()
        measured.add(start + np.flatnonzero(finite), block[finite])
        for offset, clip in enumerate(block):
            if bytes.fromhex(sha256(clip.tobytes())) != digests[start + offset].tobytes():
                wrong.append(start + offset)
    for rows, what in ((odd, "NaN or infinite values"), (wrong, "values that do not match their digest")):
        if rows:
            found.faults.append(
                f"{counted(len(rows), 'clip has', 'clips have')} {what}, {file.names[rows[0]]} first"
            )
    measured.report(file, found)
    found.faults += file.digest_faults()
    _other_rows(file, found)


def _other_rows(file: ClipFile, found: Findings) -> None:
    """Compare motion and recordings with their digests; what cannot be read is a fault too."""
    wrong = []
    if file.has_motion and file.motion_digests is not None:
        for start in range(0, len(file), _BLOCK):
            for offset, row in enumerate(file.stored(start, start + _BLOCK, "motion")):
                if hashlib.sha256(row).digest() != file.motion_digests[start + offset].tobytes():
                    wrong.append(start + offset)
    if wrong:
        found.faults.append(
            f"{counted(len(wrong), 'row')} of /motion do not match their digest, {file.names[wrong[0]]} first"
        )
    if file.has_raw and file.has_ids:
        for row in range(len(file)):
            try:
                intact = file.recording_intact(row, file.recording(row))
            except DataError as error:
                found.faults.append(str(error))
                break
            if not intact:
                found.faults.append(f"{file.names[row]}: its recording does not match its digest")
                break


class _Measured:
    """What the people of a file measure, clip by clip."""

    def __init__(self, skeleton: Skeleton) -> None:
        self._parents = skeleton.parents
        self._rows: list[NDArray[np.intp]] = []
        self._found: list[plausible.Measures] = []

    def add(self, rows: NDArray[np.intp], clips: NDArray[np.floating]) -> None:
        """Measure clips, whose values are finite."""
        if len(rows):
            self._rows.append(rows)
            self._found.append(plausible.measure(clips, self._parents))

    def report(self, file: ClipFile, found: Findings) -> None:
        """Tell faults, of another unit, and notes, of what is odd."""
        if not self._rows:
            return
        rows = np.concatenate(self._rows)
        size, bone, distance = (np.concatenate(parts) for parts in zip(*self._found, strict=True))
        if file.attrs.get("chain.scale") == "torso":
            odd = np.flatnonzero(size > plausible.MOST_TORSOS)
            if len(odd):
                found.notes.append(
                    f"{counted(len(odd), 'clip has', 'clips have')} a person larger than "
                    f"{plausible.MOST_TORSOS:g} torsos, "
                    f"{file.names[rows[odd[0]]]} first: joints far off, or a torso seen from its end?"
                )
            return
        huge = np.flatnonzero(size > plausible.MOST_SCALED)
        if len(huge):
            fault = plausible.size_fault(float(size[huge[0]]), most=plausible.MOST_SCALED)
            found.faults.append(
                f"{counted(len(huge), 'clip holds', 'clips hold')} what no person can be, "
                f"{file.names[rows[huge[0]]]} first: {fault}"
            )
        for values, least, what in (
            (np.where(size > plausible.MOST_SCALED, 0, size), plausible.MOST_SIZE, "a person larger than"),
            (bone, plausible.LONGEST_BONE, "a bone longer than"),
            (distance, plausible.FARTHEST, "a joint farther from the sensor, or from the centre, than"),
        ):
            odd = np.flatnonzero(values > least)
            if len(odd) and not len(huge):
                first = file.names[rows[odd[0]]]
                found.notes.append(
                    f"{counted(len(odd), 'clip has', 'clips have')} {what} {least:g} m, {first} first; are they scaled?"
                )


class Pair(NamedTuple):
    """A test clip and the training clip nearest to it; distance: mean over frames and joints, metres."""

    test: str
    train: str
    distance: float


class Twin(NamedTuple):
    """A clip of one file and the nearest of another; distance: mean over compared frames and joints, metres."""

    clip: str
    other: str
    distance: float


@dataclass
class Shared:
    """What two files have in common.

    Attributes:
        same: Clips of the first that are in the second, by split of the second and side; under the split ``all``
            and the side ``any`` wherever they are.
        near: Clips of the first that are in the second by content but not by name, nearest first.
        notes: What could not be compared, or only with reserve, a sentence each.
    """

    same: dict[str, dict[str, list[str]]]
    near: list[Twin]
    notes: list[str]


def near_duplicates(
    file: ClipFile, split: str, threshold: float = 0.01, progress: Progress = SILENT
) -> list[Pair]:
    """Find test clips that are nearly in the training set, by content.

    Args:
        file: An open file.
        split: The split whose sides are compared.
        threshold: Largest mean distance between corresponding joints, metres.
        progress: Receiver of progress.

    Returns:
        The pairs, nearest first.

    Raises:
        DataError: The file has no such split.
    """
    train, test = file.rows(split, "train"), file.rows(split, "test")
    return [Pair(*pair) for pair in _nearest((file, test), (file, train), threshold, progress)]


def against(file: ClipFile, other: ClipFile, threshold: float = 0.01, progress: Progress = SILENT) -> Shared:
    """Find the clips of a file that are in another, by name, by digest, and nearly by content.

    Args:
        file: An open file.
        other: Another.
        threshold: Largest mean distance between corresponding joints, metres.
        progress: Receiver of progress.
    """
    mine, theirs = Clips.of(file), Clips.of(other)
    sides = {
        split: {part: Clips.of(other, other.rows(split, part)) for part in PARTITIONS}
        for split in other.splits
    }
    same = {
        split: {part: _named(mine, clips) for part, clips in parts.items()} for split, parts in sides.items()
    }
    found = mine.among(theirs)
    notes = []
    if file.form.skeleton.joints != other.form.skeleton.joints or file.form.bodies != other.form.bodies:
        notes.append(
            f"near duplicates cannot be found: {file.path} has {file.form.bodies} x {file.form.joints} joints of "
            f"{file.form.skeleton.name}, {other.path} {other.form.bodies} x {other.form.joints} of "
            f"{other.form.skeleton.name}"
        )
        return Shared({"all": {"any": _named(mine, theirs)}} | same, [], notes)
    keys = sorted(key for key in file.attrs.keys() | other.attrs.keys() if key.startswith("chain."))
    differing = [key for key in keys if file.attrs.get(key) != other.attrs.get(key)]
    if differing:
        notes.append(
            f"the files differ in {', '.join(differing)}, so a near duplicate may look like another clip"
        )
    rows = np.flatnonzero(~found)
    near = _nearest((file, rows), (other, np.arange(len(other))), threshold, progress)
    return Shared({"all": {"any": _named(mine, theirs)}} | same, [Twin(*pair) for pair in near], notes)


def _named(mine: Clips, theirs: Clips) -> list[str]:
    return [mine.names[row] for row in np.flatnonzero(mine.among(theirs))]


_FRAMES = 8
"""Frames of a clip that are compared first."""


def _nearest(
    ours: tuple[ClipFile, NDArray[np.int64]],
    theirs: tuple[ClipFile, NDArray[np.int64]],
    threshold: float,
    progress: Progress,
) -> list[tuple[str, str, float]]:
    """Return the clips of some rows that are nearly among others, with name, the other's name and distance.

    Clips are compared in 64 random directions of their coordinates at eight frames; the five nearest of each are
    then compared exactly, at as many frames as the shorter clips have.
    """
    (file, asked), (other, bank) = ours, theirs
    if not len(bank) or not len(asked):
        return []
    progress.start("comparing", len(bank) + 2 * len(asked))
    directions = (
        np.random.default_rng(0)
        .normal(0, 1 / 8, (3 * _FRAMES * file.form.joints * file.form.bodies, 64))
        .astype(np.float32)
    )

    def project(clips: ClipFile, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        parts = []
        for start in range(0, len(rows), _BLOCK):
            values = clips.clips(rows[start : start + _BLOCK])[:, :, _spread(clips.frames, _FRAMES)]
            parts.append(values.reshape(len(values), -1) @ directions)
            progress.advance(len(values))
        return np.concatenate(parts)

    known, wanted = project(other, bank), project(file, asked)
    frames = min(file.frames, other.frames)
    mine, their = _spread(file.frames, frames), _spread(other.frames, frames)
    squares = (known**2).sum(axis=1)
    pairs = []
    for start in range(0, len(asked), _BLOCK):
        block = wanted[start : start + _BLOCK]
        distance = squares - 2 * block @ known.T
        nearest = np.argpartition(distance, min(5, len(bank) - 1), axis=1)[:, :5]
        clips = file.clips(asked[start : start + _BLOCK])[:, :, mine]
        for number, candidates in enumerate(nearest):
            found = other.clips(bank[candidates])[:, :, their]
            gap = np.linalg.norm(found - clips[number], axis=1).mean(axis=(1, 2, 3))
            best = int(gap.argmin())
            if gap[best] <= threshold:
                names = file.names[asked[start + number]], other.names[bank[candidates[best]]]
                pairs.append((*names, float(gap[best])))
        progress.advance(len(block))
    progress.finish()
    return sorted(pairs, key=lambda pair: pair[2])


def _spread(frames: int, count: int) -> NDArray[np.int64]:
    """Return `count` of so many frames, the first and the last among them, evenly."""
    return np.linspace(0, frames - 1, count).round().astype(np.int64)
