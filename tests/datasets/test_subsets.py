"""Semi-supervised subsets: stratified, and the same clips whatever the order or the machine."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skeltools.datasets import registry as datasets
from skeltools.datasets import subsets
from skeltools.errors import SettingError

NAMES = [
    f"S001C001P{person:03d}R{take:03d}A{action:03d}"
    for action in (1, 2)
    for person in range(1, 6)
    for take in (1, 2)
]
LABELS = np.array([int(name[-3:]) - 1 for name in NAMES])


def _drawn(fraction: float, seed: int) -> list[str]:
    return [NAMES[row] for row in subsets.draw(NAMES, LABELS, np.arange(20), fraction, seed)]


@pytest.mark.parametrize(
    ("seed", "expected"),
    [
        (0, ["S001C001P001R001A001", "S001C001P004R001A001", "S001C001P004R002A002", "S001C001P005R002A002"]),
        (1, ["S001C001P004R002A001", "S001C001P005R002A001", "S001C001P003R001A002", "S001C001P004R001A002"]),
    ],
)
def test_the_draw_is_pinned(seed: int, expected: list[str]) -> None:
    assert _drawn(0.2, seed) == expected


@given(st.randoms(use_true_random=False), st.floats(0.01, 1), st.integers(0, 5))
@settings(max_examples=30, deadline=None)
def test_the_order_of_the_file_changes_nothing(random: object, fraction: float, seed: int) -> None:
    order = list(range(20))
    random.shuffle(order)  # type: ignore[attr-defined]
    names, labels = [NAMES[i] for i in order], LABELS[order]
    drawn = subsets.draw(names, labels, np.arange(20), fraction, seed)
    assert {names[row] for row in drawn} == set(_drawn(fraction, seed))


def test_a_smaller_share_lies_inside_a_larger_one() -> None:
    assert set(_drawn(0.1, 3)) < set(_drawn(0.5, 3)) < set(_drawn(1, 3)) == set(NAMES)


@pytest.mark.parametrize(
    ("fraction", "count", "expected"),
    [(0.01, 10, 1), (0.01, 149, 1), (0.01, 150, 2), (0.01, 250, 3), (0.1, 25, 3), (0.1, 24, 2), (0.07, 50, 4),
     (1, 9, 9)],
)  # fmt: skip
def test_quotas_round_halves_up_and_never_reach_zero(fraction: float, count: int, expected: int) -> None:
    assert subsets.quota(fraction, count) == expected


def test_only_the_rows_given_are_drawn_from() -> None:
    rows = np.array([0, 3, 4, 11, 19])
    drawn = subsets.draw(NAMES, LABELS, rows, 0.01, 0)
    assert len(drawn) == 2
    assert set(drawn) <= set(rows.tolist())
    assert sorted(LABELS[drawn]) == [0, 1]


def test_one_per_cent_of_ntu60_xsub_is_about_seven_a_class(shared: Path) -> None:
    text = gzip.decompress((shared / "facts" / "ntu120_usable_names.txt.gz").read_bytes()).decode()
    dataset = datasets.get("ntu60")
    clips = [(name, datasets.parse_ntu_name(name)) for name in text.split()]
    kept = [(name, clip) for name, clip in clips if clip is not None and clip.setup in dataset.setups]
    names = [name for name, _ in kept]
    labels = np.array([clip.action - 1 for _, clip in kept])
    train = np.flatnonzero([dataset.train["xsub"](clip) for _, clip in kept])
    drawn = subsets.draw(names, labels, train, 0.01, 0)
    counts = np.bincount(labels[drawn], minlength=60)
    assert len(train) == 40091
    assert set(counts.tolist()) <= {6, 7}
    assert len(drawn) == 419
    assert set(drawn.tolist()) <= set(train.tolist())


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01, float("nan")])
def test_a_share_outside_the_range_is_refused(fraction: float) -> None:
    with pytest.raises(SettingError, match="A share of labels lies above 0 and up to 1"):
        subsets.draw(NAMES, LABELS, np.arange(20), fraction, 0)


@pytest.mark.parametrize(
    ("text", "name"), [("1", "1"), ("10", "10"), ("0.5", "0.5"), ("5.0", "5"), ("100", "100")]
)
def test_percentages_are_read_and_written(text: str, name: str) -> None:
    assert subsets.percent_name(subsets.parse_percent(text)) == name


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "101", "nan", "inf"])
def test_a_text_that_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match="percentage above 0 and up to 100"):
        subsets.parse_percent(text)
