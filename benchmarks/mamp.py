"""Speed of a MAMP step on the CPU, side by side with the plainest PyTorch version of the same step.

The plain version embeds all tokens, gathers them sequence by sequence in a loop, writes attention as softmax of a
product, puts mask tokens back into their places in a loop, and predicts in float32. Both do the same step in turn, so
that a machine whose speed drifts slows both alike; medians are shown. CPU time counts all threads and, unlike the
clock, not what other programs take from them. Both share weights, and the script stops where their losses differ.
Example:

    python benchmarks/mamp.py
    python benchmarks/mamp.py --threads 1 --batch 64 --variants plain,float32,bf16,bf16+compile

Clips are random walks; the sizes are those of a small machine: 20 joints, one body, 32 frames, 128 channels, 4 + 2
blocks.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

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
) -> Callable[[int], dict[str, float]]:
    """Return a function that does one training step and returns seconds by part."""
    model = copy.deepcopy(model).train()
    optimizer = make_optimizer(settings.train, model)
    form = model.form
    shape = (POOL, options.batch, 3, form.frames, form.joints, form.bodies)
    clips = torch.randn(shape, generator=torch.Generator().manual_seed(0)).cumsum(3) * 0.02
    network: Callable[..., Any] = torch.compile(model) if "compile" in variant else model

    def step(number: int) -> dict[str, float]:
        x = clips[number % POOL]
        busy, times = time.process_time(), [time.perf_counter()]
        draws = Draws(0, number // POOL, torch.arange(options.batch))
        with torch.no_grad():
            views = model.views(Batch(x, draws, step_draws(0, number), slice(0, options.batch)))
        times.append(time.perf_counter())
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled="bf16" in variant):
            loss = plain_loss(model, *views[:2]) if "plain" in variant else network(*views).loss
        times.append(time.perf_counter())
        loss.backward()
        times.append(time.perf_counter())
        optimizer.step()
        times.append(time.perf_counter())
        found = {part: b - a for part, a, b in zip(PARTS, times, times[1:], strict=False)}
        cpu = time.process_time() - busy
        return found | {"step": times[-1] - times[0], "cpu": cpu, "loss": float(loss.detach())}

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--variants", default="plain,plain+bf16,float32,bf16")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    small = [
        "model.dim=128", "model.vit_depth=4", "decoder.dim=128", "decoder.depth=2",
        "augment.view=crop_resize(0.5,1,16)|rotate_uniform(0.3)",
    ]  # fmt: skip
    settings = resolve_recipe("mamp", dataset="", split="", stream="joint", overrides=small).values
    torch.manual_seed(0)
    model = MAMP(settings, Form(load("kinect1"), 1, 32), "joint")
    names = options.variants.split(",")
    steps = {name: make(options, model, settings, name) for name in names}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for number in range(options.rounds + 2):  # two to warm up
        for name in names:
            found[name].append(steps[name](number))
    first = [rows[0]["loss"] for rows in found.values()]
    if max(first) - min(first) > 0.02 * max(first):
        raise SystemExit(f"The variants differ: losses {first}")
    print(
        f"{'variant':14}"
        + "".join(f"{part:>11}" for part in PARTS)
        + f"{'step ms':>11}{'clips/s':>10}{'CPU ms':>10}"
    )
    for name, rows in found.items():
        middle = {key: statistics.median(row[key] for row in rows[2:]) for key in rows[0]}
        cells = "".join(f"{1e3 * middle[part]:11.1f}" for part in (*PARTS, "step"))
        print(f"{name:14}{cells}{options.batch / middle['step']:10.0f}{1e3 * middle['cpu']:10.1f}")


if __name__ == "__main__":
    main()
