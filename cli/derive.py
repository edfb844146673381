"""``skeltools derive``."""

from __future__ import annotations

from pathlib import Path

import click

from skeltools.cli import _complete as complete
from skeltools.cli import _options as options
from skeltools.errors import counted


@click.command()
@click.argument("file", type=options.PATH)
@click.argument("out", type=options.PATH)
@options.preparation
@click.option(
    "--skeleton",
    metavar="NAME",
    shell_complete=complete.skeletons,
    help="Put the clips on this skeleton: a packaged one, or a TOML file.",
)
@click.option(
    "--map",
    "own_map",
    type=options.PATH,
    metavar="FILE.toml",
    help="Your own table of joints.  [default: the packaged one]",
)
@click.option(
    "--bodies",
    type=click.IntRange(1, 16),
    help="Most bodies of a clip; absent ones are zeros.  [default: as in FILE]",
)
@options.replace
@click.pass_context
def command(
    context: click.Context,
    file: Path,
    out: Path,
    prep: str | None,
    frames: int | None,
    dtype: str | None,
    overrides: tuple[str, ...],
    skeleton: str | None,
    own_map: Path | None,
    bodies: int | None,
    replace: bool,
) -> None:
    """Prepare the recordings kept in a converted file anew, without the raw files; or on another skeleton.

    FILE must have been made with 'convert --keep-raw'. The result equals a conversion of the raw files.

    With --skeleton each joint is made of the weighted joints that a table names, and the file says which; tables
    to kinect2 come with the package, from kinect1, azure, smpl24, h36m17 and mediapipe33. With recordings in FILE
    these are mapped, then prepared. Without, its clips are: their frames and rotation stay, and a centre of the
    same frame becomes that of the new skeleton.

    \b
    Example:
      skeltools convert ntu60 raw/ ntu60.h5 --keep-raw
      skeltools derive ntu60.h5 ntu60-ctrgcn.h5 --prep ctrgcn
      skeltools derive kinect1.h5 as-ntu.h5 --skeleton kinect2 --bodies 2
    """
    from skeltools.cli import _console as console
    from skeltools.convert.derive import derive, derive_clips
    from skeltools.preparation import chain as preparation
    from skeltools.skeletons import load
    from skeltools.skeletons.mapping import find_map, load_map
    from skeltools.store import ClipFile

    asked = any(
        context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
        for name in ("prep", "frames", "dtype", "overrides")
    )
    options.check_order(
        "FILE", file, "OUT", out, swapped=not file.exists() and out.is_file() and out.suffix == ".h5"
    )
    progress = console.progress()
    try:
        with ClipFile(file) as opened:
            source = opened.form.skeleton
            target = load(skeleton) if skeleton else None
            joints = load_map(own_map, source, target) if own_map else find_map(source, target or source)
            if not opened.has_raw and not asked and (skeleton or own_map or bodies):
                clips = derive_clips(
                    opened, out, joint_map=joints, bodies=bodies, replace=replace, progress=progress
                )
                prep = str(opened.attrs.get("prep", "unknown"))
            else:
                prep = prep or preparation.usual(opened.dataset)
                chosen = preparation.choose(
                    prep,
                    dataset=opened.dataset.name,
                    skeleton=joints.target,
                    dimensions=opened.form.dimensions,
                    overrides=overrides,
                    options={"chain.frames": frames, "chain.dtype": dtype},
                )
                clips = derive(
                    opened,
                    out,
                    chosen.values,
                    prep,
                    joint_map=joints,
                    bodies=bodies,
                    replace=replace,
                    progress=progress,
                )
    finally:
        progress.finish()
    show = console.out().print
    show(f"{out}: {counted(clips, 'clip')} by the preparation {prep}", markup=False, soft_wrap=True)
    with ClipFile(out) as made:
        for note in made.notes:
            if note.kind.startswith("map") or note.kind == "bodies":
                show(f"  note: {note.text}", markup=False, soft_wrap=True)
