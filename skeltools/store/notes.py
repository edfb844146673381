"""Counted notes: what was decided while a file was made and is not a clip left out, each kind once.

They are in the root attributes, ``note.<kind>`` with the sentence and ``count.note.<kind>`` with the count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from skeltools.errors import counted

_PREFIX = "note."


class Note(NamedTuple):
    """A note: its kind (letters, digits, dots and dashes), how many times it applies, and a sentence."""

    kind: str
    times: int
    text: str


CLIP_NOTES = {
    "crowded": "{count} more bodies than a clip holds, of which chain.bodies chooses: {first} first.",
    "label-beyond": "{count} beyond the last frame of its video: cut there, {first} first. "
    "Use --long-labels exclude to leave such clips out.",
    "lines-dropped": "{count} fewer than 25 joints, so not frames: passed over, {first} first.",
    "one-frame": "{count} of one frame, which is repeated: {first} first.",
    "other-keys": "{count} in JSON files beside those that are read: passed over, {first} first.",
    "outsized": "{count} larger than 8 m in single frames: kept as they are, {first} first.",
    "zero-joints": "{count} at the origin, so not seen: kept as zeros, {first} first.",
}
"""Notes on single clips by kind, with places for the count and the first clip."""

_NOUNS = {
    "crowded": ("frame with", "frames with"),
    "label-beyond": ("label goes", "labels go"),
    "lines-dropped": ("line with", "lines with"),
    "one-frame": ("clip is", "clips are"),
    "other-keys": ("key", "keys"),
    "outsized": ("body is", "bodies are"),
    "zero-joints": ("joint is", "joints are"),
}


def of_clips(found: Iterable[tuple[str, Iterable[tuple[str, int]]]]) -> list[Note]:
    """Collect the notes of clips, (name, (kind, count) ...) in row order, by kind."""
    counts: dict[str, int] = {}
    first: dict[str, str] = {}
    for name, notes in found:
        for kind, count in notes:
            counts[kind] = counts.get(kind, 0) + count
            first.setdefault(kind, name)
    return [
        Note(
            kind,
            counts[kind],
            CLIP_NOTES[kind].format(
                count=f"{counts[kind]:,} {_NOUNS[kind][counts[kind] != 1]}", first=first[kind]
            ),
        )
        for kind in sorted(counts)
    ]


def listed(kind: str, names: list[str], noun: str, what: str) -> list[Note]:
    """Return a note on named things, such as ``2 files are ...: a, b``; none where there is no name."""
    if not names:
        return []
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
    return [Note(kind, len(names), f"{counted(len(names), noun)} {what}: {shown}.")]


def attributes(notes: Iterable[Note]) -> dict[str, str | int]:
    """Return notes as root attributes."""
    found: dict[str, str | int] = {}
    for note in notes:
        found[f"{_PREFIX}{note.kind}"] = note.text
        found[f"count.{_PREFIX}{note.kind}"] = note.times
    return found


def stored(attributes: Mapping[str, Any]) -> list[Note]:
    """Return the notes that root attributes hold, by kind."""
    return [
        Note(kind, int(attributes.get(f"count.{_PREFIX}{kind}", 1)), str(attributes[f"{_PREFIX}{kind}"]))
        for kind in sorted(key.removeprefix(_PREFIX) for key in attributes if key.startswith(_PREFIX))
    ]
