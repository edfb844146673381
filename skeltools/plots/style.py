"""What all pictures share: matplotlib where it is installed, sizes and fonts, and writing a figure."""

from __future__ import annotations

import logging
import re
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skeltools.errors import OutputError, SettingError
from skeltools.files.writing import check_output, replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIGURES = (".png", ".svg", ".pdf")
"""Suffixes a figure can be written as."""

DPI = 150
"""Dots per inch of a PNG."""

_FONT = 9.0
"""Points of the text of a picture of whose look nothing is asked."""

_RC = {
    "font.size": _FONT,
    "axes.titlesize": 10.0,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.grid": False,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "svg.hashsalt": "skeltools",  # equal input gives equal bytes
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


@dataclass(frozen=True)
class Look:
    """What a picture looks like on paper; None leaves what each picture has of itself.

    Attributes:
        width: Inches; the height keeps its proportion.
        dpi: Dots per inch, of what is not drawn with vectors.
        font: Points of the text; smaller and larger texts keep their proportion.
    """

    width: float | None = None
    dpi: int | None = None
    font: float | None = None


_look: ContextVar[Look] = ContextVar("look", default=Look())  # noqa: B039 (immutable)


def points(size: float) -> float:
    """Return the size of a text in the look that is asked for, given its own in points."""
    font = _look.get().font
    return size if font is None else size * font / _FONT


def dpi(own: int = DPI) -> int:
    """Return the dots per inch in the look that is asked for, given a picture's own."""
    return _look.get().dpi or own


def need() -> None:
    """Check that matplotlib is installed.

    Raises:
        SettingError: It is not; the message says what to install.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise SettingError(
            "Pictures need matplotlib, which is not installed. Install it: pip install matplotlib"
        ) from None


@contextmanager
def styled(look: Look = Look()) -> Iterator[None]:
    """Draw and write in this context: fonts, sizes, and no warning about letters that a font lacks.

    Args:
        look: Width, dots per inch and size of the text.

    Raises:
        SettingError: matplotlib is not installed.
    """
    need()
    import matplotlib

    log = logging.getLogger("matplotlib")
    level = log.level
    before = _look.set(look)
    sized = {
        key: points(value) if isinstance(value, float) and "size" in key else value
        for key, value in _RC.items()
    }
    with matplotlib.rc_context(sized), warnings.catch_warnings():  # type: ignore[arg-type]
        warnings.filterwarnings("ignore", message="Glyph")
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.setLevel(level)
            _look.reset(before)


def figure(width: float, height: float, *, square: bool = False) -> Figure:
    """Return an empty figure of a size in inches, laid out so that nothing overlaps.

    Args:
        width: Inches, unless the look says others.
        height: Inches, of a figure of that width.
        square: Whether its axes keep a shape of their own, around which nothing shall gape.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    wide = _look.get().width or width
    made = Figure(
        figsize=(wide, height * wide / width), dpi=dpi(), layout="compressed" if square else "constrained"
    )
    FigureCanvasAgg(made)  # so that the layout can be asked for before the figure is written
    return made


def check_target(path: Path, suffixes: Sequence[str], *, replace: bool) -> None:
    """Check that a picture may be written to `path`.

    Raises:
        OutputError: The suffix is not one of `suffixes`, it is a folder, its folder does not exist, or it
            exists and `replace` is not set, or nothing can be written there.
    """
    if path.suffix.lower() not in suffixes:
        raise OutputError(f"{path}: give a name that ends in {', '.join(suffixes)}.")
    check_output(path, replace)


def save(made: Figure, path: Path) -> None:
    """Write a figure in the format of the path's suffix, in one step. Equal figures give equal bytes."""
    kind = path.suffix.lower().removeprefix(".")
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[kind]
    with replacing(path) as part:
        made.savefig(part, format=kind, dpi=dpi(), metadata=metadata)


def plain(text: str, most: int = 60) -> str:
    """Return a name as one line of at most `most` characters, control characters replaced."""
    shown = "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(char) in ("Cc", "Cs") else char for char in text
    )
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def file_name(text: str) -> str:
    """Return a text as a file name without anything a file system or a shell could read otherwise."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:80] or "clip"


def clear(axes: Axes) -> None:
    """Take ticks and frame from axes."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
