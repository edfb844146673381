"""``skeltools features``: features of every clip of a file."""

from __future__ import annotations

from pathlib import Path

import click

from skeltools.cli import _options as options
from skeltools.errors import DataError, counted


@click.command()
@click.argument("run", type=options.PATH)
@click.argument("file", type=options.PATH)
@click.option("--out", required=True, type=options.PATH, help=".npz file to write.")
@click.option(
    "--init",
    type=options.INITS,
    default="pretrained",
    show_default=True,
    help="The run's trained encoder, or the same encoder untrained.",
)
@options.seed
@options.mismatch
@options.device
@options.replace
def command(
    run: Path, file: Path, out: Path, init: str, seed: int, allow_mismatch: bool, device: str, replace: bool
) -> None:
    """Write the encoder's features of every clip of a file.

    OUT holds features (N, D), labels, names, class names and the rows of every split; numpy reads it without
    pickle.

    \b
    Example:
      skeltools features runs/joint ntu60.h5 --out features.npz
    """
    from dataclasses import replace as replaced

    from skeltools.analysis import features
    from skeltools.cli._console import out as stdout
    from skeltools.cli._console import progress
    from skeltools.environment import pick_device
    from skeltools.protocols.running import subjects
    from skeltools.protocols.running.task import Task
    from skeltools.runs.folder import Run
    from skeltools.store import ClipFile

    options.check_run_first(run, file)
    options.check_used(init == "random", "on the trained encoder, which is as it is", "--seed")
    features.check_target(out, replace=replace)
    opened = Run.open(run)
    subject = subjects.from_run(opened, subjects.subject_of(init, None), seed)
    with ClipFile(file) as clips:
        import numpy as np

        misfit = opened.misfit(clips, allow_mismatch or init == "random")
        if misfit is not None:
            raise DataError(misfit)
        if allow_mismatch:
            subject = replaced(subject, frames=None)
        task = Task(clips, "", opened.stream, subject, seed, pick_device(device), progress=progress())
        found = task.features_of(np.arange(len(clips)), "all")
        facts = {
            "stream": opened.stream,
            "encoder": subject.name,
            "checkpoint_digest": task.encoder_digest or "",
            "data_digest": clips.digest,
        }
        features.write(out, found, clips, facts, replace=replace)
    stdout().print(
        f"{out}: {counted(len(found), 'feature')} of {counted(found.shape[1], 'number')}", markup=False
    )
