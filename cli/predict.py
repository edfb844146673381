"""``skeltools predict``: recordings to classes, whole or over time."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skeltools.cli import _options as options

if TYPE_CHECKING:
    from skeltools.analysis.timeline import Timeline
    from skeltools.runs.folder import Run

_TEXTS = (".csv", ".json")


@click.command()
@click.argument("run", type=options.PATH)
@click.argument("files", nargs=-1, required=True, type=options.PATH, metavar="FILE...")
@click.option(
    "--window", type=click.IntRange(min=1), help="Frames of a window.  [default: the whole recording]"
)
@click.option(
    "--stride", type=click.IntRange(min=1),
    help="Frames from one window to the next.  [default: a quarter of the window]",
)  # fmt: skip
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True, help="Classes of a window.")
@click.option(
    "--unit", type=options.Choice(["m", "cm", "mm"]),
    help="Unit of the coordinates.  [default: that of the data the classifier was trained on]",
)  # fmt: skip
@click.option("--clip", metavar="NAME|INDEX", help="Recording of a file with several.")
@click.option(
    "--axes", metavar="TEXT", help="Order of an array's axes, such as TMVC.  [default: found from its shape]"
)
@click.option(
    "--data",
    type=options.PATH,
    help="Descriptor (.toml) of data of your own, which FILE is of.",
)
@click.option("--out", type=options.PATH, help="Write every window to a .csv or .json file.")
@click.option("--plot", type=options.PATH, help="Draw the timeline: a .png, .svg or .pdf file.")
@click.option("--page", type=options.PATH, help="Write the player with the timeline: .html.")
@click.option("--csv", "as_csv", is_flag=True, help="Print every window as CSV instead of a table.")
@options.as_json
@options.device
@options.replace
def command(
    run: Path,
    files: tuple[Path, ...],
    window: int | None,
    stride: int | None,
    top: int,
    unit: str | None,
    clip: str | None,
    axes: str | None,
    data: Path | None,
    out: Path | None,
    plot: Path | None,
    page: Path | None,
    as_csv: bool,
    as_json: bool,
    device: str,
    replace: bool,
) -> None:
    """Classify recordings, whole or over time, by a run's recorded linear classifier.

    Needs a linear evaluation of the run's last checkpoint; of several the last one, or give RUN@ID with an id that
    'skeltools report --ids' shows. FILE holds one recording of the run's skeleton: an
    NTU .skeleton file, a PKU-MMD video or IntelliRehabDS recording (.txt), NW-UCLA's .json, an array (.npy, .npz)
    or pyskl's annotations (.pkl); with --data, a file of data of your own. Each is prepared as the classifier's
    data was. With --window, a long one is classified window by window, and the table shows which class each frame
    belongs to.

    \b
    Example:
      skeltools eval runs/joint --protocol linear
      skeltools predict runs/joint S001C001P001R001A010.skeleton
      skeltools predict runs/pku 0002-L.txt --window 64 --stride 16 --plot timeline.png --page timeline.html
      skeltools predict runs/pku 0002-L.txt --window 64 --stride 16 --out timeline.csv
    """
    from skeltools.cli._console import err, progress
    from skeltools.datasets import descriptor
    from skeltools.environment import pick_device
    from skeltools.exchange.recordings import AXES
    from skeltools.page import document
    from skeltools.plots import style
    from skeltools.protocols.running.prediction import Source, predict
    from skeltools.runs.folder import Run

    if window is None and stride is not None:
        raise click.UsageError("--stride goes with --window. Give both.")
    if window is not None and stride is not None and stride > window:
        raise click.UsageError(
            f"--stride {stride} is more than --window {window}: frames between windows would not be seen."
        )
    if axes is not None and axes not in AXES:
        raise click.UsageError(f"Unknown --axes '{axes}'. Choose one of: {', '.join(AXES)}.")
    if data is not None and (unit or axes):
        raise click.UsageError("The descriptor says unit and axes. Leave --unit and --axes out.")
    if as_csv and as_json:
        raise click.UsageError("Give either --csv or --json.")
    if len(files) > 1 and (plot or page):
        raise click.UsageError("--plot and --page show one recording. Give one FILE.")
    result = None
    if not run.exists() and "@" in run.name:  # RUN@ID, as compare and plot take it
        folder, _, result = str(run).rpartition("@")
        run = Path(folder)
    options.check_run_first(run, files[0])
    for path, endings in ((out, _TEXTS), (plot, style.FIGURES), (page, document.ENDINGS)):
        if path is not None:
            style.check_target(path, endings, replace=replace)
    if plot is not None:
        style.need()
    opened = Run.open(run)
    found = predict(
        opened,
        files,
        pick_device(device),
        window=window or 0,
        stride=(stride or max(1, window // 4)) if window else 0,
        source=Source(unit, clip, axes, None if data is None else descriptor.read(data)),
        result=result,
        progress=progress(),
    )
    for one in found:
        for note in one.notes:
            err().print(f"Note: {one.title}: {note}.", markup=False)
    _print(found, top, as_csv, as_json)
    _write(found, top, out, plot, page, opened)


def _print(found: Sequence[Timeline], top: int, as_csv: bool, as_json: bool) -> None:
    from skeltools.cli import _show as show

    if as_csv or as_json:
        click.echo(_text(found, top, ".csv" if as_csv else ".json"), file=sys.stdout, nl=False)
        return
    from skeltools.analysis import timeline

    show.grids([timeline.grid(one, top) for one in found])


def _text(found: Sequence[Timeline], top: int, kind: str) -> str:
    import json

    from skeltools.analysis import timeline
    from skeltools.results.tables import to_csv

    if kind == ".json":
        return json.dumps([one.content(top) for one in found], indent=2) + "\n"
    return to_csv(
        timeline.header(min(top, len(found[0].classes))), [row for one in found for row in one.rows(top)]
    )


def _write(
    found: Sequence[Timeline], top: int, out: Path | None, plot: Path | None, page: Path | None, run: Run
) -> None:
    """Write what was asked for and say so on stderr, so that a table on stdout stays one."""
    from skeltools.cli._console import err
    from skeltools.files.writing import write_text

    if out is not None:
        write_text(out, _text(found, top, out.suffix.lower()))
    if plot is not None:
        from skeltools.plots import style
        from skeltools.plots import timeline as drawing

        with style.styled():
            style.save(drawing.draw(found[0]), plot)
    if page is not None:
        from skeltools.page import document
        from skeltools.page import timeline as gathering

        values = gathering.gather(found[0], run.form, run.path)
        document.write(page, f"skeltools: {values['heading']}", values)
    for path in (out, plot, page):
        if path is not None:
            err().print(f"Written: {path}", markup=False, soft_wrap=True)
