"""A run folder whose parts do not belong together is refused, and the field that differs is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from clipfiles import TINY, make_clips

from skeltools.cli.main import main
from skeltools.errors import SettingError
from skeltools.methods.registry import METHODS, find_method
from skeltools.models.registry import BACKBONES, find_backbone
from skeltools.runs.settings import resolve_recipe
from skeltools.settings import schema_fields
from skeltools.training import engine

SETTINGS = [word for setting in (*TINY, "monitor.every=0") for word in ("--set", setting)]


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    data = make_clips(folder, 8, 4)
    base = (
        "--split",
        "xsub",
        "--stream",
        "joint",
        "--epochs",
        2,
        "--batch-size",
        4,
        "--device",
        "cpu",
        *SETTINGS,
    )
    for name, seed in (("one", 0), ("two", 1)):
        assert call("pretrain", data, *base, "--out", folder / name, "--seed", seed).exit_code == 0
    return folder


@pytest.fixture
def run(runs: Path, tmp_path: Path) -> Path:
    shutil.copytree(runs / "one", tmp_path / "one")
    return tmp_path / "one"


def edit(run: Path, key: str, value: object) -> None:
    content = json.loads((run / "run.json").read_text())
    (content["settings"] if key in content["settings"] else content)[key] = value
    (run / "run.json").write_text(json.dumps(content))


def refused(run: Path, told: str) -> None:
    for words in (("pretrain", "--resume", run), ("eval", run, "--protocol", "knn", "--set", "knn.k=[1]")):
        result = call(*words, "--device", "cpu")
        assert result.exit_code == 2, result.output
        assert result.stderr.startswith("Error: ")
        assert told in result.stderr, result.stderr


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.lr", 0.5),
        ("loss.mu", 0.25),
        ("train.epochs", 9),
        ("seed", 3),
        ("stream", "bone"),
        ("created", "never"),
    ],
)
def test_an_edited_run_is_refused_by_field(run: Path, key: str, value: object) -> None:
    edit(run, key, value)
    refused(run, f"run.json has {key} {value}, ")


def test_the_checkpoint_of_another_run_is_refused(runs: Path, run: Path) -> None:
    """Of another seed, with every setting alike."""
    for path in (runs / "two" / "checkpoints").iterdir():
        shutil.copyfile(path, run / "checkpoints" / path.name)
    refused(run, "run.json has seed 0, ")


@pytest.mark.parametrize(("key", "value"), [("queue.size", 16_777_216), ("model.width", 64)])
def test_nothing_is_built_before_run_and_checkpoint_agree(
    run: Path, monkeypatch: pytest.MonkeyPatch, key: str, value: object
) -> None:
    """A queue or a model of settings that were edited is refused by what its checkpoint says, not made first."""
    edit(run, key, value)
    monkeypatch.setattr(engine, "make_method", lambda *_: pytest.fail("it is built"))
    refused(run, f"run.json has {key} {value}, ")


@pytest.mark.parametrize("width", [4096, 16384, 1e6, 8])
def test_a_width_that_is_not_the_checkpoints_costs_no_memory(run: Path, width: float) -> None:
    edit(run, "model.width", width)
    result = call("eval", run, "--protocol", "knn", "--device", "cpu")
    assert result.exit_code == 2, result.output
    assert "model.width" in result.stderr


WRONG: list[tuple[str, Any]] = [
    ("epoch", -5), ("epoch", 1.5), ("epoch", "one"), ("batch", 10**9), ("batch", True), ("step", -1), ("step", 10**30),
    ("model", []), ("model", {"query": 3}), ("model", {1: torch.zeros(1)}), ("optimizer", 5),
    ("optimizer", {"state": 1}),
    ("optimizer", {"state": {}, "param_groups": [{}]}), ("rng", []), ("rng", {"cpu 0": torch.zeros(3)}),
    ("rng", {"cpu 0": torch.zeros(3, dtype=torch.uint8)}), ("settings", None), ("settings", [1]), ("versions", 3),
    ("data_digest", None), ("data_digest", 7), ("monitor", "high"), ("monitor", float("nan")), ("identity", 0),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_a_checkpoint_of_wrong_types_is_one_error(run: Path, key: str, value: Any) -> None:
    """The values that are used too, not only loaded."""
    last = sorted((run / "checkpoints").iterdir())[-1]
    content = torch.load(last, weights_only=True)
    torch.save(content | {key: value}, last)
    result = call("pretrain", "--resume", run, "--device", "cpu")
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("Error: ")
    assert last.name in result.stderr


@pytest.mark.parametrize("name", [*METHODS, *BACKBONES])
def test_every_number_that_sizes_a_network_has_a_bound_of_its_own(name: str) -> None:
    """The meta device spares memory, not the time and the objects of a million layers."""
    tables = find_method(name).settings if name in METHODS else {"model": find_backbone(name).settings}
    for table in {"model", "decoder", "queue"} & tables.keys():
        for key, (kind, meta) in schema_fields(tables[table], f"{table}.").items():
            if kind in (int, tuple[int, ...]):
                assert meta["high"] is not None, key
                assert meta["high"] <= (1 << 24), key


@pytest.mark.parametrize(
    "wrong", ["model.vit_depth=1e6", "decoder.depth=1e6", "model.dim=1e6", "model.vit_mlp=1e5"]
)
def test_a_network_of_a_million_layers_is_not_begun(wrong: str) -> None:
    with pytest.raises(SettingError, match="must be at most"):
        resolve_recipe("mamp", dataset="ntu60", split="xsub", stream="joint", overrides=[wrong])
