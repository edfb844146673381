"""Gains and losses of one result against another, class by class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skeltools.errors import counted
from skeltools.plots import palette, style
from skeltools.results import compare as comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from skeltools.results.compare import Comparison
    from skeltools.results.record import Record


def draw(found: Comparison, a: Record, b: Record) -> Figure:
    """Draw top-1 of B minus A of every class with test clips, the greatest gain first.

    Args:
        found: The comparison.
        a: A record of A, for names.
        b: A record of B.
    """
    ranked = sorted(found.classes, key=lambda item: (item[2] - item[3], item[0]))
    gains = [100 * (two - one) for _, _, one, two in ranked]
    size = len(ranked)
    line = 0.24 if size <= 30 else 0.165
    figure = style.figure(7.5, line * size + 2.1)
    words = (
        f"{comparison.caveat(a, b)}{a.dataset} {a.split}: B - A, points of top-1 by class",
        f"A: {comparison.describe(a)}: {100 * found.a:.1f} %",
        f"B: {comparison.describe(b)}: {100 * found.b:.1f} %",
        f"all {counted(found.clips, 'test clip')}: {100 * (found.b - found.a):+.1f} points "
        f"(95 %: {100 * found.low:+.1f} to {100 * found.high:+.1f})",
    )
    figure.suptitle(
        "\n".join(style.plain(text, 105) for text in words), x=0.01, ha="left", fontsize=style.points(9.5)
    )
    axes = figure.subplots()
    colours = [palette.GAIN if gain >= 0 else palette.LOSS for gain in gains]
    axes.barh(range(size), gains, color=colours, height=0.72)
    axes.axvline(0, color="black", lw=0.8)
    letters = style.points(8.0 if size <= 30 else 6.5)
    axes.set_yticks(
        range(size), [f"{style.plain(name, 44)} ({clips:,})" for name, clips, *_ in ranked], fontsize=letters
    )
    axes.set_ylim(size - 0.4, -0.6)
    reach = max([abs(gain) for gain in gains] + [1.0])
    axes.set_xlim(
        -1.18 * reach if min(gains) < 0 else -0.06 * reach, 1.18 * reach if max(gains) > 0 else 0.06
    )
    for place, gain in enumerate(gains):
        axes.annotate(
            f"{gain:+.1f}" if gain else "0", (gain, place), (3 if gain >= 0 else -3, 0),
            textcoords="offset points", va="center", fontsize=letters - 1,
            ha="left" if gain >= 0 else "right",
        )  # fmt: skip
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("B - A, points of top-1 (class name, test clips)")
    axes.grid(axis="x")
    axes.set_axisbelow(True)
    return figure
