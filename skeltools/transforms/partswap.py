"""The part swap that makes the view of the local branch (docs/method.md#part-swap).

One draw per global step, the same for the whole batch: within a window of frames, some joints of clip i are
replaced by those of clip (i + shift) mod N. `draw` decides, `apply` does it; in a run over several
processes every process makes the same draw and applies it to the joint batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from skeltools.errors import SettingError, counted
from skeltools.skeletons import Skeleton
from skeltools.transforms.draws import Draws

FILLS = ("partner", "zeros", "noise")
"""What replaces the joints: the partner clip's, zeros, or standard normal noise."""

CHOICES = ("parts", "joints")
"""What is chosen: whole body parts, or joints one by one."""


@dataclass(frozen=True)
class SwapRange:
    """What may be drawn.

    Attributes:
        choose: ``parts`` or ``joints``.
        count: Fewest and most parts (or joints) swapped.
        window: Shortest and longest window, in units.
        unit: Frames a unit; windows start at a multiple of it.
        fill: ``partner``, ``zeros`` or ``noise``.
    """

    choose: str
    count: tuple[int, int]
    window: tuple[int, int]
    unit: int
    fill: str


@dataclass(frozen=True)
class PartSwap:
    """One draw.

    Attributes:
        shift: n of the partner (i + n) mod N, in 1..N-2.
        joints: Joints replaced, sorted.
        begin: First frame of the window.
        end: Frame after the last of the window.
    """

    shift: int
    joints: tuple[int, ...]
    begin: int
    end: int


def draw(draws: Draws, batch: int, frames: int, limits: SwapRange, skeleton: Skeleton) -> PartSwap:
    """Draw the part swap of one global step.

    Args:
        draws: Draws of the step (`skeltools.transforms.draws.step_draws`).
        batch: Clips in the whole batch over all processes, N.
        frames: Frames per clip, T.
        limits: What may be drawn.
        skeleton: That of the clips.

    Raises:
        SettingError: Fewer than 3 clips, or a window that does not fit the clip, or a count out of range.
    """
    if batch < 3:
        raise SettingError(
            f"The part swap needs at least 3 clips in a batch, not {batch}. Raise train.batch_size."
        )
    units = frames // limits.unit
    shortest, longest = limits.window
    if not 1 <= shortest <= longest <= units:
        raise SettingError(
            f"augment.swap_window {shortest} to {longest} units of {counted(limits.unit, 'frame')} does not fit clips "
            f"of {counted(frames, 'frame')}. Lower augment.swap_window."
        )
    joints = [(joint,) for joint in range(skeleton.num_joints)]
    groups = list(skeleton.parts.values()) if limits.choose == "parts" else joints
    fewest, most = limits.count
    if not 1 <= fewest <= most <= len(groups):
        raise SettingError(
            f"augment.swap_count {fewest} to {most} must lie within 1 to {len(groups)} {limits.choose}."
        )

    def pick(purpose: str, low: int, high: int) -> int:
        return int(draws.integers("swap " + purpose, low, high)[0])

    count = pick("count", fewest, most)
    order = torch.argsort(draws.uniform("swap groups", len(groups))[0], stable=True)[:count]
    length = pick("length", shortest, longest)
    begin = pick("begin", 0, units - length) * limits.unit
    chosen = sorted(joint for group in order.tolist() for joint in groups[group])
    return PartSwap(pick("shift", 1, batch - 2), tuple(chosen), begin, begin + length * limits.unit)


def _on(device: torch.device, joints: tuple[int, ...]) -> Tensor:
    """Return joints as a tensor on a device, without waiting for a GPU's earlier work."""
    index = torch.tensor(joints)
    return index.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else index.to(device)


def apply(
    x: Tensor,
    swap: PartSwap,
    fill: str = "partner",
    noise: Draws | None = None,
    partner: Tensor | None = None,
) -> Tensor:
    """Return `x` with the drawn joints replaced within the drawn window.

    Args:
        x: The whole batch (N, 3, T, V, M), or a slice of it together with `partner`; not changed.
        swap: The draw.
        fill: ``partner``, ``zeros`` or ``noise``.
        noise: Draws of the batch's clips, needed for ``noise``.
        partner: The partner of each clip of `x`; clip (i + shift) mod N of `x` when None.

    Returns:
        (N, 3, T, V, M), a new tensor.
    """
    joints = _on(x.device, swap.joints)
    source = x if partner is None else partner
    window = source[:, :, swap.begin : swap.end].index_select(3, joints)
    if fill == "partner":
        window = window if partner is not None else window.roll(-swap.shift, dims=0)
    elif fill == "zeros":
        window = torch.zeros_like(window)
    elif noise is None:
        raise ValueError("fill 'noise' needs draws")
    else:
        window = noise.normal("swap noise", window[0].numel()).view_as(window).to(x.dtype)
    swapped = x.clone()
    swapped[:, :, swap.begin : swap.end].index_copy_(3, joints, window)
    return swapped
