"""``skeltools inspect``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skeltools.cli import _options as options
from skeltools.errors import counted

if TYPE_CHECKING:
    from rich.table import Table

    from skeltools.store import ClipFile


@click.command()
@click.argument("file", type=options.PATH)
@click.option(
    "--clip", metavar="NAME|INDEX", help="Draw this clip instead: five of its frames, from the front."
)
@options.as_json
def command(file: Path, clip: str | None, as_json: bool) -> None:
    """Show what is in a converted file.

    Clips by split and class, lengths, bodies, gaps, what was left out and why, how the clips were prepared,
    and the digests of source and content.

    \b
    Example:
      skeltools inspect ntu60.h5
      skeltools inspect ntu60.h5 --clip S001C001P001R001A007
      skeltools inspect ntu60.h5 --json
    """
    from skeltools.cli import _console as console
    from skeltools.store import ClipFile
    from skeltools.store.summary import summarise

    options.check_used(clip is None, "with --clip, which draws", "--json")
    with ClipFile(file) as opened:
        if clip is not None:
            _draw(opened, clip)
            return
        found = summarise(opened)
    if as_json:
        import json

        print(json.dumps(found))
        return
    show = console.out().print
    for table in (
        _overview(found),
        _splits(found),
        _excluded(found),
        _notes(found),
        _classes(found),
        _chain(found),
    ):
        if table is not None:
            show(table)
            show()


def _draw(file: ClipFile, word: str) -> None:
    """Print what is known of one clip, and a picture of it."""
    from skeltools.cli import _console as console
    from skeltools.plots import clip as naming
    from skeltools.plots.terminal import draw

    row = naming.find(file, word)
    name = file.names[row]
    show = console.out().print
    label = int(file.labels[row])
    show(f"{name}: {file.classes[label]} (label {label})", markup=False, soft_wrap=True)
    values = (f"{column} {file.column(column)[row]}" for column in file.columns)
    show(", ".join(values), markup=False, soft_wrap=True)
    for line in draw(file.clips([row])[0], file.form.skeleton):
        show(line, markup=False, soft_wrap=True)


def _table(title: str, *columns: tuple[str, bool]) -> Table:
    """Return a table with a left-aligned title; columns are (heading, whether it holds numbers)."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(title),
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for heading, number in columns:
        table.add_column(heading, justify="right" if number else "left", overflow="fold")
    return table


def _spread(values: dict[str, Any]) -> str:
    return f"{values['least']} to {values['most']}, median {values['median']:g}"


def _overview(found: dict[str, Any]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text(found["path"]),
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        show_header=False,
        show_edge=False,
        padding=(0, 0),  # a digest is on one line of 80 columns
    )
    table.add_column()
    table.add_column(overflow="fold")
    bodies = ", ".join(f"{count:,} with {number}" for number, count in found["bodies"].items())
    for key, value in (
        ("dataset", f"{found['title']} ({found['dataset']})"),
        (
            "clips",
            f"{found['clips']:,} of {counted(found['frames'], 'frame')}, {found['bytes'] / 1e6:,.1f} MB",
        ),
        ("source frames", _spread(found["source_frames"])),
        ("length", f"{_spread(found['length'])} frames with a first body"),
        ("bodies", bodies),
        (
            "gaps",
            f"{counted(found['clips_with_gaps'], 'clip lacks its', 'clips lack their')} first body in between",
        ),
        ("preparation", found["prep"]),
        ("recordings", "kept" if found["keeps_recordings"] else "not kept"),
        ("subsets", f"{len(found['subsets'])} (see 'skeltools subset')"),
        ("source digest", found["source_digest"]),
        ("content digest", found["content_digest"]),
        ("written by", f"skeltools {found['skeltools_version']}, format version {found['format_version']}"),
        ("licence", found["licence"]),
    ):
        table.add_row(key, Text(str(value)))
    return table


def _splits(found: dict[str, Any]) -> Table | None:
    if not found["splits"]:
        return None
    table = _table(
        "Splits", ("split", False), ("train", True), ("test", True), ("official train", True), ("test", True)
    )
    for split, counts in found["splits"].items():
        official = counts["official"] or ("", "")
        table.add_row(
            split,
            *(f"{value:,}" if value != "" else "" for value in (counts["train"], counts["test"], *official)),
        )
    return table


def _excluded(found: dict[str, Any]) -> Table | None:
    if not found["excluded"]:
        return None
    table = _table("Left out", ("reason", False), ("clips", True))
    for reason, count in found["excluded"].items():
        table.add_row(reason, f"{count:,}")
    return table


def _notes(found: dict[str, Any]) -> Table | None:
    from rich.text import Text

    if not found["notes"]:
        return None
    table = _table("Notes", ("kind", False), ("count", True), ("what was done", False))
    for note in found["notes"]:
        table.add_row(Text(note["kind"]), f"{note['times']:,}", Text(note["text"]))
    return table


def _classes(found: dict[str, Any]) -> Table:
    from rich.text import Text

    parts = [f"{split} {part}" for split in found["splits"] for part in ("train", "test")]
    table = _table(
        "Classes with clips",
        ("label", True),
        ("class", False),
        ("clips", True),
        *((part.replace(" ", "\n"), True) for part in parts),
    )
    for entry in found["classes"]:
        if entry["clips"]:
            counts = (f"{entry[part]:,}" for part in ("clips", *parts))
            table.add_row(str(entry["label"]), Text(entry["name"]), *counts)
    return table


def _chain(found: dict[str, Any]) -> Table:
    from rich.text import Text

    table = _table("Preparation", ("setting", False), ("value", False))
    for key, value in sorted(found["chain"].items()):
        table.add_row(key, Text(str(value)))
    return table
