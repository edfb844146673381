"""Choosing a device by the words of ``--device``, and what memory it has."""

from __future__ import annotations

import os
import time
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


class Neighbours:
    """What other programs take of the machine's processors, from now on."""

    def __init__(self) -> None:
        self._began, self._used = time.monotonic(), _used_by_others()

    def cores(self, least: float = 0.5) -> float | None:
        """Return how many cores they took on average; None before `least` seconds are over.

        0 where the system does not tell, which is without ``/proc/stat``.
        """
        passed = time.monotonic() - self._began
        return None if passed < least else max(0.0, _used_by_others() - self._used) / passed


def crowded(taken: float, threads: int, there: int) -> str | None:
    """Return the warning that `threads` are too many where other programs take `taken` of the cores `there`."""
    if threads == 1 or taken <= there - threads + 0.5:
        return None
    return (
        f"Warning: other programs take {taken:.1f} of this machine's {counted(there, 'core')}. Threads wait for one "
        "another, so that a step then takes many times as long: it is faster alone, or with "
        f"OMP_NUM_THREADS={max(1, int(there - taken))} before the command."
    )


def _used_by_others() -> float:
    """Return the seconds that all processors have worked, less those of this process."""
    table = Path("/proc/stat")
    if not table.exists():
        return 0.0
    user, nice, system = (int(word) for word in table.read_text(encoding="ascii").split()[1:4])
    return (user + nice + system) / os.sysconf("SC_CLK_TCK") - time.process_time()
