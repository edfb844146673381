"""A plan: the clips that a source holds, how they are labelled and split, and which are left out."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, overload

from skeltools.datasets.contract import Dataset, Naming
from skeltools.errors import FormatError, SourceError, counted
from skeltools.formats import irds, ntu, nwucla, pku
from skeltools.formats.entries import Entry
from skeltools.formats.recording import Recording
from skeltools.formats.sources import read_all
from skeltools.preparation.chain import Chain
from skeltools.skeletons import plausible
from skeltools.store.notes import Note, listed


class Excluded(NamedTuple):
    """A clip that is left out, and why: a code, or a code, a colon and details."""

    name: str
    reason: str


class Span(NamedTuple):
    """A clip in its raw file: its index in the plan, its first frame and the frame after its last."""

    clip: int
    start: int = 0
    stop: int | None = None


class Unit(NamedTuple):
    """One raw file to read, the clips it holds, and further files of its name, in the order of the source.

    Attributes:
        entry: The file.
        spans: Its clips.
        copies: Further files of its name.
        parts: Further files of its one clip, where each holds a frame.
    """

    entry: Entry
    spans: tuple[Span, ...]
    copies: tuple[Entry, ...] = ()
    parts: tuple[Entry, ...] = ()

    @property
    def size(self) -> int:
        """Bytes to read."""
        return self.entry.size + sum(part.size for part in self.parts)


@dataclass(frozen=True)
class Reading:
    """How raw files are read, where that is asked for; stored as ``chain.unit`` and ``chain.long_labels``.

    Attributes:
        unit: What coordinates are in: ``m``, ``cm`` or ``mm``.
        long_labels: Labels that go beyond their video: ``cut`` there, or ``exclude`` the clip.
    """

    unit: str = "m"
    long_labels: str = "cut"

    def settings(self) -> dict[str, str]:
        """Return what was asked for, by name."""
        asked = {"unit": self.unit, "long_labels": self.long_labels}
        return {key: value for key, value in asked.items() if value != getattr(METRES, key)}


METRES = Reading()
"""How raw files are read unless something else is asked for."""


@dataclass
class Plan:
    """What a source holds, before its recordings are read.

    Attributes:
        names: Clip names, sorted; a clip's index counts here.
        labels: 0-based labels.
        columns: Further columns by name, whole numbers or texts, one entry per clip.
        train: For each split, whether each clip is on its training side; None for a clip on neither.
        units: The raw files, in the order of their first clips.
        excluded: What is left out already, each with its reason.
        notes: What the user should know, counted.
        small: (file name, content) of the small files read while planning.
    """

    names: list[str]
    labels: list[int]
    columns: dict[str, Sequence[int] | Sequence[str]]
    train: Mapping[str, Sequence[bool | None]]
    units: Sequence[Unit]
    excluded: list[Excluded] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    small: list[tuple[str, bytes]] = field(default_factory=list)


@dataclass
class Task:
    """What a planner works on, what it has left out so far, and splits that files of one's own state."""

    dataset: Dataset
    entries: list[Entry]
    source: str
    chain: Chain
    skip: bool
    excluded: list[Excluded] = field(default_factory=list)
    unnamed: list[str] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    stated: dict[str, dict[str, set[str]]] = field(default_factory=dict)

    def pass_over(self, entries: Iterable[Entry], clip: Callable[[str], bool], wanted: str) -> None:
        """Record files that are not read: those under a clip's name look like clips.

        Args:
            entries: The files.
            clip: Whether a name without any extension is one of a clip.
            wanted: How raw files are called, such as ``NAME.skeleton``.
        """
        for entry in entries:
            stem = entry.name.partition(".")[0]
            if clip(_COPY.sub("", stem)):
                self.unnamed.append(entry.inside)
                reason = f"misnamed: {entry.inside} looks like a clip but is not called {wanted}"
                self.excluded.append(Excluded(stem, reason))
            else:
                self.other.append(entry.inside)
                self.excluded.append(Excluded(entry.name, f"other: {entry.inside} is not called {wanted}"))

    def notes(self) -> list[Note]:
        """Return the notes on files that were passed over."""
        return [
            *listed("misnamed", self.unnamed, "file", "under a clip's name but another extension, not read"),
            *listed("other", self.other, "other file", "passed over"),
        ]

    def damaged(self, entry: Entry, error: FormatError) -> None:
        """Raise the error, or record it when damaged files are skipped."""
        if not self.skip:
            raise error
        self.excluded.append(Excluded(entry.stem, damage(entry, error)))


_DOCUMENT = re.compile(r"read.?me|licen[cs]e|copying|notes?|terms|changelog", re.IGNORECASE)
"""Names of texts that lie beside recordings."""

_COPY = re.compile(r"( \(\d+\)| ?- ?[Cc]opy.*|~)$")
"""What systems add to the name of a copy."""


def damage(entry: Entry, error: FormatError) -> str:
    """Return the reason for leaving out the clips of a damaged file."""
    where = entry.inside if error.line is None else f"{entry.inside}, line {error.line}"
    return f"damaged: {where}: {error.problem}"


def make_plan(dataset: Dataset, entries: list[Entry], source: str, chain: Chain, skip: bool = False) -> Plan:
    """List the clips of a source.

    Args:
        dataset: What the source holds.
        entries: Its files.
        source: Its name, for messages.
        chain: Settings of the preparation; some bear on the splits.
        skip: Leave damaged files out, with their reason, instead of raising.

    Raises:
        SourceError: There is no raw file of the dataset's format.
        FormatError: A file name, label file or split file is faulty.
    """
    task = Task(dataset, entries, source, chain, skip)
    if dataset.own is not None:
        from skeltools.convert import own  # only here: it is a large part of a short conversion's start

        return own.plan(task, dataset.own)
    return _plan_named(task) if dataset.namings else _plan_pku(task)


def read_unit(
    dataset: Dataset,
    unit: Unit,
    data: bytes,
    coordinates: str = "m",
    parts: Sequence[tuple[bytes, str]] = (),
) -> Iterable[Recording | FormatError]:
    """Parse a raw file and return the recording of each of its clips, in metres.

    Args:
        dataset: What it is from.
        unit: The file and its clips.
        data: Its content.
        coordinates: The unit of its coordinates.
        parts: Content and place of each of the unit's parts.

    Returns:
        Them one by one; of data of one's own the fault of a clip in its place.

    Raises:
        FormatError: The file is not what its format says, with the line.
    """
    if dataset.own is not None:
        members = [span.start for span in unit.spans]
        from skeltools.formats.own import read as read_own

        return read_own(data, unit.entry.path, dataset.own, members, parts)
    recordings = _READERS[dataset.format](unit, data)
    if coordinates == "m":
        return recordings
    return [replace(found, coords=plausible.in_metres(found.coords, coordinates)) for found in recordings]


def _plan_named(task: Task) -> Plan:
    """Plan files of one clip each, whose names say what they are."""
    naming, dataset = _naming(task), task.dataset
    kept: dict[str, Entry] = {}
    copies: dict[str, tuple[Entry, ...]] = {}
    rest: list[Entry] = []
    clips: dict[str, Any] = {}
    for entry in task.entries:
        name = entry.stem
        clip = naming.parse(name) if entry.suffix == naming.suffix else None
        if clip is None:
            if entry.suffix == naming.suffix and naming.like(name):
                task.damaged(entry, FormatError(entry.path, f"the file name is not {naming.wrong}."))
            else:
                rest.append(entry)
        elif name in kept:
            copies[name] = (*copies.get(name, ()), entry)
        elif why := dataset.outside(clip):
            task.excluded.append(Excluded(name, why))
        else:
            kept[name], clips[name] = entry, clip
    task.pass_over(rest, lambda name: _is_clip(naming, name), naming.called)
    names = sorted(kept)
    found = [clips[name] for name in names]
    rules = {**dataset.other_train.get(task.chain.splits, {}), **dataset.train}
    return Plan(
        names=names,
        labels=[clip.label for clip in found],
        columns={column: [getattr(clip, column) for clip in found] for column in naming.columns},
        train={split: list(map(rule, found)) for split, rule in rules.items()},
        units=_one_each(names, kept, copies),
        excluded=task.excluded,
        notes=task.notes(),
    )


def _naming(task: Task) -> Naming:
    """Return how the source's files are called, of the ways that the dataset knows."""
    dataset, source = task.dataset, task.source
    ours = [item for item in dataset.namings if any(entry.suffix == item.suffix for entry in task.entries)]
    there = [item for item in ours if any(_begins(item, entry) for entry in task.entries)] or ours[:1]
    if len(there) == 1:
        return there[0]
    if there:
        both = " and ".join(item.suffix for item in there)
        raise SourceError(
            f"{source} holds {both} files of {dataset.title}, which may be the same clips. Give one kind."
        )
    first, *others = (item.suffix for item in dataset.namings)
    if others:
        raise SourceError(
            f"{source} holds neither {first} files of {dataset.title} nor {', '.join(others)} files of it."
        )
    wrong = next((entry.inside for entry in task.entries if _is_clip(dataset.namings[0], entry.name)), "")
    named = f" ({wrong} looks like one: rename it)" if wrong else ""
    raise SourceError(
        f"{source} holds no {first} file, of which {dataset.name} consists{named}.{_meant(task.entries)}"
    )


def _meant(entries: Iterable[Entry]) -> str:
    """Return the sentence that says of which datasets files are by their names; empty where of none."""
    from skeltools.datasets.registry import registry

    found = [
        name
        for name, about in registry().items()
        if any(
            entry.suffix == item.suffix and _is_clip(item, entry.name)
            for item in about.namings
            for entry in entries
        )
    ]
    return f" Its files are named as those of {' or '.join(found)} are." if found else ""


def _begins(naming: Naming, entry: Entry) -> bool:
    """Tell whether a file is called as a clip is, or so that it seems meant to be."""
    name = entry.stem
    return entry.suffix == naming.suffix and (naming.parse(name) is not None or naming.like(name))


def _is_clip(naming: Naming, name: str) -> bool:
    """Tell whether a file is called as a clip is, but for its extension, its case or what marks a copy."""
    stem = _COPY.sub("", name.partition(".")[0])
    return any(naming.parse(text) is not None for text in (stem, stem.upper(), stem.lower()))


def duplicate(copy: Entry, kept: Entry, data: bytes, other: bytes | None = None) -> str:
    """Return the reason for leaving out a file of the same name as one that is kept.

    Args:
        copy: The file that is left out.
        kept: The one that is kept.
        data: The content of the one that is kept.
        other: The content of the other where it is known; otherwise it is read where that is needed.
    """
    if other is not None:
        equal = other == data
    elif copy.size != len(data):
        equal = False
    else:
        equal = copy.stamp == zlib.crc32(data) if copy.checked else copy.read() == data
    return f"duplicate: {copy.inside}, kept {kept.inside}, {'equal' if equal else 'other'} content"


class _OneEach(Sequence[Unit]):
    """Units of files with one clip each, made when asked for: kept, they would be half of the plan."""

    def __init__(self, entries: list[Entry], copies: Mapping[str, tuple[Entry, ...]]) -> None:
        self._entries = entries
        self._copies = copies

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> Unit: ...
    @overload
    def __getitem__(self, index: slice) -> list[Unit]: ...
    def __getitem__(self, index: int | slice) -> Unit | list[Unit]:
        if isinstance(index, slice):
            return [self[place] for place in range(len(self))[index]]
        place = range(len(self))[index]
        entry = self._entries[place]
        copies = self._copies.get(entry.stem, ()) if self._copies else ()
        return Unit(entry, (Span(place),), copies)


def _one_each(
    names: Iterable[str], entries: dict[str, Entry], copies: Mapping[str, tuple[Entry, ...]]
) -> Sequence[Unit]:
    return _OneEach([entries[name] for name in names], copies)


def _read_ntu(unit: Unit, data: bytes) -> list[Recording]:
    return [ntu.read(data, unit.entry.path)]


def _read_irds(unit: Unit, data: bytes) -> list[Recording]:
    if unit.entry.suffix == ntu.SUFFIX:
        return _read_ntu(unit, data)
    frames, dropped = irds.read(data, unit.entry.path)
    return [Recording.from_columns(frames, (("lines-dropped", dropped),) if dropped else ())]


def _read_nwucla(unit: Unit, data: bytes) -> list[Recording]:
    return [nwucla.read(data, unit.entry.path, unit.entry.stem)]


_Files = dict[str, list[Entry]]
"""Files by the name they stand for, those of one name in the order of the source."""


def _sort_pku(task: Task) -> tuple[_Files, _Files, _Files]:
    """Return skeleton files and label files by video, and split files by split."""
    skeletons: _Files = {}
    labels: _Files = {}
    split_files: _Files = {}
    rest: list[Entry] = []
    part = pku.PARTS.get(task.dataset.name, pku.VIDEO)
    strange: list[Entry] = []
    wanted = {_split_key(name): split for split, name in task.dataset.split_files.items()}
    for entry in task.entries:
        if entry.suffix != ".txt":
            rest.append(entry)
            continue
        if _split_key(entry.name) in wanted:
            split_files.setdefault(wanted[_split_key(entry.name)], []).append(entry)
            continue
        folder = next((name for name in entry.folders[::-1] if "skeleton" in name or "label" in name), None)
        if folder is None or _DOCUMENT.fullmatch(entry.stem):
            rest.append(entry)
            continue
        kind = labels if "label" in folder else skeletons
        if not pku.VIDEO.fullmatch(entry.stem):
            problem = "the file name is not a video name such as 0002-L or A01N02-R."
            task.damaged(entry, FormatError(entry.path, problem))
        elif not part.fullmatch(entry.stem):
            strange.append(entry)
        else:
            kind.setdefault(entry.stem, []).append(entry)
    task.pass_over(
        rest, lambda name: pku.VIDEO.fullmatch(name) is not None, "skeleton/VIDEO.txt or label/VIDEO.txt"
    )
    _refuse_other_part(task, strange, not skeletons)
    for kind, what in ((skeletons, "skeleton"), (labels, "label")):
        if not kind:
            raise SourceError(
                f"{task.source} holds no {what} file; {task.dataset.name} needs a folder 'skeleton' and a "
                "folder 'label' with one .txt file per video in each."
            )
    return skeletons, labels, split_files


def _refuse_other_part(task: Task, strange: list[Entry], alone: bool) -> None:
    """Refuse files whose names are those of the other part of PKU-MMD; skip them only beside this part's."""
    other = next((name for name in pku.PARTS if name != task.dataset.name), "")
    for entry in strange:
        problem = f"video {entry.stem} is named as one of {other}, not of {task.dataset.name}."
        error = FormatError(entry.path, f"{problem} Convert it as {other}.")
        if alone or not task.skip:
            raise error
        task.excluded.append(Excluded(entry.stem, f"outside: {entry.inside}: {problem}"))


def _plan_pku(task: Task) -> Plan:
    dataset = task.dataset
    skeletons, labels, split_files = _sort_pku(task)
    for video in sorted(labels.keys() - skeletons.keys()):
        problem = f"video {video} has labels but no skeleton file."
        for entry in labels[video]:
            task.damaged(entry, FormatError(entry.path, problem))
    task.excluded += [Excluded(video, "unlabelled") for video in skeletons if video not in labels]
    contents = read_all(entry for files in (labels, split_files) for of in files.values() for entry in of)

    found = []
    for video in sorted(labels.keys() & skeletons.keys()):
        for action in _actions(task, labels[video], contents):
            name = f"{video}_{action.row:03d}"
            if action.end < action.start or action.start < 1:
                reason = f"range: frames {action.start} to {action.end}"
                task.excluded.append(Excluded(name, reason))
            else:
                found.append((name, video, action))
    found.sort(key=lambda item: item[0])
    videos = [video for _, video, _ in found]
    spans: dict[str, list[Span]] = {}
    for index, (_, video, action) in enumerate(found):
        spans.setdefault(video, []).append(Span(index, action.start - 1, action.end))

    notes = task.notes()
    train: dict[str, list[bool]] = {}
    for split, file_name in dataset.split_files.items():
        if split not in split_files:
            told = f"No split file {file_name} in the source: the output has no split '{split}'."
            notes.append(Note(f"no-split.{split}", 1, told))
            continue
        side, more = _side(task, split_files[split], contents, skeletons.keys(), split)
        notes += more
        train[split] = [video in side for video in videos]
    return Plan(
        names=[name for name, _, _ in found],
        labels=[action.label - 1 for _, _, action in found],
        columns={
            "video": videos,
            "view": [video[-1] for video in videos],
            "start": [action.start for _, _, action in found],
            "end": [action.end for _, _, action in found],
        },
        train=train,
        units=[
            Unit(skeletons[video][0], tuple(of), tuple(skeletons[video][1:])) for video, of in spans.items()
        ],
        excluded=task.excluded,
        notes=notes,
        small=[(f"{_kind(entry)}/{entry.name}", content) for entry, content in contents.items()],
    )


def _actions(task: Task, files: list[Entry], contents: Mapping[Entry, bytes]) -> list[pku.Action]:
    """Return the actions of a video's label file, or of the first of its copies that can be read."""
    first: FormatError | None = None
    for place, entry in enumerate(files):
        try:
            actions, faults = pku.sort_labels(contents[entry], entry.path, len(task.dataset.classes))
            if faults and not actions:
                raise faults[0][1]
        except FormatError as error:
            first = first or error
            task.damaged(entry, error)
            continue
        if faults and not task.skip:
            raise faults[0][1]
        for row, fault in faults:
            task.excluded.append(Excluded(f"{entry.stem}_{row:03d}", damage(entry, fault)))
        for other in files[place + 1 :]:
            reason = duplicate(other, entry, contents[entry], contents[other])
            task.excluded.append(Excluded(other.stem, reason))
        return actions
    return []


def _side(
    task: Task, files: list[Entry], contents: Mapping[Entry, bytes], videos: Iterable[str], split: str
) -> tuple[set[str], list[Note]]:
    """Return what `_training_videos` does of a split file, or of the first of its copies that can be read."""
    for place, entry in enumerate(files):
        try:
            found = _training_videos(task, entry, contents[entry], videos, split)
        except FormatError as error:
            if not task.skip or entry is files[-1]:
                raise
            task.damaged(entry, error)
            continue
        for other in files[place + 1 :]:
            reason = duplicate(other, entry, contents[entry], contents[other])
            task.excluded.append(Excluded(other.stem, reason))
        return found
    raise AssertionError("a split without a file")


def _kind(entry: Entry) -> str:
    return "label" if pku.VIDEO.fullmatch(entry.stem) else "split"


def _training_videos(
    task: Task, entry: Entry, content: bytes, videos: Iterable[str], split: str
) -> tuple[set[str], list[Note]]:
    """Return the training videos that a split file names, and notes; all other videos are on the test side."""
    if task.chain.split_names == "comma-space":
        return pku.parse_split_unstripped(content, entry.path), []
    known = set(videos)
    train, test = pku.parse_split(content, entry.path)
    notes = []
    missing = sorted(
        (line, video) for side in (train, test) for video, line in side.items() if video not in known
    )
    if missing:
        line, video = missing[0]
        if not task.skip:
            raise FormatError(
                entry.path,
                f"video {video} is not in the source. Use --on-error skip to convert part of the videos.",
                line,
            )
        verb = "is" if len(missing) == 1 else "are"
        told = f"{counted(len(missing), 'video')} of {entry.inside} {verb} not in the source, {video} first."
        notes.append(Note(f"split-missing.{split}", len(missing), told))
    rest = sorted(known - train.keys() - test.keys())
    if rest:
        told = (
            f"{counted(len(rest), 'video is', 'videos are')} in neither list of {entry.inside}, {rest[0]} "
            f"first: on the "
            f"test side of '{split}'."
        )
        notes.append(Note(f"split-rest.{split}", len(rest), told))
    return set(train), notes


def _split_key(file_name: str) -> str:
    return file_name.lower().replace("_", "-")


def _read_pku(unit: Unit, data: bytes) -> list[Recording]:
    rows = pku.parse_skeleton(data, unit.entry.path)
    return [
        Recording.from_columns(
            rows[span.start : span.stop],
            (("label-beyond", 1),) if span.stop is not None and span.stop > len(rows) > span.start else (),
        )
        for span in unit.spans
    ]


_READERS: dict[str, Callable[[Unit, bytes], list[Recording]]] = {
    "ntu": _read_ntu,
    "pku": _read_pku,
    "irds": _read_irds,
    "nwucla": _read_nwucla,
}
