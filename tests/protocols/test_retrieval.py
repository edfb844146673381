"""Retrieval and one-shot recognition: average precision against scikit-learn, exemplars against the facts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from protocol_stubs import Mean, MemoryFile, settings, task
from sklearn.metrics import average_precision_score

from skeltools.analysis import knn, metrics
from skeltools.datasets import registry as datasets
from skeltools.errors import DataError
from skeltools.protocols import oneshot, retrieval
from skeltools.protocols.running.subjects import Pretraining, Subject
from skeltools.results import record as results
from skeltools.store.overlap import Clips


@given(st.integers(0, 1000), st.integers(2, 30))
@examples(max_examples=40, deadline=None)
def test_average_precision_equals_scikit_learns(seed: int, n: int) -> None:
    draws = torch.Generator().manual_seed(seed)
    bank, queries = torch.randn(n, 5, generator=draws), torch.randn(7, 5, generator=draws)
    known, labels = torch.randint(0, 3, (n,), generator=draws), torch.randint(0, 4, (7,), generator=draws)
    scores, precision = knn.retrieve(bank, known, queries, labels, 4)
    similar = torch.nn.functional.normalize(queries, dim=1) @ torch.nn.functional.normalize(bank, dim=1).T
    for row in range(7):
        relevant = (known == labels[row]).numpy()
        if relevant.any():
            expected = average_precision_score(relevant, similar[row].numpy())
            assert float(precision[row]) == pytest.approx(expected, abs=1e-6)
        else:
            assert precision[row].isnan()
        assert int(scores[row].argmax()) == int(known[similar[row].argmax()])


def test_average_precision_by_hand() -> None:
    # Ranked b a b a: precisions at the a's are 1/2 and 2/4.
    bank = torch.tensor([[1.0, 0.1], [1.0, 0.2], [1.0, 0.3], [1.0, 0.4]])
    known = torch.tensor([1, 0, 1, 0])
    scores, precision = knn.retrieve(bank, known, torch.tensor([[1.0, 0.0]]), torch.tensor([0]), 3)
    assert float(precision[0]) == pytest.approx(0.5)
    assert scores[0].argmax() == 1
    assert scores[0, 2] == -torch.inf


def test_chunks_of_queries_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = torch.Generator().manual_seed(0)
    bank, queries = torch.randn(20, 4, generator=draws), torch.randn(11, 4, generator=draws)
    known, labels = torch.arange(20) % 3, torch.arange(11) % 3
    whole = knn.retrieve(bank, known, queries, labels, 3)
    monkeypatch.setattr(knn, "_SIMILARITIES", 60)
    parts = knn.retrieve(bank, known, queries, labels, 3)
    torch.testing.assert_close(whole[0], parts[0])
    torch.testing.assert_close(whole[1], parts[1])


def test_retrieval_finds_what_is_near() -> None:
    (outcome,) = retrieval.Retrieval().run(task(), settings("retrieval"))
    assert metrics.topk(outcome.scores, task().test_labels, 1) > 0.9
    assert 0.9 < outcome.metrics["map"] <= 1


def test_the_nearest_clip_is_that_of_knn_even_where_features_hardly_differ() -> None:
    draws = torch.Generator().manual_seed(0)
    bank, queries = (1 + 1e-5 * torch.randn(n, 32, generator=draws) for n in (60, 40))
    known, labels = torch.arange(60) % 5, torch.arange(40) % 5
    scores, _ = knn.retrieve(bank, known, queries, labels, 5)
    votes = knn.predict(bank, known, queries, 1, 0.1, 5)
    assert torch.equal(scores.argmax(dim=1), votes.argmax(dim=1))


def test_retrieval_leaves_out_queries_without_an_answer() -> None:
    file: Any = MemoryFile()
    file._rows["train"] = np.flatnonzero(file.labels != 2)[:20]
    (outcome,) = retrieval.Retrieval().run(task(file), settings("retrieval"))
    assert outcome.notes == [
        "retrieval: 10 queries of classes without a training clip are not in the mean average precision."
    ]
    file._rows["train"] = np.flatnonzero(file.labels == 0)
    file._rows["test"] = np.flatnonzero(file.labels == 1)
    with pytest.raises(DataError, match="split 'xsub' shares no class between training and test clips"):
        retrieval.Retrieval().run(task(file), settings("retrieval"))


def test_exemplars_are_the_official_ones(shared: Path) -> None:
    facts = json.loads((shared / "facts" / "datasets.json").read_text())
    assert list(datasets.get("ntu120").exemplars) == facts["ntu120_oneshot_exemplars"]


def _novel() -> Any:
    """A file of 3 clips of each of A1 to A12 and all other exemplars."""
    file: Any = MemoryFile(n=60, classes=3)
    exemplars = datasets.get("ntu120").exemplars
    others = [f"S002C001P001R001A{action:03d}" for action in (1, 2, 3, 7, 7, 8, 13, 115)]
    file.names = sorted([*exemplars, *others])
    file.labels = np.array([int(name[-3:]) - 1 for name in file.names])
    file.classes = tuple(f"action {i}" for i in range(1, 121))
    file.dataset = datasets.get("ntu120")
    draws = np.random.default_rng(0)
    base = draws.normal(size=(120, 3, 1, 1, 1))
    file._clips = (base[file.labels] + 0.01 * draws.normal(size=(len(file.names), 3, 8, 25, 2))).astype(
        "float32"
    )
    file._rows = {"train": np.arange(len(file.names)), "test": np.arange(1)}
    return file


def test_oneshot_asks_every_other_clip_of_the_novel_classes() -> None:
    file = _novel()
    this = task(file)
    assert oneshot.Oneshot().skip(this, settings("oneshot")) is None
    (outcome,) = oneshot.Oneshot().run(this, settings("oneshot"))
    assert outcome.test_rows is not None
    assert outcome.train_rows is not None
    assert [file.names[row][-4:] for row in outcome.test_rows] == ["A001", "A007", "A007", "A013", "A115"]
    assert len(outcome.train_rows) == 20
    assert metrics.topk(outcome.scores, this.labels(outcome.test_rows), 1) == 1.0
    assert outcome.metrics["map"] == 1.0
    assert (outcome.scores[:, 1] == -torch.inf).all()  # A2 is not a novel class


def test_oneshot_standardises_where_the_subject_says_so() -> None:
    file = _novel()
    file._clips[:, 0] += 1000  # a feature whose mean drowns the others
    plain, standardised = task(file, results.RANDOM), task(file, results.STANDARDISED)
    (one,), (other,) = (oneshot.Oneshot().run(this, settings("oneshot")) for this in (plain, standardised))
    exemplars, queries = oneshot.rows(plain)
    mean, sd = (part.numpy() for part in standardised._scale)
    known, asked = ((plain.features_of(rows, "clip").numpy() - mean) / sd for rows in (exemplars, queries))
    cosine = (asked @ known.T) / np.outer(*(np.linalg.norm(part, axis=1) for part in (asked, known)))
    expected = file.labels[exemplars][cosine.argmax(axis=1)]
    np.testing.assert_array_equal(other.scores.argmax(dim=1).numpy(), expected)
    assert not torch.allclose(one.scores[:, file.labels[exemplars]], other.scores[:, file.labels[exemplars]])


@pytest.mark.parametrize("known", ["same", "elsewhere", "untrained"])
def test_oneshot_says_what_pretraining_saw(known: str) -> None:
    this = task(_novel())
    if known != "untrained":
        clips = Clips.of(this.file, this.file.rows("xsub", "train")) if known == "same" else None
        seen = Pretraining(data_digest=this.file.digest, split="xsub", clips=clips)
        this.subject = Subject(results.PRETRAINED, "runs/a", lambda device: Mean(), pretraining=seen)
    (outcome,) = oneshot.Oneshot().run(this, settings("oneshot"))
    assert (
        outcome.notes
        == {
            "same": ["oneshot: pretraining saw 25 clips of the novel classes, without labels."],
            "elsewhere": ["oneshot: whether pretraining saw clips of the novel classes is not known."],
            "untrained": [],
        }[known]
    )


def test_oneshot_names_what_it_lacks() -> None:
    assert oneshot.Oneshot().skip(task(), settings("oneshot")) == (
        "one-shot exemplars are defined for ntu120, not for ntu60"
    )
    file = _novel()
    file.names[0] = "other"
    assert "lacks 1 of the 20 one-shot exemplars, such as S001C003P008R001A001" in str(
        oneshot.Oneshot().skip(task(file), settings("oneshot"))
    )
