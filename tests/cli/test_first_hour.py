"""What newcomers type in their first hour: help, a clip by its number, arguments in the wrong order."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from plotting import make_run

from skeltools.cli.main import COMMANDS, main

ROOT = Path(__file__).resolve().parents[2]
NAME = "S001C001P001R001A001"


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="skeltools")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_run(tmp_path_factory)


@pytest.mark.parametrize("words", [[], ["eval"], ["plot"], ["plot", "clip"], ["import-weights"]])
def test_help_is_a_word_too(words: list[str]) -> None:
    result = call("help", *words)
    assert result.exit_code == 0, result.output
    assert result.stdout == call(*words, "--help").stdout
    assert result.stdout.startswith(f"Usage: {' '.join(['skeltools', *words])} ")


def test_help_of_no_command_names_the_nearest() -> None:
    result = call("help", "evla")
    assert result.exit_code == 2
    assert "No such command 'evla'. Did you mean 'eval'? See 'skeltools --help'." in result.stderr
    assert "help" not in COMMANDS


def test_inspect_takes_a_clip_by_its_number(made: tuple[Path, Path]) -> None:
    data, _ = made
    assert call("inspect", data, "--clip", 0).stdout == call("inspect", data, "--clip", NAME).stdout
    for word, told in (
        ("32", f"{data} has rows 0 to 31, not 32."),
        ("-1", f"{data} has rows 0 to 31, not -1."),
        (f"{NAME}x", f"{data} has no clip '{NAME}x'. Did you mean '{NAME}'?"),
    ):
        result = call("inspect", data, "--clip", word)
        assert (result.exit_code, result.stderr) == (2, f"Error: {told}\n")


def test_swapped_arguments_are_recognised(made: tuple[Path, Path], tmp_path: Path) -> None:
    data, run = made
    raw, new = data.parent / "raw", tmp_path / "new.h5"
    cases: list[tuple[list[object], str]] = [
        (["convert", raw, "ntu60", new], f"DATASET and SOURCE are swapped: give ntu60 first, then {raw}."),
        (["convert", "ntu60", new, raw], f"SOURCE and OUT are swapped: give {raw} first, then {new}."),
        (
            ["synth", new, "ntu60", "--clips", 3],
            f"DATASET and OUT are swapped: give ntu60 first, then {new}.",
        ),
        (["export", new, data, "--to", "npz"], f"FILE and OUT are swapped: give {data} first, then {new}."),
        (["derive", new, data], f"FILE and OUT are swapped: give {data} first, then {new}."),
        (
            ["features", data, run, "--out", "f.npz"],
            f"RUN and FILE are swapped: give {run} first, then {data}.",
        ),
        (["predict", data, run], f"RUN and FILE are swapped: give {run} first, then {data}."),
        (["plot", "attention", data, run, NAME], f"RUN and FILE are swapped: give {run} first, then {data}."),
        (["plot", "clip", NAME, data], f"FILE and NAME are swapped: give {data} first, then {NAME}."),
    ]
    for words, told in cases:
        result = call(*words)
        assert (result.exit_code, result.stderr) == (2, f"Error: {told}\n")
    assert not list(tmp_path.iterdir())


def test_what_to_install_names_packages_that_are_published(
    monkeypatch: pytest.MonkeyPatch, made: tuple[Path, Path]
) -> None:
    """skeltools itself is not on PyPI: its extras are installed from the checkout, the packages from anywhere."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = call("plot", "curves", made[1])
    assert result.stderr == (
        "Error: Pictures need matplotlib, which is not installed. Install it: pip install matplotlib\n"
    )
    texts = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    texts += [path for room in ("cli", "skeltools", "protocols") for path in (ROOT / room).rglob("*.py")]
    wrong = [
        path.relative_to(ROOT).as_posix()
        for path in texts
        if path.name not in ("CHANGELOG.md", "cli.md")  # the latter is made of the help
        and re.search(r"pip install [^\n`]*skeltools(\[|\b(?!\s*&&)(?![/-]))", path.read_text("utf-8"))
    ]
    assert wrong == []
