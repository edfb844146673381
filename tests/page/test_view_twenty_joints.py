"""``skeltools view`` and a run on a converted file of 20 joints and one body."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from clipfiles import TINY
from plotting import invoke

from skeltools.skeletons import load


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NW-UCLA's form: eight made-up clips of ten to seventeen frames, and their conversion."""
    folder = tmp_path_factory.mktemp("ucla")
    draws = np.random.default_rng(0)
    for number in range(8):
        name = f"a0{number % 2 + 1}_s01_e0{number // 2}_v0{number % 4 % 3 + 1}"
        body = draws.uniform(0.1, 1.7, (1, 20, 3)) + draws.normal(0, 0.02, (10 + number, 20, 3))
        content = {"file_name": name, "label": number % 2 + 1, "skeletons": body.round(5).tolist()}
        (folder / f"{name}.json").write_text(json.dumps(content))
    out = folder / "ucla.h5"
    result = invoke("convert", "nwucla", str(folder), str(out), "--frames", "16")
    assert result.exit_code == 0, result.output
    return out


def test_the_page_holds_twenty_joints_of_one_body(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "view.html"
    result = invoke("view", str(data), "--out", str(out))
    assert result.exit_code == 0, result.output
    values = json.loads(out.read_text().split('id="values">')[1].split("</script>")[0])
    (skeleton,) = values["skeletons"]
    assert (skeleton["name"], skeleton["joints"]) == ("kinect1", list(load("kinect1").joints))
    assert len(values["clips"]) == 8
    for clip in values["clips"]:
        assert (clip["frames"], clip["bodies"], clip["flat"]) == (16, 1, False)
        assert np.frombuffer(base64.b64decode(clip["data"]), "<i2").size == 16 * 20 * 3


def test_its_recordings_are_predicted_over_time_with_picture_and_page(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")
    run = tmp_path / "run"
    words = [word for setting in TINY for word in ("--set", setting)]
    for command in (
        ["pretrain", data, "--split", "xview", "--stream", "joint", "--out", run, *words, "--epochs", 1,
         "--batch-size", 4],
        ["eval", run, "--protocol", "linear", "--epochs", 2, "--set", "linear.lr=0.01", "--quiet"],
    ):  # fmt: skip
        result = invoke(*map(str, command))
        assert result.exit_code == 0, result.output
    raw = data.parent / "a01_s01_e00_v01.json"
    result = invoke(
        "predict", str(run), str(raw), "--window", "4", "--json", "--plot", str(tmp_path / "t.png"),
        "--page", str(tmp_path / "t.html"),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    (found,) = json.loads(result.stdout)
    assert [one["start"] for one in found["windows"]] == list(range(7))
    values = json.loads((tmp_path / "t.html").read_text().split('id="values">')[1].split("</script>")[0])
    assert values["skeletons"][0]["name"] == "kinect1"
    assert (values["clips"][0]["bodies"], values["clips"][0]["frames"]) == (1, 10)
