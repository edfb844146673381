"""Files of one's own, whatever format they are in: which clips they hold, and the recording of each."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from skeltools.datasets.descriptor import Descriptor
from skeltools.errors import FormatError
from skeltools.formats import arrays, json_files, points, pyskl, tables
from skeltools.formats.entries import Entry
from skeltools.formats.recording import Recording

SUFFIXES = (".npy", ".npz", ".csv", ".tsv", ".json", ".pkl", ".pickle")
"""Extensions of the files that are read."""


class Clip(NamedTuple):
    """A clip of a source of one's own.

    Attributes:
        stem: What its file, array or annotation is called.
        path: The same with the folders of the source in front.
        entry: Its file, or the first of them.
        member: Its place in the file.
        parts: Further files, of OpenPose's file per frame.
        label: Its class's number where the file says so.
    """

    stem: str
    path: str
    entry: Entry
    member: int = 0
    parts: tuple[Entry, ...] = ()
    label: int | None = None


class Found(NamedTuple):
    """The clips of a source.

    Attributes:
        clips: The clips, in the order of the files.
        others: Files that are not read.
        splits: Names by split and side, where a file states splits.
        damaged: Files that cannot be read, and why.
    """

    clips: list[Clip]
    others: list[Entry]
    splits: dict[str, dict[str, set[str]]]
    damaged: list[tuple[Entry, FormatError]]


def find(entries: Iterable[Entry], passed: Iterable[str] = ()) -> Found:
    """Find the clips of a source; files of several clips are read for it.

    Args:
        entries: Its files.
        passed: Names of files beside the clips, such as the table of names.
    """
    found = Found([], [], {}, [])
    frames: dict[tuple[str, str], list[tuple[int, Entry]]] = {}
    skip = set(passed)
    for entry in entries:
        if entry.name in skip:
            continue
        match = json_files.OPENPOSE.fullmatch(entry.name)
        if match is not None:
            folder = entry.inside.rpartition("/")[0]
            frames.setdefault((folder, match[1]), []).append((int(match[2]), entry))
        elif entry.suffix not in SUFFIXES:
            found.others.append(entry)
        else:
            try:
                found.clips.extend(_clips(entry, found.splits))
            except FormatError as error:
                found.damaged.append((entry, error))
    for (folder, prefix), files in frames.items():
        files.sort(key=lambda item: item[0])
        first = files[0][1]
        stem = prefix or folder.rpartition("/")[2] or first.parent
        try:
            _no_gap(files)
        except FormatError as error:
            found.damaged.append((first, error))
            continue
        whole = f"{folder}/{prefix}".strip("/") if prefix else folder or stem
        found.clips.append(Clip(stem, whole, first, parts=tuple(entry for _, entry in files[1:])))
    return found


def _no_gap(files: Sequence[tuple[int, Entry]]) -> None:
    for (before, _), (number, entry) in itertools.pairwise(files):
        if number == before:
            raise FormatError(entry.path, f"frame {number} of its recording is in two files.")
        if number != before + 1:
            raise FormatError(
                entry.path,
                f"frame {number} follows frame {before}: the files of the frames between are missing.",
            )


def _clips(entry: Entry, splits: dict[str, dict[str, set[str]]]) -> Iterator[Clip]:
    path = entry.inside[: len(entry.inside) - len(entry.suffix)]
    if entry.suffix in (".pkl", ".pickle"):
        annotations, stated = pyskl.parse(entry.read(), entry.path)
        for number, item in enumerate(annotations):
            yield Clip(item.name, f"{path}/{item.name}", entry, number, label=item.label)
        for split, sides in stated.items():
            for side, names in sides.items():
                splits.setdefault(split, {}).setdefault(side, set()).update(names)
        return
    members = list(arrays.members(entry.read(), entry.path)) if entry.suffix == ".npz" else []
    if len(members) > 1:
        for number, name in enumerate(members):
            yield Clip(name, f"{path}/{name}", entry, number)
    else:
        yield Clip(entry.stem, path, entry)


def read(
    data: bytes,
    path: str,
    how: Descriptor,
    members: Sequence[int] = (0,),
    parts: Sequence[tuple[bytes, str]] = (),
) -> Iterator[Recording | FormatError]:
    """Read the clips of a file one after the other; the fault of one of several takes its place.

    Args:
        data: The file's content.
        path: Where it lies, for messages; its extension tells the format.
        how: What the data are.
        members: Places of the clips in the file.
        parts: Contents and places of further files, of a file per frame.

    Raises:
        FormatError: The file is not a file of its format, or its only clip is faulty.
    """
    suffix = "".join(re.findall(r"\.[A-Za-z0-9]+$", path)).lower()
    if suffix in (".pkl", ".pickle"):
        annotations, _ = pyskl.parse(data, path)
        return _each(members, lambda place: pyskl.read(annotations[place], path, how))
    if suffix == ".npz":
        found = list(arrays.members(data, path).items())
        return _each(
            members,
            lambda place: points.of_array(found[place][1], path, how, f"array '{found[place][0]:.60}'"),
        )
    if parts or json_files.OPENPOSE.fullmatch(re.split(r"[/\\]", path)[-1]):
        return iter([json_files.read_frames([(data, path), *parts], path, how)])
    if suffix not in _ONE:
        raise FormatError(path, f"files of this kind are not read. Give one of: {', '.join(SUFFIXES)}.")
    return iter([_ONE[suffix](data, path, how)])


def _each(members: Sequence[int], one: Callable[[int], Recording]) -> Iterator[Recording | FormatError]:
    for place in members:
        try:
            yield one(place)
        except FormatError as error:
            yield error


_ONE: Mapping[str, Callable[[bytes, str, Descriptor], Recording]] = {
    ".npy": arrays.read,
    ".csv": tables.read,
    ".tsv": tables.read,
    ".json": json_files.read,
}
