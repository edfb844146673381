"""Every command where standard output takes ASCII or Windows' cp1252 alone, as in a pipe on many clusters."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from clipfiles import altered
from plotting import make_run

from skeltools.cli.main import COMMANDS, main

NAME = "S001C001P001R001A001"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``data.h5``, of which a class has a name in no encoding but Unicode's, a copy of a run on it, and raw files."""
    data, run = make_run(tmp_path_factory)
    folder = tmp_path_factory.mktemp("place")
    shutil.copy(data, folder / "data.h5")
    shutil.copytree(run, folder / "run")
    shutil.copytree(data.parent / "raw", folder / "raw")
    (folder / "arrays").mkdir()
    np.save(folder / "arrays" / "walk_01.npy", np.random.default_rng(0).normal(size=(16, 25, 3)))
    with altered(folder / "data.h5") as file:
        classes = list(file.attrs["class_names"])
        classes[0] = "caf\u00e9 \u6b69\u304f \u00b1"
        del file.attrs["class_names"]
        file.attrs.create("class_names", np.array(classes, object), dtype=h5py.string_dtype("utf-8"))
    return folder


RUNS = [
    "synth ntu60 new --clips 2 --workers 1",
    "describe arrays",
    "convert ntu60 raw new.h5 --frames 16 --workers 1",
    "inspect data.h5",
    f"inspect data.h5 --clip {NAME}",
    "inspect data.h5 --json",
    f"view data.h5 {NAME} --out view.html",
    "verify data.h5",
    "diff data.h5 data.h5",
    "subset data.h5",
    "export data.h5 out.pkl --to pyskl",
    "skeletons",
    "skeletons kinect2",
    "pretrain --resume run",
    "config linear",
    "runs run",
    "runs run --json",
    "eval run --protocol knn --set knn.k=[1] --allow-mismatch --data data.h5 --seeds 2",
    "report run --per-class --confusions 2",
    "report run --format markdown",
    "report run --format csv",
    "compare run@random run --classes 4",
    "plot curves run --out curves.svg",
    "page run --out page.html --clips 2 --points 0",
    "features run data.h5 --out features.npz",
    f"predict run raw/{NAME}.skeleton",
]
"""Those that tell whole tables and pictures; the help of every command besides."""


@pytest.mark.parametrize(
    ("words", "charset"),
    [
        *((words, "ascii") for words in RUNS),
        *(pytest.param(words, "cp1252", marks=pytest.mark.slow) for words in RUNS),
        *((f"{name} --help", charset) for name in COMMANDS for charset in ("ascii", "cp1252")),
    ],
)
def test_every_command_prints_in_every_encoding(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, charset: str, words: str
) -> None:
    for name in ("data.h5", "run", "raw", "arrays"):
        (tmp_path / name).symlink_to(place / name)
    if words.startswith("eval"):
        (tmp_path / "run").unlink()
        shutil.copytree(place / "run", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    result = CliRunner(charset=charset).invoke(main, words.split())
    assert "Internal error" not in result.stderr
    assert (result.exit_code, result.exception) in [(0, None), (1, result.exception)], result.output
    assert result.stdout
    result.stdout_bytes.decode(charset)


def test_what_an_encoding_lacks_is_drawn_with_other_characters(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    drawn = (
        CliRunner(charset="ascii").invoke(main, ["inspect", "data.h5", "--clip", NAME]).stdout.splitlines()
    )
    assert drawn[0] == f"{NAME}: caf\\xe9 \\u6b69\\u304f \\xb1 (label 0)".replace("\\xb1", "+/-")
    assert len(drawn) == 2 + 16
    assert set("".join(drawn[2:])) <= set(" .:*#@")
    assert max(map(len, drawn[2:])) <= 80
    assert "#" in "".join(drawn[2:]) or ":" in "".join(drawn[2:])
    whole = CliRunner().invoke(main, ["inspect", "data.h5", "--clip", NAME]).stdout.splitlines()
    assert [line.count(" ") for line in whole[2:]] == [line.count(" ") for line in drawn[2:]]
    western = CliRunner(charset="cp1252").invoke(main, ["inspect", "data.h5", "--clip", NAME]).stdout
    assert western.splitlines()[0] == f"{NAME}: caf\u00e9 \\u6b69\\u304f \u00b1 (label 0)"


def test_the_variable_of_python_is_enough(place: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "skeltools", "inspect", "data.h5", "--clip", NAME],
        env={**os.environ, "PYTHONIOENCODING": "ascii"}, cwd=place, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode("ascii").startswith(f"{NAME}: caf\\xe9 ")


@pytest.mark.parametrize("dataset", ["irds", "nwucla", "ntu6"])
def test_synth_names_the_datasets_that_it_writes(tmp_path: Path, dataset: str) -> None:
    result = CliRunner().invoke(main, ["synth", dataset, str(tmp_path / "out"), "--clips", "9"])
    hint = " Did you mean 'ntu60'?" if dataset == "ntu6" else ""
    assert result.exit_code == 2
    assert result.stderr == (
        f"Error: synth writes no files of '{dataset}'. Choose one of: ntu60, ntu120, pku1, pku2.{hint}\n"
    )
    assert not (tmp_path / "out").exists()
