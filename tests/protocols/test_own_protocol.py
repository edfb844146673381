"""Other people's protocols through the command line: run, recorded, reported; and refused in one line."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from clipfiles import make_clips

from skeltools.cli.main import main

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
WORDS = ("eval", "--encoder", "encoder:build", "--data", "clips.h5", "--device", "cpu", "--protocol")
HEAD = """
import json, torch, numpy as np
from dataclasses import dataclass
from skeltools.protocols import Outcome, Protocol
from skeltools.protocols.knn import Knn
from skeltools.settings import setting

def scores(task):
    return torch.eye(task.num_classes)[task.test_labels]

"""


def _run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="skeltools")


def _ok(*words: object) -> str:
    result = _run(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"), train=24, test=12)


@pytest.fixture
def here(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a converted file, the example encoder and the example protocol."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(clips, tmp_path)
    for name in ("encoder", "protocol"):
        shutil.copy(EXAMPLES / f"{name}.py", tmp_path)
    for name in ("encoder", "protocol", "mine"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def _mine(here: Path, body: str) -> None:
    (here / "mine.py").write_text(HEAD + body)
    sys.modules.pop("mine", None)


def test_the_example_is_run_recorded_and_reported(here: Path) -> None:
    assert len((EXAMPLES / "protocol.py").read_text().splitlines()) < 40
    words = (*WORDS, "protocol:ClassMeans", "--set", "classmeans.shrink=0.1")
    (record,) = json.loads(_ok(*words, "--json"))
    assert record["protocol"] == "protocol:ClassMeans"
    assert record["settings"] == {"classmeans.shrink": 0.1}
    assert record["origin"] == {"classmeans.shrink": "--set"}
    assert (record["recipe"], record["test_clips"]) == ("defaults", 12)
    home = here / "evaluations" / "encoder.build"
    assert len(list((home / "results").glob("*.json"))) == 1
    _ok(*WORDS, "linear", "--epochs", "1")
    table = _ok("report", home)
    assert [line for line in table.splitlines() if line.startswith("ntu60 ")] == [
        "ntu60 xsub: linear", "ntu60 xsub: protocol:ClassMeans",
    ]  # fmt: skip
    assert "set by hand: classmeans shrink 0.1" in table
    _ok(*words)  # again: the same evaluation replaces its record
    assert len(list((home / "results").glob("*Class*.json"))) == 1
    _ok("compare", home, home, "--protocol", "protocol:ClassMeans")


def test_a_protocol_derived_from_a_packaged_one_takes_its_recipe_and_keys(here: Path) -> None:
    _mine(here, "class Mine(Knn):\n    pass\n")
    found = json.loads(_ok(*WORDS, "mine:Mine", "--set", "knn.k=[1,3]", "--json"))
    assert [(record["protocol"], record["variant"]) for record in found] == [
        ("mine:Mine", "k=1"), ("mine:Mine", "k=3"),
    ]  # fmt: skip


def test_a_protocol_of_ones_own_joins_streams(here: Path) -> None:
    _mine(here, "class Mine(Protocol):\n    joins_streams = True\n"
          "    def run(self, task, settings):\n"
          "        return [Outcome(sum(scores(member) for member in task.members.values()))]\n")  # fmt: skip
    (record,) = json.loads(_ok(*WORDS, "mine:Mine", "--streams", "joint,bone", "--json"))
    assert (record["stream"], record["top1"]) == ("joint+bone", 1.0)
    assert ",joint+bone,mine:Mine," in _ok("report", "evaluations/encoder.build", "--format", "csv")


def test_a_protocol_that_trains_or_is_skipped_says_why(here: Path) -> None:
    _mine(here, RUN.replace("    def", "    trains = True\n    def") + "[]")
    result = _run(*WORDS, "mine:Mine", "--baseline", "raw")
    assert (result.exit_code, result.stderr) == (2, "Error: 'raw coordinates' is not an encoder to train.\n")
    _mine(here, RUN + "[]\n    def skip(self, task, settings): return 'there is no moon'\n")
    result = _run(*WORDS, "mine:Mine")
    assert (result.exit_code, result.stderr) == (2, "Error: There is no moon.\n")


RUN = "class Mine(Protocol):\n    def run(self, task, settings):\n        return "


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("Mine = 3", "Protocol 'mine:Mine': module 'mine' has no callable 'Mine'."),
        (
            "class Mine:\n    pass",
            "Protocol 'mine:Mine' is not derived from skeltools.protocols.running.contract.Protocol.",
        ),
        ("class Mine(Protocol):\n    pass", "Protocol 'mine:Mine' does not define run."),
        (RUN + "1 / 0", "mine.py, line 13): ZeroDivisionError: division by zero."),
        (RUN + "None", "Protocol 'mine:Mine' must return a list of one Outcome or more, not None."),
        (RUN + "[]", "Protocol 'mine:Mine' must return a list of one Outcome or more, not []."),
        (RUN + "[3]", "Protocol 'mine:Mine' must return a list of one Outcome or more, not [3]."),
        (RUN + "[Outcome([1.0])]", "Protocol 'mine:Mine': scores must be a tensor (12, 60), not list."),
        (
            RUN + "[Outcome(scores(task)[1:])]",
            "scores must be floating-point numbers (12, 60), not torch.float32 (11, 60).",
        ),
        (
            RUN + "[Outcome(scores(task).long())]",
            "Protocol 'mine:Mine': scores must be floating-point numbers (12, 60), not torch.int64 (12, 60).",
        ),
        (
            RUN + "[Outcome(scores(task), metrics={'map': 1.5})]",
            "Protocol 'mine:Mine': metrics['map'] must be a number from 0 to 1, not 1.5.",
        ),
        (
            RUN + "[Outcome(scores(task), metrics={'map': float('nan')})]",
            "Protocol 'mine:Mine': metrics['map'] must be a number from 0 to 1, not nan.",
        ),
        (
            RUN + "[Outcome(scores(task), train_rows=np.array([99]))]",
            "Protocol 'mine:Mine': train_rows must be rows of the file, int64 (n,) from 0 to 35.",
        ),
        (
            RUN + "[Outcome(scores(task), 'k=1'), Outcome(scores(task), 'k1')]",
            "Protocol 'mine:Mine' gave two outcomes of one variant. Name each.",
        ),
        (
            RUN + "[Outcome(scores(task))]\n    def identity(self, task, settings):\n        return {3}",
            "TypeError: Object of type set is not JSON serializable.",
        ),
        (
            RUN + "[]\n    settings = 3",
            "Protocol 'mine:Mine': its settings must be a dataclass.",
        ),
        (
            "@dataclass(frozen=True)\nclass S:\n    k: int = setting('K.')\n" + RUN + "[]\n    settings = S",
            "Settings without a default: mine.k. Add one, or give a --recipe.",
        ),
        (
            RUN + "[]\n    def __init__(self, name):\n        raise KeyError('x')",
            "mine.py, line 15): KeyError: 'x'.",
        ),
    ],
)
def test_what_cannot_be_recorded_is_refused_in_one_line(here: Path, body: str, told: str) -> None:
    _mine(here, body + "\n")
    result = _run(*WORDS, "mine:Mine")
    assert result.exit_code == 2, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert line.endswith(told)
    assert not list(here.glob("evaluations/*/results/*.json"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nowhere:Mine",), "Protocol 'nowhere:Mine': no module named 'nowhere'."),
        (("protocol:ClasMeans",), "has no callable 'ClasMeans'. Did you mean 'ClassMeans'?"),
        (("protocol:ClassMeans", "--epochs", "3"), "trains nothing, so it takes no --epochs."),
        (("protocol:ClassMeans", "--target", "clips.h5"), "takes no --target; transfer does."),
        (("protocol:ClassMeans", "--set", "classmeans.shrnk=1"), "Did you mean 'classmeans.shrink'?"),
        (("protocol:ClassMeans", "--set", "classmeans.shrink=2"), "must be at most 1, not 2."),
        (("protocol:ClassMeans", "--recipe", "linear"), "Unknown setting 'linear.epochs' (recipe linear)."),
        (("protocol:ClassMeans", "--baseline", "supervised"), "The supervised baseline belongs to finetune."),
    ],
)
def test_wrong_words_are_refused_in_one_line(here: Path, words: tuple[str, ...], told: str) -> None:
    result = _run(*WORDS, *words)
    assert result.exit_code == 2, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert told in line
