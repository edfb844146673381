"""What the program computed before its rooms were rebuilt, made anew by the present program.

python tests/goldens.py OUT.json        (OMP_NUM_THREADS=1; about two minutes)

Every number comes through the commands alone, so that no move of a module changes this file. Tensors are
compared without their names.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from click.testing import CliRunner

PREPARATIONS = ("skeattnclr", "aimclr", "ctrgcn", "cmd")
STREAMS = ("joint", "motion", "bone")
BACKBONES = ("stgcn", "bigru", "dsta")
METHODS = ("skeattnclr", "skeletonclr")
SIZE = (
    "model.width=4", "model.dim=16", "model.embedding=8", "model.heads=4", "model.gru_hidden=8",
    "model.gru_layers=2", "model.subsets=2", "queue.size=32", "augment.swap_unit=1",
    "train.epochs=5", "train.batch_size=6",
    "train.log_every=1", "train.lr=0.05", "train.lr_steps=[3]", "monitor.every=1", "monitor.k=3",
    "train.precision=float64", "train.deterministic=true",
)  # fmt: skip
EVALUATION = (
    "linear.epochs=3", "linear.lr_steps=[2]", "finetune.epochs=2", "finetune.lr_steps=[]", "semi1.epochs=2",
    "semi1.lr_steps=[]", "semi10.epochs=2", "semi10.lr_steps=[]", "knn.k=[1,3]", "transfer.linear.epochs=2",
    "transfer.linear.lr_steps=[]", "transfer.finetune.epochs=2", "transfer.finetune.lr_steps=[]",
)  # fmt: skip


def machine() -> dict[str, Any]:
    """What decides about the last bit of a sum."""
    model = ""
    if Path("/proc/cpuinfo").exists():
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        model = next(
            (line.split(":", 1)[1].strip() for line in text.splitlines() if "model name" in line), ""
        )
    return {
        "cpu": model or platform.processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": torch.get_num_threads(),
        "openblas": os.environ.get("OPENBLAS_CORETYPE", ""),
    }


def skeltools(*words: str) -> str:
    """Run a command, return its stdout."""
    from skeltools.cli.main import main

    result = CliRunner().invoke(main, list(words))
    if result.exit_code:
        raise SystemExit(f"skeltools {' '.join(words)}: {result.output}")
    return result.stdout


def summary(array: Any) -> dict[str, Any]:
    """An array as digest and three sums, the last one of positions."""
    values = np.ascontiguousarray(array)
    flat = values.astype(np.float64).reshape(-1)
    wave = np.sin(np.arange(1, len(flat) + 1))
    sums = [float(flat.sum()), float(np.abs(flat).sum()), float(flat @ wave)]
    return {"sha256": hashlib.sha256(values.tobytes()).hexdigest(), "sums": sums}


def prepared(work: Path) -> dict[str, Any]:
    """Clips of each preparation, of four kinds of raw data."""
    found: dict[str, Any] = {}
    for dataset in ("ntu60", "ntu120", "pku1", "pku2"):
        skeltools("synth", dataset, str(work / f"raw-{dataset}"), "--clips", "40")
        for name in PREPARATIONS:
            out = work / f"{dataset}-{name}.h5"
            skeltools("convert", dataset, str(work / f"raw-{dataset}"), str(out), "--prep", name)
            with h5py.File(out) as file:
                found[f"{dataset} {name}"] = summary(file["clips"][:])
                labels = [file[key].asstr()[:].tolist() if key == "name" else file[key][:].tolist()
                          for key in ("name", "label", "frames", "length")]  # fmt: skip
                found[f"{dataset} {name} rows"] = hashlib.sha256(json.dumps(labels).encode()).hexdigest()
    return found


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """Yield the floating tensors of nested containers."""
    if isinstance(value, torch.Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from tensors(part)


def state(folder: Path) -> dict[str, Any]:
    """The model's tensors at the end of a run, whatever their names and order."""
    path = sorted((folder / "checkpoints").iterdir())[-1]
    saved = torch.load(path, map_location="cpu", weights_only=True)
    return joined([summary(tensor.numpy()) for tensor in tensors(saved["model"])])


def joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Several summaries as one that does not depend on their order."""
    digest = hashlib.sha256("".join(sorted(part["sha256"] for part in parts)).encode()).hexdigest()
    columns = zip(*(part["sums"] for part in parts), strict=True)
    return {"sha256": digest, "sums": [math.fsum(column) for column in columns], "tensors": len(parts)}


def trained(work: Path, clips: Path) -> dict[str, Any]:
    """The state after 20 steps, and the losses on the way."""
    found: dict[str, Any] = {}
    for method in METHODS:
        for backbone in BACKBONES:
            for stream in STREAMS:
                name = f"{method} {backbone} {stream}"
                out = work / name.replace(" ", "-")
                settings = [word for one in (*SIZE, f"model.backbone={backbone}") for word in ("--set", one)]
                words = (
                    "--split",
                    "xsub",
                    "--stream",
                    stream,
                    "--recipe",
                    method,
                    "--seed",
                    "3",
                    "--device",
                    "cpu",
                )
                skeltools("pretrain", str(clips), *words, "--out", str(out), *settings)
                lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
                found[name] = {
                    "state": state(out),
                    "loss": [line["loss"] for line in lines if line["kind"] == "step"],
                    "knn": [line["knn_top1"] for line in lines if line["kind"] == "monitor"],
                }
    return found


def evaluated(work: Path) -> dict[str, Any]:
    """The records of every protocol that applies to small data."""
    runs = [str(work / f"skeattnclr-bigru-{stream}") for stream in STREAMS]
    settings = [word for one in EVALUATION for word in ("--set", one)]
    target = work / "target.h5"
    skeltools("convert", "ntu60", str(work / "raw-ntu60"), str(target), "--frames", "16")
    skeltools("eval", *runs, "--protocol", "all", "--target", str(target), "--quiet", *settings)
    found: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        for path in sorted((Path(run) / "results").glob("*.json")):
            record = json.loads(path.read_text())
            key = [record.get(word) for word in ("protocol", "variant", "subject", "stream", "name")]
            label = " ".join(str(word) for word in key if word is not None)
            numbers = {name: value for name, value in record.items() if isinstance(value, float)}
            numbers.pop("seconds", None)
            with np.load(path.parent / record["scores"]) as side:
                numbers["scores"] = summary(side["scores"])
            found.setdefault(label, []).append(numbers)
    return {label: sorted(values, key=json.dumps) for label, values in sorted(found.items())}


def make() -> dict[str, Any]:
    """Make all of it."""
    from clipfiles import make_clips

    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        clips = make_clips(work / "clips", train=24, test=8)
        found = {"machine": machine(), "prepared": prepared(work), "trained": trained(work, clips)}
        return found | {"evaluated": evaluated(work)}


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    Path(sys.argv[1]).write_text(json.dumps(make(), indent=1) + "\n", encoding="utf-8")
