"""Training encoder and classifier together: what finetune, semi and transfer share."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from skeltools.analysis import metrics
from skeltools.errors import RunError, SettingError
from skeltools.models.contract import Backbone
from skeltools.models.encoder import FeatureEncoder
from skeltools.protocols.running.clips import Clips
from skeltools.protocols.running.contract import Best, DivergedError, Outcome, TrainingSettings, best_of
from skeltools.protocols.running.holding import hold_out
from skeltools.protocols.running.saves import Save
from skeltools.protocols.running.task import Task
from skeltools.settings import setting
from skeltools.training.compiling import on_trial
from skeltools.training.launch import Stop, stop_on_signals
from skeltools.training.optimizer import decays


@dataclass(frozen=True)
class TuneSettings(TrainingSettings):
    mode: str = setting(
        "Mode of the encoder while it is trained: eval keeps its batch norm statistics and drops nothing "
        "(reference), train updates them and uses dropout.",
        choices=("eval", "train"),
    )
    optimizer: str = setting("Optimiser.", choices=("sgd", "adamw"))
    betas: tuple[float, ...] = setting(
        "The two betas of AdamW; ignored by SGD.", low=0, high=0.999999, only="optimizer=adamw"
    )
    decay_all: bool = setting("Whether every weight decays; else none of one axis (norms), and no bias.")
    layer_decay: float = setting(
        "Factor of the learning rate from one layer of the encoder to the one before; 1 for one rate.",
        above=0,
        high=1,
    )
    drop_path: float = setting(
        "Probability that training skips a branch of the encoder's last block, rising linearly from 0 in the "
        "first; in mode train alone.",
        low=0,
        high=0.99,
    )
    label_smoothing: float = setting("Share of a label that is spread over all classes.", low=0, high=0.99)
    head: str = setting(
        "Classifier: linear, one layer on the feature; joints, two layers with batch norm on the tokens' means "
        "over time and bodies, joint by joint.",
        choices=("linear", "joints"),
    )
    head_hidden: int = setting("Hidden size of the head joints.", low=1)
    token_dropout: float = setting("Dropout of the tokens before the head joints.", low=0, high=0.99)
    precision: str = setting("Arithmetic of the training.", choices=("float32", "bf16", "float64"))
    compile: bool = setting("Whether to try torch.compile; without it where that fails.")
    accumulate: int = setting(
        "Parts in which a batch is computed, one after the other, to save memory.", low=1
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.betas) != 2:
            raise SettingError(f"betas must be two numbers, not {list(self.betas)}.")
        if self.token_dropout and self.head != "joints":
            raise SettingError(
                f"token_dropout = {self.token_dropout:g} has an effect only where head is joints, not {self.head}."
            )
        if self.drop_path and self.mode != "train":
            raise SettingError(f"drop_path = {self.drop_path:g} has an effect only in mode train.")
        if self.head == "joints" and self.batch_size < 2:
            raise SettingError("The head joints has a batch norm, which needs a batch_size of 2 or more.")


def variant(settings: TuneSettings) -> str:
    """Return the name of the variant: the mode, and what else differs from the reference in kind."""
    words = [settings.mode] + (["joints"] if settings.head == "joints" else [])
    return " ".join(words + (["augmented"] if settings.view != "none" else []))


def misfit(task: Task, settings: TuneSettings, section: str) -> str | None:
    """Return which setting asks for what the task's encoder does not give, or None.

    Args:
        task: The task; its subject is an encoder.
        settings: The settings.
        section: The word before their keys.
    """
    if settings.head == "linear" and settings.layer_decay == 1 and settings.drop_path == 0:
        return None
    backbone = task.backbone
    name = task.subject.name if backbone is None else type(backbone).__name__
    if settings.head == "joints" and (backbone is None or not backbone.token_joints):
        return (
            f"{section}.head joints needs a token for each joint, which {name} does not give. "
            f"Set {section}.head=linear and {section}.token_dropout=0"
        )
    if settings.layer_decay != 1 and (backbone is None or not backbone.layers()):
        return (
            f"{section}.layer_decay {settings.layer_decay:g} needs the encoder's layers, which {name} does not "
            f"tell. Set {section}.layer_decay=1"
        )
    if settings.drop_path and (backbone is None or not backbone.set_drop_path(0)):
        return (
            f"{section}.drop_path {settings.drop_path:g} skips branches of blocks, which {name} cannot. "
            f"Set {section}.drop_path=0"
        )
    return None


class JointHead(nn.Module):
    """MAMP's classifier: tokens to their means over time, then bodies, joint by joint, then two layers.

    Args:
        joints: V.
        dim: D, channels of a token.
        hidden: Hidden size.
        classes: Outputs.
        dropout: Of the tokens.
        draws: Where the initial weights come from: Xavier uniform, zero bias.
    """

    def __init__(
        self, joints: int, dim: int, hidden: int, classes: int, dropout: float, draws: torch.Generator
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.first, self.norm = nn.Linear(joints * dim, hidden), nn.BatchNorm1d(hidden)
        self.second = nn.Linear(hidden, classes)
        for layer in (self.first, self.second):
            nn.init.xavier_uniform_(layer.weight, generator=draws)
            nn.init.zeros_(layer.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return scores (N, classes) of tokens (N, M, T', V, D)."""
        x = self.dropout(tokens).mean(dim=2).mean(dim=1).flatten(1)
        return cast(Tensor, self.second(F.relu(self.norm(self.first(x)))))


class TunedModel(nn.Module):
    """Encoder and head.

    Args:
        encoder: The encoder; with a `JointHead` one of a backbone whose tokens are joints.
        head: An `nn.Linear` or a `JointHead`.
    """

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head

    def forward(self, x: Tensor) -> Tensor:
        """Return scores (N, classes) of clips (N, 3, T, V, M)."""
        if not isinstance(self.head, JointHead):
            return cast(Tensor, self.head(self.encoder(x)))
        backbone = cast(FeatureEncoder, self.encoder).backbone
        return cast(Tensor, self.head(backbone.token_map(backbone(x))))


def make_optimizer(model: TunedModel, settings: TuneSettings) -> torch.optim.Optimizer:
    """Return the optimiser of all weights; a group's ``scale`` is the factor of its learning rate.

    Layers are those the backbone tells, counted from the head, whose factor is 1.
    """
    backbone = getattr(model.encoder, "backbone", None)
    layers = backbone.layers() if isinstance(backbone, Backbone) else []
    place = {id(weight): number for number, layer in enumerate(layers) for weight in layer}
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, weight in model.named_parameters():
        scale = settings.layer_decay ** (len(layers) - place.get(id(weight), len(layers)))
        groups.setdefault((scale, settings.decay_all or decays(name, weight)), []).append(weight)
    made: list[dict[str, Any]] = [
        {"params": weights, "scale": scale, "weight_decay": settings.weight_decay if decayed else 0.0}
        for (scale, decayed), weights in groups.items()
    ]
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(made, lr=settings.lr, betas=(settings.betas[0], settings.betas[1]))
    return torch.optim.SGD(made, lr=settings.lr, momentum=settings.momentum)


@dataclass(frozen=True)
class Tuned:
    """What finetuning gave.

    Attributes:
        model: Encoder and head after the last epoch, in eval mode.
        scores: Scores of the test clips by it, (n_test, classes), on the CPU.
        curve: Test top-1 by the epochs after which it was evaluated.
    """

    model: TunedModel
    scores: Tensor
    curve: dict[int, float]


def tune(task: Task, rows: NDArray[np.int64], settings: TuneSettings, name: str) -> Outcome:
    """Train as `fit` does and return the scores of the test clips after the last epoch.

    With `TrainingSettings.held_out_people` a training without these people's clips comes first, and says which epoch
    to choose.

    Raises:
        DivergedError: The loss stopped being finite.
        RunError: In eval mode the encoder's statistics moved.
        SettingError: A head with batch norm is to be trained on one clip; the clips are too few to hold some out.
    """
    held = hold_out(task, rows, settings.held_out_people)
    epoch = None
    if held is not None:
        words = f"{name} without {held.words}"
        epoch = best_of(fit(task, held.kept, settings, words, tests=held.held).curve).epoch
    found = fit(task, rows, settings, name)
    return Outcome(
        found.scores.float(),
        variant(settings),
        best=best_of(found.curve),
        chosen=None if epoch is None else Best(epoch, found.curve[epoch]),
        train_rows=rows,
        notes=[] if held is None else [held.note],
    )


def fit(
    task: Task,
    rows: NDArray[np.int64],
    settings: TuneSettings,
    name: str,
    tests: NDArray[np.int64] | None = None,
) -> Tuned:
    """Train a fresh copy of the encoder and a classifier on some clips and score the test clips.

    All weights are trained, the last partial batch is kept. The draws (initial weights, order and views of clips,
    dropout) depend on the task's seed alone.

    Args:
        task: The task; `misfit` has nothing against it.
        rows: Rows of the clips to train on, int64 (n,).
        settings: Settings.
        name: What the progress display calls this.
        tests: Rows of the clips to score; the task's test clips when None. Such a training has a state of its own to
            go on from, which stays when it is done.

    Returns:
        The model and scores after the last epoch.

    Raises:
        DivergedError: The loss stopped being finite.
        RunError: In eval mode the encoder's statistics moved.
        SettingError: A head with batch norm is to be trained on one clip.
    """
    if settings.head == "joints" and len(rows) < 2:
        raise SettingError("The head joints has a batch norm, which needs more than one training clip.")
    # Building and dropout draw from torch's own generators; they are put back afterwards.
    with torch.random.fork_rng(devices=[task.device] if task.device.type == "cuda" else []):
        torch.manual_seed(task.seed)
        return _Tuning(task, rows, settings, name, tests).run()


class _Tuning:
    """One training of encoder and head, from its beginning or where it was stopped."""

    def __init__(
        self,
        task: Task,
        rows: NDArray[np.int64],
        settings: TuneSettings,
        name: str,
        tests: NDArray[np.int64] | None = None,
    ) -> None:
        self.task, self.rows, self.settings, self.name = task, rows, settings, name
        self.world, device = task.world, task.device
        self.dtype = torch.float64 if settings.precision == "float64" else torch.float32
        self.draws = torch.Generator().manual_seed(task.seed)
        self.encoder = task.new_encoder().requires_grad_(True)
        self.aside = tests is not None
        tests = task.test_rows if tests is None else tests
        self.clips, self.tests = task.clips(rows, settings.view), task.clips(tests)
        self.test_labels = task.labels(tests)
        self.labels = task.labels(rows).to(device)
        head = _head(self.encoder, self.tests, task.num_classes, settings, self.draws)
        self.model = TunedModel(self.encoder, head).to(device, self.dtype)
        if settings.drop_path:
            cast(FeatureEncoder, self.encoder).backbone.set_drop_path(settings.drop_path)
        self.statistics = {key: value.clone() for key, value in self.encoder.named_buffers()}
        self.optimiser = make_optimizer(self.model, settings)
        self.network = self.world.wrap(self.model, device, sync_bn=True)
        self._compiled: Callable[..., Tensor] | None = None
        self.epoch, self.done, self.step = 1, 0, 0
        self.curve: dict[int, float] = {}
        self.start = self.draws.get_state()
        end = "-held.pt" if self.aside else ".pt"
        self.save = Save(None if task.saves is None else task.saves.with_name(f"{task.saves.name}{end}"))
        if not self.world.is_main:
            torch.manual_seed(task.seed + self.world.rank * 2**32)

    def run(self) -> Tuned:
        """Train to the end."""
        task, settings = self.task, self.settings
        self._go_on()
        passed = (self.epoch - 1) * len(self.rows) + min(self.done * settings.batch_size, len(self.rows))
        task.progress.start(f"{task.subject.kind}: {self.name}", settings.epochs * len(self.rows) - passed)
        scores = torch.empty(0)
        with stop_on_signals() as stop:
            for epoch in range(self.epoch, settings.epochs + 1):
                self.epoch = epoch
                loss = self._pass(stop)
                if stop.signal is not None:
                    break
                if not torch.isfinite(loss):
                    raise DivergedError(self.name, epoch, settings.lr)
                if settings.evaluates(epoch):
                    scores = self._scores()
                    self.curve[epoch] = metrics.topk(scores, self.test_labels, 1)
                    task.progress.status(epoch=epoch, loss=float(loss))
                self.epoch, self.done, self.start = epoch + 1, 0, self.draws.get_state()
                due = self.aside if epoch == settings.epochs else self.save.due()
                if self.world.share(due):
                    self._store()
        task.progress.finish()
        if stop.signal is not None:
            signal.raise_signal(stop.signal)
            raise KeyboardInterrupt
        if settings.mode == "eval":
            for key, value in self.encoder.named_buffers():
                if not torch.equal(value, self.statistics[key]):
                    raise RunError(
                        f"The encoder's '{key}' moved in eval mode; statistics must stay as they were."
                    )
        return Tuned(self.model.eval(), scores, self.curve)

    def _pass(self, stop: Stop) -> Tensor:
        """Train on what is left of an epoch; return the last batch's loss. A signal saves and ends it."""
        self.encoder.train(self.settings.mode == "train")
        self.model.head.train()
        self.clips.epoch = self.epoch - 1
        batches = _batches(torch.randperm(len(self.rows), generator=self.draws), self.settings)
        loss = torch.zeros(())
        for batch in batches[self.done :]:
            for group in self.optimiser.param_groups:
                group["lr"] = self.settings.rate(self.step, len(batches)) * group["scale"]
            self.optimiser.zero_grad(set_to_none=True)
            loss = self._gradients(batch)
            self.optimiser.step()
            self.step += 1
            self.done += 1
            self.task.progress.advance(len(batch))
            if self._must_stop(stop, len(batches)):
                self._store()
                break
        return self.world.mean(loss.detach() * self.world.size)

    def _gradients(self, batch: Tensor) -> Tensor:
        """Add up the gradients of a batch, of which each process takes a share; return this one's share of the loss.

        Processes average their gradients: so a clip weighs by how many there are, wherever it is.
        """
        whole = self.world.alone and self.settings.accumulate == 1
        share = batch.tensor_split(self.world.size)[self.world.rank]
        weight = 1.0 if whole else self.world.size / len(batch)
        if not len(share):  # fewer clips than processes: this one goes through the motions
            share, weight = batch[:1], 0.0
        parts = share.chunk(self.settings.accumulate)
        total = torch.zeros((), device=self.task.device, dtype=self.dtype)
        for number, part in enumerate(parts, start=1):
            with self._apart() if number < len(parts) else nullcontext():
                loss = weight * F.cross_entropy(
                    self._forward(self.clips.batch(part).to(self.dtype)),
                    self.labels[part.to(self.task.device)],
                    label_smoothing=self.settings.label_smoothing,
                    reduction="mean" if whole else "sum",
                )
                loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total / self.world.size

    def _apart(self) -> AbstractContextManager[None]:
        """Return a context in which gradients only add up in this process."""
        if isinstance(self.network, DistributedDataParallel):
            return cast(AbstractContextManager[None], self.network.no_sync())
        return nullcontext()

    def _forward(self, x: Tensor) -> Tensor:
        device = self.task.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.settings.precision == "bf16"):
            if self.settings.compile and self._compiled is None:
                self._compiled = on_trial(
                    self.network,
                    self.model,
                    (x,),
                    device,
                    self.task.progress,
                    lambda scores: scores.float().sum(),
                )
            scores: Tensor = (self.network if self._compiled is None else self._compiled)(x)
        return scores.to(self.dtype)

    @torch.no_grad()
    def _scores(self) -> Tensor:
        """Return the scores of the test clips, (n, classes), in eval mode, on the CPU; processes share the work."""
        self.model.eval()
        mine = torch.arange(len(self.tests)).tensor_split(self.world.size)[self.world.rank]
        with torch.autocast(self.task.device.type, torch.bfloat16, enabled=self.settings.precision == "bf16"):
            index: list[Tensor] = list(mine.split(self.task.batch_size))  # type: ignore[no-untyped-call]
            parts = [self.model(self.tests.batch(part).to(self.dtype)) for part in index]
        return torch.cat(self.world.collect(torch.cat(parts).to(self.dtype).cpu()))

    def _must_stop(self, stop: Stop, batches: int) -> bool:
        """Return whether to stop now; all processes agree."""
        if self.world.alone:
            return stop()
        if self.step % _ASK and self.done < batches:
            return False
        asked = self.world.any(stop(), self.task.device)
        if asked and stop.signal is None:  # another process got the signal
            stop.signal = signal.SIGTERM
        return asked

    def _store(self) -> None:
        """Save this very moment."""
        rank, device = self.world.rank, self.task.device
        mine = {f"cpu {rank}": torch.get_rng_state()}
        if device.type == "cuda":
            mine[f"cuda {rank}"] = torch.cuda.get_rng_state(device)
        states = {name: state for part in self.world.collect(mine) for name, state in part.items()}
        if self.world.is_main:
            self.save.store(
                {
                    "place": [self.epoch, self.done, self.step],
                    "curve": [[epoch, top1] for epoch, top1 in self.curve.items()],
                    "model": self.model.state_dict(),
                    "optimiser": self.optimiser.state_dict(),
                    "order": self.start,
                    "rng": states,
                }
            )

    def _go_on(self) -> None:
        """Take up what was saved, if it is of this training."""
        saved = self.save.load()
        if self.world.share(saved is None):
            return
        try:
            assert saved is not None
            self.model.load_state_dict(saved["model"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.epoch, self.done, self.step = map(int, saved["place"])
            self.curve = {int(epoch): float(top1) for epoch, top1 in saved["curve"]}
            self.start = saved["order"]
            self.draws.set_state(self.start)
            own = {name.partition(" ")[0]: state for name, state in saved["rng"].items() if
                   name.endswith(f" {self.world.rank}")}  # fmt: skip
            if "cpu" in own:
                torch.set_rng_state(own["cpu"])
            if "cuda" in own and self.task.device.type == "cuda":
                torch.cuda.set_rng_state(own["cuda"], self.task.device)
        except (AssertionError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise RunError(
                f"{self.save.path}, the state of an evaluation under way, does not fit it ({error}). Remove it and run "
                "the evaluation again."
            ) from None


_ASK = 10
"""Steps after which processes ask one another whether to stop."""


@torch.no_grad()
def _head(
    encoder: nn.Module, clips: Clips, classes: int, settings: TuneSettings, draws: torch.Generator
) -> nn.Module:
    """Return an untrained classifier on the encoder, on the CPU."""
    if settings.head == "joints":
        backbone = cast(FeatureEncoder, encoder).backbone
        joints, dim = backbone.token_joints, backbone.feature_dim
        return JointHead(joints, dim, settings.head_hidden, classes, settings.token_dropout, draws)
    dim = encoder(clips.batch(torch.zeros(1, dtype=torch.int64))).shape[1]
    head = nn.Linear(dim, classes)
    head.weight.normal_(0, settings.init_std, generator=draws)
    head.bias.zero_()
    return head


def _batches(order: Tensor, settings: TuneSettings) -> list[Tensor]:
    """Return the epoch's batches of indices; the last may be partial.

    Where batch statistics are taken a single clip left over joins the batch before it, since it has none.
    """
    normed = settings.mode == "train" or settings.head == "joints"
    batches = list(order.split(settings.batch_size))  # type: ignore[no-untyped-call]
    if normed and len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches
