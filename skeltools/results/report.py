"""Records to tables: grouped by dataset and split, one row per kind of result, seeds joined.

Nothing here prints; `rows` gives plain data and the other functions grids of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from skeltools.errors import RunError, counted
from skeltools.results.kinds import KINDS, kind_of
from skeltools.results.record import PRETRAINED, SUBJECTS, Record, Side, deciding
from skeltools.results.significance import Spread, bootstrap, spread
from skeltools.results.tables import Grid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_STREAMS = ("joint", "motion", "bone", "3s")
_SHORT = {"random, standardised": "standardised", "raw coordinates": "raw"}


@dataclass(frozen=True)
class Row:
    """One line of a table: results that differ in their seed alone.

    Accuracies are shares in [0, 1].

    Attributes:
        records: The results, one per seed.
        top1: Top-1 over seeds, at the last epoch.
        top5: Top-5 over seeds.
        mean_class: Mean class accuracy over seeds.
        best_top1: Test-selected top-1 over seeds, where the protocol evaluates more than once.
        held_top1: Top-1 over seeds at the epochs chosen on held-out training people, where that was asked for.
        metrics: Further measures over seeds by name.
        clips: 95 % bootstrap interval over test clips of the mean over seeds; None where the scores are not
            at hand.
        mark: What sets the row apart from others of its kind, where the columns do not.
    """

    records: tuple[Record, ...]
    top1: Spread
    top5: Spread
    mean_class: Spread
    best_top1: Spread | None
    held_top1: Spread | None = None
    metrics: dict[str, Spread] = field(default_factory=dict)
    clips: tuple[float, float] | None = None
    mark: str = ""

    @property
    def first(self) -> Record:
        """The record of the lowest seed."""
        return self.records[0]

    @property
    def id(self) -> str:
        """Six hexadecimal digits that tell the row from others; further seeds leave them as they are."""
        return identity(self.first)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the evaluations."""
        return tuple(record.seed for record in self.records)

    @property
    def best_epochs(self) -> tuple[int, ...]:
        """Epochs of the test-selected results."""
        return tuple(record.best_epoch for record in self.records if record.best_epoch is not None)

    @property
    def held_epochs(self) -> tuple[int, ...]:
        """Epochs that were chosen on held-out training people."""
        return tuple(record.held_epoch for record in self.records if record.held_epoch is not None)

    @property
    def gap(self) -> float | None:
        """By how much the test-selected top-1 is above the one selected without a look at the test clips.

        That is the one chosen on held-out training people, or that of the last epoch where none were held out. None
        where nothing was selected on the test clips.
        """
        honest = self.top1 if self.held_top1 is None else self.held_top1
        return None if self.best_top1 is None else self.best_top1.mean - honest.mean

    @property
    def experiment(self) -> str:
        """Protocol and variant in one word or two, as records name them."""
        return self.first.experiment

    @property
    def label(self) -> str:
        """Protocol and variant as tables show them."""
        name = self.experiment
        if kind_of(self.first).joins:
            name = self.first.variant.removesuffix(" equal")
        return f"{name} {self.mark}".strip()

    @property
    def subject(self) -> str:
        """What was evaluated."""
        return self.first.subject


def rows(records: Iterable[Record], *, intervals: bool = False) -> list[Row]:
    """Group records that differ in their seed alone and return them in the order tables show them.

    Results with other settings, other data or another count of epochs never share a row. The same result
    found in two folders counts once.

    Args:
        records: Records of any runs.
        intervals: Whether to read the scores beside the records for intervals over test clips.

    Raises:
        RunError: Scores are missing or damaged.
    """
    groups: dict[tuple[object, ...], dict[tuple[object, ...], Record]] = {}
    for record in records:
        groups.setdefault(_key(record), {})[record.seed, record.checkpoint_digest] = record
    found = [_row(list(group.values()), intervals) for group in groups.values()]
    return _marked(sorted(found, key=_order))


def _key(record: Record) -> tuple[object, ...]:
    settings = tuple(sorted((key, repr(value)) for key, value in deciding(record.settings).items()))
    pretrain = tuple(sorted((key, repr(value)) for key, value in record.pretrain_settings.items()))
    named, weights = _name(record)
    return (
        record.dataset, record.split, record.stream, record.protocol, record.variant, record.subject,
        record.epoch, record.data_digest, record.limit, record.leak, record.train_clips, record.test_clips, settings,
        pretrain, named, weights,
    )  # fmt: skip


ID_DIGITS = 6


def identity(record: Record) -> str:
    """Return the id of the row that a record belongs to: a digest of all that sets rows apart."""
    return hashlib.sha256(repr(_key(record)).encode()).hexdigest()[:ID_DIGITS]


def _name(record: Record) -> tuple[str | None, str | None]:
    """Return the encoder's name where it came without settings, its weights where their seed is not known."""
    named = None if record.pretrain_settings else record.encoder
    unknown = record.subject == SUBJECTS[0] and record.pretrain_seed is None
    return named, record.checkpoint_digest if unknown else None


def _row(group: Sequence[Record], intervals: bool) -> Row:
    group = sorted(group, key=lambda record: (record.seed, record.checkpoint_digest or ""))
    best = [record.best_top1 for record in group if record.best_top1 is not None]
    held = [record.held_top1 for record in group if record.held_top1 is not None]
    names = [name for name in group[0].metrics if all(name in record.metrics for record in group)]
    return Row(
        records=tuple(group),
        top1=spread([record.top1 for record in group]),
        top5=spread([record.top5 for record in group]),
        mean_class=spread([record.mean_class for record in group]),
        best_top1=spread(best) if len(best) == len(group) else None,
        held_top1=spread(held) if len(held) == len(group) else None,
        metrics={name: spread([record.metrics[name] for record in group]) for name in names},
        clips=_clip_interval(group) if intervals else None,
    )


def _clip_interval(group: Sequence[Record]) -> tuple[float, float] | None:
    if any(record.folder is None or not record.scores for record in group):
        return None
    return bootstrap(mean_hits(group)[1])


def mean_hits(group: Sequence[Record]) -> tuple[list[str], NDArray[np.float64]]:
    """Return the clip names (n) and the share of the records that got each right, float64 (n,).

    Raises:
        RunError: Scores are missing, or the records are not of the same clips.
    """
    import numpy as np

    names: list[str] = []
    total: NDArray[np.float64] = np.zeros(0)
    for record in group:
        side = record.side()
        right = dict(zip(side.names, hits(side).tolist(), strict=True))
        if not names:
            names, total = side.names, np.zeros(len(side.names))
        if right.keys() != set(names):
            raise RunError(
                f"{record.folder}: '{record.stem}' is not of the same clips as the seeds beside it."
            )
        total += [right[name] for name in names]
    return names, total / len(group)


def hits(side: Side) -> NDArray[np.bool_]:
    """Return whether each test clip was classified right, bool (n,)."""
    import numpy as np

    best = side.scores.argmax(axis=1)
    at = side.scores[np.arange(len(best)), best]
    right: NDArray[np.bool_] = (best == side.labels) & np.isfinite(at)
    return right


def _order(row: Row) -> tuple[object, ...]:
    first = row.first
    digits = "".join(char for char in first.variant if char.isdigit())
    return (
        first.dataset, first.split, first.data, first.partial, first.leak, -first.test_clips,
        _place(tuple(KINDS), first.family), first.protocol, int(digits or 0), first.variant,
        _place(_STREAMS, first.stream), first.stream, _place(SUBJECTS, first.subject), first.epoch or 0,
        first.encoder,
    )  # fmt: skip


def _place(known: Sequence[str], word: str) -> int:
    return known.index(word) if word in known else len(known)


def _marked(rows: list[Row]) -> list[Row]:
    """Give rows that a table could not tell apart a mark: the settings in which they differ."""
    from dataclasses import replace

    alike: dict[tuple[object, ...], list[int]] = {}
    for place, row in enumerate(rows):
        first = row.first
        seen = (_table_key(first), first.stream, row.experiment, first.subject, first.epoch)
        alike.setdefault(seen, []).append(place)
    for places in alike.values():
        facts = [_facts(rows[place].first) for place in places]
        keys = sorted({key for fact in facts for key in fact})
        differing = [key for key in keys if len({repr(fact.get(key)) for fact in facts}) > 1]
        if "train_clips" in differing and len(differing) > 1:
            differing.remove("train_clips")
        shown = differing[:2] if _apart(facts, differing[:2]) == len(facts) else telling(facts, differing)
        for place, fact in zip(places, facts, strict=True):
            words = [f"{key.rpartition('.')[2]}={_word(fact.get(key))}" for key in shown]
            if len(places) > 1 and words:
                rows[place] = replace(rows[place], mark=f"[{' '.join(words)}]")
    return rows


def _apart(facts: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> int:
    """Return how many results some of their facts tell apart."""
    return len({tuple(repr(fact.get(key)) for key in keys) for fact in facts})


def telling(facts: Sequence[Mapping[str, Any]], keys: Iterable[str]) -> list[str]:
    """Return the first few of `keys` by which results are told apart as far as they can be."""
    found: list[str] = []
    for key in keys:
        if _apart(facts, [*found, key]) > _apart(facts, found):
            found.append(key)
    return found


def differences(rows: Sequence[Row]) -> list[str]:
    """Return for each of several results what tells it from the others, such as ``epoch=2 train.lr=0.05``."""
    facts = []
    for row in rows:
        one = row.first
        plain = {
            "data": _file(one.data), "split": one.split, "epoch": one.epoch, "limit": one.limit,
            "test_clips": one.test_clips, "data_digest": one.data_digest,
        }  # fmt: skip
        facts.append({"result": f"{one.stream} {row.experiment}"} | plain | _facts(one))
    settings = sorted({key for fact in facts for key in fact} - facts[0].keys())
    keys = telling(facts, dict.fromkeys([*facts[0], *settings]))
    return [" ".join(f"{key}={_word(fact.get(key))}" for key in keys if key != "result") for fact in facts]


def _facts(record: Record) -> dict[str, Any]:
    named, weights = _name(record)
    facts = {"encoder": named, "weights": weights, "train_clips": record.train_clips}
    return {**record.pretrain_settings, **deciding(record.settings), **facts}


_LONGEST = 40
"""Most letters of a value that tells results apart."""


def _word(value: Any) -> str:
    """Return a value in few letters: a digest's first ones; of a long list or text how long it is, and a digest."""
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    if len(text) == 64 and not isinstance(value, list):
        return text[:8]
    if len(text) <= _LONGEST:
        return text
    short = hashlib.sha256(text.encode()).hexdigest()[:4]
    return (
        f"{counted(len(value), 'entry', 'entries')} ({short})"
        if isinstance(value, list)
        else f"{text[:20]}... ({short})"
    )


def _table_key(record: Record) -> tuple[object, ...]:
    return record.dataset, record.split, record.data_digest, record.limit, record.test_clips, record.leak


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _mean(value: Spread) -> str:
    text = _percent(value.mean)
    return text if value.sd is None else f"{text} ± {100 * value.sd:.1f}"


def _interval(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "-"
    return f"{_percent(max(low, 0.0))}-{_percent(min(high, 1.0))}"


def _selected(value: Spread | None, epochs: Sequence[int]) -> str:
    """Return an accuracy with the epoch it is of, where there is one seed."""
    if value is None:
        return "-"
    text = _percent(value.mean)
    return f"{text} @{epochs[0]}" if value.count == 1 else text


def points(share: float | None) -> str:
    """Return a difference of accuracies in points, with its sign."""
    return "-" if share is None else f"{100 * share:+.1f}"


def _epoch(row: Row) -> str:
    if row.first.planned is not None:
        return f"{row.first.epoch}/{row.first.planned}"
    return "-" if row.first.epoch is None else str(row.first.epoch)


def epochs_of(record: Record) -> str:
    """Return the epochs behind an encoder in words, with those planned where the run was not finished."""
    if record.planned is None:
        return counted(record.epoch or 0, "pretraining epoch")
    return f"{record.epoch} of {counted(record.planned, 'pretraining epoch')} (not finished)"


def seeds(row: Row) -> str:
    """Return the seeds of a row in a word."""
    found = sorted(set(row.seeds))
    if len(found) > 2 and found == list(range(found[0], found[-1] + 1)):
        return f"{found[0]}-{found[-1]}"
    return ",".join(map(str, found))


def short(subject: str) -> str:
    """Return what tables call a subject."""
    return _SHORT.get(subject, subject)


def by_table(rows: Sequence[Row], *, kinds: bool = False) -> list[list[Row]]:
    """Return the rows of each table: one dataset, split, file, part of the data and set of test clips.

    Args:
        rows: Rows.
        kinds: Whether protocols of different kinds are in tables of their own.
    """
    made: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        table = kind_of(row.first).table if kinds else ""
        made.setdefault((*_table_key(row.first), table), []).append(row)
    return list(made.values())


def title(rows: Sequence[Row]) -> list[str]:
    """Return the title of a table: data, counts, what all rows share, settings that are not a recipe's."""
    first = rows[0].first
    train = max(row.first.train_clips for row in rows)
    protocols = ", ".join(dict.fromkeys(row.first.protocol for row in rows))
    lines = [
        f"{first.caveat}{first.dataset} {first.split}: {protocols}",
        f"{_file(first.data)}: {counted(train, 'training clip')}, {counted(first.test_clips, 'test clip')}",
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


def _file(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]


def _overrides(rows: Sequence[Row]) -> list[str]:
    """Return settings that were not the recipes' own, with the protocols they hold for."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for key, value in row.first.overrides.items():
            protocols = found.setdefault(f"{key.partition('.')[2]} {_word(value)}", [])
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
        "encoder": (False, lambda row: _SHORT.get(row.subject, row.subject)),
        "epoch": (True, _epoch),
        "labels": (True, lambda row: f"{row.first.train_clips:,}"),
        "top-1": (True, lambda row: _mean(row.top1)),
        "95 %": (True, lambda row: "-" if row.clips is None else _interval(*row.clips)),
        "top-5": (True, lambda row: _percent(row.top5.mean)),
        "mAP": (True, lambda row: _percent(row.metrics["map"].mean) if "map" in row.metrics else "-"),
        "held-out": (True, lambda row: _selected(row.held_top1, row.held_epochs)),
        "selected": (True, lambda row: _selected(row.best_top1, row.best_epochs)),
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
                one.dataset, one.split, _file(one.data), one.stream, one.protocol, one.variant, row.mark,
                one.subject, one.encoder, one.epoch, " ".join(map(str, row.seeds)), one.train_clips,
                one.test_clips, one.limit, one.leak, row.top1.mean, row.top1.sd, row.top1.low, row.top1.high, *low_high,
                row.top5.mean, row.mean_class.mean, row.metrics["map"].mean if "map" in row.metrics else None,
                row.held_top1.mean if row.held_top1 else None, " ".join(map(str, row.held_epochs)),
                row.best_top1.mean if row.best_top1 else None, " ".join(map(str, row.best_epochs)), row.gap,
                one.recipe, " ".join(f"{key}={_word(value)}" for key, value in one.overrides.items()),
                row.id, one.pretrain_settings.get("train.epochs"),
                "; ".join(f"{name}={value.mean:.6g}" for name, value in row.metrics.items() if name != "map"),
            ]
        )  # fmt: skip
    return made


def per_class(rows: Sequence[Row]) -> list[Grid]:
    """Return one grid per stream and protocol: top-1 by class, mean over seeds, a column per subject.

    Raises:
        RunError: The class names beside a record are missing.
    """
    made = []
    for part in by_table(rows):
        groups: dict[tuple[str, str], list[Row]] = {}
        for row in part:
            groups.setdefault((row.first.stream, row.label), []).append(row)
        for (stream, label), group in groups.items():
            side = group[0].first.side()
            counts = [int((side.labels == index).sum()) for index in range(len(side.classes))]
            columns = [("class", False), ("clips", True)]
            columns += [(_SHORT.get(row.subject, row.subject), True) for row in group]
            grid = Grid(
                [*title(group)[:1], f"{stream}, {label}: top-1 in % by class, mean over seeds"], columns
            )
            for index, name in enumerate(side.classes):
                if counts[index]:
                    grid.add([name, str(counts[index]), *(_class_mean(row, index) for row in group)])
            made.append(grid)
    return made


def _class_mean(row: Row, index: int) -> str:
    values = [value for record in row.records if (value := record.per_class[index]) is not None]
    return _percent(sum(values) / len(values)) if values else "-"


def confusions(rows: Sequence[Row], most: int) -> list[Grid]:
    """Return one grid per row: the `most` frequent confusions, clips counted over all seeds.

    Raises:
        RunError: Scores are missing or damaged.
    """
    made = []
    for row in rows:
        counts, classes = confusion_matrix(row)
        totals = counts.sum(axis=1)
        pairs = [
            (int(counts[true, guess]), true, guess)
            for true in range(len(classes))
            for guess in range(len(classes))
            if true != guess and counts[true, guess]
        ]
        pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
        what = f"{row.first.stream}, {row.label}, {row.subject}: most frequent confusions"
        columns = [("class", False), ("taken for", False), ("clips", True), ("% of class", True)]
        grid = Grid([*title([row])[:1], what], columns)
        for count, true, guess in pairs[:most]:
            grid.add([classes[true], classes[guess], str(count), _percent(count / int(totals[true]))])
        if len(row.records) > 1:
            grid.notes = [f"clips counted over {counted(len(row.records), 'seed')}"]
        made.append(grid)
    return made


def confusion_matrix(row: Row) -> tuple[NDArray[np.int64], list[str]]:
    """Return the counts int64 (classes, classes) of true class against best-scored class, and class names.

    Seeds are added up. A clip without any finite score counts nowhere.

    Raises:
        RunError: Scores are missing or damaged.
    """
    import numpy as np

    size = row.first.num_classes
    counts = np.zeros((size, size), np.int64)
    classes: list[str] = []
    for record in row.records:
        side = record.side()
        classes = side.classes
        guess = side.scores.argmax(axis=1)
        finite = np.isfinite(side.scores.max(axis=1))
        np.add.at(counts, (side.labels[finite], guess[finite]), 1)
    return counts, classes


@dataclass(frozen=True)
class Verdict:
    """Whether one subject is better than another by one protocol.

    Attributes:
        experiment: Protocol and variant.
        subject: The one that should be better.
        other: The one it is compared with.
        gain: Difference of mean top-1, in points.
        over_clips: 95 % intervals of the two means over seeds, bootstrap over test clips, shares in [0, 1];
            None where scores are not at hand.
        over_seeds: 95 % intervals of the two means over seeds (Student's t); None where there is one seed.
    """

    experiment: str
    subject: str
    other: str
    gain: float
    over_clips: Pair | None
    over_seeds: Pair | None

    @property
    def better(self) -> bool:
        """Whether every interval at hand, and there is one, lies above the other's."""
        pairs = [pair for pair in (self.over_clips, self.over_seeds) if pair is not None]
        return bool(pairs) and all(map(_above, pairs))

    def __str__(self) -> str:
        told = [
            f"over {what} {_interval(*pair[0])} and {_interval(*pair[1])}, "
            + ("apart" if _above(pair) else "OVERLAP")
            for what, pair in (("clips", self.over_clips), ("seeds", self.over_seeds))
            if pair is not None
        ]
        return f"{self.experiment}: {self.subject} against {self.other}: {self.gain:+.1f} points; " + (
            "95 % " + "; ".join(told) if told else "no interval"
        )


Pair = tuple[tuple[float, float], tuple[float, float]]


def _above(pair: Pair) -> bool:
    return pair[0][0] > pair[1][1]


def apart(rows: Sequence[Row], subject: str, others: Sequence[str]) -> list[Verdict]:
    """Compare a subject with others, protocol by protocol, by their 95 % intervals."""
    found = []
    for row in rows:
        for other in rows:
            same = (*_table_key(row.first), row.first.stream, row.experiment) == (
                *_table_key(other.first), other.first.stream, other.experiment,
            )  # fmt: skip
            if same and row.subject == subject and other.subject in others:
                gain = 100 * (row.top1.mean - other.top1.mean)
                clips = None if row.clips is None or other.clips is None else (row.clips, other.clips)
                found.append(
                    Verdict(row.experiment, subject, other.subject, gain, clips, _both(row.top1, other.top1))
                )
    return found


def _both(mine: Spread, theirs: Spread) -> Pair | None:
    if mine.low is None or mine.high is None or theirs.low is None or theirs.high is None:
        return None
    return (mine.low, mine.high), (theirs.low, theirs.high)
