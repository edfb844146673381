"""Doing one step, by the functions that the single commands call."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skeltools.errors import DataError, SkeltoolsError, counted
from skeltools.files.writing import write_text
from skeltools.progress import Progress
from skeltools.reproduce.steps import CONVERT, EVAL, PRETRAIN, REPORT, SYNTH, Place, Step


class InterruptedRun(KeyboardInterrupt):
    """A run that was asked to stop, and wrote a checkpoint."""


@dataclass(frozen=True)
class Tools:
    """What a step is done with.

    Attributes:
        place: Where everything lies.
        device: Word of ``--device``.
        workers: Processes that convert.
        command: The command line, for the record.
        progress: Receiver of progress.
    """

    place: Place
    device: str
    workers: int
    command: str
    progress: Progress


def perform(step: Step, tools: Tools, runs: Sequence[str] = ()) -> list[Path]:
    """Do a step, or what is left of it, and return what it made.

    Args:
        step: The step.
        tools: What it is done with.
        runs: For the report, the names of the runs that are finished.

    Raises:
        SkeltoolsError: It cannot be done.
        InterruptedRun: A signal came while it trained; what was done is kept.
    """
    try:
        return _WORK[step.kind](step.spec, tools, runs)
    finally:
        tools.progress.finish()


def _synth(spec: Any, tools: Tools, _: Sequence[str]) -> list[Path]:
    from skeltools import synth

    out = tools.place.raw(spec["data"])
    synth.write(
        spec["dataset"], out, spec["clips"], workers=tools.workers, progress=tools.progress, replace=True
    )
    return [out]


def _convert(spec: Any, tools: Tools, _: Sequence[str]) -> list[Path]:
    from skeltools.store import ClipFile
    from skeltools.store.verify import verify

    name = spec["data"]
    path = tools.place.data(name)
    if "file" not in spec:
        _converted(spec, tools, path)
    with ClipFile(path, checked=False) as file:
        found = verify(file, tools.progress)
        if "file" in spec and not spec["dataset"].endswith(".toml") and file.dataset.name != spec["dataset"]:
            raise DataError(f"{path} holds {file.dataset.name}, not {spec['dataset']}. Give the right file.")
    if found.faults:
        more = f" (and {counted(len(found.faults) - 1, 'fault')} more)" if len(found.faults) > 1 else ""
        raise DataError(f"{path}: {found.faults[0]}{more}. See 'skeltools verify {path}'.")
    return [] if "file" in spec else [path]


def _converted(spec: Any, tools: Tools, path: Path) -> None:
    from skeltools.convert.pipeline import convert
    from skeltools.preparation import chain as preparation

    found = dataset_of(spec["dataset"])
    prep = spec["prep"] or preparation.usual(found)
    convert(
        found,
        tools.place.sources.get(spec["data"], (tools.place.raw(spec["data"]),)),
        path,
        prep=preparation.choose(
            prep,
            dataset=found.name,
            skeleton=found.skeleton,
            dimensions=found.dimensions,
            overrides=spec["settings"],
        ),
        prep_name=prep,
        workers=tools.workers,
        resume=True,
        skip_damaged=spec["on_error"] == "skip",
        progress=tools.progress,
    )


def dataset_of(word: str) -> Any:
    """Return the dataset of a name, or of a descriptor's path."""
    if word.endswith(".toml"):
        from skeltools.datasets import descriptor

        return descriptor.read(word).dataset()
    from skeltools.datasets import registry as datasets

    return datasets.get(word)


def _pretrain(spec: Any, tools: Tools, _: Sequence[str]) -> list[Path]:
    from skeltools.environment import pick_device
    from skeltools.training.launch import Request, launch

    out = tools.place.run(spec["run"])
    outcome = launch(
        Request(
            data=tools.place.data(spec["data"]),
            split=spec["split"],
            stream=spec["stream"],
            out=out,
            recipe=spec["recipe"],
            options={},
            overrides=tuple(spec["settings"]),
            seed=spec["seed"],
            replace=False,
            resume=True,
            command=tools.command,
        ),
        pick_device(tools.device),
        tools.progress,
    )
    if outcome.signal is not None:
        raise InterruptedRun
    return [out / "run.json"]


def _eval(spec: Any, tools: Tools, _: Sequence[str]) -> list[Path]:
    from skeltools.protocols.running import entrants, evaluation
    from skeltools.results.record import SUBJECT_WORDS

    place = tools.place
    other = place.data(spec["on"]) if spec["on"] else None
    request = evaluation.Request(
        entrants=entrants.from_runs([place.run(run) for run in spec["runs"]], None),
        protocol=spec["protocol"],
        kinds=(SUBJECT_WORDS[spec["subject"]],),
        data=other if other is not None and not spec["target"] else place.data(spec["data"]),
        target=other if spec["target"] else None,
        split=spec["split"] or None,
        seeds=spec["seeds"],
        device=tools.device,
        recipe=spec["recipe"] or None,
        overrides=spec["settings"],
        skip_recorded=True,
    )
    done = evaluation.run(request, tools.progress)
    found = [record.folder / f"{record.stem}.json" for record in done.records if record.folder is not None]
    return [path for path in found if path.is_relative_to(place.root)]


def _report(spec: Any, tools: Tools, runs: Sequence[str]) -> list[Path]:
    from skeltools.environment import pick_device
    from skeltools.page import document
    from skeltools.page import runs as gathering
    from skeltools.results import joined, layout, published, report, tables
    from skeltools.results import record as results
    from skeltools.runs.folder import Run

    root = tools.place.root
    opened = [Run.open(tools.place.run(name)) for name in runs]
    records = [record for run in opened for record in results.read_all(run.results_dir)]
    rows = joined.rows(records, intervals=True)
    grids = [*report.grids(rows), *published.grids(rows)]
    paper = layout.grid(rows)
    made = {
        "report.md": f"# {spec['title']}\n\n" + "\n".join(map(tables.to_markdown, grids)),
        "report.tex": "\n".join(map(tables.to_latex, grids)),
        "report.csv": tables.to_csv(report.HEADER, report.flat(rows)),
        "paper.md": tables.to_markdown(paper),
        "paper.tex": tables.to_latex(paper),
        "paper.csv": tables.to_csv([name for name, _ in paper.columns], paper.rows),
        "records.json": json.dumps([record.content() for record in records], indent=2) + "\n",
    }
    for name, text in made.items():
        write_text(root / name, text)
    values = gathering.gather(
        opened,
        clips=spec["clips"],
        points=spec["points"],
        device=pick_device(tools.device),
        progress=tools.progress,
        heading=spec["title"],
    )
    document.write(root / "report.html", f"skeltools: {spec['title']}", values)
    return [root / name for name in (*made, "report.html")]


_WORK = {SYNTH: _synth, CONVERT: _convert, PRETRAIN: _pretrain, EVAL: _eval, REPORT: _report}


def problem_of(error: BaseException) -> str:
    """Return in one line why a step failed."""
    if isinstance(error, (SkeltoolsError, OSError)):
        return str(error)
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no reason'}"
