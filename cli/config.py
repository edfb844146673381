"""``skeltools config``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skeltools.cli import _complete as complete
from skeltools.cli import _options as options
from skeltools.errors import counted

if TYPE_CHECKING:
    from skeltools.protocols.running.configs import Config, Entry
    from skeltools.results.tables import Grid


@click.command()
@click.argument(
    "what",
    required=False,
    type=options.RESULT,
    metavar="[RECIPE|RUN|PROTOCOL]",
    shell_complete=complete.everything,
)
@click.option(
    "--kind",
    type=options.Choice(["pretraining", "protocol", "preparation"]),
    help="What is meant where a name is of several, such as skeattnclr.  [default: the first of these]",
)
@click.option(
    "--dataset",
    metavar="NAME",
    shell_complete=complete.datasets,
    help="Dataset, for what recipes say of some datasets alone.",
)
@click.option("--split", metavar="NAME", shell_complete=complete.splits, help="Split, likewise.")
@click.option("--stream", metavar="NAME", shell_complete=complete.streams, help="Stream, likewise.")
@options.settings
@click.option(
    "--diff",
    nargs=2,
    metavar="A B",
    shell_complete=complete.everything,
    help="Show only what differs between two of these.",
)
@options.as_json
def command(
    what: str | None,
    kind: str | None,
    dataset: str | None,
    split: str | None,
    stream: str | None,
    overrides: tuple[str, ...],
    diff: tuple[str, str] | None,
    as_json: bool,
) -> None:
    """Show every setting of a recipe, a run or a protocol: value, origin, bounds, help.

    RECIPE is a packaged one, of pretraining (the default: skeattnclr), of a protocol or of a preparation, or the
    path of a .toml file. Recipes may say other values for some datasets, splits and streams: name these as well to
    see what a run of them would take. --set is checked as 'pretrain', 'eval' and 'convert' check it. With --diff,
    these options are for a side that is not a run; the exit status is 1 when settings differ, 0 when they are equal.

    \b
    Example:
      skeltools config
      skeltools config mamp --dataset ntu60 --split xsub --stream joint
      skeltools config linear
      skeltools config ctrgcn
      skeltools config runs/joint --json
      skeltools config --diff runs/joint runs/bone
    """
    from dataclasses import asdict

    from skeltools.protocols.running import configs

    context = {"dataset": dataset or "", "split": split or "", "stream": stream or ""}
    if diff is None:
        found = configs.find(what, kind=kind, context=context, overrides=overrides)
        if as_json:
            _json(asdict(found))
            return
        _show(_whole(found))
        return
    if what is not None:
        raise click.UsageError(f"--diff takes its two names itself; leave out '{what}'.")
    a, b = (
        # A run has dataset, split, stream and settings of its own; the options are for the other side.
        configs.find(name)
        if (Path(name) / "run.json").is_file()
        else configs.find(name, kind=kind, context=context, overrides=overrides)
        for name in diff
    )
    differs = configs.differing(a, b)
    if as_json:
        rows = {
            key: {side: one if one is None else asdict(one) for side, one in zip("ab", pair, strict=True)}
            for key, pair in differs.items()
        }
        _json(
            {"a": a.name, "b": b.name, "common": len(a.settings.keys() & b.settings.keys()), "differs": rows}
        )
    else:
        _show(_difference(a, b, differs))
    raise click.exceptions.Exit(int(bool(differs)))


def _json(content: Any) -> None:
    import json

    click.echo(json.dumps(content, indent=2), file=sys.stdout)


def _show(grid: Grid) -> None:
    from skeltools.cli import _show as show

    show.grids([grid])


def _value(entry: Entry | None) -> str:
    import json

    if entry is None:
        return "no such setting"
    return "none" if entry.value is None else json.dumps(entry.value).strip('"')


def _whole(found: Config) -> Grid:
    from skeltools.results.tables import Grid

    words = ", ".join(f"{key} {value[:12]}" for key, value in found.context.items())
    grid = Grid(
        [f"{found.name}: {found.title}, {found.kind}{f' ({words})' if words else ''}"],
        [("setting", False), ("value", False), ("from", False), ("what it is, and takes", False)],
    )
    if not found.settings:
        grid.notes.append("It has nothing to set.")
    section = ""
    for key, entry in found.settings.items():
        grid.add(
            [key, _value(entry), entry.origin, f"{entry.help.rstrip('.')}: {entry.takes}"],
            new_section=key.rpartition(".")[0] != section,
        )
        section = key.rpartition(".")[0]
    return grid


def _difference(a: Config, b: Config, differs: dict[str, tuple[Entry | None, Entry | None]]) -> Grid:
    from skeltools.results.tables import Grid

    common = a.settings.keys() & b.settings.keys()
    settings = [key for key in differs if key in a.settings or key in b.settings]
    beside = [key for key in differs if key not in settings]
    title = (
        f"{a.name} and {b.name}: {counted(len(settings), 'setting differs', 'settings differ')}, "
        f"{counted(len(common - differs.keys()), 'is', 'are')} equal"
    )
    grid = Grid(
        [f"{title}; another {', '.join(beside)}" if beside else title],
        [("setting", False), (a.name, False), ("from", False), (b.name, False), ("from", False)],
    )
    for key, (one, two) in differs.items():
        grid.add(
            [
                key,
                _value(one),
                "" if one is None else one.origin,
                _value(two),
                "" if two is None else two.origin,
            ]
        )
    return grid
