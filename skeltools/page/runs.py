"""The page of one or several runs: settings, tables, curves, confusions, embedding and test clips."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from skeltools.analysis import embedding, features, salience
from skeltools.errors import DataError, RunError, SettingError, counted
from skeltools.files.folders import having
from skeltools.page import broken
from skeltools.page import clips as packing
from skeltools.page.view import sampled, thinned
from skeltools.plots.skeletons import salience_range
from skeltools.progress import SILENT, Progress
from skeltools.results import class_tables, joined, report
from skeltools.results import record as results
from skeltools.results.kinds import in_player, kind_of
from skeltools.runs import log as runlog
from skeltools.runs.folder import Run
from skeltools.store import ClipFile

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from skeltools.results.record import Record, Side
    from skeltools.results.tables import Grid
    from skeltools.runs.log import Curves

_POINTS = 1000
"""Most points of a curve."""

TOP = 3
"""Classes that a clip is shown with."""

_NAMED = 3
"""Most runs that a page's heading names."""


def find(paths: Sequence[Path]) -> list[Run]:
    """Open run folders, and the runs in folders of runs.

    Raises:
        RunError: A folder is not a run and holds none.
    """
    found = []
    for path in paths:
        found += [Run.open(at) for at in having(path, "run.json")] or [Run.open(path)]
    return found


def gather(
    runs: Sequence[Run],
    *,
    data: Path | None = None,
    clips: int = 240,
    points: int = 1500,
    method: str = "tsne",
    device: torch.device | str = "cpu",
    allow_mismatch: bool = False,
    progress: Progress = SILENT,
    heading: str | None = None,
) -> dict[str, Any]:
    """Return what the page of runs shows.

    What a run does not have is left out, and the notes say so: results, a log, a checkpoint, its data file.

    Args:
        runs: The runs.
        data: A converted file to use instead of each run's own.
        clips: Most test clips of all files together.
        points: Most test clips per run in the embedding; 0 for none.
        method: ``tsne`` or ``pca``.
        device: Where encoders run.
        allow_mismatch: Whether clips of another length or preparation than a run's are taken.
        progress: Receiver of progress.
        heading: Of the page; None for the names of the runs.

    Raises:
        DataError: `data` does not exist, is damaged or does not fit a run.
        RunError: A record is damaged.
        SettingError: Unknown method.
    """
    embedding.check_method(method)
    if points in (1, 2):
        raise SettingError(
            f"An embedding needs three clips at least, not {points}. Give more points, or 0 for none."
        )
    pool = packing.Pool()
    records = {run.path: results.read_all(run.results_dir) for run in runs}
    everything = [record for run in runs for record in records[run.path]]
    notes: list[str] = []
    shown = []
    # Runs on one file show the same clips, which the page holds once.
    share = max(1, clips // len({data or run.data for run in runs}))
    with ExitStack() as stack:
        for run in runs:
            file = _data(run, data, notes, stack)
            misfit = None if file is None else run.misfit(file, allow_mismatch)
            if misfit is not None:
                raise DataError(misfit)
            one = _one(run, records[run.path], file, pool, share, points, method, device, notes, progress)
            shown.append(one)
    rows = joined.rows(everything, intervals=True) if everything else []
    return {
        "kind": "run",
        "heading": heading or _heading([run.path.name for run in runs]),
        "notes": _folded(notes, runs),
        "tables": [_table(grid) for grid in report.grids(rows)],
        "more": [_table(grid) for grid in class_tables.per_class(rows)],
        "broken": broken.gather(rows, progress),
        **pool.values(),
        "runs": shown,
    }


def _heading(names: Sequence[str]) -> str:
    """Return names of runs, of many the first and how many more there are."""
    if len(names) <= _NAMED:
        return ", ".join(names)
    return f"{names[0]} and {counted(len(names) - 1, 'further run')}"


def _folded(notes: Sequence[str], runs: Sequence[Run]) -> list[str]:
    """Return notes, each once; of those that differ in the name of the run alone, the first and how many more."""
    alike: dict[str, list[str]] = {}
    names = sorted({text for run in runs for text in (str(run.path), run.path.name)}, key=len, reverse=True)
    for note in dict.fromkeys(notes):
        told = note
        for name in names:
            told = told.replace(name, "\0")
        alike.setdefault(told, []).append(note)
    return [
        first + (f" The same goes for {counted(len(more), 'further run')}." if more else "")
        for first, *more in alike.values()
    ]


def _data(run: Run, data: Path | None, notes: list[str], stack: ExitStack) -> ClipFile | None:
    path = data or run.data
    if path is None or (data is None and not path.exists()):
        where = "names no data file" if path is None else f"was trained on {path}, which is not there"
        notes.append(f"{run.path.name} {where}, so no clip is shown. Give one with --data.")
        return None
    file = stack.enter_context(ClipFile(path))
    if run.digest and run.digest != file.digest:
        notes.append(f"{path} is not the file {run.path.name} was trained on: its content digest differs.")
    return file


def _one(
    run: Run,
    records: Sequence[Record],
    file: ClipFile | None,
    pool: packing.Pool,
    clips: int,
    points: int,
    method: str,
    device: torch.device | str,
    notes: list[str],
    progress: Progress,
) -> dict[str, Any]:
    found: dict[str, Any] = {"name": run.path.name, "facts": _facts(run), "settings": _settings(run)}
    found["records"] = _records(records)
    try:
        found["curves"] = _curves(runlog.read(run.log_path))
    except RunError as error:
        notes.append(f"{run.path.name} has no curves: {error}")
    main = _main(records, "" if file is None else file.digest)
    ordered = sorted(records, key=lambda record: record is not main)
    found["confusions"] = [_confusion(record) | {"shown": record is main} for record in ordered]
    found["classes"] = main.side().classes if main else list(file.classes) if file else []
    trained = _has_checkpoint(run, notes)
    if file is None:
        return found
    side = main.side() if main else None
    rows = _test_rows(run, file, side, notes)
    if len(rows) == 0:
        return found
    guesses = {} if side is None else _guesses(side)
    chosen = embedding.sample(file, rows, clips)
    player = _player(run, file, chosen, pool, guesses, trained, device, notes, progress)
    what = f"test clips of {run.path.name}"
    notes.append(sampled(len(player["clips"]), len(rows), False, what))
    notes += thinned(file)
    if main is not None:
        player["result"] = f"{main.stream} {main.experiment}, {main.subject}"
    found["player"] = player
    if trained and points and len(rows) >= 3:
        found["embedding"] = _embedding(
            run,
            file,
            embedding.sample(file, rows, points),
            len(rows),
            method,
            guesses,
            player,
            device,
            progress,
        )
    return found


def _facts(run: Run) -> list[list[str]]:
    try:
        checkpoint = [["checkpoint", run.last_checkpoint().name], ["its digest", run.checkpoint_digest()]]
    except RunError:
        checkpoint = [["checkpoint", "none yet"]]
    return [
        ["run", str(run.path)],
        ["recipe", run.recipe],
        ["dataset", run.dataset or "not known"],
        ["split", run.split or "not known"],
        ["stream", run.stream],
        ["seed", str(run.seed)],
        ["epochs", _epochs(run)],
        ["data", str(run.data or "not known")],
        ["content digest", run.digest or "not known"],
        ["command", run.command],
        ["started", run.created],
        ["versions", ", ".join(f"{name} {value}" for name, value in run.versions.items())],
        *checkpoint,
    ]


def _epochs(run: Run) -> str:
    if run.kind != "pretrain":
        return "imported"
    try:
        far = run.unfinished
    except RunError:  # reported as the lack of a checkpoint
        far = None
    return str(run.settings.train.epochs) if far is None else f"not finished: {far}"


def _records(records: Sequence[Record]) -> dict[str, Any]:
    """Return a table of what each result was made of and by which settings."""
    heads = ("result", "seed", "top-1", "settings", "data digest", "encoder digest", "device", "made")
    rows = [
        [
            f"{one.stream} {one.experiment}, {one.subject}", str(one.seed), f"{100 * one.top1:.2f}",
            ", ".join(f"{key}={value}" for key, value in sorted(one.settings.items())), one.data_digest,
            one.checkpoint_digest or "", one.device, one.created,
        ]
        for one in records
    ]  # fmt: skip
    columns = [[head, head in ("seed", "top-1")] for head in heads]
    return {"title": [], "columns": columns, "rows": rows, "notes": []}


def _settings(run: Run) -> dict[str, Any]:
    def text(value: Any) -> str:
        return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)

    rows = [[key, text(value), run.origin.get(key, "")] for key, value in sorted(run.flat.items())]
    return {
        "title": [],
        "columns": [["setting", False], ["value", False], ["from", False]],
        "rows": rows + [[key, text(value), "data"] for key, value in sorted(run.preparation.items())],
        "notes": [],
    }


def _table(grid: Grid) -> dict[str, Any]:
    return {
        "title": grid.title,
        "columns": [[heading, right] for heading, right in grid.columns],
        "rows": grid.rows,
        "notes": grid.notes,
    }


def _curves(found: Curves) -> dict[str, Any]:
    window = -(-len(found.steps) // _POINTS)

    def thin(values: NDArray[np.float64]) -> list[float]:
        kept = runlog.smooth(values, window)[:: max(1, window)] if window > 1 else values
        return [float(f"{value:.5g}") for value in kept]

    names = [*found.losses, *(name for name in ("lr", "momentum") if name in found.values)]
    return {
        "window": window,
        "steps": found.steps[:: max(1, window)].tolist(),
        "values": {name: thin(found.values[name]) for name in names},
        "monitor": {
            "steps": found.monitor_steps.tolist(),
            "values": [round(100 * value, 2) for value in found.monitor.tolist()],
        },
    }


def _confusion(record: Record) -> dict[str, Any]:
    counts, classes = class_tables.confusion_matrix(joined.rows([record])[0])
    true, guess = np.nonzero(counts)
    return {
        "title": f"{record.caveat}{record.stream} {record.experiment}, {record.subject}, seed {record.seed}",
        "top1": f"{100 * record.top1:.1f}",  # as tables have it: rounded once
        "classes": classes,
        "cells": np.stack([true, guess, counts[true, guess]], axis=1).tolist(),
    }


def _main(records: Sequence[Record], digest: str) -> Record | None:
    """Return the result whose predictions the player shows.

    One on the file of a content digest, of the pretrained encoder, before others.
    """
    known = [record for record in records if kind_of(record).player]
    if not known:
        return None

    def order(record: Record) -> tuple[object, ...]:
        return (
            record.data_digest != digest, record.subject != results.PRETRAINED,
            kind_of(record).player, record.partial, record.variant != "", record.variant,
        )  # fmt: skip

    return min(known, key=order)


def _test_rows(run: Run, file: ClipFile, side: Side | None, notes: list[str]) -> NDArray[np.int64]:
    if side is not None:
        row_of = {name: row for row, name in enumerate(file.names)}
        rows = [row_of[name] for name in side.names if name in row_of]
        if len(rows) < len(side.names):
            notes.append(
                f"{file.path} lacks {len(side.names) - len(rows):,} of the {counted(len(side.names), 'test clip')}."
            )
        return np.array(sorted(rows), np.int64)
    notes.append(f"{run.path.name} has no result of {', '.join(in_player())}, so clips have no prediction.")
    if run.split not in file.splits:
        return np.arange(len(file), dtype=np.int64)
    return file.rows(run.split, "test")


def _has_checkpoint(run: Run, notes: list[str]) -> bool:
    try:
        run.last_checkpoint()
    except RunError as error:
        notes.append(str(error))
        return False
    with suppress(RunError):  # a damaged one is reported where it is used
        if run.unfinished is not None:
            notes.append(f"{run.path.name} is not finished: {run.unfinished}. It is shown as it is.")
    return True


def shares(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return class scores (n, classes) as shares that add up to 1 per clip.

    Votes (nothing below 0) are divided by their sum; logits pass through a softmax.
    """
    values = np.asarray(scores, np.float64)
    if (values >= 0).all():
        total = values.sum(axis=1, keepdims=True)
        return values / np.where(total > 0, total, 1.0)
    values = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(values / values.sum(axis=1, keepdims=True))


def _guesses(side: Side) -> dict[str, list[list[float]]]:
    """Return the best classes of each clip by name: [label, share] pairs, the best first."""
    values = np.where(np.isfinite(side.scores), side.scores, -np.inf)
    best = np.argsort(-values, axis=1, kind="stable")[:, :TOP]
    part = np.take_along_axis(shares(np.nan_to_num(side.scores, neginf=-1e9)), best, axis=1)
    return {
        name: [[int(label), round(float(share), 4)] for label, share in zip(labels, own, strict=True)]
        for name, labels, own in zip(side.names, best.tolist(), part.tolist(), strict=True)
    }


def _player(
    run: Run,
    file: ClipFile,
    rows: NDArray[np.int64],
    pool: packing.Pool,
    guesses: dict[str, list[list[float]]],
    trained: bool,
    device: torch.device | str,
    notes: list[str],
    progress: Progress,
) -> dict[str, Any]:
    values: NDArray[np.float32] | None = None
    try:
        if trained:
            method = salience.load_method(run, device)
            values = salience.of_clips(method, file, rows, run.stream, device=device, progress=progress)
    except RunError as error:
        notes.append(f"Clips of {run.path.name} are not coloured by salience: {error}")
    bounds: tuple[float, float] | None = None
    if values is not None and np.isfinite(values).any():
        bounds = salience_range(values)
    shown = []
    progress.start("Clips", len(rows))
    for number, row in enumerate(rows.tolist()):
        progress.advance()
        place = pool.add(file, row)
        if place is None:
            continue
        entry: dict[str, Any] = {"clip": place, "row": row, "guess": guesses.get(file.names[row])}
        if values is not None and bounds is not None:
            bodies = pool.packed[place]["bodies"]
            entry["salience"] = packing.pack_salience(values[number], bodies, *bounds)
        shown.append(entry)
    progress.finish()
    return {"clips": shown, "salience": None if bounds is None else [round(value, 6) for value in bounds]}


def _embedding(
    run: Run,
    file: ClipFile,
    rows: NDArray[np.int64],
    total: int,
    method: str,
    guesses: dict[str, list[list[float]]],
    player: dict[str, Any],
    device: torch.device | str,
    progress: Progress,
) -> dict[str, Any]:
    found = features.extract(
        run.load_encoder(device), file, rows, run.stream, device=device, progress=progress
    )
    flat = embedding.project(found.numpy(), method)
    low, high = flat.min(axis=0), flat.max(axis=0)
    spread = float(max((high - low).max(), 1e-9))
    places = ((flat - (low + high) / 2) / spread * 2000).round().astype(int)
    in_player = {entry["row"]: number for number, entry in enumerate(player["clips"])}
    names = [file.names[row] for row in rows.tolist()]
    guess = [own[0][0] if (own := guesses.get(name)) else None for name in names]
    what = {"tsne": "t-SNE", "pca": "PCA"}[method]
    every = len(rows) == total
    share = (
        f"all {counted(total, 'test clip')}"
        if every
        else f"{len(rows):,} of {counted(total, 'test clip')}, sampled by class"
    )
    return {
        "title": f"{what} of the features of {share}",
        "points": places.tolist(),
        "labels": file.labels[rows].tolist(),
        "guesses": guess,
        "names": names,
        "clips": [in_player.get(row) for row in rows.tolist()],
    }
