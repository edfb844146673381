"""Speed of a MAMP step, side by side with the plainest PyTorch version of the same step.

The plain version embeds all tokens, gathers them sequence by sequence in a loop, writes attention as softmax of a
product, puts mask tokens back into their places in a loop, and predicts in float32. Both do the same step in turn, so
that a machine whose speed drifts slows both alike; medians are shown. CPU time counts all threads and, unlike the
clock, not what other programs take from them. Both share weights, and the script stops where their losses differ.
Example:

    python benchmarks/mamp.py
    python benchmarks/mamp.py --threads 1 --batch 64 --variants plain,float32,bf16,bf16+compile
    python benchmarks/mamp.py --device cuda --size released --batch 64 --variants plain+bf16,float32,bf16,bf16+compile

Clips are random walks. The sizes are those of a small machine (20 joints, one body, 32 frames, 128 channels, 4 + 2
blocks) or the recipe's (25 joints, two bodies, 120 frames, 256 channels, 8 + 5 blocks). A GPU works behind the
program: there the step is of stretches of steps without waiting in between, and the parts are of steps that wait
after each part.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from skeltools.environment import pick_device
from skeltools.methods.contract import Batch
from skeltools.methods.mamp import MAMP
from skeltools.models.vit import Block, positions
from skeltools.runs.settings import resolve_recipe
from skeltools.skeletons import Form, load
from skeltools.training.memory import keep_freed_memory
from skeltools.training.optimizer import make_optimizer
from skeltools.transforms.draws import Draws, step_draws

POOL = 4
"""Batches there are."""

STRETCH = 10
"""Steps without waiting between, on a GPU."""

WARM = 2
"""Steps before those that count."""

PARTS = ("views", "forward", "backward", "optimiser")


def plain_block(block: Block, x: Tensor) -> Tensor:
    size, tokens, dim = x.shape
    qkv = block.qkv(block.norm1(x)).reshape(size, tokens, 3, block.heads, dim // block.heads)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    weights = torch.softmax(q @ k.transpose(-2, -1) * (dim // block.heads) ** -0.5, dim=-1)
    x = x + block.out((weights @ v).transpose(1, 2).reshape(size, tokens, dim))
    hidden = block.first(block.norm2(x))
    return x + block.second(0.5 * hidden * (1 + torch.erf(hidden / 2**0.5)))


def plain_loss(model: MAMP, x: Tensor, order: Tensor) -> Tensor:
    encoder, decoder, order = model.backbone, model.decoder, order.flatten(0, 1)
    flat = x.permute(0, 4, 1, 2, 3).flatten(0, 1)
    tokens = encoder.patch(flat).permute(0, 2, 3, 1) + encoder.joint_position + encoder.time_position
    tokens = tokens.flatten(1, 2)
    latent = torch.stack([row[o[: model.kept]] for row, o in zip(tokens, order, strict=True)])
    for block in encoder.blocks:
        latent = plain_block(block, latent)
    known = decoder.embed(encoder.norm(latent))
    rows = []
    for row, o in zip(known, order, strict=True):
        whole = decoder.mask_token[0].to(row.dtype).repeat(order.shape[1], 1)
        whole[o[: model.kept]] = row
        rows.append(whole)
    tokens = torch.stack(rows) + positions(decoder.joint_position, decoder.time_position, model.steps)
    for block in decoder.blocks:
        tokens = plain_block(block, tokens)
    predicted = decoder.predict(decoder.norm(tokens))
    error = ((predicted - model.target(x)) ** 2).mean(dim=2)
    mask = torch.ones_like(error)
    for row, o in zip(mask, order, strict=True):
        row[o[: model.kept]] = 0
    return (error * mask).sum() / mask.sum()


def make(
    options: argparse.Namespace, model: MAMP, settings: Any, variant: str
) -> Callable[..., dict[str, float]]:
    """Return a function that does one training step and returns seconds by part."""
    device = torch.device(options.device)
    model = copy.deepcopy(model).to(device).train()
    optimizer = make_optimizer(settings.train, model)
    form = model.form
    shape = (POOL, options.batch, 3, form.frames, form.joints, form.bodies)
    clips = (torch.randn(shape, generator=torch.Generator().manual_seed(0)).cumsum(3) * 0.02).to(device)
    rows = torch.arange(options.batch, device=device)
    network: Callable[..., Any] = torch.compile(model) if "compile" in variant else model

    def step(number: int, timed: bool = True) -> dict[str, float]:
        def now() -> float:
            if timed and device.type == "cuda":
                torch.cuda.synchronize()
            return time.perf_counter()

        x = clips[number % POOL]
        busy, times = time.process_time(), [now()]
        draws = Draws(0, number // POOL, rows)
        with torch.no_grad():
            views = model.views(Batch(x, draws, step_draws(0, number), slice(0, options.batch)))
        times.append(now())
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled="bf16" in variant):
            loss = plain_loss(model, *views[:2]) if "plain" in variant else network(*views).loss
        times.append(now())
        loss.backward()
        times.append(now())
        optimizer.step()
        times.append(now())
        found = {part: b - a for part, a, b in zip(PARTS, times, times[1:], strict=False)}
        found |= {"step": times[-1] - times[0], "cpu": time.process_time() - busy}
        return found | ({"loss": float(loss.detach())} if timed else {})

    return step


def measure(step: Callable[..., dict[str, float]], number: int, device: torch.device) -> dict[str, float]:
    """Do a step, on a GPU then a stretch of them; return seconds by part and a step, and the peak memory in MiB."""
    if device.type != "cuda":
        return step(number)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    found = step(number)
    if number < WARM:
        return found
    torch.cuda.synchronize()
    began, busy = time.perf_counter(), time.process_time()
    for ahead in range(STRETCH):
        step(number + ahead, timed=False)
    torch.cuda.synchronize()
    found["step"] = (time.perf_counter() - began) / STRETCH
    found["cpu"] = (time.process_time() - busy) / STRETCH
    found["peak"] = (torch.cuda.max_memory_allocated() - before) / 2**20
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", choices=("small", "released"), default="small")
    parser.add_argument("--variants", default="plain,plain+bf16,float32,bf16")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there")
    parser.add_argument(
        "--wait",
        type=Path,
        metavar="FILE",
        help="compile, make this with .ready at its end, then wait for this",
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    device = pick_device(options.device)
    small = [
        "model.dim=128", "model.vit_depth=4", "decoder.dim=128", "decoder.depth=2",
        "augment.view=crop_resize(0.5,1,16)|rotate_uniform(0.3)",
    ]  # fmt: skip
    released = options.size == "released"
    form = Form(load("kinect2"), 2, 120) if released else Form(load("kinect1"), 1, 32)
    overrides = [] if released else small
    settings = resolve_recipe("mamp", dataset="", split="", stream="joint", overrides=overrides).values
    torch.manual_seed(0)
    model = MAMP(settings, form, "joint")
    names = options.variants.split(",")
    steps = {name: make(options, model, settings, name) for name in names}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    if options.wait:
        for name in names:
            found[name].append(measure(steps[name], 0, device))
        if device.type == "cuda":
            torch.cuda.empty_cache()
        options.wait.with_suffix(".ready").touch()
        while not options.wait.exists():
            time.sleep(0.2)
    for number in range(bool(options.wait), options.rounds + WARM):
        for name in names:
            found[name].append(measure(steps[name], number, device))
    first = [rows[0]["loss"] for rows in found.values()]
    if max(first) - min(first) > 0.02 * max(first):
        raise SystemExit(f"The variants differ: losses {first}")
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    print(
        f"{where}, {options.threads} threads, torch {torch.__version__}, {options.size} size, batch "
        f"{options.batch}, medians of {options.rounds} rounds"
    )
    heads = (*PARTS, "step ms", "clips/s", "CPU ms", *(["peak MiB"] if device.type == "cuda" else []))
    print(f"{'variant':14}" + "".join(f"{head:>11}" for head in heads))
    told = []
    for name, rows in found.items():
        middle = {key: statistics.median(row[key] for row in rows[WARM:]) for key in rows[-1]}
        told.append(
            {
                "variant": name, "clips_per_second": options.batch / middle["step"],
                "step_ms": 1e3 * middle["step"], "cpu_s": middle["cpu"],
                "ms": {part: 1e3 * middle[part] for part in PARTS}, "loss": rows[0]["loss"],
                "peak_mib": middle.get("peak"),
            }
        )  # fmt: skip
        cells = "".join(f"{1e3 * middle[part]:11.1f}" for part in (*PARTS, "step"))
        cells += f"{options.batch / middle['step']:11.0f}{1e3 * middle['cpu']:11.1f}"
        print(f"{name:14}{cells}" + (f"{middle['peak']:11.0f}" if "peak" in middle else ""))
    if options.json:
        whole = {"device": where, "size": options.size, "batch": options.batch, "rounds": options.rounds}
        options.json.write_text(json.dumps(whole | {"rows": told}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
