"""Records to rows: one per kind of result, seeds joined, in the order tables show them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from skeltools.errors import RunError, counted
from skeltools.results.cells import file_name
from skeltools.results.kinds import KINDS, kind_of
from skeltools.results.record import SUBJECTS, Record, Side, deciding
from skeltools.results.significance import Spread, bootstrap, spread

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_STREAMS = ("joint", "motion", "bone", "3s")


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
    found in two folders counts once, the one with scores, of several of these the latest.

    Args:
        records: Records of any runs.
        intervals: Whether to read the scores beside the records for intervals over test clips.

    Raises:
        RunError: Scores are missing or damaged, or two folders have copies of one result with different accuracies.
    """
    groups: dict[tuple[object, ...], dict[tuple[object, ...], Record]] = {}
    for record in records:
        group = groups.setdefault(_key(record), {})
        same = record.seed, record.checkpoint_digest
        group[same] = record if same not in group else _either(group[same], record)
    found = [_row(list(group.values()), intervals) for group in groups.values()]
    return _marked(sorted(found, key=_order))


def _either(one: Record, other: Record) -> Record:
    """Return one of two records of the same result, from two folders.

    Raises:
        RunError: They are of one moment, so one is a copy of the other, and their accuracies differ.
    """
    if (one.key, one.created) == (other.key, other.created) and one.top1 != other.top1:
        places = [f"{record.folder} has {100 * record.top1:.2f} %" for record in (one, other)]
        raise RunError(
            f"The same result, {one.stream} {one.experiment}, {one.subject}, seed {one.seed}, of {one.created}, is "
            f"there twice with another top-1: {', '.join(places)}. One of them was changed: leave one out."
        )
    return max(one, other, key=lambda record: (bool(record.scores), record.created))


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


_NAMED = ("method", "model.backbone")
"""What tells encoders apart in one word; where it does, no other setting is named."""


def _marked(rows: list[Row]) -> list[Row]:
    """Give rows that a table could not tell apart a mark: the settings in which they differ."""
    from dataclasses import replace

    alike: dict[tuple[object, ...], list[int]] = {}
    for place, row in enumerate(rows):
        first = row.first
        seen = (table_key(first), first.stream, row.experiment, first.subject, first.epoch)
        alike.setdefault(seen, []).append(place)
    for places in alike.values():
        facts = [_facts(rows[place].first) for place in places]
        keys = sorted({key for fact in facts for key in fact})
        differing = [key for key in keys if len({repr(fact.get(key)) for fact in facts}) > 1]
        if "train_clips" in differing and len(differing) > 1:
            differing.remove("train_clips")
        named = [key for key in _NAMED if key in differing]
        few = next((keys for keys in (named, differing[:2]) if _apart(facts, keys) == len(facts)), differing)
        shown = few if few == differing[:2] else telling(facts, few)
        for place, fact in zip(places, facts, strict=True):
            words = [f"{key.rpartition('.')[2]}={word(fact.get(key))}" for key in shown]
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
            "data": file_name(one.data), "split": one.split, "epoch": one.epoch, "limit": one.limit,
            "test_clips": one.test_clips, "data_digest": one.data_digest,
        }  # fmt: skip
        facts.append({"result": f"{one.stream} {row.experiment}"} | plain | _facts(one))
    settings = sorted({key for fact in facts for key in fact} - facts[0].keys())
    keys = telling(facts, dict.fromkeys([*facts[0], *settings]))
    return [" ".join(f"{key}={word(fact.get(key))}" for key in keys if key != "result") for fact in facts]


def _facts(record: Record) -> dict[str, Any]:
    named, weights = _name(record)
    facts = {"encoder": named, "weights": weights, "train_clips": record.train_clips}
    return {**record.pretrain_settings, **deciding(record.settings), **facts}


_LONGEST = 40
"""Most letters of a value that tells results apart."""


def word(value: Any) -> str:
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


def table_key(record: Record) -> tuple[object, ...]:
    """Return what the records of one table have in common."""
    return record.dataset, record.split, record.data_digest, record.limit, record.test_clips, record.leak
