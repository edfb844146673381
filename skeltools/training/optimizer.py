"""The optimiser of a run."""

from __future__ import annotations

import torch
from torch import nn

from skeltools.runs.settings import TrainSettings


def make_optimizer(train: TrainSettings, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimiser of every weight that takes a gradient."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    if train.optimizer == "adamw":
        return torch.optim.AdamW(weights, lr=train.lr, weight_decay=train.weight_decay)
    return torch.optim.SGD(
        weights,
        lr=train.lr,
        momentum=train.momentum,
        nesterov=train.nesterov,
        weight_decay=train.weight_decay,
        foreach=True,
    )
