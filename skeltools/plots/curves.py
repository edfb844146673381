"""The curves of a run: loss and its parts, learning rate, momentum, kNN monitor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from skeltools.errors import counted
from skeltools.plots import palette, style
from skeltools.runs import log as runlog

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from skeltools.runs.log import Curves

_LONG = 200
"""From this many steps on, losses are drawn smoothed over their own faint line."""

AVERAGED = 50
"""A smoothed line averages the steps of one in so many parts of it."""


def draw(found: Curves, title: str) -> Figure:
    """Draw a run's log over its steps; what it does not hold is left out.

    Args:
        found: The log.
        title: Title of the figure.
    """
    panels = ["loss"] + [name for name in ("lr", "momentum") if name in found.values]
    panels += ["monitor"] if len(found.monitor) else []
    figure = style.figure(7.0, 1.4 + 1.35 * len(panels))
    figure.suptitle(style.plain(title, 90), x=0.01, ha="left", fontsize=style.points(11))
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


def together(found: Sequence[tuple[str, Curves]]) -> Figure:
    """Draw the logs of several runs over their steps, one colour and line per run: loss, learning rate, monitor.

    Args:
        found: Name and log of each run, in the order of the legend.
    """
    panels = ["loss", *(name for name in ("lr",) if any(name in one.values for _, one in found))]
    panels += ["monitor"] if any(len(one.monitor) for _, one in found) else []
    figure = style.figure(7.0, 1.4 + 1.5 * len(panels) + 0.16 * ((len(found) + 1) // 2))
    heights = [1.0 if name == "lr" else 2.0 for name in panels]
    grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    smoothed = 0
    for place, (name, one) in enumerate(found):
        look: dict[str, Any] = {
            "color": palette.SERIES[place % len(palette.SERIES)],
            "linestyle": _LINES[place // len(palette.SERIES) % len(_LINES)],
        }
        for axes, panel in zip(grid, panels, strict=True):
            if panel == "monitor":
                if len(one.monitor):
                    axes.plot(one.monitor_steps, 100 * one.monitor, marker="o", ms=3, **look)
            elif panel in one.values:
                values = one.values[panel]
                if panel == "loss" and len(values) >= _LONG:
                    values, smoothed = runlog.smooth(values, len(values) // AVERAGED), smoothed + 1
                label = style.plain(name, 48) if panel == "loss" else None
                axes.plot(one.steps, values, label=label, **look)
    words = {"loss": "loss", "lr": "learning\nrate", "monitor": "kNN top-1\n(train clips, %)"}
    for axes, panel in zip(grid, panels, strict=True):
        axes.grid(True)
        axes.set_axisbelow(True)
        axes.set_ylabel(words[panel])
        if panel == "monitor":
            best = max(float(np.nanmax(one.monitor)) for _, one in found if len(one.monitor))
            axes.set_ylim(0, 1.08 * max(100 * best, 1.0))
    grid[-1].set_xlabel(
        "step" if not smoothed else "step (losses of long runs: mean of a fiftieth of the run)"
    )
    figure.align_ylabels(list(grid))
    figure.legend(loc="outside upper left", ncols=2, frameon=False)
    return figure


_LINES = ("-", "--", ":", "-.")


def part_name(name: str) -> str:
    """Return what a legend calls a loss of the log: ``loss`` is the total, the rest its parts."""
    return "total" if name == "loss" else name.removeprefix("loss_").replace("_", " ")


def _losses(axes: Axes, found: Curves) -> None:
    for place, name in enumerate(found.losses):
        values, colour = found.values[name], palette.SERIES[place % len(palette.SERIES)]
        label = part_name(name)
        if len(values) >= _LONG:
            axes.plot(found.steps, values, color=colour, alpha=0.22, lw=0.6)
            values = runlog.smooth(values, len(values) // AVERAGED)
            label = (
                f"{label} (mean of {counted(len(found.steps) // AVERAGED, 'step')})" if place == 0 else label
            )
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
    above.set_xlabel("epochs finished", fontsize=style.points(8))
    above.spines["top"].set_visible(False)
    above.tick_params(length=2)
