"""How long do pictures and pages of a large data set take, and how big are they?

Writes a converted file of 120 classes by repeating synthetic clips with noise, a run whose encoder was
trained for a moment on the clips that were repeated, and a linear result of made-up scores on its test side.
Then runs each command by itself and prints seconds, peak memory and size of what it wrote. The pictures say
nothing of the method; their numbers say what the commands cost.

    python benchmarks/pictures.py work/ --clips 50000
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from skeltools.cli.main import main as command_line
from skeltools.datasets import registry as datasets
from skeltools.results import record as results
from skeltools.store import ClipFile
from skeltools.store.writer import Contents, write_file

BANK = 240
"""Synthetic clips that are repeated."""

SPLIT = "xsub"


def call(*words: str) -> None:
    """Run a command in this process."""
    command_line.main(args=list(words), prog_name="skeltools", standalone_mode=False)


def make_bank(folder: Path) -> Path:
    """Return a converted file of synthetic clips."""
    out = folder / "bank.h5"
    if not out.exists():
        call("synth", "ntu120", str(folder / "raw"), "--clips", str(BANK), "--replace")
        call("convert", "ntu120", str(folder / "raw"), str(out))
    return out


def make_file(bank: Path, out: Path, clips: int) -> None:
    """Write `clips` clips of 120 classes: those of the bank in turn, with noise of a centimetre."""
    dataset = datasets.get("ntu120")
    with ClipFile(bank) as file:
        stored = file.clips()
        settings = {k.removeprefix("chain."): v for k, v in file.attrs.items() if k.startswith("chain.")}
        prep = str(file.attrs["prep"])
    frames = stored.shape[2]
    names = sorted(
        f"S{1 + n % 32:03d}C{1 + n % 3:03d}P{1 + n // 120 % 106:03d}R{1 + n // 12720:03d}A{1 + n % 120:03d}"
        for n in range(clips)
    )
    numbers = [datasets.parse_ntu_name(name) for name in names]
    rule = dataset.train[SPLIT]
    noise = np.random.default_rng(0).normal(0, 0.01, (97, *stored.shape[1:])).astype(np.float32)

    def blocks() -> Iterator[bytes]:
        for row in range(clips):
            clip = stored[row % len(stored)]
            present = clip.any(axis=(0, 1, 2))
            yield ((clip + noise[row % len(noise)] * present).astype("<f2")).tobytes()

    digests = b"".join(hashlib.sha256(name.encode()).digest() for name in names)
    plain = {"frames": frames, "length": frames, "bodies": 1, "gaps": 0}
    contents = Contents(
        dataset=dataset,
        names=names,
        labels=[number.action - 1 for number in numbers if number],
        columns={key: [value] * clips for key, value in plain.items()},
        digests=np.frombuffer(digests, np.uint8).reshape(-1, 32),
        sides={SPLIT: np.array([rule(number) for number in numbers if number], np.int8)},
        excluded=[],
        settings=settings | {"dtype": "float16"},  # type: ignore[arg-type]
        prep=prep,
        frames=frames,
        dtype="float16",
        source_digest="0" * 64,
    )
    write_file(out, contents, {"clips": blocks()})


def make_run(bank: Path, data: Path, folder: Path) -> None:
    """Train for an epoch on the bank, then make the run one of `data`, with a result on its test side."""
    call(
        "pretrain", str(bank), "--split", SPLIT, "--stream", "joint", "--recipe", "demo",
        "--out", str(folder), "--epochs", "1", "--set", "monitor.every=0", "--replace",
    )  # fmt: skip
    call("eval", str(folder), "--protocol", "linear", "--quiet")
    with ClipFile(data) as file:
        rows = file.rows(SPLIT, "test")
        labels, names, classes = file.labels[rows], [file.names[row] for row in rows], list(file.classes)
        content = json.loads((folder / "run.json").read_text())
        content |= {"data": str(data.resolve()), "digest": file.digest}
        (folder / "run.json").write_text(json.dumps(content))
        draws = np.random.default_rng(1)
        scores = draws.normal(size=(len(rows), len(classes))).astype(np.float32)
        scores[np.arange(len(rows)), labels] += 2.5
        right = scores.argmax(axis=1) == labels
        record = results.read_all(folder / "results")[0]
        for old in (folder / "results").glob(f"{record.stem}.*"):
            old.unlink()
        made = dataclasses.replace(
            record,
            top1=float(right.mean()),
            top5=float((np.argsort(-scores, axis=1)[:, :5] == labels[:, None]).any(axis=1).mean()),
            per_class=[float(right[labels == k].mean()) if (labels == k).any() else None for k in range(120)],
            best_top1=None,
            best_epoch=None,
            test_clips=len(rows),
            data=str(data),
            data_digest=file.digest,
        )
        results.write(made, folder / "results", results.Side(scores, labels, names, classes))
        other = dataclasses.replace(made, subject=results.RANDOM, key="f" * 64)
        other = results.named(other)
        noisy = scores + draws.normal(size=scores.shape).astype(np.float32)
        results.write(other, folder / "results", results.Side(noisy, labels, names, classes))


def measure(words: list[str], out: Path) -> str:
    """Run a command by itself and return a line of a table."""
    began = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run(
        ["/usr/bin/env", sys.executable, "-c", _PEAK, *words, "--out", str(out), "--replace"],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    seconds = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    peak = int(out.with_suffix(".peak").read_text()) / 1e6
    what = " ".join(words[:2] if words[0] == "plot" else words[:1])
    return (
        f"| `{what}`, {out.suffix} | {seconds:.1f} | {used:.1f} | {peak:.2f} | "
        f"{out.stat().st_size / 1e6:.2f} |"
    )


_PEAK = """
import resource, sys
from pathlib import Path
from skeltools.cli.main import main
try:
    main()
finally:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    Path(sys.argv[sys.argv.index("--out") + 1]).with_suffix(".peak").write_text(str(peak))
"""


def run() -> None:
    """Make what is missing, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=50_000)
    parser.add_argument(
        "--only-make", action="store_true", help="Make the file and the run, measure nothing."
    )
    options = parser.parse_args()
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    data, trained = folder / "big.h5", folder / "run"
    bank = make_bank(folder)
    if not data.exists():
        make_file(bank, data, options.clips)
    if not (trained / "results").exists():
        make_run(bank, data, trained)
    if options.only_make:
        return
    print(f"{options.clips:,} clips, 120 classes, {data.stat().st_size / 1e9:.2f} GB\n")
    print("| command | seconds | CPU seconds | peak GB | MB written |")
    print("| --- | ---: | ---: | ---: | ---: |")
    with ClipFile(data) as file:
        name = file.names[len(file) // 2]
    for words, out in (
        (["plot", "clip", str(data), name], "clip.gif"),
        (["plot", "clip", str(data), name], "clip.png"),
        (["plot", "confusion", str(trained)], "confusion.png"),
        (["plot", "confusion", str(trained)], "confusion.svg"),
        (["plot", "compare", f"{trained}@random", str(trained)], "compare.png"),
        (["plot", "embedding", str(trained), str(data)], "embedding.png"),
        (["plot", "attention", str(trained), str(data), "--class", "throw"], "attention.png"),
        (["view", str(data)], "view.html"),
        (["page", str(trained)], "page.html"),
    ):
        print(measure(words, folder / out), flush=True)


if __name__ == "__main__":
    run()
