"""Dropout that does not cost more than the convolution before it on the CPU."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_WORD = 8
"""Bytes of random bits drawn at once."""


def dropout(x: Tensor, probability: float, training: bool) -> Tensor:
    """Return `x` with entries zeroed with `probability` and the others divided by 1 - probability.

    torch's own CPU dropout draws one float per entry on one thread, several times the price of a 9x1
    convolution's forward pass. Here an entry takes one bit of torch's generator where the probability is 1/2,
    8 bits where it is a multiple of 1/256, and else 16, which makes it exact to 1/65536. Other devices use
    torch's, and so does torch.compile, which can fuse that but not this.
    """
    if not training or probability == 0:
        return x
    if x.device.type != "cpu" or probability == 1 or torch.compiler.is_compiling():
        return F.dropout(x, probability, training)
    if probability == 0.5:
        mask, scale = _half(x.numel()), 1.0
    else:
        mask, scale = _share(x.numel(), probability)
    out: Tensor = _Masked.apply(x, mask.view(x.shape), scale)  # type: ignore[no-untyped-call]
    return out


def _bits(size: int) -> Tensor:
    """Return `size` random bytes, uint8, from torch's generator."""
    words = torch.empty(-(-size // _WORD), dtype=torch.int64).random_(-(2**63), None)
    return words.view(torch.uint8)[:size]


def _half(count: int) -> Tensor:
    """Return `count` uint8, each 0 or 2 with equal chance: the mask with its scale."""
    octets = _bits(-(-count // 8))
    places = torch.arange(8, dtype=torch.uint8)[:, None]
    return (octets >> places).bitwise_and_(1).bitwise_left_shift_(1).view(-1)[:count]


def _share(count: int, probability: float) -> tuple[Tensor, float]:
    """Return `count` uint8, each 0 with `probability` and else 1, and the scale of what is kept."""
    kind, levels = (torch.int8, 256) if (probability * 256).is_integer() else (torch.int16, 65536)
    dropped = round(probability * levels)
    kept = _bits(count * kind.itemsize).view(kind) >= dropped - levels // 2
    return kept.view(torch.uint8), levels / (levels - dropped)


class _Masked(torch.autograd.Function):
    """x * mask * scale, keeping the mask as bytes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(mask)
        ctx.scale = scale
        return _times(x, mask, scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (mask,) = ctx.saved_tensors
        return _times(grads[0], mask, ctx.scale), None, None


def _times(x: Tensor, mask: Tensor, scale: float) -> Tensor:
    factors = mask.to(x.dtype)
    if scale != 1:
        factors.mul_(scale)
    return factors.mul_(x)
