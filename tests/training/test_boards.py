"""Weights & Biases beside the log: what it gets, offline and when it fails."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from clipfiles import TINY, make_clips
from trainedruns import log_of

from skeltools.errors import SettingError
from skeltools.progress import Silent
from skeltools.runs.folder import Run
from skeltools.runs.settings import resolve_recipe
from skeltools.store import ClipFile
from skeltools.training.engine import Trainer
from skeltools.training.launch import Request, launch

CPU = torch.device("cpu")


class Messages(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)


class Service:
    """Stands in for the package: one object per run of it, in the order they were made."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.made: list[dict[str, Any]] = []
        self.logged: list[dict[int, dict[str, Any]]] = []
        self.finished = 0
        self._fails_at = fails_at

    def init(self, **words: Any) -> Service:
        if self._fails_at == 0:
            raise RuntimeError("no API key.\nLog in.")
        assert Path(words["dir"], "run.json").exists(), "the run is not in its place"
        self.made.append(words)
        self.logged.append({})
        return self

    def log(self, values: dict[str, Any], step: int) -> None:
        if step == self._fails_at:
            raise OSError("the network is gone")
        self.logged[-1].setdefault(step, {}).update(values)

    def finish(self) -> None:
        self.finished += 1


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"), train=8)


def stand_in(monkeypatch: pytest.MonkeyPatch, fails_at: int | None = None) -> Service:
    service, module = Service(fails_at), ModuleType("wandb")
    module.init = service.init  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    return service


def request(data: Path, out: Path, *overrides: str, resume: bool = False) -> Request:
    return Request(
        data=data, split="xsub", stream="joint", out=out, recipe=None,
        options={"train.epochs": 2, "train.batch_size": 4}, overrides=(*TINY, *overrides),
        seed=3, replace=False, resume=resume, command="skeltools pretrain",
    )  # fmt: skip


def test_it_gets_what_the_log_gets_from_the_first_step_on(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of the first step, which is done before the folder is in its place."""
    service = stand_in(monkeypatch)
    launch(request(data, tmp_path / "r", "train.wandb=offline"), CPU, Messages())
    run = Run.open(tmp_path / "r")
    (made,) = service.made
    assert (made["mode"], made["dir"], made["name"]) == ("offline", str(tmp_path / "r"), "r")
    assert made["config"]["train.lr"] == run.settings.train.lr
    assert made["config"]["data_digest"] == run.digest
    json.dumps(made["config"])
    lines = log_of(run)
    assert {line["kind"] for line in lines} == {"step", "monitor"}
    for line in lines:
        for name in line.keys() - {"kind", "step"}:
            assert service.logged[0][line["step"]][f"{line['kind']}/{name}"] == line[name]
    assert service.finished == 1


def test_a_resumed_run_goes_on_under_its_id(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = stand_in(monkeypatch)
    resolved = resolve_recipe(
        None, dataset="ntu60", split="xsub", stream="joint",
        overrides=[*TINY, "train.epochs=2", "train.batch_size=4", "train.wandb=online"],
    )  # fmt: skip
    with ClipFile(data) as file:
        run = Run.create(
            tmp_path / "a", resolved, file=file, split="xsub", stream="joint", seed=0, command="none"
        )
        left = [3]

        def stop() -> bool:
            left[0] -= 1
            return left[0] <= 0

        Trainer(run, file, CPU, stop=stop).train()
        run.path.rename(tmp_path / "b")
        Trainer(Run.open(tmp_path / "b"), file, CPU).train()
    first, second = service.made
    assert first["id"] == second["id"]
    assert first["resume"] == second["resume"] == "allow"
    assert [sorted(logged) for logged in service.logged] == [[1, 2, 3], [4]]


@pytest.mark.parametrize(("fails_at", "told"), [(0, "no API key"), (3, "the network is gone")])
def test_training_goes_on_where_it_fails(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int, told: str
) -> None:
    stand_in(monkeypatch, fails_at)
    said = Messages()
    outcome = launch(request(data, tmp_path / "r", "train.wandb=online"), CPU, said)
    assert outcome.epoch == 2
    assert said.said.count(f"Weights & Biases gets nothing more ({told}); log.jsonl goes on.") == 1
    assert [line["step"] for line in log_of(Run.open(tmp_path / "r")) if line["kind"] == "step"] == [
        1,
        2,
        3,
        4,
    ]


def test_a_missing_package_is_named_before_training(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(SettingError, match="'pip install wandb'"):
        launch(request(data, tmp_path / "r", "train.wandb=offline"), CPU, Messages())
    assert list(tmp_path.iterdir()) == []


def test_the_real_package_writes_offline(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="the extra 'wandb' is not installed")
    monkeypatch.setenv("WANDB_SILENT", "true")
    said = Messages()
    launch(request(data, tmp_path / "r", "train.wandb=offline"), CPU, said)
    (kept,) = (tmp_path / "r" / "wandb").glob("offline-run-*/run-*.wandb")
    assert kept.stat().st_size > 1000
    assert not any("Weights & Biases" in text for text in said.said)
