"""A folder that takes no file is told before any work, by every command that writes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from plotting import make_run

from skeltools.cli.main import main
from skeltools.files import writing

NAME = "S001C001P001R001A001"
REFUSED = "Read-only file system"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``data.h5``, ``raw`` and a ``run``, whose folders will take nothing."""
    data, run = make_run(tmp_path_factory)
    folder = tmp_path_factory.mktemp("place")
    shutil.copy(data, folder / "data.h5")
    shutil.copytree(run, folder / "run")
    shutil.copytree(data.parent / "raw", folder / "raw")
    return folder


@pytest.mark.parametrize(
    ("words", "path"),
    [
        ("convert ntu60 raw out.h5 --frames 16 --workers 1", "out.h5"),
        ("derive data.h5 out.h5 --bodies 1", "out.h5"),
        ("view data.h5 --out out.html", "out.html"),
        ("export data.h5 out --to aimclr", "out"),
        ("export data.h5 out.npz --to npz", "out.npz"),
        (
            "pretrain data.h5 --split xsub --stream joint --out out --batch-size 8 --set augment.swap_unit=1",
            "out",
        ),
        ("import-weights none.pt --out out --stream joint", "out"),
        ("pretrain --resume run --epochs 5", "run/run.json"),
        ("features run data.h5 --out out.npz", "out.npz"),
        ("page run --out out.html", "out.html"),
        (f"predict run raw/{NAME}.skeleton --out out.json", "out.json"),
        (f"predict run raw/{NAME}.skeleton --page out.html", "out.html"),
        (f"plot clip data.h5 {NAME} --out out.gif", "out.gif"),
        ("plot curves run --out out.png", "out.png"),
        ("plot confusion run --out out.png", "out.png"),
        ("plot compare run@random run --out out.png", "out.png"),
        ("plot embedding run data.h5 --out out.png", "out.png"),
        (f"plot attention run data.h5 {NAME} --out out.png", "out.png"),
    ],
)
def test_an_output_that_cannot_be_written_is_told_before_any_work(
    place: Path, monkeypatch: pytest.MonkeyPatch, words: str, path: str
) -> None:
    """One line and no progress: the clips were neither read nor passed through an encoder."""
    refuse(monkeypatch, place)
    result = CliRunner().invoke(main, words.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"Error: {path} cannot be written: {REFUSED}.\n"
    assert not any((place / name).exists() for name in ("out", "out.h5", "out.html", "out.npz", "out.png"))


def test_records_that_cannot_be_written_are_told_before_the_evaluation(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, place)
    result = CliRunner().invoke(main, ["eval", "run", "--protocol", "all"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        f"Error: run/results/cache/features cannot be written: {REFUSED}. Choose another --out.\n"
    )


def refuse(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let no file be made, as on a disk that is mounted for reading; progress would be seen in the messages."""

    def refused(path: Path) -> None:
        raise OSError(30, REFUSED, str(path))

    monkeypatch.chdir(folder)
    monkeypatch.setattr(writing, "_make", refused)


@pytest.mark.parametrize("there", ["folder/x.html", "folder/new/deeper/x.html"])
def test_looking_leaves_nothing(tmp_path: Path, there: str) -> None:
    (tmp_path / "folder").mkdir()
    writing.check_writable(tmp_path / there)
    assert [path.name for path in tmp_path.rglob("*")] == ["folder"]
