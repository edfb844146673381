"""Writing the log to TensorBoard and to Weights & Biases as well, where their packages are installed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from skeltools.errors import SettingError
from skeltools.progress import Progress

if TYPE_CHECKING:
    from skeltools.runs.folder import Run
    from skeltools.runs.settings import TrainSettings

_NOT_SHOWN = {"kind", "step"}


class Board(Protocol):
    """Whoever gets each record of the log beside ``log.jsonl``."""

    def write(self, record: dict[str, Any]) -> None:
        """Add the numbers of one record of the log."""

    def close(self) -> None:
        """Write what is left."""


def opened(train: TrainSettings, run: Run, step: int, progress: Progress) -> list[Board]:
    """Return the boards that the settings ask for.

    Args:
        train: ``train.*``
        run: The run, in its place.
        step: The step from which on it writes.
        progress: Receives a message where Weights & Biases cannot be reached; training goes on then.

    Raises:
        SettingError: A package is not installed.
    """
    boards: list[Board] = []
    if train.tensorboard:
        boards.append(TensorBoard(run.path / "tensorboard", step))
    if train.wandb != "off":
        boards.append(WeightsAndBiases(run, train.wandb, progress))
    return boards


def check(train: TrainSettings) -> None:
    """Check that the packages of the boards asked for are installed.

    Raises:
        SettingError: One is not; the message says how to install it.
    """
    if train.tensorboard:
        try:
            import torch.utils.tensorboard  # noqa: F401
        except ImportError:
            raise SettingError(
                "train.tensorboard needs the package tensorboard, which is not installed. Install it with "
                "'pip install tensorboard', or leave the setting off: log.jsonl is written anyway."
            ) from None
    if train.wandb != "off":
        _wandb()


def _wandb() -> Any:
    try:
        import wandb
    except ImportError:
        raise SettingError(
            "train.wandb needs the package wandb, which is not installed. Install it with 'pip install wandb', or "
            "leave the setting off: log.jsonl is written anyway."
        ) from None
    return wandb


class TensorBoard:
    """Scalars of a run in its ``tensorboard`` folder.

    Args:
        folder: Where to write.
        step: The step from which on this run writes; what an earlier one wrote beyond it is hidden.
    """

    def __init__(self, folder: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(  # type: ignore[no-untyped-call]
            str(folder), purge_step=step + 1 if step else None
        )

    def write(self, record: dict[str, Any]) -> None:
        """Add the numbers of one record of the log."""
        for name, value in _named(record).items():
            self._writer.add_scalar(name, value, record["step"])

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


class WeightsAndBiases:
    """The same in a run of Weights & Biases, whose project and entity are what ``WANDB_PROJECT`` and so on say.

    It never ends training: where it fails, that is said once, and ``log.jsonl`` goes on alone.

    Args:
        run: The run; offline its files go to the folder ``wandb`` inside. A run that goes on keeps its id.
        mode: ``online`` or ``offline``.
        progress: Receives a message about a failure.
    """

    def __init__(self, run: Run, mode: str, progress: Progress) -> None:
        self._progress = progress
        self._run: Any = None
        wandb = _wandb()
        settings = json.loads(json.dumps(run.flat))
        try:
            self._run = wandb.init(
                dir=str(run.path),
                mode=mode,
                id=_identity(run, settings),
                name=run.path.resolve().name,
                resume="allow" if mode == "online" else None,
                config=settings
                | {"dataset": run.dataset, "split": run.split, "stream": run.stream, "seed": run.seed}
                | {"data_digest": run.digest},
            )
        except Exception as error:  # of a network or an account, which are not ours
            self._fail(error)

    def write(self, record: dict[str, Any]) -> None:
        """Add the numbers of one record of the log."""
        if self._run is None:
            return
        try:
            self._run.log(_named(record), step=record["step"])
        except Exception as error:
            self._fail(error)

    def close(self) -> None:
        """Write what is left."""
        if self._run is not None:
            try:
                self._run.finish()
            except Exception as error:
                self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._run = None
        told = next(iter(str(error).splitlines()), "").rstrip(".") or type(error).__name__
        self._progress.message(f"Weights & Biases gets nothing more ({told}); log.jsonl goes on.")


def _named(record: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of a record under the names that boards group by."""
    return {f"{record['kind']}/{name}": value for name, value in record.items() if name not in _NOT_SHOWN}


def _identity(run: Run, settings: dict[str, Any]) -> str:
    """Return an id that a run keeps wherever its folder lies."""
    parts = [run.identity, run.digest, settings]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
