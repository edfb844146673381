"""Linear evaluation: one linear layer on frozen features (docs/method.md#linear-evaluation).

Without augmentation neither the encoder nor its input changes from epoch to epoch, so the features are computed
once and the layer is trained on them. With it (``linear.view``) every epoch passes all clips through the encoder, or
takes one of ``linear.views`` passes made beforehand.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skeltools.analysis import metrics
from skeltools.errors import SettingError, counted
from skeltools.progress import SILENT, Progress, duration
from skeltools.protocols.running.contract import (
    Best,
    Classifier,
    DivergedError,
    Outcome,
    Protocol,
    TrainingSettings,
    best_of,
)
from skeltools.protocols.running.holding import Held, hold_out
from skeltools.protocols.running.task import Task
from skeltools.settings import setting

_BN_MOMENTUM = 0.1


@dataclass(frozen=True)
class LinearSettings(TrainingSettings):
    batch_norm: bool = setting("Batch norm without scale and shift before the layer.")
    batch_norm_eps: float = setting("What batch norm adds to the variance.", above=0)
    views: int = setting(
        "Passes of augmented clips that are made beforehand and taken in turn; 0 for a new one every epoch, which "
        "is the protocol that the former approximates.",
        low=0,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.views and self.view == "none":
            raise SettingError(
                f"views = {self.views} is a number of augmented passes, but view is none. Set view, or leave views out."
            )


@dataclass(frozen=True)
class Fit:
    """A trained layer.

    Attributes:
        scores: Test scores after the last epoch, float32 (m, classes), on the device.
        curve: Test top-1 by the epochs after which it was evaluated.
        classifier: The layer, batch norm folded in.
    """

    scores: Tensor
    curve: dict[int, float]
    classifier: Classifier


class Linear(Protocol):
    """One linear layer on frozen features."""

    settings = LinearSettings
    recipe = "linear"

    def run(self, task: Task, settings: LinearSettings) -> list[Outcome]:
        """Train the layer for all epochs and return the scores of the last one.

        The test clips never influence training; their accuracy every `eval_every` epochs only gives the
        "test-selected" value that published tables report, and that of the epoch chosen on held-out people.

        Raises:
            DivergedError: The classifier's loss stopped being finite.
            SettingError: The training clips are too few to hold some out.
        """
        held = hold_out(task, task.train_rows, settings.held_out_people)
        epoch = None if held is None else self._choose(task, settings, held)
        train: Tensor | Views
        if settings.view == "none":
            train, test = (part.to(task.device) for part in task.features)
        else:
            test = task.compared(task.test_rows, "test").to(task.device)
            train = Views(task, settings, task.train_rows)
        fit = fit_layer(
            train,
            lambda: test,
            task.train_labels.to(task.device),
            task.test_labels.to(task.device),
            dim=test.shape[1],
            classes=task.num_classes,
            settings=settings,
            seed=task.seed,
            progress=task.progress,
            label=f"{task.subject.kind}: linear",
        )
        notes = [] if held is None else [held.note]
        if settings.view != "none":
            task.check_frozen()
        if settings.views:
            notes.append(
                f"linear: {settings.views} fixed passes of augmented clips, taken in turn, stand for a new one every "
                "epoch, an approximation."
            )
        return [
            Outcome(
                fit.scores.cpu(),
                variant(settings),
                best=best_of(fit.curve),
                chosen=None if epoch is None else Best(epoch, fit.curve[epoch]),
                classifier=task.on_plain_features(fit.classifier),
                notes=notes,
            )
        ]

    def _choose(self, task: Task, settings: LinearSettings, held: Held) -> int:
        """Return the epoch that does best on held-out clips, by a layer that is trained on the others."""
        train: Tensor | Views
        if settings.view == "none":
            features = task.features[0]
            train, test = (features[part].to(task.device) for part in (~held.out, held.out))
        else:
            train = Views(task, settings, held.kept)
            test = task.compared(held.held, "held-out").to(task.device)
        found = fit_layer(
            train,
            lambda: test,
            task.labels(held.kept).to(task.device),
            task.labels(held.held).to(task.device),
            dim=test.shape[1],
            classes=task.num_classes,
            settings=settings,
            seed=task.seed,
            progress=task.progress,
            label=f"{task.subject.kind}: linear without {held.words}",
        )
        return best_of(found.curve).epoch


def variant(settings: LinearSettings) -> str:
    """Return the name of the variant: empty for the reference's batch 128 without batch norm."""
    words = ["bn"] if settings.batch_norm else []
    words += [f"b{settings.batch_size}"] if settings.batch_size != 128 else []
    words += ["augmented"] if settings.view != "none" else []
    words += [f"views={settings.views}"] if settings.views else []
    return " ".join(words)


class Views:
    """Features of training clips, augmented anew for every epoch or ``settings.views`` times beforehand.

    Says what that costs when it is made.

    Args:
        task: The task.
        settings: The settings.
        rows: Rows of the clips, int64 (n,).

    Attributes:
        epoch: The epoch whose views are asked for, from 0.
    """

    def __init__(self, task: Task, settings: LinearSettings, rows: NDArray[np.int64]) -> None:
        self.task, self.epoch = task, 0
        self.clips = task.clips(rows, settings.view)
        self._announce(settings)
        every = torch.arange(len(self.clips))
        task.progress.start(f"{task.subject.kind}: augmented features", settings.views * len(every))
        self.kept: list[Tensor] = []
        for view in range(settings.views):
            self.clips.epoch = view
            self.kept.append(task.pass_through(self.clips, every).cpu())
            task.progress.advance(len(every))
        task.progress.finish()

    def __call__(self, rows: Tensor) -> Tensor:
        """Return the features (b, D) of the clips at some places (b,)."""
        if not self.kept:
            self.clips.epoch = self.epoch
            return self.task.pass_through(self.clips, rows)
        return self.kept[self.epoch % len(self.kept)][rows.cpu()].to(rows.device)

    def _announce(self, settings: LinearSettings) -> None:
        """Say how many clips pass through the encoder, and in what time, from that of a batch."""
        some = torch.arange(min(len(self.clips), self.task.batch_size))
        for _ in range(2):  # the first one warms up
            began = time.perf_counter()
            self.task.pass_through(self.clips, some).cpu()
            seconds = time.perf_counter() - began
        passes = settings.views or settings.epochs
        count = passes * len(self.clips)
        text = (
            f"{self.task.subject.kind}: {counted(count, 'clip passes', 'clips pass')} through the encoder "
            f"({passes} x {len(self.clips):,}), "
            f"about {duration(seconds * count / len(some))}."
        )
        if not settings.views:
            text += " With views=K it is K passes, an approximation."
        self.task.progress.message(text)


@torch.no_grad()
def fit_layer(
    train: Tensor | Callable[[Tensor], Tensor],
    test: Callable[[], Tensor],
    train_labels: Tensor,
    test_labels: Tensor,
    *,
    dim: int,
    classes: int,
    settings: LinearSettings,
    seed: int,
    progress: Progress = SILENT,
    label: str = "linear",
) -> Fit:
    """Train one linear layer by SGD on softmax cross-entropy.

    Args:
        train: Features of the training clips (n, D) on the labels' device, or what gives those of some clips,
            (b, D), by their index (b,); `Views` get the epoch.
        test: Gives the features of the test clips (m, D).
        train_labels: int64 (n,).
        test_labels: int64 (m,).
        dim: D.
        classes: Number of outputs.
        settings: Settings; see `TrainingSettings`.
        seed: Seed of the initial weights and of the order of the clips.
        progress: Receiver of progress.
        label: What the progress display calls this.

    Raises:
        DivergedError: The loss stopped being finite.
    """
    device = train_labels.device
    # All draws come from a CPU generator, so that they do not depend on the device.
    draws = torch.Generator().manual_seed(seed)
    weight = torch.empty(classes, dim).normal_(0, settings.init_std, generator=draws).to(device)
    bias = torch.zeros(classes, device=device)
    speeds = torch.zeros_like(weight), torch.zeros_like(bias)
    norm = Norm(dim, settings.batch_norm_eps, device) if settings.batch_norm else None
    targets = torch.eye(classes, device=device)

    curve: dict[int, float] = {}
    scores = torch.empty(0)
    steps, step = math.ceil(len(train_labels) / settings.batch_size), 0
    progress.start(label, settings.epochs, "epochs")
    for epoch in range(1, settings.epochs + 1):
        if isinstance(train, Views):
            train.epoch = epoch - 1
        order = torch.randperm(len(train_labels), generator=draws).to(device)
        for x, target in _batches(train, targets, train_labels, order, settings.batch_size):
            rate = settings.rate(step, steps)
            step += 1
            if norm is not None:
                x = norm.train(x)
            sgd_step(weight, bias, speeds, x, target, rate, settings.momentum, settings.weight_decay)
        if not torch.isfinite(weight).all():
            raise DivergedError("the linear classifier", epoch, settings.lr)
        if settings.evaluates(epoch):
            fold_w, fold_b = (weight, bias) if norm is None else norm.fold(weight, bias)
            scores = torch.addmm(fold_b, test(), fold_w.T)
            curve[epoch] = metrics.topk(scores, test_labels, 1)
        progress.advance()
    progress.finish()
    return Fit(scores, curve, Classifier(fold_w.cpu().clone(), fold_b.cpu().clone()))


def sgd_step(
    weight: Tensor,
    bias: Tensor,
    speeds: tuple[Tensor, Tensor],
    x: Tensor,
    target: Tensor,
    rate: float,
    momentum: float,
    decay: float,
) -> None:
    """Train a linear layer in place by a step of SGD on softmax cross-entropy, as `torch.optim.SGD` does.

    The gradient is one matrix product. Written out, a step takes 0.2 to 0.3 of the time that autograd needs
    (64 to 256 features, one thread).

    Args:
        weight: (classes, D).
        bias: (classes,).
        speeds: Momentum buffers of both.
        x: Features (b, D).
        target: One-hot labels (b, classes).
        rate: Learning rate.
        momentum: Momentum.
        decay: Weight decay.
    """
    slope = torch.addmm(bias, x, weight.T).softmax(dim=1).sub_(target)  # (b, classes)
    # speed = momentum * speed + gradient, each in one operation
    torch.addmm(speeds[0], slope.T, x, beta=momentum, alpha=1 / len(x), out=speeds[0])
    torch.addmv(speeds[1], slope.T, x.new_ones(len(x)), beta=momentum, alpha=1 / len(x), out=speeds[1])
    for value, speed in zip((weight, bias), speeds, strict=True):
        if decay:
            speed.add_(value, alpha=decay)
        value.add_(speed, alpha=-rate)


_BLOCK = 2**22
"""Numbers gathered at a time for several batches together."""


def _batches(
    train: Tensor | Callable[[Tensor], Tensor], targets: Tensor, labels: Tensor, order: Tensor, size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of an epoch: features (b, D) and one-hot labels (b, classes)."""
    if not isinstance(train, Tensor):
        for rows in order.split(size):  # type: ignore[no-untyped-call]
            yield train(rows), targets[labels[rows]]
        return
    # Gathering many batches at once leaves little to do for each of them.
    many = max(1, _BLOCK // train.shape[1] // size) * size
    for block in order.split(many):  # type: ignore[no-untyped-call]
        wanted = targets[labels[block]].split(size)  # type: ignore[no-untyped-call]
        yield from zip(train[block].split(size), wanted, strict=True)  # type: ignore[no-untyped-call]


class Norm:
    """Batch norm over (b, D) without scale and shift: batch statistics in training, running ones after."""

    def __init__(self, dim: int, eps: float, device: torch.device) -> None:
        self.eps = eps
        self.mean = torch.zeros(dim, device=device)
        self.var = torch.ones(dim, device=device)

    def train(self, x: Tensor) -> Tensor:
        """Normalise (b, D) and follow the running statistics."""
        if len(x) < 2:  # one clip has no spread; the running statistics serve
            return (x - self.mean) * (self.var + self.eps).rsqrt()
        var, mean = torch.var_mean(x, dim=0, correction=0)
        self.mean.lerp_(mean, _BN_MOMENTUM)
        self.var.lerp_(var * (len(x) / (len(x) - 1)), _BN_MOMENTUM)
        return (x - mean) * (var + self.eps).rsqrt()

    def fold(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Return the layer that gives on plain features what `weight`, `bias` give on normalised ones."""
        folded = weight * (self.var + self.eps).rsqrt()
        return folded, bias - folded @ self.mean
