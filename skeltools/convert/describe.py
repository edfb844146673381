"""A first descriptor of files of one's own: what can be inferred from them, and what cannot, as comments."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skeltools.datasets.descriptor import MOST_BODIES, Descriptor
from skeltools.errors import FormatError, SourceError, counted
from skeltools.formats import own as files
from skeltools.formats.own import Clip
from skeltools.formats.recording import Recording
from skeltools.formats.sources import list_entries
from skeltools.skeletons import load, packaged, plausible

_LOOKED_AT = 8
"""Clips that are read."""

_MOST_CLASSES = 500
"""Classes that are written out."""

_TOKENS = re.compile(r"[A-Za-z]+|[0-9]+|[^A-Za-z0-9]+")

_WORDS = {
    "label": ("a", "action", "act", "class", "label", "gesture", "activity", "exercise"),
    "subject": ("p", "s", "subject", "subj", "sub", "person", "performer", "user", "participant"),
    "camera": ("c", "cam", "camera", "v", "view", "kinect"),
    "replication": ("r", "rep", "repetition", "take", "trial", "t", "e", "episode"),
}
"""The word in front of a number in a clip's name, by what the number then is."""


@dataclass(frozen=True)
class _Read:
    """How a clip can be read: the descriptor, and its recording with y taken as it stands in the file."""

    how: Descriptor
    recording: Recording


def describe(source: Sequence[Path]) -> str:
    """Return a descriptor in TOML for the files of a source, with comments on what was inferred and what was not.

    Args:
        source: Folders, archives and files, as `skeltools.formats.sources.list_entries` takes them.

    Raises:
        SourceError: There is no file that is read.
        FormatError: No clip can be looked at.
    """
    for one in source:
        if (one / "run.json").is_file():
            raise SourceError(
                f"{one} is a run folder, which holds no recordings. Give the folder that holds them."
            )
    found = files.find(list_entries(source))
    if not found.clips:
        if found.damaged:
            raise found.damaged[0][1]
        raise SourceError(
            f"{', '.join(map(str, source))} holds no file of a format in which your own data are read: "
            f"{', '.join(files.SUFFIXES)}."
        )
    name = re.sub(r"[^A-Za-z0-9_.-]", "-", source[0].stem).strip("-._") or "mine"
    if not name[0].isalpha():
        name = f"data-{name}"
    picked = [found.clips[place] for place in _spread(len(found.clips))]
    lines = [
        f"# A first descriptor of {counted(len(found.clips), 'clip')}, of which {len(picked)} were looked at. Check",
        "# each line; 'not inferred' marks what the files do not tell. Reference: docs/your-data.md",
        f"name = {_toml(name[:64])}",
        'licence = ""  # not inferred: the terms of the recordings',
        *_form(picked),
        "# rate = 30  # not inferred: frames per second",
        *_naming(found.clips, bool(found.splits)),
    ]
    lines += [f"# {entry.inside} cannot be read: {error.problem}" for entry, error in found.damaged[:5]]
    if found.others:
        lines.append(
            f"# {counted(len(found.others), 'other file')} passed over, {found.others[0].inside} first"
        )
    return "\n".join(lines) + "\n"


def _spread(count: int) -> list[int]:
    return sorted({int(place) for place in np.linspace(0, count - 1, min(count, _LOOKED_AT)).round()})


def _toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


# --- Skeleton, unit, axes, bodies


def _form(clips: Sequence[Clip]) -> list[str]:
    """Return the lines on what the coordinates are."""
    ways: list[_Read] = []
    fault: FormatError | None = None
    for clip in clips:
        ways, error = _ways(clip)
        fault = fault or error
        if ways and any(len(way.recording.coords) for way in ways):
            break
    if not ways:
        told = str(fault) if fault else "no clip has a body"
        return [
            'skeleton = ""  # not inferred: no packaged skeleton fits. The path of a .toml file with your own does;',
            f"#   packaged are {', '.join(packaged())}. The first clip: {told}",
            'unit = "m"  # not inferred: m, cm, mm, or pixel for 2-D key points',
        ]
    best = min(ways, key=lambda way: _strain(way))
    how = best.how
    others = sorted({way.how.skeleton.name for way in ways} - {how.skeleton.name})
    lines = [
        f"skeleton = {_toml(how.skeleton.name)}  # inferred from {how.skeleton.num_joints} joints"
        + (f" and the shortest bones; {', '.join(others)} would fit as well" if others else ""),
        f"unit = {_toml(how.unit)}  # inferred from the "
        + ("2 coordinates" if how.dimensions == 2 else "people's size"),
    ]
    found = [best.recording, *(recording for clip in clips if (recording := _again(clip, how)) is not None)]
    lines.append(_up(found, how))
    most = max(int(np.max(recording.slot, initial=0)) + 1 for recording in found)
    lines.append(f"bodies = {min(most, MOST_BODIES)}  # inferred: the most of a frame in the clips looked at")
    return lines


def _ways(clip: Clip) -> tuple[list[_Read], FormatError | None]:
    """Return the packaged skeletons and units by which a clip can be read; and the fault of one that cannot."""
    data = clip.entry.read()
    parts = [(part.read(), part.path) for part in clip.parts]
    found: list[_Read] = []
    fault: FormatError | None = None
    for name in packaged():
        read: dict[str, _Read] = {}
        for unit in ("pixel", "m", "cm", "mm"):
            how = Descriptor(name, load(name), unit, ("?",), bodies=MOST_BODIES, crowd="choose", up="y")
            try:
                recording = next(iter(files.read(data, clip.entry.path, how, [clip.member], parts)))
            except FormatError as error:
                recording = error
            if isinstance(recording, FormatError):
                fault = recording if unit == "m" else fault
            else:
                read[unit] = _Read(how, recording)
        if "pixel" in read and (len(read) == 1 or _are_scores(read["pixel"].recording)):
            found.append(read["pixel"])
        elif read:
            read.pop("pixel", None)
            found.append(min(read.values(), key=_oddness))
    return found, fault


def _are_scores(recording: Recording) -> bool:
    """Tell whether third numbers are scores of key points: from 0 to 1, beside coordinates of many pixels."""
    coords = recording.coords
    spread = (
        float((coords[..., :2].max(axis=1) - coords[..., :2].min(axis=1)).max(initial=0))
        if len(coords)
        else 0.0
    )
    return bool(spread > _MANY_PIXELS and (coords[..., 2] >= 0).all() and (coords[..., 2] <= 1).all())


_MANY_PIXELS = 20.0


def _oddness(way: _Read) -> float:
    """Return how far people are from the size that people have."""
    size = float(np.median(plausible.body_sizes(way.recording.coords))) if len(way.recording.coords) else 0.0
    return abs(math.log(max(size, 1e-9) / _USUAL))


_USUAL = 1.4
"""Metres that a person measures along its longest axis, more or less."""


def _again(clip: Clip, how: Descriptor) -> Recording | None:
    parts = [(part.read(), part.path) for part in clip.parts]
    try:
        found = next(iter(files.read(clip.entry.read(), clip.entry.path, how, [clip.member], parts)))
    except FormatError:
        return None
    return None if isinstance(found, FormatError) else found


def _strain(way: _Read) -> float:
    """Return how long the bones are together, in sizes of the body: a wrong order of joints makes them longer."""
    coords = way.recording.coords[:, :, : way.how.dimensions].astype(np.float64)
    if not len(coords):
        return 0.0
    bones = coords - coords[:, list(way.how.skeleton.parents)]
    size = (coords.max(axis=1) - coords.min(axis=1)).max(axis=1).mean()
    return float(np.sqrt((bones**2).sum(axis=2)).sum(axis=1).mean() / max(size, 1e-9))


def _up(found: Sequence[Recording], how: Descriptor) -> str:
    """Return the line on the axis that is up: where the shoulders are from the hips."""
    skeleton = how.skeleton
    coords = np.concatenate([recording.coords for recording in found]).astype(np.float64)
    if how.dimensions == 2:
        coords[..., 2] = 0
    total: NDArray[np.float64] = (
        coords[:, [skeleton.left_shoulder, skeleton.right_shoulder]].mean(axis=1)
        - coords[:, [skeleton.left_hip, skeleton.right_hip]].mean(axis=1)
    ).mean(axis=0)
    axis = int(np.abs(total).argmax())
    sure = abs(total[axis]) > 0.8 * float(np.sqrt((total**2).sum())) > 0
    if not sure or (how.dimensions == 2 and axis != 1):
        usual = "-y" if how.dimensions == 2 else "y"
        return f'up = "{usual}"  # not inferred: the torsos point to no one side'
    name = ("-" if total[axis] < 0 else "") + "xyz"[axis]
    return f'up = "{name}"  # inferred: the shoulders lie there, seen from the hips'


# --- Names


@dataclass(frozen=True)
class _Pattern:
    """A regular expression that all names match, and what its groups find in them."""

    text: str
    groups: dict[str, list[str]]


def _naming(clips: Sequence[Clip], stated: bool) -> list[str]:
    """Return the lines on classes, names and splits."""
    labels = [clip.label for clip in clips if clip.label is not None]
    stems = [clip.stem for clip in clips]
    twice = len(set(stems)) < len(stems)
    pattern = _pattern(stems)
    of = "file"
    if labels and pattern is not None and "label" in pattern.groups:  # the file's own labels count
        groups = {"action" if name == "label" else name: words for name, words in pattern.groups.items()}
        pattern = _Pattern(pattern.text.replace("(?P<label>", "(?P<action>"), groups)
    if ((pattern is None or "label" not in pattern.groups) and not labels) or twice:
        by_folder = _by_folder(clips, pattern)
        if by_folder is not None:
            pattern, of = by_folder, "path"
    lines = _classes(labels, pattern)
    lines.append("")
    lines.append("[names]")
    if of == "path":
        lines.append('of = "path"')
    if pattern is None:
        shown = ", ".join(_toml(stem) for stem in stems[:3])
        lines += [
            f"# not inferred: the clips are called {shown}",
            "# pattern = '(?P<subject>[0-9]+)_(?P<label>[a-z]+)'  # a regular expression that the whole name matches",
            '# table = "clips.csv"  # or a table with columns name, label, subject ...',
        ]
    else:
        lines.append(
            f"pattern = '{pattern.text}'  # inferred from the names, the meaning of its groups from words there"
        )
    lines += ["", "[splits]", *_splits(pattern, stated)]
    return lines


def _classes(labels: Sequence[int], pattern: _Pattern | None) -> list[str]:
    if labels:
        names = ", ".join(_toml(f"class {label}") for label in range(min(max(labels) + 1, _MOST_CLASSES)))
        return [f"classes = [{names}]  # inferred: the numbers are in the file; not inferred: their names"]
    words = sorted(set(pattern.groups.get("label", []))) if pattern is not None else []
    if not words:
        return ['classes = ["?"]  # not inferred: the names of the classes']
    more = f"; {len(words) - _MOST_CLASSES} more" if len(words) > _MOST_CLASSES else ""
    if all(word.isdecimal() for word in words):
        numbers = sorted({int(word) for word in words})
        first, count = numbers[0], min(numbers[-1] - numbers[0] + 1, _MOST_CLASSES)
        names = ", ".join(_toml(f"class {first + place}") for place in range(count))
        return [
            f"first_label = {first}  # inferred: the smallest number in the names",
            f"classes = [{names}]  # not inferred: what they are called{more}",
        ]
    return [f"classes = [{', '.join(map(_toml, words[:_MOST_CLASSES]))}]  # inferred from the names{more}"]


def _pattern(names: Sequence[str]) -> _Pattern | None:
    """Return a pattern of names that are all built alike: words, numbers and marks in one order."""
    split = [_TOKENS.findall(name) for name in names]
    kinds = {tuple(_kind(token) for token in tokens) for tokens in split}
    if len(kinds) != 1 or not split[0]:
        return None
    columns = list(zip(*split, strict=True))
    varied = [len(set(column)) > 1 for column in columns]
    groups: dict[str, list[str]] = {}
    text = ""
    before = [""] + [
        column[0].lower() if not many else "" for column, many in zip(columns, varied, strict=True)
    ]
    for place, (column, many) in enumerate(zip(columns, varied, strict=True)):
        number = column[0].isdecimal()
        if not many and not (number and before[place].isalpha()):
            text += re.escape(column[0])
            continue
        if _kind(column[0]) == "mark":
            return None
        text += f"(?P<{_meaning(before, place, number, groups)}>{'[0-9]+' if number else '[A-Za-z]+'})"
        groups[list(re.compile(text).groupindex)[-1]] = list(column)
    if "setup" in groups and "subject" not in groups:
        text = text.replace("(?P<setup>", "(?P<subject>")
        groups["subject"] = groups.pop("setup")
    return _Pattern(text, groups) if groups and "'" not in text else None


def _kind(token: str) -> str:
    return "word" if token.isalpha() else "number" if token.isdecimal() else "mark"


def _meaning(before: Sequence[str], place: int, number: bool, groups: dict[str, list[str]]) -> str:
    """Return what a varying part of the names is called: by the word in front of a number; a word is the label."""
    if not number and "label" not in groups:
        return "label"
    word = before[place] if number else ""
    if not word.isalpha() and place:
        word = before[place - 1] if re.fullmatch(r"[_\- ]*", word) else ""
    if word == "s" and "p" in before:
        return "setup"
    for meaning, words in _WORDS.items():
        if word in words and meaning not in groups:
            return meaning
    return next(f"part{count}" for count in range(1, 1000) if f"part{count}" not in groups)


def _by_folder(clips: Sequence[Clip], pattern: _Pattern | None) -> _Pattern | None:
    """Return the pattern of paths whose innermost folder is the label, or the subject where the name has one."""
    folders = [clip.path.rpartition("/")[0].rpartition("/")[2] for clip in clips]
    if not all(folders) or len(set(folders)) < 2:
        return None
    meaning = "subject" if pattern is not None and "label" in pattern.groups else "label"
    if pattern is not None and meaning in pattern.groups:
        return None
    inner = pattern.text if pattern is not None else "[^/]+"
    groups = dict(pattern.groups) if pattern is not None else {}
    return _Pattern(f"(?:.*/)?(?P<{meaning}>[^/]+)/{inner}", {meaning: folders, **groups})


def _splits(pattern: _Pattern | None, stated: bool) -> list[str]:
    if stated:
        return ["# inferred: the file states its splits, which are taken where none are here"]
    column = next(
        (
            name
            for name in ("subject", "camera", "setup")
            if pattern and len(set(pattern.groups.get(name, []))) > 1
        ),
        None,
    )
    if column is None or pattern is None:
        return [
            "# not inferred: nothing in the names tells who is who. One of",
            '# xsub = {train = "subject in 1,2,5"}',
            '# mine = {train = ["a clip", "another"], test = ["a third"]}',
            '# loso = "leave one subject out"',
        ]
    values = sorted(set(pattern.groups[column]), key=lambda word: (len(word), word))
    half = ",".join(values[: max(1, len(values) * 2 // 3)])
    name = "xsub" if column == "subject" else f"x{column}"
    return [
        f'{name} = {{train = "{column} in {half}"}}  # not inferred: the first two thirds of them; choose yours'
    ]
