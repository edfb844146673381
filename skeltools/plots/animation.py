"""Figures as moving pictures: GIF by Pillow, MP4 by ffmpeg."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skeltools.errors import OutputError, SettingError
from skeltools.files.writing import replacing
from skeltools.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

ANIMATIONS = (".gif", ".mp4")
"""Suffixes a moving picture can be written as."""

DPI = 100


def ffmpeg() -> str:
    """Return the program that makes MP4: ``ffmpeg`` on the path, or that of the package imageio-ffmpeg.

    Raises:
        SettingError: There is none.
    """
    found = shutil.which("ffmpeg")
    if found is not None:
        return found
    try:
        from imageio_ffmpeg import get_ffmpeg_exe
    except ImportError:
        raise SettingError(
            "MP4 needs the program ffmpeg. Install it, or pip install imageio-ffmpeg, or write a .gif."
        ) from None
    return str(get_ffmpeg_exe())


def write(made: Figure, draw: Callable[[int], None], frames: int, path: Path, rate: float) -> None:
    """Write a figure that `draw` changes from frame to frame, in one step.

    Args:
        made: The figure.
        draw: Called with 0 to frames-1 before each frame is taken.
        frames: Frames.
        path: A path that ends in one of `ANIMATIONS`.
        rate: Frames per second.

    Raises:
        SettingError: There is no ffmpeg.
        OutputError: ffmpeg failed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    made.set_dpi(style.dpi(DPI))
    canvas = FigureCanvasAgg(made)

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for frame in range(frames):
            draw(frame)
            canvas.draw()  # type: ignore[no-untyped-call]
            if frame == 0:
                made.set_layout_engine("none")  # what does not move is laid out once
            yield np.asarray(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]

    if path.suffix.lower() == ".gif":
        _gif(pictures(), path, rate)
    else:
        _mp4(pictures(), path, rate)


def _gif(pictures: Iterator[NDArray[np.uint8]], path: Path, rate: float) -> None:
    from PIL import Image

    images = [Image.fromarray(np.ascontiguousarray(picture)) for picture in pictures]
    # One palette for all, taken from frames of the whole clip, so that colours do not flicker.
    some = images[:: max(1, len(images) // 4)]
    strip = Image.new("RGB", (images[0].width, images[0].height * len(some)))
    for place, image in enumerate(some):
        strip.paste(image, (0, place * image.height))
    colours = strip.quantize(64, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    flat = [image.quantize(palette=colours, dither=Image.Dither.NONE) for image in images]
    with replacing(path) as part:
        flat[0].save(
            part,
            format="GIF",
            save_all=True,
            append_images=flat[1:],
            duration=max(20, round(1000 / rate)),
            loop=0,
            optimize=False,
        )


def _mp4(pictures: Iterator[NDArray[np.uint8]], path: Path, rate: float) -> None:
    program = ffmpeg()
    first = next(pictures)
    height, width = (side - side % 2 for side in first.shape[:2])  # H.264 wants even sides
    with replacing(path) as part:
        command = [
            program, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24",
            "-s", f"{width}x{height}", "-r", f"{rate:g}", "-i", "-", "-pix_fmt", "yuv420p",
            "-movflags", "+faststart", "-f", "mp4", str(part),
        ]  # fmt: skip
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdin is not None
        assert process.stderr is not None
        try:
            with process.stdin as pipe:
                for picture in (first, *pictures):
                    pipe.write(np.ascontiguousarray(picture[:height, :width]).tobytes())
        except BrokenPipeError:
            pass  # what ffmpeg says is reported below
        said = process.stderr.read().decode("utf-8", "replace").strip()
        process.stderr.close()
        if process.wait() != 0:
            last = said.splitlines()[-1] if said else "no message"
            raise OutputError(f"{path}: ffmpeg failed ({last}).")
