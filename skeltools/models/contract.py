"""What a backbone is: clips in, a token map and a global feature out."""

from __future__ import annotations

from typing import Protocol, cast

from torch import Tensor, nn


class ModelSettings(Protocol):
    """The part of the settings that builds a model (``model.*``); values come from a recipe."""

    @property
    def backbone(self) -> str: ...
    @property
    def width(self) -> int: ...
    @property
    def dim(self) -> int: ...
    @property
    def embedding(self) -> int: ...
    @property
    def heads(self) -> int: ...
    @property
    def mask_scale(self) -> float: ...
    @property
    def dropout(self) -> float: ...
    @property
    def gru_hidden(self) -> int: ...
    @property
    def gru_layers(self) -> int: ...
    @property
    def subsets(self) -> int: ...


class Backbone(nn.Module):
    """Base of the backbones.

    Attributes:
        feature_dim: D, channels of a token and of the global feature.
        head_dim: Hidden size of the projection head.
    """

    feature_dim: int
    head_dim: int

    def forward(self, x: Tensor) -> Tensor:
        """Return the token map of clips.

        Args:
            x: (N, 3, T, 25, 2) float32.

        Returns:
            (N * bodies, L, D): L tokens a sequence. A backbone that reads both bodies at once has bodies = 1.
        """
        raise NotImplementedError

    def pool(self, tokens: Tensor) -> Tensor:
        """Return one vector a clip, (N, D), from tokens (N * bodies, L, D). Linear in the tokens."""
        raise NotImplementedError

    def features(self, x: Tensor) -> Tensor:
        """Return the global feature (N, D) of clips (N, 3, T, 25, 2).

        A backbone may take a shorter way here than `forward` and `pool`, to the same result.
        """
        return self.pool(self(x))

    def reset(self) -> None:
        """Start weights that need another start than `initialise` gives. Called after it."""


def initialise(module: nn.Module) -> None:
    """Start the weights of a whole model (spec section 5).

    Convolutions and linear layers N(0, 0.02) with zero bias; batch norm weight N(1, 0.02) with zero bias.
    Uses torch's global generator. Backbones then `reset` what they start differently.
    """
    for part in module.modules():
        if isinstance(part, (nn.Conv1d, nn.Conv2d, nn.Linear)) or getattr(part, "is_convolution", False):
            nn.init.normal_(cast(Tensor, part.weight), 0.0, 0.02)
            if part.bias is not None:
                nn.init.zeros_(cast(Tensor, part.bias))
        elif isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.normal_(part.weight, 1.0, 0.02)
            nn.init.zeros_(part.bias)
    for part in module.modules():
        if isinstance(part, Backbone):
            part.reset()
