"""kNN evaluation: weighted votes of the nearest training clips by cosine similarity (docs/method.md#knn)."""

from __future__ import annotations

from dataclasses import dataclass

from skeltools.analysis import knn
from skeltools.errors import SettingError, counted
from skeltools.protocols.running.contract import Outcome, Protocol
from skeltools.protocols.running.task import Task
from skeltools.settings import setting


@dataclass(frozen=True)
class KnnSettings:
    k: tuple[int, ...] = setting("Numbers of neighbours, one result each.", low=1)
    temperature: float = setting("A neighbour votes with exp(similarity / temperature).", above=0)

    def __post_init__(self) -> None:
        if not self.k:
            raise SettingError(
                "Setting 'knn.k' must be a list of one whole number or more, each at least 1, not []. "
                "Example: --set knn.k=[1,10]"
            )


class Knn(Protocol):
    """Weighted votes of the nearest training clips."""

    settings = KnnSettings
    recipe = "knn"

    def skip(self, task: Task, settings: KnnSettings) -> str | None:
        """Return why the task cannot be served: more neighbours than training clips."""
        bank, most = len(task.train_rows), max(settings.k)
        if most > bank:
            return (
                f"k = {counted(most, 'neighbour')} asked for, but the bank holds {counted(bank, 'clip')}. "
                "Lower k: --set knn.k=[1]"
            )
        return None

    def run(self, task: Task, settings: KnnSettings) -> list[Outcome]:
        """Return one outcome for each k, on the encoder's global feature.

        Raises:
            SettingError: A k is larger than the number of training clips.
        """
        train, test = (part.to(task.device) for part in task.features)
        counts = sorted(set(settings.k))
        similarities, rows = knn.neighbours(train, test, max(counts))
        labels = task.train_labels.to(task.device)[rows]
        return [
            Outcome(
                knn.vote(similarities, labels, k, settings.temperature, task.num_classes).float().cpu(),
                variant=f"k={k}",
            )
            for k in counts
        ]
