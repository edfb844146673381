"""Texts from files: shown without control characters, and small structured files read within limits."""

from __future__ import annotations

import codecs
import io
import json
import re
import tomllib
import unicodedata
from pathlib import Path
from typing import Any

from skeltools.errors import SettingError
from skeltools.files import kinds
from skeltools.files.kinds import Kind
from skeltools.files.reading import open_regular

LARGEST = 1 << 26
"""Most bytes of a JSON record (64 MiB)."""

LARGEST_TOML = 1 << 20
"""Most bytes of a TOML file that a user names (1 MiB)."""

DEEPEST = 64
"""Most levels that the values of a record or recipe are nested."""


def printable(text: str) -> str:
    """Return `text` with every character that a terminal could act on written as an escape.

    Control characters, marks of writing direction and lone surrogates become ``\\x1b``, ``\\u202e`` and so
    on; spaces, tabs and line ends stay.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in "\n\t" else _escape(char) for char in text)


def other_version(content: object, ours: int | tuple[int, ...]) -> str:
    """Return how a message about a file of another version goes on after its name: what it is and what to do.

    Args:
        content: What the file holds, a table with its ``version`` or anything.
        ours: The version, or versions, that this program reads.
    """
    found = content.get("version") if isinstance(content, dict) else None
    known = ours if isinstance(ours, tuple) else (ours,)
    reads = f"version{'s' * (len(known) > 1)} {' and '.join(map(str, known))}"
    if isinstance(found, int) and found > max(known):
        return (
            f"is of version {found}, which a newer skeltools wrote; this one reads {reads}. Update skeltools."
        )
    if found is None:
        return f"has no version; this skeltools reads {reads}. Give a file that skeltools wrote."
    return f"is of version {found!r:.40}; this skeltools reads {reads}. Use the skeltools that wrote it."


PLAIN = "skeltools.plain"
"""Name of the error handler of `write_plainly`."""

_ASCII = {
    "\N{PLUS-MINUS SIGN}": "+/-", "\N{HORIZONTAL ELLIPSIS}": "...", "\N{FULL BLOCK}": "#", "\N{LIGHT SHADE}": "-",
    "\N{EM DASH}": "-", "\N{EN DASH}": "-", "\N{MULTIPLICATION SIGN}": "x",
}  # fmt: skip
_BRAILLE = 0x2800
_INK = " ..::*##@"
"""A character per number of dots, of which a Braille pattern has up to 8."""


def write_plainly(stream: object) -> None:
    """Let a text stream write what its encoding lacks by other characters, so that it never fails.

    Lines of tables and pictures become ASCII's, anything else an escape such as ``\\xe9``.
    """
    if isinstance(stream, io.TextIOWrapper):
        codecs.register_error(PLAIN, _plainly)
        stream.reconfigure(errors=PLAIN)


def _plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(char: str) -> str:
    if _BRAILLE <= ord(char) < _BRAILLE + 0x100:
        return _INK[(ord(char) - _BRAILLE).bit_count()]
    if unicodedata.name(char, "").startswith("BOX DRAWINGS"):
        return (
            "|"
            if "VERTICAL" in unicodedata.name(char) and "HORIZONTAL" not in unicodedata.name(char)
            else "-"
        )
    return _ASCII.get(char) or _escape(char)


def _escape(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def read_json(path: Path, largest: int = LARGEST) -> Any:
    """Read a JSON file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not a file, too large, not JSON, nested too deeply, or holds a number that JSON does not
            have.
    """
    if path.exists() and not path.is_file():
        raise ValueError("it is not a file")
    return parse_json(read_text(path, largest))


def parse_json(text: str) -> Any:
    """Read JSON text.

    Raises:
        ValueError: It is not JSON, nested too deeply, or holds a number that JSON does not have.
    """
    try:
        found = json.loads(text, parse_constant=_no_number)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    check_depth(found)
    return found


def _no_number(word: str) -> Any:
    raise ValueError(f"it holds {word}, which is not a number of JSON")


def read_text(path: Path, largest: int) -> str:
    """Read a text file in UTF-8, with or without a byte order mark.

    Raises:
        OSError: It cannot be read.
        ValueError: It is too large, not UTF-8 or no text; the message, without a full stop, says what it is.
    """
    kind = kinds.tell(path)
    if kind not in (Kind.TEXT, Kind.BOM, Kind.JSON, Kind.EMPTY, Kind.UNKNOWN):
        raise ValueError(f"it is {kinds.described(kind)}".rstrip("."))
    with open_regular(path) as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        raise ValueError(f"it is larger than {largest:,} bytes")
    return kinds.decode(data)


def read_named(name: str | Path, what: str) -> str:
    """Read a TOML file that a user names.

    Raises:
        SettingError: It does not exist, or cannot be read as text; the message begins with `what`, such as ``Plan``.
    """
    try:
        return read_text(Path(name), LARGEST_TOML)
    except FileNotFoundError:
        raise SettingError(f"{what} {name} does not exist.") from None
    except (OSError, ValueError) as error:
        raise SettingError(f"{what} {name} cannot be read: {error}.") from None


_PART = r"""(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\.){0,64}+"|'[^'\n]{0,64}+')"""
_LONG_KEY = re.compile(rf"(?<![A-Za-z0-9_-])(?:{_PART}[ \t]*+\.[ \t]*+){{{DEEPEST}}}")
"""A key of more than `DEEPEST` parts, wherever it is; of long parts there can be few."""


def parse_toml(text: str) -> dict[str, Any]:
    """Read TOML text.

    Raises:
        ValueError: It is not TOML or nested too deeply.
    """
    if _LONG_KEY.search(
        text
    ):  # which tomllib would take in time and memory that grow with the square of its length
        raise ValueError(f"it has a key of more than {DEEPEST} parts")
    try:
        found = tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    check_depth(found)
    return found


def check_depth(value: Any) -> None:
    """Refuse values that are nested more than `DEEPEST` levels.

    Raises:
        ValueError: They are.
    """
    level = [value]
    for _ in range(DEEPEST):
        level = [
            item
            for part in level
            if isinstance(part, (dict, list))
            for item in (part.values() if isinstance(part, dict) else part)
        ]
        if not level:
            return
    raise ValueError(f"it is nested more than {DEEPEST} levels")
