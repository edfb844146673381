"""Fuzz the readers: ``python -m fuzz.run [TARGET ...] --cases N --seconds S``, from the folder ``tests``.

Each target runs in a process of its own. One that dies (a fault in a compiled library) counts as a crash and is
started again with another seed. Inputs that failed are kept in the folder ``--failures``, that of a process that
died as ``died-SEED``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

from fuzz.targets import TARGETS

GRACE = 60.0
"""Seconds after its time in which a process must end; one that does not is in a case without an end."""

COLUMNS = ("cases", "accepted", "refused", "crashes", "timeouts")


def fuzz(name: str, cases: int, seconds: float, failures: Path, guided: bool) -> tuple[Counter[str], float]:
    """Run a target and return its counts and its peak memory beyond the start, in megabytes."""
    total: Counter[str] = Counter()
    peak = 0.0
    stop = time.monotonic() + seconds  # a clock that all processes of a machine share, starts included
    folder = failures / name
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(20):
        with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as work:
            command = [
                sys.executable, "-m", "fuzz.worker", name, "--cases", str(cases - total["cases"]),
                "--until", str(stop), "--seed", str(seed), "--failures", str(folder), "--work", work,
                *(["--guided"] if guided else []),
            ]  # fmt: skip
            late = False
            try:
                left = max(0.0, stop - time.monotonic())
                done = subprocess.run(
                    command, capture_output=True, text=True, check=False, timeout=left + GRACE
                )
                told, status, errors = done.stdout, done.returncode, done.stderr
            except subprocess.TimeoutExpired as stopped:  # a loop in a compiled library, which no signal ends
                late, status, errors = True, 1, ""
                told = stopped.stdout.decode() if isinstance(stopped.stdout, bytes) else stopped.stdout or ""
            lines = [line for line in told.splitlines() if line.startswith("{")]
            counts = json.loads(lines[-1]) if lines else dict.fromkeys((*COLUMNS, "megabytes"), 0)
            total.update({key: counts[key] for key in COLUMNS})
            peak = max(peak, counts["megabytes"])
            if status == 0:
                return total, peak
            total["timeouts" if late else "crashes"] += 1
            (folder / f"died-{seed}.txt").write_text(errors[-4000:])
            if (current := Path(work) / "current").exists():
                shutil.copyfile(current, folder / f"died-{seed}")
        if time.monotonic() > stop:
            break
    return total, peak


def main() -> None:
    """Run what the command line asks for; exit status 1 where anything failed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("targets", nargs="*", default=[])
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0, help="most seconds per target")
    parser.add_argument("--failures", type=Path, default=Path("fuzz-failures"))
    parser.add_argument("--plain", action="store_true", help="without coverage guidance")
    order = parser.parse_args()
    guided = not order.plain and find_spec("atheris") is not None
    reason = "asked for with --plain" if order.plain else "pip install atheris"
    print(f"coverage-guided: {'yes' if guided else f'no ({reason})'}")
    print("| target | cases | accepted | refused | crashes | time-outs | memory, MB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    failed = False
    for name in order.targets or TARGETS:
        total, peak = fuzz(name, order.cases, order.seconds, order.failures.resolve(), guided)
        failed |= bool(total["crashes"] or total["timeouts"])
        print(
            f"| {name} | " + " | ".join(f"{total[key]:,}" for key in COLUMNS) + f" | {peak:.0f} |", flush=True
        )
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
