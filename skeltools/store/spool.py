"""A conversion under way: a folder beside the output that survives the process, so that it can be resumed.

``.OUT.partial/`` holds a header (what is being converted, and how), the journal (a line for each finished
batch), the clips at their places, and raw recordings where they are kept. In front of the clips is room for
all else that a converted file holds, so that their file can become the output. Clips are written before the
journal names them, and a resumed conversion checks each against its digest, so whatever the moment of a
crash, only whole clips count.
"""

from __future__ import annotations

import json
import os
import re
import stat
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skeltools.errors import OutputError
from skeltools.files.reading import read_regular
from skeltools.files.writing import lock, sync_file
from skeltools.store.layout import sha256

HEADER, JOURNAL, CLIPS, MOTION = "header.json", "journal", "clips", "motion"

SPOOL_LAYOUT = 5
"""Where things are in the folder; a conversion interrupted under another layout has to start over."""

_SYNC_SECONDS = 5.0
"""Work of this many seconds is lost at most where the machine itself stops."""

DAMAGED = "handling of damaged files"
"""Key of a header; a conversion that stopped at a damaged file may go on and leave such files out."""


class Done(NamedTuple):
    """A prepared clip: its index in the plan, what was found in it, and the digest of its values (hex).

    `raw` is where its raw recording is: (file number, offset, bodies observed,
    CRC, frames), or None. `notes` is what was decided about it, (kind, count) each. `motion` is the CRC of its
    motion stream where that is kept.
    """

    clip: int
    frames: int
    length: int
    bodies: int
    gaps: int
    digest: str
    raw: tuple[int, int, int, int, int] | None = None
    notes: tuple[tuple[str, int], ...] = ()
    motion: int | None = None


class Left(NamedTuple):
    """A clip that was read and is left out, with the reason."""

    clip: int
    reason: str


class UnitResult(NamedTuple):
    """What became of one raw file: its index in the plan, SHA-256 of its content (hex), each clip's fate, and
    why each further file of its name is left out."""

    unit: int
    source: str
    fates: tuple[Done | Left, ...]
    copies: tuple[str, ...] = ()


class Results:
    """What is finished, in arrays: a tuple per clip would take a quarter of a gigabyte for a whole dataset.

    Args:
        units: How many raw files there are.
        clips: How many clips they hold, N.
        raw: Whether raw recordings are kept.

    Attributes:
        finished: bool (units,), which raw files are.
        sources: uint8 (units, 32), SHA-256 of their contents.
        done: bool (N,), which clips are prepared.
        values: int64 (N, 4): frames, length, bodies and gaps of those.
        digests: uint8 (N, 32), SHA-256 of their values.
        raw: int64 (N, 5), as in `Done`, or None.
        left: Why a clip that was read is left out, by its index.
        notes: What was decided about single clips, by their index.
        copies: Why further files of a raw file's name are left out, by the index of the raw file.
    """

    def __init__(self, units: int, clips: int, raw: bool) -> None:
        self.finished: NDArray[np.bool_] = np.zeros(units, bool)
        self.sources: NDArray[np.uint8] = np.zeros((units, 32), np.uint8)
        self.done: NDArray[np.bool_] = np.zeros(clips, bool)
        self.values: NDArray[np.int64] = np.zeros((clips, 4), np.int64)
        self.digests: NDArray[np.uint8] = np.zeros((clips, 32), np.uint8)
        self.raw: NDArray[np.int64] | None = np.zeros((clips, 5), np.int64) if raw else None
        self.left: dict[int, str] = {}
        self.notes: dict[int, tuple[tuple[str, int], ...]] = {}
        self.copies: dict[int, tuple[str, ...]] = {}

    @property
    def count(self) -> int:
        """How many clips are prepared."""
        return int(self.done.sum())

    def add(self, result: UnitResult) -> None:
        """Note what became of a raw file, in place of what was noted before."""
        self.sources[result.unit] = np.frombuffer(bytes.fromhex(result.source), np.uint8)
        self.copies.pop(result.unit, None)
        if result.copies:
            self.copies[result.unit] = result.copies
        for fate in result.fates:
            self.done[fate.clip] = isinstance(fate, Done)
            self.left.pop(fate.clip, None)
            self.notes.pop(fate.clip, None)
            if isinstance(fate, Left):
                self.left[fate.clip] = fate.reason
                continue
            if fate.notes:
                self.notes[fate.clip] = fate.notes
            self.values[fate.clip] = fate.frames, fate.length, fate.bodies, fate.gaps
            self.digests[fate.clip] = np.frombuffer(bytes.fromhex(fate.digest), np.uint8)
            if self.raw is not None and fate.raw is not None:
                self.raw[fate.clip] = fate.raw
        self.finished[result.unit] = True


def folder_of(out: Path) -> Path:
    """Return the folder in which the conversion to `out` is kept while it is under way."""
    return out.with_name(f".{out.name}.partial")


class Spool:
    """The folder of a conversion under way, as its main process sees it.

    Attributes:
        folder: The folder.
        results: What is finished.
        stamps: What tells whether a raw file is still the one that was read, by its index.
    """

    def __init__(self, folder: Path, results: Results, stamps: Sequence[str], journal: BinaryIO) -> None:
        self.folder = folder
        self.results = results
        self.stamps = stamps
        self._journal = journal
        self._synced = time.monotonic()

    @classmethod
    def begin(cls, folder: Path, header: dict[str, Any], results: Results, stamps: Sequence[str]) -> Spool:
        """Start afresh, removing what is there, with `results` that are empty.

        Raises:
            OutputError: Another process is at work there.
        """
        journal = _locked(folder)
        _empty(folder, JOURNAL)  # which is locked, and keeps others out while the rest goes
        journal.truncate(0)
        for name in (CLIPS, MOTION):
            (folder / name).touch()
        (folder / HEADER).write_text(json.dumps(header), encoding="utf-8")
        return cls(folder, results, stamps, journal)

    @classmethod
    def resume(
        cls,
        folder: Path,
        header: dict[str, Any],
        clip_bytes: int,
        raw_bytes: int,
        room: int,
        results: Results,
        stamps: Sequence[str],
    ) -> Spool:
        """Continue: read the journal and add to `results` every one whose clips are what it says.

        Args:
            folder: The folder.
            header: What is being converted, and how.
            clip_bytes: Bytes of a clip.
            raw_bytes: Bytes of an observed body, where recordings are kept.
            room: Bytes in front of the clips.
            results: Empty; gets what is finished.
            stamps: Of the raw files; one that is another now is read again.

        Raises:
            OutputError: The folder belongs to a conversion of another source or with other settings, or to no
                conversion at all.
        """
        check_ours(folder)
        try:
            found = json.loads(read_regular(folder / HEADER))
        except (OSError, ValueError):
            return cls.begin(folder, header, results, stamps)  # killed before anything was done
        if not isinstance(found, dict):
            raise _foreign(folder, f"its {HEADER} is not a table")
        wanted = json.loads(json.dumps(header))
        differs = sorted(
            key
            for key in found.keys() | wanted.keys()
            if found.get(key) != wanted.get(key) and not (key == DAMAGED and found.get(key) is False)
        )
        if differs:
            raise OutputError(
                f"The interrupted conversion in {folder} was begun with different {', '.join(differs)}. "
                "Use --replace to start over."
            )
        journal = _locked(folder)
        if not (folder / HEADER).exists():  # another process finished it meanwhile
            journal.close()
            return cls.begin(folder, header, results, stamps)
        journal.seek(0)
        good = 0
        with (folder / CLIPS).open("rb") as clips:
            for line in journal:
                batch = _read_line(line)
                if batch is None:
                    break
                good += len(line)
                for result, stamp in batch:
                    with suppress(
                        ValueError, IndexError, TypeError
                    ):  # a damaged line: the file is read again
                        if stamps[result.unit] == stamp and all(
                            _intact(folder, clips, clip_bytes, raw_bytes, room, fate) for fate in result.fates
                        ):
                            results.add(result)
        journal.truncate(good)
        journal.seek(good)
        return cls(folder, results, stamps, journal)

    def add(self, batch: list[UnitResult]) -> None:
        """Record a finished batch, whose clips are in the spool already."""
        stamped = [(*result, self.stamps[result.unit]) for result in batch]
        self._journal.write(json.dumps(stamped, separators=(",", ":")).encode() + b"\n")
        self._journal.flush()
        for result in batch:
            self.results.add(result)
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Flush what was done to disk, against a machine that stops."""
        for name in (CLIPS, MOTION):
            sync_file(self.folder / name)
        os.fsync(self._journal.fileno())
        self._synced = time.monotonic()

    def raw_files(self) -> list[Path]:
        """Return the files with raw recordings, by file number."""
        files = {int(path.name.partition(".")[2]): path for path in self.folder.glob("raw.*")}
        return [files[number] for number in sorted(files)]

    def close(self) -> None:
        """Let go of the folder, which stays."""
        with suppress(OSError):  # a disk that is full: the line of the last batch is cut off
            self._journal.close()

    def remove(self) -> None:
        """Delete and let go, in this order: who waits for the lock finds another folder or none."""
        if os.name != "posix":
            self.close()
        _delete(self.folder)
        self.close()


def forget(folder: Path) -> None:
    """Remove the folder of a conversion that finished and was ended before it could remove it."""
    if not os.path.lexists(folder):
        return
    journal = _locked(folder)
    _delete(folder)
    journal.close()


_NAMES = re.compile(r"header\.json|journal|clips|motion|raw\.\d+|head|other name", re.ASCII)
"""What a conversion under way makes in its folder."""


def check_ours(folder: Path) -> None:
    """Refuse a folder that only has the name of a conversion under way: nothing in it may be touched.

    Raises:
        OutputError: It is a link or no folder, another user's, or holds what no conversion makes.
    """
    try:
        about = folder.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(about.st_mode):
        raise _foreign(folder, "it is a link" if stat.S_ISLNK(about.st_mode) else "it is not a folder")
    if hasattr(os, "geteuid") and about.st_uid != os.geteuid():
        raise _foreign(folder, "it is another user's")
    with os.scandir(folder) as found:
        entries = {entry.name: entry.is_file(follow_symlinks=False) for entry in found}
    for name, plain in sorted(entries.items()):
        if not (plain and _NAMES.fullmatch(name)):
            raise _foreign(folder, f"it holds '{name:.60}'")
    if entries and JOURNAL not in entries:
        raise _foreign(folder, "it has no journal")


def _foreign(folder: Path, why: str) -> OutputError:
    return OutputError(
        f"{folder} has the name of a conversion under way and is none ({why}). Nothing was changed: move it "
        "away, or give the output another name."
    )


def _empty(folder: Path, *keep: str) -> None:
    """Remove what a conversion makes in its folder, the header last; all else stays."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name in (HEADER, JOURNAL)):
        if path.name not in keep and _NAMES.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _delete(folder: Path) -> None:
    """Remove the folder of a conversion, unless somebody else put something there."""
    with suppress(OSError):
        _empty(folder)
        folder.rmdir()


def _locked(folder: Path) -> BinaryIO:
    """Open the journal of a folder, both made when absent; refuse when another process has it open."""
    while True:
        check_ours(folder)
        try:
            folder.mkdir(exist_ok=True)
            journal = (folder / JOURNAL).open("a+b")
        except FileNotFoundError:  # removed since by the process that finished
            continue
        with suppress(OSError):  # a disk without locks
            if not lock(journal.fileno()):
                journal.close()
                raise OutputError(f"Another process is converting into {folder}. Wait for it, or end it.")
        try:
            if (folder / JOURNAL).stat().st_ino == os.fstat(journal.fileno()).st_ino:
                return journal
        except FileNotFoundError:
            pass
        journal.close()


def _read_line(line: bytes) -> list[tuple[UnitResult, str]] | None:
    """Return the batch of a journal line with the raw files' stamps, or None when the line was cut off."""
    if not line.endswith(b"\n"):
        return None
    try:
        return [
            (UnitResult(unit, source, tuple(_fate(fate) for fate in fates), tuple(copies)), stamp)
            for unit, source, fates, copies, stamp in json.loads(line)
        ]
    except (ValueError, TypeError):
        return None


def _fate(values: list[Any]) -> Done | Left:
    if len(values) == 2:
        return Left(*values)
    clip, frames, length, bodies, gaps, digest, raw, notes, motion = values
    told = tuple((kind, count) for kind, count in notes)
    return Done(clip, frames, length, bodies, gaps, digest, None if raw is None else tuple(raw), told, motion)


def _intact(
    folder: Path, clips: BinaryIO, clip_bytes: int, raw_bytes: int, room: int, fate: Done | Left
) -> bool:
    if isinstance(fate, Left):
        return True
    clips.seek(room + fate.clip * clip_bytes)
    if sha256(clips.read(clip_bytes)) != fate.digest:
        return False
    try:
        if fate.motion is not None:
            with (folder / MOTION).open("rb") as motion:
                motion.seek(fate.clip * clip_bytes)
                if zlib.crc32(motion.read(clip_bytes)) != fate.motion:
                    return False
        if fate.raw is None:
            return True
        number, offset, observed, crc, _ = fate.raw
        with (folder / f"raw.{number}").open("rb") as file:
            file.seek(offset)
            return zlib.crc32(file.read(observed * raw_bytes)) == crc
    except OSError:
        return False


def raw_bytes(joints: int) -> int:
    """Return the bytes of one observed body among the raw recordings: coordinates, frame, slot, tracking id."""
    return joints * 3 * 4 + 4 + 4 + 8


def new_raw_file(folder: Path) -> tuple[int, BinaryIO]:
    """Open a file for raw recordings that no other process writes; return its number and the file."""
    number = 0
    while True:
        try:
            handle = os.open(folder / f"raw.{number}", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        except FileExistsError:
            number += 1
            continue
        return number, os.fdopen(handle, "r+b", buffering=0)


def write_all(file: BinaryIO, data: bytes) -> None:
    """Write all of `data` to an unbuffered file: a disk that fills up takes a part without an error."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]
