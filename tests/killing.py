"""A program that converts in processes forked from it, and kills them at chosen steps.

Each line of its input is an order as JSON: ``source``, ``out``, ``workers``, ``raw``, ``step`` and
``batch``, the step of the process or the finished batch (from 1) at which it kills itself (0: none). Each
line of its output answers one: ``status`` (negative for a signal), and ``steps`` and ``batches`` that it
took, both null when it was killed. It answers when the process has ended; workers of a killed one may live
a little longer, and the order ``"rest"`` is answered when they have ended too.
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

from skeltools.convert import pipeline as conversion
from skeltools.datasets import registry as datasets
from skeltools.progress import Silent

SUBREAPER = 36
"""Number of the Linux prctl by which children of a child that was killed become ours, to be waited for."""


class Batches(Silent):
    """Counts the batches that are finished and recorded, and kills this process at one of them."""

    def __init__(self, last: int) -> None:
        self.last, self.count = last, 0

    def advance(self, done: int = 1) -> None:
        self.count += 1
        if self.count == self.last:
            kill()


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def convert(order: dict[str, Any], answer: int) -> None:
    """The forked process."""
    steps, batches = Steps(order["step"], kill), Batches(order["batch"])
    steps.begin()
    conversion.convert(
        datasets.get("ntu60"), order["source"], order["out"], workers=order["workers"],
        keep_raw=order["raw"], resume=True, progress=batches,
    )  # fmt: skip
    os.write(answer, json.dumps({"steps": steps.end(), "batches": batches.count}).encode())


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
        counts = json.loads(answer.read() or b'{"steps": null, "batches": null}')
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
        if number == 0:  # what is imported and compiled at first use is not a step of an order
            with tempfile.TemporaryDirectory() as folder:
                conversion.convert(
                    datasets.get("ntu60"), order["source"], Path(folder) / "o.h5", keep_raw=True
                )
        print(json.dumps(run(order)), flush=True)


if __name__ == "__main__":
    main()
