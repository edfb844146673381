"""What `skeltools runs` says of runs: their states, how far they are, and what is evaluated."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from clipfiles import TINY, make_clips

from skeltools.cli.main import main
from skeltools.errors import OutputError, RunError
from skeltools.progress import SILENT
from skeltools.results import record as results
from skeltools.runs import listing
from skeltools.runs.folder import Run, held
from skeltools.training import launch as launching
from skeltools.training.engine import Trainer
from skeltools.training.launch import Request, launch

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"), train=8)


def request(data: Path, out: Path, *overrides: str, resume: bool = False, epochs: int = 2) -> Request:
    return Request(
        data=data,
        split="xsub",
        stream="joint",
        out=out,
        recipe=None,
        options={"train.epochs": epochs, "train.batch_size": 4},
        overrides=(*TINY, *overrides),
        seed=3,
        replace=False,
        resume=resume,
        command="skeltools pretrain",
    )


def runs(*words: object) -> Result:
    return CliRunner().invoke(main, ["runs", *map(str, words)])


def stopping(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """Let training be interrupted after so many steps."""
    left = [steps]

    def stop(self: launching.Stop) -> bool:
        left[0] -= 1
        return left[0] <= 0

    monkeypatch.setattr(launching.Stop, "__call__", stop)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    out = tmp_path_factory.mktemp("runs") / "deep" / "done"
    launch(request(data, out), CPU, SILENT)
    result = CliRunner().invoke(
        main, ["eval", str(out), "--protocol", "knn", "--set", "knn.k=[1]", "--quiet"]
    )
    assert result.exit_code == 0, result.output
    words = ["eval", str(out), "--protocol", "knn", "--init", "random", "--set", "knn.k=[1]", "--quiet"]
    assert CliRunner().invoke(main, words).exit_code == 0
    return out


def test_a_finished_run_says_what_it_is_and_what_is_evaluated(finished: Path) -> None:
    (one,) = listing.find(finished.parents[1])
    assert one == listing.of(finished)
    assert (one.state, one.reason, one.epoch, one.epochs, one.step) == ("finished", "", 2, 2, 4)
    assert (one.method, one.dataset, one.split, one.stream, one.seed) == (
        "skeattnclr",
        "ntu60",
        "xsub",
        "joint",
        3,
    )
    assert one.knn is not None
    assert 0 <= one.knn <= 1
    assert (one.evaluated, one.others, one.unreadable) == (("knn k=1",), 1, 0)
    assert one.age is not None
    assert 0 <= one.age < 86400


def test_the_table_and_the_json_say_the_same(finished: Path) -> None:
    result = runs(finished.parents[1])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].rstrip() == "1 run: 1 finished"
    assert lines[1].split() == [
        *("run", "state", "method", "data", "stream", "seed", "epoch", "kNN", "%", "age", "evaluated")
    ]
    words = lines[3].split()
    assert words[:8] == [str(finished), "finished", "skeattnclr", "ntu60", "xsub", "joint", "3", "2/2"]
    assert lines[3].rstrip().endswith("knn k=1; 1 of baselines")
    found = json.loads(runs(finished, "--json").stdout)
    assert [(one["path"], one["state"], one["epoch"]) for one in found] == [(str(finished), "finished", 2)]


def test_an_interrupted_run_is_stopped_and_goes_on(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stopping(patch, 3)
        outcome = launch(request(data, tmp_path / "r"), CPU, SILENT)
    assert outcome.signal is not None
    one = listing.of(tmp_path / "r")
    assert (one.state, one.epoch, one.step) == ("stopped", 1, 3)
    launch(request(data, tmp_path / "r", resume=True), CPU, SILENT)
    assert listing.of(tmp_path / "r").state == "finished"


def test_a_run_whose_loss_is_not_finite_has_failed_and_says_why(tmp_path: Path, data: Path) -> None:
    with pytest.raises(RunError, match="not finite"):
        launch(request(data, tmp_path / "r", "train.lr=2e9", "monitor.every=0", epochs=9), CPU, SILENT)
    one = listing.of(tmp_path / "r")
    assert one.state == "failed"
    assert one.reason.startswith("The loss of step ")
    assert f"{tmp_path / 'r'}: The loss of step" in runs(tmp_path).stdout


def test_a_run_that_was_killed_has_failed(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is noted then: the log goes on beyond the last checkpoint, or there is none."""
    real = Trainer._step

    def killed(self: Trainer, clips: torch.Tensor, x: torch.Tensor) -> None:
        real(self, clips, x)
        if self.step == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_step", killed)
    monkeypatch.setattr(listing, "end", lambda *words, **more: None)
    with pytest.raises(KeyboardInterrupt):
        launch(request(data, tmp_path / "r", "train.save_every=1"), CPU, SILENT)
    one = listing.of(tmp_path / "r")
    assert (one.state, one.epoch, one.step) == ("failed", 1, 3)
    assert one.reason == "ended at step 3 without a word: it was killed, or the machine stopped"
    for path in (tmp_path / "r" / "checkpoints").iterdir():
        path.unlink()
    assert listing.of(tmp_path / "r").reason.startswith("ended before its first checkpoint")


def test_a_run_of_an_earlier_version_is_judged_by_its_log(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "old")
    (tmp_path / "old" / "ended.json").unlink()
    one = listing.of(tmp_path / "old")
    assert (one.state, one.epoch, one.step) == ("finished", 2, 4)


def test_a_run_is_running_while_a_process_holds_it(finished: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "from skeltools.runs.folder import held\n"
        f"with held(pathlib.Path({str(finished)!r})):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert listing.of(finished).state == "running"
        with pytest.raises(OutputError, match="Another process is training"), held(finished):
            pass
        process.communicate("")
    assert listing.of(finished).state == "finished"


def test_weights_from_elsewhere_and_damaged_folders_are_listed_too(tmp_path: Path, finished: Path) -> None:
    content: dict[str, Any] = json.loads((finished / "run.json").read_text())
    for name, text in (
        ("theirs", json.dumps(content | {"kind": "import", "dataset": "", "split": ""})),
        ("torn", '{"version": 1, "set'),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(text)
    (tmp_path / "theirs" / "results").mkdir()
    (tmp_path / "theirs" / "results" / "x.json").write_text("{}")
    theirs, torn = listing.find(tmp_path)
    assert (theirs.state, theirs.epochs, theirs.unreadable) == ("imported", None, 1)
    assert torn.state == "unreadable"
    assert torn.reason.startswith(f"{tmp_path / 'torn' / 'run.json'} cannot be read: ")
    assert runs(tmp_path).exit_code == 0


def test_what_is_no_folder_of_runs_is_told(tmp_path: Path) -> None:
    result = runs(tmp_path / "none")
    assert result.exit_code == 2
    assert result.stderr == (
        f"Error: {tmp_path / 'none'} does not exist or is not a folder. Give a folder of runs.\n"
    )
    assert "holds no run, down to 4 folders deep" in runs(tmp_path).stderr


def test_runs_are_listed_without_torch(finished: Path) -> None:
    words = ["-X", "importtime", "-m", "skeltools", "runs", str(finished)]
    found = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)
    assert "torch" not in {
        line.rsplit("|", 1)[1].strip() for line in found.stderr.splitlines() if "|" in line
    }
    assert Run.open(finished).path == finished


def test_a_folder_that_cannot_be_looked_into_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("anna", "bert"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text("{}")
    whole = Path.stat

    def stat(path: Path, **extra: Any) -> Any:
        if path.parent == tmp_path / "bert":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return whole(path, **extra)

    monkeypatch.setattr(Path, "stat", stat)
    found = listing.find(tmp_path)
    assert [one.path.name for one in found] == ["anna", "bert"]
    assert found[1].state == listing.UNREADABLE
    assert found[1].reason == f"{tmp_path / 'bert'} cannot be looked into: Permission denied"
    with pytest.raises(PermissionError):  # a table without them would be another table
        results.read_folders([tmp_path])
