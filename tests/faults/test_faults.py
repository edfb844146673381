"""A few of the faults of ``make faults``, in a process of their own, which forks for every command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
FAULTS = ("kill", "file_limit", "two_writers")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork, signals and limits are POSIX")
def test_a_few_faults(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    words = [
        "--kills",
        "1",
        "--others",
        "1",
        "--only",
        ",".join(FAULTS),
        "--commands",
        "convert,pretrain,export",
    ]
    ended = subprocess.run(
        [sys.executable, FOLDER, *words, "--log", log], capture_output=True, text=True, timeout=1800
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    outcomes = [json.loads(line) for line in log.read_text().splitlines()]
    assert {outcome["fault"] for outcome in outcomes} == {"kill -9", "file-size limit", "two writers"}
    assert all(outcome["equal"] and not outcome["partial"] for outcome in outcomes)
    full = [outcome for outcome in outcomes if outcome["fault"] == "file-size limit"]
    assert all(outcome["status"] == 2 for outcome in full)
    kills = [outcome for outcome in outcomes if outcome["fault"] == "kill -9"]
    assert all(outcome["status"] == -9 for outcome in kills)
    assert all(outcome["hit"] for outcome in outcomes)
    assert {outcome["command"].split()[0] for outcome in outcomes} == {"convert", "pretrain", "export"}
