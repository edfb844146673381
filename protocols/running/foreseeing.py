"""What an evaluation would do: how many clips it trains and tests on, and about how long it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skeltools.errors import counted
from skeltools.protocols.running.contract import Protocol
from skeltools.protocols.running.task import Task
from skeltools.settings import Resolved

BACKWARD = 3.0
"""A training step takes about as long as this many forward passes: one forward, two backward."""


@dataclass(frozen=True)
class Foreseen:
    """An evaluation that would be run.

    Attributes:
        protocol: Name of the protocol.
        subject: Kind of the subject.
        encoder: What the encoder is.
        data: ``dataset split`` of the clips.
        stream: The stream, or the joined streams' common name.
        seed: The seed.
        recipe: Title of the protocol recipe.
        train_clips: Clips on the training side.
        test_clips: Clips on the test side.
        seconds: Estimated seconds; None where there is nothing to estimate them by.
        how: What the estimate counts, in words.
    """

    protocol: str
    subject: str
    encoder: str
    data: str
    stream: str
    seed: int
    recipe: str
    train_clips: int
    test_clips: int
    seconds: float | None
    how: str


def of(
    protocol: Protocol, task: Task, settings: Resolved[Any], speeds: dict[str, float] | None = None
) -> Foreseen:
    """Return what a protocol would do with a task.

    Args:
        protocol: The protocol.
        task: The task; some of its clips pass through the encoder.
        settings: The protocol's settings.
        speeds: Seconds per clip that were measured, by encoder; features counted for one protocol are there too.
            None measures nothing, for a protocol that passes no clip through an encoder.
    """
    seconds, how = (
        (None, "joins recorded results") if speeds is None else _time(protocol, task, settings.flat, speeds)
    )
    return Foreseen(
        protocol=protocol.name,
        subject=task.subject.kind,
        encoder=task.subject.name,
        data=f"{task.file.dataset.name} {task.split}",
        stream=task.stream,
        seed=task.seed,
        recipe=settings.title,
        train_clips=len(task.train_rows),
        test_clips=len(task.test_rows),
        seconds=seconds,
        how=how,
    )


def _time(
    protocol: Protocol, task: Task, flat: dict[str, Any], speeds: dict[str, float]
) -> tuple[float, str]:
    """Return the estimated seconds of passes through the encoder, and what they count."""
    name = f"{task.subject.name} {task.encoder_digest} {task.stream} {task.file.digest}"
    if name not in speeds:
        speeds[name] = task.time_per_clip()
    train, test = len(task.train_rows), len(task.test_rows)
    if protocol.trains:
        percent = flat.get(f"{protocol.section}.percent", 100.0)
        epochs = max((value for key, value in flat.items() if key.endswith(".epochs")), default=1)
        passes = BACKWARD * train * percent / 100 * epochs + test
        told = f"{counted(epochs, 'epoch')} of {BACKWARD:g} forward passes per training clip"
        return speeds[name] * passes, told
    if flat.get(f"{protocol.section}.view", "none") != "none":  # clips are augmented anew, and pass each time
        epochs = flat.get(f"{protocol.section}.views") or flat[f"{protocol.section}.epochs"]
        told = f"{counted(epochs, 'pass', 'passes')} of augmented training clips"
        return speeds[name] * (epochs * train + test), told
    known = f"{name} features {task.split} {task.limit}"
    if known in speeds or (task.kept(task.train_rows) and task.kept(task.test_rows)):
        return 0.0, "features are at hand; the classifier is not counted"
    speeds[known] = 0.0
    return speeds[name] * (train + test), "features of all clips; the classifier is not counted"
