"""Which body part matters: accuracy lost when one is missing, beside what the attention mask holds salient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from skeltools.errors import RunError
from skeltools.results import report
from skeltools.results.joined import Row, hits
from skeltools.results.robustness import Level, name
from skeltools.results.tables import Grid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESAMPLES = 1000

NEEDS_MASK = (
    "Salience of joints and parts needs an attention mask (method skeattnclr, loss.local on) over a backbone that "
    "keeps joints apart, such as stgcn; bigru reads whole frames."
)
"""What every command says where there is none."""


@dataclass(frozen=True)
class Found:
    """What was found for the C classes that have test clips and P parts.

    Attributes:
        classes: Names of the classes, C.
        clips: Test clips of each, C.
        parts: Names of the parts, P.
        lost: Accuracy lost when a part is missing throughout, shares, (C, P); mean over seeds.
        salience: Mean salience of a part in the clips of a class, mean over seeds, (C, P); None for an encoder
            without a mask.
        overall: Spearman's rank correlation of the two over all classes and parts, and its 95 % interval.
        within: The same over the parts of a class, mean over classes.
    """

    classes: list[str]
    clips: list[int]
    parts: list[str]
    lost: NDArray[np.float64]
    salience: NDArray[np.float64] | None
    overall: tuple[float, float, float] | None
    within: tuple[float, float, float] | None

    def __str__(self) -> str:
        if self.salience is not None and self.overall is None:
            return "with fewer than two parts there is no rank correlation of accuracy lost and salience"
        if self.overall is None or self.within is None:
            return f"there is no salience to compare with. {NEEDS_MASK}"
        told = [
            f"{what} {value:+.2f} (95 %: {low:+.2f} to {high:+.2f})"
            if value == value
            else f"{what} none, for one of the two is the same everywhere"
            for what, (value, low, high) in (
                ("over classes and parts", self.overall), ("within classes", self.within),
            )
        ]  # fmt: skip
        return f"rank correlation of accuracy lost and salience: {', '.join(told)}"


def look(row: Row) -> Found:
    """Return what a row of ``robust`` tells of parts.

    Args:
        row: The row; its corruptions hold ``part(NAME)`` or ``part(NAME,1)``.

    Raises:
        RunError: They do not, or scores are missing or damaged.
    """
    import numpy as np

    texts = {}
    for text in row.metrics:
        level = Level.of(text)
        if level.family.startswith("part(") and "|" not in text and level.severity in ("", "1"):
            texts[level.family[len("part(") : -1]] = text
    if not texts:
        raise RunError(
            "No result here has body parts missing. Make one: skeltools eval RUN --protocol robust"
        )
    sides = [record.side() for record in row.records]
    first, parts = sides[0], list(texts)
    order = {clip: place for place, clip in enumerate(first.names)}
    change = np.zeros((len(first.names), len(parts)))
    masked = all(set(parts) <= set(side.salience) for side in sides)
    mask = np.zeros_like(change) if masked else None
    for side in sides:
        rows = [order[clip] for clip in side.names]
        clean = hits(side)
        for column, text in enumerate(texts.values()):
            broken = side.guesses[text] == side.labels
            change[rows, column] += (clean.astype(float) - broken) / len(sides)
        if mask is not None:
            mask[rows] += np.stack([side.salience[part] for part in parts], axis=1) / len(sides)
    shown = [label for label in range(len(first.classes)) if (first.labels == label).any()]
    own = [np.flatnonzero(first.labels == label) for label in shown]
    lost = np.stack([change[rows].mean(axis=0) for rows in own])
    salience = None if mask is None else np.stack([_mean(mask[rows]) for rows in own])
    overall = within = None
    if mask is not None and salience is not None and len(parts) > 1:
        draws = np.random.default_rng(0)
        samples = []
        for _ in range(RESAMPLES):
            drawn = [draws.choice(rows, len(rows)) for rows in own]
            samples.append(
                _both(
                    np.stack([change[rows].mean(axis=0) for rows in drawn]),
                    np.stack([_mean(mask[rows]) for rows in drawn]),
                )
            )
        values = _both(lost, salience)
        overall, within = (
            (value, *_interval([sample[place] for sample in samples])) for place, value in enumerate(values)
        )
    return Found(
        [first.classes[label] for label in shown],
        [len(rows) for rows in own],
        parts,
        lost,
        salience,
        overall,
        within,
    )


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over clips of (n, P), those that show nobody left out; 0 where none is left."""
    import numpy as np

    known = np.isfinite(values)
    total: NDArray[np.float64] = np.where(known, values, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return total


def _interval(samples: list[float]) -> tuple[float, float]:
    """Return the 95 % interval of samples, those that are NaN left out; NaN where none is left."""
    import numpy as np

    known = [value for value in samples if np.isfinite(value)]
    low, high = np.percentile(known, [2.5, 97.5]) if known else (np.nan, np.nan)
    return float(low), float(high)


def _both(lost: NDArray[np.float64], salience: NDArray[np.float64]) -> tuple[float, float]:
    """Return the rank correlation over all cells of (C, P), and the mean of those of single rows."""
    import numpy as np

    rows = [spearman(one, other) for one, other in zip(lost, salience, strict=True)]
    known = [value for value in rows if np.isfinite(value)]
    return spearman(lost.ravel(), salience.ravel()), float(np.mean(known)) if known else float("nan")


def spearman(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return Spearman's rank correlation of (n,) and (n,), equal values of equal rank; NaN where one is constant."""
    import numpy as np
    from scipy.stats import rankdata  # type: ignore[import-untyped]

    a, b = (rankdata(np.round(values, 12)) for values in (one, other))
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / size) if size else float("nan")


def grids(rows: Sequence[Row]) -> list[Grid]:
    """Return one grid per row of ``robust`` with missing parts: accuracy lost and salience by class and part."""
    made = []
    for row in rows:
        try:
            found = look(row)
        except RunError:
            continue
        columns = [("class", False), ("clips", True), *((part, True) for part in found.parts)]
        if found.salience is not None:
            columns += [(f"s. {part}", True) for part in found.parts]
        grid = Grid(
            [*report.title([row])[:1], f"{name(row)}: points of top-1 lost when a part is missing"], columns
        )
        for place, label in enumerate(found.classes):
            cells = [f"{100 * value:+.0f}" for value in found.lost[place]]
            if found.salience is not None:
                cells += [f"{value:.3f}" for value in found.salience[place]]
            grid.add([label, str(found.clips[place]), *cells])
        grid.notes = [str(found)]
        if found.salience is not None:
            grid.notes.append(
                "s.: share of activation that the attention mask holds salient; 95 %: bootstrap over test clips"
            )
        made.append(grid)
    return made
