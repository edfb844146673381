"""Bootstrap and McNemar against cases worked by hand and against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from skeltools.results.significance import Spread, bootstrap, mcnemar, spread


def _pair(only_a: int, only_b: int, both: int = 3, none: int = 2) -> tuple[np.ndarray, np.ndarray]:
    a = [True] * only_a + [False] * only_b + [True] * both + [False] * none
    b = [False] * only_a + [True] * only_b + [True] * both + [False] * none
    return np.array(a), np.array(b)


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [
        (1, 9, 22 / 1024),
        (9, 1, 22 / 1024),
        (5, 5, 1.0),
        (0, 0, 1.0),
        (0, 5, 2 / 32),
        (1, 2, 1.0),
        (3, 4, 1.0),
    ],
)
def test_mcnemar_by_hand(only_a: int, only_b: int, p: float) -> None:
    # 1 against 9 of 10: 2 * (C(10, 0) + C(10, 1)) / 2^10.
    found = mcnemar(*_pair(only_a, only_b))
    assert (found.only_a, found.only_b) == (only_a, only_b)
    assert found.p == pytest.approx(p)


@given(st.integers(0, 400), st.integers(0, 400))
@settings(max_examples=50, deadline=None)
def test_mcnemar_is_the_exact_sign_test(only_a: int, only_b: int) -> None:
    found = mcnemar(*_pair(only_a, only_b))
    expected = binomtest(only_a, only_a + only_b, 0.5).pvalue if only_a + only_b else 1.0
    assert found.p == pytest.approx(expected, rel=1e-9)


def test_the_bootstrap_of_hits_is_a_binomials_quantiles() -> None:
    # 80 of 100 right: a resample's count is binomial(100, 0.8), its quantiles 72 and 87.
    low, high = bootstrap(np.array([1.0] * 80 + [0.0] * 20))
    assert low == pytest.approx(0.72, abs=0.0101)
    assert high == pytest.approx(0.87, abs=0.0101)


def test_the_bootstrap_of_a_constant_is_that_constant() -> None:
    assert bootstrap(np.full(7, 0.5)) == (0.5, 0.5)


def test_drawing_by_distinct_values_is_drawing_clips() -> None:
    values = np.array([0.0, 1 / 3, 1 / 3, 1.0, 2 / 3, 1.0, -1.0, 0.0])
    draws = np.random.default_rng(1)
    means = values[draws.integers(0, 8, (20000, 8))].mean(axis=1)
    expected = np.percentile(means, [2.5, 97.5])
    np.testing.assert_allclose(bootstrap(values), expected, atol=0.03)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(0).random(50)
    assert bootstrap(values) == bootstrap(values)


def test_the_spread_of_three_seeds_by_hand() -> None:
    # mean 2, sd 1, t(0.975, 2) = 4.302653, half width 4.302653 / sqrt(3)
    found = spread([1.0, 2.0, 3.0])
    assert (found.count, found.mean, found.sd) == (3, 2.0, 1.0)
    assert found.high is not None
    assert found.high - 2.0 == pytest.approx(2.484138, abs=1e-5)
    assert spread([0.25]) == Spread(1, 0.25, None, None, None)
