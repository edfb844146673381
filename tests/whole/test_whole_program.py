"""The main job as a user types it, in a fresh folder; and its faults, one line each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from skeltools.cli.main import main

TINY = [
    "--set", "model.width=4", "--set", "model.dim=16", "--set", "model.embedding=8", "--set", "model.heads=2",
    "--set", "queue.size=32", "--batch-size", "16", "--epochs", "1",
]  # fmt: skip


def _run(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "skeltools", *args], cwd=folder, capture_output=True, text=True, timeout=1800
    )


JOB: tuple[tuple[str, ...], ...] = (
    ("synth", "ntu60", "raw/", "--clips", "100", "--workers", "1"),
    ("convert", "ntu60", "raw/", "ntu60.h5", "--workers", "1"),
    ("pretrain", "ntu60.h5", "--split", "xsub", "--stream", "joint", "--out", "runs/joint", *TINY),
    ("eval", "runs/joint", "--protocol", "linear", "--epochs", "5"),
    ("eval", "runs/joint", "--protocol", "knn", "--set", "knn.k=[1,5]"),
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the main job has run as far as a pretrained and evaluated run, in this process."""
    folder = tmp_path_factory.mktemp("job")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for args in (
            *JOB,
            ("eval", "runs/joint", "--protocol", "knn", "--init", "random", "--set", "knn.k=[1]"),
            ("eval", "runs/joint", "--protocol", "knn", "--baseline", "standardised", "--set", "knn.k=[1]"),
            ("eval", "runs/joint", "--protocol", "linear", "--baseline", "raw", "--epochs", "2"),
        ):
            done = CliRunner().invoke(main, args)
            assert done.exit_code == 0, f"{args}: {done.stderr}"
    return folder


@pytest.mark.slow
def test_the_main_job_in_processes_of_its_own(place: Path, tmp_path: Path) -> None:
    """As users start it; the results are those of one process that did it all."""
    for args in JOB:
        result = _run(tmp_path, *args)
        assert result.returncode == 0, f"{args}: {result.stderr}"
        assert "Traceback" not in result.stderr
    ours, theirs = (
        json.loads(next((folder / "runs/joint/results").glob("linear-pretrained*.json")).read_text())
        for folder in (place, tmp_path)
    )
    for key in ("key", "top1", "per_class", "data_digest", "checkpoint_digest"):
        assert ours[key] == theirs[key], key


def test_the_report_holds_every_result(place: Path) -> None:
    result = _run(place, "report", "runs/joint")
    assert result.returncode == 0
    assert result.stdout.strip().startswith("ntu60 xsub: ")
    for word in ("linear", "knn k=1", "knn k=5", "pretrained", "random, standardised", "raw coordinates"):
        assert word in result.stdout
    records = json.loads(_run(place, "report", "runs/joint", "--json").stdout)
    assert len(records) == 6
    assert {record["epoch"] for record in records if record["subject"] == "pretrained"} == {1}
    assert all(record["settings"] for record in records)
    assert len({record["data_digest"] for record in records}) == 1


def test_inspect_speaks_of_the_data(place: Path) -> None:
    result = _run(place, "inspect", "ntu60.h5")
    assert result.returncode == 0
    assert "NTU RGB+D 60" in result.stdout
    assert "xsub" in result.stdout


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (("eval", "runs/none", "--protocol", "knn"), "runs/none"),
        (
            ("eval", "runs/joint", "--protocol", "liner"),
            "Did you mean 'linear'?",
        ),
        (("eval", "runs/joint", "--protocol", "knn", "--split", "xset"), "xset"),
        (("eval", "runs/joint", "--protocol", "knn", "--data", "raw/x.h5"), "raw/x.h5"),
        (
            ("eval", "runs/joint", "--protocol", "knn", "--epochs", "3"),
            "takes no --epochs",
        ),
        (("eval", "runs/joint", "--protocol", "knn", "--device", "tpu"), "Unknown device 'tpu'."),
        (
            ("pretrain", "ntu60.h5", "--stream", "joint", "--split", "xsub", "--out", "runs/joint"),
            "runs/joint already exists",
        ),
        (("pretrain", "ntu60.h5", "--stream", "joint", "--split", "xset", "--out", "runs/new"), "xset"),
        (
            (
                "pretrain",
                "ntu60.h5",
                "--stream",
                "joint",
                "--split",
                "xsub",
                "--out",
                "runs/new",
                "--batch-size",
                "5000",
            ),
            "5000",
        ),
        (
            (
                "pretrain",
                "ntu60.h5",
                "--stream",
                "joint",
                "--split",
                "xsub",
                "--out",
                "runs/new",
                "--set",
                "train.lrr=1",
            ),
            "train.lr",
        ),
        (
            ("convert", "ntu60", "raw/", "ntu60.h5"),
            "ntu60.h5 already exists. Use --replace to write it again.",
        ),
        (("convert", "ntu60", "nowhere/", "new.h5"), "nowhere"),
        (("convert", "ntu", "raw/", "new.h5"), "ntu60"),
        (("inspect", "runs/joint/run.json"), "runs/joint/run.json"),
        (("report", "raw"), "raw"),
    ],
)
def test_wrong_use_is_one_line_and_leaves_nothing_behind(
    place: Path, args: tuple[str, ...], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One in a process of its own, as users start it; the others in this one."""
    before = sorted(place.rglob("*"))
    result: Any
    if line == "Did you mean 'linear'?":
        result = _run(place, *args)
        assert result.returncode == 2, result.stderr
    else:
        monkeypatch.chdir(place)
        result = CliRunner().invoke(main, args)
        assert result.exit_code == 2, result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert line in result.stderr.splitlines()[-1]
    assert sorted(place.rglob("*")) == before
