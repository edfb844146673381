"""The one thing evaluation needs of a model: clips to features."""

from __future__ import annotations

from torch import Tensor, nn

from skeltools.models.contract import Backbone, ExtentBackbone


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

    def forward(self, x: Tensor, lengths: Tensor | None = None, bodies: Tensor | None = None) -> Tensor:
        """Map clips (N, 3, T, V, M) to features (N, D).

        Valid frames (N,) and bodies that are there (N, M) are for backbones that ask for them.
        """
        if isinstance(self.backbone, ExtentBackbone):
            return self.backbone.features(x, lengths, bodies)
        return self.backbone.features(x)
