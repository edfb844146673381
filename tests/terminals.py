"""Programs in a terminal of their own (a pty), as a person sees and stops them."""

from __future__ import annotations

import os
import select
import signal
import struct
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

CTRL_C = b"\x03"
_LONGEST = 300.0
"""Seconds after which a test that waits gives up."""


class Terminal:
    """A program whose standard input, output and error are a terminal of its own.

    Args:
        command: Program and arguments.
        columns: Width of the terminal.
        folder: Where it runs.
    """

    def __init__(self, command: Sequence[str], columns: int = 80, folder: Path | None = None) -> None:
        import fcntl
        import termios

        self.text = ""
        self._ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

        def own() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that a key press becomes a signal
            # As a terminal has it; what runs in the background ignores it.
            signal.signal(signal.SIGINT, signal.SIG_DFL)

        environment = {**os.environ, "TERM": "xterm"}
        environment.pop("COLUMNS", None)
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, preexec_fn=own,
            env=environment, cwd=folder,
        )  # fmt: skip
        os.close(theirs)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def _read(self) -> bool:
        """Take what the program printed; return False when it has ended."""
        if not select.select([self._ours], [], [], 0.1)[0]:
            return True
        try:
            more = os.read(self._ours, 65536)
        except OSError:  # how Linux says that nobody holds the other side
            return False
        self.text += more.decode("utf-8", "replace")
        return bool(more)

    def wait_for(self, word: str) -> None:
        """Wait until the program has printed a text."""
        end = time.monotonic() + _LONGEST
        while word not in self.text:
            assert self._read(), f"ended without '{word}':\n{self.text}"
            assert time.monotonic() < end, f"never printed '{word}':\n{self.text}"

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._ours, keys)

    def hang_up(self) -> int:
        """Close the terminal, as a lost connection does, and return the exit status."""
        os.close(self._ours)
        self._ours = os.open(os.devnull, os.O_RDWR)
        return self.process.wait(_LONGEST)

    def end(self) -> int:
        """Wait for the end and return the exit status."""
        end = time.monotonic() + _LONGEST
        while self._read():
            assert time.monotonic() < end, f"never ended:\n{self.text}"
        return self.process.wait()

    @property
    def lines(self) -> list[str]:
        """What stands in the terminal's lines, without colours and moves of the cursor."""
        import re

        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.text)
        return [line.rpartition("\r")[2].rstrip() for line in plain.replace("\r\n", "\n").split("\n")]
