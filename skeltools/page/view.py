"""The page of a data file: what is in it, and a player of its clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from skeltools.analysis import embedding
from skeltools.errors import counted
from skeltools.page.clips import Pool, thinning
from skeltools.progress import SILENT, Progress
from skeltools.store.summary import summarise

if TYPE_CHECKING:
    from skeltools.store import ClipFile


def gather(
    file: ClipFile, rows: Sequence[int] = (), most: int = 300, progress: Progress = SILENT
) -> dict[str, Any]:
    """Return what the page of a data file shows.

    Args:
        file: An open clip file.
        rows: Clips to show; a sample spread over the classes where none is named.
        most: Most clips of the sample.
        progress: Receiver of progress.

    Raises:
        DataError: The file has no clip.
    """
    found = summarise(file)
    chosen = list(rows)
    if not chosen:
        chosen = embedding.sample(file, np.arange(len(file), dtype=np.int64), most).tolist()
    pool = Pool()
    shown = []
    progress.start("Clips", len(chosen))
    for row in chosen:
        place = pool.add(file, row)
        if place is not None:
            shown.append({"clip": place, "row": row})
        progress.advance()
    progress.finish()
    return {
        "kind": "view",
        "heading": file.path.name,
        "facts": facts(found),
        "notes": [sampled(len(shown), len(file), bool(rows)), *thinned(file)],
        "tables": [class_table(found)],
        **pool.values(),
        "runs": [{"name": file.path.name, "classes": list(file.classes), "player": {"clips": shown}}],
    }


def sampled(shown: int, total: int, named: bool, what: str = "clips of the file") -> str:
    """Return a sentence that says which clips are on the page."""
    if shown == total:
        return f"The player holds all {total:,} {what}."
    how = "named on the command line" if named else "sampled evenly over the classes, by a digest of names"
    return f"The player holds {shown:,} of {total:,} {what}, {how}."


def thinned(file: ClipFile) -> list[str]:
    """Return a sentence where the page does not hold every frame."""
    step = thinning(file.frames)
    return (
        [] if step == 1 else [f"Clips have {counted(file.frames, 'frame')}; the player holds one in {step}."]
    )


def facts(found: dict[str, Any]) -> list[list[str]]:
    """Return what `summarise` found as pairs of texts."""
    length, bodies = found["length"], found["bodies"]
    lengths = f"{length['least']} to {length['most']}, median {length['median']:g} frames with a first body"
    return [
        ["file", found["path"]],
        ["dataset", f"{found['title']} ({found['dataset']})"],
        [
            "clips",
            f"{found['clips']:,} of {counted(found['frames'], 'frame')}, {found['bytes'] / 1e6:,.1f} MB",
        ],
        ["length", lengths],
        ["bodies", ", ".join(f"{count:,} with {number}" for number, count in bodies.items())],
        [
            "gaps",
            f"{counted(found['clips_with_gaps'], 'clip lacks its', 'clips lack their')} first body in between",
        ],
        ["left out", ", ".join(f"{count:,} {why}" for why, count in found["excluded"].items()) or "none"],
        ["preparation", str(found["prep"])],
        *([f"chain.{key}", str(value)] for key, value in sorted(found["chain"].items())),
        ["source digest", str(found["source_digest"])],
        ["content digest", str(found["content_digest"])],
        ["licence", str(found["licence"])],
    ]


def class_table(found: dict[str, Any]) -> dict[str, Any]:
    """Return the table of classes that have clips."""
    sides = [f"{split} {part}" for split in found["splits"] for part in ("train", "test")]
    return {
        "title": ["Classes with clips"],
        "columns": [["label", True], ["class", False], ["clips", True], *([side, True] for side in sides)],
        "rows": [
            [str(entry["label"]), entry["name"], *(f"{entry[key]:,}" for key in ("clips", *sides))]
            for entry in found["classes"]
            if entry["clips"]
        ],
        "notes": [],
    }
