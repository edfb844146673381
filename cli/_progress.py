"""Progress on stderr: rich bars on a terminal, plain lines when output goes to a file or a pipe."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from skeltools.files.texts import printable
from skeltools.progress import duration

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


def _values(values: dict[str, float | str]) -> list[str]:
    """Return names with their values; numbers keep their zeros, so that the rest does not move."""
    return [
        f"{key} {value:#.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in values.items()
    ]


def _filled(words: list[str], width: int) -> list[str]:
    """Return lines of at most `width` characters; a name is never parted from its value."""
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + len(word) + 4 <= width:
            lines[-1] += f"  {word}"
        else:
            lines.append(word)
    return lines


WIDTH = 20
"""Characters of a bar."""


class Bars:
    """A rich bar a task with rate and time left, and the task's values below it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def start(self, label: str, total: int | None, unit: str = "clips") -> None:
        from rich.progress import (
            MofNCompleteColumn,
            Progress,
            ProgressColumn,
            Task,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.text import Text

        class View(Progress):
            """The bar, and below it the values in the width of the terminal."""

            def get_renderables(self) -> Iterator[RenderableType]:
                yield self.make_tasks_table(self.tasks)
                for task in self.tasks:
                    for line in _filled(task.fields["status"], self.console.width):
                        yield Text(f"  {line}")

        class Bar(ProgressColumn):
            """How much is done, shown by shapes, so that it can be read without colour."""

            def render(self, task: Task) -> Text:
                full = 0 if not task.total else int(WIDTH * min(task.completed / task.total, 1.0))
                return Text("\N{FULL BLOCK}" * full + "\N{LIGHT SHADE}" * (WIDTH - full))

        class Rate(ProgressColumn):
            """Units per second."""

            def render(self, task: Task) -> Text:
                speed = task.finished_speed or task.speed
                return Text("" if speed is None else f"{speed:,.1f} {unit}/s")

        self.finish()
        self._bar = View(
            TextColumn("{task.description}", markup=False),
            Bar(),
            MofNCompleteColumn(),
            Rate(),
            TimeRemainingColumn(compact=True),
            console=self._console,
        )
        self._task = self._bar.add_task(label, total=total, status=[])
        self._bar.start()

    def advance(self, done: int = 1) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, done)

    def message(self, text: str) -> None:
        (self._bar.console if self._bar is not None else self._console).print(text, markup=False)

    def status(self, **values: float | str) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, status=_values(values))

    def finish(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._task = None


class Lines:
    """Few plain lines, for a file or a pipe: the first after a minute, and one when a task ends.

    In between at most one per minute and per 1 % of the task, but one per hour.
    """

    MINUTE, HOUR = 60.0, 3600.0
    SHARE = 0.01

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._label = ""
        self._unit = ""
        self._total: int | None = None
        self._done = 0
        self._began = self._said = 0.0
        self._said_done: int | None = None
        self._status = ""

    def _say(self, text: str) -> None:
        with suppress(OSError):  # a full disk or a closed pipe behind stderr ends no work
            print(printable(text), file=self._stream, flush=True)

    def start(self, label: str, total: int | None, unit: str = "clips") -> None:
        self.finish()
        self._label, self._unit, self._total = label, unit, total
        self._done, self._said_done, self._status = 0, None, ""
        self._began = self._said = time.monotonic()

    def advance(self, done: int = 1) -> None:
        self._done += done
        since = time.monotonic() - self._said
        if since < self.MINUTE or self._done == self._total:  # of which the last line tells
            return
        more = self._said_done is None or self._total is None
        more = more or self._done - (self._said_done or 0) >= self.SHARE * (self._total or 0)
        if more or since >= self.HOUR:
            self._line()

    def _line(self, last: bool = False) -> None:
        self._said, self._said_done = time.monotonic(), self._done
        spent = max(self._said - self._began, 1e-9)
        words = [f"{self._done:,} {self._unit}"]
        if self._total:
            words = [f"{self._done:,}/{self._total:,} {self._unit} ({100 * self._done / self._total:.0f} %)"]
        words += [f"{self._done / spent:,.1f} {self._unit}/s", duration(spent)]
        if self._total and self._done and not last:
            words.append(f"{duration(spent * (self._total - self._done) / self._done)} left")
        status = f"  {self._status}" if self._status else ""
        self._say(f"{self._label}: {', '.join(words)}{status}")

    def message(self, text: str) -> None:
        self._say(text)

    def status(self, **values: float | str) -> None:
        self._status = "  ".join(_values(values))

    def finish(self) -> None:
        if self._label:
            self._line(last=True)
        self._label = ""
