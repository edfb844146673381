"""What chance does to accuracies: spread over seeds, bootstrap over test clips, McNemar's exact test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESAMPLES = 10_000
"""Resamples of a bootstrap; its percentiles then move by well under their last printed digit."""


def bootstrap(values: NDArray[np.float64], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean of one value per clip, resampling clips.

    A resample of n clips with replacement is a multinomial draw over the distinct values, which is what is
    drawn here: seeds of an experiment give few distinct values, so thousands of resamples cost nothing.

    Args:
        values: float (n,), such as the share of seeds that got the clip right, or a paired difference.
        seed: Seed of the resamples.
    """
    import numpy as np

    distinct, counts = np.unique(np.asarray(values, np.float64), return_counts=True)
    n = int(counts.sum())
    draws = np.random.default_rng(seed).multinomial(n, counts / n, size=RESAMPLES)
    means = draws @ distinct / n
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


@dataclass(frozen=True)
class Spread:
    """A mean over seeds: `mean`, sample deviation `sd` and the 95 % interval (None for one value)."""

    count: int
    mean: float
    sd: float | None
    low: float | None
    high: float | None


def spread(values: Sequence[float]) -> Spread:
    """Return mean, sample deviation and the 95 % interval of the mean by Student's t."""
    count = len(values)
    mean = sum(values) / count
    if count < 2:
        return Spread(count, mean, None, None, None)
    from scipy.stats import t  # type: ignore[import-untyped]

    sd = math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1))
    half = float(t.ppf(0.975, count - 1)) * sd / math.sqrt(count)
    return Spread(count, mean, sd, mean - half, mean + half)


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test on paired hits.

    Attributes:
        only_a: Clips that A alone got right.
        only_b: Clips that B alone got right.
        p: Two-sided p-value: how likely a split at least this uneven is, were each such clip a fair coin.
    """

    only_a: int
    only_b: int
    p: float


def mcnemar(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> McNemar:
    """Test whether two classifiers are right equally often on the same clips.

    Args:
        a: bool (n,), whether A got each clip right.
        b: bool (n,), whether B did.
    """
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    n, less = only_a + only_b, min(only_a, only_b)
    # The lower tail of a binomial(n, 1/2), summed exactly in whole numbers.
    term = tail = 1
    for i in range(less):
        term = term * (n - i) // (i + 1)
        tail += term
    doubled = 2 * tail
    p = 1.0 if doubled >= 2**n else math.exp(math.log(doubled) - n * math.log(2))
    return McNemar(only_a, only_b, p)
