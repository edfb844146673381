"""Training encoder and classifier together: what finetune, semi and transfer share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from skeltools.analysis import metrics
from skeltools.errors import RunError, SettingError
from skeltools.models.contract import Backbone
from skeltools.models.encoder import FeatureEncoder
from skeltools.protocols.running.clips import Clips
from skeltools.protocols.running.contract import Best, DivergedError, Outcome, TrainingSettings
from skeltools.protocols.running.task import Task
from skeltools.settings import setting
from skeltools.training.optimizer import decays


@dataclass(frozen=True)
class TuneSettings(TrainingSettings):
    mode: str = setting(
        "Mode of the encoder while it is trained: eval keeps its batch norm statistics and drops nothing "
        "(reference), train updates them and uses dropout.",
        choices=("eval", "train"),
    )
    optimizer: str = setting("Optimiser.", choices=("sgd", "adamw"))
    betas: tuple[float, ...] = setting("The two betas of AdamW; ignored by SGD.", low=0, high=0.999999)
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

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.betas) != 2:
            raise SettingError(f"betas must be two numbers, not {list(self.betas)}.")
        if self.token_dropout and self.head != "joints":
            raise SettingError(
                f"token_dropout = {self.token_dropout:g} is of the head joints, and head is {self.head}."
            )
        if self.drop_path and self.mode != "train":
            raise SettingError(f"drop_path = {self.drop_path:g} has an effect in mode train alone.")
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
        section: What stands before their keys.
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
        scores: Scores of the test clips by it, (n_test, classes), on the device.
        best: The best test top-1 on the way.
    """

    model: TunedModel
    scores: Tensor
    best: Best | None


def tune(task: Task, rows: NDArray[np.int64], settings: TuneSettings, name: str) -> Outcome:
    """Train as `fit` does and return the scores of the test clips after the last epoch.

    Raises:
        DivergedError: The loss stopped being finite.
        RunError: In eval mode the encoder's statistics moved.
        SettingError: A head with batch norm is to be trained on one clip.
    """
    found = fit(task, rows, settings, name)
    return Outcome(found.scores.float().cpu(), variant(settings), best=found.best, train_rows=rows)


def fit(task: Task, rows: NDArray[np.int64], settings: TuneSettings, name: str) -> Tuned:
    """Train a fresh copy of the encoder and a classifier on some clips and score the test clips.

    All weights are trained, the last partial batch is kept. The draws (initial weights, order and views of clips,
    dropout) depend on the task's seed alone.

    Args:
        task: The task; `misfit` has nothing against it.
        rows: Rows of the clips to train on, int64 (n,).
        settings: Settings.
        name: What the progress display calls this.

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
        return _tune(task, rows, settings, name)


def _tune(task: Task, rows: NDArray[np.int64], settings: TuneSettings, name: str) -> Tuned:
    draws = torch.Generator().manual_seed(task.seed)
    encoder = task.new_encoder().requires_grad_(True)
    clips, tests = task.clips(rows, settings.view), task.clips(task.test_rows)
    labels, test_labels = task.labels(rows).to(task.device), task.test_labels.to(task.device)
    model = TunedModel(encoder, _head(encoder, tests, task.num_classes, settings, draws)).to(task.device)
    if settings.drop_path:
        cast(FeatureEncoder, encoder).backbone.set_drop_path(settings.drop_path)
    statistics = {key: value.clone() for key, value in encoder.named_buffers()}
    optimiser = make_optimizer(model, settings)
    best: Best | None = None
    scores, step = torch.empty(0), 0
    task.progress.start(f"{task.subject.kind}: {name}", settings.epochs * len(rows))
    for epoch in range(1, settings.epochs + 1):
        encoder.train(settings.mode == "train")
        model.head.train()
        clips.epoch = epoch - 1
        batches = _batches(torch.randperm(len(rows), generator=draws), settings)
        for batch in batches:
            for group in optimiser.param_groups:
                group["lr"] = settings.rate(step, len(batches)) * group["scale"]
            loss = F.cross_entropy(
                model(clips.batch(batch)),
                labels[batch.to(task.device)],
                label_smoothing=settings.label_smoothing,
            )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            step += 1
            task.progress.advance(len(batch))
        if not torch.isfinite(loss):
            raise DivergedError(name, epoch, settings.lr)
        if settings.evaluates(epoch):
            scores = _scores(model, tests, task.batch_size)
            top1 = metrics.topk(scores, test_labels, 1)
            task.progress.status(epoch=epoch, loss=float(loss.detach()))
            if best is None or top1 > best.top1:
                best = Best(epoch, top1)
    task.progress.finish()
    if settings.mode == "eval":
        moved = [key for key, value in encoder.named_buffers() if not torch.equal(value, statistics[key])]
        if moved:
            raise RunError(
                f"The encoder's '{moved[0]}' moved in eval mode; statistics must stay as they were."
            )
    return Tuned(model, scores, best)


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


@torch.no_grad()
def _scores(model: nn.Module, clips: Clips, batch_size: int) -> Tensor:
    """Return the scores of clips, (n, classes), in eval mode."""
    model.eval()
    index = torch.arange(len(clips))
    parts = [model(clips.batch(part)) for part in index.split(batch_size)]  # type: ignore[no-untyped-call]
    return torch.cat(parts)
