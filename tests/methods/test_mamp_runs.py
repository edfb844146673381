"""Runs of MAMP: exact resume, several processes, old settings, and every command that reads a run."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from clipfiles import make_clips
from trainedruns import log_of, state_of, stop_after

from skeltools.cli.main import main
from skeltools.runs import checkpoint as checkpoints
from skeltools.runs.folder import Run
from skeltools.runs.settings import complete, resolve_recipe
from skeltools.store import ClipFile
from skeltools.training.engine import Trainer

CPU = torch.device("cpu")
TINY = (
    "model.dim=16", "model.vit_depth=2", "model.vit_heads=2", "decoder.dim=8", "decoder.depth=1", "decoder.heads=2",
    "augment.view=crop_resize(0.5,1,8)|rotate_uniform(0.3)", "train.warmup=1", "train.log_every=1",
    "monitor.every=1", "monitor.k=3",
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"))


def numbers(run: Run) -> list[dict[str, Any]]:
    """The numbers of a run's log."""
    return [{key: value for key, value in line.items() if key != "kind"} for line in log_of(run)]


def start(path: Path, file: ClipFile, *overrides: str, seed: int = 3) -> Run:
    small = [*TINY, "train.epochs=3", "train.batch_size=6", "train.save_every=1", *overrides]
    resolved = resolve_recipe("mamp", dataset="ntu60", split="xsub", stream="joint", overrides=small)
    return Run.create(path, resolved, file=file, split="xsub", stream="joint", seed=seed, command="test")


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        pytest.param(("train.precision=bf16",), marks=pytest.mark.slow),
        ("train.feed=stream", "model.vit_absent=left_out"),
        ("train.accumulate=2", "loss.target=joint", "mask.tau=0"),
    ],
)
def test_an_interrupted_run_goes_on_bit_for_bit(
    tmp_path: Path, data: Path, overrides: tuple[str, ...]
) -> None:
    with ClipFile(data) as file:
        whole = start(tmp_path / "whole", file, *overrides)
        assert Trainer(whole, file, CPU, workers=0).train()
        broken = start(tmp_path / "broken", file, *overrides)
        for steps in (2, 3):
            torch.manual_seed(123)  # whatever the process did before
            assert not Trainer(broken, file, CPU, workers=0, stop=stop_after(steps)).train()
        assert Trainer(broken, file, CPU, workers=0).train()
    assert log_of(broken) == log_of(whole)
    ours, theirs = state_of(broken), state_of(whole)
    assert all(torch.equal(ours.model[name], value) for name, value in theirs.model.items())


def test_a_step_in_parts_equals_the_step_as_a_whole(tmp_path: Path, data: Path) -> None:
    with ClipFile(data) as file:
        runs = [
            start(tmp_path / str(parts), file, f"train.accumulate={parts}", "train.precision=float64")
            for parts in (1, 3)
        ]
        for run in runs:
            assert Trainer(run, file, CPU).train()
    one, three = (numbers(run) for run in runs)
    for ours, theirs in zip(three, one, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-9)
    states = [state_of(run) for run in runs]
    for name, value in states[0].model.items():
        torch.testing.assert_close(states[1].model[name], value, rtol=1e-7, atol=1e-9)


def test_the_rate_of_the_first_step_is_zero_and_the_last_near_the_least(tmp_path: Path, data: Path) -> None:
    with ClipFile(data) as file:
        run = start(tmp_path / "run", file)
        first = Trainer(run, file, CPU).model.state_dict()
        first = {name: value.clone() for name, value in first.items()}
        trainer = Trainer(run, file, CPU, stop=stop_after(1))
        trainer.train()
        assert all(torch.equal(first[name], value) for name, value in trainer.model.state_dict().items())
        Trainer(run, file, CPU).train()
    rates = [line["lr"] for line in log_of(run) if line["kind"] == "step"]
    expected = [
        1e-3 * step / 3 if step < 3 else 5e-4 + 5e-4 * (1 + math.cos(math.pi * (step - 3) / 6)) / 2
        for step in range(9)
    ]
    assert rates == pytest.approx(expected, rel=1e-12)


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed package")
@pytest.mark.slow
@pytest.mark.parametrize("absent", ["ordinary", "left_out"])
def test_two_processes_train_like_one(tmp_path: Path, data: Path, absent: str) -> None:
    words = [
        word for setting in (*TINY, "train.precision=float64", f"model.vit_absent={absent}")
        for word in ("--set", setting)
    ]  # fmt: skip
    for processes in (1, 2):
        head = [sys.executable]
        if processes > 1:
            head += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        command = [
            *head, "-m", "skeltools", "pretrain", str(data), "--split", "xsub", "--stream", "joint", "--recipe", "mamp",
            "--epochs", "2", "--batch-size", "8", "--device", "cpu", "--out", str(tmp_path / str(processes)), *words,
        ]  # fmt: skip
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=300, check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    one, two = (Run.open(tmp_path / name) for name in ("1", "2"))
    for ours, theirs in zip(numbers(two), numbers(one), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-9)
    ours, theirs = (checkpoints.load(run.last_checkpoint()).model for run in (two, one))
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-7, atol=1e-9, msg=name)


def invoke(*words: Any) -> str:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.output


def test_every_command_takes_its_run(tmp_path: Path, data: Path) -> None:
    run, words = tmp_path / "run", [word for setting in TINY for word in ("--set", setting)]
    invoke(
        "pretrain", data, "--split", "xsub", "--stream", "joint", "--recipe", "mamp", "--epochs", 2,
        "--batch-size", 8, "--out", run, *words,
    )  # fmt: skip
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    steps = [line for line in lines if line["kind"] == "step"]
    assert len(steps) == 4
    assert all(line["loss"] == line["loss_motion"] for line in steps)
    assert [line["epoch"] for line in lines if line["kind"] == "monitor"] == [1, 2]
    invoke("pretrain", "--resume", run)
    for protocol, setting in (("linear", "linear.epochs=2"), ("knn", "knn.k=[1]")):
        invoke("eval", run, "--protocol", protocol, "--set", setting)
    assert "linear" in invoke("report", run)
    invoke("page", run, "--out", tmp_path / "page.html")
    assert "loss_motion" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_settings_added_since_a_run_take_the_value_of_its_recipe() -> None:
    context = {"dataset": "ntu60", "split": "xsub", "stream": "joint"}
    new = ("train.betas", "train.decay_all", "train.lr_min", "train.warmup_from_zero")
    for recipe, expected in (
        ("skeattnclr", ([0.9, 0.999], True, 0.0, False)),
        ("mamp", ([0.9, 0.95], False, 5e-4, True)),
    ):
        flat = resolve_recipe(recipe, **context).flat
        stored = {key: value for key, value in flat.items() if key not in new}
        _, filled, origin = complete(stored, {}, context)
        assert tuple(filled[key] for key in new) == expected
        assert all("not stored by the run" in origin[key] for key in new)


@pytest.mark.parametrize(
    ("dataset", "tau", "depth"),
    [("ntu60", 0.8, 3), ("ntu120", 0.75, 5), ("pku1", 0.8, 5), ("nwucla", 0.8, 2)],
)
def test_the_recipe_knows_its_datasets(dataset: str, tau: float, depth: int) -> None:
    flat = resolve_recipe("mamp", dataset=dataset, split="xsub", stream="joint").flat
    assert (flat["mask.tau"], flat["decoder.depth"]) == (tau, depth)
