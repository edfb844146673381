"""Sentences of SECURITY.md that no other test shows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from rawfiles import write_ntu

from skeltools import plugins
from skeltools.convert.pipeline import convert
from skeltools.datasets import registry as datasets
from skeltools.runs.folder import Run
from skeltools.settings import recipe_values
from skeltools.store import ClipFile

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "tests" / "fixtures" / "formats" / "run-1-checkpoint-1-record-2.zip"


def test_every_sentence_names_a_test_and_no_whole_file() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?!sentence|---)(.+?) \| (.+) \|$", text, re.M)
    assert len(rows) >= text.count("\n- ")
    for sentence, tests in rows:
        assert re.fullmatch(r"`tests/[\w/]+\.py::\w+`(, `tests/[\w/]+\.py::\w+`)*", tests), sentence


@pytest.mark.parametrize("name", ["colorsys", "tabnanny", "sklearn_extra_name"])
def test_the_working_folder_comes_after_all_that_is_installed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module of the standard library's name in it is not taken for that; one of a name of its own is found."""
    (tmp_path / f"{name}.py").write_text("HERE = True\n")
    (tmp_path / "ours_for_a_test.py").write_text(
        f"import {name}\n\ndef encoder():\n    return getattr({name}, 'HERE', False)\n"
    )
    monkeypatch.chdir(tmp_path)
    for module in (name, "ours_for_a_test"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    before = list(sys.path)
    assert plugins.load("ours_for_a_test:encoder", "encoder")() is (name == "sklearn_extra_name")
    assert sys.path == before
    for module in (name, "ours_for_a_test"):
        monkeypatch.delitem(sys.modules, module, raising=False)


def test_no_torch_is_admitted_whose_weights_only_loading_runs_code() -> None:
    """Versions before 2.6 do (CVE-2025-32434)."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (bound,) = [Requirement(text) for text in content["project"]["dependencies"] if text.startswith("torch")]
    assert not any(bound.specifier.contains(version) for version in ("2.4.0", "2.5.1", "2.5.99"))
    assert bound.specifier.contains("2.6.0")


@pytest.mark.skipif(os.name != "posix", reason="the scripts are of POSIX shells")
def test_an_audit_that_is_skipped_says_so_in_its_last_line(tmp_path: Path) -> None:
    python = tmp_path / "python3"
    python.write_text("#!/bin/sh\necho 'URLError: no route' >&2\nexit 1\n")
    python.chmod(0o755)
    done = subprocess.run(
        [ROOT / ".ci" / "audit"], env=os.environ | {"PYTHON": str(python)}, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("audit: SKIPPED, no database")
    assert "no route" in last
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1].startswith('echo "$audit"')


def test_extends_links_and_data_name_files_that_are_read(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "elsewhere.toml").write_text("[train]\nepochs = 7\n")
    (tmp_path / "a" / "mine.toml").write_text(f'extends = "{tmp_path / "elsewhere.toml"}"\n')
    assert ("train.epochs", 7) in [
        pair[:2] for pair in recipe_values(str(tmp_path / "a" / "mine.toml"), None)
    ]
    name = "S001C001P001R001A001"
    write_ntu(tmp_path / "b", name, seed=1)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / f"{name}.skeleton").symlink_to(tmp_path / "b" / f"{name}.skeleton")
    convert(datasets.get("ntu60"), tmp_path / "raw", tmp_path / "o.h5")
    with ClipFile(tmp_path / "o.h5") as file:
        assert file.names == [name]
    (tmp_path / "run").mkdir()
    with zipfile.ZipFile(RUN) as archive:
        (stored,) = (member for member in archive.namelist() if member.endswith("run.json"))
        content = json.loads(archive.read(stored)) | {"data": str(tmp_path / "o.h5")}
    (tmp_path / "run" / "run.json").write_text(json.dumps(content))
    assert Run.open(tmp_path / "run").data == tmp_path / "o.h5"


MEASURE = """
import resource, sys
from skeltools.errors import SkeltoolsError
from skeltools.settings import recipe_values
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    recipe_values(sys.argv[1], None)
except SkeltoolsError:
    pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000)
"""

SHAPES = {
    "tables of many parts": lambda number: f"[p{number}{'.a' * 63}]\n",
    "keys of many parts": lambda number: f"p{number}{'.a' * 63}=1\n",
    "tables": lambda number: f"[[a{number}]]\n",
    "inline tables": lambda number: f"x{number}={{a=1}}\n",
    "numbers": lambda number: f"a{number}=[{'1,' * 1000}]\n",
}


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of the peak differs by system")
@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_a_recipe_of_a_mebibyte_takes_at_most_500_megabytes(tmp_path: Path, shape: str) -> None:
    lines, size, number = [], 0, 0
    while size + len(line := SHAPES[shape](number)) < 1 << 20:
        lines.append(line)
        size, number = size + len(line), number + 1
    path = tmp_path / "large.toml"
    path.write_text("".join(lines))
    done = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, text=True, check=True)
    print(shape, done.stdout)
    assert float(done.stdout) < 500
