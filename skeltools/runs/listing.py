"""What runs there are, how far they are and how they ended: read from their folders, without torch.

A run that ends says so in its ``ended.json``. Where that is missing, the run is under way, was killed, or is of an
earlier version; its lock, its log and the names of its checkpoints tell which.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from skeltools.errors import RunError, SkeltoolsError
from skeltools.files.folders import DEPTH, astray, having
from skeltools.files.reading import read_regular
from skeltools.files.texts import read_json
from skeltools.files.writing import write_text
from skeltools.results import record as results
from skeltools.results.kinds import KINDS
from skeltools.runs import checkpoint
from skeltools.runs.folder import is_held
from skeltools.runs.log import MONITOR

RUNNING, STOPPED, FINISHED, FAILED = "running", "stopped", "finished", "failed"
IMPORTED, UNREADABLE = "imported", "unreadable"
"""States beside the four of training: weights from elsewhere, and a folder whose ``run.json`` is damaged."""

_ENDED = "ended.json"
_WIDEST = 300
"""Most characters kept of the reason of a failure."""


@dataclass(frozen=True)
class Listed:
    """One run.

    Attributes:
        path: Its folder.
        state: `RUNNING`, `STOPPED`, `FINISHED`, `FAILED`, `IMPORTED` or `UNREADABLE`.
        reason: Why it failed or cannot be read; else empty.
        method: Name of the method; empty for imported weights.
        dataset: Dataset; empty where none is known.
        split: Split, likewise.
        stream: Stream.
        seed: Seed.
        epoch: Epochs finished; None where that is not known.
        epochs: Epochs that it has; None for imported weights.
        step: Steps done; None where that is not known.
        knn: Last top-1 accuracy of the kNN monitor, on training clips, in [0, 1]; None where there is none.
        created: When it was started, ISO 8601, UTC; empty where that cannot be read.
        evaluated: Experiments recorded of the pretrained encoder, such as ``knn k=10``, in the order of tables.
        others: Records of baselines.
        unreadable: Records that cannot be read.
    """

    path: Path
    state: str
    reason: str = ""
    method: str = ""
    dataset: str = ""
    split: str = ""
    stream: str = ""
    seed: int | None = None
    epoch: int | None = None
    epochs: int | None = None
    step: int | None = None
    knn: float | None = None
    created: str = ""
    evaluated: tuple[str, ...] = ()
    others: int = 0
    unreadable: int = 0

    @property
    def age(self) -> float | None:
        """Seconds since it was started, or None."""
        try:
            return (datetime.now(UTC) - datetime.fromisoformat(self.created)).total_seconds()
        except (TypeError, ValueError):
            return None


def begin(run: Path) -> None:
    """Forget how a run ended, because it goes on."""
    (run / _ENDED).unlink(missing_ok=True)


def end(run: Path, state: str, *, epoch: int, step: int, reason: str = "") -> None:
    """Note how a run ended: `STOPPED`, `FINISHED` or `FAILED`, after so many epochs and steps, and why."""
    if not (run / "run.json").exists():  # it failed before its first step was done
        return
    content = {"state": state, "epoch": epoch, "step": step, "reason": reason[:_WIDEST]}
    content["ended"] = datetime.now(UTC).isoformat(timespec="seconds")
    write_text(run / _ENDED, json.dumps(content, indent=2) + "\n")


def find(folder: Path) -> list[Listed]:
    """Return the runs in a folder, or the one that it is, by path.

    Folders inside it are searched, down to `DEPTH` levels; hidden ones, and what lies inside a run, are not.

    Raises:
        RunError: It is not a folder, or holds no run.
    """
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else "does not exist or is not a folder"
        raise RunError(f"{folder} {what}. {astray(folder) or 'Give a folder of runs.'}")
    closed: list[tuple[Path, str]] = []
    found = [of(path) for path in having(folder, "run.json", closed=closed)]
    found += [Listed(path, UNREADABLE, f"{path} cannot be looked into: {why}") for path, why in closed]
    if all(listed.path in (path for path, _ in closed) for listed in found):
        if told := astray(folder):
            raise RunError(f"{folder} holds no run. {told}")
        raise RunError(
            f"{folder} holds no run, down to {DEPTH} folders deep. Make one with 'skeltools pretrain', or give "
            "another folder."
        )
    return found


def of(path: Path) -> Listed:
    """Return what is known of the run at `path`; a damaged one is `UNREADABLE`."""
    try:
        content = read_json(path / "run.json")
        if not isinstance(content, dict) or not isinstance(content.get("settings"), dict):
            raise ValueError("it is not a run's")
    except (OSError, ValueError) as error:
        return Listed(path, UNREADABLE, f"{path / 'run.json'} cannot be read: {error}")
    records, unreadable = _records(path / "results")
    own = [record for record in records if record.subject == results.PRETRAINED]
    order = list(KINDS)
    own.sort(key=lambda one: order.index(one.family) if one.family in order else len(order))
    seed, created = content.get("seed"), content.get("created")
    common: dict[str, Any] = {
        "method": _text(content["settings"], "method"),
        "dataset": _text(content, "dataset"),
        "split": _text(content, "split"),
        "stream": _text(content, "stream"),
        "seed": seed if isinstance(seed, int) else None,
        "created": created if isinstance(created, str) else "",
        "evaluated": tuple(dict.fromkeys(one.experiment for one in own)),
        "others": len(records) - len(own),
        "unreadable": unreadable,
    }
    if content.get("kind") == "import":
        return Listed(path, IMPORTED, **common | {"method": "", "seed": None})
    epochs = content["settings"].get("train.epochs")
    last, knn = _logged(path / "log.jsonl")
    told = _ended(path)
    state, reason = _state(path, told, last, epochs)
    if state != RUNNING and told is not None:
        epoch, step = told.get("epoch"), told.get("step")
    else:
        epoch, step = _epoch(last, state, epochs), None if last is None else last["step"]
    return Listed(path, state, reason, **common, epoch=epoch, epochs=epochs, step=step, knn=knn)


def _state(
    path: Path, told: Mapping[str, Any] | None, last: Mapping[str, Any] | None, epochs: Any
) -> tuple[str, str]:
    """Return the state of a run and the reason of a failure."""
    if is_held(path):
        return RUNNING, ""
    if told is not None and told.get("state") in (STOPPED, FINISHED, FAILED):
        return str(told["state"]), _text(told, "reason")
    kept = _kept(path / "checkpoints")
    if kept is None:
        return (
            FAILED,
            "ended before its first checkpoint, without a word: it was killed, or the machine stopped",
        )
    if last is not None and last["step"] > kept[0]:
        return FAILED, f"ended at step {last['step']:,} without a word: it was killed, or the machine stopped"
    # Of an earlier version, which left no word: it ended with a checkpoint of its last step.
    whole = last is not None and last["epoch"] == epochs
    if (
        whole and last is not None and not last["per_epoch"]
    ):  # one epoch alone, of which the log has no length
        with suppress(RunError):
            return (FINISHED if checkpoint.load(kept[1]).epoch == epochs else STOPPED), ""
    return (FINISHED if whole and last is not None and _is_last(last) else STOPPED), ""


def _is_last(last: Mapping[str, Any]) -> bool:
    return last["step"] == last["epoch"] * last["per_epoch"] if last["per_epoch"] else False


def _epoch(last: Mapping[str, Any] | None, state: str, epochs: Any) -> int | None:
    """Return the epochs finished by a log's last step."""
    if last is None:
        return 0
    if state == FINISHED:
        return epochs if isinstance(epochs, int) else None
    return int(last["epoch"]) - (0 if _is_last(last) else 1)


def _logged(path: Path) -> tuple[dict[str, int] | None, float | None]:
    """Return the last logged step, its 1-based epoch and the steps of an epoch, and the monitor's last value.

    The steps of an epoch are 0 where the log has not reached its second.
    """
    try:
        content = read_regular(path)
    except OSError:
        return None, None
    lines = content.split(b"\n")
    last = _last_of(lines, "step")
    check = _last_of(lines, "monitor")
    value = None if check is None else check.get(MONITOR)
    knn = float(value) if isinstance(value, (int, float)) else None
    if last is None or not isinstance(last.get("step"), int) or not isinstance(last.get("epoch"), int):
        return None, knn
    # Epochs are equally long, so the first step of this one says how many steps one has.
    first = _first_of_epoch(lines, last["epoch"])
    per_epoch = (first - 1) // (last["epoch"] - 1) if first is not None and last["epoch"] > 1 else 0
    return {"step": last["step"], "epoch": last["epoch"], "per_epoch": per_epoch}, knn


def _last_of(lines: list[bytes], kind: str) -> dict[str, Any] | None:
    """Return the last whole line of a kind."""
    mark = f'"kind": "{kind}"'.encode()
    for line in reversed(lines):
        if mark in line:
            try:
                found = json.loads(line)
            except ValueError:  # being written, or cut off
                continue
            return found if isinstance(found, dict) else None
    return None


def _first_of_epoch(lines: list[bytes], epoch: int) -> int | None:
    mark = f'"epoch": {epoch},'.encode()
    step = None
    for line in reversed(lines):
        if b'"kind": "step"' not in line:
            continue
        if mark not in line:
            break
        with_step = _last_of([line], "step")
        step = step if with_step is None else with_step.get("step")
    return step if isinstance(step, int) else None


def _kept(folder: Path) -> tuple[int, Path] | None:
    """Return step and path of the last checkpoint, or None."""
    found = checkpoint.paths(folder)
    return (checkpoint.step_of(found[-1]), found[-1]) if found else None


def _ended(path: Path) -> dict[str, Any] | None:
    try:
        content = read_json(path / _ENDED)
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _records(folder: Path) -> tuple[list[results.Record], int]:
    """Return the records of a results folder, and how many cannot be read."""
    found: list[results.Record] = []
    wrong = 0
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else ():
        try:
            found.append(results.read(path))
        except SkeltoolsError:
            wrong += 1
    return found, wrong


def _text(content: Mapping[str, Any], key: str) -> str:
    value = content.get(key)
    return value if isinstance(value, str) else ""
