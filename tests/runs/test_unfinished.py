"""A run that was stopped is marked wherever its results are shown; one that lost its checkpoints is not begun again."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from clipfiles import TINY, make_clips
from trainedruns import log_of, stop_after

from skeltools.cli.main import main
from skeltools.runs.folder import Run
from skeltools.store import ClipFile
from skeltools.training.engine import Trainer

SETTINGS = [word for text in (*TINY, "monitor.every=0") for word in ("--set", text)]
KNN = ("--protocol", "knn", "--set", "knn.k=[1]", "--device", "cpu")


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``whole``, of two epochs of two steps, and ``stopped``, the same after its first step."""
    folder = tmp_path_factory.mktemp("runs")
    data = make_clips(folder, 8, 4)
    result = call(
        "pretrain", data, "--split", "xsub", "--stream", "joint", "--epochs", 2, "--batch-size", 4,
        "--device", "cpu", *SETTINGS, "--out", folder / "whole",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    shutil.copytree(folder / "whole", folder / "stopped")
    for path in (folder / "stopped" / "checkpoints").iterdir():
        path.unlink()
    (folder / "stopped" / "log.jsonl").unlink()
    content = json.loads((folder / "stopped" / "run.json").read_text())
    assert content["saved"] is True
    (folder / "stopped" / "run.json").write_text(json.dumps(content | {"saved": False}))
    with ClipFile(data) as file:
        Trainer(Run.open(folder / "stopped"), file, torch.device("cpu"), stop=stop_after(1)).train()
    assert json.loads((folder / "stopped" / "run.json").read_text())["saved"] is True
    return folder


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "runs")
    return tmp_path / "runs"


def test_eval_report_and_compare_mark_a_run_that_was_stopped(runs: Path) -> None:
    stopped, whole = runs / "stopped", runs / "whole"
    result = call("eval", stopped, *KNN)
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines()[0] == (
        f"Warning: {stopped} is not finished: step 1, 0 of 2 epochs. It is evaluated as it is."
    )
    assert "stream joint, 0 of 2 pretraining epochs (not finished), seed 0\n" in result.stdout
    told = re.sub(r"\s+", " ", result.stdout)
    assert f"Note: {stopped} is not finished: step 1, 0 of 2 epochs." in told
    finished = call("eval", whole, *KNN)
    assert "stream joint, 2 pretraining epochs, seed 0\n" in finished.stdout
    assert "Warning" not in finished.stderr
    both = call("report", runs).stdout
    rows = [line.split()[:4] for line in both.splitlines() if line.startswith("knn k=1")]
    assert rows == [["knn", "k=1", "pretrained", "0/2"], ["knn", "k=1", "pretrained", "2"]]
    assert "\nepoch 2/9: a run of 9 epochs that was not finished, after 2\n" in both
    assert "epoch 2/9" not in call("report", whole).stdout
    compared = re.sub(r"\s+", " ", call("compare", stopped, whole, "--protocol", "knn").stdout)
    assert f"A: joint knn k=1, pretrained, 0 of 2 pretraining epochs (not finished) ({stopped}) B" in compared
    assert f"B: joint knn k=1, pretrained, 2 pretraining epochs ({whole}) " in compared
    untrained = call("eval", stopped, *KNN, "--init", "random")
    assert "Warning" not in untrained.stderr
    assert "not finished" not in untrained.stdout


def test_the_page_marks_a_run_that_was_stopped(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    result = call("page", runs, "--out", out, "--points", 0, "--clips", 2, "--device", "cpu")
    assert result.exit_code == 0, result.output
    note = "stopped is not finished: step 1, 0 of 2 epochs. It is shown as it is."
    assert note in result.stdout.splitlines()
    found = re.search(
        r'<script type="application/json" id="values">(.*?)</script>', out.read_text(), re.DOTALL
    )
    assert found is not None
    values = json.loads(found.group(1))
    facts = {run["name"]: dict(run["facts"]) for run in values["runs"]}
    assert facts["stopped"]["epochs"] == "not finished: step 1, 0 of 2 epochs"
    assert facts["whole"]["epochs"] == "2"
    assert note in values["notes"]


def test_a_run_that_lost_its_checkpoints_is_not_begun_again(runs: Path) -> None:
    for name in ("whole", "stopped"):
        run = runs / name
        for path in (run / "checkpoints").iterdir():
            path.unlink()
        before = (run / "log.jsonl").read_bytes(), (run / "run.json").read_bytes()
        told = (
            f"Error: {run} has no checkpoint any more: those it wrote were removed. Put them back into "
            f"{run}/checkpoints, or start again by its first command with --replace.\n"
        )
        for words in (
            ["pretrain", "--resume", run, "--device", "cpu"],
            ["pretrain", "--resume", run, "--device", "cpu", "--epochs", 5],
            ["eval", run, *KNN],
        ):
            result = call(*words)
            assert (result.exit_code, result.stderr) == (2, told)
        assert ((run / "log.jsonl").read_bytes(), (run / "run.json").read_bytes()) == before


def test_a_run_that_ended_before_its_first_checkpoint_begins_again_and_says_so(runs: Path) -> None:
    run = runs / "stopped"
    for path in (run / "checkpoints").iterdir():
        path.unlink()
    content = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(content | {"saved": False}))
    result = call("pretrain", "--resume", run, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines()[0] == f"{run} ended before its first checkpoint, so it begins again."
    assert log_of(Run.open(run)) == log_of(Run.open(runs / "whole"))


def test_a_run_of_an_earlier_version_with_a_log_is_not_begun_again(runs: Path) -> None:
    """Those do not say whether they wrote a checkpoint."""
    run = runs / "whole"
    content = json.loads((run / "run.json").read_text())
    del content["saved"], content["extended"]
    (run / "run.json").write_text(json.dumps(content))
    result = call("pretrain", "--resume", run, "--device", "cpu")
    assert result.exit_code == 0, result.output
    shutil.rmtree(run / "checkpoints")
    result = call("pretrain", "--resume", run, "--device", "cpu")
    assert result.exit_code == 2
    assert (run / "log.jsonl").exists()
