"""Raw files in .7z archives, which are read in one sequential pass."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skeltools.errors import FormatError, SourceError
from skeltools.files.reading import open_regular
from skeltools.formats.entries import FREE, JUNK, RATIO, Entry, check_archive, check_member


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


def entries_of(source: Path) -> list[Entry]:
    members = _open_seven_zip(
        source, lambda archive: [item for item in archive.list() if not item.is_directory]
    )
    length = source.stat().st_size
    unpacked = sum(item.uncompressed for item in members)
    check_archive(source, len(members), unpacked, 0)
    if unpacked > max(FREE, RATIO * length):
        raise SourceError(f"{source} unpacks to more than {RATIO} times its size; it is refused.")
    if len({item.filename for item in members}) != len(members):
        raise SourceError(f"{source} holds a member twice. Unpack it and give the folder.")
    entries: list[Entry] = []
    for item in members:
        if item.is_symlink:
            raise FormatError(f"{source}/{item.filename}", "the member is a link; it is refused.")
        if not JUNK.search(item.filename):
            check_member(source, item.filename, item.uncompressed)
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
