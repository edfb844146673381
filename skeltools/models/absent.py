"""Bodies that are not there, in evaluation: all of them have the same feature, which is computed once.

Outside training a body's feature depends on no other body where batch norm uses its running statistics and nothing
looks at two bodies at once, so that the feature of an all-zero body is one value of the network.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from skeltools.models.contract import Backbone


def pooled_once(bodies: Tensor, pooled: Callable[[Tensor], Tensor]) -> Tensor:
    """Return `pooled` of bodies, without computing it twice for bodies that are all zeros.

    Args:
        bodies: (B, ...), one body each.
        pooled: Maps b bodies (b, ...) to a feature each, (b, D), each of its body alone.

    Returns:
        (B, D).
    """
    absent = (bodies == 0).flatten(1).all(dim=1)
    if int(absent.sum()) < 2:
        return pooled(bodies)
    kept = torch.cat([torch.nonzero(~absent)[:, 0], torch.nonzero(absent)[:1, 0]])
    found = pooled(bodies[kept])
    place = torch.full((len(bodies),), len(kept) - 1, device=bodies.device)
    place[kept] = torch.arange(len(kept), device=bodies.device)
    return found[place]


class BodyByBody(Backbone):
    """A backbone that reads each body by itself, T x V tokens of it, and means over tokens, then over bodies."""

    def _tokens(self, bodies: Tensor) -> Tensor:
        """Return tokens (B, L, D) of bodies (B, T, V, 3)."""
        raise NotImplementedError

    def _bodies(self, x: Tensor) -> Tensor:
        """Return clips (N, 3, T, V, M) as bodies (N * M, T, V, 3)."""
        return x.permute(0, 4, 2, 3, 1).reshape(-1, x.shape[2], x.shape[3], x.shape[1])

    def forward(self, x: Tensor) -> Tensor:
        return self._tokens(self._bodies(x))

    def pool(self, tokens: Tensor) -> Tensor:
        return tokens.mean(dim=1).view(-1, self.bodies, tokens.shape[2]).mean(dim=1)

    def features(self, x: Tensor) -> Tensor:
        if self.training:
            return super().features(x)
        pooled = pooled_once(self._bodies(x), lambda bodies: self._tokens(bodies).mean(dim=1))
        return pooled.view(-1, self.bodies, pooled.shape[1]).mean(dim=1)
