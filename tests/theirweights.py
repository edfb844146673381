"""State dicts as other projects' checkpoints hold them."""

from __future__ import annotations

import torch
from torch import Tensor


def theirs(width: int = 4, dim: int = 24, seed: int = 0) -> dict[str, Tensor]:
    """An ST-GCN state dict as those projects name it, of random numbers."""
    generator = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}

    def put(name: str, *shape: int) -> None:
        state[name] = torch.rand(*shape, generator=generator) + 0.1

    def norm(name: str, channels: int) -> None:
        for entry in ("weight", "bias", "running_mean", "running_var"):
            put(f"{name}.{entry}", channels)
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    put("A", 3, 25, 25)
    norm("data_bn", 75)
    inputs = 3
    plan = [width] * 4 + [2 * width] * 3 + [4 * width] * 2 + [dim]
    for i, outputs in enumerate(plan):
        block = f"st_gcn_networks.{i}"
        put(f"edge_importance.{i}", 3, 25, 25)
        put(f"{block}.gcn.conv.weight", 3 * outputs, inputs, 1, 1)
        put(f"{block}.gcn.conv.bias", 3 * outputs)
        norm(f"{block}.tcn.0", outputs)
        put(f"{block}.tcn.2.weight", outputs, outputs, 9, 1)
        put(f"{block}.tcn.2.bias", outputs)
        norm(f"{block}.tcn.3", outputs)
        if i > 0 and (inputs != outputs or i in (4, 7)):
            put(f"{block}.residual.0.weight", outputs, inputs, 1, 1)
            put(f"{block}.residual.0.bias", outputs)
            norm(f"{block}.residual.1", outputs)
        inputs = outputs
    for layer in (0, 2):
        put(f"fc.{layer}.weight", dim, dim)
        put(f"fc.{layer}.bias", dim)
    return state


def under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in state.items()}
