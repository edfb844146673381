"""Finetuning and what builds on it: what moves, what must not, and which clips are used."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from protocol_stubs import MemoryFile, settings, task
from torch import nn

from skeltools.analysis import metrics
from skeltools.analysis.features import state_digest
from skeltools.datasets import subsets
from skeltools.errors import RunError, SettingError
from skeltools.protocols import finetune, semi, transfer
from skeltools.protocols.running import registry, subjects, tuning
from skeltools.protocols.running.clips import Clips
from skeltools.results import record as results


class Net(nn.Module):
    """Batch norm, dropout and weights; the same at every call of the factory."""

    made: list[Net]

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.layer = nn.Linear(3, 5)
        self.drop = nn.Dropout(0.5)
        self.modes: set[bool] = set()
        with torch.no_grad():
            self.layer.weight.copy_(torch.linspace(-1, 1, 15).view(5, 3))
            self.layer.bias.zero_()
        Net.made.append(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.modes.add(self.training)
        out: torch.Tensor = self.drop(self.layer(self.norm(x.mean(dim=(2, 3, 4)))).relu())
        return out


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Net.made = []


def _tuned(mode: str, seed: int = 0, epochs: int = 3, decay: float = 0.0) -> tuple[Any, Net]:
    this = task(encoder=Net, seed=seed)
    use = settings(
        "finetune", f"finetune.mode={mode}", f"finetune.epochs={epochs}", "finetune.batch_size=8",
        "finetune.lr=0.1", f"finetune.weight_decay={decay}",
    )  # fmt: skip
    (outcome,) = finetune.Finetune().run(this, use)
    return outcome, Net.made[0]


def _parts(net: Net) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in net.state_dict().items()}


def test_eval_mode_moves_every_weight_and_no_statistic() -> None:
    outcome, net = _tuned("eval")
    before, after = _parts(Net()), _parts(net)
    weights = {key for key, _ in net.named_parameters()}
    assert {key for key in before if not torch.equal(before[key], after[key])} == weights
    assert outcome.variant == "eval"
    assert net.modes == {False}


def test_train_mode_moves_the_statistics_too() -> None:
    outcome, net = _tuned("train")
    before, after = _parts(Net()), _parts(net)
    assert {key for key in before if not torch.equal(before[key], after[key])} == before.keys()
    assert outcome.variant == "train"
    assert net.modes == {True, False}  # trained in train mode, scored in eval mode
    assert int(after["norm.num_batches_tracked"]) == 3 * 4


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_results_depend_on_the_seed_alone(mode: str) -> None:
    torch.manual_seed(1)
    first = _tuned(mode)[0].scores
    torch.manual_seed(2)
    drawn = torch.rand(1)
    torch.manual_seed(2)
    same, other = _tuned(mode)[0].scores, _tuned(mode, seed=1)[0].scores
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(torch.rand(1), drawn)  # torch's own generator is as it was


def test_what_is_learnable_is_learnt() -> None:
    outcome, _ = _tuned("eval", epochs=40)
    assert metrics.topk(outcome.scores, task().test_labels, 1) == 1.0
    assert outcome.best.top1 == 1.0


def test_one_clip_left_over_joins_the_last_batch_in_train_mode_only() -> None:
    order = torch.arange(30)
    sizes = {
        mode: [
            len(part)
            for part in tuning._batches(order, settings("finetune", f"finetune.mode={mode}", *small))
        ]
        for mode in ("eval", "train")
        for small in [("finetune.batch_size=29",)]
    }
    assert sizes == {"eval": [29, 1], "train": [30]}


class Leaky(nn.Module):
    """Moves a statistic in eval mode, which no encoder may."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += 1
        out: torch.Tensor = self.layer(x.mean(dim=(2, 3, 4)))
        return out


def test_statistics_that_move_in_eval_mode_are_caught() -> None:
    with pytest.raises(RunError, match="'count' moved in eval mode"):
        finetune.Finetune().run(task(encoder=Leaky), settings("finetune", "finetune.epochs=1"))


def test_a_loss_that_is_not_finite_is_told() -> None:
    with pytest.raises(RunError, match=r"The loss of finetune is not finite in epoch \d+\. Lower its lr"):
        finetune.Finetune().run(
            task(encoder=Net), settings("finetune", "finetune.epochs=9", "finetune.lr=2e9")
        )


def test_every_label_is_used_and_the_source_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    batch = Clips.batch

    def counting(self: Clips, index: torch.Tensor) -> torch.Tensor:
        seen.append(len(index))
        return batch(self, index)

    monkeypatch.setattr(Clips, "batch", counting)
    kept = Net()
    source = subjects.from_module(kept, results.PRETRAINED)
    this = task()
    this.subject = source
    before = state_digest(kept)
    finetune.Finetune().run(this, settings("finetune", "finetune.epochs=1", "finetune.batch_size=13"))
    assert seen[1:4] == [13, 13, 4]  # the first is the probe of the feature's size
    assert state_digest(kept) == before


@pytest.mark.parametrize("stream", ["joint", "motion", "bone"])
def test_clips_in_memory_and_read_are_the_same(stream: str) -> None:
    file: Any = MemoryFile()
    rows, index = np.array([3, 9, 1, 4]), torch.tensor([2, 0, 0, 3])
    held = Clips(file, rows, stream, torch.device("cpu"), in_memory=True)
    read = Clips(file, rows, stream, torch.device("cpu"), in_memory=False)
    assert len(held) == 4
    assert torch.equal(held.batch(index), read.batch(index))


@pytest.mark.parametrize("subject", [results.STANDARDISED, results.RAW])
def test_what_is_no_encoder_cannot_be_tuned(subject: str) -> None:
    this = task(subject=subject, encoder=None if subject == results.RAW else Net)
    assert finetune.Finetune().skip(this, settings("finetune")) == f"'{subject}' is not an encoder to train"


@pytest.mark.parametrize(
    ("context", "rate", "steps"),
    [
        (("ntu60", "xsub", "joint"), 0.005, (50, 100)),
        (("ntu60", "xsub", "bone"), 0.02, (13, 80, 120)),
        (("ntu60", "xsub", "motion"), 0.025, (10, 60, 110)),
        (("ntu60", "xview", "joint"), 0.05, (10, 60, 110)),
        (("ntu60", "xview", "bone"), 0.02, (25, 80, 120)),
        (("ntu60", "xview", "motion"), 0.02, (25, 90)),
        (("ntu120", "xset", "joint"), 0.008, (60, 100)),
        (("pku1", "xsub", "bone"), 0.005, (50, 100)),
    ],
)
def test_semi1_takes_the_reference_values(
    context: tuple[str, str, str], rate: float, steps: tuple[int, ...]
) -> None:
    definition = registry.get("semi1")
    where = dict(zip(("dataset", "split", "stream"), context, strict=True))
    use = definition.resolve(where).values
    assert (use.lr, use.lr_steps, use.percent, use.mode) == (rate, steps, 1.0, "eval")
    assert bool(definition.notes(where)) == (context[0] == "pku1")


@pytest.mark.parametrize(
    ("protocol", "context", "rate"),
    [
        ("finetune", ("ntu60", "xsub", "joint"), 0.008),
        ("finetune", ("ntu60", "xview", "motion"), 0.003),
        ("finetune", ("ntu120", "xsub", "motion"), 0.01),
        ("semi10", ("ntu60", "xview", "joint"), 0.007),
        ("semi10", ("ntu120", "xset", "joint"), 0.01),
    ],
)
def test_other_rows_of_the_reference(protocol: str, context: tuple[str, str, str], rate: float) -> None:
    definition = registry.get(protocol)
    where = dict(zip(("dataset", "split", "stream"), context, strict=True))
    assert definition.resolve(where).values.lr == rate


def test_notes_say_where_the_recipe_had_no_row() -> None:
    where = {"dataset": "pku1", "split": "xsub", "stream": "bone"}
    assert registry.get("finetune").notes(where) == [
        "finetune: no published row for pku1 xsub bone; the recipe takes NTU-60 xsub joint's values."
    ]
    slip = registry.get("finetune").notes({"dataset": "ntu120", "split": "xsub", "stream": "bone"})
    assert "plainly a slip" in slip[0]
    assert registry.get("linear").notes(where) == []


@pytest.mark.parametrize(("name", "percent"), [("semi1", 1.0), ("semi10", 10.0), ("semi:50", 50.0)])
def test_semi_uses_the_subset_of_its_seed(name: str, percent: float) -> None:
    definition = registry.get(name)
    overrides = (f"{definition.section}.epochs=1",)
    this = task(encoder=Net, seed=3)
    (outcome,) = semi.Semi().run(this, definition.resolve({}, None, overrides).values)
    expected = subsets.draw(this.file.names, this.file.labels, this.train_rows, percent / 100, 3)
    assert outcome.train_rows is not None
    np.testing.assert_array_equal(outcome.train_rows, expected)
    assert not set(expected) & set(this.test_rows)
    each = {1.0: 1, 10.0: 1, 50.0: 5}[percent]
    told = f"{percent:g} % of the labels: {3 * each} clips, {each} per class."
    if percent == 1:  # of 10 clips
        told += (
            " Of 3 classes that is less than one clip, so one is taken: in all 10 % of the training clips."
        )
    assert outcome.notes == [told]


def test_semi_of_all_labels_is_finetuning() -> None:
    definition = registry.get("semi:100")
    use = definition.resolve({}, None, ("semi.epochs=2",)).values
    this = task(encoder=Net)
    (outcome,) = semi.Semi().run(this, use)
    same = tuning.tune(task(encoder=Net), this.train_rows, use, "all")
    assert torch.equal(outcome.scores, same.scores)


@pytest.mark.parametrize("name", ["semi", "semi:", "semi:0", "semi:x", "linear:5", "semi1:1"])
def test_shares_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(SettingError, match=r"Unknown protocol|percentage above 0"):
        registry.get(name)


def _transfer(*overrides: str) -> Any:
    return settings("transfer", "transfer.linear.epochs=2", "transfer.finetune.epochs=1", *overrides)


def test_transfer_runs_linear_and_finetune_on_the_target() -> None:
    this = task(encoder=Net)
    this.target = True
    assert transfer.Transfer().skip(this, _transfer()) is None
    assert [outcome.variant for outcome in transfer.Transfer().run(this, _transfer())] == [
        "linear",
        "finetune eval",
    ]
    raw = task(subject=results.RAW, encoder=None)
    raw.target = True
    assert [outcome.variant for outcome in transfer.Transfer().run(raw, _transfer())] == ["linear"]


def test_transfer_keeps_the_linear_result_when_finetuning_diverges() -> None:
    this = task(encoder=Net)
    this.target = True
    wild = ("transfer.finetune.lr=2e9", "transfer.finetune.epochs=9")
    (outcome,) = transfer.Transfer().run(this, _transfer(*wild))
    assert outcome.variant == "linear"
    assert "seed 0: The loss of transfer finetune is not finite" in outcome.notes[0]
    with pytest.raises(RunError, match="The loss of transfer finetune is not finite"):
        transfer.Transfer().run(this, _transfer(*wild, 'transfer.parts=["finetune"]'))


def test_transfer_says_what_it_lacks() -> None:
    this = task(encoder=Net)
    assert transfer.Transfer().skip(this, _transfer()) == (
        "transfer needs a target, another converted file. Give it: --target FILE"
    )
    this.target = True
    known = subjects.Pretraining(data_digest=this.file.digest)
    this.subject = subjects.Subject(results.PRETRAINED, "runs/a", this.subject.build, pretraining=known)
    reason = transfer.Transfer().skip(this, _transfer())
    assert reason == "memory.h5 is the file the encoder was pretrained on. Give another: --target FILE"
    assert "not other" in str(transfer.Transfer().skip(this, _transfer('transfer.parts=["other"]')))


@pytest.mark.parametrize(("split", "rate"), [("xsub", 0.008), ("xview", 0.005)])
def test_transfer_to_pku2_takes_the_reference_rates(split: str, rate: float) -> None:
    where = {"dataset": "pku2", "split": split, "stream": "joint"}
    definition = registry.get("transfer")
    assert definition.resolve(where).values.finetune.lr == rate
    assert definition.epoch_keys == ("transfer.linear.epochs", "transfer.finetune.epochs")
