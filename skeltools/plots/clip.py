"""A clip, or several ways of one clip side by side, as a strip of frames or moving."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from skeltools.errors import DataError, counted, did_you_mean
from skeltools.plots import animation, palette, style
from skeltools.plots.camera import Camera, apart, is_flat, is_set_apart
from skeltools.plots.camera import bodies as bodies_of
from skeltools.plots.skeletons import (
    Drawn,
    Scene,
    body_name,
    body_style,
    salience_map,
    salience_range,
    scene,
    spread,
)
from skeltools.preparation import bodies

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from skeltools.skeletons import Skeleton
    from skeltools.store import ClipFile

RATE = 15.0
"""Frames per second of a moving picture: a clip of 64 frames lasts some four seconds."""


@dataclass(frozen=True)
class Panel:
    """One of the clips that are side by side.

    Attributes:
        title: What it shows.
        clip: float (3, T, V, M), metres, y upwards.
        skeleton: Of V joints.
        salience: (T, V, M) to colour by, NaN for an absent body; or None.
    """

    title: str
    clip: NDArray[np.floating]
    skeleton: Skeleton
    salience: NDArray[np.floating] | None = None


def find(file: ClipFile, which: str) -> int:
    """Return the row of a clip by its name, or by its number where no clip has that name.

    Raises:
        DataError: There is no such clip.
    """
    if which in file.names:
        return file.names.index(which)
    if which.isascii() and which.removeprefix("-").isdigit():
        if 0 <= int(which) < len(file):
            return int(which)
        raise DataError(f"{file.path} has rows 0 to {len(file) - 1}, not {which}.")
    near = did_you_mean(which, file.names)
    told = near or f" Give a row, 0 to {len(file) - 1}, or a name such as {file.names[0]}."
    raise DataError(f"{file.path} has no clip '{which}'.{told}")


def class_of(file: ClipFile, row: int) -> str:
    """Return the class name of a row; ``no label`` where it has none."""
    label = int(file.labels[row])
    return file.classes[label] if 0 <= label < len(file.classes) else "no label"


def heading(file: ClipFile, row: int) -> str:
    """Return a title for pictures of a row: class and name."""
    return f"{style.plain(class_of(file, row))}\n{style.plain(file.names[row])}"


def panels(
    file: ClipFile,
    row: int,
    *,
    raw: bool = False,
    augment: str | None = None,
    seed: int = 0,
    corruptions: Sequence[str] = (),
) -> list[Panel]:
    """Return what to draw of a row: the recording if asked for, the prepared clip, its augmented and corrupted forms.

    Args:
        file: An open clip file.
        row: The row.
        raw: Whether the recording is drawn beside, bodies as the file's preparation chose them.
        augment: Augmentations such as ``crop(6)|shear(0.5)``, or None.
        seed: Seed of the draws of either.
        corruptions: Corruptions such as ``noise(0.05)``, a panel each.

    Raises:
        DataError: The file holds no recordings.
        SettingError: `augment` or one of `corruptions` cannot be read.
    """
    centre = str(file.attrs.get("chain.centre", ""))
    skeleton = file.form.skeleton
    clip = file.clips([row])[0]
    made = []
    if raw:
        recording, room = file.recording(row), file.form.bodies
        found = bodies.select(recording, str(file.attrs.get("chain.bodies", "first")), bodies=room)
        seen = recording.first(room) if isinstance(found, str) else found.raw
        made.append(Panel(f"recording, {counted(seen.shape[1], 'frame')}", seen, skeleton))
    beside = ", bodies set apart" if is_set_apart(clip, centre) else ""
    kind = ", 2-D" if is_flat(clip) else ""
    made.append(
        Panel(f"prepared, {counted(clip.shape[1], 'frame')}{kind}{beside}", apart(clip, centre), skeleton)
    )
    if augment is not None:
        import torch

        from skeltools.transforms import augment as augmentations
        from skeltools.transforms.draws import Draws

        pipeline = augmentations.parse(augment, skeleton)
        x = torch.from_numpy(clip)[None]
        with torch.no_grad():
            changed = pipeline(x, Draws(seed, 0, torch.tensor([row])))[0].numpy()
        made.append(Panel(f"{style.plain(augment, 44)}, seed {seed}", apart(changed, centre), skeleton))
    for text in corruptions:
        import torch

        from skeltools.analysis.corrupted import Corruptor

        broken = Corruptor(file, text, seed)(np.array([row]), torch.from_numpy(clip)[None])[0].numpy()
        made.append(Panel(style.plain(text, 44), apart(broken, centre), skeleton))
    return made


def _bounds(shown: Sequence[Panel]) -> tuple[float, float] | None:
    """Return the range of salience of all panels, None where no panel has any."""
    values = [np.ravel(panel.salience) for panel in shown if panel.salience is not None]
    return salience_range(np.concatenate(values)) if values else None


def _legend(figure: Figure, shown: Sequence[Panel], columns: int) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.lines import Line2D

    bounds = _bounds(shown)
    if bounds is not None:
        figure.colorbar(
            ScalarMappable(Normalize(*bounds), salience_map()),
            ax=figure.axes,
            location="bottom",
            label="salience: share of activation the mask keeps",
            shrink=0.7,
            aspect=30,
            pad=0.02,
        )
        return
    parts = palette.of_parts(shown[0].skeleton.parts)
    handles = [Line2D([], [], color=colour, lw=2.5) for colour in parts.values()]
    names = [style.plain(part, 30) for part in parts]
    for body in _further(shown):
        handles.append(Line2D([], [], color="black", lw=2, ls=body_style(body)))  # type: ignore[arg-type]
        names.append(body_name(body))
    room = max(1.0, 0.2 + 0.07 * max(map(len, names)))  # inches
    columns = min(columns, max(1, int(figure.get_figwidth() / room)))
    figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False)


def _further(shown: Sequence[Panel]) -> list[int]:
    """Return the bodies beside the first, where a panel has more than one."""
    found = [bodies_of(panel.clip) for panel in shown]
    return sorted({body for several in found if len(several) > 1 for body in several if body > 0})


def _scenes(shown: Sequence[Panel], camera: Camera) -> list[Scene]:
    bounds = _bounds(shown) or (0.0, 1.0)
    made = [scene(panel.clip, panel.skeleton, camera, panel.salience, bounds) for panel in shown]
    # One scale for all, so that sizes can be compared.
    half = np.max([one.half for one in made], axis=0)
    half[0] = np.clip(half[0], 0.45 * half[1], 2.2 * half[1])
    return [replace(one, half=half) for one in made]


def strip(shown: Sequence[Panel], title: str, camera: Camera, frames: int = 6) -> Figure:
    """Draw frames evenly spread over time, a row per panel.

    Args:
        shown: Panels.
        title: Title of the figure; lines.
        camera: The camera.
        frames: Frames per panel.
    """
    scenes = _scenes(shown, camera)
    ratio = float(scenes[0].half[0] / scenes[0].half[1])
    side = min(1.9, 11.0 / frames / ratio)
    figure = style.figure(max(side * ratio * frames, 5.0), (side + 0.35) * len(shown) + 1.0)
    figure.suptitle(title, x=0.01, ha="left", fontsize=style.points(11))
    grid = figure.subplots(len(shown), frames, squeeze=False)
    for line, panel, made in zip(grid, shown, scenes, strict=True):
        picks = spread(made.frames, frames)
        for place, axes in enumerate(line):
            style.clear(axes)
            if place < len(picks):
                Drawn(axes, made, side * 72).show(picks[place])
                axes.set_xlabel(f"frame {picks[place]}", fontsize=style.points(7), labelpad=1)
        line[0].set_title(panel.title, fontsize=style.points(9))
    _legend(figure, shown, 6 if figure.get_figwidth() > 6 else 3)
    return figure


def write_moving(shown: Sequence[Panel], title: str, camera: Camera, path: Path, rate: float = RATE) -> None:
    """Write panels side by side as a moving picture of one length; a longer recording is sampled.

    Args:
        shown: Panels.
        title: Title; lines.
        camera: The camera.
        path: ``.gif`` or ``.mp4``.
        rate: Frames per second.
    """
    scenes = _scenes(shown, camera)
    frames = scenes[-1].frames
    ratio = float(scenes[0].half[0] / scenes[0].half[1])
    figure = style.figure(max(3.0 * ratio * len(shown), 2.4 * len(shown), 3.8), 4.4)
    figure.suptitle(title, x=0.02, ha="left", fontsize=style.points(10))
    grid = figure.subplots(1, len(shown), squeeze=False)[0]
    drawn = []
    for axes, panel, made in zip(grid, shown, scenes, strict=True):
        drawn.append(Drawn(axes, made, 230))
        axes.set_title(panel.title, fontsize=style.points(9), loc="center")
    clock = grid[0].text(0.0, 0.0, "", transform=grid[0].transAxes, fontsize=style.points(8), color="#555555")
    _legend(figure, shown, 6 if figure.get_figwidth() > 6 else 3)

    def draw(frame: int) -> None:
        for one, made in zip(drawn, scenes, strict=True):
            one.show(round(frame * (made.frames - 1) / max(frames - 1, 1)))
        clock.set_text(f"frame {frame + 1}/{frames}")

    animation.write(figure, draw, frames, path, rate)
