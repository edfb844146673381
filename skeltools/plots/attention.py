"""Salience, what the attention mask keeps: a heat map of joints over time, and the moving skeleton."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skeltools.analysis import embedding
from skeltools.errors import DataError, did_you_mean
from skeltools.plots import palette, style
from skeltools.plots.camera import Camera, apart
from skeltools.plots.clip import Panel
from skeltools.plots.skeletons import Drawn, salience_map, salience_range, scene, spread
from skeltools.results.tables import Grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

    from skeltools.skeletons import Skeleton
    from skeltools.store import ClipFile


def order(skeleton: Skeleton) -> list[int]:
    """Return the joints in the order of the rows: part by part."""
    return [joint for joints in skeleton.parts.values() for joint in joints]


def height(skeleton: Skeleton, maps: int = 1) -> float:
    """Return the height of heat maps in inches: names of joints are apart, and the scale has its label."""
    return max((104 * skeleton.num_joints + 700) / 1000 * maps, 3.3)


def one(row: int) -> NDArray[np.int64]:
    """Return a row as rows."""
    return np.array([row], np.int64)


def find_class(file: ClipFile, word: str) -> int:
    """Return the label of a class by its name or number.

    Raises:
        DataError: There is no such class.
    """
    if word in file.classes:
        return file.classes.index(word)
    if word.isascii() and word.isdigit() and int(word) < len(file.classes):
        return int(word)
    hint = did_you_mean(word, file.classes)
    raise DataError(
        f"{file.path} has no class '{word}'.{hint} Give a name or a label from 0 to {len(file.classes) - 1}."
    )


def of_class(file: ClipFile, label: int, rows: NDArray[np.int64], most: int) -> tuple[NDArray[np.int64], str]:
    """Return at most `most` of some rows that have a label, and a title that says which.

    Raises:
        DataError: There is none.
    """
    own = rows[file.labels[rows] == label]
    if len(own) == 0:
        raise DataError(f"{file.path} has no clip of class '{file.classes[label]}' here. Try --part all.")
    kept = embedding.sample(file, own, most)
    share = f"{len(kept):,}" if len(kept) == len(own) else f"{len(kept):,} of {len(own):,}"
    return kept, f"{style.plain(file.classes[label])}\nmean over {share} clip{'s' if len(kept) > 1 else ''}"


def prepared(file: ClipFile, row: int, salience: NDArray[np.floating]) -> Panel:
    """Return a stored clip coloured by salience (T, V, M)."""
    clip = file.clips([row])[0]
    moved = apart(clip, str(file.attrs.get("chain.centre", "")))
    return Panel("", moved, file.form.skeleton, salience)


def _map(axes: Axes, values: NDArray[np.floating], skeleton: Skeleton, low: float, high: float) -> AxesImage:
    """Draw (T, V) as a heat map with joints grouped by part."""
    frames, rows = values.shape[0], order(skeleton)
    image = axes.imshow(
        values.T[rows],
        aspect="auto",
        cmap=salience_map(),
        vmin=low,
        vmax=high,
        interpolation="nearest",
        extent=(-0.5, frames - 0.5, len(rows) - 0.5, -0.5),
    )
    axes.set_yticks(
        range(len(rows)),
        [style.plain(skeleton.joints[joint], 30) for joint in rows],
        fontsize=style.points(7),
    )
    axes.tick_params(axis="y", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    edge = 0
    for joints in list(skeleton.parts.values())[:-1]:
        edge += len(joints)
        axes.axhline(edge - 0.5, color="white", lw=2)
    axes.set_xlabel("frame")
    return image


def _bodies(values: NDArray[np.floating]) -> list[int]:
    return [body for body in range(values.shape[-1]) if np.isfinite(values[..., body]).any()]


def draw(shown: Panel, title: str, camera: Camera, frames: int = 8) -> Figure:
    """Draw a clip's salience: a heat map a body above a strip of the skeleton in the same colours.

    Args:
        shown: Clip and salience.
        title: Title; lines.
        camera: The camera.
        frames: Frames of the strip; fewer where more than two bodies are side by side.
    """
    assert shown.salience is not None
    salience = np.asarray(shown.salience)
    there = _bodies(salience)
    low, high = salience_range(salience)
    tall = height(shown.skeleton, len(there))
    figure = style.figure(8.6, tall + 2.2)
    figure.suptitle(title, x=0.01, ha="left", fontsize=style.points(11))
    halves: Any = figure.subfigures(2, 1, height_ratios=[tall, 1.25])
    upper, lower = halves
    maps = upper.subplots(len(there), 1, squeeze=False)[:, 0]
    for axes, body in zip(maps, there, strict=True):
        image = _map(axes, salience[..., body], shown.skeleton, low, high)
        axes.set_title("" if len(there) == 1 else f"body {body + 1}")
    upper.colorbar(image, ax=list(maps), label="salience: share of activation the mask keeps", pad=0.02)
    made = scene(shown.clip, shown.skeleton, camera, salience, (low, high))
    picks = spread(made.frames, max(2, 2 * frames // max(len(there), 2)))
    for axes, frame in zip(lower.subplots(1, len(picks), squeeze=False)[0], picks, strict=True):
        Drawn(axes, made, 76).show(frame)
        axes.set_xlabel(f"frame {frame}", fontsize=style.points(7), labelpad=1)
    return figure


def of_parts(values: NDArray[np.float32], skeleton: Skeleton) -> list[tuple[str, NDArray[np.float32]]]:
    """Return (heading, salience (T', P)) to show by part: of one clip each body's, of several their mean.

    Args:
        values: (n, T', V, M), NaN for an absent body.
        skeleton: Of V joints and P parts.

    Raises:
        DataError: No clip has a body.
    """
    from skeltools.analysis.salience import by_part

    found = by_part(values, skeleton)
    bodies = [body for body in range(found.shape[3]) if np.isfinite(found[..., body]).any()]
    if not bodies:
        raise DataError("No clip has a body, so there is no salience to show.")
    if len(found) == 1:
        return [("" if len(bodies) == 1 else f"body {body + 1}", found[0, ..., body]) for body in bodies]
    return [("", np.nanmean(found, axis=(0, 3)))]


def part_table(shown: list[tuple[str, NDArray[np.float32]]], skeleton: Skeleton, title: str) -> Grid:
    """Return the mean, least and most salience over time of each part, as `of_parts` gives it."""
    grid = Grid(
        title.split("\n"),
        [("part", False), ("joints", True), ("mean", True), ("least", True), ("most", True)],
    )
    for heading, values in shown:
        for place, (part, joints) in enumerate(skeleton.parts.items()):
            own = values[:, place]
            name = f"{heading}, {part}" if heading else part
            numbers = [f"{value:.4f}" for value in (own.mean(), own.min(), own.max())]
            grid.add([name, str(len(joints)), *numbers], new_section=place == 0)
    return grid


def parts(
    shown: list[tuple[str, NDArray[np.float32]]], skeleton: Skeleton, frames: int, title: str
) -> Figure:
    """Draw salience by part: over time, and beside it the mean over time.

    Args:
        shown: What `of_parts` gave.
        skeleton: Of P parts.
        frames: Frames of a clip, T.
        title: Title; lines.
    """
    colours = palette.of_parts(skeleton.parts)
    tall = max(2.2, 0.5 + 0.24 * len(colours))
    figure = style.figure(8.6, tall * len(shown) + 0.9)
    figure.suptitle(title, x=0.01, ha="left", fontsize=style.points(11))
    grid = figure.subplots(len(shown), 2, squeeze=False, width_ratios=[2.2, 1], sharex="col")
    for (over, beside), (heading, values) in zip(grid, shown, strict=True):
        edges = np.arange(len(values) + 1) * frames / len(values)
        for place, colour in enumerate(colours.values()):
            over.stairs(values[:, place], edges, baseline=None, color=colour, lw=1.8)
        over.set_title(heading)
        over.set_xlim(0, frames)
        over.set_ylabel("salience")
        over.grid(True)
        means = values.mean(axis=0)
        for place, colour in enumerate(colours.values()):
            beside.plot(means[place], place, "o", ms=7, color=colour)
        beside.set_yticks(range(len(means)), [style.plain(part, 24) for part in colours])
        beside.set_ylim(len(means) - 0.5, -0.5)
        beside.tick_params(axis="y", length=0)
        beside.set_xlim(*salience_range(values))
        beside.locator_params(axis="x", nbins=4)
        beside.grid(True)
        beside.set_axisbelow(True)
    grid[-1, 0].set_xlabel("frame")
    grid[-1, 1].set_xlabel("mean over time")
    return figure


def mean(values: NDArray[np.float32], skeleton: Skeleton, frames: int, title: str) -> Figure:
    """Draw the mean salience of clips as a heat map, over every body that is there.

    Args:
        values: (n, T', V, M), NaN for an absent body.
        skeleton: Of V joints.
        frames: Frames of a clip, T.
        title: Title; lines.
    """
    from skeltools.analysis.salience import to_frames

    flat = np.moveaxis(values, 3, 1).reshape(-1, *values.shape[1:3])
    flat = flat[np.isfinite(flat).all(axis=(1, 2))]
    if len(flat) == 0:
        raise DataError("No clip has a body, so there is no salience to show.")
    average = to_frames(flat.mean(axis=0)[None, :, :, None], frames)[0, :, :, 0]
    figure = style.figure(8.6, height(skeleton) + 1.3)
    figure.suptitle(title, x=0.01, ha="left", fontsize=style.points(11))
    axes = figure.subplots()
    image = _map(axes, average, skeleton, *salience_range(average))
    figure.colorbar(image, ax=axes, label="salience: share of activation the mask keeps", pad=0.02)
    return figure
