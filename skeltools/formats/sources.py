"""Where raw files come from: folders, archives, single files and lists of files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from skeltools.errors import FormatError, SourceError
from skeltools.files import kinds
from skeltools.files.reading import read_regular
from skeltools.formats import seven_zip, zip_files
from skeltools.formats.entries import JUNK, Entry


def list_entries(sources: Sequence[Path]) -> list[Entry]:
    """List the files of one or several sources, source by source, in the order of their paths.

    Args:
        sources: Folders (nested as they may be), ``.zip`` and ``.7z`` archives, and raw files. ``@names.txt``
            stands for the files that names.txt lists, one path per line.

    Raises:
        SourceError: A source is missing or empty, or an archive cannot be opened.
    """
    entries: list[Entry] = []
    for source in sources:
        if source.name.startswith("@") or str(source).startswith("@"):
            entries += _listed(source)
        elif not source.exists():
            raise SourceError(
                f"{source} does not exist. Give the folder, archive or files with the raw data."
            )
        elif source.is_dir():
            entries += _folder(source)
        elif source.suffix.lower() == ".zip":
            entries += zip_files.entries_of(source)
        elif source.suffix.lower() == ".7z":
            entries += seven_zip.entries_of(source)
        else:
            entries.append(_file(source))
    return entries


def _file(path: Path) -> Entry:
    found = path.stat()
    return Entry(str(path), path.name, found.st_size, path.absolute().parent.name.lower(), found.st_mtime_ns)


def _listed(source: Path) -> list[Entry]:
    path = Path(str(source)[1:])
    try:
        lines = kinds.decode(read_regular(path)).splitlines()
    except FileNotFoundError:
        raise SourceError(
            f"{path} does not exist. Give a text file with one path per line after @."
        ) from None
    except ValueError as error:
        raise SourceError(f"{path}: this is not a text file with one path per line: {error}") from None
    except OSError:
        raise SourceError(f"{path} cannot be read as a text file with one path per line.") from None
    entries = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            member = Path(line.strip())
            if not member.is_file():
                raise FormatError(path, f"{member} is not a file.", number)
            entries.append(_file(member))
    if not entries:
        raise SourceError(f"{path} lists no file.")
    return entries


def _folder(source: Path) -> list[Entry]:
    entries = []
    parent = source.absolute().name.lower()
    stack = [(str(source), "")]
    while stack:
        folder, inside = stack.pop()
        with os.scandir(folder) as found:
            for item in found:
                if item.is_dir():
                    stack.append((item.path, f"{inside}{item.name}/"))
                elif item.is_file():
                    state = item.stat()
                    entries.append(
                        Entry(item.path, inside + item.name, state.st_size, parent, state.st_mtime_ns)
                    )
    if not entries:
        raise SourceError(f"{source} is empty. Give the folder that holds the raw files.")
    return sorted(
        (entry for entry in entries if not JUNK.search(entry.inside)), key=lambda entry: entry.inside
    )


def read_all(entries: Iterable[Entry]) -> dict[Entry, bytes]:
    """Return the content of (small) files; each .7z archive is passed through once."""
    entries = list(entries)
    found = {entry: entry.read() for entry in entries if not entry.streamed}
    found.update(seven_zip.stream([entry for entry in entries if entry.streamed]))
    return found
