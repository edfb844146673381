"""A process that does steps one after the other on one device, so that no fault of a step reaches another."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any, Protocol

from skeltools.errors import SkeltoolsError
from skeltools.files import signals
from skeltools.reproduce.steps import PRETRAIN, Place, Step
from skeltools.reproduce.work import Tools, perform, problem_of

EVERY = 0.2
"""Least seconds between two reports of progress."""

DONE, FAILED, STOPPED, MOVED, SAID = "done", "failed", "stopped", "moved", "said"
"""What a worker sends, each with its contents."""


class Line(Protocol):
    """What takes what is sent: a pipe, for one."""

    def send(self, message: tuple[str, Any], /) -> None:
        """Send a word and its contents."""


class Reporter:
    """A `skeltools.progress.Progress` that sends how far a step is.

    Args:
        line: Where to.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._label, self._done, self._unit = "", 0, ""
        self._total: int | None = None
        self._status: dict[str, float | str] = {}
        self._sent = 0.0

    def start(self, label: str, total: int | None, unit: str = "clips") -> None:
        self._label, self._total, self._done, self._unit, self._status = label, total, 0, unit, {}
        self._send(now=True)

    def advance(self, done: int = 1) -> None:
        self._done += done
        self._send()

    def message(self, text: str) -> None:
        self._line.send((SAID, text))

    def status(self, **values: float | str) -> None:
        self._status = values
        self._send()

    def finish(self) -> None: ...

    def _send(self, now: bool = False) -> None:
        moment = time.monotonic()
        if now or moment - self._sent >= EVERY:
            self._sent = moment
            self._line.send((MOVED, (self._label, self._done, self._total, self._unit, self._status)))


def serve(
    line: Connection, life: Connection, place: Place, device: str, workers: int, threads: int, command: str
) -> None:
    """Do the steps that come by a pipe until it is closed.

    Args:
        line: Steps come, and what becomes of them goes, here.
        life: A pipe that ends with the process that started this one; so does this process then.
        place: Where everything lies.
        device: Word of ``--device``.
        workers: Processes that convert.
        threads: Threads of torch; 0 for its own choice.
        command: The command line, for the record.
    """
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # Ctrl-C goes to the starter alone, which asks each worker once
    threading.Thread(target=_end_with, args=(life,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signals.admit()
    if threads:
        import torch

        torch.set_num_threads(threads)
    tools = Tools(place, device, workers, command, Reporter(line))
    while True:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            step, runs = line.recv()
        except EOFError:
            return
        # A run notes the first signal by itself and writes a checkpoint; one that comes later means no more.
        signal.signal(signal.SIGTERM, signal.SIG_IGN if step.kind == PRETRAIN else _interrupt)
        try:
            line.send(outcome(step, tools, runs))
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)


def outcome(step: Step, tools: Tools, runs: list[str]) -> tuple[str, Any]:
    """Do a step and return what became of it."""
    try:
        return DONE, perform(step, tools, runs)
    except KeyboardInterrupt:
        return STOPPED, None
    except (SkeltoolsError, OSError) as error:
        return FAILED, (problem_of(error), "")
    except Exception as error:
        return FAILED, (problem_of(error), traceback.format_exc())


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _end_with(life: Connection) -> None:
    """End this process when the other side of a pipe is closed, whatever it is doing."""
    try:
        life.recv()
    except (EOFError, OSError):
        os._exit(1)
