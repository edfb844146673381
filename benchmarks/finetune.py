"""Finetuning against pretraining: what a training clip costs in one pass, in float32 and bf16, and where it goes.

Steps of the pretraining engine and of the protocol take turns on the same clips, encoder and batch size. Finetuning
scores the test clips every few epochs besides; that is measured too and shared out over the training clips, by the
numbers of clips of NTU-60 xsub. On a CPU all times are CPU seconds of this process, whatever else the machine does.
Medians; ratios are of rounds side by side. Example:

    skeltools synth ntu60 raw/ --clips 200
    skeltools convert ntu60 raw/ clips.h5
    python benchmarks/finetune.py clips.h5 --width 64 --batch 16 --threads 1
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial, wraps
from pathlib import Path
from typing import Any

import torch

from skeltools.datasets import registry as datasets
from skeltools.environment import device_name, full_float32, pick_device
from skeltools.models.contract import initialise
from skeltools.models.encoder import FeatureEncoder
from skeltools.models.registry import build_backbone
from skeltools.protocols.running import registry
from skeltools.protocols.running.subjects import Subject
from skeltools.protocols.running.task import Task
from skeltools.protocols.running.tuning import _Tuning
from skeltools.results import record
from skeltools.runs.folder import Run
from skeltools.runs.settings import resolve_recipe
from skeltools.store import ClipFile
from skeltools.training.engine import Trainer
from skeltools.training.feed import make_feed
from skeltools.training.launch import Stop

PARTS = ("input", "forward", "backward", "optimiser")


class Clock:
    """Time on a device, and how much of it went where."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.parts = device, dict.fromkeys(PARTS, 0.0)

    def now(self) -> float:
        """Seconds: of processor time on a CPU, else of the wall, when the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            return time.perf_counter()
        return time.process_time()

    @contextmanager
    def watching(self, **owners: tuple[Any, str]) -> Iterator[None]:
        """Add up the time of some functions, each an object and the name of its attribute, by the part's name."""
        olds = {part: getattr(owner, name) for part, (owner, name) in owners.items()}
        for part, (owner, name) in owners.items():
            setattr(owner, name, self._timed(part, olds[part]))
        try:
            yield
        finally:
            for part, (owner, name) in owners.items():
                setattr(owner, name, olds[part])

    def _timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def run(*args: Any, **words: Any) -> Any:
            began = self.now()
            found = function(*args, **words)
            self.parts[part] += self.now() - began
            return found

        return run


def pretraining(options: argparse.Namespace, file: ClipFile, precision: str, folder: Path) -> Trainer:
    """Return the engine, ready to step."""
    words = [
        f"model.width={options.width}", f"train.batch_size={options.batch}", "monitor.every=0",
        "train.epochs=100000", f"train.precision={precision}",
    ]  # fmt: skip
    settings = resolve_recipe(None, dataset="ntu60", split="xsub", stream="joint", overrides=words)
    about: dict[str, Any] = {"split": "xsub", "stream": "joint", "seed": 0, "command": "benchmark"}
    run = Run.create(folder / precision, settings, file=file, **about)
    trainer = Trainer(run, file, options.device)
    trainer.model.train()
    return trainer


def finetuning(options: argparse.Namespace, file: ClipFile, precision: str, recipe: str) -> _Tuning:
    """Return the protocol's training, ready to step."""
    model = resolve_recipe(
        None, dataset="ntu60", split="xsub", stream="joint", overrides=[f"model.width={options.width}"]
    ).values.model

    def build(where: torch.device) -> FeatureEncoder:
        encoder = FeatureEncoder(build_backbone(model, file.form))
        initialise(encoder)
        return encoder.to(where).eval()

    task = Task(file, "xsub", "joint", Subject(record.RANDOM, "benchmark", build), 0, options.device)
    context = {"dataset": "ntu60", "split": "xsub", "stream": "joint"}
    use = registry.get("finetune").resolve(context, recipe).values
    use = replace(use, batch_size=options.batch, precision=precision)
    task.test_rows = task.test_rows[: options.batch]
    return _Tuning(task, task.train_rows[: options.steps * options.batch], use, "finetune")


def pretrain(trainer: Trainer, places: torch.Tensor, feed: Any) -> None:
    """Do the steps of pretraining."""
    for rows, x in feed.batches(places):
        trainer._step(rows, x)


def tune(tuning: _Tuning) -> None:
    """Do an epoch of finetuning."""
    tuning.done = 0
    tuning._pass(Stop())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="converted clips of NTU-60")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=2, help="steps timed together")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="threads of torch")
    options = parser.parse_args()
    options.device = pick_device(options.device)
    if options.threads:
        torch.set_num_threads(options.threads)
    full_float32()
    clock = Clock(options.device)
    clips = options.steps * options.batch
    train, test = datasets.get("ntu60").counts["xsub"]
    print(
        f"{device_name(options.device)}, torch {torch.__version__}, width {options.width}, batch {options.batch}, "
        f"medians of {options.rounds} rounds of {options.steps} steps"
    )
    print(f"| what | ms per clip | {' | '.join(PARTS)} | rest | clips/s | of pretraining |")
    print(f"| --- |{' ---: |' * (len(PARTS) + 4)}")
    with ClipFile(options.file) as file, tempfile.TemporaryDirectory() as folder:
        for precision in ("float32", "bf16"):
            trainer = pretraining(options, file, precision, Path(folder))
            places = torch.arange(clips).view(options.steps, options.batch) % len(trainer.rows)
            feed = make_feed(file, trainer.rows, options.device, "device", 0)
            tuned = {
                f"finetune, {mode} mode": finetuning(options, file, precision, recipe)
                for mode, recipe in (("eval", "finetune"), ("train", "supervised"))
            }

            found: dict[str, list[dict[str, float]]] = {name: [] for name in ("pretraining", *tuned)}
            for number in range(options.rounds + 1):
                for name in found:
                    clock.parts = dict.fromkeys(PARTS, 0.0)
                    backward = {"backward": (torch.Tensor, "backward")}
                    if name == "pretraining":
                        owners = {
                            "input": (trainer.model, "views"), "forward": (trainer, "_forward"),
                            "optimiser": (trainer.optimizer, "step"),
                        }  # fmt: skip
                        work: Callable[[], None] = partial(pretrain, trainer, places, feed)
                        scored = 0.0
                    else:
                        one = tuned[name]
                        owners = {
                            "input": (one.clips, "batch"), "forward": (one, "_forward"),
                            "optimiser": (one.optimiser, "step"),
                        }  # fmt: skip
                        work = partial(tune, one)
                        began = clock.now()
                        one._scores()
                        each = (clock.now() - began) / len(one.tests)
                        scored = each * test / train / one.settings.eval_every
                    began = clock.now()
                    with clock.watching(**owners, **backward):
                        work()
                    whole = (clock.now() - began) / clips
                    parts = {part: seconds / clips for part, seconds in clock.parts.items()}
                    if number:  # the first round warms up
                        rest = whole - sum(parts.values())
                        found[name].append(
                            {**parts, "rest": rest, "scoring": scored, "whole": whole + scored}
                        )
            for name, rounds in found.items():
                middle = {key: 1e3 * statistics.median(one[key] for one in rounds) for key in rounds[0]}
                ratio = statistics.median(
                    one["whole"] / base["whole"]
                    for one, base in zip(rounds, found["pretraining"], strict=True)
                )
                cells = [f"{middle[part]:.2f}" for part in PARTS]
                rest = f"{middle['rest'] + middle['scoring']:.2f}"
                print(
                    f"| {name}, {precision} | {middle['whole']:.2f} | {' | '.join(cells)} | {rest} | "
                    f"{1e3 / middle['whole']:.2f} | {ratio:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
