"""Whether an encoder is tested on clips that it saw in pretraining."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skeltools.errors import counted
from skeltools.protocols.running.task import Task
from skeltools.store.overlap import Clips

UNKNOWN = "Which clips {name} saw in pretraining is not known, nor whether test clips are among them."


@dataclass(frozen=True)
class Leak:
    """What pretraining saw of some clips.

    Attributes:
        rows: Rows of those it saw, increasing.
        unknown: Names of the encoders of which it is not known.
        seeing: Names of those that saw some, with dataset and split of their pretraining.
    """

    rows: NDArray[np.int64]
    unknown: tuple[str, ...] = ()
    seeing: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """What a reader should know, a sentence each."""
        return [UNKNOWN.format(name=name) for name in self.unknown]


def seen(task: Task, rows: NDArray[np.int64]) -> Leak:
    """Return which of some clips of a task's file its encoder, or one of its streams', saw in pretraining.

    An encoder that was not pretrained saw none. The test side of the very split of the very file that it was
    pretrained on holds none either: `skeltools verify` shows that the two sides share no clip.

    Args:
        task: The task.
        rows: Rows of the clips.
    """
    found: set[int] = set()
    unknown, seeing = [], []
    for member in task.members.values() or (task,):
        known = member.subject.pretraining
        if known is None:
            continue
        if known.clips is None:
            unknown.append(member.subject.name)
            continue
        if (known.data_digest, known.split) == (task.file.digest, task.split) and set(rows.tolist()) <= set(
            task.file.rows(task.split, "test").tolist()
        ):
            continue
        among = rows[Clips.of(task.file, rows).among(known.clips)].tolist()
        if among:
            seeing.append(f"{member.subject.name} ({known.dataset} {known.split})")
        found.update(among)
    return Leak(
        np.array(sorted(found), np.int64), tuple(dict.fromkeys(unknown)), tuple(dict.fromkeys(seeing))
    )


def refusal(task: Task, leak: Leak, tested: int) -> str | None:
    """Return why clips must not be tested on, or None where pretraining saw none of them.

    Args:
        task: The task.
        leak: What pretraining saw of them.
        tested: How many there are.
    """
    if not len(leak.rows):
        return None
    return (
        f"pretraining of {' and '.join(leak.seeing)} saw {len(leak.rows):,} of the {counted(tested, 'test clip')} of "
        f"{task.file.path} {task.split}, such as {task.file.names[leak.rows[0]]}. Test on a split of clips that it did "
        "not see; with --allow-leak it is done, and the results say so"
    )
