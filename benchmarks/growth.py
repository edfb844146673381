"""How does each cost grow with the number of clips, with their frames and with the classes?

Synthetic clips under official names, hard links to a few hundred distinct files. One of the three is varied
at a time; the real commands run in one process on one thread. Shown is the cost of a clip, so that a level
line means growth in proportion. What a few clips take, mostly the start of Python, is taken off.

    python benchmarks/growth.py work/ --costs pretrain,features --clips 800 --json a.json
    python benchmarks/growth.py work/ --costs convert,verify --clips 4000 --json b.json
    python benchmarks/growth.py --from a.json b.json --plot docs/lab/scale.png
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")

from clips import link_clips, make_distinct, measured

COMMAND = [sys.executable, "-m", "skeltools"]
FEW = 160
BATCH = 32
EPOCHS = 30
DIM = 256
STEPS = 8
COSTS = {
    "convert": "convert",
    "verify": "verify",
    "pretrain": "pretrain, a clip of a step",
    "features": "features",
    "classifier": f"linear classifier, {EPOCHS} epochs of {DIM} features",
}
"""What is measured, in the order of the table, and what it is called."""


class Case(NamedTuple):
    """One file: its dataset, which sets the classes, how many clips and how many frames each."""

    dataset: str
    clips: int
    frames: int


def cases(clips: int) -> dict[str, list[Case]]:
    """Return the cases of each panel around one of `clips` clips of 64 frames and 120 classes."""
    return {
        "clips": [Case("ntu120", count, 64) for count in (clips // 2, clips, 2 * clips)],
        "frames": [Case("ntu120", clips, frames) for frames in (32, 64, 128)],
        "classes": [Case(dataset, clips, 64) for dataset in ("irds", "ntu60", "ntu120")],
    }


def classes(dataset: str) -> int:
    from skeltools.datasets import registry as datasets

    return len(datasets.get(dataset).classes)


def step_ms(data: Path, split: str, run: Path) -> float:
    """Return the median ms per clip of some steps of pretraining at width 8; leaves the run at a checkpoint."""
    words = [
        "--split", split, "--stream", "joint", "--recipe", "demo", "--epochs", "1000",
        "--batch-size", str(BATCH), "--workers", "0", "--device", "cpu", "--out", str(run),
        "--set", "train.log_every=1", "--set", "train.feed=stream", "--set", "monitor.every=1000",
    ]  # fmt: skip
    process = subprocess.Popen([*COMMAND, "pretrain", str(data), *words], stderr=subprocess.DEVNULL)
    log, speeds = run / "log.jsonl", list[float]()
    while len(speeds) < STEPS + 2:
        if process.poll() is not None:
            raise SystemExit(f"pretrain of {data} ended with {process.returncode}")
        time.sleep(0.2)
        lines = log.read_text(encoding="utf-8").splitlines(keepends=True) if log.exists() else []
        whole = [json.loads(line) for line in lines if line.endswith("\n")]
        speeds = [line["clips_per_second"] for line in whole if line["kind"] == "step"]
    process.send_signal(signal.SIGTERM)
    process.wait()
    return 1e3 / statistics.median(speeds[2:])


def classifier_ms(case: Case) -> float:
    """Return ms per clip of training the linear classifier on features that are there, without any start."""
    import torch

    from skeltools.protocols.linear import fit_layer
    from skeltools.protocols.running import registry

    torch.set_num_threads(1)
    made = torch.Generator().manual_seed(0)
    labels = torch.randint(classes(case.dataset), (case.clips,), generator=made)
    features = torch.randn(case.clips, DIM, generator=made)
    words = (f"linear.epochs={EPOCHS}", f"linear.eval_every={EPOCHS}", "linear.lr_steps=[]")
    settings = registry.get("linear").resolve({}, overrides=words).values
    began = time.perf_counter()
    fit_layer(
        features, lambda: features[:1], labels, labels[:1],
        dim=DIM, classes=classes(case.dataset), settings=settings, seed=0,
    )  # fmt: skip
    return 1e3 * (time.perf_counter() - began) / case.clips


def measure(case: Case, folder: Path, files: list[Path], costs: list[str]) -> dict[str, float]:
    """Return seconds of each command, the pretraining's ms per clip, and the conversion's peak MiB."""
    from skeltools.datasets import registry as datasets

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    raw, out, run = folder / "raw", folder / "o.h5", folder / "run"
    link_clips(files, raw, case.clips, classes(case.dataset))
    split = next(iter(datasets.get(case.dataset).train))
    found: dict[str, float] = {}
    words = ["convert", case.dataset, str(raw), str(out), "--frames", str(case.frames), "--workers", "1"]
    cost = measured([*COMMAND, *words])
    found["convert"], found["convert_mib"] = cost.seconds, cost.main_mib
    found["verify"] = measured([*COMMAND, "verify", str(out)]).seconds
    if "classifier" in costs:
        found["classifier"] = classifier_ms(case)
    if {"pretrain", "features"} & set(costs):
        found["pretrain"] = step_ms(out, split, run)
        linear = [
            *COMMAND, "eval", str(run), "--protocol", "linear", "--epochs", "3", "--device", "cpu",
            "--quiet", "--set", "linear.lr_steps=[]", "--out", str(folder / "out"),
        ]  # fmt: skip
        both = measured([*linear, "--seed", "0"]).seconds
        cached = measured([*linear, "--seed", "1"]).seconds  # its features are in the cache
        found["features"] = both - cached
    shutil.rmtree(folder)
    return found


def run_all(folder: Path, clips: int, distinct: int, repeats: int, costs: list[str]) -> dict[str, object]:
    """Measure every case `repeats` times, in turn; return medians."""
    raw = folder / f"distinct-{distinct}"
    files = sorted(raw.rglob("*.skeleton")) or make_distinct(raw, distinct)
    panels = cases(clips)
    few = Case("ntu120", FEW, 64)
    wanted = list(dict.fromkeys([few, *(case for panel in panels.values() for case in panel)]))
    found: dict[Case, list[dict[str, float]]] = {case: [] for case in wanted}
    for turn in range(repeats):
        for case in wanted:
            began = time.perf_counter()
            found[case].append(measure(case, folder / "case", files, costs))
            print(f"{turn + 1}: {case} {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    middle = {
        case: {key: statistics.median(row[key] for row in rows) for key in rows[0]}
        for case, rows in found.items()
    }
    table: dict[str, list[dict[str, float]]] = {}
    for panel, of in panels.items():
        table[panel] = []
        for case in of:
            row = {"clips": case.clips, "frames": case.frames, "classes": classes(case.dataset)}
            for key in costs:
                row[key] = middle[case][key]
                if key not in ("pretrain", "classifier"):
                    row[key] = 1e3 * (row[key] - middle[few][key]) / (case.clips - FEW)
            row["convert_mib"] = middle[case]["convert_mib"]
            table[panel].append(row)
    return {"repeats": repeats, "start": middle[few], "table": table}


def show(content: dict[str, object]) -> None:
    """Print the table: ms per clip."""
    table = content["table"]
    assert isinstance(table, dict)
    rows = [row for panel in table.values() for row in panel]
    costs = [key for key in COSTS if key in rows[0]]
    print(f"| clips | frames | classes | {' | '.join(COSTS[key] for key in costs)} |")
    print(f"| ---: | ---: | ---: |{' ---: |' * len(costs)}")
    for row in [row for number, row in enumerate(rows) if row not in rows[:number]]:
        shown = " | ".join(f"{row[key]:.3g}" for key in costs)
        print(f"| {row['clips']:,} | {row['frames']} | {row['classes']} | {shown} |")


def plot(contents: list[dict[str, object]], path: Path) -> None:
    """Draw one panel for each thing that grows, with the costs of every measurement."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    from skeltools.plots.palette import SERIES

    plt.rcParams |= {"axes.spines.top": False, "axes.spines.right": False, "font.size": 9}
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.6), sharey=True, layout="constrained")
    for axis, panel in zip(axes, ("clips", "frames", "classes"), strict=True):
        ticks: set[float] = set()
        for content in contents:
            table = content["table"]
            assert isinstance(table, dict)
            rows = table[panel]
            ticks |= {row[panel] for row in rows}
            for colour, (key, label) in zip(SERIES, COSTS.items(), strict=False):
                if key in rows[0]:
                    places, costs = [row[panel] for row in rows], [row[key] for row in rows]
                    axis.plot(places, costs, "o-", color=colour, label=label, markersize=4)
        axis.set_xscale("log")
        axis.set_yscale("log")
        shown = [tick for tick in sorted(ticks) if not any(tick / 1.2 < near < tick for near in ticks)]
        axis.set_xticks(shown, [f"{value:,}" for value in shown])
        axis.minorticks_off()
        axis.set_xlabel(panel)
        axis.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes[0].set_ylabel("ms per clip")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", help="folder for clips, files and runs")
    parser.add_argument("--clips", type=int, default=2000, help="clips of the middle case")
    parser.add_argument("--distinct", type=int, default=500, help="clips really made; the rest are links")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--costs", default=",".join(COSTS), help="what to measure  [default: everything]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    parser.add_argument("--from", dest="sources", type=Path, nargs="+", help="show figures measured before")
    parser.add_argument("--plot", type=Path, metavar="FILE")
    options = parser.parse_args()
    if options.sources:
        contents = [json.loads(path.read_text(encoding="utf-8")) for path in options.sources]
    elif options.folder:
        costs = options.costs.split(",")
        contents = [run_all(options.folder, options.clips, options.distinct, options.repeats, costs)]
    else:
        parser.error("give a folder to work in, or --from")
    if options.json:
        options.json.write_text(json.dumps(contents[0], indent=1) + "\n", encoding="utf-8")
    for content in contents:
        show(content)
    if options.plot:
        plot(contents, options.plot)


if __name__ == "__main__":
    main()
