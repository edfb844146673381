"""What breaks an encoder: robust, calibration and missing parts of finished runs of several methods and seeds.

    python benchmarks/broken.py runs/ --out broken
    python benchmarks/broken.py runs/ --out broken --data with-recordings.h5 --jobs 2 --supervised 30

RUNS is a folder with run folders at any depth, such as ``runs/skeattnclr-seed0`` or ``runs/skeattnclr/seed0/joint``;
runs of --stream are taken. Each is evaluated by ``skeltools eval``: linear where there is no record of it yet, robust
and calibration. Raw coordinates are evaluated in the runs of the first method, once per seed, and so is the supervised
baseline with --supervised EPOCHS. What is recorded already is not run again, so the same command goes on where it was
interrupted; an evaluation that fails is said, and the others go on. --data is the file with recordings (convert
--keep-raw), without which `camera` is left out.

OUT then holds the commands (commands.sh), tables (ranking.txt, calibration.txt, groups.txt, missing.txt), figures
(robust.png, reliability.png, parts-METHOD.png) and copies of the records that they were made from (records/).
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from skeltools.results import record as results
from skeltools.results.record import PRETRAINED, RAW, SUPERVISED, Record
from skeltools.runs.folder import Run

PROTOCOLS = ("linear", "robust", "calibration")
WORDS = {PRETRAINED: (), RAW: ("--baseline", "raw"), SUPERVISED: ("--baseline", "supervised")}


def skeltools(words: Sequence[object], log: list[str]) -> tuple[int, str, str]:
    """Run a command, keep it in the log, and return its status, stdout and stderr."""
    text = [str(word) for word in words]
    log.append(shlex.join(["skeltools", *text]))
    done = subprocess.run(
        [sys.executable, "-m", "skeltools", *text], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def records_of(run: Run, subject: str, protocol: str) -> list[Record]:
    """Return the plain records of a run's subject, of all test clips and the run's seed."""
    return [
        record
        for record in results.read_all(run.results_dir)
        if (record.protocol, record.variant, record.subject, record.stream, record.seed, record.limit)
        == (protocol, "", subject, run.stream, run.seed, None)
    ]


def evaluate(run: Run, subject: str, options: argparse.Namespace, log: list[str]) -> list[str]:
    """Evaluate one subject of a run by what is not recorded yet, and return what failed."""
    failed = []
    for protocol in PROTOCOLS:
        if subject == SUPERVISED and protocol != "robust":
            continue
        words = [
            "eval",
            run.path,
            "--protocol",
            protocol,
            *WORDS[subject],
            "--device",
            options.device,
            "--quiet",
        ]
        words += ["--data", options.data] if options.data else []
        if subject == SUPERVISED:
            words += ["--set", f"robust.supervised_epochs={options.supervised}"]
        if records_of(run, subject, protocol):
            continue
        status, _, told = skeltools(words, log)
        name = f"{run.path.name} {subject} {protocol}"
        print(f"{name}: {'failed' if status else 'done'}", file=sys.stderr, flush=True)
        if status:
            failed.append(f"{name}: {told.strip().splitlines()[-1] if told.strip() else f'status {status}'}")
            break
    return failed


def gather(runs: Sequence[Run], out: Path) -> None:
    """Copy the records that the tables are made of, apart by protocol, so that no table holds anything else."""
    for protocol in PROTOCOLS:
        shutil.rmtree(out / protocol, ignore_errors=True)
        for place, run in enumerate(runs):
            for subject in WORDS:
                for record in records_of(run, subject, protocol):
                    folder = out / protocol / f"{place:02d}" / "results"
                    folder.mkdir(parents=True, exist_ok=True)
                    for name in (f"{record.stem}.json", record.scores):
                        shutil.copy2(run.results_dir / name, folder / name)


def main() -> None:
    """Evaluate, and make tables and figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--stream", default="joint")
    parser.add_argument("--data", type=Path, help="converted file; each run's own unless given")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=1, help="evaluations at a time")
    parser.add_argument(
        "--supervised", type=int, default=0, metavar="EPOCHS", help="of the supervised baseline"
    )
    parser.add_argument("--tables", action="store_true", help="of what is recorded, and evaluate nothing")
    options = parser.parse_args()
    found = [Run.open(path.parent) for path in sorted(options.runs.rglob("run.json"))]
    runs = [run for run in found if run.stream == options.stream]
    if not runs:
        parser.error(f"{options.runs} holds no run of stream {options.stream}")
    options.out.mkdir(parents=True, exist_ok=True)
    first = [run for run in runs if run.settings.method == runs[0].settings.method]
    work = [(run, PRETRAINED) for run in runs] + [(run, RAW) for run in first]
    work += [(run, SUPERVISED) for run in first] if options.supervised else []
    log: list[str] = []
    failed: list[str] = []
    if not options.tables:
        with ThreadPoolExecutor(options.jobs) as pool:
            for told in pool.map(lambda one: evaluate(*one, options, log), work):
                failed += told
    gather(runs, options.out / "records")
    made = options.out / "records"
    for name, words in {
        "ranking": (made / "robust", "--severities"),
        "missing": (made / "robust", "--parts"),
        "calibration": (made / "calibration",),
        "groups": (made / "linear", "--groups", "performer"),
    }.items():
        status, text, told = skeltools(["report", *words], log)
        (options.out / f"{name}.txt").write_text(text)
        failed += [f"{name}: {told.strip()}"] if status else []
    figures: list[tuple[object, ...]] = [
        ("robust", made / "robust", "--out", options.out / "robust.png"),
        ("reliability", made / "calibration", "--out", options.out / "reliability.png"),
    ]
    shown = set()
    for run in runs:  # of each method the first seed
        for record in records_of(run, PRETRAINED, "robust"):
            if run.settings.method not in shown:
                shown.add(run.settings.method)
                picture = options.out / f"parts-{run.settings.method}.png"
                figures.append(("parts", run.results_dir / f"{record.stem}.json", "--out", picture))
    for words in figures:
        status, _, told = skeltools(["plot", *words, "--replace"], log)
        failed += [f"plot {words[0]}: {told.strip()}"] if status else []
    with (options.out / "commands.sh").open("a") as file:
        file.writelines(f"{line}\n" for line in log)
    for line in failed:
        print(f"FAILED {line}", file=sys.stderr)
    print(options.out)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
