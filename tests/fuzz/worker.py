"""Runs the cases of one target in one process; `run.py` starts it and watches over it."""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any, NoReturn

from fuzz.mutate import mutate
from fuzz.targets import TARGETS, Target
from skeltools.errors import SkeltoolsError

LIMIT = 5.0
"""Seconds of the processor that a case may take; ten times as many by the clock, for a busy machine."""

ROOM = 1 << 30
"""Bytes of address space beyond what the process has when the first case starts."""

CORPUS = Path(__file__).parents[1] / "corpus"


class TimeOut(BaseException):
    """A case took longer than `LIMIT`; no reader catches it."""


def _late(signal_number: int, frame: FrameType | None) -> NoReturn:
    raise TimeOut


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def seeds(name: str) -> list[bytes]:
    """Return the inputs that a target starts from: sound ones, and every one that ever failed."""
    kept = sorted((CORPUS / name).glob("*")) if (CORPUS / name).is_dir() else []
    return TARGETS[name].seeds() + [path.read_bytes() for path in kept]


def case(rng: Random, target: Target, known: list[bytes]) -> bytes:
    """Return one mutated input."""
    data = rng.choice(known)
    if target.shape is not None and rng.random() < 0.6:
        return target.shape(rng, data)
    return mutate(rng, data, target.words, known)


class Tally:
    """Runs cases and counts what becomes of them.

    Attributes:
        counts: cases, accepted, refused, crashes, time-outs, megabytes (peak beyond the start), seconds.
    """

    def __init__(self, name: str, folder: Path, failures: Path) -> None:
        self.target = TARGETS[name]
        self.folder, self.failures = folder, failures
        self.current = folder / "current"
        self.started = time.perf_counter()
        self.before = 0.0
        self.counts: dict[str, Any] = dict.fromkeys(
            ("cases", "accepted", "refused", "crashes", "timeouts"), 0
        )
        signal.signal(signal.SIGALRM, _late)
        signal.signal(signal.SIGPROF, _late)

    def run(self, data: bytes, limit: float = LIMIT) -> str:
        """Run one case of at most `limit` seconds (0: any number of them) and return its outcome."""
        with open(self.current, "wb", buffering=0) as file:  # noqa: PTH123
            file.write(data)
        try:
            signal.setitimer(signal.ITIMER_REAL, 10 * limit)
            signal.setitimer(signal.ITIMER_PROF, limit)
            self.target.run(data, self.folder)
            outcome = "accepted"
        except SkeltoolsError as error:
            outcome = "refused" if "\n" not in str(error) else self._failed(data)
        except TimeOut:
            outcome = "timeouts"
            self._failed(data)
        except BaseException:
            outcome = self._failed(data)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.setitimer(signal.ITIMER_PROF, 0)
        self.counts["cases"] += 1
        self.counts[outcome] += 1
        return outcome

    def _failed(self, data: bytes) -> str:
        import hashlib

        place = self.failures / hashlib.sha256(data).hexdigest()[:16]
        if len(list(self.failures.iterdir())) < 200:
            place.write_bytes(data)
            place.with_suffix(".txt").write_text(traceback.format_exc())
        return "crashes"

    def report(self) -> None:
        """Print the counts as a line of JSON."""
        found = self.counts | {
            "megabytes": round(_megabytes() - self.before, 1),
            "seconds": round(time.perf_counter() - self.started, 1),
        }
        print(json.dumps(found), flush=True)


def limit_memory() -> None:
    """Let this process take `ROOM` bytes of address space more than it has."""
    with open("/proc/self/statm") as file:  # noqa: PTH123
        pages = int(file.read().split()[0])
    total = pages * os.sysconf("SC_PAGE_SIZE") + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (total, total))


def main() -> None:
    """Run the cases that the command line asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--until", type=float, default=float("inf"), help="where time.monotonic() ends it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--failures", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="folder for the input at hand")
    parser.add_argument("--guided", action="store_true")
    order = parser.parse_args()
    if order.guided:
        import atheris

        with atheris.instrument_imports(include=["skeltools"], enable_loader_override=False):
            _load_readers()
    warnings.simplefilter("error", RuntimeWarning)  # what NumPy says where a number becomes infinite
    tally = Tally(order.target, order.work, order.failures)
    known = seeds(order.target)
    for data in known:  # imports and caches stand before the memory is measured
        tally.run(data, limit=0)
    limit_memory()
    tally.before = _megabytes()
    if order.guided:
        _guided(tally, known, order)
    rng = Random(f"{order.target} {order.seed}")
    while tally.counts["cases"] < order.cases and time.monotonic() < order.until:
        tally.run(case(rng, tally.target, known))
        if tally.counts["cases"] % 500 == 0:
            tally.report()
    tally.report()


def _load_readers() -> None:
    """Import what the targets read with, so that it is instrumented."""
    import skeltools.exchange.arrays
    import skeltools.files.arrays
    import skeltools.files.pickles
    import skeltools.files.tensors  # noqa: F401


def _guided(tally: Tally, known: list[bytes], order: argparse.Namespace) -> NoReturn:
    """Let libFuzzer choose the inputs to go on from by the code they reach."""
    import atheris

    def one(data: bytes) -> None:
        if tally.counts["cases"] >= order.cases or time.monotonic() > order.until:
            tally.report()
            sys.stdout.flush()
            os._exit(0)
        tally.run(data)
        if tally.counts["cases"] % 500 == 0:
            tally.report()

    def mutator(data: bytes, most: int, seed: int) -> bytes:
        rng = Random(seed)
        if rng.random() < 0.1:
            return atheris.Mutate(data, most)
        if tally.target.shape is not None and rng.random() < 0.6:
            return tally.target.shape(rng, data)[:most]
        return mutate(rng, data, tally.target.words, known)[:most]

    with tempfile.TemporaryDirectory() as corpus:
        for number, data in enumerate(known):
            (Path(corpus) / f"{number:03d}").write_bytes(data)
        most = 2 * max(map(len, known)) + 1000
        atheris.Setup(
            [sys.argv[0], f"-seed={order.seed + 1}", f"-max_len={most}", "-timeout=0", "-rss_limit_mb=0",
             "-verbosity=0", "-handle_int=0", "-handle_term=0", corpus],
            one,
            custom_mutator=mutator,
        )  # fmt: skip
        atheris.Fuzz()
    raise SystemExit


if __name__ == "__main__":
    main()
