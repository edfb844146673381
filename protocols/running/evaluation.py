"""Running protocols on subjects and recording the results."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import skeltools
from skeltools.analysis import metrics
from skeltools.datasets.registry import STREAMS
from skeltools.environment import device_name, pick_device
from skeltools.errors import DataError, OutputError, RunError, SettingError, SkeltoolsError, counted
from skeltools.progress import SILENT, Progress
from skeltools.protocols.running import checking, foreseeing, leakage, registry
from skeltools.protocols.running.cache import FeatureCache
from skeltools.protocols.running.contract import DivergedError, Outcome, Protocol
from skeltools.protocols.running.entrants import Entrant, check_home
from skeltools.protocols.running.foreseeing import Foreseen
from skeltools.protocols.running.subjects import Subject
from skeltools.protocols.running.task import Task
from skeltools.results import record as results
from skeltools.results.kinds import KINDS
from skeltools.results.record import Record
from skeltools.runs.folder import preparation_of
from skeltools.settings import MOST_SEED, MOST_SEEDS, Resolved, parse_override, schema_fields, unknown
from skeltools.store import ClipFile
from skeltools.training.distributed import World, joined

ALL = "all"
"""The word for every protocol that applies."""


@dataclass(frozen=True)
class Request:
    """What to evaluate and how.

    Attributes:
        entrants: Runs or encoders.
        protocol: Name of a protocol, ``package.module:Class``, or `ALL`.
        kinds: Kinds of subject, some of `skeltools.results.record.SUBJECTS`.
        data: Converted file; the run's own when None.
        target: Converted file of a transfer; `data` when None.
        split: Split; the run's own when None, else the file's first.
        seed: First seed of the protocol, and of the encoder where it is untrained; the run's own when None.
        seeds: How many seeds, one after the other.
        device: Word of ``--device``.
        recipe: Protocol recipe; the one named like the protocol when None.
        overrides: ``key=value`` strings.
        epochs: Value for every ``epochs`` of the protocols.
        batch_size: Clips per forward pass where nothing is trained.
        limit: Most clips of each side of a split.
        again: Whether `ALL` also runs what is recorded already.
        skip_recorded: Whether one protocol too leaves out what is recorded already.
        allow_mismatch: Whether a trained encoder may see clips of another length or preparation than it
            was trained on.
        dry: Whether nothing is evaluated or written: what would be is found out.
        allow_leak: Whether an encoder may be tested on clips that it saw in pretraining; the records say so.
    """

    entrants: Sequence[Entrant]
    protocol: str
    kinds: Sequence[str] = (results.PRETRAINED,)
    data: Path | None = None
    target: Path | None = None
    split: str | None = None
    seed: int | None = None
    seeds: int = 1
    device: str = "auto"
    recipe: str | None = None
    overrides: Sequence[str] = ()
    epochs: int | None = None
    batch_size: int = 128
    limit: int | None = None
    again: bool = False
    skip_recorded: bool = False
    allow_mismatch: bool = False
    dry: bool = False
    allow_leak: bool = False


@dataclass
class Finished:
    """What a request gave.

    Attributes:
        records: Every record, those found already recorded among them, in the order of work.
        skipped: Names of the protocols that did not apply, and of runs that cannot be evaluated, by the reason.
        told: Those of the reasons that were known, and sent to the receiver of progress, before any work.
        reused: Evaluations that were recorded already.
        foreseen: Of a dry request, the evaluations that would be run.
        is_main: Whether this process is the one that reports; the others have no records.
    """

    records: list[Record] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    reused: int = 0
    foreseen: list[Foreseen] = field(default_factory=list)
    is_main: bool = True


def run(request: Request, progress: Progress = SILENT, done: Finished | None = None) -> Finished:
    """Run what a request asks for; each evaluation is recorded when it is done.

    Whatever can be found beforehand is: unknown settings, runs that cannot be evaluated, streams that several runs
    have. Of all protocols and several runs what cannot be done is skipped; anything else raises.

    Args:
        request: The request.
        progress: Receiver of progress.
        done: Filled while the work goes on, so that what was done is at hand when an error ends it.

    Raises:
        SkeltoolsError: A run, the data, a protocol or a setting is not usable. Evaluations that ended
            before stay recorded.
    """
    return _Work(request, progress, Finished() if done is None else done).run()


class _Work:
    def __init__(self, request: Request, progress: Progress, done: Finished) -> None:
        self.request, self.progress, self.done = request, progress, done
        self.entrants = list(request.entrants)
        self.whole = request.protocol == ALL
        self.protocols = registry.every() if self.whole else [registry.get(request.protocol)]
        if self.whole and request.recipe is not None:
            raise SettingError("--recipe fits one protocol; with all, use --set PROTOCOL.KEY=VALUE.")
        if request.target is not None and not any(item.needs_target for item in self.protocols):
            raise SettingError(
                f"Protocol '{self.protocols[0].name}' evaluates on the file of the run alone, so it takes no --target; "
                f"{registry.having('needs_target')} does. Give the file to evaluate on as --data."
            )
        self.overrides = self._by_section(request.overrides)
        self.device = pick_device(request.device)
        self.world = World()
        self.known: dict[Path, list[Record]] = {}
        self.speeds: dict[str, float] = {}

    def _by_section(self, overrides: Sequence[str]) -> dict[str, list[str]]:
        """Share out ``--set`` texts; a protocol alone takes them all and refuses what it does not know."""
        if not self.whole:
            return {self.protocols[0].section: list(overrides)}
        found: dict[str, list[str]] = {protocol.section: [] for protocol in self.protocols}
        for text in overrides:
            key, _ = parse_override(text)
            section = key.partition(".")[0]
            if section not in found:
                raise unknown(
                    key, "--set", (name for one in self.protocols for name in schema_fields(one.schema))
                )
            found[section].append(text)
        return found

    def run(self) -> Finished:
        with joined(self.device) as (self.world, self.device):
            self.done.is_main = self.world.is_main
            if not self.world.is_main:
                self.progress = SILENT
            self._check_homes()
            self._all()
        return self.done

    def _check_homes(self) -> None:
        """Check where records and features go; the first process tries it, for all of them."""
        problem = None
        if self.world.is_main:
            try:
                for entrant in self.entrants:
                    check_home(entrant)
            except OutputError as error:
                problem = str(error)
        problem = self.world.share(problem)
        if problem is not None:
            raise OutputError(problem)

    def _all(self) -> None:
        self.entrants = self._usable()
        groups = self._groups() if any(protocol.joins_streams for protocol in self.protocols) else []
        for reason, names in self.done.skipped.items():
            self.progress.message(left_out(reason, names))
        self.done.told = set(self.done.skipped)
        self._tell_repeated()
        if results.PRETRAINED in self.request.kinds:
            for warning in filter(None, (entrant.warning() for entrant in self.entrants)):
                self.progress.message(f"Warning: {warning} It is evaluated as it is.")
        for entrant in self.entrants:
            for task, protocol in self._tasks(entrant):
                self._one(protocol, task)
        for protocol in self.protocols:
            if protocol.joins_streams and self.world.is_main:
                self._joined(protocol, groups)

    def _tell_repeated(self) -> None:
        """Say of which protocols further seeds give nothing new: those that draw nothing, of one encoder or none."""
        names = [one.name for one in self.protocols if one.name in KINDS and not KINDS[one.name].drawn]
        same = {results.PRETRAINED, results.RAW}.intersection(self.request.kinds)
        if self.request.seeds > 1 and names and same:
            self.progress.message(
                f"Nothing is drawn at random in {', '.join(names)}: with one encoder, all "
                f"{counted(self.request.seeds, 'seed')} give the same result."
            )

    def _tasks(self, entrant: Entrant) -> Iterator[tuple[Task, Protocol]]:
        """Yield the protocols for an entrant alone, each with its task, whose file is open."""
        single = [protocol for protocol in self.protocols if not protocol.joins_streams]
        goal = self.request.target or (None if self.whole else self.request.data)
        if not single:
            return
        with self._open(self.request.data or entrant.data, entrant) as file, ExitStack() as stack:
            target = None if goal is None else stack.enter_context(self._open(goal, entrant))
            for kind in self.request.kinds:
                for seed in self._seeds(entrant):
                    subject = entrant.subject(kind, seed)
                    own = self._task(file, entrant, subject, seed)
                    other = self._task(target or file, entrant, subject, seed)
                    other.target = target is not None
                    for protocol in single:
                        yield (other if protocol.needs_target else own), protocol

    def _usable(self) -> list[Entrant]:
        """Return the entrants that can be evaluated, with the settings of every protocol checked.

        Of all protocols and several entrants, those that cannot be are skipped.

        Raises:
            SkeltoolsError: A setting cannot be used, or no entrant can be evaluated.
        """
        found: list[Entrant] = []
        problems: list[SkeltoolsError] = []
        told: dict[str, None] = {}
        for entrant in self.entrants:
            try:
                for task, protocol in self._tasks(entrant):
                    settings = self._settings(protocol, task)
                    told |= dict.fromkeys(settings.unused)
                    reason = None if self.whole else self._reason(protocol, task, settings.values)
                    if reason is not None:
                        raise self._refusal(reason, task)
            except (DataError, RunError) as error:
                if not self.whole or len(self.entrants) == 1:
                    raise
                problems.append(error)
                reason = str(error).removeprefix(f"{entrant.name} ").removesuffix(".")
                self.done.skipped.setdefault(reason, []).append(entrant.name)
                continue
            found.append(entrant)
        for sentence in told:
            self.progress.message(sentence)
        if not found:
            raise problems[0]
        return found

    def _seeds(self, entrant: Entrant) -> range:
        first = entrant.seed if self.request.seed is None else self.request.seed
        if not 1 <= self.request.seeds <= MOST_SEEDS or first + self.request.seeds - 1 > MOST_SEED:
            raise SettingError(
                f"{counted(self.request.seeds, 'seed')} from {first} on cannot be run: give at most {MOST_SEEDS:,} at "
                f"a time, the last of them at most {MOST_SEED}."
            )
        return range(first, first + self.request.seeds)

    def _open(self, path: Path | None, entrant: Entrant) -> ClipFile:
        if path is None:
            raise DataError(f"{entrant.name} names no data of its own. Give the converted file: --data FILE")
        if path == entrant.data and not path.exists():
            raise DataError(
                f"{entrant.name} needs the data it was pretrained on, and {path} does not exist. If the file "
                "was moved, give its new place: --data FILE"
            )
        file = ClipFile(path)
        trained = results.PRETRAINED in self.request.kinds
        if entrant.misfit is not None:
            problem = entrant.misfit(file, not trained or self.request.allow_mismatch)
            if problem is not None:
                file.close()
                raise DataError(problem)
        return file

    def _task(self, file: ClipFile, entrant: Entrant, subject: Subject, seed: int) -> Task:
        split = self.request.split
        if split is None:
            split = entrant.split if entrant.split in file.splits else None
        if split is None:
            if not file.splits:
                raise DataError(f"{file.path} has no split, so nothing can be evaluated on it.")
            split = file.splits[0]
        return Task(
            file=file,
            split=split,
            stream=entrant.stream,
            subject=replace(subject, frames=None) if self.request.allow_mismatch else subject,
            seed=seed,
            device=self.device,
            batch_size=self.request.batch_size,
            limit=self.request.limit,
            cache=FeatureCache(entrant.cache_dir, tidy=self.world.is_main),
            results_dir=entrant.results_dir,
            progress=self.progress,
            world=self.world,
        )

    def _one(self, protocol: Protocol, task: Task) -> None:
        """Run one protocol on one task, unless it does not apply or is recorded already."""
        settings = self._settings(protocol, task)
        if self.request.dry and protocol.joins_streams:  # of records that are still to be made
            self.done.foreseen.append(foreseeing.of(protocol, task, settings))
            return
        reason = self._reason(protocol, task, settings.values)
        if reason is not None:
            if not self.whole:
                raise self._refusal(reason, task)
            # That the supervised baseline is one of finetuning alone is no news about the data.
            if task.subject.kind != results.SUPERVISED:
                self._skip(protocol, reason)
            return
        key = results.key_of(_identity(protocol, task, settings))
        if self.request.skip_recorded or (self.whole and not self.request.again):
            found = [record for record in self._recorded(task.results_dir) if record.key == key]
            whole = bool(found) and len(found) == found[0].outcomes
            if (
                whole if protocol.joins_streams else self.world.share(whole)
            ):  # the first process alone joins streams
                self.done.records += found
                self.done.reused += 1
                return
        if self.request.dry:
            self.done.foreseen.append(foreseeing.of(protocol, task, settings, self.speeds))
            return
        if not (self.world.is_main or protocol.parallel):
            return
        task.saves = None if task.results_dir is None else task.results_dir / "under-way" / key[:16]
        began = time.monotonic()
        try:
            if not self.world.is_main:  # it works; the main process checks and records
                with checking.blamed(protocol.name, type(protocol)):
                    protocol.run(task, settings.values)
                return
            outcomes = checking.outcomes(protocol, task, settings.values)
        except DivergedError as error:
            if not self.whole:
                raise
            self._skip(
                protocol, f"{task.subject.name}, {task.subject.kind}, seed {task.seed}: {error}".rstrip(".")
            )
            return
        finally:
            self.progress.finish()
        seconds = time.monotonic() - began
        for outcome in outcomes:
            reason = None if outcome.test_rows is None else self._leak(protocol, task, outcome.test_rows)
            if reason is not None:
                raise RunError(f"Protocol '{protocol.name}': {reason}.")
        records = [
            _record(protocol, task, settings, outcome, key, len(outcomes), seconds) for outcome in outcomes
        ]
        if len({record.stem for record in records}) < len(records):
            raise RunError(f"Protocol '{protocol.name}' gave two outcomes of one variant. Name each.")
        self.done.records += map(_keep, records, repeat(task), outcomes)
        if task.saves is not None:
            for path in task.saves.parent.glob(f"{task.saves.name}*"):
                path.unlink(missing_ok=True)
            with suppress(OSError):
                task.saves.parent.rmdir()

    def _refusal(self, reason: str, task: Task) -> SettingError:
        names = (str(task.file.path), *(one.subject.name for one in (task, *task.members.values())))
        return SettingError(f"{_sentence(reason, names)}.")

    def _skip(self, protocol: Protocol, reason: str) -> None:
        names = self.done.skipped.setdefault(reason, [])
        if protocol.name not in names:
            names.append(protocol.name)

    def _settings(self, protocol: Protocol, task: Task) -> Resolved[Any]:
        recipe = self.request.recipe
        if recipe is None and task.subject.kind == results.SUPERVISED:
            recipe = protocol.supervised
        options = {}
        if self.request.epochs is not None:
            keys = protocol.epoch_keys
            if not keys and not self.whole:
                raise SettingError(f"Protocol '{protocol.name}' trains nothing, so it takes no --epochs.")
            options = dict.fromkeys(keys, self.request.epochs)
        return protocol.resolve(_context(task), recipe, self.overrides[protocol.section], options)

    def _reason(self, protocol: Protocol, task: Task, settings: Any) -> str | None:
        if task.subject.kind == results.SUPERVISED and not (protocol.supervised or protocol.joins_streams):
            return f"the supervised baseline belongs to {registry.having('supervised')}"
        with checking.blamed(protocol.name, type(protocol)):
            reason = protocol.skip(task, settings)
        if reason is not None:
            return str(reason)
        return self._leak(protocol, task, task.limited(task.file.rows(task.split, "test")))

    def _leak(self, protocol: Protocol, task: Task, rows: NDArray[np.int64]) -> str | None:
        """Return why a protocol must not test on some clips, or None: the encoder saw none, or may have."""
        if protocol.may_have_seen or self.request.allow_leak:
            return None
        return leakage.refusal(task, leakage.seen(task, rows), len(rows))

    def _recorded(self, folder: Path | None) -> list[Record]:
        """Return what a results folder held when it was first asked for, with side files in place."""
        if folder is None:
            return []
        if folder not in self.known:
            self.known[folder] = [
                record for record in results.read_all(folder) if (folder / record.scores).is_file()
            ]
        return self.known[folder]

    def _joined(self, protocol: Protocol, groups: Sequence[Mapping[str, tuple[Entrant, int]]]) -> None:
        """Run the ensemble of each group of streams."""
        for kind in self.request.kinds:
            for members in groups:
                with ExitStack() as stack:
                    tasks: dict[str, Task] = {}
                    for stream, (entrant, seed) in members.items():
                        file = stack.enter_context(self._open(self.request.data or entrant.data, entrant))
                        tasks[stream] = self._task(file, entrant, entrant.subject(kind, seed), seed)
                    first = next(iter(tasks.values()))
                    stream = "3s" if len(tasks) == 3 else "+".join(tasks)
                    name = " + ".join(dict.fromkeys(member.subject.name for member in tasks.values()))
                    first = Task(
                        file=first.file, split=first.split, stream=stream,
                        subject=replace(first.subject, name=name),
                        seed=first.seed, device=first.device, batch_size=first.batch_size, limit=first.limit,
                        cache=first.cache, results_dir=first.results_dir, members=tasks,
                        progress=self.progress,
                    )  # fmt: skip
                    self._one(protocol, first)

    def _groups(self) -> list[dict[str, tuple[Entrant, int]]]:
        """Return the entrants by stream that differ in nothing else: same data, split and seed.

        Of all protocols, a group of which two runs are of one stream is skipped, and so are streams that are alone.

        Raises:
            RunError: Of a protocol that joins streams alone: there is such a group, or none of two streams.
        """
        groups: dict[tuple[Any, ...], dict[str, list[tuple[Entrant, int]]]] = {}
        for entrant in self.entrants:
            for seed in self._seeds(entrant):
                group = groups.setdefault((self.request.data or entrant.data, entrant.split, seed), {})
                group.setdefault(entrant.stream, []).append((entrant, seed))
        order = {stream: place for place, stream in enumerate(STREAMS)}
        found, problems = [], []
        for group in groups.values():
            double = next((members for members in group.values() if len(members) > 1), None)
            if double is not None and (len(group) > 1 or not self.whole):
                (one, seed), (two, _) = double[:2]
                problems.append(
                    f"{one.name} and {two.name} are both of stream {one.stream} and seed {seed}. Name one run per "
                    f"stream for an ensemble: skeltools eval {' '.join(['RUN'] * len(group))} --protocol ensemble"
                )
            elif len(group) > 1:
                found.append({stream: members[0] for stream, members in group.items()})
        if not found and not problems:
            problems.append("an ensemble needs two or three streams. Give a run of each: RUN RUN RUN")
        if problems and not self.whole:
            raise RunError(_sentence(problems[0], [entrant.name for entrant in self.entrants]))
        for protocol in self.protocols:
            if protocol.joins_streams:
                for problem in problems:
                    self._skip(protocol, problem)
        return [dict(sorted(group.items(), key=lambda item: order[item[0]])) for group in found]


def left_out(reason: str, names: Sequence[str]) -> str:
    """Return the line that says what was skipped and why."""
    return f"Left out: {', '.join(names)}: {reason}."


def _sentence(reason: str, names: Iterable[str] = ()) -> str:
    """Return a reason that begins with a capital, unless its first word is a key or one of `names`."""
    word = reason.partition(" ")[0]
    plain = len(word) > 1 and word.replace("-", "").isalpha()
    if not plain or any(reason.startswith(f"{name} ") for name in names):
        return reason
    return reason[0].upper() + reason[1:]


def _context(task: Task) -> dict[str, str]:
    """Return what recipes' ``[[when]]`` tables match."""
    return {"dataset": task.file.dataset.name, "split": task.split, "stream": task.stream}


def _identity(protocol: Protocol, task: Task, settings: Resolved[Any]) -> dict[str, Any]:
    """Return what an evaluation depends on."""
    parts = {
        "protocol": protocol.name,
        "subject": task.subject.kind,
        "settings": _deciding(settings.flat),
        "data": task.file.digest,
        "split": task.split,
        "stream": task.stream,
        "encoder": {name: member.encoder_digest for name, member in task.members.items()}
        or task.encoder_digest,
        "seed": task.seed,
        "limit": task.limit,
    }
    with checking.blamed(protocol.name, type(protocol)):
        extra = protocol.identity(task, settings.values)
        json.dumps(extra)
    return parts if extra is None else parts | {"extra": extra}


def _plain(flat: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in flat.items()}


def _deciding(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that results depend on, as JSON takes them."""
    return results.deciding(_plain(flat))


def _record(
    protocol: Protocol,
    task: Task,
    settings: Resolved[Any],
    outcome: Outcome,
    key: str,
    outcomes: int,
    seconds: float,
) -> Record:
    file, subject = task.file, task.subject
    train_rows = task.train_rows if outcome.train_rows is None else outcome.train_rows
    test_rows = task.test_rows if outcome.test_rows is None else outcome.test_rows
    scores, labels = outcome.scores, task.labels(test_rows)
    by_class = metrics.per_class(scores, labels)
    known = subject.pretraining
    leak = leakage.seen(task, test_rows)
    notes = list(outcome.notes) + ([] if protocol.may_have_seen else leak.notes)
    context = _context(task)
    if known is not None and known.note:
        notes.append(known.note)
    if known is not None and known.data_digest not in (None, file.digest) and not protocol.needs_target:
        notes.append("The encoder was pretrained on another file than the one evaluated.")
    if protocol.recipe and settings.title == protocol.resolve(context).title:
        notes += protocol.notes(context)
    record = Record(
        version=results.RECORD_VERSION,
        key=key,
        outcomes=outcomes,
        protocol=protocol.name,
        variant=outcome.variant,
        subject=task.subject.kind,
        encoder=subject.name,
        dataset=file.dataset.name,
        split=task.split,
        stream=task.stream,
        seed=task.seed,
        pretrain_seed=known.seed if known else None,
        epoch=known.epoch if known else None,
        top1=metrics.topk(scores, labels, 1),
        top5=metrics.topk(scores, labels, 5),
        mean_class=metrics.mean_class(by_class),
        per_class=by_class,
        metrics=outcome.metrics,
        best_top1=outcome.best.top1 if outcome.best else None,
        best_epoch=outcome.best.epoch if outcome.best else None,
        held_top1=outcome.chosen.top1 if outcome.chosen else None,
        held_epoch=outcome.chosen.epoch if outcome.chosen else None,
        train_clips=len(train_rows),
        train_per_class=torch.bincount(task.labels(train_rows), minlength=task.num_classes).tolist(),
        test_clips=len(test_rows),
        num_classes=task.num_classes,
        settings=_plain(settings.flat),
        set_by=settings.origin,
        recipe=settings.title,
        pretrain_settings=subject.settings,
        data=str(file.path),
        data_digest=file.digest,
        frames=file.frames,
        preparation=preparation_of(file.attrs),
        pretrain_data_digest=known.data_digest if known else None,
        checkpoint_digest=task.encoder_digest,
        code_version=skeltools.__version__,
        libraries=results.library_versions(),
        device=device_name(task.device),
        seconds=round(seconds, 3),
        features=task.features_from,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        partial=task.limit is not None,
        limit=task.limit,
        leak=0 if protocol.may_have_seen else len(leak.rows),
        scores="",
        notes=notes,
    )
    measures = [record.top1, record.top5, record.mean_class, *record.metrics.values()]
    if not all(math.isfinite(value) for value in measures):
        raise RunError(f"Protocol '{protocol.name}' gave a measure that is not finite.")
    return results.named(record)


def _keep(record: Record, task: Task, outcome: Outcome) -> Record:
    if task.results_dir is None:
        return record
    rows = task.test_rows if outcome.test_rows is None else outcome.test_rows
    layer = outcome.classifier
    side = results.Side(
        scores=outcome.scores.numpy(),
        labels=task.labels(rows).numpy(),
        names=[task.file.names[row] for row in rows],
        classes=list(task.file.classes),
        weight=None if layer is None else layer.weight.float().numpy(),
        bias=None if layer is None else layer.bias.float().numpy(),
        guesses=outcome.guesses,
        salience=outcome.salience,
        held_scores=None if outcome.held is None else outcome.held.scores,
        held_labels=None if outcome.held is None else outcome.held.labels,
    )
    return results.write(record, task.results_dir, side)
