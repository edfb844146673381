"""The training loop: views, losses, optimiser, queue, momentum encoder, log and checkpoints.

Everything random but dropout is a function of (seed, epoch, clip) or (seed, step), see
`skeltools.transforms.draws`; dropout's generator state is in the checkpoint. A run that was interrupted
and resumed on the CPU therefore goes on bit for bit.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from skeltools.environment import full_float32
from skeltools.errors import DataError, RunError, counted
from skeltools.methods.skeattnclr import Branch, Losses, SkeAttnCLR, key_momentum
from skeltools.progress import SILENT, Progress
from skeltools.runs import board
from skeltools.runs import checkpoint as checkpoints
from skeltools.runs.folder import check_seed
from skeltools.training.distributed import World
from skeltools.training.feed import make_feed
from skeltools.training.monitor import Monitor
from skeltools.training.schedule import learning_rate
from skeltools.training.timer import StepTimer
from skeltools.transforms import augment, partswap
from skeltools.transforms.draws import Draws, permutation
from skeltools.transforms.streams import to_stream

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from skeltools.runs.folder import Run
    from skeltools.runs.settings import PretrainSettings
    from skeltools.store import ClipFile

LOSS_NAMES = ("loss", "loss_global", "loss_salient", "loss_nonsalient")


def make_model(settings: PretrainSettings, seed: int) -> SkeAttnCLR:
    """Return the initial model of a run, a function of settings and seed; torch's generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SkeAttnCLR(
            settings.model,
            queue_size=settings.queue.size,
            temperature=settings.loss.temperature,
            mu=settings.loss.mu,
            local=settings.loss.local,
        )


def make_optimizer(settings: PretrainSettings, model: SkeAttnCLR) -> torch.optim.Optimizer:
    """Return the optimiser of the query side: every weight that takes a gradient."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    train = settings.train
    if train.optimizer == "adamw":
        return torch.optim.AdamW(weights, lr=train.lr, weight_decay=train.weight_decay)
    return torch.optim.SGD(
        weights,
        lr=train.lr,
        momentum=train.momentum,
        nesterov=train.nesterov,
        weight_decay=train.weight_decay,
        foreach=True,
    )


@dataclass(frozen=True)
class Views:
    """What the networks see of a batch, each (N, 3, T, 25, 2) in the run's stream.

    Attributes:
        first: First view.
        swapped: The part-swapped first view; None without the local branch.
        second: Second view.
    """

    first: Tensor
    swapped: Tensor | None
    second: Tensor


class ViewMaker:
    """Makes the views of a batch: augmentation, part swap, stream.

    The part swap acts on the first view in joint coordinates, and the stream is made after it (spec section
    4): swapping in the stream differs at the window's ends and at the borders of the parts.

    Args:
        settings: The run's settings.
        stream: The run's stream.
        seed: The run's seed.
    """

    def __init__(self, settings: PretrainSettings, stream: str, seed: int) -> None:
        self.pipeline = augment.parse(settings.augment.view)
        self.swap = settings.augment.swap_range() if settings.loss.local else None
        self.stream, self.seed = stream, seed

    def drawn(self, step: int, batch: int, frames: int) -> partswap.PartSwap | None:
        """Return the part swap of a global step for a joint batch; None without the local branch."""
        return None if self.swap is None else partswap.draw(self.seed, step, batch, frames, self.swap)

    def __call__(
        self,
        x: Tensor,
        clips: Tensor,
        epoch: int,
        swap: partswap.PartSwap | None,
        partners: tuple[Tensor, Tensor] | None = None,
    ) -> Views:
        """Return the views of a batch, or of one process's slice of it.

        Args:
            x: Joint clips (N, 3, T, 25, 2).
            clips: Their rows in the file, int64 (N,), on the same device.
            epoch: Epoch, from 0.
            swap: The step's part swap.
            partners: Clips and rows that each of `x` swaps with; None when `x` is the joint batch.
        """
        draws = Draws(self.seed, epoch, clips)
        first = self.pipeline(x, draws.scoped("first"))
        second = self.pipeline(x, draws.scoped("second"))
        swapped = None
        if swap is not None and self.swap is not None:
            partner = None
            if partners is not None:
                partner = self.pipeline(partners[0], Draws(self.seed, epoch, partners[1]).scoped("first"))
            swapped = to_stream(partswap.apply(first, swap, self.swap.fill, draws, partner), self.stream)
        return Views(to_stream(first, self.stream), swapped, to_stream(second, self.stream))


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

    Raises:
        DataError: No such split, or fewer training clips than one batch.
        SettingError: Settings that do not fit the data.
        RunError: The last checkpoint is damaged or belongs to other data.
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
    ) -> None:
        self.run, self.file, self.device, self.stop, self.progress = run, file, device, stop, progress
        self.world, self.workers = world, workers
        self.settings: PretrainSettings = run.settings
        train = self.settings.train
        self.rows, self.steps_per_epoch = self.check(self.settings, file, run.split, run.seed)
        self.total_steps = self.steps_per_epoch * train.epochs
        self.views = ViewMaker(self.settings, run.stream, run.seed)
        self.begin, self.end = world.slice(train.batch_size)
        self.dtype = torch.float64 if train.precision == "float64" else torch.float32
        self.model = make_model(self.settings, run.seed).to(device, self.dtype)
        self.optimizer = make_optimizer(self.settings, self.model)
        self.monitor = Monitor(self.settings.monitor, file, self.rows, run.stream, run.seed)
        self.epoch = self.batch = self.step = 0
        self.accuracy: float | None = None
        self._log = Log(run.log_path, run.checkpoints_dir, file.names)
        if checkpoints.paths(run.checkpoints_dir):
            self._restore(checkpoints.load(checkpoints.paths(run.checkpoints_dir)[-1]))
        else:
            torch.manual_seed(run.seed + world.rank * 2**32)
        self.network = world.wrap(self.model, device, train.sync_bn)
        self._compiled: Callable[..., Losses] | None = None
        if world.is_main:
            self._log.rewind(self.step)
            if train.tensorboard:
                self._log.board = board.Board(run.path / "tensorboard", self.step)

    @staticmethod
    def check(
        settings: PretrainSettings, file: ClipFile, split: str, seed: int
    ) -> tuple[NDArray[np.int64], int]:
        """Check that settings and data fit, before anything is written.

        Returns:
            The training rows, and the steps of an epoch.

        Raises:
            DataError: No such split, or fewer training clips than one batch.
            SettingError: Settings that do not fit together or the data, or a seed out of bounds.
        """
        check_seed(seed)
        rows, batch = file.rows(split, "train"), settings.train.batch_size
        if len(rows) < batch:
            raise DataError(
                f"{file.path}: the training side of {split} has {counted(len(rows), 'clip')}, fewer than one "
                f"batch of {batch}. Lower --batch-size."
            )
        if settings.loss.local:
            partswap.draw(seed, 0, batch, file.frames, settings.augment.swap_range())
        if settings.train.tensorboard:
            board.check()
        with torch.device("meta"):
            Branch(settings.model, settings.loss.local)
        return rows, len(rows) // batch

    @property
    def finished(self) -> bool:
        """Whether every epoch is done."""
        return self.epoch >= self.settings.train.epochs

    def _restore(self, saved: checkpoints.Checkpoint) -> None:
        if saved.data_digest != self.file.digest:
            raise RunError(
                f"{self.run.path} was trained on other data than {self.file.path} (content digest "
                f"{saved.data_digest[:12]}, not {self.file.digest[:12]}). Give the same file, "
                "or use --replace."
            )
        try:
            self.model.load_state_dict(saved.model)
            self.optimizer.load_state_dict(saved.optimizer)
        except (RuntimeError, ValueError) as error:
            raise RunError(
                f"{self.run.path}: the checkpoint does not fit: {str(error).splitlines()[0]}"
            ) from None
        self.epoch, self.batch, self.step, self.accuracy = saved.epoch, saved.batch, saved.step, saved.monitor
        rank = self.world.rank
        if f"cpu {rank}" in saved.rng:
            torch.set_rng_state(saved.rng[f"cpu {rank}"])
        if self.device.type == "cuda":
            if f"cuda {rank}" in saved.rng:
                torch.cuda.set_rng_state(saved.rng[f"cuda {rank}"], self.device)
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
        saved = checkpoints.Checkpoint(
            epoch=self.epoch,
            batch=self.batch,
            step=self.step,
            model=self.model.state_dict(),
            optimizer=self.optimizer.state_dict(),
            rng=rng,
            settings={key: list(v) if isinstance(v, tuple) else v for key, v in self.run.flat.items()},
            versions=library_versions(),
            data_digest=self.file.digest,
            monitor=self.accuracy,
        )
        checkpoints.save(saved, self.run.checkpoints_dir, self.settings.train.keep)

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
        feed = make_feed(self.file, self.rows, self.device, train.feed, self.workers)
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
            if self._log.board is not None:
                self._log.board.close()
        return True

    def _places(self) -> Tensor:
        """Return what this process reads of the rest of the epoch: positions among the training rows.

        int64 (steps, n). With several processes the second half of a row are the partners, clip by clip, of
        the first, since a partner may lie in another process's slice.
        """
        size = self.settings.train.batch_size
        order = permutation(self.run.seed, self.epoch, len(self.rows))
        batches = order[: self.steps_per_epoch * size].view(-1, size)[self.batch :]
        mine = torch.arange(self.begin, self.end)
        if self.world.alone:
            return batches
        if self.views.swap is None:
            return batches[:, mine]
        swaps = [self.views.drawn(self.step + ahead, size, self.file.frames) for ahead in range(len(batches))]
        shifts = torch.tensor([swap.shift for swap in swaps if swap is not None])
        partners = (mine + shifts[:, None]) % size
        return torch.cat([batches[:, mine], batches.gather(1, partners)], dim=1)

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
        if self.monitor.due(self.epoch, self.finished):
            self._flush()
            if self.world.is_main:
                self.accuracy = self.monitor.check(
                    self.model.query.backbone, train.batch_size, self.device, self.dtype
                )
                place = {"kind": "monitor", "step": self.step, "epoch": self.epoch}
                self._log.write(place | {"knn_top1": self.accuracy})
            self.accuracy = self.world.share(self.accuracy)
        if self.epoch % train.save_every == 0 or self.finished:
            self.save()

    def _make_views(self, clips: Tensor, x: Tensor) -> Views:
        x = x.to(self.dtype)
        swap = self.views.drawn(self.step, self.settings.train.batch_size, x.shape[2])
        if self.world.alone or swap is None:
            return self.views(x, clips, self.epoch, swap)
        half = len(clips) // 2
        partners = x[half:], clips[half:]
        return self.views(x[:half], clips[:half], self.epoch, swap, partners)

    def _step(self, clips: Tensor, x: Tensor) -> None:
        """Do one optimiser step on joint clips `x` of rows `clips`, as `_places` chose them."""
        timer = StepTimer(self.device)
        train = self.settings.train
        rate = learning_rate(train, self.step, self.steps_per_epoch)
        momentum = key_momentum(self.settings.queue.momentum, self.step, self.total_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        views = self._make_views(clips, x)
        self.optimizer.zero_grad(set_to_none=True)
        sums = torch.zeros(len(LOSS_NAMES), dtype=torch.float64, device=self.device)
        keys = []
        for number, part in enumerate(_parts(views, train.accumulate), start=1):
            with self._without_sync() if number < train.accumulate else contextlib.nullcontext():
                found = self._losses(*part)
                (found.total / train.accumulate).backward()  # type: ignore[no-untyped-call]
            sums += torch.stack([found.total.detach(), found.whole, found.salient, found.nonsalient])
            keys.append(found.keys)
        self.optimizer.step()
        self.model.update_key(momentum)
        for part_keys in keys:
            self.model.enqueue(self.world.gather(part_keys))
        self.step += 1
        self.batch += 1
        losses = self.world.mean(sums / train.accumulate)
        timer.stop()
        self._log.step(
            self.step,
            self.epoch,
            losses,
            clips[: len(views.first)],
            {"lr": rate, "momentum": momentum},
            lambda: train.batch_size / timer.seconds(),
        )
        if self.step % train.log_every == 0 or self.step == self.total_steps:
            self._show(self._flush(), rate, momentum)
        self.progress.advance(train.batch_size)

    def _without_sync(self) -> contextlib.AbstractContextManager[None]:
        """Return a context in which gradients only add up in this process."""
        if isinstance(self.network, DistributedDataParallel):
            return self.network.no_sync()
        return contextlib.nullcontext()

    def _losses(self, first: Tensor, swapped: Tensor | None, second: Tensor) -> Losses:
        train = self.settings.train
        with torch.autocast(self.device.type, torch.bfloat16, enabled=train.precision == "bf16"):
            if train.compile and self._compiled is None:
                self._compiled = self._compile(first, swapped, second)
            network = self.network if self._compiled is None else self._compiled
            losses: Losses = network(first, swapped, second)
        return losses

    def _compile(self, first: Tensor, swapped: Tensor | None, second: Tensor) -> Callable[..., Losses]:
        """Return the compiled network if it passes a trial, else the network itself.

        The trial leaves no trace in the state or torch's generators.
        """
        self.progress.message("torch.compile is at work: the first step may take minutes.")
        state = {name: value.clone() for name, value in self.model.state_dict().items()}
        network: Callable[..., Losses] = self.network
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            try:
                compiled: Callable[..., Losses] = torch.compile(self.network)
                compiled(first, swapped, second).total.backward()  # type: ignore[no-untyped-call]
                network = compiled
            except Exception as error:
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                self.progress.message(f"torch.compile failed, going on without it: {reason}")
        self.model.load_state_dict(state)
        self.optimizer.zero_grad(set_to_none=True)
        return network

    def _show(self, latest: dict[str, float], rate: float, momentum: float) -> None:
        shown: dict[str, float | str] = {"epoch": f"{self.epoch + 1}/{self.settings.train.epochs}"}
        shown |= {name: latest[name] for name in LOSS_NAMES[: 4 if self.views.swap else 1]}
        shown |= {"lr": rate, "m": f"{momentum:.5f}"}
        if self.accuracy is not None:
            shown["knn"] = f"{100 * self.accuracy:.1f}%"
        self.progress.status(**shown)


def _parts(views: Views, count: int) -> Iterator[tuple[Tensor, Tensor | None, Tensor]]:
    """Yield the micro-batches of a batch."""
    swapped = [None] * count if views.swapped is None else views.swapped.chunk(count)
    yield from zip(views.first.chunk(count), swapped, views.second.chunk(count), strict=True)


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


class Log:
    """``log.jsonl``: one JSON object a line, of kind ``step`` or ``monitor``.

    Losses wait as tensors until `flush`, so that a GPU need not be waited for at every step.

    Args:
        path: The file.
        folder: Where checkpoints are, for the report of a loss that is not finite.
        names: Clip names by row, likewise.
    """

    def __init__(self, path: Path, folder: Path, names: list[str]) -> None:
        self.path, self.folder, self.names = path, folder, names
        self.board: board.Board | None = None
        self._waiting: list[tuple[int, int, Tensor, Tensor, dict[str, Any], Callable[[], float]]] = []

    def rewind(self, step: int) -> None:
        """Drop lines of later steps than `step`, left by a run that went on after its last checkpoint."""
        if not self.path.exists():
            return
        lines = self.path.read_text(encoding="utf-8").splitlines()
        kept = [line for line in lines if _step_of(line) <= step]
        if kept != lines:
            from skeltools.files.writing import write_text

            write_text(self.path, "".join(f"{line}\n" for line in kept))

    def step(
        self,
        step: int,
        epoch: int,
        losses: Tensor,
        clips: Tensor,
        values: dict[str, Any],
        speed: Callable[[], float],
    ) -> None:
        """Note the losses (4,) and clips' rows of a step; `speed`, asked at the flush, is clips a second."""
        self._waiting.append((step, epoch, losses, clips, values, speed))

    def flush(self, write: bool = True) -> dict[str, float]:
        """Write what waits, or only check it; return the losses of the last step by name.

        Raises:
            RunError: A loss is not finite.
        """
        waiting, self._waiting = self._waiting, []
        latest: dict[str, float] = {}
        records: list[dict[str, Any]] = []
        for step, epoch, losses, clips, values, speed in waiting:
            latest = dict(zip(LOSS_NAMES, losses.tolist(), strict=True))
            if not all(math.isfinite(value) for value in latest.values()):
                self._append(records if write else [])
                names = ", ".join(self.names[row] for row in clips.tolist())
                good = checkpoints.paths(self.folder)
                last = f"The last good checkpoint is {good[-1]}." if good else "There is no checkpoint yet."
                raise RunError(
                    f"The loss of step {step} is not finite; training stopped. {last} Lower train.lr, or "
                    f"look at the clips of the batch: {names}."
                )
            record = {"kind": "step", "step": step, "epoch": epoch + 1} | latest | values
            records.append(record | {"clips_per_second": round(speed(), 2)})
        self._append(records if write else [])
        return latest

    def write(self, record: dict[str, Any]) -> None:
        """Write one record at once."""
        self._append([record])

    def _append(self, records: list[dict[str, Any]]) -> None:
        if not records:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(record)}\n" for record in records)
        if self.board is not None:
            for record in records:
                self.board.write(record)


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf
