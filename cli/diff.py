"""``skeltools diff``."""

from __future__ import annotations

from pathlib import Path

import click

from skeltools.cli import _options as options
from skeltools.errors import counted


@click.command()
@click.argument("a", type=options.PATH)
@click.argument("b", type=options.PATH)
@click.option(
    "--most", type=click.IntRange(min=0), default=10, show_default=True, help="Clips listed of each kind."
)
@options.labels
@options.as_json
def command(a: Path, b: Path, most: int, labels: Path | None, as_json: bool) -> None:
    """Show what differs between two converted files, or a converted file and somebody's arrays.

    Settings, clips on one side only, labels, sides of the splits, and the largest coordinate difference of
    each common clip. Exits with status 1 when the data differ, 0 when they are equal. One of the two may be what
    'import' reads, of the dataset of the other; CTR-GCN's rows take the names of the other where there are as many.

    \b
    Example:
      skeltools diff mine.h5 yours.h5
      skeltools diff ntu60-ctrgcn.h5 NTU60_CS.npz
    """
    from skeltools.cli import _console as console
    from skeltools.exchange.arrays import converted
    from skeltools.store.diff import compare

    progress = console.progress()
    try:
        with converted((a, b), labels) as (left, right):
            found = compare(left, right, progress)
    finally:
        progress.finish()
    if as_json:
        import dataclasses
        import json

        print(json.dumps({**dataclasses.asdict(found), "differ": found.any}))
        raise click.exceptions.Exit(int(found.any))
    show = console.out().print
    for key, ours, theirs in found.settings:
        show(f"{key}: {ours} | {theirs}", markup=False, soft_wrap=True)

    def listed(names: list[str]) -> str:
        more = f" and {len(names) - most:,} more" if len(names) > most else ""
        return ", ".join(names[:most]) + more

    for what, names in (
        (f"only in {a}", found.only_a),
        (f"only in {b}", found.only_b),
        ("another label", found.labels),
        *((f"another side of {split}", names) for split, names in found.sides.items()),
    ):
        if names:
            show(f"{what}: {counted(len(names), 'clip')}: {listed(names)}", markup=False, soft_wrap=True)
    if found.coordinates is None:
        show(
            f"{counted(found.common, 'common clip')}, not compared: they have different numbers of frames",
            markup=False,
        )
    else:
        same = found.common - len(found.coordinates)
        show(
            f"{counted(found.common, 'common clip')}, {same:,} of them with equal coordinates",
            markup=False,
            soft_wrap=True,
        )
        for name, gap in found.coordinates[:most]:
            show(f"  {name}: up to {gap:.3g} m", markup=False, soft_wrap=True)
        if len(found.coordinates) > most:
            show(
                f"  and {len(found.coordinates) - most:,} more with smaller differences",
                markup=False,
                soft_wrap=True,
            )
    raise click.exceptions.Exit(int(found.any))
