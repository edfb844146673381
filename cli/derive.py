"""``skeltools derive``."""

from __future__ import annotations

from pathlib import Path

import click

from skeltools.cli import _options as options


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@options.preparation
@options.replace
def command(
    file: Path,
    out: Path,
    prep: str | None,
    frames: int | None,
    dtype: str | None,
    overrides: tuple[str, ...],
    replace: bool,
) -> None:
    """Prepare the recordings kept in a converted file anew, without the raw files.

    FILE must have been made with 'convert --keep-raw'. The result equals a conversion of the raw files.

    \b
    Example:
      skeltools convert ntu60 raw/ ntu60.h5 --keep-raw
      skeltools derive ntu60.h5 ntu60-ctrgcn.h5 --prep ctrgcn
    """
    from skeltools.cli import _console as console
    from skeltools.convert.derive import derive
    from skeltools.preparation import chain as preparation
    from skeltools.store import ClipFile

    progress = console.progress()
    try:
        with ClipFile(file) as opened:
            prep = prep or preparation.usual(opened.dataset)
            chosen = preparation.choose(
                prep,
                dataset=opened.dataset.name,
                skeleton=opened.form.skeleton,
                dimensions=opened.form.dimensions,
                overrides=overrides,
                options={"chain.frames": frames, "chain.dtype": dtype},
            )
            clips = derive(opened, out, chosen.values, prep, replace=replace, progress=progress)
    finally:
        progress.finish()
    console.out().print(f"{out}: {clips:,} clips by the preparation {prep}", markup=False, soft_wrap=True)
