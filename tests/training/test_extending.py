"""Options beside --resume: those that contradict the run are refused by name, more epochs are added and recorded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from clipfiles import TINY, make_clips
from trainedruns import log_of, state_of, stop_after

from skeltools.cli.main import main
from skeltools.runs.folder import Run
from skeltools.store import ClipFile
from skeltools.training.engine import Trainer

COSINE = (
    "train.optimizer=adamw",
    "train.schedule=cosine",
    "train.lr=0.01",
    "train.lr_min=0.001",
    "train.keep=9",
)
SETTINGS = [word for text in (*TINY, *COSINE, "train.save_every=1") for word in ("--set", text)]


MANY = (
    "train.save_every", "train.keep", "train.log_every", "monitor.every", "monitor.k", "monitor.clips", "queue.size",
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"))


def pretrain(*words: object) -> Result:
    return CliRunner().invoke(main, ["pretrain", *map(str, words), "--device", "cpu"])


def first(data: Path, out: Path, epochs: int) -> list[object]:
    """The first command of a run of 3 steps per epoch."""
    base = [data, "--split", "xsub", "--stream", "joint", "--seed", 4, "--batch-size", 6, "--out", out]
    return [*base, "--epochs", epochs, *SETTINGS]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """``two`` of two epochs, ``four`` of four, and ``longer`` of two that were made four."""
    folder = tmp_path_factory.mktemp("runs")
    for name, epochs in (("two", 2), ("four", 4)):
        assert pretrain(*first(data, folder / name, epochs)).exit_code == 0
    shutil.copytree(folder / "two", folder / "longer")
    result = pretrain("--resume", folder / "longer", "--epochs", 4)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{folder}/longer: 4 epochs, 12 steps, finished.\n"
    assert result.stderr.splitlines()[0] == (
        f"{folder}/longer goes from 2 to 4 epochs. From step 7 on, the learning rate and other schedules are those "
        "of a run of 4 epochs: learning rate 0.0055, not 0.001."
    )
    return folder


@pytest.fixture
def two(runs: Path, tmp_path: Path) -> Path:
    """A run of two epochs, finished."""
    shutil.copytree(runs / "two", tmp_path / "run")
    return tmp_path / "run"


def steps_of(run: Path) -> list[dict[str, Any]]:
    return [line for line in log_of(Run.open(run)) if line["kind"] == "step"]


def test_options_that_contradict_the_run_are_refused_by_name(two: Path, tmp_path: Path) -> None:
    before = (two / "run.json").read_bytes()
    again = f"Continue it with 'skeltools pretrain --resume {two}', or use --replace."
    cases: list[tuple[Sequence[object], str]] = [
        (("--stream", "bone"), "stream joint, not bone."),
        (("--split", "xview"), "split xsub, not xview."),
        (("--seed", 0), "seed 4, not 0."),
        (("--batch-size", 7), "train.batch_size 6, not 7."),
        (("--method", "mamp"), "method skeattnclr, not mamp."),
        (("--set", "train.lr=0.5", "--seed", 1), "seed 4, not 1; train.lr 0.01, not 0.5."),
        (("--set", "train.lr_steps=[3]"), "train.lr_steps [250], not [3]."),
        (("--out", tmp_path / "other"), f"--out {two}, not {tmp_path}/other."),
        (("--epochs", 1), "train.epochs 2, not 1. Epochs can be added to a run, not taken away."),
        (
            ("--recipe", "demo"),
            "model.dropout 0.5, not 0.0; train.warmup 0, not 1; queue.momentum 0.996, not 0.9; loss.mu 1.0, not 0.5.",
        ),
        (
            [word for key in MANY for word in ("--set", f"{key}=77")],
            "train.save_every 1, not 77; train.keep 9, not 77; train.log_every 1, not 77; monitor.every 1, not 77; "
            "monitor.k 3, not 77; and 2 settings more.",
        ),
    ]
    for words, told in cases:
        result = pretrain("--resume", two, *words)
        assert result.stderr == f"Error: {two} was started with {told} {again}\n"
        assert result.exit_code == 2
    assert (two / "run.json").read_bytes() == before


def test_options_that_are_the_runs_own_go_on(two: Path) -> None:
    words = ("--stream", "joint", "--split", "xsub", "--seed", 4, "--recipe", "skeattnclr", "--epochs", 2)
    result = pretrain(
        "--resume", two, *words, "--out", two, "--set", "train.lr=0.01", "--set", "mask.ratio=0.5"
    )
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{two}: 2 epochs, 6 steps, finished.\n"
    first = result.stderr.splitlines()[0]
    assert first == "No effect with method skeattnclr and backbone stgcn: mask.ratio."
    unknown = pretrain("--resume", two, "--set", "train.lrr=1")
    assert unknown.stderr == "Error: Unknown setting 'train.lrr' (--set). Did you mean 'train.lr'?\n"


def test_from_there_on_the_schedules_are_those_of_so_many_epochs(runs: Path) -> None:
    longer, two, four = (steps_of(runs / name) for name in ("longer", "two", "four"))
    assert longer[:6] == two
    assert [line["step"] for line in longer] == list(range(1, 13))
    for key in ("lr", "momentum"):
        assert [line[key] for line in longer[6:]] == [line[key] for line in four[6:]]
        assert [line[key] for line in longer[:6]] != [line[key] for line in four[:6]]


def test_what_was_added_is_recorded(runs: Path) -> None:
    (entry,) = json.loads((runs / "longer" / "run.json").read_text())["extended"]
    at = entry.pop("at")
    command = entry.pop("command")
    assert entry == {"step": 6, "epoch": 2, "before": 2, "after": 4}
    assert at.endswith("+00:00")
    assert command.split()[0] == "skeltools"  # then the words of whatever program runs this test
    run = Run.open(runs / "longer")
    assert (run.flat["train.epochs"], run.settings.train.epochs, run.epoch) == (4, 4, 4)
    assert [run.epochs_at(step) for step in (0, 5, 6, 11)] == [2, 2, 4, 4]
    assert Run.open(runs / "two").extended == ()


@pytest.mark.parametrize("drop", [pytest.param(0, marks=pytest.mark.slow), 4])
def test_an_extended_run_resumes_bit_for_bit_also_from_a_checkpoint_of_before(
    runs: Path, two: Path, data: Path, drop: int
) -> None:
    """Stopped within an added epoch; the last checkpoints are lost, back to the one of step 3."""
    assert pretrain("--resume", two, "--epochs", 4).exit_code == 0
    for path in sorted((two / "checkpoints").glob("*.pt"))[1 if drop else 2 :]:
        path.unlink()
    with ClipFile(data) as file:
        torch.manual_seed(99)
        trainer = Trainer(Run.open(two), file, torch.device("cpu"), stop=stop_after(2 + drop))
        assert trainer.step == (3 if drop else 6)
        assert not trainer.train()
        assert Trainer(Run.open(two), file, torch.device("cpu")).train()
    whole = Run.open(runs / "longer")
    assert log_of(Run.open(two)) == log_of(whole)
    ours, theirs = state_of(Run.open(two)), state_of(whole)
    for name, value in theirs.model.items():
        assert torch.equal(ours.model[name], value), name
    for key, entry in theirs.optimizer["state"].items():
        for name, value in entry.items():
            assert torch.equal(ours.optimizer["state"][key][name], value), name
    assert ours.settings == theirs.settings


def test_a_run_without_schedules_of_its_length_is_that_of_so_many_epochs(tmp_path: Path, data: Path) -> None:
    """MAMP keeps no momentum encoder: with a rate that goes by steps an added epoch is like any other."""
    small = ("model.dim=8", "model.vit_depth=1", "model.vit_heads=2", "decoder.dim=8", "decoder.depth=1")
    small += (
        "decoder.heads=2",
        "train.schedule=step",
        "train.lr_steps=[2]",
        "train.warmup=0",
        "monitor.every=1",
    )
    common = [
        data,
        "--split",
        "xsub",
        "--stream",
        "joint",
        "--recipe",
        "mamp",
        "--batch-size",
        6,
        "--set",
        "train.accumulate=1",
    ]
    common += [word for text in small for word in ("--set", text)]
    for name, epochs in (("one", 1), ("three", 3)):
        result = pretrain(*common, "--epochs", epochs, "--out", tmp_path / name)
        assert result.exit_code == 0, result.output
    result = pretrain(*common, "--epochs", 3, "--out", tmp_path / "one", "--resume")
    assert result.exit_code == 0, result.output
    assert "goes from 1 to 3 epochs. From step 4 on, the" in result.stderr
    assert "schedules are those of a run of 3 epochs: learning rate 0.001.\n" in result.stderr
    one, three = (Run.open(tmp_path / name) for name in ("one", "three"))
    assert log_of(one) == log_of(three)
    for name, value in state_of(three).model.items():
        assert torch.equal(state_of(one).model[name], value), name
    back = pretrain(*common, "--epochs", 1, "--out", tmp_path / "one", "--resume")
    assert back.stderr == (
        f"Error: {tmp_path}/one was started with train.epochs 3, not 1. It had 1 at first; more were added. Epochs "
        f"can be added to a run, not taken away. Continue it with 'skeltools pretrain --resume {tmp_path}/one', or use "
        "--replace.\n"
    )
