"""Writing files and folders so that a reader never meets half of one, whatever happens to the writer."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from skeltools.errors import OutputError
from skeltools.files.signals import held_back

_PART = ".part"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_replaceable(path: Path, *sources: Path) -> None:
    """Refuse an output that is no file or folder, or is one of the inputs.

    Raises:
        OutputError: `path` is a device, a pipe or a socket, or the same file as one of `sources`.
    """
    if not path.exists():
        return
    if not (path.is_file() or path.is_dir()):
        raise OutputError(f"{path} is a device or a pipe, which is not replaced. Choose another output.")
    for source in sources:
        if source.exists() and path.samefile(source):
            raise OutputError(f"{path} is the input as well. Choose another output.")


@contextmanager
def replacing(path: Path, tidy: bool = True) -> Iterator[Path]:
    """Yield a temporary name on the disk of `path`; on success flush what lies there and rename it to `path`.

    The name, which the caller makes a file or a folder, lies in a hidden folder beside `path` that is locked
    while its writer lives. On any exception it is removed and `path` stays as it was. A writer that was
    killed leaves its folder; the next to write `path` removes it.

    Args:
        path: The file or folder to write.
        tidy: Whether to look for what killed writers left. It costs a listing of the folder.

    Raises:
        OutputError: The folder does not exist or cannot be written, the disk is full, or `path` is a device.
    """
    check_replaceable(path)
    with _private(path, tidy) as place:
        part = place / path.name
        try:
            yield part
            _flush(part)
            with held_back():
                _exchange(path, part)
            sync_folder(path.absolute().parent)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise OutputError(no_room(path, error)) from error
            raise


def no_room(path: Path, error: OSError) -> str:
    """Return the message for a disk that is full."""
    return f"{path} cannot be written: {error.strerror}. Make room and run the command again."


def write_text(path: Path, text: str, tidy: bool = True) -> None:
    """Write `text` as UTF-8 to `path` in one step."""
    with replacing(path, tidy) as part:
        part.write_text(text, encoding="utf-8")


def sweep(folder: Path, name: str = "") -> None:
    """Remove what writers of `name`, or of any file of `folder`, left when they were killed."""
    for left in list(folder.iterdir()) if folder.is_dir() else ():
        if left.name.startswith(f".{name}") and left.name.endswith(_PART) and left.is_dir():
            if name and "." in left.name.removeprefix(f".{name}.").removesuffix(_PART):
                continue  # of a longer name
            with suppress(OSError):
                handle = os.open(left, os.O_RDONLY)
                try:
                    if lock(handle):
                        shutil.rmtree(left)
                finally:
                    os.close(handle)


def lock(handle: int) -> bool:
    """Lock an open file or folder until it is closed; return False when another process has it locked.

    Raises:
        OSError: The disk knows no locks.
    """
    try:
        import fcntl
    except ImportError:  # not on Windows; there nothing is locked, and nothing is swept
        raise OSError("no file locks") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sync_folder(folder: Path) -> None:
    """Flush the names of a folder to disk."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def _private(path: Path, tidy: bool) -> Iterator[Path]:
    """Yield a locked hidden folder beside `path`; it is gone afterwards, whenever a signal comes."""
    made: list[tuple[Path, int]] = []
    try:
        try:
            if tidy:
                sweep(path.parent, path.name)
            with held_back():
                made.append(_make(path))
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error.strerror}.") from error
        yield made[0][0]
    finally:
        try:
            _remove(made)
        except KeyboardInterrupt:  # just before signals were held back, or at the end of that
            _remove(made)
            raise


def _make(path: Path) -> tuple[Path, int]:
    """Make a locked folder beside `path`; return it and the handle that holds the lock."""
    while True:
        place = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=_PART, dir=path.parent))
        try:
            handle = os.open(place, os.O_RDONLY)
        except FileNotFoundError:  # swept before it was locked
            continue
        with suppress(OSError):
            lock(handle)
        if place.exists():
            return place, handle
        os.close(handle)


def _remove(made: list[tuple[Path, int]]) -> None:
    """Remove the locked folder, if it was made, and unlock it; `made` is empty then."""
    with held_back():
        while made:
            place, handle = made.pop()
            with suppress(OSError):
                shutil.rmtree(place)
            os.close(handle)


def _exchange(path: Path, part: Path) -> None:
    """Rename `part` to `path`; a folder there is put beside `part`, and comes back on an error."""
    old = part.with_name(f"{path.name}.old")
    if path.is_dir() and part.is_dir():
        path.rename(old)
    try:
        part.replace(path)
    except OSError:
        if old.exists():
            old.rename(path)
        raise


def _flush(part: Path) -> None:
    files = (file for file in part.rglob("*") if file.is_file()) if part.is_dir() else (part,)
    for file in files:
        with file.open("rb+") as opened:
            os.fsync(opened.fileno())
