"""Whether a classifier knows how sure it may be: calibration, from the test scores beside records.

Scores are logits; a softmax makes probabilities p of them. The confidence of a clip is that of its best-scored class.
A temperature T divides the logits; it is fitted on training clips held out from the classifier, never on test clips,
and changes no guess.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from skeltools.results import report
from skeltools.results.joined import Row
from skeltools.results.kinds import kind_of
from skeltools.results.robustness import name as name_of
from skeltools.results.tables import Grid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BINS = 15
"""Bins of confidence (Guo et al., ICML 2017)."""

RESAMPLES = 1000
"""Resamples of a bootstrap; these measures are not means, so each is computed anew."""

_LOG_T = 5.0
"""Logarithms of the temperature are looked for within this."""


def probabilities(scores: NDArray[np.floating], temperature: float = 1.0) -> NDArray[np.float64]:
    """Return the softmax of scores (n, classes) divided by a temperature, float64.

    A clip without a finite score gets equal shares.
    """
    import numpy as np

    x = np.asarray(scores, np.float64) / temperature
    best = x.max(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", over="ignore"):
        shares = np.exp(x - np.where(np.isfinite(best), best, 0))
        total = shares.sum(axis=1, keepdims=True)
        found: NDArray[np.float64] = np.where(
            np.isfinite(total) & (total > 0), shares / total, 1 / x.shape[1]
        )
    return found


class Bin(NamedTuple):
    """Clips of like confidence.

    Attributes:
        low: Least confidence that falls into it.
        high: Greatest.
        clips: How many do.
        confidence: Their mean confidence; NaN in an empty bin.
        accuracy: Share of them that is right; NaN in an empty bin.
    """

    low: float
    high: float
    clips: int
    confidence: float
    accuracy: float


def reliability(clips: Judged, bins: int = BINS, *, adaptive: bool = False) -> list[Bin]:
    """Return a reliability diagram: clips by confidence, in bins of equal width, or of equal numbers of clips.

    Args:
        clips: The clips.
        bins: How many.
        adaptive: Whether bins have equal numbers of clips, as near as may be, in the order of confidence.
    """
    import numpy as np

    confidence, right = clips.confidence, clips.right
    if adaptive:
        order = np.argsort(confidence, kind="stable")
        groups = [part for part in np.array_split(order, bins) if len(part)]
        edges = [(float(confidence[part[0]]), float(confidence[part[-1]])) for part in groups]
    else:
        # (0, 1/b], (1/b, 2/b] and so on
        place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
        groups = [np.flatnonzero(place == number) for number in range(bins)]
        edges = [(number / bins, (number + 1) / bins) for number in range(bins)]
    return [
        Bin(
            *edge,
            len(part),
            float(confidence[part].mean()) if len(part) else float("nan"),
            float(right[part].mean()) if len(part) else float("nan"),
        )
        for edge, part in zip(edges, groups, strict=True)
    ]


class Judged(NamedTuple):
    """Test clips, one value each, (n,).

    Attributes:
        confidence: Probability of the best-scored class.
        right: Whether that class is the true one.
        loss: Negative logarithm of the true class's probability, nats.
        square: Squared distance of the probabilities from the true class's, summed over classes.
    """

    confidence: NDArray[np.float64]
    right: NDArray[np.bool_]
    loss: NDArray[np.float64]
    square: NDArray[np.float64]

    def of(self, rows: NDArray[np.int64]) -> Judged:
        """Return some of the clips."""
        return Judged(self.confidence[rows], self.right[rows], self.loss[rows], self.square[rows])


def judge(p: NDArray[np.float64], labels: NDArray[np.int64]) -> Judged:
    """Judge probabilities (n, classes) by the true classes (n,); a probability of 0 counts as the least number."""
    import numpy as np

    own = p[np.arange(len(labels)), labels]
    loss = -np.log(np.maximum(own, np.finfo(np.float64).tiny))
    return Judged(p.max(axis=1), p.argmax(axis=1) == labels, loss, (p**2).sum(axis=1) - 2 * own + 1)


def ece(clips: Judged, bins: int = BINS) -> float:
    """Return the expected calibration error: the mean gap of confidence and accuracy, bins of equal width."""
    import numpy as np

    place = np.clip(np.ceil(clips.confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(place, clips.confidence - clips.right, minlength=bins)
    return float(np.abs(gaps).sum() / len(place))


def ace(clips: Judged, bins: int = BINS) -> float:
    """Return the adaptive calibration error: the same with bins of equal numbers of clips."""
    import numpy as np

    order = np.argsort(clips.confidence, kind="stable")
    gaps = (clips.confidence - clips.right)[order]
    return float(sum(abs(part.sum()) for part in np.array_split(gaps, bins)) / len(order))


def nll(clips: Judged) -> float:
    """Return the negative log-likelihood of the true classes, nats per clip."""
    return float(clips.loss.mean())


def brier(clips: Judged) -> float:
    """Return the Brier score, summed over classes, mean over clips: 0 is best, 2 worst."""
    return float(clips.square.mean())


def risks(clips: Judged) -> NDArray[np.float64]:
    """Return the share of wrong guesses among the k most confident clips, k = 1 to n: the risk-coverage curve.

    Clips of equal confidence, as logits far apart give, count as in any order alike: the share is its expectation.
    """
    import numpy as np

    order = np.argsort(-clips.confidence, kind="stable")
    wrong = (~clips.right[order]).astype(np.float64)
    _, start, counts = np.unique(-clips.confidence[order], return_index=True, return_counts=True)
    wrong = np.repeat(np.add.reduceat(wrong, start) / counts, counts)
    found: NDArray[np.float64] = np.cumsum(wrong) / np.arange(1, len(order) + 1)
    return found


def aurc(clips: Judged) -> float:
    """Return the area under the risk-coverage curve: the mean risk over all coverages."""
    return float(risks(clips).mean())


MEASURES: dict[str, Callable[[Judged], float]] = {
    "ECE": ece,
    "ACE": ace,
    "NLL": nll,
    "Brier": brier,
    "AURC": aurc,
}
"""Every measure, by what tables call it."""

_IN_PERCENT = ("ECE", "ACE", "AURC")


def temperature(scores: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """Return the temperature that makes the labels of held-out clips likeliest, from exp(-5) to exp(5).

    Args:
        scores: Logits of the clips, (n, classes).
        labels: (n,).
    """
    import math

    from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]

    found = minimize_scalar(
        lambda log: nll(judge(probabilities(scores, math.exp(log)), labels)),
        bounds=(-_LOG_T, _LOG_T),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return math.exp(float(found.x))


@dataclass(frozen=True)
class Measured:
    """What was measured on the same test clips of one record or several seeds.

    Attributes:
        values: Value by measure, mean over seeds.
        low: Lower end of the 95 % bootstrap interval of that mean over test clips.
        high: Upper end.
        temperature: By which logits were divided, mean over seeds; 1 for scores as they are.
    """

    values: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    temperature: float = 1.0


def measure(seeds: Sequence[Judged], by: float = 1.0) -> Measured:
    """Measure the same clips, in the same order, as one seed or several judged them.

    A resample draws the same clips for every seed, as the mean over seeds is what its interval is of.

    Args:
        seeds: What each seed made of the clips.
        by: Mean of their temperatures.
    """
    import numpy as np

    draws = np.random.default_rng(0)
    clips = len(seeds[0].right)
    samples: dict[str, list[float]] = {name: [] for name in MEASURES}
    for _ in range(RESAMPLES):
        drawn = draws.integers(0, clips, clips)
        parts = [one.of(drawn) for one in seeds]
        for name, function in MEASURES.items():
            samples[name].append(sum(map(function, parts)) / len(parts))
    ends = {name: np.percentile(values, [2.5, 97.5]) for name, values in samples.items()}
    return Measured(
        {name: sum(map(function, seeds)) / len(seeds) for name, function in MEASURES.items()},
        {name: float(end[0]) for name, end in ends.items()},
        {name: float(end[1]) for name, end in ends.items()},
        by,
    )


def has_logits(row: Row) -> bool:
    """Tell whether the scores of a row are logits and lie in a folder."""
    return kind_of(row.first).logits and all(record.folder is not None for record in row.records)


def of_row(row: Row) -> tuple[Measured, Measured | None]:
    """Return what was measured over the seeds of a row, as it is and after their temperatures.

    The second is None where held-out scores were not recorded of every seed.

    Raises:
        RunError: Scores are missing or damaged.
    """
    import numpy as np

    plain, tempered, temperatures = [], [], []
    for record in row.records:
        side = record.side()
        order = np.argsort(np.array(side.names))
        scores, labels = side.scores[order], side.labels[order]
        plain.append(judge(probabilities(scores), labels))
        if side.held_scores is not None and side.held_labels is not None:
            temperatures.append(temperature(side.held_scores, side.held_labels))
            tempered.append(judge(probabilities(scores, temperatures[-1]), labels))
    every = len(tempered) == len(plain)
    mean = sum(temperatures) / len(temperatures) if temperatures else 1.0
    return measure(plain), measure(tempered, mean) if every else None


NOTES = (
    "ECE, ACE, AURC in %; ECE: gap of confidence and accuracy, 15 bins of equal width; ACE: of equal numbers of clips",
    "NLL: nats per clip; Brier: summed over classes, 0 to 2; AURC: area under the risk-coverage curve",
    "T: temperature, fitted on training clips held out from a classifier of the same settings; guesses stay",
    "95 %: interval of the mean over seeds, bootstrap over test clips",
)


def grids(rows: Sequence[Row]) -> list[Grid]:
    """Return one grid per table: calibration as it is and, where held-out scores are recorded, after temperature.

    Rows whose scores are not logits are passed over.
    """
    made = []
    for part in report.by_table([row for row in rows if has_logits(row)], kinds=True):
        columns = [("stream", False), ("protocol", False), ("encoder", False), ("T", True), ("top-1", True)]
        for name in MEASURES:
            columns += [(name, True), (f"{name} 95 %", True)]
        title = [*report.title(part)[:1], "calibration of the test scores"]
        grid = Grid(title, columns, notes=list(NOTES), keys=4)
        for row in part:
            for place, found in enumerate(of_row(row)):
                if found is not None:
                    by = "-" if not place else f"{found.temperature:.2f}"
                    grid.add(
                        [row.first.stream, row.label, name_of(row), by, f"{100 * row.top1.mean:.1f}",
                         *_cells(found)],
                        new_section=not place,
                    )  # fmt: skip
        made.append(grid.without({"stream"} if len({row.first.stream for row in part}) == 1 else set()))
    return made


def _cells(found: Measured) -> list[str]:
    cells = []
    for name, value in found.values.items():
        size, digits = (100.0, 1) if name in _IN_PERCENT else (1.0, 3)
        ends = (f"{size * end[name]:.{digits}f}" for end in (found.low, found.high))
        cells += [f"{size * value:.{digits}f}", "-".join(ends)]
    return cells
