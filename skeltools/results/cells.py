"""What tables say of a number, a subject, an epoch and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from skeltools.errors import counted

if TYPE_CHECKING:
    from skeltools.results.joined import Row
    from skeltools.results.record import Record
    from skeltools.results.significance import Spread

SHORT = {"random, standardised": "standardised", "raw coordinates": "raw"}
"""What tables call subjects whose names are long."""


def percent(share: float) -> str:
    """Return a share in [0, 1] in per cent."""
    return f"{100 * share:.1f}"


def mean(value: Spread) -> str:
    """Return a mean share in per cent, with its deviation where there are several seeds."""
    text = percent(value.mean)
    return text if value.sd is None else f"{text} ± {100 * value.sd:.1f}"


def interval(low: float | None, high: float | None) -> str:
    """Return an interval of shares in per cent, kept within 0 and 100."""
    if low is None or high is None:
        return "-"
    return f"{percent(max(low, 0.0))}-{percent(min(high, 1.0))}"


def selected(value: Spread | None, epochs: Sequence[int]) -> str:
    """Return an accuracy with the epoch it is of, where there is one seed."""
    if value is None:
        return "-"
    text = percent(value.mean)
    return f"{text} @{epochs[0]}" if value.count == 1 else text


def points(share: float | None) -> str:
    """Return a difference of accuracies in points, with its sign."""
    return "-" if share is None else f"{100 * share:+.1f}"


def epoch(row: Row) -> str:
    """Return the epochs of pretraining, with those planned where the run was not finished."""
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
    return SHORT.get(subject, subject)


def file_name(path: str) -> str:
    """Return the last part of a path, of this system or another."""
    return path.replace("\\", "/").rpartition("/")[2]
