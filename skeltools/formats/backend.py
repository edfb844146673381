"""Which parser reads raw text, the compiled one (by Numba) or the plain one; both give equal bits."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

COMPILE_FROM = 400
"""Loading the compiled parser takes about a second, so jobs of fewer files than this go without it."""

SLOW = (
    "Numba is not installed: the plain parser reads the same clips, but takes some 7 times as long. "
    "Where Numba has a wheel for this Python, 'pip install numba' mends that."
)
"""Said where a conversion would have been compiled."""

_use = False


@cache
def available() -> bool:
    """Tell whether Numba is installed."""
    return find_spec("numba") is not None


def use_compiled(wanted: bool) -> bool:
    """Switch the compiled parser on (where it is available) or off for this process; return the state."""
    global _use
    _use = wanted and available()
    return _use


def compiled() -> bool:
    """Tell whether the compiled parser is switched on."""
    return _use
