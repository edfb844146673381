"""Rows to tables: grids by dataset and split, with their titles and notes.

Nothing here prints; functions return grids of plain text.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from skeltools.errors import counted
from skeltools.results.cells import (
    SHORT,
    epoch,
    epochs_of,
    file_name,
    interval,
    mean,
    percent,
    points,
    seeds,
    selected,
)
from skeltools.results.joined import Row, table_key, word
from skeltools.results.kinds import kind_of
from skeltools.results.record import PRETRAINED
from skeltools.results.tables import Grid


def by_table(rows: Sequence[Row], *, kinds: bool = False) -> list[list[Row]]:
    """Return the rows of each table: one dataset, split, file, part of the data and set of test clips.

    Args:
        rows: Rows.
        kinds: Whether protocols of different kinds are in tables of their own.
    """
    made: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        table = kind_of(row.first).table if kinds else ""
        made.setdefault((*table_key(row.first), table), []).append(row)
    return list(made.values())


def title(rows: Sequence[Row]) -> list[str]:
    """Return the title of a table: data, counts, what all rows share, settings that are not a recipe's."""
    first = rows[0].first
    train = max(row.first.train_clips for row in rows)
    protocols = ", ".join(dict.fromkeys(row.first.protocol for row in rows))
    lines = [
        f"{first.caveat}{first.dataset} {first.split}: {protocols}",
        f"{file_name(first.data)}: {counted(train, 'training clip')}, {counted(first.test_clips, 'test clip')}",
    ]
    shared = []
    if len({row.first.stream for row in rows}) == 1:
        shared.append(f"stream {first.stream}")
    epochs = {epochs_of(row.first) for row in rows if row.first.epoch is not None}
    shared += epochs if len(epochs) == 1 else []
    if len({seeds(row) for row in rows}) == 1:
        many = len(set(rows[0].seeds)) > 1
        shared.append(f"seed{'s' if many else ''} {seeds(rows[0])}")
    lines += [", ".join(shared)] if shared else []
    changed = _overrides(rows)
    lines += [f"set by hand: {'; '.join(changed)}"] if changed else []
    return lines


def _overrides(rows: Sequence[Row]) -> list[str]:
    """Return settings that were not the recipes' own, with the protocols they hold for."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for key, value in row.first.overrides.items():
            protocols = found.setdefault(f"{key.partition('.')[2]} {word(value)}", [])
            name = key.partition(".")[0]
            if name not in protocols:
                protocols.append(name)
    return [f"{', '.join(protocols)} {text}" for text, protocols in found.items()]


HELD_OUT = "held-out: epoch chosen on clips of training people that were held out for it"
"""What is said below a table with accuracies of that kind."""

_NOTES = {
    "top-1": "accuracy in %, last epoch; ±: sample deviation over seeds",
    "95 %": "95 %: interval of the mean over seeds, bootstrap over test clips",
    "held-out": HELD_OUT,
    "selected": "selected: best epoch by test accuracy; published numbers are of this kind",
    "gap": "gap: selected less held-out (or less top-1), what choosing by test accuracy adds",
    "mAP": "mAP: mean average precision",
    "labels": "labels: clips trained on",
    "unfinished": "epoch 2/9: a run of 9 epochs that was not finished, after 2",
    "id": "id: names the result, as in 'skeltools compare RUN@ID RUN@ID'",
}

_ENCODERS = {
    "random": "random: the encoder untrained",
    "random, standardised": "standardised: random, standardised feature by feature on the training clips",
    "raw coordinates": "raw: raw coordinates, flattened; no encoder",
    "supervised": "supervised: all weights trained from random in train mode",
}


def grids(rows: Sequence[Row], *, ids: bool = False) -> list[Grid]:
    """Return one grid per dataset, split, file, set of test clips and kind of protocol.

    Partial results are apart and say so. A column that says the same in every row is said once in the title
    instead. The legend is below the last grid.

    Args:
        rows: Rows.
        ids: Whether to show the id of each, by which other commands name it.
    """
    made = [grid for part in by_table(rows, kinds=True) for grid in _grids_of(part, ids)]
    notes = dict.fromkeys(note for grid in made for note in grid.notes)
    for grid in made:
        grid.notes = []
    order = {note: place for place, note in enumerate((*_NOTES.values(), *_ENCODERS.values()))}
    if made:
        made[-1].notes = sorted(notes, key=lambda note: order.get(note, len(order)))
    return made


def _fewer(rows: Sequence[Row]) -> list[str]:
    """Return a note for each row that lacks seeds which the same encoder has in other rows of the table.

    A seed whose classifier diverged has no record; a mean over the others must not pass for one over all.
    """
    notes = []
    for row in rows:
        same = [
            other for other in rows if (other.subject, other.first.stream) == (row.subject, row.first.stream)
        ]
        lacking = sorted({seed for other in same for seed in other.seeds} - set(row.seeds))
        if lacking:
            words = ", ".join(map(str, lacking))
            notes.append(
                f"Warning: {row.first.stream} {row.label}, {row.subject}: no result for seed {words}"
            )
    return notes


def _repeated(rows: Sequence[Row]) -> list[str]:
    """Return a note on the protocols of rows whose seeds cannot differ: of one encoder, with nothing drawn."""
    names = dict.fromkeys(
        row.first.protocol
        for row in rows
        if not kind_of(row.first).drawn
        and len(row.records) > 1
        and len({record.checkpoint_digest for record in row.records}) == 1
    )
    return [f"{name}: nothing is drawn at random, so seeds of one encoder do not differ" for name in names]


def _grids_of(rows: Sequence[Row], ids: bool = False) -> list[Grid]:
    """Return the grids of one table, by the function that the protocol's kind names, if any."""
    from importlib import import_module

    module, _, function = kind_of(rows[0].first).grids.partition(":")
    if not module:
        return [_grid(rows, ids)]
    found: list[Grid] = getattr(import_module(module), function)(rows)
    if ids:
        found[0].notes = found[0].notes + [
            f"id {row.id}: {row.first.stream} {row.label}, {row.subject}, {row.first.encoder}" for row in rows
        ]
    return found


def _grid(rows: Sequence[Row], ids: bool = False) -> Grid:
    cells: dict[str, tuple[bool, Callable[[Row], str]]] = {
        "stream": (False, lambda row: row.first.stream),
        "protocol": (False, lambda row: row.label),
        "encoder": (False, lambda row: SHORT.get(row.subject, row.subject)),
        "epoch": (True, epoch),
        "labels": (True, lambda row: f"{row.first.train_clips:,}"),
        "top-1": (True, lambda row: mean(row.top1)),
        "95 %": (True, lambda row: "-" if row.clips is None else interval(*row.clips)),
        "top-5": (True, lambda row: percent(row.top5.mean)),
        "mAP": (True, lambda row: percent(row.metrics["map"].mean) if "map" in row.metrics else "-"),
        "held-out": (True, lambda row: selected(row.held_top1, row.held_epochs)),
        "selected": (True, lambda row: selected(row.best_top1, row.best_epochs)),
        "gap": (True, lambda row: points(row.gap)),
        "seeds": (True, seeds),
        "id": (False, lambda row: row.id),
    }
    grid = Grid(title(rows), [(name, right) for name, (right, _) in cells.items()])
    previous = ""
    for row in rows:
        grid.add([make(row) for _, make in cells.values()], new_section=row.experiment != previous)
        previous = row.experiment
    shown = {name: {row[place] for row in grid.rows} for place, name in enumerate(cells)}
    drop = {name for name in ("stream", "seeds", "labels") if len(shown[name]) == 1}
    drop |= {name for name in ("95 %", "mAP", "held-out", "selected", "gap") if shown[name] == {"-"}}
    if len(shown["epoch"] - {"-"}) < 2:
        drop.add("epoch")
    if not ids:
        drop.add("id")
    if "epoch" in drop or all(row.first.planned is None for row in rows):
        drop.add("unfinished")
    grid.notes = [note for name, note in _NOTES.items() if name not in drop]
    grid.notes += _repeated(rows) + _fewer(rows)
    subjects = {row.subject for row in rows}
    grid.notes += [note for name, note in _ENCODERS.items() if name in subjects]
    grid.notes += _views(rows)
    return grid.without(drop)


def _views(rows: Sequence[Row]) -> list[str]:
    """Return the augmentations of pretraining as written; where rows differ in them their marks tell."""
    known = {
        str(view)
        for row in rows
        if row.subject == PRETRAINED and (view := row.first.pretrain_settings.get("augment.view")) is not None
    }
    return [f"views in pretraining: {known.pop()}"] if len(known) == 1 else []


HEADER = (
    "dataset", "split", "data", "stream", "protocol", "variant", "mark", "subject", "encoder", "epoch",
    "seeds", "train_clips", "test_clips", "limit", "leak", "top1", "top1_sd", "top1_seeds_low", "top1_seeds_high",
    "top1_clips_low", "top1_clips_high", "top5", "mean_class", "map", "held_top1", "held_epochs", "selected_top1",
    "selected_epochs", "gap", "recipe", "set_by_hand", "id", "planned_epochs", "measures",
)  # fmt: skip
"""Columns of `flat`."""


def flat(rows: Sequence[Row]) -> list[list[object]]:
    """Return every number of every row, for CSV; shares in [0, 1], columns as in `HEADER`."""
    made: list[list[object]] = []
    for row in rows:
        one, low_high = row.first, row.clips or (None, None)
        made.append(
            [
                one.dataset, one.split, file_name(one.data), one.stream, one.protocol, one.variant, row.mark,
                one.subject, one.encoder, one.epoch, " ".join(map(str, row.seeds)), one.train_clips,
                one.test_clips, one.limit, one.leak, row.top1.mean, row.top1.sd, row.top1.low, row.top1.high, *low_high,
                row.top5.mean, row.mean_class.mean, row.metrics["map"].mean if "map" in row.metrics else None,
                row.held_top1.mean if row.held_top1 else None, " ".join(map(str, row.held_epochs)),
                row.best_top1.mean if row.best_top1 else None, " ".join(map(str, row.best_epochs)), row.gap,
                one.recipe, " ".join(f"{key}={word(value)}" for key, value in one.overrides.items()),
                row.id, one.pretrain_settings.get("train.epochs"),
                "; ".join(f"{name}={value.mean:.6g}" for name, value in row.metrics.items() if name != "map"),
            ]
        )  # fmt: skip
    return made
