"""Several processes, one for each GPU, as ``torchrun`` starts them. With one process all of it is a no-op.

Every process knows the whole order of clips and takes its slice of each batch. The clips of all slices are
gathered before a step, and after it what the method keeps of them, so that every process holds the same state.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from skeltools.errors import SettingError, counted
from skeltools.models.norm import BatchNorm


@dataclass(frozen=True)
class World:
    """The processes of a run.

    Attributes:
        rank: This process, from 0.
        size: Processes.
        local_rank: This process among those of its machine; chooses the GPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Whether there is only one process."""
        return self.size == 1

    def slice(self, batch: int) -> tuple[int, int]:
        """Return (begin, end) of this process's part of a batch.

        Raises:
            SettingError: The batch cannot be divided evenly.
        """
        if batch % self.size:
            raise SettingError(f"train.batch_size {batch} is not a multiple of the {self.size} processes.")
        part = batch // self.size
        return self.rank * part, (self.rank + 1) * part

    def gather(self, x: Tensor) -> Tensor:
        """Return the rows of all processes, in the order of rank; all have as many. Takes no gradient."""
        if self.alone:
            return x
        parts = [torch.empty_like(x) for _ in range(self.size)]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    def mean(self, x: Tensor) -> Tensor:
        """Return the mean over the processes."""
        if self.alone:
            return x
        total = x.clone()
        dist.all_reduce(total)
        return total / self.size

    def any(self, flag: bool, device: torch.device) -> bool:
        """Return whether the flag is set in any process."""
        if self.alone:
            return flag
        total = torch.tensor(int(flag), device=device)
        dist.all_reduce(total)
        return bool(total)

    def collect(self, value: Any) -> list[Any]:
        """Return the values of all processes."""
        if self.alone:
            return [value]
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found

    def share(self, value: Any) -> Any:
        """Return the main process's value."""
        if self.alone:
            return value
        box = [value]
        dist.broadcast_object_list(box)
        return box[0]

    def wrap(self, model: nn.Module, device: torch.device, sync_bn: bool) -> nn.Module:
        """Return `model` ready to train: gradients are averaged over the processes.

        Batch norm uses the statistics of the process's own slice unless `sync_bn`.
        """
        if self.alone:
            return model
        for module in model.modules():
            if isinstance(module, BatchNorm):
                module.synchronised = sync_bn
        ids = [device] if device.type == "cuda" else None
        # torch 2.13 renamed what says that buffers stay apart in the forward pass, and warns of the old name.
        known = inspect.signature(nn.parallel.DistributedDataParallel).parameters
        word = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
        settings: dict[str, Any] = {word: False}
        return nn.parallel.DistributedDataParallel(model, device_ids=ids, **settings)


_TORCHRUN = "Start them by torchrun, or unset WORLD_SIZE for one process alone."


def started() -> World:
    """Return what ``torchrun`` says of this process in the environment; one process alone where it says nothing.

    Raises:
        SettingError: A variable is missing, or no number that fits the others.
    """
    size = _number("WORLD_SIZE", 1, low=1)
    if size == 1:
        return World()
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        if not os.environ.get(name):
            raise SettingError(f"WORLD_SIZE is {size} in the environment, but {name} is not set. {_TORCHRUN}")
    _number("MASTER_PORT", 0, high=65535)
    return World(_number("RANK", 0, high=size - 1), size, _number("LOCAL_RANK", 0, high=size - 1))


def _number(name: str, default: int, low: int = 0, high: int = 10**6) -> int:
    """Return a variable of the environment as a number from `low` to `high`."""
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 8 and low <= int(text) <= high):
        raise SettingError(
            f"{name} is '{text:.60}' in the environment, not a whole number from {low} to {high:,}. {_TORCHRUN}"
        )
    return int(text)


@contextmanager
def joined(device: torch.device) -> Iterator[tuple[World, torch.device]]:
    """Join the processes that ``torchrun`` started; yield them and this process's device.

    Within another ``joined`` they are joined already, and stay so.

    Args:
        device: The device asked for; ``cuda`` becomes the GPU of the local rank.
    """
    world = started()
    if world.alone:
        yield world, device
        return
    if device.type == "cuda":
        device = torch.device("cuda", world.local_rank)
        torch.cuda.set_device(device)
    if dist.is_initialized():
        yield world, device
        return
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise SettingError(
            f"{counted(world.size, 'process', 'processes')} cannot be joined ({reason}). {_TORCHRUN}"
        ) from None
    try:
        yield world, device
    finally:
        dist.destroy_process_group()
