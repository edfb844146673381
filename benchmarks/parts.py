"""What the parts of an ST-GCN block cost on a GPU in bf16, forward and backward, in several forms of the same.

- Graph convolution: as the model does it; and with joints slowest, (V, B * T, C), where it is three products of all
  frames together and then one product of the joints.
- Batch norm and ReLU: of rows, as the model does it, and of a channels_last image, which cuDNN takes.
- Temporal convolution: of images (T, V) as the model does it; with joints slowest, of images (T, 1) and (1, T).

Each also under torch.compile. Sizes are those of width 64 with 128 clips of two bodies. The forms of a part are
compared first, and the script stops where they differ. Prints a table of ms; Example:

    python benchmarks/parts.py --device cuda
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from skeltools.environment import device_name, full_float32, pick_device
from skeltools.models.norm import BatchNorm
from skeltools.models.stgcn import GraphConv, TemporalConv

JOINTS, PARTS = 25, 3
SIZES = ((64, 64), (32, 128), (16, 256))
"""Frames and channels of blocks."""

Form = Callable[[Tensor], Tensor]


class _SplitProduct(torch.autograd.Function):
    """matrix (R, V) times wide (V, n), whose gradient of the matrix is summed from pieces of n."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor, wide: Tensor) -> Tensor:
        ctx.save_for_backward(matrix, wide)
        return matrix @ wide

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        matrix, wide = ctx.saved_tensors
        grad = grads[0].contiguous()
        pieces = next(p for p in (256, 64, 16, 4, 1) if wide.shape[1] % p == 0)
        left = grad.view(len(grad), pieces, -1).transpose(0, 1)
        right = wide.view(len(wide), pieces, -1).permute(1, 2, 0)
        return torch.bmm(left, right).sum(dim=0, dtype=torch.float32).to(matrix.dtype), matrix.T @ grad


def joints_first(conv: GraphConv, graph: Tensor) -> Form:
    """Return the graph convolution of (V, n, C) with the weights of `conv`."""

    def run(h: Tensor) -> Tensor:
        joints, frames, channels = h.shape
        adjacency = graph * conv.edge  # (k, V, W)
        offset = adjacency.sum(dim=1).T @ conv.bias  # (W, out)
        flat = h.reshape(joints * frames, channels).expand(PARTS, -1, -1)
        maps = torch.bmm(flat, conv.weight.transpose(1, 2).to(h.dtype))  # (k, V * n, out)
        matrix = adjacency.permute(2, 0, 1).reshape(joints, PARTS * joints).to(h.dtype)
        wide = maps.view(PARTS * joints, -1)
        out: Tensor = _SplitProduct.apply(matrix, wide)  # type: ignore[no-untyped-call]
        return out.view(joints, frames, -1) + offset[:, None].to(h.dtype)

    return run


def forms(frames: int, channels: int, bodies: int, device: torch.device) -> dict[str, dict[str, Any]]:
    """Return by part: inputs (B, T, V, C) as each form takes it, the form, and how its output gets back."""
    torch.manual_seed(0)
    h = torch.randn(bodies, frames, JOINTS, channels, device=device, dtype=torch.bfloat16)
    graph = torch.rand(PARTS, JOINTS, JOINTS, device=device) / JOINTS
    conv = GraphConv(channels, channels, JOINTS).to(device)
    torch.nn.init.normal_(conv.weight, std=channels**-0.5)
    torch.nn.init.normal_(conv.bias, std=0.02)
    temporal = TemporalConv(channels, 1).to(device)
    norm = BatchNorm(channels).to(device).train()
    first = h.permute(2, 0, 1, 3).contiguous().view(JOINTS, -1, channels)
    shape = (JOINTS, bodies, frames, channels)

    def back(out: Tensor) -> Tensor:
        return out.reshape(JOINTS, bodies, frames, -1).permute(1, 2, 0, 3)

    def cudnn(x: Tensor) -> Tensor:
        image = x.permute(0, 3, 1, 2)
        out = F.batch_norm(image, None, None, norm.weight, norm.bias, True, 0.0, norm.eps)
        return F.relu(out).permute(0, 2, 3, 1)

    def column(x: Tensor) -> Tensor:  # images (T, 1)
        image = F.relu(x).view(-1, frames, 1, channels).permute(0, 3, 1, 2)
        out = F.conv2d(image, temporal.weight, temporal.bias, padding=(4, 0))
        return out.permute(0, 2, 3, 1).reshape(shape)

    def line(x: Tensor) -> Tensor:  # images (1, T)
        image = F.relu(x).view(-1, 1, frames, channels).permute(0, 3, 1, 2)
        out = F.conv2d(image, temporal.weight.transpose(2, 3), temporal.bias, padding=(0, 4))
        return out.permute(0, 2, 3, 1).reshape(shape)

    def same(x: Tensor) -> Tensor:
        return x

    return {
        "graph convolution": {
            "model": (h, lambda x: conv(x, graph), same),
            "joints first": (first, joints_first(conv, graph), back),
        },
        "batch norm, ReLU": {
            "model": (h, lambda x: F.relu(norm(x)), same),
            "cuDNN": (h, cudnn, same),
        },
        "temporal convolution": {
            "model": (h, temporal, same),
            "joints first, (T, 1)": (first.view(shape), column, back),
            "joints first, (1, T)": (first.view(shape), line, back),
        },
    }


def prepared(form: Form, given: Tensor, device: torch.device) -> tuple[Callable[[], Tensor], Tensor]:
    """Return a function that goes forward and backward, and the input, whose gradient it leaves."""
    x = given.clone().requires_grad_()
    inner = form if device.type == "cuda" else lambda x: form(x.clone())  # on the CPU forms work in place
    with torch.autocast(device.type, torch.bfloat16):
        grad = torch.randn(inner(x).shape, generator=torch.Generator().manual_seed(1)).to(device, x.dtype)

    def run() -> Tensor:
        x.grad = None
        with torch.autocast(device.type, torch.bfloat16):
            out = inner(x)
        out.backward(grad.to(out.dtype))
        return out

    return run, x


def milliseconds(run: Callable[[], Any], device: torch.device) -> float:
    """Return the median time of a pass; on a GPU of ten without waiting between."""
    many = 10 if device.type == "cuda" else 1
    times = []
    for _ in range(7):
        if device.type == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        for _ in range(many):
            run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append((time.perf_counter() - began) / many * 1e3)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there")
    options = parser.parse_args()
    device = pick_device(options.device)
    full_float32()
    torch.backends.cudnn.benchmark = True  # as the engine does
    rows: list[dict[str, Any]] = []
    for frames, channels in SIZES:
        for part, ways in forms(frames, channels, 2 * options.batch, device).items():
            definition: Tensor | None = None
            for name, (given, form, back) in ways.items():
                for compiled in (False,) if options.no_compile else (False, True):
                    row: dict[str, Any] = {"frames": frames, "channels": channels, "part": part}
                    row["form"] = name + (", compiled" if compiled else "")
                    rows.append(row)
                    try:
                        run, _ = prepared(torch.compile(form) if compiled else form, given, device)
                        out = back(run()).detach().double()
                        if definition is None:
                            definition = out
                        row["difference"] = float((out - definition).norm() / definition.norm())
                        if row["difference"] > 0.02:
                            raise SystemExit(f"{part}, {row['form']}: differs by {row['difference']:.2g}")
                        run()
                        row["ms"] = milliseconds(run, device)
                    except Exception as error:
                        row["error"] = f"{type(error).__name__}: {str(error).strip()[:200]}"
    print(f"{device_name(device)}, torch {torch.__version__}, bf16, forward and backward")
    print("| frames | channels | part | form | ms | difference |")
    print("| ---: | ---: | --- | --- | ---: | ---: |")
    for row in rows:
        told = row.get("error") or f"{row['ms']:.3f} | {row['difference']:.0e}"
        print(f"| {row['frames']} | {row['channels']} | {row['part']} | {row['form']} | {told} |")
    if options.json:
        options.json.write_text(
            json.dumps({"device": device_name(device), "rows": rows}, indent=1) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
