"""A descriptor: what data of one's own are, in a TOML file; how names give labels, columns and splits.

`read` checks the file and gives a `Descriptor`; its `dataset` is the `Dataset` that everything else takes. Its
`to_json` is stored in the converted file, so that the file opens where the TOML is not.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skeltools.datasets.contract import Dataset
from skeltools.datasets.registry import registry
from skeltools.errors import FormatError, SettingError, counted, did_you_mean
from skeltools.files.texts import parse_toml, read_text
from skeltools.skeletons import Skeleton, load

LARGEST = 1 << 22
"""Most bytes of a descriptor (4 MiB) and of a table of names."""

MOST_BODIES = 100
MOST_CLASSES = 100_000

UNITS = ("m", "cm", "mm", "pixel")
UPS = ("y", "-y", "z", "-z", "x", "-x")

RESERVED = frozenset(
    ("clips", "motion", "name", "file", "label", "digest", "excluded", "raw", "splits", "subsets",
     "frames", "length", "bodies", "gaps")
)  # fmt: skip
"""Names that a column of a converted file cannot have, for others have them."""

_KEYS = (
    "name", "title", "licence", "skeleton", "bodies", "unit", "up", "rate", "classes", "first_label", "crowd",
    "names", "splits",
)  # fmt: skip
_NEEDED = ("name", "skeleton", "unit", "classes")
_NAMES = ("pattern", "table", "of")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", re.ASCII)
_COLUMN = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)
_SPLIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_LEAVE = re.compile(r"leave one ([a-z][a-z0-9_]*) out")
_RULE = re.compile(r"\s*([a-z][a-z0-9_]*)\s+(not\s+in|in)\s+(.+)", re.DOTALL)
_RANGE = re.compile(r"([0-9]{1,9})-([0-9]{1,9})", re.ASCII)

Values = Mapping[str, str | int]
"""What is known of a clip, by column."""


@dataclass(frozen=True)
class Term:
    """``column in values``, or ``column not in values``; ranges of whole numbers are (low, high)."""

    column: str
    inside: bool
    values: tuple[str, ...]
    ranges: tuple[tuple[int, int], ...] = ()

    def holds(self, found: Values) -> bool:
        """Tell whether it is so of a clip."""
        value = found[self.column]
        if isinstance(value, int):
            hit = any(word.isdecimal() and int(word) == value for word in self.values)
            hit = hit or any(low <= value <= high for low, high in self.ranges)
        else:
            hit = value in self.values
        return hit == self.inside


Rule = tuple[Term, ...]
"""Terms that must all hold."""


@dataclass(frozen=True)
class Split:
    """A split as a descriptor has it.

    Attributes:
        name: Its name.
        train: The rule of the training side; None for `leave`.
        test: The rule of the test side; None for all other clips.
        leave: The column of "leave one ... out", which makes a split for each of its values; or empty.
    """

    name: str
    train: Rule | None = None
    test: Rule | None = None
    leave: str = ""


@dataclass(frozen=True)
class Descriptor:
    """What data of one's own are.

    Attributes:
        name: Their name, in files and on the command line.
        skeleton: Of V joints.
        unit: ``m``, ``cm``, ``mm``; or ``pixel`` for 2-D key points.
        classes: Class names by 0-based label.
        title: Their name in words.
        licence: Their terms.
        bodies: M.
        up: The axis that points up in the sources.
        rate: Frames per second; 0 where that is not said.
        codes: What names call the classes, where that is something other than the class's name.
        first_label: The number of the first class, where labels are numbers.
        crowd: Frames with more than M bodies: ``refuse`` them, or ``choose`` as ``chain.bodies`` says.
        pattern: The regular expression whose named groups are what a clip's name says; or empty.
        table: Name of the CSV file that says it; or empty.
        of: Whether a clip's name is that of its ``file``, or its ``path`` in the source.
        splits: The splits.
    """

    name: str
    skeleton: Skeleton
    unit: str
    classes: tuple[str, ...]
    title: str = ""
    licence: str = ""
    bodies: int = 1
    up: str = "y"
    rate: float = 0.0
    codes: tuple[str, ...] = ()
    first_label: int = 0
    crowd: str = "refuse"
    pattern: str = ""
    table: str = ""
    of: str = "file"
    splits: tuple[Split, ...] = ()
    rows: Mapping[str, Mapping[str, str]] = field(default_factory=dict, compare=False, repr=False)
    """What the table says, by name; only while converting."""

    @property
    def dimensions(self) -> int:
        """2 for key points in pixels, else 3."""
        return 2 if self.unit == "pixel" else 3

    def dataset(self) -> Dataset:
        """Return the dataset that this describes."""
        return Dataset(
            name=self.name,
            title=self.title or self.name,
            format="own",
            classes=self.classes,
            splits=tuple(split.name for split in self.splits),
            licence=self.licence or "not stated",
            skeleton_name=self.skeleton.name,
            bodies=self.bodies,
            partial=tuple(split.name for split in self.splits if split.test is not None),
            dimensions=self.dimensions,
            own=self,
        )

    def content(self) -> dict[str, Any]:
        """Return the definition as plain values, the table's rows apart."""
        found: dict[str, Any] = {
            key: getattr(self, key)
            for key in ("name", "title", "licence", "bodies", "unit", "up", "rate", "first_label", "crowd")
        }
        codes = self.codes or self.classes
        found["classes"] = [list(pair) for pair in zip(codes, self.classes, strict=True)]
        names = {"pattern": self.pattern, "table": self.table, "of": self.of}
        return found | {
            "skeleton": self.skeleton.to_dict(),
            "names": {key: value for key, value in names.items() if value},
            "splits": {split.name: _written(split) for split in self.splits},
        }

    def to_json(self) -> str:
        """Return the definition as one line of JSON, as `from_json` reads it."""
        return json.dumps(self.content(), ensure_ascii=False)

    def label(self, text: str | int, where: str) -> int:
        """Return the 0-based label of a class's code, name or number.

        Raises:
            SettingError: There is no such class.
        """
        word = str(text)
        for known in (self.codes, self.classes):
            if word in known:
                return known.index(word)
        if re.fullmatch(r"[0-9]{1,9}", word, re.ASCII) and not self.codes:
            number = int(word) - self.first_label
            if 0 <= number < len(self.classes):
                return number
            last = self.first_label + len(self.classes) - 1
            raise SettingError(
                f"{where}: label {word} is not one of {self.first_label} to {last}, the numbers of the classes. Mend "
                "classes or first_label in the descriptor."
            )
        known = self.codes or self.classes
        shown = ", ".join(known[:8]) + (" ..." if len(known) > 8 else "")
        raise SettingError(
            f"{where}: label '{word:.60}' is not one of the classes ({shown}).{did_you_mean(word, known)}"
        )


def from_json(text: str, where: str) -> Descriptor:
    """Return the descriptor that `Descriptor.to_json` wrote.

    Raises:
        SettingError: The text is none.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise SettingError(f"{where}: the definition of its dataset is not a JSON object.")
    return _parse(content, where, None)


def read(path: str | Path) -> Descriptor:
    """Read a descriptor, with the table of names that it names; paths in it are relative to it.

    Raises:
        SettingError: There is no such file, a key is unknown, missing or has a value that does not fit.
        FormatError: The table is damaged or lacks a column.
    """
    path = Path(path)
    try:
        content = parse_toml(read_text(path, LARGEST))
    except FileNotFoundError:
        raise SettingError(
            f"Descriptor {path} does not exist. 'skeltools describe SOURCE' writes a first one."
        ) from None
    except OSError as error:
        raise SettingError(f"Descriptor {path} cannot be read: {error.strerror or error}.") from None
    except ValueError as error:
        raise SettingError(f"Descriptor {path} is not valid TOML: {str(error).rstrip('.')}.") from None
    return _parse(content, str(path), path.parent)


class _Table:
    """The values of a descriptor, taken out key by key with their types checked."""

    def __init__(self, content: Mapping[str, Any], where: str) -> None:
        self._content, self._where = content, where

    def fault(self, key: str, expected: str) -> SettingError:
        value = self._content.get(key)
        try:
            shown = repr(value)
        except ValueError:
            shown = "a number with thousands of digits"
        return SettingError(f"{self._where}: {key} must be {expected}, not {shown:.60}.")

    def text(self, key: str, default: str = "", choices: Sequence[str] = ()) -> str:
        value = self._content.get(key, default)
        if not isinstance(value, str):
            raise self.fault(key, "a text")
        if choices and value not in choices:
            raise SettingError(
                f"{self._where}: {key} must be one of {', '.join(choices)}, not '{value:.60}'."
                f"{did_you_mean(value, choices)}"
            )
        return value

    def number(self, key: str, default: int, low: int, high: int) -> int:
        value = self._content.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.fault(key, f"a whole number from {low} to {high}")
        return value


def _known(content: Mapping[str, Any], known: Sequence[str], where: str, what: str) -> None:
    for key in content:
        if key not in known:
            raise SettingError(
                f"{where}: unknown key '{key:.60}'{what}. Known are {', '.join(known)}.{did_you_mean(key, known)}"
            )


def _parse(content: Mapping[str, Any], where: str, folder: Path | None) -> Descriptor:
    """Return the descriptor of plain values; `folder` is what its paths are relative to, None for stored ones."""
    _known(content, _KEYS, where, "")
    for key in _NEEDED:
        if key not in content:
            raise SettingError(f"{where}: '{key}' is missing. A descriptor needs {', '.join(_NEEDED)}.")
    take = _Table(content, where)
    name = take.text("name")
    if not _NAME.fullmatch(name):
        raise take.fault(
            "name", "a letter followed by letters, digits, dots, dashes or underscores, 64 at most"
        )
    if name in registry():
        raise SettingError(f"{where}: name '{name}' is that of a packaged dataset. Choose another.")
    rate = content.get("rate", 0)
    if not isinstance(rate, (int, float)) or isinstance(rate, bool) or not 0 <= rate <= 100_000:
        raise take.fault("rate", "frames per second, 0 to 100,000")
    skeleton = _skeleton(content["skeleton"], where, folder)
    unit = take.text("unit", choices=UNITS)
    up = take.text("up", "-y" if unit == "pixel" else "y", UPS)
    if unit == "pixel" and up not in ("y", "-y"):
        raise SettingError(f"{where}: up must be y or -y of 2-D key points, not {up}.")
    codes, classes = _classes(content["classes"], where)
    names = content.get("names", {})
    if not isinstance(names, dict):
        raise take.fault("names", "a table with pattern or table")
    _known(names, _NAMES, where, " in names")
    naming = _Table({f"names.{key}": value for key, value in names.items()}, where)
    pattern = naming.text("names.pattern")
    table = naming.text("names.table")
    if pattern:
        _check_pattern(pattern, where)
    rows = _rows(folder / table, table) if table and folder is not None else {}
    splits = content.get("splits", {})
    if not isinstance(splits, dict):
        raise take.fault("splits", "a table of splits")
    return Descriptor(
        name=name,
        skeleton=skeleton,
        unit=unit,
        classes=classes,
        title=take.text("title"),
        licence=take.text("licence"),
        bodies=take.number("bodies", 1, 1, MOST_BODIES),
        up=up,
        rate=float(rate),
        codes=codes,
        first_label=take.number("first_label", 0, 0, 1_000_000),
        crowd=take.text("crowd", "refuse", ("refuse", "choose")),
        pattern=pattern,
        table=table,
        of=naming.text("names.of", "file", ("file", "path")),
        splits=tuple(_split(key, value, where) for key, value in splits.items()),
        rows=rows,
    )


def _skeleton(value: Any, where: str, folder: Path | None) -> Skeleton:
    if isinstance(value, dict):
        return Skeleton.from_dict(value, where)
    if not isinstance(value, str):
        raise SettingError(
            f"{where}: skeleton must be a packaged name or the path of a .toml file, not {value!r:.60}."
        )
    return load(str((folder or Path()) / value) if value.endswith(".toml") else value)


def _classes(value: Any, where: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return codes (empty where they are the names) and names."""
    expected = "classes must be a list of names, or a table of names by what the clips call them"
    if isinstance(value, dict):
        pairs = [[code, name] for code, name in value.items()]
    elif isinstance(value, list):
        pairs = [item if isinstance(item, list) else [item, item] for item in value]
    else:
        raise SettingError(f"{where}: {expected}.")
    if not all(len(pair) == 2 and all(isinstance(text, str) and text for text in pair) for pair in pairs):
        raise SettingError(f"{where}: {expected}, each a text that is not empty.")
    codes, names = (tuple(pair[side] for pair in pairs) for side in (0, 1))
    if not 1 <= len(names) <= MOST_CLASSES:
        raise SettingError(f"{where}: classes must name 1 to {MOST_CLASSES:,} classes, not {len(names):,}.")
    for texts in (codes, names):
        if len(set(texts)) < len(texts):
            twice = next(text for text in texts if texts.count(text) > 1)
            raise SettingError(f"{where}: classes names '{twice:.60}' twice.")
    return (() if codes == names else codes), names


def _check_pattern(pattern: str, where: str) -> None:
    try:
        found = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise SettingError(f"{where}: names.pattern is not a regular expression: {error}.") from None
    if not found.groupindex:
        raise SettingError(
            f"{where}: names.pattern has no named group. Write for example (?P<subject>[0-9]+)_(?P<label>[a-z]+)."
        )
    for group in found.groupindex:
        _check_column(group, where, "a group of names.pattern", ("label",))


def _check_column(name: str, where: str, what: str, beside: tuple[str, ...]) -> None:
    if name in beside:
        return
    if name in RESERVED or not _COLUMN.fullmatch(name):
        raise SettingError(
            f"{where}: '{name:.60}' cannot be {what}: choose a word of small letters, digits and underscores "
            f"other than {', '.join(sorted(RESERVED - set(beside)))}."
        )


def _rows(path: Path, name: str) -> dict[str, dict[str, str]]:
    """Read the table of names: a header with name (or file), then a row per clip."""
    try:
        lines = list(csv.reader(io.StringIO(read_text(path, LARGEST << 4)), strict=True))
    except FileNotFoundError:
        raise SettingError(f"{path} does not exist; names.table names it.") from None
    except (OSError, ValueError, csv.Error) as error:
        raise FormatError(path, f"this is not a CSV file: {str(error).rstrip('.')}.") from None
    if not lines:
        raise FormatError(path, "this is an empty file; expected a header and a row per clip.")
    header = [cell.strip() for cell in lines[0]]
    key = next((word for word in ("name", "file") if word in header), None)
    if key is None:
        raise FormatError(path, f"no column 'name' or 'file' in the header ({', '.join(header)[:200]}).", 1)
    if len(set(header)) < len(header):
        twice = next(word for word in header if header.count(word) > 1)
        raise FormatError(path, f"column '{twice}' occurs twice in the header.", 1)
    for column in header:
        try:
            _check_column(column, name, "a column of a table of names", ("name", "file", "label"))
        except SettingError as error:
            raise FormatError(path, str(error).partition(": ")[2], 1) from None
    found: dict[str, dict[str, str]] = {}
    for number, cells in enumerate(lines[1:], start=2):
        if not cells:
            continue
        if len(cells) != len(header):
            raise FormatError(path, f"{counted(len(cells), 'cell')}; the header has {len(header)}.", number)
        row = dict(zip(header, (cell.strip() for cell in cells), strict=True))
        clip = row.pop(key)
        if not clip:
            raise FormatError(path, f"the {key} is empty.", number)
        if clip in found:
            raise FormatError(path, f"clip '{clip:.60}' occurs twice.", number)
        empty = next((column for column, cell in row.items() if not cell), None)
        if empty is not None:
            raise FormatError(path, f"the {empty} of clip '{clip:.60}' is empty.", number)
        found[clip] = row
    return found


# --- Splits


def _split(name: str, value: Any, where: str) -> Split:
    here = f"{where}: splits.{name:.60}"
    if not _SPLIT.fullmatch(name):
        raise SettingError(f"{here}: a split's name is letters, digits, dots, dashes and underscores.")
    example = 'such as {train = "subject in 1,2,5"}, {train = [...], test = [...]} or "leave one subject out"'
    if isinstance(value, str):
        match = _LEAVE.fullmatch(value.strip())
        if match is None:
            raise SettingError(f"{here} must be a table, {example}, not '{value:.60}'.")
        return Split(name, leave=match[1])
    if not isinstance(value, dict):
        raise SettingError(f"{here} must be a table, {example}.")
    _known(value, ("train", "test"), here, "")
    if "train" not in value:
        raise SettingError(f"{here} has no train, {example}.")
    return Split(
        name,
        _rule(value["train"], f"{here}.train"),
        _rule(value["test"], f"{here}.test") if "test" in value else None,
    )


def _rule(value: Any, where: str) -> Rule:
    if isinstance(value, list):
        if not value or not all(isinstance(item, str) for item in value):
            raise SettingError(f"{where} must be a rule, or a list of clip names.")
        twice = (
            next((item for item in value if value.count(item) > 1), None)
            if len(set(value)) < len(value)
            else None
        )
        if twice is not None:
            raise SettingError(f"{where} names '{twice:.60}' twice.")
        return (Term("name", True, tuple(value)),)
    if not isinstance(value, str):
        raise SettingError(f"{where} must be a rule such as 'subject in 1,2,5', or a list of clip names.")
    return tuple(_term(part, where) for part in re.split(r"(?<!\s)\s+and\s+", value.strip()))


def _term(text: str, where: str) -> Term:
    match = _RULE.fullmatch(text)
    if match is None:
        raise SettingError(
            f"{where}: '{text:.60}' is not a rule. Write COLUMN in VALUES or COLUMN not in VALUES, such as "
            "'subject in 1,2,5' or 'subject in 1-20 and camera not in 3'."
        )
    words = [word.strip() for word in match[3].split(",")]
    if not all(words):
        raise SettingError(f"{where}: '{text:.60}' has an empty value.")
    values, ranges = [], []
    for word in words:
        found = _RANGE.fullmatch(word)
        if found is None:
            values.append(word)
        elif int(found[1]) > int(found[2]):
            raise SettingError(f"{where}: the range {word} runs backwards.")
        else:
            ranges.append((int(found[1]), int(found[2])))
    return Term(match[1], match[2] == "in", tuple(values), tuple(ranges))


def _written(split: Split) -> Any:
    """Return a split as a descriptor writes it."""
    if split.leave:
        return f"leave one {split.leave} out"
    sides = {"train": split.train, "test": split.test}
    return {side: _rule_text(rule) for side, rule in sides.items() if rule is not None}


def _rule_text(rule: Rule) -> Any:
    if len(rule) == 1 and rule[0].column == "name" and rule[0].inside and not rule[0].ranges:
        return list(rule[0].values)
    return " and ".join(
        f"{term.column} {'in' if term.inside else 'not in'} "
        + ",".join([*term.values, *(f"{low}-{high}" for low, high in term.ranges)])
        for term in rule
    )


def sides(split: Split, clips: Sequence[Values], where: str) -> dict[str, list[bool | None]]:
    """Return, for a split of a descriptor, the side of each clip: True for training, False for test, None for
    neither; by name, for "leave one ... out" makes several splits.

    Args:
        split: The split.
        clips: What is known of each clip, its name under ``name``.
        where: The descriptor, for messages.

    Raises:
        SettingError: A rule names an unknown column, a side is empty, or a clip or subject is on both.
    """
    here = f"{where}: splits.{split.name}"
    columns = list(clips[0]) if clips else ["name"]
    used = [split.leave] if split.leave else [term.column for term in (*split.train, *(split.test or ()))]  # type: ignore[misc]
    for column in used:
        if column not in columns:
            raise SettingError(
                f"{here}: no column '{column}'. The names give {', '.join(columns)}.{did_you_mean(column, columns)}"
            )
    if split.leave:
        values = sorted(
            {clip[split.leave] for clip in clips}, key=lambda value: (isinstance(value, str), value)
        )
        if len(values) < 2:
            raise SettingError(
                f"{here}: there is one {split.leave} only ({values[0]}), so leaving it out leaves no training side."
            )
        return {
            f"{split.name}-{_word(value)}": [clip[split.leave] != value for clip in clips] for value in values
        }
    assert split.train is not None
    for rule in (split.train, split.test or ()):
        _names_are_there(rule, clips, here)
    train = [all(term.holds(clip) for term in split.train) for clip in clips]
    test = (
        [not side for side in train]
        if split.test is None
        else [all(term.holds(clip) for term in split.test) for clip in clips]
    )
    for one, other, clip in zip(train, test, clips, strict=True):
        if one and other:
            what = _both(split, clip)
            raise SettingError(f"{here}: {what} is on both sides. Take it out of one.")
    for side, flags in (("train", train), ("test", test)):
        if not any(flags):
            raise SettingError(f"{here}: no clip is on the {side} side. Mend its rule.")
    return {
        split.name: [
            True if one else False if other else None for one, other in zip(train, test, strict=True)
        ]
    }


def _word(value: str | int) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", str(value))


def _both(split: Split, clip: Values) -> str:
    if split.test is not None and split.train is not None:
        shared = {term.column for term in split.train} & {term.column for term in split.test} - {"name"}
        if shared:
            column = min(shared)
            return f"{column} {clip[column]} (clip {clip['name']})"
    return f"clip {clip['name']}"


def _names_are_there(rule: Rule, clips: Sequence[Values], here: str) -> None:
    known: set[str] | None = None
    for term in rule:
        if term.column == "name":
            known = known or {str(clip["name"]) for clip in clips}
            missing = [name for name in term.values if name not in known]
            if missing:
                raise SettingError(
                    f"{here}: there is no clip '{missing[0]:.60}'.{did_you_mean(missing[0], known)}"
                )
