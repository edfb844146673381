"""By which preparation were somebody's clips made? Tries the settings of the chain on a few clips."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skeltools.datasets import Dataset
from skeltools.errors import SourceError
from skeltools.exchange import read_arrays
from skeltools.formats.plan import make_plan, read_unit
from skeltools.formats.recording import Recording
from skeltools.formats.source import list_entries, read_all
from skeltools.preparation import Chain, central, choose, choose_frames, finish
from skeltools.progress import SILENT, Progress
from skeltools.store.reader import ClipFile

CHOICES: dict[str, tuple[Any, ...]] = {
    "range": ("start-1..end", "start..end"),
    "most_frames": (300, 0),
    "cut": ("middle", "first"),
    "bodies": ("first", "spread", "tracked"),
    "gaps": ("keep", "close"),
    "absent": ("zeros", "copy"),
    "length": ("first-body", "any-body", "last"),
    "span": (1.0, 0.95),
    "centre": ("frame", "person", "first", "none"),
    "centre_joint": (20, 1),
    "resize": ("linear", "sample"),
    "rotation": ("yaw", "axes", "none"),
}
"""The settings that are tried, each with the values known to be in use; the reference's stand first."""

_FIRST_HALF = ("range", "most_frames", "cut", "bodies", "gaps", "absent", "length", "span")
_SECOND_HALF = ("centre", "centre_joint", "resize", "rotation")
"""The chain's two halves. Most choices in the first give equal frames, for which the second is done once."""

_EXACT = 5e-4
"""Largest coordinate difference, metres, at which two float32 clips count as the same preparation's."""

_HALF = 4e-3
"""The same for float16, whose steps are 2 mm at 4 m."""


@dataclass(frozen=True)
class Verdict:
    """What was found out.

    Attributes:
        frames: T.
        dtype: Type of the clips.
        clips: Names of the clips that were tried.
        values: For each setting, the values that reproduce the clips: one, several where these clips do not
            tell them apart, none where nothing did.
        error: Largest coordinate difference of the best combination, metres.
        nearest: The best combination of all, whether it fits or not.
    """

    frames: int
    dtype: str
    clips: list[str]
    values: dict[str, tuple[Any, ...]]
    error: float
    nearest: Chain

    @property
    def found(self) -> bool:
        """Whether some combination reproduces the clips."""
        return all(self.values.values())


def identify(
    dataset: Dataset,
    arrays: str | Path,
    raw: Sequence[str | Path],
    most: int = 6,
    progress: Progress = SILENT,
) -> Verdict:
    """Find the settings by which prepared clips were made from raw files.

    All combinations of `CHOICES` are tried. Clips that tell settings apart are taken first: with two or more
    bodies, with gaps, longer than 300 frames.

    Args:
        dataset: What the clips are from.
        arrays: A converted file, a folder of AimCLR's or a pyskl pickle.
        raw: Sources with the raw files of some of these clips.
        most: Clips to try.
        progress: Receiver of progress.

    Raises:
        SourceError: No clip of `arrays` has its raw file in `raw`.
        DataError, FormatError: An input is damaged.
    """
    clips, dtype = _clips(Path(arrays))
    recordings = _recordings(dataset, [Path(source) for source in raw], clips.keys(), most)
    if not recordings:
        raise SourceError(
            f"No clip of {arrays} has its raw file in {', '.join(map(str, raw))}: compare the names."
        )
    frames = next(iter(clips.values())).shape[1]
    base = choose(options={"chain.frames": frames, "chain.zeros": "keep"}).values
    labelled = dataset.format == "pku"
    tolerance = _HALF if dtype == "float16" else _EXACT
    first = list(_combinations(base, _FIRST_HALF, labelled))
    second = list(_combinations(base, _SECOND_HALF, labelled))
    worst = np.zeros((len(first), len(second)))
    progress.start("trying", len(recordings))
    for name, recording in recordings.items():
        worst = np.maximum(worst, _gaps(recording, clips[name], first, second, labelled))
        progress.advance()
    progress.finish()
    best = np.unravel_index(int(worst.argmin()), worst.shape)
    fits = worst <= tolerance
    values = {}
    for keys, chains, good in (
        (_FIRST_HALF, first, fits.any(axis=1)),
        (_SECOND_HALF, second, fits.any(axis=0)),
    ):
        fitting = [chains[place] for place in np.flatnonzero(good).tolist()]
        for key in keys:
            if labelled or key != "range":
                there = {getattr(chain, key) for chain in fitting}
                values[key] = tuple(value for value in CHOICES[key] if value in there)
    nearest = replace(first[best[0]], **{key: getattr(second[best[1]], key) for key in _SECOND_HALF})
    return Verdict(frames, dtype, list(recordings), values, float(worst[best]), nearest)


def _combinations(base: Chain, keys: Sequence[str], labelled: bool) -> Iterable[Chain]:
    choices = {key: CHOICES[key] for key in keys if labelled or key != "range"}
    for values in itertools.product(*choices.values()):
        yield replace(base, **dict(zip(choices, values, strict=True)))


def _gaps(
    recording: Recording,
    clip: NDArray[np.floating[Any]],
    first: Sequence[Chain],
    second: Sequence[Chain],
    labelled: bool,
) -> NDArray[np.float64]:
    """Return the largest coordinate difference between the clip and what each pair of halves makes."""
    gaps = np.full((len(first), len(second)), np.inf)
    known: dict[bytes, NDArray[np.float64]] = {}
    for row, chain in enumerate(first):
        found = choose_frames(recording, chain, labelled)
        if isinstance(found, str) or found[1] == 0:
            continue
        frames = np.ascontiguousarray(central(found[0], found[1], chain))
        key = frames.tobytes()
        if key not in known:
            made = (finish(frames, other).astype(np.float64) for other in second)
            known[key] = np.array([np.abs(values - clip).max() for values in made])
        gaps[row] = known[key]
    return gaps


def _clips(path: Path) -> tuple[Mapping[str, NDArray[np.floating[Any]]], str]:
    if path.is_file() and path.suffix in (".h5", ".hdf5"):
        with ClipFile(path) as file:
            return _Lazy(path, file.names), str(file.attrs["chain.dtype"])
    arrays = read_arrays(path)
    return dict(zip(arrays.names, arrays.clips, strict=True)), arrays.dtype


class _Lazy(Mapping[str, NDArray[np.floating[Any]]]):
    """The clips of a converted file by name, read when they are asked for."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self._path = path
        self._rows = {name: row for row, name in enumerate(names)}

    def __getitem__(self, name: str) -> NDArray[np.floating[Any]]:
        with ClipFile(self._path) as file:
            clip: NDArray[np.floating[Any]] = file.clips([self._rows[name]])[0]
        return clip

    def __iter__(self) -> Any:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def _recordings(
    dataset: Dataset, raw: Sequence[Path], names: Iterable[str], most: int
) -> dict[str, Recording]:
    """Read the recordings of up to `most` of the named clips, the most telling ones first."""
    wanted = set(names)
    shown = ", ".join(map(str, raw))
    plan = make_plan(dataset, list_entries(raw), shown, choose().values, skip=True)
    found: dict[str, Recording] = {}
    units = [unit for unit in plan.units if any(plan.names[span.clip] in wanted for span in unit.spans)]
    # Larger files hold more bodies and frames; a few dozen are enough to choose from.
    units.sort(key=lambda unit: -unit.entry.size)
    contents = read_all([unit.entry for unit in units[: 8 * most]])
    for unit in units[: 8 * most]:
        for span, recording in zip(unit.spans, read_unit(dataset, unit, contents[unit.entry]), strict=True):
            if plan.names[span.clip] in wanted and len(recording.frame):
                found[plan.names[span.clip]] = recording
    order = sorted(found, key=lambda name: _dull(found[name]))
    return {name: found[name] for name in _varied(order, found, most)}


def _features(recording: Recording) -> tuple[bool, bool, bool, bool]:
    alone = len(np.unique(recording.frame)) == len(recording.frame)
    gap = bool((np.diff(recording.frame) > 1).any())
    return recording.frames > 300, int(recording.slot.max()) > 1, not alone, gap


def _dull(recording: Recording) -> tuple[int, int]:
    return -sum(_features(recording)), recording.frames


def _varied(order: Sequence[str], found: Mapping[str, Recording], most: int) -> list[str]:
    """Take, in turn, the first clip of each combination of features, until there are enough."""
    groups: dict[tuple[bool, ...], list[str]] = {}
    for name in order:
        groups.setdefault(_features(found[name]), []).append(name)
    turns = itertools.chain.from_iterable(itertools.zip_longest(*groups.values()))
    return [name for name in turns if name is not None][:most]
