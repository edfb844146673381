"""Writing the log to TensorBoard as well, where its package is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from skeltools.errors import SettingError

_NOT_SHOWN = {"kind", "step"}


class Board:
    """Scalars of a run in its ``tensorboard`` folder.

    Args:
        folder: Where to write.
        step: The step from which on this run writes; what an earlier one wrote beyond it is hidden.

    Raises:
        SettingError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, step: int) -> None:
        check()
        from torch.utils.tensorboard import SummaryWriter

        self._writer: Any = SummaryWriter(  # type: ignore[no-untyped-call]
            str(folder), purge_step=step + 1 if step else None
        )

    def write(self, record: dict[str, Any]) -> None:
        """Add the numbers of one record of the log."""
        for name, value in record.items():
            if name not in _NOT_SHOWN:
                self._writer.add_scalar(f"{record['kind']}/{name}", value, record["step"])

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


def check() -> None:
    """Check that TensorBoard is installed.

    Raises:
        SettingError: It is not; the message says how to install it.
    """
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError:
        raise SettingError(
            "train.tensorboard needs the package tensorboard, which is not installed. Install it with "
            "'pip install skeltools[tensorboard]', or leave the setting off: log.jsonl is written anyway."
        ) from None
