"""Accuracy by group: of classes, of performers and cameras, of what an encoder's mask holds salient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

from skeltools.datasets import registry as datasets
from skeltools.errors import RunError, SettingError, did_you_mean
from skeltools.files.texts import parse_toml, read_named
from skeltools.results import joined, report
from skeltools.results.cells import percent
from skeltools.results.joined import Row
from skeltools.results.parts import NEEDS_MASK
from skeltools.results.robustness import names as names_of
from skeltools.results.significance import bootstrap
from skeltools.results.tables import Grid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BY_NAME = {"performer": ("subject",), "camera": ("camera", "view"), "setup": ("setup",)}
"""Words of ``--groups`` for what clip names tell, and the columns it may be called."""

SALIENCE = "salience"
"""Word for the body part that a clip's salience favours."""

NONE = "(no group)"


def packaged() -> list[str]:
    """Return the names of the groupings of classes that ship with the package, sorted."""
    here = files("skeltools.datasets") / "groups"
    return sorted(
        entry.name.removesuffix(".toml") for entry in here.iterdir() if entry.name.endswith(".toml")
    )


def load(name: str) -> tuple[str, dict[str, str]]:
    """Return the title of a grouping and its group by class.

    Args:
        name: A packaged one, or the path of a TOML file with a table ``[classes]``, class to group.

    Raises:
        SettingError: There is none, or it is no such file.
    """
    if name.endswith(".toml"):
        text = read_named(name, "File of groups")
    elif name in packaged():
        text = (files("skeltools.datasets") / "groups" / f"{name}.toml").read_text(encoding="utf-8")
    else:
        known = [*packaged(), *BY_NAME, SALIENCE]
        raise SettingError(
            f"Unknown groups '{name}'. Choose one of: {', '.join(known)}, or give the path of a .toml file."
            f"{did_you_mean(name, known)}"
        )
    try:
        content = parse_toml(text)
    except ValueError as error:
        raise SettingError(f"{name} is not valid TOML: {error}.") from None
    classes = content.get("classes")
    whole = isinstance(classes, dict) and all(isinstance(group, str) and group for group in classes.values())
    if not whole or not classes:
        raise SettingError(
            f'{name} must have a table [classes] of class to group, such as "drink water" = "daily".'
        )
    return str(content.get("title", name)), classes


def of_clips(rows: Sequence[Row], by: str, more: Sequence[Row] = ()) -> tuple[str, dict[str, str]]:
    """Return what a grouping is called and the group of each test clip, by name.

    Args:
        rows: Rows on the same clips.
        more: Further rows, which may hold the salience of these clips.
        by: A word, a packaged grouping of classes or a file.

    Raises:
        SettingError: Nothing of that name, a class that does not exist, or nothing that tells the groups.
        RunError: Scores are missing or damaged.
    """
    first = rows[0].first
    side = first.side()
    if by in BY_NAME:
        return f"by {by}", _by_name(first.dataset, side.names, by)
    if by == SALIENCE:
        return "by the body part that a clip's salience favours", _by_salience([*rows, *more])
    title, classes = load(by)
    unknown = [name for name in classes if name not in side.classes]
    if unknown and by.endswith(".toml"):
        raise SettingError(
            f"{by} groups a class '{unknown[0]}' that {first.dataset} does not have."
            f"{did_you_mean(unknown[0], side.classes)}"
        )
    if len(unknown) == len(classes):
        raise SettingError(f"The groups '{by}' are of other classes than those of {first.dataset}.")
    return title, {
        name: classes.get(side.classes[label], NONE)
        for name, label in zip(side.names, side.labels.tolist(), strict=True)
    }


def _by_name(dataset: str, names: Sequence[str], by: str) -> dict[str, str]:
    """Return what clip names tell."""
    try:
        namings = datasets.get(dataset).namings
    except SettingError:
        namings = ()
    for naming in namings:
        column = next((column for column in BY_NAME[by] if column in naming.columns), None)
        parsed = [naming.parse(name) for name in names]
        if column is not None and all(clip is not None for clip in parsed):
            numbers = [getattr(clip, column) for clip in parsed]
            return {name: f"{by} {number:>3}" for name, number in zip(names, numbers, strict=True)}
    raise SettingError(
        f"The names of {dataset}'s clips do not tell the {by}, so --groups {by} cannot be made."
    )


def _by_salience(rows: Sequence[Row]) -> dict[str, str]:
    """Return the part whose salience in a clip is most above its mean over the test clips."""
    import numpy as np

    for row in rows:
        side = row.first.side()
        if side.salience and set(side.names) == set(rows[0].first.side().names):
            parts = list(side.salience)
            values = np.stack([side.salience[part] for part in parts], axis=1)
            above = values - np.nanmean(values, axis=0)
            best = np.where(np.isnan(above), -np.inf, above).argmax(axis=1)
            return {name: parts[place] for name, place in zip(side.names, best.tolist(), strict=True)}
    raise SettingError(
        f"No result here holds salience. {NEEDS_MASK} Record it: skeltools eval RUN --protocol robust"
    )


def shares(row: Row, groups: Mapping[str, str]) -> dict[str, NDArray[np.float64]]:
    """Return for each group the share of seeds that got each of its clips right, float64.

    Raises:
        RunError: The row is of other clips.
    """
    names, right = joined.mean_hits(row.records)
    if set(names) != groups.keys():
        raise RunError(
            f"{row.first.folder}: '{row.first.stem}' is not of the same clips as the rows beside it."
        )
    found: dict[str, list[float]] = {}
    for name, share in zip(names, right.tolist(), strict=True):
        found.setdefault(groups[name], []).append(share)
    import numpy as np

    return {group: np.array(found[group]) for group in sorted(found)}


def grids(rows: Sequence[Row], by: str, more: Sequence[Row] = ()) -> list[Grid]:
    """Return one grid per table: accuracy of each row by group with intervals, the mean over groups and the worst one.

    Args:
        rows: Rows whose scores lie beside them.
        by: As `of_clips` takes it.
        more: Further rows, which may hold the salience of these clips.
    """
    made = []
    for part in report.by_table([row for row in rows if row.first.folder is not None], kinds=True):
        title, groups = of_clips(part, by, more)
        found = [shares(row, groups) for row in part]
        labels = [f"{label} {row.label}" for label, row in zip(names_of(part), part, strict=True)]
        columns = [("group", False), ("clips", True)]
        for label in labels:
            columns += [(label, True), ("95 %", True)]
        grid = Grid([*report.title(part)[:1], f"top-1 in % {title}"], columns)
        for group in found[0]:
            cells = [group, str(len(found[0][group]))]
            for one in found:
                low, high = bootstrap(one[group])
                cells += [percent(one[group].mean()), f"{percent(low)}-{percent(high)}"]
            grid.add(cells)
        means = [{group: float(values.mean()) for group, values in one.items()} for one in found]
        lines = {
            "all clips": [percent(row.top1.mean) for row in part],
            "mean over groups": [percent(sum(one.values()) / len(one)) for one in means],
            "worst group": [percent(min(one.values())) for one in means],
            "which": [min(one, key=lambda group: one[group]) for one in means],
        }
        for place, (name, values) in enumerate(lines.items()):
            cells = [cell for value in values for cell in (value, "")]
            grid.add([name, "", *cells], new_section=place == 0)
        grid.notes = ["95 %: bootstrap over the test clips of the group"]
        made.append(grid)
    return made
