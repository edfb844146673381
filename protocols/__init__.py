"""Evaluation protocols, one module a protocol; `evaluate` runs them from Python.

Importing this package loads neither torch nor any protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skeltools.protocols.running.api import evaluate
    from skeltools.protocols.running.encoder import Encoder

__all__ = ["Encoder", "evaluate"]

_HOMES = {"evaluate": "skeltools.protocols.running.api", "Encoder": "skeltools.protocols.running.encoder"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
