"""Evaluation protocols, one module per protocol; `evaluate` runs them from Python.

Importing this package loads neither torch nor any protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from skeltools.results.kinds import KINDS, Kind

if TYPE_CHECKING:
    from skeltools.protocols.running.api import evaluate
    from skeltools.protocols.running.contract import Outcome, Protocol
    from skeltools.protocols.running.encoder import Encoder
    from skeltools.protocols.running.task import Task

__all__ = ["PROTOCOLS", "Encoder", "Outcome", "Protocol", "Task", "evaluate"]

PROTOCOLS: dict[str, tuple[str, Kind]] = {
    "linear": ("linear:Linear", Kind("frozen", logits=True, player=1)),
    "knn": ("knn:Knn", Kind("frozen", drawn=False, player=3)),
    "retrieval": ("retrieval:Retrieval", Kind("ranked", drawn=False)),
    "finetune": ("finetune:Finetune", Kind("trained", logits=True, player=2)),
    "semi1": ("semi:Semi1", Kind("trained", logits=True)),
    "semi10": ("semi:Semi10", Kind("trained", logits=True)),
    "semi:P": ("semi:SemiP", Kind("trained", logits=True)),
    "transfer": ("transfer:Transfer", Kind("transfer", logits=True)),
    "robust": ("robust:Robust", Kind("robust", grids="skeltools.results.robustness:grids")),
    "calibration": (
        "calibration:Calibration",
        Kind("calibration", grids="skeltools.results.calibration:grids", logits=True),
    ),
    "oneshot": ("oneshot:Oneshot", Kind("ranked", drawn=False)),
    "ensemble": ("ensemble:Ensemble", Kind("ensemble", joins=True)),
}
"""Where each protocol's class is and how its results are shown, in the order of tables and of ``all``.

The part after a colon in a name is for the user to give; ``all`` leaves such a protocol out, and what is dear.
"""

KINDS.update((name.partition(":")[0], kind) for name, (_, kind) in PROTOCOLS.items())

_HOMES = {
    "evaluate": "api",
    "Encoder": "encoder",
    "Outcome": "contract",
    "Protocol": "contract",
    "Task": "task",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"skeltools.protocols.running.{_HOMES[name]}"), name)
