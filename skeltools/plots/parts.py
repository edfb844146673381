"""Accuracy lost when a body part is missing, class by class, beside the salience of the attention mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skeltools.plots import palette, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from skeltools.results.parts import Found


def draw(found: Found, title: str) -> Figure:
    """Draw the two heat maps, classes down and parts across.

    Args:
        found: What `skeltools.results.parts.look` found.
        title: The lines above.
    """
    import numpy as np
    from matplotlib.colors import LinearSegmentedColormap

    size = len(found.classes)
    panels = [("points of top-1 lost", 100 * found.lost, "{:+.0f}")]
    if found.salience is not None:
        panels.append(("salience", found.salience, "{:.3f}"))
    line = 0.26 if size <= 30 else 0.17
    figure = style.figure(4.6 * len(panels) + 1.5, line * size + 2.0)
    grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    letters = 7.5 if size <= 30 else 6.0
    lost = LinearSegmentedColormap.from_list("lost", [palette.GAIN, "#ffffff", palette.LOSS])
    light = LinearSegmentedColormap.from_list("salience", palette.SALIENCE)
    for axes, (name, values, form) in zip(grid, panels, strict=True):
        if name == "salience":
            image = axes.imshow(values, cmap=light, aspect="auto")
        else:
            reach = max(float(abs(values).max()), 1.0)
            image = axes.imshow(values, cmap=lost, aspect="auto", vmin=-reach, vmax=reach)
        axes.set_title(name)
        axes.set_xticks(
            range(len(found.parts)), [style.plain(part, 18) for part in found.parts], rotation=30, ha="right"
        )
        for (row, column), value in np.ndenumerate(values):
            dark = name == "salience" and image.norm(value) < 0.5
            axes.text(column, row, form.format(value), ha="center", va="center", fontsize=letters - 1,
                      color="white" if dark else "black")  # fmt: skip
        axes.tick_params(length=0)
    grid[0].set_yticks(
        range(size),
        [
            f"{style.plain(name, 34)} ({clips})"
            for name, clips in zip(found.classes, found.clips, strict=True)
        ],
        fontsize=letters,
    )
    words = (title, *str(found).split(": ", 1))
    figure.suptitle("\n".join(style.plain(text, 120) for text in words), x=0.01, ha="left", fontsize=9)
    return figure
