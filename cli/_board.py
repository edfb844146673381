"""How a plan goes, on stderr: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from skeltools.errors import counted
from skeltools.files.texts import printable

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

    from skeltools.reproduce.schedule import State

_EVERY = 30.0
"""Seconds between two lines of one step off a terminal."""


def clock(seconds: float | None) -> str:
    """Return a span as ``1:02:03``, or a dash."""
    if seconds is None:
        return "-"
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def remaining(states: Sequence[State], now: float) -> float | None:
    """Return the seconds that all steps will take, or None while there are some of a kind of which none has ended.

    A step takes as long as those of its kind and protocol did on average; one that is being done, its rest.
    """
    from skeltools.reproduce import schedule

    took: dict[tuple[str, str], list[float]] = {}
    for state in states:
        if state.state in (schedule.DONE, schedule.RECORDED) and state.seconds is not None:
            took.setdefault(_kind(state), []).append(state.seconds)
    total, devices = 0.0, 0
    for state in states:
        if state.state in schedule.SETTLED:
            continue
        known = took.get(_kind(state))
        mean = sum(known) / len(known) if known else None
        if state.state == schedule.RUNNING:
            devices += 1
            rest = max(0.0, mean - (now - state.began)) if mean is not None else state.left(now)
        else:
            rest = mean
        if rest is None:
            return None
        total += rest
    return total / max(1, devices)


def _kind(state: State) -> tuple[str, str]:
    return state.step.kind, state.step.facts.get("protocol", state.step.facts.get("data", ""))


def _doing(state: State, now: float) -> str:
    """Return what a step is doing, in some words."""
    if state.state != "running":
        return state.problem
    words = [state.label or "starting"]
    if state.total:
        words.append(f"{100 * state.done / state.total:.0f} %")
    words += [f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
              for name, value in list(state.values.items())[:3]]  # fmt: skip
    return "  ".join(words)


class Lines:
    """A line when a step begins, ends or fails, and every half minute between."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._states: list[State] = []
        self._said: dict[str, float] = {}

    def begin(self, states: Sequence[State]) -> None:
        self._states = list(states)

    def changed(self, state: State) -> None:
        if state.state in ("recorded", "waiting"):
            return
        settled = sum(one.state not in ("waiting", "running") for one in self._states)
        text = f"[{settled}/{len(self._states)}] {state.step.name}: {state.state}"
        if state.state == "running":
            text = f"[{settled}/{len(self._states)}] {state.step.name}: begins on {state.device}"
            self._said[state.step.name] = time.monotonic()
        elif state.state == "done":
            left = remaining(self._states, time.monotonic())
            text += f", {clock(state.seconds)}" + ("" if left is None else f"; {clock(left)} left")
        elif state.problem:
            text += f": {state.problem}"
        self.message(text)

    def moved(self) -> None:
        now = time.monotonic()
        for state in self._states:
            if state.state == "running" and now - self._said.get(state.step.name, now) >= _EVERY:
                self._said[state.step.name] = now
                self.message(f"{state.step.name}: {_doing(state, now)}, {clock(state.left(now))} left")

    def message(self, text: str) -> None:
        with suppress(OSError):  # a full disk or a closed pipe behind stderr ends no work
            print(printable(text), file=self._stream, flush=True)

    def end(self) -> None: ...


class Table:
    """A table that is drawn anew as steps go on: a line for each run, and what is done now."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._states: list[State] = []
        self._live: Live | None = None
        self._began = time.monotonic()

    def begin(self, states: Sequence[State]) -> None:
        from rich.live import Live

        self._states = list(states)
        self._live = Live(
            console=self._console, get_renderable=self._draw, refresh_per_second=4, transient=False,
            vertical_overflow="ellipsis",
        )  # fmt: skip
        self._live.start()

    def changed(self, state: State) -> None:
        if state.state == "failed":
            self.message(f"{state.step.name}: failed: {state.problem}")

    def moved(self) -> None: ...

    def message(self, text: str) -> None:
        self._console.print(printable(text), markup=False, soft_wrap=True)

    def end(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _draw(self) -> RenderableType:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table as Grid
        from rich.text import Text

        now = time.monotonic()
        table = Grid(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1))
        for heading, right in (
            ("part", False),
            ("steps", True),
            ("state", False),
            ("now", False),
            ("left", True),
        ):
            table.add_column(heading, justify="right" if right else "left", overflow="ellipsis", no_wrap=True)
        parts: dict[str, list[State]] = {}
        for state in self._states:
            parts.setdefault(state.step.part, []).append(state)
        for part, states in parts.items():
            settled = [state for state in states if state.state not in ("waiting", "running")]
            wrong = [state for state in states if state.state in ("failed", "blocked")]
            active = next((state for state in states if state.state == "running"), None)
            words = "done" if len(settled) == len(states) else "waiting"
            words = active.device if active is not None else words
            words += f", {len(wrong)} failed" if wrong else ""
            doing = ""
            if active is not None:
                short = active.step.facts.get("protocol", active.step.kind)
                doing = f"{short}: {_doing(active, now)}"
            left = clock(active.left(now)) if active is not None else ""
            row = (part.partition(":")[2] or part, f"{len(settled)}/{len(states)}", words, doing, left)
            table.add_row(*(Text(printable(word)) for word in row))
        settled_all = sum(state.state not in ("waiting", "running") for state in self._states)
        table.caption = Text(
            f"{settled_all} of {counted(len(self._states), 'step')}, {clock(now - self._began)} so far, "
            f"{clock(remaining(self._states, now))} left"
        )
        table.caption_justify = "left"
        return table


@contextmanager
def board() -> Iterator[Lines | Table]:
    """Yield what shows how a plan goes."""
    from skeltools.cli._console import err

    moving = err().is_terminal and not err().is_dumb_terminal
    shown: Lines | Table = Table(err()) if moving else Lines(sys.stderr)
    try:
        yield shown
    finally:
        shown.end()
