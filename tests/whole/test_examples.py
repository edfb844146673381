"""Examples run: those of every public name, and the blocks of documents that have a language."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

import skeltools
from skeltools import protocols
from skeltools.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
API = ROOT / "docs" / "api.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
PAGES = [
    page
    for page in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
    if page != API and page.name != "tutorial-your-recordings.md"  # which has a test of its own
]
NAMES = [
    *(f"skeltools.{name}" for name in skeltools.__all__),
    *(f"skeltools.protocols.{name}" for name in protocols.__all__),
]


def blocks(page: Path, *languages: str) -> list[str]:
    return [text for language, text in BLOCK.findall(page.read_text("utf-8")) if language in languages]


def run_commands(text: str) -> None:
    """Run the lines of a shell block in this process; `>` is the only sign of a shell that they may hold."""
    for line in text.strip().splitlines():
        words, out = line.partition("#")[0].strip(), ""
        if " > " in words:
            words, out = words.split(" > ")
        program, *arguments = shlex.split(words)
        assert program == "skeltools", line
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == 0, f"{line}\n{done.output}"
        if out:
            Path(out).write_text(done.stdout, encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the page of Python describes, made by the commands in its first block."""
    here = tmp_path_factory.mktemp("examples")
    for path in (ROOT / "docs" / "examples").glob("*.py"):
        shutil.copy(path, here)
    with contextlib.chdir(here):
        run_commands(blocks(API, "sh")[0])
    return here


@pytest.fixture
def inside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder, from which modules can be imported while the test runs."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SKELTOOLS_CACHE", str(folder / "cache"))
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield folder
    for name in {path.stem for path in folder.glob("*.py")} & (set(sys.modules) - before):
        del sys.modules[name]


def names() -> dict[str, Any]:
    """What the examples of the page find imported."""
    found: dict[str, Any] = {}
    exec(blocks(API, "python")[0], found)
    return found


def examples_of(name: str) -> list[doctest.DocTest]:
    """The examples of a public name: in its docstring, or under its heading on the page."""
    page = API.read_text("utf-8")
    if found := re.search(rf"^::: (\S+)\n    options:\n      heading: {re.escape(name)}$", page, re.M):
        module, _, attribute = found[1].rpartition(".")
        value = getattr(importlib.import_module(module), attribute)
        package, _, public = name.rpartition(".")
        assert value is getattr(importlib.import_module(package), public), (
            f"{found[1]} is another than {name}"
        )
        finder = doctest.DocTestFinder(recurse=False, exclude_empty=True)
        return finder.find(value, name, module=False, globs=names())
    heading = re.escape("### " + name.replace("__", r"\_\_"))
    section = re.search(rf"^{heading}$(.*?)(?=^#|\Z)", page, re.M | re.S)
    assert section, f"docs/api.md has no {name}"
    return [
        doctest.DocTestParser().get_doctest(text, names(), name, str(API), 0)
        for language, text in BLOCK.findall(section[1])
        if language == "pycon"
    ]


@pytest.mark.parametrize("name", NAMES)
def test_the_example_of_a_public_name_gives_what_it_says(name: str, inside: Path) -> None:
    tests = examples_of(name)
    assert sum(len(test.examples) for test in tests) > 0, f"{name} has no example"
    assert not any(doctest.SKIP in example.options for test in tests for example in test.examples)
    report = io.StringIO()
    runner = doctest.DocTestRunner()
    for test in tests:
        runner.run(test, out=report.write)
    assert runner.summarize(verbose=False).failed == 0, report.getvalue()


def test_the_page_has_no_other_names() -> None:
    page = API.read_text("utf-8")
    shown = re.findall(r"^      heading: (\S+)$", page, re.M)
    shown += [name.replace("\\", "") for name in re.findall(r"^### (skeltools\.\S+)$", page, re.M)]
    assert sorted(shown) == sorted(NAMES)


WITH_CODE = [page for page in PAGES if blocks(page, "python", "pycon", "sh")]


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.name)
def test_the_code_of_a_page_runs_in_its_order(page: Path, inside: Path) -> None:
    for language, text in BLOCK.findall(page.read_text("utf-8")):
        if language == "sh":
            run_commands(text)
        elif language == "python":
            exec(compile(text, str(page), "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_have_a_language_that_is_tested_or_none(page: Path) -> None:
    assert {language for language, _ in BLOCK.findall(page.read_text("utf-8"))} <= {
        "",
        "python",
        "sh",
        "toml",
    }
    for text in blocks(page, "toml"):
        tomllib.loads(text)


LAB = sorted((ROOT / "docs" / "lab").glob("*.md"))


@pytest.mark.parametrize("page", LAB, ids=lambda page: page.name)
def test_notebooks_are_marked_as_not_run(page: Path) -> None:
    assert {language for language, _ in BLOCK.findall(page.read_text("utf-8"))} <= {""}


def test_no_block_is_of_a_kind_that_these_tests_overlook() -> None:
    """Fences are of three backticks at the margin, with one word or none: each opens or closes a block found here."""
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        text = page.read_text("utf-8")
        fences = re.findall(r"^[ >]*(?:`{3,}|~{3,}).*$", text, re.M)
        assert len(fences) == 2 * len(BLOCK.findall(text)), page


def command_of(words: list[str]) -> click.Command:
    """The command that the first words of a line name, groups passed through."""
    context = click.Context(main)
    command: click.Command = main
    for word in words:
        if not isinstance(command, click.Group):
            break
        found = command.get_command(context, word)
        assert found, f"there is no command {word}"
        command = found
    return command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_that_are_not_run_have_their_options(page: Path) -> None:
    wrong = []
    for text in blocks(page, ""):
        for line in text.replace("\\\n", " ").splitlines():
            if page.name == "cli.md" or not line.startswith("skeltools "):
                continue
            words = shlex.split(line, comments=True)[1:]
            known = {name for each in command_of(words).params for name in (*each.opts, *each.secondary_opts)}
            given = {word.partition("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)}
            wrong += [f"{line}: {name}" for name in given - known - {"--help", "--version", "-h"}]
    assert wrong == []
