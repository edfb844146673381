"""The two consoles: results go to stdout, progress and errors to stderr; and the progress bars."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING

from skeltools.progress import Progress

if TYPE_CHECKING:
    from rich.console import Console


WIDE = 240
"""Columns of a table that goes to a file or a pipe."""


@cache
def out() -> Console:
    """Return the console for results (stdout)."""
    from rich.console import Console

    # Off a terminal nothing limits a line, so that a table in a file or a pipe is never cut.
    width = None if sys.stdout.isatty() else WIDE
    return Console(highlight=False, width=width)


@cache
def err() -> Console:
    """Return the console for progress and messages (stderr)."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())


def progress() -> Progress:
    """Return a progress display for stderr: bars on a terminal, a few plain lines elsewhere."""
    from skeltools.cli._progress import Bars, Lines

    moving = err().is_terminal and not err().is_dumb_terminal
    return Bars(err()) if moving else Lines(sys.stderr)
