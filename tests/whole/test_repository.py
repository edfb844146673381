"""What surrounds the code says the same as the code: Makefile, workflows, citation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import skeltools

ROOT = Path(__file__).resolve().parents[2]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z-]+):(?!=)", MAKEFILE, re.M))


def test_every_target_is_phony_and_in_the_header_that_make_help_prints() -> None:
    header = MAKEFILE.split("\n\n", 1)[0]
    phony = re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.M)
    assert phony
    assert set(phony[1].split()) == TARGETS
    assert TARGETS - set(re.findall(r"\bmake ([a-z-]+)", header)) == {"clean"}


def test_the_site_is_built_with_warnings_as_errors() -> None:
    assert "mkdocs build --strict\n" in MAKEFILE  # with --quiet mkdocs counts no warning


def test_workflows_call_targets_and_scripts_that_are_there() -> None:
    if not (folder := ROOT / ".github" / "workflows").is_dir():
        pytest.skip("a source distribution has no workflows")
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.yml")))
    called = set(re.findall(r"\bmake ([a-z-]+)", text))
    assert called > {"check", "test", "docs", "faults", "fuzz", "test-slow"}
    assert called <= TARGETS
    assert [name for name in re.findall(r"(?<= )\.ci/\w+", text) if not (ROOT / name).is_file()] == []


def test_documents_call_targets_that_are_there() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(pages))
    called = set(re.findall(r"(?:^(?: {4})?|`)make ([a-z-]+)", text, re.M))
    assert called > {"ready", "test", "format", "fuzz", "docs"}
    assert called <= TARGETS


def test_the_citation_names_this_version() -> None:
    assert f"\nversion: {skeltools.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
