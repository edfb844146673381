"""The tutorial "Your own recordings" runs as it stands, block by block."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial-your-recordings.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_every_block_of_the_tutorial_runs(tmp_path: Path) -> None:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1",
        "SKELTOOLS_CACHE": str(tmp_path / "cache"),
    }  # fmt: skip
    commands = 0
    for language, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if language == "sh":
            for line in text.strip().splitlines():
                done = subprocess.run(
                    line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True
                )
                assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
                commands += 1
        else:  # a file, whose name is in its first line
            (tmp_path / text.split()[1]).write_text(text, encoding="utf-8")
    assert commands == 11
    with (tmp_path / "timeline.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    best = [row["class1"] for row in rows]
    assert best[0] == best[-1] == "wave"
    assert "bend" in best
    assert (tmp_path / "timeline.html").stat().st_size > 10_000
