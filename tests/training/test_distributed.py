"""Two processes against one, on the CPU.

Like with like: float64, no dropout, and batch norm statistics shared over the processes
(``train.sync_bn``, by skeltools' own batch norm, since torch's SyncBatchNorm does not run on the CPU). One
process then sees the joint batch, two see halves of it, and everything but rounding agrees.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from clipfiles import TINY, make_clips

from skeltools.errors import SettingError
from skeltools.runs import checkpoint as checkpoints
from skeltools.runs.folder import Run
from skeltools.training.distributed import World

pytestmark = pytest.mark.slow  # starts torchrun

SETTINGS = [
    word
    for setting in (
        *TINY, "train.precision=float64", "model.dropout=0", "train.sync_bn=true", "loss.mu=0.4",
        "train.lr=0.02", "monitor.every=2",
    )
    for word in ("--set", setting)
]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"))


def pretrain(
    data: Path, out: Path, processes: int, *words: str, stream: str = "joint"
) -> subprocess.CompletedProcess[str]:
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [
        *start, "-m", "skeltools", "pretrain", str(data), "--split", "xsub", "--stream", stream,
        "--epochs", "2", "--batch-size", "8", "--device", "cpu", "--out", str(out), *SETTINGS, *words,
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, timeout=1800, env=environment, check=False)


def steps(run: Run) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in run.log_path.read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("clips_per_second", "kind")} for line in lines]


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed package")
@pytest.mark.parametrize(
    ("stream", "fill", "words"),
    [
        ("joint", "partner", ()),
        ("motion", "partner", ("--set", "train.feed=stream")),
        ("bone", "noise", ()),
        ("motion", "zeros", ()),
        ("joint", "partner", ("--recipe", "skeletonclr")),
    ],
    ids=["partner", "motion, streamed", "noise", "zeros", "baseline"],
)
def test_two_processes_train_like_one_on_the_joint_batch(
    tmp_path: Path, data: Path, stream: str, fill: str, words: tuple[str, ...]
) -> None:
    for processes in (1, 2):
        result = pretrain(
            data, tmp_path / str(processes), processes, "--set", f"augment.swap_fill={fill}", *words,
            stream=stream,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        assert result.stdout.count("finished.") == 1
        assert "broadcast_buffers" not in result.stderr  # torch's warning of a name it gave up
    one, two = (Run.open(tmp_path / name) for name in ("1", "2"))
    assert len(steps(one)) == 5  # 2 steps per epoch, and the monitor
    for ours, theirs in zip(steps(two), steps(one), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-9)
    ours, theirs = (checkpoints.load(run.last_checkpoint()) for run in (two, one))
    assert torch.equal(ours.model["pointer"], theirs.model["pointer"])
    for name, value in theirs.model.items():
        torch.testing.assert_close(
            ours.model[name], value, rtol=1e-8, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}"
        )
    assert not torch.equal(ours.model["queue"][0], torch.zeros(8, dtype=torch.float64))
    assert {"cpu 0", "cpu 1"} == ours.rng.keys()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed package")
def test_parts_of_a_batch_are_alike_in_one_process_and_in_two(tmp_path: Path, data: Path) -> None:
    """Two parts in each of two processes are four parts of one, each with batch norm statistics of its own.

    The queue has the same keys in the same places. Running statistics are a process's own, so they are not compared.
    The gradients of four parts are added in another order, and batch norm of so few clips makes such last bits grow
    from step to step: the rate is low, so that after four of them bounds hold that no wrong factor would keep.
    """
    own = ("train.sync_bn=false", "monitor.every=0", "train.lr=0.002")
    for processes in (1, 2):
        overrides = (*own, f"train.accumulate={4 // processes}")
        words = [word for override in overrides for word in ("--set", override)]
        result = pretrain(data, tmp_path / str(processes), processes, *words)
        assert result.returncode == 0, result.stderr
    one, two = (Run.open(tmp_path / name) for name in ("1", "2"))
    assert len(steps(one)) == 4
    for ours, theirs in zip(steps(two), steps(one), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-9)
    ours, theirs = (checkpoints.load(run.last_checkpoint()).model for run in (two, one))
    compared = [
        name for name in theirs if "running_" not in name and not name.endswith("num_batches_tracked")
    ]
    assert len(compared) > 100
    for name in compared:
        torch.testing.assert_close(
            ours[name], theirs[name], rtol=1e-8, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_a_batch_is_divided_evenly_or_refused() -> None:
    slices = [World(rank, 3).slice(12) for rank in range(3)]
    assert slices == [(0, 4), (4, 8), (8, 12)]
    with pytest.raises(SettingError, match=r"^train.batch_size 7 is not a multiple of the 2 processes\.$"):
        World(0, 2).slice(7)


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed package")
def test_every_process_reads_data_that_moved_at_its_new_place(tmp_path: Path, data: Path) -> None:
    old, new = tmp_path / "old.h5", tmp_path / "new.h5"
    shutil.copy(data, old)
    first = pretrain(old, tmp_path / "run", 2)
    assert first.returncode == 0, first.stderr
    old.rename(new)
    again = pretrain(new, tmp_path / "run", 2, "--resume")
    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout
