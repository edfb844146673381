"""``skeltools plot``: pictures of clips, runs and results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from skeltools.cli import _complete as complete
from skeltools.cli import _options as options

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from skeltools.plots.camera import Camera
    from skeltools.plots.clip import Panel
    from skeltools.plots.style import Look
    from skeltools.store import ClipFile

_RATE = click.option(
    "--rate", type=options.FiniteRange(1, 50), default=15.0, show_default=True, help="Frames a second."
)

F = TypeVar("F", bound=Callable[..., Any])


def _out(default: str) -> Callable[[F], F]:
    return click.option(
        "--out",
        type=click.Path(path_type=Path),
        default=None,
        help=f"File to write; its ending says the format.  [default: {default}]",
    )


def _looks(function: F) -> F:
    """Add ``--width``, ``--dpi`` and ``--font-size``, which `_look` reads where the picture is drawn."""
    for name, kind, words in (
        ("font-size", options.FiniteRange(3, 40), "Points of the text.  [default: 9]"),
        ("dpi", click.IntRange(30, 600), "Dots an inch of .png.  [default: 150; 100 where clips move]"),
        (
            "width",
            options.FiniteRange(1, 20),
            "Width in inches; the height keeps its proportion.  [default: the picture's own]",
        ),
    ):
        function = click.option(f"--{name}", type=kind, expose_value=False, callback=_keep, help=words)(
            function
        )
    return function


def _keep(context: click.Context, parameter: click.Parameter, value: float | None) -> None:
    context.meta[f"{__name__}.{parameter.name}"] = value


def _look() -> Look:
    """Return the look that the command line asks for."""
    from skeltools.plots.style import Look

    meta = click.get_current_context().meta
    width, dpi, font = (meta.get(f"{__name__}.{name}") for name in ("width", "dpi", "font_size"))
    return Look(width, dpi, font)


def _camera(function: F) -> F:
    for option in (
        click.option(
            "--elevation", type=options.FiniteRange(-90, 90), help="Camera above the horizon, degrees."
        ),
        click.option(
            "--azimuth",
            type=options.FiniteRange(-360, 360),
            help="Camera about the vertical, degrees; 0 is the sensor.",
        ),
        click.option(
            "--view", default="front", show_default=True, help="Camera: front, side, back, top or corner."
        ),
    ):
        function = option(function)
    return function


def _chosen_camera(view: str, azimuth: float | None, elevation: float | None) -> Camera:
    from skeltools.plots.camera import Camera, named

    base = named(view)
    return Camera(
        base.azimuth if azimuth is None else azimuth, base.elevation if elevation is None else elevation
    )


def _tell_flat(shown: Sequence[Panel], camera: Camera) -> None:
    """Say so where a camera was asked for that a 2-D clip does not have."""
    from skeltools.cli._console import err
    from skeltools.plots.camera import Camera, is_flat

    if camera != Camera() and all(is_flat(panel.clip) for panel in shown):
        err().print("The clip is 2-D (every z is 0), so it is drawn from the front.")


def _said(path: Path) -> None:
    from skeltools.cli._console import out

    out().print(str(path), markup=False, soft_wrap=True)


@click.group()
def command() -> None:
    """Draw clips, runs and results.

    Needs matplotlib: pip install matplotlib. Each command prints the name of the file it wrote.

    \b
    Example:
      skeltools plot clip ntu60.h5 S001C001P001R001A007
      skeltools plot curves runs/joint
      skeltools plot confusion runs/joint
    """


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("which", metavar="NAME|INDEX")
@_out("NAME.gif")
@_camera
@click.option("--frames", type=click.IntRange(1, 24), default=6, show_default=True, help="Frames of a strip.")
@_RATE
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
@_looks
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
    camera = _chosen_camera(view, azimuth, elevation)
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
    _tell_flat(shown, camera)
    with style.styled(_look()):
        if path.suffix.lower() in animation.ANIMATIONS:
            clips.write_moving(shown, title, camera, path, rate)
        else:
            style.save(clips.strip(shown, title, camera, frames), path)
    _said(path)


@command.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@_out("RUN-curves.png")
@_looks
@options.replace
def curves(runs: tuple[Path, ...], out: Path | None, replace: bool) -> None:
    """Draw what runs logged: loss and its parts, learning rate, momentum, kNN monitor.

    Several runs are drawn together, one line per run: loss, learning rate and monitor.

    \b
    Example:
      skeltools plot curves runs/joint
      skeltools plot curves runs/joint --out curves.svg
      skeltools plot curves runs/joint runs/bone runs/motion --out three.pdf --width 3.5 --font-size 7
    """
    from skeltools.plots import curves as drawing
    from skeltools.plots import style
    from skeltools.runs import log as runlog
    from skeltools.runs.folder import Run

    style.need()
    path = out or _beside(runs[0], "curves")
    style.check_target(path, style.FIGURES, replace=replace)
    opened = [Run.open(run) for run in runs]
    found = [runlog.read(run.log_path) for run in opened]
    with style.styled(_look()):
        if len(found) == 1:
            figure = drawing.draw(found[0], f"{opened[0].path.name}: {opened[0].recipe}")
        else:
            figure = drawing.together(list(zip(map(str, runs), found, strict=True)))
        style.save(figure, path)
    _said(path)


def _beside(run: str | Path, word: str) -> Path:
    from skeltools.plots.style import file_name

    text = str(run).removesuffix(".json")
    folder, _, subject = text.partition("@")
    name = Path(folder).resolve().name
    return Path(f"{file_name(f'{name}-{subject}' if subject else name)}-{word}.png")


@command.command()
@click.argument("result")
@_out("RESULT-confusion.png")
@options.result
@_looks
@options.replace
def confusion(result: str, out: Path | None, choice: dict[str, Any], replace: bool) -> None:
    """Draw the confusion matrix of a result, in % of each true class.

    RESULT is a run folder, with @random, @standardised, @raw or @supervised where not the pretrained encoder
    is meant, or with the @ID that 'skeltools report --ids' shows, or the .json file of a record. Seeds are added up.

    \b
    Example:
      skeltools plot confusion runs/joint
      skeltools plot confusion runs/joint@random --protocol knn --variant k=1 --out random.pdf
    """
    from skeltools.plots import confusion as drawing
    from skeltools.plots import style
    from skeltools.results import compare as comparison
    from skeltools.results import report

    style.need()
    path = out or _beside(result, "confusion")
    style.check_target(path, style.FIGURES, replace=replace)
    row = report.rows(comparison.pick(result, **choice))[0]
    counts, classes = report.confusion_matrix(row)
    with style.styled(_look()):
        style.save(drawing.draw(counts, classes, drawing.heading(row)), path)
    _said(path)


@command.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@_out("A-B-compare.png")
@options.result
@_looks
@options.replace
def compare(
    a: str,
    b: str,
    out: Path | None,
    choice: dict[str, Any],
    replace: bool,
) -> None:
    """Draw what B gains and loses against A, class by class, sorted.

    A and B are results as 'skeltools plot confusion' takes them, of the same test clips.

    \b
    Example:
      skeltools plot compare runs/joint@random runs/joint
      skeltools plot compare runs/joint-60 runs/joint-300 --out gains.svg
    """
    from skeltools.plots import compare as drawing
    from skeltools.plots import style
    from skeltools.results import compare as comparison

    style.need()
    path = out or Path(f"{_beside(a, '').stem}{_beside(b, 'compare')}")
    style.check_target(path, style.FIGURES, replace=replace)
    one, two = (comparison.pick(where, **choice) for where in (a, b))
    found = comparison.compare(one, two)
    with style.styled(_look()):
        style.save(drawing.draw(found, one[0], two[0]), path)
    _said(path)


@command.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@_out("robust.png")
@options.replace
def robust(runs: tuple[Path, ...], out: Path | None, replace: bool) -> None:
    """Draw accuracy against severity, one panel a corruption, one line an encoder.

    RUN is a run folder, a folder of runs, or the --out of an evaluation; their results of robust are drawn.

    \b
    Example:
      skeltools eval runs/joint --protocol robust
      skeltools plot robust runs/joint runs/other
    """
    from skeltools.plots import robust as drawing
    from skeltools.plots import style
    from skeltools.results import record as results
    from skeltools.results import report

    style.need()
    path = out or Path("robust.png")
    style.check_target(path, style.FIGURES, replace=replace)
    rows = report.rows(results.read_folders(runs))
    with style.styled():
        style.save(drawing.draw(rows), path)
    _said(path)


@command.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@_out("reliability.png")
@click.option(
    "--protocol", default="calibration", show_default=True, help="Protocol of the results, such as linear."
)
@options.replace
def reliability(runs: tuple[Path, ...], out: Path | None, protocol: str, replace: bool) -> None:
    """Draw reliability diagrams and risk-coverage curves, one line an encoder.

    RUN is a run folder, a folder of runs, or the --out of an evaluation. Points are bins of confidence, their size the
    share of test clips in them.

    \b
    Example:
      skeltools eval runs/joint --protocol calibration
      skeltools plot reliability runs/joint runs/other
    """
    from skeltools.plots import reliability as drawing
    from skeltools.plots import style
    from skeltools.results import record as results
    from skeltools.results import report

    style.need()
    path = out or Path("reliability.png")
    style.check_target(path, style.FIGURES, replace=replace)
    found = [record for record in results.read_folders(runs) if record.protocol == protocol]
    with style.styled():
        style.save(drawing.draw(report.rows(found)), path)
    _said(path)


@command.command()
@click.argument("result")
@_out("RESULT-parts.png")
@options.result_of("robust")
@options.replace
def parts(result: str, out: Path | None, choice: dict[str, Any], replace: bool) -> None:
    """Draw the accuracy lost when a body part is missing, beside the salience of the attention mask.

    RESULT is a run folder, with @random, @standardised, @raw or @supervised where not the pretrained encoder is meant,
    or with the @ID that 'skeltools report --ids' shows, or the .json file of a record of robust. Prints the rank
    correlation of the two with its interval.

    \b
    Example:
      skeltools eval runs/joint --protocol robust
      skeltools plot parts runs/joint
    """
    from skeltools.plots import parts as drawing
    from skeltools.plots import style
    from skeltools.results import compare as comparison
    from skeltools.results import parts as results
    from skeltools.results import report

    style.need()
    path = out or _beside(result, "parts")
    style.check_target(path, style.FIGURES, replace=replace)
    row = report.rows(comparison.pick(result, **choice))[0]
    found = results.look(row)
    with style.styled():
        style.save(drawing.draw(found, f"{report.title([row])[0]}, {comparison.describe(row.first)}"), path)
    click.echo(str(found))
    _said(path)


def _side(file: ClipFile, split: str, part: str) -> NDArray[np.int64]:
    import numpy as np

    return np.arange(len(file), dtype=np.int64) if part == "all" else file.rows(split, part)


_MISMATCH = click.option(
    "--allow-mismatch", is_flag=True, help="Take clips of another length or preparation than the run's."
)
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


@command.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path))
@_out("RUN-embedding.png")
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
@_MISMATCH
@options.seed
@options.device
@_looks
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
    from skeltools.plots import style
    from skeltools.runs.folder import Run
    from skeltools.store import ClipFile

    options.check_run_first(run, file)
    style.need()
    path = out or _beside(run, "embedding")
    style.check_target(path, style.FIGURES, replace=replace)
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
    with style.styled(_look()):
        style.save(drawing.draw(points, labels, classes, title, method, shares), path)
    _said(path)


@command.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("which", metavar="[NAME|INDEX]", required=False)
@click.option("--class", "label", metavar="NAME|LABEL", help="Average over the clips of a class instead.")
@_out("NAME-attention.png")
@_SPLIT
@_PART
@click.option(
    "--most", type=click.IntRange(min=1), default=500, show_default=True, help="Clips of a class averaged."
)
@click.option(
    "--by-part", is_flag=True, help="Mean over the joints of each body part, as lines and a printed table."
)
@_camera
@_RATE
@_MISMATCH
@options.device
@_looks
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
    camera = _chosen_camera(view, azimuth, elevation)
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
        _tell_flat([shown], camera)
    with style.styled(_look()):
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
    _said(path)
