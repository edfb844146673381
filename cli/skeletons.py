"""``skeltools skeletons``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from skeltools.cli import _complete as complete
from skeltools.cli import _options as options

if TYPE_CHECKING:
    from skeltools.results.tables import Grid
    from skeltools.skeletons import Skeleton


@click.command()
@click.argument("name", required=False, shell_complete=complete.skeletons)
@click.option("--toml", "as_toml", is_flag=True, help="Print it as a TOML file, to start one's own from.")
@options.as_json
def command(name: str | None, as_toml: bool, as_json: bool) -> None:
    """List the packaged skeletons, or show one: its joints as a tree, and its parts.

    NAME is a packaged skeleton or the path of a TOML file with one's own, which is checked. In the tree every
    joint hangs on its parent and is followed by its part and what it serves as; numbers are 0-based.

    \b
    Example:
      skeltools skeletons
      skeltools skeletons kinect1
      skeltools skeletons kinect1 --toml > mine.toml
      skeltools skeletons mine.toml
    """
    import json

    from skeltools.cli import _show
    from skeltools.files.texts import printable
    from skeltools.skeletons import load, packaged

    if as_toml and (name is None or as_json):
        raise click.UsageError("--toml takes the NAME of one skeleton, and no --json.")
    if name is None:
        every = [load(each) for each in packaged()]
        if as_json:
            click.echo(json.dumps([skeleton.to_dict() for skeleton in every]), file=sys.stdout)
        else:
            _show.grids([_table(every)])
        return
    skeleton = load(name)
    if as_json:
        click.echo(skeleton.to_json(), file=sys.stdout)
    elif as_toml:
        click.echo(skeleton.to_toml(), file=sys.stdout, nl=False)
    else:
        click.echo(printable("\n".join((*_heading(skeleton), "", *skeleton.tree(), ""))), file=sys.stdout)
        _show.grids([_parts(skeleton)])


def _table(skeletons: list[Skeleton]) -> Grid:
    from skeltools.results.tables import Grid

    return Grid(
        title=["Skeletons"],
        columns=[("name", False), ("title", False), ("joints", True), ("parts", True), ("source", False)],
        rows=[
            [each.name, each.title, str(each.num_joints), str(len(each.parts)), each.source]
            for each in skeletons
        ],
    )


def _heading(skeleton: Skeleton) -> list[str]:
    title = f"{skeleton.name}: {skeleton.title}" if skeleton.title else skeleton.name
    count = f"{skeleton.num_joints} joints, {len(skeleton.bones)} bones"
    return [title, count, *([f"source: {skeleton.source}"] if skeleton.source else [])]


def _parts(skeleton: Skeleton) -> Grid:
    from skeltools.results.tables import Grid

    return Grid(
        title=["Parts"],
        columns=[("part", False), ("number", True), ("joints", False)],
        rows=[
            [part, str(len(joints)), ", ".join(skeleton.joints[joint] for joint in joints)]
            for part, joints in skeleton.parts.items()
        ],
    )
