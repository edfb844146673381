"""Training people held out from a classifier, on whose clips its epoch is chosen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skeltools.datasets import subsets
from skeltools.errors import SettingError, counted
from skeltools.protocols.running.task import Task

PERSON = "subject"
"""The column of a file that names who is seen in a clip."""


@dataclass(frozen=True)
class Held:
    """Training clips in two parts.

    Attributes:
        rows: Rows of all of them, int64 (n,).
        out: Which are held out, bool (n,); some are, and some are not.
        words: What is held out, such as ``4 of 40 training people``.
    """

    rows: NDArray[np.int64]
    out: NDArray[np.bool_]
    words: str

    @property
    def held(self) -> NDArray[np.int64]:
        """Rows of the clips held out."""
        return self.rows[self.out]

    @property
    def kept(self) -> NDArray[np.int64]:
        """Rows of the others."""
        return self.rows[~self.out]

    @property
    def note(self) -> str:
        """The sentence that a record has about the choice."""
        return (
            f"An epoch was chosen on {self.words} ({counted(int(self.out.sum()), 'clip')}), held out for it."
        )


def hold_out(task: Task, rows: NDArray[np.int64], percent: float) -> Held | None:
    """Return some training clips in two parts, or None where none are to be held out.

    Of the people in these clips, the share with the smallest SHA-256 of ``seed:person`` is held out, halves up, at
    least one and at most all but one. Where the file does not say who is seen, or all clips are of one person, as
    large a share of the clips is, whoever is seen in them, which the words say.

    Args:
        task: The task.
        rows: Rows of the training clips, int64 (n,).
        percent: The share of the people, in per cent.

    Raises:
        SettingError: Too few clips.
    """
    if not percent:
        return None
    people = list(map(str, np.asarray(task.file.column(PERSON))[rows])) if PERSON in task.file.columns else []
    persons = sorted(set(people), key=lambda person: subsets.rank(person, task.seed))
    if len(persons) > 1:
        chosen = set(persons[: _some(percent, len(persons))])
        out = np.array([person in chosen for person in people])
        return Held(rows, out, f"{len(chosen)} of {len(persons)} training people")
    if len(rows) < 2:
        raise SettingError("held_out_people needs two training clips or more. Set it to 0.")
    ranked = sorted(range(len(rows)), key=lambda place: subsets.rank(task.file.names[rows[place]], task.seed))
    out = np.zeros(len(rows), np.bool_)
    out[ranked[: _some(percent, len(rows))]] = True
    why = "all of one person" if persons else "of people that the file does not name"
    return Held(rows, out, f"{int(out.sum()):,} of {counted(len(rows), 'training clip')}, {why}")


def _some(percent: float, count: int) -> int:
    return min(subsets.quota(percent / 100, count), count - 1)
