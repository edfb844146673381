"""Writing files and folders: whole or not at all, and nothing beside them."""

from __future__ import annotations

import contextlib
import dis
import os
import re
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from commands import call

from skeltools.errors import DataError, OutputError
from skeltools.files import signals
from skeltools.files import writing as files
from skeltools.files.texts import read_json
from skeltools.files.writing import check_output
from skeltools.runs.folder import check_free
from skeltools.store.reader import ClipFile

OURS = {files.__file__, signals.__file__}


def write(path: Path) -> None:
    with files.replacing(path) as part:
        part.mkdir()
        (part / "clips.npy").write_bytes(b"new")


ANSWERING = ("RESUME", "JUMP_BACKWARD", "CALL")
"""Instructions, by the beginnings of their names, after which Python answers signals."""


def signalled(path: Path, kind: signal.Signals, moment: int) -> bool:
    """Write `path` and send the signal when Python could answer one for the `moment`-th time in our modules.

    Returns:
        Whether there was such a moment.
    """
    count = 0
    before: dict[FrameType, str] = {}

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        if frame.f_code.co_filename not in OURS:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            count += before.get(frame, "").startswith(ANSWERING)
            if count == moment and before.get(frame, "").startswith(ANSWERING):
                signal.raise_signal(kind)
            before[frame] = dis.opname[frame.f_code.co_code[frame.f_lasti]]
        return trace

    sys.settrace(trace)
    try:
        write(path)
    finally:
        sys.settrace(None)
        before.clear()  # frames hold what they are amid
    return count >= moment


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_at_any_moment_leaves_the_old_folder_or_the_new_one_and_nothing_else(
    tmp_path: Path, kind: signal.Signals
) -> None:
    def end(*_: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "clips"
    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        met, moment, found = True, 0, set()
        while met:
            path.mkdir(exist_ok=True)
            (path / "clips.npy").write_bytes(b"old")
            moment += 1
            interrupted = True
            with contextlib.suppress(KeyboardInterrupt):
                met, interrupted = signalled(path, kind, moment), False
            assert interrupted == met, f"the signal at moment {moment} was lost"
            assert [left.name for left in tmp_path.iterdir()] == ["clips"], f"at moment {moment}"
            found.add((path / "clips.npy").read_bytes())
            assert all(signal.getsignal(number) is end for number in before), f"at moment {moment}"
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert moment > 40
    assert found == {b"old", b"new"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX")
def test_a_device_or_a_pipe_is_never_replaced_nor_read(tmp_path: Path) -> None:
    pipe = tmp_path / "clips.h5"
    os.mkfifo(pipe)
    for replace in (False, True):
        with pytest.raises(OutputError, match="is a device or a pipe, which is not replaced"):
            check_output(pipe, replace)
    with pytest.raises(OutputError, match="is a device or a pipe"), files.replacing(pipe) as part:
        part.write_bytes(b"new")
    with pytest.raises(DataError, match="is a device or a pipe, not a file"):
        ClipFile(pipe)
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_the_input_is_never_replaced_by_the_output(tmp_path: Path) -> None:
    source, link = tmp_path / "clips.h5", tmp_path / "link.h5"
    source.write_bytes(b"clips")
    link.symlink_to(source)
    for out in (source, link):
        with pytest.raises(OutputError, match="is the input as well"):
            check_output(out, True, tmp_path / "absent", source)
    check_output(tmp_path / "other.h5", True, source)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX")
def test_a_pipe_in_place_of_a_record_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "linear.json"
    os.mkfifo(pipe)
    with pytest.raises(ValueError, match="it is not a file"):
        read_json(pipe)


def test_a_block_that_takes_too_long_ends_and_a_quick_one_leaves_the_timer_as_it_was() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(TimeoutError), signals.within(0.2):
        re.fullmatch("(a+)+", "a" * 60 + "!")
    with signals.within(60):
        assert re.fullmatch("a+", "aaa")
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


@pytest.mark.parametrize("inside", ["", "run", "a/b"])
def test_a_link_that_leads_nowhere_is_no_place_for_a_folder(inside: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "absent")
    told = f"^{tmp_path}/link is a link to what does not exist. Choose another output.$"
    with pytest.raises(OutputError, match=told):
        files.check_writable(tmp_path / "link" / inside / "file")
    with pytest.raises(OutputError, match=told):
        check_free(tmp_path / "link" / inside, False)
    assert not (tmp_path / "absent").exists()


def put(out: Path, kind: str) -> None:
    """Write an output while somebody else puts something under its name."""
    with files.replacing(out) as part:
        part.write_text("mine")
        if kind == "folder":
            out.mkdir()
        elif kind == "link":
            out.with_name("theirs").write_text("theirs")
            out.symlink_to(out.with_name("theirs"))
        elif kind == "file":
            out.write_text("theirs")


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_somebody_else_wrote_meanwhile_is_not_replaced(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    check_output(out, False)
    with pytest.raises(OutputError, match="out was written by somebody else meanwhile, and stays as it is"):
        put(out, kind)
    assert out.is_dir() if kind == "folder" else out.read_text() == "theirs"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    if kind == "file":
        check_output(out, True)  # who says --replace gets it
        put(out, "nothing")
        assert out.read_text() == "mine"


def test_a_conversion_whose_name_was_taken_meanwhile_goes_on_under_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, out = tmp_path / "raw", tmp_path / "out.h5"
    assert call("synth", "ntu60", raw, "--clips", "5", "--frames", "8", "9").exit_code == 0
    words = ["convert", "ntu60", raw, out, "--frames", "4", "--workers", "1"]
    exchange = files.exchange

    def late(path: Path, part: Path) -> None:
        path.write_text("theirs")
        exchange(path, part)

    monkeypatch.setattr(files, "exchange", late)
    result = call(*words)
    assert result.exit_code == 2
    assert f"Error: {out} was written by somebody else meanwhile" in result.stderr
    assert out.read_text() == "theirs"
    monkeypatch.setattr(files, "exchange", exchange)
    out.unlink()
    assert call(*words, "--resume").exit_code == 0
    assert call("verify", out).exit_code == 0


def test_a_text_with_what_utf8_has_no_bytes_for_is_written_with_escapes(tmp_path: Path) -> None:
    for text, kept in (("a\udcffb", "a\\udcffb"), ("\ud800", "\\ud800"), ("é\u2028", "é\u2028")):
        files.write_text(tmp_path / "out", text)
        assert (tmp_path / "out").read_text(encoding="utf-8") == kept
