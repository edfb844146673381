"""kNN and accuracy measures, against scikit-learn and by their properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, recall_score, top_k_accuracy_score
from sklearn.neighbors import KNeighborsClassifier

from skeltools.analysis import knn, metrics
from skeltools.errors import SettingError


def _features(seed: int, n: int, m: int, dim: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(n, dim, generator=draws), torch.randn(m, dim, generator=draws)


@given(st.integers(0, 1000), st.integers(1, 30), st.sampled_from([0.05, 0.1, 1.0]))
@settings(max_examples=40, deadline=None)
def test_votes_equal_scikit_learns_weighted_neighbours(seed: int, k: int, temperature: float) -> None:
    bank, queries = _features(seed, 40, 12)
    labels = torch.from_numpy(np.random.default_rng(seed).integers(0, 5, 40))
    scores = knn.predict(bank, labels, queries, k, temperature, 5)
    unit = torch.nn.functional.normalize(bank, dim=1).numpy()
    # On unit vectors the squared Euclidean distance is 2 - 2 cos.
    model = KNeighborsClassifier(
        k, algorithm="brute", weights=lambda distance: np.exp((1 - distance**2 / 2) / temperature)
    ).fit(unit, labels.numpy())
    expected = model.predict_proba(torch.nn.functional.normalize(queries, dim=1).numpy())
    got = scores.masked_fill(scores == -torch.inf, 0.0)
    got = (got / got.sum(dim=1, keepdim=True)).numpy()
    np.testing.assert_allclose(got[:, model.classes_], expected, atol=2e-5)


def test_a_class_without_a_vote_is_never_a_guess() -> None:
    bank, queries = _features(0, 6, 3)
    scores = knn.predict(bank, torch.zeros(6, dtype=torch.int64), queries, 2, 0.1, 4)
    assert (scores[:, 1:] == -torch.inf).all()
    assert metrics.topk(scores, torch.ones(3, dtype=torch.int64), 4) == 0.0


@pytest.mark.parametrize("k", [0, 7])
def test_k_outside_the_bank_is_refused(k: int) -> None:
    bank, queries = _features(0, 6, 3)
    with pytest.raises(
        SettingError, match=f"k = {k} neighbours asked for, but the bank holds 6 clips. Lower k."
    ):
        knn.predict(bank, torch.zeros(6, dtype=torch.int64), queries, k, 0.1, 2)


def test_chunks_of_queries_change_nothing() -> None:
    bank, queries = _features(3, 50, 23)
    whole, parts = knn.neighbours(bank, queries, 9), knn.neighbours(bank, queries, 9, chunk=4)
    assert torch.equal(whole[1], parts[1])
    torch.testing.assert_close(whole[0], parts[0])


@given(st.integers(0, 1000), st.integers(6, 9))
@settings(max_examples=40, deadline=None)
def test_accuracies_equal_scikit_learns(seed: int, classes: int) -> None:
    draws = np.random.default_rng(seed)
    scores, labels = draws.normal(size=(30, classes)).astype(np.float32), draws.integers(0, classes, 30)
    s, y = torch.from_numpy(scores), torch.from_numpy(labels)
    assert metrics.topk(s, y, 1) == pytest.approx(accuracy_score(labels, scores.argmax(1)))
    expected = top_k_accuracy_score(labels, scores, k=5, labels=range(classes))
    assert metrics.topk(s, y, 5) == pytest.approx(expected)
    recalls = recall_score(labels, scores.argmax(1), labels=np.unique(labels), average=None)
    assert metrics.mean_class(metrics.per_class(s, y)) == pytest.approx(recalls.mean())


def test_equal_scores_go_to_the_lower_class() -> None:
    scores = torch.zeros(3, 4)
    assert metrics.ranks(scores, torch.tensor([0, 1, 3])).tolist() == [0, 1, 3]


def test_a_clip_with_scores_that_are_not_numbers_is_never_right() -> None:
    scores = torch.tensor([[torch.nan, torch.nan], [1.0, torch.nan], [torch.nan, 1.0]])
    assert metrics.topk(scores, torch.tensor([0, 0, 0]), 1) == 0.0
    assert metrics.topk(scores, torch.tensor([1, 1, 1]), 1) == 0.0


def test_a_class_without_test_clips_has_no_accuracy() -> None:
    by_class = metrics.per_class(torch.eye(3)[:2], torch.tensor([0, 1]))
    assert by_class == [1.0, 1.0, None]
    assert metrics.mean_class(by_class) == 1.0
