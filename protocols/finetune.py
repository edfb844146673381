"""Finetuning: all weights trained on all training labels (docs/method.md#finetuning)."""

from __future__ import annotations

from skeltools.protocols.running.contract import Outcome, Protocol
from skeltools.protocols.running.task import Task
from skeltools.protocols.running.tuning import TuneSettings, misfit, tune


class Finetune(Protocol):
    """All weights trained on the split's training clips."""

    settings = TuneSettings
    recipe = "finetune"
    trains = True
    parallel = True
    supervised = "supervised"

    def skip(self, task: Task, settings: TuneSettings) -> str | None:
        """Return why the task cannot be served: no encoder, or one without what a setting asks for."""
        return super().skip(task, settings) or misfit(task, settings, self.section)

    def run(self, task: Task, settings: TuneSettings) -> list[Outcome]:
        """Train encoder and classifier on the split's training clips.

        Raises:
            RunError: See `skeltools.protocols.running.tuning.tune`.
        """
        return [tune(task, task.train_rows, settings, "finetune")]
