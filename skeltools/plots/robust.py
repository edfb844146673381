"""Accuracy against severity, one panel per corruption, one line per encoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from skeltools.errors import RunError
from skeltools.plots import palette, style
from skeltools.results import report, robustness

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from skeltools.results.joined import Row


def draw(rows: Sequence[Row]) -> Figure:
    """Draw top-1 by severity under every corruption; severity 0 is the clean clips.

    Args:
        rows: Rows of ``robust``, those of one table.

    Raises:
        RunError: There are none, or of several tables.
    """
    rows = [row for row in rows if robustness.CLEAN in row.metrics]
    if not rows:
        raise RunError("There is no result of robust here. Make one: skeltools eval RUN --protocol robust")
    if len(report.by_table(rows, kinds=True)) > 1:
        raise RunError("The results of robust are of several data or splits. Give runs of one.")
    rows = robustness.ranked(rows)
    labels = robustness.names(rows)
    found = list(dict.fromkeys(family for row in rows for family in robustness.families(row)))
    columns = 4
    lines = math.ceil(len(found) / columns)
    figure = style.figure(10.5, 1.9 * lines + 1.1)
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False)
    colours = palette.series(len(rows))
    for place, axes in enumerate(grid.flat):
        if place >= len(found):
            axes.set_axis_off()
            continue
        family = found[place]
        ticks: list[str] = []
        for row, label, colour in zip(rows, labels, colours, strict=True):
            levels = robustness.families(row).get(family)
            if levels is None:
                continue
            ticks = ["0", *(level.severity for level in levels)]
            values = [row.top1.mean, *(row.metrics[level.text].mean for level in levels)]
            axes.plot(range(len(values)), [100 * value for value in values], "o-", ms=3, lw=1.3,
                      color=colour, label=label)  # fmt: skip
        axes.set_xticks(range(len(ticks)), ticks)
        axes.set_title(style.plain(family, 34))
        axes.set_ylim(0, 100)
        axes.grid(axis="y")
    for line in grid:
        line[0].set_ylabel("top-1 in %")
    handles, words = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, words, loc="outside lower center", ncols=min(len(rows), 5), frameon=False)
    figure.suptitle(
        style.plain(f"{report.title(rows)[0]}; severity 0: clean clips", 110), x=0.01, ha="left", fontsize=9.5
    )
    return figure
