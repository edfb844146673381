"""Options and settings that would change nothing are refused, or said to have no effect."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from plotting import make_run

from skeltools.cli.main import main
from skeltools.errors import SettingError
from skeltools.protocols.running import registry
from skeltools.runs.settings import resolve_recipe


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="skeltools")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_run(tmp_path_factory)


MANY = "on csv and json, which hold every number in one table"
PAPER = "on the layout paper, which is one table"
CASES = [
    (["report", "RUN", "--json", "--format", "latex"], "--format", "beside --json"),
    *((["report", "RUN", "--format", form, "--per-class"], "--per-class", MANY) for form in ("csv", "json")),
    (["report", "RUN", "--json", "--groups", "camera"], "--groups", MANY),
    (["report", "RUN", "--format", "csv", "--ids"], "--ids", MANY),
    (["report", "RUN", "--layout", "paper", "--confusions", "3"], "--confusions", PAPER),
    (["report", "RUN", "--format", "json", "--layout", "paper"], "--layout", "on json"),
    (["eval", "RUN", "--protocol", "knn", "--quiet", "--json"], "--json", "with --quiet"),
    (["eval", "RUN", "--protocol", "knn", "--quiet", "--dry-run"], "--quiet", "with --dry-run"),
    (
        ["convert", "ntu60", "RAW", "OUT", "--long-labels", "exclude"],
        "--long-labels",
        "but for PKU-MMD, whose labels may go beyond their video",
    ),
    (["synth", "pku1", "OUT", "--clips", "3", "--frames", "40", "50"], "--frames", "but for NTU's datasets"),
    (
        ["verify", "DATA", "--threshold", "0.1"],
        "--threshold",
        "without --near-duplicates or --against",
    ),
    (["inspect", "DATA", "--clip", "0", "--json"], "--json", "with --clip, which draws"),
    (["view", "DATA", "0", "--clips", "9"], "--clips", "where clips are named"),
    (["page", "RUN", "--points", "0", "--method", "pca"], "--method", "with --points 0"),
    (
        ["features", "RUN", "DATA", "--out", "OUT", "--seed", "1"],
        "--seed",
        "on the trained encoder, which is as it is",
    ),
    (["import-weights", "DATA", "--out", "OUT", "--split", "xsub"], "--split", "without --data"),
    (["reproduce", "quick", "--out", "OUT", "--dry-run", "--slurm", "jobs.sh"], "--slurm", "with --dry-run"),
    (
        ["reproduce", "quick", "--out", "OUT", "--slurm", "jobs.sh", "--devices", "cpu"],
        "--devices",
        "with --slurm, which starts nothing",
    ),
    (["plot", "clip", "DATA", "0", "--frames", "3"], "--frames", "on a moving clip, which shows every frame"),
    (
        ["plot", "clip", "DATA", "0", "--out", "OUT.png", "--rate", "3"],
        "--rate",
        "on a strip, which does not move",
    ),
    (["plot", "clip", "DATA", "0", "--out", "OUT.png", "--seed", "3"], "--seed", "without --augment"),
    (["plot", "embedding", "RUN", "DATA", "--part", "all", "--split", "xsub"], "--split", "with --part all"),
    (["plot", "attention", "RUN", "DATA", "0", "--most", "3"], "--most", "on one clip"),
    (
        ["plot", "attention", "RUN", "DATA", "0", "--by-part", "--view", "side"],
        "--view",
        "on a heat map or lines",
    ),
]


@pytest.mark.parametrize(("words", "option", "why"), CASES)
def test_an_option_that_would_change_nothing_is_refused(
    words: list[str], option: str, why: str, made: tuple[Path, Path], tmp_path: Path
) -> None:
    data, run = made
    places = {"RUN": run, "DATA": data, "RAW": data.parent / "raw", "OUT": tmp_path / "out"}
    result = call(*(str(places.get(word, word)).replace("OUT.png", f"{tmp_path}/a.png") for word in words))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"Error: {option} has no effect {why}. Leave it out.\n"
    assert not list(tmp_path.iterdir())


def test_two_ways_to_say_one_setting_must_agree(made: tuple[Path, Path], tmp_path: Path) -> None:
    data, run = made
    told = "contradicts another option or name, which sets it to"
    for words, key, value in (
        (["eval", run, "--protocol", "linear", "--epochs", 3, "--set", "linear.epochs=5"], "linear.epochs", 3),
        (["eval", run, "--protocol", "semi:5", "--set", "semi.percent=10"], "semi.percent", 5.0),
        (
            ["pretrain", data, "--split", "xsub", "--stream", "joint", "--out", tmp_path / "run", "--epochs", 1,
             "--set", "train.epochs=2"],
            "train.epochs", 1,
        ),
    ):  # fmt: skip
        result = call(*words)
        assert (result.exit_code, result.stderr) == (
            2,
            f"Error: --set {key} {told} {value}. Give one of them.\n",
        )
    with pytest.raises(SettingError, match=told):
        registry.get("semi:5").resolve({}, None, ["semi.percent=10"])
    registry.get("semi:5").resolve({}, None, ["semi.percent=5"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train.betas=[0.5,0.9]"], ["train.betas has no effect: train.optimizer is sgd, not adamw."]),
        (["train.betas=[0.5,0.9]", "train.optimizer=adamw"], []),
        (
            ["train.momentum=0.5", "train.optimizer=adamw"],
            ["train.momentum has no effect: train.optimizer is adamw, not sgd."],
        ),
        (
            ["train.schedule=step", "train.lr_min=0.001"],
            ["train.lr_min has no effect: train.schedule is step, not cosine."],
        ),
        (
            ["train.schedule=cosine", "train.lr_steps=[3]"],
            ["train.lr_steps has no effect: train.schedule is cosine, not step."],
        ),
    ],
)
def test_a_setting_that_another_leaves_without_effect_is_said(words: list[str], told: list[str]) -> None:
    found = resolve_recipe("skeattnclr", dataset="ntu60", split="xsub", stream="joint", overrides=words)
    assert list(found.unused) == told


def test_evaluation_says_it_too(made: tuple[Path, Path]) -> None:
    words = ["eval", made[1], "--protocol", "linear", "--set", "linear.lr_min=0.1", "--dry-run"]
    result = call(*words)
    assert result.exit_code == 0, result.output
    assert (
        result.stderr.splitlines()[0] == "linear.lr_min has no effect: linear.schedule is step, not cosine."
    )
