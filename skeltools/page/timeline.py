"""The page of a timeline: the player of a recording with its classes over time under it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skeltools.analysis.timeline import GAP
from skeltools.errors import counted
from skeltools.files.texts import printable
from skeltools.page.clips import BUDGET, Pool, pack_points

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from skeltools.analysis.timeline import Timeline
    from skeltools.skeletons import Form

MOST_WINDOWS = 5000
"""A page holds the scores of at most so many windows, evenly spread."""

_TOP = 5


def gather(found: Timeline, form: Form, run: Path) -> dict[str, Any]:
    """Return what the page of a timeline shows.

    Args:
        found: The timeline.
        form: Skeleton of the recording, and how many of its bodies are shown.
        run: The run, for the facts.
    """
    clip = _points(found, form)
    step = thinning(found.frames, form)
    pool = Pool()
    place = pool.hold(form.skeleton, {"name": Path(found.path).name, "label": GAP, "class": None}
                      | pack_points(clip[:, ::step], 0.0))  # fmt: skip
    every = -(-len(found.bounds) // MOST_WINDOWS)
    notes = [*(f"{note[0].upper()}{note[1:]}." for note in found.notes)]
    notes += [f"The player holds one frame in {step}."] if step > 1 else []
    notes += [f"The page holds the scores of one window in {every}."] if every > 1 else []
    return {
        "kind": "timeline",
        "heading": printable(Path(found.path).name),
        "facts": facts(found, run),
        "notes": notes,
        "tables": [table(found)],
        **pool.values(),
        "runs": [
            {
                "name": run.name,
                "classes": list(found.classes),
                "player": {"clips": [{"clip": place}], "timeline": strip(found, step, every)},
            }
        ],
    }


def _points(found: Timeline, form: Form) -> NDArray[np.float32]:
    """Return the recording (3, L, V, M); key points of an image in its plane, four metres wide or high."""
    clip = found.recording.first(form.bodies)
    if form.dimensions == 2:
        there = clip[:2].any(axis=0)
        clip[2] = 0
        if there.any():
            low, high = clip[:2, there].min(axis=1), clip[:2, there].max(axis=1)
            middle = ((low + high) / 2)[:, None, None, None]
            clip[:2] = (clip[:2] - middle) * (4 / max(float((high - low).max()), 1e-6)) * there
    return clip


def thinning(frames: int, form: Form) -> int:
    """Return n where every n-th frame of a recording is kept, so that it takes half of `BUDGET` at most."""
    characters = frames * form.joints * form.bodies * 3 * 2 * 4 / 3
    return max(1, int(np.ceil(characters / (BUDGET / 2))))


def strip(found: Timeline, step: int, every: int) -> dict[str, Any]:
    """Return what is drawn under the player; frames are those of the recording."""
    return {
        "frames": found.frames,
        "step": step,
        "stretches": [
            [one.start, one.stop, one.label, None if one.label == GAP else round(one.score, 4)]
            for one in found.stretches()
        ],
        "windows": [
            [
                *found.bounds[row],
                [[label, round(score, 4)] for label, score in found.best(row, _TOP)],
                found.gaps[row],
            ]
            for row in range(0, len(found.bounds), every)
        ],
    }


def facts(found: Timeline, run: Path) -> list[list[str]]:
    """Return what the page says about the recording, as pairs of texts."""
    windows = (
        f"{counted(found.length, 'frame')} every {found.stride}" if found.length else "the whole recording"
    )
    return [
        ["file", found.path],
        *([["recording", found.clip]] if found.clip else []),
        ["run", str(run)],
        ["frames", f"{found.frames:,}"],
        ["windows", f"{len(found.bounds):,} of {windows}"],
        ["without a class", counted(sum(map(bool, found.gaps)), "window")],
    ]


def table(found: Timeline) -> dict[str, Any]:
    """Return the table of stretches."""
    return {
        "title": ["Frames by class"],
        "columns": [["from", True], ["to", True], ["class", False], ["score", True]],
        "rows": [
            [
                f"{one.start:,}",
                f"{one.stop - 1:,}",
                found.name(one.label),
                "" if one.label == GAP else f"{one.score:.3f}",
            ]
            for one in found.stretches()
        ],
        "notes": ["Frames are counted from 0. A frame's score is the mean over the windows that cover it."],
    }
