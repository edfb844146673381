"""The contract of a protocol: a task goes in, outcomes come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from skeltools.errors import RunError
from skeltools.settings import setting

if TYPE_CHECKING:
    from skeltools.protocols.running.task import Task


class DivergedError(RunError):
    """The loss of a classifier stopped being finite."""

    def __init__(self, name: str, epoch: int, lr: float) -> None:
        super().__init__(f"The loss of {name} is not finite in epoch {epoch}. Lower its lr ({lr:g}).")


@dataclass(frozen=True)
class Best:
    """The best test top-1 a protocol met on its way, in [0, 1], and the epoch it was met at."""

    epoch: int
    top1: float


@dataclass(frozen=True)
class Classifier:
    """A linear classifier on the subject's plain features: ``scores = features @ weight.T + bias``.

    Whatever was done to the features before the layer (standardisation, batch norm) is folded in.

    Attributes:
        weight: float32 (classes, D), on the CPU.
        bias: float32 (classes,), on the CPU.
    """

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class Outcome:
    """What a protocol found.

    Attributes:
        scores: Class scores of the test clips at the last epoch, float32 (n_test, classes), on the CPU.
        variant: What tells apart several outcomes of one protocol, such as ``k=10``; else empty.
        best: The test-selected best, where the protocol evaluates more than once.
        metrics: Further measures by name, such as ``map``; shares in [0, 1].
        train_rows: Rows of the clips trained on, where they are not the split's training rows.
        test_rows: Rows of the clips tested on, where they are not the split's test rows.
        classifier: The classifier, where it is one linear layer on the features.
        notes: Things a reader should know, a sentence each.
    """

    scores: Tensor
    variant: str = ""
    best: Best | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    train_rows: NDArray[np.int64] | None = None
    test_rows: NDArray[np.int64] | None = None
    classifier: Classifier | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of every protocol that trains a classifier by SGD."""

    epochs: int = setting("Passes over the training clips.", low=1)
    batch_size: int = setting("Clips a step; the last partial batch is kept.", low=1)
    lr: float = setting("Learning rate of SGD.", above=0)
    lr_steps: tuple[int, ...] = setting("Epochs after which the rate is multiplied by lr_gamma.", low=0)
    lr_gamma: float = setting("Factor of the rate at each step epoch.", above=0)
    momentum: float = setting("Momentum of SGD.", low=0)
    weight_decay: float = setting("Weight decay of SGD.", low=0)
    init_std: float = setting("Standard deviation of the initial weights; the bias starts at 0.", low=0)
    eval_every: int = setting("Epochs between test evaluations (for the test-selected value only).", low=1)

    def rate(self, epoch: int) -> float:
        """Return the learning rate of a 1-based epoch."""
        return float(self.lr * self.lr_gamma ** sum(epoch > step for step in self.lr_steps))

    def evaluates(self, epoch: int) -> bool:
        """Tell whether the test clips are scored after a 1-based epoch; always after the last."""
        return epoch % self.eval_every == 0 or epoch == self.epochs


class ProtocolModule(Protocol):
    """What a module of this package must define; `skeltools.protocols.running.registry` lists the modules.

    Beside `run` a module defines the schemas of its settings, frozen dataclasses with one section named like
    the protocol, and may define ``skip(task, settings) -> str | None``: why the task cannot be served
    by the protocol, or None. ``--protocol all`` leaves such a protocol out with that reason; asked for by
    name, the reason is an error.
    """

    @staticmethod
    def run(task: Task, settings: Any) -> Sequence[Outcome]:
        """Run the protocol on a task and return at least one outcome.

        Args:
            task: The task.
            settings: The protocol's section of its settings.

        Raises:
            SettingError: A setting does not fit the data.
        """
