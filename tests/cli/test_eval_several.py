"""``skeltools eval`` on a folder of runs that do not all fit together: an ablation, a run that was never trained."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from clipfiles import TINY, make_clips

from skeltools.cli.main import main
from skeltools.errors import RunError
from skeltools.protocols.finetune import Finetune

SETTINGS = [word for text in (*TINY, "monitor.every=0") for word in ("--set", text)]
ALL = ("--protocol", "all", "--epochs", 1, "--set", "knn.k=[1]", "--device", "cpu")


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ablation: two runs of joint that differ in their rate, and one of bone."""
    folder = tmp_path_factory.mktemp("ablation")
    data = make_clips(folder, 8, 4)
    for name, stream, rate in (("high", "joint", 0.02), ("low", "joint", 0.01), ("bone", "bone", 0.01)):
        result = call(
            "pretrain", data, "--split", "xsub", "--stream", stream, "--epochs", 1, "--batch-size", 4,
            "--device", "cpu", *SETTINGS, "--set", f"train.lr={rate}", "--out", folder / "runs" / name,
        )  # fmt: skip
        assert result.exit_code == 0, result.output
    return folder / "runs"


@pytest.fixture
def runs(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "runs")
    return tmp_path / "runs"


def test_two_runs_of_one_stream_are_named_before_the_work_and_the_table_is_printed(runs: Path) -> None:
    result = call("eval", runs, *ALL)
    assert result.exit_code == 0, result.output
    first = (
        f"Left out: ensemble: {runs}/high and {runs}/low are both of stream joint and seed 0. Name one run per stream "
        "for an ensemble: skeltools eval RUN RUN --protocol ensemble."
    )
    assert result.stderr.splitlines()[0] == first
    assert result.stderr.count("Left out: ensemble") == 1  # and not again at the end
    for protocol in ("knn k=1", "linear", "retrieval", "finetune eval", "semi1 eval", "semi10 eval"):
        rows = [
            line for line in result.stdout.splitlines() if f" {protocol} " in line and "pretrained" in line
        ]
        assert len(rows) == 3, result.stdout
    chosen = call("eval", runs / "high", runs / "bone", "--protocol", "ensemble", "--device", "cpu", "--json")
    assert {record["stream"] for record in json.loads(chosen.stdout)} == {"joint+bone"}


def test_asked_for_alone_an_ambiguous_ensemble_is_an_error(runs: Path) -> None:
    result = call("eval", runs, "--protocol", "ensemble", "--device", "cpu")
    assert result.exit_code == 2
    assert result.stderr == (
        f"Error: {runs}/high and {runs}/low are both of stream joint and seed 0. Name one run per stream for an "
        "ensemble: skeltools eval RUN RUN --protocol ensemble\n"
    )


def test_a_run_that_cannot_be_evaluated_is_left_out_by_name(runs: Path) -> None:
    shutil.rmtree(runs / "low" / "checkpoints")
    only = call("eval", runs / "low", *ALL)
    assert (only.exit_code, only.stdout) == (2, "")
    result = call("eval", runs, *ALL, "--init", "pretrained", "--json")
    assert result.exit_code == 0, result.output
    reason = only.stderr.removeprefix(f"Error: {runs}/low ").removesuffix(".\n")
    assert result.stderr.splitlines()[0] == f"Left out: {runs}/low: {reason}."
    encoders = {record["encoder"] for record in json.loads(result.stdout)}
    assert encoders == {f"{runs}/high", f"{runs}/bone", f"{runs}/high + {runs}/bone"}


def test_a_wrong_setting_of_a_late_protocol_costs_no_work(runs: Path) -> None:
    result = call("eval", runs, *ALL, "--set", "semi10.lrr=1")
    assert result.exit_code == 2
    assert result.stderr == "Error: Unknown setting 'semi10.lrr' (--set). Did you mean 'semi10.lr'?\n"
    assert not list(runs.glob("*/results/*.json"))


@pytest.mark.parametrize("error", [RunError("The disk fell off."), KeyboardInterrupt()])
@pytest.mark.parametrize("form", ["table", "json"])
def test_an_error_in_the_middle_comes_after_the_table_of_what_was_done(
    runs: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, form: str
) -> None:
    def broken(*words: Any) -> None:
        raise error

    monkeypatch.setattr(Finetune, "run", broken)
    more = ("--json",) if form == "json" else ()
    result = call("eval", runs / "bone", *ALL, "--init", "pretrained", *more)
    told = {RunError: (2, "Error: The disk fell off."), KeyboardInterrupt: (130, "Error: Interrupted.")}
    assert (result.exit_code, result.stderr.splitlines()[-1]) == told[type(error)]
    if form == "json":
        found = [record["protocol"] for record in json.loads(result.stdout)]
    else:
        found = [word for word in ("linear", "knn", "retrieval") if f"\n{word} " in result.stdout]
        assert "finetune" not in result.stdout
    assert sorted(found) == ["knn", "linear", "retrieval"]
