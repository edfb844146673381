"""What a conversion would do: the same checks and plan, some raw files read and prepared, nothing written."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from skeltools.convert.pipeline import (
    Job,
    Work,
    check_reading,
    make_worker,
    planned,
    reason_counts,
)
from skeltools.convert.plan import METRES, Plan, Reading, Unit
from skeltools.datasets.contract import Dataset
from skeltools.errors import OutputError
from skeltools.formats import backend
from skeltools.formats.seven_zip import stream
from skeltools.preparation.chain import Chain
from skeltools.processes import Halted
from skeltools.settings import Resolved
from skeltools.store.spool import CLIPS, MOTION, Left, folder_of

SAMPLE = 64
"""Raw files that are read, spread evenly over those there are."""

_LONGEST = 10.0
"""Seconds after which no further one is read."""


@dataclass(frozen=True)
class Rehearsal:
    """What would be converted.

    Attributes:
        path: The file that would be written.
        dataset: Name of the dataset.
        clips: Clips that the sources hold, before recordings are read.
        files: Raw files.
        raw_bytes: Bytes of them.
        splits: (train, test) by split, likewise.
        excluded: Clips and files left out while planning, by reason code.
        notes: What the user should know.
        clip_bytes: Bytes of all clips as they would be stored; recordings that are kept not counted.
        free_bytes: Bytes free on the disk of `path`.
        tried: Clips of the raw files that were read.
        left_out: Those among them that would be left out, by reason code.
        seconds: Estimated seconds of all, in one process.
        resumes: Whether an interrupted conversion would go on.
    """

    path: Path
    dataset: str
    clips: int
    files: int
    raw_bytes: int
    splits: dict[str, tuple[int, int]]
    excluded: dict[str, int]
    notes: list[str]
    clip_bytes: int
    free_bytes: int
    tried: int
    left_out: dict[str, int]
    seconds: float
    resumes: bool


def rehearse(
    dataset: Dataset,
    sources: Sequence[Path],
    out: Path,
    *,
    prep: Resolved[Chain],
    replace: bool = False,
    resume: bool = False,
    skip_damaged: bool = False,
    reading: Reading = METRES,
) -> Rehearsal:
    """Plan a conversion, and read and prepare some raw files in a folder of the system's that is removed at once.

    Args: as `skeltools.convert.pipeline.convert`.

    Raises:
        SkeltoolsError: What `convert` would raise, as far as planning and those files tell.
    """
    if resume and out.is_file() and not replace:
        raise OutputError(
            f"{out} is there already, so --resume has nothing to do. See 'skeltools inspect {out}'."
        )
    chain = prep.values
    check_reading(dataset, reading)
    plan = planned(dataset, sources, out, chain, replace=replace, resume=resume, skip_damaged=skip_damaged)
    compiled = len(plan.units) >= backend.COMPILE_FROM and backend.available()
    size = chain.clip_bytes(dataset.form(chain.frames))
    tried, left, seconds = _try(dataset, plan, chain, size, compiled, skip_damaged, reading)
    return Rehearsal(
        path=out,
        dataset=dataset.name,
        clips=len(plan.names),
        files=sum(1 + len(unit.copies) + len(unit.parts) for unit in plan.units),
        raw_bytes=sum(unit.size for unit in plan.units),
        splits={
            split: (sum(side is True for side in sides), sum(side is False for side in sides))
            for split, sides in plan.train.items()
        },
        excluded=reason_counts(plan.excluded),
        notes=[note.text for note in plan.notes],
        clip_bytes=size * len(plan.names) * (2 if chain.motion == "source" else 1),
        free_bytes=shutil.disk_usage(out.absolute().parent).free,
        tried=tried,
        left_out=left,
        seconds=seconds,
        resumes=folder_of(out).exists() and not replace,
    )


def _try(
    dataset: Dataset, plan: Plan, chain: Chain, size: int, compiled: bool, skip: bool, reading: Reading
) -> tuple[int, dict[str, int], float]:
    """Return the clips of some raw files, those among them that are left out by reason, and the seconds of all files.

    Of files inside archives that can only be read in their order, the first ones are tried.

    Raises:
        FormatError: One of them is damaged, and `skip` is not set.
    """
    with tempfile.TemporaryDirectory(prefix="skeltools-") as folder:
        for name in (CLIPS, MOTION):
            (Path(folder) / name).touch()
        job = Job(dataset.name, chain, Path(folder), 0, compiled, skip, False, reading, dataset.definition)
        worker = make_worker(job)
        tried, read, left = 0, 0, []
        began = time.perf_counter()
        for work in _sample(plan.units):
            try:
                (result,) = worker([work])
            except Halted as halted:
                raise halted.fault from None
            if compiled and not read:  # the first also waits for what is compiled
                began = time.perf_counter()
            tried += len(work.unit.spans)
            left += [("", fate.reason) for fate in result.fates if isinstance(fate, Left)]
            read += 1
            if time.perf_counter() - began > _LONGEST:
                break
        spent = time.perf_counter() - began
    timed = read - 1 if compiled and read > 1 else read
    return tried, reason_counts(left), spent / max(timed, 1) * len(plan.units)


def _sample(units: Sequence[Unit]) -> Iterator[Work]:
    """Yield some raw files, spread evenly; those that must be streamed come last, with their contents."""
    chosen = dict.fromkeys(round(place * (len(units) - 1) / (SAMPLE - 1)) for place in range(SAMPLE))
    plain = [number for number in chosen if not units[number].entry.streamed]
    yield from (Work(number, units[number], None) for number in plain)
    if len(plain) < len(chosen):
        places = {
            unit.entry: (number, unit)
            for number, unit in islice(
                ((number, unit) for number, unit in enumerate(units) if unit.entry.streamed), SAMPLE
            )
        }
        yield from (Work(*places[entry], data) for entry, data in stream(places))
