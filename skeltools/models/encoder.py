"""The one thing evaluation needs of a model: clips to features."""

from __future__ import annotations

from torch import Tensor, nn

from skeltools.models.contract import Backbone


class FeatureEncoder(nn.Module):
    """Maps clips to the backbone's global feature, before any head.

    Args:
        backbone: The backbone.

    Attributes:
        feature_dim: D.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone
        self.feature_dim = backbone.feature_dim

    def forward(self, x: Tensor) -> Tensor:
        """Map clips (N, 3, T, V, M) to features (N, D)."""
        return self.backbone.features(x)
