"""Starting and continuing runs: from what a user asked for to a trained run folder."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import numpy as np
import torch

from skeltools.errors import OutputError, RunError, SettingError, SkeltoolsError, counted
from skeltools.files.writing import beside, check_writable
from skeltools.methods.registry import find_method
from skeltools.models.sizes import on_meta
from skeltools.progress import SILENT, Progress, Silent
from skeltools.runs import checkpoint, listing, log
from skeltools.runs.folder import Run, check_free, held, is_held, put_in_place
from skeltools.runs.settings import BASE_RECIPE, PretrainSettings, pretrain_schema, resolve_recipe
from skeltools.settings import checked, parse_override, recipe_values
from skeltools.store import ClipFile
from skeltools.training.distributed import World, joined, started
from skeltools.training.engine import Trainer
from skeltools.training.memory import keep_freed_memory
from skeltools.training.schedule import learning_rate
from skeltools.transforms.streams import check_stream


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Attributes:
        data: Converted file; with `resume` it may be the run folder instead.
        split: Split, None where `data` is a run folder.
        stream: Stream, likewise.
        out: Run folder, likewise.
        recipe: Recipe, None for the default.
        options: Settings from short options by dotted key; None values are skipped.
        overrides: ``key=value`` texts.
        seed: Seed; None for 0, or where a run goes on for its own.
        replace: Whether a run at `out` may be deleted.
        resume: Whether a run at `out` is continued.
        command: The command line, for the record.
        workers: Processes that read clips where these do not fit the device.
    """

    data: Path
    split: str | None
    stream: str | None
    out: Path | None
    recipe: str | None
    options: Mapping[str, Any]
    overrides: tuple[str, ...]
    seed: int | None
    replace: bool
    resume: bool
    command: str
    workers: int = 2


@dataclass(frozen=True)
class Outcome:
    """How it ended.

    Attributes:
        path: The run folder.
        epoch: Epochs finished.
        step: Steps done.
        total: Steps the run has.
        finished: Whether every epoch is done.
        signal: Number of the signal that came, or None. One at the very end leaves the run finished.
        is_main: Whether this process is the one that reports.
    """

    path: Path
    epoch: int
    step: int
    total: int
    finished: bool
    signal: int | None
    is_main: bool


class Stop:
    """Remembers the first SIGINT or SIGTERM.

    Attributes:
        signal: Its number, or None.
    """

    signal: int | None = None

    def __call__(self) -> bool:
        return self.signal is not None


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Catch the first SIGINT or SIGTERM; a second has its usual effect. Does nothing off the main thread."""
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.getsignal(kind) for kind in kinds}

    def restore() -> None:
        for kind, handler in before.items():
            signal.signal(kind, handler)

    def note(number: int, frame: FrameType | None) -> None:
        stop.signal = number
        restore()

    for kind in kinds:
        signal.signal(kind, note)
    try:
        yield stop
    finally:
        restore()


def launch(request: Request, device: torch.device, progress: Progress) -> Outcome:
    """Start or continue a run and train it, in one process or in those that ``torchrun`` started.

    Raises:
        SkeltoolsError: Data, settings or run folder are not usable; nothing is written then.
    """
    if device.type == "cpu":
        keep_freed_memory()
    with joined(device) as (world, device), stop_on_signals() as stop, ExitStack() as stack:
        if world.is_main:
            run, file, final = _open(request, world, device, stack, progress)
            world.share((run.path, file.path, None if final is None else final.path))
        else:
            path, data, final = world.share(None)
            run, file = Run.open(path), ClipFile(data)
            run = run if final is None else replace(run, path=final)
            progress = SILENT
        with file:
            trainer = Trainer(
                run,
                file,
                device,
                stop=stop,
                progress=progress,
                world=world,
                workers=request.workers,
                publish=final.publish if world.is_main and final is not None else None,
            )
            with _noting_the_end(trainer):
                done = trainer.train()
    return Outcome(
        path=trainer.run.path,
        epoch=trainer.epoch,
        step=trainer.step,
        total=trainer.total_steps,
        finished=done,
        signal=stop.signal if done else stop.signal or signal.SIGTERM,
        is_main=world.is_main,
    )


@contextmanager
def _noting_the_end(trainer: Trainer) -> Iterator[None]:
    """Let the run folder say how training ended, for whoever lists runs."""
    if not trainer.world.is_main or trainer.finished:
        yield
        return
    listing.begin(trainer.run.path)

    def note(state: str, reason: str = "") -> None:
        listing.end(trainer.run.path, state, epoch=trainer.epoch, step=trainer.step, reason=reason)

    try:
        yield
    except BaseException as error:
        with suppress(OSError, SkeltoolsError):  # such as a full disk, which may be why
            name = type(error).__name__
            note(listing.FAILED, str(error) if isinstance(error, SkeltoolsError) else f"{name}: {error}")
        raise
    note(listing.FINISHED if trainer.finished else listing.STOPPED)


@dataclass(frozen=True)
class _Final:
    """Where a new run goes once its first step is done; until then it lies beside, and what is there stays.

    Attributes:
        path: The folder.
        staged: The run's folder until then.
    """

    path: Path
    staged: Path

    def publish(self) -> Path:
        """Put the run in its place, with what others laid into the old folder; return the place."""
        put_in_place(self.staged, self.path)
        return self.path


def _unused_bodies(file: ClipFile) -> str | None:
    """Return what to do about bodies that no clip of the file has, which are stored and computed all the same."""
    most, stored = max(1, int(np.max(file.column("bodies"), initial=0))), file.form.bodies
    if most == stored:
        return None
    return (
        f"No clip of {file.path} has more than {most} of the {counted(stored, 'body', 'bodies')} stored, and "
        f"all are computed. 'skeltools "
        f"derive {file.path} OUT --bodies {most}' makes a file without them: faster, and other numbers, since "
        "features are means over bodies."
    )


def _open(
    request: Request, world: World, device: torch.device, stack: ExitStack, progress: Progress
) -> tuple[Run, ClipFile, _Final | None]:
    """Open or make the run, and hold its folder until `stack` ends."""
    if request.resume and (request.data / "run.json").exists():
        run = Run.open(request.data)
        stack.enter_context(held(run.path))
        file = _data_of(run)
        try:
            asked = _said(run, request, progress)
            return _going_on(run, asked, asked, request, progress, file), file, None
        except BaseException:
            file.close()
            raise
    assert request.split is not None
    assert request.stream is not None
    assert request.out is not None
    seed = request.seed or 0
    continues = request.resume and (request.out / "run.json").exists()
    if not continues:
        check_free(request.out, request.replace)
    check_stream(request.stream)
    file = ClipFile(request.data)
    try:
        file.rows(request.split, "train")
        resolved = resolve_recipe(
            request.recipe,
            dataset=file.dataset.name,
            split=request.split,
            stream=request.stream,
            overrides=request.overrides,
            options=request.options,
        )
        if resolved.idle:
            progress.message(_idle(resolved.values, resolved.idle))
        for told in resolved.unused:
            progress.message(told)
        if continues:
            run = Run.open(request.out)
            stack.enter_context(held(run.path))
            wanted = {"split": request.split, "stream": request.stream, "seed": seed} | resolved.flat
            given = [key for key, where in resolved.origin.items() if where in GIVEN]
            file = _data_of(run, file)
            return _going_on(run, wanted, given, request, progress, file), file, None
        Trainer.check(resolved.values, file, request.split, seed, device)
        world.slice(resolved.values.train.batch_size)
        stack.enter_context(held(request.out))
        check_free(request.out, request.replace)  # nobody has begun one meanwhile
        final = _Final(request.out, stack.enter_context(beside(request.out)))
        run = Run.create(
            final.staged,
            resolved,
            file=file,
            split=request.split,
            stream=request.stream,
            seed=seed,
            command=request.command,
        )
        stack.enter_context(held(final.staged))
        if unused := _unused_bodies(file):
            progress.message(unused)
    except BaseException:
        file.close()
        raise
    return run, file, final


GIVEN = ("option", "--set")
"""Where a setting comes from that somebody gave by hand."""


def _idle(settings: PretrainSettings, keys: Iterable[str]) -> str:
    return (
        f"No effect with method {settings.method} and backbone {settings.model.backbone}: {', '.join(keys)}."
    )


def _said(run: Run, request: Request, progress: Progress) -> dict[str, Any]:
    """Return what a command that names a run, and no more, says of it: fields and settings with their values.

    Raises:
        SettingError: An unknown setting or recipe, or a value that does not fit.
    """
    fields: dict[str, Any] = {"split": request.split, "stream": request.stream, "seed": request.seed}
    found = {key: value for key, value in fields.items() if value is not None}
    if request.out is not None and request.out.resolve() != run.path.resolve():
        found["--out"] = request.out
    schema = pretrain_schema(run.flat)
    said: list[tuple[str, Any, str]] = []
    if request.recipe is not None:
        context = {"dataset": run.dataset, "split": run.split, "stream": run.stream}
        said += [
            (key, value, where)
            for key, value, where in recipe_values(BASE_RECIPE, request.recipe, context)
            if run.origin.get(key) not in GIVEN and key in schema.known
        ]
    said += [(key, value, "option") for key, value in request.options.items() if value is not None]
    said += [(*parse_override(text), "--set") for text in request.overrides]
    values = {key: checked(schema, key, value, where) for key, value, where in said}
    idle = [key for key in values if key not in schema.known]
    if idle:
        progress.message(_idle(run.settings, idle))
    return found | {key: value for key, value in values.items() if key not in idle}


def _going_on(
    run: Run,
    wanted: Mapping[str, Any],
    given: Iterable[str],
    request: Request,
    progress: Progress,
    file: ClipFile,
) -> Run:
    """Return the run that goes on, with more epochs where they were asked for.

    Args:
        run: The run, held.
        wanted: Fields and settings as the command has them.
        given: Which of them were given by hand; more epochs must be.
        request: The command.
        progress: Receiver of the message on epochs that are added.
        file: The run's data.

    Raises:
        RunError: The run was started with other values; the message names them.
    """
    there = {"split": run.split, "stream": run.stream, "seed": run.seed, "--out": run.path} | run.flat
    differing = {key: value for key, value in wanted.items() if there.get(key) != value}
    epochs, before = differing.pop("train.epochs", None), run.settings.train.epochs
    if epochs is not None and not ("train.epochs" in given and epochs > before):
        differing["train.epochs"], epochs = epochs, None
    if differing:
        words = [f"{key} {_words(there.get(key))}, not {_words(value)}" for key, value in differing.items()]
        more = f"; and {counted(len(words) - _MOST, 'setting')} more" if len(words) > _MOST else ""
        hint = ""
        if differing.keys() == {"train.epochs"}:
            hint = " Epochs can be added to a run, not taken away."
            if run.extended:
                hint = f" It had {run.extended[0]['before']} at first; more were added.{hint}"
        raise RunError(
            f"{run.path} was started with {'; '.join(words[:_MOST])}{more}.{hint} "
            f"Continue it with 'skeltools pretrain --resume {run.path}', or use --replace."
        )
    if epochs is None:
        return run
    steps = Trainer.check(run.settings, file, run.split, run.seed)[1]
    longer = run.extend(epochs, request.command)
    step = longer.extended[-1]["step"]
    rates = (learning_rate(one.settings.train, step, steps) for one in (run, longer))
    old, new = (f"{rate:.3g}" for rate in rates)
    progress.message(
        f"{run.path} goes from {before} to {counted(epochs, 'epoch')}. From step {step + 1} on, the learning "
        f"rate and other "
        f"schedules are those of a run of {counted(epochs, 'epoch')}: learning rate "
        f"{new}{'' if old == new else f', not {old}'}."
    )
    return longer


_MOST = 5
"""Most contradictions that a message names."""


def _data_of(run: Run, file: ClipFile | None = None) -> ClipFile:
    """Return the open data of a run that goes on: `file`, or else the file that the run names."""
    if run.kind != "pretrain":
        raise RunError(f"{run.path} holds imported weights; there is no training to continue.")
    run.check_kept()
    check_writable(run.path / "run.json")
    path = file.path if file else run.data or Path()
    if not path.exists():
        raise RunError(
            f"{run.path} needs the data it was started on, and {path} does not exist. If the file was moved, "
            "give the run's first command again with the new path and --resume; "
            f"{run.path / 'run.json'} has it under 'command'."
        )
    file = file or ClipFile(path)
    if file.digest != run.digest:
        file.close()
        raise RunError(
            f"{run.path} was started on other data than {path} (content digest {run.digest[:12]}, "
            f"not {file.digest[:12]}). Give the same file, or use --replace."
        )
    return file


def _words(value: Any) -> str:
    return str(list(value)) if isinstance(value, tuple) else str(value)


@dataclass(frozen=True)
class Rehearsal:
    """What a request would do, found out without writing anything at its place.

    Attributes:
        path: The run folder.
        run: The run, as it would be; of a run that goes on, as it is.
        clips: Training clips.
        data: The converted file.
        weights: Trained weights.
        steps: Steps of the whole run.
        done: Steps of them that are done.
        step_seconds: Seconds of a step; None where a run that goes on has not logged any.
        timed: Steps that were timed; 0 where they are those that the run logged.
        checkpoint_bytes: Bytes of a checkpoint.
        free_bytes: Bytes free on the disk of the run folder.
        memory: Most bytes of the GPU in use; None on a CPU.
        messages: What a start would tell.
    """

    path: Path
    run: Run
    clips: int
    data: Path
    weights: int
    steps: int
    done: int
    step_seconds: float | None
    timed: int
    checkpoint_bytes: int
    free_bytes: int
    memory: int | None
    messages: tuple[str, ...]

    @property
    def seconds(self) -> float | None:
        """Seconds that are left, without the kNN monitor."""
        return None if self.step_seconds is None else self.step_seconds * (self.steps - self.done)


class _Told(Silent):
    """Keeps messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


def rehearse(request: Request, device: torch.device) -> Rehearsal:
    """Check all that a start checks and time a few steps, in a folder of the system's that is removed at once.

    Of a run that goes on, run folder, data and last checkpoint are checked, and the time is what its log says.

    Raises:
        SkeltoolsError: What `launch` would raise.
    """
    if not started().alone:
        raise SettingError("--dry-run needs one process alone. Start it without torchrun.")
    told = _Told()
    if request.resume:
        return _rehearse_resumed(request, told)
    assert request.out is not None
    check_free(request.out, request.replace)
    disk = _disk_of(request.out)
    if device.type == "cpu":
        keep_freed_memory()
    with (
        TemporaryDirectory(prefix="skeltools-") as folder,
        joined(device) as (world, place),
        ExitStack() as stack,
    ):
        elsewhere = replace(request, out=Path(folder) / request.out.name)
        run, file, _ = _open(elsewhere, world, place, stack, told)
        with file:
            trainer = Trainer(run, file, place, progress=told, world=world, workers=request.workers)
            seconds, timed = trainer.measure()
            trainer.save()
            size = run.last_checkpoint().stat().st_size
            memory = torch.cuda.max_memory_allocated(place) if place.type == "cuda" else None
            return Rehearsal(
                path=request.out,
                run=replace(run, path=request.out),
                clips=len(trainer.rows),
                data=file.path,
                weights=sum(weight.numel() for weight in trainer.model.parameters() if weight.requires_grad),
                steps=trainer.total_steps,
                done=0,
                step_seconds=seconds,
                timed=timed,
                checkpoint_bytes=size,
                free_bytes=disk,
                memory=memory,
                messages=tuple(told.messages),
            )


def _rehearse_resumed(request: Request, told: _Told) -> Rehearsal:
    asked = [key for key, value in request.options.items() if value is not None]
    if not (request.data / "run.json").exists() or asked or request.overrides or request.recipe:
        raise SettingError("With --resume, --dry-run takes the run folder alone: --resume RUN --dry-run")
    run = Run.open(request.data)
    if is_held(run.path):
        raise OutputError(f"Another process is training in {run.path}. Wait for it, or end it.")
    train = run.settings.train
    with _data_of(run) as file:
        rows, per_epoch = Trainer.check(run.settings, file, run.split, run.seed)
        path, data = run.last_checkpoint(), file.path
        saved = checkpoint.load(path)
        run.check_checkpoint(saved, path)
    curves = log.read(run.log_path) if run.log_path.exists() else None
    speeds = None if curves is None else curves.values.get("clips_per_second")
    step_seconds = None if speeds is None else float(train.batch_size / np.nanmedian(speeds[-100:]))
    method = on_meta(lambda: find_method(run.settings.method).create(run.settings, run.form, "joint"))
    return Rehearsal(
        path=run.path,
        run=run,
        clips=len(rows),
        data=data,
        weights=sum(weight.numel() for weight in method.parameters() if weight.requires_grad),
        steps=per_epoch * train.epochs,
        done=saved.step,
        step_seconds=step_seconds,
        timed=0,
        checkpoint_bytes=path.stat().st_size,
        free_bytes=_disk_of(run.path),
        memory=None,
        messages=tuple(told.messages),
    )


def _disk_of(path: Path) -> int:
    """Return the bytes free where a folder will be made.

    Raises:
        OutputError: It cannot be made there.
    """
    there = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise OutputError(
            f"{path} cannot be written: {there} is {'read-only' if there.is_dir() else 'a file'}."
        )
    return shutil.disk_usage(there).free
