"""Batch norm over the last axis: accurate in float32 on the CPU, shared over processes on request."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class BatchNorm(nn.BatchNorm1d):
    """Batch norm of (..., C): statistics over every axis but the last.

    On the CPU in training mode it does not use torch's channels-last kernel as it stands: that one adds up
    all rows in one float32 running sum, an error that ten blocks amplify to 0.2 % in gradients. Here short
    sums are taken by that kernel and then combined. With bf16 activations that error drowns in theirs, and
    torch's kernel is used. So it is by torch.compile, which makes its own code of it, with other sums.

    Attributes:
        synchronised: Whether statistics are those of all processes together, in training mode. Unlike
            torch's SyncBatchNorm it works on the CPU as well.
    """

    synchronised = False

    def forward(self, h: Tensor) -> Tensor:
        own = h.device.type == "cpu" and h.dtype in (torch.float32, torch.float64)
        own = own and not torch.compiler.is_compiling()
        if not (self.training and (own or self.synchronised)):
            return super().forward(h.reshape(-1, h.shape[-1])).view(h.shape)
        h = h.contiguous()
        out: Tensor
        out, mean, var, rows = _TrainNorm.apply(  # type: ignore[no-untyped-call]
            h, self.weight, self.bias, self.eps, self.synchronised
        )
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            unbiased = var * (rows / (rows - 1).clamp(min=1))
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
        return out


def _columns(h: Tensor) -> Tensor:
    """Return (..., G, C) as (r, G * C), so that columns are short to add up; (r, C) as it is."""
    return h if h.dim() == 2 else h.reshape(-1, h.shape[-2] * h.shape[-1])


def _moments(h: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and biased variance of each channel, each (C,)."""
    channels = h.shape[-1]
    if h.dim() == 2 or h.device.type != "cpu":
        var, mean = torch.var_mean(h.reshape(-1, channels), dim=0, correction=0)
        return mean, var
    # Of each of the G * C columns, then of a channel's G columns together.
    means, variances = torch.batch_norm_update_stats(_columns(h), None, None, 0.0)
    between, mean = torch.var_mean(means.view(-1, channels), dim=0, correction=0)
    return mean, variances.view(-1, channels).mean(dim=0) + between


def _joint_moments(mean: Tensor, var: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean, variance and rows of all processes together."""
    mine = torch.cat([mean, var, rows.to(mean)])
    parts = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, mine)
    table = torch.stack(parts)
    channels = len(mean)
    means, variances, counts = table[:, :channels], table[:, channels:-1], table[:, -1:]
    total = counts.sum(dim=0)
    joint = (counts * means).sum(dim=0) / total
    spread = (counts * (variances + (means - joint) ** 2)).sum(dim=0) / total
    return joint, spread, total


def _products(grad: Tensor, h: Tensor, mean: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
    """Return the sums over rows of grad * (h - mean) * inverse and of grad, each (C,)."""
    channels = h.shape[-1]
    if h.device.type != "cpu":
        flat = grad.reshape(-1, channels)
        return (flat * ((h.reshape(-1, channels) - mean) * inverse)).sum(dim=0), flat.sum(dim=0)
    columns = _columns(h)
    groups = columns.shape[1] // channels
    _, product, plain = torch.ops.aten.native_batch_norm_backward(
        _columns(grad), columns, None, None, None, mean.repeat(groups), inverse.repeat(groups), True, 0.0,
        [False, True, True],
    )  # fmt: skip
    return product.view(-1, channels).sum(dim=0), plain.view(-1, channels).sum(dim=0)


class _TrainNorm(torch.autograd.Function):
    """(h - mean) / sqrt(var + eps) * weight + bias with the batch's own statistics."""

    @staticmethod
    def forward(
        ctx: Any, h: Tensor, weight: Tensor, bias: Tensor, eps: float, synchronised: bool
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean, var = _moments(h)
        rows = torch.tensor([h.numel() // h.shape[-1]], dtype=mean.dtype, device=h.device)
        if synchronised:
            mean, var, rows = _joint_moments(mean, var, rows)
        inverse = torch.rsqrt(var + eps)
        scale = weight * inverse
        out = torch.addcmul(bias - mean * scale, h, scale)
        ctx.save_for_backward(h, weight, mean, inverse, rows)
        ctx.synchronised = synchronised
        ctx.mark_non_differentiable(mean, var, rows)
        return out.to(h.dtype), mean, var, rows

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        h, weight, mean, inverse, rows = ctx.saved_tensors
        grad = grads[0].contiguous()
        grad_weight, grad_bias = _products(grad, h, mean, inverse)
        product, plain = grad_weight, grad_bias
        if ctx.synchronised:
            both = torch.stack([grad_weight, grad_bias])
            dist.all_reduce(both)
            product, plain = both
        scale = weight * inverse
        slope = -scale * product * inverse / rows
        grad_h = torch.addcmul(-scale * plain / rows - slope * mean, h, slope).addcmul_(grad, scale)
        return grad_h.to(h.dtype), grad_weight, grad_bias, None, None
