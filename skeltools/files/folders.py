"""Finding folders by what they hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

DEPTH = 4
"""Levels below a folder that are searched."""


def having(
    folder: Path, name: str, depth: int = DEPTH, closed: list[tuple[Path, str]] | None = None
) -> Iterator[Path]:
    """Yield the folders in `folder` that hold an entry `name`, or the one that it is, by path.

    Hidden folders, links to folders, and what lies inside a folder that was found are not searched.

    Args:
        folder: Where to look.
        name: The entry.
        depth: Levels below `folder` that are searched.
        closed: Takes the folders that cannot be looked into, and why; without, one is an error, so that no caller
            counts on less than there is.

    Raises:
        OSError: A folder cannot be looked into, and nothing takes its name.
    """
    try:
        if _is_there(folder / name):
            yield folder
            return
        if depth == 0:
            return
        with os.scandir(folder) as entries:
            inside = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError):  # no folder, or one that was removed meanwhile
        return
    except OSError as error:
        if closed is None:
            raise
        closed.append((folder, error.strerror or str(error)))
        return
    for item in inside:
        if not item.startswith("."):
            yield from having(folder / item, name, depth - 1, closed)


def _is_there(path: Path) -> bool:
    """Tell whether a path exists; a link that leads nowhere does not."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def astray(path: Path, name: str = "run.json", kind: str = "runs") -> str:
    """Return what to give in place of a path that is not a folder with an entry `name`; empty if unknown.

    What lies inside such a folder leads to it, and a folder of such folders to one of them.

    Args:
        path: What was given.
        name: What such a folder holds.
        kind: What several of them are called.
    """
    around = next((folder for folder in path.parents if (folder / name).is_file()), None)
    if path.exists() and around is not None:
        return f"It lies in {around}: give that folder."
    inside = next(having(path, name, closed=[]), None) if path.is_dir() else None
    return f"It is a folder of {kind}: give one of them, such as {inside}." if inside else ""
