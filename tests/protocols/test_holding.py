"""The epoch chosen on held-out training people: who is held out, and what the choice leaves as it is."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest
import torch
from protocol_stubs import Mean, MemoryFile, settings, task
from torch import nn

from skeltools.analysis import metrics
from skeltools.errors import SettingError
from skeltools.protocols import linear
from skeltools.protocols.finetune import Finetune
from skeltools.protocols.running.contract import Best, best_of
from skeltools.protocols.running.holding import hold_out
from skeltools.protocols.transfer import Transfer


class Named(MemoryFile):
    """A file that names who is seen: person i % 10 in clip i, so five people in the even rows, which train."""

    columns = (*MemoryFile.columns, "subject")

    def __init__(self, people: int = 10) -> None:
        super().__init__()
        # Noise, so that accuracies differ from epoch to epoch, and classes that are hard to tell apart.
        draws = np.random.default_rng(1)
        self._clips[np.arange(60), self.labels % 3] -= 2.9
        self._clips += draws.normal(size=(60, 3, 1, 1, 1)).astype(np.float32) / 10
        self.people = np.arange(60) % people

    def column(self, name: str) -> Any:
        assert name == "subject"
        return self.people


class Nameless(Named):
    columns = MemoryFile.columns


class Net(nn.Module):
    """Two layers on the mean of a clip; the same at every call of the factory."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 5)
        with torch.no_grad():
            self.layer.weight.copy_(torch.linspace(-1, 1, 15).view(5, 3))
            self.layer.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layer(x.mean(dim=(2, 3, 4))).relu()
        return found


WORDS = ("epochs=12", "batch_size=8", "lr=0.4", "lr_steps=[]", "eval_every=2")


def words(section: str, *more: str) -> list[str]:
    return [f"{section}.{word}" for word in (*WORDS, *more)]


def test_the_earliest_of_equally_good_epochs_is_the_best() -> None:
    assert best_of({5: 0.5, 10: 0.75, 15: 0.75, 20: 0.25}) == Best(10, 0.75)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_people_with_the_smallest_hashes_are_held_out(seed: int) -> None:
    this = task(Named(), seed=seed)
    held = hold_out(this, this.train_rows, 40.0)
    assert held is not None
    by_hash = sorted(
        range(0, 10, 2), key=lambda person: hashlib.sha256(f"{seed}:{person}".encode()).hexdigest()
    )
    assert {int(row) % 10 for row in held.held} == set(by_hash[:2])  # 40 % of five
    assert {int(row) % 10 for row in held.kept} == set(by_hash[2:])
    assert sorted([*held.held, *held.kept]) == list(this.train_rows)
    assert held.note == "An epoch was chosen on 2 of 5 training people (12 clips), held out for it."


@pytest.mark.parametrize(
    ("percent", "people", "count"), [(1.0, 10, 1), (10.0, 10, 1), (30.0, 10, 2), (50.0, 10, 3), (90.0, 4, 1)]
)
def test_a_share_of_people_is_rounded_halves_up_and_never_none(
    percent: float, people: int, count: int
) -> None:
    this = task(Named(people))
    held = hold_out(this, this.train_rows, percent)
    assert held is not None
    assert len({int(row) % people for row in held.held}) == count


@pytest.mark.parametrize(
    ("file", "why"), [(Nameless(), "of people that the file does not name"), (Named(2), "all of one person")]
)
def test_without_people_to_tell_apart_clips_are_held_out_and_it_says_so(file: Any, why: str) -> None:
    this = task(file)
    held = hold_out(this, this.train_rows, 10.0)
    assert held is not None
    assert held.words == f"3 of 30 training clips, {why}"
    first = sorted(
        this.train_rows, key=lambda row: hashlib.sha256(f"0:{file.names[row]}".encode()).hexdigest()
    )
    assert sorted(held.held) == sorted(first[:3])
    with pytest.raises(SettingError, match="needs two training clips or more"):
        hold_out(this, this.train_rows[:1], 10.0)


@pytest.mark.parametrize("more", [(), ("batch_norm=true",), ('view="shear(0.3)"',)])
def test_linear_gives_the_test_accuracy_of_the_epoch_that_is_best_on_held_out_people(
    more: tuple[str, ...],
) -> None:
    this = task(Named())
    use = settings("linear", *words("linear", *more))
    (plain,) = linear.Linear().run(this, use)
    (found,) = linear.Linear().run(this, settings("linear", *words("linear", *more, "held_out_people=40")))
    assert torch.equal(found.scores, plain.scores), "what is recorded besides is as it was"
    assert found.best == plain.best
    assert plain.chosen is None
    assert found.chosen is not None

    held = hold_out(this, this.train_rows, 40.0)
    assert held is not None
    encoder = Mean().eval()
    test = encoder(this.clips(held.held).batch(torch.arange(len(held.held))))
    if any("view" in word for word in more):
        train: Any = linear.Views(this, use, held.kept)
    else:
        train = encoder(this.clips(held.kept).batch(torch.arange(len(held.kept))))
    chosen = linear.fit_layer(
        train, lambda: test.detach(), this.labels(held.kept), this.labels(held.held), dim=3, classes=3,
        settings=use, seed=0,
    )  # fmt: skip
    assert len(set(chosen.curve.values())) > 1, "there is something to choose"
    assert found.chosen.epoch == best_of(chosen.curve).epoch
    # The rate is the same throughout, so training that ends with that epoch is training up to it.
    until = f"epochs={found.chosen.epoch}"
    (there,) = linear.Linear().run(this, settings("linear", *words("linear", *more, until)))
    assert found.chosen.top1 == metrics.topk(there.scores, this.test_labels, 1)
    assert held.note in found.notes


def test_finetuning_gives_the_test_accuracy_of_the_epoch_that_is_best_on_held_out_people() -> None:
    this = task(Named(), encoder=Net)
    (plain,) = Finetune().run(this, settings("finetune", *words("finetune")))
    (found,) = Finetune().run(this, settings("finetune", *words("finetune", "held_out_people=40")))
    assert torch.equal(found.scores, plain.scores)
    assert found.best == plain.best
    assert found.chosen is not None
    until = f"epochs={found.chosen.epoch}"
    (there,) = Finetune().run(this, settings("finetune", *words("finetune", until)))
    assert found.chosen.top1 == metrics.topk(there.scores, this.test_labels, 1)
    assert found.train_rows is not None
    assert list(found.train_rows) == list(this.train_rows)


def test_both_parts_of_transfer_can_choose() -> None:
    this = task(Named(), encoder=Net)
    own = [
        f"transfer.{part}.{word}"
        for part in ("linear", "finetune")
        for word in (*WORDS, "held_out_people=40")
    ]
    outcomes = Transfer().run(this, settings("transfer", *own))
    assert [outcome.chosen is not None for outcome in outcomes] == [True, True]
