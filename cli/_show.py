"""Printing tables and records: for people, for papers, or for scripts."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skeltools.results.published import Published
    from skeltools.results.record import Record
    from skeltools.results.tables import Grid

FORMATS = ("table", "markdown", "latex", "csv", "json")
"""What ``--format`` takes."""

_TEXT = 100
"""Columns that titles and notes take at most."""


def records(
    found: Sequence[Record],
    *,
    as_json: bool = False,
    form: str = "table",
    ids: bool = False,
    published: bool = False,
    per_class: bool = False,
    severities: bool = False,
    calibration: bool = False,
    parts: bool = False,
    groups: Sequence[str] = (),
    confusions: int = 0,
    layout: str = "rows",
    more: Sequence[Published] = (),
) -> None:
    """Print records on stdout.

    Args:
        found: The records.
        as_json: The same as the form ``json``.
        form: One of `FORMATS`; csv and json hold every number and leave out the extra tables.
        ids: Whether to show the id of each row.
        published: Whether to set published numbers beside.
        per_class: Whether to add accuracies by class.
        severities: Whether to add accuracies on corrupted clips at every severity.
        calibration: Whether to add the calibration of results whose scores are logits.
        parts: Whether to add what is lost when a body part is missing.
        groups: Groupings by which to add accuracies.
        confusions: How many confusions to list a row; 0 for none.
        layout: ``rows``, a line for each result; or ``paper``, a line for each method beside published ones.
        more: Published numbers beside those on file.
    """
    import click

    from skeltools.files.texts import printable
    from skeltools.results import calibration as calibrating
    from skeltools.results import class_tables, joined, report, robustness, tables
    from skeltools.results import groups as grouping
    from skeltools.results import layout as layouts
    from skeltools.results import parts as missing
    from skeltools.results import published as others
    from skeltools.results.kinds import kind_of

    if as_json or form == "json":
        click.echo(json.dumps([record.content() for record in found], indent=2), file=sys.stdout)
        return
    rows = joined.rows(found, intervals=all(record.folder is not None for record in found))
    if layout == "paper":
        made = [layouts.grid(rows, more)]
        if form == "csv":
            columns = [name for name, _ in made[0].columns]
            cells = [[None if cell == "-" else cell for cell in row] for row in made[0].rows]
            click.echo(printable(tables.to_csv(columns, cells)), file=sys.stdout, nl=False)
            return
        grids(made, form)
        return
    if form == "csv":
        click.echo(printable(tables.to_csv(report.HEADER, report.flat(rows))), file=sys.stdout, nl=False)
        return
    made = report.grids(rows, ids=ids)
    made += others.grids(rows, more) if published or more else []
    made += class_tables.per_class(rows) if per_class else []
    made += missing.grids(rows) if parts else []
    # Protocols that go on from the scores of another show them there.
    own = [row for row in rows if not kind_of(row.first).grids]
    for by in groups:
        made += grouping.grids(own or rows, by, rows)
    made += calibrating.grids(own) if calibration else []
    made += robustness.severities(rows) if severities else []
    made += class_tables.confusions(rows, confusions) if confusions else []
    made[-1].notes += [f"Note: {note}" for note in dict.fromkeys(note for one in found for note in one.notes)]
    grids(made, form)


def grids(made: Sequence[Grid], form: str = "table") -> None:
    """Print grids on stdout, in the form ``table``, ``markdown`` or ``latex``."""
    import click

    from skeltools.files.texts import printable
    from skeltools.results import tables

    if form != "table":
        face = tables.to_markdown if form == "markdown" else tables.to_latex
        click.echo(printable("\n".join(face(grid) for grid in made)), file=sys.stdout, nl=False)
        return
    from skeltools.cli._console import out

    parts = [part for grid in made for part in grid.within(out().width)]
    for place, grid in enumerate(parts):
        if place:
            out().print()
        # Title and notes are outside the table, so that a narrow table does not fold them; in a pipe the
        # table takes the width it needs.
        table = tables.to_rich(grid)
        title, notes = table.title, table.caption
        table.title = table.caption = None
        if grid.title:
            out().print(title, style="bold", width=_TEXT)
        out().print(table)
        if notes:
            out().print(notes, width=_TEXT)
