"""``skeltools pretrain`` as a user types it."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from clipfiles import TINY, make_clips
from terminals import Terminal

from skeltools.cli.main import main
from skeltools.errors import SettingError
from skeltools.progress import SILENT
from skeltools.runs.folder import Run
from skeltools.training.engine import Trainer
from skeltools.training.launch import Request, launch

ONCE = [setting for setting in TINY if not setting.startswith("monitor.every=")]
SETTINGS = [word for setting in (*ONCE, "monitor.every=0") for word in ("--set", setting)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"))


def pretrain(*words: object) -> Result:
    return CliRunner().invoke(main, ["pretrain", *map(str, words)])


def asked(data: Path, out: Path, *words: object) -> list[object]:
    base = ["--split", "xsub", "--stream", "joint", "--epochs", 1, "--batch-size", 6, "--device", "cpu"]
    return [data, *base, "--out", out, *SETTINGS, *words]


def fails(result: Result, message: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stderr == f"Error: {message}\n"


def test_a_run_is_made_finished_and_found_finished(tmp_path: Path, data: Path) -> None:
    out = tmp_path / "deep" / "run"
    result = pretrain(*asked(data, out, "--seed", 5))
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out}: 1 epoch, 3 steps, finished.\n"
    run = Run.open(out)
    assert (run.seed, run.settings.train.epochs, run.origin["train.epochs"]) == (5, 1, "option")
    assert run.data == data.resolve()
    lines = [json.loads(line) for line in run.log_path.read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert {"loss", "loss_global", "loss_salient", "loss_nonsalient", "lr", "momentum"} <= lines[0].keys()
    for words in ([out, "--resume"], asked(data, out, "--seed", 5, "--resume")):
        again = pretrain(*words)
        assert again.exit_code == 0, again.output
        assert again.stdout == result.stdout
    fails(
        pretrain(*asked(data, out)),
        f"{out} already exists. Use --resume to continue it or --replace to start again.",
    )
    other = pretrain(*asked(data, out, "--resume"))
    fails(
        other,
        f"{out} was started with seed 5, not 0. Continue it with 'skeltools pretrain --resume {out}', or use "
        "--replace.",
    )
    fails(
        pretrain(*asked(data, out, "--seed", 5, "--resume", "--set", "loss.mu=0.25")),
        f"{out} was started with loss.mu 1.0, not 0.25. Continue it with 'skeltools pretrain --resume "
        f"{out}', or use --replace.",
    )
    assert pretrain(*asked(data, out, "--replace")).exit_code == 0
    assert Run.open(out).seed == 0


def test_bodies_that_no_clip_has_are_told_with_the_remedy(tmp_path: Path, data: Path) -> None:
    """They are stored and computed all the same; the command that is named leaves them out."""
    told = (
        f"No clip of {data} has more than 1 of the 2 bodies stored, and all are computed. 'skeltools derive {data} OUT "
        "--bodies 1' makes a file without them: faster, and other numbers, since features are means over bodies."
    )
    result = pretrain(*asked(data, tmp_path / "two"))
    assert result.exit_code == 0, result.output
    assert told in result.stderr.splitlines()
    one = tmp_path / "one.h5"
    made = CliRunner().invoke(main, ["derive", str(data), str(one), "--bodies", "1"])
    assert made.exit_code == 0, made.output
    result = pretrain(*asked(one, tmp_path / "run"))
    assert result.exit_code == 0, result.output
    assert "bodies stored" not in result.stderr


def test_wrong_input_gives_one_line_and_leaves_nothing(tmp_path: Path, data: Path) -> None:
    out = tmp_path / "run"
    plain = tmp_path / "notes.txt"
    plain.write_text("hello")
    missing = tmp_path / "none.h5"
    cases = [
        (asked(missing, out), f"{missing} does not exist. Make it with 'skeltools convert'."),
        (
            asked(plain, out),
            f"{plain} is not an HDF5 file but a text file. Make one with 'skeltools convert'.",
        ),
        (
            asked(data, out, "--batch-size", 128),
            f"{data}: the training side of xsub has 20 clips, fewer than one batch of 128. "
            "Lower --batch-size.",
        ),
        (
            asked(data, out, "--split", "xsup"),
            f"{data} has no split 'xsup': it has xsub, xview. Did you mean 'xsub'?",
        ),
        (
            asked(data, out, "--stream", "bones"),
            "Unknown stream 'bones'. Choose one of: joint, motion, bone. Did you mean 'bone'?",
        ),
        (
            asked(data, out, "--set", "augment.view=crop(6)|sheer(1)"),
            "Augmentation 'crop(6)|sheer(1)': unknown operation 'sheer'. Choose one of: crop, "
            "crop_resize, centre_resize, shear, rotate, rotate_uniform, rotate_axes, flip, reverse, "
            "noise, blur, axis_mask. Did you mean 'shear'?",
        ),
        (
            asked(data, out, "--resume", "--replace"),
            "--resume and --replace exclude each other. Give one of them.",
        ),
        ([data, "--out", out], "--split is missing. Example: --split xsub --stream joint --out runs/joint"),
        (asked(data, plain), f"{plain} is a file. Choose another --out."),
        (asked(data, out, "--device", "cuda:99"), None),
    ]
    for words, message in cases:
        result = pretrain(*words)
        if message is None:
            assert result.exit_code == 2
            assert len(result.stderr.splitlines()) == 1
        else:
            fails(result, message)
        assert not out.exists()


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
@pytest.mark.parametrize(
    ("kind", "feed"),
    [
        pytest.param(signal.SIGINT, "device", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, "device", marks=pytest.mark.slow),
        (signal.SIGTERM, "stream"),
        pytest.param(getattr(signal, "SIGHUP", signal.SIGTERM), "stream", marks=pytest.mark.slow),
    ],
)
def test_a_signal_writes_a_checkpoint_and_ends_the_run_cleanly(
    tmp_path: Path, data: Path, kind: signal.Signals, feed: str
) -> None:
    """The signal goes to the whole group, as from a terminal or a scheduler: to reading processes too.

    It comes when a random number of steps stand in the log, so that it meets epochs that begin as well.
    """
    out = tmp_path / "run"
    log = out / "log.jsonl"
    logged = random.Random(f"{kind} {feed}").randint(1, 9)
    more = ("--epochs", 5000, "--set", "train.save_every=5000", "--set", f"train.feed={feed}")
    words = [str(word) for word in asked(data, out, *more)]
    command = [sys.executable, "-m", "skeltools", "pretrain", *words]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        while not log.exists() or log.read_bytes().count(b"\n") < logged:
            assert process.poll() is None, process.communicate()
            time.sleep(0.002)
        os.killpg(process.pid, kind)
        _, errors = process.communicate()
    finally:
        process.kill()
    assert process.returncode == 128 + (kind if kind == signal.SIGINT else signal.SIGTERM)
    assert "Traceback" not in errors
    assert f"Continue with: skeltools pretrain --resume {out}" in errors
    run = Run.open(out)
    saved = run.last_checkpoint()
    assert int(saved.stem.removeprefix("step-")) >= logged
    assert not list(out.rglob("*.part"))
    assert json.loads(run.log_path.read_text().splitlines()[-1])["step"] == int(saved.stem[5:])


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_a_terminal_that_is_closed_ends_a_run_with_a_checkpoint(tmp_path: Path, data: Path) -> None:
    """As a lost connection does; what the run still has to say has nowhere to go."""
    out = tmp_path / "run"
    words = asked(data, out, "--epochs", 5000, "--set", "train.save_every=5000")
    with Terminal([sys.executable, "-m", "skeltools", "pretrain", *map(str, words)]) as terminal:
        terminal.wait_for("epoch 2/")
        assert terminal.hang_up() == 128 + signal.SIGTERM
    run = Run.open(out)
    saved = run.last_checkpoint()
    assert json.loads(run.log_path.read_text().splitlines()[-1])["step"] == int(saved.stem[5:])
    assert not list(out.rglob("*.part"))


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_a_signal_at_the_last_step_leaves_the_run_finished_and_is_told_all_the_same(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever called pretrain, a loop over seeds or the demo, must learn that it is to end."""
    true = Trainer.train

    def interrupted(trainer: Trainer) -> bool:
        done = true(trainer)
        signal.raise_signal(signal.SIGINT)
        return done

    monkeypatch.setattr(Trainer, "train", interrupted)
    result = pretrain(*asked(data, tmp_path / "run"))
    assert (result.exit_code, result.stdout) == (130, f"{tmp_path}/run: 1 epoch, 3 steps, finished.\n")
    assert (
        pretrain(tmp_path / "run", "--resume").exit_code == 130
    )  # there is nothing to do, but it was stopped


def test_the_largest_seed_trains_and_one_more_leaves_nothing(tmp_path: Path, data: Path) -> None:
    most = pretrain(*asked(data, tmp_path / "most", "--seed", 2**32 - 1))
    assert most.exit_code == 0, most.output
    assert Run.open(tmp_path / "most").seed == 2**32 - 1
    out = tmp_path / "run"
    for seed in (2**32, 2**64):
        result = pretrain(*asked(data, out, "--seed", seed))
        assert result.exit_code == 2, result.output
        assert f"{seed} is not in the range 0<=x<=4294967295." in result.stderr
    request = Request(
        data=data, split="xsub", stream="joint", out=out, recipe=None, options={"train.batch_size": 6},
        overrides=TINY, seed=2**64, replace=False, resume=False, command="",
    )  # fmt: skip
    with pytest.raises(SettingError, match=r"^--seed must be a whole number from 0 to 4294967295, not 184"):
        launch(request, torch.device("cpu"), SILENT)
    assert not out.exists()


def test_resuming_what_is_no_run_says_so(tmp_path: Path, data: Path) -> None:
    remedy = "Continue a run with 'skeltools pretrain --resume RUN', or give its first command again with"
    remedy += " --resume."
    none, empty = tmp_path / "nope", tmp_path / "empty"
    empty.mkdir()
    fails(pretrain("--resume", none), f"{none} does not exist. {remedy}")
    fails(pretrain("--resume", empty), f"{empty} is not a run folder: it has no run.json. {remedy}")
    fails(pretrain("--resume", data), f"{data} is not a run folder: it is a file. {remedy}")
    missing = "is missing. Example: --split xsub --stream joint --out runs/joint"
    fails(pretrain(data, "--resume", "--out", none), f"--split {missing}")
    fails(pretrain(data, "--resume", "--split", "xsub", "--stream", "joint"), f"--out {missing}")
    assert not none.exists()
    assert not list(empty.iterdir())


def test_data_that_moved_is_told_with_the_run_and_the_remedy(tmp_path: Path, data: Path) -> None:
    old, new, out = tmp_path / "old.h5", tmp_path / "new.h5", tmp_path / "run"
    shutil.copy(data, old)
    first = pretrain(*asked(old, out))
    assert first.exit_code == 0, first.output
    for more, option in (([], "--split"), (["--split", "xsub"], "--stream")):
        fails(
            pretrain(old, "--out", out, "--resume", *more),
            f"{option} is missing. Continue a run with 'skeltools pretrain --resume {out}', or give its "
            "first command again with --resume.",
        )
    old.rename(new)
    fails(
        pretrain("--resume", out),
        f"{out} needs the data it was started on, and {old} does not exist. If the file was moved, give the "
        f"run's first command again with the new path and --resume; {out / 'run.json'} has it under "
        "'command'.",
    )
    again = pretrain(*asked(new, out, "--resume"))
    assert again.exit_code == 0, again.output
    assert again.stdout == first.stdout
