"""Every fault on the real commands, and a table: ``make faults`` (``KILLS=5 OTHERS=2`` for less).

A forked process that has everything imported runs the command line itself, so that a trial costs no
start of Python; ``--anew`` starts ``python -m skeltools`` each time.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from faults import inject
from faults.bench import Bench, Command, Convert, Eval, Export, Pretrain, Reproduce, preload
from faults.inject import Fault, Outcome


def commands(bench: Bench, names: list[str]) -> list[Command]:
    """The commands under test."""
    makers: dict[str, Callable[[], list[Command]]] = {
        "convert": lambda: [Convert(bench)],
        "pretrain": lambda: [Pretrain(bench)],
        "eval": lambda: [Eval(bench)],
        "export": lambda: [Export(bench, to) for to in ("aimclr", "pyskl", "npz")],
        "reproduce": lambda: [Reproduce(bench)],
    }
    return [command for name in names for command in makers[name]()]


def plan(bench: Bench, names: list[str], kills: int, others: int) -> list[tuple[Fault, Command, int]]:
    """Return fault, command and trials."""
    found: list[tuple[Fault, Command, int]] = []
    every = commands(bench, names)
    faults = [inject.kill, *inject.OTHERS]
    if inject.can_mount(bench.root):
        faults += inject.MOUNTED
    else:
        print("Disks cannot be mounted here, so a full and a read-only disk are left out (root only).")
    for fault in faults:
        for command in every:
            wanted = kills if fault is inject.kill else others
            share = 3 if isinstance(command, Export) else 1  # the three kinds of export share the trials
            found.append((fault, command, -(-wanted // share)))
    for command in every:
        if isinstance(command, Convert):
            found += [(fault, command, others) for fault in inject.READING]
    return found


def table(outcomes: list[Outcome], units: dict[str, tuple[str, int]]) -> list[str]:
    """Return the table in Markdown: a line for each fault and command."""
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault((outcome.fault, outcome.command.split()[0]), []).append(outcome)
    lines = [
        "| fault | command | tried | met it running | partial files | next run equal | most lost work |",
        "| --- | --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for (fault, command), found in groups.items():
        unit, interval = units[command]
        lost = max((outcome.lost for outcome in found if outcome.hit), default=0)
        equal = sum(outcome.equal for outcome in found)
        lines.append(
            f"| {fault} | {command} | {len(found)} | {sum(o.hit for o in found)} | "
            f"{sum(map(len, (o.partial for o in found)))} | {equal} of {len(found)} | "
            f"{lost} of {interval} {unit} |"
        )
    return lines


def run() -> int:
    """Run everything; the exit status is 1 when a trial was not as promised."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50, help="trials of kill -9 for each command")
    parser.add_argument("--others", type=int, default=6, help="trials of each other fault and command")
    parser.add_argument("--minutes", type=float, default=30, help="no trial is begun later")
    parser.add_argument("--log", type=Path, default=Path("build/faults.jsonl"), help="a JSON line a trial")
    parser.add_argument("--go-on", action="store_true", help="count the trials of the log, and add to them")
    parser.add_argument("--only", default="", help="names of faults, such as kill,full_disk")
    parser.add_argument(
        "--commands", default="convert,pretrain,eval,export,reproduce", help="commands under test"
    )
    parser.add_argument("--anew", action="store_true", help="start Python for every command")
    options = parser.parse_args()
    deadline = time.monotonic() + 60 * options.minutes
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored, and inherited
    preload()
    options.log.parent.mkdir(parents=True, exist_ok=True)
    outcomes: list[Outcome] = []
    done: dict[tuple[str, str], list[Outcome]] = {}
    if options.go_on and options.log.exists():
        for line in options.log.read_text().splitlines():
            entry = json.loads(line)
            outcomes.append(Outcome(**{key: entry[key] for key in entry if key not in ("by", "good")}))
            done.setdefault((entry["by"], entry["command"]), []).append(outcomes[-1])
    late = False
    with tempfile.TemporaryDirectory() as root, options.log.open("a" if options.go_on else "w") as log:
        bench = Bench(Path(root), fork=not options.anew)
        work = plan(bench, options.commands.split(","), options.kills, options.others)
        units = {command.name.split()[0]: (command.unit, command.interval) for _, command, _ in work}
        for fault, command, wanted in work:
            if options.only and fault.__name__ not in options.only.split(","):
                continue
            earlier = done.get((fault.__name__, command.name), [])
            for trial in range(len(earlier), wanted):
                if time.monotonic() > deadline:
                    late = True
                    break
                outcome = fault(command, trial)
                outcomes.append(outcome)
                log.write(json.dumps(asdict(outcome) | {"by": fault.__name__, "good": outcome.good}) + "\n")
                log.flush()
    bad = [outcome for outcome in outcomes if not outcome.good]
    print("\n".join(table([o for o in outcomes if o.command.split()[0] in units], units)))
    if late:
        print(f"Stopped after {options.minutes:g} minutes; give --minutes for more.")
    print(f"{len(outcomes)} trials, {len(bad)} not as promised.")
    for outcome in bad[:20]:
        print(json.dumps(asdict(outcome)))
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(run())
