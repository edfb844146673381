"""``skeltools subset``."""

from __future__ import annotations

from pathlib import Path

import click

from skeltools.cli import _options as options


@click.command()
@click.argument("file", type=options.PATH)
@click.option(
    "--percent", "percents", multiple=True, metavar="P", help="Share to draw, in percent; repeatable."
)
@click.option(
    "--seed",
    "seeds",
    type=options.SEED,
    multiple=True,
    help="Seed of a draw; repeatable.  [default: 0 to 4]",
)
@options.as_json
def command(file: Path, percents: tuple[str, ...], seeds: tuple[int, ...], as_json: bool) -> None:
    """List the label subsets of a converted file, and draw further ones into it.

    Every file holds 1 % and 10 % of each split's training side with seeds 0 to 4. A subset takes, of each
    class, the clips with the smallest SHA-256 of (seed, name): the same on every machine.

    \b
    Example:
      skeltools subset ntu60.h5
      skeltools subset ntu60.h5 --percent 5 --percent 0.5 --seed 0
    """
    from skeltools.cli import _console as console
    from skeltools.store import ClipFile
    from skeltools.store.subsets import add_subsets, list_subsets

    if percents or seeds:
        add_subsets(file, percents or ("1", "10"), seeds or (0, 1, 2, 3, 4))
    with ClipFile(file) as opened:
        found = list_subsets(opened)
    if as_json:
        import json

        print(json.dumps([entry._asdict() for entry in found]))
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD)
    for heading in ("split", "percent", "seed", "clips", "classes", "digest of the names"):
        table.add_column(heading, justify="left" if heading in ("split", "digest of the names") else "right")
    for entry in found:
        table.add_row(
            entry.split,
            entry.percent,
            str(entry.seed),
            f"{entry.clips:,}",
            str(entry.classes),
            entry.digest[:16],
        )
    console.out().print(table)
