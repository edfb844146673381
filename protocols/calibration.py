"""Calibration: the test scores of a recorded linear evaluation, and what a temperature for them is fitted on.

The temperature needs scores of clips that the classifier did not see and that are not test clips: a second classifier
is trained with the same settings on the training clips but for some held out, and its scores of those are recorded
beside the first one's test scores. `skeltools.results.calibration` measures both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from skeltools.datasets import subsets
from skeltools.errors import counted
from skeltools.protocols.linear import Linear, fit_layer
from skeltools.protocols.running.contract import Outcome, Protocol
from skeltools.protocols.running.recorded import linear_record, missing, which
from skeltools.protocols.running.task import Task
from skeltools.results import record as results
from skeltools.settings import setting


@dataclass(frozen=True)
class CalibrationSettings:
    held_out: float = setting("Per cent of each class's training clips that are held out.", above=0, high=50)
    variant: str = setting("Variant of linear whose scores are taken, such as bn; empty for the plain one.")


class Calibration(Protocol):
    """Scores of a recorded linear evaluation, with held-out training clips for a temperature."""

    settings = CalibrationSettings
    recipe = "calibration"
    named_only = True

    def skip(self, task: Task, settings: CalibrationSettings) -> str | None:
        """Return why the task cannot be served: no linear evaluation is recorded, or too few clips."""
        if linear_record(task, settings.variant) is None:
            return missing(task, settings.variant)
        held = len(self._held(task, settings))
        return (
            None
            if 0 < held < len(task.train_rows)
            else "no training clip would be left beside those held out"
        )

    def identity(self, task: Task, settings: CalibrationSettings) -> str | None:
        """Return the key of the record whose scores are taken."""
        found = linear_record(task, settings.variant)
        return None if found is None else found.key

    def _held(self, task: Task, settings: CalibrationSettings) -> np.ndarray:
        return subsets.draw(
            task.file.names, task.file.labels, task.train_rows, settings.held_out / 100, task.seed
        )

    def run(self, task: Task, settings: CalibrationSettings) -> list[Outcome]:
        """Return the recorded test scores, with the scores of held-out training clips beside them.

        Raises:
            DivergedError: The second classifier's loss stopped being finite.
        """
        found = linear_record(task, settings.variant)
        assert found is not None
        side = found.side()
        place = {name: row for row, name in enumerate(side.names)}
        order = [place[task.file.names[row]] for row in task.test_rows]
        out = torch.from_numpy(np.isin(task.train_rows, self._held(task, settings)))
        features, labels = task.features[0], task.train_labels
        use = Linear().stored(found.settings)
        asked = features[out].to(task.device)
        fit = fit_layer(
            features[~out].to(task.device),
            lambda: asked,
            labels[~out].to(task.device),
            labels[out].to(task.device),
            dim=features.shape[1],
            classes=task.num_classes,
            settings=use,
            seed=task.seed,
            progress=task.progress,
            label=f"{task.subject.kind}: linear without {counted(int(out.sum()), 'clip')}",
        )
        notes = which(task, found, "calibration")
        if found.settings.get("linear.view", "none") != "none":
            notes.append("calibration: the second classifier was trained without augmentation.")
        return [
            Outcome(
                torch.from_numpy(side.scores[order]),
                held=results.Held(fit.scores.float().cpu().numpy(), labels[out].numpy()),
                notes=notes,
            )
        ]
