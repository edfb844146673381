"""``skeltools import-weights``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from skeltools.cli import _complete as complete
from skeltools.cli import _options as options
from skeltools.errors import counted


@click.command()
@click.argument("checkpoint", metavar="FILE", type=options.PATH)
@click.option("--out", required=True, type=options.PATH, help="Run folder to make.")
@click.option(
    "--from",
    "project",
    metavar="NAME",
    help="Project: skeattnclr, aimclr, crossclr, skelemixclr, hiclr, actclr, pstl, hysp, cmd, pcm3, mamp or stars.  "
    "[default: found in the file]",
)
@click.option(
    "--stream",
    shell_complete=complete.streams,
    help="joint, motion or bone; needed where the file holds three encoders.",
)
@click.option(
    "--frames",
    type=click.IntRange(min=1),
    help="Frames per clip.  [default: the file's, or the project's own]",
)
@click.option(
    "--heads",
    type=click.IntRange(min=1),
    help="Attention heads of MAMP's and STARS' encoder, of which weights tell nothing.  "
    "[default: as the file's options say, or 8]",
)
@click.option(
    "--prep",
    shell_complete=complete.preparations,
    help="Preparation its clips had.  [default: the project's own]",
)
@options.data
@click.option(
    "--split",
    shell_complete=complete.splits,
    help="Split of --data that evaluation uses.  [default: its first]",
)
@options.replace
def command(
    checkpoint: Path,
    out: Path,
    project: str | None,
    stream: str | None,
    frames: int | None,
    heads: int | None,
    prep: str | None,
    data: Path | None,
    split: str | None,
    replace: bool,
) -> None:
    """Make a run of another project's checkpoint.

    Takes a state dict that torch saved, alone or under 'state_dict' or 'model' as training scripts and Lightning
    keep it, or a safetensors file; one that 'export-model' wrote becomes the run's encoder again. Every key and
    shape of the encoder is checked; what is left out is listed. The graph of an ST-GCN comes from the file. The run
    folder is one that eval takes. No code of the file runs.

    \b
    Example:
      skeltools import-weights aimclr_ntu60_joint.pt --out runs/aimclr
      skeltools import-weights crosclr.pt --stream bone --out runs/crosclr-bone --data ntu60-50.h5
      skeltools eval runs/aimclr --protocol linear --data ntu60-50.h5
    """
    import shlex

    from skeltools.cli._console import out as stdout
    from skeltools.errors import SettingError
    from skeltools.reference import ours
    from skeltools.reference.weights import groups, make_run

    options.check_used(data is not None, "without --data", "--split")
    for home in (checkpoint, checkpoint.parent.parent):
        if (home / "run.json").is_file() and checkpoint in (home, home / "checkpoints" / checkpoint.name):
            raise SettingError(f"{home} is a run already: every command that takes a run takes it as it is.")
    told = ours.read(checkpoint)
    if told is not None:
        given = {"--from": project, "--stream": stream, "--frames": frames, "--heads": heads, "--prep": prep}
        for option, value in given.items():
            if value is not None:
                raise click.UsageError(f"{checkpoint} says that itself: leave {option} out.")
        run = ours.make_run(
            checkpoint,
            told,
            out,
            data=data,
            split=split,
            replace=replace,
            command=shlex.join(["skeltools", *sys.argv[1:]]),
        )
        stdout().print(
            f"{run.path}: {run.flat['model.backbone']} of skeltools {told['skeltools']}, {run.recipe}, stream "
            f"{run.stream}, {counted(told['epoch'], 'epoch')} on {told['dataset'] or 'unknown data'} {told['split']}\n"
            f"needs clips of {counted(run.frames, 'frame')}, prepared as '{run.preparation.get('prep', 'not known')}'",
            markup=False,
            soft_wrap=True,
        )
        return
    run, found = make_run(
        checkpoint,
        out,
        project=project,
        stream=stream,
        frames=frames,
        heads=heads,
        prep=prep,
        data=data,
        split=split,
        replace=replace,
        command=shlex.join(["skeltools", *sys.argv[1:]]),
    )
    sizes = ", ".join(f"{key} {_shown(run.flat[f'model.{key}'])}" for key in found.model[found.streams[0]])
    lines = [
        f"{run.path}: {found.encoder.title} of {found.project.title}, {sizes}, stream {run.stream}",
        f"needs clips of {counted(run.frames, 'frame')}, prepared as '{prep or found.project.preparation}'",
        f"feature: {found.encoder.feature}",
    ]
    if stream is None:
        lines.append("the file does not tell its stream: taken as joint; --stream says otherwise")
    for key in found.guessed:
        value = run.flat[f"model.{key}"]
        lines.append(
            f"the file does not tell {key}: taken as {value}, as the project has it; --heads says otherwise"
        )
    unknown = groups(found.unknown)
    for name, count in groups(found.left).items():
        known = (
            ""
            if name not in unknown
            else f", {unknown[name]} not known to be in files of {found.project.title}"
        )
        lines.append(f"left out: {name} ({counted(count, 'entry', 'entries')}{known})")
    if found.note:
        lines.append(f"note: {found.note}")
    stdout().print("\n".join(lines), markup=False, soft_wrap=True)


def _shown(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
