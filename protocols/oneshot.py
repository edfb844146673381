"""One-shot recognition on NTU-120: novel classes from one exemplar each (docs/method.md#one-shot)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skeltools.analysis import knn
from skeltools.datasets import registry as datasets
from skeltools.errors import counted
from skeltools.protocols.running import leakage
from skeltools.protocols.running.contract import NoSettings, Outcome, Protocol
from skeltools.protocols.running.task import Task


class Oneshot(Protocol):
    """NTU-120's 20 novel classes from one clip each."""

    recipe = "oneshot"
    may_have_seen = True

    def skip(self, task: Task, settings: NoSettings) -> str | None:
        """Return why the task cannot be served: no exemplars are defined, or the file lacks some."""
        dataset = task.file.dataset
        if not dataset.exemplars:
            known = ", ".join(name for name, about in datasets.registry().items() if about.exemplars)
            return f"one-shot exemplars are defined for {known}, not for {dataset.name}"
        missing = sorted(set(dataset.exemplars) - set(task.file.names))
        if missing:
            return (
                f"{task.file.path} lacks {len(missing)} of the {len(dataset.exemplars)} one-shot exemplars, "
                f"such as {missing[0]}. Convert the whole dataset"
            )
        if not len(rows(task)[1]):
            return (
                f"{task.file.path} holds no clip of the novel classes but the one-shot exemplars. Convert the whole "
                "dataset"
            )
        return None

    def run(self, task: Task, settings: NoSettings) -> list[Outcome]:
        """Give every other clip of the novel classes the class of its nearest exemplar.

        The split plays no part. Mean average precision (``map``) ranks the exemplars for each clip.
        """
        exemplars, queries = rows(task)
        gallery, asked = task.compared(exemplars, "exemplar"), task.compared(queries, "query")
        labels = task.labels(queries)
        scores, precision = knn.retrieve(
            gallery.to(task.device),
            task.labels(exemplars).to(task.device),
            asked.to(task.device),
            labels.to(task.device),
            task.num_classes,
        )
        return [
            Outcome(
                scores.cpu(),
                metrics={"map": float(precision.mean())},
                train_rows=exemplars,
                test_rows=queries,
                notes=_seen(task, np.union1d(exemplars, queries)),
            )
        ]


def rows(task: Task) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of the exemplars and of all other clips of their classes, increasing."""
    wanted = set(task.file.dataset.exemplars)
    exemplars = np.array([row for row, name in enumerate(task.file.names) if name in wanted], np.int64)
    novel = np.isin(task.file.labels, task.file.labels[exemplars])
    novel[exemplars] = False
    return exemplars, task.limited(np.flatnonzero(novel))


def _seen(task: Task, novel: NDArray[np.int64]) -> list[str]:
    """Return a note on whether pretraining saw clips of the novel classes, of which `novel` are the rows."""
    leak = leakage.seen(task, novel)
    if leak.unknown:
        return ["oneshot: whether pretraining saw clips of the novel classes is not known."]
    if len(leak.rows):
        return [
            f"oneshot: pretraining saw {counted(len(leak.rows), 'clip')} of the novel classes, without labels."
        ]
    return []
