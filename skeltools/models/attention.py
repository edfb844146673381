"""The attention mask that divides a token map into salient and non-salient features (docs/method.md#attention-mask)."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeltools.errors import SettingError, counted


class AttentionMask(nn.Module):
    """Layer norm, multi-head self-attention over the tokens, then sigmoid(scale * y).

    Args:
        dim: Channels of a token.
        heads: Attention heads; `dim` must be a multiple of it.
        scale: Lambda, the factor inside the sigmoid.

    Raises:
        SettingError: `dim` is not a multiple of `heads`.
    """

    def __init__(self, dim: int, heads: int, scale: float) -> None:
        super().__init__()
        if dim % heads:
            raise SettingError(
                f"model.heads {heads} does not divide a token's {counted(dim, 'channel')}. Choose a divisor."
            )
        self.heads, self.scale = heads, scale
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (B, L, D) to a mask (B, L, D) in (0, 1)."""
        batch, length, dim = tokens.shape
        q, k, v = self.qkv(self.norm(tokens)).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, length, dim)
        return torch.sigmoid(self.scale * cast(Tensor, self.out(y)))
