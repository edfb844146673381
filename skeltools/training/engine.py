"""The training loop: feed, gather, views, loss, step, what follows it, log and checkpoints. It knows no method.

Everything random but dropout is a function of (seed, epoch, clip) or (seed, step), see
`skeltools.transforms.draws`; dropout's generator state is in the checkpoint. A run that was interrupted
and resumed on the CPU therefore goes on bit for bit.

Schedules are functions of the step and of the epochs that the run had when it did it, so that this holds too where
epochs were added meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from skeltools.environment import Neighbours, crowded, device_name, full_float32
from skeltools.errors import DataError, RunError, counted
from skeltools.methods.contract import Batch, Output
from skeltools.methods.registry import find_method, make_method
from skeltools.models.sizes import differing, fits, on_meta
from skeltools.progress import SILENT, Progress, duration
from skeltools.runs import board
from skeltools.runs import checkpoint as checkpoints
from skeltools.runs.folder import check_seed
from skeltools.runs.log import Log, Losses
from skeltools.training.compiling import on_trial
from skeltools.training.distributed import World
from skeltools.training.feed import DeviceFeed, make_feed
from skeltools.training.monitor import Monitor
from skeltools.training.optimizer import make_optimizer
from skeltools.training.schedule import learning_rate
from skeltools.training.timer import StepTimer
from skeltools.transforms.draws import Draws, permutation, step_draws

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from skeltools.runs.folder import Run
    from skeltools.runs.settings import PretrainSettings
    from skeltools.store import ClipFile


_LONG = 86400.0
"""Seconds above which a warning says how long training will take: a day."""

_TIMED = 2
"""Steps by which that is estimated, after a first one that warms up."""


class Trainer:
    """One pretraining run, from its start or its last checkpoint to its end.

    Args:
        run: The run folder, already made.
        file: The open data.
        device: Where to train.
        stop: Asked after every step; when it returns true, a checkpoint is written and training ends.
        progress: Receiver of progress.
        world: The processes of the run.
        workers: Processes that read clips where these do not fit the device.
        publish: Called once the first step is done: puts a new run in its place and returns that.

    Raises:
        DataError: No such split, or fewer training clips than one batch.
        SettingError: Settings that do not fit the data.
        RunError: The last checkpoint is damaged or belongs to other data, or all were removed.
    """

    def __init__(
        self,
        run: Run,
        file: ClipFile,
        device: torch.device,
        *,
        stop: Callable[[], bool] = lambda: False,
        progress: Progress = SILENT,
        world: World = World(),  # noqa: B008 (immutable)
        workers: int = 2,
        publish: Callable[[], Path] | None = None,
    ) -> None:
        self.run, self.file, self.device, self.stop, self.progress = run, file, device, stop, progress
        self.world, self.workers, self._publish = world, workers, publish
        self.settings: PretrainSettings = run.settings
        train = self.settings.train
        self.rows, self.steps_per_epoch = self.check(self.settings, file, run.split, run.seed)
        self.total_steps = self.steps_per_epoch * train.epochs
        self.mine = slice(*world.slice(train.batch_size))
        self.dtype = torch.float64 if train.precision == "float64" else torch.float32
        new = self.world.share(publish is not None)
        saved = None if new else self._saved()  # before memory is taken for what the settings say
        self.model = make_method(self.settings, file.form, run.stream, run.seed).to(device, self.dtype)
        self.optimizer = make_optimizer(train, self.model)
        self.monitor = Monitor(self.settings.monitor, file, self.rows, run.stream, run.seed)
        self.epoch = self.batch = self.step = 0
        self.accuracy: float | None = None
        self._log = Log(run.log_path, run.checkpoints_dir, file.names)
        if saved is not None:
            self._restore(*saved)
        else:
            if not new:
                run.check_kept()
                if world.is_main and run.log_path.exists():
                    progress.message(f"{run.path} ended before its first checkpoint, so it begins again.")
            torch.manual_seed(run.seed + world.rank * 2**32)
        self._first_step, self._timed = self.step, 0.0
        self._neighbours: Neighbours | None = None
        self._one_process = False
        self.network = world.wrap(self.model, device, train.sync_bn)
        self._compiled: Callable[..., Output] | None = None
        if world.is_main:
            for notice in self.model.notices(len(self.rows), self.total_steps):
                progress.message(notice)
            self._log.rewind(self.step)

    @staticmethod
    def check(
        settings: PretrainSettings,
        file: ClipFile,
        split: str,
        seed: int,
        device: torch.device = torch.device("cpu"),  # noqa: B008 (immutable)
    ) -> tuple[NDArray[np.int64], int]:
        """Check that settings and data fit, before anything is written.

        Returns:
            The training rows, and the steps of an epoch.

        Raises:
            DataError: No such split, or fewer training clips than one batch.
            SettingError: Settings that do not fit together or the data, need more memory than there is, or a seed
                out of bounds.
        """
        check_seed(seed)
        rows, batch = file.rows(split, "train"), settings.train.batch_size
        if len(rows) < batch:
            raise DataError(
                f"{file.path}: the training side of {split} has {counted(len(rows), 'clip')}, fewer than one "
                f"batch of {batch}. Lower --batch-size."
            )
        board.check(settings.train)
        method = on_meta(lambda: find_method(settings.method).create(settings, file.form, "joint"))
        fits(method, device, 3 if settings.train.optimizer == "adamw" else 2)
        method.check(batch)
        return rows, len(rows) // batch

    @property
    def finished(self) -> bool:
        """Whether every epoch is done."""
        return self.epoch >= self.settings.train.epochs

    def _saved(self) -> tuple[checkpoints.Checkpoint, Path] | None:
        """Return the run's last checkpoint and its path, compared with its data and settings; None without one."""
        found = checkpoints.paths(self.run.checkpoints_dir)
        if not found:
            return None
        saved, path = checkpoints.load(found[-1]), found[-1]
        if saved.data_digest != self.file.digest:
            raise RunError(
                f"{self.run.path} was trained on other data than {self.file.path} (content digest "
                f"{saved.data_digest[:12]}, not {self.file.digest[:12]}). Give the same file, "
                "or use --replace."
            )
        self.run.check_checkpoint(saved, path)
        return saved, path

    def _restore(self, saved: checkpoints.Checkpoint, path: Path) -> None:
        steps = (saved.epoch * self.steps_per_epoch + saved.batch, self.total_steps)
        if saved.step != steps[0] or saved.batch >= self.steps_per_epoch or saved.step > steps[1]:
            raise RunError(
                f"{path} says step {saved.step:,}, epoch {saved.epoch:,} and batch {saved.batch:,}, which is no "
                f"place in a run of {counted(self.total_steps, 'step')}. {checkpoints.instead(path)}"
            )
        problem = differing(self.model, saved.model)
        if problem is not None:
            raise RunError(f"{path} does not fit the settings: {problem}. {checkpoints.instead(path)}")
        self.epoch, self.batch, self.step, self.accuracy = saved.epoch, saved.batch, saved.step, saved.monitor
        try:
            self.model.load_state_dict(saved.model)
            self.optimizer.load_state_dict(saved.optimizer)
            for weight, kept in self.optimizer.state.items():
                for name, value in kept.items():
                    if isinstance(value, Tensor) and value.ndim and value.shape != weight.shape:
                        raise ValueError(f"the optimiser's {name} has shape {tuple(value.shape)}")
            self._restore_generators(saved.rng)
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            told = next(iter(str(error).splitlines()), type(error).__name__)
            raise RunError(f"{path} does not fit the settings: {told:.200}") from None

    def _restore_generators(self, rng: dict[str, Tensor]) -> None:
        rank = self.world.rank
        if f"cpu {rank}" in rng:
            torch.set_rng_state(rng[f"cpu {rank}"])
        if self.device.type == "cuda":
            if f"cuda {rank}" in rng:
                torch.cuda.set_rng_state(rng[f"cuda {rank}"], self.device)
            else:  # the run comes from the CPU
                with torch.cuda.device(self.device):
                    torch.cuda.manual_seed(self.run.seed + self.step + rank * 2**32)

    def save(self) -> None:
        """Write a checkpoint of this very moment."""
        from skeltools.results.record import library_versions

        self._flush()
        mine = {f"cpu {self.world.rank}": torch.get_rng_state()}
        if self.device.type == "cuda":
            mine[f"cuda {self.world.rank}"] = torch.cuda.get_rng_state(self.device)
        rng = {name: state for part in self.world.collect(mine) for name, state in part.items()}
        if not self.world.is_main:
            return
        self._log.sync()
        saved = checkpoints.Checkpoint(
            epoch=self.epoch,
            batch=self.batch,
            step=self.step,
            model=self.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
            rng=rng,
            settings={key: list(v) if isinstance(v, tuple) else v for key, v in self.run.flat.items()}
            | {"train.epochs": self.run.epochs_at(self.step - 1)},
            versions=library_versions(),
            data_digest=self.file.digest,
            monitor=self.accuracy,
            identity=self.run.identity,
        )
        checkpoints.save(saved, self.run.checkpoints_dir, self.settings.train.keep)
        if not self.run.saved:
            self.run = self.run.mark_saved()

    def train(self) -> bool:
        """Train to the end; return whether the end was reached (False: `stop` said so).

        Raises:
            RunError: A loss is not finite; the message names the clips and the last good checkpoint. Or a
                process that reads clips died.
        """
        if self.finished:
            return True
        train = self.settings.train
        self.model.train()
        self.progress.message(self._described())
        if self.world.is_main and self._publish is None:  # else the folder is not yet in its place
            self._log.attach(board.opened(train, self.run, self.step, self.progress))
        feed = make_feed(self.file, self.rows, self.device, train.feed, self.workers)
        self._one_process = self.world.alone and isinstance(feed, DeviceFeed)
        self.progress.start("Pretraining", (self.total_steps - self.step) * train.batch_size)
        try:
            with _arithmetic(train.deterministic):
                while not self.finished:
                    for clips, x in feed.batches(self._places()):
                        self._step(clips, x)
                        if self._must_stop():
                            self._end_epoch_if_over()
                            self.save()
                            return self.finished
                    self._end_epoch_if_over()
        except RuntimeError as error:
            if not str(error).startswith("DataLoader worker"):
                raise
            raise RunError(
                f"A process that reads clips ended: {str(error).splitlines()[0].strip()} Continue with "
                f"'skeltools pretrain --resume {self.run.path}'; if memory ran out, with fewer --workers."
            ) from None
        finally:
            self.progress.finish()
            self._log.close()
        return True

    def _described(self) -> str:
        """Return the line that says what is trained on what, and where."""
        train = self.settings.train
        weights = sum(weight.numel() for weight in self.model.parameters() if weight.requires_grad)
        processes = "" if self.world.alone else f"{self.world.size} processes on "
        return (
            f"Pretraining on {processes}{device_name(self.device)}, {train.precision}: "
            f"{counted(len(self.rows), 'clip')} of {self.file.dataset.name} {self.run.split}, {self.run.stream}; "
            f"{counted(train.epochs, 'epoch')} of {counted(self.steps_per_epoch, 'step')}, batch {train.batch_size}; "
            f"{counted(weights, 'parameter')}."
        )

    def _warn_if_long(self) -> None:
        """Say so where the first steps, but for the very first, tell that training will take more than a day."""
        done = self.step - self._first_step
        if done not in (1, 1 + _TIMED):
            return
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.monotonic()
        if done == 1:
            self._timed = now
            return
        left = (now - self._timed) / _TIMED * (self.total_steps - self.step)
        if left <= _LONG:
            return
        on = {"cpu": "this CPU", "cuda": "this GPU"}.get(self.device.type, "this device")
        advice = "several GPUs with torchrun" if self.device.type == "cuda" else "a GPU"
        self.progress.message(
            f"Warning: this will take about {duration(left)} on {on}. Less: {advice}, --set train.precision=bf16 where "
            "the device has it, fewer --epochs, or a smaller model, such as --recipe demo to try things. Ctrl-C stops "
            f"it with a checkpoint; skeltools pretrain --resume {self.run.path} goes on, also elsewhere."
        )

    def _warn_if_shared(self) -> None:
        """Say so, once, where other programs take a core that one of this process's threads would need.

        Not where the run has processes of its own, which read clips or train: they would be taken for others.
        """
        if self.step == self._first_step + 1 and self.device.type == "cpu" and self._one_process:
            self._neighbours = Neighbours()
        taken = None if self._neighbours is None else self._neighbours.cores()
        if taken is None:
            return
        self._neighbours = None
        if warning := crowded(taken, torch.get_num_threads(), os.cpu_count() or 1):
            self.progress.message(warning)

    def measure(self, longest: float = 10.0, most: int = 6) -> tuple[float, int]:
        """Do a few steps and return the seconds of one, and how many were timed.

        The first counts only where it is the only one. No checkpoint is written; the trainer and its log are of no
        use afterwards.

        Args:
            longest: Seconds after which no further step is begun.
            most: Most steps.
        """
        self.model.train()
        feed = make_feed(self.file, self.rows, self.device, self.settings.train.feed, self.workers)
        spent: list[float] = []
        with _arithmetic(self.settings.train.deterministic):
            for clips, x in feed.batches(self._places()):
                began = time.perf_counter()
                self._step(clips, x)
                if self.device.type == "cuda":
                    torch.cuda.synchronize(self.device)
                spent.append(time.perf_counter() - began)
                if len(spent) >= most or sum(spent) > longest:
                    break
        timed = spent[1:] or spent
        return sum(timed) / len(timed), len(timed)

    def _places(self) -> Tensor:
        """Return what this process reads of the rest of the epoch: positions among the training rows.

        int64 (steps, n).
        """
        size = self.settings.train.batch_size
        order = permutation(self.run.seed, self.epoch, len(self.rows))
        batches = order[: self.steps_per_epoch * size].view(-1, size)[self.batch :]
        return batches[:, self.mine]

    def _must_stop(self) -> bool:
        """Return whether to stop now; all processes agree."""
        if self.world.alone:
            return self.stop()
        if self.step % self.settings.train.log_every and self.batch < self.steps_per_epoch:
            return False
        return self.world.any(self.stop(), self.device)

    def _flush(self) -> dict[str, float]:
        """Write the log; every process checks that losses are finite."""
        return self._log.flush(write=self.world.is_main)

    def _end_epoch_if_over(self) -> None:
        if self.batch < self.steps_per_epoch:
            return
        self.epoch, self.batch = self.epoch + 1, 0
        train = self.settings.train
        last = self.epoch == self.run.epochs_at(self.step - 1)
        if self.monitor.due(self.epoch, last):
            self._flush()
            if self.world.is_main:
                self.accuracy = self.monitor.check(
                    self.model.encoder(), train.batch_size, self.device, self.dtype
                )
                place = {"kind": "monitor", "step": self.step, "epoch": self.epoch}
                self._log.write(place | {"knn_top1": self.accuracy})
            self.accuracy = self.world.share(self.accuracy)
        if self.epoch % train.save_every == 0 or last:
            self.save()

    def _step(self, clips: Tensor, x: Tensor) -> None:
        """Do one optimiser step on joint clips `x` of rows `clips`, this process's own."""
        timer = StepTimer(self.device)
        train = self.settings.train
        epochs = self.run.epochs_at(self.step)
        rate = learning_rate(replace(train, epochs=epochs), self.step, self.steps_per_epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch = Batch(
            self.world.gather(x.to(self.dtype)),
            Draws(self.run.seed, self.epoch, self.world.gather(clips)),
            step_draws(self.run.seed, self.step),
            self.mine,
        )
        with torch.no_grad():
            views = self.model.views(batch)
        self.optimizer.zero_grad(set_to_none=True)
        found = []
        for number, part in enumerate(_parts(views, train.accumulate), start=1):
            with self._without_sync() if number < train.accumulate else contextlib.nullcontext():
                output = self._forward(part)
                (output.loss / train.accumulate).backward()  # type: ignore[no-untyped-call]
            found.append(Output(output.loss.detach(), output.parts, output.kept))
        self.optimizer.step()
        kept = zip(*(output.kept for output in found), strict=True)  # this process's clips, in their order
        whole = (self.world.gather(_joined(parts)) for parts in kept)
        values = self.model.after_step(self.step, epochs * self.steps_per_epoch, *whole)
        self.step += 1
        self.batch += 1
        losses = self._mean(found)
        timer.stop()
        self._log.step(
            self.step,
            self.epoch,
            losses,
            clips,
            {"lr": rate} | values,
            lambda: train.batch_size / timer.seconds(),
        )
        if self.step % train.log_every == 0 or self.step == self.total_steps or self._publish is not None:
            self._show(self._flush(), rate, values)
        if self._publish is not None:  # it has started: every allocation was made, and the loss is finite
            self.run = replace(self.run, path=self._publish())
            self._log.path, self._log.folder = self.run.log_path, self.run.checkpoints_dir
            self._publish = None
            self._log.attach(board.opened(train, self.run, 0, self.progress))
        self.progress.advance(train.batch_size)
        self._warn_if_long()
        self._warn_if_shared()

    def _mean(self, found: list[Output]) -> Losses:
        """Return the mean loss and its parts over micro-batches and processes."""
        names = ("loss", *(f"loss_{name}" for name in found[0].parts))
        sums = torch.zeros(len(names), dtype=torch.float64, device=self.device)
        for output in found:
            sums += torch.stack([output.loss, *output.parts.values()])
        return Losses(names, self.world.mean(sums / len(found)))

    def _without_sync(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which gradients only add up in this process."""
        if isinstance(self.network, DistributedDataParallel):
            return self.network.no_sync()
        return contextlib.nullcontext()

    def _forward(self, views: tuple[Tensor, ...]) -> Output:
        train = self.settings.train
        with torch.autocast(self.device.type, torch.bfloat16, enabled=train.precision == "bf16"):
            if train.compile and self._compiled is None:
                self._compiled = on_trial(self.network, self.model, views, self.device, self.progress)
            network = self.network if self._compiled is None else self._compiled
            output: Output = network(*views)
        return output

    def _show(self, latest: dict[str, float], rate: float, values: dict[str, float]) -> None:
        shown: dict[str, float | str] = {"epoch": f"{self.epoch + 1}/{self.settings.train.epochs}"}
        shown |= latest
        shown |= {"lr": rate} | {name: f"{value:.5f}" for name, value in values.items()}
        if self.accuracy is not None:
            shown["knn"] = f"{100 * self.accuracy:.1f}%"
        self.progress.status(**shown)


def _parts(views: tuple[Tensor, ...], count: int) -> Iterator[tuple[Tensor, ...]]:
    """Yield the micro-batches of a batch."""
    yield from zip(*(view.chunk(count) for view in views), strict=True)


def _joined(parts: tuple[Tensor, ...]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


@contextlib.contextmanager
def _arithmetic(deterministic: bool) -> Iterator[None]:
    """Train with full float32, and on request with deterministic operations alone."""
    full_float32()
    if deterministic:  # what cuBLAS asks for, before its first product
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    benchmark = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(deterministic or before)
    torch.backends.cudnn.benchmark = not deterministic
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.backends.cudnn.benchmark = benchmark
