"""Doing the steps of a plan: each on the next free device, a failed one without harm to the others."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

import torch

from skeltools.errors import OutputError
from skeltools.files import signals
from skeltools.files.writing import lock
from skeltools.reproduce import worker
from skeltools.reproduce.steps import PRETRAIN, REPORT, Ledger, Place, Step

WAITING, RUNNING, DONE, RECORDED, FAILED, BLOCKED = (
    "waiting",
    "running",
    "done",
    "recorded",
    "failed",
    "blocked",
)
"""States of a step. Recorded: it was done before. Blocked: what it needs failed."""

SETTLED = (DONE, RECORDED, FAILED, BLOCKED)
_ASK_AGAIN = 5.0
"""Seconds after which a worker that has not ended is asked again."""


@dataclass
class State:
    """How far a step is.

    Attributes:
        step: The step.
        state: Its state.
        device: Where it is done.
        label: What it is doing.
        done: How much of that is done.
        total: How much there is, None where that is not known.
        unit: Of what.
        values: Short values beside it, such as the loss.
        began: When it began, by `time.monotonic`.
        task_began: When what it is doing began.
        seconds: How long it took.
        problem: Why it failed or is blocked.
        looked: Whether it was looked up, once all that it waits for had ended, if it is recorded.
    """

    step: Step
    state: str = WAITING
    device: str = ""
    label: str = ""
    done: int = 0
    total: int | None = None
    unit: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    began: float = 0.0
    task_began: float = 0.0
    seconds: float | None = None
    problem: str = ""
    looked: bool = False

    def left(self, now: float) -> float | None:
        """Return the seconds that what it is doing will take, by its rate so far; None where that is not known."""
        if self.state != RUNNING or not self.total or not self.done:
            return None
        return (now - self.task_began) * max(0, self.total - self.done) / self.done


class Watcher(Protocol):
    """Receives how the steps go."""

    def changed(self, state: State) -> None:
        """A step changed its state."""

    def moved(self) -> None:
        """Some step went on, or time passed."""

    def message(self, text: str) -> None:
        """Something is worth a line of its own."""


@dataclass
class Worker:
    """A process, and what it does."""

    device: str
    process: Any
    line: Connection
    life: Connection
    state: State | None = None
    part: str = ""


class Scheduler:
    """Does steps.

    Args:
        found: The steps to do, each behind those it needs.
        ledger: Which are done.
        devices: Words of ``--device``, one process each.
        workers: Processes that convert.
        command: The command line, for the record.
        watcher: Receives how it goes.
    """

    def __init__(
        self,
        found: Sequence[Step],
        ledger: Ledger,
        *,
        devices: Sequence[str],
        workers: int,
        command: str,
        watcher: Watcher,
    ) -> None:
        self.ledger, self.watcher = ledger, watcher
        self.states = {step.name: State(step) for step in found}
        self._place: Place = ledger.place
        self._devices, self._converters, self._command = list(devices), workers, command
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[Worker] = []

    def run(self) -> list[State]:
        """Do everything that is not done; return how far every step is.

        Raises:
            OutputError: Another process is at it.
            KeyboardInterrupt: A signal came. What was done is kept, and runs have written checkpoints.
        """
        try:
            while True:
                self._settle()
                ready = self._ready()
                for place in self._free():
                    step = self._next(ready, place)
                    if step is not None:
                        ready.remove(step)
                        self._begin(step, place)
                if not any(one.state is not None for one in self._workers):
                    return list(self.states.values())
                self._listen()
        finally:
            self._end()

    def _settle(self) -> None:
        """Find what is recorded and what is blocked, until nothing changes any more."""
        for state in self.states.values():  # each comes after those it needs
            if state.state != WAITING or state.looked:
                continue
            step = state.step
            others = [self.states[name] for name in (*step.needs, *step.after) if name in self.states]
            if any(other.state not in SETTLED for other in others):
                continue
            state.looked = True
            lacking = [name for name in step.needs if not self.ledger.done(name)]
            if lacking:
                there = self.states.get(lacking[0])
                why = "which is not done" if there is None else f"which is {there.state}"
                self._set(state, BLOCKED, f"needs {lacking[0]}, {why}")
            elif step.kind == REPORT and not any(
                self.ledger.done(name) for name in step.after if name.startswith(f"{PRETRAIN}-")
            ):
                self._set(state, BLOCKED, "no run is finished")
            elif self.ledger.current(step):
                state.seconds = self.ledger.seconds(step.name)
                self._set(state, RECORDED)

    def _ready(self) -> list[Step]:
        """Return the steps that can begin now."""
        return [state.step for state in self.states.values() if state.state == WAITING and state.looked]

    def _free(self) -> list[int]:
        """Return the places of the devices on which nothing is done."""
        busy = {place for place, one in enumerate(self._workers) if one.state is not None}
        return [place for place in range(len(self._devices)) if place not in busy]

    def _next(self, ready: Sequence[Step], place: int) -> Step | None:
        """Return what a device does next: first of all what belongs to what it did last.

        No two devices are at one run, of which they would compute the same features.
        """
        busy = {one.part for one in self._workers if one.state is not None}
        free = [step for step in ready if step.part not in busy]
        last = self._workers[place].part if place < len(self._workers) else ""
        return next((step for step in free if step.part == last), free[0] if free else None)

    def _begin(self, step: Step, place: int) -> None:
        while len(self._workers) <= place:
            self._workers.append(self._start(self._devices[len(self._workers)]))
        one = self._workers[place]
        if one.line.closed:
            one = self._workers[place] = self._start(one.device)
        state = self.states[step.name]
        state.device, state.began = one.device, time.monotonic()
        one.state, one.part = state, step.part
        self._set(state, RUNNING)
        try:
            one.line.send((step, self._finished(step)))
        except OSError:
            self._died(one)

    def _finished(self, step: Step) -> list[str]:
        """Return the names of the finished runs of which a step makes something."""
        return [
            name.removeprefix(f"{PRETRAIN}-")
            for name in step.after
            if name.startswith(f"{PRETRAIN}-") and self.ledger.done(name)
        ]

    def _start(self, device: str) -> Worker:
        """Start a process for a device."""
        ours, theirs = self._context.Pipe()
        here, there = self._context.Pipe()
        on_cpu = sum(word == "cpu" for word in self._devices)
        threads = max(1, torch.get_num_threads() // on_cpu) if device == "cpu" and on_cpu > 1 else 0
        process = self._context.Process(
            target=worker.serve,
            args=(theirs, there, self._place, device, self._converters, threads, self._command),
        )
        signals.start(process)
        theirs.close()
        there.close()
        return Worker(device, process, ours, here)

    def _listen(self) -> None:
        """Take what the workers say, for at most half a second."""
        lines = {one.line: one for one in self._workers if one.state is not None}
        for line in wait(list(lines), timeout=0.5):
            one = lines[line]  # type: ignore[index]
            try:
                kind, content = one.line.recv()
            except (EOFError, OSError):
                self._died(one)
                continue
            self._take(one, kind, content)
        self.watcher.moved()

    def _take(self, one: Worker, kind: str, content: Any) -> None:
        state = one.state
        assert state is not None
        if kind == worker.MOVED:
            label, state.done, state.total, state.unit, state.values = content
            if (label, state.done) == (label, 0) or label != state.label:
                state.task_began = time.monotonic()
            state.label = label
        elif kind == worker.SAID:
            self.watcher.message(f"{state.step.name}: {content}")
        elif kind == worker.DONE:
            state.seconds = time.monotonic() - state.began
            one.state = None
            self.ledger.finish(state.step, content, state.seconds)
            self._set(state, DONE)
        elif kind == worker.FAILED:
            one.state = None
            problem, trace = content
            self._fail(state, problem, trace)
            if trace:  # who knows in which state that left the process, or its device
                self._dismiss(one)
        elif kind == worker.STOPPED:
            raise KeyboardInterrupt

    def _died(self, one: Worker) -> None:
        """A worker ended in the midst of a step."""
        one.process.join()
        code = one.process.exitcode
        why = f"exit status {code}"
        if code is not None and code < 0:
            why = f"{signal.Signals(-code).name}, which the system sends for lack of memory" \
                if -code == signal.SIGKILL else signal.Signals(-code).name  # fmt: skip
        state, one.state = one.state, None
        if state is not None:
            self._fail(state, f"its process ended ({why})", "")
        self._dismiss(one)

    def _fail(self, state: State, problem: str, trace: str) -> None:
        state.seconds = time.monotonic() - state.began
        self.ledger.fail(state.step, f"{problem}\n{trace}")
        self._set(state, FAILED, problem)

    def _set(self, state: State, word: str, problem: str = "") -> None:
        state.state, state.problem = word, problem
        self.watcher.changed(state)

    def _dismiss(self, one: Worker) -> None:
        """End a worker that does nothing; the next step of its device gets a new one."""
        if not one.line.closed:
            one.line.close()
        one.process.join(_ASK_AGAIN)
        if one.process.is_alive():
            one.process.kill()
            one.process.join()
        one.life.close()

    def _end(self) -> None:
        """Let every worker end: an idle one at once, one at work when it has kept what it has done."""
        busy = [one for one in self._workers if one.state is not None and one.process.is_alive()]
        try:
            if busy:
                names = ", ".join(one.state.step.name for one in busy if one.state is not None)
                self.watcher.message(f"Stopping: {names}. A run writes a checkpoint first.")
            for one in self._workers:
                if one not in busy and not one.line.closed:
                    one.line.close()
            while busy:
                for one in busy:
                    with suppress(ProcessLookupError, TypeError):
                        os.kill(one.process.pid, signal.SIGTERM)
                deadline = time.monotonic() + _ASK_AGAIN
                while busy and time.monotonic() < deadline:
                    busy = [one for one in busy if not self._stopped(one)]
        finally:
            for one in self._workers:
                self._dismiss(one)

    def _stopped(self, one: Worker) -> bool:
        """Wait a moment for a worker to stop; note a step that it finished all the same."""
        try:
            if not one.line.poll(0.1):
                return not one.process.is_alive()
            kind, content = one.line.recv()
        except (EOFError, OSError):
            return True
        state = one.state
        if kind == worker.DONE and state is not None:
            self.ledger.finish(state.step, content, time.monotonic() - state.began)
        return kind in (worker.DONE, worker.FAILED, worker.STOPPED)


@contextmanager
def alone(root: Path | None) -> Iterator[None]:
    """Keep other processes from working at a folder; None for none.

    Raises:
        OutputError: Another one is at it.
    """
    handle = os.open(root, os.O_RDONLY) if os.name == "posix" and root is not None else None
    try:
        if handle is not None:
            with suppress(OSError):  # a disk without locks
                if not lock(handle):
                    raise OutputError(
                        f"Another 'skeltools reproduce' is at work in {root}. Wait for it, or end it."
                    )
        yield
    finally:
        if handle is not None:
            os.close(handle)
