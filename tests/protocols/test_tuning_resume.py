"""Evaluations that train the encoder go on where they were stopped, to the bit; and two processes do what one does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from protocol_stubs import settings, task
from torch import nn

from skeltools.protocols.finetune import Finetune
from skeltools.protocols.running import saves, tuning
from skeltools.protocols.running.contract import Outcome
from skeltools.training.launch import Stop


class Net(nn.Module):
    """Batch norm, dropout and weights; the same at every call of the factory."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.layer, self.drop = nn.BatchNorm1d(3), nn.Linear(3, 5), nn.Dropout(0.5)
        with torch.no_grad():
            self.layer.weight.copy_(torch.linspace(-1, 1, 15).view(5, 3))
            self.layer.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.drop(self.layer(self.norm(x.mean(dim=(2, 3, 4)))).relu())
        return out


STEPS = 4
"""Of an epoch: 30 clips in batches of 8."""

WORDS = (
    "mode=train", "epochs=5", "batch_size=8", "lr=0.05", "optimizer=adamw", "weight_decay=0.01", "eval_every=1",
    'view="crop(2)|shear(0.3)"', "label_smoothing=0.1",
)  # fmt: skip


class Recorder:
    """Where a training goes: it can be made to end at a step, as by kill -9."""

    def __init__(self, last: int = 0) -> None:
        self.last, self.count, self.total = last, 0, 0

    def start(self, label: str, total: int | None, unit: str = "clips") -> None:
        self.total = total or 0

    def advance(self, done: int = 1) -> None:
        self.count += 1
        if self.count == self.last:
            raise MemoryError("killed")

    def message(self, text: str) -> None: ...

    def status(self, **values: float | str) -> None: ...

    def finish(self) -> None: ...


def tuned(place: Path | None, *words: str, progress: Any = None) -> Outcome:
    this = task(encoder=Net)
    this.saves = place
    this.progress = progress or Recorder()
    use = settings("finetune", *(f"finetune.{word}" for word in (*WORDS, *words)))
    (outcome,) = Finetune().run(this, use)
    return outcome


def same(one: Outcome, other: Outcome) -> bool:
    alike = one.best == other.best and one.chosen == other.chosen
    return torch.equal(one.scores, other.scores) and alike


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets a training get a signal at one of its steps."""

    def at(step: int) -> None:
        class After(Stop):
            count = 0

            def __call__(self) -> bool:
                self.count += 1
                self.signal = signal.SIGTERM if self.count == step else None
                return self.signal is not None

        @contextmanager
        def signals() -> Iterator[Stop]:
            yield After()

        monkeypatch.setattr(tuning, "stop_on_signals", signals)

    raised: list[int] = []
    monkeypatch.setattr(tuning.signal, "raise_signal", raised.append)
    at.raised = raised  # type: ignore[attr-defined]
    return at


@pytest.mark.parametrize("steps", [(1,), (2, 1, 1), (STEPS,), (STEPS + 2, STEPS - 1), (5 * STEPS - 1,)])
@pytest.mark.parametrize(
    "words", [(), ("accumulate=2",), ("mode=eval", "optimizer=sgd"), ("precision=float64",)]
)
def test_stopped_by_signals_and_gone_on_with_it_is_the_same_to_the_bit(
    tmp_path: Path, stopping: Any, steps: tuple[int, ...], words: tuple[str, ...]
) -> None:
    place = tmp_path / "under-way" / "key"
    whole = tuned(None, *words)
    for number, step in enumerate(steps, start=1):
        stopping(step)
        with pytest.raises(KeyboardInterrupt):
            tuned(place, *words)
        assert stopping.raised == [signal.SIGTERM] * number, "whoever waits for the signal gets it in the end"
        assert place.with_name("key.pt").exists()
    stopping(0)
    seen = Recorder()
    assert same(tuned(place, *words, progress=seen), whole)
    assert seen.count == 5 * STEPS - sum(steps), "no step is done twice"


def test_the_choice_of_an_epoch_goes_on_where_it_was_stopped_too(tmp_path: Path, stopping: Any) -> None:
    """Of 30 clips 12 are held out, so the choice takes five epochs of three steps, before the training of all."""
    place, words = tmp_path / "under-way" / "key", ("held_out_people=40",)
    whole = tuned(None, *words)
    assert whole.chosen is not None
    # While it chooses; in the training of all, after the 11 steps that were left of that; there once more.
    for step in (4, 12, 7):
        stopping(step)
        with pytest.raises(KeyboardInterrupt):
            tuned(place, *words)
    assert {path.name for path in place.parent.iterdir()} == {"key.pt", "key-held.pt"}
    stopping(0)
    seen = Recorder()
    assert same(tuned(place, *words, progress=seen), whole)
    assert seen.count == 5 * (3 + STEPS) - (4 + 11 + 12 + 7), "no step is done twice"


def test_killed_it_goes_on_from_the_last_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saves, "EVERY", 0.0)
    place = tmp_path / "key"
    whole = tuned(None)
    with pytest.raises(MemoryError):
        tuned(place, progress=Recorder(2 * STEPS + 3))
    seen = Recorder()
    assert same(tuned(place, progress=seen), whole)
    assert seen.count == 3 * STEPS
    assert seen.total == 3 * 30


def test_a_save_that_cannot_be_read_counts_for_nothing(tmp_path: Path) -> None:
    place = tmp_path / "key"
    (tmp_path / "key.pt").write_bytes(b"PK\x03\x04 no such thing")
    assert same(tuned(place), tuned(None))


def test_a_batch_in_parts_is_that_batch() -> None:
    words = ("mode=eval", "precision=float64")
    one, parts = tuned(None, *words), tuned(None, *words, "accumulate=3")
    torch.testing.assert_close(parts.scores, one.scores, rtol=1e-6, atol=1e-7)


def test_bf16_is_near_and_compiling_changes_nothing_that_counts() -> None:
    one, half = tuned(None, "mode=eval"), tuned(None, "mode=eval", "precision=bf16")
    assert not torch.equal(one.scores, half.scores)
    torch.testing.assert_close(half.scores, one.scores, rtol=0.1, atol=0.05)


@pytest.mark.slow
def test_compiled_it_gives_the_same(tmp_path: Path) -> None:
    one, compiled = tuned(None, "mode=eval"), tuned(None, "mode=eval", "compile=true")
    torch.testing.assert_close(compiled.scores, one.scores, rtol=1e-4, atol=1e-5)


TINY = (
    "model.width=4", "model.gru_hidden=8", "model.dim=16", "model.embedding=8", "queue.size=16", "monitor.every=0",
    "model.dropout=0",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny runs of ST-GCN and of BiGRU, by these names, on the same data."""
    folder = tmp_path_factory.mktemp("run")
    words = [word for setting in TINY for word in ("--set", setting)]
    skeltools(1, "synth", "ntu60", folder / "raw", "--clips", "60")
    skeltools(1, "convert", "ntu60", folder / "raw", folder / "clips.h5", "--frames", "8")
    for name, recipe in (("stgcn", "demo"), ("bigru", "demo-bigru")):
        skeltools(
            1, "pretrain", folder / "clips.h5", "--split", "xsub", "--stream", "joint", "--recipe", recipe,
            "--epochs", "1", "--batch-size", "8", "--out", folder / name, *words,
        )  # fmt: skip
    return folder


def skeltools(processes: int, *words: object, status: int = 0) -> subprocess.CompletedProcess[str]:
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*start, "-m", "skeltools", *map(str, words)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed package")
@pytest.mark.parametrize(("mode", "backbone"), [("eval", "bigru"), ("train", "stgcn")])
def test_two_processes_finetune_as_one_does(run: Path, tmp_path: Path, mode: str, backbone: str) -> None:
    """In float64 and without dropout, but for the rounding of recorded scores; a batch of 7 does not divide evenly."""
    records, scores = [], []
    for processes in (1, 2):
        out = tmp_path / str(processes)
        words = [
            f"finetune.{word}" for word in ("precision=float64", "batch_size=7", f"mode={mode}", "lr=0.05")
        ]
        done = skeltools(
            processes, "eval", run / backbone, "--protocol", "finetune", "--epochs", "2", "--out", out, "--json",
            *(word for setting in words for word in ("--set", setting)),
        )  # fmt: skip
        (record,) = json.loads(done.stdout)
        records.append(record)
        with np.load(out / "results" / record["scores"]) as side:
            scores.append(side["scores"])
        assert not list(out.rglob("under-way"))
    np.testing.assert_allclose(scores[1], scores[0], rtol=1e-6, atol=1e-7)
    assert records[0]["key"] == records[1]["key"]
    assert records[0]["top1"] == records[1]["top1"]
    assert len(np.unique(scores[0].round(4), axis=0)) > 10, "the scores tell clips apart"


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed package")
def test_all_protocols_run_in_two_processes_and_are_printed_once(run: Path, tmp_path: Path) -> None:
    words = ("--init", "pretrained", "--epochs", "1", "--set", "knn.k=[1]", "--json")
    one, two = (
        json.loads(
            skeltools(
                count, "eval", run / "bigru", "--protocol", "all", "--out", tmp_path / str(count), *words
            ).stdout
        )
        for count in (1, 2)
    )
    key = ("protocol", "variant", "key")
    assert [[record[name] for name in key] for record in one] == [
        [record[name] for name in key] for record in two
    ]
    assert {record["protocol"] for record in one} == {
        "linear",
        "knn",
        "retrieval",
        "finetune",
        "semi1",
        "semi10",
    }
