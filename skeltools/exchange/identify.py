"""By which preparation were somebody's clips made? Tries the settings of the chain on a few clips."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skeltools.convert.plan import Plan, Unit, make_plan, read_unit
from skeltools.datasets.registry import PARTITIONS, Dataset
from skeltools.errors import FormatError, SourceError
from skeltools.exchange.arrays import read_arrays
from skeltools.formats.entries import Entry
from skeltools.formats.recording import Recording
from skeltools.formats.sources import list_entries, read_all
from skeltools.preparation.chain import PACKAGE, Chain, Chosen, central, choose, choose_frames, finish
from skeltools.progress import SILENT, Progress
from skeltools.settings import packaged_recipes
from skeltools.skeletons import Form
from skeltools.store.reader import ClipFile

CHOICES: dict[str, tuple[Any, ...]] = {
    "range": ("start-1..end", "start..end"),
    "most_frames": (300, 0),
    "cut": ("middle", "first"),
    "bodies": ("first", "spread", "tracked"),
    "gaps": ("keep", "close"),
    "pad": ("zeros", "repeat"),
    "absent": ("zeros", "copy"),
    "length": ("first-body", "any-body", "last", "padded"),
    "span": (1.0, 0.95),
    "centre": ("frame", "person", "first", "none"),
    "centre_joint": (20, 1),
    "resize": ("linear", "sample"),
    "rotation": ("yaw", "axes", "none"),
}
"""The settings that are tried, each with the values known to be in use; the reference's are first."""

MORE_CHOICES: dict[str, tuple[str, ...]] = {
    "motion": ("clip", "source"),
    "zeros": ("exclude", "keep"),
    "splits": ("official", "camera"),
    "split_names": ("comma", "comma-space"),
}
"""Settings that no single joint clip shows: of motion clips, of which clips are there, of their sides."""

_FIRST_HALF = ("range", "bodies", "gaps", "most_frames", "cut", "pad", "absent", "length", "span")
_SECOND_HALF = ("centre", "centre_joint", "resize", "rotation")
"""The chain's two halves. Most choices in the first give equal frames, for which the second is done once."""

_EXACT = 5e-4
"""Largest coordinate difference, metres, at which two float32 clips count as the same preparation's."""

_HALF = 4e-3
"""The same for float16, whose steps are 2 mm at 4 m."""


_LACKING = 0.1
"""Where more raw clips than this share are not among the prepared ones, that one is missing says nothing."""


@dataclass(frozen=True)
class Verdict:
    """What was found out.

    Attributes:
        frames: T.
        dtype: Type of the clips.
        clips: Names of the clips that were tried.
        values: For each setting, the values that reproduce the clips: one, several where these clips do not
            tell them apart, none where nothing did.
        stream: What the clips are: ``joint``, ``motion`` or ``bone``.
        error: Largest coordinate difference of the best combination, metres.
        nearest: The best combination of all, whether it fits or not.
        others: The same as `values` for settings that show in which clips there are and on which side of a
            split they are (`MORE_CHOICES`); a setting is absent where the data say nothing about it.
        preparations: Packaged preparations that give the clips, number of frames apart.
        stored: Packaged preparations whose scripts' arrays the clips are: padded to 300 frames, neither
            cropped nor resized.
    """

    frames: int
    dtype: str
    clips: list[str]
    values: dict[str, tuple[Any, ...]]
    stream: str
    error: float
    nearest: Chain
    others: dict[str, tuple[str, ...]]
    preparations: tuple[str, ...]
    stored: tuple[str, ...]

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
    labels: str | Path | None = None,
) -> Verdict:
    """Find the settings by which prepared clips were made from raw files.

    All combinations of `CHOICES` are tried; where none gives the clips as joint coordinates, they are taken
    for motion or bones. Clips that tell settings apart are taken first: with two or more bodies, with gaps,
    longer than 300 frames. Which clips are there and on which side of each split tells the rest.

    Args:
        dataset: What the clips are from.
        arrays: A converted file, or what `skeltools.exchange.arrays.read_arrays` reads.
        raw: Sources with the raw files of some of these clips.
        most: Clips to try.
        progress: Receiver of progress.
        labels: Where the names are, for arrays that lie without; CTR-GCN's rows else take those of the raw files
            where there are as many.

    Raises:
        SourceError: No clip of `arrays` has its raw file in `raw`.
        DataError, FormatError: An input is damaged.
    """
    shown = ", ".join(map(str, raw))
    entries = list_entries([Path(source) for source in raw])
    plan = make_plan(dataset, entries, shown, choose(skeleton=dataset.skeleton).values, skip=True)
    theirs = _theirs(Path(arrays), dataset, labels, plan.names)
    recordings, empty = _recordings(dataset, plan, theirs.clips, most)
    if not recordings:
        told = f" {theirs.note}" if theirs.note else ""
        raise SourceError(f"No clip of {arrays} has its raw file in {shown}: compare the names.{told}")
    clips = {name: np.asarray(theirs.clips[name]) for name in recordings}
    frames = next(iter(clips.values())).shape[1]
    dtype = theirs.dtype
    if all(np.array_equal(clip, clip.astype(np.float16)) for clip in clips.values()):
        dtype = "float16"  # however it is stored now, it has been rounded
    base = choose(skeleton=dataset.skeleton, options={"chain.frames": frames, "chain.zeros": "keep"}).values
    labelled, form = dataset.format == "pku", dataset.form(frames)
    tolerance = _HALF if dtype == "float16" else _EXACT
    first = list(_combinations(base, _FIRST_HALF, labelled))
    second = list(_combinations(base, _SECOND_HALF, labelled))

    def tried(kinds: Sequence[str], whole: bool) -> NDArray[np.float64]:
        """Return the largest difference of each combination; what one clip rules out only where `whole` is asked."""
        worst = np.zeros((len(first), len(kinds), len(second)))
        progress.start("trying", len(recordings))
        for name, recording in recordings.items():
            left = np.asarray((worst <= tolerance).any(axis=1)) | whole
            worst = np.maximum(
                worst, _gaps(recording, clips[name], first, second, kinds, form, labelled, left)
            )
            progress.advance()
        progress.finish()
        return worst

    # Most combinations differ in the first clip already. Only where all do is it asked by how much in every clip.
    for whole in (False, True):
        tries = []
        for streams in (("joint",), ("motion", "bone")):
            kinds = [kind for stream in streams for kind in _KINDS[stream]]
            tries.append((tried(kinds, whole), kinds))
            if tries[-1][0].min() <= tolerance:
                break
        if tries[-1][0].min() <= tolerance:
            break
    worst, kinds = min(tries, key=lambda item: item[0].min())
    best = np.unravel_index(int(worst.argmin()), worst.shape)
    stream = next(stream for stream in _KINDS if kinds[best[1]] in _KINDS[stream])
    fits = worst[:, [kind in _KINDS[stream] for kind in kinds]] <= tolerance
    values: dict[str, tuple[Any, ...]] = {}
    for keys, chains, good in (
        (_FIRST_HALF, first, fits.any(axis=(1, 2))),
        (_SECOND_HALF, second, fits.any(axis=(0, 1))),
    ):
        fitting = [chains[place] for place in np.flatnonzero(good).tolist()]
        for key in keys:
            if labelled or key != "range":
                there = {getattr(chain, key) for chain in fitting}
                values[key] = tuple(value for value in CHOICES[key] if value in there)
    if stream == "motion":
        places = np.flatnonzero(fits.any(axis=(0, 2))).tolist()
        values["motion"] = tuple(MORE_CHOICES["motion"][place] for place in places)
    nearest = replace(first[best[0]], **{key: getattr(second[best[2]], key) for key in _SECOND_HALF})
    if kinds[best[1]] == "motion of the source":
        nearest = replace(nearest, motion="source")
    others = _splits(dataset, theirs, entries, shown)
    if empty & theirs.clips.keys():
        others["zeros"] = ("keep",)
    elif empty and len(set(plan.names) - theirs.clips.keys() - empty) <= _LACKING * len(plan.names):
        others["zeros"] = ("exclude",)
    return Verdict(
        frames=frames,
        dtype=dtype,
        clips=list(recordings),
        values=values,
        stream=stream,
        error=float(worst[best]),
        nearest=nearest,
        others=others,
        preparations=_named(dataset, first, second, fits, frames),
        stored=_named(dataset, first, second, fits, frames, length="padded", span=1.0),
    )


def _named(
    dataset: Dataset,
    first: Sequence[Chain],
    second: Sequence[Chain],
    fits: NDArray[np.bool_],
    frames: int,
    **changes: Any,
) -> tuple[str, ...]:
    """Return the packaged preparations, changed so, that fit; those of as many frames if there are any."""

    def alike(chain: Chain, wanted: Chain, keys: Sequence[str]) -> bool:
        return all(getattr(chain, key) == getattr(wanted, key) for key in keys)

    keys = [key for key in _FIRST_HALF if key != "range" or dataset.format == "pku"]
    fitting = {}
    for name in packaged_recipes(PACKAGE):
        wanted = replace(choose(name, dataset=dataset.name, skeleton=dataset.skeleton).values, **changes)
        rows = [alike(chain, wanted, keys) for chain in first]
        if fits[rows][..., [alike(chain, wanted, _SECOND_HALF) for chain in second]].any():
            fitting[name] = wanted.frames
    return tuple(name for name, of in fitting.items() if of == frames) or tuple(fitting)


_KINDS = {
    "joint": ("joint",),
    "motion": ("motion of the clip", "motion of the source"),
    "bone": ("bone",),
}
"""What clips may be, by stream; motion in the order of ``chain.motion``."""


def _splits(
    dataset: Dataset, theirs: _Theirs, entries: list[Entry], shown: str
) -> dict[str, tuple[str, ...]]:
    """Return, of the settings that bear on the splits, the values that give the sides of `theirs`.

    A setting is left out where all its values agree, as most do on most data, unless none fits.
    """
    base = choose(skeleton=dataset.skeleton).values
    found: dict[str, tuple[str, ...]] = {}
    for key, format_ in (("splits", "ntu"), ("split_names", "pku")):
        if dataset.format != format_:
            continue
        fits = {}
        for value in MORE_CHOICES[key]:
            setting: dict[str, Any] = {key: value}
            plan = make_plan(dataset, entries, shown, replace(base, **setting), skip=True)
            fits[value] = _same_sides(plan, theirs)
        told = {fit for fit in fits.values() if fit is not None}
        if told and told != {True}:
            found[key] = tuple(value for value, fit in fits.items() if fit)
    return found


def _same_sides(plan: Plan, theirs: _Theirs) -> bool | None:
    """Return whether the common clips are on the same sides in every split; None without a common clip."""
    found = None
    for split, train in theirs.train.items():
        either = train | theirs.test[split]
        if split not in plan.train:
            return False
        for name, trains in zip(plan.names, plan.train[split], strict=True):
            if name in either:
                if trains != (name in train):
                    return False
                found = True
    return found


def _combinations(base: Chain, keys: Sequence[str], labelled: bool) -> Iterable[Chain]:
    choices = {key: CHOICES[key] for key in keys if labelled or key != "range"}
    for values in itertools.product(*choices.values()):
        yield replace(base, **dict(zip(choices, values, strict=True)))


def _gaps(
    recording: Recording,
    clip: NDArray[np.floating[Any]],
    first: Sequence[Chain],
    second: Sequence[Chain],
    kinds: Sequence[str],
    form: Form,
    labelled: bool,
    left: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Return the largest coordinate difference between the clip and what each pair of halves makes of it.

    Shape (first, kinds, second); infinite where `left` (first, second) leaves out the row or the column.
    """
    columns = np.flatnonzero(left.any(axis=0)).tolist()
    gaps = np.full((len(first), len(kinds), len(second)), np.inf)
    known: dict[bytes, NDArray[np.float64]] = {}
    chosen: dict[Chain, Chosen | str] = {}
    for row in np.flatnonzero(left.any(axis=1)).tolist():
        chain = first[row]
        alike = _alike(chain, recording.frames)
        if alike not in chosen:
            chosen[alike] = choose_frames(recording, alike, form, labelled)
        found = chosen[alike]
        if isinstance(found, str) or found.length == 0:
            continue
        used = central(found, chain)._replace(others=1)
        key = b"".join(array.tobytes() for array in (used.raw, used.there, used.first))
        if key not in known:
            known[key] = np.full((len(kinds), len(second)), np.inf)
            known[key][:, columns] = np.array(
                [_gap(used, clip, second[column], form, kinds) for column in columns]
            ).T
        gaps[row] = known[key]
    return gaps


def _alike(chain: Chain, frames: int) -> Chain:
    """Return the chain that stands for all which choose the same of so many frames, before ``span``."""
    if frames > CHOICES["most_frames"][0]:
        return replace(chain, span=1.0)
    return replace(chain, span=1.0, cut="first", most_frames=0)


def _gap(
    used: Chosen, clip: NDArray[np.floating[Any]], chain: Chain, form: Form, kinds: Sequence[str]
) -> list[float]:
    """Return the largest coordinate difference of each kind of clip that the second half makes."""
    made: dict[str, NDArray[Any] | None]
    if list(kinds) == ["joint"]:
        made = {"joint": finish(used, chain, form)[0]}
    else:
        joint, moved = finish(used, replace(chain, motion="source"), form)
        motion = np.zeros_like(joint)
        motion[:, :-1] = joint[:, 1:] - joint[:, :-1]
        made = {
            "joint": joint,
            "motion of the clip": motion,
            "motion of the source": moved,
            "bone": joint - joint[:, :, list(form.skeleton.parents)],
        }
    return [float(np.abs(np.asarray(made[kind], np.float64) - clip).max()) for kind in kinds]


@dataclass(frozen=True)
class _Theirs:
    """Somebody's prepared clips by name, and the names on each side of each split."""

    clips: Mapping[str, NDArray[np.floating[Any]]]
    dtype: str
    train: dict[str, set[str]]
    test: dict[str, set[str]]
    note: str = ""


def _theirs(path: Path, dataset: Dataset, labels: str | Path | None, known: Sequence[str]) -> _Theirs:
    if path.is_file() and path.suffix in (".h5", ".hdf5"):
        with ClipFile(path) as file:
            train, test = (
                {split: {file.names[row] for row in file.rows(split, part)} for split in file.splits}
                for part in PARTITIONS
            )
            return _Theirs(_Lazy(path, file.names), str(file.attrs["chain.dtype"]), train, test)
    arrays = read_arrays(
        path,
        unequal="These are recordings: no preparation has made them clips of one length.",
        labels=labels,
        dataset=dataset,
        known=known,
    )
    clips = dict(zip(arrays.names, arrays.clips, strict=True))
    unnamed = "".join(note.text for note in arrays.notes if note.kind == "unnamed")
    return _Theirs(clips, arrays.dtype, arrays.train, arrays.test, unnamed)


class _Lazy(Mapping[str, NDArray[np.floating[Any]]]):
    """The clips of a converted file by name, read when they are asked for."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        self._path = path
        self._rows = {name: row for row, name in enumerate(names)}

    def __getitem__(self, name: str) -> NDArray[np.floating[Any]]:
        with ClipFile(self._path) as file:
            clip: NDArray[np.floating[Any]] = file.clips([self._rows[name]])[0]
        return clip

    def __contains__(self, name: object) -> bool:
        return name in self._rows  # without this, asking would read the clip

    def __iter__(self) -> Any:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def _recordings(
    dataset: Dataset, plan: Plan, wanted: Mapping[str, object], most: int
) -> tuple[dict[str, Recording], set[str]]:
    """Read the recordings of up to `most` of the wanted clips, the most telling ones first.

    Returns:
        The recordings by name, and the names of those clips, wanted or not, that hold no position.
    """
    found: dict[str, Recording] = {}
    empty: set[str] = set()
    strict = choose(skeleton=dataset.skeleton).values

    def there(unit: Unit) -> bool:
        return any(plan.names[span.clip] in wanted for span in unit.spans)

    # Larger files hold more bodies and frames; a few dozen are enough to choose from. Clips that are not
    # there, and small files, may be empty ones.
    by_size = sorted(plan.units, key=lambda unit: -unit.entry.size)
    large = [unit for unit in by_size if there(unit)]
    missing = [
        unit for unit in by_size[::-1] if any(plan.names[span.clip] not in wanted for span in unit.spans)
    ]
    units = dict.fromkeys([*large[: 8 * most], *large[::-1][:most], *missing[:most]])
    contents = read_all([unit.entry for unit in units])
    for unit in units:
        try:
            read = list(read_unit(dataset, unit, contents[unit.entry]))
        except FormatError:
            if there(unit):
                raise
            continue
        for span, recording in zip(unit.spans, read, strict=True):
            name = plan.names[span.clip]
            if isinstance(recording, FormatError):
                continue
            if isinstance(
                choose_frames(recording, strict, dataset.form(strict.frames), dataset.format == "pku"), str
            ):
                empty.add(name)
            elif name in wanted:
                found[name] = recording
    order = sorted(found, key=lambda name: _dull(found[name]))
    return {name: found[name] for name in _varied(order, found, most)}, empty


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
