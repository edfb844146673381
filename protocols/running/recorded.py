"""Protocols that go on from a recorded linear evaluation: finding it, and saying how to make it."""

from __future__ import annotations

from skeltools.errors import counted
from skeltools.protocols.running.task import Task
from skeltools.results import compare as comparison
from skeltools.results import joined
from skeltools.results import record as results
from skeltools.results.record import Record


def linear_record(task: Task, variant: str) -> Record | None:
    """Return the record of a variant of linear for a task's subject, clips and seed, or None."""
    return task.recorded_of("linear").get(variant)


def which(task: Task, found: Record, user: str) -> list[str]:
    """Return the sentence that says which of several results that differ in settings `user` takes; else nothing."""
    alike = [record for record in task.recorded_as(found.protocol) if record.variant == found.variant]
    rows = joined.rows(alike)
    if len(rows) < 2:
        return []
    names = dict(zip((row.id for row in rows), comparison.named(rows), strict=True))
    return [
        f"{user}: {names[joined.identity(found)]} is taken, the last of {counted(len(rows), 'result')} of "
        f"{found.experiment}. "
        "Evaluate another of them again to take it."
    ]


def missing(task: Task, variant: str) -> str:
    """Return that there is none, and how to make it."""
    word = next(word for word, kind in results.SUBJECT_WORDS.items() if kind == task.subject.kind)
    option = {"pretrained": "", "random": " --init random"}.get(word, f" --baseline {word}")
    home = "it" if task.results_dir is None else task.results_dir.parent
    what = f"linear {variant}".strip()
    return (
        f"{home} has no {what} result of '{task.subject.kind}' with seed {task.seed} whose classifier could be tested. "
        f"Make it: skeltools eval {home} --protocol linear{option}"
    )
