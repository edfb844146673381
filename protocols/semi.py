"""Semi-supervised evaluation: all weights trained on a small share of the labels (docs/method.md#semi-supervised)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from skeltools.datasets import subsets
from skeltools.errors import counted
from skeltools.protocols.running.contract import Outcome, Protocol
from skeltools.protocols.running.task import Task
from skeltools.protocols.running.tuning import TuneSettings, misfit, tune
from skeltools.settings import setting


@dataclass(frozen=True)
class SemiSettings(TuneSettings):
    percent: float = setting("Share of each class's training clips, in per cent.", above=0, high=100)
    subset: str = setting(
        "Which clips: class, the share of each class and at least one; plain, that of all clips, rounded down, "
        "whatever their classes.",
        choices=("class", "plain"),
    )


class Semi(Protocol):
    """All weights trained on a share of the labels."""

    settings = SemiSettings
    recipe = "semi"
    trains = True
    parallel = True

    def skip(self, task: Task, settings: SemiSettings) -> str | None:
        """Return why the task cannot be served: no encoder, or one without what a setting asks for."""
        return super().skip(task, settings) or misfit(task, settings, self.section)

    def run(self, task: Task, settings: SemiSettings) -> list[Outcome]:
        """Train encoder and classifier on the label subset of the task's seed.

        The subset depends on the clips' names alone (`skeltools.datasets.subsets`); the record counts its
        clips by class.

        Raises:
            RunError: See `skeltools.protocols.running.tuning.tune`.
        """
        plain = settings.subset == "plain"
        rows = task.subset(settings.percent, not plain)
        counts = torch.bincount(task.labels(rows), minlength=task.num_classes)
        present = counts[counts > 0]
        outcome = tune(task, rows, settings, f"{settings.percent:g} % of the labels")
        note = f"{settings.percent:g} % of the labels: {counted(len(rows), 'clip')}, {_per_class(present)}."
        every = torch.bincount(task.train_labels, minlength=task.num_classes)
        short = int(((every > 0) & (every * settings.percent / 100 < 1)).sum())
        if short and not plain:
            note += (
                f" Of {counted(short, 'class', 'classes')} that is less than one clip, so one is taken: in all "
                f"{100 * len(rows) / len(task.train_labels):.3g} % of the training clips."
            )
        if plain:
            there = counted(int((every > 0).sum()), "class", "classes")
            note += f" Drawn whatever their classes: {len(present)} of {there} have any."
            outcome = replace(outcome, variant=f"{outcome.variant} plain")
        outcome.notes.append(note)
        return [outcome]


def _per_class(counts: Tensor) -> str:
    """Return how many clips classes have, such as ``2 to 5 per class``."""
    least, most = int(counts.min()), int(counts.max())
    return f"{least} per class" if least == most else f"{least} to {most} per class"


class Semi1(Semi):
    """1 % of the labels."""

    recipe = "semi1"


class Semi10(Semi):
    """10 % of the labels."""

    recipe = "semi10"


class SemiP(Semi):
    """P % of the labels, by the name ``semi:P``."""

    def __init__(self, name: str) -> None:
        share = subsets.percent_name(subsets.parse_percent(name.partition(":")[2]))
        super().__init__(f"{self.section}:{share}")
        self.fixed = {f"{self.section}.percent": float(share)}
