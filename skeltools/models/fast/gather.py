"""Products of the joints of many frames with one small matrix, as a GPU's matrix units want them.

A frame has 25 joints, a graph convolution three times as many rows. In bf16 cuBLAS takes its fast kernels
only where rows are multiples of 8 entries; 25 and 75 are not, and one product per frame leaves the units mostly
idle. So eight frames are taken together, with a block-diagonal matrix of multiples of 8: eight times the
arithmetic, and half the time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_TOGETHER = 8
"""Frames in one product."""


def gather(frames: Tensor, matrix: Tensor) -> Tensor:
    """Return `matrix` times each frame, several frames at a time in bf16 or float16.

    Args:
        frames: Joints of each frame, contiguous (n, V, C); under autocast they are cast as for any product.
        matrix: (R, V), the same for all frames.

    Returns:
        (n, R, C), in the dtype of the (cast) frames. Gradients of both are of that precision; in bf16 and
        float16 the matrix's is summed over the frames in float32.
    """
    kind = frames.device.type
    if kind != "meta" and torch.is_autocast_enabled(kind):
        frames = frames.to(torch.get_autocast_dtype(kind))
    if frames.dtype not in (torch.bfloat16, torch.float16):
        return torch.bmm(matrix.expand(len(frames), -1, -1), frames)
    out: Tensor = _Gather.apply(frames, matrix)  # type: ignore[no-untyped-call]
    return out


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, frames: Tensor, matrix: Tensor) -> Tensor:
        ctx.save_for_backward(frames, matrix)
        return times(matrix.to(frames.dtype), frames)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        frames, matrix = ctx.saved_tensors
        grad = grads[0].contiguous()
        return times(matrix.to(grad.dtype).T, grad), summed(grad, frames).to(matrix.dtype)


def times(matrix: Tensor, frames: Tensor) -> Tensor:
    """Return (n, R, C): matrix (R, V) times each of frames (n, V, C)."""
    count, joints, channels = frames.shape
    together = 1 if count % _TOGETHER else _TOGETHER
    if together > 1:
        ones = torch.eye(together, dtype=matrix.dtype, device=matrix.device)
        matrix = torch.kron(ones, matrix.contiguous())
    groups = count // together
    stacked = frames.view(groups, together * joints, channels)
    return torch.bmm(matrix.expand(groups, -1, -1), stacked).view(count, -1, channels)


def summed(left: Tensor, right: Tensor) -> Tensor:
    """Return float32 (R, V): the sum over frames of left (n, R, C) times right (n, V, C) transposed.

    To have multiples of 8, the rows of a frame are taken together with the first rows of the next one, whose
    products are thrown away. The last frame, which has no next, comes apart.
    """
    rows, joints = left.shape[1], right.shape[1]
    total = (left[-1] @ right[-1].T).float()
    if len(left) > 1:
        products = torch.bmm(_overlapping(left), _overlapping(right).transpose(1, 2))
        total = total + products.sum(dim=0, dtype=torch.float32)[:rows, :joints]
    return total


def _overlapping(frames: Tensor) -> Tensor:
    """Return (n - 1, R rounded up to a multiple of 8, C), a view of contiguous frames (n, R, C)."""
    count, rows, channels = frames.shape
    more = -(-rows // 8) * 8
    return frames.as_strided((count - 1, more, channels), (rows * channels, channels, 1))
