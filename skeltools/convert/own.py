"""The plan of data of one's own: which clips there are, and what their names say of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from skeltools.convert.plan import Plan, Span, Task, Unit
from skeltools.datasets.descriptor import Descriptor, sides
from skeltools.errors import FormatError, SettingError, SourceError, counted
from skeltools.files.signals import within
from skeltools.files.writing import as_utf8
from skeltools.formats import own as files
from skeltools.formats.own import Clip
from skeltools.store.notes import Note, listed

_LONGEST = 255

_PATIENCE = 5.0
"""Seconds in which names.pattern must match a name or not; as it is written, it may need years."""
"""Most characters of a clip's name."""


def plan(task: Task, how: Descriptor) -> Plan:
    """List the clips of a source of one's own.

    Raises:
        SourceError: There is no file that is read.
        FormatError: A file that must be read for it is damaged, or a clip's name or label is none.
        SettingError: The descriptor's names or splits fit none of the clips.
    """
    clips = _clips(task, how)
    rows = _Names(task, how).read(clips)
    names = sorted(rows)
    values = [rows[name] for name in names]
    labels = [int(row.pop("label")) for row in values]
    notes = [*task.notes(), *_unused(how, clips)]
    told = [
        {"name": name, **row, "label": how.classes[label]}
        for name, row, label in zip(names, values, labels, strict=True)
    ]
    train = _splits(how, told)
    if not how.splits:
        train, more = _stated(task.stated, names, task.source)
        notes += more
    notes += [
        note
        for split, flags in train.items()
        if (count := sum(flag is None for flag in flags))
        for note in [
            Note(f"neither.{split}", count, f"{counted(count, 'clip')} on neither side of split '{split}'.")
        ]
    ]
    place = {name: number for number, name in enumerate(names)}
    spans: dict[int, list[Span]] = {}
    units: dict[int, Clip] = {}
    number: dict[str, int] = {}
    for name in names:
        clip = clips[name]
        unit = number.setdefault(clip.entry.path, len(number))
        units.setdefault(unit, clip)
        spans.setdefault(unit, []).append(Span(place[name], clip.member))
    columns: dict[str, Sequence[int] | Sequence[str]] = {
        column: [row[column] for row in values]  # type: ignore[misc]  # of one type: see `_typed`
        for column in (values[0] if values else ())
    }
    return Plan(
        names=names,
        labels=labels,
        columns=columns,
        train=train,
        units=[Unit(clip.entry, tuple(spans[unit]), parts=clip.parts) for unit, clip in units.items()],
        excluded=task.excluded,
        notes=notes,
    )


def _clips(task: Task, how: Descriptor) -> dict[str, Clip]:
    """Return the clips of the source by name."""
    found = files.find(task.entries, [how.table.rpartition("/")[2]] if how.table else [])
    for entry, error in found.damaged:
        task.damaged(entry, error)
    task.pass_over(found.others, lambda _: False, " or ".join(files.SUFFIXES))
    task.stated = found.splits
    if not found.clips:
        if found.damaged:
            raise found.damaged[0][1]
        raise SourceError(
            f"{task.source} holds no file of a format in which your own data are read: {', '.join(files.SUFFIXES)}."
        )
    clips: dict[str, Clip] = {}
    for clip in found.clips:
        name = clip.stem if how.of == "file" else clip.path
        if not 1 <= len(name) <= _LONGEST:
            raise FormatError(
                clip.entry.path, f"a clip's name of {len(name)} characters; expected 1 to {_LONGEST}."
            )
        if as_utf8(name) != name:
            raise FormatError(clip.entry.path, f"a clip's name, '{name}', is not UTF-8. Rename the file.")
        if any(part.streamed for part in (clip.entry, *clip.parts)) and clip.parts:
            raise FormatError(clip.entry.path, "a file per frame is not read from a .7z archive. Unpack it.")
        if name in clips:
            other = clips[name].entry.inside
            hint = ' names.of = "path" puts folders into the names.' if how.of == "file" else ""
            raise FormatError(clip.entry.path, f"a clip is called '{name}', as one of {other} is.{hint}")
        clips[name] = clip
    return clips


class _Unknown(FormatError):
    """Pattern and table know nothing of a clip's name."""


class _Names:
    """What the names of clips say, by the pattern, the table and the files themselves."""

    def __init__(self, task: Task, how: Descriptor) -> None:
        self._task, self._how = task, how
        self._pattern = re.compile(how.pattern) if how.pattern else None

    def read(self, clips: Mapping[str, Clip]) -> dict[str, dict[str, str | int]]:
        """Return what is known of each clip, its 0-based label under ``label``."""
        found: dict[str, dict[str, str | int]] = {}
        faults: list[tuple[Clip, FormatError]] = []
        matched = False
        for name, clip in clips.items():
            try:
                row = self._row(name, clip)
                matched = True
                row["label"] = self._label(name, clip, row)
                found[name] = row
            except _Unknown as error:
                faults.append((clip, error))
            except FormatError as error:
                matched = True
                faults.append((clip, error))
        if not matched:
            what = "names.pattern matches" if self._pattern else f"{self._how.table} has a row for"
            raise SettingError(
                f"{self._how.name}: {what} none of the {counted(len(clips), 'clip')}; the first is called "
                f"'{min(clips)}'."
            )
        for clip, fault in faults:
            self._task.damaged(clip.entry, fault)
        if not found:
            raise faults[0][1]
        return _typed(found)

    def _row(self, name: str, clip: Clip) -> dict[str, str | int]:
        row: dict[str, str | int] = {}
        if self._pattern is not None:
            try:
                with within(_PATIENCE):
                    match = self._pattern.fullmatch(name)
            except TimeoutError:
                raise SettingError(
                    f"{self._how.name}: names.pattern takes more than {_PATIENCE:g} s for the clip's name '{name}': it "
                    "can be matched in too many ways. Leave out repetitions of what is repeated, such as (a+)+."
                ) from None
            if match is None:
                raise _Unknown(clip.entry.path, f"the clip's name '{name}' is not as names.pattern says.")
            empty = next((group for group, text in match.groupdict().items() if not text), None)
            if empty is not None:
                raise FormatError(
                    clip.entry.path, f"names.pattern finds no {empty} in the clip's name '{name}'."
                )
            row |= match.groupdict()
        if self._how.table:
            keys = [name, clip.path, clip.path + clip.entry.suffix, name + clip.entry.suffix]
            key = next((key for key in keys if key in self._how.rows), None)
            if key is None:
                raise _Unknown(clip.entry.path, f"{self._how.table} has no row for clip '{name}'.")
            row |= self._how.rows[key]
        return row

    def _label(self, name: str, clip: Clip, row: Mapping[str, str | int]) -> int:
        if "label" in row:
            try:
                return self._how.label(row["label"], f"clip '{name}'")
            except SettingError as error:
                raise FormatError(clip.entry.path, str(error)) from None
        if clip.label is None:
            raise FormatError(
                clip.entry.path,
                f"nothing gives clip '{name}' a label: neither a group (?P<label>...) of names.pattern nor a column "
                "'label' of names.table.",
            )
        if clip.label >= len(self._how.classes):
            raise FormatError(
                clip.entry.path,
                f"clip '{name}' has label {clip.label}; the descriptor has classes 0 to "
                f"{len(self._how.classes) - 1}.",
            )
        return clip.label


def _typed(found: dict[str, dict[str, str | int]]) -> dict[str, dict[str, str | int]]:
    """Make numbers of the columns that hold whole numbers throughout."""
    for column in next(iter(found.values())):
        if all(re.fullmatch("[0-9]{1,18}", str(row[column]), re.ASCII) for row in found.values()):
            for row in found.values():
                row[column] = int(row[column])
    return found


def _unused(how: Descriptor, clips: Mapping[str, Clip]) -> list[Note]:
    used = {
        key
        for name, clip in clips.items()
        for key in (name, clip.path, clip.path + clip.entry.suffix, name + clip.entry.suffix)
    }
    return listed("no-clip", sorted(how.rows.keys() - used), "clip", f"of {how.table} not in the source")


def _splits(how: Descriptor, clips: Sequence[Mapping[str, str | int]]) -> dict[str, list[bool | None]]:
    train: dict[str, list[bool | None]] = {}
    for split in how.splits:
        for name, flags in sides(split, clips, how.name).items():
            if name in train:
                raise SettingError(f"{how.name}: two splits are called '{name}'. Rename splits.{split.name}.")
            train[name] = flags
    return train


def _stated(
    stated: Mapping[str, Mapping[str, set[str]]], names: Sequence[str], source: str
) -> tuple[dict[str, list[bool | None]], list[Note]]:
    """Return the splits that the files themselves state, and notes."""
    if not stated:
        raise SettingError(
            "The descriptor has no [splits], and the files state none. Add for example xsub = {train = "
            '"subject in 1,2"}.'
        )
    train: dict[str, list[bool | None]] = {}
    notes: list[Note] = []
    for split, members in stated.items():
        flags = [
            True if name in members["train"] else False if name in members["test"] else None for name in names
        ]
        for side, flag in (("train", True), ("test", False)):
            if flag not in flags:
                raise SourceError(f"{source}: split '{split}' has no clip on its {side} side.")
        missing = sorted((members["train"] | members["test"]) - set(names))
        notes += listed(f"split-missing.{split}", missing, "clip", f"of split {split} not in the source")
        train[split] = flags
    return train, notes
