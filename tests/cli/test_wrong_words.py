"""Words that are not quite right: every wrong use is one line, which says what may have been meant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from commands import call, fails
from plotting import make_run

from skeltools.cli._options import Choice
from skeltools.cli.main import COMMANDS, main
from skeltools.errors import DataError, did_you_mean
from skeltools.protocols import PROTOCOLS
from skeltools.store import ClipFile

DATASETS = "ntu60, ntu120, pku1, pku2, irds, nwucla"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_run(tmp_path_factory)


def _commands() -> Iterator[tuple[list[str], click.Command]]:
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from (([name, word], one) for word, one in command.commands.items())
        else:
            yield [name], command


def test_a_wrong_option_is_one_line_in_every_command() -> None:
    for words, _ in _commands():
        path = " ".join(words)
        fails([*words, "--nonesuch"], f"No such option '--nonesuch'. See 'skeltools {path} --help'.")
    fails(["--nonesuch"], "No such option '--nonesuch'. See 'skeltools --help'.")


def test_a_missing_argument_or_option_is_one_line_in_every_command() -> None:
    needy = [words for words, one in _commands() if any(param.required for param in one.params)]
    assert len(needy) >= 25
    for words in needy:
        result = call(*words)
        assert result.exit_code == 2
        assert result.stdout == ""
        (line,) = result.stderr.splitlines()
        assert line.startswith(("Error: Missing argument '", "Error: Missing option '"))
        assert line.endswith(f" See 'skeltools {' '.join(words)} --help'.")


def test_every_choice_says_what_may_have_been_meant() -> None:
    choices = [
        param.type for _, one in _commands() for param in one.params if isinstance(param.type, click.Choice)
    ]
    assert len(choices) >= 15
    assert {type(choice) for choice in choices} == {Choice}


def test_the_missing_argument_of_convert_is_the_one_that_is_missing() -> None:
    see = " See 'skeltools convert --help'."
    fails(["convert", "ntu60", "raw"], f"Missing argument 'OUT', the file to write: ntu60 raw OUT.{see}")
    fails(["convert", "ntu60"], f"Missing arguments 'SOURCE...' and 'OUT'.{see}")
    fails(
        ["convert", "raw", "ntu60.h5"],
        f"Missing argument 'DATASET', one of {DATASETS}, or a descriptor (.toml).{see}",
    )


@pytest.mark.parametrize(
    ("command", "option", "word", "told"),
    [
        ("eval", "--baseline", "untrained", "The untrained encoder is --init random."),
        ("eval", "--baseline", "Random", "The untrained encoder is --init random."),
        (
            "eval",
            "--baseline",
            "pretrained",
            "The pretrained encoder is not a baseline: leave --baseline out.",
        ),
        ("eval", "--baseline", "scratch", "That is --baseline supervised."),
        ("eval", "--baseline", "standardized", "Did you mean 'standardised'?"),
        ("eval", "--init", "supervised", "That is --baseline supervised."),
        ("eval", "--init", "raw", "That is --baseline raw."),
        ("eval", "--init", "untrained", "The untrained encoder is --init random."),
        ("eval", "--init", "pretrain", "Did you mean 'pretrained'?"),
        ("features", "--init", "untrained", "The untrained encoder is --init random."),
        ("features", "--init", "supervised", ""),  # it has no --baseline to point to
        ("report", "--format", "latax", "Did you mean 'latex'?"),
    ],
)
def test_a_word_that_another_option_takes_says_which(
    command: str, option: str, word: str, told: str, made: tuple[Path, Path]
) -> None:
    data, run = made
    words = {
        "eval": ["eval", run, "--protocol", "knn"],
        "features": ["features", run, data, "--out", "f.npz"],
        "report": ["report", run],
    }[command]
    result = call(*words, option, word)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"Error: Invalid value for '{option}': '{word}' is not one of ")
    assert line.split("'. ", 1)[1] == f"{told} See 'skeltools {command} --help'.".lstrip()


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("lineareval", "linear"),
        ("Linear", "linear"),
        ("probe", "linear"),
        ("K-NN", "knn"),
        ("1nn", "knn"),
        ("fine_tuning", "finetune"),
        ("few-shot", "oneshot"),
        ("3s", "ensemble"),
        ("supervised", "finetune --baseline supervised"),
        ("untrained", "linear --init random"),
    ],
)
def test_a_protocol_by_another_name_is_understood(word: str, told: str, made: tuple[Path, Path]) -> None:
    known = f"Choose one of: {', '.join(PROTOCOLS)}, all, or give your own as package.module:Class."
    fails(["eval", made[1], "--protocol", word], f"Unknown protocol '{word}'. {known} Did you mean '{told}'?")


@pytest.mark.parametrize(
    ("word", "per_cent"), [("semi", 5), ("semi5", 5), ("semi-20", 20), ("semi0.5%", 0.5)]
)
def test_a_share_of_labels_by_another_name_is_understood(
    word: str, per_cent: float, made: tuple[Path, Path]
) -> None:
    result = call("eval", made[1], "--protocol", word)
    assert result.stderr.endswith(f" Did you mean 'semi:{per_cent}', {per_cent} % of the labels?\n")


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("joints", " Did you mean 'joint'?"),
        ("J", " Did you mean 'joint'?"),
        ("velocity", " Did you mean 'motion'?"),
        ("joint,bone", " A run has one stream: make one for each."),
        ("all", ""),
        ("", ""),
    ],
)
def test_a_stream_by_another_name_is_understood(
    word: str, hint: str, made: tuple[Path, Path], tmp_path: Path
) -> None:
    fails(
        ["pretrain", made[0], "--split", "xsub", "--stream", word, "--out", tmp_path / "run"],
        f"Unknown stream '{word}'. Choose one of: joint, motion, bone.{hint}",
    )


def test_a_split_by_another_name_is_understood(made: tuple[Path, Path]) -> None:
    with ClipFile(made[0]) as file:
        assert file.splits == ("xsub", "xview")
        for word, meant in {
            "cs": "xsub", "cross-subject": "xsub", "X-Sub": "xsub", "CV": "xview", "cross view": "xview",
            "xset": "", "all": "",
        }.items():  # fmt: skip
            with pytest.raises(DataError) as told:
                file.rows(word, "train")
            hint = f" Did you mean '{meant}'?" if meant else ""
            assert str(told.value) == f"{made[0]} has no split '{word}': it has xsub, xview.{hint}"


def test_case_and_hyphens_do_not_count(tmp_path: Path) -> None:
    for word in ("NTU60", "ntu-60", "NTU RGB+D 60"):
        assert did_you_mean(word, DATASETS.split(", ")) == " Did you mean 'ntu60'?"
    assert did_you_mean("kinetics", DATASETS.split(", ")) == ""
    out = tmp_path / "a.h5"
    fails(
        ["convert", "NTU60", tmp_path, out],
        f"Unknown dataset 'NTU60'. Choose one of: {DATASETS}. Did you mean 'ntu60'?",
    )


def test_swapped_arguments_of_identify_and_import_are_recognised(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    data, _ = made
    raw, new, arrays = data.parent / "raw", tmp_path / "new.h5", tmp_path / "aim"
    assert call("export", data, arrays, "--to", "aimclr").exit_code == 0
    archive = tmp_path / "clips.npz"
    assert call("export", data, archive, "--to", "npz").exit_code == 0
    for words, told in (
        (["identify", arrays, "ntu60", raw], f"DATASET and ARRAYS are swapped: give ntu60 first, then {arrays}."),
        *(
            (["identify", "ntu60", raw, clips], f"ARRAYS and RAW are swapped: give {clips} first, then {raw}.")
            for clips in (arrays, archive, data)
        ),
        (["import", arrays, "ntu60", new], f"DATASET and SOURCE are swapped: give ntu60 first, then {arrays}."),
        (["import", "ntu60", new, arrays], f"SOURCE and OUT are swapped: give {arrays} first, then {new}."),
    ):  # fmt: skip
        fails(list(words), told)


def test_several_protocols_at_once_are_told(made: tuple[Path, Path]) -> None:
    result = call("eval", made[1], "--protocol", "knn,linear")
    assert result.stderr.endswith("package.module:Class. Give one at a time, or all.\n")


def test_both_files_of_a_verification_are_opened_before_one_is_read(made: tuple[Path, Path]) -> None:
    raw = made[0].parent / "raw"
    fails(
        ["verify", made[0], "--against", raw],
        f"{raw} is a folder, not a converted file. Make one with 'skeltools convert'.",
    )


TORCHRUN = "Start them by torchrun, or unset WORLD_SIZE for one process alone."


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"WORLD_SIZE": "many"},
            "WORLD_SIZE is 'many' in the environment, not a whole number from 1 to 1,000,000.",
        ),
        (
            {"WORLD_SIZE": "0"},
            "WORLD_SIZE is '0' in the environment, not a whole number from 1 to 1,000,000.",
        ),
        ({"WORLD_SIZE": "4"}, "WORLD_SIZE is 4 in the environment, but RANK is not set."),
        ({"WORLD_SIZE": "4", "RANK": "0"}, "WORLD_SIZE is 4 in the environment, but MASTER_ADDR is not set."),
        (
            {"WORLD_SIZE": "4", "RANK": "4", "MASTER_ADDR": "here", "MASTER_PORT": "1"},
            "RANK is '4' in the environment, not a whole number from 0 to 3.",
        ),
        (
            {"WORLD_SIZE": "4", "RANK": "0", "MASTER_ADDR": "here", "MASTER_PORT": "99999"},
            "MASTER_PORT is '99999' in the environment, not a whole number from 0 to 65,535.",
        ),
    ],
)
def test_an_environment_that_torchrun_did_not_make_is_refused(
    given: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    fails(["reproduce", "quick", "--out", tmp_path / "out", "--dry-run"], f"{told} {TORCHRUN}")


def test_a_working_folder_that_is_gone_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for words in (["runs"], ["report", tmp_path], ["synth", "ntu60", "raw", "--clips", "5"]):
        told = "The working folder cannot be found (No such file or directory). Change to one that exists."
        fails(words, told)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--seeds", 10**12], f"Invalid value for '--seeds': {10**12} is not in the range 1<=x<=1000."),
        (["--limit", 10**20], f"Invalid value for '--limit': {10**20} is not in the range 1<=x<=2147483647."),
        (["--limit", 2**31], "Invalid value for '--limit': 2147483648 is not in the range 1<=x<=2147483647."),
    ],
)
def test_how_many_has_a_bound(words: list[object], told: str) -> None:
    fails(["eval", "runs", "--protocol", "knn", *words], f"{told} See 'skeltools eval --help'.")
