"""``--dry-run``: everything is checked, the plan is printed, and no byte changes."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from clipfiles import TINY, make_clips
from rawfiles import write_ntu

from skeltools.cli.main import main
from skeltools.store import ClipFile

SETTINGS = [word for setting in (*TINY, "monitor.every=0") for word in ("--set", setting)]
WORDS = ["--split", "xsub", "--stream", "joint", "--batch-size", "4", "--device", "cpu", *SETTINGS]


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [*map(str, words)])


def state(folder: Path) -> dict[str, str]:
    """Every file and folder below, with digest and time of the last change."""
    return {
        str(path.relative_to(folder)): "folder"
        if path.is_dir()
        else f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_mtime_ns}"
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with raw files, a converted file and a run."""
    folder = tmp_path_factory.mktemp("place")
    make_clips(folder, train=8)
    result = run("pretrain", folder / "clips.h5", *WORDS, "--epochs", "2", "--out", folder / "runs" / "a")
    assert result.exit_code == 0, result.output
    return folder


def values(result: Result) -> dict[str, str]:
    return dict(re.findall(r"^(\w+): +(.*)$", result.stdout, re.MULTILINE))


def test_pretraining_is_checked_and_timed_and_nothing_is_written(place: Path) -> None:
    before = state(place)
    out = place / "runs" / "deep" / "b"
    result = run("pretrain", place / "clips.h5", *WORDS, "--epochs", "50", "--out", out, "--dry-run")
    assert result.exit_code == 0, result.output
    assert state(place) == before
    found = values(result)
    assert found["run"] == f"{out} (new)"
    assert found["data"] == f"{place / 'clips.h5'}: ntu60 xsub, 8 training clips of 16 frames"
    assert found["method"].startswith("skeattnclr, stgcn, ")
    assert found["steps"] == "100 steps: 50 epochs, batch 4"
    assert re.fullmatch(
        r"about .* on this machine, without the kNN monitor \([\d.e-]+ s per step, \d timed\)", found["time"]
    )
    assert found["disk"].startswith("2 x ")
    assert result.stdout.endswith("Nothing was written.\n")


def test_a_run_that_would_go_on_is_checked(place: Path) -> None:
    before = state(place)
    result = run("pretrain", "--resume", place / "runs" / "a", "--dry-run")
    assert result.exit_code == 0, result.output
    assert state(place) == before
    found = values(result)
    assert found["steps"] == "0 steps left of 4"
    assert found["time"] == "none: the run is finished"
    result = run("pretrain", "--resume", place / "runs" / "a", "--dry-run", "--epochs", "9")
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: With --resume, --dry-run takes the run folder alone: --resume RUN --dry-run\n",
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--split", "xsup"], "has no split 'xsup'"),
        (["--set", "train.lr=0"], "must be greater than 0"),
        (["--batch-size", "99"], "fewer than one batch of 99"),
        (
            ["--set", "model.backbone=vit", "--set", "model.vit_patch=5"],
            "does not divide the clips' 16 frames",
        ),
    ],
)
def test_a_dry_run_fails_as_pretraining_would(place: Path, words: list[str], message: str) -> None:
    before = state(place)
    result = run("pretrain", place / "clips.h5", *WORDS, "--out", place / "b", *words, "--dry-run")
    assert result.exit_code == 2
    assert message in result.stderr
    assert state(place) == before


def test_an_output_in_the_way_is_told(place: Path) -> None:
    words = ["pretrain", place / "clips.h5", *WORDS, "--dry-run", "--out"]
    assert "already exists. Use --resume" in run(*words, place / "runs" / "a").stderr
    assert "is a file" in run(*words, place / "clips.h5" / "run").stderr


def test_a_conversion_is_planned_and_nothing_is_written(place: Path) -> None:
    before = state(place)
    words = ["convert", "ntu60", place / "raw", place / "new.h5", "--frames", "16", "--dry-run"]
    result = run(*words, "--workers", "1")
    assert result.exit_code == 0, result.output
    assert state(place) == before
    with ClipFile(place / "clips.h5") as file:
        sides = {
            split: (len(file.rows(split, "train")), len(file.rows(split, "test"))) for split in file.splits
        }
    lines = result.stdout.splitlines()
    assert lines[0] == f"{place / 'new.h5'} (new): 12 clips of ntu60, prepared as 'skeattnclr'"
    for split, (train, test) in sides.items():
        assert f"  {split}: {train} train / {test} test, before recordings are read" in lines
    assert "  tried: 12 clips, of which would be left out: none" in lines
    assert lines[-1] == "Nothing was written."
    found = json.loads(run(*words, "--json").stdout)
    assert (found["clips"], found["tried"], found["resumes"]) == (12, 12, False)
    assert found["clip_bytes"] == 12 * 3 * 16 * 25 * 2 * 4
    assert found["raw_bytes"] == sum(path.stat().st_size for path in (place / "raw").iterdir())


def test_a_conversion_that_would_stop_at_a_damaged_file_says_so(tmp_path: Path) -> None:
    for number in range(1, 4):
        write_ntu(tmp_path / "raw", f"S001C001P001R001A{number:03d}", number)
    bad = tmp_path / "raw" / "S001C001P001R001A002.skeleton"
    bad.write_bytes(bad.read_bytes()[:-40])
    before = state(tmp_path)
    words = ["convert", "ntu60", tmp_path / "raw", tmp_path / "new.h5", "--dry-run"]
    result = run(*words)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {bad}")
    skipping = run(*words, "--on-error", "skip")
    assert "  tried: 3 clips, of which would be left out: 1 damaged" in skipping.stdout.splitlines()
    (tmp_path / "old.h5").touch()
    assert "already exists" in run(*words[:-2], tmp_path / "old.h5", "--dry-run").stderr
    (tmp_path / "old.h5").unlink()
    assert state(tmp_path) == before


def test_an_evaluation_is_planned_and_nothing_is_written(place: Path) -> None:
    before = state(place)
    result = run("eval", place / "runs", "--protocol", "all", "--dry-run", "--set", "knn.k=[1]", "--json")
    assert result.exit_code == 0, result.output
    assert state(place) == before
    found = json.loads(result.stdout)
    by = {(one["protocol"], one["subject"]): one for one in found}
    assert {("linear", "pretrained"), ("knn", "raw coordinates"), ("finetune", "supervised")} <= by.keys()
    linear, tuned = by["linear", "pretrained"], by["finetune", "pretrained"]
    assert (linear["train_clips"], linear["test_clips"], linear["stream"]) == (8, 4, "joint")
    assert linear["seconds"] > 0
    assert by["knn", "pretrained"]["seconds"] == 0  # on the features that were counted already
    assert tuned["how"] == "150 epochs of 3 forward passes per training clip"
    assert tuned["seconds"] > 100 * linear["seconds"]
    assert "Left out: transfer: transfer needs a target" in result.stderr
    table = run("eval", place / "runs" / "a", "--protocol", "linear", "--dry-run")
    assert table.stdout.startswith("1 evaluation to run")
    assert table.stdout.rstrip().endswith("Nothing was written.")


def test_what_is_recorded_is_not_planned_again(tmp_path: Path, place: Path) -> None:
    words = ["eval", place / "runs" / "a", "--protocol", "all", "--set", "knn.k=[1]", "--init", "pretrained"]
    own = [
        "eval",
        place / "runs" / "a",
        "--protocol",
        "knn",
        "--set",
        "knn.k=[1]",
        "--quiet",
        "--out",
        tmp_path,
    ]
    planned = {
        one["protocol"] for one in json.loads(run(*words, "--dry-run", "--json", "--out", tmp_path).stdout)
    }
    assert run(*own).exit_code == 0
    left = json.loads(run(*words, "--dry-run", "--json", "--out", tmp_path).stdout)
    assert planned - {one["protocol"] for one in left} == {"knn"}
    assert {one["how"] for one in left if one["protocol"] == "linear"} == {
        "features are at hand; the classifier is not counted"
    }


def test_an_evaluation_that_cannot_be_is_told(place: Path) -> None:
    result = run("eval", place / "runs" / "a", "--protocol", "transfer", "--dry-run")
    assert (result.exit_code, "needs a target" in result.stderr) == (2, True)
    result = run("eval", place / "runs" / "a", "--protocol", "linear", "--set", "linear.lr=0", "--dry-run")
    assert (result.exit_code, "must be greater than 0" in result.stderr) == (2, True)
