"""Completion in the shell: what is offered for values, and that nothing heavy is loaded for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import CompletionItem, ShellComplete
from clipfiles import TINY, make_clips

from skeltools.cli.main import COMMANDS, main
from skeltools.datasets.registry import STREAMS, registry
from skeltools.protocols import PROTOCOLS
from skeltools.runs.folder import Run
from skeltools.runs.settings import TrainSettings, resolve_recipe
from skeltools.settings import packaged_recipes, schema_fields
from skeltools.store import ClipFile

VARIABLE = "_SKELTOOLS_COMPLETE"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"), train=4)


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    resolved = resolve_recipe(None, dataset="ntu60", split="xsub", stream="joint", overrides=TINY)
    with ClipFile(data) as file:
        Run.create(
            data.parent / "r", resolved, file=file, split="xsub", stream="joint", seed=0, command="none"
        )
    return data.parent / "r"


def items(*words: object) -> list[CompletionItem]:
    """What is offered for the last word, after those before it."""
    *before, incomplete = map(str, words)
    return ShellComplete(main, {}, "skeltools", VARIABLE).get_completions(before, incomplete)


def offered(*words: object) -> list[str]:
    found = items(*words)
    assert all(item.type == "plain" for item in found), "files are offered"
    return [item.value for item in found]


def test_commands_are_offered_with_their_help() -> None:
    assert offered("") == list(COMMANDS)
    (one,) = items("pret")
    assert (one.value, one.help) == ("pretrain", COMMANDS["pretrain"])


@pytest.mark.parametrize("command", ["convert", "synth", "import", "identify"])
def test_datasets(command: str) -> None:
    assert offered(command, "") == list(registry())
    assert offered(command, "nt") == ["ntu60", "ntu120"]


def test_splits_are_those_of_the_file(data: Path, run: Path) -> None:
    with ClipFile(data) as file:
        splits, sides = list(file.splits), (len(file.rows("xsub", "train")), len(file.rows("xsub", "test")))
    assert offered("pretrain", data, "--split", "") == splits
    assert items("pretrain", data, "--split", "xs")[0].help == f"{sides[0]} train, {sides[1]} test"
    assert offered("eval", run, "--split", "xv") == ["xview"]  # of the data of the run
    assert offered("plot", "embedding", run, data, "--split", "") == splits
    assert {"xsub", "xset", "xview"} <= set(offered("pretrain", "none.h5", "--split", ""))


def test_streams_and_lists_of_them() -> None:
    assert offered("pretrain", "f.h5", "--stream", "") == list(STREAMS)
    assert offered("eval", "r", "--streams", "joint,") == ["joint,motion", "joint,bone"]
    assert offered("eval", "r", "--streams", "joint,b") == ["joint,bone"]


def test_protocols_and_recipes() -> None:
    assert offered("eval", "r", "--protocol", "") == [
        *(name.replace(":P", ":5") for name in PROTOCOLS),
        "all",
    ]
    assert offered("pretrain", "f.h5", "--recipe", "") == packaged_recipes()
    assert items("pretrain", "f.h5", "--recipe", "mam")[0].help == "MAMP"
    assert offered("pretrain", "f.h5", "--method", "ske") == ["skeattnclr", "skeletonclr"]
    knn = offered("eval", "r", "--protocol", "linear", "--recipe", "")
    assert knn == [
        name for name in packaged_recipes("skeltools.protocols.recipes") if name.startswith("linear")
    ]
    assert {"mamp", "linear", "semi:5", "ctrgcn"} <= set(offered("config", ""))
    assert set(offered("config", "--kind", "preparation", "")) == set(
        packaged_recipes("skeltools.preparation.recipes")
    )


def test_preparations_and_skeletons() -> None:
    assert offered("convert", "ntu60", "raw", "o.h5", "--prep", "c") == ["cmd", "ctrgcn"]
    assert "coco17" in offered("skeletons", "")


def test_keys_of_settings_with_the_values_they_have() -> None:
    words = ["pretrain", "f.h5", "--set"]
    keys = [text.partition("=")[0] for text in offered(*words, "train.")]
    assert set(keys) == set(schema_fields(TrainSettings, "train."))
    assert "train.lr=0.1" in offered(*words, "train.l")
    assert items(*words, "train.lr=")[0].help == "Learning rate."
    assert "train.lr=0.001" in offered("pretrain", "f.h5", "--recipe", "mamp", "--set", "train.lr")
    assert offered(*words, "mask.r") == ["mask.ratio=0.9"]
    assert offered(*words, "train.optimizer=") == ["train.optimizer=sgd", "train.optimizer=adamw"]
    assert offered(*words, "train.compile=t") == ["train.compile=true"]
    (neighbours,) = offered("eval", "r", "--protocol", "knn", "--set", "knn.k")
    assert neighbours.startswith("knn.k=[")
    assert offered("convert", "ntu60", "--set", "chain.rotation=") == [
        f"chain.rotation={word}" for word in ("yaw", "first", "axes", "none")
    ]


def test_files_are_offered_where_nothing_else_fits(tmp_path: Path) -> None:
    for words in (
        ["pretrain", "f.h5", "--recipe", "mine/"],
        ["convert", "ntu60", "--prep", "./my"],
        ["convert", "mine"],
        ["config", "runs/"],
        ["pretrain", ""],
    ):
        assert [item.type for item in items(*words)] == ["file"]


def test_what_is_damaged_offers_nothing(tmp_path: Path) -> None:
    bad = tmp_path / "bad.h5"
    bad.write_bytes(b"no")
    assert offered("pretrain", bad, "--split", "") == []
    assert offered("pretrain", "f.h5", "--set", "nosuch.key=") == []


def completed(shell: str, words: str, at: int) -> subprocess.CompletedProcess[str]:
    variables = {VARIABLE: f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}
    return subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import sys; sys.argv[0] = 'skeltools'; "
         "from skeltools.cli.start import main; main()"],
        capture_output=True, text=True, env=os.environ | variables, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "at", "expected", "light"),
    [
        ("skeltools conv", 1, "plain,convert\n", {"numpy", "click.testing"}),
        ("skeltools convert ir", 2, "plain,irds\n", {"numpy"}),
        ("skeltools eval r --protocol fine", 4, "plain,finetune\n", {"numpy"}),
        ("skeltools pretrain f.h5 --set mask.r", 4, "plain,mask.ratio=0.9\n", {"numpy"}),
    ],
)
def test_bash_is_answered_without_torch(words: str, at: int, expected: str, light: set[str]) -> None:
    found = completed("bash", words, at)
    assert found.stdout == expected
    loaded = {line.rsplit("|", 1)[1].strip() for line in found.stderr.splitlines() if "|" in line}
    assert not loaded & ({"torch", "rich.console", "h5py"} | light)


def test_splits_are_offered_without_torch(data: Path) -> None:
    found = completed("bash", f"skeltools pretrain {data} --split xv", 4)
    assert found.stdout == "plain,xview\n"
    assert "torch" not in {
        line.rsplit("|", 1)[1].strip() for line in found.stderr.splitlines() if "|" in line
    }


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(shell: str) -> None:
    found = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv[0] = 'skeltools'; from skeltools.cli.start import main; main()"],
        capture_output=True, text=True, env=os.environ | {VARIABLE: f"{shell}_source"}, check=False,
    )  # fmt: skip
    if shell == "bash" and "Bash version" in found.stderr:
        pytest.skip("click does not find bash")
    assert found.returncode == 0, found.stderr
    assert VARIABLE in found.stdout
