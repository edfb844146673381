"""``skeltools results``: give results away, and take other people's."""

from __future__ import annotations

from pathlib import Path

import click

from skeltools.cli import _options as options


@click.group()
def command() -> None:
    """Exchange recorded results with another group.

    \b
    Example:
      skeltools results export runs/ --out ours.json
      skeltools results import theirs.json --out theirs/ --against runs/
      skeltools report runs/ theirs/
    """


@command.command("export")
@click.argument("runs", nargs=-1, required=True, type=options.PATH, metavar="RUN...")
@click.option("--out", required=True, type=options.PATH, help="File to write (.json).")
@options.replace
def export(runs: tuple[Path, ...], out: Path, replace: bool) -> None:
    """Write records into one small file.

    It holds every number, setting and digest, and neither scores nor the folders in which things lie here.

    \b
    Example:
      skeltools results export runs/ --out ours.json
    """
    from skeltools.cli._console import out as stdout
    from skeltools.errors import counted
    from skeltools.files.writing import write_text
    from skeltools.results import record as results
    from skeltools.results import sharing

    sharing.check_target(out, replace)
    found = results.read_folders(runs)
    text = sharing.bundle(found)
    write_text(out, text)
    stdout().print(
        f"{out}: {counted(len(found), 'record')}, {len(text) / 1e3:,.0f} kB", markup=False, soft_wrap=True
    )


@command.command("import")
@click.argument("file", type=options.PATH)
@click.option("--out", required=True, type=options.PATH, help="Folder for the records; new or empty.")
@click.option(
    "--against",
    multiple=True,
    type=options.PATH,
    metavar="RUN",
    help="Say what is not the same behind results of yours; repeatable.",
)
def import_(file: Path, out: Path, against: tuple[Path, ...]) -> None:
    """Take the records of such a file, for 'skeltools report'.

    A record that was changed after it was written is refused. With --against, every difference in data,
    preparation, clips and settings of a protocol is named: results that differ in these do not belong in one
    table.

    \b
    Example:
      skeltools results import theirs.json --out theirs/ --against runs/
    """
    from skeltools.cli._console import out as stdout
    from skeltools.errors import counted
    from skeltools.results import record as results
    from skeltools.results import sharing

    own = results.read_folders(against) if against else []
    found = sharing.unpack(file, out)
    show = stdout().print
    show(f"{out}: {counted(len(found), 'record')}", markup=False, soft_wrap=True)
    if own:
        unlike = sharing.differences(own, found)
        for what in unlike:
            show(f"not the same: {what}", markup=False, soft_wrap=True)
        if not unlike:
            show("Data, preparation and settings of the protocols are the same.", markup=False)
