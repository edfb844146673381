"""Label subsets for semi-supervised evaluation: the same clips for everybody (docs/method.md#semi-supervised).

A subset depends on names, labels, the share and the seed alone: not on the order of the clips, the number of
processes, or any random generator's state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import TYPE_CHECKING

from skeltools.errors import SettingError, counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def rank(name: str, seed: int) -> bytes:
    """Return what a clip is ordered by: SHA-256 of the seed, a colon and the name, as UTF-8."""
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()


def quota(fraction: float, count: int) -> int:
    """Return how many of a class's `count` clips a subset takes: ``fraction * count``, halves up, at least 1.

    The fraction is taken as the decimal it prints as, so that 0.07 of 50 is exactly 3.5.
    """
    exact = Fraction(str(fraction)) * count
    return max(1, int(exact + Fraction(1, 2)))


def percent_name(fraction: float) -> str:
    """Return a share as the text of its percentage: 0.01 gives ``1``, 0.005 gives ``0.5``.

    This is the ``<percent>`` of ``/subsets/<split>/<percent>/<seed>``.
    """
    return f"{(Decimal(str(fraction)) * 100).normalize():f}"


def parse_percent(text: str) -> float:
    """Return the share that a percentage such as ``1`` or ``0.5`` names, in (0, 1].

    Raises:
        SettingError: The text is not a number above 0 and up to 100.
    """
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal(0)
    if not value.is_finite() or not 0 < value <= 100:
        raise SettingError(f"A share of labels is a percentage above 0 and up to 100, not '{text}'.")
    return float(value / 100)


def draw(
    names: Sequence[str],
    labels: NDArray[np.int64],
    rows: NDArray[np.int64],
    fraction: float,
    seed: int,
) -> NDArray[np.int64]:
    """Draw a stratified subset of some clips.

    Of each class that has clips among `rows`, the `quota` clips with the smallest `rank` are taken.

    Args:
        names: Names of all clips of a file (N), all different.
        labels: Their labels, int64 (N,).
        rows: Rows to draw from, such as a split's training rows, int64 (n,).
        fraction: Share of each class, in (0, 1].
        seed: Seed of the draw.

    Returns:
        Rows of the subset, increasing, int64 (m,). A subset of a smaller fraction and the same seed lies
        inside it.

    Raises:
        SettingError: The fraction is not in (0, 1].

    Source: docs/method.md#semi-supervised (semi1, semi10).
    """
    import numpy as np

    if not 0 < fraction <= 1:
        raise SettingError(f"A share of labels lies above 0 and up to 1, not {fraction}.")
    rows = np.asarray(rows, np.int64)
    # Class by class, each class's clips by rank.
    ranked = sorted(rows.tolist(), key=lambda row: (int(labels[row]), rank(names[row], seed)))
    own = labels[np.asarray(ranked, np.int64)]
    classes, starts, counts = np.unique(own, return_index=True, return_counts=True)
    taken: list[int] = []
    for _, start, count in zip(classes, starts.tolist(), counts.tolist(), strict=True):
        taken += ranked[start : start + quota(fraction, count)]
    return np.array(sorted(taken), np.int64)


def draw_plain(
    names: Sequence[str], rows: NDArray[np.int64], fraction: float, seed: int
) -> NDArray[np.int64]:
    """Draw a subset of some clips whatever their classes: the ``fraction * n``, rounded down, with the smallest `rank`.

    A class may get no clip. See `draw`.

    Raises:
        SettingError: The fraction is not in (0, 1], or of no clip.
    """
    import numpy as np

    if not 0 < fraction <= 1:
        raise SettingError(f"A share of labels lies above 0 and up to 1, not {fraction}.")
    count = int(Fraction(str(fraction)) * len(rows))
    if count == 0:
        raise SettingError(
            f"{percent_name(fraction)} % of {counted(len(rows), 'training clip')} is less than one clip. Raise the "
            "share."
        )
    ranked = sorted(rows.tolist(), key=lambda row: rank(names[row], seed))
    return np.array(sorted(ranked[:count]), np.int64)
