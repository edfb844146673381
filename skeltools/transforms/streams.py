"""The streams of a clip, computed on the batch's device from joint coordinates (docs/method.md#streams)."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

from skeltools.datasets.contract import OTHER_STREAMS, STREAMS
from skeltools.errors import SettingError, did_you_mean
from skeltools.skeletons import Skeleton


@cache
def _parents(skeleton: Skeleton, device: torch.device) -> Tensor:
    return torch.tensor(skeleton.parents, device=device)


def check_stream(stream: str) -> str:
    """Return `stream` if it is one.

    Raises:
        SettingError: It is not; the message lists those there are.
    """
    if stream not in STREAMS:
        if stream.strip() and set(stream.replace(",", " ").split()) <= {*STREAMS}:
            hint = " A run has one stream: make one for each."
        else:
            hint = did_you_mean(stream, STREAMS, OTHER_STREAMS)
        raise SettingError(f"Unknown stream '{stream}'. Choose one of: {', '.join(STREAMS)}.{hint}")
    return stream


def to_stream(x: Tensor, stream: str, skeleton: Skeleton) -> Tensor:
    """Return a batch of joint clips as `stream`.

    joint is `x` itself; motion[t] = x[t+1] - x[t] with the last frame 0; bone = joint - parent joint.

    Args:
        x: Joint coordinates (N, 3, T, V, M), metres.
        stream: ``joint``, ``motion`` or ``bone``.
        skeleton: Of V joints; says which joint is the parent.

    Returns:
        (N, 3, T, V, M); the input itself for ``joint``.

    Raises:
        SettingError: Unknown stream.
    """
    check_stream(stream)
    if stream == "joint":
        return x
    if stream == "motion":
        motion = torch.empty_like(x)
        torch.sub(x[:, :, 1:], x[:, :, :-1], out=motion[:, :, :-1])
        motion[:, :, -1] = 0
        return motion
    return _bones(x, _parents(skeleton, x.device))


def _bones(x: Tensor, parents: Tensor) -> Tensor:
    return x - x.index_select(3, parents)


class Stream(nn.Module):
    """`to_stream` as a module that holds all it needs, so that a model which begins with it can be exported."""

    parents: Tensor

    def __init__(self, stream: str, skeleton: Skeleton) -> None:
        super().__init__()
        self.stream, self.skeleton = check_stream(stream), skeleton
        self.register_buffer("parents", torch.tensor(skeleton.parents), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map joint coordinates (N, 3, T, V, M) to the stream."""
        return _bones(x, self.parents) if self.stream == "bone" else to_stream(x, self.stream, self.skeleton)
