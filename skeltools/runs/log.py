"""Reading a run's ``log.jsonl``: what the curves of a run are drawn from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skeltools.errors import RunError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MONITOR = "knn_top1"
"""The monitor's value in a log line: top-1 accuracy on training clips, in [0, 1]."""


@dataclass(frozen=True)
class Curves:
    """What a run logged.

    Attributes:
        steps: Step of each logged training step, int64 (n,), increasing.
        epochs: Its 1-based epoch, int64 (n,).
        values: float64 (n,) by name: ``loss`` and its parts, ``lr``, ``momentum``, ``clips_per_second``; NaN
            where a line lacks the value.
        monitor_steps: Step of each check of the monitor, int64 (m,).
        monitor: Its top-1 accuracy, float64 (m,), in [0, 1].
    """

    steps: NDArray[np.int64]
    epochs: NDArray[np.int64]
    values: dict[str, NDArray[np.float64]]
    monitor_steps: NDArray[np.int64]
    monitor: NDArray[np.float64]

    @property
    def losses(self) -> list[str]:
        """Names of the loss and those of its parts that were in use (not zero throughout)."""
        return [name for name in self.values if name.startswith("loss") and self.values[name].any()]


def read(path: Path) -> Curves:
    """Read a log.

    Raises:
        RunError: There is no log, it holds no step, or a line cannot be read.
    """
    import numpy as np

    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise RunError(f"{path} does not exist, so there is nothing to draw: the run has no log.") from None
    except UnicodeDecodeError as error:
        raise RunError(f"{path} cannot be read: {error}.") from None
    steps, checks = [], []
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            if entry["kind"] == "monitor":
                checks.append((int(entry["step"]), float(entry[MONITOR])))
            elif entry["kind"] == "step":
                steps.append({key: entry[key] for key in entry if key != "kind"})
                int(entry["step"]), int(entry["epoch"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            if number == len(lines):
                break  # the run is being written, or was cut off within its last line
            raise RunError(f"{path}, line {number}: not a line of a training log ({error}).") from None
    if not steps:
        raise RunError(f"{path} holds no logged step yet.")
    names = dict.fromkeys(key for entry in steps for key in entry if key not in ("step", "epoch"))
    return Curves(
        steps=np.array([entry["step"] for entry in steps], np.int64),
        epochs=np.array([entry["epoch"] for entry in steps], np.int64),
        values={name: np.array([entry.get(name, np.nan) for entry in steps], np.float64) for name in names},
        monitor_steps=np.array([step for step, _ in checks], np.int64),
        monitor=np.array([value for _, value in checks], np.float64),
    )


def smooth(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Return the mean over a centred window of at most `window` values, shorter at both ends, (n,)."""
    import numpy as np

    reach = max(window, 1) // 2
    total = np.concatenate([[0.0], np.cumsum(values)])
    place = np.arange(len(values))
    low, high = np.maximum(place - reach, 0), np.minimum(place + reach + 1, len(values))
    mean: NDArray[np.float64] = (total[high] - total[low]) / (high - low)
    return mean
