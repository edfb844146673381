"""The text of a raw file: without a byte order mark; what is not plain text is named with the remedy."""

from __future__ import annotations

from skeltools.errors import FormatError
from skeltools.files import kinds

_TEXTS = (kinds.Kind.TEXT, kinds.Kind.BOM, kinds.Kind.JSON, kinds.Kind.UNKNOWN, kinds.Kind.EMPTY)


def plain(data: bytes, path: str) -> bytes:
    """Return the content of a raw text file without a byte order mark; costs nothing for other files.

    Raises:
        FormatError: It is in UTF-16 or UTF-32.
    """
    if data[:1] in (b"\xef", b"\xff", b"\xfe") or b"\0" in data[:4]:
        try:
            return kinds.plain(data)
        except ValueError as error:
            raise FormatError(path, f"this is {error}", 1) from None
    return data


def check_kind(data: bytes, path: str) -> None:
    """Say what kind of file this is where it is not text at all; for readers that met a fault.

    Raises:
        FormatError: It is an archive, a web page, a pointer of Git LFS and so on.
    """
    kind = kinds.of(data[: kinds.HEAD])
    if kind not in _TEXTS:
        raise FormatError(path, f"this is {kinds.described(kind)}", 1)


def shown(line: bytes) -> str:
    """Return the start of a line in quotes, with what cannot be printed as escapes."""
    text = line.strip().decode("ascii", "backslashreplace")
    text = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
    return f"'{text[:40]}...'" if len(text) > 40 else f"'{text}'"
