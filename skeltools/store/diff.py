"""What differs between two converted files."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from skeltools.progress import SILENT, Progress
from skeltools.store.reader import ClipFile

_BLOCK = 256
_IGNORED = ("content_digest", "source_digest", "skeltools_version", "class_names", "licence")


@dataclass
class Differences:
    """What differs between files A and B.

    Attributes:
        settings: Attribute, its value in A and in B (None where it is missing).
        only_a: Names of clips that only A has.
        only_b: Names of clips that only B has.
        labels: Names of common clips with different labels.
        sides: For each split, names of common clips that change sides.
        coordinates: Largest coordinate difference, metres, of each common clip that differs, largest first;
            None when the files have different numbers of frames.
        common: Number of common clips.
    """

    settings: list[tuple[str, object, object]] = field(default_factory=list)
    only_a: list[str] = field(default_factory=list)
    only_b: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    sides: dict[str, list[str]] = field(default_factory=dict)
    coordinates: list[tuple[str, float]] | None = None
    common: int = 0

    @property
    def any(self) -> bool:
        """Whether the data differ (settings that lead to equal data do not count)."""
        different = self.only_a or self.only_b or self.labels or any(self.sides.values())
        return bool(different) or self.coordinates is None or bool(self.coordinates)


def compare(a: ClipFile, b: ClipFile, progress: Progress = SILENT) -> Differences:
    """Compare two files: settings, clips, labels, splits, and the coordinates of common clips."""
    keys = sorted((a.attrs.keys() | b.attrs.keys()) - set(_IGNORED))
    rows_a = {name: row for row, name in enumerate(a.names)}
    rows_b = {name: row for row, name in enumerate(b.names)}
    common = sorted(rows_a.keys() & rows_b.keys())
    ours, theirs = (
        np.array([rows_a[name] for name in common], int),
        np.array([rows_b[name] for name in common], int),
    )
    found = Differences(
        settings=[
            (key, a.attrs.get(key), b.attrs.get(key)) for key in keys if a.attrs.get(key) != b.attrs.get(key)
        ],
        only_a=sorted(rows_a.keys() - rows_b.keys()),
        only_b=sorted(rows_b.keys() - rows_a.keys()),
        common=len(common),
    )
    if common:
        found.labels = [common[place] for place in np.flatnonzero(a.labels[ours] != b.labels[theirs])]
    for split in sorted(set(a.splits) & set(b.splits)):
        train_a, train_b = np.isin(ours, a.rows(split, "train")), np.isin(theirs, b.rows(split, "train"))
        found.sides[split] = [common[place] for place in np.flatnonzero(train_a != train_b)]
    if a.frames == b.frames:
        found.coordinates = _coordinates(a, b, common, ours, theirs, progress)
    return found


def _coordinates(
    a: ClipFile, b: ClipFile, common: list[str], ours: np.ndarray, theirs: np.ndarray, progress: Progress
) -> list[tuple[str, float]]:
    differ = (
        np.flatnonzero((a.digests[ours] != b.digests[theirs]).any(axis=1)) if common else np.zeros(0, int)
    )
    if not len(differ):
        return []
    progress.start("comparing", len(differ))
    found = []
    for start in range(0, len(differ), _BLOCK):
        places = differ[start : start + _BLOCK]
        gap = np.abs(a.clips(ours[places]) - b.clips(theirs[places])).max(axis=(1, 2, 3, 4))
        found += [(common[place], float(most)) for place, most in zip(places, gap, strict=True) if most > 0]
        progress.advance(len(places))
    progress.finish()
    return sorted(found, key=lambda item: (-item[1], item[0]))
