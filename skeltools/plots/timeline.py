"""A recording over time: which class each stretch was taken for, and how sure the classifier was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from skeltools.analysis.timeline import GAP
from skeltools.errors import counted
from skeltools.plots import palette, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from skeltools.analysis.timeline import Stretch, Timeline

MOST_CLASSES = 8
"""Rows of classes, one for each colour; the others, of which there are fewer frames, share one."""

_OTHERS = "#9a9a9a"


def ranked(stretches: list[Stretch]) -> list[int]:
    """Return the classes of stretches, the one of most frames first."""
    frames: dict[int, int] = {}
    for one in stretches:
        if one.label != GAP:
            frames[one.label] = frames.get(one.label, 0) + one.stop - one.start
    return sorted(frames, key=lambda label: (-frames[label], label))


def draw(found: Timeline) -> Figure:
    """Draw a timeline: a row per class, the band of the best class, and its score.

    Args:
        found: The timeline.
    """
    stretches = found.stretches()
    order = ranked(stretches)
    shown = order[:MOST_CLASSES]
    names = [style.plain(found.classes[label], 34) for label in shown]
    if len(order) > len(shown):
        names.append(f"{len(order) - len(shown)} other classes")
    colours = {label: palette.SERIES[place % len(palette.SERIES)] for place, label in enumerate(shown)}
    tall = 0.4 + 0.2 * len(names)
    figure = style.figure(8.6, tall + 2.9)
    figure.suptitle(_title(found), x=0.01, ha="left", fontsize=style.points(11))
    rows, band, line = figure.subplots(3, 1, sharex=True, height_ratios=[tall, 0.3, 1.1])
    for place in range(len(names)):
        own = [one for one in stretches if _row(one, shown) == place]
        _bars(rows, own, place, colours)
    rows.set_yticks(range(len(names)), names)
    rows.set_ylim(len(names) - 0.4, -0.6)
    rows.grid(True, axis="x")
    rows.set_axisbelow(True)
    _bars(band, stretches, 0, colours)
    band.set_yticks([0], ["best class"])
    band.set_ylim(-0.5, 0.5)
    _, values = found.by_frame()
    line.stairs(values, np.arange(found.frames + 1), baseline=None, color="#1b1d21", lw=1.0)
    line.set_ylim(0, 1.02)
    line.set_ylabel("its score")
    line.set_xlabel("frame")
    line.grid(True)
    for axes in (rows, band, line):
        axes.set_xlim(0, found.frames)
        for one in stretches:
            if one.label == GAP:
                axes.axvspan(one.start, one.stop, facecolor="#eeeeee", edgecolor="#b0b0b0", hatch="///", lw=0)
    for axes in (rows, band):
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
    return figure


def _row(one: Stretch, shown: list[int]) -> int | None:
    if one.label == GAP:
        return None
    return shown.index(one.label) if one.label in shown else len(shown)


def _bars(axes: Axes, stretches: list[Stretch], place: int, colours: dict[int, str]) -> None:
    kept = [one for one in stretches if one.label != GAP]
    axes.broken_barh(
        [(one.start, one.stop - one.start) for one in kept],
        (place - 0.36, 0.72),
        facecolors=[colours.get(one.label, _OTHERS) for one in kept],
        lw=0,
    )


def _title(found: Timeline) -> str:
    windows = (
        f"windows of {counted(found.length, 'frame')} every {found.stride}" if found.length else "as one clip"
    )
    gap = ", hatched: no class" if any(one.label == GAP for one in found.stretches()) else ""
    return f"{style.plain(found.title, 90)}\n{counted(found.frames, 'frame')}, {windows}{gap}"
