"""Counter-based random draws: each is a pure function of (seed, epoch, clip, purpose).

A draw is a 32-bit hash computed with integer tensor operations, so it is the same on every device, for
every number of workers and processes, and after a resume; there is no generator state to keep.
"""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0x7FEB352D, 0x46CA68B5)
"""Odd and below 2^31, so that a product with a 32-bit value never leaves int64."""


def _mix(x: Tensor) -> Tensor:
    """Scramble 32-bit values held in int64: every input bit reaches every output bit."""
    for shift, factor in zip((16, 15), _MULTIPLIERS, strict=True):
        x = (x ^ (x >> shift)) * factor & _MASK
    return x ^ (x >> 16)


def _mix_int(x: int) -> int:
    for shift, factor in zip((16, 15), _MULTIPLIERS, strict=True):
        x = (x ^ (x >> shift)) * factor & _MASK
    return x ^ (x >> 16)


def _key(seed: int, epoch: int, purpose: str) -> int:
    key = _mix_int(zlib.crc32(purpose.encode()) ^ 0x5BD1E995)
    for word in (seed & _MASK, seed >> 32 & _MASK, epoch & _MASK):
        key = _mix_int((key * 3 + 0x3C6EF372 & _MASK) ^ _mix_int(word + 0x1B873593 & _MASK))
    return key


class Draws:
    """The random draws of one batch.

    Args:
        seed: Seed of the run, any non-negative integer below 2^64.
        epoch: Epoch, from 0.
        clips: Row of each clip in its file, int64 (N,); its device is where draws are made.
        scope: Put before every purpose; keeps the two views of a clip apart.
    """

    def __init__(self, seed: int, epoch: int, clips: Tensor, scope: str = "") -> None:
        self.seed, self.epoch, self.scope = seed, epoch, scope
        self.clips = clips.to(torch.int64)

    def scoped(self, scope: str) -> Draws:
        """Return the draws of the same clips under a longer scope."""
        return Draws(self.seed, self.epoch, self.clips, f"{self.scope}{scope}/")

    def of(self, rows: slice | Tensor) -> Draws:
        """Return the draws of some of the clips, by their places in the batch."""
        return Draws(self.seed, self.epoch, self.clips[rows], self.scope)

    def __len__(self) -> int:
        return len(self.clips)

    def _words(self, purpose: str, count: int) -> Tensor:
        """Return 32-bit words as int64 (N, count)."""
        key = _key(self.seed, self.epoch, self.scope + purpose)
        clips = self.clips
        row = _mix(((clips & _MASK) ^ key) + (clips >> 32) & _MASK)
        place = torch.arange(1, count + 1, device=clips.device) * 0x1E3779B1 & _MASK
        return _mix(_mix(row[:, None] ^ place) + key & _MASK)

    def uniform(self, purpose: str, count: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return float32 (N, count), uniform in [low, high): 24 random bits each."""
        unit = (self._words(purpose, count) >> 8).to(torch.float32) * 2.0**-24
        return unit * (high - low) + low

    def integers(self, purpose: str, low: int, high: int | Tensor) -> Tensor:
        """Return int64 (N,), uniform over low..high, both included (range below 2^31); `high` may be (N,)."""
        return low + (self._words(purpose, 1)[:, 0] * (high - low + 1) >> 32)

    def chance(self, purpose: str, probability: float) -> Tensor:
        """Return bool (N,), each true with `probability`."""
        return self.uniform(purpose, 1)[:, 0] < probability

    def normal(self, purpose: str, count: int) -> Tensor:
        """Return float32 (N, count), standard normal by the Box-Muller transform.

        The uniforms behind them are the same on every device; logarithm and cosine may differ in a last bit.
        """
        half = (count + 1) // 2
        words = self._words(purpose, 2 * half) >> 8
        first = (words[:, :half] + 1).to(torch.float32) * 2.0**-24
        angle = words[:, half:].to(torch.float32) * (2.0**-24 * 2 * torch.pi)
        radius = torch.sqrt(-2 * torch.log(first))
        return torch.cat([radius * torch.cos(angle), radius * torch.sin(angle)], dim=1)[:, :count]


def step_draws(seed: int, step: int) -> Draws:
    """Return draws made once per global step, as those of a single clip numbered by the step."""
    return Draws(seed, 0, torch.tensor([step]), "step/")


def permutation(seed: int, epoch: int, count: int) -> Tensor:
    """Return the order in which an epoch visits `count` clips, int64 (count,) on the CPU."""
    draws = Draws(seed, epoch, torch.arange(count), "order/")
    # Two words per clip: ties of 32-bit keys are common from 2^16 clips on.
    words = draws._words("key", 2)
    return torch.argsort((words[:, 0] >> 1 << 32) | words[:, 1], stable=True)
