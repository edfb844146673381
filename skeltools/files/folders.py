"""Finding folders by what they hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

DEPTH = 4
"""Levels below a folder that are searched."""


def having(folder: Path, name: str, depth: int = DEPTH) -> Iterator[Path]:
    """Yield the folders in `folder` that hold an entry `name`, or the one that it is, by path.

    Hidden folders, links to folders, and what lies inside a folder that was found are not searched.
    """
    if (folder / name).exists():
        yield folder
        return
    if depth == 0:
        return
    try:
        inside = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))
    except OSError:
        return
    for item in inside:
        if not item.startswith("."):
            yield from having(folder / item, name, depth - 1)
