"""How large is a model? Found on the meta device, before anything of it is allocated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from skeltools.environment import free_memory
from skeltools.errors import SettingError

M = TypeVar("M", bound=nn.Module)


def on_meta(make: Callable[[], M]) -> M:
    """Return the module that `make` builds, without the memory of its weights.

    Raises:
        SettingError: It has more weights than can be counted.
    """
    try:
        with torch.device("meta"):
            return make()
    except RuntimeError as error:  # sizes beyond 64 bits
        told = str(error).splitlines()[0] if str(error) else "no reason"
        raise SettingError(
            f"The model of these settings cannot be built ({told:.200}). Lower model.*."
        ) from None


def fits(module: nn.Module, device: torch.device, copies: int = 0) -> None:
    """Refuse a module whose weights, with what training keeps of them, are more than the memory that is free.

    Args:
        module: Built by `on_meta`.
        device: Where it would go.
        copies: What training keeps of each trained weight beside itself: gradient, optimiser's state.

    Raises:
        SettingError: They are more.
    """
    state: dict[str, Tensor] = dict(module.named_parameters()) | dict(module.named_buffers())
    sizes = {
        name: value.numel() * value.element_size() * (1 + copies * value.requires_grad)
        for name, value in state.items()
    }
    need, free = sum(sizes.values()), free_memory(device)
    if need > free:
        largest = max(sizes, key=lambda name: sizes[name])
        raise SettingError(
            f"The model of these settings needs {_gib(need)}, {device.type} has {_gib(free)} free; the largest part "
            f"is '{largest}' {tuple(state[largest].shape)}. Lower the settings of model or queue."
        )


def differing(wanted: nn.Module, state: Mapping[str, object]) -> str | None:
    """Return in what the tensors of `state` differ from those of a module, by name and shape; None if in nothing."""
    need = {name: tuple(value.shape) for name, value in wanted.state_dict().items()}
    there = {name: tuple(value.shape) if isinstance(value, Tensor) else None for name, value in state.items()}
    for names, what in ((need.keys() - there.keys(), "lacks"), (there.keys() - need.keys(), "has too much:")):
        if names:
            more = f" and {len(names) - 1:,} more" if len(names) > 1 else ""
            return f"it {what} '{min(names):.80}'{more}"
    for name, shape in need.items():
        if there[name] != shape:
            return f"'{name}' is {there[name] or 'no tensor'}, the settings make it {shape}"
    return None


def _gib(size: int) -> str:
    return f"{size / 2**30:,.1f} GiB"
