"""Features in two dimensions, by class: colours, shapes and labels that stay apart up to 120 classes."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skeltools.plots import palette, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SHAPES = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*", "d", "H", "8")
_AXES = {"tsne": ("t-SNE 1", "t-SNE 2"), "pca": ("component 1", "component 2")}
_NAMES = {"tsne": "t-SNE", "pca": "PCA"}
_LINES = 40
"""Classes per column of the legend."""


def heading(run: str, method: str, drawn: int, total: int, words: str) -> str:
    """Return a title that says what was sampled."""
    share = f"all {total:,}" if drawn == total else f"{drawn:,} of {total:,}"
    return f"{style.plain(run)}: {_NAMES[method]} of the features of {share} {words}"


def draw(
    points: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    title: str,
    method: str,
    shares: tuple[float, float] | None = None,
) -> Figure:
    """Draw points by class, with a legend of every class and the class number where its clips lie.

    Args:
        points: float32 (n, 2).
        labels: int64 (n,); negative where a clip has no label.
        classes: Class names.
        title: Title.
        method: ``tsne`` or ``pca``, for the axes.
        shares: Shares of the variance that the two components hold, for the axes of ``pca``.
    """
    present = np.unique(labels)
    columns = -(-len(present) // _LINES)
    height = float(np.clip(0.19 * min(len(present), _LINES) + 1.2, 5.2, 8.8))
    figure = style.figure(height + 3.1 * columns, height)
    letters = style.points(10.5)
    beside = int(
        72 * height / (0.55 * letters)
    )  # letters that fit beside the legend, which begins at the top
    lines = textwrap.wrap(title, beside)
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=letters)
    axes = figure.subplots()
    size = float(np.clip(9000 / max(len(points), 1), 5, 34))
    for place, label in enumerate(present.tolist()):
        own = points[labels == label]
        colour = palette.SERIES[place % len(palette.SERIES)]
        shape = _SHAPES[place // len(palette.SERIES) % len(_SHAPES)]
        name = style.plain(classes[label], 40) if 0 <= label < len(classes) else "no label"
        text = f"{label}  {name}" if label >= 0 else name
        axes.scatter(
            own[:, 0], own[:, 1], s=size, c=colour, marker=shape, linewidths=0, alpha=0.8, label=text
        )
    words = [
        name if shares is None else f"{name} ({100 * share:.1f} % of the variance)"
        for name, share in zip(_AXES[method], shares or (0.0, 0.0), strict=True)
    ]
    axes.set_xlabel(words[0])
    axes.set_ylabel(words[1])
    if method == "tsne":  # distances on its axes mean nothing
        axes.set_xticks([])
        axes.set_yticks([])
    axes.set_aspect("equal", adjustable="datalim")
    # The legend's lines, of 1.4 times their letters, fill the height of a narrow picture at most.
    fitting = 72 * figure.get_figheight() / (1.4 * (-(-len(present) // columns) + 1))
    figure.legend(
        loc="outside right upper", ncols=columns, frameon=False, fontsize=min(style.points(7.5), fitting),
        handletextpad=0.2,
        labelspacing=0.32, columnspacing=1.0, markerscale=float(np.sqrt(30 / size)),
    )  # fmt: skip
    _numbers(figure, axes, points, labels)
    return figure


def _numbers(figure: Figure, axes: Axes, points: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
    """Put each class's number above the clip nearest its median, unless it would lie on another number."""
    from matplotlib.patheffects import withStroke

    figure.draw_without_rendering()
    taken: list[Any] = []
    present, counts = np.unique(labels, return_counts=True)
    for label in present[np.argsort(-counts, kind="stable")].tolist():
        own = points[labels == label]
        at = own[np.argmin(((own - np.median(own, axis=0)) ** 2).sum(axis=1))]
        text = axes.annotate(
            str(label), at.tolist(), (0, 5), textcoords="offset points", fontsize=style.points(7.5), fontweight="bold",
            ha="center", va="center", zorder=5, path_effects=[withStroke(linewidth=2, foreground="white")],
        )  # fmt: skip
        box = text.get_window_extent().padded(1)
        if any(box.overlaps(other) for other in taken):
            text.remove()
        else:
            taken.append(box)
