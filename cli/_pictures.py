"""What the pictures of ``skeltools plot`` share: options of place, look and camera, and how a picture is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from skeltools.cli import _options as options

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from skeltools.plots.camera import Camera
    from skeltools.plots.clip import Panel
    from skeltools.plots.style import Look

rate = click.option(
    "--rate", type=options.FiniteRange(1, 50), default=15.0, show_default=True, help="Frames per second."
)

F = TypeVar("F", bound=Callable[..., Any])


def out(default: str) -> Callable[[F], F]:
    return click.option(
        "--out",
        type=options.PATH,
        default=None,
        help=f"File to write; its ending says the format.  [default: {default}]",
    )


def looks(function: F) -> F:
    """Add ``--width``, ``--dpi`` and ``--font-size``, which `look` reads where the picture is drawn."""
    for name, kind, words in (
        ("font-size", options.FiniteRange(3, 40), "Points of the text.  [default: 9]"),
        ("dpi", click.IntRange(30, 600), "Dots per inch of .png.  [default: 150; 100 where clips move]"),
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


def look() -> Look:
    """Return the look that the command line asks for."""
    from skeltools.plots.style import Look

    meta = click.get_current_context().meta
    width, dpi, font = (meta.get(f"{__name__}.{name}") for name in ("width", "dpi", "font_size"))
    return Look(width, dpi, font)


def camera(function: F) -> F:
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


def chosen_camera(view: str, azimuth: float | None, elevation: float | None) -> Camera:
    from skeltools.plots.camera import Camera, named

    base = named(view)
    return Camera(
        base.azimuth if azimuth is None else azimuth, base.elevation if elevation is None else elevation
    )


def tell_flat(shown: Sequence[Panel], camera: Camera) -> None:
    """Say so where a camera was asked for that a 2-D clip does not have."""
    from skeltools.cli._console import err
    from skeltools.plots.camera import Camera, is_flat

    if camera != Camera() and all(is_flat(panel.clip) for panel in shown):
        err().print("The clip is 2-D (every z is 0), so it is drawn from the front.")


def said(path: Path) -> None:
    from skeltools.cli._console import out

    out().print(str(path), markup=False, soft_wrap=True)


def beside(run: str | Path, word: str) -> Path:
    from skeltools.plots.style import file_name

    text = str(run).removesuffix(".json")
    folder, _, subject = text.partition("@")
    name = Path(folder).resolve().name
    return Path(f"{file_name(f'{name}-{subject}' if subject else name)}-{word}.png")


def place(path: Path, replace: bool) -> Path:
    """Return where a picture is written, once that is known to be possible.

    Raises:
        SettingError: matplotlib is not installed.
        OutputError: As `skeltools.plots.style.check_target`.
    """
    from skeltools.plots import style

    style.need()
    style.check_target(path, style.FIGURES, replace=replace)
    return path


def write(draw: Callable[[], Figure], path: Path) -> None:
    """Write what `draw` returns, in the look that the command line asks for, and say where."""
    from skeltools.plots import style

    with style.styled(look()):
        style.save(draw(), path)
    said(path)
