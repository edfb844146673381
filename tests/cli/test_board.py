"""How a plan is shown while it goes: what stands in the table, and what in plain lines."""

from __future__ import annotations

import io
import time
from types import SimpleNamespace

import pytest
from rich.console import Console

from skeltools.cli import _board
from skeltools.cli._board import Lines, Table, clock, remaining
from skeltools.reproduce import schedule
from skeltools.reproduce.schedule import State
from skeltools.reproduce.steps import Step


def state(name: str, kind: str, part: str, word: str, protocol: str = "", **more: object) -> State:
    facts = {"step": kind} | ({"protocol": protocol} if protocol else {})
    return State(Step(name, kind, part, facts, {}), word, **more)  # type: ignore[arg-type]


def some(now: float) -> list[State]:
    return [
        state("pretrain-a", "pretrain", "run:a", schedule.DONE, seconds=100.0),
        state("eval-a-knn", "eval", "run:a", schedule.FAILED, "knn", problem="k is too large"),
        state(
            "pretrain-b", "pretrain", "run:b", schedule.RUNNING, device="cuda:0", label="Pretraining", done=300,
            total=1200, unit="clips", values={"epoch": "2/9", "loss": 1.23456}, began=now - 30, task_began=now - 20,
        ),
        state("eval-b-knn", "eval", "run:b", schedule.WAITING, "knn"),
        state("report", "report", "report", schedule.WAITING),
    ]  # fmt: skip


@pytest.mark.parametrize(("seconds", "text"), [(None, "-"), (0.4, "0:00"), (65, "1:05"), (3725.2, "1:02:05")])
def test_spans_are_short(seconds: float | None, text: str) -> None:
    assert clock(seconds) == text


def test_the_time_left_is_that_of_steps_alike() -> None:
    now = time.monotonic()
    states = some(now)
    assert states[2].left(now) == pytest.approx(60)
    assert remaining(states, now) is None, "no kNN and no report has ended yet"
    states[1].state, states[1].seconds = schedule.DONE, 7.0
    states[4].state, states[4].seconds = schedule.RECORDED, 5.0
    assert remaining(states, now) == pytest.approx((100 - 30) + 7)


def test_the_table_has_a_line_for_each_part(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(_board, "time", SimpleNamespace(monotonic=lambda: now))  # the machine may be busy
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, color_system=None, width=110)
    table = Table(console)
    table.begin(some(now))
    table.end()
    lines = [line.rstrip() for line in stream.getvalue().splitlines()]
    (a,) = (line for line in lines if line.strip().startswith("a "))
    assert a.split() == ["a", "2/2", "done,", "1", "failed"]
    (b,) = (line for line in lines if line.strip().startswith("b "))
    assert b.split()[:4] == ["b", "0/2", "cuda:0", "pretrain:"]
    assert "Pretraining  25 %  epoch 2/9  loss 1.235" in b
    assert b.split()[-1] == "1:00"
    assert any(line.strip().startswith("2 of 5 steps") for line in lines)


def test_off_a_terminal_there_is_a_line_when_something_changes() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    states = some(time.monotonic())
    lines.begin(states)
    for one in states:
        lines.changed(one)
    lines.moved()
    states[2].state, states[2].seconds = schedule.DONE, 80.0
    lines.changed(states[2])
    assert stream.getvalue().splitlines() == [
        "[2/5] pretrain-a: done, 1:40",
        "[2/5] eval-a-knn: failed: k is too large",
        "[2/5] pretrain-b: begins on cuda:0",
        "[3/5] pretrain-b: done, 1:20",
    ]
