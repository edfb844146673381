"""A run is replaced only by one that has started, and hidden names of others are left alone."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from clipfiles import TINY, make_clips

from skeltools.cli.main import main
from skeltools.files import writing
from skeltools.runs.folder import Run

SETTINGS = [word for setting in (*TINY, "monitor.every=0") for word in ("--set", setting)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"), 8, 4)


def pretrain(data: Path, out: Path, *words: object) -> Result:
    base = ["--split", "xsub", "--stream", "joint", "--epochs", 1, "--batch-size", 8, "--device", "cpu"]
    return CliRunner().invoke(
        main, list(map(str, ["pretrain", data, *base, "--out", out, *SETTINGS, *words]))
    )


def state(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_settings_that_cannot_start_leave_the_finished_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether bounds refuse them, the memory, the first step, or its loss: the old run is as it was."""
    out = tmp_path / "run"
    assert pretrain(data, out).exit_code == 0
    (out / "notes.txt").write_text("mine")
    before = state(tmp_path)
    for words, told in (
        (["queue.size=1e12"], "Setting 'queue.size' (--set) must be at most 16777216"),
        (["queue.size=16777216", "model.embedding=65536"], "the largest part is 'queue"),
        (["model.width=1e6"], "Setting 'model.width' (--set) must be at most 4096"),
        (["train.lr=1e9", "train.warmup=0", "loss.temperature=1e-300"], "The loss of step 1 is not finite"),
        (["augment.view=" + "|".join(["shear(0.5)"] * 100_001)], "a text at most 4,096 characters"),
    ):
        begun = time.monotonic()
        result = pretrain(data, out, "--replace", *(part for word in words for part in ("--set", word)))
        assert result.exit_code == 2, result.output
        assert told in result.stderr
        assert state(tmp_path) == before
        assert time.monotonic() - begun < 60

    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(writing, "_flush", no_room)
        assert pretrain(data, out, "--replace").exit_code == 2
    assert state(tmp_path) == before
    assert pretrain(data, out, "--replace", "--seed", 7).exit_code == 0
    assert Run.open(out).seed == 7
    assert (out / "notes.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


def test_a_run_that_cannot_start_leaves_nothing(data: Path, tmp_path: Path) -> None:
    result = pretrain(data, tmp_path / "run", "--set", "loss.temperature=1e-300")
    assert result.exit_code == 2, result.output
    assert not list(tmp_path.iterdir())


def test_hidden_folders_of_others_are_not_swept(tmp_path: Path) -> None:
    """Neither a link, nor a folder without a writer's mark, nor the folder of a longer name."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / writing._MARK).touch()
    (theirs / "thesis").touch()
    (tmp_path / ".o.h5.abcdefgh.part").symlink_to(theirs)
    for name in (".o.h5.mine1234.part", ".o.h5.mine.part", ".o.h5.other.h5.abcdefgh.part"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis").touch()
    (tmp_path / ".o.h5.mine.part" / writing._MARK).touch()
    (tmp_path / ".o.h5.other.h5.abcdefgh.part" / writing._MARK).touch()
    before = sorted(tmp_path.rglob("*"))
    writing.write_text(tmp_path / "o.h5", "new")
    assert sorted(path for path in tmp_path.rglob("*") if path.name != "o.h5") == before


def test_what_a_killed_writer_put_aside_comes_back(tmp_path: Path) -> None:
    left = tmp_path / ".run.abcdefgh.part"
    (left / "run.old").mkdir(parents=True)
    (left / writing._MARK).touch()
    (left / "run.old" / "run.json").write_text("old")
    writing.sweep(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.json")] == ["run/run.json"]
    assert not left.exists()


def test_a_fresh_folder_is_not_used_while_another_sweeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock that another process has means that the folder is about to go: another one is made."""
    answers = [False, False, True]
    real = writing.lock

    def lock(handle: int) -> bool:
        return answers.pop(0) and real(handle) if answers else real(handle)

    with monkeypatch.context() as patch:
        patch.setattr(writing, "lock", lock)
        place, handle = writing._make(tmp_path / "o")
    os.close(handle)
    assert not answers
    assert (place / writing._MARK).is_file()
    writing.sweep(tmp_path)
    assert not list(tmp_path.iterdir())
