"""What benchmarks share: folders of many clips from few synthetic files, and the memory of a command."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path


def official_names(count: int, classes: int = 120) -> list[str]:
    """Return NTU-120 clip names that are not officially incomplete, spread over all there can be.

    Actions 1 to 60 are of setups 1 to 17, actions 61 to 120 of setups 18 to 32, as in the dataset. With fewer
    `classes`, only names of the first actions.
    """
    from skeltools.datasets.registry import NtuName, incomplete_ntu_clips

    incomplete = incomplete_ntu_clips()
    names = [
        name
        for setup in range(1, 33)
        for camera in range(1, 4)
        for subject in range(1, 107)
        for replication in (1, 2)
        for action in (range(1, 61) if setup < 18 else range(61, 121))
        if action <= classes
        and (name := str(NtuName(setup, camera, subject, replication, action))) not in incomplete
    ]
    if count > len(names):
        raise SystemExit(f"{count} clips are more than NTU-120 has names for, {len(names)}")
    return [names[number * len(names) // count] for number in range(count)]


def make_distinct(folder: Path, count: int, frames: tuple[int, int] = (70, 90)) -> list[Path]:
    """Write `count` synthetic NTU-120 files, by default as large as the dataset's, and return them."""
    from skeltools import synth

    synth.write("ntu120", folder, clips=count, frames=tuple(frames), seed=0, workers=os.cpu_count() or 1)
    return sorted(folder.rglob("*.skeleton"))


def link_clips(files: list[Path], folder: Path, count: int, classes: int = 120) -> None:
    """Make `folder` with `count` hard links to `files`, taken in turn, under official names."""
    folder.mkdir()
    for number, name in enumerate(official_names(count, classes)):
        os.link(files[number % len(files)], folder / f"{name}.skeleton")


@dataclass
class Cost:
    """What a command took.

    Attributes:
        seconds: From its start to its end.
        main_mib: Peak resident memory of its first process.
        worker_mib: Peak resident memory of the largest of the processes it started; 0 without any.
        space_mib: Peak address space of the largest of them all, which is what ``ulimit -v`` bounds.
        output: What it printed.
    """

    seconds: float
    main_mib: float
    worker_mib: float
    space_mib: float
    output: str


def measured(command: list[str]) -> Cost:
    """Run a command to its end and watch the peak memory of it and of all it starts (Linux).

    ``VmHWM`` is read ten times per second. ``ru_maxrss`` would not do: a new process inherits it from the
    one that started it.
    """
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    peaks: dict[int, int] = {}
    spaces: dict[int, int] = {}
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            for pid in [process.pid, *_descendants(process.pid)]:
                resident, space = _peak(pid)
                peaks[pid] = max(peaks.get(pid, 0), resident)
                spaces[pid] = max(spaces.get(pid, 0), space)

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, errors = process.communicate()
    seconds = time.perf_counter() - began
    ended.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{errors}")
    main = peaks.pop(process.pid, 0)
    worker = max(peaks.values(), default=0)
    return Cost(seconds, main / 1024, worker / 1024, max(spaces.values(), default=0) / 1024, output)


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(entry.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue
        children.setdefault(parent, []).append(int(entry.parent.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found[1:]


def _peak(pid: int) -> tuple[int, int]:
    """Return the peaks of resident memory and of address space of a process in KiB, 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0, 0
    facts = dict(line.split(":", 1) for line in status.splitlines())
    resident, space = (int(facts.get(key, "0").split()[0]) for key in ("VmHWM", "VmPeak"))
    return resident, space
