"""How much faster is linear evaluation on cached features than passing every epoch through the encoder?

Both ways train the same layer with the same draws. The bound is the number of clips that pass the encoder:
(epochs * train + evaluations * test) / (train + test); 115 for NTU-60 xsub, 150 epochs and 30 evaluations.
The uncached way is run for a few epochs and scaled up, unless --whole is given.

    python benchmarks/linear.py runs/joint
    python benchmarks/linear.py runs/joint --whole --set linear.epochs=10
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import torch

from skeltools.analysis import metrics
from skeltools.protocols import linear
from skeltools.protocols.linear import Fit, LinearSettings
from skeltools.protocols.running import registry, subjects
from skeltools.protocols.running.task import Task
from skeltools.runs.folder import Run
from skeltools.store import ClipFile


def uncached(task: Task, use: LinearSettings) -> Fit:
    """Train the layer, passing every clip through the encoder each time it is needed."""
    encoder = task.new_encoder()
    train, test = task.clips(task.train_rows), task.clips(task.test_rows)
    with torch.no_grad():
        dim = encoder(train.batch(torch.zeros(1, dtype=torch.int64))).shape[1]

        def score() -> torch.Tensor:
            parts = torch.arange(len(test)).split(task.batch_size)
            return torch.cat([encoder(test.batch(part)) for part in parts])

        return linear.fit_layer(
            lambda rows: encoder(train.batch(rows)), score, task.train_labels.to(task.device),
            task.test_labels.to(task.device), dim=dim, classes=task.num_classes, settings=use, seed=task.seed,
        )  # fmt: skip


def main() -> None:
    """Time both ways and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("--data", type=Path, help="converted file; the run's own unless given")
    parser.add_argument("--epochs", type=int, default=5, help="epochs of the uncached way that are timed")
    parser.add_argument("--whole", action="store_true", help="run the uncached way for all epochs")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--cpu-time", action="store_true", help="count this process's CPU seconds: for a busy machine"
    )
    options = parser.parse_args()
    clock = time.process_time if options.cpu_time else time.perf_counter
    run = Run.open(options.run)
    protocol = registry.get("linear")
    with ClipFile(options.data or run.data) as file:

        def task() -> Task:
            subject = subjects.from_run(run, "pretrained", run.seed)
            return Task(file, run.split, run.stream, subject, run.seed, torch.device(options.device))

        context = {"dataset": file.dataset.name, "split": run.split, "stream": run.stream}
        use: LinearSettings = protocol.resolve(context, None, options.overrides).values
        n, m = len(task().train_rows), len(task().test_rows)
        warm = task()
        with torch.no_grad():  # neither way pays for the libraries' first use
            clips = warm.clips(warm.train_rows[: warm.batch_size])
            warm.new_encoder()(clips.batch(torch.arange(len(clips))))
        began = clock()
        (outcome,) = protocol.run(task(), use)
        cached_s = clock() - began

        epochs = use.epochs if options.whole else min(options.epochs, use.epochs)
        every = use.eval_every if options.whole else epochs
        began = clock()
        fit = uncached(task(), replace(use, epochs=epochs, eval_every=every))
        spent = clock() - began
        evaluations = -(-use.epochs // use.eval_every)
        passed = epochs * n + -(-epochs // every) * m
        total = use.epochs * n + evaluations * m
        uncached_s = spent * total / passed
        labels = task().test_labels
    bound = total / (n + m)
    print(f"clips: {n} train, {m} test; {use.epochs} epochs, {evaluations} evaluations; {options.device}")
    print(f"cached: {cached_s:.2f} s, top-1 {metrics.topk(outcome.scores, labels, 1):.4f}")
    how = "measured" if options.whole else f"scaled from {epochs} epochs, {spent:.2f} s"
    print(f"uncached: {uncached_s:.1f} s ({how})")
    if options.whole:
        print(f"uncached top-1 {metrics.topk(fit.scores.cpu(), labels, 1):.4f}")
    ratio = uncached_s / cached_s
    print(f"faster: {ratio:.1f} times; bound {bound:.1f}; {ratio / bound:.2f} of the bound")


if __name__ == "__main__":
    main()
