"""The errors skeltools raises on bad input.

Every message is one line that names the file, line or key, says what was expected and what to do.
The command line prints it after ``Error:`` and exits with status 2. Anything else that escapes is a bug.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

_LONGEST = 4000
"""Most characters of a message; names and keys that are in it come from files, which may make them of any length."""


def _one_line(text: str) -> str:
    """Return a message with the line ends of names that are in it written as escapes, its middle left out where it
    is long."""
    if len(text) > _LONGEST:
        half = _LONGEST // 2
        text = f"{text[:half]} [... {len(text) - 2 * half:,} characters ...] {text[-half:]}"
    return text.replace("\n", "\\n").replace("\r", "\\r")


class SkeltoolsError(Exception):
    """Base of every error that bad input can cause."""

    def __str__(self) -> str:
        return _one_line(super().__str__())


class FormatError(SkeltoolsError):
    """A raw file is not what its format says it should be.

    Attributes:
        path: The file (``archive.zip/member`` inside an archive).
        line: 1-based line number, or None where the fault has no line.
        problem: What was found and what was expected.
    """

    def __init__(self, path: str | Path, problem: str, line: int | None = None) -> None:
        self.path = str(path)
        self.line = line
        self.problem = problem
        super().__init__(path, problem, line)

    def __str__(self) -> str:
        where = self.path if self.line is None else f"{self.path}, line {self.line}"
        return _one_line(f"{where}: {self.problem}")


class SourceError(SkeltoolsError):
    """An input folder, archive or list is missing, empty or of the wrong kind."""


class DataError(SkeltoolsError):
    """A skeltools HDF5 file is missing, damaged, of another version, or lacks what was asked of it."""


class SettingError(SkeltoolsError):
    """A recipe or ``--set`` names an unknown setting or a value that does not fit."""


class RunError(SkeltoolsError):
    """A run folder or checkpoint is missing, damaged or does not match what was asked of it."""


class OutputError(SkeltoolsError):
    """An output exists already or cannot be written."""


class WrongTypeError(SkeltoolsError, TypeError):
    """An argument of a call from Python is of a type that the call does not take."""


def take_path(value: object, name: str) -> Path:
    """Return an argument that is a path.

    Raises:
        WrongTypeError: It is none.
    """
    if not isinstance(value, (str, os.PathLike)):
        raise WrongTypeError(f"{name} must be a path, a str or pathlib.Path, not {_kind(value)}.")
    return Path(value)


def take_text(value: object, name: str) -> str:
    """Return an argument that is a text.

    Raises:
        WrongTypeError: It is none.
    """
    if not isinstance(value, str):
        raise WrongTypeError(f"{name} must be a str, not {_kind(value)}.")
    return value


def _kind(value: object) -> str:
    return "None" if value is None else type(value).__qualname__


def did_you_mean(word: str, known: Iterable[str], other: Mapping[str, str] | None = None) -> str:
    """Return ``" Did you mean 'x'?"`` for the nearest known word, or an empty string.

    Args:
        word: What was given; its case, hyphens, underscores and spaces do not count.
        known: The words there are.
        other: What else the field calls them, plain and in lower case, with what to give instead.
    """
    plain = {_plain(one): one for one in reversed(list(known))}
    asked = _plain(word)
    meant = (other or {}).get(asked) or plain.get(asked)
    if meant is None:
        near = difflib.get_close_matches(asked, list(plain), n=1, cutoff=0.5)
        meant = plain[near[0]] if near else None
    return f" Did you mean '{meant}'?" if meant else ""


def _plain(word: str) -> str:
    return re.sub(r"[-_\s]", "", word.casefold())


def counted(count: int, word: str, words: str | None = None) -> str:
    """Return a count with its noun, such as ``1 step`` or ``1,200 steps``; `words` is a plural that is not so made."""
    return f"{count:,} {word if count == 1 else words or word + 's'}"
