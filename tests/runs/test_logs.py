"""A run's log: any content is curves or one error, and what is lost of it is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from skeltools.errors import RunError
from skeltools.runs import log


def lines(*steps: int) -> list[str]:
    return [json.dumps({"kind": "step", "step": step, "epoch": 1, "loss": 0.5}) for step in steps]


def written(path: Path, content: list[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in content))
    return path


WRONG = [
    '{"kind": "step", "step": 1e999, "epoch": 1, "loss": 1}',
    '{"kind": "step", "step": 1' + "0" * 400 + ', "epoch": 1}',
    '{"kind": "step", "step": 1' + "0" * 30 + ', "epoch": 1}',
    '{"kind": "step", "step": 1.5, "epoch": 1}',
    '{"kind": "step", "step": "1", "epoch": "1"}',
    '{"kind": "step", "step": 1}',
    '{"kind": "step", "step": 1, "epoch": 1, "loss": "x"}',
    '{"kind": "step", "step": 1, "epoch": 1, "loss": [1, 2]}',
    '{"kind": "step", "step": 1, "epoch": 1, "loss": {}}',
    '{"kind": "step", "step": 1, "epoch": 1, "loss": 1' + "0" * 400 + "}",
    '{"kind": "step", "step": true, "epoch": 1}',
    '{"kind": "monitor", "step": 1, "knn_top1": "x"}',
    '{"kind": "monitor", "step": 1e400, "knn_top1": 1}',
    '{"kind": ["step"], "step": 1}',
    "[" * 100_000,
    "5",
    "\x00",
]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_line_is_one_error_and_no_step(tmp_path: Path, wrong: str) -> None:
    path = written(tmp_path / "log.jsonl", [wrong, *lines(1, 2, 3)])
    with pytest.raises(RunError, match="line 1: not a line of a training log") as caught:
        log.read(path)
    assert len(str(caught.value)) < 500 + len(str(path))
    log.Log(path, tmp_path, []).rewind(2)
    assert path.read_text().splitlines() == lines(1, 2)


def test_an_absent_value_is_no_number(tmp_path: Path) -> None:
    path = written(
        tmp_path / "log.jsonl", ['{"kind": "step", "step": 1, "epoch": 1, "loss": null}', *lines(2), '{"ki']
    )
    found = log.read(path)
    assert found.steps.tolist() == [1, 2]
    assert str(found.values["loss"].tolist()) == "[nan, 0.5]"


@pytest.mark.parametrize("there", [(1, 2, 3), (1, 2, 4, 5), (2, 3), (1,)])
def test_lost_lines_are_said(tmp_path: Path, there: tuple[int, ...]) -> None:
    """What a crash of the machine, or a hand, took from the end or the middle."""
    path = written(tmp_path / "log.jsonl", lines(*there))
    with pytest.raises(RunError, match=r"has no line of step \d, and the run is at step 5"):
        log.Log(path, tmp_path, []).rewind(5)
    assert path.read_text().splitlines() == lines(*there)


def test_a_step_that_is_far_off_reserves_no_memory(tmp_path: Path) -> None:
    path = written(tmp_path / "log.jsonl", lines(1, 2, 3, 10**12))
    for step in (10**12, 10**15):
        with pytest.raises(RunError, match="has no line of step 4, "):
            log.Log(path, tmp_path, []).rewind(step)


@pytest.mark.parametrize("there", [(), (4, 5), (1, 2, 3, 4, 5, 6, 7)])
def test_a_log_goes_on_where_it_is_whole_or_was_left_empty(tmp_path: Path, there: tuple[int, ...]) -> None:
    path = written(tmp_path / "log.jsonl", lines(*there))
    log.Log(path, tmp_path, []).rewind(5)
    assert path.read_text().splitlines() == lines(*(step for step in there if step <= 5))
