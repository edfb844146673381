"""What it costs to compare with digests what is read: opening, loading, an epoch of training, kNN and linear.

Side by side with the comparison switched off, in turns, on a made-up file. Medians; prints a table and JSON:

    python benchmarks/checked.py --clips 4000
    python benchmarks/checked.py --clips 15000 --train --only epoch --device cuda --set train.precision=bf16

With ``--train`` whole commands run too, their start left out: an epoch with clips on the device and one that streams
them, each by the default recipe; kNN and linear on features that are there already, where comparing the clips with
what the features were made of is all the reading there is; and kNN without them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from skeltools.cli.main import main as main_command
from skeltools.datasets import registry as datasets
from skeltools.datasets.contract import TEST, TRAIN
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
        sides={"xsub": np.where(np.arange(clips) % 3 > 0, TRAIN, TEST).astype(np.int8)},
        excluded=[],
        settings={"frames": FRAMES, "dtype": "float32"},
        prep="made up",
        frames=FRAMES,
        dtype="float32",
        source_digest="0" * 64,
    )
    write_file(path, contents, {"clips": (stored[row % 97] for row in range(clips))})


def seconds(work: Callable[[], object], clock: str) -> float:
    """Return how long it takes once: by the wall's clock, or of all processors, ended child processes included."""

    def now() -> float:
        if clock == "wall":
            return time.perf_counter()
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(one.ru_utime + one.ru_stime for one in used)

    begun = now()
    work()
    return now() - begun


def opened(path: Path, checked: bool) -> None:
    ClipFile(path, checked=checked).close()


@contextmanager
def comparing(check: bool) -> Iterator[None]:
    """Switch the comparison of rows, and of all else on opening, off in this process and those it forks."""
    rows, rest = ClipFile._compare, ClipFile.digest_faults
    if not check:
        ClipFile._compare = lambda *_: None  # type: ignore[method-assign]
        ClipFile.digest_faults = lambda _: []  # type: ignore[method-assign]
    try:
        yield
    finally:
        ClipFile._compare, ClipFile.digest_faults = rows, rest  # type: ignore[method-assign]


def command(*words: object) -> None:
    """Run a command of the program in this process."""
    result = CliRunner().invoke(main_command, [str(word) for word in words])
    if result.exit_code:
        raise SystemExit(result.output[-2000:])


def commands(path: Path, folder: Path, device: str, more: list[str]) -> dict[str, Callable[[bool], object]]:
    """Return what ``--train`` measures; features are made and kept before any of it."""
    run, pretrain = (
        folder / "run",
        ["pretrain", path, "--split", "xsub", "--stream", "joint", "--device", device],
    )
    more = [word for text in more for word in ("--set", text)]
    base = [*pretrain, "--epochs", 1, "--set", "monitor.every=0", *more]
    few = ["--set", "linear.epochs=3"]
    command(*base, "--out", run)
    command("eval", run, "--protocol", "knn", "--device", device)

    def work(*words: object, fresh: bool = False) -> Callable[[bool], None]:
        def act(check: bool) -> None:
            for record in (run / "results").glob("*.*"):
                record.unlink()
            if fresh:
                shutil.rmtree(run / "results" / "cache", ignore_errors=True)
            with comparing(check):
                command(*words)

        return act

    return {
        "epoch, clips on the device": work(
            *base, "--set", "train.feed=device", "--out", folder / "again", "--replace"
        ),
        "epoch, clips streamed": work(
            *base, "--set", "train.feed=stream", "--out", folder / "again", "--replace"
        ),
        "linear, features kept": work("eval", run, "--protocol", "linear", *few, "--device", device),
        "kNN, features kept": work("eval", run, "--protocol", "knn", "--device", device),
        "kNN, features made": work("eval", run, "--protocol", "knn", "--device", device, fresh=True),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, help="a converted file; made up where none is given")
    parser.add_argument("--clips", type=int, default=4000)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument(
        "--clock", choices=["wall", "processor"], default="wall", help="the latter on busy machines"
    )
    parser.add_argument("--train", action="store_true", help="time training and protocols too")
    parser.add_argument("--only", default="", help="measure what has this word in its name alone")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--set", action="append", default=[], help="settings of pretraining, as for 'skeltools pretrain'"
    )
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
            if given.train:
                work |= commands(path, Path(folder), given.device, given.set)
            work = {name: act for name, act in work.items() if given.only in name}
            times: dict[str, dict[bool, list[float]]] = {name: {True: [], False: []} for name in work}
            for _ in range(given.repeats):
                for name, act in work.items():
                    for check in (True, False):
                        times[name][check].append(
                            seconds(lambda act=act, check=check: act(check), given.clock)
                        )
            count = len(checked)
    found = {
        name: {"checked s": statistics.median(both[True]), "plain s": statistics.median(both[False])}
        for name, both in times.items()
    }
    for name, values in found.items():
        extra = values["checked s"] - values["plain s"]
        print(
            f"{name:26} {count:,} clips: {values['plain s']:.3f} s plain, {values['checked s']:.3f} s checked, "
            f"{1e6 * extra / count:.1f} us per clip more, {100 * extra / values['plain s']:+.1f} %"
        )
    print(json.dumps({"clips": count, **found}))


if __name__ == "__main__":
    main()
