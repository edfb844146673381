"""The engine: exact resume, schedules, feeds, log, what stops a run."""

from __future__ import annotations

import math
import multiprocessing
import os
import re
import shutil
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from clipfiles import TINY, make_clips
from forms import SKELETON, method_of
from trainedruns import log_of, state_of, stop_after

from skeltools.errors import DataError, RunError, SettingError
from skeltools.methods.contract import Batch
from skeltools.progress import Silent
from skeltools.runs import checkpoint as checkpoints
from skeltools.runs.folder import Run
from skeltools.runs.settings import resolve_recipe
from skeltools.store import ClipFile
from skeltools.training import feed
from skeltools.training.engine import Trainer
from skeltools.training.feed import DeviceFeed, StreamFeed
from skeltools.training.schedule import learning_rate
from skeltools.transforms import partswap
from skeltools.transforms.draws import Draws, step_draws
from skeltools.transforms.streams import to_stream

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"))


def resolved(*overrides: str, recipe: str | None = None) -> Any:
    small = [*TINY, "train.epochs=3", "train.batch_size=6", *overrides]
    return resolve_recipe(recipe, dataset="ntu60", split="xsub", stream="joint", overrides=small)


def start(path: Path, file: ClipFile, *overrides: str, recipe: str | None = None) -> Run:
    return Run.create(
        path,
        resolved(*overrides, recipe=recipe),
        file=file,
        split="xsub",
        stream="joint",
        seed=3,
        command="test",
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Run:
    """An uninterrupted run: 20 training clips, batch 6, so 3 steps per epoch and 9 in all."""
    with ClipFile(data) as file:
        run = start(tmp_path_factory.mktemp("whole") / "run", file, "train.save_every=1")
        assert Trainer(run, file, CPU).train()
    return run


@pytest.mark.parametrize("interruptions", [pytest.param([2], marks=pytest.mark.slow), [3], [4, 1, 1]])
def test_an_interrupted_run_goes_on_bit_for_bit(
    tmp_path: Path, data: Path, whole: Run, interruptions: list[int]
) -> None:
    with ClipFile(data) as file:
        broken = start(tmp_path / "broken", file, "train.save_every=1")
        for steps in interruptions:
            torch.manual_seed(123)  # whatever the process did before
            trainer = Trainer(broken, file, CPU, stop=stop_after(steps))
            assert not trainer.train()
            assert state_of(broken).step == trainer.step
        assert Trainer(broken, file, CPU).train()
    assert log_of(broken) == log_of(whole)
    assert [line["step"] for line in log_of(whole) if line["kind"] == "step"] == list(range(1, 10))
    ours, theirs = state_of(broken), state_of(whole)
    for name, value in theirs.model.items():
        assert torch.equal(ours.model[name], value), name
    for key, entry in theirs.optimizer["state"].items():
        assert torch.equal(ours.optimizer["state"][key]["momentum_buffer"], entry["momentum_buffer"])
    assert torch.equal(ours.rng["cpu 0"], theirs.rng["cpu 0"])
    assert ours.monitor == theirs.monitor


def test_a_killed_run_repeats_the_steps_after_its_last_checkpoint(
    tmp_path: Path, data: Path, whole: Run
) -> None:
    class Killed(Exception):
        pass

    with ClipFile(data) as file:
        broken = start(tmp_path / "broken", file, "train.save_every=1")

        def die() -> bool:
            if trainer.step == 5:
                raise Killed
            return False

        trainer = Trainer(broken, file, CPU, stop=die)
        with pytest.raises(Killed):
            trainer.train()
        assert state_of(broken).step == 3
        assert len([line for line in log_of(broken) if line["kind"] == "step"]) == 5
        Trainer(broken, file, CPU).train()
    assert log_of(broken) == log_of(whole)


def test_a_finished_run_has_nothing_left_to_do(data: Path, whole: Run) -> None:
    with ClipFile(data) as file:
        before = log_of(whole), whole.checkpoint_digest()
        trainer = Trainer(whole, file, CPU)
        assert trainer.finished
        assert trainer.train()
    assert (log_of(whole), whole.checkpoint_digest()) == before


def test_only_the_last_checkpoints_are_kept(whole: Run) -> None:
    names = [path.name for path in checkpoints.paths(whole.checkpoints_dir)]
    assert names == ["step-00000006.pt", "step-00000009.pt"]
    saved = state_of(whole)
    assert (saved.epoch, saved.batch, saved.step) == (3, 0, 9)
    assert saved.monitor == log_of(whole)[-1]["knn_top1"]
    assert saved.settings == {k: list(v) if isinstance(v, tuple) else v for k, v in whole.flat.items()}


def test_a_loss_that_is_not_finite_stops_the_run_and_names_clips_and_checkpoint(
    tmp_path: Path, data: Path
) -> None:
    with ClipFile(data) as file:
        run = start(tmp_path / "run", file, "train.save_every=1", "train.log_every=10", "monitor.every=0")
        assert not Trainer(run, file, CPU, stop=stop_after(4)).train()
        trainer = Trainer(run, file, CPU)
        with torch.no_grad():
            trainer.model.query.backbone.blocks[0].spatial.weight.fill_(math.nan)
        with pytest.raises(RunError) as caught:
            trainer.train()
        assert state_of(run).step == 4
    message = str(caught.value)
    assert message.startswith(
        "The loss of step 5 is not finite; training stopped. The last good checkpoint is "
    )
    assert "step-00000004.pt" in message
    assert message.count("S001C001P001R") == 6


@pytest.mark.parametrize("workers", [0, 2])
def test_steps_depend_on_the_joint_batch_alone(data: Path, workers: int) -> None:
    """Feeds give the same clips, so that a run may change its feed."""
    with ClipFile(data) as file:
        rows = file.rows("xsub", "train")
        places = torch.randperm(20)[:18].view(6, 3)
        device, stream = DeviceFeed(file, rows, CPU), StreamFeed(file, rows, CPU, workers)
        for (rows_a, x_a), (rows_b, x_b) in zip(device.batches(places), stream.batches(places), strict=True):
            assert torch.equal(rows_a, rows_b)
            assert torch.equal(x_a, x_b)
            np.testing.assert_array_equal(x_a.numpy(), file.clips(rows_a.numpy()))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("other", [{"prep": "ctrgcn"}, {"train": 12}], ids=["other clips", "fewer clips"])
def test_a_file_that_is_exchanged_for_another_during_training_is_refused(
    tmp_path: Path, data: Path, other: dict[str, Any], workers: int
) -> None:
    """Reading processes compare with the digests of the file that the run opened, not with those of what is there."""
    path = tmp_path / "clips.h5"
    shutil.copyfile(data, path)
    places = torch.arange(6).view(2, 3)
    with ClipFile(path) as file:
        stream = StreamFeed(file, file.rows("xsub", "train"), CPU, workers)
        assert len(list(stream.batches(places))) == 2
        make_clips(tmp_path / "other", **other).replace(path)
        ClipFile(path).close()  # which is sound for itself
        with pytest.raises(DataError, match=r"clips\.h5 is not as it was written"):
            list(stream.batches(places))


def test_a_reading_process_that_dies_is_named(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(worker: int) -> None:
        os._exit(9)

    monkeypatch.setattr(feed, "_leave_signals_to_parent", die)
    with ClipFile(data) as file:
        run = start(tmp_path / "run", file, "train.feed=stream")
        with pytest.raises(RunError) as caught:
            Trainer(run, file, CPU).train()
    assert re.fullmatch(
        r"A process that reads clips ended: DataLoader worker \(pid.* Continue with 'skeltools pretrain "
        rf"--resume {re.escape(str(run.path))}'; if memory ran out, with fewer --workers\.",
        str(caught.value),
    )


def test_reading_processes_end_with_the_error_that_one_of_them_met(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its end Python waits for them; were they left to the garbage collector, a program could wait for ever."""
    monkeypatch.setattr(
        feed._Reader, "__getitem__", lambda _, rows: (torch.from_numpy(rows), DataError("damaged"))
    )
    with ClipFile(data) as file:
        batches = StreamFeed(file, file.rows("xsub", "train"), CPU, 2).batches(torch.arange(12).view(4, 3))
        with pytest.raises(DataError, match="damaged") as kept:
            next(batches)
    assert kept.tb is not None  # which holds all that stood around the error
    assert multiprocessing.active_children() == []


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals are POSIX")
def test_a_signal_to_a_reading_process_that_just_starts_ends_nothing(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One to the whole group, such as a scheduler sends, may come before the process ignores it."""
    ignore = feed._leave_signals_to_parent

    def early(worker: int) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        ignore(worker)

    monkeypatch.setattr(feed, "_leave_signals_to_parent", early)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with ClipFile(data) as file:
        run = start(tmp_path / "run", file, "train.feed=stream", "train.epochs=1", "monitor.every=0")
        assert Trainer(run, file, CPU).train()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_accumulation_uses_every_clip_and_one_part_swap(tmp_path: Path, data: Path) -> None:
    with ClipFile(data) as file:
        run = start(tmp_path / "run", file, "train.accumulate=2", "train.epochs=1", "monitor.every=0")
        trainer = Trainer(run, file, CPU)
        trainer.train()
        assert int(trainer.model.pointer) == 18
        assert (
            int(trainer.model.query.backbone.input_norm.num_batches_tracked) == 12
        )  # 3 steps, 2 parts, 2 views
    with pytest.raises(SettingError, match=r"train.accumulate 4 does not divide train.batch_size 6"):
        resolved("train.accumulate=4")


def test_the_baseline_is_the_method_without_its_local_branch(tmp_path: Path, data: Path) -> None:
    with ClipFile(data) as file:
        run = start(tmp_path / "run", file, "train.epochs=1", recipe="skeletonclr")
        Trainer(run, file, CPU).train()
        full, part = resolved("train.epochs=1").flat, run.flat
    assert {key for key in part if full[key] != part[key]} == {"method"}
    assert full.keys() - part.keys() == {
        "model.heads", "model.mask_scale", "loss.mu", "loss.local", "augment.swap_choose", "augment.swap_count",
        "augment.swap_window", "augment.swap_unit", "augment.swap_fill",
    }  # fmt: skip
    for line in log_of(run):
        if line["kind"] == "step":
            assert line["loss"] == line["loss_global"]
            assert {name for name in line if name.startswith("loss")} == {"loss", "loss_global"}


@pytest.mark.parametrize(
    "overrides",
    [
        ("train.optimizer=adamw", "train.lr=0.001"),
        pytest.param(("train.precision=bf16",), marks=pytest.mark.slow),
        pytest.param(("train.deterministic=true",), marks=pytest.mark.slow),
        pytest.param(("train.feed=stream",), marks=pytest.mark.slow),
    ],
)
def test_other_ways_to_train_resume_exactly_too(
    tmp_path: Path, data: Path, overrides: tuple[str, ...]
) -> None:
    with ClipFile(data) as file:
        whole, broken = (start(tmp_path / name, file, "train.epochs=2", *overrides) for name in ("a", "b"))
        Trainer(whole, file, CPU).train()
        Trainer(broken, file, CPU, stop=stop_after(2)).train()
        Trainer(broken, file, CPU).train()
    assert log_of(broken) == log_of(whole)
    assert all(math.isfinite(line["loss"]) for line in log_of(whole) if line["kind"] == "step")


def test_views_are_functions_of_seed_epoch_and_clip(data: Path) -> None:
    settings = resolved().values
    with ClipFile(data) as file:
        rows = torch.from_numpy(file.rows("xsub", "train")[:8])
        x = torch.from_numpy(file.clips(rows.numpy()))
    method = method_of(settings, "bone", 16)

    def views(epoch: int, mine: slice) -> tuple[torch.Tensor, ...]:
        found: tuple[torch.Tensor, ...] = method.views(
            Batch(x, Draws(1, epoch, rows), step_draws(1, 17), mine)
        )
        return found

    whole = views(2, slice(0, 8))
    halves = [views(2, part) for part in (slice(0, 4), slice(4, 8))]
    for number, view in enumerate(whole):
        torch.testing.assert_close(view, torch.cat([half[number] for half in halves]))
    first, second, swapped = whole
    assert not torch.equal(first, second)
    assert not torch.equal(swapped, first)
    assert (first[:, :, :, 20] == 0).all()  # bones of the root
    assert not torch.equal(views(3, slice(0, 8))[0], first)


@pytest.mark.parametrize("stream", ["joint", "motion", "bone"])
@pytest.mark.parametrize("fill", ["partner", "zeros", "noise"])
def test_the_part_swap_acts_on_joints_and_the_stream_is_made_after_it(
    data: Path, stream: str, fill: str
) -> None:
    settings = resolved(f"augment.swap_fill={fill}").values
    with ClipFile(data) as file:
        rows = torch.from_numpy(file.rows("xsub", "train")[:6])
        x = torch.from_numpy(file.clips(rows.numpy()))
    batch = Batch(x, Draws(3, 1, rows), step_draws(3, 5), slice(0, 6))
    expected, views = (method_of(settings, name, 16).views(batch) for name in ("joint", stream))
    swap = partswap.draw(step_draws(3, 5), 6, 16, settings.augment.swap_range(), SKELETON)
    torch.testing.assert_close(expected[2], partswap.apply(expected[0], swap, fill, batch.draws))
    for got, want in zip(views, expected, strict=True):
        torch.testing.assert_close(got, to_stream(want, stream, SKELETON))


def test_the_initial_model_is_a_function_of_the_seed() -> None:
    settings = resolved().values
    torch.manual_seed(5)
    before = torch.get_rng_state()
    a, b, c = (method_of(settings, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["queue"], c["queue"])


def test_learning_rates() -> None:
    train = resolved(
        "train.epochs=10", "train.lr_steps=[4, 8]", "train.lr=1", "train.lr_gamma=0.1"
    ).values.train
    rates = [learning_rate(train, epoch * 3, 3) for epoch in range(10)]
    assert rates == pytest.approx([1] * 4 + [0.1] * 4 + [0.01] * 2)
    cosine = resolved("train.epochs=10", "train.schedule=cosine", "train.warmup=2", "train.lr=1").values.train
    rates = [learning_rate(cosine, step, 3) for step in range(31)]
    assert rates[:6] == pytest.approx([k / 6 for k in range(1, 7)])
    assert rates[6] == pytest.approx(1)
    assert rates[18] == pytest.approx(0.5)
    assert rates[30] == pytest.approx(0)


def test_what_does_not_fit_is_said_before_anything_is_written(tmp_path: Path, data: Path) -> None:
    with ClipFile(data) as file:
        for overrides, message in (
            (("train.batch_size=21",), r"has 20 clips, fewer than one batch of 21\. Lower --batch-size\."),
            (("train.batch_size=2",), r"needs at least 3 clips in a batch, not 2"),
            (("augment.swap_window=[4,20]",), r"does not fit clips of 16 frames"),
            (("model.heads=5",), r"does not divide a token's 16 channels"),
        ):
            with pytest.raises((DataError, SettingError), match=message):
                Trainer.check(resolved(*overrides).values, file, "xsub", 0)
    with pytest.raises(SettingError, match=r"augment.swap_count' must be two numbers, low and high, not"):
        resolved("augment.swap_count=[4,3]")
    with pytest.raises(SettingError, match=r"Unknown setting 'train.lrr' .* Did you mean 'train.lr'\?"):
        resolved("train.lrr=1")


def test_a_checkpoint_of_other_data_is_refused(tmp_path: Path, data: Path) -> None:
    other = make_clips(tmp_path, train=16)
    with ClipFile(data) as file:
        run = start(tmp_path / "run", file, "train.epochs=1")
        Trainer(run, file, CPU).train()
    with ClipFile(other) as file, pytest.raises(RunError, match="was trained on other data than"):
        Trainer(run, file, CPU)


def test_damaged_checkpoints_are_named(tmp_path: Path) -> None:
    path = tmp_path / "step-00000001.pt"
    with pytest.raises(RunError, match="does not exist"):
        checkpoints.load(path)
    path.write_bytes(b"no checkpoint")
    with pytest.raises(RunError, match="is not a readable checkpoint"):
        checkpoints.load(path)
    torch.save({"state_dict": {}}, path)
    with pytest.raises(
        RunError, match=r"has no version; this skeltools reads version 1\. Give a file that skeltools wrote\."
    ):
        checkpoints.load(path)


def test_a_checkpoint_never_unpickles_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    path = tmp_path / "step-00000001.pt"
    torch.save({"version": 1, "model": Evil()}, path)
    with pytest.raises(RunError, match="is not a readable checkpoint"):
        checkpoints.load(path)
    assert not (tmp_path / "ran").exists()


def test_a_torch_compile_that_fails_leaves_no_trace(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Messages(Silent):
        said: ClassVar[list[str]] = []

        def message(self, text: str) -> None:
            self.said.append(text)

    def broken(network: Any) -> Any:
        def call(*views: Any) -> Any:
            network(*views)  # moves batch norm statistics and torch's generator
            raise RuntimeError("no compiler here\nlong story")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    with ClipFile(data) as file:
        plain, tried = (
            start(tmp_path / name, file, "train.epochs=1", "monitor.every=0", f"train.compile={flag}")
            for name, flag in (("plain", "false"), ("tried", "true"))
        )
        Trainer(plain, file, CPU).train()
        Trainer(tried, file, CPU, progress=Messages()).train()
    assert [text for text in Messages.said if text.startswith("torch.compile")] == [
        "torch.compile is at work: the first step may take minutes.",
        "torch.compile failed, going on without it: no compiler here",
    ]
    assert log_of(tried) == log_of(plain)


def test_tensorboard_gets_what_the_log_gets(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Writer:
        made: ClassVar[list[Any]] = []

        def __init__(self, folder: str, purge_step: int | None) -> None:
            self.folder, self.purge_step, self.closed = folder, purge_step, False
            self.scalars: dict[tuple[str, int], float] = {}
            self.made.append(self)

        def add_scalar(self, name: str, value: float, step: int) -> None:
            self.scalars[name, step] = value

        def close(self) -> None:
            self.closed = True

    stand_in = ModuleType("torch.utils.tensorboard")
    stand_in.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", stand_in)
    with ClipFile(data) as file:
        run = start(tmp_path / "run", file, "train.epochs=1", "train.tensorboard=true")
        Trainer(run, file, CPU, stop=stop_after(2)).train()
        Trainer(run, file, CPU).train()
    first, second = Writer.made
    assert (first.purge_step, second.purge_step) == (None, 3)
    assert first.folder == str(run.path / "tensorboard")
    assert first.closed
    assert second.closed
    seen = first.scalars | second.scalars
    for line in log_of(run):
        for name in line.keys() - {"kind", "step"}:
            assert seen[f"{line['kind']}/{name}", line["step"]] == line[name]


def test_a_missing_tensorboard_is_named_before_training(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with ClipFile(data) as file, pytest.raises(SettingError, match=r"'pip install tensorboard'"):
        Trainer.check(resolved("train.tensorboard=true").values, file, "xsub", 0)
