"""``skeltools eval``: evaluate encoders by standard protocols."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skeltools.cli import _complete as complete
from skeltools.cli import _options as options
from skeltools.errors import counted
from skeltools.protocols import PROTOCOLS
from skeltools.settings import MOST_NUMBER, MOST_SEEDS

if TYPE_CHECKING:
    from skeltools.protocols.running.foreseeing import Foreseen


@click.command()
@click.argument("runs", nargs=-1, type=options.PATH, metavar="[RUN]...")
@click.option(
    "--protocol",
    required=True,
    metavar="NAME",
    shell_complete=complete.protocols,
    help=f"{', '.join(PROTOCOLS)} (P in % of the labels), all that apply, or your own as "
    "package.module:Class.",
)
@click.option(
    "--init",
    type=options.INITS,
    default=None,
    help="The trained encoder, or the same untrained.  [default: pretrained; with all, every subject]",
)
@click.option(
    "--baseline",
    type=options.BASELINES,
    default=None,
    help="standardised: the untrained encoder's features, standardised on the training clips; "
    "raw: flattened coordinates, no encoder; supervised: all weights trained from random.",
)
@click.option(
    "--encoder",
    default=None,
    metavar="MODULE:FACTORY",
    help="Somebody's own encoder in place of a run: a factory of a torch module from clips "
    "(N, 3, T, V, M) to features (N, D).",
)
@click.option(
    "--weights",
    type=options.PATH,
    default=None,
    help="State dict of --encoder.  [default: the factory's own]",
)
@options.data
@click.option(
    "--target",
    type=options.PATH,
    default=None,
    help="Converted file that transfer goes to.  [default: --data]",
)
@click.option(
    "--split",
    default=None,
    shell_complete=complete.splits,
    help="Split to evaluate on.  [default: the run's own]",
)
@click.option(
    "--streams",
    default=None,
    metavar="LIST",
    shell_complete=complete.streams,
    help="Streams, such as joint,motion,bone.  [default: those of the runs; joint for --encoder]",
)
@click.option(
    "--seed",
    type=options.SEED,
    default=None,
    help="First seed of the classifier, and of an untrained encoder.  [default: the run's own]",
)
@click.option(
    "--seeds", type=click.IntRange(1, MOST_SEEDS), default=1, show_default=True, help="How many seeds to run."
)
@click.option(
    "--recipe",
    default=None,
    shell_complete=complete.protocol_recipes,
    help="Protocol recipe: a name or a .toml file.  [default: the protocol's]",
)
@click.option("--epochs", type=click.IntRange(min=1), default=None, help="Short for --set PROTOCOL.epochs=N.")
@click.option(
    "--limit",
    type=click.IntRange(1, MOST_NUMBER),
    default=None,
    help="Use at most N training and N test clips; results are titled partial.",
)
@click.option(
    "--out",
    type=options.PATH,
    default=None,
    help="Folder for records and cached features.  [default: the run; evaluations/FACTORY for --encoder]",
)
@options.settings
@options.device
@click.option(
    "--allow-mismatch",
    is_flag=True,
    help="Evaluate on clips of another length or preparation than the encoder was trained on.",
)
@click.option(
    "--allow-leak",
    is_flag=True,
    help="Test on clips that the encoder saw in pretraining; titles then say LEAK.",
)
@click.option("--replace", is_flag=True, help="With all: run again what is recorded already.")
@options.dry_run
@options.as_json
@click.option("--quiet", is_flag=True, help="Print no table; the records are written all the same.")
def command(
    runs: tuple[Path, ...],
    protocol: str,
    init: str | None,
    baseline: str | None,
    encoder: str | None,
    weights: Path | None,
    data: Path | None,
    target: Path | None,
    split: str | None,
    streams: str | None,
    seed: int | None,
    seeds: int,
    recipe: str | None,
    epochs: int | None,
    limit: int | None,
    out: Path | None,
    overrides: tuple[str, ...],
    device: str,
    allow_mismatch: bool,
    allow_leak: bool,
    replace: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Evaluate encoders by standard protocols.

    RUN is a pretraining run, or a folder of runs. Writes one JSON record a result into RUN/results and prints
    them, also those made before an error or Ctrl-C. all runs every protocol that applies, for the pretrained
    encoder and its baselines, leaves out what is recorded already, and names what does not apply. --dry-run
    checks the same, lists the evaluations and estimates their passes through the encoder.

    \b
    Example:
      skeltools eval runs/joint --protocol linear
      skeltools eval runs/joint --protocol knn --set knn.k=[1,5]
      skeltools eval runs/joint --protocol linear --baseline standardised
      skeltools eval runs/ --protocol all --streams joint,motion,bone --seeds 5
      skeltools eval runs/ --protocol all --dry-run
      skeltools eval runs/joint --protocol finetune --set finetune.precision=bf16
      torchrun --nproc-per-node 4 -m skeltools eval runs/joint --protocol finetune
      skeltools eval --encoder mine:build --weights mine.pt --data ntu60.h5 --protocol all
    """
    from skeltools.cli import _show as show
    from skeltools.cli._console import err, progress
    from skeltools.errors import RunError
    from skeltools.protocols.running import entrants, evaluation, registry
    from skeltools.protocols.running.subjects import subjects_of

    if bool(runs) == (encoder is not None):
        raise click.UsageError("Give either RUN or --encoder. See 'skeltools eval --help'.")
    if weights is not None and encoder is None:
        raise click.UsageError("--weights goes with --encoder; a run has its own checkpoints.")
    options.check_used(not quiet or dry_run, "with --quiet", "--json")
    options.check_used(not dry_run, "with --dry-run", "--quiet")
    if protocol != evaluation.ALL:
        registry.get(protocol)
    kinds = subjects_of(init, baseline, whole=protocol == evaluation.ALL)
    wanted = None if streams is None else [word.strip() for word in streams.split(",")]
    if encoder is not None:
        found = entrants.from_name(encoder, weights, wanted, out)
    else:
        found = entrants.from_runs(runs, wanted)
        found = found if out is None else [entrants.moved(entrant, out) for entrant in found]
    request = evaluation.Request(
        entrants=found,
        protocol=protocol,
        kinds=kinds,
        data=data,
        target=target,
        split=split,
        seed=seed,
        seeds=seeds,
        device=device,
        recipe=recipe,
        overrides=overrides,
        epochs=epochs,
        limit=limit,
        again=replace,
        allow_mismatch=allow_mismatch,
        dry=dry_run,
        allow_leak=allow_leak,
    )
    done = evaluation.Finished()
    try:
        evaluation.run(request, progress(), done)
    except BaseException:
        if done.records and not quiet:  # what was done before the error, which is printed after it
            show.records(done.records, as_json=as_json)
        raise
    if not done.is_main:
        return
    if encoder is not None and not dry_run:
        err().print(f"Records in {found[0].home}/results", markup=False)
    for reason, names in done.skipped.items():
        if reason not in done.told:
            err().print(evaluation.left_out(reason, names), markup=False)
    if done.reused:
        err().print(
            f"Recorded already: {counted(done.reused, 'evaluation')}. Use --replace to run them again."
        )
    if dry_run:
        _print(done.foreseen, as_json)
        return
    if not done.records:
        raise RunError("Nothing was evaluated: every protocol was left out, for the reasons above.")
    if not quiet:
        show.records(done.records, as_json=as_json)


def _print(found: list[Foreseen], as_json: bool) -> None:
    """Print what would be evaluated."""
    from dataclasses import asdict

    from skeltools.cli import _show as show
    from skeltools.progress import duration
    from skeltools.results.tables import Grid

    if as_json:
        import json

        click.echo(json.dumps([asdict(one) for one in found], indent=2), file=sys.stdout)
        return
    words = (
        "protocol",
        "recipe",
        "subject",
        "encoder",
        "data",
        "stream",
        "seed",
        "train",
        "test",
        "about",
        "counted",
    )
    numbers = ("seed", "train", "test", "about")
    grid = Grid([f"{counted(len(found), 'evaluation')} to run"], [(word, word in numbers) for word in words])
    for one in found:
        about = ("none" if one.seconds == 0 else duration(one.seconds)) if one.seconds is not None else ""
        grid.add(
            [
                one.protocol, one.recipe, one.subject, one.encoder, one.data, one.stream, str(one.seed),
                f"{one.train_clips:,}", f"{one.test_clips:,}", about, one.how,
            ]
        )  # fmt: skip
    total = sum(one.seconds or 0.0 for one in found)
    grid.notes += [f"About {duration(total)} on this machine for what is counted.", "Nothing was written."]
    show.grids([grid])
