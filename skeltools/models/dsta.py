"""The DSTA backbone: decoupled spatial and temporal attention, or HiCLR's variant with convolutions over time.

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

from skeltools.errors import SettingError, counted
from skeltools.models.absent import BodyByBody
from skeltools.models.norm import BatchNorm
from skeltools.settings import setting
from skeltools.skeletons import Form

SLOPE = 0.1
"""Of the leaky ReLU."""

KERNEL = 7
"""Frames that a convolution over time spans."""

TEMPORAL = ("attention", "convolution")
STRIDES = (1, 1, 2, 1, 2, 1, 1, 1)
"""Temporal strides of the eight blocks."""


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


class TemporalConv(nn.Module):
    """7x1 convolution with a stride over frames, then batch norm, of (B, T, V, C)."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, (KERNEL, 1), (stride, 1), (KERNEL // 2, 0))
        self.norm = BatchNorm(channels)

    def forward(self, h: Tensor) -> Tensor:
        return cast(Tensor, self.norm(self.conv(h.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)))


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
    """Spatial attention, then attention or a convolution over time.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        inner: Channels of a query or key.
        stride: Temporal stride.
        subsets: Attention maps.
        joints: Joints of a body, V.
        temporal: One of `TEMPORAL`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        inner: int,
        stride: int,
        subsets: int,
        joints: int,
        temporal: str = "attention",
    ) -> None:
        super().__init__()

        def skip(channels: int, stride: int) -> nn.Module:
            return Projection(channels, outputs, stride) if changes else nn.Identity()

        changes = inputs != outputs or stride != 1
        self.spatial = Attention(inputs, inner, subsets, 2, base=joints)
        self.spatial_out = Projection(inputs * subsets, outputs)
        self.spatial_mix = Projection(outputs, outputs)
        self.skip1, self.skip2 = skip(inputs, 1), skip(inputs, 1)
        self.attends = temporal == "attention"
        if self.attends:
            self.temporal = Attention(outputs, inner, subsets, 1)
            self.temporal_out = Projection(outputs * subsets, outputs)
            self.temporal_mix = Projection(outputs, outputs, stride)
            self.skip3 = skip(outputs, 1)
        else:
            self.temporal_conv = TemporalConv(outputs, stride)
        self.skip4 = skip(outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = _leaky(self.skip1(x) + self.spatial_out(self.spatial(x)))
        y = _leaky(self.skip2(x) + self.spatial_mix(y))
        if not self.attends:
            return _leaky(self.skip4(y) + self.temporal_conv(y))
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
    temporal: str = setting(
        "What DSTA does over time: attention, or 7x1 convolutions as in HiCLR.", choices=TEMPORAL
    )
    dsta_channels: tuple[int, ...] = setting(
        "Channels of each block of DSTA in place of those of model.width and model.dim; [] for these.",
        low=1,
        high=16384,
    )
    dsta_inner: tuple[int, ...] = setting(
        "Channels of a query or key in each of model.dsta_channels.", low=1, high=4096
    )
    dsta_strides: tuple[int, ...] = setting("Temporal stride of each of model.dsta_channels.", low=1, high=64)


class DSTA(BodyByBody):
    """Projection of the coordinates, then blocks of attention over joints and over frames.

    Args:
        blocks: (in, out, inner, stride) of each block.
        subsets: Attention maps of each attention, S.
        form: Of the clips.
        temporal: What blocks do over frames, one of `TEMPORAL`.

    Raises:
        SettingError: From `build`: ``model.dsta_channels``, ``_inner`` and ``_strides`` are not equally many.
    """

    settings = DSTASettings

    @classmethod
    def build(cls, settings: Any, form: Form) -> Self:
        channels, inner, strides = settings.dsta_channels, settings.dsta_inner, settings.dsta_strides
        blocks = plan(settings.width, settings.dim)
        if channels or inner or strides:
            blocks = blocks_of(channels, inner, strides)
            if (settings.width, settings.dim) != (channels[0], channels[-1]):
                raise SettingError(
                    f"model.dsta_channels begins with {channels[0]} and ends with {channels[-1]}: set model.width and "
                    "model.dim to these."
                )
        return cls(blocks, settings.subsets, form, settings.temporal)

    def __init__(
        self,
        blocks: Sequence[tuple[int, int, int, int]],
        subsets: int,
        form: Form,
        temporal: str = "attention",
    ) -> None:
        super().__init__()
        self.bodies, self.token_joints = form.bodies, form.joints
        self.feature_dim = self.head_dim = blocks[-1][1]
        self.input = Projection(3, blocks[0][0])
        self.blocks = nn.ModuleList(Block(*block, subsets, form.joints, temporal) for block in blocks)

    def layers(self) -> list[list[nn.Parameter]]:
        """Return the projection of the coordinates, then each block."""
        return [list(part.parameters()) for part in (self.input, *self.blocks)]

    def _tokens(self, bodies: Tensor) -> Tensor:
        """Return tokens (B, L, D) of bodies (B, T, V, 3)."""
        h = _leaky(self.input(bodies))
        for block in self.blocks:
            h = block(h)
        return h.flatten(1, 2)


def blocks_of(
    channels: Sequence[int], inner: Sequence[int], strides: Sequence[int]
) -> list[tuple[int, int, int, int]]:
    """Return (in, out, inner, stride) of blocks by their channels out, those of a query or key, and strides.

    Raises:
        SettingError: These are not equally many.
    """
    if not len(channels) == len(inner) == len(strides):
        raise SettingError(
            f"model.dsta_channels has {counted(len(channels), 'number')}, model.dsta_inner {len(inner)} and "
            f"model.dsta_strides {len(strides)}: one each per block."
        )
    inputs = (channels[0], *channels[:-1])
    return list(zip(inputs, channels, inner, strides, strict=True))


def plan(width: int, dim: int) -> list[tuple[int, int, int, int]]:
    """Return (in, out, inner, stride) of the eight blocks: the paper's at width 64 and dim 256."""
    growth = (1, 1, 2, 2, 4, 4, 4, 4)
    channels = [times * width for times in growth[:-1]] + [dim]
    return blocks_of(channels, [times * max(1, width // 4) for times in growth], STRIDES)
