"""The notebook of the demo runs cell by cell, and its stored outputs are of the form that running gives."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from skeltools.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "docs" / "demo.ipynb"
CELLS: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
SMALLER = (("--clips 400", "--clips 150"), ("epochs=20", "epochs=2"))
"""What is made smaller for the test: text of a cell, and what is run instead."""


def run(cell: dict[str, Any], names: dict[str, Any]) -> str:
    """Run a code cell as Jupyter does, and return what it shows: a line with ``!`` is the shell's."""
    text = "".join(cell["source"])
    for whole, small in SMALLER:
        text = text.replace(whole, small)
    if text.startswith("!"):
        done = CliRunner().invoke(main, shlex.split(text.removeprefix("!skeltools ")), prog_name="skeltools")
        assert done.exit_code == 0, f"{text}\n{done.output}"
        return done.stdout
    tree, last = ast.parse(text), ""
    if isinstance(tree.body[-1], ast.Expr):
        last = ast.unparse(tree.body.pop())
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        exec(compile(tree, str(NOTEBOOK), "exec"), names)
        value = eval(last, names) if last else None
    return shown.getvalue() + ("" if value is None else repr(value))


def stored(cell: dict[str, Any]) -> str:
    """Return the outputs that the notebook holds for a cell."""
    return "".join(
        "".join(output["text"] if output["output_type"] == "stream" else output["data"]["text/plain"])
        for output in cell["outputs"]
    )


def form(text: str) -> list[str]:
    """Return the lines of a text without their numbers, the signs before these and the spaces and lines between."""
    lines = (re.sub(r"[─\s]|[@+-]?\d[\d.,]*", "", line) for line in text.splitlines())
    return [line for line in lines if line]


def test_it_is_a_notebook() -> None:
    whole = json.loads(NOTEBOOK.read_text("utf-8"))
    assert (whole["nbformat"], whole["nbformat_minor"]) == (4, 5)
    assert whole["metadata"]["kernelspec"]["name"] == "python3"
    assert len({cell["id"] for cell in CELLS}) == len(CELLS)
    for cell in CELLS:
        assert cell["cell_type"] in ("markdown", "code")
        assert ("outputs" in cell) == ("execution_count" in cell) == (cell["cell_type"] == "code")
    counts = [cell["execution_count"] for cell in CELLS if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))


def test_its_links_lead_somewhere() -> None:
    texts = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "markdown"]
    targets = [target for text in texts for target in re.findall(r"\]\(([^)]+)\)", text)]
    assert len(targets) >= 5
    assert [target for target in targets if not (NOTEBOOK.parent / target).exists()] == []


@pytest.mark.slow
def test_its_cells_run_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in CELLS:
        if cell["cell_type"] == "code":
            whole = "".join(cell["source"])
            assert form(run(cell, names)) == form(stored(cell)), whole
    assert (tmp_path / "demo-notebook" / "curves.png").read_bytes().startswith(b"\x89PNG")
