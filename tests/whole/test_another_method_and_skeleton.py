"""A method and a skeleton that nobody planned for go the whole way: files to table to page, nothing else changed.

The method is the example of the docs, the skeleton has eleven joints, and clips have room for one, two or three bodies.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from owndata import names, person

from skeltools.cli.main import main
from skeltools.runs.folder import Run
from skeltools.skeletons import load
from skeltools.store import ClipFile

HERE = Path(__file__).parents[1]
ELEVEN = HERE / "skeletons" / "eleven.toml"
EXAMPLE = HERE.parent / "docs" / "examples" / "method.py"
DESCRIPTOR = """
name = "stage"
title = "Eleven joints"
licence = "made up"
skeleton = "{skeleton}"
bodies = {bodies}
unit = "m"
up = "y"
rate = 30
classes = ["bend", "wave"]

[names]
pattern = 'S(?P<subject>\\d)_(?P<label>[a-z]+)_\\d'

[splits.xsub]
train = "subject in 1,2"
test = "subject in 3,4"
"""
SMALL = (
    "model.width=4", "model.dim=16", "model.gru_hidden=8", "model.gru_layers=1", "model.subsets=2",
    "model.vit_depth=1", "model.vit_heads=2", "model.vit_mlp=1", "model.vit_patch=2", "train.epochs=2",
    "train.batch_size=8", "train.save_every=1", "monitor.every=1", "monitor.k=3",
)  # fmt: skip


def call(*words: object) -> str:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize(
    ("bodies", "backbone"),
    [(1, "stgcn"), pytest.param(2, "dsta", marks=pytest.mark.slow), (3, "bigru"), (3, "vit")],
)
def test_from_files_to_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bodies: int, backbone: str
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(EXAMPLE, f"method_for_{backbone}.py")
    skeleton = load(str(ELEVEN))
    raw = Path("raw")
    raw.mkdir()
    for name, seed in names():
        people = [person(skeleton, seed + 7 * number) + 1.5 * number for number in range(bodies)]
        np.save(raw / f"{name}.npy", np.stack(people, axis=1).astype(np.float32))
    Path("stage.toml").write_text(DESCRIPTOR.format(skeleton=ELEVEN, bodies=bodies))

    call("convert", "stage.toml", raw, "stage.h5", "--frames", 8)
    assert "no faults" in call("verify", "stage.h5")
    with ClipFile("stage.h5") as file:
        assert (file.form.joints, file.form.bodies, len(file)) == (11, bodies, 32)
        assert {count for count in file.column("bodies")} == {bodies}

    method = f"method_for_{backbone}:SimSiam"
    settings = [word for text in (*SMALL, f"model.backbone={backbone}") for word in ("--set", text)]
    words = ("--split", "xsub", "--stream", "bone", "--method", method, *settings)
    call("pretrain", "stage.h5", *words, "--out", "run")
    whole = [
        json.loads(line)["loss"] for line in Path("run/log.jsonl").read_text().splitlines() if "loss" in line
    ]
    first, *_ = sorted(Path("run/checkpoints").iterdir())
    for later in sorted(Path("run/checkpoints").iterdir())[1:]:
        later.unlink()
    call("pretrain", "--resume", "run")  # from the first of two epochs
    again = [
        json.loads(line)["loss"] for line in Path("run/log.jsonl").read_text().splitlines() if "loss" in line
    ]
    assert first.exists()
    assert again == whole
    assert Run.open("run").form.skeleton == skeleton

    call(
        "eval",
        "run",
        "--protocol",
        "linear",
        "--set",
        "linear.epochs=2",
        "--set",
        "linear.lr_steps=[]",
        "--quiet",
    )
    call("eval", "run", "--protocol", "knn", "--set", "knn.k=[1]", "--quiet")
    table = call("report", "run")
    assert "stage xsub" in table
    assert "linear" in table
    call("page", "run", "--out", "page.html")
    assert "left shoulder" in Path("page.html").read_text(encoding="utf-8")
