"""Bodies that are not there, in evaluation: all of them have the same feature, which is computed once.

Outside training a body's feature depends on no other body where batch norm uses its running statistics and nothing
looks at two bodies at once, so that the feature of an all-zero body is one value of the network.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


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
