"""The BiGRU backbone (spec section 5).

The method feeds its bidirectional GRU one frame at a time and carries both directions' states forward.
A one-frame sequence has no backward direction, so each layer is two forward GRUs side by side; here they
run over whole sequences.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from skeltools.models.contract import Backbone, ModelSettings
from skeltools.models.norm import BatchNorm
from skeltools.skeletons.kinect2 import NUM_BODIES, NUM_JOINTS


class BiGRU(Backbone):
    """Batch norm over the 150 inputs of a frame, then layers of two GRUs side by side.

    A token is a frame; both bodies are read at once. The global feature is the last token.

    Args:
        hidden: Units of one of the two GRUs; a token has twice as many channels.
        layers: Layers.
    """

    def __init__(self, hidden: int, layers: int) -> None:
        super().__init__()
        self.feature_dim, self.head_dim = 2 * hidden, hidden
        inputs = NUM_JOINTS * 3 * NUM_BODIES
        self.input_norm = BatchNorm(inputs)
        widths = [inputs] + [2 * hidden] * (layers - 1)
        self.first = nn.ModuleList(nn.GRU(width, hidden, batch_first=True) for width in widths)
        self.second = nn.ModuleList(nn.GRU(width, hidden, batch_first=True) for width in widths)

    def reset(self) -> None:
        for parameter in [*self.first.parameters(), *self.second.parameters()]:
            if parameter.dim() == 2:
                nn.init.xavier_uniform_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens (N, T, 2 * hidden)."""
        frames = x.permute(0, 2, 3, 1, 4).flatten(2)  # (N, T, V * C * M), V slowest
        h = cast(Tensor, self.input_norm(frames))
        for first, second in zip(self.first, self.second, strict=True):
            h = torch.cat([first(h)[0], second(h)[0]], dim=2)
        return h

    def pool(self, tokens: Tensor) -> Tensor:
        return tokens[:, -1]


def build(settings: ModelSettings) -> BiGRU:
    """Build from ``model.*`` settings."""
    return BiGRU(settings.gru_hidden, settings.gru_layers)
