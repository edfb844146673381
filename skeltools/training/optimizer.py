"""The optimiser of a run."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from skeltools.runs.settings import TrainSettings


def make_optimizer(train: TrainSettings, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimiser of every weight that takes a gradient."""
    groups = weight_groups(train, model)
    if train.optimizer == "adamw":
        betas = (train.betas[0], train.betas[1])
        return torch.optim.AdamW(groups, lr=train.lr, betas=betas, weight_decay=train.weight_decay)
    return torch.optim.SGD(
        groups,
        lr=train.lr,
        momentum=train.momentum,
        nesterov=train.nesterov,
        weight_decay=train.weight_decay,
        foreach=True,
    )


def decays(name: str, weight: nn.Parameter) -> bool:
    """Return whether a weight decays where not all do: none of one axis (norms) does, and no bias."""
    return weight.dim() > 1 and not name.endswith(".bias")


def weight_groups(train: TrainSettings, model: nn.Module) -> list[dict[str, Any]]:
    """Return the weights in groups, those that do not decay in one of their own."""
    weights = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    still = {name for name, weight in weights if not (train.decay_all or decays(name, weight))}
    groups: list[dict[str, Any]] = [{"params": [weight for name, weight in weights if name not in still]}]
    if still:
        groups.append({"params": [weight for name, weight in weights if name in still], "weight_decay": 0.0})
    return groups
