"""``skeltools plot``: pictures of clips, runs and results."""

from __future__ import annotations

from pathlib import Path

import click

from skeltools.cli import _options as options
from skeltools.cli import _pictures as pictures
from skeltools.cli import _plot_clips as of_clips
from skeltools.cli import _plot_results as of_results


@click.group()
def command() -> None:
    """Draw clips, runs and results.

    Needs matplotlib: pip install matplotlib. Each command prints the name of the file it wrote.

    \b
    Example:
      skeltools plot clip ntu60.h5 S001C001P001R001A007
      skeltools plot curves runs/joint
      skeltools plot confusion runs/joint
    """


@command.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=options.PATH)
@pictures.out("RUN-curves.png")
@pictures.looks
@options.replace
def curves(runs: tuple[Path, ...], out: Path | None, replace: bool) -> None:
    """Draw what runs logged: loss and its parts, learning rate, momentum, kNN monitor.

    Several runs are drawn together, one line per run: loss, learning rate and monitor.

    \b
    Example:
      skeltools plot curves runs/joint
      skeltools plot curves runs/joint --out curves.svg
      skeltools plot curves runs/joint runs/bone runs/motion --out three.pdf --width 3.5 --font-size 7
    """
    from skeltools.plots import curves as drawing
    from skeltools.plots import style
    from skeltools.runs import log as runlog
    from skeltools.runs.folder import Run

    path = pictures.place(out or pictures.beside(runs[0], "curves"), replace)
    opened = [Run.open(run) for run in runs]
    found = [runlog.read(run.log_path) for run in opened]
    with style.styled(pictures.look()):
        if len(found) == 1:
            figure = drawing.draw(found[0], f"{opened[0].path.name}: {opened[0].recipe}")
        else:
            figure = drawing.together(list(zip(map(str, runs), found, strict=True)))
        style.save(figure, path)
    pictures.said(path)


for one in (
    of_clips.clip,
    of_clips.embedding,
    of_clips.attention,
    of_results.confusion,
    of_results.compare,
    of_results.robust,
    of_results.reliability,
    of_results.parts,
):
    command.add_command(one)
