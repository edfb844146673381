"""Raw files in .zip archives, each read in place."""

from __future__ import annotations

import io
import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from skeltools.errors import FormatError, SourceError
from skeltools.files.reading import open_raw
from skeltools.formats.entries import FREE, JUNK, RATIO, Entry, check_archive, check_member

_DIRECTORY = 1 << 28
"""Most bytes of a zip archive's table of members."""


@dataclass(frozen=True, slots=True)
class ZipEntry(Entry):
    """A member of a zip archive, read in place.

    Attributes:
        archive: The archive.
        header: Where the member's local header starts.
        packed: Its size in the archive.
        method: 0 (stored) or 8 (deflated).
    """

    archive: str
    header: int
    packed: int
    method: int

    @property
    def checked(self) -> bool:
        """True."""
        return True

    def read(self) -> bytes:
        """Return its content, checked against the archive's CRC.

        Raises:
            FormatError: The archive is damaged there.
            SourceError: It cannot be read.
        """
        try:
            with open_raw(self.archive) as file:
                file.seek(self.header)
                head = file.read(30)
                if len(head) < 30 or head[:4] != b"PK\x03\x04":
                    raise FormatError(self.path, "the archive is damaged here. Fetch it again.")
                file.seek(int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little"), 1)
                data = file.read(self.packed)
        except OSError as error:
            raise SourceError(f"{self.archive} cannot be read: {error.strerror}.") from None
        try:
            if self.method == zipfile.ZIP_DEFLATED:
                # One byte more than the archive says, so that a member that goes on is found out there.
                data = zlib.decompressobj(-15).decompress(data, self.size + 1)
        except zlib.error:
            raise FormatError(self.path, "the archive is damaged here. Fetch it again.") from None
        if len(data) != self.size or zlib.crc32(data) != self.stamp:
            raise FormatError(self.path, "the archive is damaged here. Fetch it again.")
        return data


class _Bounded(io.BufferedReader):
    """An open archive that refuses to read a table of members beyond `_DIRECTORY` in one piece."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _DIRECTORY:
            raise zipfile.BadZipFile(f"a table of {size:,} bytes")
        return super().read(size)


def entries_of(source: Path) -> list[Entry]:
    try:
        with _Bounded(open_raw(source)) as file, zipfile.ZipFile(file) as archive:
            members = [item for item in archive.infolist() if not item.is_dir()]
    # zipfile raises nearly anything on damaged input, struct.error and UnicodeDecodeError among it
    except Exception as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise SourceError(f"{source} is not a zip archive, or it is damaged ({told}).") from None
    length = source.stat().st_size
    check_archive(
        source,
        len(members),
        sum(item.file_size for item in members),
        sum(item.compress_size for item in members),
    )
    entries: list[Entry] = []
    for item in members:
        name = item.filename
        if JUNK.search(name):
            continue
        check_member(source, name, item.file_size)
        if item.file_size > max(FREE, RATIO * item.compress_size):
            raise FormatError(
                f"{source}/{name}", f"it unpacks to more than {RATIO} times its size; it is refused."
            )
        if not 0 <= item.header_offset <= length:
            raise FormatError(f"{source}/{name}", "the archive is damaged here. Fetch it again.")
        if stat.S_ISLNK(item.external_attr >> 16):
            raise FormatError(f"{source}/{name}", "the member is a link; it is refused.")
        if item.flag_bits & 1:
            raise FormatError(f"{source}/{name}", "the member is encrypted. Unpack the archive first.")
        if item.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            kind = zipfile.compressor_names.get(item.compress_type, str(item.compress_type))  # type: ignore[attr-defined]
            raise FormatError(
                f"{source}/{name}", f"compression '{kind}' is not read. Unpack the archive first."
            )
        entries.append(
            ZipEntry(
                path=f"{source}/{name}",
                inside=name,
                size=item.file_size,
                parent=source.stem.lower(),
                stamp=item.CRC,
                archive=str(source),
                header=item.header_offset,
                packed=item.compress_size,
                method=item.compress_type,
            )
        )
    if not entries:
        raise SourceError(f"{source} is empty. Give the archive that holds the raw files.")
    return sorted(entries, key=lambda entry: entry.inside)
