"""The ST-GCN backbone.

Activations are kept as (B, T, V, C) with channels last. In that layout the graph convolution is two matrix products
(`graph_conv`) and the token map is a view; the temporal convolution runs in channels_last. On a GPU some steps differ,
see `_on_gpu`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeltools.models.absent import BodyByBody
from skeltools.models.fast.dropout import dropout
from skeltools.models.fast.gather import gather
from skeltools.models.norm import BatchNorm
from skeltools.settings import setting
from skeltools.skeletons import Form

KERNEL = 9
"""Frames a temporal convolution spans."""

PARTS = 3
"""Parts of the graph: identity, inward, outward."""


_NARROW = 128
"""Channels in times channels out up to which one dense product is faster than two on the CPU: a step of width 8 takes
1.2 times as long without it (docs/pretraining.md#measured)."""


def _on_gpu(h: Tensor) -> bool:
    """Return whether to compute as a GPU wants it.

    There, in-place work on views makes autograd copy whole gradients, and torch.compile fuses what is written
    as plain elementwise operations.
    """
    return h.device.type != "cpu"


def graph_conv_by_definition(h: Tensor, graph: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return out[w] = sum over parts k and joints v of (weight[k] x[v] + bias[k]) * graph[k, v, w].

    Args:
        h: (B, T, V, in).
        graph: (3, V, V), from joint v to joint w.
        weight: (3, out, in).
        bias: (3, out).

    Returns:
        (B, T, V, out).
    """
    return torch.einsum("btvi,koi,kvw->btwo", h, weight, graph) + torch.einsum("ko,kvw->wo", bias, graph)


def graph_conv(h: Tensor, graph: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return what `graph_conv_by_definition` does, in two products: over the joints, then over parts and channels.

    That takes 0.72 to 0.85 of its time. With few channels on the CPU it is one product, of more arithmetic.
    """
    batch, frames, joints, inputs = h.shape
    outputs, offset = len(weight[0]), graph.sum(dim=1).T @ bias  # (W, out)
    if inputs * outputs <= _NARROW and not _on_gpu(h):
        # One frame of all joints times a (V * in, W * out) matrix.
        dense = torch.einsum("kvw,koi->viwo", graph, weight).reshape(joints * inputs, joints * outputs)
        maps = torch.addmm(offset.flatten(), h.reshape(batch * frames, -1), dense)
        return maps.view(batch, frames, joints, outputs)
    rows = graph.permute(2, 0, 1).reshape(-1, joints)  # row w * 3 + k
    stacked = h.reshape(batch * frames, joints, inputs)
    # (B * T, V * 3, in): joint w holds its three parts side by side.
    if _on_gpu(h):
        gathered = gather(stacked, rows)
    else:
        gathered = torch.bmm(rows.to(h.dtype).expand(batch * frames, -1, -1), stacked)
    kernel = weight.permute(1, 0, 2).reshape(-1, PARTS * inputs)
    out = F.linear(gathered.view(batch, frames, joints, PARTS * inputs), kernel)
    return out + offset.to(out.dtype)


class GraphConv(nn.Module):
    """Graph convolution (docs/method.md#st-gcn) of a graph with learned edge weights.

    Attributes:
        weight: (3, out, in).
        bias: (3, out).
        edge: Learned edge weight (3, V, V), starting at 1.
    """

    is_convolution = True

    def __init__(self, inputs: int, outputs: int, joints: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(PARTS, outputs, inputs))
        self.bias = nn.Parameter(torch.empty(PARTS, outputs))
        self.edge = nn.Parameter(torch.ones(PARTS, joints, joints))

    def forward(self, h: Tensor, graph: Tensor) -> Tensor:
        """Map (B, T, V, in) to (B, T, V, out)."""
        return graph_conv(h, graph * self.edge, self.weight, self.bias)


class TemporalConv(nn.Conv2d):
    """ReLU, then 9x1 convolution with a stride over frames, of (B, T, V, C); on the CPU in place."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__(channels, channels, (KERNEL, 1), (stride, 1), (KERNEL // 2, 0))

    def forward(self, h: Tensor) -> Tensor:
        # The permuted tensors are channels_last views; no data moves.
        if not _on_gpu(h):
            return super().forward(F.relu(h, inplace=True).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        # ReLU after the permutation: torch.compile then keeps one tensor for both backward passes, not two.
        # The bias apart: it goes into the batch norm that follows.
        assert self.bias is not None
        active = F.relu(h.permute(0, 3, 1, 2))
        out = F.conv2d(active, self.weight, None, self.stride, self.padding).permute(0, 2, 3, 1)
        return out + self.bias.to(out.dtype)


class Shortcut(nn.Module):
    """Residual where channels or stride change: 1x1 convolution with the stride, then batch norm."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Linear(inputs, outputs)
        self.norm = BatchNorm(outputs)

    def forward(self, h: Tensor) -> Tensor:
        return cast(Tensor, self.norm(self.conv(h[:, :: self.stride])))


class Block(nn.Module):
    """One ST-GCN block on (B, T, V, C).

    Args:
        inputs: Channels in.
        outputs: Channels out.
        stride: Temporal stride.
        residual: Whether there is a residual (block 1 has none).
        dropout: Probability after the temporal convolution.
        joints: Joints of a body, V.
    """

    def __init__(
        self, inputs: int, outputs: int, stride: int, residual: bool, dropout: float, joints: int
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.spatial = GraphConv(inputs, outputs, joints)
        self.norm1 = BatchNorm(outputs)
        self.temporal = TemporalConv(outputs, stride)
        self.norm2 = BatchNorm(outputs)
        self.residual = residual
        self.shortcut = Shortcut(inputs, outputs, stride) if inputs != outputs or stride != 1 else None

    def forward(self, h: Tensor, graph: Tensor) -> Tensor:
        out = self.norm2(self.temporal(self.norm1(self.spatial(h, graph))))
        out = dropout(out, self.dropout, self.training)
        in_place = not _on_gpu(out)
        if self.residual:
            residual = h if self.shortcut is None else self.shortcut(h)
            out = out.add_(residual) if in_place else out + residual
        return F.relu(out, inplace=in_place)


@dataclass(frozen=True)
class STGCNSettings:
    """What ST-GCN reads of ``model.*``."""

    width: int = setting("Channels of the first blocks of ST-GCN and DSTA.", low=1, high=4096)
    dim: int = setting(
        "Channels of their last block: the feature, the head's hidden size.", low=1, high=16384
    )
    dropout: float = setting("Dropout in ST-GCN blocks 2 to 10.", low=0, high=0.99)


class STGCN(BodyByBody):
    """ST-GCN: batch norm over joints x channels, then ten blocks.

    Args:
        width: Channels of blocks 1 to 4; 2 x width in 5 to 7, 4 x width in 8 and 9.
        dim: Channels of block 10, the feature dimension.
        dropout: Probability in blocks 2 to 10.
        form: Of the clips; its skeleton is the graph.

    Attributes:
        graph: (3, V, V) buffer, part of the state, so that a checkpoint brings its own graph.
    """

    settings = STGCNSettings
    graph: Tensor

    @classmethod
    def build(cls, settings: Any, form: Form) -> Self:
        return cls(settings.width, settings.dim, settings.dropout, form)

    def __init__(self, width: int, dim: int, dropout: float, form: Form) -> None:
        super().__init__()
        self.width, self.feature_dim, self.head_dim = width, dim, dim
        self.bodies, self.token_joints = form.bodies, form.joints
        self.register_buffer("graph", torch.from_numpy(form.skeleton.graph()))
        self.input_norm = BatchNorm(form.joints * 3)
        plan = (
            [(width, 1)] * 4
            + [(2 * width, 2)]
            + [(2 * width, 1)] * 2
            + [(4 * width, 2), (4 * width, 1), (dim, 1)]
        )
        blocks, inputs = [], 3
        for place, (outputs, stride) in enumerate(plan):
            first = place == 0
            block = Block(inputs, outputs, stride, not first, 0.0 if first else dropout, form.joints)
            if first:
                block.shortcut = None
            blocks.append(block)
            inputs = outputs
        self.blocks = nn.ModuleList(blocks)

    def layers(self) -> list[list[nn.Parameter]]:
        """Return the input norm, then each block."""
        return [list(part.parameters()) for part in (self.input_norm, *self.blocks)]

    def reset(self) -> None:
        for block in self.blocks:
            nn.init.ones_(cast(Block, block).spatial.edge)

    def _tokens(self, bodies: Tensor) -> Tensor:
        """Return tokens (B, L, D) of bodies (B, T, V, 3)."""
        h: Tensor = self.input_norm(bodies.flatten(2)).view(bodies.shape)
        for block in self.blocks:
            h = block(h, self.graph)
        return h.flatten(1, 2)
