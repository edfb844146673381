"""Making the C library keep the memory that tensors free, for training on the CPU."""

from __future__ import annotations

import ctypes
import sys

_MMAP_MAX, _TOP_PAD, _TRIM_THRESHOLD = -4, -2, -1
"""Numbers of glibc's ``mallopt`` parameters (malloc.h)."""


def keep_freed_memory() -> bool:
    """Let glibc reuse large blocks instead of giving them back to the system at once.

    By default every large tensor is mapped anew and its pages are zeroed on first touch, which costs as
    much as the arithmetic of a cheap operation. Affects the whole process; memory once in use
    stays with it.

    Returns:
        Whether it was done: False where the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return all([mallopt(_MMAP_MAX, 0), mallopt(_TRIM_THRESHOLD, 2**31 - 1), mallopt(_TOP_PAD, 64 << 20)])
