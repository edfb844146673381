"""Writing files and folders so that a reader never meets half of one, whatever happens to the writer."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from skeltools.errors import OutputError
from skeltools.files.kinds import Kind, tell
from skeltools.files.signals import held_back

_PART = ".part"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_replaceable(path: Path, *sources: Path) -> None:
    """Refuse an output that is not a file or folder, or is one of the inputs.

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


def check_links(folder: Path) -> None:
    """Refuse a folder to be made where it, or one above, is a link that leads nowhere.

    Raises:
        OutputError: It is.
    """
    for there in (folder, *folder.parents):
        if there.is_symlink() and not there.exists():
            raise OutputError(f"{there} is a link to what does not exist. Choose another output.")


def check_writable(path: Path, *, new: bool = False) -> None:
    """Refuse an output whose folder takes no file, before any work, by making one there and removing it.

    A folder that does not exist yet counts as writable where the nearest one above is.

    Args:
        path: The output.
        new: Whether nothing may be replaced: `replacing` then leaves what is there when the work is done.

    Raises:
        OutputError: Nothing can be written there.
    """
    (_ABSENT.add if new else _ABSENT.discard)(path.absolute())
    check_links(path.absolute().parent)
    folder = next(there for there in path.absolute().parents if there.exists())
    made: list[tuple[Path, int]] = []
    try:
        with held_back():
            made.append(_make(folder / path.name))
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}.") from error
    finally:
        _remove(made)


_ABSENT: set[Path] = set()
"""Outputs that `check_output` found absent: whatever has the name when the work is done is another's, and stays."""


CONVERTED = (Kind.OURS, Kind.BROKEN)
"""What a converted file may take the place of, for `check_output`."""


def check_output(path: Path, replace: bool, *sources: Path, kinds: Collection[Kind] = ()) -> None:
    """Refuse an output that exists, is one of the inputs `sources`, or has no folder to lie in.

    Where nothing is to be replaced, `replacing` then refuses what somebody else puts there while the work is done.

    Args:
        path: The output.
        replace: Whether it may take the place of a file.
        sources: The inputs.
        kinds: The kinds of file it may take the place of, beside empty ones: a name that was left out, or mistyped,
            must not cost the file that the next word names. Without, all kinds: the ending tells what it is.

    Raises:
        OutputError: `path` exists and `replace` is not set, is a folder, a device, an input or a file of a kind that is
            not replaced, or its folder does not exist or takes no file.
    """
    if path.is_dir():
        raise OutputError(f"{path} is a folder. Give the name of the file to write.")
    check_replaceable(path, *sources)
    if kinds and path.exists() and (kind := tell(path)) not in (*kinds, Kind.EMPTY):
        raise OutputError(
            f"{path} is {kind.value}, not what this command writes, so it is not replaced. Give the name of the file "
            "to write, or remove this one first."
        )
    if path.exists() and not replace:
        raise OutputError(f"{path} already exists. Use --replace to write it again.")
    if not path.absolute().parent.is_dir():
        raise OutputError(f"{path.parent} does not exist, so {path.name} cannot be written there. Create it.")
    check_writable(path, new=not (path.exists() or replace))


@contextmanager
def replacing(path: Path, tidy: bool = True, update: bool = False) -> Iterator[Path]:
    """Yield a temporary name on the disk of `path`; on success flush what lies there and rename it to `path`.

    The name, which the caller makes a file or a folder, lies in a hidden folder beside `path` that is locked
    while its writer lives. On any exception it is removed and `path` stays as it was. A writer that was
    killed leaves its folder; the next to write `path` removes it.

    Args:
        path: The file or folder to write.
        tidy: Whether to look for what killed writers left. It costs a listing of the folder.
        update: Whether it is a changed copy of what lies there.

    Raises:
        OutputError: The folder does not exist or cannot be written, the disk is full, `path` is a device, or it was
            absent when `check_output` looked and is there now.
    """
    check_replaceable(path)
    if update:
        _ABSENT.discard(path.absolute())
    with _private(path, tidy) as place:
        part = place / path.name
        try:
            yield part
            exchange(path, part)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise OutputError(no_room(path, error)) from error
            raise


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Yield a name beside `path` for a folder to build; `exchange` puts it in place. It is gone afterwards.

    Raises:
        OutputError: The folder of `path` cannot be written.
    """
    with _private(path, True) as place:
        yield place / path.name


def exchange(path: Path, part: Path) -> None:
    """Flush a folder made in `beside` and let it and what is under `path` change places.

    Raises:
        OSError: It cannot be done; `path` is as it was.
        OutputError: `path` was absent when `check_output` looked and is there now.
    """
    _flush(part)
    with held_back():
        if path.absolute() in _ABSENT and path.exists():
            raise OutputError(
                f"{path} was written by somebody else meanwhile, and stays as it is. Give another name, or use "
                "--replace."
            )
        _exchange(path, part)
        _ABSENT.discard(path.absolute())
    sync_folder(path.absolute().parent)


def no_room(path: Path, error: OSError) -> str:
    """Return the message for a disk that is full."""
    return f"{path} cannot be written: {error.strerror}. Make room and run the command again."


def write_text(path: Path, text: str, tidy: bool = True) -> None:
    """Write `text` as UTF-8 to `path` in one step, what UTF-8 has no bytes for as `as_utf8` does."""
    with replacing(path, tidy) as part:
        part.write_text(as_utf8(text), encoding="utf-8")


def as_utf8(text: str) -> str:
    """Return a text with an escape for each character that UTF-8 has no bytes for, as names of files may hold."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def sweep(folder: Path, name: str = "") -> None:
    """Remove what writers of `name`, or of any file of `folder`, left when they were killed.

    Only what is surely theirs: a folder of this user's, no link, of a writer's name and with its mark, or empty.
    What a writer had put aside, and could not put back, is put back.
    """
    for left in list(folder.iterdir()) if folder.is_dir() else ():
        found = _HIDDEN.fullmatch(left.name)
        if not found or found["name"] != (name or found["name"]):
            continue
        with suppress(OSError):  # a link, or removed meanwhile
            handle = os.open(left, os.O_RDONLY | _FOLDER_ONLY)
            try:
                if not _is_own(handle) or not lock(handle):
                    continue
                if not (left / _MARK).is_file():
                    left.rmdir()
                    continue
                old, place = left / f"{found['name']}{_OLD}", folder / found["name"]
                if os.path.lexists(old) and not os.path.lexists(place):
                    old.rename(place)
                shutil.rmtree(left)
            finally:
                os.close(handle)


_MARK = ".skeltools"
"""A file that tells a writer's folder from one that only has such a name."""

_OLD = ".old"
_HIDDEN = re.compile(r"\.(?P<name>.+)\.[a-z0-9_]{8}" + re.escape(_PART), re.DOTALL)
_FOLDER_ONLY = getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)


def _is_own(handle: int) -> bool:
    return not hasattr(os, "geteuid") or os.fstat(handle).st_uid == os.geteuid()


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


def sync_file(path: Path) -> None:
    """Flush what was written to a file to disk."""
    with path.open("rb+") as opened:
        os.fsync(opened.fileno())


def sync_folder(folder: Path) -> None:
    """Flush the names of a folder to disk."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def make_folder(path: Path) -> None:
    """Make a folder and those above it that are missing, and flush their names to disk."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync_folder(folder.absolute().parent)


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
            handle = os.open(place, os.O_RDONLY | _FOLDER_ONLY)
        except FileNotFoundError:  # swept before it was locked
            continue
        held = True
        with suppress(OSError):  # a disk without locks
            held = lock(handle)
        if held:  # else somebody is about to sweep it
            with suppress(FileNotFoundError):
                (place / _MARK).touch()
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
    """Rename `part` to `path`; a folder there goes beside `part`, and comes back on an error.

    Where the system can, both change places in one step, so that there is a folder under `path` at every moment.
    """
    if path.is_dir() and part.is_dir():
        if _swap(part, path):
            return
        old = part.with_name(f"{path.name}{_OLD}")
        path.rename(old)
        try:
            part.replace(path)
        except OSError:
            old.rename(path)
            raise
        return
    part.replace(path)


def _swap(first: Path, second: Path) -> bool:
    """Let two names change places in one step; return False where the system cannot (it must be Linux)."""
    try:
        renameat2 = ctypes.CDLL(None).renameat2
    except (OSError, AttributeError, TypeError):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(renameat2(here, os.fsencode(first), here, os.fsencode(second), exchange) == 0)


def _flush(part: Path) -> None:
    """Flush a file, or a folder with all that lies in it, to disk."""
    if not part.is_dir():
        sync_file(part)
        return
    for there in (part, *part.rglob("*")):
        if there.is_symlink():
            continue
        if there.is_dir():
            sync_folder(there)
        elif there.is_file():
            sync_file(there)
