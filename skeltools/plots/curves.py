"""The curves of a run: loss and its parts, learning rate, momentum, kNN monitor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from skeltools.plots import palette, style
from skeltools.runs import log as runlog

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from skeltools.runs.log import Curves

_LONG = 200
"""From this many steps on, losses are drawn smoothed over their own faint line."""


def draw(found: Curves, title: str) -> Figure:
    """Draw a run's log over its steps; what it does not hold is left out.

    Args:
        found: The log.
        title: Title of the figure.
    """
    panels = ["loss"] + [name for name in ("lr", "momentum") if name in found.values]
    panels += ["monitor"] if len(found.monitor) else []
    figure = style.figure(7.0, 1.4 + 1.35 * len(panels))
    figure.suptitle(style.plain(title, 90), x=0.01, ha="left", fontsize=11)
    heights = [2.0 if name == "loss" else 1.0 for name in panels]
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes, name in zip(grid, panels, strict=True):
        axes.grid(True)
        axes.set_axisbelow(True)
        if name == "loss":
            _losses(axes, found)
        elif name == "monitor":
            axes.plot(found.monitor_steps, 100 * found.monitor, "o-", ms=3.5, color=palette.SERIES[2])
            axes.set_ylabel("kNN top-1\n(train clips, %)")
            axes.set_ylim(0, 1.08 * max(100 * float(np.nanmax(found.monitor)), 1.0))
        else:
            axes.plot(found.steps, found.values[name], color=palette.SERIES[0])
            axes.set_ylabel({"lr": "learning rate", "momentum": "key encoder\nmomentum"}[name])
            axes.ticklabel_format(useOffset=False)
    grid[-1].set_xlabel("step")
    _epochs(grid[0], found)
    figure.align_ylabels(list(grid))
    return figure


def part_name(name: str) -> str:
    """Return what a legend calls a loss of the log: ``loss`` is the total, the rest its parts."""
    return "total" if name == "loss" else name.removeprefix("loss_").replace("_", " ")


def _losses(axes: Axes, found: Curves) -> None:
    for place, name in enumerate(found.losses):
        values, colour = found.values[name], palette.SERIES[place % len(palette.SERIES)]
        label = part_name(name)
        if len(values) >= _LONG:
            axes.plot(found.steps, values, color=colour, alpha=0.22, lw=0.6)
            values = runlog.smooth(values, len(values) // 50)
            label = f"{label} (mean of {len(found.steps) // 50} steps)" if place == 0 else label
        axes.plot(found.steps, values, color=colour, lw=1.8 if place == 0 else 1.3, label=label)
    axes.set_ylabel("loss")
    axes.legend(frameon=False, ncols=2, loc="best")


def _epochs(axes: Axes, found: Curves) -> None:
    """Put epochs above the first panel: an epoch's tick is where it ends."""
    ends = {int(epoch): int(step) for epoch, step in zip(found.epochs, found.steps, strict=True)}
    if len(ends) < 2:
        return
    every = max(1, int(np.ceil(len(ends) / 8)))
    kept = [epoch for epoch in ends if epoch % every == 0]
    above = axes.secondary_xaxis("top")
    above.set_xticks([ends[epoch] for epoch in kept], [str(epoch) for epoch in kept])
    above.set_xlabel("epochs finished", fontsize=8)
    above.spines["top"].set_visible(False)
    above.tick_params(length=2)
