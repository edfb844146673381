"""``skeltools reproduce`` from a plan to the report: done once, gone on with, in spite of faults, and on a cluster."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from reproducing import PLAN, records, written

from skeltools.cli.main import main
from skeltools.reproduce import estimate

Done = subprocess.CompletedProcess[str]

ENVIRONMENT = os.environ | {
    "PYTHONPATH": str(Path(__file__).parent), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1",
}  # fmt: skip


def started(*words: object, **more: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "skeltools", "reproduce", *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, **more,
    )  # fmt: skip


def reproduce(*words: object) -> Done:
    process = started(*words)
    out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def reproduce_here(*words: object) -> Done:
    """The same without a process of its own, for what needs none."""
    done = CliRunner().invoke(main, ["reproduce", *map(str, words)])
    return subprocess.CompletedProcess(["reproduce"], done.exit_code, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Done]:
    """A plan that was done without disturbance: its file, its folder, and what the command said."""
    folder = tmp_path_factory.mktemp("reproduce")
    plan, out = written(folder), folder / "out"
    done = reproduce(plan, "--out", out, "--workers", 1)
    assert done.returncode == 0, done.stderr
    return plan, out, done


@pytest.fixture
def copied(made: tuple[Path, Path, Done], tmp_path: Path) -> tuple[Path, Path]:
    """A plan and a folder in which only its data are made."""
    plan, out, _ = made
    copy = tmp_path / "out"
    shutil.copytree(out, copy, ignore=shutil.ignore_patterns("runs", "report*", "eval-*", "pretrain-*"))
    (copy / "runs").mkdir()
    return plan, copy


def test_a_plan_is_done_from_raw_files_to_table_and_page(made: tuple[Path, Path, Done]) -> None:
    _, out, done = made
    found = records(out)
    there = sorted((record["stream"], record["protocol"], record["subject"]) for record in found.values())
    assert there == sorted(
        [
            *((stream, "knn", "pretrained") for stream in ("joint", "bone")),
            *((stream, "knn", "raw coordinates") for stream in ("joint", "bone")),
            ("joint", "linear", "pretrained"), ("bone", "linear", "pretrained"), ("joint", "finetune", "pretrained"),
            ("joint+bone", "ensemble", "pretrained"),
        ]
    )  # fmt: skip
    for name in ("report.md", "report.tex", "report.csv", "records.json", "report.html"):
        assert (out / name).stat().st_size > 500, name
    assert (out / "report.md").read_text().startswith("# Tiny\n\n**ntu60 xsub: linear, knn;")
    assert "ntu60 xsub: linear, knn" in done.stdout
    assert "[12/13] report: begins on cpu" in done.stderr.splitlines()
    assert not [line for line in done.stderr.splitlines() if "failed" in line or "Traceback" in line]


def test_what_is_recorded_is_not_done_again(made: tuple[Path, Path, Done]) -> None:
    plan, out, done = made
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    again = reproduce_here(plan, "--out", out)
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before
    assert again.stdout == done.stdout
    assert again.stderr == ""


@pytest.mark.slow
def test_a_step_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    """Not by a fault of bad input, not by one of its code, and not when it takes its process with it."""
    out = tmp_path / "out"
    faulty = PLAN.replace('settings = { "knn.k" = [1] }', 'settings = { "knn.k" = [5000] }')
    faulty += '\n[[evaluate]]\nprotocol = "stubs:Killed"\nstreams = ["bone"]\n'
    faulty += '\n[[evaluate]]\nprotocol = "stubs:Wrong"\nstreams = ["bone"]\n'
    plan = written(tmp_path, faulty)
    done = reproduce(plan, "--out", out, "--workers", 1)
    assert done.returncode == 1
    wrong = [line for line in done.stderr.splitlines() if line.startswith("eval-")]
    name = "eval-demo-ntu60-xsub"
    assert [line.partition(": ")[0] for line in wrong] == [
        f"{name}-joint-seed0-knn-pretrained", f"{name}-joint-seed0-knn-raw", f"{name}-bone-seed0-knn-pretrained",
        f"{name}-bone-seed0-knn-raw", f"{name}-bone-seed0-stubs-Killed-pretrained",
        f"{name}-bone-seed0-stubs-Wrong-pretrained",
    ]  # fmt: skip
    assert "k = 5,000 neighbours asked for, but the bank holds 30 clips" in wrong[0]
    assert "its process ended (SIGKILL, which the system sends for lack of memory)" in wrong[4]
    assert "ValueError: no such thing" in wrong[5]
    assert done.stderr.splitlines()[-1] == "6 steps failed. The same command tries them again."
    assert {record["protocol"] for record in records(out).values()} == {"linear", "finetune", "ensemble"}
    assert (out / "report.html").exists()
    assert "no such thing" in (out / f"steps/{name}-bone-seed0-stubs-Wrong-pretrained.failed").read_text()

    written(tmp_path, PLAN)  # repaired: only what failed is done, and what comes of it
    done = reproduce(plan, "--out", out)
    assert done.returncode == 0, done.stderr
    assert sum(": begins" in line for line in done.stderr.splitlines()) == 4 + len(["ensemble", "report"])


def test_what_needs_a_failed_step_is_not_tried(tmp_path: Path) -> None:
    plan = written(tmp_path, PLAN.replace("batch_size = 8", "batch_size = 500"))
    done = reproduce_here(plan, "--out", tmp_path / "out", "--only", "stream=joint")
    assert done.returncode == 1
    run = "pretrain-demo-ntu60-xsub-joint-seed0"
    assert f"{run}: failed: " in done.stderr
    assert f"-joint-seed0-linear-pretrained: blocked: needs {run}, which is failed" in done.stderr
    assert "report: blocked: no run is finished" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("1 step failed, so 5 further steps could not begin.")
    assert done.stdout == ""


@pytest.mark.slow
def test_two_devices_give_the_records_of_one(made: tuple[Path, Path, Done], tmp_path: Path) -> None:
    plan, out, _ = made
    done = reproduce(plan, "--out", tmp_path / "out", "--devices", "cpu,cpu", "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert records(tmp_path / "out") == records(out)
    begins = [
        line.split()[1] for line in done.stderr.splitlines() if "pretrain-" in line and "begins" in line
    ]
    ends = [line for line in done.stderr.splitlines() if "pretrain-" in line and ": done" in line]
    assert len(begins) == 2
    first_end = done.stderr.splitlines().index(ends[0])
    assert all(
        done.stderr.splitlines().index(line) < first_end
        for line in done.stderr.splitlines()
        if "pretrain-" in line and "begins" in line
    ), "both runs are under way at once"


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_with_a_checkpoint_and_it_goes_on(
    made: tuple[Path, Path, Done], tmp_path: Path, kind: signal.Signals
) -> None:
    plan, whole, _ = made
    out = tmp_path / "out"
    process = started(plan, "--out", out, "--workers", 1)
    log = out / "runs/demo-ntu60-xsub-joint-seed0/log.jsonl"
    assert process.stderr is not None
    lines = [process.stderr.readline()]
    while "pretrain-" not in lines[-1] and lines[-1]:
        lines.append(process.stderr.readline())
    while not (log.exists() and log.read_text().count("\n")) and process.poll() is None:
        time.sleep(0.002)  # until its first step
    process.send_signal(kind)
    err = process.communicate()[1]
    assert process.returncode == 128 + kind, err
    told, last = err.splitlines()[-2:]
    assert told.startswith("Interrupted. Go on with the same command: skeltools reproduce ")
    assert last == ("Error: Ended by SIGTERM." if kind == signal.SIGTERM else "Error: Interrupted.")
    assert list((out / "runs/demo-ntu60-xsub-joint-seed0/checkpoints").glob("step-*"))
    assert not list(out.rglob("*.part"))
    done = reproduce(plan, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "synth-ntu60: begins" not in done.stderr
    assert records(out) == records(whole)


@pytest.mark.slow
def test_two_at_one_folder_are_not_let_in(copied: tuple[Path, Path]) -> None:
    plan, out = copied
    first = started(plan, "--out", out)
    assert first.stderr is not None
    first.stderr.readline()  # it has begun
    second = reproduce_here(plan, "--out", out)
    first.send_signal(signal.SIGTERM)
    first.communicate()
    assert second.returncode == 2
    assert second.stderr == (
        f"Error: Another 'skeltools reproduce' is at work in {out}. Wait for it, or end it.\n"
    )


def test_a_dry_run_tells_the_cost_and_writes_nothing(
    made: tuple[Path, Path, Done], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, out, _ = made
    monkeypatch.setattr(estimate, "_MOST", 2)  # clips of a pass that is measured
    done = reproduce_here(plan, "--out", tmp_path / "out", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "out").exists()
    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line.strip()}
    # 2 epochs of 3 whole batches of 8 of the 30 training clips; then 30 clips forward and back, 30 scored.
    assert rows["pretrain-demo-ntu60-xsub-joint-seed0"][1] == "48"
    assert rows["eval-demo-ntu60-xsub-joint-seed0-finetune-pretrained"][1] == "60"
    assert rows["eval-demo-ntu60-xsub-joint-seed0-knn-pretrained"][1] == "60"
    assert rows["eval-demo-ntu60-xsub-joint-seed0-linear-pretrained"][1] == "-", (
        "its features are there by then"
    )
    assert rows["all"][1] == str(2 * 48 + 60 + 2 * 60)
    assert "cpu (1 thread)" in done.stdout
    monkeypatch.setattr(estimate, "_speed", None)  # nothing is left whose cost would have to be measured
    done = reproduce_here(plan, "--out", out, "--dry-run")
    assert sum(line.split()[1:2] == ["done"] for line in done.stdout.splitlines()) == 13


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that notes what is submitted, by an ``sbatch`` that prints numbers from 1."""
    folder, note = tmp_path / "bin", tmp_path / "submitted"
    folder.mkdir()
    for name, text in {
        "sbatch": f'printf "%s\\n" "$*" >> {note}; wc -l < {note}',
        "scontrol": f'printf "%s\\n" "$*" >> {note}',
    }.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return note


@pytest.mark.long
def test_the_script_for_slurm_does_the_plan_of_the_paper_task_by_task(cluster: Path, tmp_path: Path) -> None:
    """The plan as it is packaged, but for the size of model and data, and settings for so few clips."""
    from skeltools.reproduce import plan as plans

    text = plans.read("paper-ntu60").text.replace('recipes = ["skeattnclr"]', 'recipes = ["demo"]')
    assert "[data.ntu60]\n" in text
    text = text.replace(
        "[data.ntu60]\n", '[data.ntu60]\nsynthetic = 100\nsettings = { "chain.frames" = 8 }\n'
    )
    text = text.replace(
        'splits = ["xsub", "xview"]\n',
        'splits = ["xsub", "xview"]\nsettings = { train = { epochs = 1, batch_size = 8 }, '
        "model = { width = 4, dim = 16, embedding = 8 }, queue = { size = 16 }, monitor = { every = 0 } }\n",
    )
    assert '"linear.held_out_people" = 10 }' in text
    text = text.replace(
        '"linear.held_out_people" = 10 }', '"linear.held_out_people" = 10, "linear.epochs" = 1 }'
    )
    for name in ("finetune", "semi1", "semi10"):
        text = text.replace(
            f'protocol = "{name}"\n', f'protocol = "{name}"\nsettings = {{ "{name}.epochs" = 1 }}\n'
        )
    plan, out, script = written(tmp_path, text), tmp_path / "out", tmp_path / "jobs.sh"
    done = reproduce(plan, "--out", out, "--slurm", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{script}: submit it with: bash {script}\n"
    assert script.stat().st_mode & stat.S_IXUSR

    environment = {**ENVIRONMENT, "PATH": os.environ["PATH"]}
    subprocess.run(["bash", script], check=True, env=environment, capture_output=True)
    data, runs, last = cluster.read_text().splitlines()
    assert "--array=0-0" in data
    assert data.endswith(f"{script} data")
    assert "--array=0-5" in runs
    assert "--dependency=afterany:1" in runs
    assert runs.endswith(f"{script} run")
    assert "--dependency=afterany:2" in last
    assert last.endswith(f"{script} report")
    assert all("--requeue" in line and "--signal=B:TERM@120" in line for line in (data, runs, last))

    tasks = [("data", 0), *(("run", index) for index in range(6)), ("report", 0)]
    for kind, index in tasks:
        ended = subprocess.run(
            ["bash", script, kind], env={**environment, "SLURM_ARRAY_TASK_ID": str(index)}, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stderr
    found = records(out)
    assert len({name.partition("/")[0] for name in found}) == 6
    assert {record["protocol"] for record in found.values()} == {
        "linear", "knn", "retrieval", "finetune", "semi1", "semi10", "ensemble",
    }  # fmt: skip
    assert (out / "report.html").exists()
    done = reproduce(plan, "--out", out)
    assert ": begins" not in done.stderr


@pytest.mark.slow
def test_a_task_whose_time_is_over_is_put_back_by_the_script(
    copied: tuple[Path, Path], cluster: Path, tmp_path: Path
) -> None:
    plan, out = copied
    script = tmp_path / "jobs.sh"
    assert reproduce(plan, "--out", out, "--slurm", script).returncode == 0
    environment = {
        **ENVIRONMENT, "PATH": os.environ["PATH"], "SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_JOB_ID": "7",
    }  # fmt: skip
    process = subprocess.Popen(["bash", script, "run"], stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    assert "pretrain-demo-ntu60-xsub-joint-seed0: begins" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)  # as --signal=B: sends it, to the script alone
    process.communicate()
    assert process.returncode == 143
    assert cluster.read_text() == "requeue 7_0\n"


def test_a_file_of_somebody_else_is_not_overwritten_by_the_script(
    made: tuple[Path, Path, Done], tmp_path: Path
) -> None:
    plan, out, _ = made
    (tmp_path / "jobs.sh").write_text("#!/bin/sh\necho mine\n")
    done = reproduce_here(plan, "--out", out, "--slurm", tmp_path / "jobs.sh")
    assert done.returncode == 2
    assert done.stderr.startswith(
        f"Error: {tmp_path / 'jobs.sh'} exists and is not a script of skeltools reproduce."
    )
    assert (tmp_path / "jobs.sh").read_text() == "#!/bin/sh\necho mine\n"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["quick", "raw"], "Plan quick makes its own data. Leave 'raw' out."),
        (["paper-pku2", "raw"], "Plan paper-pku2 has 3 sources to give, so 'raw' needs its name: NAME=raw"),
        (["quick", "--devices", "cuda:7"], "Device 'cuda:7' is not there"),
        (["quick", "--devices", ","], "--devices takes a list such as cuda:0,cuda:1"),
        (["quick", "--part", "run:x"], "--part run:x: the plan has data:ntu60, data:pku2, data:ntu120, run:"),
        (["paper-ntu60"], "Plan paper-ntu60 needs a source for ntu60."),
    ],
)
def test_a_faulty_command_is_one_line(words: list[str], problem: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["reproduce", *words, "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert done.stderr.startswith(f"Error: {problem}")
    assert done.stderr.count("\n") == 1
