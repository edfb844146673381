"""Where raw files come from: folders, .zip and .7z archives, single files and lists of files."""

from __future__ import annotations

import io
import os
import queue
import re
import stat
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from skeltools.errors import FormatError, SourceError, counted
from skeltools.files import kinds
from skeltools.files.reading import open_raw, open_regular, read_regular

LARGEST = 1 << 28
"""No raw file is larger than this many bytes (256 MiB); a larger member of an archive is refused."""

MOST_MEMBERS = 1_000_000
"""An archive with more members is refused; NTU RGB+D 120 has 114,480 files."""

MOST_BYTES = 1 << 40
"""An archive whose members hold more than this (1 TiB) when unpacked is refused."""

RATIO = 200
"""A zip member or a .7z archive that unpacks to more than this many times its size is refused; raw recordings
unpack to 3 to 20 times."""

_FREE = 1 << 22
"""Sizes below this (4 MiB) are not judged by their ratio."""

_DIRECTORY = 1 << 28
"""Most bytes of a zip archive's table of members."""

_JUNK = re.compile(r"(^|/)(__MACOSX/|\._|\.DS_Store$|synth\.json$)")
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


@dataclass(frozen=True, slots=True)
class SevenZipEntry(Entry):
    """A member of a .7z archive, which is read in one sequential pass by `stream`.

    Attributes:
        archive: The archive.
    """

    archive: str

    @property
    def checked(self) -> bool:
        """Whether the archive holds a CRC of it."""
        return self.stamp != 0

    @property
    def streamed(self) -> bool:
        """True."""
        return True

    def read(self) -> bytes:
        """Return its content; this decompresses all that comes before it."""
        return dict(stream([self]))[self]


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
            entries += _zip(source)
        elif source.suffix.lower() == ".7z":
            entries += _seven_zip(source)
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
        (entry for entry in entries if not _JUNK.search(entry.inside)), key=lambda entry: entry.inside
    )


def _checked(archive: Path, member: str, size: int) -> None:
    """Refuse members that no raw archive has: paths that lead out of it, and gigantic files."""
    if member.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", member) or ":" in member:
        raise FormatError(f"{archive}/{member}", "a member's path leads out of the archive; it is refused.")
    if not 0 <= size <= LARGEST:
        raise FormatError(f"{archive}/{member}", f"{size:,} bytes are too many for a raw file.")


def _limited(archive: Path, members: int, unpacked: int, packed: int) -> None:
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


class _Bounded(io.BufferedReader):
    """An open archive that refuses to read a table of members beyond `_DIRECTORY` in one piece."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _DIRECTORY:
            raise zipfile.BadZipFile(f"a table of {size:,} bytes")
        return super().read(size)


def _zip(source: Path) -> list[Entry]:
    try:
        with _Bounded(open_raw(source)) as file, zipfile.ZipFile(file) as archive:
            members = [item for item in archive.infolist() if not item.is_dir()]
    # zipfile raises nearly anything on damaged input, struct.error and UnicodeDecodeError among it
    except Exception as error:
        told = " ".join(str(error).split()) or type(error).__name__
        raise SourceError(f"{source} is not a zip archive, or it is damaged ({told}).") from None
    length = source.stat().st_size
    _limited(
        source,
        len(members),
        sum(item.file_size for item in members),
        sum(item.compress_size for item in members),
    )
    entries: list[Entry] = []
    for item in members:
        name = item.filename
        if _JUNK.search(name):
            continue
        _checked(source, name, item.file_size)
        if item.file_size > max(_FREE, RATIO * item.compress_size):
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


def _py7zr(source: str | Path) -> Any:
    try:
        import py7zr
    except ImportError:
        raise SourceError(
            f"{source} is a .7z archive, which needs py7zr: pip install py7zr. "
            "Or unpack it and give the folder."
        ) from None
    return py7zr


def _open_seven_zip(source: str | Path, use: Callable[[Any], Any]) -> Any:
    """Open a .7z archive and return use(archive), turning its faults into ours."""
    py7zr = _py7zr(source)
    try:
        # Handed over as an open file, so that py7zr reads its blocks one after another, without threads.
        with open_regular(source) as file, py7zr.SevenZipFile(file, "r") as archive:
            if archive.needs_password():
                raise SourceError(f"{source} is encrypted. Unpack it and give the folder.")
            return use(archive)
    except SourceError:
        raise
    except py7zr.exceptions.PasswordRequired:
        raise SourceError(f"{source} is encrypted. Unpack it and give the folder.") from None
    except Exception as error:  # py7zr's decoders raise errors of their own on a damaged archive
        told = " ".join(str(error).split()) or type(error).__name__
        raise SourceError(
            f"{source} is not a .7z archive, or it is damaged ({told}). Fetch it again."
        ) from None


def _seven_zip(source: Path) -> list[Entry]:
    members = _open_seven_zip(
        source, lambda archive: [item for item in archive.list() if not item.is_directory]
    )
    length = source.stat().st_size
    unpacked = sum(item.uncompressed for item in members)
    _limited(source, len(members), unpacked, 0)
    if unpacked > max(_FREE, RATIO * length):
        raise SourceError(f"{source} unpacks to more than {RATIO} times its size; it is refused.")
    if len({item.filename for item in members}) != len(members):
        raise SourceError(f"{source} holds a member twice. Unpack it and give the folder.")
    entries: list[Entry] = []
    for item in members:
        if item.is_symlink:
            raise FormatError(f"{source}/{item.filename}", "the member is a link; it is refused.")
        if not _JUNK.search(item.filename):
            _checked(source, item.filename, item.uncompressed)
            entries.append(
                SevenZipEntry(
                    path=f"{source}/{item.filename}",
                    inside=item.filename,
                    size=item.uncompressed,
                    parent=source.stem.lower(),
                    stamp=item.crc32 or 0,
                    archive=str(source),
                )
            )
    if not entries:
        raise SourceError(f"{source} is empty. Give the archive that holds the raw files.")
    return sorted(entries, key=lambda entry: entry.inside)


def read_all(entries: Iterable[Entry]) -> dict[Entry, bytes]:
    """Return the content of (small) files; each .7z archive is passed through once."""
    entries = list(entries)
    found = {entry: entry.read() for entry in entries if not entry.streamed}
    found.update(stream([entry for entry in entries if entry.streamed]))
    return found


_END = object()


def stream(entries: Iterable[Entry]) -> Iterator[tuple[Entry, bytes]]:
    """Yield streamed entries with their contents, archive by archive, in each archive's own order.

    A thread decompresses a few files ahead and waits for the reader, so memory stays bounded.

    Raises:
        SourceError: An archive cannot be read or is damaged.
    """
    wanted: dict[str, dict[str, Entry]] = {}
    for entry in entries:
        assert isinstance(entry, SevenZipEntry)
        wanted.setdefault(entry.archive, {})[entry.inside] = entry
    for archive, members in wanted.items():
        yield from _stream_archive(archive, members)


class _Stopped(OSError):
    """The reader has gone; ends the decompressing thread."""


def _stream_archive(archive: str, members: dict[str, Entry]) -> Iterator[tuple[Entry, bytes]]:
    from py7zr.io import Py7zIO, WriterFactory

    ready: queue.Queue[Any] = queue.Queue(maxsize=4)
    stop = threading.Event()

    def put(item: Any) -> None:
        while not stop.is_set():
            try:
                return ready.put(item, timeout=0.2)
            except queue.Full:
                continue
        raise _Stopped("stopped")

    class Member(Py7zIO):  # type: ignore[misc]
        def __init__(self, name: str) -> None:
            self.name = name
            self.parts: list[bytes] = []
            self.left = members[name].size if name in members else 0

        def write(self, s: bytes | bytearray) -> int:
            self.left -= len(s)
            if self.left < 0:
                raise ValueError("a member is larger than the archive says")
            self.parts.append(bytes(s))
            return len(s)

        def read(self, size: int | None = None) -> bytes:
            return b""

        def seek(self, offset: int, whence: int = 0) -> int:
            return 0

        def flush(self) -> None: ...

        def size(self) -> int:
            return sum(map(len, self.parts))

        def close(self) -> None:
            parts, self.parts = self.parts, []
            put((members[self.name], b"".join(parts)))

    class Factory(WriterFactory):  # type: ignore[misc]
        def create(self, filename: str) -> Any:
            return Member(filename)

    def unpack() -> None:
        try:
            _open_seven_zip(archive, lambda opened: opened.extract(targets=list(members), factory=Factory()))
            put(_END)
        except _Stopped:
            pass
        except BaseException as error:
            if not stop.is_set():
                put(error)

    thread = threading.Thread(target=unpack, daemon=True)
    thread.start()
    left = dict(members)
    try:
        while (item := ready.get()) is not _END:
            if isinstance(item, BaseException):
                raise item
            left.pop(item[0].inside, None)
            yield item
    finally:
        stop.set()
        thread.join()
    if left:
        raise SourceError(f"{archive} did not give {next(iter(left))}. Unpack it and give the folder.")
