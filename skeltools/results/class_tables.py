"""Rows to tables by class: accuracies and confusions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from skeltools.errors import counted
from skeltools.results.cells import SHORT, percent
from skeltools.results.joined import Row
from skeltools.results.report import by_table, title
from skeltools.results.tables import Grid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
            columns += [(SHORT.get(row.subject, row.subject), True) for row in group]
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
    return percent(sum(values) / len(values)) if values else "-"


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
            grid.add([classes[true], classes[guess], str(count), percent(count / int(totals[true]))])
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
