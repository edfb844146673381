"""A plan: which clips a source holds, how they are labelled and split, and which are left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, overload

from skeltools.datasets import Dataset, NtuName, incomplete_ntu_clips, parse_ntu_name
from skeltools.errors import FormatError, SourceError
from skeltools.formats import irds, ntu, pku
from skeltools.formats.recording import Recording
from skeltools.formats.source import Entry, read_all
from skeltools.preparation import Chain


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
    """One raw file to read and the clips it holds."""

    entry: Entry
    spans: tuple[Span, ...]


@dataclass
class Plan:
    """What a source holds, before its recordings are read.

    Attributes:
        names: Clip names, sorted; a clip's index counts here.
        labels: 0-based labels.
        columns: Further columns by name, whole numbers or texts, one entry a clip.
        train: For each split, whether each clip is on its training side.
        units: The raw files, in the order of their first clips.
        excluded: What is left out already, each with its reason.
        notes: What the user should know.
        small: (file name, content) of the small files read while planning.
    """

    names: list[str]
    labels: list[int]
    columns: dict[str, Sequence[int] | Sequence[str]]
    train: dict[str, list[bool]]
    units: Sequence[Unit]
    excluded: list[Excluded] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    small: list[tuple[str, bytes]] = field(default_factory=list)


@dataclass
class _Task:
    """What a planner works on, and what it has left out so far."""

    dataset: Dataset
    entries: list[Entry]
    source: str
    chain: Chain
    skip: bool
    excluded: list[Excluded] = field(default_factory=list)

    def damaged(self, entry: Entry, error: FormatError) -> None:
        """Raise the error, or record it when damaged files are skipped."""
        if not self.skip:
            raise error
        self.excluded.append(Excluded(entry.stem, damage(entry, error)))


def damage(entry: Entry, error: FormatError) -> str:
    """Return the reason for leaving out what stands in a damaged file."""
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
    return _PLANNERS[dataset.format](_Task(dataset, entries, source, chain, skip))


def read_unit(dataset: Dataset, unit: Unit, data: bytes) -> list[Recording]:
    """Parse a raw file and return the recording of each of its clips.

    Raises:
        FormatError: The file is not what its format says, with the line.
    """
    return _READERS[dataset.format](unit, data)


def _plan_ntu(task: _Task) -> Plan:
    dataset = task.dataset
    files = [entry for entry in task.entries if entry.suffix == ntu.SUFFIX]
    if not files:
        raise SourceError(f"{task.source} holds no {ntu.SUFFIX} file, of which {dataset.name} consists.")
    incomplete = incomplete_ntu_clips() if dataset.format == "ntu" else frozenset()
    kept: dict[str, Entry] = {}
    excluded = task.excluded
    for entry in files:
        name = entry.stem
        clip = parse_ntu_name(name)
        if clip is None:
            problem = "the file name is not a clip name such as S001C001P001R001A001."
            task.damaged(entry, FormatError(entry.path, problem))
        elif clip.setup not in dataset.setups:
            excluded.append(Excluded(name, f"outside: setup {clip.setup} is not in {dataset.name}"))
        elif not 1 <= clip.action <= len(dataset.classes):
            excluded.append(Excluded(name, f"outside: action {clip.action} is not in {dataset.name}"))
        elif name in kept:
            excluded.append(_duplicate(entry, kept[name]))
        elif name in incomplete:
            excluded.append(Excluded(name, "incomplete"))
        else:
            kept[name] = entry
    names = sorted(kept)
    clips = [clip for clip in map(parse_ntu_name, names) if clip is not None]
    train = {split: list(map(rule, clips)) for split, rule in dataset.train.items()}
    if task.chain.splits == "camera" and dataset.format == "ntu":
        train.setdefault("xview", [clip.camera in (2, 3) for clip in clips])
    return Plan(
        names=names,
        labels=[clip.action - 1 for clip in clips],
        columns={
            column: [getattr(clip, column) for clip in clips]
            for column in ("subject", "camera", "setup", "replication")
        },
        train=train,
        units=_one_each(names, kept),
        excluded=excluded,
    )


def _duplicate(entry: Entry, kept: Entry) -> Excluded:
    return Excluded(entry.stem, f"duplicate: {entry.inside}, kept {kept.inside}")


class _OneEach(Sequence[Unit]):
    """Units of files with one clip each, made when asked for: kept, they would be half of the plan."""

    def __init__(self, entries: list[Entry]) -> None:
        self._entries = entries

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
        return Unit(self._entries[place], (Span(place),))


def _one_each(names: Iterable[str], entries: dict[str, Entry]) -> Sequence[Unit]:
    return _OneEach([entries[name] for name in names])


def _read_ntu(unit: Unit, data: bytes) -> list[Recording]:
    return [ntu.read(data, unit.entry.path)]


def _plan_irds(task: _Task) -> Plan:
    raw = [entry for entry in task.entries if entry.suffix == ".txt"]
    copies = [entry for entry in task.entries if entry.suffix == ntu.SUFFIX]
    if copies and not any(irds.parse_name(entry.stem) for entry in raw):
        return _plan_ntu(task)
    if not raw:
        raise SourceError(
            f"{task.source} holds neither .txt files of IntelliRehabDS nor {ntu.SUFFIX} copies of them."
        )
    if copies:
        raise SourceError(
            f"{task.source} holds raw .txt files and {ntu.SUFFIX} copies, which may be the same clips. "
            "Give one kind."
        )
    kept: dict[str, Entry] = {}
    for entry in raw:
        if irds.parse_name(entry.stem) is None:
            problem = "the file name is not SUBJECT_DATE_GESTURE_REPETITION_CORRECT_POSITION."
            task.damaged(entry, FormatError(entry.path, problem))
        elif entry.stem in kept:
            task.excluded.append(_duplicate(entry, kept[entry.stem]))
        else:
            kept[entry.stem] = entry
    names = sorted(kept)
    clips = [clip for clip in map(irds.parse_name, names) if clip is not None]
    people = [NtuName(0, 0, clip.subject, clip.repetition, clip.gesture + 1) for clip in clips]
    return Plan(
        names=names,
        labels=[clip.gesture for clip in clips],
        columns={
            "subject": [clip.subject for clip in clips],
            "date": [clip.date for clip in clips],
            "replication": [clip.repetition for clip in clips],
            "correct": [clip.correct for clip in clips],
            "position": [clip.position for clip in clips],
        },
        train={split: list(map(rule, people)) for split, rule in task.dataset.train.items()},
        units=_one_each(names, kept),
        excluded=task.excluded,
    )


def _read_irds(unit: Unit, data: bytes) -> list[Recording]:
    if unit.entry.suffix == ntu.SUFFIX:
        return _read_ntu(unit, data)
    return [Recording.from_columns(irds.parse(data, unit.entry.path))]


def _sort_pku(task: _Task) -> tuple[dict[str, Entry], dict[str, Entry], dict[str, Entry]]:
    """Return skeleton files and label files by video, and split files by split."""
    skeletons: dict[str, Entry] = {}
    labels: dict[str, Entry] = {}
    split_files: dict[str, Entry] = {}
    wanted = {_split_key(name): split for split, name in task.dataset.split_files.items()}
    for entry in task.entries:
        if entry.suffix != ".txt":
            continue
        if _split_key(entry.name) in wanted:
            split_files.setdefault(wanted[_split_key(entry.name)], entry)
            continue
        folder = next((name for name in entry.folders[::-1] if "skeleton" in name or "label" in name), None)
        if folder is None:
            continue
        kind = labels if "label" in folder else skeletons
        if not pku.VIDEO.fullmatch(entry.stem):
            problem = "the file name is not a video name such as 0002-L or A01N02-R."
            task.damaged(entry, FormatError(entry.path, problem))
        elif entry.stem in kind:
            task.excluded.append(_duplicate(entry, kind[entry.stem]))
        else:
            kind[entry.stem] = entry
    for kind, what in ((skeletons, "skeleton"), (labels, "label")):
        if not kind:
            raise SourceError(
                f"{task.source} holds no {what} file; {task.dataset.name} needs a folder 'skeleton' and a "
                "folder 'label' with one .txt file a video in each."
            )
    return skeletons, labels, split_files


def _plan_pku(task: _Task) -> Plan:
    dataset = task.dataset
    skeletons, labels, split_files = _sort_pku(task)
    for video in sorted(labels.keys() - skeletons.keys()):
        problem = f"video {video} has labels but no skeleton file."
        task.damaged(labels[video], FormatError(labels[video].path, problem))
    task.excluded += [Excluded(video, "unlabelled") for video in skeletons if video not in labels]
    contents = read_all([*labels.values(), *split_files.values()])

    found = []
    for video in sorted(labels.keys() & skeletons.keys()):
        try:
            actions = pku.parse_labels(contents[labels[video]], labels[video].path, len(dataset.classes))
        except FormatError as error:
            task.damaged(labels[video], error)
            continue
        for action in actions:
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

    notes: list[str] = []
    train: dict[str, list[bool]] = {}
    for split, file_name in dataset.split_files.items():
        if split not in split_files:
            notes.append(f"No split file {file_name} in {task.source}: the output has no split '{split}'.")
            continue
        entry = split_files[split]
        side, more = _training_videos(task, entry, contents[entry], skeletons.keys(), split)
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
        units=[Unit(skeletons[video], tuple(of)) for video, of in spans.items()],
        excluded=task.excluded,
        notes=notes,
        small=[(f"{_kind(entry)}/{entry.name}", content) for entry, content in contents.items()],
    )


def _kind(entry: Entry) -> str:
    return "label" if pku.VIDEO.fullmatch(entry.stem) else "split"


def _training_videos(
    task: _Task, entry: Entry, content: bytes, videos: Iterable[str], split: str
) -> tuple[set[str], list[str]]:
    """Return the training videos a split file names, and notes; all other videos are on the test side."""
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
        notes.append(f"{len(missing)} videos of {entry.inside} are not in the source, {video} first.")
    rest = sorted(known - train.keys() - test.keys())
    if rest:
        notes.append(
            f"{len(rest)} videos, {rest[0]} first, stand in neither list of {entry.inside}; they go to the "
            f"test side of '{split}'."
        )
    return set(train), notes


def _split_key(file_name: str) -> str:
    return file_name.lower().replace("_", "-")


def _read_pku(unit: Unit, data: bytes) -> list[Recording]:
    rows = pku.parse_skeleton(data, unit.entry.path)
    return [Recording.from_columns(rows[span.start : span.stop]) for span in unit.spans]


_PLANNERS: dict[str, Callable[[_Task], Plan]] = {"ntu": _plan_ntu, "pku": _plan_pku, "irds": _plan_irds}
_READERS: dict[str, Callable[[Unit, bytes], list[Recording]]] = {
    "ntu": _read_ntu,
    "pku": _read_pku,
    "irds": _read_irds,
}
