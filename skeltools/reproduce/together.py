"""Doing the steps of a plan in the processes that ``torchrun`` started, of one machine or of several.

They do one step after the other: pretraining and evaluations all together, everything else the first of them alone.
The first one also decides what is next, writes, and shows progress; the others do as it says until it dismisses
them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from skeltools.errors import RunError
from skeltools.progress import SILENT
from skeltools.reproduce import schedule, worker
from skeltools.reproduce.schedule import Scheduler, State
from skeltools.reproduce.steps import EVAL, PRETRAIN, Place, Step
from skeltools.reproduce.work import Tools
from skeltools.training.distributed import World, joined, started

SHARED = (PRETRAIN, EVAL)
"""Kinds of steps that all processes do together."""

_PATIENCE = timedelta(days=30)
"""For which the others wait while the first one converts, say."""

Order = tuple[Step, list[str], Place]


def asked() -> bool:
    """Tell whether ``torchrun`` started several processes, of which this is one."""
    return not started().alone


class Team:
    """The processes, as one of them sees them.

    Args:
        world: The processes.
        device: Word of ``--device``.
        command: The command line, for the record.
    """

    def __init__(self, world: World, device: str, command: str) -> None:
        self.world, self.device, self.command = world, device, command
        self._line = dist.new_group(backend="gloo", timeout=_PATIENCE)
        self._busy = False

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that says what is done."""
        return self.world.is_main

    def follow(self) -> int:
        """Do what the first process says until it has no more to do, or is gone; return the status to end with.

        Raises:
            KeyboardInterrupt: A signal came.
        """
        while True:
            order: list[Order | int] = [1]
            try:
                dist.broadcast_object_list(order, group=self._line)
            except RuntimeError:  # the first process has ended
                return 1
            if isinstance(order[0], int):
                return order[0]
            step, runs, place = order[0]
            tools = Tools(place, self.device, 1, self.command, SILENT)
            if any(kind == worker.STOPPED for kind, _ in self._compared(worker.outcome(step, tools, runs))):
                raise KeyboardInterrupt

    def do(self, step: Step, tools: Tools, runs: list[str]) -> tuple[str, Any]:
        """Do a step, with the others where it is one of `SHARED`; return what became of it in all of them.

        Raises:
            RunError: It failed with an error that was not foreseen, after which it is not known where each process is.
        """
        if step.kind not in SHARED:
            return worker.outcome(step, tools, runs)
        self._busy = True
        dist.broadcast_object_list([(step, runs, tools.place)], group=self._line)
        found = self._compared(worker.outcome(step, tools, runs))
        self._busy = False
        if any(kind == worker.STOPPED for kind, _ in found):
            self._busy = True  # the others are leaving
            return worker.STOPPED, None
        return next((one for one in found if one[0] == worker.FAILED), found[0])

    def _compared(self, own: tuple[str, Any]) -> list[tuple[str, Any]]:
        """Return what became of a step in every process."""
        found: list[Any] = [None] * self.world.size
        dist.all_gather_object(found, own, group=self._line)
        return found

    def dismiss(self, status: int) -> None:
        """Let the others end with a status, if they wait for what is next; torchrun takes one for all."""
        if self.is_main and not self._busy:
            with suppress(RuntimeError):  # they are gone
                dist.broadcast_object_list([status], group=self._line)


@contextmanager
def gathered(device: str, command: str) -> Iterator[Team]:
    """Join the processes; yield them, and dismiss the others in the end."""
    with joined(torch.device(device)) as (world, _):
        team = Team(world, device, command)
        try:
            yield team
        except BaseException:
            team.dismiss(1)
            raise
        team.dismiss(0)


class Together(Scheduler):
    """Does steps one after the other, each in all processes that can take part in it.

    Args:
        team: The processes.
    """

    def __init__(self, found: Sequence[Step], team: Team, **words: Any) -> None:
        super().__init__(found, command=team.command, **words)
        self._team = team

    def run(self) -> list[State]:
        """Do everything that is not done; return the state of every step.

        Raises:
            KeyboardInterrupt: A signal came. What was done is kept, and runs have written checkpoints.
            RunError: A step failed with an error that nobody foresaw.
        """
        while True:
            self._settle()
            ready = self._ready()
            if not ready:
                return list(self.states.values())
            self._do(ready[0])

    def _do(self, step: Step) -> None:
        state = self.states[step.name]
        state.device, state.began = self._devices[0], time.monotonic()
        line = _Here(self, state)
        tools = Tools(self._place, self._devices[0], self._converters, self._command, worker.Reporter(line))
        self._set(state, schedule.RUNNING)
        kind, content = self._team.do(step, tools, self._finished(step))
        line.send((kind, content))
        if kind == worker.FAILED and content[1] and step.kind in SHARED:
            raise RunError(
                f"{step.name} failed in one of the processes, and how far the others are is not known: {content[0]}. "
                "Give the same command again to go on."
            )

    def heard(self, state: State, kind: str, content: Any) -> None:
        """Take what a step said that is done here."""
        here: Any = None
        self._take(schedule.Worker(state.device, here, here, here, state), kind, content)
        self.watcher.moved()

    def _dismiss(self, one: schedule.Worker) -> None:
        """There is nobody to dismiss: steps are done here."""


class _Here:
    """In place of the pipe to a worker: what a step sends is taken at once."""

    def __init__(self, scheduler: Together, state: State) -> None:
        self._scheduler, self._state = scheduler, state

    def send(self, message: tuple[str, Any], /) -> None:
        """Take it."""
        self._scheduler.heard(self._state, *message)
