"""Moments of a program as numbers of events, not as times: the steps of skeltools' own code, counted."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import FrameType


class Steps:
    """Counts the steps of this thread in skeltools' own code, and does something at one of them.

    A step is the beginning of a function or generator, or the return of a compiled function: the places where
    Python answers a signal too. The same work takes the same steps however fast the machine is.

    Args:
        number: At which step to call `reached`; 0 for none.
        reached: What to do there. It is called within the step.

    Attributes:
        count: Steps so far.
    """

    def __init__(self, number: int = 0, reached: Callable[[], None] = lambda: None) -> None:
        self.number, self.count = number, 0
        self._reached, self._process = reached, os.getpid()

    def begin(self) -> None:
        """Count from here."""
        sys.setprofile(self._note)

    def end(self) -> int:
        """Count no more; return the steps."""
        sys.setprofile(None)
        return self.count

    @classmethod
    def telling(cls, number: int, told: int, go: int) -> Steps:
        """Steps of a process that another one watches: at step `number` it writes a dot and waits.

        Args:
            number: The step; 0 for none.
            told: A pipe to write to.
            go: A pipe to read from.
        """

        def reached() -> None:
            os.write(told, b".")
            os.read(go, 1)

        return cls(number, reached)

    def _note(self, frame: FrameType, event: str, _: object) -> None:
        if event != "call" and event != "c_return":
            return
        if not frame.f_globals.get("__name__", "").startswith("skeltools."):
            return
        self.count += 1
        if self.count == self.number and os.getpid() == self._process:
            self._reached()


def main() -> None:
    """``python moments.py NUMBER TOLD GO WORD ...``: the command line with these words, watched."""
    number, told, go = map(int, sys.argv[1:4])
    del sys.argv[1:4]
    from skeltools.cli.start import main as command

    steps = Steps.telling(number, told, go)
    steps.begin()
    try:
        command()
    finally:
        os.write(told, str(steps.end()).encode())


if __name__ == "__main__":
    main()
