"""What it costs to compare with digests what is read: opening, loading, and a training epoch's clips streamed.

Side by side with the comparison switched off, in turns, on a made-up file. Medians; prints a table and JSON:

    python benchmarks/checked.py --clips 4000
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from skeltools.datasets import registry as datasets
from skeltools.store import ClipFile
from skeltools.store.writer import Contents, write_file

FRAMES = 64


def make_clips(path: Path, clips: int) -> None:
    """Write a file of noise, of NTU's shape at 64 frames."""
    dataset = datasets.get("ntu60")
    shape = (97, 3, FRAMES, dataset.skeleton.num_joints, dataset.bodies)
    values = np.random.default_rng(0).normal(0, 0.3, shape).astype("<f4")
    stored = [clip.tobytes() for clip in values]
    digests = b"".join(hashlib.sha256(stored[row % 97]).digest() for row in range(clips))
    plain = {"frames": FRAMES, "length": FRAMES, "bodies": 2, "gaps": 0}
    contents = Contents(
        dataset=dataset,
        names=sorted(
            f"S001C001P{1 + row // 600:03d}R{1 + row // 60 % 10:03d}A{1 + row % 60:03d}"
            for row in range(clips)
        ),
        labels=[row % 60 for row in range(clips)],
        columns={key: [value] * clips for key, value in plain.items()},
        digests=np.frombuffer(digests, np.uint8).reshape(-1, 32),
        train={"xsub": np.arange(clips) % 3 > 0},
        excluded=[],
        settings={"frames": FRAMES, "dtype": "float32"},
        prep="made up",
        frames=FRAMES,
        dtype="float32",
        source_digest="0" * 64,
    )
    write_file(path, contents, {"clips": (stored[row % 97] for row in range(clips))})


def seconds(work: Callable[[], object]) -> float:
    """Return how long it takes once."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def opened(path: Path, checked: bool) -> None:
    ClipFile(path, checked=checked).close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, help="a converted file; made up where none is given")
    parser.add_argument("--clips", type=int, default=4000)
    parser.add_argument("--repeats", type=int, default=9)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = given.file or Path(folder) / "clips.h5"
        if given.file is None:
            make_clips(path, given.clips)
        with ClipFile(path) as checked, ClipFile(path, checked=False) as plain:
            rows = np.random.default_rng(0).permutation(len(checked))
            work: dict[str, Callable[[bool], object]] = {
                "open": lambda check: opened(path, check),
                "load": lambda check: (checked if check else plain).clips(rows),
            }
            times: dict[str, dict[bool, list[float]]] = {name: {True: [], False: []} for name in work}
            for _ in range(given.repeats):
                for name, act in work.items():
                    for check in (True, False):
                        times[name][check].append(seconds(lambda act=act, check=check: act(check)))
            count = len(checked)
    found = {
        name: {"checked s": statistics.median(both[True]), "plain s": statistics.median(both[False])}
        for name, both in times.items()
    }
    for name, values in found.items():
        extra = values["checked s"] - values["plain s"]
        print(
            f"{name:6} {count:,} clips: {values['plain s']:.3f} s plain, {values['checked s']:.3f} s checked, "
            f"{1e6 * extra / count:.1f} us per clip more"
        )
    print(json.dumps({"clips": count, **found}))


if __name__ == "__main__":
    main()
