"""``skeltools runs``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skeltools.cli import _options as options

if TYPE_CHECKING:
    from skeltools.runs.listing import Listed


@click.command()
@click.argument("folder", required=False, type=options.PATH)
@options.as_json
def command(folder: Path | None, as_json: bool) -> None:
    """List runs: what they are, how far they are, and what is evaluated.

    FOLDER is searched four folders deep; without it the folder 'runs', or else the working folder. A run is
    running where a process of this machine trains in it; stopped where it was interrupted and goes on with 'pretrain
    --resume'; finished; or failed, with the reason below the table. kNN is the monitor's last, on training clips.

    \b
    Example:
      skeltools runs
      skeltools runs experiments/
      skeltools runs experiments/ --json
    """
    from skeltools.runs import listing

    if folder is None:
        folder = Path("runs") if Path("runs").is_dir() else Path()
    found = listing.find(folder)
    if as_json:
        import json

        click.echo(json.dumps([_content(one) for one in found], indent=2), file=sys.stdout)
        return
    _print(found)


def _content(one: Listed) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(one) | {"path": str(one.path), "age": one.age, "evaluated": list(one.evaluated)}


def _print(found: list[Listed]) -> None:
    from collections import Counter

    from skeltools.cli import _show as show
    from skeltools.errors import counted
    from skeltools.results.tables import Grid

    states = ", ".join(f"{count} {state}" for state, count in Counter(one.state for one in found).items())
    words = ("run", "state", "method", "data", "stream", "seed", "epoch", "kNN %", "age", "evaluated")
    numbers = ("seed", "epoch", "kNN %", "age")
    grid = Grid([f"{counted(len(found), 'run')}: {states}"], [(word, word in numbers) for word in words])
    for one in found:
        grid.add(
            [
                str(one.path), one.state, one.method, f"{one.dataset} {one.split}".strip(), one.stream,
                "" if one.seed is None else str(one.seed), _epochs(one),
                "" if one.knn is None else f"{100 * one.knn:.1f}", _age(one.age), _evaluated(one),
            ]
        )  # fmt: skip
        if one.reason:
            grid.notes.append(f"{one.path}: {one.reason}")
    show.grids([grid])


def _epochs(one: Listed) -> str:
    if one.epochs is None:
        return ""
    return f"{'?' if one.epoch is None else one.epoch}/{one.epochs}"


def _evaluated(one: Listed) -> str:
    words = [", ".join(one.evaluated)] if one.evaluated else []
    words += [f"{one.others} of baselines"] if one.others else []
    words += [f"{one.unreadable} unreadable"] if one.unreadable else []
    return "; ".join(words)


def _age(seconds: float | None) -> str:
    """Return a time in its largest unit."""
    if seconds is None:
        return ""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
