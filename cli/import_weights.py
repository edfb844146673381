"""``skeltools import-weights``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from skeltools.cli import _options as options


@click.command()
@click.argument("checkpoint", metavar="FILE.pt", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Run folder to make.")
@click.option("--stream", help="joint, motion or bone; needed where the file holds three encoders.")
@click.option("--frames", type=click.IntRange(min=1), help="Frames a clip.  [default: the project's own]")
@click.option("--prep", help="Preparation its clips had.  [default: the project's own]")
@options.data
@click.option("--split", help="Split of --data that evaluation uses.  [default: its first]")
@options.replace
def command(
    checkpoint: Path,
    out: Path,
    stream: str | None,
    frames: int | None,
    prep: str | None,
    data: Path | None,
    split: str | None,
    replace: bool,
) -> None:
    """Make a run of another project's checkpoint.

    Takes plain state dicts of SkeAttnCLR, AimCLR, CrosSCLR and SkeletonCLR, checks every key and shape, takes
    the graph from the file, and makes a run folder that eval takes. The file is never unpickled as code.

    \b
    Example:
      skeltools import-weights aimclr_ntu60_joint.pt --out runs/aimclr
      skeltools import-weights crosclr.pt --stream bone --out runs/crosclr-bone --data ntu60-50.h5
      skeltools eval runs/aimclr --protocol linear --data ntu60-50.h5
    """
    import shlex
    from collections import Counter

    from skeltools.cli._console import out as stdout
    from skeltools.reference.weights import make_run

    run, found = make_run(
        checkpoint,
        out,
        stream=stream,
        frames=frames,
        prep=prep,
        data=data,
        split=split,
        replace=replace,
        command=shlex.join(["skeltools", *sys.argv[1:]]),
    )
    lines = [
        f"{run.path}: ST-GCN of {found.origin}, width {found.width}, dim {found.dim}, stream {run.stream}",
        f"needs clips of {run.frames} frames, prepared as '{prep or found.preparation}'",
    ]
    groups = Counter(".".join(name.split(".")[:2]) if "." in name else name for name in found.left)
    for name, count in groups.items():
        lines.append(f"left out: {name} ({count} {'entry' if count == 1 else 'entries'})")
    if found.note:
        lines.append(f"note: {found.note}")
    stdout().print("\n".join(lines), markup=False)
