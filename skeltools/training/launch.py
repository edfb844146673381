"""Starting and continuing runs: from what a user asked for to a trained run folder."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from skeltools.errors import RunError, SkeltoolsError
from skeltools.files.writing import beside
from skeltools.progress import SILENT, Progress
from skeltools.runs import listing
from skeltools.runs.folder import Run, check_free, held, put_in_place
from skeltools.runs.settings import resolve_recipe
from skeltools.store import ClipFile
from skeltools.training.distributed import World, joined
from skeltools.training.engine import Trainer
from skeltools.training.memory import keep_freed_memory
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
        seed: Seed.
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
    seed: int
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
        signal: Number of the signal that interrupted it, or None when it is finished.
        is_main: Whether this process is the one that reports.
    """

    path: Path
    epoch: int
    step: int
    total: int
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
        signal=None if done else stop.signal or signal.SIGTERM,
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


def _open(
    request: Request, world: World, device: torch.device, stack: ExitStack, progress: Progress
) -> tuple[Run, ClipFile, _Final | None]:
    """Open or make the run, and hold its folder until `stack` ends."""
    if request.resume and (request.data / "run.json").exists():
        run = Run.open(request.data)
        stack.enter_context(held(run.path))
        return run, _data_of(run), None
    assert request.split is not None
    assert request.stream is not None
    assert request.out is not None
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
            method, backbone = resolved.values.method, resolved.values.model.backbone
            progress.message(
                f"No effect with method {method} and backbone {backbone}: {', '.join(resolved.idle)}."
            )
        wanted = {"split": request.split, "stream": request.stream, "seed": request.seed} | resolved.flat
        if continues:
            run = Run.open(request.out)
            there = {"split": run.split, "stream": run.stream, "seed": run.seed} | run.flat
            for key, value in wanted.items():
                if there.get(key) != value:
                    raise RunError(
                        f"{run.path} was started with {key} {_words(there.get(key))}, not {_words(value)}. "
                        f"Continue it with 'skeltools pretrain --resume {run.path}', or use --replace."
                    )
            stack.enter_context(held(run.path))
            return run, _data_of(run, file), None
        Trainer.check(resolved.values, file, request.split, request.seed, device)
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
            seed=request.seed,
            command=request.command,
        )
        stack.enter_context(held(final.staged))
    except BaseException:
        file.close()
        raise
    return run, file, final


def _data_of(run: Run, file: ClipFile | None = None) -> ClipFile:
    """Return the open data of a run that goes on: `file`, or else the file that the run names."""
    if run.kind != "pretrain":
        raise RunError(f"{run.path} holds imported weights; there is no training to continue.")
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
