"""Timelines in tests: a made-up one of any number of classes."""

from __future__ import annotations

import numpy as np

from skeltools.analysis.timeline import Timeline, windows
from skeltools.formats.recording import Recording


def make_timeline(classes: int = 3, frames: int = 200, gap: bool = True, length: int = 20) -> Timeline:
    """A timeline whose windows take the classes in turn; nobody in its fourth window."""
    bounds = windows(frames, length, length)
    scores = np.full((len(bounds), classes), 0.2 / (classes - 1), np.float32)
    for row in range(len(bounds)):
        scores[row, row % classes] = 0.8
    gaps = [""] * len(bounds)
    if gap:
        gaps[3], scores[3] = "all-zero: nobody", np.nan
    columns = np.random.default_rng(0).uniform(0.1, 1, (frames, 1, 25, 3)).astype(np.float32)
    names = [f"class {label}" for label in range(classes)]
    used = [length] * len(bounds)
    return Timeline(
        "a.txt", "", Recording.from_columns(columns), length, length, names, bounds, used, gaps, scores
    )
