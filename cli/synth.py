"""``skeltools synth``."""

from __future__ import annotations

from pathlib import Path

import click

from skeltools.cli import _complete as complete
from skeltools.cli import _options as options
from skeltools.errors import counted


@click.command()
@click.argument("dataset", shell_complete=complete.datasets)
@click.argument("out", type=options.PATH)
@click.option(
    "--clips",
    type=click.IntRange(min=1),
    required=True,
    metavar="N",
    help="Number of clips; for PKU-MMD, of actions over all videos.",
)
@click.option(
    "--frames",
    type=click.IntRange(min=1),
    nargs=2,
    default=(40, 120),
    show_default=True,
    metavar="MIN MAX",
    help="Least and greatest length of an NTU clip, frames at 30 per second.",
)
@options.seed
@options.workers
@options.replace
def command(
    dataset: str,
    out: Path,
    clips: int,
    frames: tuple[int, int],
    seed: int,
    workers: int,
    replace: bool,
) -> None:
    """Write raw files of synthetic motion in a real format.

    DATASET is ntu60, ntu120, pku1 or pku2: its file format, names, class numbers and splits are used. OUT
    is a new or empty folder. The same seed gives the same files, whatever the number of workers. With
    --replace, files that an earlier synth wrote are rewritten or removed; any other file is left alone.

    \b
    Example:
      skeltools synth ntu60 raw/ --clips 600
      skeltools synth pku1 raw-pku/ --clips 300 --seed 1
    """
    from skeltools import synth
    from skeltools.cli import _console as console

    options.check_order(
        "DATASET", dataset, "OUT", out, swapped=str(out) in synth.WRITTEN and dataset not in synth.WRITTEN
    )
    options.check_used(dataset.startswith("ntu"), "but for NTU's datasets", "--frames")
    progress = console.progress()
    try:
        summary = synth.write(
            dataset,
            out,
            clips,
            seed=seed,
            workers=workers,
            progress=progress,
            frames=frames,
            replace=replace,
        )
    finally:
        progress.finish()
    what = "clip" if dataset.startswith("ntu") else "action"
    console.out().print(
        f"{summary.path}: {counted(summary.clips, what)} of {counted(summary.classes, 'class', 'classes')} by "
        f"{counted(summary.performers, 'performer')}, format {summary.dataset}, seed {summary.seed}; "
        f"{counted(summary.files, 'file')}, "
        f"{summary.size / 1e6:,.1f} MB",
        markup=False,
    )
