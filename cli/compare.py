"""``skeltools compare``: a paired test of two results."""

from __future__ import annotations

import sys
from typing import Any

import click

from skeltools.cli import _options as options


@click.command()
@click.argument("a", metavar="A", type=options.RESULT)
@click.argument("b", metavar="B", type=options.RESULT)
@options.result
@click.option(
    "--classes", type=click.IntRange(min=0), default=5, show_default=True, help="Gains and losses to list."
)
@options.as_json
def command(a: str, b: str, choice: dict[str, Any], classes: int, as_json: bool) -> None:
    """Test whether two results differ on the same test clips.

    A and B are run folders, each with @random, @standardised, @raw or @supervised where not the pretrained
    encoder is meant, or with the @ID that 'skeltools report --ids' shows, or .json files of records. The options
    narrow down what is meant of both. Equal seeds are paired. McNemar's exact test for each pair, a
    bootstrap interval of the difference, gains and losses by class.

    \b
    Example:
      skeltools compare runs/joint-60 runs/joint-300
      skeltools compare runs/joint@random runs/joint --protocol knn --variant k=1
      skeltools compare runs@3fa2c1 runs@9b01de
    """
    import json
    from dataclasses import asdict

    from skeltools.cli import _show as show
    from skeltools.results import compare as comparison

    one, two = (comparison.pick(where, **choice) for where in (a, b))
    found = comparison.compare(one, two)
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2), file=sys.stdout)
        return
    show.grids(comparison.grids(found, one[0], two[0], classes))
