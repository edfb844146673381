"""A plan that is killed at random moments and gone on with gives the records of one that was not."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from reproducing import records, written

ENVIRONMENT = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
WATCHED = Path(__file__).with_name("watched.py")


@dataclass
class Watch:
    """A command that stands still at a step, or has ended.

    Attributes:
        process: The command.
        told: What the watched process wrote: ``at PID``, ``counted STEPS``, or nothing.
        log: Where its output went.
    """

    process: subprocess.Popen[bytes]
    told: str
    log: Path


def watch(where: str, number: int, plan: object, out: Path) -> Watch:
    """Start the command and wait until it stands still at a step, or ends."""
    pipe, log = out.with_name("told"), out.with_name("log")
    with contextlib.suppress(FileNotFoundError):
        pipe.unlink()
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with log.open("wb") as file:
            process = subprocess.Popen(
                [
                    sys.executable, WATCHED, where, str(number), pipe, "reproduce", str(plan), "--out", out,
                    "--workers", "1",
                ],
                stdout=file, stderr=file, env=ENVIRONMENT, start_new_session=True,
            )  # fmt: skip
        # A pipe of which nobody holds the other end yet reads as ended: that of the process tells its end.
        import select

        ended = os.pidfd_open(process.pid)
        try:
            while True:
                found = select.select([reader, ended], [], [])[0]
                if reader in found and (text := os.read(reader, 100).decode()):
                    return Watch(process, text, log)
                if ended in found:
                    return Watch(process, os.read(reader, 100).decode(), log)
        finally:
            os.close(ended)
    finally:
        os.close(reader)


def end(watch: Watch, whom: str) -> int:
    """Kill the starter, the process that stands still, or both; return the status in the end."""
    pid = int(watch.told.split()[1])
    if whom in ("starter", "both"):
        os.kill(watch.process.pid, signal.SIGKILL)
    if whom in ("stopped", "both"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return watch.process.wait()


def whole(plan: object, out: Path) -> None:
    """Do a plan, or what is left of it, to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "skeltools", "reproduce", str(plan), "--out", out, "--workers", "1"],
        env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, int]]:
    """A plan, the folder that it gives, and how many steps that takes, of the starter and of the worker."""
    folder = tmp_path_factory.mktemp("kills")
    plan, steps = written(folder), {}
    for where in ("starter", "worker"):
        seen = watch(where, 0, plan, folder / where)
        assert seen.process.wait() == 0, seen.log.read_text()
        assert seen.told.startswith("counted "), seen.log.read_text()
        steps[where] = int(seen.told.split()[1])
    assert records(folder / "starter") == records(folder / "worker")
    return plan, folder / "worker", steps


KILLS = (("worker", "both"), ("starter", "both"), ("worker", "starter"), ("worker", "stopped"))
"""Whose steps are counted, and who is killed; after the last one the starter goes on with all that is left."""


@pytest.mark.parametrize(
    "chain",
    [pytest.param(chain, marks=pytest.mark.long if chain else pytest.mark.slow) for chain in range(5)],
)
def test_killed_at_random_moments_and_gone_on_with_in_between(
    chain: int, undisturbed: tuple[Path, Path, dict[str, int]], tmp_path: Path
) -> None:
    """Five times four kills in one folder, each after up to a third of all steps from where the one before left it."""
    plan, made, steps = undisturbed
    draw, out = random.Random(f"reproduce {chain}"), tmp_path / "out"
    for where, whom in KILLS:
        seen = watch(where, draw.randint(1, steps[where] // 3), plan, out)
        assert seen.told.startswith("at "), f"it ended before: {seen.log.read_text()}"
        status = end(seen, whom)
        assert status == (1 if (where, whom) == ("worker", "stopped") else -signal.SIGKILL)
    whole(plan, out)
    assert records(out) == records(made)
    assert not list(out.rglob("*.part"))
    shutil.rmtree(out)


@pytest.mark.long
def test_quick_killed_at_twenty_random_moments(tmp_path: Path) -> None:
    """One after the other, in one folder: each kill comes on what the one before left."""
    seen = watch("clock", 0, "quick", tmp_path / "whole")
    assert seen.process.wait() == 0, seen.log.read_text()
    draw, out, took = random.Random("quick"), tmp_path / "out", int(seen.told.split()[1])
    for _ in range(20):
        if not killed(draw, "quick", out, took // 8):
            assert records(out) == records(tmp_path / "whole")
            shutil.rmtree(out)  # done already: from the beginning again
    whole("quick", out)
    assert records(out) == records(tmp_path / "whole")


def killed(draw: random.Random, plan: object, out: Path, most: int) -> bool:
    """Go on with a plan and kill it after up to `most` milliseconds of work; False where it ended before."""
    seen = watch("clock", draw.randint(1, most), plan, out)
    if seen.told.startswith("at "):
        end(seen, draw.choice(["both", "starter"]))
        return True
    assert seen.process.wait() == 0, seen.log.read_text()
    return False
