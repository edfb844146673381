"""``skeltools inspect``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from rawfiles import write_ntu
from rich.console import Console

from skeltools.cli import _console as console
from skeltools.cli.main import main
from skeltools.convert.pipeline import convert
from skeltools.datasets import registry as datasets
from skeltools.plots.terminal import draw
from skeltools.skeletons import load


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_ntu(tmp_path / "raw", "S001C001P001R001A001", 1)
    write_ntu(tmp_path / "raw", "S001C002P003R001A009", 2, frames=30)
    write_ntu(tmp_path / "raw", "S001C002P005R002A008", 3)
    convert(datasets.get("ntu60"), tmp_path / "raw", tmp_path / "o.h5")
    return tmp_path / "o.h5"


def test_json_says_everything(path: Path) -> None:
    result = CliRunner().invoke(main, ["inspect", str(path), "--json"])
    found = json.loads(result.stdout)
    assert found["dataset"] == "ntu60"
    assert found["clips"] == 2
    assert found["frames"] == 64
    assert found["splits"]["xsub"] == {"train": 1, "test": 1, "official": [40091, 16487]}
    assert found["length"] == {"least": 12, "median": 21.0, "most": 30}
    assert found["bodies"] == {"1": 2}
    assert found["excluded"] == {"incomplete": 1}
    assert found["clips_with_gaps"] == 0
    assert found["classes"][8] == {
        "label": 8, "name": "standing up (from sitting position)", "clips": 1,
        "xsub train": 0, "xsub test": 1, "xview train": 1, "xview test": 0,
    }  # fmt: skip
    assert found["chain"]["rotation"] == "yaw"
    assert len(found["content_digest"]) == 64


def test_tables_fit_80_columns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "out", lambda: Console(width=80, highlight=False))
    result = CliRunner().invoke(main, ["inspect", str(path)])
    assert result.exit_code == 0, result.output
    assert max(map(len, result.stdout.splitlines())) <= 80
    text = " ".join(result.stdout.split())
    for part in (
        "dataset NTU RGB+D 60 (ntu60)",
        "12 to 30, median 21 frames with a first body",
        "xsub 1 1 40,091 16,487",
        "incomplete 1",
        "0 drink water 1 1 0 0 1",
        "rotation yaw",
    ):
        assert part in text


def test_what_is_no_converted_file(tmp_path: Path) -> None:
    (tmp_path / "x.h5").write_text("x")
    result = CliRunner().invoke(main, ["inspect", str(tmp_path / "x.h5")])
    assert result.exit_code == 2
    assert result.stderr == (
        f"Error: {tmp_path / 'x.h5'} is not an HDF5 file but a text file. "
        "Make one with 'skeltools convert'.\n"
    )


def test_a_clip_is_drawn(path: Path) -> None:
    result = CliRunner().invoke(main, ["inspect", str(path), "--clip", "S001C002P003R001A009"])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "S001C002P003R001A009: standing up (from sitting position) (label 8)"
    assert "frames 30" in lines[1]
    assert sum(0x2800 < ord(char) < 0x2900 for line in lines[2:] for char in line) > 50
    assert max(map(len, lines[2:])) <= 80
    result = CliRunner().invoke(main, ["inspect", str(path), "--clip", "S001C002P003R001A00"])
    assert result.exit_code == 2
    assert result.stderr == (
        f"Error: {path} has no clip 'S001C002P003R001A00'. Did you mean 'S001C002P003R001A009'?\n"
    )


def test_a_picture_shows_where_the_body_is() -> None:
    clip = np.zeros((3, 8, 25, 2), np.float32)
    assert draw(clip, load("kinect2")) == [""] * 16
    clip[1, :, :, 0] = np.linspace(-1, 1, 25)  # a vertical line
    lines = draw(clip, load("kinect2"), width=10, height=4, frames=1)
    assert [len(line) for line in lines] == [6, 6, 6, 6]
    assert {line.strip() for line in lines} <= {"⡇", "⢸", "⡟", "⠇", "⢿", "⠸"}


def test_a_picture_from_the_front_is_not_mirrored() -> None:
    clip = np.zeros((3, 4, 25, 2), np.float32)
    clip[1, :, :, 0] = np.linspace(-1, 1, 25)
    clip[0, :, [10, 11, 23], 0] = 0.5  # the right hand: the sensor's x grows to that side
    lines = draw(clip, load("kinect2"), width=20, height=8, frames=1)
    body = np.array([[char != " " for char in line.ljust(20)] for line in lines]).sum(axis=0)
    trunk = int(body.argmax())
    assert body[:trunk].sum() > 0
    assert body[trunk + 2 :].sum() == 0
