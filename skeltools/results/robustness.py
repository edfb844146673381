"""Tables of accuracy on corrupted test clips, from the records of ``robust``."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skeltools.results import cells, report
from skeltools.results.cells import percent
from skeltools.results.joined import Row
from skeltools.results.record import PRETRAINED, RAW
from skeltools.results.significance import RESAMPLES, Spread, bootstrap, spread
from skeltools.results.tables import Grid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLEAN = "clean"
"""The measure of the clips as they are."""

_SEVERITY = re.compile(r"(?:,|(?<=\())\s*([\d.]+(?:e[+-]?\d+)?)\s*(?=\))")


@dataclass(frozen=True)
class Level:
    """A corruption at one severity.

    Attributes:
        text: How it is written, such as ``drop_frames(block,0.5)``, which is the measure's name.
        family: The same without its severity: ``drop_frames(block)``.
        severity: What was left out: ``0.5``.
    """

    text: str
    family: str
    severity: str

    @classmethod
    def of(cls, text: str) -> Level:
        """Return the level that a measure's name stands for."""
        family = _SEVERITY.sub("", text).replace("()", "")
        return cls(text, family, " ".join(_SEVERITY.findall(text)))


def families(row: Row) -> dict[str, list[Level]]:
    """Return the levels of a row by family, in the order they were run."""
    found: dict[str, list[Level]] = {}
    for text in row.metrics:
        if text != CLEAN:
            level = Level.of(text)
            found.setdefault(level.family, []).append(level)
    return found


def by_family(row: Row) -> dict[str, float]:
    """Return the accuracy under each corruption, mean over severities and seeds."""
    return {
        name: sum(row.metrics[level.text].mean for level in levels) / len(levels)
        for name, levels in families(row).items()
    }


def corrupted(row: Row) -> float:
    """Return the accuracy on corrupted clips, mean over families, each the mean over its severities."""
    found = by_family(row)
    return sum(found.values()) / len(found)


def seeds_of(row: Row) -> Spread:
    """Return the accuracy on corrupted clips, and how it spreads over the seeds of a row."""
    kept = families(row).values()
    return spread(
        [
            sum(sum(record.metrics[level.text] for level in levels) / len(levels) for levels in kept)
            / len(kept)
            for record in row.records
        ]
    )


def _errors(row: Row) -> NDArray[np.float64] | None:
    """Return how often each clip is wrong under each family, mean over severities and seeds, (clips, families).

    Clips are in the order of their names. None where scores are not at hand.
    """
    import numpy as np

    if any(record.folder is None for record in row.records):
        return None
    kept = families(row).values()
    total: NDArray[np.float64] = np.zeros((row.first.test_clips, len(kept)))
    for record in row.records:
        side = record.side()
        if any(level.text not in side.guesses for levels in kept for level in levels):
            return None
        wrong = [
            np.mean([side.guesses[level.text] != side.labels for level in levels], axis=0) for levels in kept
        ]
        total += np.stack(wrong, axis=1)[np.argsort(np.array(side.names))]
    found: NDArray[np.float64] = total / len(row.records)
    return found


def interval(row: Row) -> tuple[float, float] | None:
    """Return the 95 % interval of `corrupted` over test clips, the same ones under all corruptions.

    None where scores are not at hand.
    """
    errors = _errors(row)
    return None if errors is None else bootstrap(1 - errors.mean(axis=1))


def _raw_of(row: Row, rows: Sequence[Row]) -> Row | None:
    """Return the row of raw coordinates with the same levels on the same stream, or None."""
    found = (
        other
        for other in rows
        if (other.subject, other.first.stream) == (RAW, row.first.stream)
        and other.metrics.keys() == row.metrics.keys()
    )
    return next(found, None)


def error_to_raw(row: Row, rows: Sequence[Row]) -> float | None:
    """Return the mean corruption error relative to raw coordinates; None where they have no row of the same levels.

    Of each family the errors over all severities by those of raw coordinates on the same stream, then the mean over
    families: 1 breaks as raw coordinates do (Hendrycks and Dietterich, ICLR 2019, with raw coordinates in the place
    of AlexNet).
    """
    raw = _raw_of(row, rows)
    if raw is None:
        return None
    mine, theirs = by_family(row), by_family(raw)
    if any(share >= 1 for share in theirs.values()):
        return None
    return sum((1 - mine[name]) / (1 - theirs[name]) for name in mine) / len(mine)


def error_interval(row: Row, rows: Sequence[Row]) -> tuple[float, float] | None:
    """Return the 95 % interval of `error_to_raw`: resampled test clips, the same for a row and raw coordinates.

    None where there is no such error, or scores are not at hand.
    """
    import numpy as np

    raw = _raw_of(row, rows)
    if raw is None or error_to_raw(row, rows) is None:
        return None
    mine, theirs = _errors(row), _errors(raw)
    if mine is None or theirs is None or mine.shape != theirs.shape:
        return None
    counts = np.random.default_rng(0).multinomial(
        len(mine), np.full(len(mine), 1 / len(mine)), size=RESAMPLES
    )
    own, other = counts @ mine, counts @ theirs
    ratio = np.where(other > 0, own / np.where(other > 0, other, 1), np.nan).mean(axis=1)
    low, high = np.nanpercentile(ratio, [2.5, 97.5])
    return float(low), float(high)


def name(row: Row) -> str:
    """Return what a row's encoder is called: the run's folder, or the baseline, with the folder it is of.

    Runs that differ in their seed alone are called by what their folders have in common: ``joint`` for
    ``joint-seed0`` and ``joint-seed1``, ``method`` for ``method/seed0/joint`` and ``method/seed1/joint``.
    """
    paths = sorted({record.encoder.replace("\\", "/").rstrip("/") for record in row.records})
    last = [path.rpartition("/")[2] for path in paths]
    folder = last[0]
    if len(paths) > 1 and len(set(last)) == 1:
        folder = posixpath.commonpath([path.lstrip("/") for path in paths]).rpartition("/")[2] or folder
    elif len(paths) > 1:
        shared = posixpath.commonprefix(last)
        folder = shared.rstrip("0123456789-_. ").removesuffix("seed").rstrip("-_. ") or folder
    if row.subject == PRETRAINED:
        return folder
    short = cells.short(row.subject)
    return short if row.subject == RAW else f"{short} ({folder})"


def names(rows: Sequence[Row]) -> list[str]:
    """Return what the encoders of rows are called, with the stream where there are several."""
    streams = {row.first.stream for row in rows}
    return [name(row) + (f" {row.first.stream}" if len(streams) > 1 else "") for row in rows]


def ranked(rows: Sequence[Row]) -> list[Row]:
    """Return rows by accuracy on corrupted clips, the best first."""
    return sorted(rows, key=lambda row: -corrupted(row))


def grids(rows: Sequence[Row]) -> list[Grid]:
    """Return the ranking of encoders, and their accuracy by corruption; tables of their own for other corruptions.

    Args:
        rows: Rows of ``robust`` on the same clips.
    """
    tables = alike(rows)
    if len(tables) > 1:
        return [grid for same in tables for grid in grids(same)]
    rows = ranked(rows)
    head = Grid(
        report.title(rows),
        [(word, place > 1) for place, word in enumerate(
            ("rank", "encoder", "clean", "95 %", "corrupted", "95 % ", "lost", "mCE", "mCE 95 %", "seeds")
        )],
    )  # fmt: skip
    for place, (row, label) in enumerate(zip(rows, names(rows), strict=True)):
        over, error = interval(row), error_to_raw(row, rows)
        clean, broken = row.top1.mean, corrupted(row)
        head.add(
            [
                str(place + 1), label, _with_spread(row.top1), _between(row.clips), _with_spread(seeds_of(row)),
                _between(over), percent(clean - broken), "-" if error is None else percent(error),
                _between(error_interval(row, rows)), cells.seeds(row),
            ]
        )  # fmt: skip
    head.notes = [
        "corrupted: accuracy in % on corrupted clips, mean over corruptions, of each over its severities",
        "95 %: bootstrap over test clips; ±: sample deviation over seeds",
        "mCE: mean corruption error in % of that of raw coordinates on the same stream; below 100 breaks less",
    ]
    found = dict.fromkeys(family for row in rows for family in families(row))
    body = Grid(
        [*report.title(rows)[:1], "top-1 in % by corruption, mean over severities"],
        [("corruption", False), *((label, True) for label in names(rows))],
    )
    shares = [by_family(row) for row in rows]
    body.add(["clean", *(percent(row.top1.mean) for row in rows)])
    for place, family in enumerate(found):
        body.add(
            [family, *(percent(share[family]) if family in share else "-" for share in shares)],
            new_section=place == 0,
        )
    same = {"seeds"} if len({row[-1] for row in head.rows}) == 1 else set()
    unknown = {"mCE 95 %"} if {row[-2] for row in head.rows} == {"-"} else set()
    return [head.without(same | unknown), body]


def alike(rows: Sequence[Row]) -> list[list[Row]]:
    """Return the rows by what their clips were corrupted with: means over other corruptions cannot be compared."""
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        found.setdefault(tuple(row.metrics), []).append(row)
    return list(found.values())


def severities(rows: Sequence[Row]) -> list[Grid]:
    """Return accuracies at every severity, one grid per table; rows of other protocols are passed over."""
    made = []
    mine = [row for row in rows if CLEAN in row.metrics and len(row.metrics) > 1]
    for part in (same for table in report.by_table(mine, kinds=True) for same in alike(table)):
        part = ranked(part)
        grid = Grid(
            [*report.title(part)[:1], "top-1 in % by corruption and severity"],
            [("corruption", False), ("severity", True), *((label, True) for label in names(part))],
        )
        texts = dict.fromkeys(text for row in part for text in row.metrics if text != CLEAN)
        before = ""
        for text in texts:
            level = Level.of(text)
            cells = [percent(row.metrics[text].mean) if text in row.metrics else "-" for row in part]
            grid.add([level.family, level.severity, *cells], new_section=level.family != before)
            before = level.family
        made.append(grid)
    return made


def _with_spread(value: Spread) -> str:
    return percent(value.mean) + ("" if value.sd is None else f" ± {100 * value.sd:.1f}")


def _between(found: tuple[float, float] | None) -> str:
    return "-" if found is None else f"{percent(found[0])}-{percent(found[1])}"
