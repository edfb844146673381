"""NW-UCLA from its archive to results: settings chosen without a look at the test view, then several seeds of them.

    python benchmarks/nwucla.py all_sqe.zip --out nwucla
    python benchmarks/nwucla.py all_sqe.zip --out nwucla --device cuda --jobs 14 --select 200 --test 170
    python benchmarks/nwucla.py all_sqe.zip --out card --plan benchmarks/nwucla-card.toml --device cuda --jobs 12
    python benchmarks/nwucla.py all_sqe.zip --out smoke --smoke

1. Conversion: one file per preparation of ``nwucla.toml``.
2. Choice. Every setting of ``nwucla.toml`` trains on the clips of view 1 and is scored on view 2 (split
   ``xview-dev``); the best few of each method once more with other seeds. The highest mean linear top-1 of the last
   epoch wins, the linear protocol (with batch norm or without) with it.
3. Test. What was chosen trains on views 1 and 2 and is scored on view 3, each run once, with every baseline.

``scores.jsonl`` in the folder holds every score ever made, so that it is the history of the settings too: nothing
is scored twice, and the same command goes on where it was interrupted. Runs go on from their last checkpoint.
Small networks leave most of a GPU idle, so ``--jobs`` runs are trained at a time, each in a process with one thread.
``--select`` and ``--test`` bound the second and third part, in seconds; what does not fit is left out and named.
With ``--test`` the runs of the third part train for longer than those of the second where the time allows it.

A plan may name the recipes of linear evaluation that count (``linear``), and the runs of the test (``[[test]]``:
``method``, ``streams``, and ``as``, the method whose chosen settings it takes, or ``name``, a setting that is in
``[[try]]`` that is taken as it is, whether or not it was chosen).
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing as mp
import os
import signal
import statistics
import sys
import time
import tomllib
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

LINEAR = ("linear", "linear-bn", str(Path(__file__).with_name("nwucla-linear.toml")))
"""The recipes of linear evaluation, of which the choice takes one."""

BASELINES = (("random", None), ("pretrained", "standardised"), ("pretrained", "raw"))
"""What is scored beside a pretrained encoder: words of ``--init`` and ``--baseline``."""

LABELS = (("retrieval", None), ("semi1", None), ("semi10", None), ("finetune", None))
"""Further protocols of the runs of the test."""


UNBOUNDED = 1e9
"""Seconds that never end."""


@dataclass(frozen=True)
class Job:
    """One run and how it is scored.

    Attributes:
        name: Of the setting.
        method: Packaged recipe.
        prep: Key of the converted file.
        split: Split.
        stream: Stream.
        seed: Seed.
        settings: What differs from the recipe, by dotted key.
        baselines: Whether the baselines are scored too.
        part: ``frozen``: training and the protocols on frozen features. ``labels``: the other protocols, and training
            from random weights without and with the views of pretraining.
        epochs: Of the protocols that train all weights; 0 for their own.
        linear: Recipes of linear evaluation.
    """

    name: str
    method: str
    prep: str
    split: str
    stream: str
    seed: int
    settings: dict[str, Any]
    baselines: bool = False
    part: str = "frozen"
    epochs: int = 0
    linear: tuple[str, ...] = LINEAR

    @property
    def folder(self) -> Path:
        """Where the run goes, below the folder of all."""
        return Path("runs", self.split, self.name, f"seed{self.seed}", self.stream)

    @property
    def words(self) -> tuple[str, ...]:
        """The settings as ``--set`` takes them."""
        return tuple(f"{key}={json.dumps(value)}" for key, value in self.settings.items())


@dataclass
class Table:
    """Every score so far, kept in a file with a line each."""

    path: Path
    rows: list[dict[str, Any]] = field(default_factory=list)

    def read(self) -> None:
        """Read what an earlier call left."""
        if self.path.exists():
            self.rows = [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Add scores."""
        with self.path.open("a", encoding="utf-8") as file:
            for row in rows:
                self.rows.append(row)
                file.write(json.dumps(row) + "\n")

    def of(self, **match: Any) -> list[dict[str, Any]]:
        """Return the rows that have these values."""
        return [row for row in self.rows if all(row[key] == value for key, value in match.items())]

    def has(self, job: Job) -> bool:
        """Tell whether a job is done."""
        return bool(self.of(run=str(job.folder), part=job.part))


def convert(archive: Path, out: Path, preps: dict[str, dict[str, Any]], jobs: int) -> None:
    """Convert the archive once per preparation; what is there is kept."""
    from skeltools.cli.main import main as skeltools

    for name, sets in preps.items():
        file = out / f"{name}.h5"
        if not file.exists():
            words = [f"--set={key}={json.dumps(value)}" for key, value in sets.items()]
            skeltools(
                ["convert", "nwucla", str(archive), str(file), f"--workers={jobs}", *words],
                standalone_mode=False,
            )


def do(job: Job, out: Path, device: str) -> list[dict[str, Any]]:
    """Train and score one job; return its rows."""
    from skeltools.environment import pick_device
    from skeltools.protocols import evaluate
    from skeltools.runs.folder import Run
    from skeltools.training.launch import Request, launch

    path, began = out / job.folder, time.perf_counter()
    request = Request(
        data=out / f"{job.prep}.h5",
        split=job.split,
        stream=job.stream,
        out=path,
        recipe=job.method,
        options={},
        overrides=job.words,
        seed=job.seed,
        replace=False,
        resume=(path / "run.json").exists(),
        command=" ".join(["benchmarks/nwucla.py", *sys.argv[1:]]),
        workers=0,
    )
    outcome = launch(request, pick_device(device), SILENT)
    if outcome.signal is not None:
        raise SystemExit(128 + outcome.signal)
    trained = time.perf_counter() - began
    rows = []
    for protocol, recipe, init, baseline, settings in evaluations(job):
        records = evaluate(
            path,
            protocol,
            init=init,
            baseline=baseline,
            recipe=recipe,
            settings=settings,
            seed=job.seed,
            device=device,
        )
        rows += [row(record, job, recipe or protocol) | {"set": settings} for record in records]
    seconds = {"train_seconds": round(trained, 1), "seconds": round(time.perf_counter() - began, 1)}
    about = {"settings": job.settings, "steps": outcome.total, "recipe": Run.open(path).recipe} | seconds
    return [item | about for item in rows]


def evaluations(job: Job) -> list[tuple[str, str | None, str, str | None, dict[str, Any]]]:
    """Return protocol, recipe, words of ``--init`` and ``--baseline``, and settings of what a job is scored by."""
    subjects = [("pretrained", None), *(BASELINES if job.baselines else ())]
    if job.part == "frozen":
        frozen = (("knn", None), *(("linear", recipe) for recipe in job.linear))
        return [(*pair, *subject, {}) for subject, pair in itertools.product(subjects, frozen)]
    views = {"finetune.view": job.settings["augment.view"]}

    def of(protocol: str) -> dict[str, Any]:
        return {f"{protocol}.epochs": job.epochs} if job.epochs and protocol != "retrieval" else {}

    found: list[tuple[str, str | None, str, str | None, dict[str, Any]]] = [
        (*pair, "pretrained", None, of(pair[0])) for pair in LABELS
    ]
    found.append(("finetune", "finetune-train", "pretrained", None, views | of("finetune")))
    found += [("finetune", None, "pretrained", "supervised", sets | of("finetune")) for sets in ({}, views)]
    return found


def row(record: Any, job: Job, recipe: str) -> dict[str, Any]:
    """Return what the table holds of a record."""
    return {
        "run": str(job.folder),
        "part": job.part,
        "name": job.name,
        "method": job.method,
        "prep": job.prep,
        "split": record.split,
        "stream": record.stream,
        "seed": record.seed,
        "protocol": record.protocol,
        "variant": record.variant,
        "recipe_of_protocol": Path(recipe).stem,
        "subject": record.subject,
        "top1": record.top1,
        "top5": record.top5,
        "best_top1": record.best_top1,
        "device": record.device,
        "created": record.created,
    }


SILENT: Any = None


def worker(line: Connection, out: Path, device: str) -> None:
    """Do the jobs that come down the line until None does; answer each with its rows or what went wrong."""
    global SILENT
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    from skeltools import progress

    SILENT = progress.SILENT
    torch.set_num_threads(1)
    if device != "cpu":
        torch.zeros(1, device=device)
    line.send(None)
    while (job := line.recv()) is not None:
        try:
            answer: Any = do(job, out, device)
        except Exception:
            answer = traceback.format_exc(limit=-4)
        line.send(answer)


class Pool:
    """Worker processes, each with at most one job."""

    def __init__(self, jobs: int, out: Path, device: str) -> None:
        self.out, self.device, self.jobs = out, device, jobs
        self.lines: dict[Connection, tuple[mp.Process, Job | None, float]] = {}
        for _ in range(jobs):
            self._start()

    def _start(self) -> None:
        ours, theirs = mp.Pipe()
        process = mp.get_context("spawn").Process(
            target=worker, args=(theirs, self.out, self.device), daemon=True
        )
        process.start()
        theirs.close()
        self.lines[ours] = (process, Job("", "", "", "", "", 0, {}), time.monotonic())

    def run(self, waiting: list[Job], table: Table, until: float, say: Callable[[str], None]) -> list[Job]:
        """Do jobs in order until none is left or the time is over; return those not done."""
        took: list[float] = []
        waiting, left = [job for job in waiting if not table.has(job)], []
        while True:
            now = time.monotonic()
            reserve = statistics.median(took) if took else 0
            held = {job.folder for _, job, _ in self.lines.values() if job is not None}
            for line, (process, job, _) in list(self.lines.items()):
                ready = [item for item in waiting if item.folder not in held]
                if job is None and ready and now + reserve < until:
                    line.send(ready[0])
                    self.lines[line] = (process, ready[0], now)
                    waiting.remove(ready[0])
                    held.add(ready[0].folder)
            busy = [line for line, (_, job, _) in self.lines.items() if job is not None and job.name]
            if not busy and (not waiting or now + reserve >= until):
                return waiting + left
            for line in wait(list(self.lines), timeout=1.0):
                assert isinstance(line, Connection)
                process, job, began = self.lines[line]
                try:
                    answer = line.recv()
                except EOFError:
                    say(f"a process ended in {job.folder if job else 'no job'}")
                    del self.lines[line]
                    left += [job] if job is not None and job.name else []
                    self._start()
                    continue
                self.lines[line] = (process, None, 0.0)
                if answer is None:
                    continue
                assert job is not None
                if isinstance(answer, str):
                    say(f"{job.folder} failed:\n{answer}")
                    left.append(job)
                    continue
                took.append(time.monotonic() - began)
                table.add(answer)
                say(f"{job.folder} {job.part}: {_told(answer)}, {took[-1]:.0f} s")
            if time.monotonic() > until + 5:
                for line in busy:
                    process, job, _ = self.lines.pop(line)
                    process.terminate()  # it writes a checkpoint
                    left += [job] if job is not None else []
                    self._start()
                return waiting + left

    def close(self) -> None:
        """End the processes."""
        for line, (process, _, _) in self.lines.items():
            line.send(None)
            process.join(5)
            if process.is_alive():
                process.terminate()


def _told(rows: list[dict[str, Any]]) -> str:
    shown = [item for item in rows if item["subject"] == "pretrained"]
    return ", ".join(f"{item['protocol']} {item['variant']} {100 * item['top1']:.1f}" for item in shown)


def settings_of(plan: dict[str, Any], smoke: bool) -> list[tuple[str, str, str, dict[str, Any]]]:
    """Return (name, method, preparation, settings) of every setting in the plan, in its order."""
    found = []
    for place, item in enumerate(plan["try"]):
        for method in item["methods"]:
            base = plan["base"] | plan.get(method, {})
            sets = {key: value for key, value in (base | item.get("set", {})).items() if key != "prep"}
            if smoke:
                sets |= plan["smoke"]
            name = f"{method}-{item.get('name', place)}"
            found.append((name, method, item.get("prep", base["prep"]), sets))
    names = [name for name, *_ in found]
    if len(set(names)) < len(names):
        raise SystemExit("nwucla.toml: two settings have the same name.")
    return found


def mean_linear(table: Table, name: str, split: str, stream: str) -> tuple[float, str, int]:
    """Return the better linear protocol's mean top-1 over the seeds, which that is, and the seeds."""
    found = []
    for recipe in LINEAR:
        rows = table.of(
            name=name, split=split, stream=stream, recipe_of_protocol=Path(recipe).stem, subject="pretrained"
        )
        if rows:
            found.append((statistics.mean(item["top1"] for item in rows), recipe, len(rows)))
    return max(found, default=(0.0, LINEAR[0], 0))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("archive", type=Path, help="all_sqe.zip")
    parser.add_argument("--out", type=Path, required=True, help="folder of everything; may be there already")
    parser.add_argument("--plan", type=Path, default=Path(__file__).with_suffix(".toml"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--select", type=float, default=UNBOUNDED, help="seconds for the choice")
    parser.add_argument("--test", type=float, default=UNBOUNDED, help="seconds for the test")
    parser.add_argument(
        "--share", type=float, default=0.55, help="of the time for the test, what training takes"
    )
    parser.add_argument("--seeds", type=int, default=3, help="seeds of the test")
    parser.add_argument("--finalists", type=int, default=2, help="settings per method that get more seeds")
    parser.add_argument("--smoke", action="store_true", help="two epochs each, to see that it runs")
    options = parser.parse_args()
    from skeltools.errors import SkeltoolsError

    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes to come
    options.out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    log = (options.out / "progress.log").open("a", encoding="utf-8")

    def say(text: str) -> None:
        line = f"[{time.monotonic() - began:6.1f} s] {text}"
        print(line, flush=True)
        print(line, file=log, flush=True)

    plan = tomllib.loads(options.plan.read_text(encoding="utf-8"))
    linear = tuple(plan.get("linear", LINEAR))
    table = Table(options.out / "scores.jsonl")
    table.read()
    pool = Pool(options.jobs, options.out, options.device)  # they start while the archive is converted
    convert(options.archive, options.out, plan["prep"], options.jobs)
    say("converted")

    # 2. the choice
    until = time.monotonic() + options.select
    tried = settings_of(plan, options.smoke)
    everything = [
        Job(name, method, prep, "xview-dev", "joint", 0, sets, linear=linear)
        for name, method, prep, sets in tried
    ]
    dev = [job for job in everything if job.method in plan.get("choose", (job.method,))]
    left = pool.run(dev, table, time.monotonic() + 0.66 * options.select, say)
    methods = list(dict.fromkeys(job.method for job in dev))
    finalists = []
    for method in methods:
        names = [job.name for job in dev if job.method == method]
        names.sort(key=lambda name: mean_linear(table, name, "xview-dev", "joint")[0], reverse=True)
        finalists += [name for name in names[: options.finalists] if table.of(name=name)]
    more = [replace(job, seed=seed) for seed in (1, 2) for job in dev if job.name in finalists]
    left += pool.run(more, table, until, say)
    chosen: dict[str, tuple[Job, str]] = {}
    for method in methods:
        found = [job for job in dev if job.method == method and job.name in finalists]
        if found:
            scored = {job.name: mean_linear(table, job.name, "xview-dev", "joint") for job in found}
            best = max(found, key=lambda job: (scored[job.name][2], scored[job.name][0]))  # of the most seeds
            score, recipe, seeds = scored[best.name]
            chosen[method] = (best, recipe)
            say(
                f"chosen for {method}: {best.name} by {Path(recipe).stem}, {100 * score:.1f} on view 2, {seeds} seeds"
            )

    # 3. the test
    if not chosen:
        say("no setting was scored in the time for the choice, so nothing can be tested: give --select more")
    jobs = list(tests(plan, {job.name: job for job in everything}, chosen, table, options)) if chosen else []
    if plan.get("labels", True):
        jobs += [
            replace(job, baselines=False, part="labels", epochs=2 if options.smoke else 0)
            for job in jobs
            if job.stream == "joint"
        ]
    unscored = pool.run(jobs, table, time.monotonic() + options.test, say)
    pool.close()
    try:
        ensembles(chosen, options, table)
    except SkeltoolsError as error:
        say(f"ensemble: {error}")
    if left or unscored:
        say("left out: " + ", ".join(str(job.folder) for job in left + unscored))
    report = summary(table, chosen)
    (options.out / "report.txt").write_text(report, encoding="utf-8")
    choice = {method: asdict(job) | {"linear": recipe} for method, (job, recipe) in chosen.items()}
    (options.out / "chosen.json").write_text(json.dumps(choice, indent=1), encoding="utf-8")
    print(report)
    say("end")


def tests(
    plan: dict[str, Any],
    tried: dict[str, Job],
    chosen: dict[str, tuple[Job, str]],
    table: Table,
    options: argparse.Namespace,
) -> Iterator[Job]:
    """Yield the runs of the test: those of the plan, or those of every method for which something was chosen."""
    if "test" not in plan:
        for method, stream, seed, baselines in order(list(chosen), options.seeds):
            job, _ = chosen[method]
            settings = longer(job, table, options)
            yield replace(
                job, split="xview", stream=stream, seed=seed, baselines=baselines, settings=settings
            )
        return
    for item in plan["test"]:
        job = tried[item["name"]] if "name" in item else chosen[item.get("as", item["method"])][0]
        settings = job.settings if "name" in item else longer(job, table, options)
        if "as" in item:  # the same settings, another method
            job = replace(job, method=item["method"], name=f"{item['method']}-as-{job.name}")
        seeds = 1 if options.smoke else item.get("seeds", options.seeds)
        for seed, stream in itertools.product(range(seeds), item["streams"]):
            yield replace(job, split="xview", stream=stream, seed=seed, baselines=True, settings=settings)


def longer(job: Job, table: Table, options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of a test run: as many epochs as the time for the test has room for, at least the choice's.

    `options.share` of the time is for training the first `options.jobs` runs at once, at the speed of the choice's.
    An epoch of xview has 1,020 clips, one of xview-dev 516.
    """
    if options.test >= UNBOUNDED or options.smoke:
        return job.settings
    took = statistics.median(
        item["train_seconds"] for item in table.of(name=job.name, split="xview-dev", seed=0)
    )
    factor = max(1.0, min(5.0, options.share * options.test / (took * 1020 / 516)))
    return job.settings | {"train.epochs": int(job.settings["train.epochs"] * factor)}


def order(methods: Sequence[str], seeds: int) -> list[tuple[str, str, int, bool]]:
    """Return (method, stream, seed, whether baselines) of the runs of the test, those that matter most first."""
    first, *others = methods
    found = [(first, stream, seed) for seed in range(seeds) for stream in ("joint", "motion", "bone")]
    found += [(method, "joint", seed) for seed in range(seeds) for method in others]
    found += [
        (method, stream, seed) for stream in ("motion", "bone") for method in others for seed in range(seeds)
    ]
    return [(*item, True) for item in found]


def ensembles(chosen: dict[str, tuple[Job, str]], options: argparse.Namespace, table: Table) -> None:
    """Join the three streams of each seed of the test, by equal weights."""
    from skeltools.protocols import evaluate

    for method, (chosen_job, _) in chosen.items():
        for seed in range(options.seeds):
            job = Job(
                chosen_job.name, method, chosen_job.prep, "xview", "ensemble", seed, chosen_job.settings
            )
            home = options.out / job.folder.parent
            streams = [
                path
                for path in (home / s for s in ("joint", "motion", "bone"))
                if table.of(run=str(path.relative_to(options.out)))
            ]
            if len(streams) < 3 or table.has(job):
                continue
            rows: list[dict[str, Any]] = []
            for init, baseline in (("pretrained", None), *BASELINES):
                records = evaluate(
                    home,
                    "ensemble",
                    init=init,
                    baseline=baseline,
                    seed=seed,
                    device="cpu",
                    settings={"ensemble.of": ["linear"]},
                )
                rows += [row(record, job, "ensemble") for record in records]
            table.add(item | {"settings": job.settings} for item in rows)


def summary(table: Table, chosen: dict[str, tuple[Job, str]]) -> str:
    """Return all scores by setting: mean and deviation over seeds, in %."""
    lines = [
        "split      setting                          stream    protocol            subject                top-1"
    ]
    groups: dict[tuple[str, ...], list[float]] = {}
    for item in table.rows:
        key = tuple(str(item[name]) for name in ("split", "name", "stream", "protocol", "variant", "subject"))
        if any(name.endswith(".view") for name in item.get("set", {})):
            key = (*key[:-1], f"{key[-1]}, views")
        groups.setdefault(key, []).append(100 * item["top1"])
    for (split, name, stream, protocol, variant, subject), values in sorted(groups.items()):
        spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
        mark = "*" if any(name == job.name for job, _ in chosen.values()) else " "
        lines.append(
            f"{split:<10} {name + mark:<32} {stream:<9} {protocol + ' ' + variant:<19} {subject:<22} "
            f"{statistics.mean(values):5.1f}{spread} ({len(values)})"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
