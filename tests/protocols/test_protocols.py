"""The protocols on features whose answer is known."""

from __future__ import annotations

import subprocess
import sys
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from protocol_stubs import Drifting, Mean, MemoryFile
from protocol_stubs import settings as _settings
from protocol_stubs import task as _task
from torch import nn

from skeltools.analysis import metrics
from skeltools.analysis.features import extract, state_digest
from skeltools.errors import DataError, RunError, SettingError
from skeltools.protocols import PROTOCOLS, knn, linear
from skeltools.protocols.running import registry
from skeltools.results import record as results
from skeltools.settings import packaged_recipes


def test_linear_learns_what_is_linear() -> None:
    (outcome,) = linear.Linear().run(_task(), _settings("linear", "linear.epochs=30"))
    assert outcome.scores.shape == (30, 3)
    assert metrics.topk(outcome.scores, _task().test_labels, 1) == 1.0
    assert outcome.best is not None
    assert outcome.best.top1 == 1.0


def test_linear_depends_on_the_seed_and_on_nothing_else() -> None:
    settings = _settings("linear", "linear.epochs=3")
    first, same, other = (linear.Linear().run(_task(seed=seed), settings)[0].scores for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_linear_keeps_the_last_partial_batch() -> None:
    seen: list[int] = []
    train, test = _task().features
    task = _task()

    def counting(rows: torch.Tensor) -> torch.Tensor:
        seen.append(len(rows))
        return train[rows]

    linear.fit_layer(
        counting, lambda: test, task.train_labels, task.test_labels, dim=3, classes=3,
        settings=_settings("linear", "linear.epochs=1", "linear.batch_size=13"), seed=0,
    )  # fmt: skip
    assert seen == [13, 13, 4]


def test_linear_says_when_its_loss_is_not_finite() -> None:
    task = _task()
    train, test = task.features
    task.__dict__["features"] = (train * 1e30, test)
    with pytest.raises(
        RunError,
        match=r"loss of the linear classifier is not finite in epoch \d+\. Lower its lr \(2e\+09\)\.",
    ):
        linear.Linear().run(task, _settings("linear", "linear.lr=2e9"))


def test_knn_gives_one_outcome_for_each_k() -> None:
    outcomes = knn.Knn().run(_task(), _settings("knn", "knn.k=[5,1,5]"))
    assert [outcome.variant for outcome in outcomes] == ["k=1", "k=5"]
    assert all(metrics.topk(outcome.scores, _task().test_labels, 1) == 1.0 for outcome in outcomes)


def test_knn_refuses_more_neighbours_than_the_bank_holds() -> None:
    with pytest.raises(SettingError, match="k = 40 neighbours asked for, but the bank holds 30 clips"):
        knn.Knn().run(_task(), _settings("knn"))


def test_features_leave_the_encoder_as_it_was() -> None:
    encoder = Mean().train()
    before = state_digest(encoder)
    file: Any = MemoryFile()
    features = extract(encoder, file, np.array([5, 0, 5]), "joint", batch_size=2)
    assert features.shape == (3, 3)
    assert torch.equal(features[0], features[2])
    assert encoder.training
    assert state_digest(encoder) == before


def test_features_keep_no_map_alive() -> None:
    maps: list[weakref.ref[torch.Tensor]] = []

    class LastStep(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert sum(seen() is not None for seen in maps) <= 1  # at most the one before
            steps = x.mean(dim=(3, 4)) + 0
            maps.append(weakref.ref(steps))
            return steps[:, :, -1]  # a view: whoever keeps it keeps all steps

    file: Any = MemoryFile()
    extract(LastStep(), file, np.arange(10), "joint", batch_size=2)
    assert len(maps) == 5


def test_an_encoder_that_moves_is_caught() -> None:
    with pytest.raises(RunError, match="The encoder changed while features were computed"):
        _ = _task(encoder=Drifting).features


@pytest.mark.parametrize("entry", list(Mean().state_dict()))
def test_frozen_means_that_no_entry_of_the_state_moves(entry: str) -> None:
    class Moving(Mean):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():
                self.state_dict()[entry].add_(1)
            return super().forward(x)

    with pytest.raises(RunError, match="The encoder changed while features were computed"):
        _ = _task(encoder=Moving).features


def test_importing_protocols_loads_no_torch() -> None:
    modules = "skeltools.protocols, skeltools.cli.eval, skeltools.results.report"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_feature_that_is_not_finite_names_the_clip() -> None:
    file: Any = MemoryFile()
    file._clips[4, 0, 0, 0, 0] = np.nan
    with pytest.raises(RunError, match="feature of clip 'clip4' is not finite"):
        extract(Mean(), file, np.arange(10), "joint")


def test_an_encoder_of_the_wrong_shape_is_told_so() -> None:
    file: Any = MemoryFile()
    with pytest.raises(
        RunError, match=r"returned \(10, 3, 8, 25, 2\) for 10 clips; features must be \(N, D\)"
    ):
        extract(nn.Identity(), file, np.arange(10), "joint")


def test_standardised_features_have_unit_spread_on_the_training_clips() -> None:
    train, test = _task(subject=results.STANDARDISED).features
    torch.testing.assert_close(train.mean(dim=0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(train.std(dim=0), torch.ones(3))
    assert test.shape == (30, 3)


def test_raw_coordinates_are_the_clips_flattened() -> None:
    task = _task(subject=results.RAW, encoder=None)
    file: Any = task.file
    assert torch.equal(task.features[1], torch.from_numpy(file._clips[1::2]).flatten(1))
    assert task.encoder_digest is None


def test_a_split_without_test_clips_is_refused() -> None:
    file: Any = MemoryFile()
    file._rows["test"] = np.arange(0)
    with pytest.raises(DataError, match=r"memory\.h5: split 'xsub' has no test clip"):
        _ = _task(file).features


@pytest.mark.parametrize("name", [name.partition(":")[0] for name in PROTOCOLS])
def test_every_protocol_has_a_complete_recipe_of_its_name(name: str) -> None:
    assert name in packaged_recipes("skeltools.protocols.recipes")
    keys = registry.get("semi:5" if name == "semi" else name).resolve({}).flat
    assert {key.split(".")[0] for key in keys} <= {name}


def test_an_unknown_protocol_is_answered_with_those_there_are() -> None:
    with pytest.raises(SettingError) as caught:
        registry.get("liner")
    assert str(caught.value) == (
        f"Unknown protocol 'liner'. Choose one of: {', '.join(PROTOCOLS)}, all, or give your own as "
        "package.module:Class. Did you mean 'linear'?"
    )
