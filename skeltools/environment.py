"""Choosing a device by the words of ``--device``, and what memory it has."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from skeltools.errors import SettingError, counted


def pick_device(word: str) -> torch.device:
    """Return the torch device for ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    With a GPU, float32 is full float32 from then on (`full_float32`).

    Raises:
        SettingError: The word is not one of these, or there is no such device.
    """
    if word == "auto":
        word = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(word)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise SettingError(f"Unknown device '{word}'. Use auto, cpu, cuda or cuda:N.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SettingError(
            f"Device '{word}' is not there: torch finds {torch.cuda.device_count()} CUDA devices."
        )
    if device.type == "cuda":
        full_float32()
    return device


def full_float32() -> None:
    """Let float32 be float32 on a GPU, where cuDNN by default convolves and runs GRUs in TF32, of 10 bits."""
    torch.backends.cudnn.allow_tf32 = False


def device_name(device: torch.device) -> str:
    """Return a name for records: the GPU's own, or ``cpu`` with the number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({counted(torch.get_num_threads(), 'thread')})"


def free_memory(device: torch.device) -> int:
    """Return the bytes free on `device`; on the CPU what the system calls available."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    table = Path("/proc/meminfo")
    if table.exists():
        for line in table.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
