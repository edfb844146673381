"""What users wait for beside the arithmetic of a pretraining step, on real code and a converted file.

- The engine's step with its clips at hand, gathered from the device, and streamed from the file by worker
  processes: what the input pipeline adds.
- The engine's step with other settings, such as train.compile=true (`--set`).
- A step of finetuning: the difference of a longer and a shorter run of the protocol, by their steps.
- Feature extraction: clips per second, reading included.

Synthetic clips are made and converted first, unless the folder has them. Medians; ratios are of rounds side by side.
Example:

    python benchmarks/around.py work/ --device cuda --width 64 --batch 128
    python benchmarks/around.py work/ --only-data
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from clips import link_clips, make_distinct
from torch import Tensor

from skeltools.analysis.features import extract
from skeltools.environment import device_name, full_float32, pick_device
from skeltools.models.contract import initialise
from skeltools.models.encoder import FeatureEncoder
from skeltools.models.registry import build_backbone
from skeltools.protocols.running import registry
from skeltools.protocols.running.subjects import Subject
from skeltools.protocols.running.task import Task
from skeltools.protocols.running.tuning import tune
from skeltools.results import record
from skeltools.runs.folder import Run
from skeltools.runs.settings import resolve_recipe
from skeltools.store import ClipFile
from skeltools.training.engine import Trainer
from skeltools.training.feed import make_feed

WARM = 3
"""Steps before those that count."""


def data(folder: Path, clips: int) -> Path:
    """Return a converted file of synthetic NTU-120 clips, two bodies and 64 frames each; made if missing."""
    out = folder / f"ntu120-{clips}.h5"
    if not out.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as made:
            files = make_distinct(Path(made) / "distinct", min(clips, 200))
            link_clips(files, Path(made) / "raw", clips)
            words = ["convert", "ntu120", str(Path(made) / "raw"), str(out)]
            subprocess.run([sys.executable, "-m", "skeltools", *words], check=True, stdout=sys.stderr)
    return out


def wait(device: torch.device) -> float:
    """Wait for the device and return the time."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def peak(device: torch.device) -> float | None:
    """Return the peak memory on a GPU since the last call, in MiB."""
    if device.type != "cuda":
        return None
    found = torch.cuda.max_memory_allocated(device) / 2**20
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    return found


def train(trainer: Trainer, batches: Iterable[tuple[Tensor, Tensor]], steps: int) -> float:
    """Return seconds per step of `steps` steps, after the first `WARM`."""
    began = 0.0
    for number, (rows, x) in enumerate(batches):
        if number == WARM:
            began = wait(trainer.device)
        trainer._step(rows, x)
    return (wait(trainer.device) - began) / steps


def feeds(options: argparse.Namespace, file: ClipFile, device: torch.device) -> list[dict[str, Any]]:
    """Time the engine's step by feed."""
    words = [
        f"model.width={options.width}", f"train.batch_size={options.batch}", "monitor.every=0",
        "train.epochs=100000", f"train.precision={options.precision}", *options.overrides,
    ]  # fmt: skip
    settings = resolve_recipe(None, dataset="ntu120", split="xsub", stream="joint", overrides=words)
    about: dict[str, Any] = {"split": "xsub", "stream": "joint", "seed": 0, "command": "benchmark"}
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder) / "run", settings, file=file, **about)
        trainer = Trainer(run, file, device)
        trainer.model.train()
        whole = WARM + options.steps
        draws = torch.Generator().manual_seed(0)
        places = torch.randint(len(trainer.rows), (whole, options.batch), generator=draws)
        at_hand = next(iter(make_feed(file, trainer.rows, device, "device", 0).batches(places[:1])))
        for _ in range(WARM):
            trainer._step(*at_hand)
        ways = {"at hand": None, "device": make_feed(file, trainer.rows, device, "device", 0)}
        ways |= {
            f"stream, {count} workers": make_feed(file, trainer.rows, device, "stream", count)
            for count in options.workers
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        peak(device)
        for _ in range(options.rounds):
            for name, feed in ways.items():
                batches = [at_hand] * whole if feed is None else feed.batches(places)
                times[name].append(train(trainer, batches, options.steps))
        most = peak(device)
    rows = []
    for name, found in times.items():
        step = statistics.median(found)
        shares = [1 - base / own for base, own in zip(times["at hand"], found, strict=True)]
        rows.append(
            {
                "what": f"engine's step, clips {name}", "ms": 1e3 * step, "clips_per_second": options.batch / step,
                "share_of_input": statistics.median(shares), "peak_mib": most,
            }
        )  # fmt: skip
    return rows


def build(options: argparse.Namespace, file: ClipFile, device: torch.device) -> FeatureEncoder:
    """Return an untrained encoder of the pretraining recipe, in evaluation mode."""
    settings = resolve_recipe(
        None, dataset="ntu120", split="xsub", stream="joint", overrides=[f"model.width={options.width}"]
    ).values
    torch.manual_seed(0)
    encoder = FeatureEncoder(build_backbone(settings.model, file.form))
    initialise(encoder)
    return encoder.to(device).eval()


def finetuning(options: argparse.Namespace, file: ClipFile, device: torch.device) -> list[dict[str, Any]]:
    """Time a step of finetuning."""
    subject = Subject(record.RANDOM, "benchmark", lambda where: build(options, file, where))
    task = Task(file, "xsub", "joint", subject, 0, device)
    context = {"dataset": file.dataset.name, "split": "xsub", "stream": "joint"}
    words = [f"finetune.batch_size={options.batch}"]
    use = registry.get("finetune").resolve(context, None, words).values
    some = task.train_rows[: 8 * options.batch]
    steps = -(-len(some) // options.batch)
    task.test_rows = task.test_rows[: max(1, min(len(task.test_rows), 2 * options.batch))]

    def run(epochs: int) -> float:
        began = wait(device)
        tune(task, some, replace(use, epochs=epochs, eval_every=epochs), "finetune")
        return wait(device) - began

    run(1)
    peak(device)
    clip = [(run(1 + options.epochs) - run(1)) / (options.epochs * len(some)) for _ in range(options.rounds)]
    return [
        told(f"finetune step, float32, {steps} per epoch", statistics.median(clip), options.batch, device)
    ]


def features(options: argparse.Namespace, file: ClipFile, device: torch.device) -> list[dict[str, Any]]:
    """Time feature extraction, reading and checking of the clips included."""
    encoder, clips = build(options, file, device), np.arange(min(len(file), options.features))
    extract(encoder, file, clips[: options.batch], "joint", batch_size=options.batch, device=device)
    peak(device)
    times = []
    for _ in range(options.rounds):
        began = wait(device)
        extract(encoder, file, clips, "joint", batch_size=options.batch, device=device)
        times.append((wait(device) - began) / len(clips))
    what = f"features of {len(clips)} clips, float32, a batch"
    return [told(what, statistics.median(times), options.batch, device)]


def told(what: str, clip: float, batch: int, device: torch.device) -> dict[str, Any]:
    """Return a row, from the seconds per clip."""
    return {
        "what": what, "ms": 1e3 * clip * batch, "clips_per_second": 1 / clip, "share_of_input": None,
        "peak_mib": peak(device),
    }  # fmt: skip


PARTS = {"feeds": feeds, "finetune": finetuning, "features": features}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder of the clips, made if missing")
    parser.add_argument("--clips", type=int, default=4000)
    parser.add_argument("--only-data", action="store_true", help="make the clips and end")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--precision", default="bf16", choices=("float32", "bf16"), help="of pretraining")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--steps", type=int, default=20, help="steps of pretraining timed together")
    parser.add_argument(
        "--epochs", type=int, default=2, help="epochs of 8 steps of finetuning timed together"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="*", default=[2, 8], help="processes that read clips")
    parser.add_argument("--only", choices=PARTS, nargs="*", default=list(PARTS), help="some of it")
    parser.add_argument("--features", type=int, default=4000, help="clips whose features are timed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there")
    options = parser.parse_args()
    path = data(options.folder, options.clips)
    if options.only_data:
        return
    device = pick_device(options.device)
    full_float32()
    torch.backends.cudnn.benchmark = True  # as the engine does
    print(
        f"{device_name(device)}, torch {torch.__version__}, width {options.width}, batch {options.batch}, "
        f"{options.precision} {' '.join(options.overrides)}, medians of {options.rounds} rounds"
    )
    print("| what | ms | clips/s | share of the input, % | peak MiB |")
    print("| --- | ---: | ---: | ---: | ---: |", flush=True)
    rows: list[dict[str, Any]] = []
    with ClipFile(path) as file:
        for name in options.only:
            for row in PARTS[name](options, file, device):
                share = "" if row["share_of_input"] is None else f"{100 * row['share_of_input']:.1f}"
                most = "" if row["peak_mib"] is None else f"{row['peak_mib']:.0f}"
                cells = f"{row['ms']:.2f} | {row['clips_per_second']:.0f} | {share} | {most}"
                print(f"| {row['what']} | {cells} |", flush=True)
                rows.append(row)
    if options.json:
        report = {"device": device_name(device), "settings": options.overrides, "rows": rows}
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
