"""``skeltools view``: one HTML page of a data file."""

from __future__ import annotations

from pathlib import Path

import click

from skeltools.cli import _options as options


@click.command()
@click.argument("file", type=options.PATH)
@click.argument("which", nargs=-1, metavar="[NAME|INDEX]...")
@click.option("--out", type=options.PATH, help="Page to write.  [default: FILE.html here]")
@click.option(
    "--clips", type=click.IntRange(min=1), default=300, show_default=True,
    help="Clips in the player where none is named; more are sampled.",
)  # fmt: skip
@click.option("--open", "show", is_flag=True, help="Open the page in a browser.")
@options.replace
def command(
    file: Path, which: tuple[str, ...], out: Path | None, clips: int, show: bool, replace: bool
) -> None:
    """Write an HTML page with a 3-D player of a file's clips.

    For looking at data before any training. Shows the clips that are named, or a sample over all classes, and
    what 'skeltools inspect' knows. The page needs no network.

    \b
    Example:
      skeltools view ntu60.h5
      skeltools view ntu60.h5 S001C001P001R001A007 12 --out look.html --open
    """
    from skeltools.cli._console import out as stdout
    from skeltools.cli._console import progress
    from skeltools.page import document
    from skeltools.page import view as gathering
    from skeltools.plots import clip as naming
    from skeltools.plots import style
    from skeltools.store import ClipFile

    options.check_used(not which, "where clips are named", "--clips")
    path = out or Path(f"{file.stem}.html")
    style.check_target(path, document.ENDINGS, replace=replace)
    with ClipFile(file) as opened:
        rows = [naming.find(opened, word) for word in which]
        values = gathering.gather(opened, rows, clips, progress())
    size = document.write(path, f"skeltools: {values['heading']}", values)
    for note in values["notes"]:
        stdout().print(note, markup=False, soft_wrap=True)
    stdout().print(f"{path}: {size / 1e6:.1f} MB", markup=False, soft_wrap=True)
    if show:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
