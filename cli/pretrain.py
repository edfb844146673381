"""``skeltools pretrain``: train an encoder on the training side of a split."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from skeltools.cli import _complete as complete
from skeltools.cli import _options as options

if TYPE_CHECKING:
    from skeltools.training.launch import Rehearsal

_RESUMING = (
    "Continue a run with 'skeltools pretrain --resume {run}', or give its first command again with --resume."
)


def _check_resumed(data: Path, split: str | None, stream: str | None, out: Path | None) -> None:
    """Check that --resume names a run, where DATA is none: by DATA alone, or by the whole first command.

    Raises:
        RunError: DATA is given alone and is not a run folder.
        SettingError: The run is at --out, but the rest of its first command is not there.
    """
    from skeltools.errors import RunError, SettingError

    if (split, stream, out) == (None, None, None):
        if not data.exists():
            raise RunError(f"{data} does not exist. {_RESUMING.format(run='RUN')}")
        what = "it has no run.json" if data.is_dir() else "it is a file"
        inside = sorted(data.glob("*/run.json"))
        if inside:
            raise RunError(
                f"{data} is a folder of runs. Name one of them: skeltools pretrain --resume {inside[0].parent}"
            )
        raise RunError(f"{data} is not a run folder: {what}. {_RESUMING.format(run='RUN')}")
    if out is not None and (out / "run.json").exists() and None in (split, stream):
        missing = "--split" if split is None else "--stream"
        raise SettingError(f"{missing} is missing. {_RESUMING.format(run=out)}")


@click.command()
@click.argument("data", type=options.PATH)
@click.option(
    "--split", shell_complete=complete.splits, help="Split whose training side is used, such as xsub."
)
@click.option("--stream", shell_complete=complete.streams, help="joint, motion or bone.")
@click.option("--out", type=options.PATH, help="Run folder to make.")
@click.option(
    "--recipe",
    shell_complete=complete.recipes,
    help="Packaged recipe or path of a .toml file.  [default: skeattnclr]",
)
@click.option(
    "--method",
    metavar="NAME",
    shell_complete=complete.methods,
    help="Short for --set method: packaged, or package.module:Class.",
)
@click.option("--epochs", type=int, help="Short for --set train.epochs.")
@click.option("--batch-size", type=int, help="Short for --set train.batch_size.")
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=2,
    show_default=True,
    help="Processes that read clips which do not fit the device.",
)
@options.seed
@options.device
@options.settings
@options.replace
@click.option("--resume", is_flag=True, help="Continue a run; DATA may then be the run folder alone.")
@options.dry_run
def command(
    data: Path,
    split: str | None,
    stream: str | None,
    out: Path | None,
    recipe: str | None,
    method: str | None,
    epochs: int | None,
    batch_size: int | None,
    workers: int,
    seed: int,
    device: str,
    overrides: tuple[str, ...],
    replace: bool,
    resume: bool,
    dry_run: bool,
) -> None:
    """Pretrain an encoder by self-supervision.

    The recipe names method and backbone and gives every setting a value. A method or backbone of your own
    is named package.module:Class.

    Interrupting it (Ctrl-C, SIGTERM) writes a checkpoint first; --resume goes on from there. Ends with
    status 130 or 143 when interrupted. Options that contradict the run are refused; more --epochs than it
    has are added, and from there on its schedules are those of so many epochs. --dry-run checks the same as a
    start and times a few steps, writing nothing there.

    \b
    Example:
      skeltools pretrain ntu60.h5 --split xsub --stream joint --out runs/joint
      skeltools pretrain ntu60.h5 --split xsub --stream joint --out runs/short \\
        --epochs 20 --batch-size 64 --set train.lr=0.05
      skeltools pretrain --resume runs/joint
      skeltools pretrain --resume runs/joint --epochs 450
      skeltools pretrain ntu60.h5 --split xsub --stream joint --out runs/joint --dry-run
      skeltools pretrain ntu60.h5 --split xsub --stream joint --out runs/mine \\
        --method mymodule:MyMethod --set model.backbone=bigru
      torchrun --nproc-per-node 4 -m skeltools pretrain ntu60.h5 --split xsub --stream joint \\
        --out runs/joint --set train.precision=bf16
    """
    import shlex

    from skeltools.cli._console import err, progress
    from skeltools.cli._console import out as stdout
    from skeltools.environment import pick_device
    from skeltools.errors import SettingError, counted
    from skeltools.training.launch import Request, launch, rehearse

    if resume and replace:
        raise SettingError("--resume and --replace exclude each other. Give one of them.")
    if not (resume and (data / "run.json").exists()):
        if resume:
            _check_resumed(data, split, stream, out)
        for option, value in (("--split", split), ("--stream", stream), ("--out", out)):
            if value is None:
                raise SettingError(
                    f"{option} is missing. Example: --split xsub --stream joint --out runs/joint"
                )
    given = click.get_current_context().get_parameter_source("seed") is not ParameterSource.DEFAULT
    request = Request(
        data=data,
        split=split,
        stream=stream,
        out=out,
        recipe=recipe,
        options={"method": method, "train.epochs": epochs, "train.batch_size": batch_size},
        overrides=overrides,
        seed=seed if given else None,
        replace=replace,
        resume=resume,
        command=shlex.join(["skeltools", *sys.argv[1:]]),
        workers=workers,
    )
    if dry_run:
        _print(rehearse(request, pick_device(device)))
        return
    outcome = launch(request, pick_device(device), progress())
    status = 0 if outcome.signal is None else 128 + outcome.signal
    if not outcome.is_main:
        raise click.exceptions.Exit(status)
    if outcome.finished:
        done = f"{counted(outcome.epoch, 'epoch')}, {counted(outcome.step, 'step')}"
        stdout().print(f"{outcome.path}: {done}, finished.", markup=False)
    else:
        err().print(
            f"Interrupted after step {outcome.step} of {outcome.total}. Continue with: "
            f"skeltools pretrain --resume {outcome.path}",
            markup=False,
        )
    if status:  # also where the signal came at the very end: whoever started this wants no more of it
        raise click.exceptions.Exit(status)


def _print(found: Rehearsal) -> None:
    """Print what would be done."""
    from skeltools.cli._console import err, out
    from skeltools.errors import counted
    from skeltools.progress import duration

    for message in found.messages:
        err().print(message, markup=False, soft_wrap=True)
    run, train = found.run, found.run.settings.train
    given = [f"{key}={run.flat[key]}" for key, where in run.origin.items() if where in ("option", "--set")]
    keep = min(train.keep, -(-train.epochs // train.save_every))
    memory = "" if found.memory is None else f", at most {found.memory / 2**30:.1f} GiB of the GPU"
    left = f"{counted(found.steps - found.done, 'step')} left of {found.steps:,}" if found.done else ""
    if found.done == found.steps:
        time = "none: the run is finished"
    elif found.seconds is None or found.step_seconds is None:
        time = "not known: the run has logged no step yet"
    else:
        how = f"{found.timed} timed" if found.timed else "as its log says"
        time = f"about {duration(found.seconds)} on this machine, without the kNN monitor"
        time += f" ({found.step_seconds:.3g} s per step, {how}{memory})"
    rows = {
        "run": f"{found.path} ({'goes on' if found.done else 'new'})",
        "data": f"{found.data}: {run.dataset} {run.split}, {counted(found.clips, 'training clip')} of "
        f"{counted(run.frames, 'frame')}",
        "method": f"{run.settings.method}, {run.settings.model.backbone}, {counted(found.weights, 'trained weight')}, "
        f"stream {run.stream}, seed {run.seed}",
        "recipe": run.recipe,
        "set": ", ".join(given) or "nothing",
        "steps": left
        or f"{counted(found.steps, 'step')}: {counted(train.epochs, 'epoch')}, batch {train.batch_size}",
        "time": time,
        "disk": f"{keep} x {found.checkpoint_bytes / 1e6:,.1f} MB of checkpoints, {found.free_bytes / 1e9:,.1f} GB "
        "free",
    }
    for key, value in rows.items():
        out().print(f"{key + ':':<8}{value}", markup=False, soft_wrap=True)
    if found.free_bytes < (keep + 1) * found.checkpoint_bytes:
        err().print("The disk has too little room for the checkpoints.", markup=False)
    out().print("Nothing was written.", markup=False)
