"""``skeltools report``: print recorded results."""

from __future__ import annotations

from pathlib import Path

import click

from skeltools.cli import _options as options


@click.command()
@click.argument("runs", nargs=-1, required=True, type=options.PATH, metavar="RUN...")
@click.option(
    "--ids", is_flag=True, help="Show the id of each result, by which compare and plot take it: RUN@ID."
)
@click.option("--published", is_flag=True, help="Set published accuracies beside, with what is not the same.")
@click.option(
    "--layout",
    type=options.Choice(["rows", "paper"]),
    default="rows",
    show_default=True,
    help="rows: a line for each result; paper: a line for each method, published ones too, and a column for each "
    "protocol and split.",
)
@click.option(
    "--add",
    multiple=True,
    type=options.PATH,
    metavar="ROWS.CSV",
    help="Set further accuracies beside, in %: columns method,protocol,dataset,split,stream,top1, and may be "
    "backbone,venue,from,source,note; repeatable.",
)
@click.option("--per-class", is_flag=True, help="Add accuracies by class.")
@click.option("--severities", is_flag=True, help="Add accuracies of robust at every severity.")
@click.option(
    "--calibration", is_flag=True, help="Add ECE, ACE, NLL, Brier and AURC, before and after a temperature."
)
@click.option(
    "--parts", is_flag=True, help="Add accuracies of robust lost by class when a body part is missing."
)
@click.option(
    "--groups",
    multiple=True,
    metavar="WHAT",
    help="Add accuracies by group: performer, camera, setup, salience, a packaged grouping of classes (ntu, "
    "ntu-persons), or a TOML file of class to group. May be given several times.",
)
@click.option(
    "--confusions",
    type=click.IntRange(min=1),
    default=None,
    metavar="N",
    help="Add the N most frequent confusions.",
)
@click.option(
    "--format",
    "form",
    type=options.Choice(["table", "markdown", "latex", "csv", "json"]),
    default="table",
    show_default=True,
    help="csv and json hold every number.",
)
@options.as_json
def command(
    runs: tuple[Path, ...],
    ids: bool,
    published: bool,
    layout: str,
    add: tuple[Path, ...],
    per_class: bool,
    severities: bool,
    calibration: bool,
    parts: bool,
    groups: tuple[str, ...],
    confusions: int | None,
    form: str,
    as_json: bool,
) -> None:
    """Print the recorded results of runs as tables.

    RUN is a run folder, a folder of runs, or the --out of an evaluation. Results that differ in their seed
    alone share a row, with mean and deviation over seeds and a bootstrap interval over test clips. The last
    epoch counts; beside it are, where they are recorded, the one chosen on held-out training people as
    "held-out", the best one on the test set as "selected", and the "gap" between the two.

    \b
    Example:
      skeltools report runs/joint
      skeltools report runs/joint-seed0 runs/joint-seed1 runs/joint-seed2
      skeltools report runs/ --published --confusions 10
      skeltools report runs/ --format latex
      skeltools report runs/ --layout paper --add ours-2025.csv --format latex
    """
    from skeltools.cli import _show as show
    from skeltools.results import published as others
    from skeltools.results import record as results

    options.check_used(form == "table" or not as_json, "beside --json", "--format")
    whole = form in ("csv", "json") or as_json
    tables = (
        "--per-class",
        "--severities",
        "--calibration",
        "--parts",
        "--groups",
        "--confusions",
        "--ids",
        "--published",
    )
    options.check_used(not whole, "on csv and json, which hold every number in one table", *tables)
    options.check_used(not whole or layout == "paper", "on csv and json", "--add")
    options.check_used(layout != "paper", "on the layout paper, which is one table", *tables)
    options.check_used(form != "json" and not as_json, "on json", "--layout")
    more = [item for path in add for item in others.read_added(path)]
    show.records(
        results.read_folders(runs),
        as_json=as_json,
        form=form,
        ids=ids,
        published=published,
        layout=layout,
        more=more,
        per_class=per_class,
        severities=severities,
        calibration=calibration,
        parts=parts,
        groups=groups,
        confusions=confusions or 0,
    )
