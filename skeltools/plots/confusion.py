"""A confusion matrix as a heat map, legible from 2 to 120 classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from skeltools.errors import counted
from skeltools.plots import style
from skeltools.results import compare as comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from skeltools.results.joined import Row

_NUMBERS = 30
"""Up to this many classes, cells hold their number."""


def heading(row: Row) -> str:
    """Return a title for a result: what, top-1, clips."""
    first = row.first
    seeds = "" if len(row.records) == 1 else f", {counted(len(row.records), 'seed')} added up"
    return (
        f"{first.caveat}{first.dataset} {first.split}, {comparison.describe(first)}\n"
        f"top-1 {100 * row.top1.mean:.1f} % of {counted(first.test_clips, 'test clip')}{seeds}"
    )


def draw(counts: NDArray[np.int64], classes: Sequence[str], title: str) -> Figure:
    """Draw a confusion matrix in % of each true class; classes without a clip or a guess are left out.

    Args:
        counts: int64 (classes, classes), true class by predicted class.
        classes: Class names.
        title: Title; lines.
    """
    from matplotlib.ticker import PercentFormatter

    kept = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
    small = counts[np.ix_(kept, kept)]
    totals = small.sum(axis=1, keepdims=True)
    share = 100 * small / np.maximum(totals, 1)
    size = len(kept)
    cell = float(np.clip(6.5 / max(size, 1), 0.105, 0.55))
    names = [f"{style.plain(classes[label], 38)} {label}" for label in kept.tolist()]
    side = cell * size
    figure = style.figure(side + 3.6, side + 1.4, square=True)
    figure.suptitle("\n".join(style.plain(line, 110) for line in title.split("\n")), x=0.01, ha="left")
    axes = figure.subplots()
    image = axes.imshow(np.where(totals > 0, share, np.nan), cmap="Blues", vmin=0, vmax=100)
    letters = style.points(float(np.clip(cell * 52, 5.0, 8.0)))
    axes.set_yticks(range(size), names, fontsize=letters)
    axes.set_xticks(range(size), [str(label) for label in kept], fontsize=letters, rotation=90)
    axes.tick_params(length=0)
    axes.set_ylabel("true class")
    axes.set_xlabel("predicted class (label)")
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xticks(np.arange(size + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(size + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="#dddddd", linewidth=0.3 if size > 40 else 0.6)
    axes.tick_params(which="minor", length=0)
    bar = figure.colorbar(image, ax=axes, shrink=min(1.0, 3.0 / max(side, 1.0)), aspect=18, pad=0.02)
    bar.ax.yaxis.set_major_formatter(PercentFormatter(decimals=0))
    bar.set_label("of the true class's clips")
    if size <= _NUMBERS:
        for true in range(size):
            for guess in range(size):
                if small[true, guess]:
                    axes.text(
                        guess, true, f"{share[true, guess]:.0f}", ha="center", va="center",
                        fontsize=letters, color="white" if share[true, guess] > 55 else "black",
                    )  # fmt: skip
    return figure
