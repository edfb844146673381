"""Accuracy measures, computed over all clips at once (never averaged over batches)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def ranks(scores: Tensor, labels: Tensor) -> Tensor:
    """Return the 0-based rank of the true class of each clip.

    Among equal scores the lower class index comes first, so that rank 0 is what argmax picks. A class
    with score -inf is never a guess: its rank is the number of classes.

    Args:
        scores: (n, classes).
        labels: int64 (n,).

    Returns:
        int64 (n,).
    """
    own = scores.gather(1, labels[:, None])
    index = torch.arange(scores.shape[1], device=scores.device)
    # Said by what is behind, so that a NaN is never behind and a clip with NaN scores is never right.
    ahead = ~((scores < own) | ((scores == own) & (index >= labels[:, None])))
    rank = ahead.sum(dim=1)
    return torch.where(own.squeeze(1) == -torch.inf, scores.shape[1], rank)


def topk(scores: Tensor, labels: Tensor, k: int) -> float:
    """Return the share of clips whose true class is among the `k` best-scored, in [0, 1]."""
    return float((ranks(scores, labels) < k).double().mean())


def per_class(scores: Tensor, labels: Tensor) -> list[float | None]:
    """Return top-1 accuracy by class; None for a class without a clip."""
    hit = (ranks(scores, labels) == 0).double()
    classes = scores.shape[1]
    count = torch.bincount(labels, minlength=classes).tolist()
    right = torch.bincount(labels, weights=hit, minlength=classes).tolist()
    return [good / many if many else None for good, many in zip(right, count, strict=True)]


def mean_class(accuracies: Sequence[float | None]) -> float:
    """Return the mean of the classes that have clips."""
    present = [value for value in accuracies if value is not None]
    return sum(present) / len(present)
