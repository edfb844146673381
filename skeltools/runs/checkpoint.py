"""Checkpoints: everything a run needs to go on, in one file that torch loads without running code."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skeltools.errors import OutputError, RunError
from skeltools.files.texts import other_version
from skeltools.files.writing import replacing, sweep

if TYPE_CHECKING:
    import torch  # which is imported where it is used, so that runs are listed without it

VERSION = 1
_NAME = re.compile(r"step-(\d+)\.pt", re.ASCII)


@dataclass(frozen=True)
class Checkpoint:
    """State between two steps.

    Attributes:
        epoch: Epochs finished.
        batch: Batches of the next epoch that are done: the sampler's position.
        step: Global steps done.
        model: State dict of the method. An import has the backbone only.
        optimizer: State dict of the optimiser; the schedule is a function of `step`.
        rng: torch's generator states by device (``cpu``, ``cuda``).
        settings: Effective settings by dotted key.
        versions: Versions of skeltools and the libraries.
        data_digest: Content digest of the training data.
        monitor: The kNN monitor's last top-1 accuracy, or None.
        identity: What else makes the run this one, such as split, stream, seed and when it was created; empty in
            checkpoints of earlier versions.
    """

    epoch: int
    batch: int
    step: int
    model: dict[str, torch.Tensor]
    optimizer: dict[str, Any]
    rng: dict[str, torch.Tensor]
    settings: dict[str, Any]
    versions: dict[str, str]
    data_digest: str
    monitor: float | None
    identity: dict[str, Any] = field(default_factory=dict)


def paths(folder: Path) -> list[Path]:
    """Return the checkpoints in `folder`, oldest first."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if _NAME.fullmatch(path.name)), key=step_of)


def instead(path: Path) -> str:
    """Return the sentence that says what to do about a checkpoint that cannot be used."""
    there = paths(path.parent)
    before = there[: there.index(path)] if path in there else []
    if before:
        return f"Remove it: the one before it, {before[-1].name}, is then taken."
    return "None before it is there: fetch it again, or start the run again."


def step_of(path: Path) -> int:
    """Return the step of a checkpoint that `paths` found, by its name."""
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[1])


def save(checkpoint: Checkpoint, folder: Path, keep: int) -> Path:
    """Write `checkpoint` to `folder` in one step, then remove all but the last `keep`.

    Raises:
        OutputError: The folder cannot be written.
    """
    import torch

    path = folder / f"step-{checkpoint.step:08d}.pt"
    content = {"version": VERSION} | {f.name: getattr(checkpoint, f.name) for f in fields(checkpoint)}
    sweep(folder)
    with replacing(path, tidy=False) as part:
        try:
            torch.save(content, part)
        except RuntimeError as error:  # what torch makes of a disk that is full
            reason = str(error).splitlines()[0].rstrip(".") if str(error) else "unknown reason"
            raise OutputError(
                f"{path} cannot be written ({reason}); is the disk full? Make room and go on with --resume."
            ) from error
    for old in paths(folder)[:-keep]:
        old.unlink(missing_ok=True)
    return path


def load(path: Path) -> Checkpoint:
    """Read a checkpoint onto the CPU; never unpickles code.

    Raises:
        RunError: The file is missing, damaged or of another version.
    """
    from skeltools.files import tensors as weights

    content = weights.load(path, "checkpoint", instead(path))
    if not isinstance(content, dict) or content.get("version") != VERSION:
        raise RunError(f"{path} {other_version(content, VERSION)}")
    names = {item.name for item in fields(Checkpoint)}
    content.setdefault("identity", {})
    if content.keys() - {"version"} != names:
        raise RunError(
            f"{path} lacks {', '.join(sorted(names - content.keys())) or 'nothing, but has too much'}."
        )
    for name, right in _TYPES.items():
        if not right(content[name]):
            raise RunError(
                f"{path}: its '{name}' is not what a checkpoint holds ({_told(content[name])}). "
                f"{instead(path)}"
            )
    return Checkpoint(**{name: content[name] for name in names})


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 48


def _is_state(value: Any) -> bool:
    import torch

    return isinstance(value, dict) and all(
        isinstance(key, str) and isinstance(item, torch.Tensor) for key, item in value.items()
    )


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) for key in value)


_TYPES = {
    "epoch": _is_count,
    "batch": _is_count,
    "step": _is_count,
    "model": _is_state,
    "optimizer": _is_table,
    "rng": lambda value: (
        _is_state(value) and all(str(state.dtype) == "torch.uint8" for state in value.values())
    ),
    "settings": _is_table,
    "versions": _is_table,
    "data_digest": lambda value: isinstance(value, str),
    "monitor": lambda value: value is None or (isinstance(value, float) and 0 <= value <= 1),
    "identity": _is_table,
}
"""What each entry of a checkpoint is; torch loads whatever a file holds."""


def _told(value: Any) -> str:
    return (
        f"{type(value).__name__} {value}"[:60]
        if isinstance(value, (int, float, str))
        else type(value).__name__
    )
