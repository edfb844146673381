"""Skeletons drawn into axes: bones as lines, joints as dots, the nearer over the farther."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skeltools.errors import DataError
from skeltools.plots import palette
from skeltools.plots.camera import Camera, extent, is_flat, present

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from skeltools.skeletons import Skeleton

    LineStyle = str | tuple[int, tuple[float, ...]]


def body_style(body: int) -> LineStyle:
    """Return how bones of a body are drawn: the first solid, the second short dashes.

    Those after the second have long dashes with short ones between: one for the third, two for the fourth.
    """
    if body == 0:
        return "solid"
    return (0, (1.2, 2.2) if body == 1 else (4.2, 2.2, *(1.2, 2.2) * (body - 1)))


def body_name(body: int) -> str:
    """Return what a body is called where several are shown: ``second body``."""
    words = ("first", "second", "third", "fourth", "fifth", "sixth")
    return f"{words[body]} body" if body < len(words) else f"body {body + 1}"


def joint_colours(skeleton: Skeleton) -> list[str]:
    """Return the colour of each joint's part, V of them."""
    colours = [""] * skeleton.num_joints
    for part, colour in palette.of_parts(skeleton.parts).items():
        for joint in skeleton.parts[part]:
            colours[joint] = colour
    return colours


@dataclass(frozen=True)
class Scene:
    """A clip as a camera sees it.

    Attributes:
        skeleton: Of V joints.
        flat: (3, T, V, M): right, up, near; metres.
        there: Bodies present, (T, M).
        colours: RGBA of every joint, frame and body, (T, V, M, 4).
        middle: Middle of the picture, right and up, metres, (2,).
        half: Half its width and height, metres, (2,).
    """

    skeleton: Skeleton
    flat: NDArray[np.float64]
    there: NDArray[np.bool_]
    colours: NDArray[np.float64]
    middle: NDArray[np.float64]
    half: NDArray[np.float64]

    @property
    def frames(self) -> int:
        """T."""
        return int(self.flat.shape[1])


def scene(
    clip: NDArray[np.floating],
    skeleton: Skeleton,
    camera: Camera,
    salience: NDArray[np.floating] | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Scene:
    """Project a clip and colour its joints.

    Args:
        clip: (3, T, V, M), metres, y upwards.
        skeleton: Of V joints.
        camera: The camera; a 2-D clip, whose z are 0, is seen from the front whatever it is.
        salience: (T, V, M) to colour by; None for the colours of the parts.
        bounds: Salience of the first and the last colour.
    """
    from matplotlib.colors import to_rgba_array

    there = present(clip)
    flat = (Camera() if is_flat(clip) else camera).project(clip)
    middle, half = extent(flat, there)
    shape = clip.shape[1:]
    if salience is None:
        colours = np.broadcast_to(to_rgba_array(joint_colours(skeleton))[None, :, None], (*shape, 4))
    else:
        low, high = bounds
        colours = salience_map()((np.nan_to_num(salience, nan=low) - low) / (high - low))
    return Scene(skeleton, flat, there, np.asarray(colours, np.float64), middle, half)


def salience_map() -> Any:
    """Return the colour map of salience."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("salience", palette.SALIENCE)


def salience_range(values: NDArray[np.floating]) -> tuple[float, float]:
    """Return the least and greatest salience that is there, so that colours use their whole range.

    Raises:
        DataError: There is none.
    """
    if not np.isfinite(values).any():
        raise DataError("No body is there, so there is no salience to show.")
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return (low, high) if high - low > 1e-3 else (low - 0.5e-3, high + 0.5e-3)


class Drawn:
    """A scene in axes, redrawn frame by frame.

    Args:
        axes: Where to draw; ticks and frame are taken away.
        shown: The scene.
        size: Height of the axes in points, which line widths follow.
    """

    def __init__(self, axes: Axes, shown: Scene, size: float = 240.0) -> None:
        from matplotlib.collections import LineCollection

        from skeltools.plots.style import clear

        clear(axes)
        axes.set_aspect("equal")
        low, high = shown.middle - shown.half, shown.middle + shown.half
        axes.set_xlim(low[0], high[0])
        axes.set_ylim(low[1], high[1])
        self.scene = shown
        width = max(size / 110, 0.8)
        self.lines = LineCollection([], linewidths=width, capstyle="round")
        axes.add_collection(self.lines)
        self.dots = axes.scatter([], [], s=(width * 1.9) ** 2, linewidths=0, zorder=3)

    def show(self, frame: int) -> None:
        """Draw one frame."""
        shown = self.scene
        segments, colours, styles, depths = [], [], [], []
        points, dots = [], []
        for body in np.flatnonzero(shown.there[frame]).tolist():
            flat = shown.flat[:, frame, :, body]
            for joint, parent in shown.skeleton.bones:
                segments.append(flat[:2, [joint, parent]].T)
                colours.append(shown.colours[frame, joint, body])
                styles.append(body_style(body))
                depths.append(flat[2, joint] + flat[2, parent])
            points.append(flat[:2].T)
            dots.append(shown.colours[frame, :, body])
        order = np.argsort(depths, kind="stable")
        self.lines.set_segments([segments[place] for place in order])
        self.lines.set_color([colours[place] for place in order])
        self.lines.set_linestyle([styles[place] for place in order])
        self.dots.set_offsets(np.concatenate(points) if points else np.zeros((0, 2)))
        self.dots.set_facecolor(list(np.concatenate(dots)) if dots else [])


def spread(frames: int, count: int) -> list[int]:
    """Return `count` frames evenly spread over a clip, first and last included; fewer in a shorter clip."""
    picks: Sequence[int] = np.linspace(0, frames - 1, min(count, frames)).round().astype(int).tolist()
    return list(dict.fromkeys(picks))
