"""The table as papers of the field print it: a row for each method, a column for each protocol and split."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from skeltools.errors import SettingError
from skeltools.results.joined import Row
from skeltools.results.kinds import kind_of
from skeltools.results.published import (
    KINDS_OF_SOURCE,
    SAME,
    Published,
    backbone_of,
    load,
    names_of,
    other_clips,
    second_hand,
)
from skeltools.results.record import PRETRAINED, SUPERVISED, Record
from skeltools.results.report import HELD_OUT
from skeltools.results.tables import Grid

Column = tuple[str, str, str, str]
"""Protocol, dataset, split, and what a transfer was pretrained on."""

_ORDER = ("joint", "motion", "bone", "2s", "3s", "4s")


@dataclass
class Line:
    """A row: a method by one source, or by several that agree.

    Attributes:
        method: Name of the method.
        venue: Where it appeared.
        stream: joint, motion, bone, or 2s, 3s, 4s.
        backbone: Backbone, or empty.
        values: Accuracies in [0, 1] by column.
        kinds: Kinds of source, in the order of preference.
        items: The numbers.
    """

    method: str
    venue: str
    stream: str
    backbone: str
    values: dict[Column, float] = field(default_factory=dict)
    kinds: list[str] = field(default_factory=list)
    items: list[Published] = field(default_factory=list)

    def takes(self, items: Sequence[tuple[Column, Published]]) -> bool:
        """Whether nothing that another source says contradicts the row, and there is something in common."""
        common = [(column, item) for column, item in items if column in self.values]
        return bool(common) and all(abs(self.values[column] - item.top1) <= SAME for column, item in common)

    def add(self, items: Sequence[tuple[Column, Published]]) -> None:
        """Add what a source says."""
        for column, item in items:
            self.values.setdefault(column, item.top1)
            self.items.append(item)
            self.venue, self.backbone = self.venue or item.venue, self.backbone or item.backbone
            if item.kind not in self.kinds:
                self.kinds.append(item.kind)


def lines(columns: Sequence[Column], streams: Sequence[str], more: Sequence[Published] = ()) -> list[Line]:
    """Return a row for each method with a number in one of the columns, the weakest in the first of them first.

    A method has a row for each source that contradicts the others, the preferred kind of source first.

    Args:
        columns: The columns.
        streams: The streams.
        more: Numbers beside those on file.
    """
    groups: dict[tuple[str, str], dict[str, list[tuple[Column, Published]]]] = {}
    for item in (*load(), *more):
        fits = [
            column
            for column in columns
            if (item.protocol, item.dataset, item.pretrained_on) == (column[0], column[1], column[3])
            and item.split in ("", column[2])
        ]
        if item.stream.partition(" ")[0] in streams and fits:
            by_source = groups.setdefault((item.method, item.stream), {})
            key = f"{item.kind} {item.source.partition(', Table')[0]} {item.backbone}"
            by_source.setdefault(key, []).extend((column, item) for column in fits)
    made: list[Line] = []
    kinds = list(KINDS_OF_SOURCE)
    for (method, stream), by_source in groups.items():
        own: list[Line] = []
        for _, items in sorted(by_source.items(), key=lambda pair: kinds.index(pair[1][0][1].kind)):
            backbone = items[0][1].backbone
            line = next(
                (one for one in own if one.takes(items) and backbone in ("", one.backbone)),
                None,
            )
            if line is None:
                line = Line(method, "", stream, "")
                own.append(line)
            line.add(items)
        made += own
    return sorted(made, key=lambda line: _strength(line, columns))


def _strength(line: Line, columns: Sequence[Column]) -> tuple[int, float]:
    """Return the first column in which a row has a number, and the number."""
    place = next(place for place, column in enumerate(columns) if column in line.values)
    return place, line.values[columns[place]]


def columns_of(rows: Sequence[Row]) -> list[Column]:
    """Return the columns of one's own rows, in the order of the report."""
    found: dict[Column, None] = {}
    for row in rows:
        name = _protocol(row.first)
        if name is not None:
            found.setdefault((name, row.first.dataset, row.first.split, ""))
    return list(found)


def _protocol(record: Record) -> str | None:
    """Return the protocol of a record as its column is called; None where it is in no such table."""
    names = names_of(record)
    if not names:
        return None
    known = {item.protocol for item in load()}
    several = names[-1] if record.outcomes > 1 else names[0]  # such as one for each k of kNN
    return next((name for name in reversed(names) if name in known), several)


def grid(rows: Sequence[Row], more: Sequence[Published] = ()) -> Grid:
    """Return the table: published rows, and below those of each stream one's own.

    One's own accuracies are those of the last epoch; rows marked so have those of the epoch chosen on held-out training
    people, and of the best epoch by test accuracy, which published numbers are as a rule.

    Args:
        rows: One's own rows.
        more: Published numbers beside those on file.

    Raises:
        SettingError: No row is of a trained encoder.
    """
    own = [
        row
        for row in rows
        if row.subject in (PRETRAINED, SUPERVISED)
        and not row.first.partial
        and not kind_of(row.first).grids  # whose accuracy is another protocol's
    ]
    columns = columns_of(own)
    for row in own:  # a transfer's published numbers are of several pretrainings, a column each
        name = _protocol(row.first)
        if name is not None and name.startswith("transfer"):
            place = columns.index((name, row.first.dataset, row.first.split, ""))
            others = {
                item.pretrained_on
                for item in (*load(), *more)
                if (item.protocol, item.dataset) == (name, row.first.dataset) and item.pretrained_on
            }
            fresh = [(name, row.first.dataset, row.first.split, other) for other in sorted(others)]
            columns[place + 1 : place + 1] = [column for column in fresh if column not in columns]
    if not columns:
        raise SettingError(
            "There is no whole result of a trained encoder, so the layout paper has no column."
        )
    streams = sorted(
        {row.first.stream for row in own},
        key=lambda word: _ORDER.index(word) if word in _ORDER else len(_ORDER),
    )
    heads = [("method", False), ("venue", False), ("stream", False), ("backbone", False), ("source", False)]
    made = Grid(["Top-1 accuracy in %"], [*heads, *((_heading(column, columns), True) for column in columns)])
    shown: list[Published] = []
    for stream in streams:
        new = True
        for line in lines(columns, [stream], more):
            source = " + ".join(KINDS_OF_SOURCE[kind] for kind in line.kinds)
            cells = [_percent(line.values.get(column)) for column in columns]
            made.add([line.method, line.venue, line.stream, line.backbone, source, *cells], new_section=new)
            shown += line.items
            new = False
        for cells in _own(own, stream, columns):
            made.add(cells, new_section=new)
            new = False
    made.notes = [
        "ours: last epoch, mean over seeds; selected: best epoch by test accuracy, as published numbers are as a rule",
        *([] if all(row.held_top1 is None for row in own) else [HELD_OUT]),
        *dict.fromkeys(
            f"Warning, ours, {row.first.dataset} {row.first.split}, {row.first.family}: {phrase}"
            for row in own
            for phrase in other_clips(row.first)
        ),
        *second_hand(shown),
        *dict.fromkeys(
            f"{item.method}, {_heading((item.protocol, item.dataset, item.split, item.pretrained_on), [])}: {item.note}"
            for item in shown
            if item.note
        ),
        *(f"source: {source}" for source in dict.fromkeys(item.source for item in shown)),
    ]
    return made.without(
        {
            name
            for place, (name, _) in enumerate(heads)
            if name in ("venue", "backbone") and not any(row[place] for row in made.rows)
        }
    )


_IN_COLUMNS = re.compile(r"|\[method=\S+\]|\[(method=\S+ )?backbone=\S+\]")
"""Marks that say no more than the columns method and backbone."""


def _own(rows: Sequence[Row], stream: str, columns: Sequence[Column]) -> list[list[str]]:
    """Return the cells of one's own rows of a stream: the last epoch, and where there are any the selected ones."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.first.stream == stream:
            method = str(row.first.pretrain_settings.get("method") or row.first.encoder)
            name = "supervised" if row.subject == SUPERVISED else method
            mark = "" if _IN_COLUMNS.fullmatch(row.mark) else f" {row.mark}"
            groups.setdefault((f"{name}{mark}", backbone_of(row.first)), []).append(row)
    made = []
    for (name, backbone), group in groups.items():
        last: dict[Column, float] = {}
        held: dict[Column, float] = {}
        best: dict[Column, float] = {}
        for row in group:
            protocol = _protocol(row.first)
            if protocol is None:
                continue
            column = protocol, row.first.dataset, row.first.split, ""
            if column in last and not kind_of(row.first).joins:
                continue  # another variant: the report has it
            last.setdefault(column, row.top1.mean)
            if row.held_top1 is not None:
                held.setdefault(column, row.held_top1.mean)
            if row.best_top1 is not None:
                best.setdefault(column, row.best_top1.mean)
        for words, values in (("ours", last), ("ours, held-out", held), ("ours, selected", best)):
            if values:
                cells = [_percent(values.get(column)) for column in columns]
                made.append([f"{name} ({words})", "", stream, backbone, "ours", *cells])
    return made


def _heading(column: Column, columns: Sequence[Column]) -> str:
    """Return a column's heading: protocol and dataset where columns differ in them, and the split."""
    protocol, dataset, split, other = column
    plain = len({one[1] for one in columns}) == 1
    return " ".join([protocol, *([] if plain else [dataset]), split]).strip() + (
        f" from {other}" if other else ""
    )


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
