"""Running protocols on subjects and recording the results."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import skeltools
from skeltools.analysis import metrics
from skeltools.environment import device_name, pick_device
from skeltools.errors import DataError, RunError, SettingError, did_you_mean
from skeltools.progress import SILENT, Progress
from skeltools.protocols.running import registry
from skeltools.protocols.running.base import DivergedError, Outcome
from skeltools.protocols.running.cache import FeatureCache
from skeltools.protocols.running.entrants import Origin, check_home
from skeltools.protocols.running.registry import Definition
from skeltools.protocols.running.task import Task
from skeltools.results import record as results
from skeltools.results.record import Record
from skeltools.runs.folder import preparation_of
from skeltools.settings import Resolved, parse_override
from skeltools.store import ClipFile

ALL = "all"
"""The word for every protocol that applies."""


@dataclass(frozen=True)
class Request:
    """What to evaluate and how.

    Attributes:
        origins: Runs or encoders.
        protocol: Name of a protocol, or `ALL`.
        subjects: Some of `skeltools.results.record.SUBJECTS`.
        data: Converted file; the run's own when None.
        target: Converted file of a transfer; `data` when None.
        split: Split; the run's own when None, else the file's first.
        seed: First seed of the protocol, and of the encoder where it is untrained; the run's own when None.
        seeds: How many seeds, one after the other.
        device: Word of ``--device``.
        recipe: Protocol recipe; the one named like the protocol when None.
        overrides: ``key=value`` strings.
        epochs: Value for every ``epochs`` of the protocols.
        batch_size: Clips a forward pass where nothing is trained.
        limit: Most clips of each side of a split.
        again: Whether `ALL` also runs what is recorded already.
        allow_mismatch: Whether a trained encoder may see clips of another length or preparation than it
            was trained on.
    """

    origins: Sequence[Origin]
    protocol: str
    subjects: Sequence[str] = (results.PRETRAINED,)
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
    allow_mismatch: bool = False


@dataclass
class Finished:
    """What a request gave.

    Attributes:
        records: Every record, those found already recorded among them, in the order of work.
        skipped: Names of the protocols that did not apply, by the reason.
        reused: Evaluations that were recorded already.
    """

    records: list[Record] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    reused: int = 0


def run(request: Request, progress: Progress = SILENT) -> Finished:
    """Run what a request asks for; each evaluation is recorded when it is done.

    Raises:
        SkeltoolsError: A run, the data, a protocol or a setting is not usable. Evaluations that ended
            before stay recorded.
    """
    return _Work(request, progress).run()


class _Work:
    def __init__(self, request: Request, progress: Progress) -> None:
        self.request, self.progress = request, progress
        self.whole = request.protocol == ALL
        names = [name for name in registry.PROTOCOLS if name != "semi"] if self.whole else [request.protocol]
        self.definitions = [registry.get(name) for name in names]
        if self.whole and request.recipe is not None:
            raise SettingError("--recipe fits one protocol; with all, use --set PROTOCOL.KEY=VALUE.")
        if request.target is not None and all(item.family != "transfer" for item in self.definitions):
            raise SettingError(
                f"Protocol '{self.definitions[0].name}' goes to no other file, so it takes no --target; "
                "transfer does. Give the file to evaluate on as --data."
            )
        for origin in request.origins:
            check_home(origin)
        self.overrides = self._by_family(request.overrides)
        self.device = pick_device(request.device)
        self.done = Finished()
        self.known: dict[Path, list[Record]] = {}

    def _by_family(self, overrides: Sequence[str]) -> dict[str, list[str]]:
        """Share out ``--set`` texts; a protocol alone takes them all and refuses what it does not know."""
        if not self.whole:
            return {self.definitions[0].family: list(overrides)}
        found: dict[str, list[str]] = {definition.family: [] for definition in self.definitions}
        for text in overrides:
            key, _ = parse_override(text)
            family = key.partition(".")[0]
            if family not in found:
                raise SettingError(f"Unknown setting '{key}' (--set).{did_you_mean(family, found)}")
            found[family].append(text)
        return found

    def run(self) -> Finished:
        single = [definition for definition in self.definitions if definition.family != "ensemble"]
        joined = [definition for definition in self.definitions if definition.family == "ensemble"]
        goal = self.request.target or (None if self.whole else self.request.data)
        for origin in self.request.origins if single else ():
            with self._open(self.request.data or origin.data, origin) as file, ExitStack() as stack:
                target = None if goal is None else stack.enter_context(self._open(goal, origin))
                for subject in self.request.subjects:
                    for seed in self._seeds(origin):
                        source = origin.source(subject, seed)
                        own = self._task(file, origin, source, seed)
                        other = self._task(target or file, origin, source, seed)
                        other.target = target is not None
                        for definition in single:
                            self._one(definition, other if definition.family == "transfer" else own)
        for definition in joined:
            self._joined(definition)
        return self.done

    def _seeds(self, origin: Origin) -> range:
        first = origin.seed if self.request.seed is None else self.request.seed
        return range(first, first + self.request.seeds)

    def _open(self, path: Path | None, origin: Origin) -> ClipFile:
        if path is None:
            raise DataError(f"{origin.name} names no data of its own. Give the converted file: --data FILE")
        if path == origin.data and not path.exists():
            raise DataError(
                f"{origin.name} needs the data it was pretrained on, and {path} does not exist. If the file "
                "was moved, give its new place: --data FILE"
            )
        file = ClipFile(path)
        trained = results.PRETRAINED in self.request.subjects
        if origin.misfit is not None and trained and not self.request.allow_mismatch:
            problem = origin.misfit(file)
            if problem is not None:
                file.close()
                raise DataError(problem)
        return file

    def _task(self, file: ClipFile, origin: Origin, source: Any, seed: int) -> Task:
        split = self.request.split
        if split is None:
            split = origin.split if origin.split in file.splits else None
        if split is None:
            if not file.splits:
                raise DataError(f"{file.path} has no split, so nothing can be evaluated on it.")
            split = file.splits[0]
        return Task(
            file=file,
            split=split,
            stream=origin.stream,
            source=replace(source, frames=None) if self.request.allow_mismatch else source,
            seed=seed,
            device=self.device,
            batch_size=self.request.batch_size,
            limit=self.request.limit,
            cache=FeatureCache(origin.cache_dir),
            results_dir=origin.results_dir,
            progress=self.progress,
        )

    def _one(self, definition: Definition, task: Task) -> None:
        """Run one protocol on one task, unless it does not apply or is recorded already."""
        settings = self._settings(definition, task)
        section = definition.section(settings.values)
        reason = self._reason(definition, task, section)
        if reason is not None:
            if not self.whole:
                names = (str(task.file.path), *(one.source.name for one in (task, *task.members.values())))
                raise SettingError(f"{_sentence(reason, names)}.")
            # That the supervised baseline is one of finetuning alone is no news about the data.
            if task.subject != results.SUPERVISED:
                self._skip(definition, reason)
            return
        key = results.key_of(_identity(definition, task, settings))
        if self.whole and not self.request.again:
            found = [record for record in self._recorded(task.results_dir) if record.key == key]
            if found and len(found) == found[0].outcomes:
                self.done.records += found
                self.done.reused += 1
                return
        began = time.monotonic()
        try:
            outcomes = definition.module.run(task, section)
        except DivergedError as error:
            if not self.whole:
                raise
            self._skip(
                definition, f"{task.source.name}, {task.subject}, seed {task.seed}: {error}".rstrip(".")
            )
            return
        finally:
            self.progress.finish()
        seconds = time.monotonic() - began
        for outcome in outcomes:
            record = _record(definition, task, settings, outcome, key, len(outcomes), seconds)
            self.done.records.append(_keep(record, task, outcome))

    def _skip(self, definition: Definition, reason: str) -> None:
        names = self.done.skipped.setdefault(reason, [])
        if definition.name not in names:
            names.append(definition.name)

    def _settings(self, definition: Definition, task: Task) -> Resolved[Any]:
        recipe = self.request.recipe
        if recipe is None and task.subject == results.SUPERVISED and definition.family == "finetune":
            recipe = "supervised"
        options = {}
        if self.request.epochs is not None:
            keys = definition.epoch_keys
            if not keys and not self.whole:
                raise SettingError(f"Protocol '{definition.name}' trains nothing, so it takes no --epochs.")
            options = dict.fromkeys(keys, self.request.epochs)
        return definition.resolve(_context(task), recipe, self.overrides[definition.family], options)

    def _reason(self, definition: Definition, task: Task, section: Any) -> str | None:
        if task.subject == results.SUPERVISED and definition.family not in ("finetune", "ensemble"):
            return "the supervised baseline belongs to finetune"
        skip = getattr(definition.module, "skip", None)
        return None if skip is None else skip(task, section)

    def _recorded(self, folder: Path | None) -> list[Record]:
        """Return what a results folder held when it was first asked for, with side files in place."""
        if folder is None:
            return []
        if folder not in self.known:
            self.known[folder] = [
                record for record in results.read_all(folder) if (folder / record.scores).exists()
            ]
        return self.known[folder]

    def _joined(self, definition: Definition) -> None:
        """Run the ensemble of each group of streams."""
        for subject in self.request.subjects:
            groups = list(self._groups(subject))
            if not groups:
                self._no_group(definition, subject)
            for members in groups:
                with ExitStack() as stack:
                    tasks: dict[str, Task] = {}
                    for stream, (origin, seed) in members.items():
                        file = stack.enter_context(self._open(self.request.data or origin.data, origin))
                        tasks[stream] = self._task(file, origin, origin.source(subject, seed), seed)
                    first = next(iter(tasks.values()))
                    stream = "3s" if len(tasks) == 3 else "+".join(tasks)
                    name = " + ".join(dict.fromkeys(member.source.name for member in tasks.values()))
                    first = Task(
                        file=first.file, split=first.split, stream=stream,
                        source=replace(first.source, name=name),
                        seed=first.seed, device=first.device, batch_size=first.batch_size, limit=first.limit,
                        cache=first.cache, results_dir=first.results_dir, members=tasks,
                        progress=self.progress,
                    )  # fmt: skip
                    self._one(definition, first)

    def _no_group(self, definition: Definition, subject: str) -> None:
        reason = "an ensemble needs two or three streams. Give a run of each: RUN RUN RUN"
        if not self.whole:
            raise RunError(_sentence(reason))
        self._skip(definition, reason)

    def _groups(self, subject: str) -> Iterator[dict[str, tuple[Origin, int]]]:
        """Yield the origins by stream that differ in nothing else: same data, split and seed.

        Raises:
            RunError: Two runs of one stream would fit a group.
        """
        groups: dict[tuple[Any, ...], dict[str, tuple[Origin, int]]] = {}
        for origin in self.request.origins:
            for seed in self._seeds(origin):
                group = groups.setdefault((self.request.data or origin.data, origin.split, seed), {})
                if origin.stream in group:
                    raise RunError(
                        f"{group[origin.stream][0].name} and {origin.name} are both of stream "
                        f"{origin.stream} and seed {seed}. Name one run a stream for an ensemble."
                    )
                group[origin.stream] = origin, seed
        order = {stream: place for place, stream in enumerate(("joint", "motion", "bone"))}
        for group in groups.values():
            if len(group) > 1:
                yield dict(sorted(group.items(), key=lambda item: order[item[0]]))


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


def _identity(definition: Definition, task: Task, settings: Resolved[Any]) -> dict[str, Any]:
    """Return what an evaluation depends on."""
    parts = {
        "protocol": definition.name,
        "subject": task.subject,
        "settings": _plain(settings.flat),
        "data": task.file.digest,
        "split": task.split,
        "stream": task.stream,
        "encoder": {name: member.encoder_digest for name, member in task.members.items()}
        or task.encoder_digest,
        "seed": task.seed,
        "limit": task.limit,
    }
    extra = getattr(definition.module, "identity", None)
    return parts if extra is None else parts | {"extra": extra(task, definition.section(settings.values))}


def _plain(flat: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in flat.items()}


def _record(
    definition: Definition,
    task: Task,
    settings: Resolved[Any],
    outcome: Outcome,
    key: str,
    outcomes: int,
    seconds: float,
) -> Record:
    file, source = task.file, task.source
    train_rows = task.train_rows if outcome.train_rows is None else outcome.train_rows
    test_rows = task.test_rows if outcome.test_rows is None else outcome.test_rows
    scores, labels = outcome.scores, task.labels(test_rows)
    by_class = metrics.per_class(scores, labels)
    known = source.pretraining
    notes = list(outcome.notes)
    context = _context(task)
    if known is not None and known.note:
        notes.append(known.note)
    if known is not None and known.data_digest not in (None, file.digest) and definition.family != "transfer":
        notes.append("The encoder was pretrained on another file than the one evaluated.")
    if settings.title == definition.resolve(context).title:
        notes += definition.notes(context)
    record = Record(
        version=results.RECORD_VERSION,
        key=key,
        outcomes=outcomes,
        protocol=definition.name,
        variant=outcome.variant,
        subject=task.subject,
        encoder=source.name,
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
        train_clips=len(train_rows),
        train_per_class=torch.bincount(task.labels(train_rows), minlength=task.num_classes).tolist(),
        test_clips=len(test_rows),
        num_classes=task.num_classes,
        settings=_plain(settings.flat),
        origin=settings.origin,
        recipe=settings.title,
        pretrain_settings=source.settings,
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
        scores="",
        notes=notes,
    )
    measures = [record.top1, record.top5, record.mean_class, *record.metrics.values()]
    if not all(math.isfinite(value) for value in measures):
        raise RunError(f"Protocol '{definition.name}' gave a measure that is not finite.")
    return results.named(record)


def _keep(record: Record, task: Task, outcome: Outcome) -> Record:
    if task.results_dir is None:
        return record
    rows = task.test_rows if outcome.test_rows is None else outcome.test_rows
    layer = outcome.classifier
    side = results.Side(
        scores=outcome.scores.float().numpy(),
        labels=task.labels(rows).numpy(),
        names=[task.file.names[row] for row in rows],
        classes=list(task.file.classes),
        weight=None if layer is None else layer.weight.float().numpy(),
        bias=None if layer is None else layer.bias.float().numpy(),
    )
    return results.write(record, task.results_dir, side)
