"""Signals that must not fall between two steps that belong together."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

_KINDS = [kind for kind in signal.Signals if kind.name in ("SIGINT", "SIGTERM", "SIGALRM")]


@contextmanager
def held_back() -> Iterator[None]:
    """Answer a signal that comes in this block at its end.

    For a few steps that take no time, such as making a temporary folder and noting its name. Off the main
    thread, where no signal is answered, nothing changes.
    """
    waiting: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        waiting.append(number)

    before: dict[signal.Signals, Callable[[int, FrameType | None], Any]] = {}
    if threading.current_thread() is threading.main_thread():
        found = ((kind, signal.getsignal(kind)) for kind in _KINDS)
        before = {kind: handler for kind, handler in found if callable(handler)}
    try:
        for kind in before:
            signal.signal(kind, note)
        yield
    finally:
        try:
            _install(before)
        except BaseException:  # a signal whose handler was back before the others
            _install(before)
            raise
        if waiting:
            signal.raise_signal(waiting[0])


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in this block when it takes longer: for compiled code that answers signals, as `re` does.

    Off the main thread, on a system without such a timer, and where one is running already, nothing is measured.
    """
    on_main = threading.current_thread() is threading.main_thread()
    if not (on_main and hasattr(signal, "setitimer")) or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return

    def late(number: int, frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def blocked() -> Iterator[None]:
    """Keep signals from this thread in this block; processes and threads started in it never get any.

    Where signals cannot be blocked (Windows), nothing changes.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start(process: BaseProcess) -> None:
    """Start a process of its own program, to which SIGINT and SIGTERM come only when it calls `admit`.

    Ctrl-C in a terminal goes to every process of a command; Python's start and imports would end in a traceback.
    """
    if hasattr(signal, "pthread_sigmask"):
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()  # which admits signals here when it starts
    with blocked():
        process.start()


def admit() -> None:
    """Admit the signals that `start` keeps from this process; one that came meanwhile is answered now."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, signal.SIGTERM))


def _install(handlers: dict[signal.Signals, Callable[[int, FrameType | None], Any]]) -> None:
    for kind, handler in handlers.items():
        signal.signal(kind, handler)
