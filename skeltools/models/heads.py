"""Projection head and predictors (docs/method.md#skeletonclr)."""

from __future__ import annotations

from torch import Tensor, nn

from skeltools.models.norm import BatchNorm


class MLP(nn.Module):
    """Linear without bias, batch norm, ReLU, linear without bias, on vectors.

    Args:
        inputs: Channels in.
        hidden: Hidden channels.
        outputs: Channels out.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Linear(inputs, hidden, bias=False)
        self.norm = BatchNorm(hidden)
        self.second = nn.Linear(hidden, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs) to (N, outputs)."""
        out: Tensor = self.second(self.norm(self.first(x)).relu())
        return out
