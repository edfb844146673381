"""Encoders from elsewhere, and features that are kept on disk."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from protocol_stubs import Mean, MemoryFile, task
from torch import nn

from skeltools.analysis.features import state_digest
from skeltools.errors import RunError
from skeltools.protocols.running import encoder, subjects
from skeltools.protocols.running.cache import FeatureCache
from skeltools.results import record as results


class Small(nn.Module):
    """Random weights, so that the seed shows."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layer(x.mean(dim=(2, 3, 4)))
        return out


class Counting(Mean):
    """Counts the clips that pass, over all instances."""

    seen = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        Counting.seen += len(x)
        return super().forward(x)


def test_cached_features_cost_no_pass_and_are_the_same(tmp_path: Path) -> None:
    Counting.seen = 0
    made = []
    for seed in (0, 1):
        this = task(encoder=Counting, seed=seed)
        this.cache = FeatureCache(tmp_path)
        made.append(this.features)
        assert this.features_from == ("computed", "cached")[seed]
    assert Counting.seen == 60
    assert all(torch.equal(*parts) for parts in zip(*made, strict=True))


@pytest.mark.parametrize("change", ["weights", "data", "stream", "code", "rows"])
def test_whatever_features_depend_on_misses_the_cache(tmp_path: Path, change: str) -> None:
    Counting.seen = 0
    first = task(encoder=Counting)
    first.cache = FeatureCache(tmp_path)
    _ = first.features
    other = task(MemoryFile(seed=int(change == "data")), encoder=Counting)
    other.cache = FeatureCache(tmp_path)
    if change == "weights":
        moved = Counting()
        moved.norm.running_mean += 1
        other.subject = subjects.Subject(results.PRETRAINED, "test", lambda device: moved)
    if change == "stream":
        other.stream = "bone"
    if change == "code":
        other.subject = subjects.Subject(results.PRETRAINED, "test", other.subject.build, code="new")
    if change == "rows":
        other.limit = 10
    _ = other.features
    assert Counting.seen == 60 + (20 if change == "rows" else 60)


@pytest.mark.parametrize("damage", ["cut", "garbage", "flip"])
def test_a_damaged_cache_file_is_made_anew(tmp_path: Path, damage: str) -> None:
    first = task()
    first.cache = FeatureCache(tmp_path)
    expected = first.features
    for path in tmp_path.iterdir():
        content = bytearray(path.read_bytes())
        if damage == "cut":
            content = content[:-40]
        elif damage == "garbage":
            content = bytearray(b"not a zip")
        else:
            content[len(content) // 3] ^= 1
        path.write_bytes(content)
    again = task()
    again.cache = FeatureCache(tmp_path)
    assert all(torch.equal(*parts) for parts in zip(expected, again.features, strict=True))
    assert again.features_from == "computed"


def _module(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "mine.py").write_text(text)
    monkeypatch.chdir(folder)
    monkeypatch.delitem(sys.modules, "mine", raising=False)


GOOD = (
    "import torch\ndef build():\n    return torch.nn.Linear(2, 2)\nnumber = 3\ndef wrong():\n    return 3\n"
)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mine", "An encoder is named package.module:factory, not 'mine'."),
        ("mine:", "An encoder is named package.module:factory, not 'mine:'."),
        ("nowhere:build", "Encoder 'nowhere:build': no module named 'nowhere'."),
        ("mine:biuld", "module 'mine' has no callable 'biuld'. Did you mean 'build'?"),
        ("mine:number", "module 'mine' has no callable 'number'."),
    ],
)
def test_a_factory_that_is_not_there_is_told(
    spec: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _module(tmp_path, GOOD, monkeypatch)
    with pytest.raises(RunError) as caught:
        encoder.load_factory(spec)
    assert message in str(caught.value)


def test_a_module_that_fails_to_import_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _module(tmp_path, "1 / 0", monkeypatch)
    with pytest.raises(RunError, match="cannot be imported: ZeroDivisionError"):
        encoder.load_factory("mine:build")


def test_a_factory_of_something_else_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _module(tmp_path, GOOD, monkeypatch)
    factory = encoder.load_factory("mine:wrong")
    with pytest.raises(RunError, match=r"must be a torch\.nn\.Module, not int"):
        subjects.from_factory(factory, "mine:wrong", None, results.PRETRAINED, 0)


def _weights(path: Path, state: Any) -> Path:
    torch.save(state, path)
    return path


def test_weights_are_loaded_and_every_copy_is_the_same(tmp_path: Path) -> None:
    state = Small().state_dict()
    file = _weights(tmp_path / "w.pt", state)
    source = subjects.from_factory(Small, "small", file, results.PRETRAINED, 7)
    assert source.build is not None
    one, two = source.build(torch.device("cpu")), source.build(torch.device("cpu"))
    assert state_digest(one) == state_digest(two)
    assert torch.equal(one.state_dict()["layer.weight"], state["layer.weight"])
    assert not one.training
    with torch.no_grad():
        one.get_parameter("layer.weight").zero_()
    assert torch.equal(two.state_dict()["layer.weight"], state["layer.weight"])


def test_an_untrained_encoder_depends_on_the_seed_alone() -> None:
    digests = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(digests))
        build = subjects.from_factory(Small, "small", None, results.RANDOM, seed).build
        assert build is not None
        digests.append(state_digest(build(torch.device("cpu"))))
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"layer.weight": torch.zeros(4, 3)}, "lacks 1 entry: layer.bias."),
        (
            {"layer.weight": torch.zeros(9, 3), "layer.bias": torch.zeros(4)},
            "'layer.weight' has shape (9, 3), the encoder's (4, 3) (1 entries differ). Build the encoder "
            "with the width it was trained with.",
        ),
        (
            {"layer.weight": torch.zeros(4, 3), "layer.bias": torch.zeros(4), "fc": torch.zeros(1)},
            "has, unknown to the encoder, 1 entry: fc.",
        ),
        ({"state_dict": {}}, "holds no plain state dict. Save one: torch.save(encoder.state_dict(), FILE)"),
        ([1], "holds no plain state dict."),
    ],
)
def test_weights_that_do_not_fit_are_told(state: Any, message: str, tmp_path: Path) -> None:
    file = _weights(tmp_path / "w.pt", state)
    with pytest.raises(RunError) as caught:
        subjects.from_factory(Small, "small", file, results.PRETRAINED, 0)
    assert message in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_that_hold_code_or_nothing_are_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    with pytest.raises(RunError, match="is not a readable weights file"):
        encoder.load_weights(_weights(tmp_path / "evil.pt", Evil()))
    assert not (tmp_path / "ran").exists()
    (tmp_path / "text.pt").write_text("text")
    with pytest.raises(RunError, match="is not a readable weights file"):
        encoder.load_weights(tmp_path / "text.pt")
    with pytest.raises(RunError, match=r"Weights file .*none\.pt does not exist"):
        encoder.load_weights(tmp_path / "none.pt")


def test_an_encoder_in_memory_is_copied_and_never_changed() -> None:
    mine = Small().train()
    before = state_digest(mine)
    build = subjects.from_module(mine, results.PRETRAINED).build
    assert build is not None
    copy = build(torch.device("cpu"))
    with torch.no_grad():
        copy.get_parameter("layer.weight").zero_()
    assert mine.training
    assert state_digest(mine) == before
    with pytest.raises(RunError, match="Give the factory"):
        subjects.from_module(mine, results.RANDOM)


def test_imported_weights_claim_no_training() -> None:
    run: Any = SimpleNamespace(
        kind="import", flat={"model.width": 4, "train.epochs": 300}, path=Path("runs/imported"), seed=0,
        epoch=0, data=None, digest="", dataset="", split="", frames=50, load_encoder=lambda device: Mean(),
        note="", clips_seen=lambda: None,
    )  # fmt: skip
    source = subjects.from_run(run, results.PRETRAINED, 0)
    assert source.pretraining == subjects.Pretraining(settings={"model.width": 4})
    assert source.settings == {"model.width": 4}
    assert source.frames == 50


def test_clips_of_another_length_are_refused() -> None:
    this = task()
    this.subject = subjects.Subject(results.PRETRAINED, "runs/a", lambda device: Mean(), frames=64)
    with pytest.raises(
        RunError, match=r"runs/a was trained on clips of 64 frames; memory\.h5 holds clips of 8"
    ):
        _ = this.features


def test_a_limit_takes_the_same_clips_by_name_whatever_their_order() -> None:
    this = task()
    this.limit = 7
    assert len(this.train_rows) == len(this.test_rows) == 7
    names = {this.file.names[row] for row in this.train_rows}
    shuffled: Any = MemoryFile()
    order = np.random.default_rng(0).permutation(60)
    shuffled.names = [shuffled.names[i] for i in order]
    inverse = np.argsort(order)
    shuffled._rows = {part: np.sort(inverse[rows]) for part, rows in shuffled._rows.items()}
    other = task(shuffled)
    other.limit = 7
    assert {shuffled.names[row] for row in other.train_rows} == names


def test_a_killed_writers_rest_is_removed_though_its_features_are_there(tmp_path: Path) -> None:
    FeatureCache(tmp_path).store("k", torch.ones(2, 3))
    left = tmp_path / ".k.npz.abcdefgh.part"  # killed between the new name and the end
    left.mkdir()
    assert FeatureCache(tmp_path).load("k") is not None
    assert [path.name for path in tmp_path.iterdir()] == ["k.npz"]


def test_weights_with_a_classifier_or_nan_are_told(tmp_path: Path) -> None:
    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.classifier = nn.Linear(3, 60)

    state = Classifier().state_dict()
    found = subjects.from_factory(Classifier, "c", _weights(tmp_path / "c.pt", state), results.PRETRAINED, 0)
    assert found.pretraining is not None
    assert found.pretraining.note == (
        "The checkpoint holds a classifier of 60 classes ('classifier.weight'): "
        "its encoder may have seen labels."
    )
    state["classifier.bias"][7] = float("-inf")
    with pytest.raises(RunError) as caught:
        encoder.load_weights(_weights(tmp_path / "n.pt", state))
    assert str(caught.value) == (
        f"{tmp_path / 'n.pt'}: 'classifier.bias' holds -inf at [7] (1 of 60 values are not finite). "
        "Its training went wrong or it is damaged: give another checkpoint."
    )
