"""The kNN monitor: how separable features are while training, judged on training clips alone.

Test clips play no part. Some of the training clips are queries, the others the bank; both were seen without
labels in pretraining, so the number says whether features improve, not how well they generalise.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch

from skeltools.analysis import knn, metrics
from skeltools.analysis.features import extract
from skeltools.models.contract import Backbone
from skeltools.models.encoder import FeatureEncoder
from skeltools.transforms.draws import permutation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from skeltools.runs.settings import MonitorSettings
    from skeltools.store import ClipFile

_EPOCH = 2**31
"""Keeps the monitor's choice of clips apart from the order of any epoch."""


class Monitor:
    """A fixed choice of queries and bank among the training clips.

    Args:
        settings: ``monitor.*``.
        file: The open data.
        rows: Training rows.
        stream: The run's stream.
        seed: The run's seed; decides which clips are queries.
    """

    def __init__(
        self, settings: MonitorSettings, file: ClipFile, rows: NDArray[np.int64], stream: str, seed: int
    ) -> None:
        chosen = rows[permutation(seed, _EPOCH, len(rows)).numpy()][: settings.clips]
        queries = max(1, round(settings.share * len(chosen)))
        self.settings, self.file, self.stream = settings, file, stream
        self.queries, self.bank = np.sort(chosen[:queries]), np.sort(chosen[queries:])

    def due(self, epoch: int, last: bool) -> bool:
        """Return whether to check after `epoch` epochs."""
        every = self.settings.every
        return every > 0 and len(self.bank) > 0 and (last or epoch % every == 0)

    def check(
        self, backbone: Backbone, batch_size: int, device: torch.device, dtype: torch.dtype = torch.float32
    ) -> float:
        """Return the top-1 accuracy of the queries against the bank, in 0..1."""
        encoder = FeatureEncoder(backbone if dtype == torch.float32 else copy.deepcopy(backbone).float())
        training = backbone.training
        bank, queries = (
            extract(encoder, self.file, rows, self.stream, batch_size=batch_size, device=device)
            for rows in (self.bank, self.queries)
        )
        backbone.train(training)
        labels = torch.from_numpy(self.file.labels)
        scores = knn.predict(
            bank,
            labels[self.bank],
            queries,
            min(self.settings.k, len(bank)),
            self.settings.temperature,
            len(self.file.classes),
        )
        return metrics.topk(scores, labels[self.queries], 1)
