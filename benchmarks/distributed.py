"""How does a pretraining step scale over processes, and how many bytes do they exchange?

Runs the real command under torchrun (gloo, CPU) on one global batch for each number of processes, and takes
the median speed from the run's log. Bytes come from the model's shapes. Example:

    python benchmarks/distributed.py ntu60.h5 work/ --processes 1 2 4 8
    python benchmarks/distributed.py --paper   # bytes alone, at width 64, for 8 and 64 GPUs
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

SMALL = [
    "model.width=8", "model.dim=64", "model.embedding=64", "model.heads=4", "queue.size=1024", "loss.mu=0.5",
]  # fmt: skip


def sizes(overrides: list[str]) -> tuple[int, int, int]:
    """Return the number of trained parameters, the numbers in a clip, and those that a step keeps of it."""
    import torch

    from skeltools.methods.contract import Batch
    from skeltools.methods.registry import make_method
    from skeltools.runs.settings import resolve_recipe
    from skeltools.skeletons import Form, load
    from skeltools.transforms.draws import Draws, step_draws

    settings = resolve_recipe(None, dataset="", split="", stream="joint", overrides=overrides).values
    model = make_method(settings, Form(load("kinect2"), 2, 64), "joint", 0)
    parameters = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    clips = torch.randn(3, 3, 64, 25, 2)
    batch = Batch(clips, Draws(0, 0, torch.arange(3)), step_draws(0, 0), slice(0, 3))
    kept = model(*model.views(batch)).kept
    return parameters, clips[0].numel(), sum(values.numel() for values in kept) // len(clips)


def show_bytes(processes: list[int], batch: int, overrides: list[str]) -> None:
    """Print what a process sends per step, with `batch` clips per process.

    A ring all-reduce of G bytes sends 2 (p - 1) / p G from each process; an all-gather of K bytes per process
    sends (p - 1) K.
    """
    parameters, coordinates, numbers = sizes(overrides)
    gradients, clips, keys = 4 * parameters, 4 * coordinates * batch, 4 * numbers * batch
    print(f"{parameters:,} trained parameters: {gradients / 1e6:.2f} MB of gradients")
    print(f"{batch} clips: {clips / 1e6:.3f} MB, their keys {keys / 1e6:.3f} MB")
    print("| processes | gradients sent, MB | clips sent, MB | keys sent, MB | sum, MB |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for p in processes:
        a, b, c = 2 * (p - 1) / p * gradients / 1e6, (p - 1) * clips / 1e6, (p - 1) * keys / 1e6
        print(f"| {p} | {a:.2f} | {b:.2f} | {c:.2f} | {a + b + c:.2f} |")


def step_time(data: Path, out: Path, processes: int, options: argparse.Namespace) -> float:
    """Return the median seconds of a step of the global batch, the first two left out."""
    shutil.rmtree(out, ignore_errors=True)
    words = [
        "--split", "xsub", "--stream", "joint", "--epochs", str(options.epochs), "--device", "cpu",
        "--batch-size", str(options.batch), "--out", str(out), "--set", "train.log_every=1",
        "--set", "train.feed=device", "--set", f"monitor.every={options.epochs + 1}",
    ]  # fmt: skip
    words += [word for setting in SMALL for word in ("--set", setting)]
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *start, "-m", "skeltools", "pretrain", str(data), *words]
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    speeds = [line["clips_per_second"] for line in lines if line["kind"] == "step"][2:]
    return options.batch / statistics.median(speeds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?", help="a converted file")
    parser.add_argument("folder", type=Path, nargs="?", help="where runs go")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--batch", type=int, default=16, help="clips of all processes together")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--paper", action="store_true", help="print bytes at full width and measure nothing")
    options = parser.parse_args()
    if options.paper:
        show_bytes([8, 64], 128, ["loss.mu=0.5"])
        return
    if options.data is None or options.folder is None:
        parser.error("give a converted file and a folder, or --paper")
    print("| processes | step, s |")
    print("| ---: | ---: |")
    for processes in options.processes:
        seconds = step_time(options.data, options.folder / f"run-{processes}", processes, options)
        print(f"| {processes} | {seconds:.2f} |", flush=True)
    for processes in options.processes:
        show_bytes([processes], options.batch // processes, SMALL)


if __name__ == "__main__":
    main()
