"""Runs in tests: stopping them, and what they leave."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from skeltools.runs import checkpoint as checkpoints
from skeltools.runs.folder import Run


def log_of(run: Run) -> list[dict[str, Any]]:
    """The lines of a run's log, without what differs from one time to the next."""
    lines = [json.loads(line) for line in run.log_path.read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "clips_per_second"} for line in lines]


def state_of(run: Run) -> checkpoints.Checkpoint:
    """The last checkpoint."""
    return checkpoints.load(run.last_checkpoint())


def stop_after(steps: int) -> Callable[[], bool]:
    """What tells a trainer to stop after so many steps."""
    left = [steps]

    def stop() -> bool:
        left[0] -= 1
        return left[0] <= 0

    return stop
