"""Accuracy by group: of classes, performers, cameras and salience."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from recorded import BASE

from skeltools import protocols  # noqa: F401 (tells how protocols are shown)
from skeltools.datasets import registry as datasets
from skeltools.errors import SettingError
from skeltools.results import groups, joined
from skeltools.results import record as results
from skeltools.results.record import Side

NAMES = [
    f"S001C00{camera}P{performer:03d}R001A00{action}"
    for performer in (3, 6)
    for camera in (1, 2)
    for action in (1, 2)
]
CLASSES = ["drink water", "eat meal/snack", "staggering"]
PARTS = {
    "left arm": [0.5, 0.6, 0.5, 0.5, 0.5, 0.5, 0.5, np.nan],
    "trunk": [0.2, 0.2, 0.2, 0.3, 0.2, 0.2, 0.2, np.nan],
}


def _rows(
    folder: Path, wrong: tuple[int, ...] = (0, 1, 2), seeds: int = 1, **changes: object
) -> list[joined.Row]:
    labels = np.array([int(name[-1]) - 1 for name in NAMES])
    kept = []
    for seed in range(seeds):
        guesses = labels.copy()
        guesses[list(wrong[seed:])] = 2
        scores = np.eye(3, dtype=np.float32)[guesses]
        measured = results.accuracies(scores, labels)
        record = results.named(
            replace(BASE, protocol="linear", variant="", test_clips=8, seed=seed, **(measured | changes))  # type: ignore[arg-type]
        )
        salience = {name: np.array(values, np.float32) for name, values in PARTS.items()}
        side = Side(scores, labels, NAMES, CLASSES, salience=salience)
        kept.append(results.write(record, folder, side))
    return joined.rows(kept, intervals=True)


def _cells(folder: Path, by: str, **words: object) -> dict[str, list[str]]:
    (grid,) = groups.grids(_rows(folder, **words), by)  # type: ignore[arg-type]
    return {row[0]: row[1:3] for row in grid.rows}


def test_performers_and_cameras_are_told_by_names(tmp_path: Path) -> None:
    assert _cells(tmp_path, "performer") == {
        "performer   3": ["4", "25.0"], "performer   6": ["4", "100.0"], "all clips": ["", "62.5"],
        "mean over groups": ["", "62.5"], "worst group": ["", "25.0"], "which": ["", "performer   3"],
    }  # fmt: skip
    cameras = _cells(tmp_path, "camera")
    assert [cameras[f"camera   {number}"] for number in (1, 2)] == [["4", "50.0"], ["4", "75.0"]]


def test_seeds_are_joined_clip_by_clip(tmp_path: Path) -> None:
    assert _cells(tmp_path, "performer", seeds=2)["performer   3"] == [
        "4",
        "37.5",
    ]  # of three wrong, then two


def test_intervals_are_of_the_clips_of_a_group(tmp_path: Path) -> None:
    (grid,) = groups.grids(_rows(tmp_path), "performer")
    assert [row[3] for row in grid.rows[:2]] == ["0.0-75.0", "100.0-100.0"]


def test_classes_by_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('title = "food and drink"\n[classes]\n"drink water" = "drink"\n')
    cells = _cells(tmp_path, str(path))
    assert cells["drink"] == ["4", "50.0"]
    assert cells["(no group)"] == ["4", "75.0"]


@pytest.mark.parametrize("name", groups.packaged())
def test_packaged_groups_are_of_every_class_of_ntu(name: str, tmp_path: Path) -> None:
    title, classes = groups.load(name)
    assert list(classes) == list(datasets.get("ntu120").classes)
    counts = {group: list(classes.values()).count(group) for group in classes.values()}
    assert counts == {
        "ntu": {"daily": 82, "medical": 12, "mutual": 26}, "ntu-persons": {"one person": 94, "two persons": 26},
    }[name]  # fmt: skip
    assert title.startswith("NTU RGB+D")
    assert next(iter(_cells(tmp_path, name))) in ("daily", "one person")


def test_the_part_whose_salience_is_most_above_its_mean(tmp_path: Path) -> None:
    _, found = groups.of_clips(_rows(tmp_path), "salience")
    # clip 1's left arm and clip 3's trunk stand out; of a clip that shows nobody, the first part
    assert [found[NAMES[row]] for row in (1, 3)] == ["left arm", "trunk"]


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("performers", "Unknown groups 'performers'. Choose one of: ntu, .* Did you mean 'performer'"),
        ("gone.toml", "File of groups gone.toml does not exist."),
    ],
)  # fmt: skip
def test_what_there_is_not_is_told(tmp_path: Path, by: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        groups.grids(_rows(tmp_path), by)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[classes]\n", r"must have a table \[classes\] of class to group"),
        ("classes = 3\n", r"must have a table \[classes\] of class to group"),
        ('[classes]\n"drink water" = 3\n', r"must have a table \[classes\] of class to group"),
        ('[classes]\n"drink watr" = "a"\n', "a class 'drink watr' that ntu60 does not have. Did you mean"),
        ("[classes\n", "is not valid TOML"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_is_told(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(SettingError, match=message):
        groups.grids(_rows(tmp_path), str(path))


def test_names_that_tell_nothing_are_told(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="The names of pku1's clips do not tell the performer"):
        groups.grids(_rows(tmp_path, dataset="pku1"), "performer")
