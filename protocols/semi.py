"""Semi-supervised evaluation: all weights trained on a small share of the labels (spec section 6)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from skeltools.protocols.running.base import Outcome
from skeltools.protocols.running.task import Task
from skeltools.protocols.running.tuning import TuneSettings, obstacle, tune
from skeltools.settings import setting


@dataclass(frozen=True)
class SemiSettings(TuneSettings):
    percent: float = setting("Share of each class's training clips, in per cent.", above=0, high=100)


@dataclass(frozen=True)
class Semi1:
    semi1: SemiSettings


@dataclass(frozen=True)
class Semi10:
    semi10: SemiSettings


@dataclass(frozen=True)
class Semi:
    semi: SemiSettings


def skip(task: Task, settings: SemiSettings) -> str | None:
    """Return why the task cannot be served: there is nothing to train."""
    return obstacle(task)


def run(task: Task, settings: SemiSettings) -> list[Outcome]:
    """Train encoder and classifier on the label subset of the task's seed.

    The subset depends on the clips' names alone (`skeltools.datasets.subsets`); the record counts its clips by class.

    Raises:
        RunError: See `skeltools.protocols.running.tuning.tune`.
    """
    rows = task.subset(settings.percent)
    counts = torch.bincount(task.labels(rows), minlength=task.num_classes)
    present = counts[counts > 0]
    outcome = tune(task, rows, settings, f"{settings.percent:g} % of the labels")
    outcome.notes.append(
        f"{settings.percent:g} % of the labels: {len(rows)} clips, {int(present.min())} to "
        f"{int(present.max())} a class."
    )
    return [outcome]
