"""A protocol of one's own: every test clip gets the class of the nearest class mean.

skeltools eval runs/joint --protocol protocol:ClassMeans --set classmeans.shrink=0.1
"""

from dataclasses import dataclass

import torch

from skeltools.protocols import Outcome, Protocol, Task
from skeltools.settings import setting


@dataclass(frozen=True)
class Settings:
    shrink: float = setting("By which share the means move to that of all clips.", low=0, high=1, default=0.0)


class ClassMeans(Protocol):
    """Classes by the nearest mean of their training clips."""

    settings = Settings

    def run(self, task: Task, settings: Settings) -> list[Outcome]:
        train, test = task.features  # (n, D), (m, D)
        means = torch.stack([train[task.train_labels == label].mean(0) for label in range(task.num_classes)])
        means = means.lerp(train.mean(0), settings.shrink)  # (classes, D); NaN for a class without a clip
        return [Outcome((-torch.cdist(test, means)).nan_to_num(nan=-torch.inf))]
