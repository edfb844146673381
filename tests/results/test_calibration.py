"""Calibration: cases worked out by hand, scikit-learn where it has the measure, and what a temperature leaves alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from recorded import BASE
from sklearn import metrics as theirs
from sklearn.calibration import calibration_curve

from skeltools import protocols  # noqa: F401 (tells how protocols are shown)
from skeltools.errors import RunError
from skeltools.results import calibration, joined
from skeltools.results import record as results
from skeltools.results.calibration import Judged, judge, probabilities
from skeltools.results.record import Side


def judged(confidence: list[float], right: list[bool]) -> Judged:
    zeros = np.zeros(len(right))
    return Judged(np.array(confidence), np.array(right), zeros, zeros)


def scores_of(
    seed: int, n: int = 400, classes: int = 5, size: float = 3.0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits whose probabilities are true ones at T = 1, times `size`: overconfident where it is above 1."""
    draws = np.random.default_rng(seed)
    logits = draws.normal(size=(n, classes)) * 2
    p = probabilities(logits)
    labels = np.array([draws.choice(classes, p=row) for row in p])
    return (size * logits).astype(np.float32), labels


def test_ece_by_hand() -> None:
    clips = judged([0.95, 0.91, 0.55, 0.6, 0.15], [True, False, True, False, False])
    # ten bins: (0.9, 1]: 0.93 against 0.5, (0.5, 0.6]: 0.575 against 0.5, two clips each; (0.1, 0.2]: 0.15 against 0
    assert calibration.ece(clips, 10) == pytest.approx((2 * 0.43 + 2 * 0.075 + 0.15) / 5)
    bins = [one for one in calibration.reliability(clips, 10) if one.clips]
    assert [(one.clips, one.confidence, one.accuracy) for one in bins] == [
        (1, pytest.approx(0.15), 0.0), (2, pytest.approx(0.575), 0.5), (2, pytest.approx(0.93), 0.5),
    ]  # fmt: skip


def test_ace_by_hand() -> None:
    clips = judged([0.9, 0.8, 0.7, 0.6], [True, True, False, True])
    # two bins of two: 0.65 against 0.5, 0.85 against 1
    assert calibration.ace(clips, 2) == pytest.approx((2 * 0.15 + 2 * 0.15) / 4)
    assert calibration.ace(clips, 100) == pytest.approx((0.1 + 0.2 + 0.7 + 0.4) / 4)


def test_aurc_by_hand() -> None:
    clips = judged([0.9, 0.8, 0.7, 0.6], [True, False, True, False])
    assert calibration.risks(clips).tolist() == [0, 1 / 2, 1 / 3, 2 / 4]
    assert calibration.aurc(clips) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    ties = judged([1.0, 1.0, 1.0, 0.5], [False, True, True, False])
    assert calibration.risks(ties).tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1 / 2])  # in any order


def test_nll_and_brier_by_hand() -> None:
    p = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0]])
    clips = judge(p, np.array([0, 1]))
    assert calibration.nll(clips) == pytest.approx(np.log(2) / 2)
    assert calibration.brier(clips) == pytest.approx((0.25 + 0.0625 + 0.0625) / 2)
    worst = judge(np.array([[1.0, 0.0]]), np.array([1]))
    assert calibration.brier(worst) == 2
    assert np.isfinite(calibration.nll(worst))


@pytest.mark.parametrize("classes", [2, 5])
def test_nll_and_brier_are_those_of_scikit_learn(classes: int) -> None:
    scores, labels = scores_of(1, classes=classes)
    p = probabilities(scores)
    clips = judge(p, labels)
    assert calibration.nll(clips) == pytest.approx(theirs.log_loss(labels, p))
    if classes == 2:  # theirs is of one class, ours summed over both
        assert calibration.brier(clips) == pytest.approx(2 * theirs.brier_score_loss(labels, p[:, 1]))
    one_against_rest = [theirs.brier_score_loss(labels == label, p[:, label]) for label in range(classes)]
    assert calibration.brier(clips) == pytest.approx(sum(one_against_rest))
    assert clips.right.mean() == pytest.approx(theirs.accuracy_score(labels, scores.argmax(axis=1)))


@pytest.mark.parametrize("adaptive", [False, True])
def test_the_diagram_is_that_of_scikit_learn(adaptive: bool) -> None:
    scores, labels = scores_of(2, n=300)
    clips = judge(probabilities(scores), labels)
    accuracy, confidence = calibration_curve(
        clips.right, clips.confidence, n_bins=10, strategy="quantile" if adaptive else "uniform"
    )
    bins = [one for one in calibration.reliability(clips, 10, adaptive=adaptive) if one.clips]
    np.testing.assert_allclose([one.accuracy for one in bins], accuracy, atol=1e-12)
    np.testing.assert_allclose([one.confidence for one in bins], confidence, atol=1e-12)


@given(seed=st.integers(0, 1000), bins=st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_errors_are_those_of_their_diagrams(seed: int, bins: int) -> None:
    scores, labels = scores_of(seed, n=97)
    clips = judge(probabilities(scores), labels)
    for adaptive, found in ((False, calibration.ece(clips, bins)), (True, calibration.ace(clips, bins))):
        diagram = [one for one in calibration.reliability(clips, bins, adaptive=adaptive) if one.clips]
        assert sum(one.clips for one in diagram) == 97
        expected = sum(one.clips * abs(one.confidence - one.accuracy) for one in diagram) / 97
        assert found == pytest.approx(expected)


def test_the_error_of_random_scores_is_that_of_their_confidence() -> None:
    draws = np.random.default_rng(0)
    scores, labels = draws.normal(size=(20_000, 10)) * 3, draws.integers(0, 10, 20_000)
    clips = judge(probabilities(scores), labels)
    assert calibration.ece(clips) == pytest.approx(clips.confidence.mean() - 0.1, abs=0.01)
    assert clips.confidence.mean() > 0.5
    flat = judge(probabilities(np.zeros((20_000, 10))), labels)
    assert calibration.ece(flat) == pytest.approx(
        abs(0.1 - (labels == 0).mean())
    )  # class 0 wins among equals
    true, known = scores_of(0, n=20_000, size=1.0)
    assert calibration.ece(judge(probabilities(true), known)) < 0.015


@pytest.mark.parametrize("gap", [0.5, 4.0, 60.0])
def test_the_temperature_by_hand(gap: float) -> None:
    """Of two classes a gap of logits apart, three clips of four right: softmax is 3/4 where gap / T = log 3."""
    scores = np.array([[gap, 0], [gap, 0], [0, gap], [0, gap]], np.float32)
    by = calibration.temperature(scores, np.array([0, 0, 1, 0]))
    assert by == pytest.approx(gap / np.log(3), rel=1e-4)
    clips = judge(probabilities(scores, by), np.array([0, 0, 1, 0]))
    assert clips.confidence == pytest.approx([0.75] * 4, rel=1e-4)
    assert calibration.ece(clips) == pytest.approx(0, abs=1e-4)


@given(seed=st.integers(0, 1000), size=st.floats(0.2, 10))
@settings(max_examples=20, deadline=None)
def test_a_temperature_changes_no_guess_and_finds_the_factor(seed: int, size: float) -> None:
    scores, labels = scores_of(seed, n=2000, size=size)
    by = calibration.temperature(scores, labels)
    assert by == pytest.approx(size, rel=0.15)
    right = scores.argmax(axis=1) == labels
    for other in (by, 0.05, 20):
        np.testing.assert_array_equal(judge(probabilities(scores, other), labels).right, right)
    before, after = (calibration.nll(judge(probabilities(scores, t), labels)) for t in (1, by))
    assert after <= before + 1e-9


def test_scores_without_bounds_are_borne() -> None:
    scores = np.array([[1e4, -1e4], [-np.inf, 0.0], [-np.inf, -np.inf], [np.nan, 1.0]], np.float32)
    p = probabilities(scores)
    np.testing.assert_allclose(p, [[1, 0], [0, 1], [0.5, 0.5], [0.5, 0.5]])
    assert np.isfinite(calibration.temperature(scores, np.array([1, 1, 0, 0])))


LINEAR = replace(BASE, protocol="linear", variant="")


def _row(folder: Path, held: bool, seed: int = 0) -> joined.Row:
    scores, labels = scores_of(seed, n=60, classes=3)
    protocol, measured = "calibration" if held else "linear", results.accuracies(scores, labels)
    record = results.named(replace(LINEAR, test_clips=60, protocol=protocol, seed=seed, **measured))
    more = scores_of(seed + 1, n=50, classes=3)
    side = Side(
        scores, labels, [str(n) for n in range(60)], list("abc"),
        held_scores=more[0] if held else None, held_labels=more[1] if held else None,
    )  # fmt: skip
    return joined.rows([results.write(record, folder, side)])[0]


def test_the_table(tmp_path: Path) -> None:
    plain, held = _row(tmp_path, False), _row(tmp_path, True)
    knn = joined.rows([replace(BASE, folder=tmp_path)])[0]
    assert not calibration.has_logits(knn)
    one, two = calibration.grids([plain, held, knn])
    assert [len(one.rows), len(two.rows)] == [1, 2]
    before, after = two.rows
    assert (before[2], float(after[2])) == ("-", pytest.approx(3, rel=0.3))
    assert before[3] == after[3]  # top-1
    assert float(after[4]) < float(before[4])  # ECE of overconfident scores
    assert one.rows[0][4:] == before[4:]
    side = held.first.side()
    clips = judge(probabilities(side.scores), side.labels)
    assert before[4] == f"{100 * calibration.ece(clips):.1f}"
    low, high = (float(word) for word in before[5].split("-"))
    assert low <= high


def test_intervals_are_of_the_mean_over_seeds_on_the_same_clips(tmp_path: Path) -> None:
    """Two seeds of which one is right where the other is wrong: their mean is nearly the same in every resample."""
    labels = np.arange(400) % 2
    logits = np.eye(3, dtype=np.float32)[labels] * 4
    logits[:, 2] = -40
    records = []
    for seed, first in enumerate((slice(0, 200), slice(200, 400))):
        scores = logits.copy()
        scores[first] = scores[first][:, [1, 0, 2]]
        record = replace(
            LINEAR,
            top1=0.5,
            top5=1.0,
            per_class=[0.5, 0.5, None],
            test_clips=400,
            seed=seed,
            pretrain_seed=seed,
            checkpoint_digest=str(seed),
        )
        order = np.random.default_rng(seed).permutation(400)  # clips lie in another order in each file
        side = Side(scores[order], labels[order], [f"{place:03d}" for place in order], list("abc"))
        records.append(results.write(results.named(record), tmp_path, side))
    (row,) = joined.rows(records)
    assert len(row.records) == 2
    both, after = calibration.of_row(row)
    assert after is None
    confidence = 1 / (1 + np.exp(-4))
    assert both.values["ECE"] == pytest.approx(confidence - 0.5, abs=1e-6)
    assert both.high["NLL"] - both.low["NLL"] == pytest.approx(0, abs=1e-9)
    assert both.low["ECE"] <= both.values["ECE"] + 0.01
    (one,) = joined.rows(records[:1])
    alone, _ = calibration.of_row(one)
    assert alone.high["NLL"] - alone.low["NLL"] > 0.2


def test_held_out_scores_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    row = _row(tmp_path, True)
    side = row.first.side()
    for changes in (
        {"held_labels": np.full(50, 3)}, {"held_labels": np.zeros(49, int)}, {"held_scores": np.zeros((50, 2))},
    ):  # fmt: skip
        results.write(row.first, tmp_path, replace(side, **changes))  # type: ignore[arg-type]
        with pytest.raises(RunError, match="does not fit its record"):
            row.first.side()
