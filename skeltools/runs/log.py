"""A run's ``log.jsonl``: written while the run trains, and read for its curves.

It has one JSON object per line, of kind ``step`` or ``monitor``; a method names the parts of its loss.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from skeltools.errors import RunError
from skeltools.files.reading import read_regular
from skeltools.files.writing import sync_file, write_text
from skeltools.runs import checkpoint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from skeltools.runs.board import Board

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
        lines = read_regular(path).decode().splitlines()
    except FileNotFoundError:
        raise RunError(f"{path} does not exist, so there is nothing to draw: the run has no log.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path} cannot be read: {error}.") from None
    steps, checks = [], []
    for number, line in enumerate(lines, start=1):
        try:
            kind, entry = _entry(line)
        except (ValueError, RecursionError) as error:
            if number == len(lines):
                break  # the run is being written, or was cut off within its last line
            told = " ".join(str(error).split())
            raise RunError(f"{path}, line {number}: not a line of a training log ({told:.200}).") from None
        if kind == "monitor":
            checks.append((entry["step"], entry[MONITOR]))
        elif kind == "step":
            steps.append(entry)
    if not steps:
        raise RunError(f"{path} holds no logged step yet.")
    names = dict.fromkeys(key for entry in steps for key in entry if key not in ("step", "epoch"))
    return Curves(
        steps=np.array([int(entry["step"]) for entry in steps], np.int64),
        epochs=np.array([int(entry["epoch"]) for entry in steps], np.int64),
        values={name: np.array([entry.get(name, np.nan) for entry in steps], np.float64) for name in names},
        monitor_steps=np.array([step for step, _ in checks], np.int64),
        monitor=np.array([value for _, value in checks], np.float64),
    )


_OF_KIND = {"step": ("step", "epoch"), "monitor": ("step", MONITOR)}
_MOST_STEP = 1 << 48


def _entry(line: str) -> tuple[str, dict[str, float]]:
    """Return the kind of a line of the log and its numbers by name; NaN for null.

    Raises:
        ValueError: It is none.
        RecursionError: It is nested too deeply.
    """
    content = json.loads(line)
    if not isinstance(content, dict) or not isinstance(content.get("kind"), str):
        raise ValueError("no object with a kind")
    kind = content.pop("kind")
    for name in _OF_KIND.get(kind, ()):
        if name not in content:
            raise ValueError(f"it lacks '{name}'")
    for name, value in content.items():
        if name in ("step", "epoch"):
            if type(value) is not int or not 0 <= value < _MOST_STEP:
                raise ValueError(f"its {name} is {value!r:.40}, which is not a whole number of one")
        elif value is None:
            content[name] = math.nan
        elif not isinstance(value, (int, float)) or (isinstance(value, int) and abs(value) > _MOST_STEP**2):
            raise ValueError(
                f"its '{name:.40}' is {type(value).__name__} {value!s:.40}, which is not a number"
            )
    return kind, content


def smooth(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Return the mean over a centred window of at most `window` values, shorter at both ends, (n,)."""
    import numpy as np

    reach = max(window, 1) // 2
    place = np.arange(len(values))
    low, high = np.maximum(place - reach, 0), np.minimum(place + reach + 1, len(values))
    with np.errstate(over="ignore", invalid="ignore"):  # a log may hold numbers that no run reaches
        total = np.concatenate([[0.0], np.cumsum(values)])
        mean: NDArray[np.float64] = (total[high] - total[low]) / (high - low)
    return mean


class Losses(NamedTuple):
    """The loss of a step and its parts, still on the device.

    Attributes:
        names: ``loss``, and ``loss_`` before the name of each part.
        values: In the same order, float64 (n,).
    """

    names: tuple[str, ...]
    values: Tensor


class Log:
    """``log.jsonl``: one JSON object a line, of kind ``step`` or ``monitor``.

    Losses wait as tensors until `flush`, so that a GPU need not be waited for at every step.

    Args:
        path: The file.
        folder: Where checkpoints are, for the report of a loss that is not finite.
        names: Clip names by row, likewise.
    """

    def __init__(self, path: Path, folder: Path, names: list[str]) -> None:
        self.path, self.folder, self.names = path, folder, names
        self._boards: list[Board] | None = None
        self._early: list[dict[str, Any]] = []
        self._waiting: list[tuple[int, int, Losses, Tensor, dict[str, Any], Callable[[], float]]] = []

    def attach(self, boards: list[Board]) -> None:
        """Let boards have every record too, those written so far by this process among them."""
        self._boards, early, self._early = boards, self._early, []
        self._show(early)

    def close(self) -> None:
        """Close the boards."""
        for board in self._boards or ():
            board.close()

    def rewind(self, step: int) -> None:
        """Drop lines of later steps than `step`, left by a run that went on after its last checkpoint."""
        try:
            lines = read_regular(self.path).decode().splitlines()
        except FileNotFoundError:
            if step:
                raise RunError(
                    f"{self.path} is missing, and the run is at step {step}: its log is lost. Put it back, or put an "
                    "empty file there to go on without the lines so far."
                ) from None
            return
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"{self.path} cannot be read: {error}.") from None
        kept = [line for line in lines if _step_of(line) <= step]
        self._check_whole(kept, step)
        if kept != lines:
            write_text(self.path, "".join(f"{line}\n" for line in kept))

    def _check_whole(self, lines: list[str], step: int) -> None:
        """Refuse a log that lacks lines before `step`; none at all is what somebody put there who was told to."""
        found = [_step_of(line) for line in lines if _is_step(line)]
        if not found:
            return
        # Past the last line too: how many steps there are is what a file says, so they are not counted out in memory.
        lacking = next(at for at, there in enumerate([*found, math.inf], int(found[0])) if at != there)
        if lacking <= step:
            raise RunError(
                f"{self.path} has no line of step {lacking:,}, and the run is at step {step:,}: it is not whole. Put "
                "the whole log back, or put an empty file there to go on without the lines so far."
            )

    def step(
        self,
        step: int,
        epoch: int,
        losses: Losses,
        clips: Tensor,
        values: dict[str, Any],
        speed: Callable[[], float],
    ) -> None:
        """Note the losses and clips' rows of a step; `speed`, asked at the flush, is clips per second."""
        self._waiting.append((step, epoch, losses, clips, values, speed))

    def flush(self, write: bool = True) -> dict[str, float]:
        """Write what waits, or only check it; return the losses of the last step by name.

        Raises:
            RunError: A loss is not finite.
        """
        waiting, self._waiting = self._waiting, []
        latest: dict[str, float] = {}
        records: list[dict[str, Any]] = []
        for step, epoch, losses, clips, values, speed in waiting:
            latest = dict(zip(losses.names, losses.values.tolist(), strict=True))
            if not all(math.isfinite(value) for value in latest.values()):
                self._append(records if write else [])
                names = ", ".join(self.names[row] for row in clips.tolist())
                good = checkpoint.paths(self.folder)
                last = f"The last good checkpoint is {good[-1]}." if good else "There is no checkpoint yet."
                raise RunError(
                    f"The loss of step {step} is not finite; training stopped. {last} Lower train.lr, or "
                    f"look at the clips of the batch: {names}."
                )
            record = {"kind": "step", "step": step, "epoch": epoch + 1} | latest | values
            records.append(record | {"clips_per_second": round(speed(), 2)})
        self._append(records if write else [])
        return latest

    def sync(self) -> None:
        """Flush the lines to disk, so that no checkpoint outlives them when the machine stops."""
        if self.path.exists():
            sync_file(self.path)

    def write(self, record: dict[str, Any]) -> None:
        """Write one record at once."""
        self._append([record])

    def _append(self, records: list[dict[str, Any]]) -> None:
        if not records:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(record)}\n" for record in records)
        if self._boards is None:
            self._early += records
        else:
            self._show(records)

    def _show(self, records: list[dict[str, Any]]) -> None:
        for record in records:
            for board in self._boards or ():
                board.write(record)


def _step_of(line: str) -> float:
    """Return the step of a line; infinity where it is none."""
    try:
        return _entry(line)[1].get("step", math.inf)
    except (ValueError, RecursionError):
        return math.inf


def _is_step(line: str) -> bool:
    return _entry(line)[0] == "step"
