"""k nearest neighbours and retrieval on features, by cosine similarity (docs/method.md#knn)."""

from __future__ import annotations

import torch
from torch import Tensor

from skeltools.errors import SettingError, counted

_SIMILARITIES = 2**24
"""Similarities held at a time."""


def _unit(features: Tensor) -> Tensor:
    """Return features of length 1 in double precision.

    Features of a hardly trained encoder point nearly the same way; their cosines may differ after the
    seventh digit only.
    """
    double = features.double()
    length = torch.linalg.vector_norm(double, dim=1, keepdim=True).clamp_min_(1e-12)
    # A bank is large: one copy, not two.
    return double / length if double is features else double.div_(length)


@torch.no_grad()
def neighbours(bank: Tensor, queries: Tensor, k: int, chunk: int | None = None) -> tuple[Tensor, Tensor]:
    """Return the `k` nearest clips of the bank for each query, by cosine similarity.

    Args:
        bank: Features of the training clips (n, D), any scale.
        queries: Features to classify (m, D).
        k: Number of neighbours, 1 <= k <= n.
        chunk: Queries compared at a time, chunk x n similarities; None for as many as 128 MiB take.

    Returns:
        Similarities (m, k) float64, descending, and rows of the bank (m, k) int64.

    Raises:
        SettingError: k is below 1 or larger than the bank.
    """
    if not 1 <= k <= len(bank):
        raise SettingError(
            f"k = {counted(k, 'neighbour')} asked for, but the bank holds {counted(len(bank), 'clip')}. Lower k."
        )
    bank = _unit(bank)
    chunk = chunk or max(1, _SIMILARITIES // len(bank))
    found = [
        (_unit(part) @ bank.T).topk(k, dim=1, sorted=True)
        for part in queries.split(chunk)  # type: ignore[no-untyped-call]
    ]
    return torch.cat([part.values for part in found]), torch.cat([part.indices for part in found])


def vote(similarities: Tensor, labels: Tensor, k: int, temperature: float, num_classes: int) -> Tensor:
    """Return class scores from the first `k` neighbours, each weighing exp(similarity / temperature).

    Args:
        similarities: (m, K) descending, K >= k.
        labels: Labels of those neighbours (m, K) int64.
        k: How many of them vote.
        temperature: Divides the similarity.
        num_classes: Number of classes.

    Returns:
        float32 (m, num_classes); a class without a vote has -inf, so that it never counts as a guess.
    """
    # Subtracting the largest similarity scales a row's votes alike and keeps exp in range.
    weights = ((similarities[:, :k] - similarities[:, :1]) / temperature).exp()
    scores = torch.zeros(len(labels), num_classes, dtype=weights.dtype, device=weights.device)
    voted = torch.zeros_like(scores, dtype=torch.bool)
    scores.scatter_add_(1, labels[:, :k], weights)
    voted.scatter_(1, labels[:, :k], True)
    return scores.masked_fill_(~voted, -torch.inf).float()


def predict(
    train_features: Tensor,
    train_labels: Tensor,
    test_features: Tensor,
    k: int,
    temperature: float,
    num_classes: int,
) -> Tensor:
    """Return class scores (m, num_classes) of each test clip by its `k` nearest training clips.

    Raises:
        SettingError: k is below 1 or larger than the number of training clips.
    """
    similarities, rows = neighbours(train_features, test_features, k)
    return vote(similarities, train_labels[rows], k, temperature, num_classes)


@torch.no_grad()
def retrieve(
    bank: Tensor, bank_labels: Tensor, queries: Tensor, labels: Tensor, num_classes: int
) -> tuple[Tensor, Tensor]:
    """Rank the whole bank for each query, by cosine similarity.

    Args:
        bank: Features of the gallery (n, D), any scale.
        bank_labels: int64 (n,).
        queries: Features (m, D).
        labels: Labels of the queries, int64 (m,).
        num_classes: Number of classes.

    Returns:
        Class scores float32 (m, num_classes): how much less similar the class's nearest clip is than the
        nearest of all, 0 for the best class, -inf for a class without a clip; and the average precision of
        each query (m,) float64, the mean of the precisions at each clip of its class, NaN where the bank
        has none. Clips of equal similarity rank in the bank's order.
    """
    bank = _unit(bank)
    place = torch.arange(1, len(bank) + 1, device=bank.device, dtype=torch.float64)
    scores, precisions = [], []
    chunk = max(1, _SIMILARITIES // max(1, len(bank)))
    for begin in range(0, len(queries), chunk):
        part = slice(begin, begin + chunk)
        similar = _unit(queries[part]) @ bank.T  # (c, n)
        nearest = torch.full((len(similar), num_classes), -torch.inf, dtype=bank.dtype, device=bank.device)
        nearest.scatter_reduce_(1, bank_labels.expand(len(similar), -1), similar, "amax")
        order = similar.argsort(dim=1, descending=True, stable=True)
        relevant = bank_labels[order] == labels[part, None]
        precision = relevant.cumsum(dim=1) / place
        precisions.append((precision * relevant).sum(dim=1) / relevant.sum(dim=1))
        scores.append((nearest - nearest.amax(dim=1, keepdim=True)).float())
    return torch.cat(scores), torch.cat(precisions)
