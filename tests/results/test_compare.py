"""Comparing two results: pairs, clips joined by name, numbers worked by hand, and what cannot be compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from recorded import BASE

from skeltools.errors import RunError
from skeltools.results import compare as comparison
from skeltools.results import record as results
from skeltools.results.record import Record

LABELS = [0, 0, 0, 1, 1, 2]


def _write(folder: Path, seed: int, guesses: list[int], **changes: object) -> Record:
    """A record on clips c0 to c5 of classes x x x y y z, in an order of its own."""
    order = np.random.default_rng(seed + 7 * len(str(folder))).permutation(6)
    side = results.Side(
        scores=np.eye(3, dtype=np.float32)[guesses][order],
        labels=np.array(LABELS)[order],
        names=[f"c{i}" for i in order],
        classes=["x", "y", "z"],
    )
    record = replace(
        BASE, seed=seed, pretrain_seed=seed, key=f"{seed}" * 8, test_clips=6, protocol="linear", variant="",
        top1=float(np.mean(np.array(guesses) == LABELS)), **changes,
    )  # type: ignore[arg-type]  # fmt: skip
    return results.write(results.named(record), folder / "results", side)


def test_seeds_are_paired_and_clips_joined(tmp_path: Path) -> None:
    a = [_write(tmp_path / "a", 0, [0, 0, 1, 1, 0, 2]), _write(tmp_path / "a", 1, [0, 1, 1, 1, 0, 2])]
    b = [_write(tmp_path / "b", 1, [0, 0, 0, 1, 0, 0]), _write(tmp_path / "b", 2, [0, 0, 0, 0, 0, 0])]
    found = comparison.compare(a, b)
    # Seed 1 alone is common: A is right on c0 c3 c5, B on c0 c1 c2 c3.
    assert found.seeds == [(1, 1)]
    assert (found.a, found.b) == (pytest.approx(3 / 6), pytest.approx(4 / 6))
    (test,) = found.tests
    assert (test.only_a, test.only_b) == (1, 2)
    assert test.p == 1.0
    assert found.classes == [
        ("x", 3, pytest.approx(1 / 3), 1.0), ("y", 2, 0.5, 0.5), ("z", 1, 1.0, 0.0),
    ]  # fmt: skip
    assert found.low < 1 / 6 < found.high
    head, mcnemar, gains, losses = comparison.grids(found, a[1], b[0], 5)
    assert head.rows[0][:4] == ["top-1", "50.0", "66.7", "+16.7"]
    assert mcnemar.rows == [["1", "1", "2", "1"]]
    assert gains.rows == [["x", "3", "33.3", "100.0", "+66.7"]]
    assert losses.rows == [["z", "1", "100.0", "0.0", "-100.0"]]


def test_two_single_results_are_paired_whatever_their_seeds(tmp_path: Path) -> None:
    a, b = _write(tmp_path / "a", 0, LABELS), _write(tmp_path / "b", 5, LABELS)
    assert comparison.compare([a], [b]).seeds == [(0, 5)]


def test_no_seed_in_common_is_told(tmp_path: Path) -> None:
    a = [_write(tmp_path / "a", seed, LABELS) for seed in (0, 1)]
    b = [_write(tmp_path / "b", seed, LABELS) for seed in (2, 3)]
    with pytest.raises(
        RunError, match=r"no seed in common: 0, 1 against 2, 3\. Run the protocol with the same"
    ):
        comparison.compare(a, b)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("names", "not of the same test clips: 'c0' is in one only"),
        ("labels", "different labels for the same"),
    ],
)
def test_other_clips_or_labels_are_told(tmp_path: Path, change: str, message: str) -> None:
    a, b = _write(tmp_path / "a", 0, LABELS), _write(tmp_path / "b", 0, LABELS)
    side = b.side()
    if change == "names":
        side.names[side.names.index("c0")] = "other"
    else:
        side.labels[:] = (side.labels + 1) % 3
        side.scores[:] = np.roll(side.scores, 1, axis=1)
    results.write(b, tmp_path / "b" / "results", side)
    with pytest.raises(RunError, match=message):
        comparison.compare([a], [b])


def test_results_are_picked_by_folder_subject_or_file(tmp_path: Path) -> None:
    home = tmp_path / "a"
    both = [_write(home, seed, LABELS) for seed in (0, 1)]
    untrained = _write(home, 0, LABELS, subject=results.RANDOM)
    assert comparison.pick(str(home), "linear") == both
    assert comparison.pick(f"{home}@random", "linear") == [untrained]
    assert comparison.pick(str(home / "results" / f"{both[1].stem}.json"), "knn") == [both[1]]


def test_what_cannot_be_picked_is_told(tmp_path: Path) -> None:
    home = tmp_path / "a"
    _write(home, 0, LABELS)
    _write(home, 0, LABELS, stream="bone")
    with pytest.raises(
        RunError, match=r"several linear results: 'joint linear', 'bone linear'\. Choose with"
    ):
        comparison.pick(str(home), "linear")
    assert len(comparison.pick(str(home), "linear", stream="bone")) == 1
    with pytest.raises(RunError, match="has no knn result of 'pretrained' with variant k=1"):
        comparison.pick(str(home), "knn", "k=1")
    with pytest.raises(RunError, match=r"Unknown subject 'randon' .* Did you mean 'random'\?"):
        comparison.pick(f"{home}@randon", "linear")
    with pytest.raises(RunError, match="does not exist or is not a folder"):
        comparison.pick(str(tmp_path / "none"), "linear")
