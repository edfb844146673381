"""Finetuning: all weights trained on all training labels (spec section 6)."""

from __future__ import annotations

from dataclasses import dataclass

from skeltools.protocols.running.base import Outcome
from skeltools.protocols.running.task import Task
from skeltools.protocols.running.tuning import TuneSettings, obstacle, tune


@dataclass(frozen=True)
class Settings:
    finetune: TuneSettings


def skip(task: Task, settings: TuneSettings) -> str | None:
    """Return why the task cannot be served: there is nothing to train."""
    return obstacle(task)


def run(task: Task, settings: TuneSettings) -> list[Outcome]:
    """Train encoder and classifier on the split's training clips.

    Raises:
        RunError: See `skeltools.protocols.running.tuning.tune`.
    """
    return [tune(task, task.train_rows, settings, "finetune")]
