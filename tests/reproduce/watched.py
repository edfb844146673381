"""``python watched.py WHERE NUMBER TOLD WORD ...``: the command line, stopped at a step of its work.

The work is done in a process that the command starts, and that imports this module anew. WHERE says whose steps
count: ``worker``, all of skeltools' own code there; ``starter``, those that read and write what is recorded, which
are the same every time, as its waiting is not; ``clock``, milliseconds of processor time of the worker, which are cheap
to count, from when it has loaded what it needs. At step NUMBER the process writes its number to the pipe TOLD and
stands still until SIGCONT. With NUMBER 0 it only counts, and writes how many steps there were.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).parents[1]))

from moments import Steps

RECORDS = ("skeltools.reproduce.steps", "skeltools.files.writing", "skeltools.files.texts")


class Watched(Steps):
    """Steps in some modules alone."""

    modules: tuple[str, ...] = ()

    def _note(self, frame: FrameType, event: str, value: object) -> None:
        name = frame.f_globals.get("__name__", "")
        if not self.modules or name in self.modules:
            super()._note(frame, event, value)


def tell(text: str) -> bool:
    """Write to whoever listens, and return whether somebody does; who has heard enough has closed the pipe."""
    try:
        pipe = os.open(TOLD, os.O_WRONLY | os.O_NONBLOCK)
        os.write(pipe, text.encode())
        os.close(pipe)
    except OSError:
        return False
    return True


def reached(*_: object) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCONT])
    if tell(f"at {os.getpid()}\n"):  # a worker that follows on one that was killed finds nobody, and goes on
        signal.sigwait([signal.SIGCONT])
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def clock() -> None:
    """Count milliseconds of processor time in this process, a worker, from when it is ready to begin."""
    import skeltools.reproduce.worker  # noqa: F401 (with all of torch)

    began = time.process_time()
    if NUMBER:
        signal.signal(signal.SIGPROF, reached)
        signal.setitimer(signal.ITIMER_PROF, NUMBER / 1e3)
        return
    from multiprocessing import util

    def count() -> None:
        tell(f"counted {round(1e3 * (time.process_time() - began))}\n")

    util.Finalize(None, count, exitpriority=0)


def begin(where: str) -> None:
    """Count the steps of this process, if it is the one."""
    if where != WHERE:
        return
    steps = Watched(NUMBER, reached)
    steps.modules = RECORDS if where == "starter" else ()
    steps.begin()
    if not NUMBER:
        from multiprocessing import util

        def count() -> None:
            tell(f"counted {steps.end()}\n")

        # A process that another one started ends without what stands in atexit.
        atexit.register(count) if where == "starter" else util.Finalize(None, count, exitpriority=0)


WHERE, NUMBER, TOLD = sys.argv[1], int(sys.argv[2]), sys.argv[3]

if __name__ == "__mp_main__":
    if WHERE == "clock":
        clock()
    begin("worker")

if __name__ == "__main__":
    words = sys.argv[4:]
    begin("starter")
    from skeltools.cli.main import main

    main.main(words, prog_name="skeltools")
