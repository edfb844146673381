"""The faults: each a function of a command and a seed that injects, looks, goes on and compares."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from faults.bench import Child, Command, Convert

CLOCK = """
import itertools, time
_true, _jumps = time.time, itertools.cycle([0, 86400, -3600, 1e6, -86400])
time.time = lambda: _true() + next(_jumps)
time.time_ns = lambda: int(time.time() * 1e9)
"""
"""Code that makes the wall clock jump at every look."""

PAGE = 4096
"""What a disk in memory gives room in."""


@dataclass
class Outcome:
    """What one trial gave.

    Attributes:
        fault: Name of the fault.
        command: Name of the command.
        trial: Number of the trial, the seed of its draws.
        hit: Whether the fault met the command while it ran.
        status: Exit status under the fault.
        partial: What lay under a final name and was partial or unreadable.
        lost: Work that had to be done again, in the command's unit.
        equal: Whether the next run gave what an undisturbed run gives.
        left: Temporary files left after the next run.
        faults: What else was not as promised, such as a traceback.
    """

    fault: str
    command: str
    trial: int
    hit: bool = True
    status: int = 0
    partial: list[str] = field(default_factory=list)
    lost: int = 0
    equal: bool = False
    left: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether everything is as promised."""
        return self.equal and not (self.partial or self.left or self.faults)


def trial_folder(command: Command, fault: str, trial: int) -> Path:
    """Return a new folder with what the command needs."""
    folder = command.bench.root / f"{command.name}-{fault}-{trial}".replace(" ", "-")
    folder.mkdir()
    command.prepare(folder)
    return folder


def end(outcome: Outcome, command: Command, folder: Path) -> Outcome:
    """Look at what the fault left, run the command again, compare, and delete the folder."""
    look(outcome, command, folder)
    return once_more(outcome, command, folder)


def once_more(outcome: Outcome, command: Command, folder: Path) -> Outcome:
    """Run the command again, compare, and delete the folder."""
    child = command.start(command.again(folder))
    if child.wait() != 0:
        outcome.faults.append(f"next run ended with {child.status}: {child.said[-300:]}")
    compare(outcome, command, folder)
    shutil.rmtree(folder)
    return outcome


def look(outcome: Outcome, command: Command, folder: Path) -> None:
    """Note what is partial and what is lost."""
    state = command.state(folder)
    outcome.partial += state.partial
    outcome.lost = max(outcome.lost, state.lost)


def compare(outcome: Outcome, command: Command, folder: Path) -> None:
    """Note whether the result is that of an undisturbed run, and nothing lies beside it."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        outcome.equal = command.result(folder) == command.whole
    outcome.left = command.state(folder).left


def refused(outcome: Outcome, child: Child, statuses: tuple[int, ...]) -> None:
    """A command that cannot go on ends with one of these statuses and, if that is 2, one line that says why."""
    outcome.status = child.status or 0
    last = (child.said.strip().splitlines() or [""])[-1]
    if outcome.status not in (0, *statuses):
        outcome.faults.append(f"status {outcome.status}: {last}")
    if "Traceback" in child.said or "Internal error" in child.said:
        outcome.faults.append(child.said[-600:])
    if outcome.status == 2 and not last.startswith("Error: "):
        outcome.faults.append(f"no error line: {last}")


def at_a_moment(
    outcome: Outcome, command: Command, words: Sequence[object], act: Callable[[Child], None], steps: int = 0
) -> Child:
    """Start a command, and act while it stands still at a random one of its `steps`; then it goes on."""
    draw = random.Random(f"{outcome.fault} {command.name} {outcome.trial} {steps}")
    step = draw.randint(1, steps or command.steps)
    child = command.start(words, step=step)
    outcome.hit = child.stopped()
    if not outcome.hit:
        outcome.faults.append(f"ended before step {step} with {child.wait()}: {child.said[-300:]}")
    act(child)
    child.go_on()
    return child


def kill(command: Command, trial: int) -> Outcome:
    """kill -9 at a random step; every third time once more in the run that goes on."""
    folder = trial_folder(command, "kill", trial)
    outcome = Outcome("kill -9", command.name, trial)
    for again in range(1 + (trial % 3 == 2)):
        words, steps = (command.again(folder), left(command, folder)) if again else (command.first(folder), 0)
        if again and not steps:
            break
        child = at_a_moment(outcome, command, words, lambda child: child.send(signal.SIGKILL), steps)
        outcome.status = child.wait()
        if outcome.status != -signal.SIGKILL:
            outcome.faults.append(f"status {outcome.status} after kill -9")
        look(outcome, command, folder)
    return end(outcome, command, folder)


def left(command: Command, folder: Path) -> int:
    """Return how many steps the run that goes on would take, from one in a copy of the folder of its name."""
    aside = folder.with_name(f"{folder.name}-aside")
    folder.rename(aside)
    shutil.copytree(aside, folder)
    steps = command.must(command.again(folder), step=0).steps()
    shutil.rmtree(folder)
    aside.rename(folder)
    return steps


def terminate(command: Command, trial: int) -> Outcome:
    """SIGTERM at a random step, to the whole group."""
    return ask_to_end(command, trial, signal.SIGTERM)


def interrupt(command: Command, trial: int) -> Outcome:
    """SIGINT, as from Ctrl-C, at a random step, to the whole group."""
    return ask_to_end(command, trial, signal.SIGINT)


def ask_to_end(command: Command, trial: int, kind: signal.Signals) -> Outcome:
    """Send a signal that a command answers by cleaning up."""
    folder = trial_folder(command, kind.name, trial)
    outcome = Outcome(kind.name, command.name, trial)
    child = at_a_moment(outcome, command, command.first(folder), lambda child: child.send(kind))
    child.wait()
    refused(outcome, child, (128 + kind, -kind))
    if not isinstance(command, Convert) and outcome.status == 128 + kind:
        outcome.left = command.state(folder).left
        outcome.faults += [f"left {name}" for name in outcome.left]
    return end(outcome, command, folder)


@contextlib.contextmanager
def disk(folder: Path, size: int) -> Iterator[None]:
    """A disk of `size` bytes at `folder`; needs root."""
    folder.mkdir(exist_ok=True)
    mount("-t", "tmpfs", "-o", f"size={size}", "none", str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def mount(*words: str) -> None:
    """Run mount."""
    subprocess.run(["mount", *words], check=True, capture_output=True)


def can_mount(folder: Path) -> bool:
    """Whether this process may mount."""
    try:
        with disk(folder / "mounted", 1 << 20):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def full_disk(command: Command, trial: int) -> Outcome:
    """There is room for a random share of what the command writes; then for all."""
    place = command.bench.root / f"{command.name}-disk-{trial}".replace(" ", "-")
    outcome = Outcome("disk full", command.name, trial)
    with disk(place, 1 << 30):
        folder = place / "trial"
        folder.mkdir()
        command.prepare(folder)
        used = shutil.disk_usage(place).used
        pages = command.copies * sum(-(-size // PAGE) for size in command.written)
        share = random.Random(f"disk {command.name} {trial}").uniform(0, 1)
        mount("-o", f"remount,size={used + PAGE * int(share * pages)}", str(place))
        child = command.start(command.first(folder))
        outcome.hit = child.wait() != 0
        refused(outcome, child, command.refusals)
        look(outcome, command, folder)
        mount("-o", f"remount,size={1 << 30}", str(place))
        once_more(outcome, command, folder)
    place.rmdir()
    return outcome


def file_limit(command: Command, trial: int) -> Outcome:
    """No file may grow beyond a random share of the largest that the command writes (ulimit -f)."""
    folder = trial_folder(command, "limit", trial)
    share = random.Random(f"limit {command.name} {trial}").uniform(0.02, 0.98)
    limit = max(1, int(share * max(command.written)))
    child = command.start(
        command.first(folder), before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    )
    outcome = Outcome("file-size limit", command.name, trial, hit=child.wait() != 0)
    refused(outcome, child, command.refusals)
    return end(outcome, command, folder)


def read_only(command: Command, trial: int) -> Outcome:
    """The output's disk is mounted read-only; then it is not."""
    place = command.bench.root / f"{command.name}-ro-{trial}".replace(" ", "-")
    outcome = Outcome("read-only folder", command.name, trial)
    with disk(place, 1 << 30):
        folder = place / "trial"
        folder.mkdir()
        command.prepare(folder)
        mount("-o", "remount,ro", str(place))
        child = command.start(command.first(folder))
        if child.wait() == 0:
            outcome.faults.append("ended well on a read-only disk")
        refused(outcome, child, command.refusals)
        look(outcome, command, folder)
        mount("-o", "remount,rw", str(place))
        once_more(outcome, command, folder)
    place.rmdir()
    return outcome


def clock(command: Command, trial: int) -> Outcome:
    """The wall clock jumps to and fro at every look."""
    folder = trial_folder(command, "clock", trial)
    site = command.bench.root / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(CLOCK)
    child = command.start(
        command.first(folder),
        before=(lambda: exec(CLOCK, {})) if command.bench.fork else None,
        env={"PYTHONPATH": str(site)},
    )
    outcome = Outcome("clock jumps", command.name, trial)
    if child.wait() != 0:
        outcome.faults.append(f"status {child.status}: {child.said[-300:]}")
    compare(outcome, command, folder)
    return end(outcome, command, folder)


def two_writers(command: Command, trial: int) -> Outcome:
    """Two processes write one output: the second begins, and reaches a step of its own, within the first."""
    folder = trial_folder(command, "two", trial)
    outcome = Outcome("two writers", command.name, trial)
    first = command.first(folder)
    words = [first, first]
    if command.name in ("convert", "pretrain"):
        extra = [[], ["--resume"], ["--replace"]][trial % 3]
        words = [first if trial % 2 else [*first, *extra], [*first, *extra]]
    second = random.Random(f"second {command.name} {trial}").randint(1, command.steps)
    children: list[Child] = []

    def begin(_: Child) -> None:
        children.append(command.start(words[1], step=second))
        children[0].stopped()  # or refused before that
        children[0].go_on()

    children.append(at_a_moment(outcome, command, words[0], begin))
    for child in children:
        child.wait()
    for child in children:
        refused(outcome, child, command.refusals)
    if all(child.status for child in children):
        outcome.faults.append(f"neither ended well: {[child.said[-200:] for child in children]}")
    with contextlib.suppress(OSError, ValueError, KeyError):
        if command.result(folder) != command.whole:
            outcome.partial.append("the output is not that of one process")
    return end(outcome, command, folder)


def vanishing_file(command: Command, trial: int) -> Outcome:
    """Raw files vanish while they are converted, and come back."""
    assert isinstance(command, Convert)
    folder = trial_folder(command, "vanish", trial)
    moments = random.Random(f"vanish {trial}")
    raw = folder / "raw"
    shutil.copytree(command.bench.raw, raw)
    away = folder / "away"
    away.mkdir()
    words = [raw if word == command.bench.raw else word for word in command.first(folder)]
    files = moments.sample(sorted(raw.rglob("*.skeleton")), 20)
    outcome = Outcome("a file vanishes", command.name, trial)

    def vanish(_: Child) -> None:
        for path in files:
            path.rename(away / path.name)

    child = at_a_moment(outcome, command, words, vanish)
    child.wait()
    refused(outcome, child, command.refusals)
    for path in files:
        (away / path.name).rename(path)
    look(outcome, command, folder)
    child = command.start([*words, "--resume"])
    if child.wait() != 0:
        outcome.faults.append(f"next run ended with {child.status}: {child.said[-300:]}")
    compare(outcome, command, folder)
    shutil.rmtree(folder)
    return outcome


def truncated_archive(command: Command, trial: int) -> Outcome:
    """An archive that ends early, such as after a broken download; then it is fetched again."""
    assert isinstance(command, Convert)
    folder = trial_folder(command, "archive", trial)
    whole, archive = command.bench.root / "whole.zip", folder / "raw.zip"
    if not whole.exists():
        shutil.make_archive(str(whole.with_suffix("")), "zip", command.bench.raw)
    shutil.copyfile(whole, archive)
    share = random.Random(f"archive {trial}").uniform(0, 0.999)
    os.truncate(archive, int(share * archive.stat().st_size))
    words = [archive if word == command.bench.raw else word for word in command.first(folder)]
    child = command.start(words)
    outcome = Outcome("truncated archive", command.name, trial)
    if child.wait() == 0:
        outcome.faults.append("ended well on a truncated archive")
    refused(outcome, child, command.refusals)
    look(outcome, command, folder)
    shutil.copyfile(whole, archive)
    child = command.start([*words, "--resume"])
    if child.wait() != 0:
        outcome.faults.append(f"next run ended with {child.status}: {child.said[-300:]}")
    compare(outcome, command, folder)
    shutil.rmtree(folder)
    return outcome


Fault = Callable[[Command, int], Outcome]

KILL: Fault = kill
MOUNTED: tuple[Fault, ...] = (full_disk, read_only)
"""Faults that need root."""
OTHERS: tuple[Fault, ...] = (terminate, interrupt, file_limit, clock, two_writers)
READING: tuple[Fault, ...] = (vanishing_file, truncated_archive)
"""Faults of raw files, for `convert` alone."""
