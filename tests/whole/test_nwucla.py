"""Pretraining learns from real recordings: NW-UCLA from its archive, where that is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


def skeltools(*words: object) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "skeltools", *map(str, words)],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def top1(run: Path, *words: str) -> dict[str, float]:
    """Accuracy of the last epoch on the test view, by protocol."""
    found: dict[str, float] = {}
    for protocol in ("knn", "linear"):
        text = skeltools("eval", run, "--protocol", protocol, "--device", "cpu", "--json", *words)
        found |= {
            f"{record['protocol']} {record['variant']}".strip(): record["top1"] for record in json.loads(text)
        }
    return found


@pytest.mark.long
def test_four_minutes_of_pretraining_beat_raw_coordinates_on_a_new_view(shared: Path, tmp_path: Path) -> None:
    """The motion stream by the packaged recipe; docs/lab/results-nwucla.md has three seeds of it."""
    data, run = tmp_path / "nw32.h5", tmp_path / "motion"
    skeltools("convert", "nwucla", shared / "real" / "nwucla_all_sqe.zip", data, "--frames", 32)
    skeltools(
        "pretrain", data, "--split", "xview", "--stream", "motion", "--recipe", "nwucla-bigru", "--device", "cpu",
        "--out", run,
    )  # fmt: skip
    pretrained, raw = top1(run), top1(run, "--baseline", "raw")
    assert pretrained["knn k=1"] > raw["knn k=1"]
    assert pretrained["linear"] > raw["linear"]
