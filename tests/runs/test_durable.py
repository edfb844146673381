"""What is written is flushed to disk: files, the folders that name them, a log before its checkpoint, a journal."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clipfiles import make_clips

from skeltools.errors import DataError
from skeltools.files import writing
from skeltools.runs import log
from skeltools.store import ClipFile, spool
from skeltools.store.spool import Done, Results, Spool, UnitResult

pytestmark = pytest.mark.skipif(os.name != "posix", reason="folders are flushed on POSIX alone")


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what was flushed, in order."""
    found: list[str] = []

    def note(handle: int) -> None:
        found.append(Path(f"/proc/self/fd/{handle}").resolve().name)

    if not Path("/proc/self/fd").exists():
        pytest.skip("open files cannot be told")
    monkeypatch.setattr(os, "fsync", note)
    return found


def test_a_folder_is_flushed_with_all_in_it_and_the_folder_it_stands_in(
    tmp_path: Path, flushed: list[str]
) -> None:
    """As exported folders and new runs are."""
    with writing.replacing(tmp_path / "out") as part:
        (part / "one" / "two").mkdir(parents=True)
        (part / "a").write_text("a")
        (part / "one" / "two" / "b").write_text("b")
    assert {"out", "one", "two", "a", "b", tmp_path.name} <= set(flushed)
    assert flushed[-1] == tmp_path.name


def test_new_folders_above_a_run_are_flushed(tmp_path: Path, flushed: list[str]) -> None:
    writing.make_folder(tmp_path / "x" / "y" / "z")
    assert sorted(flushed) == sorted(["x", "y", tmp_path.name])
    writing.make_folder(tmp_path / "x")
    assert len(flushed) == 3


def test_the_log_is_flushed_when_asked(tmp_path: Path, flushed: list[str]) -> None:
    written = log.Log(tmp_path / "log.jsonl", tmp_path, [])
    written.sync()  # there is none yet
    written.write({"kind": "monitor", "step": 1, "epoch": 1, "knn_top1": 0.5})
    assert not flushed
    written.sync()
    assert flushed == ["log.jsonl"]


def begun(folder: Path) -> Spool:
    return Spool.begin(folder, {"a": 1}, Results(2, 2, False), ["s", "t"])


def unit(number: int, motion: int | None = None) -> UnitResult:
    digest = spool.sha256(b"clip")
    return UnitResult(number, "0" * 64, (Done(number, 1, 1, 1, 0, digest, None, (), motion),))


def test_the_journal_is_flushed_after_the_clips_it_names(
    tmp_path: Path, flushed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = begun(tmp_path / ".o.h5.partial")
    made.add([unit(0)])
    assert not flushed
    monkeypatch.setattr(spool, "_SYNC_SECONDS", -1.0)
    made.add([unit(1)])
    assert flushed == ["clips", "motion", "journal"]
    made.close()


@pytest.mark.parametrize("whole", [True, False])
def test_motion_that_the_disk_lost_is_made_again(tmp_path: Path, whole: bool) -> None:
    """A crash of the machine may leave the journal and the clips, and zeros in place of their motion."""
    folder = tmp_path / ".o.h5.partial"
    made = begun(folder)
    (folder / "clips").write_bytes(b"clip" * 2)
    (folder / "motion").write_bytes(b"move" * 2 if whole else b"move\0\0\0\0")
    made.add([unit(0, spool.zlib.crc32(b"move")), unit(1, spool.zlib.crc32(b"move"))])
    made.close()
    results = Results(2, 2, False)
    Spool.resume(folder, {"a": 1}, 4, 0, 0, results, ["s", "t"]).close()
    assert results.done.tolist() == [True, whole]


def test_a_disk_that_fails_under_a_converted_file_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> int:
        raise OSError(5, "Input/output error")

    with ClipFile(make_clips(tmp_path, 2, 2)) as file:
        monkeypatch.setattr(os, "preadv", broken)
        with pytest.raises(DataError, match=rf"{file.path} is damaged .*Input/output error"):
            file.clips(np.arange(2))
        monkeypatch.setattr(ClipFile, "_values", broken)
        with pytest.raises(DataError, match="Input/output error"):
            file.digest_faults()
