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
            found.faults.append(f"/{name} has {length} rows, /clips {count}")
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
                f"split {split}: {len(both)} clips are on both sides, {_name(file, both[0])} first"
            )
        neither = np.setdiff1d(everything, np.concatenate(list(sides.values())))
        if len(neither) and not file.dataset.leaves_out(split):
            found.faults.append(
                f"split {split}: {len(neither)} clips are on neither side, {_name(file, neither[0])} first"
            )
        counts = (len(sides["train"]), len(sides["test"]))
        official = file.dataset.counts.get(split)
        if official is not None and official != counts:
            found.notes.append(
                f"split {split}: {counts[0]:,} / {counts[1]:,} clips, "
                f"officially {official[0]:,} / {official[1]:,}"
            )
    for split, percent, seed in file.subsets:
        outside = np.setdiff1d(
            file.stored_rows(f"subsets/{split}/{percent}/{seed}"),
            file.stored_rows(f"splits/{split}/train"),
        )
        if len(outside):
            where = f"subset {split}/{percent}/{seed}"
            found.faults.append(f"{where} has {len(outside)} rows outside the training side")


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
            found.faults.append(f"{len(rows)} clips have {what}, {file.names[rows[0]]} first")
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
                    f"{len(odd)} clips have a person larger than {plausible.MOST_TORSOS:g} torsos, "
                    f"{file.names[rows[odd[0]]]} first: joints far off, or a torso seen from its end?"
                )
            return
        huge = np.flatnonzero(size > plausible.MOST_SCALED)
        if len(huge):
            fault = plausible.size_fault(float(size[huge[0]]), most=plausible.MOST_SCALED)
            found.faults.append(
                f"{len(huge)} clips hold what no person can be, {file.names[rows[huge[0]]]} first: {fault}"
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
                    f"{len(odd)} clips have {what} {least:g} m, {first} first; are they scaled?"
                )


class Pair(NamedTuple):
    """A test clip and the training clip nearest to it; distance: mean over frames and joints, metres."""

    test: str
    train: str
    distance: float


def near_duplicates(
    file: ClipFile, split: str, threshold: float = 0.01, progress: Progress = SILENT
) -> list[Pair]:
    """Find test clips that are nearly in the training set, by content.

    Clips are compared in 64 random directions of their coordinates at eight frames; the five nearest
    training clips of each test clip are then compared exactly.

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
    if not len(train) or not len(test):
        return []
    progress.start("comparing", len(train) + 2 * len(test))
    picks = np.linspace(0, file.frames - 1, 8).round().astype(int)
    directions = (
        np.random.default_rng(0)
        .normal(0, 1 / 8, (3 * len(picks) * file.form.joints * file.form.bodies, 64))
        .astype(np.float32)
    )

    def project(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        parts = []
        for start in range(0, len(rows), _BLOCK):
            clips = file.clips(rows[start : start + _BLOCK])[:, :, picks]
            parts.append(clips.reshape(len(clips), -1) @ directions)
            progress.advance(len(clips))
        return np.concatenate(parts)

    theirs, ours = project(train), project(test)
    squares = (theirs**2).sum(axis=1)
    pairs = []
    for start in range(0, len(test), _BLOCK):
        block = ours[start : start + _BLOCK]
        distance = squares - 2 * block @ theirs.T
        nearest = np.argpartition(distance, min(5, len(train) - 1), axis=1)[:, :5]
        clips = file.clips(test[start : start + _BLOCK])
        for number, candidates in enumerate(nearest):
            gap = np.linalg.norm(file.clips(train[candidates]) - clips[number], axis=1).mean(axis=(1, 2, 3))
            best = int(gap.argmin())
            if gap[best] <= threshold:
                names = file.names[test[start + number]], file.names[train[candidates[best]]]
                pairs.append(Pair(*names, float(gap[best])))
        progress.advance(len(block))
    progress.finish()
    return sorted(pairs, key=lambda pair: pair.distance)
