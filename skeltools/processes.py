"""Worker processes that do batches of work: bounded, in any order, safe to interrupt.

Each worker has a pipe of its own, so it ends by itself when the main process is killed.
"""

from __future__ import annotations

import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from skeltools.errors import SkeltoolsError
from skeltools.files import signals

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_AHEAD = 2
"""Batches that a worker holds at a time: the one it works on and the next."""

_PATIENCE = 2.0
"""Seconds that workers have for the batch they are at when no more is wanted."""


class WorkerError(SkeltoolsError):
    """A worker process ended in a way it never should, such as being killed for its memory."""


class Halted(Exception):
    """A batch came to a fault; what was done of it before is no less done.

    Attributes:
        done: Its results up to there, yielded like those of a whole batch.
        fault: What is raised in the end.
    """

    def __init__(self, done: Any, fault: SkeltoolsError) -> None:
        super().__init__(done, fault)
        self.done, self.fault = done, fault


def run(
    batches: Iterable[Any],
    make: Callable[..., Callable[[Any], Any]],
    arguments: tuple[Any, ...],
    workers: int,
) -> Iterator[Any]:
    """Do batches and yield their results, in any order.

    Args:
        batches: The work; taken only as fast as it is done.
        make: Called once in each process with `arguments`; returns the function that does a batch. It and
            the results are pickled; a result is small (a few kB), or pipes could fill up.
        arguments: Arguments of `make`.
        workers: Processes. With 1, everything happens in this one.

    Raises:
        SkeltoolsError: What the function raised for the first batch, in their order, for which it did.
        WorkerError: A worker died.
    """
    if workers <= 1:
        work = make(*arguments)
        for batch in batches:
            try:
                found = work(batch)
            except Halted as halted:
                yield halted.done
                raise halted.fault from None
            yield found
        return
    import multiprocessing  # only here: one process, the usual way of a small source, starts sooner

    context = multiprocessing.get_context("spawn")
    lines: dict[Connection, Any] = {}
    try:
        for _ in range(workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, make, arguments), daemon=True)
            signals.start(process)
            theirs.close()
            lines[ours] = process
        yield from _share_out(iter(batches), lines)
    finally:
        for line in lines:
            line.close()  # a worker ends when it has done its batch, so that no file is left half written
        deadline = time.monotonic() + _PATIENCE
        for process in lines.values():
            process.join(max(0.0, deadline - time.monotonic()))
            process.terminate()
            process.join()


def _share_out(batches: Iterator[Any], lines: dict[Connection, Any]) -> Iterator[Any]:
    from multiprocessing.connection import Connection, wait

    under_way: dict[Connection, deque[int]] = {line: deque() for line in lines}
    failure: tuple[int, BaseException] | None = None
    number = 0
    more = True
    for _ in range(_AHEAD):
        for line in lines:
            more = more and _send(line, lines[line], batches, number, under_way)
            number += more
    while any(under_way.values()):
        for ready in wait([line for line, work in under_way.items() if work]):
            assert isinstance(ready, Connection)
            line = ready
            try:
                kind, value = line.recv()
            except (EOFError, OSError):
                raise _died(lines[line]) from None
            index = under_way[line].popleft()
            if kind == "error":
                if isinstance(value, Halted):
                    yield value.done
                    value = value.fault
                if failure is None or index < failure[0]:
                    failure = (index, value)
                continue
            if failure is None:
                more = more and _send(line, lines[line], batches, number, under_way)
                number += more
            yield value
    if failure is not None:
        raise failure[1]


def _died(process: Any) -> WorkerError:
    process.join(timeout=5)
    if process.exitcode == 1:  # what Python gives where the script that started it begins again in the worker
        return WorkerError(
            "A worker process ended with an error of Python, which is above. In a script of your own, put what calls "
            "skeltools under if __name__ == '__main__': or give workers=1."
        )
    return WorkerError(
        f"A worker process ended unexpectedly (exit status {process.exitcode}); was memory short? "
        "Try again with fewer --workers."
    )


def _send(
    line: Connection,
    process: Any,
    batches: Iterator[Any],
    number: int,
    under_way: dict[Connection, deque[int]],
) -> bool:
    """Send the next batch; return whether there was one."""
    batch = next(batches, _NONE)
    if batch is _NONE:
        return False
    try:
        line.send(batch)
    except OSError:
        raise _died(process) from None
    under_way[line].append(number)
    return True


_NONE = object()


def _serve(line: Connection, make: Callable[..., Callable[[Any], Any]], arguments: tuple[Any, ...]) -> None:
    """The life of a worker: do batches until the pipe closes. Ctrl-C is the main process's business."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signals.admit()
    try:
        work: Callable[[Any], Any] | None = None
        while True:
            batch = line.recv()
            try:
                work = work or make(*arguments)
                answer = ("done", work(batch))
            except (SkeltoolsError, Halted) as error:
                answer = ("error", error)
            except OSError as error:
                answer = ("error", OSError(error.errno, error.strerror, error.filename))
            except Exception:
                answer = ("error", RuntimeError(traceback.format_exc()))
            line.send(answer)
    except (EOFError, OSError):
        return
