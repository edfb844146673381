"""``skeltools page``: one HTML page of runs."""

from __future__ import annotations

from pathlib import Path

import click

from skeltools.cli import _options as options


@click.command()
@click.argument("runs", nargs=-1, required=True, type=options.PATH, metavar="RUN...")
@click.option(
    "--out", type=options.PATH, default=Path("report.html"), show_default=True,
    help="Page to write.",
)  # fmt: skip
@options.data
@click.option(
    "--clips", type=click.IntRange(min=1), default=240, show_default=True,
    help="Test clips in the player; more are sampled. Runs on several files share them.",
)  # fmt: skip
@click.option(
    "--points", type=click.IntRange(min=0), default=1500, show_default=True,
    help="Test clips in the embedding of a run; more are sampled. 0 for no embedding.",
)  # fmt: skip
@click.option("--method", default="tsne", show_default=True, help="Embedding: tsne or pca.")
@options.mismatch
@options.device
@options.replace
def command(
    runs: tuple[Path, ...],
    out: Path,
    data: Path | None,
    clips: int,
    points: int,
    method: str,
    allow_mismatch: bool,
    device: str,
    replace: bool,
) -> None:
    """Write one self-contained HTML page of runs.

    Settings and digests, the tables of 'skeltools report', curves, confusion matrices, an embedding of test
    features, and a 3-D player of test clips with predictions and salience. The page needs no network.
    RUN is a run folder or a folder of runs.

    \b
    Example:
      skeltools page runs/joint
      skeltools page runs/joint-seed0 runs/joint-seed1 --out report.html
      skeltools page runs/ --clips 120 --method pca
    """
    from skeltools.cli._console import out as stdout
    from skeltools.cli._console import progress
    from skeltools.environment import pick_device
    from skeltools.page import document
    from skeltools.page import runs as gathering
    from skeltools.plots import style

    options.check_used(points > 0, "with --points 0", "--method")
    style.check_target(out, document.ENDINGS, replace=replace)
    opened = gathering.find(runs)
    values = gathering.gather(
        opened,
        data=data,
        clips=clips,
        points=points,
        method=method,
        device=pick_device(device),
        allow_mismatch=allow_mismatch,
        progress=progress(),
    )
    size = document.write(out, f"skeltools: {values['heading']}", values)
    for note in values["notes"]:
        stdout().print(note, markup=False, soft_wrap=True)
    stdout().print(f"{out}: {size / 1e6:.1f} MB", markup=False, soft_wrap=True)
