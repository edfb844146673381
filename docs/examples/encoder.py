"""An encoder of one's own, as evaluation takes it: clips (N, 3, T, 25, 2) in, features (N, D) out.

skeltools eval --encoder encoder:build --weights weights.pt --data ntu60.h5 --protocol all
"""

import torch
from torch import Tensor, nn


class Encoder(nn.Module):
    """A small convolution over time, then the mean and the largest value of each channel."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3 * 25 * 2)
        self.conv = nn.Conv1d(3 * 25 * 2, width, kernel_size=5, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        series = x.permute(0, 1, 3, 4, 2).flatten(1, 3)  # (N, 150, T)
        hidden = self.conv(self.norm(series)).relu()
        return torch.cat([hidden.mean(dim=2), hidden.amax(dim=2)], dim=1)


def build() -> nn.Module:
    """Return the encoder; --weights fills it."""
    return Encoder()
