"""``skeltools export``."""

from __future__ import annotations

from pathlib import Path

import click

from skeltools.cli import _options as options
from skeltools.errors import counted


@click.command()
@click.argument("file", type=options.PATH)
@click.argument("out", type=options.PATH)
@click.option(
    "--to",
    type=options.Choice(["aimclr", "ctrgcn", "agcn", "pyskl", "npz"]),
    required=True,
    help="aimclr, agcn: a folder of .npy and .pkl files for each split; ctrgcn: a folder with NTU60_CS.npz and so on; "
    "pyskl: a pickle, float16; npz: a NumPy archive of our own.",
)
@options.replace
def command(file: Path, out: Path, to: str, replace: bool) -> None:
    """Write the clips of a converted file in a form other projects read.

    What the form has no place for is said. Memory does not grow with the number of clips.

    \b
    Example:
      skeltools export ntu60.h5 NTU60_frame64/ --to aimclr
      skeltools export ntu60.h5 ntu60.pkl --to pyskl
      skeltools export ntu60-ctrgcn.h5 NTU60/ --to ctrgcn
    """
    from skeltools.cli import _console as console
    from skeltools.exchange.arrays import export
    from skeltools.store import ClipFile

    options.check_order(
        "FILE", file, "OUT", out, swapped=not file.exists() and out.is_file() and out.suffix == ".h5"
    )
    progress = console.progress()
    try:
        with ClipFile(file) as opened:
            notes = export(opened, to, out, replace=replace, progress=progress)
            clips = len(opened)
    finally:
        progress.finish()
    show = console.out().print
    show(f"{out}: {counted(clips, 'clip')} for {to}", markup=False, soft_wrap=True)
    for note in notes:
        show(f"  note: {note}", markup=False, soft_wrap=True)
