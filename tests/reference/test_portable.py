"""`skeltools export-model`: what is written gives the encoder's features, and safetensors come back as they went."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from clipfiles import TINY, make_clips

from skeltools.analysis.features import extract, state_digest
from skeltools.cli.main import main
from skeltools.files import safetensors
from skeltools.progress import SILENT
from skeltools.reference import portable
from skeltools.reference.portable import CLOSEST, FORMS, export
from skeltools.runs.folder import Run
from skeltools.store import ClipFile
from skeltools.training.launch import Request, launch

CPU = torch.device("cpu")
SMALL = (
    *TINY, "model.gru_hidden=8", "model.gru_layers=2", "model.vit_heads=4", "model.vit_depth=2", "monitor.every=0",
)  # fmt: skip
RUNS = {"stgcn": "bone", "bigru": "motion", "dsta": "joint", "vit": "bone"}
"""Backbone -> stream of its run."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"), train=8)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A run of each backbone."""
    folder = tmp_path_factory.mktemp("runs")
    for backbone, stream in RUNS.items():
        request = Request(
            data=data, split="xsub", stream=stream, out=folder / backbone, recipe=None,
            options={"train.epochs": 1, "train.batch_size": 4}, overrides=(*SMALL, f"model.backbone={backbone}"),
            seed=3, replace=False, resume=False, command="skeltools pretrain",
        )  # fmt: skip
        launch(request, CPU, SILENT)
    return folder


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [*map(str, words)])


def wanted(folder: Path, data: Path) -> np.ndarray[Any, Any]:
    """The features that evaluation sees."""
    opened = Run.open(folder)
    with ClipFile(data) as file:
        return extract(opened.load_encoder(CPU), file, np.arange(len(file)), opened.stream).numpy()


def joint_clips(data: Path) -> np.ndarray[Any, Any]:
    with ClipFile(data) as file:
        return np.asarray(file.clips(np.arange(len(file))), np.float32)


def close(found: np.ndarray[Any, Any], features: np.ndarray[Any, Any]) -> bool:
    return bool(np.abs(found - features).max() <= CLOSEST * max(1.0, float(np.abs(features).max())))


QUICK = [pytest.param(name, marks=[pytest.mark.slow] * (name == "dsta")) for name in RUNS]
"""All of them, that of most layers among the slow tests."""


@pytest.mark.parametrize(
    "backbone", ["vit", *(pytest.param(name, marks=pytest.mark.slow) for name in RUNS if name != "vit")]
)
def test_onnx_gives_the_features_that_evaluation_sees(
    tmp_path: Path, runs: Path, data: Path, backbone: str
) -> None:
    pytest.importorskip("onnxscript", reason="the extra 'onnx' is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="the extra 'onnx' is not installed")
    done = export(Run.open(runs / backbone), tmp_path / "m.onnx", "onnx")
    assert done.difference is not None
    session = runtime.InferenceSession(str(done.path), providers=["CPUExecutionProvider"])
    found = session.run(["features"], {"clips": joint_clips(data)})[0]
    features = wanted(runs / backbone, data)
    assert features.std() > 0
    assert close(found, features)
    told = json.loads(session.get_modelmeta().custom_metadata_map[portable.KEY])
    assert (told["stream"], told["data_digest"]) == (RUNS[backbone], Run.open(runs / backbone).digest)


@pytest.mark.parametrize("backbone", QUICK)
def test_torchscript_gives_the_features_that_evaluation_sees(
    tmp_path: Path, runs: Path, data: Path, backbone: str
) -> None:
    export(Run.open(runs / backbone), tmp_path / "m.pt", "torchscript")
    kept = {f"{portable.KEY}.json": ""}
    model = torch.jit.load(str(tmp_path / "m.pt"), _extra_files=kept)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        found = model(torch.from_numpy(joint_clips(data))).numpy()
    assert close(found, wanted(runs / backbone, data))
    assert json.loads(kept[f"{portable.KEY}.json"])["method"] == "skeattnclr"


@pytest.mark.parametrize("backbone", QUICK)
def test_safetensors_are_read_back_as_the_same_encoder(
    tmp_path: Path, runs: Path, data: Path, backbone: str
) -> None:
    source, file = runs / backbone, tmp_path / "m.safetensors"
    assert run("export-model", source, "--to", "safetensors", "--out", file).exit_code == 0
    result = run("import-weights", file, "--out", tmp_path / "back", "--data", data)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        f"{tmp_path / 'back'}: {backbone} of skeltools 0.1.0, {Run.open(source).recipe}, stream {RUNS[backbone]}, "
        "1 epoch on ntu60 xsub",
        "needs clips of 16 frames, prepared as 'skeattnclr'",
    ]
    before, after = Run.open(source), Run.open(tmp_path / "back")
    assert state_digest(after.load_encoder(CPU)) == state_digest(before.load_encoder(CPU))
    assert (after.stream, after.form, after.preparation) == (before.stream, before.form, before.preparation)
    assert after.source["data_digest"] == before.digest
    export(after, tmp_path / "again.safetensors", "safetensors")
    card = (tmp_path / "again.safetensors.md").read_text()
    with ClipFile(data) as clips:  # whose licence goes wherever the weights go
        assert f"- Recordings ({clips.dataset.title}): {clips.attrs['licence']}" in card
    assert f"- data_digest: {before.digest}" in card
    done = run("eval", tmp_path / "back", "--protocol", "knn", "--set", "knn.k=[1]", "--quiet")
    assert done.exit_code == 0, done.output


def test_the_safetensors_package_reads_what_is_written(tmp_path: Path, runs: Path) -> None:
    torch_files = pytest.importorskip("safetensors.torch", reason="the package safetensors is not installed")
    export(Run.open(runs / "stgcn"), tmp_path / "m.safetensors", "safetensors")
    theirs = torch_files.load_file(tmp_path / "m.safetensors")
    mine = Run.open(runs / "stgcn").load_encoder(CPU).backbone.state_dict()
    assert theirs.keys() == mine.keys()
    assert all(torch.equal(theirs[name], value) for name, value in mine.items())
    torch_files.save_file({"a": torch.ones(2, 3)}, tmp_path / "t.safetensors", {"format": "pt"})
    assert safetensors.metadata(tmp_path / "t.safetensors") == {"format": "pt"}


def test_the_card_says_method_data_preparation_and_licence(tmp_path: Path, runs: Path) -> None:
    opened = Run.open(runs / "bigru")
    export(opened, tmp_path / "m.pt", "torchscript")
    card = (tmp_path / "m.pt.md").read_text()
    for line in (
        "# bigru: bigru encoder of skeleton clips",
        f"- Method: skeattnclr, recipe {opened.recipe}, seed 3",
        "- Epochs: 1 of 1",
        "- Data: ntu60, training side of xsub; no test clip took part",
        f"- Content digest of the data (SHA-256): `{opened.digest}`",
        "- bodies: first",
        "- model.gru_hidden: 8",
    ):
        assert line in card.splitlines()
    with ClipFile(opened.data or Path()) as file:
        assert f"- Recordings ({file.dataset.title}): {file.attrs['licence']}" in card
    assert re.search(r"\(torchscript\); differs from the encoder by at most \d\.\de[+-]\d\d\.", card)


def test_a_file_that_gives_other_features_is_not_kept(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = portable._torchscript

    def wrong(*words: Any) -> Any:
        found = real(*words)
        return lambda x: found(x) + 1e-3

    monkeypatch.setitem(portable._WRITERS, "torchscript", wrong)
    result = run("export-model", runs / "vit", "--to", "torchscript", "--out", tmp_path / "m.pt")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {tmp_path / 'm.pt'} was not written: its features differ")
    assert list(tmp_path.iterdir()) == []


def test_wrong_uses_are_told(tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["export-model", runs / "vit", "--to"]
    assert run(*words, "onnx", "--out", tmp_path / "m.pt").stderr == (
        f"Error: {tmp_path / 'm.pt'}: --to onnx writes a file whose name ends in .onnx.\n"
    )
    file = tmp_path / "m.safetensors"
    assert run(*words, "safetensors", "--out", file).exit_code == 0
    assert run(*words, "safetensors", "--out", file).stderr == (
        f"Error: {file} already exists. Use --replace to write it again.\n"
    )
    assert run(*words, "safetensors", "--out", file, "--replace").exit_code == 0
    assert (
        "leave --stream out"
        in run("import-weights", file, "--out", tmp_path / "x", "--stream", "joint").stderr
    )
    state, told = safetensors.read(file), json.loads(safetensors.metadata(file)[portable.KEY])
    for change, message in (
        ({"frames": 8}, "its weights do not fit its description of the model"),
        ({"model": told["model"] | {"model.backbone": "os:system"}}, "no code that a file names is run"),
        ({"skeleton": {"name": "x"}}, "a skeleton lacks"),
        ({"stream": "joints"}, "Unknown stream 'joints'"),
        ({"bodies": "two"}, "'bodies' of its description of the model must be of type int"),
        ({"version": 2}, "was written by another version of skeltools"),
    ):
        safetensors.write(tmp_path / "bad.safetensors", state, {portable.KEY: json.dumps(told | change)})
        result = run("import-weights", tmp_path / "bad.safetensors", "--out", tmp_path / "x")
        assert result.exit_code == 2
        assert message in result.stderr
        assert not (tmp_path / "x").exists()
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert (
        "'pip install onnx onnxscript onnxruntime'"
        in run(*words, "onnx", "--out", tmp_path / "m.onnx").stderr
    )
    assert set(FORMS) == {"onnx", "torchscript", "safetensors"}
