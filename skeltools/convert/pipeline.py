"""From raw files to one converted file: list, read, prepare, write, exclude."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skeltools import processes
from skeltools.convert.plan import (
    METRES,
    Excluded,
    Plan,
    Reading,
    Span,
    Unit,
    damage,
    duplicate,
    make_plan,
    read_unit,
)
from skeltools.datasets import registry as datasets
from skeltools.datasets.contract import NEITHER, TEST, TRAIN, Dataset
from skeltools.errors import FormatError, OutputError, SettingError, SkeltoolsError, SourceError, counted
from skeltools.files.writing import CONVERTED, check_output
from skeltools.formats import backend
from skeltools.formats.entries import Entry
from skeltools.formats.recording import Recording
from skeltools.formats.seven_zip import stream
from skeltools.formats.sources import list_entries
from skeltools.preparation.chain import BASE, LATER, Chain, apply, choose, usual
from skeltools.progress import SILENT, Progress
from skeltools.settings import Resolved
from skeltools.skeletons import Form, plausible
from skeltools.store import notes
from skeltools.store.layout import sha256
from skeltools.store.reader import ClipFile
from skeltools.store.spool import (
    CLIPS,
    DAMAGED,
    MOTION,
    SPOOL_LAYOUT,
    Done,
    Left,
    Results,
    Spool,
    UnitResult,
    check_ours,
    folder_of,
    forget,
    new_raw_file,
    raw_bytes,
    write_all,
)
from skeltools.store.writer import (
    Contents,
    Raw,
    RawBodies,
    read_clips,
    room_in_front,
    write_around,
    write_file,
)

_BATCH_CLIPS = 32
_BATCH_BYTES = 1 << 23
"""A batch of work is closed when it has this many clips or bytes of raw files."""

_WORKER_BYTES = 1 << 23
"""Starting a worker takes about half a second, so each gets at least this many bytes of raw files."""


@dataclass(frozen=True)
class Summary:
    """What a conversion did.

    Attributes:
        path: The file written.
        dataset: Name of the dataset.
        clips: Clips in the file.
        excluded: Clips left out, by reason code.
        splits: (train, test) by split.
        official: Official (train, test) by split where there are such counts.
        notes: What the user should know.
    """

    path: Path
    dataset: str
    clips: int
    excluded: dict[str, int]
    splits: dict[str, tuple[int, int]]
    official: dict[str, tuple[int, int]]
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Job:
    """What a worker needs to know: all that turns a raw file into prepared clips in the spool.

    Attributes:
        dataset: Name of the dataset.
        chain: Settings of the preparation.
        spool: Folder of the conversion under way.
        room: Bytes in front of the clips there.
        compiled: Use the compiled parser.
        skip: Record damaged files instead of raising.
        keep_raw: Keep raw recordings.
        reading: How raw files are read.
        definition: Of data of one's own, as `Dataset.definition` gives it.
    """

    dataset: str
    chain: Chain
    spool: Path
    room: int
    compiled: bool
    skip: bool
    keep_raw: bool
    reading: Reading = METRES
    definition: str | None = None

    @property
    def made(self) -> Dataset:
        """The dataset, in whichever process."""
        return datasets.of_file(self.dataset, self.definition)

    @property
    def form(self) -> Form:
        """What the clips look like."""
        return self.made.form(self.chain.frames)

    @property
    def clip_bytes(self) -> int:
        """Bytes of one clip in the spool."""
        return self.chain.clip_bytes(self.form)

    def settings(self) -> dict[str, str | int | float]:
        """Return how the clips are read and prepared, by name."""
        return {**self.chain.settings(), **self.reading.settings()}


class Work(NamedTuple):
    """A raw file to do: its number in the plan, the file and its clips, its content where it was streamed."""

    number: int
    unit: Unit
    data: bytes | None


def convert(
    dataset: Dataset,
    source: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    prep: Resolved[Chain] | None = None,
    prep_name: str = BASE,
    frames: int | None = None,
    workers: int = 1,
    replace: bool = False,
    resume: bool = False,
    skip_damaged: bool = False,
    keep_raw: bool = False,
    reading: Reading = METRES,
    progress: Progress = SILENT,
) -> Summary:
    """Convert raw files into one HDF5 file (layout: docs/data-format.md).

    The same raw files give the same datasets whatever holds them, whatever the number of workers, and
    however often the conversion was interrupted and resumed.

    Args:
        dataset: What the source holds, from `skeltools.datasets.registry.get`, or
            `skeltools.datasets.descriptor.read(PATH).dataset()` for data of one's own.
        source: One or several folders, archives or files (see `skeltools.formats.sources.list_entries`).
        out: The file to write. It appears under this name only when it is complete.
        prep: How to prepare the clips, from `skeltools.preparation.chain.choose` with the dataset's name; the
            default chain when None.
        prep_name: Name of that preparation, stored with the data.
        frames: T, frames per prepared clip, where `prep` is None.
        workers: Processes. More than one need the caller's ``if __name__ == "__main__"`` guard.
        replace: Rebuild `out` if it exists, and forget an interrupted conversion.
        resume: Continue an interrupted conversion; does nothing when `out` is finished.
        skip_damaged: Record damaged files in ``/excluded`` instead of stopping.
        keep_raw: Also store the recordings, so that other preparations can be derived later.
        reading: The unit of the coordinates, and what becomes of labels that go beyond their video.
        progress: Receiver of progress.

    Raises:
        OutputError: `out` exists, an interrupted conversion is in the way, or nothing can be written there.
        SourceError: The source is missing, empty, or holds nothing of the dataset.
        FormatError: A raw file is damaged, or what it holds cannot be people in the unit that was given.
        SettingError: There is no such unit.
    """
    out, sources = Path(out), _paths(source)
    chain = (prep or _usual(dataset, frames)).values
    check_reading(dataset, reading)
    folder = folder_of(out)
    if resume and out.is_file() and not replace:
        summary = _finished(out, dataset, {**chain.settings(), **reading.settings()}, progress)
        forget(folder)
        return summary
    plan = planned(dataset, sources, out, chain, replace=replace, resume=resume, skip_damaged=skip_damaged)
    shown = ", ".join(map(str, sources))
    compiled = len(plan.units) >= backend.COMPILE_FROM
    if compiled and not backend.available():
        progress.message(backend.SLOW)
    room = room_in_front(len(plan.names))
    job = Job(
        dataset.name, chain, folder, room, compiled, skip_damaged, keep_raw, reading, dataset.definition
    )
    header = _header(job, plan)
    results = Results(len(plan.units), len(plan.names), keep_raw)
    stamps = [_stamp(unit) for unit in plan.units]
    spool = (
        Spool.resume(folder, header, job.clip_bytes, raw_bytes(job.form.joints), room, results, stamps)
        if resume and folder.exists() and not replace
        else Spool.begin(folder, header, results, stamps)
    )
    try:
        _work_off(job, plan, spool, workers, progress)
        contents, rows = _gather(job, plan, spool, prep_name)
        if not len(rows):
            raise _nothing(shown, dataset, contents.excluded)
        _write(out, contents, rows, len(plan.names), job)
    except Exception:
        done = results.count
        if done:  # whatever it was: a damaged file, a full disk, too little memory
            spool.close()
            progress.message(
                f"{done:,} of {counted(len(plan.names), 'clip')} are done and kept. When the cause is gone, run the "
                "same command with --resume to continue."
            )
        else:
            spool.remove()
        raise
    except BaseException:
        spool.close()
        progress.message(
            f"Interrupted with {results.count:,} of {counted(len(plan.names), 'clip')} done. "
            "Run the same command with --resume to continue."
        )
        raise
    spool.remove()
    return Summary(
        path=out,
        dataset=dataset.name,
        clips=len(rows),
        excluded=reason_counts(contents.excluded),
        splits={
            split: (int((sides == TRAIN).sum()), int((sides == TEST).sum()))
            for split, sides in contents.sides.items()
        },
        official={split: dataset.counts[split] for split in contents.sides if split in dataset.counts},
        notes=[note.text for note in contents.notes],
    )


def _paths(source: str | Path | Sequence[str | Path]) -> list[Path]:
    return [Path(source)] if isinstance(source, (str, Path)) else [Path(item) for item in source]


def check_reading(dataset: Dataset, reading: Reading) -> None:
    """Check that raw files of a dataset can be read so.

    Raises:
        SettingError: There is no such unit, or the dataset's is in its descriptor.
    """
    plausible.check_unit(reading.unit)
    if dataset.own is not None and reading.unit != "m":
        raise SettingError(f"The unit of {dataset.name} is in its descriptor. Leave --unit out.")


def planned(
    dataset: Dataset,
    sources: Sequence[Path],
    out: Path,
    chain: Chain,
    *,
    replace: bool = False,
    resume: bool = False,
    skip_damaged: bool = False,
) -> Plan:
    """Check that `out` can be written and return what the sources hold; at least one clip. Writes nothing.

    Raises:
        SkeltoolsError: As `convert`.
    """
    check_output(out, replace, *sources, kinds=CONVERTED)
    folder = folder_of(out)
    check_ours(folder)
    if folder.exists() and not (resume or replace):
        raise OutputError(
            f"A conversion to {out} was interrupted. Use --resume to continue it or --replace to start over."
        )
    shown = ", ".join(map(str, sources))
    plan = make_plan(dataset, list_entries(sources), shown, chain, skip_damaged)
    if not plan.names:
        raise _nothing(shown, dataset, plan.excluded)
    return plan


def _usual(dataset: Dataset, frames: int | None) -> Resolved[Chain]:
    return choose(
        usual(dataset),
        skeleton=dataset.skeleton,
        dimensions=dataset.dimensions,
        options={"chain.frames": frames},
    )


def _finished(
    out: Path, dataset: Dataset, settings: dict[str, str | int | float], progress: Progress
) -> Summary:
    """Describe an output that is there already, after checking that it is what would be made."""
    with ClipFile(out) as file:
        wanted = {
            "dataset": dataset.name,
            **({} if dataset.definition is None else {"definition": dataset.definition}),
            **{f"chain.{key}": value for key, value in asdict(METRES).items()},
            **{f"chain.{key}": value for key, value in settings.items()},
        }
        there = {**LATER, **{f"chain.{key}": value for key, value in asdict(METRES).items()}, **file.attrs}
        differs = [key for key, value in wanted.items() if there.get(key) != value]
        if differs:
            raise OutputError(
                f"{out} is finished, but with a different {', '.join(differs)}. Use --replace to rebuild it."
            )
        progress.message(f"{out} is complete already.")
        return Summary(
            path=out,
            dataset=dataset.name,
            clips=len(file),
            excluded=reason_counts(file.excluded),
            splits={
                split: (len(file.rows(split, "train")), len(file.rows(split, "test")))
                for split in file.splits
            },
            official={split: dataset.counts[split] for split in file.splits if split in dataset.counts},
            notes=[note.text for note in file.notes],
        )


def reason_counts(excluded: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Count exclusions by reason code, the most frequent first."""
    return dict(Counter(reason.partition(":")[0] for _, reason in excluded).most_common())


_FAULTY = ("damaged", "implausible", "misnamed")
"""Reasons that a user can do something about."""


def _nothing(source: str, dataset: Dataset, excluded: Sequence[tuple[str, str]]) -> SourceError:
    why = ", ".join(f"{count} {code}" for code, count in reason_counts(excluded).items())
    told = next((f" {name}: {reason}" for name, reason in excluded if reason.startswith(_FAULTY)), "")
    return SourceError(f"{source} holds no clip of {dataset.name} to convert (left out: {why}).{told}")


def _header(job: Job, plan: Plan) -> dict[str, Any]:
    """Say what makes two conversions the same, so that one may continue the other, wherever the source is by then."""
    listing = hashlib.sha256()
    for unit in plan.units:
        copies = [copy.inside for copy in unit.copies]
        listing.update(repr((unit.entry.inside, unit.spans, copies)).encode())
        if unit.parts:
            listing.update(repr([part.inside for part in unit.parts]).encode())
    listing.update(repr((plan.names, plan.labels, plan.small, sorted(plan.train.items()))).encode())
    return {
        "dataset": job.dataset,
        "settings": job.settings(),
        "raw": job.keep_raw,
        DAMAGED: job.skip,
        "layout": SPOOL_LAYOUT,
        "source": listing.hexdigest(),
        **({} if job.definition is None else {"descriptor": job.definition}),
    }


def _stamp(unit: Unit) -> str:
    """Return what differs when a raw file or a copy of it is another one than before."""
    files = [(entry.inside, entry.size, entry.stamp) for entry in (unit.entry, *unit.copies, *unit.parts)]
    return sha256(repr(files).encode())[:16]


def _work_off(job: Job, plan: Plan, spool: Spool, workers: int, progress: Progress) -> None:
    """Do every unit that is not done yet."""
    units = plan.units
    left = np.flatnonzero(~spool.results.finished)
    if not len(left):
        return
    clips = sum(len(units[index].spans) for index in map(int, left))
    if len(left) < len(units):
        progress.message(
            f"Resuming: {len(plan.names) - clips:,} of {counted(len(plan.names), 'clip')} are done."
        )
    progress.start("converting", clips)
    size = sum(units[index].size for index in map(int, left))
    workers = min(workers, len(left), max(1, size // _WORKER_BYTES))
    try:
        for results in processes.run(_batches(units, left), make_worker, (job,), workers):
            spool.add(results)
            progress.advance(sum(len(units[result.unit].spans) for result in results))
    finally:
        progress.finish()


def _batches(units: Sequence[Unit], left: NDArray[np.intp]) -> Iterator[list[Work]]:
    """Yield the units left in batches of a few MB, those that must be streamed last, with their contents."""
    batch: list[Work] = []
    clips = size = 0
    for work in _works(units, left):
        batch.append(work)
        clips += len(work.unit.spans)
        size += work.unit.size
        if clips >= _BATCH_CLIPS or size >= _BATCH_BYTES:
            yield batch
            batch, clips, size = [], 0, 0
    if batch:
        yield batch


def _works(units: Sequence[Unit], left: NDArray[np.intp]) -> Iterator[Work]:
    streamed = {}
    for index in map(int, left):
        unit = units[index]
        if unit.entry.streamed:
            streamed[unit.entry] = (index, unit)
        else:
            yield Work(index, unit, None)
    for entry, data in stream(streamed):
        yield Work(*streamed[entry], data)


def make_worker(job: Job) -> Callable[[list[Work]], list[UnitResult]]:
    """Return the function that does a batch in this process."""
    backend.use_compiled(job.compiled)
    worker = _Worker(job, job.made)
    return worker


class _Worker:
    """Reads raw files, prepares their clips and writes each at its place in the spool."""

    def __init__(self, job: Job, dataset: Dataset) -> None:
        self._job = job
        self._dataset, self._form = dataset, job.form
        self._clips = (job.spool / CLIPS).open("r+b", buffering=0)
        self._motion = (job.spool / MOTION).open("r+b", buffering=0) if job.chain.motion == "source" else None
        self._raw = new_raw_file(job.spool) if job.keep_raw else None

    def __call__(self, batch: list[Work]) -> list[UnitResult]:
        done: list[UnitResult] = []
        for work in batch:
            try:
                done.append(self._unit(work))
            except SkeltoolsError as fault:
                raise processes.Halted(done, fault) from None
        return done

    def _unit(self, work: Work) -> UnitResult:
        """Read a raw file, or the first of its copies that can be read, and prepare its clips."""
        unit = work.unit
        files = (unit.entry, *unit.copies)
        damages: list[str] = []
        for place, entry in enumerate(files):
            try:
                data = entry.read() if place or work.data is None else work.data
                parts = [(part.read(), part.path) for part in unit.parts]
                recordings = read_unit(
                    self._dataset, unit._replace(entry=entry), data, self._job.reading.unit, parts
                )
            except FormatError as error:
                if not self._job.skip:
                    raise
                damages.append(damage(entry, error))
                continue
            fates = tuple(map(partial(self._fate, entry), unit.spans, recordings))
            copies = [f"{told}; {entry.inside} is used" for told in damages]
            copies += [duplicate(copy, entry, data) for copy in files[place + 1 :]]
            digest = sha256(b"".join([data, *(content for content, _ in parts)]) if parts else data)
            return UnitResult(work.number, digest, fates, tuple(copies))
        lost = tuple(Left(span.clip, damages[0]) for span in unit.spans)
        return UnitResult(work.number, sha256(b""), lost, tuple(damages[1:]))

    def _fate(self, entry: Entry, span: Span, recording: Recording | FormatError) -> Done | Left:
        if isinstance(recording, FormatError):
            if not self._job.skip:
                raise recording
            return Left(span.clip, damage(entry, recording))
        beyond = any(kind == "label-beyond" for kind, _ in recording.notes)
        if beyond and self._job.reading.long_labels == "exclude":
            video = span.start + recording.frames
            return Left(span.clip, f"range: frames {span.start + 1} to {span.stop} of a video of {video}")
        try:
            return self._clip(span.clip, recording, entry.path)
        except FormatError as error:
            if not self._job.skip:
                raise
            return Left(span.clip, f"implausible: {entry.inside}: {error.problem}")

    def _clip(self, clip: int, recording: Recording, path: str) -> Done | Left:
        large = 0
        if self._dataset.own is None:  # whose readers judge in the descriptor's own words
            unit = self._job.reading.unit
            fault, large = plausible.judge(recording.coords, recording.frame, recording.slot, unit)
            if fault is not None:
                raise FormatError(path, fault)
        found = apply(recording, self._job.chain, self._form, self._dataset.format == "pku")
        if isinstance(found, str):
            return Left(clip, found)
        stored = found.clip.astype(found.clip.dtype.newbyteorder("<"), copy=False).tobytes()
        self._clips.seek(self._job.room + clip * len(stored))
        write_all(self._clips, stored)
        motion = None
        if self._motion is not None and found.motion is not None:
            moved = found.motion.astype(found.motion.dtype.newbyteorder("<")).tobytes()
            self._motion.seek(clip * len(stored))
            write_all(self._motion, moved)
            motion = zlib.crc32(moved)
        raw = self._keep(recording) if self._raw is not None else None
        told = (*recording.notes, ("outsized", large)) if large else recording.notes
        return Done(
            clip, found.frames, found.length, found.bodies, found.gaps, sha256(stored), raw, told, motion
        )

    def _keep(self, recording: Recording) -> tuple[int, int, int, int, int]:
        assert self._raw is not None
        number, file = self._raw
        offset = file.seek(0, os.SEEK_END)
        block = b"".join(
            (
                recording.coords.astype("<f4", copy=False).tobytes(),
                recording.frame.astype("<i4", copy=False).tobytes(),
                recording.slot.astype("<i4", copy=False).tobytes(),
                recording.ids.astype("<i8", copy=False).tobytes(),
            )
        )
        write_all(file, block)
        return number, offset, len(recording.frame), zlib.crc32(block), recording.frames


def _gather(job: Job, plan: Plan, spool: Spool, prep_name: str) -> tuple[Contents, NDArray[np.intp]]:
    """Put the results of all units into name order; return the file's contents and each row's clip."""
    results = spool.results
    excluded = [
        *plan.excluded,
        *(Excluded(plan.names[clip], reason) for clip, reason in results.left.items()),
        *(
            Excluded(plan.units[unit].entry.stem, reason)
            for unit, reasons in results.copies.items()
            for reason in reasons
        ),
    ]
    told = ((plan.names[clip], results.notes[clip]) for clip in sorted(results.notes))
    rows = np.flatnonzero(results.done)
    places: list[int] = rows.tolist()
    found = results.values[rows]
    columns: dict[str, Sequence[int] | Sequence[str] | NDArray[np.int64]] = {
        column: found[:, place] for place, column in enumerate(("frames", "length", "bodies", "gaps"))
    }
    for column, values in plan.columns.items():
        columns[column] = [values[row] for row in places]  # type: ignore[assignment]
    contents = Contents(
        dataset=job.made,
        names=[plan.names[row] for row in places],
        labels=[plan.labels[row] for row in places],
        columns=columns,
        digests=results.digests[rows],
        sides={
            split: np.array([NEITHER if side is None else side for side in train], np.int8)[rows]
            for split, train in plan.train.items()
        },
        excluded=sorted(excluded),
        settings=job.settings(),
        prep=prep_name,
        frames=job.chain.frames,
        dtype=job.chain.dtype,
        source_digest=_source_digest(plan, results),
        raw=None if results.raw is None else _raw_of(results.raw[rows], spool, job.form.joints),
        notes=[*plan.notes, *notes.of_clips(told)],
    )
    return contents, rows


def _raw_of(places: NDArray[np.int64], spool: Spool, joints: int) -> Raw:
    numbers = {int(path.name.partition(".")[2]): path for path in spool.raw_files()}
    return Raw(
        counts=places[:, 2],
        frames=places[:, 4],
        read=partial(_read_raw, places, numbers, joints),
    )


def _read_raw(places: NDArray[np.int64], files: dict[int, Path], joints: int, row: int) -> RawBodies:
    number, offset, observed, _, _ = places[row].tolist()
    with files[number].open("rb") as file:
        file.seek(offset)
        block = file.read(observed * raw_bytes(joints))
    coords = observed * joints * 3 * 4
    return (
        np.frombuffer(block, "<f4", observed * joints * 3).reshape(-1, joints, 3),
        np.frombuffer(block, "<i4", observed, coords),
        np.frombuffer(block, "<i4", observed, coords + 4 * observed),
        np.frombuffer(block, "<i8", observed, coords + 8 * observed),
    )


def _write(out: Path, contents: Contents, rows: NDArray[np.intp], planned: int, job: Job) -> None:
    """Make the clips in the spool the output; copy them where some lack or others join them."""
    alone = not job.keep_raw and job.chain.motion != "source"
    if alone and len(rows) == planned and write_around(out, contents, job.spool / CLIPS, job.room):
        return
    with ExitStack() as stack:
        names = [CLIPS, MOTION] if job.chain.motion == "source" else [CLIPS]
        files = {name: stack.enter_context((job.spool / name).open("rb")) for name in names}
        arrays = {
            name: read_clips(file, rows, job.clip_bytes, job.room if name == CLIPS else 0)
            for name, file in files.items()
        }
        write_file(out, contents, arrays)


def _source_digest(plan: Plan, results: Results) -> str:
    """Return the SHA-256 over (file name, SHA-256 of its content) of every file read, in name order."""
    files = [f"{name}\0{sha256(content)}\n" for name, content in plan.small]
    for index in map(int, np.flatnonzero(results.finished)):
        files.append(f"{plan.units[index].entry.name}\0{results.sources[index].tobytes().hex()}\n")
    total = hashlib.sha256()
    for line in sorted(files):
        total.update(line.encode())
    return total.hexdigest()
