"""What the joints' product of a graph convolution costs on a GPU, frame by frame and as skeltools does it.

Forward, gradient of the input and gradient of the matrix, in bf16, at the sizes that blocks of ST-GCN have at
width 64 with 128 clips of two bodies. Medians; prints a table and JSON. Needs a CUDA device:

    python benchmarks/gather.py
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.benchmark import Timer

from skeltools.environment import device_name, pick_device
from skeltools.models.fast import gather

ROWS, JOINTS = 75, 25
SIZES = ((16384, 64), (8192, 128), (4096, 256))
"""Frames and channels."""


def product(matrix: Tensor, frames: Tensor) -> Tensor:
    return torch.bmm(matrix.expand(len(frames), -1, -1), frames)


def summed(left: Tensor, right: Tensor) -> Tensor:
    return torch.bmm(left, right.transpose(1, 2)).sum(dim=0, dtype=torch.float32)


def median(work: Callable[[Tensor, Tensor], Tensor], given: tuple[Tensor, Tensor]) -> float:
    """Return the median time in ms."""
    timer = Timer("work(*given)", globals={"work": work, "given": given})
    return 1e3 * float(timer.blocked_autorange(min_run_time=0.3).median)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda", help="cuda or cuda:N")
    device = pick_device(parser.parse_args().device)
    rows: list[dict[str, Any]] = []
    for count, channels in SIZES:
        frames, grad = (
            torch.randn(count, size, channels, device=device).bfloat16() for size in (JOINTS, ROWS)
        )
        matrix = (torch.rand(ROWS, JOINTS, device=device) / 5).bfloat16()
        for name, plain, ours, given in (
            ("forward", product, gather.times, (matrix, frames)),
            ("input", product, gather.times, (matrix.T, grad)),
            ("matrix", summed, gather.summed, (grad, frames)),
        ):
            a, b = plain(*given).double(), ours(*given).double()
            row = {"frames": count, "channels": channels, "what": name}
            times = {"plain_ms": median(plain, given), "ms": median(ours, given)}
            rows.append(row | times | {"difference": float((a - b).norm() / a.norm())})
    print(f"{device_name(device)}, torch {torch.__version__}, bf16")
    print("| frames | channels | what | frame by frame, ms | ms | times | difference |")
    print("| ---: | ---: | --- | ---: | ---: | ---: | ---: |")
    for row in rows:
        cells = [row["frames"], row["channels"], row["what"], f"{row['plain_ms']:.3f}", f"{row['ms']:.3f}"]
        cells += [f"{row['plain_ms'] / row['ms']:.2f}", f"{row['difference']:.0e}"]
        print(f"| {' | '.join(map(str, cells))} |")
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
