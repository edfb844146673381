"""Published accuracies, and setting one's own beside them."""

from __future__ import annotations

import csv
import io
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from skeltools.datasets import registry as datasets
from skeltools.errors import SettingError, did_you_mean
from skeltools.files.texts import read_text
from skeltools.results.cells import percent, points
from skeltools.results.joined import Row
from skeltools.results.kinds import KINDS, kind_of
from skeltools.results.record import PRETRAINED, SUPERVISED, Record
from skeltools.results.report import HELD_OUT, by_table, title
from skeltools.results.tables import Grid

KINDS_OF_SOURCE = {
    "page": "page",
    "paper": "paper",
    "log": "log",
    "added": "added",
    "list": "list",
    "rerun": "rerun",
}
"""How tables call the kinds of source, the one first preferred first; a page is the method's own."""

SECOND_HAND = {
    "paper": "of a paper's table, read by a machine; its own only for that paper's method",
    "list": "of a survey list",
    "rerun": "somebody else's run of the method",
}
"""What is said of numbers that their own authors do not vouch for."""

SAME = 0.00055
"""Two sources agree that differ by rounding to a tenth of a point."""


@dataclass(frozen=True)
class Published:
    """One published accuracy.

    Attributes:
        method: Name of the method.
        venue: Where and when it appeared; empty where that is not on file.
        backbone: Its backbone, such as ``stgcn-16``; empty where that is not on file.
        stream: joint, motion, bone, or 2s, 3s, 4s for several; a word in parentheses where these are not an
            ensemble of equal weights.
        protocol: Protocol, with the variant where the number is of one: ``knn k=1``.
        pretrained_on: For a transfer, dataset and split of the pretraining; else empty.
        dataset: Dataset.
        split: Split; empty where the source names none.
        top1: Top-1 accuracy in [0, 1].
        source: Where the number is.
        kind: Kind of source, one of `KINDS_OF_SOURCE`.
        note: What to mind.
    """

    method: str
    venue: str
    backbone: str
    stream: str
    protocol: str
    pretrained_on: str
    dataset: str
    split: str
    top1: float
    source: str
    kind: str
    note: str


@cache
def _text(name: str) -> str:
    return (files("skeltools.results") / name).read_text(encoding="utf-8")


@cache
def load() -> tuple[Published, ...]:
    """Return every published accuracy on file."""
    sources = tomllib.loads(_text("published.toml"))["sources"]
    found = []
    for line in csv.DictReader(io.StringIO(_text("published.csv"))):
        source = sources[line["source"]]
        for key, value in line.items():
            if value and key.split()[0] in datasets.registry():
                dataset, _, split = key.partition(" ")
                found.append(
                    Published(
                        method=line["method"],
                        venue=line["venue"],
                        backbone=line["backbone"],
                        stream=line["stream"],
                        protocol=line["protocol"],
                        pretrained_on=line["from"],
                        dataset=dataset,
                        split=split,
                        top1=round(float(value) / 100, 6),
                        source=source["title"],
                        kind=source["kind"],
                        note=line["note"],
                    )
                )
    return tuple(found)


@cache
def _settings() -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Mapping[str, Any]] = tomllib.loads(_text("published.toml"))["settings"]
    return found


def names_of(record: Record) -> tuple[str, ...]:
    """Return the protocols, as published numbers name them, that a record may be compared with.

    An ensemble counts as the protocol whose scores it joins, a transfer as the part of it.
    """
    if record.subject == SUPERVISED:
        return ("supervised",)
    if record.subject != PRETRAINED:
        return ()
    words = record.variant.split()
    if kind_of(record).joins:
        return (words[0],)
    first = f" {words[0]}" if words else ""
    return (record.protocol, f"{record.protocol}{first}")


def fitting(record: Record, more: Sequence[Published] = ()) -> list[Published]:
    """Return the published accuracies of a record's dataset, split, stream and protocol, the highest first.

    A number whose source names no split fits every split of its dataset. Of sources that agree the one first
    preferred is taken.

    Args:
        record: The record.
        more: Numbers beside those on file.
    """
    names = names_of(record)
    found = [
        item
        for item in (*load(), *more)
        if (item.dataset, item.stream.partition(" ")[0]) == (record.dataset, record.stream)
        and item.protocol in names
        and item.split in ("", record.split)
    ]
    kept: list[Published] = []
    for item in sorted(found, key=lambda item: list(KINDS_OF_SOURCE).index(item.kind)):
        alike = (other for other in kept if _is(other) == _is(item))
        if not any(abs(other.top1 - item.top1) <= SAME for other in alike):
            kept.append(item)
    return sorted(kept, key=lambda item: -item.top1)


def _is(item: Published) -> tuple[str, str, str]:
    """Return what two sources of one number agree in."""
    return item.method, item.stream, item.pretrained_on


def backbone_of(record: Record) -> str:
    """Return a record's backbone as published numbers name it, or an empty text where it is not known."""
    model = {
        key.removeprefix("model."): value
        for key, value in record.pretrain_settings.items()
        if key.startswith("model.")
    }
    sizes = {"stgcn": ("{width}",), "vit": ("{vit_depth}x{dim}",), "bigru": ("{gru_layers}x{gru_hidden}",)}
    name = str(model.get("backbone", ""))
    try:
        return "-".join([name, *(size.format(**model) for size in sizes.get(name, ()))])
    except KeyError:
        return name


def other_clips(record: Record) -> list[str]:
    """Return a phrase if a record is of other numbers of clips than the dataset's split officially has."""
    try:
        official = datasets.get(record.dataset).counts.get(record.split)
    except SettingError:
        return []
    if official is None:
        return []
    if any(name.startswith("semi") for name in names_of(record)):
        official = (record.train_clips, official[1])
    if not record.partial and (record.train_clips, record.test_clips) == official:
        return []
    return [f"clips {record.train_clips:,}/{record.test_clips:,}, official {official[0]:,}/{official[1]:,}"]


def warnings(record: Record, item: Published) -> list[str]:
    """Return, a phrase each, what is not the same behind a record and a published number.

    Only what is on file can be compared; where a method's settings are not, that is said.
    """
    found = other_clips(record)
    if item.pretrained_on:
        found.append(f"published after pretraining on {item.pretrained_on}")
    _, _, how = item.stream.partition(" ")
    found += [f"streams {how}"] if how else []
    found += [item.note] if item.note else []
    known = _settings().get(item.method)
    if known is None or "model.backbone" not in known:
        backbone = backbone_of(record)
        if item.backbone and backbone and item.backbone != backbone:
            found.append(f"backbone {backbone}, published {item.backbone}")
    if known is None:
        return [*found, "its settings are not on file"]
    own: dict[str, Any] = {**record.pretrain_settings, **record.settings, "frames": record.frames}
    for key, theirs in known.items():
        if key not in own:
            if key.partition(".")[0] in KINDS.keys() - {record.protocol}:
                continue
            found.append(f"{key} not known, published {theirs}")
        elif own[key] != theirs:
            found.append(f"{key} {own[key]}, published {theirs}")
    return found


ADDED = ("method", "protocol", "dataset", "split", "stream", "top1")
"""Columns that rows of one's own must have."""

MAY = ("backbone", "venue", "from", "source", "note")
"""Columns that they may have."""

LARGEST = 1 << 20
"""Most bytes of such a file."""


def read_added(path: Path) -> list[Published]:
    """Read rows of one's own, accuracies in per cent, from a CSV file.

    Raises:
        SettingError: A column is missing or unknown, or a value is none; the message names the line.
    """
    try:
        text = read_text(path, LARGEST)
    except FileNotFoundError:
        raise SettingError(
            f"{path} does not exist. Give a CSV file with the columns {','.join(ADDED)}."
        ) from None
    except (OSError, ValueError) as error:
        raise SettingError(f"{path} cannot be read: {error}.") from None
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        columns = [column.strip() for column in reader.fieldnames or ()]
        for column in columns:
            if column not in (*ADDED, *MAY):
                raise SettingError(
                    f"{path}, line 1: unknown column '{column:.40}'. Known: {', '.join((*ADDED, *MAY))}."
                    f"{did_you_mean(column, (*ADDED, *MAY))}"
                )
        for column in ADDED:
            if column not in columns:
                raise SettingError(
                    f"{path}, line 1: column '{column}' is missing. Needed: {', '.join(ADDED)}."
                )
        reader.fieldnames = columns
        return [_added(line, f"{path}, line {reader.line_num}", path.name) for line in reader]
    except csv.Error as error:
        raise SettingError(f"{path}, line {reader.line_num}: {error}.") from None


def _added(line: Mapping[str | None, Any], where: str, name: str) -> Published:
    """Return one row."""
    if None in line or None in line.values():
        raise SettingError(f"{where}: it has another number of cells than line 1 has columns.")
    cells = {str(key): str(value).strip() for key, value in line.items()}
    for column in ADDED:
        if not cells[column] and column != "split":
            raise SettingError(f"{where}: {column} is empty.")
    dataset = cells["dataset"]
    try:
        about = datasets.get(dataset)
    except SettingError as error:
        raise SettingError(f"{where}: {error}") from None
    if cells["split"] and cells["split"] not in about.splits:
        raise SettingError(
            f"{where}: {dataset} has no split '{cells['split']:.40}'. Choose one of: {', '.join(about.splits)}, or "
            "leave it empty."
        )
    try:
        value = float(cells["top1"])
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise SettingError(f"{where}: top1 must be per cent, from 0 to 100, not '{cells['top1']:.40}'.")
    return Published(
        method=cells["method"],
        venue=cells.get("venue", ""),
        backbone=cells.get("backbone", ""),
        stream=cells["stream"],
        protocol=cells["protocol"],
        pretrained_on=cells.get("from", ""),
        dataset=dataset,
        split=cells["split"],
        top1=round(value / 100, 6),
        source=cells.get("source") or name,
        kind="added",
        note=cells.get("note", ""),
    )


def grids(rows: Sequence[Row], more: Sequence[Published] = ()) -> list[Grid]:
    """Return one grid per table of the report: one's own rows beside every published number that fits.

    A row without a published number on file shows a dash. Differences behind the numbers are
    below, a line per method.

    Args:
        rows: The rows; those of untrained subjects have nothing to be compared with.
        more: Numbers beside those on file.
    """
    made = []
    for part in by_table([row for row in rows if row.subject in (PRETRAINED, SUPERVISED)]):
        streams = len({row.first.stream for row in part}) > 1
        columns = [
            ("experiment", False), ("published", False), ("source", False), ("top-1", True),
            ("ours", True), ("diff.", True), ("held-out", True), ("selected", True), ("diff.", True),
        ]  # fmt: skip
        grid = Grid(["Published numbers beside one's own", *title(part)], columns)
        said: dict[str, list[str]] = {}
        shown: list[Published] = []
        for row in part:
            label = f"{row.label}, supervised" if row.subject == SUPERVISED else row.label
            name = f"{row.first.stream} {label}" if streams else label
            best = row.best_top1.mean if row.best_top1 else None
            held = "-" if row.held_top1 is None else percent(row.held_top1.mean)
            own = percent(row.top1.mean), "-" if best is None else percent(best)
            found = fitting(row.first, more)
            shown += found
            if not found:
                grid.add([name, "-", "-", "-", own[0], "-", held, own[1], "-"], new_section=True)
            for place, item in enumerate(found):
                grid.add(
                    [
                        name if place == 0 else "",
                        item.method,
                        KINDS_OF_SOURCE[item.kind],
                        percent(item.top1),
                        own[0],
                        points(row.top1.mean - item.top1),
                        held,
                        own[1],
                        points(None if best is None else best - item.top1),
                    ],
                    new_section=place == 0,
                )
                what = "; ".join(warnings(row.first, item))
                if what:
                    methods = said.setdefault(f"{name}: {what}", [])
                    methods.append(item.method)
        unheld = all(row.held_top1 is None for row in part)
        grid.notes = [
            "ours: last epoch; selected: best epoch by test accuracy, as published numbers are",
            *([] if unheld else [HELD_OUT]),
            *(_warning(methods, what) for what, methods in said.items()),
            *second_hand(shown),
            *(f"source: {source}" for source in dict.fromkeys(item.source for item in shown)),
        ]
        made.append(grid.without({"held-out"} if unheld else set()))
    return made


def second_hand(shown: Sequence[Published]) -> list[str]:
    """Return a note for each kind of source by which numbers are second-hand."""
    kinds = {item.kind for item in shown}
    return [
        f"source {KINDS_OF_SOURCE[kind]}: second-hand, {why}"
        for kind, why in SECOND_HAND.items()
        if kind in kinds
    ]


def _warning(methods: Sequence[str], what: str) -> str:
    name, _, rest = what.partition(": ")
    return f"Warning, {name} against {', '.join(dict.fromkeys(methods))}: {rest}"
