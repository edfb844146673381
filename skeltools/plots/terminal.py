"""A clip drawn with characters: a few of its frames side by side, seen from the front."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skeltools.skeletons import Skeleton

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of a Braille character's dots by row and column."""


def draw(
    clip: NDArray[np.floating], skeleton: Skeleton, width: int = 80, height: int = 16, frames: int = 5
) -> list[str]:
    """Draw frames of a clip, evenly spread over its time, from left to right.

    As in a photograph, the right side of a person who faces the sensor is on the left.

    Args:
        clip: (3, T, V, M), metres, y upwards.
        skeleton: Of V joints.
        width: Characters per line.
        height: Lines.
        frames: Frames to draw.

    Returns:
        `height` lines of at most `width` characters (Braille patterns; empty where nothing is drawn).
    """
    picks = np.linspace(0, clip.shape[1] - 1, frames).round().astype(int)
    dots = np.zeros((4 * height, 2 * width), bool)
    room = 2 * width // frames
    there = clip.any(axis=(0, 1, 2))
    if not there.any():
        return [""] * height
    shown = clip[:2, picks][..., there].astype(np.float64)
    low, high = shown.min(axis=(1, 2, 3)), shown.max(axis=(1, 2, 3))
    scale = min((room - 3) / max(high[0] - low[0], 1e-6), (4 * height - 1) / max(high[1] - low[1], 1e-6))
    middle = (low + high) / 2
    steps = np.linspace(0, 1, 24)
    bones = skeleton.bones or ((skeleton.root, skeleton.root),)  # a lone joint is a dot
    for number in range(frames):
        for body in range(shown.shape[3]):
            points = shown[:, number, :, body]
            for joint, parent in bones:
                line = points[:, [joint]] + (points[:, [parent]] - points[:, [joint]]) * steps
                across = number * room + room / 2 - (line[0] - middle[0]) * scale  # x grows to its right
                down = 2 * height - (line[1] - middle[1]) * scale
                column = np.clip(across.astype(int), 0, 2 * width - 1)
                dots[np.clip(down.astype(int), 0, 4 * height - 1), column] = True
    lines = []
    for top in range(0, 4 * height, 4):
        codes = np.zeros(width, int)
        for row in range(4):
            for column in range(2):
                codes |= np.where(dots[top + row, column::2], _DOTS[row][column], 0)
        lines.append("".join(chr(0x2800 + code) if code else " " for code in codes.tolist()).rstrip())
    return lines
