"""Whether one subject is better than another, by the intervals of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skeltools.results.cells import interval
from skeltools.results.joined import Row, table_key
from skeltools.results.significance import Spread


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
            f"over {what} {interval(*pair[0])} and {interval(*pair[1])}, "
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
            same = (*table_key(row.first), row.first.stream, row.experiment) == (
                *table_key(other.first), other.first.stream, other.experiment,
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
