"""Pictures of clips, and of what a run makes of them: ``skeltools plot clip``, ``embedding`` and ``attention``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from skeltools.cli import _complete as complete
from skeltools.cli import _options as options
from skeltools.cli import _pictures as pictures

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from skeltools.store import ClipFile


@click.command()
@click.argument("file", type=options.PATH)
@click.argument("which", metavar="NAME|INDEX")
@pictures.out("NAME.gif")
@pictures.camera
@click.option("--frames", type=click.IntRange(1, 24), default=6, show_default=True, help="Frames of a strip.")
@pictures.rate
@click.option("--raw", is_flag=True, help="Set the recording beside (convert --keep-raw keeps it).")
@click.option("--augment", metavar="TEXT", help="Set the augmented clip beside: crop(6)|shear(0.5).")
@click.option(
    "--corrupt",
    "corruptions",
    metavar="TEXT",
    multiple=True,
    help="Set the corrupted clip beside: noise(0.05), part(left arm). May be given several times.",
)
@options.seed
@pictures.looks
@options.replace
def clip(
    file: Path,
    which: str,
    out: Path | None,
    view: str,
    azimuth: float | None,
    elevation: float | None,
    frames: int,
    rate: float,
    raw: bool,
    augment: str | None,
    corruptions: tuple[str, ...],
    seed: int,
    replace: bool,
) -> None:
    """Draw one clip: moving (.gif, .mp4) or as a strip of frames (.png, .svg, .pdf).

    \b
    Example:
      skeltools plot clip ntu60.h5 S001C001P001R001A007
      skeltools plot clip ntu60.h5 0 --raw --out clip.mp4
      skeltools plot clip ntu60.h5 0 --augment 'crop(6)|shear(0.5)' --view corner --out clip.svg
      skeltools plot clip ntu60.h5 0 --corrupt 'part(left arm)' --corrupt 'noise(0.05)' --out broken.png
    """
    from skeltools.plots import animation, style
    from skeltools.plots import clip as clips
    from skeltools.store import ClipFile

    options.check_order(
        "FILE", file, "NAME", which, swapped=not file.exists() and Path(which).suffix == ".h5"
    )
    style.need()
    camera = pictures.chosen_camera(view, azimuth, elevation)
    with ClipFile(file) as opened:
        row = clips.find(opened, which)
        path = out or Path(f"{style.file_name(opened.names[row])}.gif")
        style.check_target(path, (*animation.ANIMATIONS, *style.FIGURES), replace=replace)
        moving = path.suffix.lower() in animation.ANIMATIONS
        options.check_used(moving, "on a strip, which does not move", "--rate")
        options.check_used(not moving, "on a moving clip, which shows every frame", "--frames")
        options.check_used(augment is not None, "without --augment", "--seed")
        shown = clips.panels(opened, row, raw=raw, augment=augment, seed=seed, corruptions=corruptions)
        title = clips.heading(opened, row)
    pictures.tell_flat(shown, camera)
    with style.styled(pictures.look()):
        if path.suffix.lower() in animation.ANIMATIONS:
            clips.write_moving(shown, title, camera, path, rate)
        else:
            style.save(clips.strip(shown, title, camera, frames), path)
    pictures.said(path)


def _side(file: ClipFile, split: str, part: str) -> NDArray[np.int64]:
    import numpy as np

    return np.arange(len(file), dtype=np.int64) if part == "all" else file.rows(split, part)


_SPLIT = click.option(
    "--split", default=None, shell_complete=complete.splits, help="Split.  [default: the run's own]"
)
_PART = click.option(
    "--part",
    type=options.Choice(["test", "train", "all"]),
    default="test",
    show_default=True,
    help="Side of the split.",
)


@click.command()
@click.argument("run", type=options.PATH)
@click.argument("file", type=options.PATH)
@pictures.out("RUN-embedding.png")
@click.option("--method", default="tsne", show_default=True, help="tsne or pca.")
@_SPLIT
@_PART
@click.option(
    "--most",
    type=click.IntRange(min=3),
    default=3000,
    show_default=True,
    help="Clips drawn; more are sampled.",
)
@options.mismatch
@options.seed
@options.device
@pictures.looks
@options.replace
def embedding(
    run: Path,
    file: Path,
    out: Path | None,
    method: str,
    split: str | None,
    part: str,
    most: int,
    allow_mismatch: bool,
    seed: int,
    device: str,
    replace: bool,
) -> None:
    """Draw a run's features of the test clips in two dimensions, by class.

    \b
    Example:
      skeltools plot embedding runs/joint ntu60.h5
      skeltools plot embedding runs/joint ntu60.h5 --method pca --part train --out pca.svg
    """
    from skeltools.analysis import embedding as features2d
    from skeltools.analysis import features
    from skeltools.cli._console import progress
    from skeltools.environment import pick_device
    from skeltools.errors import DataError
    from skeltools.plots import embedding as drawing
    from skeltools.runs.folder import Run
    from skeltools.store import ClipFile

    options.check_run_first(run, file)
    path = pictures.place(out or pictures.beside(run, "embedding"), replace)
    features2d.check_method(method)
    options.check_used(part != "all", "with --part all", "--split")
    opened, place = Run.open(run), pick_device(device)
    with ClipFile(file) as clips:
        misfit = opened.misfit(clips, allow_mismatch)
        if misfit is not None:
            raise DataError(misfit)
        rows = _side(clips, split or opened.split, part)
        drawn = features2d.sample(clips, rows, most, seed)
        found = features.extract(
            opened.load_encoder(place), clips, drawn, opened.stream, device=place, progress=progress()
        )
        points = features2d.project(found.numpy(), method, seed)
        shares = features2d.explained(found.numpy()) if method == "pca" else None
        labels, classes, total = clips.labels[drawn], clips.classes, len(rows)
    words = "clips" if part == "all" else f"{part} clips of {split or opened.split}"
    title = drawing.heading(opened.path.name, method, len(drawn), total, words)
    pictures.write(lambda: drawing.draw(points, labels, classes, title, method, shares), path)


@click.command()
@click.argument("run", type=options.PATH)
@click.argument("file", type=options.PATH)
@click.argument("which", metavar="[NAME|INDEX]", required=False)
@click.option("--class", "label", metavar="NAME|LABEL", help="Average over the clips of a class instead.")
@pictures.out("NAME-attention.png")
@_SPLIT
@_PART
@click.option(
    "--most", type=click.IntRange(min=1), default=500, show_default=True, help="Clips of a class averaged."
)
@click.option(
    "--by-part", is_flag=True, help="Mean over the joints of each body part, as lines and a printed table."
)
@pictures.camera
@pictures.rate
@options.mismatch
@options.device
@pictures.looks
@options.replace
def attention(
    run: Path,
    file: Path,
    which: str | None,
    label: str | None,
    out: Path | None,
    split: str | None,
    part: str,
    most: int,
    by_part: bool,
    view: str,
    azimuth: float | None,
    elevation: float | None,
    rate: float,
    allow_mismatch: bool,
    device: str,
    replace: bool,
) -> None:
    """Draw what a run's attention mask holds salient, joint by joint over time.

    A heat map above a strip of the moving skeleton (.png, .svg, .pdf), or the skeleton moving in colours of
    salience (.gif, .mp4). With --class, the mean over the clips of a class, as a heat map. With --by-part, the
    mean over the joints of each part of the skeleton over time, and a table of it.

    \b
    Example:
      skeltools plot attention runs/joint ntu60.h5 S001C001P003R001A007
      skeltools plot attention runs/joint ntu60.h5 0 --out salience.gif
      skeltools plot attention runs/joint ntu60.h5 --class throw
      skeltools plot attention runs/joint ntu60.h5 --class throw --by-part
    """
    from skeltools.analysis import salience
    from skeltools.cli import _show as show
    from skeltools.cli._console import err, progress
    from skeltools.environment import pick_device
    from skeltools.errors import DataError
    from skeltools.plots import animation, style
    from skeltools.plots import attention as drawing
    from skeltools.plots import clip as clips
    from skeltools.results.parts import NEEDS_MASK
    from skeltools.runs.folder import Run
    from skeltools.store import ClipFile

    if (which is None) == (label is None):
        raise click.UsageError("Give either a clip's NAME or --class. See 'skeltools plot attention --help'.")
    options.check_used(label is not None, "on one clip", "--most", "--split", "--part")
    drawn = label is None and not by_part
    options.check_used(drawn, "on a heat map or lines", "--view", "--azimuth", "--elevation", "--rate")
    options.check_run_first(run, file)
    style.need()
    camera = pictures.chosen_camera(view, azimuth, elevation)
    opened, place = Run.open(run), pick_device(device)
    with ClipFile(file) as data:
        misfit = opened.misfit(data, allow_mismatch)
        if misfit is not None:
            raise DataError(misfit)
        if which is not None:
            rows = drawing.one(clips.find(data, which))
            word, title = data.names[int(rows[0])], clips.heading(data, int(rows[0]))
        else:
            assert label is not None
            number = drawing.find_class(data, label)
            rows, title = drawing.of_class(data, number, _side(data, split or opened.split, part), most)
            word = data.classes[number]
        path = out or Path(f"{style.file_name(word)}-{'parts' if by_part else 'attention'}.png")
        kinds = style.FIGURES if which is None or by_part else (*animation.ANIMATIONS, *style.FIGURES)
        style.check_target(path, kinds, replace=replace)
        method = salience.load_method(opened, place)
        values = salience.of_clips(method, data, rows, opened.stream, device=place, progress=progress())
        if salience.of_whole_frames(values):
            err().print(
                f"Note: every joint of a frame has the same salience. {NEEDS_MASK}",
                markup=False,
                soft_wrap=True,
            )
        shown = drawing.prepared(data, int(rows[0]), salience.to_frames(values, data.frames)[0])
    if which is not None and not by_part:
        pictures.tell_flat([shown], camera)
    with style.styled(pictures.look()):
        if by_part:
            own = drawing.of_parts(values, shown.skeleton)
            style.save(drawing.parts(own, shown.skeleton, shown.clip.shape[1], title), path)
            show.grids([drawing.part_table(own, shown.skeleton, title)])
        elif which is None:
            style.save(drawing.mean(values, shown.skeleton, shown.clip.shape[1], title), path)
        elif path.suffix.lower() in animation.ANIMATIONS:
            clips.write_moving([shown], title, camera, path, rate)
        else:
            style.save(drawing.draw(shown, title, camera), path)
    pictures.said(path)
