"""Comparing two results on the same test clips."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from skeltools.errors import RunError, counted, did_you_mean
from skeltools.results import cells, joined
from skeltools.results import record as results
from skeltools.results.cells import percent
from skeltools.results.record import Record
from skeltools.results.significance import McNemar, bootstrap, mcnemar
from skeltools.results.tables import Grid
from skeltools.settings import parse_override, unknown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Comparison:
    """Two results on the same clips.

    Attributes:
        seeds: Seeds of the pairs, A's and B's.
        clips: Test clips.
        a: Top-1 of A, mean over seeds.
        b: Top-1 of B.
        low: 95 % bootstrap interval of B - A over test clips, lower end.
        high: Upper end.
        tests: McNemar's test of each pair.
        classes: Name, clips, top-1 of A and of B of each class that has test clips.
    """

    seeds: list[tuple[int, int]]
    clips: int
    a: float
    b: float
    low: float
    high: float
    tests: list[McNemar]
    classes: list[tuple[str, int, float, float]]


def pick(
    where: str,
    protocol: str,
    variant: str | None = None,
    stream: str | None = None,
    *,
    data: str | None = None,
    split: str | None = None,
    epoch: int | None = None,
    limit: int | None = None,
    settings: Sequence[str] = (),
    tell: Callable[[str], object] = lambda _: None,
) -> list[Record]:
    """Return the records that differ in their seed alone and that a text names.

    Results of a part of the clips are left out where there are others, unless `limit` or an id asks for them.

    Args:
        where: The ``.json`` file of a record; or a run folder or folder of runs, with ``@SUBJECT`` where not
            the pretrained encoder is meant, or with ``@ID`` of a result, which needs nothing further.
        protocol: Name of the protocol.
        variant: Variant; None where there is only one.
        stream: Stream, likewise.
        data: Converted file: its path, its name, or the beginning of its content digest; likewise.
        split: Split, likewise.
        epoch: Pretraining epochs behind the encoder, likewise.
        limit: What ``--limit`` of 'eval' was, for results of a part of the clips.
        settings: ``key=value`` texts, of the protocol's or the pretraining's settings.
        tell: Receiver of a sentence about what was left out.

    Raises:
        RunError: Nothing fits, or several results do; the message says how they differ.
        SettingError: No result there has such a setting.
    """
    if where.endswith(".json"):
        return [results.read(Path(where))]
    path, word = where, "pretrained"
    if not Path(where).is_dir() and "@" in where:
        path, _, word = where.rpartition("@")
    if word not in results.SUBJECT_WORDS and _ID.fullmatch(word):
        return _by_id(path, word)
    if word not in results.SUBJECT_WORDS:
        known = results.SUBJECT_WORDS
        raise RunError(
            f"Unknown subject '{word}' in '{where}'. Choose one of: {', '.join(known)}, or the id of a result."
            f"{did_you_mean(word, known)}"
        )
    kind = [
        record
        for record in results.read_folders([Path(path)])
        if (record.protocol, record.subject) == (protocol, results.SUBJECT_WORDS[word])
    ]
    asked = _parsed(kind, settings)
    found = [
        record
        for record in kind
        if variant in (None, record.variant)
        and stream in (None, record.stream)
        and split in (None, record.split)
        and epoch in (None, record.epoch)
        and limit in (None, record.limit)
        and (data is None or _is_of(record, data))
        and all(_settings(record).get(key, _NONE) == value for key, value in asked.items())
    ]
    whole = [record for record in found if not record.partial]
    if limit is None and whole and len(whole) < len(found):
        parts = counted(len(found) - len(whole), "partial result")
        tell(f"{path}: {parts} of {protocol} left out; --limit N takes those of N clips per side.")
        found = whole
    rows = joined.rows(found)
    if not rows:
        given = {
            "variant": variant, "stream": stream, "data": data, "split": split, "epoch": epoch, "limit": limit,
        }  # fmt: skip
        words = [f"{name} {value}" for name, value in given.items() if value is not None] + list(settings)
        told = ", ".join(words)
        variants = sorted({record.variant for record in kind if record.variant})
        hint = f" Its variants: {', '.join(variants)}." if variant is not None and variants else ""
        raise RunError(
            f"{path} has no {protocol} result of '{results.SUBJECT_WORDS[word]}'"
            f"{f' with {told}' if told else ''}.{hint} See what there is: "
            f"skeltools report {path}"
        )
    if len(rows) > 1:
        listed = named(rows)
        more = f"; and {len(listed) - _MOST} more" if len(listed) > _MOST else ""
        raise RunError(
            f"{path} has several {protocol} results: {'; '.join(listed[:_MOST])}{more}. Choose with --stream, "
            "--variant, --data, --split, --epoch, --limit or --set, or name one by its id: "
            f"{path}@{rows[0].id}"
        )
    return list(rows[0].records)


def named(rows: Sequence[joined.Row]) -> list[str]:
    """Return of each of several results its id, what it is, and how it differs from the others."""
    return [
        f"{row.id} {row.first.stream} {row.experiment}{f' ({words})' if words else ''}"
        for row, words in zip(rows, joined.differences(rows), strict=True)
    ]


_ID = re.compile(r"[0-9a-f]{4,64}", re.ASCII)
_NONE = object()
_MOST = 6
"""Most results that a message lists."""


def _by_id(path: str, word: str) -> list[Record]:
    rows = joined.rows(results.read_folders([Path(path)]))
    found = [row for row in rows if row.id.startswith(word[: joined.ID_DIGITS])]
    if len(found) != 1:
        what = "no result" if not found else f"{counted(len(found), 'result')}"
        raise RunError(f"{path} has {what} with id {word}. See the ids: skeltools report {path} --ids")
    return list(found[0].records)


def _settings(record: Record) -> dict[str, object]:
    return {**record.pretrain_settings, **record.settings}


def _parsed(records: Sequence[Record], texts: Sequence[str]) -> dict[str, object]:
    """Return values by key of ``key=value`` texts.

    Raises:
        SettingError: No record has such a setting.
    """
    found = dict(map(parse_override, texts))
    known = {key for record in records for key in _settings(record)}
    for key in found:
        if known and key not in known:
            raise unknown(key, "--set", known)
    return found


def _is_of(record: Record, data: str) -> bool:
    """Tell whether a record is of a converted file: its path, its name, or the beginning of its digest."""
    return (
        Path(record.data).resolve() == Path(data).resolve()
        or Path(record.data).name == data
        or bool(re.fullmatch(r"[0-9a-f]{6,64}", data) and record.data_digest.startswith(data))
    )


def compare(a: Sequence[Record], b: Sequence[Record]) -> Comparison:
    """Compare two results, pairing equal seeds; two single results are paired whatever their seeds.

    Raises:
        RunError: No seed is common, or the results are not of the same clips and labels.
    """
    import numpy as np

    pairs = _pairs(a, b)
    names = sorted(pairs[0][0].side().names)
    right_a, right_b = [], []
    for one, two in pairs:
        right_a.append(_hits(one, names, pairs[0][0]))
        right_b.append(_hits(two, names, pairs[0][0]))
    mean_a, mean_b = (np.mean(right, axis=0) for right in (right_a, right_b))
    low, high = bootstrap(mean_b - mean_a)
    side = pairs[0][0].side()
    place = {name: row for row, name in enumerate(side.names)}
    labels = side.labels[[place[name] for name in names]]
    classes = [
        (name, int(own.sum()), float(mean_a[own].mean()), float(mean_b[own].mean()))
        for label, name in enumerate(side.classes)
        if (own := labels == label).any()
    ]
    return Comparison(
        seeds=[(one.seed, two.seed) for one, two in pairs],
        clips=len(names),
        a=float(mean_a.mean()),
        b=float(mean_b.mean()),
        low=low,
        high=high,
        tests=[mcnemar(one, two) for one, two in zip(right_a, right_b, strict=True)],
        classes=classes,
    )


def _pairs(a: Sequence[Record], b: Sequence[Record]) -> list[tuple[Record, Record]]:
    if len(a) == len(b) == 1:
        return [(a[0], b[0])]
    first, second = ({record.seed: record for record in group} for group in (a, b))
    common = sorted(first.keys() & second.keys())
    if not common:
        raise RunError(
            f"The results have no seed in common: {', '.join(map(str, first))} against "
            f"{', '.join(map(str, second))}. Run the protocol with the same --seed."
        )
    return [(first[seed], second[seed]) for seed in common]


def _hits(record: Record, names: list[str], first: Record) -> NDArray[np.bool_]:
    """Return whether each clip was classified right, in the order of `names`."""
    side, other = record.side(), first.side()
    if sorted(side.names) != names:
        odd = sorted(set(side.names) ^ set(names))
        raise RunError(
            f"The results are not of the same test clips: '{odd[0]}' is in one only. Evaluate both on "
            "the same file and split."
        )
    labels = dict(zip(other.names, other.labels.tolist(), strict=True))
    if any(labels[name] != label for name, label in zip(side.names, side.labels.tolist(), strict=True)):
        raise RunError(
            "The results have different labels for the same clips. Evaluate both on the same file."
        )
    right = dict(zip(side.names, joined.hits(side).tolist(), strict=True))
    import numpy as np

    return np.array([right[name] for name in names], bool)


def grids(found: Comparison, a: Record, b: Record, most: int) -> list[Grid]:
    """Return the comparison as grids: the whole, and the `most` classes with the largest gains and losses.

    Args:
        found: The comparison.
        a: A record of A, for names.
        b: A record of B.
        most: Classes a list.
    """
    names = [describe(one) for one in (a, b)]
    if names[0] == names[1]:  # they differ in what is not said of every result
        names = [f"{name}, {told}" if told else name for name, told in zip(names, _apart(a, b), strict=True)]
    head = Grid(
        [
            f"{caveat(a, b)}{a.dataset} {a.split}: {counted(found.clips, 'test clip')}, "
            f"{counted(len(found.seeds), 'pair')} of seeds",
            f"A: {names[0]}",
            f"B: {names[1]}",
        ],
        [("", False), ("A", True), ("B", True), ("B - A", True), ("95 %", True)],
        notes=["95 %: bootstrap over test clips of the difference of the means over seeds"],
    )
    interval = f"{100 * found.low:+.1f} to {100 * found.high:+.1f}"
    head.add(["top-1", percent(found.a), percent(found.b), f"{100 * (found.b - found.a):+.1f}", interval])
    test = Grid(
        ["McNemar's exact test on the same clips"],
        [("seeds", False), ("only A right", True), ("only B right", True), ("p", True)],
    )
    for (one, two), result in zip(found.seeds, found.tests, strict=True):
        seed = str(one) if one == two else f"{one} against {two}"
        test.add([seed, str(result.only_a), str(result.only_b), f"{result.p:.2g}"])
    return [head, test, *_class_grids(found, most)]


def _class_grids(found: Comparison, most: int) -> list[Grid]:
    made = []
    for words, sign in (("gains of B", 1), ("losses of B", -1)):
        ranked = sorted(found.classes, key=lambda item: sign * (item[2] - item[3]))
        kept = [item for item in ranked[:most] if sign * (item[3] - item[2]) > 0]
        columns = [("class", False), ("clips", True), ("A", True), ("B", True), ("B - A", True)]
        grid = Grid([f"Largest {words} by class"], columns)
        for name, clips, one, two in kept:
            grid.add([name, str(clips), percent(one), percent(two), f"{100 * (two - one):+.1f}"])
        made += [grid] if kept else []
    return made


def _apart(a: Record, b: Record) -> list[str]:
    """Return what tells each of two results from the other; empty texts where nothing but the seed does."""
    rows = joined.rows([a]) + joined.rows([b])
    return joined.differences(rows)


def caveat(a: Record, b: Record) -> str:
    """Return the words before the title of a comparison of two results."""
    if a.caveat == b.caveat:
        return a.caveat
    return "".join(f"{name}: {one.caveat}" for name, one in (("A", a), ("B", b)) if one.caveat)


def describe(record: Record) -> str:
    """Return a result in a few words."""
    epochs = "" if record.epoch is None else f", {cells.epochs_of(record)}"
    name = "" if record.encoder == "none" else f" ({record.encoder})"
    return f"{record.stream} {record.experiment}, {record.subject}{epochs}{name}"
