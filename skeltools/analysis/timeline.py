"""What a classifier says of a recording over time: windows, their scores, and stretches of one class.

Frames are counted from 0; a window or stretch is the frames ``start`` to ``stop - 1``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skeltools.errors import SettingError, counted
from skeltools.formats.recording import Recording
from skeltools.results.tables import Grid

GAP = -1
"""Label of frames that no scored window covers."""


def windows(frames: int, length: int, stride: int) -> list[tuple[int, int]]:
    """Return windows (start, stop) that cover every frame, in order.

    Each has `length` frames and begins `stride` after the one before; the last is moved back so that it ends
    with the recording. A recording of fewer frames is one window.

    Args:
        frames: Frames of the recording.
        length: Frames of a window; 0 for the whole recording.
        stride: Frames from one start to the next, at most `length`.

    Raises:
        SettingError: The stride is beyond 1 to `length`, so that frames would not be seen.
    """
    if frames == 0:
        return []
    if length == 0 or frames <= length:
        return [(0, frames)]
    if not 1 <= stride <= length:
        raise SettingError(f"A stride of {stride} leaves out frames between windows of {length}.")
    starts = [*range(0, frames - length, stride), frames - length]
    return [(start, start + length) for start in starts]


def cut(recording: Recording, start: int, stop: int) -> Recording:
    """Return the frames `start` to `stop` - 1 of a recording."""
    first, last = np.searchsorted(recording.frame, [start, stop])
    kept = slice(int(first), int(last))
    return replace(
        recording,
        frames=stop - start,
        coords=recording.coords[kept],
        frame=recording.frame[kept] - np.int32(start),
        slot=recording.slot[kept],
        ids=recording.ids[kept],
    )


@dataclass(frozen=True)
class Stretch:
    """Successive frames of one class, or of none.

    Attributes:
        start: First frame.
        stop: Frame after the last.
        label: 0-based class, or `GAP`.
        score: Mean score of the class over its frames; NaN in a gap.
    """

    start: int
    stop: int
    label: int
    score: float


@dataclass(frozen=True)
class Timeline:
    """The windows of one recording, W of them, and what they were taken for.

    Attributes:
        path: The file.
        clip: Name of the recording where the file holds several, else empty.
        recording: What was read.
        length: Frames of a window that were asked for; 0 for the whole recording.
        stride: Frames from one window's start to the next.
        classes: Class names by 0-based label.
        bounds: (start, stop) of each window.
        used: Frames that the preparation used of each, L; 0 in a gap.
        gaps: Why a window has no scores (code, colon, details), empty where it has.
        scores: float32 (W, classes), softmax scores that add up to 1; NaN in a gap.
        notes: What the user should know, a sentence each.
    """

    path: str
    clip: str
    recording: Recording = field(repr=False)
    length: int
    stride: int
    classes: Sequence[str]
    bounds: Sequence[tuple[int, int]]
    used: Sequence[int]
    gaps: Sequence[str]
    scores: NDArray[np.float32]
    notes: Sequence[str] = ()

    @property
    def frames(self) -> int:
        """Frames of the recording."""
        return self.recording.frames

    @property
    def title(self) -> str:
        """File and recording, for headings."""
        return f"{self.path}: {self.clip}" if self.clip else self.path

    def overall(self) -> NDArray[np.float32]:
        """Return the mean scores of the windows that have any, float32 (classes,)."""
        return np.asarray(np.nanmean(self.scores, axis=0, dtype=np.float64), np.float32)

    def by_frame(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return the class of each frame and its score, int64 and float64 (frames,).

        A frame's scores are the mean over the windows that cover it. Without any, label `GAP` and NaN.
        """
        labels = np.full(self.frames, GAP, np.int64)
        values = np.full(self.frames, np.nan)
        scored = [row for row, gap in enumerate(self.gaps) if not gap]
        edges = sorted({0, self.frames, *(edge for row in scored for edge in self.bounds[row])})
        first = last = 0  # scored[first:last] cover the frames between two edges: starts and stops both rise
        for start, stop in pairwise(edges):
            while last < len(scored) and self.bounds[scored[last]][0] <= start:
                last += 1
            while first < last and self.bounds[scored[first]][1] <= start:
                first += 1
            if first < last:
                mean = self.scores[scored[first:last]].mean(axis=0, dtype=np.float64)
                labels[start:stop] = mean.argmax()
                values[start:stop] = mean.max()
        return labels, values

    def stretches(self) -> list[Stretch]:
        """Return the recording as successive frames of one class each."""
        labels, values = self.by_frame()
        edges = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), self.frames]
        return [
            Stretch(start, stop, int(labels[start]), float(values[start:stop].mean()))
            for start, stop in pairwise(edges)
        ]

    def name(self, label: int) -> str:
        """Return a class's name; of a gap, why there is none."""
        return self.classes[label] if label != GAP else "(no class)"

    def best(self, row: int, top: int) -> list[tuple[int, float]]:
        """Return the best labels and scores of a window; none in a gap."""
        return [] if self.gaps[row] else best(self.scores[row], top)

    def content(self, top: int) -> dict[str, Any]:
        """Return what JSON holds."""
        overall = best(self.overall(), top)
        return {
            "path": self.path,
            "clip": self.clip or None,
            "frames": self.frames,
            "window": self.length or None,
            "stride": self.stride or None,
            "classes": [self.classes[label] for label, _ in overall],
            "scores": [score for _, score in overall],
            "stretches": [
                {
                    "start": one.start,
                    "stop": one.stop,
                    "class": None if one.label == GAP else self.classes[one.label],
                    "score": None if one.label == GAP else one.score,
                }
                for one in self.stretches()
            ],
            "windows": [
                {
                    "start": start,
                    "stop": stop,
                    "used": self.used[row],
                    "gap": self.gaps[row] or None,
                    "classes": [self.classes[label] for label, _ in self.best(row, top)],
                    "scores": [score for _, score in self.best(row, top)],
                }
                for row, (start, stop) in enumerate(self.bounds)
            ],
            "notes": list(self.notes),
        }

    def rows(self, top: int) -> Iterator[list[object]]:
        """Yield the windows as rows below `header`."""
        for row, (start, stop) in enumerate(self.bounds):
            found = self.best(row, top)
            pairs: list[object] = []
            for label, score in found:
                pairs += [self.classes[label], f"{score:.6f}"]
            pairs += [None] * (2 * min(top, len(self.classes)) - len(pairs))
            yield [
                self.path, self.clip or None, start, stop, self.used[row], self.gaps[row] or None, *pairs
            ]  # fmt: skip


def best(scores: NDArray[np.float32], top: int) -> list[tuple[int, float]]:
    """Return the `top` best (label, score), the best first; of equal scores the lower label."""
    order = np.argsort(-scores, kind="stable")[:top]
    return [(int(label), float(scores[label])) for label in order]


def header(top: int) -> list[str]:
    """Return the columns of CSV: a row per window."""
    pairs = [f"{what}{place}" for place in range(1, top + 1) for what in ("class", "score")]
    return ["path", "clip", "start", "stop", "used", "gap", *pairs]


def grid(found: Timeline, top: int) -> Grid:
    """Return a table: of a whole recording its best classes, of one with windows its stretches."""
    if not found.length:
        made = Grid([found.title], [("class", False), ("score", True)])
        for label, score in best(found.overall(), top):
            made.add([found.classes[label], f"{score:.3f}"])
        return made
    made = Grid(
        [found.title, f"{counted(found.frames, 'frame')}, {counted(len(found.bounds), 'window')}"],
        [("from", True), ("to", True), ("class", False), ("score", True)],
    )
    for one in found.stretches():
        told = "" if one.label == GAP else f"{one.score:.3f}"
        made.add([f"{one.start:,}", f"{one.stop - 1:,}", found.name(one.label), told])
    return made
