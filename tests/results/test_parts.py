"""Which body part matters: accuracy lost, salience and their rank correlation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import BASE
from scipy.stats import spearmanr

from skeltools import protocols  # noqa: F401 (tells how protocols are shown)
from skeltools.errors import RunError
from skeltools.results import joined, parts
from skeltools.results import record as results
from skeltools.results.record import Side

LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1])
WRONG = {"part(left arm,1)": [0, 1, 2], "part(trunk,1)": [4], "part(trunk,0.5)": [5, 6], "noise(0.1)": [0, 7]}


def _row(
    folder: Path, salience: dict[str, list[float]] | None = None, wrong: dict[str, list[int]] = WRONG
) -> joined.Row:
    guesses = {}
    for text, rows in wrong.items():
        guesses[text] = LABELS.copy()
        guesses[text][rows] = 2
    clean = LABELS.copy()
    clean[0] = 2
    scores = np.eye(3, dtype=np.float32)[clean]
    record = results.named(
        replace(
            BASE, protocol="robust", variant="", test_clips=8, **results.accuracies(scores, LABELS),
            metrics={"clean": 7 / 8} | {text: 1 - len(rows) / 8 for text, rows in wrong.items()},
        )
    )  # fmt: skip
    side = Side(
        scores, LABELS, list("abcdefgh"), ["sit", "stand", "never"], guesses=guesses,
        salience={name: np.array(values, np.float32) for name, values in (salience or {}).items()},
    )  # fmt: skip
    return joined.rows([results.write(record, folder, side)])[0]


def test_what_is_lost_by_hand(tmp_path: Path) -> None:
    found = parts.look(_row(tmp_path))
    assert (found.classes, found.clips, found.parts) == (["sit", "stand"], [4, 4], ["left arm", "trunk"])
    # of sit, one is wrong on clean clips: 3/4 fall to 1/4 without the arm, rise to 1 without the trunk
    np.testing.assert_allclose(found.lost, [[0.5, -0.25], [0, 0.25]])
    assert found.salience is None
    assert str(found) == f"there is no salience to compare with. {parts.NEEDS_MASK}"


def test_the_correlation_with_salience(tmp_path: Path) -> None:
    salience = {"left arm": [0.9] * 4 + [0.1] * 4, "trunk": [0.2] * 4 + [0.4] * 3 + [np.nan]}
    found = parts.look(_row(tmp_path, salience))
    assert found.salience is not None
    np.testing.assert_allclose(found.salience, [[0.9, 0.2], [0.1, 0.4]], atol=1e-6)
    assert found.overall is not None
    assert found.within is not None
    assert found.overall[0] == pytest.approx(spearmanr(found.lost.ravel(), found.salience.ravel()).statistic)
    assert found.within[0] == pytest.approx(1)
    assert found.overall[1] <= found.overall[0] <= found.overall[2]
    assert str(found).startswith(
        "rank correlation of accuracy lost and salience: over classes and parts +0.80 (95 %: "
    )
    (grid,) = parts.grids([_row(tmp_path, salience)])
    assert grid.rows[0] == ["sit", "4", "+50", "-25", "0.900", "0.200"]
    assert str(found) in grid.notes


def test_loss_and_salience_are_means_over_seeds(tmp_path: Path) -> None:
    one = {"left arm": [0.9] * 4 + [0.1] * 4, "trunk": [0.2] * 8}
    other = {"left arm": [0.5] * 8, "trunk": [0.4] * 8}
    rows = [_row(tmp_path / "0", one), _row(tmp_path / "1", other, WRONG | {"part(trunk,1)": [4, 5, 6]})]
    records = [
        replace(row.first, seed=seed, checkpoint_digest=str(seed), pretrain_seed=seed)
        for seed, row in enumerate(rows)
    ]
    (both,) = joined.rows(records)
    assert len(both.records) == 2
    found = parts.look(both)
    np.testing.assert_allclose(found.lost, [[0.5, -0.25], [0, 0.5]])
    assert found.salience is not None
    np.testing.assert_allclose(found.salience, [[0.7, 0.3], [0.3, 0.3]], atol=1e-6)
    assert found.overall is not None
    assert parts.look(replace(both, records=(records[0],))).salience is not None
    plain = replace(_row(tmp_path / "2").first, seed=1, checkpoint_digest="1", pretrain_seed=1)
    (mixed,) = joined.rows([records[0], plain])
    assert parts.look(mixed).salience is None


def test_without_missing_parts_it_is_told(tmp_path: Path) -> None:
    row = _row(tmp_path, wrong={"noise(0.1)": [0]})
    with pytest.raises(RunError, match="No result here has body parts missing"):
        parts.look(row)
    assert parts.grids([row]) == []


@given(st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=2, max_size=30))
@settings(deadline=None)
def test_the_rank_correlation_is_scipys(pairs: list[tuple[int, int]]) -> None:
    one, other = np.array(pairs, float).T
    if len(set(one)) < 2 or len(set(other)) < 2:
        assert np.isnan(parts.spearman(one, other))
    else:
        assert parts.spearman(one, other) == pytest.approx(spearmanr(one, other).statistic)


def test_a_correlation_that_there_is_not_is_said(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """An encoder that guesses the same for every clip loses nothing with any part."""
    salience = {"left arm": [0.9] * 4 + [0.1] * 4, "trunk": [0.2] * 8}
    same: dict[str, list[int]] = {"part(left arm,1)": [0], "part(trunk,1)": [0]}
    found = parts.look(_row(tmp_path, salience, same))
    assert str(found) == (
        "rank correlation of accuracy lost and salience: over classes and parts none, for one of the two is the same "
        "everywhere, within classes none, for one of the two is the same everywhere"
    )
    assert [str(one.message) for one in recwarn] == []
