"""``skeltools predict``: raw files to classes."""

from __future__ import annotations

from pathlib import Path

import click

from skeltools.cli import _options as options


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("clips", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="CLIP...")
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="Classes a clip.")
@options.device
@options.as_json
def command(run: Path, clips: tuple[Path, ...], top: int, device: str, as_json: bool) -> None:
    """Classify raw .skeleton files by a run's recorded linear classifier.

    Needs a linear evaluation of the run's last checkpoint. Each clip is prepared as the classifier's data
    was.

    \b
    Example:
      skeltools eval runs/joint --protocol linear
      skeltools predict runs/joint S001C001P001R001A010.skeleton
    """
    import json
    from dataclasses import asdict

    from skeltools.cli import _show as show
    from skeltools.environment import pick_device
    from skeltools.protocols.running.prediction import predict
    from skeltools.results.tables import Grid
    from skeltools.runs.folder import Run

    found = predict(Run.open(run), clips, pick_device(device), top)
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
        return
    grids = []
    for one in found:
        grid = Grid([one.path], [("class", False), ("score", True)])
        for name, score in zip(one.classes, one.scores, strict=True):
            grid.add([name, f"{score:.3f}"])
        grids.append(grid)
    show.grids(grids)
