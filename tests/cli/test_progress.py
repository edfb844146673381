"""What a long run says of itself: in a terminal, and in a log that nobody watches."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from clipfiles import TINY, make_clips
from terminals import Terminal

from skeltools.cli import _progress
from skeltools.environment import Neighbours, crowded, device_name
from skeltools.progress import Silent
from skeltools.runs.folder import Run
from skeltools.runs.settings import resolve_recipe
from skeltools.store import ClipFile
from skeltools.training import engine


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"))


class Clock:
    """Stands in for the time module."""

    def __init__(self, tick: float = 0.0) -> None:
        self.now, self.tick = 1000.0, tick

    def monotonic(self) -> float:
        self.now += self.tick
        return self.now


def lines_of(monkeypatch: pytest.MonkeyPatch, total: int | None, step: float, count: int) -> list[str]:
    """What is written of a task of `total` clips when each of `count` takes `step` seconds."""
    clock, stream = Clock(), io.StringIO()
    monkeypatch.setattr(_progress, "time", clock)
    lines = _progress.Lines(stream)
    lines.start("Pretraining", total)
    for number in range(count):
        clock.now += step
        lines.status(epoch=f"{number * 300 // count + 1}/300", loss=2.5)
        lines.advance()
    lines.finish()
    return stream.getvalue().splitlines()


def test_a_short_task_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines_of(monkeypatch, 20, 1.0, 20) == [
        "Pretraining: 20/20 clips (100 %), 1.0 clips/s, 20 seconds  epoch 286/300  loss 2.500"
    ]


def test_a_task_of_an_hour_has_a_line_a_minute_with_epoch_and_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = lines_of(monkeypatch, 3600, 1.0, 3600)
    assert len(lines) == 60
    assert lines[0] == (
        "Pretraining: 60/3,600 clips (2 %), 1.0 clips/s, 60 seconds, 59 minutes left  epoch 5/300  loss 2.500"
    )
    assert lines[-2].endswith("(98 %), 1.0 clips/s, 59 minutes, 60 seconds left  epoch 295/300  loss 2.500")


def test_a_task_of_a_day_has_a_line_per_cent(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of(monkeypatch, 86400, 1.0, 86400)
    assert lines[0].startswith(
        "Pretraining: 60/86,400 clips (0 %), 1.0 clips/s, 60 seconds, 24 hours left  epoch 1/300"
    )
    assert len(lines) == 101


def test_a_task_of_weeks_has_a_line_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """It had 8,600 lines per day."""
    lines = lines_of(monkeypatch, 47 * 1440, 60.0, 47 * 1440)
    assert lines[1] == (
        "Pretraining: 61/67,680 clips (0 %), 0.0 clips/s, 61 minutes, 47 days left  epoch 1/300  loss 2.500"
    )
    assert len(lines) == pytest.approx(47 * 24, abs=2)


def test_a_task_of_unknown_size_tells_no_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of(monkeypatch, None, 30.0, 4)
    assert lines[0] == "Pretraining: 2 clips, 0.0 clips/s, 60 seconds  epoch 76/300  loss 2.500"
    assert len(lines) == 3


class Told(Silent):
    """Keeps the messages."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def message(self, text: str) -> None:
        self.texts.append(text)


def trained(path: Path, data: Path, *overrides: str) -> tuple[Run, list[str]]:
    small = [*TINY, "monitor.every=0", "train.batch_size=6", *overrides]
    resolved: Any = resolve_recipe(None, dataset="ntu60", split="xsub", stream="joint", overrides=small)
    told = Told()
    with ClipFile(data) as file:
        run = Run.create(path, resolved, file=file, split="xsub", stream="joint", seed=0, command="test")
        engine.Trainer(run, file, torch.device("cpu"), progress=told).train()
    return run, told.texts


def test_a_warning_says_when_it_takes_more_than_a_day_and_what_to_do(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps of 47 days / 15 each: three of eighteen are done when it is told."""
    monkeypatch.setattr(engine, "time", Clock(2 * 47 * 86400 / 15))
    run, told = trained(tmp_path / "run", data, "train.epochs=6")
    assert [text for text in told if text.startswith("Warning: this will")] == [
        "Warning: this will take about 47 days on this CPU. Less: a GPU, --set train.precision=bf16 where the device "
        "has it, fewer --epochs, or a smaller model, such as --recipe demo to try things. Ctrl-C stops it with a "
        f"checkpoint; skeltools pretrain --resume {run.path} goes on, also elsewhere."
    ]
    monkeypatch.setattr(engine, "time", Clock(2 * 86000 / 15))
    told = trained(tmp_path / "other", data, "train.epochs=6")[1]
    assert not any(text.startswith("Warning: this will") for text in told)


class Busy:
    """Other programs that take every core."""

    def cores(self) -> float:
        return float(os.cpu_count() or 1)


def test_other_programs_that_slow_several_threads_are_said_once(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "Neighbours", Busy)
    monkeypatch.setattr(engine, "crowded", lambda *numbers: str(numbers))
    told = trained(tmp_path / "run", data, "train.epochs=2")[1]
    there = os.cpu_count() or 1
    said = str((float(there), torch.get_num_threads(), there))
    assert told.count(said) == 1
    told = trained(tmp_path / "streamed", data, "train.epochs=2", "train.feed=stream")[1]
    assert said not in told, "the processes that read clips are the run's own"


@pytest.mark.parametrize(("threads", "cores", "advice"), [(2, 2, 1), (8, 8, 6), (1, 2, None), (6, 8, None)])
def test_a_warning_of_other_programs_says_how_many_threads_to_take(
    threads: int, cores: int, advice: int | None
) -> None:
    expected = (
        f"Warning: other programs take 1.6 of this machine's {cores} cores. Threads wait for one another, so that a "
        f"step then takes many times as long: it is faster alone, or with OMP_NUM_THREADS={advice} before the command."
    )
    assert crowded(1.6, threads, cores) == (expected if advice else None)


def test_neighbours_are_counted_without_oneself() -> None:
    """A process that works alone on its core is not its own neighbour."""
    watched = Neighbours()
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        pass
    found = watched.cores(0.2)
    assert found is not None
    assert 0 <= found <= (os.cpu_count() or 1)
    assert Neighbours().cores() is None


def command(data: Path, out: str) -> list[str]:
    words = [
        "pretrain",
        str(data),
        "--split",
        "xsub",
        "--stream",
        "joint",
        "--epochs",
        "2",
        "--batch-size",
        "6",
    ]
    words += ["--device", "cpu", "--out", out]
    for text in (*TINY, "monitor.every=0"):
        words += ["--set", text]
    return [sys.executable, "-m", "skeltools", *words]


FIRST = (
    f"Pretraining on {device_name(torch.device('cpu'))}, float32: 20 clips of ntu60 xsub, joint; 2 epochs of 3 steps, "
    "batch 6; 34,032 parameters."
)


@pytest.mark.slow
def test_a_log_begins_with_what_is_trained_and_where(tmp_path: Path, data: Path) -> None:
    done = subprocess.run(command(data, "run"), cwd=tmp_path, capture_output=True, text=True, check=True)
    *_, first, last = done.stderr.splitlines()  # after notices of settings made for other data
    assert first == FIRST
    assert re.fullmatch(
        r"Pretraining: 36/36 clips \(100 %\), [\d,.]+ clips/s, (a second|\d+ seconds)  epoch 2/2  loss .*",
        last,
    )


@pytest.mark.skipif(os.name != "posix", reason="terminals are POSIX")
def test_a_terminal_shows_the_same_line_and_a_bar_with_epoch_and_time_left(
    tmp_path: Path, data: Path
) -> None:
    with Terminal(command(data, "run"), columns=160, folder=tmp_path) as terminal:
        assert terminal.end() == 0
    assert FIRST in terminal.lines
    bars = [line for line in terminal.lines if line.startswith("Pretraining ") and "/36" in line]
    assert re.search(r"36/36 [\d,.]+ clips/s \d\d:\d\d$", bars[-1])
    assert any(line.strip().startswith("epoch 2/2  loss ") for line in terminal.lines)
    assert terminal.lines[-2] == "run: 2 epochs, 6 steps, finished."
