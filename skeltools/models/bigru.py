"""The BiGRU backbone.

The method feeds its bidirectional GRU one frame at a time and carries both directions' states forward.
A one-frame sequence has no backward direction, so each layer is two forward GRUs side by side; here they
run over whole sequences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from skeltools.models.contract import Backbone
from skeltools.models.norm import BatchNorm
from skeltools.settings import setting
from skeltools.skeletons import Form


@dataclass(frozen=True)
class BiGRUSettings:
    """What BiGRU reads of ``model.*``."""

    gru_hidden: int = setting("Units per direction of BiGRU.", low=1, high=16384)
    gru_layers: int = setting("Layers of BiGRU.", low=1, high=64)


class BiGRU(Backbone):
    """Batch norm over the V * 3 * M inputs of a frame, then layers of two GRUs side by side.

    A token is a frame; all bodies are read at once. The global feature is the last token.

    Args:
        hidden: Units of one of the two GRUs; a token has twice as many channels.
        layers: Layers.
        form: Of the clips.
    """

    settings = BiGRUSettings

    @classmethod
    def build(cls, settings: Any, form: Form) -> Self:
        return cls(settings.gru_hidden, settings.gru_layers, form)

    def __init__(self, hidden: int, layers: int, form: Form) -> None:
        super().__init__()
        self.feature_dim, self.head_dim = 2 * hidden, hidden
        inputs = form.joints * 3 * form.bodies
        self.input_norm = BatchNorm(inputs)
        widths = [inputs] + [2 * hidden] * (layers - 1)
        self.first = nn.ModuleList(nn.GRU(width, hidden, batch_first=True) for width in widths)
        self.second = nn.ModuleList(nn.GRU(width, hidden, batch_first=True) for width in widths)

    def reset(self) -> None:
        for parameter in [*self.first.parameters(), *self.second.parameters()]:
            if parameter.dim() == 2:
                nn.init.xavier_uniform_(parameter)

    def layers(self) -> list[list[nn.Parameter]]:
        """Return the input norm, then each layer's two GRUs."""
        pairs = zip(self.first, self.second, strict=True)
        return [list(self.input_norm.parameters())] + [
            [*first.parameters(), *second.parameters()] for first, second in pairs
        ]

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens (N, T, 2 * hidden)."""
        frames = x.permute(0, 2, 3, 1, 4).flatten(2)  # (N, T, V * C * M), V slowest
        h = cast(Tensor, self.input_norm(frames))
        for first, second in zip(self.first, self.second, strict=True):
            h = torch.cat([first(h)[0], second(h)[0]], dim=2)
        return h

    def pool(self, tokens: Tensor) -> Tensor:
        return tokens[:, -1]
