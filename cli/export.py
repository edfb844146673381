"""``skeltools export``."""

from __future__ import annotations

from pathlib import Path

import click

from skeltools.cli import _options as options


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--to",
    type=click.Choice(["aimclr", "pyskl", "npz"]),
    required=True,
    help="aimclr: a folder of .npy and .pkl files a split; pyskl: a pickle, float16; npz: a NumPy archive.",
)
@options.replace
def command(file: Path, out: Path, to: str, replace: bool) -> None:
    """Write the clips of a converted file in a form other projects read.

    \b
    Example:
      skeltools export ntu60.h5 NTU60_frame64/ --to aimclr
      skeltools export ntu60.h5 ntu60.pkl --to pyskl
    """
    from skeltools.cli import _console as console
    from skeltools.exchange.arrays import export
    from skeltools.store import ClipFile

    progress = console.progress()
    try:
        with ClipFile(file) as opened:
            export(opened, to, out, replace=replace, progress=progress)
            clips = len(opened)
    finally:
        progress.finish()
    console.out().print(f"{out}: {clips:,} clips for {to}", markup=False, soft_wrap=True)
