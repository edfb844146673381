"""How does the time of each backbone grow with joints, bodies and frames?

Times forward and backward of the token map (training), and features (evaluation), of clips of several V, M and T, one
of them changed at a time, in CPU seconds of one thread, which do not count what other programs take. Sizes take turns;
medians of the rounds. For each backbone and axis the line time = a + b x tokens is laid through the medians (least
squares of relative errors), and the largest deviation from it is printed; a token is a joint of a body in a frame. ViT
lets each token of a body look at all of that body's, so that a part of its work grows with the square of V and T:
there the deviation from a + b x tokens + c x tokens^2 is printed too, and counts. With --check the script fails
where one is over 15 %.

    python benchmarks/tokens.py --rounds 5
    python benchmarks/tokens.py --backbones vit --axes frames --check
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from skeltools.models.contract import initialise
from skeltools.models.registry import BACKBONES, build_backbone
from skeltools.runs.settings import resolve_recipe
from skeltools.skeletons import Form, load
from skeltools.training.memory import keep_freed_memory

ALLOWED = 0.15
"""Deviation from a straight line."""

AXES: dict[str, list[Form]] = {
    "joints": [Form(load(name), 2, 64) for name in ("coco17", "kinect1", "kinect2", "mediapipe33")],
    "bodies": [Form(load("kinect2"), bodies, 64) for bodies in (1, 2, 3, 4)],
    "frames": [Form(load("kinect2"), 2, frames) for frames in (16, 32, 64, 96, 128)],
}

SQUARE = {("vit", "joints"), ("vit", "frames")}
"""Backbones and axes whose work has a square in it by definition."""


def make(backbone: str, form: Form, options: argparse.Namespace) -> dict[str, Callable[[], object]]:
    """Return what is timed, by name."""
    words = [f"model.backbone={backbone}", f"model.width={options.width}", f"model.dim={4 * options.width}"]
    words += ["model.gru_hidden=64", "model.gru_layers=3", "model.vit_depth=4", *options.overrides]
    settings = resolve_recipe(None, dataset="", split="", stream="joint", overrides=words).values
    torch.manual_seed(0)
    model = build_backbone(settings.model, form)
    initialise(model)
    x = torch.randn(options.batch, 3, form.frames, form.joints, form.bodies)

    def train() -> None:
        model.train()
        model.zero_grad(set_to_none=True)
        model(x).square().mean().backward()

    @torch.no_grad()
    def features() -> None:
        model.eval()
        model.features(x)

    return {"training": train, "features": features}


def deviation(tokens: list[int], values: list[float], degree: int = 1) -> float:
    """Return the largest relative deviation from the polynomial in the tokens that has the least squares of these."""
    n, y = np.array(tokens, float), np.array(values)
    powers = np.stack([n**power for power in range(degree + 1)], axis=1) / y[:, None]
    weights = np.linalg.lstsq(powers / powers.max(axis=0), np.ones(len(y)), rcond=None)[0]
    return float(np.abs(powers / powers.max(axis=0) @ weights - 1).max())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbones", nargs="+", choices=BACKBONES, default=list(BACKBONES))
    parser.add_argument("--axes", nargs="+", choices=AXES, default=list(AXES))
    parser.add_argument("--width", type=int, default=16, help="of ST-GCN and DSTA; model.dim is 4 times that")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--check", action="store_true", help="fail where a deviation is over 15 %%")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    print(
        f"torch {torch.__version__}, width {options.width}, batch {options.batch}, medians of {options.rounds}"
    )
    print("| backbone | along | what | tokens | CPU ms | off a line, % | off a square, % |")
    print("| --- | --- | --- | --- | --- | ---: | ---: |")
    rows, worst = [], 0.0
    for backbone in options.backbones:
        for axis in options.axes:
            forms = AXES[axis]
            works = [make(backbone, form, options) for form in forms]
            tokens = [form.frames * form.joints * form.bodies for form in forms]
            for what in works[0]:
                times: list[list[float]] = [[] for _ in works]
                for work in works:
                    work[what]()
                for _ in range(options.rounds):
                    for work, found in zip(works, times, strict=True):
                        began = time.process_time()
                        work[what]()
                        found.append(1e3 * (time.process_time() - began))
                middle = [statistics.median(found) for found in times]
                line = deviation(tokens, middle)
                square = deviation(tokens, middle, 2) if (backbone, axis) in SQUARE else None
                worst = max(worst, line if square is None else square)
                rows.append(
                    {
                        "backbone": backbone, "axis": axis, "what": what, "tokens": tokens, "ms": middle,
                        "off_line": line, "off_square": square,
                    }
                )  # fmt: skip
                cells = [
                    backbone,
                    axis,
                    what,
                    ", ".join(map(str, tokens)),
                    ", ".join(f"{t:.1f}" for t in middle),
                ]
                cells += [f"{100 * line:.1f}", "" if square is None else f"{100 * square:.1f}"]
                print("| " + " | ".join(cells) + " |", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    if options.check and worst > ALLOWED:
        raise SystemExit(f"{100 * worst:.1f} % off, where {100 * ALLOWED:.0f} % are allowed.")


if __name__ == "__main__":
    main()
