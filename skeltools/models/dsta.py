"""The DSTA backbone: decoupled spatial and temporal attention.

Activations are (B, T, V, C), channels last, so that 1x1 convolutions are linear layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeltools.models.contract import Backbone
from skeltools.models.norm import BatchNorm
from skeltools.settings import setting
from skeltools.skeletons import Form

SLOPE = 0.1
"""Of the leaky ReLU."""


def codes(count: int, channels: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return sine and cosine codes (count, channels) of the numbers 0..count-1, interleaved."""
    place = torch.arange(count, device=device, dtype=torch.float64)[:, None]
    rate = 10000.0 ** (-torch.arange(0, channels, 2, device=device, dtype=torch.float64) / channels)
    table = torch.stack([torch.sin(place * rate), torch.cos(place * rate)], dim=2).flatten(1)
    return table[:, :channels].to(dtype)


_kept_codes = cache(codes)


class Projection(nn.Module):
    """1x1 convolution with a temporal stride, then batch norm."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Linear(inputs, outputs)
        self.norm = BatchNorm(outputs)

    def forward(self, h: Tensor) -> Tensor:
        return cast(Tensor, self.norm(self.conv(h[:, :: self.stride])))


class Attention(nn.Module):
    """Attention maps over joints or over frames, one for each of the subsets.

    Args:
        channels: Channels in.
        inner: Channels of a query or key.
        subsets: Maps, S.
        over: Axis of (B, T, V, C) the maps are over: 1 for frames, 2 for joints.
        base: Size V of a learned map G that is added, starting at 1 / V, only for joints; 0 for none.
    """

    def __init__(self, channels: int, inner: int, subsets: int, over: int, base: int = 0) -> None:
        super().__init__()
        self.subsets, self.over = subsets, over
        self.query_key = nn.Linear(channels, 2 * subsets * inner)
        self.alpha = nn.Parameter(torch.ones(subsets, 1, 1))
        self.base = nn.Parameter(torch.full((subsets, base, base), 1 / base)) if base else None

    def forward(self, h: Tensor) -> Tensor:
        """Return h mixed by each map, (B, T, V, S * C), from h (B, T, V, C)."""
        batch, frames, joints, channels = h.shape
        # torch.compile sees through a cache, but warns of it.
        table = codes if torch.compiler.is_compiling() else _kept_codes
        place = table(h.shape[self.over], channels, h.dtype, h.device)
        place = place if self.over == 2 else place[:, None]
        both = self.query_key(h + place).view(batch, frames, joints, 2, self.subsets, -1)
        axes = (3, 0, 4, self.over, 3 - self.over, 5)
        query, key = both.permute(axes).flatten(4)  # each (B, S, over, other * inner)
        scores = torch.tanh(query @ key.transpose(2, 3) / query.shape[3]) * self.alpha
        if self.base is not None:
            scores = scores + self.base
        mixed = torch.einsum("btuc,bsuv->btvsc" if self.over == 2 else "btvc,bstq->bqvsc", h, scores)
        return mixed.flatten(3)


class Block(nn.Module):
    """Spatial, then temporal attention.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        inner: Channels of a query or key.
        stride: Temporal stride.
        subsets: Attention maps.
        joints: Joints of a body, V.
    """

    def __init__(self, inputs: int, outputs: int, inner: int, stride: int, subsets: int, joints: int) -> None:
        super().__init__()

        def skip(channels: int, stride: int) -> nn.Module:
            return Projection(channels, outputs, stride) if changes else nn.Identity()

        changes = inputs != outputs or stride != 1
        self.spatial = Attention(inputs, inner, subsets, 2, base=joints)
        self.spatial_out = Projection(inputs * subsets, outputs)
        self.spatial_mix = Projection(outputs, outputs)
        self.skip1, self.skip2 = skip(inputs, 1), skip(inputs, 1)
        self.temporal = Attention(outputs, inner, subsets, 1)
        self.temporal_out = Projection(outputs * subsets, outputs)
        self.temporal_mix = Projection(outputs, outputs, stride)
        self.skip3, self.skip4 = skip(outputs, 1), skip(outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = _leaky(self.skip1(x) + self.spatial_out(self.spatial(x)))
        y = _leaky(self.skip2(x) + self.spatial_mix(y))
        z = _leaky(self.skip3(y) + self.temporal_out(self.temporal(y)))
        return _leaky(self.skip4(y) + self.temporal_mix(z))


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)


@dataclass(frozen=True)
class DSTASettings:
    """What DSTA reads of ``model.*``."""

    width: int = setting("Channels of the first blocks of ST-GCN and DSTA.", low=1, high=4096)
    dim: int = setting(
        "Channels of their last block: the feature, the head's hidden size.", low=1, high=16384
    )
    subsets: int = setting("Attention maps of each attention of DSTA.", low=1, high=64)


class DSTA(Backbone):
    """Projection of the coordinates, then blocks of attention over joints and over frames.

    Args:
        blocks: (in, out, inner, stride) of each block.
        subsets: Attention maps of each attention, S.
        form: Of the clips.
    """

    settings = DSTASettings

    @classmethod
    def build(cls, settings: Any, form: Form) -> Self:
        return cls(plan(settings.width, settings.dim), settings.subsets, form)

    def __init__(self, blocks: Sequence[tuple[int, int, int, int]], subsets: int, form: Form) -> None:
        super().__init__()
        self.bodies = form.bodies
        self.feature_dim = self.head_dim = blocks[-1][1]
        self.input = Projection(3, blocks[0][0])
        self.blocks = nn.ModuleList(Block(*block, subsets, form.joints) for block in blocks)

    def forward(self, x: Tensor) -> Tensor:
        h = x.permute(0, 4, 2, 3, 1).reshape(-1, x.shape[2], x.shape[3], x.shape[1])  # (N * M, T, V, 3)
        h = _leaky(self.input(h))
        for block in self.blocks:
            h = block(h)
        return h.flatten(1, 2)

    def pool(self, tokens: Tensor) -> Tensor:
        return tokens.mean(dim=1).view(-1, self.bodies, tokens.shape[2]).mean(dim=1)


def plan(width: int, dim: int) -> list[tuple[int, int, int, int]]:
    """Return (in, out, inner, stride) of the eight blocks: the paper's at width 64 and dim 256."""
    w, inner = width, max(1, width // 4)
    return [
        (w, w, inner, 1),
        (w, w, inner, 1),
        (w, 2 * w, 2 * inner, 2),
        (2 * w, 2 * w, 2 * inner, 1),
        (2 * w, 4 * w, 4 * inner, 2),
        (4 * w, 4 * w, 4 * inner, 1),
        (4 * w, 4 * w, 4 * inner, 1),
        (4 * w, dim, 4 * inner, 1),
    ]
