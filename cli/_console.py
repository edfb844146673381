"""The two consoles: results go to stdout, progress and errors to stderr; and the progress bars."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

from skeltools.files.texts import printable
from skeltools.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console


WIDE = 240
"""Columns of a table that goes to a file or a pipe."""


def _console(**settings: Any) -> Console:
    """Return a console that shows control characters of texts as escapes, whatever file they came from."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class Safe(Console):
        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for part in super().render(renderable, options):
                yield part if part.control else Segment(printable(part.text), part.style)

    return Safe(**settings)


@cache
def out() -> Console:
    """Return the console for results (stdout)."""
    # Off a terminal nothing limits a line, so that a table in a file or a pipe is never cut.
    width = None if sys.stdout.isatty() else WIDE
    return _console(highlight=False, width=width)


@cache
def err() -> Console:
    """Return the console for progress and messages (stderr)."""
    return _console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


def progress() -> Progress:
    """Return a progress display for stderr: bars on a terminal, a few plain lines elsewhere."""
    from skeltools.cli._progress import Bars, Lines

    moving = err().is_terminal and not err().is_dumb_terminal
    return Bars(err()) if moving else Lines(sys.stderr)
