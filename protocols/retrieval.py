"""Retrieval: test clips ask, training clips answer, ranked by cosine similarity (docs/method.md#retrieval)."""

from __future__ import annotations

from skeltools.analysis import knn
from skeltools.errors import DataError, counted
from skeltools.protocols.running.contract import NoSettings, Outcome, Protocol
from skeltools.protocols.running.task import Task


class Retrieval(Protocol):
    """The nearest training clip, and mean average precision."""

    recipe = "retrieval"

    def run(self, task: Task, settings: NoSettings) -> list[Outcome]:
        """Return 1-NN accuracy (as top-1) and mean average precision (``map``) on the global feature.

        A query whose class the gallery lacks has no average precision and is left out of the mean.

        Raises:
            DataError: The gallery has no clip of any query's class.
        """
        gallery, queries = (part.to(task.device) for part in task.features)
        labels, known = task.test_labels.to(task.device), task.train_labels.to(task.device)
        scores, precision = knn.retrieve(gallery, known, queries, labels, task.num_classes)
        answered = ~precision.isnan()
        if not answered.any():
            raise DataError(
                f"{task.file.path}: split '{task.split}' shares no class between training and test clips."
            )
        notes = []
        if not answered.all():
            notes.append(
                f"retrieval: {counted(int((~answered).sum()), 'query', 'queries')} of classes without a "
                f"training clip are not in "
                "the mean average precision."
            )
        return [
            Outcome(scores.cpu(), metrics={"map": float(precision[answered].mean())}, notes=notes),
        ]
