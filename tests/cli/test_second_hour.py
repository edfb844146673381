"""What newcomers get wrong in their second hour: paths of the wrong kind, outputs that are somebody's, half a file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import call, fails
from plotting import make_run

from skeltools.cli._options import PATH, RESULT
from skeltools.cli.main import COMMANDS, main

ZIP = b"PK\x03\x04" + bytes(26) + b"\0\0"
KEPT = (
    "not what this command writes, so it is not replaced. Give the name of the file to write, or remove this one "
    "first."
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Clips and a run, and beside the clips ``kept.h5``, which also has their recordings."""
    data, run = make_run(tmp_path_factory)
    words = ["convert", "ntu60", data.parent / "raw", data.with_name("kept.h5"), "--frames", 16, "--keep-raw"]
    assert call(*words).exit_code == 0
    return data, run


@pytest.fixture
def run(made: tuple[Path, Path], tmp_path: Path) -> Path:
    """A run that a test may damage."""
    place = tmp_path / "runs" / "joint"
    shutil.copytree(made[1], place)
    return place


def describe_words(out: Path, data: Path, run: Path) -> list[object]:
    return ["describe", data.parent / "raw", "--out", out]


WRITERS: list[tuple[Callable[[Path, Path, Path], list[object]], bytes, str]] = [
    (lambda out, data, run: ["convert", "ntu60", data.parent / "raw", out], ZIP, "a zip archive"),
    (lambda out, data, run: ["convert", "ntu60", data.parent / "raw", out], b"my thesis", "a text file"),
    (lambda out, data, run: ["import", "ntu60", data.parent / "raw", out], ZIP, "a zip archive"),
    (lambda out, data, run: ["derive", data.with_name("kept.h5"), out], ZIP, "a zip archive"),
    (lambda out, data, run: ["export", data, out, "--to", "npz"], b"my thesis", "a text file"),
    (describe_words, ZIP, "a zip archive"),
    (lambda out, data, run: ["results", "export", run, "--out", out], b"my thesis", "a text file"),
]


@pytest.mark.parametrize(
    ("words", "content", "kind"),
    WRITERS,
    ids=["convert", "convert-text", "import", "derive", "export", "describe", "results"],
)
@pytest.mark.parametrize("replace", [[], ["--replace"]])
def test_a_file_of_another_kind_is_never_replaced(
    words: Callable[[Path, Path, Path], list[object]], content: bytes, kind: str, replace: list[str],
    made: tuple[Path, Path], tmp_path: Path,
) -> None:  # fmt: skip
    """Of ``convert ntu120 part1.zip part2.zip``, where OUT was forgotten, part2.zip would be the output."""
    out = tmp_path / "precious"
    out.write_bytes(content)
    fails([*words(out, *made), *replace], f"{out} is {kind}, {KEPT}")
    assert out.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_an_array_file_does_not_take_the_place_of_a_converted_one(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    other = tmp_path / "other.h5"
    shutil.copy(made[0], other)
    fails(
        ["export", made[0], other, "--to", "npz", "--replace"],
        f"{other} is a file that skeltools converted, {KEPT}",
    )


def test_a_file_of_results_takes_the_place_of_no_other_json(run: Path) -> None:
    file = run / "run.json"
    before = file.read_bytes()
    told = f"{file} is a JSON file that is not of results, so it is not replaced. Choose another --out."
    fails(["results", "export", run, "--out", file, "--replace"], told)
    assert file.read_bytes() == before
    out = run.parent / "ours.json"
    assert call("results", "export", run, "--out", out).exit_code == 0
    fails(["results", "export", run, "--out", out], f"{out} already exists. Use --replace to write it again.")
    assert call("results", "export", run, "--out", out, "--replace").exit_code == 0
    fails(
        ["results", "import", file, "--out", run.parent / "in"],
        f"{file} is not a file of results. Make one: skeltools results export RUN --out results.json",
    )


def test_a_run_is_neither_recordings_nor_weights_of_elsewhere(run: Path) -> None:
    fails(
        ["describe", run],
        f"{run} is a run folder, which holds no recordings. Give the folder that holds them.",
    )
    (checkpoint,) = (run / "checkpoints").iterdir()
    for path in (run, checkpoint):
        fails(
            ["import-weights", path, "--out", run.parent / "new", "--stream", "joint"],
            f"{run} is a run already: every command that takes a run takes it as it is.",
        )
    assert not (run.parent / "new").exists()


def test_a_half_copied_file_says_so_and_may_be_replaced(made: tuple[Path, Path], tmp_path: Path) -> None:
    whole = made[0].read_bytes()
    half = tmp_path / "half.h5"
    half.write_bytes(whole[: len(whole) // 2])
    told = (
        f"{half} is cut short: {len(whole) // 2:,} of {len(whole):,} bytes are there. Copy it again, or write it again "
        "with 'skeltools convert'."
    )
    for words in (
        ["inspect", half],
        ["verify", half],
        ["eval", made[1], "--protocol", "knn", "--data", half],
    ):
        fails(words, told)
    words = ["convert", "ntu60", made[0].parent / "raw", half, "--workers", 1]
    rehearsed = call(*words, "--replace", "--dry-run")
    assert rehearsed.stdout.startswith(f"{half} (replaces the one there): 32 clips of ntu60")
    assert half.read_bytes() == whole[: len(whole) // 2]
    assert call(*words, "--replace").exit_code == 0
    assert call("inspect", half).exit_code == 0


def _paths() -> list[tuple[str, str]]:
    """Every argument and option that takes a path, with its command."""
    found: list[tuple[str, str]] = []
    for name in COMMANDS:
        command = main.get_command(None, name)  # type: ignore[arg-type]
        parts = [(name, command)]
        if hasattr(command, "commands"):
            parts = [(f"{name} {word}", one) for word, one in command.commands.items()]
        for path, one in parts:
            found += [
                (path, str(param.name))
                for param in one.params  # type: ignore[union-attr]
                if type(param.type).__name__ in ("Path", "_Path") and param.type not in (PATH, RESULT)
            ]
    return found


def test_every_path_is_of_the_type_that_refuses_an_empty_one() -> None:
    assert _paths() == []


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["convert", "ntu60", "", "x.h5"], "SOURCE..."),
        (["convert", "ntu60", "raw", ""], "OUT"),
        (["inspect", ""], "FILE"),
        (["pretrain", "data.h5", "--split", "xsub", "--stream", "joint", "--out", ""], "--out"),
        (["eval", "", "--protocol", "knn"], "[RUN]..."),
        (["report", ""], "RUN..."),
        (["runs", ""], "[FOLDER]"),
        (["demo", ""], "[OUT]"),
        (["compare", "run", ""], "B"),
        (["plot", "confusion", ""], "RESULT"),
        (["config", ""], "[RECIPE|RUN|PROTOCOL]"),
    ],
)
def test_an_empty_path_is_not_the_current_folder(
    words: list[object], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is what ``"$OUT"`` leaves where the variable is not set."""
    monkeypatch.chdir(tmp_path)
    command = " ".join(map(str, words[: 2 if words[0] == "plot" else 1]))
    fails(
        words,
        f"Invalid value for '{name}': it is empty. Give a path; '.' is the folder you are in. See 'skeltools {command} "
        "--help'.",
    )
    assert not list(tmp_path.iterdir())


def test_what_lies_in_a_run_leads_to_the_run(run: Path) -> None:
    told = f"It lies in {run}: give that folder."
    file, inside, results = run / "run.json", run / "checkpoints", run / "results"
    fails(["eval", file, "--protocol", "knn"], f"{file} is a file, not a run folder. {told}")
    fails(["eval", inside, "--protocol", "knn"], f"{inside} is not a run folder: it has no run.json. {told}")
    fails(["report", results], f"{results} is not a run folder. {told}")
    fails(["report", file], f"{file} is a file. {told}")
    fails(["runs", inside], f"{inside} holds no run. {told}")
    fails(["runs", file], f"{file} is a file. {told}")


def test_a_folder_of_runs_where_one_is_wanted_names_one(run: Path, made: tuple[Path, Path]) -> None:
    runs = run.parent
    fails(
        ["features", runs, made[0], "--out", runs / "x.npz"],
        f"{runs} is not a run folder: it has no run.json. It is a folder of runs: give one of them, such as {run}.",
    )


def test_a_folder_without_a_run_is_not_sent_to_eval(tmp_path: Path) -> None:
    """The message for a run without results names a command that would fail here."""
    fails(
        ["report", tmp_path],
        f"{tmp_path} is not a run folder and holds no results. Give a run folder, or a folder of runs.",
    )


@pytest.mark.parametrize("place", ["run.json", "results"])
def test_what_a_newer_skeltools_wrote_is_not_to_be_made_again(run: Path, place: str) -> None:
    path = run / place if place == "run.json" else min(run.glob("results/*.json"))
    content = json.loads(path.read_text())
    ours = content["version"]
    for version, told in (
        (99, "which a newer skeltools wrote; this one reads version {}. Update skeltools."),
        (0, "this skeltools reads version {}. Use the skeltools that wrote it."),
    ):
        path.write_text(json.dumps(content | {"version": version}))
        joint = ", " if version else "; "
        words = ["eval", run, "--protocol", "knn"] if place == "run.json" else ["report", run]
        fails(words, f"{path} is of version {version}{joint}{told.format(ours)}")
    path.write_text(json.dumps({key: value for key, value in content.items() if key != "version"}))
    words = ["eval", run, "--protocol", "knn"] if place == "run.json" else ["report", run]
    fails(
        words,
        f"{path} has no version; this skeltools reads version {ours}. Give a file that skeltools wrote.",
    )


def test_a_damaged_checkpoint_leads_to_the_one_before_it(run: Path) -> None:
    (last,) = (run / "checkpoints").iterdir()
    whole = last.read_bytes()
    last.write_bytes(b"damaged")
    command = ["eval", run, "--protocol", "knn"]
    result = call(*command)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"Error: {last} is not a readable checkpoint")
    assert result.stderr.endswith(" None before it is there: fetch it again, or start the run again.\n"), (
        result.stderr
    )
    before = last.with_name("step-00000001.pt")
    before.write_bytes(whole)
    result = call(*command)
    assert result.stderr.endswith(f" Remove it: the one before it, {before.name}, is then taken.\n")


def test_features_of_clips_that_the_encoder_does_not_take(made: tuple[Path, Path], tmp_path: Path) -> None:
    data, run = made
    raw, out = data.parent / "raw", tmp_path / "f.npz"
    for name, words in (("long", ["--frames", 24]), ("other", ["--set", "chain.bodies=tracked"])):
        words = ["convert", "ntu60", raw, tmp_path / f"{name}.h5", "--frames", 16, *words, "--workers", 1]
        assert call(*words).exit_code == 0
    hint = "Convert the source accordingly, or use --allow-mismatch."
    for name, what in (("long", "frames 16, {} has 24"), ("other", "bodies first, {} has tracked")):
        file = tmp_path / f"{name}.h5"
        told = what.format(file)
        fails(["features", run, file, "--out", out], f"{run} needs clips with {told}. {hint}")
        assert not out.exists()
        assert (
            call("features", run, file, "--out", tmp_path / f"{name}.npz", "--allow-mismatch").exit_code == 0
        )
        words = ["features", run, file, "--out", tmp_path / f"{name}-random.npz", "--init", "random"]
        assert call(*words).exit_code == 0


PRETRAIN = ["pretrain", "data.h5", "--split", "xsub", "--stream", "joint", "--out", "run"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--lr", "0.1"], "No such option '--lr'. Did you mean '--set train.lr=VALUE'?"),
        (
            ["--momentum", "0.9"],
            "No such option '--momentum'. Did you mean '--set train.momentum=VALUE' or '--set "
            "queue.momentum=VALUE'?",
        ),
        (["--batch_size", "16"], "No such option '--batch_size'. Did you mean '--batch-size'?"),
        (["-split", "xsub"], "No such option '-s'. Options of several letters begin with two hyphens."),
        (["--seed", "1.5"], "Invalid value for '--seed': '1.5' is not a whole number."),
        (["--epochs", "1e3"], "Invalid value for '--epochs': '1e3' is not a whole number."),
    ],
)
def test_an_option_that_is_a_setting_or_no_number_says_what_to_give(words: list[object], told: str) -> None:
    fails([*PRETRAIN, *words], f"{told} See 'skeltools pretrain --help'.")


def test_a_setting_of_several_protocols_as_an_option() -> None:
    result = call("eval", "run", "--protocol", "linear", "--lr", 3)
    start = (
        "Error: No such option '--lr'. It is a setting, given as --set SECTION.lr=VALUE, with one of these "
        "sections: "
    )
    assert result.stderr.startswith(start)
    assert "linear" in result.stderr.removeprefix(start).split(". ")[0].split(", ")


def test_of_one_setting_given_twice_the_last_is_taken_and_told(made: tuple[Path, Path]) -> None:
    words = ["eval", made[1], "--protocol", "linear", "--dry-run"]
    result = call(*words, "--set", "linear.lr=0.1", "--set", "linear.lr=0.2")
    assert result.exit_code == 0, result.output
    told = "--set linear.lr is given as 0.1 and again as 0.2, which is taken."
    assert result.stderr.splitlines()[0] == told
    assert "given" not in call(*words, "--set", "linear.lr=0.1", "--set", "linear.lr = 0.1").stderr


def test_a_clip_of_no_near_name_says_what_names_are_like(made: tuple[Path, Path]) -> None:
    fails(
        ["inspect", made[0], "--clip", "7f"],
        f"{made[0]} has no clip '7f'. Give a row, 0 to 31, or a name such as S001C001P001R001A001.",
    )


def test_raw_files_of_another_dataset_say_of_which(made: tuple[Path, Path], tmp_path: Path) -> None:
    raw = made[0].parent / "raw"
    fails(
        ["convert", "nwucla", raw, tmp_path / "x.h5"],
        f"{raw} holds no .json file, of which nwucla consists. Its files are named as those of ntu60 or ntu120 or irds "
        "are.",
    )
    fails(
        ["convert", "ntu60", made[0], tmp_path / "x.h5"],
        f"{made[0]} holds no .skeleton file, of which ntu60 consists.",
    )


@pytest.mark.parametrize("replace", [[], ["--replace"]])
def test_the_demo_does_not_take_a_file_for_its_folder(tmp_path: Path, replace: list[str]) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    fails(
        ["demo", file, *replace],
        f"{file} is a file. Give a folder that is new, or that an earlier demo made.",
    )
    assert file.read_text() == "mine"


def test_seeds_of_a_protocol_that_draws_nothing_are_told(run: Path) -> None:
    result = call("eval", run, "--protocol", "knn", "--set", "knn.k=[1]", "--seeds", 3)
    assert result.exit_code == 0, result.output
    told = "Nothing is drawn at random in knn: with one encoder, all 3 seeds give the same result."
    assert result.stderr.splitlines()[0] == told
    note = "knn: nothing is drawn at random, so seeds of one encoder do not differ"
    assert note in [line.strip() for line in result.stdout.splitlines()]
    assert note in [line.strip() for line in call("report", run).stdout.splitlines()]


@pytest.mark.parametrize(
    "words",
    [["knn", "--seeds", "1"], ["knn", "--init", "random", "--seeds", "2"], ["linear", "--seeds", "2"]],
)
def test_seeds_that_may_differ_are_not_called_equal(run: Path, words: list[str]) -> None:
    for record in run.glob("results/*"):
        if record.is_file():
            record.unlink()
    short = ["--set", "linear.epochs=1"] if words[0] == "linear" else ["--set", "knn.k=[1]"]
    result = call("eval", run, "--protocol", *words, *short)
    assert result.exit_code == 0, result.output
    assert "drawn at random" not in result.output
