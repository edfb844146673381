"""The real commands on tiny data, what an undisturbed run of each gives, and what a fault left."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import moments
import numpy as np
from clipfiles import content
from reproducing import ONE_STREAM, records

Words = list[str]

SETTINGS = (
    "model.width=8", "model.dim=32", "model.embedding=16", "queue.size=64", "train.log_every=1",
    "train.save_every=1", "monitor.every=2", "monitor.k=3", "model.dropout=0.1",
)  # fmt: skip
EPOCHS = 3
WATCHED = str(Path(__file__).parents[1] / "reproduce" / "watched.py")
"""The command line with its working process stopped at a step."""

TIMES = ("created", "seconds", "features")
"""Fields of a record that may differ: when, how long, and whether features came from the cache."""


class Child:
    """A command in a process group of its own, its output in `log`.

    Args:
        words: What stands after ``skeltools``.
        log: Where stdout and stderr go.
        fork: Whether to fork this process, which has imported everything, in place of starting Python anew.
        before: Called in the new process before the command.
        env: Further environment of a process that is started anew.
        step: The step of skeltools' own code at which it stops until `go_on`; 0: it only counts its steps,
            None: not even that.
    """

    def __init__(
        self,
        words: Sequence[object],
        log: Path,
        fork: bool,
        before: Callable[[], None] | None = None,
        env: dict[str, str] | None = None,
        step: int | None = None,
    ) -> None:
        self.words, self.log = [str(word) for word in words], log
        self.status: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._told, told = os.pipe()
        go, self._go = os.pipe()
        try:
            self._start(fork, before, env, (step, told, go))
        finally:
            os.close(told)
            os.close(go)

    def _start(
        self,
        fork: bool,
        before: Callable[[], None] | None,
        env: dict[str, str] | None,
        watched: tuple[int | None, int, int],
    ) -> None:
        if fork:
            self.pid = os.fork()
            if self.pid == 0:
                self._live(before, *watched)
            with contextlib.suppress(OSError):  # as a terminal does, from both sides
                os.setpgid(self.pid, self.pid)
            return
        program = ["-m", "skeltools"] if watched[0] is None else [moments.__file__, *map(str, watched)]
        with self.log.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, *program, *self.words],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=before, pass_fds=watched[1:],
                start_new_session=True, env=os.environ | (env or {}),
            )  # fmt: skip
        self.pid = self._process.pid

    def _live(self, before: Callable[[], None] | None, step: int | None, told: int, go: int) -> None:
        """The forked process: the command line's own function, then the end."""
        status = 70
        steps = moments.Steps.telling(step or 0, told, go)
        try:
            os.setpgid(0, 0)
            out = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out, 1)
            os.dup2(out, 2)
            if before is not None:
                before()
            from skeltools.cli.main import main

            sys.argv = ["skeltools", *self.words]
            if step is not None:
                steps.begin()
            try:
                main(self.words, prog_name="skeltools")
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else int(end.code is not None)
            except KeyboardInterrupt:
                status = 128 + signal.SIGINT  # outside the command line's own function
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException:
            traceback.print_exc()
        finally:
            os.write(told, str(steps.end()).encode())
            os._exit(status)

    def stopped(self) -> bool:
        """Wait until it stops at its step, or has ended; return whether it stopped."""
        return os.read(self._told, 1) == b"."

    def go_on(self) -> None:
        """Let it go on from its step."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._go, b".")

    def send(self, kind: signal.Signals) -> None:
        """Send a signal to the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, kind)

    def wait(self, seconds: float = 1200) -> int:
        """Return the exit status, negative for a signal."""
        deadline = time.monotonic() + seconds
        while self.status is None:
            if self._process is not None:
                self.status = self._process.poll()
            else:
                done, status = os.waitpid(self.pid, os.WNOHANG)
                self.status = os.waitstatus_to_exitcode(status) if done else None
            if self.status is None:
                if time.monotonic() > deadline:
                    self.send(signal.SIGKILL)
                    raise TimeoutError(f"{self.words} did not end within {seconds} s")
                time.sleep(0.002)
        return self.status

    def steps(self) -> int:
        """Return how many steps it took, when it has ended and only counted them."""
        return int(os.read(self._told, 64))

    def __del__(self) -> None:
        os.close(self._told)
        os.close(self._go)

    @property
    def said(self) -> str:
        """Everything it printed."""
        return self.log.read_text(errors="replace")


class Planned(Child):
    """``reproduce``, begun anew; its `step` is one of the process that it starts for its work.

    That process leaves the group for one of its own and would go on without the starter for a moment. A kill meets
    both, as when the machine stops; other signals come from a terminal and so to the starter's group alone.
    """

    def _start(
        self,
        fork: bool,
        before: Callable[[], None] | None,
        env: dict[str, str] | None,
        watched: tuple[int | None, int, int],
    ) -> None:
        self._pipe, self._text, self._worker = self.log.with_suffix(f"{self.log.suffix}.told"), "", 0
        step, program = watched[0], ["-m", "skeltools"]
        if step is not None:
            os.mkfifo(self._pipe)
            self._reader = os.open(self._pipe, os.O_RDONLY | os.O_NONBLOCK)
            program = [WATCHED, "worker", str(step), str(self._pipe)]
        with self.log.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, *program, *self.words],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=before, start_new_session=True,
                env=os.environ | (env or {}),
            )  # fmt: skip
        self.pid = self._process.pid

    def _heard(self) -> str:
        """Wait until the process that works says something, or the command has ended; return what."""
        assert self._process is not None
        while not self._text:
            ended = self._process.poll() is not None  # what it said before its end can still be read
            with contextlib.suppress(BlockingIOError):
                self._text = os.read(self._reader, 100).decode()
            if ended:
                break
            time.sleep(0.002)
        return self._text

    def stopped(self) -> bool:
        if not self._heard().startswith("at "):
            return False
        self._worker = int(self._text.split()[1])
        return True

    def send(self, kind: signal.Signals) -> None:
        super().send(kind)
        if kind == signal.SIGKILL and self._worker:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._worker, kind)

    def go_on(self) -> None:
        if self._worker:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._worker, signal.SIGCONT)

    def steps(self) -> int:
        """Return how many steps it took, less a twentieth: progress is sent by the clock, so that a few differ."""
        counted = int(self._heard().removeprefix("counted ") or 0)
        return counted - counted // 20

    def __del__(self) -> None:
        super().__del__()
        with contextlib.suppress(AttributeError):
            os.close(self._reader)


@dataclass
class State:
    """What lies in a folder after a fault.

    Attributes:
        partial: Files under a final name that cannot be read or are not what an undisturbed run gives.
        lost: Work done that the next run must do again, in the command's unit.
        left: Files under temporary names.
    """

    partial: list[str]
    lost: int
    left: list[str]


class Bench:
    """Data and undisturbed results.

    Args:
        root: An empty folder.
        fork: As for `Child`.
    """

    def __init__(self, root: Path, fork: bool) -> None:
        self.root, self.fork = root, fork
        self.raw, self.clips, self.run = root / "raw", root / "clips.h5", root / "run"
        self._count = 0
        self.must("synth", "ntu60", self.raw, "--clips", 60)
        self.must("convert", "ntu60", self.raw, self.clips, "--frames", 16)
        self.must("convert", "ntu60", self.raw, root / "older.h5", "--frames", 8)
        self.must(*self._pretrain(self.run))

    def start(
        self,
        words: Sequence[object],
        before: Callable[[], None] | None = None,
        env: dict[str, str] | None = None,
        step: int | None = None,
        kind: Callable[..., Child] | None = None,
    ) -> Child:
        """Start a command."""
        self._count += 1
        return (kind or Child)(words, self.root / f"log.{self._count}", self.fork, before, env, step)

    def must(
        self, *words: object, step: int | None = None, kind: Callable[..., Child] | None = None
    ) -> Child:
        """Run a command that must succeed."""
        child = self.start(words, step=step, kind=kind)
        if child.wait() != 0:
            raise AssertionError(f"{child.words} ended with {child.status}: {child.said}")
        return child

    def _pretrain(self, out: Path) -> list[object]:
        options = [word for setting in SETTINGS for word in ("--set", setting)]
        return [
            "pretrain", self.clips, "--split", "xsub", "--stream", "joint", "--recipe", "demo", "--epochs",
            EPOCHS, "--batch-size", 8, "--device", "cpu", "--out", out, *options,
        ]  # fmt: skip


class Command:
    """One command under test, in a folder per trial.

    Attributes:
        name: What it is called in the table.
        unit: Unit of lost work.
        interval: Most work that may be lost.
        copies: How often what it writes lies on the disk at once.
        kind: What its processes are.
        refusals: Exit statuses that say that it cannot go on.
        steps: How many steps of skeltools' own code an undisturbed run takes.
        written: Sizes of the files that it leaves new or changed.
    """

    name = unit = ""
    interval = 0
    copies = 1
    kind: type[Child] = Child
    refusals: tuple[int, ...] = (2,)

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.folder = bench.root / f"whole-{self.name.replace(' ', '-')}"
        self.folder.mkdir()
        self.prepare(self.folder)
        before = _files(self.folder)
        self.must(self.first(self.folder))
        self.whole = self.result(self.folder)
        again = bench.root / f"{self.folder.name}-again"
        again.mkdir()
        self.prepare(again)
        self.steps = self.must(self.first(again), step=0).steps()
        assert self.result(again) == self.whole, f"two undisturbed runs of {self.name} differ"
        shutil.rmtree(again)
        self.written = [found[0] for path, found in _files(self.folder).items() if before.get(path) != found]

    def start(
        self,
        words: Sequence[object],
        before: Callable[[], None] | None = None,
        env: dict[str, str] | None = None,
        step: int | None = None,
    ) -> Child:
        """Start the command."""
        return self.bench.start(words, before, env, step, self.kind)

    def must(self, words: Sequence[object], step: int | None = None) -> Child:
        """Run the command, which must succeed."""
        return self.bench.must(*words, step=step, kind=self.kind)

    def prepare(self, folder: Path) -> None:
        """Put into a trial's folder what the command needs there."""

    def first(self, folder: Path) -> list[object]:
        """Return the command."""
        raise NotImplementedError

    def again(self, folder: Path) -> list[object]:
        """Return the command that goes on after a fault."""
        raise NotImplementedError

    def result(self, folder: Path) -> Any:
        """Return what the command made, but for times."""
        raise NotImplementedError

    def state(self, folder: Path) -> State:
        """Look at what a fault left."""
        raise NotImplementedError


class Convert(Command):
    """``convert``: lost is what stands in the spool and not in its journal."""

    name, unit, interval = "convert", "clips", 32

    def first(self, folder: Path) -> list[object]:
        return ["convert", "ntu60", self.bench.raw, folder / "o.h5", "--frames", 16]

    def again(self, folder: Path) -> list[object]:
        return [*self.first(folder), "--resume"]

    def result(self, folder: Path) -> Any:
        return content(folder / "o.h5")

    def state(self, folder: Path) -> State:
        partial = []
        if (folder / "o.h5").exists():
            try:
                if self.result(folder) != self.whole:
                    partial.append("o.h5 (other content)")
            except OSError as error:
                partial.append(f"o.h5 ({error})")
        return State(partial, self._lost(folder / ".o.h5.partial"), _left(folder))

    def _lost(self, spool: Path) -> int:
        try:
            clips = np.fromfile(spool / "clips", np.uint8)
            journal = (spool / "journal").read_bytes().splitlines(keepends=True)
        except OSError:
            return 0
        size = 3 * 16 * 25 * 2 * 4
        written = int(clips[: len(clips) // size * size].reshape(-1, size).any(axis=1).sum())
        return max(0, written - sum(len(json.loads(line)) for line in journal if line.endswith(b"\n")))


class Pretrain(Command):
    """``pretrain``: lost is what the log has beyond the last checkpoint."""

    name, unit = "pretrain", "steps"

    def __init__(self, bench: Bench) -> None:
        super().__init__(bench)
        steps = [record["step"] for record in self.whole["log"] if record["kind"] == "step"]
        self.interval = max(steps) // EPOCHS

    def first(self, folder: Path) -> list[object]:
        return self.bench._pretrain(folder / "run")

    def again(self, folder: Path) -> list[object]:
        return [*self.first(folder), "--resume"]

    def result(self, folder: Path) -> Any:
        log = [json.loads(line) for line in (folder / "run/log.jsonl").read_text().splitlines()]
        for record in log:
            record.pop("clips_per_second", None)
        # The last one alone: which of those before it are kept depends on where a run was interrupted.
        last = max((folder / "run/checkpoints").glob("[!.]*"))
        return {"log": log, "last": last.name, "weights": _weights(last)}

    def state(self, folder: Path) -> State:
        run, partial, saved, logged = folder / "run", [], 0, 0
        for path in sorted(run.glob("checkpoints/*")):
            if path.name.startswith("."):
                continue
            try:
                _weights(path)
                saved = max(saved, int(path.stem.removeprefix("step-")))
            except Exception as error:
                partial.append(f"{path.name} ({error})")
        if (run / "run.json").exists():
            partial += _unreadable_json(run / "run.json")
        if (run / "log.jsonl").exists():
            lines = (run / "log.jsonl").read_text().splitlines(keepends=True)
            whole = lines if not lines or lines[-1].endswith("\n") else lines[:-1]
            try:
                logged = max((json.loads(line)["step"] for line in whole), default=0)
            except (ValueError, KeyError) as error:
                partial.append(f"log.jsonl ({error})")
        return State(partial, max(0, logged - saved), _left(folder))


class Eval(Command):
    """``eval --protocol linear``: an evaluation is done whole or not at all; features stay in the cache."""

    name, unit, interval = "eval", "evaluations", 1

    def prepare(self, folder: Path) -> None:
        shutil.copytree(self.bench.run, folder / "run")

    def first(self, folder: Path) -> list[object]:
        words = ["--protocol", "linear", "--epochs", 40, "--device", "cpu"]
        return ["eval", folder / "run", *words]

    again = first

    def result(self, folder: Path) -> Any:
        found = {}
        for path in sorted((folder / "run/results").iterdir()):
            if path.suffix == ".json":
                record = json.loads(path.read_text())
                found[path.name] = {key: value for key, value in record.items() if key not in TIMES}
                found[path.name]["encoder"] = Path(record["encoder"]).name
            elif path.suffix == ".npz":
                found[path.name] = _arrays(path)
        return found

    def state(self, folder: Path) -> State:
        partial = []
        run = folder / "run"
        for path in run.rglob("*"):
            hidden = any(part.startswith(".") for part in path.relative_to(run).parts)
            if hidden or path.suffix not in (".json", ".npz"):
                continue  # what is being written lies in a hidden folder, under the name it will have
            try:
                json.loads(path.read_text()) if path.suffix == ".json" else _arrays(path)
            except Exception as error:
                partial.append(f"{path.name} ({error})")
        for path in (folder / "run/results").glob("*.json"):
            if (
                not path.name.startswith(".")
                and not (path.parent / json.loads(path.read_text())["scores"]).exists()
            ):
                partial.append(f"{path.name} (no scores)")
        lost = 0 if any((folder / "run/results").glob("[!.]*.json")) else 1
        return State(partial, lost, _left(folder))


class Export(Command):
    """``export --replace`` over an export of other clips: the old one or the new one, never between."""

    unit, interval = "exports", 1

    def __init__(self, bench: Bench, to: str) -> None:
        self.to, self.name = to, f"export {to}"
        old = bench.root / f"older-{to}"
        bench.must("export", bench.root / "older.h5", old, "--to", to)
        self.old = _bytes(old)
        super().__init__(bench)

    def prepare(self, folder: Path) -> None:
        old = self.bench.root / f"older-{self.to}"
        (shutil.copytree if old.is_dir() else shutil.copyfile)(old, folder / "out")

    def first(self, folder: Path) -> list[object]:
        return ["export", self.bench.clips, folder / "out", "--to", self.to, "--replace"]

    again = first

    def result(self, folder: Path) -> Any:
        return _bytes(folder / "out")

    def state(self, folder: Path) -> State:
        found = _bytes(folder / "out")
        partial = (
            [] if found in (None, self.old, self.whole) else ["out (neither the old nor the new export)"]
        )
        return State(partial, int(found != self.whole), _left(folder))


class Reproduce(Command):
    """``reproduce`` of a tiny plan: lost is what a run's log has beyond its last checkpoint.

    No step that is noted as done is done again, nor is anything under a final name partial.
    """

    name, unit, interval, kind = "reproduce", "training steps", 3, Planned
    refusals = (1, 2)  # 1: some steps of the plan failed, each with its line

    def first(self, folder: Path) -> list[object]:
        plan = self.bench.root / "tiny.toml"
        plan.write_text(ONE_STREAM)
        return ["reproduce", plan, "--out", folder / "out", "--workers", 1]

    again = first

    def result(self, folder: Path) -> Any:
        out = folder / "out"
        return {
            "records": records(out),
            "scores": {path.name: _arrays(path) for path in sorted(out.glob("runs/*/results/*.npz"))},
            "data": {path.name: content(path) for path in sorted(out.glob("data/*.h5"))},
            "files": sorted(
                path.relative_to(out).as_posix()
                for path in out.rglob("*")
                if path.is_file() and "cache" not in path.parts and "checkpoints" not in path.parts
            ),
        }

    def state(self, folder: Path) -> State:
        out, partial, lost = folder / "out", [], 0
        for path in sorted(out.rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(out).parts)
            if hidden or not path.is_file():
                continue
            try:
                if path.suffix == ".json" or (path.parent.name == "steps" and path.suffix != ".failed"):
                    json.loads(path.read_text())
                elif path.suffix == ".npz":
                    _arrays(path)
                elif path.suffix == ".h5":
                    if content(path) != self.whole["data"][path.name]:
                        partial.append(f"{path.name} (other content)")
                elif path.parent.name == "checkpoints":
                    _weights(path)
            except Exception as error:
                partial.append(f"{path.relative_to(out)} ({error})")
        for log in out.glob("runs/*/log.jsonl"):
            lines = log.read_text().splitlines(keepends=True)
            steps = [json.loads(line)["step"] for line in lines if line.endswith("\n")]
            saved = [int(path.stem.removeprefix("step-")) for path in log.parent.glob("checkpoints/[!.]*")]
            lost = max(lost, max(steps, default=0) - max(saved, default=0))
        return State(partial, lost, _left(folder))


def _files(folder: Path) -> dict[Path, tuple[int, int, int]]:
    """Size, inode and time of change of each file: one that is written anew differs in these."""
    found = {path: path.stat() for path in folder.rglob("*") if path.is_file()}
    return {path: (item.st_size, item.st_ino, item.st_mtime_ns) for path, item in found.items()}


def _left(folder: Path) -> list[str]:
    """Names of what is there under a temporary name."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(".*"))


def _bytes(path: Path) -> dict[str, bytes] | None:
    """The content of a file or a folder's files; archives of arrays by array, for zip keeps the time."""
    if not path.exists():
        return None
    files = [path] if path.is_file() else sorted(item for item in path.rglob("*") if item.is_file())
    return {str(item.relative_to(path)): _no_times(item) for item in files}


def _no_times(path: Path) -> bytes:
    data = path.read_bytes()
    return pickle.dumps(_arrays(path)) if data[:2] == b"PK" else data


def _arrays(path: Path) -> dict[str, bytes]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name].tobytes() for name in archive.files}


def _weights(path: Path) -> dict[str, bytes]:
    from skeltools.runs import checkpoint

    return {name: value.numpy().tobytes() for name, value in checkpoint.load(path).model.items()}


def _unreadable_json(path: Path) -> list[str]:
    try:
        json.loads(path.read_text())
    except ValueError as error:
        return [f"{path.name} ({error})"]
    return []


PRELOADED = (
    "convert.pipeline", "convert.plan", "exchange.arrays", "training.launch", "training.engine", "synth.folder",
)  # fmt: skip
"""Modules that commands import when they run."""


def preload() -> None:
    """Import what the commands import, so that a forked process starts at once."""
    import importlib

    import sklearn.preprocessing  # noqa: F401
    import torch

    from skeltools.cli.main import COMMANDS
    from skeltools.protocols.running import registry  # noqa: F401

    torch.set_num_threads(1)
    for name in (*COMMANDS, "_console"):
        importlib.import_module(f"skeltools.cli.{name.replace('-', '_')}")
    for name in (
        "convert.pipeline",
        "exchange.arrays",
        "training.launch",
        "training.engine",
        "synth.folder",
        "convert.plan",
    ):
        importlib.import_module(f"skeltools.{name}")
    assert h5py.version.version
