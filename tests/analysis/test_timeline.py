"""Windows of a recording and what a timeline makes of their scores."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skeltools.analysis.timeline import GAP, Timeline, best, cut, grid, header, windows
from skeltools.errors import SettingError
from skeltools.formats.recording import Recording

FRAMES, LENGTHS = st.integers(1, 200), st.integers(1, 60)


@given(frames=FRAMES, length=LENGTHS, data=st.data())
def test_windows_cover_every_frame_in_order(frames: int, length: int, data: Any) -> None:
    stride = data.draw(st.integers(1, length))
    found = windows(frames, length, stride)
    covered = np.zeros(frames, int)
    for start, stop in found:
        assert 0 <= start < stop <= frames
        assert stop - start == min(length, frames)
        covered[start:stop] += 1
    assert covered.min() >= 1
    steps = np.diff([start for start, _ in found])
    assert (steps[:-1] == stride).all()
    assert ((steps >= 1) & (steps <= stride)).all()
    if length <= frames and stride == 1:
        assert len(found) == frames - length + 1
    if length > frames:
        assert found == [(0, frames)]


def test_a_whole_recording_is_one_window_and_an_empty_one_none() -> None:
    assert windows(500, 0, 0) == [(0, 500)]
    assert windows(0, 64, 16) == []
    assert windows(64, 64, 16) == [(0, 64)]
    assert windows(65, 64, 16) == [(0, 64), (1, 65)]


@pytest.mark.parametrize("stride", [0, -1, 9])
def test_a_stride_that_leaves_frames_out_is_refused(stride: int) -> None:
    with pytest.raises(SettingError, match=r"^A stride of -?\d leaves out frames between windows of 8\.$"):
        windows(20, 8, stride)


def _recording(columns: Any) -> Recording:
    return Recording.from_columns(np.asarray(columns, np.float32))


@given(
    frames=st.integers(1, 20), start=st.integers(0, 19), length=st.integers(1, 20), seed=st.integers(0, 99)
)
def test_a_cut_recording_is_one_of_the_cut_frames(frames: int, start: int, length: int, seed: int) -> None:
    start = min(start, frames - 1)
    stop = min(start + length, frames)
    draws = np.random.default_rng(seed)
    columns = draws.normal(size=(frames, 2, 3, 3)) * draws.integers(0, 2, (frames, 2, 1, 1))
    found, expected = cut(_recording(columns), start, stop), _recording(columns[start:stop])
    assert found.frames == expected.frames
    for name in ("coords", "frame", "slot", "ids"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def _timeline(frames: int, length: int, stride: int, scores: Any, gaps: Any = None) -> Timeline:
    bounds = windows(frames, length, stride)
    gaps = gaps or [""] * len(bounds)
    values = np.asarray(scores, np.float32).copy()
    values[[bool(gap) for gap in gaps]] = np.nan
    return Timeline(
        "a.txt", "", _recording(np.ones((frames, 1, 2, 3))), length, stride, ("walk", "sit", "fall"), bounds,
        [0 if gap else stop - start for (start, stop), gap in zip(bounds, gaps, strict=True)], gaps, values,
    )  # fmt: skip


@given(frames=FRAMES, length=LENGTHS, seed=st.integers(0, 99), data=st.data())
def test_a_frame_has_the_mean_score_of_the_windows_that_cover_it(
    frames: int, length: int, seed: int, data: Any
) -> None:
    stride = data.draw(st.integers(1, length))
    draws = np.random.default_rng(seed)
    count = len(windows(frames, length, stride))
    gaps = ["all-zero: nobody" if gone else "" for gone in draws.integers(0, 2, count)]
    made = _timeline(frames, length, stride, draws.dirichlet([1, 1, 1], count), gaps)
    labels, values = made.by_frame()
    for frame in range(frames):
        over = [
            row for row, (start, stop) in enumerate(made.bounds) if start <= frame < stop and not gaps[row]
        ]
        if not over:
            assert labels[frame] == GAP
            assert np.isnan(values[frame])
            continue
        mean = made.scores[over].mean(axis=0, dtype=np.float64)
        assert labels[frame] == mean.argmax()
        assert values[frame] == mean.max()
    found = made.stretches()
    assert [one.start for one in found] == [0, *(one.stop for one in found[:-1])]
    assert found[-1].stop == frames
    assert all(one.label != other.label for one, other in pairwise(found))
    assert [one.label for one in found for _ in range(one.start, one.stop)] == labels.tolist()


SURE = [[0.8, 0.1, 0.1], [0.0, 0.0, 0.0], [0.1, 0.2, 0.7]]
NOBODY = ["", "all-zero: nobody", ""]


def test_json_holds_stretches_windows_and_gaps() -> None:
    made = _timeline(6, 2, 2, SURE, NOBODY)
    assert made.content(2) == {
        "path": "a.txt",
        "clip": None,
        "frames": 6,
        "window": 2,
        "stride": 2,
        "classes": ["walk", "fall"],
        "scores": [pytest.approx(0.45), pytest.approx(0.4)],
        "stretches": [
            {"start": 0, "stop": 2, "class": "walk", "score": pytest.approx(0.8)},
            {"start": 2, "stop": 4, "class": None, "score": None},
            {"start": 4, "stop": 6, "class": "fall", "score": pytest.approx(0.7)},
        ],
        "windows": [
            {
                "start": 0, "stop": 2, "used": 2, "gap": None, "classes": ["walk", "sit"],
                "scores": [pytest.approx(0.8), pytest.approx(0.1)],
            },
            {"start": 2, "stop": 4, "used": 0, "gap": "all-zero: nobody", "classes": [], "scores": []},
            {
                "start": 4, "stop": 6, "used": 2, "gap": None, "classes": ["fall", "sit"],
                "scores": [pytest.approx(0.7), pytest.approx(0.2)],
            },
        ],
        "notes": [],
    }  # fmt: skip


def test_csv_has_a_row_per_window_and_as_many_cells_as_columns() -> None:
    made = _timeline(6, 2, 2, SURE, NOBODY)
    assert header(2) == [
        "path",
        "clip",
        "start",
        "stop",
        "used",
        "gap",
        "class1",
        "score1",
        "class2",
        "score2",
    ]
    assert list(made.rows(2)) == [
        ["a.txt", None, 0, 2, 2, None, "walk", "0.800000", "sit", "0.100000"],
        ["a.txt", None, 2, 4, 0, "all-zero: nobody", None, None, None, None],
        ["a.txt", None, 4, 6, 2, None, "fall", "0.700000", "sit", "0.200000"],
    ]
    assert all(len(row) == len(header(3)) for row in made.rows(9))


def test_the_table_shows_stretches_of_frames() -> None:
    assert grid(_timeline(6, 2, 2, SURE, NOBODY), 5).rows == [
        ["0", "1", "walk", "0.800"],
        ["2", "3", "(no class)", ""],
        ["4", "5", "fall", "0.700"],
    ]


def test_of_equal_scores_the_lower_label_is_better() -> None:
    scores = np.float32([0.2, 0.4, 0.4])
    assert [label for label, _ in best(scores, 2)] == [1, 2]
