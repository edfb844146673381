"""One raw file of a source, and what no source of raw files may hold."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from skeltools.errors import FormatError, SourceError, counted
from skeltools.files.reading import open_raw

LARGEST = 1 << 28
"""No raw file is larger than this many bytes (256 MiB); a larger member of an archive is refused."""

MOST_MEMBERS = 1_000_000
"""An archive with more members is refused; NTU RGB+D 120 has 114,480 files."""

MOST_BYTES = 1 << 40
"""An archive whose members hold more than this (1 TiB) when unpacked is refused."""

RATIO = 200
"""A zip member or a .7z archive that unpacks to more than this many times its size is refused; raw recordings
unpack to 3 to 20 times."""

FREE = 1 << 22
"""Sizes below this (4 MiB) are not judged by their ratio."""

JUNK = re.compile(r"(^|/)(__MACOSX/|\._|\.DS_Store$|synth\.json$)")
"""What systems, and 'skeltools synth', leave beside raw files."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One raw file of a source.

    Attributes:
        path: Where it lies, as shown in messages; ``archive.zip/member`` inside an archive.
        inside: Its path inside the source, with forward slashes.
        size: Its size in bytes.
        parent: Name of the folder or archive that was given as the source, in lower case.
        stamp: What changes when the file does: its time in nanoseconds, or its CRC inside an archive.
    """

    path: str
    inside: str
    size: int
    parent: str
    stamp: int

    @property
    def name(self) -> str:
        """File name."""
        return self.inside.rpartition("/")[2]

    @property
    def stem(self) -> str:
        """File name without the extension."""
        return self._parts[0]

    @property
    def suffix(self) -> str:
        """Extension in lower case, such as ``.skeleton``."""
        return self._parts[1].lower()

    @property
    def _parts(self) -> tuple[str, str]:
        """Name and extension as pathlib has them, in a tenth of its time: a plan asks for those of every file."""
        name = self.name
        dot = name.rfind(".")
        return (name[:dot], name[dot:]) if 0 < dot < len(name) - 1 else (name, "")

    @property
    def folders(self) -> tuple[str, ...]:
        """Names of the source and of the folders inside it that hold the file, in lower case."""
        return (self.parent, *(part.lower() for part in PurePosixPath(self.inside).parts[:-1]))

    @property
    def checked(self) -> bool:
        """Whether `stamp` is the CRC of its content."""
        return False

    @property
    def streamed(self) -> bool:
        """Whether it can only be read in the archive's own order, by `stream`."""
        return False

    def read(self) -> bytes:
        """Return its content.

        Raises:
            SourceError: It cannot be read.
        """
        try:
            with open_raw(self.path) as file:
                return file.read()
        except OSError as error:
            raise SourceError(f"{self.path} cannot be read: {error.strerror}.") from None
        except MemoryError:
            raise FormatError(self.path, "the file does not fit into memory; it is not a raw file.") from None


def check_member(archive: Path, member: str, size: int) -> None:
    """Refuse members that no raw archive has: paths that lead out of it, and gigantic files."""
    if member.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", member) or ":" in member:
        raise FormatError(f"{archive}/{member}", "a member's path leads out of the archive; it is refused.")
    if not 0 <= size <= LARGEST:
        raise FormatError(f"{archive}/{member}", f"{size:,} bytes are too many for a raw file.")


def check_archive(archive: Path, members: int, unpacked: int, packed: int) -> None:
    """Refuse archives that no raw archive is like.

    Args:
        archive: The archive.
        members: How many members it has.
        unpacked: Bytes they have together.
        packed: Bytes they are packed into, as the archive tells.
    """
    if members > MOST_MEMBERS:
        raise SourceError(f"{archive} has {counted(members, 'member')}; at most {MOST_MEMBERS:,} are read.")
    if unpacked > MOST_BYTES:
        raise SourceError(f"{archive} unpacks to {unpacked:,} bytes; at most {MOST_BYTES:,} are read.")
    length = archive.stat().st_size
    if packed > length:
        raise SourceError(f"{archive} is damaged: its members overlap or lie outside it. Fetch it again.")
