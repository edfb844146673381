"""A plan in two processes that ``torchrun`` started, as on two machines: what one process gives, and who writes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from reproducing import PLAN, records, written

pytestmark = [
    pytest.mark.slow,  # starts torchrun
    pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no distributed package"),
]

EXACT = PLAN.replace(
    "[run.settings]\n", "[run.settings]\nloss = { mu = 0.4 }\n"
).replace(
    "log_every = 1 }", 'log_every = 1, precision = "float64", sync_bn = true, lr = 0.02 }'
).replace(
    "embedding = 8 }", "embedding = 8, dropout = 0 }"
).replace(
    'settings = { "finetune.epochs" = 1 }', 'settings = { finetune = { epochs = 2, precision = "float64", lr = 0.05 } }'
)  # fmt: skip
"""Arithmetic in which the number of processes changes the order of sums alone."""

WATCH = """
import os, sys
if os.environ.get("RANK", "0") != "0":
    def note(event, args):
        there = [str(arg) for arg in args[:2] if isinstance(arg, (str, bytes, os.PathLike))]
        writes = event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate") or (
            event == "open" and (set(str(args[1])) & set("wax+") or (args[2] or 0) & (os.O_WRONLY | os.O_RDWR))
        )
        if writes and any(os.environ["WATCHED"] in path for path in there):
            os.write(2, f"WROTE {event} {args!r}\\n".encode())
    sys.addaudithook(note)
"""
"""Tells what a process that is not the first one writes into a folder; Python runs it when it starts."""


def environment(folder: Path, out: Path) -> dict[str, str]:
    (folder / "sitecustomize.py").write_text(WATCH)
    return os.environ | {
        "PYTHONPATH": f"{folder}:{Path(__file__).parent}", "WATCHED": str(out), "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip


def agents(folder: Path, out: Path, *words: object) -> list[subprocess.Popen[str]]:
    """Start two agents of one process each, which find each other on loopback as two machines would."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend",
        "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", "plan", "--local-addr", "127.0.0.1",
    ]  # fmt: skip
    return [
        subprocess.Popen(
            [*start, "-m", "skeltools", "reproduce", *map(str, words), "--out", out, "--workers", "1"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(folder, out),
        )
        for _ in range(2)
    ]  # fmt: skip


def ended(processes: list[subprocess.Popen[str]]) -> list[tuple[str, str]]:
    return [process.communicate(timeout=1500) for process in processes]


def scores(out: Path, name: str) -> np.ndarray:
    run, _, stem = name.partition("/")
    with np.load((out / "runs" / run / "results" / stem).with_suffix(".npz")) as side:
        found: np.ndarray = side["scores"]
    return found


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A plan, and the folder in which one process did it."""
    folder = tmp_path_factory.mktemp("one")
    plan, out = written(folder, EXACT), folder / "out"
    done = subprocess.run(
        [sys.executable, "-m", "skeltools", "reproduce", plan, "--out", out, "--workers", "1"],
        capture_output=True, text=True, check=False, env=environment(folder, out),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return plan, out


def test_two_machines_give_the_records_of_one_process_and_the_first_alone_writes(
    one: tuple[Path, Path], tmp_path: Path
) -> None:
    plan, whole = one
    out = tmp_path / "out"
    processes = agents(tmp_path, out, plan)
    told = ended(processes)
    assert [process.returncode for process in processes] == [0, 0], told
    texts = "".join(text for pair in told for text in pair)
    assert "WROTE" not in texts
    assert sum("[12/13] report: begins on cpu" in err for _, err in told) == 1, (
        "one of them tells how it goes"
    )

    names = {_what(record): name for name, record in records(whole).items()}
    found = {_what(record): name for name, record in records(out).items()}
    assert found.keys() == names.keys()
    assert len(found) == 8
    for what, name in found.items():
        np.testing.assert_allclose(
            scores(out, name), scores(whole, names[what]), rtol=1e-4, atol=1e-5, err_msg=str(what)
        )
    finetuned = next(what for what in names if "finetune" in what)
    mine, theirs = scores(out, found[finetuned]), scores(whole, names[finetuned])
    np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-7)
    assert len(np.unique(theirs.round(6), axis=0)) > 10, "the scores tell clips apart"
    assert (out / "report.html").exists()

    again = agents(tmp_path, out, plan)
    told = ended(again)
    assert [process.returncode for process in again] == [0, 0], told
    assert not [line for _, err in told for line in err.splitlines() if ": begins" in line]


def _what(record: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(record[key] for key in ("stream", "protocol", "variant", "subject", "seed", "split"))


def test_a_step_that_fails_in_all_of_them_does_not_stop_the_others(tmp_path: Path) -> None:
    """One of bad input that the first process alone does, and one of bad input in all."""
    text = EXACT.replace('settings = { "knn.k" = [1] }', 'settings = { "knn.k" = [5000] }')
    text += '\n[[evaluate]]\nprotocol = "semi:50"\nsettings = { "semi.lr" = 2e9, "semi.epochs" = 3 }\n'
    plan, out = written(tmp_path, text), tmp_path / "out"
    processes = agents(tmp_path, out, plan, "--only", "stream=joint")
    told = ended(processes)
    main = next(err for _, err in told if "begins" in err)
    assert sorted(line.partition(": ")[2] for line in main.splitlines() if line.startswith("eval-"))
    assert "knn-pretrained: failed: k = 5,000 neighbours asked for" in main
    assert "semi-50-pretrained: failed: The loss of 50 % of the labels is not finite" in main
    assert {record["protocol"] for record in records(out).values()} == {"linear", "finetune"}
    assert all(process.returncode for process in processes)


def test_a_signal_stops_them_with_a_checkpoint_and_they_go_on(tmp_path: Path) -> None:
    plan, out = written(tmp_path, EXACT), tmp_path / "out"
    processes = agents(tmp_path, out, plan, "--only", "stream=joint", "--only", "step=synth,convert,pretrain")
    log = out / "runs/demo-ntu60-xsub-joint-seed0/log.jsonl"
    while not (log.exists() and log.read_text().count("\n")) and all(one.poll() is None for one in processes):
        time.sleep(0.002)  # until its first step
    for process in processes:
        process.send_signal(signal.SIGTERM)
    told = ended(processes)
    assert all(process.returncode for process in processes), told
    assert any("Interrupted. Go on with the same command: skeltools reproduce" in err for _, err in told), (
        told
    )
    assert list((out / "runs/demo-ntu60-xsub-joint-seed0/checkpoints").glob("step-*"))
    done = subprocess.run(
        [sys.executable, "-m", "skeltools", "reproduce", plan, "--out", out, "--only", "stream=joint"],
        capture_output=True, text=True, check=False, env=environment(tmp_path, out),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "synth-ntu60: begins" not in done.stderr


TORCHRUN = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
"""What torchrun puts into the environment, as far as it is read."""


def test_under_torchrun_a_list_of_devices_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "skeltools", "reproduce", "quick", "--out", tmp_path / "out", "--devices", "cpu,cpu"],
        capture_output=True, text=True, check=False, env=os.environ | TORCHRUN,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("Error: Under torchrun each process has a device of its own")
