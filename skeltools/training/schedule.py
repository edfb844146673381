"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Protocol


class Schedule(Protocol):
    """The settings that decide the rate: those of pretraining, or of a protocol."""

    @property
    def epochs(self) -> int: ...
    @property
    def lr(self) -> float: ...
    @property
    def schedule(self) -> str: ...
    @property
    def lr_steps(self) -> tuple[int, ...]: ...
    @property
    def lr_gamma(self) -> float: ...
    @property
    def lr_min(self) -> float: ...
    @property
    def warmup(self) -> int: ...
    @property
    def warmup_from_zero(self) -> bool: ...


def learning_rate(settings: Schedule, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of a global step (from 0).

    ``step``: lr x lr_gamma for every epoch of lr_steps that is over. ``cosine``: from lr to lr_min over the
    epochs after the warm-up. During `warmup` epochs the rate rises linearly; with `warmup_from_zero` it is at
    every step that of the (fraction of) epochs done before it.
    """
    warm = settings.warmup * steps_per_epoch
    if step < warm:
        return settings.lr * (step + (not settings.warmup_from_zero)) / warm
    if settings.schedule == "cosine":
        total = settings.epochs * steps_per_epoch
        done = (step - warm) / max(total - warm, 1)
        return settings.lr_min + (settings.lr - settings.lr_min) * 0.5 * (1 + math.cos(math.pi * done))
    return settings.lr * settings.lr_gamma ** bisect_right(sorted(settings.lr_steps), step // steps_per_epoch)
