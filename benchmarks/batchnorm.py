"""Does an encoder know a clip's key by the batch it was computed in?

Query and key of a step share batch norm statistics, which the queue's keys, of other steps, do not. An
encoder that learns to tell these apart lowers its loss without learning anything of the clips. For each run:
the share of training clips whose key is the nearest of all keys to the query, once with keys computed in the
batches of their queries, once in batches of other clips; batches as large as the run's, both encoders in
training mode. Runs of the global branch alone.

    python benchmarks/batchnorm.py runs/a runs/b --data ntu60.h5
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from skeltools.methods.contract import Batch
from skeltools.methods.registry import make_method
from skeltools.methods.skeattnclr import SkeAttnCLR
from skeltools.methods.skeletonclr import SkeletonCLR
from skeltools.runs import checkpoint
from skeltools.runs.folder import Run
from skeltools.store import ClipFile
from skeltools.transforms.draws import Draws, step_draws

UNSEEN = 1_000_000
"""The epoch that views are drawn of."""


def shares(run: Run, file: ClipFile, count: int, repeats: int) -> tuple[float, float]:
    """Return the shares (own batches, other batches), means over `repeats` draws of `count` clips."""
    model = make_method(run.settings, run.form, run.stream, run.seed)
    if not isinstance(model, SkeletonCLR) or isinstance(model, SkeAttnCLR):
        raise SystemExit(
            f"{run.path} is not a run of the global branch alone; give runs of method=skeletonclr."
        )
    size = run.settings.train.batch_size
    model.load_state_dict(checkpoint.load(run.last_checkpoint()).model)
    model.train()

    def query(x: Tensor) -> Tensor:
        return model.predict_whole(model.query.embed(x))

    def key(x: Tensor) -> Tensor:
        return model.key.embed(x)

    rows = torch.from_numpy(file.rows(run.split, "train"))
    generator = torch.Generator().manual_seed(0)
    hits = [0.0, 0.0]
    for repeat in range(repeats):
        chosen = rows[torch.randperm(len(rows), generator=generator)[: count // size * size]]
        clips = torch.from_numpy(file.clips(chosen.numpy()))
        draws = Draws(run.seed, UNSEEN + repeat, chosen)
        first, second = model.views(Batch(clips, draws, step_draws(run.seed, 0), slice(0, len(clips))))
        same = torch.arange(len(chosen))
        other = torch.randperm(len(chosen), generator=generator)

        queries = by_batches(query, first, same, size)
        for number, order in enumerate((same, other)):
            nearest = (queries @ by_batches(key, second, order, size).T).argmax(dim=1)
            hits[number] += (nearest == same).double().mean().item() / repeats
    return hits[0], hits[1]


@torch.no_grad()
def by_batches(encode: Callable[[Tensor], Tensor], x: Tensor, order: Tensor, size: int) -> Tensor:
    """Return unit vectors of `x`, computed in batches that follow `order`."""
    parts = [(places, F.normalize(encode(x[places]), dim=1)) for places in order.split(size)]
    out = torch.empty(len(x), parts[0][1].shape[1])
    for places, values in parts:
        out[places] = values
    return out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "runs", type=Path, nargs="+", help="run folders of method=skeletonclr, or with loss.local=false"
    )
    parser.add_argument("--data", type=Path, help="the converted file, where it was moved")
    parser.add_argument("--clips", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    rows = []
    print("| run | batch | steps | own batches, % | other batches, % |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for path in options.runs:
        run = Run.open(path)
        with ClipFile(options.data or run.data) as file:
            own, other = shares(run, file, options.clips, options.repeats)
        step = int(run.last_checkpoint().stem.removeprefix("step-"))
        size = run.settings.train.batch_size
        rows.append({"run": path.name, "batch": size, "step": step, "own": own, "other": other})
        print(f"| {path.name} | {size} | {step} | {100 * own:.1f} | {100 * other:.1f} |")
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
