"""``skeltools config``: every setting with its value, where that came from, its help and its bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from clipfiles import TINY, make_clips

from skeltools.cli.main import main
from skeltools.protocols import PROTOCOLS
from skeltools.protocols.running import configs
from skeltools.runs.folder import Run
from skeltools.runs.settings import resolve_recipe
from skeltools.settings import packaged_recipes
from skeltools.store import ClipFile


def config(*words: object) -> Result:
    return CliRunner().invoke(main, ["config", *map(str, words)])


def shown(*words: object) -> dict[str, Any]:
    result = config(*words, "--json")
    assert result.exit_code in (0, 1), result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder as `pretrain` begins it; what it trained is of no account here."""
    folder = tmp_path_factory.mktemp("run")
    resolved = resolve_recipe(
        None, dataset="ntu60", split="xsub", stream="joint", overrides=[*TINY, "train.epochs=1"]
    )
    with ClipFile(make_clips(folder, train=8)) as file:
        Run.create(folder / "a", resolved, file=file, split="xsub", stream="joint", seed=0, command="none")
    return folder / "a"


def test_the_default_is_the_recipe_that_has_every_value_and_each_setting_tells_what_it_is_and_takes() -> None:
    found = shown()
    assert (found["name"], found["kind"], found["title"]) == ("skeattnclr", "pretraining", "SkeAttnCLR")
    resolved = resolve_recipe(None, dataset="", split="", stream="")
    assert {key: entry["value"] for key, entry in found["settings"].items()} == {
        key: list(value) if isinstance(value, tuple) else value for key, value in resolved.flat.items()
    }
    assert found["settings"]["train.momentum"] == {
        "value": 0.9,
        "origin": "recipe skeattnclr",
        "takes": "a number, 0 to 0.9999",
        "help": "Momentum of SGD; ignored by AdamW.",
        "low": 0,
        "high": 0.9999,
        "above": None,
        "choices": None,
    }
    assert found["settings"]["train.optimizer"]["choices"] == ["sgd", "adamw"]
    assert found["settings"]["queue.size"]["takes"] == "a whole number, 1 to 16777216"
    line = next(line for line in config().stdout.splitlines() if line.startswith("train.lr "))
    assert line.split()[:4] == ["train.lr", "0.1", "recipe", "skeattnclr"]
    assert "Learning rate: a number, above 0" in line


def test_a_recipe_is_shown_for_a_dataset_and_with_settings_as_pretrain_would_take_it() -> None:
    plain = shown("skeattnclr")["settings"]["loss.mu"]
    assert (plain["value"], plain["origin"]) == (0.5, "recipe skeattnclr")
    row = shown("skeattnclr", "--dataset", "ntu60", "--split", "xsub", "--stream", "joint")["settings"][
        "loss.mu"
    ]
    assert (row["value"], row["origin"]) == (1.0, "recipe skeattnclr (dataset ntu60, stream joint)")
    given = shown("--set", "loss.mu=0.25")["settings"]["loss.mu"]
    assert (given["value"], given["origin"]) == (0.25, "--set")


def test_a_folder_of_a_recipes_name_is_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo writes such a folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("demo", "other"):
        (tmp_path / name).mkdir()
    assert shown("demo")["settings"]["train.epochs"]["value"] == 10
    assert config("other").stderr.startswith("Error: other is not a run folder: it has no run.json.")


@pytest.mark.parametrize("name", [*packaged_recipes(), *(name for name in PROTOCOLS if ":" not in name)])
def test_every_recipe_and_protocol_is_shown_whole(name: str) -> None:
    found = configs.find(name)
    assert bool(found.settings) == (name not in ("retrieval", "oneshot"))  # which have nothing to set
    assert all(entry.help and entry.origin and entry.takes for entry in found.settings.values())


@pytest.mark.parametrize(
    ("name", "kind", "key"),
    [
        ("linear", "protocol", "linear.lr"),
        ("linear-mamp", "protocol", "linear.lr"),
        ("semi:5", "protocol", "semi.percent"),
        ("semi", "protocol", "semi.percent"),
        ("ctrgcn", "preparation", "chain.frames"),
        ("keypoints2d", "preparation", "chain.score"),
        ("mamp", "pretraining", "mask.ratio"),
    ],
)
def test_what_a_name_means_is_found_out(name: str, kind: str, key: str) -> None:
    found = shown(name)
    assert found["kind"] == kind
    assert key in found["settings"]


def test_a_name_of_two_kinds_can_be_told_apart() -> None:
    assert shown("skeattnclr", "--kind", "preparation")["settings"]["chain.centre_joint"]["value"] == -1


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("[train]\nlr = 0.5\n", "pretraining"),
        ("[knn]\nk = [3]\n", "protocol"),
        ("[chain]\nframes = 20\n", "preparation"),
        ('title = "nothing of its own"\nextends = "linear-bn"\n', "protocol"),
        ('extends = "ctrgcn"\n[[when]]\nmatch = {dataset = "pku1"}\nchain.frames = 9\n', "preparation"),
    ],
)
def test_a_recipe_file_is_told_by_its_tables(tmp_path: Path, text: str, kind: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    assert shown(path)["kind"] == kind


def test_a_run_shows_what_it_stores(run: Path) -> None:
    found = shown(run)
    opened = Run.open(run)
    assert found["context"] == {
        "dataset": "ntu60", "split": "xsub", "stream": "joint", "seed": "0", "frames": "16", "digest": opened.digest,
    }  # fmt: skip
    assert found["settings"]["model.width"]["value"] == 4
    assert found["settings"]["model.width"]["origin"] == "--set"
    assert found["settings"]["loss.mu"]["origin"] == "recipe skeattnclr (dataset ntu60, stream joint)"


def test_a_difference_shows_nothing_that_is_equal(run: Path) -> None:
    words = ["--dataset", "ntu60", "--split", "xsub", "--stream", "joint"]
    result = config("--diff", "skeattnclr", run, *words)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"skeattnclr and {run}: 10 settings differ, ")
    cells = next(line.split() for line in lines if line.startswith("queue.size "))
    assert cells == ["queue.size", "32768", "recipe", "skeattnclr", "32", "--set"]
    found = shown("--diff", "skeattnclr", run, *words)["differs"]
    assert found.keys() == {item.partition("=")[0] for item in TINY} - {"model.heads"} | {
        "train.epochs",
        "model.heads",
    }
    assert shown("--diff", "skeletonclr", "mamp")["differs"]["queue.size"]["b"] is None
    same = config("--diff", "mamp", "mamp")
    assert same.exit_code == 0
    assert same.stdout.startswith("mamp and mamp: 0 settings differ, ")


def test_a_difference_of_runs_says_where_stream_and_seed_are_others(tmp_path: Path, run: Path) -> None:
    content = json.loads((run / "run.json").read_text())
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "run.json").write_text(json.dumps(content | {"stream": "bone", "seed": 4}))
    result = config("--diff", run, tmp_path / "b")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    told = " ".join(result.stdout.split())  # the title may be folded
    assert told.startswith(f"{run} and {tmp_path / 'b'}: 0 settings differ, ")
    assert " are equal; another stream, seed" in told
    assert next(line.split() for line in lines if line.startswith("stream")) == [
        "stream", "joint", "given", "bone", "given",
    ]  # fmt: skip


def test_wrong_uses_are_told(run: Path) -> None:
    result = config("mammp")
    assert result.exit_code == 2
    assert result.stderr.startswith(
        "Error: 'mammp' is not a run folder, recipe or protocol. Choose one of: demo, "
    )
    assert result.stderr.endswith("or give a run folder or the path of a .toml file. Did you mean 'mamp'?\n")
    assert config(run, "--set", "train.lr=1").stderr == (
        f"Error: {run} is a run, whose settings are fixed: leave --set and the options out.\n"
    )
    assert config("no.toml").stderr == "Error: Recipe file no.toml does not exist.\n"
    assert config("--set", "train.lr=0").stderr == (
        "Error: Setting 'train.lr' (--set) must be greater than 0, not 0.\n"
    )
    assert "leave out 'mamp'" in config("mamp", "--diff", "mamp", "demo").stderr
