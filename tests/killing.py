"""A program that converts in processes forked from it, and kills them at chosen steps.

Each line of its input is an order as JSON: ``source``, ``out``, ``workers``, ``raw`` and ``step``, the step
of the process at which it kills itself (0: it runs to its end). Each line of its output answers one:
``status`` (negative for a signal), ``steps`` (all that it took) and ``working`` (those until the last clip
was read; both null when it was killed). It answers when the process has ended; workers of a killed one may
live a little longer, and the order ``"rest"`` is answered when they have ended too.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from moments import Steps

from skeltools import convert as conversion
from skeltools import datasets
from skeltools.progress import Silent

SUBREAPER = 36
"""Number of the Linux prctl by which children of a child that was killed become ours, to be waited for."""


class Noting(Silent):
    """Notes the steps taken when the work on raw files is done."""

    def __init__(self, steps: Steps) -> None:
        self.steps, self.working = steps, 0

    def finish(self) -> None:
        self.working = self.steps.count


def convert(order: dict[str, Any], answer: int) -> None:
    """The forked process."""
    steps = Steps(order["step"], lambda: os.kill(os.getpid(), signal.SIGKILL))
    told = Noting(steps)
    steps.begin()
    conversion.convert(
        datasets.get("ntu60"), order["source"], order["out"], workers=order["workers"],
        keep_raw=order["raw"], resume=True, progress=told,
    )  # fmt: skip
    os.write(answer, json.dumps({"steps": steps.end(), "working": told.working}).encode())


def run(order: dict[str, Any]) -> dict[str, Any]:
    """Fork, convert and wait."""
    read, write = os.pipe()
    process = os.fork()
    if process == 0:
        status = 1
        try:
            convert(order, write)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(write)
    _, status = os.waitpid(process, 0)
    with open(read, "rb") as answer:  # noqa: PTH123
        counts = json.loads(answer.read() or b'{"steps": null, "working": null}')
    return {"status": os.waitstatus_to_exitcode(status), **counts}


def main() -> None:
    """Answer the orders."""
    conversion._BATCH_CLIPS, conversion._WORKER_BYTES = 3, 1
    with suppress(AttributeError):
        ctypes.CDLL(None).prctl(SUBREAPER, 1)
    for number, line in enumerate(sys.stdin):
        order = json.loads(line)
        if order == "rest":
            with suppress(ChildProcessError):
                while True:
                    os.wait()
            print("{}", flush=True)
            continue
        if number == 0:  # what is imported and compiled at first use is no step of an order
            with tempfile.TemporaryDirectory() as folder:
                run_here = order | {"out": str(Path(folder) / "o.h5"), "step": 0, "workers": 1}
                conversion.convert(datasets.get("ntu60"), run_here["source"], run_here["out"], keep_raw=True)
        print(json.dumps(run(order)), flush=True)


if __name__ == "__main__":
    main()
