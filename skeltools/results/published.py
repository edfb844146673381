"""Published accuracies, and setting one's own beside them."""

from __future__ import annotations

import csv
import io
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from skeltools.datasets import registry as datasets
from skeltools.errors import SettingError
from skeltools.results.kinds import KINDS, kind_of
from skeltools.results.record import PRETRAINED, Record
from skeltools.results.report import Row, by_table, title
from skeltools.results.tables import Grid


@dataclass(frozen=True)
class Published:
    """One published accuracy.

    Attributes:
        method: Name of the method.
        venue: Where and when it appeared.
        stream: joint, motion, bone, or 3s for the ensemble.
        protocol: Protocol.
        dataset: Dataset.
        split: Split; empty where the source names none.
        top1: Top-1 accuracy in [0, 1].
        source: Where the number stands.
        note: What to mind.
    """

    method: str
    venue: str
    stream: str
    protocol: str
    dataset: str
    split: str
    top1: float
    source: str
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
        where = {key: value for key, value in line.items() if key.split()[0] in datasets.registry()}
        for key, value in where.items():
            if value:
                dataset, _, split = key.partition(" ")
                column, _, note = line["note"].partition(": ")
                found.append(
                    Published(
                        method=line["method"],
                        venue=line["venue"],
                        stream=line["stream"],
                        protocol=line["protocol"],
                        dataset=dataset,
                        split=split,
                        top1=round(float(value) / 100, 6),
                        source=sources[line["source"]],
                        note=note if column == key else "",
                    )
                )
    return tuple(found)


@cache
def _settings() -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Mapping[str, Any]] = tomllib.loads(_text("published.toml"))["settings"]
    return found


def fitting(record: Record) -> list[Published]:
    """Return the published accuracies of a record's dataset, split, stream and protocol, the highest first.

    A number whose source names no split fits every split of its dataset. An ensemble counts as the protocol
    whose scores it joins.
    """
    protocol = record.variant.split()[0] if kind_of(record).joins else record.protocol
    found = [
        item
        for item in load()
        if (item.dataset, item.stream, item.protocol) == (record.dataset, record.stream, protocol)
        and item.split in ("", record.split)
    ]
    return sorted(found, key=lambda item: -item.top1)


def warnings(record: Record, item: Published) -> list[str]:
    """Return, a phrase each, what is not the same behind a record and a published number.

    Only what is on file can be compared; where a method's settings are not, that is said.
    """
    found = []
    try:
        official = datasets.get(record.dataset).counts.get(record.split)
    except SettingError:
        official = None
    if official is not None and (record.partial or (record.train_clips, record.test_clips) != official):
        found.append(
            f"clips {record.train_clips:,}/{record.test_clips:,}, official {official[0]:,}/{official[1]:,}"
        )
    if item.note:
        found.append(item.note)
    known = _settings().get(item.method)
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


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def grids(rows: Sequence[Row]) -> list[Grid]:
    """Return one grid a table of the report: the pretrained rows beside every published number that fits.

    A row without a published number on file shows a dash. What is not the same behind the numbers stands
    below, a line a method.
    """
    made = []
    for part in by_table([row for row in rows if row.subject == PRETRAINED]):
        streams = len({row.first.stream for row in part}) > 1
        columns = [
            ("experiment", False), ("published", False), ("top-1", True), ("ours", True), ("diff.", True),
            ("selected", True), ("diff.", True),
        ]  # fmt: skip
        grid = Grid(["Published numbers beside one's own", *title(part)], columns)
        said: dict[str, list[str]] = {}
        for row in part:
            name = f"{row.first.stream} {row.label}" if streams else row.label
            best = row.best_top1.mean if row.best_top1 else None
            own = _percent(row.top1.mean), "-" if best is None else _percent(best)
            found = fitting(row.first)
            if not found:
                grid.add([name, "-", "-", own[0], "-", own[1], "-"], new_section=True)
            for place, item in enumerate(found):
                grid.add(
                    [
                        name if place == 0 else "",
                        item.method,
                        _percent(item.top1),
                        own[0],
                        _points(row.top1.mean - item.top1),
                        own[1],
                        "-" if best is None else _points(best - item.top1),
                    ],
                    new_section=place == 0,
                )
                what = "; ".join(warnings(row.first, item))
                if what:
                    methods = said.setdefault(f"{name}: {what}", [])
                    methods.append(item.method)
        grid.notes = [
            "ours: last epoch; selected: best epoch by test accuracy, as published numbers are",
            *(_warning(methods, what) for what, methods in said.items()),
            *(
                f"source: {source}"
                for source in dict.fromkeys(i.source for r in part for i in fitting(r.first))
            ),
        ]
        made.append(grid)
    return made


def _warning(methods: Sequence[str], what: str) -> str:
    name, _, rest = what.partition(": ")
    return f"Warning, {name} against {', '.join(methods)}: {rest}"
