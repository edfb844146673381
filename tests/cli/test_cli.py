"""The command group: help everywhere, quick start, and one line for every fault."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from clipfiles import make_clips

from skeltools.cli import main as cli_main
from skeltools.cli import start
from skeltools.cli._options import SEED, FiniteRange
from skeltools.cli.main import COMMANDS, main
from skeltools.errors import DataError

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_and_a_help_for_every_option(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert "Example:\n" in result.output
    assert f"skeltools {name}" in result.output.split("Example:")[1]
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert [p.name for p in command.params if isinstance(p, click.Option) and not p.help] == []
    assert (command.help or "").strip().splitlines()[0] == COMMANDS[name]


def test_the_reference_page_is_in_step_with_the_help(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    import make_cli  # type: ignore[import-not-found]

    written = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert written == make_cli.page(), "run make docs"


@pytest.mark.parametrize("arguments", [["-c", "import skeltools"], ["-m", "skeltools", "--help"]])
def test_starting_loads_no_heavy_library(arguments: list[str]) -> None:
    found = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, check=True
    )
    loaded = {line.rsplit("|", 1)[1].strip() for line in found.stderr.splitlines() if "|" in line}
    assert "skeltools" in loaded
    assert loaded & {"torch", "numpy", "h5py", "sklearn", "scipy", "rich.console", "numba"} == set()


def test_an_unknown_command_is_answered_with_the_nearest_one() -> None:
    result = CliRunner().invoke(main, ["pretrian"])
    assert result.exit_code == 2
    assert "No such command 'pretrian'. Did you mean 'pretrain'? See 'skeltools --help'." in result.output


_NO_MEMORY = (
    "Error: The memory of this machine, or what a limit leaves of it, was not enough ({}). Give the command "
    "more, or let it need less: pretrain takes --batch-size and --workers, convert --workers, eval --limit."
)


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (DataError("x.h5 is not a clip file."), 2, "Error: x.h5 is not a clip file."),
        (
            FileNotFoundError(2, "No such file or directory", "y.h5"),
            2,
            "Error: y.h5: No such file or directory.",
        ),
        (KeyboardInterrupt(), 130, "Error: Interrupted."),
        (click.Abort(), 130, "Error: Interrupted."),
        (MemoryError(), 2, _NO_MEMORY.format("MemoryError: out of memory")),
        (
            RuntimeError(
                "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.\nat 0x1"
            ),
            2,
            _NO_MEMORY.format(
                "RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"
            ),
        ),
        (
            ValueError("odd\nthing"),
            70,
            "Error: Internal error (ValueError: odd thing). This is a bug in skeltools; run again with "
            "SKELTOOLS_DEBUG=1 and report what it prints.",
        ),
    ],
)
def test_every_fault_is_one_line(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int, line: str
) -> None:
    @click.command()
    def failing() -> None:
        raise error

    monkeypatch.delenv("SKELTOOLS_DEBUG", raising=False)
    monkeypatch.setattr(type(main), "get_command", lambda *_: failing)
    result = CliRunner().invoke(main, ["report"])
    assert result.exit_code == status
    assert result.stderr == line + "\n"
    assert result.stdout == ""


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
@pytest.mark.parametrize("words", ["report", "demo"], ids=["by itself", "by another command"])
@pytest.mark.parametrize(
    "made", [SystemError("odd"), SyntaxError("odd"), DataError("x.h5 cannot be read."), OSError(5, "odd")]
)
@pytest.mark.parametrize(
    ("kind", "status", "line"),
    [(signal.SIGTERM, 143, "Error: Ended by SIGTERM."), (signal.SIGINT, 130, "Error: Interrupted.")],
)
def test_what_a_library_makes_of_a_signal_is_no_error_of_ours(
    monkeypatch: pytest.MonkeyPatch, kind: signal.Signals, status: int, line: str, made: Exception, words: str
) -> None:
    """Imports and compiled code raise an error of their own in place of what a signal raises in them."""

    @click.command()
    def failing() -> None:
        try:
            signal.raise_signal(kind)
        except KeyboardInterrupt:
            raise made from None

    @click.command()
    def outer() -> None:
        main.main(args=["report"], prog_name="skeltools", standalone_mode=False)

    @click.command()
    def later() -> None:
        raise DataError("Wrong.")

    commands = {"report": failing, "demo": outer, "runs": later}
    monkeypatch.setattr(type(main), "get_command", lambda _, context, name: commands[name])
    kinds = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
    found = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # ignored where tests run in the background
    try:
        before = [signal.getsignal(number) for number in kinds]
        result = CliRunner().invoke(main, [words])
        assert [signal.getsignal(number) for number in kinds] == before
        after = CliRunner().invoke(main, ["runs"])
    finally:
        signal.signal(signal.SIGINT, found)
    assert (result.exit_code, result.stderr) == (status, line + "\n")
    assert (after.exit_code, after.stderr) == (2, "Error: Wrong.\n")


def test_the_version_is_the_packages() -> None:
    result = CliRunner().invoke(main, ["--version"])
    assert result.output == f"skeltools, version {cli_main.skeltools.__version__}\n"


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="timers are POSIX")
def test_a_signal_at_the_very_end_does_not_end_the_process_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that falls upon ``__del__`` is put off by a timer, which must not outlive the command.

    The timer is set to an hour here: that the command ends within a hundredth of a second is not promised.
    """

    class Dropped:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    @click.command()
    def ending() -> None:
        Dropped()

    asked: list[float] = []
    true = signal.setitimer

    def later(which: int, seconds: float) -> None:
        asked.append(seconds)
        true(which, 3600 if seconds else 0)

    monkeypatch.setattr(type(main), "get_command", lambda *_: ending)
    monkeypatch.setattr(signal, "setitimer", later)
    assert CliRunner().invoke(main, ["report"]).exit_code == 0
    assert asked == [0.01, 0]
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="timers are POSIX")
def test_a_signal_that_falls_upon_del_ends_the_command_a_little_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Dropped:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    @click.command()
    def going_on() -> None:
        Dropped()
        while True:
            pass

    monkeypatch.setattr(type(main), "get_command", lambda *_: going_on)
    result = CliRunner().invoke(main, ["report"])
    assert (result.exit_code, result.stderr) == (143, "Error: Ended by SIGTERM.\n")


FULL = Path("/dev/full")


def started(*words: object, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "skeltools", *map(str, words)], text=True, check=False, timeout=600, **more
    )


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["--help"], ["--version"], ["convert", "--help"]])
def test_a_full_disk_behind_standard_output_is_one_line(words: list[str]) -> None:
    with FULL.open("w") as full:
        done = started(*words, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: Standard output")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_full_disk_behind_standard_error_ends_no_work(tmp_path: Path) -> None:
    with FULL.open("w") as full:
        done = started("synth", "ntu60", tmp_path / "raw", "--clips", 2, stdout=subprocess.PIPE, stderr=full)
    assert done.returncode == 0
    assert len(list((tmp_path / "raw").glob("*.skeleton"))) == 2


@pytest.mark.skipif(os.name != "posix", reason="file descriptors are POSIX")
@pytest.mark.parametrize("number", [1, 2])
def test_a_closed_stream_is_nowhere(tmp_path: Path, number: int) -> None:
    """As ``>&-`` or a daemon closes it."""
    done = started(
        "synth", "ntu60", tmp_path / "raw", "--clips", 2, preexec_fn=lambda: os.close(number),
        stdout=None if number == 1 else subprocess.PIPE, stderr=None if number == 2 else subprocess.PIPE,
    )  # fmt: skip
    assert done.returncode == 0
    assert "rror" not in (done.stdout or "") + (done.stderr or "")
    assert len(list((tmp_path / "raw").glob("*.skeleton"))) == 2


@pytest.mark.skipif(os.name != "posix", reason="pipes that close are POSIX")
@pytest.mark.parametrize("words", [["--help"], ["subset", "--json"]])
def test_a_reader_that_has_enough_is_no_error(tmp_path: Path, words: list[str]) -> None:
    data = [make_clips(tmp_path, train=8)] if words[0] != "--help" else []
    read, write = os.pipe()
    os.close(read)
    done = started(*words, *data, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_ctrl_c_while_the_command_line_is_loaded_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli_main, "main", interrupted)
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), pytest.raises(SystemExit) as ended:
        start.main()
    assert ended.value.code == 130
    assert errors.getvalue() == "Error: Interrupted.\n"


def _commands() -> Iterator[click.Command]:
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        assert command is not None
        yield from command.commands.values() if isinstance(command, click.Group) else [command]


def test_options_take_finite_numbers_and_seeds_that_every_generator_takes() -> None:
    found = [option for command in _commands() for option in command.params]
    numbers = [option.type for option in found if isinstance(option.type, click.types.FloatParamType)]
    assert len(numbers) >= 4
    assert {type(kind) for kind in numbers} == {FiniteRange}
    seeds = [option for option in found if "--seed" in option.opts]
    assert len(seeds) >= 7
    assert {option.type for option in seeds} == {SEED}
    assert SEED.convert(str(2**32 - 1), None, None) == 2**32 - 1
    for text in ("-1", str(2**32), str(2**64)):
        with pytest.raises(click.BadParameter, match=r"is not in the range 0<=x<=4294967295"):
            SEED.convert(text, None, None)
    assert FiniteRange(min=0).convert("1e300", None, None) == 1e300
    for text in ("nan", "inf", "1e999"):
        with pytest.raises(click.BadParameter, match=rf"^{text} is not a finite number\.$"):
            FiniteRange(min=0).convert(text, None, None)
