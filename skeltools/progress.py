"""How library code reports progress without printing.

Long functions take a `Progress` and call it; the command line hands in one that draws bars on stderr,
everybody else gets `SILENT`.
"""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receiver of progress. One task at a time; `start` begins the next."""

    def start(self, label: str, total: int | None, unit: str = "clips") -> None:
        """Begin a task of `total` units (None: unknown)."""

    def advance(self, done: int = 1) -> None:
        """Say that `done` more units of the current task are finished."""

    def message(self, text: str) -> None:
        """Say something worth a line of its own (plain text, no markup)."""

    def status(self, **values: float | str) -> None:
        """Replace the short values shown beside the current task, such as ``loss=3.2``."""

    def finish(self) -> None:
        """End the current task."""


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it, such as ``47 days``."""
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 1):.0f} seconds" if seconds >= 1.5 else "a second"


class Silent:
    """A `Progress` that shows nothing."""

    def start(self, label: str, total: int | None, unit: str = "clips") -> None: ...

    def advance(self, done: int = 1) -> None: ...

    def message(self, text: str) -> None: ...

    def status(self, **values: float | str) -> None: ...

    def finish(self) -> None: ...


SILENT: Progress = Silent()
