"""``skeltools demo``: the main job on synthetic data, by the very commands a user would type."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from skeltools.cli import _options as options

SEEDS = (0, 1, 2)
CLIPS = 1150
SUBJECTS = ((), ("--init", "random"), ("--baseline", "standardised"))
RECIPES = {"linear": "linear-demo", "knn": "knn"}


@click.command()
@click.argument("out", type=options.PATH, default=Path("demo"))
@options.replace
def command(out: Path, replace: bool) -> None:
    """Run the main job on synthetic data, end to end.

    Writes raw files, converts them, pretrains three seeds with the recipe 'demo-bigru', evaluates each
    against its baselines, prints one table and says for each protocol whether the 95 % intervals of the
    pretrained and the untrained encoder are apart, over test clips and over seeds. Ctrl-C ends all of it.

    \b
    Example:
      skeltools demo demo/
    """
    from rich.markup import escape

    from skeltools.cli._console import err
    from skeltools.cli._console import out as stdout
    from skeltools.cli.main import main
    from skeltools.errors import OutputError
    from skeltools.results import joined
    from skeltools.results import record as results
    from skeltools.results.verdicts import apart
    from skeltools.runs.folder import Run

    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file. Give a folder that is new, or that an earlier demo made.")
    if out.exists() and not replace:
        raise OutputError(f"{out} already exists. Use --replace to run the demo again in it.")
    out.mkdir(parents=True, exist_ok=True)
    again = ["--replace"] if replace else []

    def run(*args: str) -> None:
        err().print(f"[bold]$ skeltools {escape(shlex.join(args))}[/bold]")
        status = main.main(args=list(args), prog_name="skeltools", standalone_mode=False)
        if status:  # an interrupted run says how to go on with it; the demo ends with it
            err().print(
                f"The demo ends here. Begin it again with: skeltools demo {shlex.quote(str(out))} --replace",
                markup=False,
            )
            raise click.exceptions.Exit(status)

    raw, data = out / "raw", out / "ntu60.h5"
    run("synth", "ntu60", str(raw), "--clips", str(CLIPS), *again)
    run("convert", "ntu60", str(raw), str(data), "--frames", "16", *again)
    runs = [out / "runs" / f"motion-seed{seed}" for seed in SEEDS]
    for seed, folder in zip(SEEDS, runs, strict=True):
        arguments = ["--split", "xsub", "--stream", "motion", "--recipe", "demo-bigru"]
        run("pretrain", str(data), *arguments, "--seed", str(seed), "--out", str(folder), *again)
        for protocol, recipe in RECIPES.items():
            for subject in SUBJECTS:
                run("eval", str(folder), "--protocol", protocol, "--recipe", recipe, *subject, "--quiet")
    run("report", *map(str, runs))

    rows = joined.rows(record for folder in runs for record in results.read_all(Run.open(folder).results_dir))
    found = apart(rows, results.PRETRAINED, (results.RANDOM, results.STANDARDISED))
    for verdict in found:
        stdout().print(str(verdict), markup=False)
