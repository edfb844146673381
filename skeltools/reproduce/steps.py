"""The steps of a plan, what each needs, and where what it makes goes; which are done already."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from skeltools.errors import OutputError, RunError, SettingError, counted, did_you_mean
from skeltools.files.texts import read_json
from skeltools.files.writing import write_text
from skeltools.protocols.running import registry
from skeltools.protocols.running.contract import Protocol
from skeltools.reproduce.plan import Evaluate, Plan, Runs
from skeltools.results import record as results

SYNTH, CONVERT, PRETRAIN, EVAL, REPORT = "synth", "convert", "pretrain", "eval", "report"

MOST_STEPS = 10_000
"""Most steps of a plan."""

FACTS = ("step", "data", "recipe", "split", "stream", "seed", "protocol", "subject")
"""What ``--only`` chooses by."""


@dataclass(frozen=True)
class Step:
    """One thing to do.

    Attributes:
        name: Its name, which is a file's too.
        kind: synth, convert, pretrain, eval or report.
        part: The task of a cluster that it belongs to: ``data:NAME``, ``run:NAME`` or ``report``.
        facts: What it is, by `FACTS`.
        spec: What is to be done, as JSON takes it. A step whose words changed is done again.
        needs: Names of steps without whose output it cannot be done.
        after: Names of steps it waits for, whether they end well or not.
    """

    name: str
    kind: str
    part: str
    facts: Mapping[str, str]
    spec: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where everything of a plan lies.

    Attributes:
        root: The folder.
        given: Converted files that the user gave, by the name of the data.
        sources: Raw files that the user gave, by the name of the data.
    """

    root: Path
    given: Mapping[str, Path] = field(default_factory=dict)
    sources: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)

    def data(self, name: str) -> Path:
        """The converted file."""
        return self.given.get(name, self.root / "data" / f"{name}.h5")

    def raw(self, name: str) -> Path:
        """The folder of synthetic raw files."""
        return self.root / "data" / f"{name}-raw"

    def run(self, name: str) -> Path:
        """The folder of a run."""
        return self.root / "runs" / name

    def marker(self, name: str) -> Path:
        """What says that a step is done."""
        return self.root / "steps" / f"{name}.json"

    def failure(self, name: str) -> Path:
        """What says why a step failed."""
        return self.root / "steps" / f"{name}.failed"


def opened(root: Path, plan: Plan, words: Mapping[str, Sequence[Path]], *, write: bool = True) -> Place:
    """Return the place of a plan at a folder: new, or the one that was begun there.

    Args:
        root: The folder.
        plan: The plan.
        words: Sources by the name of the data; what an earlier call was given is known.
        write: Whether to make the folder and note there what was given.

    Raises:
        OutputError: The folder is of something else, or of another plan.
        SettingError: A source is missing, or of no data of the plan.
    """
    note = root / "plan.json"
    before: dict[str, Any] = {}
    if root.exists() and not root.is_dir():
        raise OutputError(f"{root} is a file. Choose another --out.")
    if note.exists():
        try:
            before = read_json(note)
            stored = {name: [Path(word) for word in found] for name, found in before["sources"].items()}
            begun = str(before["plan"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise OutputError(f"{note} cannot be read ({error}). Choose another --out.") from None
        if begun != plan.name:
            raise OutputError(
                f"{root} was begun with the plan {begun}, not {plan.name}. Choose another --out."
            )
    else:
        stored = {}
        if root.is_dir() and any(not item.name.startswith(".") for item in root.iterdir()):
            raise OutputError(f"{root} exists and holds other things. Choose another --out.")
    for name in words:
        if name not in plan.data:
            raise SettingError(
                f"Plan {plan.name} has no data '{name}'. Give a source as NAME=SOURCE, with one of: "
                f"{', '.join(plan.data)}.{did_you_mean(name, plan.data)}"
            )
        if plan.data[name].synthetic:
            raise SettingError(f"Plan {plan.name} makes {name} itself. Leave its source out.")
    found = {**stored, **{name: [path.absolute() for path in paths] for name, paths in words.items()}}
    missing = [name for name, data in plan.data.items() if not (data.synthetic or name in found)]
    if missing:
        raise SettingError(
            f"Plan {plan.name} needs a source for {', '.join(missing)}. Give each as NAME=SOURCE, such as "
            f"{missing[0]}=raw/: a folder, an archive, or a converted file (.h5)."
        )
    for name, paths in found.items():
        absent = [path for path in paths if not str(path.name).startswith("@") and not path.exists()]
        if absent and not (root / "data" / f"{name}.h5").exists():
            raise SettingError(
                f"{absent[0]}, the source of {name}, does not exist. Give its place: {name}=SOURCE"
            )
    given = {name: paths[0] for name, paths in found.items() if len(paths) == 1 and paths[0].suffix == ".h5"}
    place = Place(root, given, {name: tuple(paths) for name, paths in found.items() if name not in given})
    if write:
        for folder in (root, root / "data", root / "runs", root / "steps"):
            folder.mkdir(parents=True, exist_ok=True)
        content = {
            "plan": plan.name,
            "sources": {name: [str(p) for p in paths] for name, paths in found.items()},
        }
        if content != before:
            write_text(note, json.dumps(content, indent=2) + "\n")
    return place


def steps(plan: Plan, place: Place) -> list[Step]:
    """Return the steps of a plan, each behind those it needs.

    Raises:
        SettingError: An unknown protocol, or a subject that a protocol does not take.
    """
    found: dict[str, Step] = {}
    for name in plan.data:
        found |= {step.name: step for step in _data(plan, place, name)}
    many = sum(len(one.recipes) * len(one.splits) * len(one.seeds) * len(one.streams) for one in plan.runs)
    if (work := many * (1 + sum(len(item.subjects) for item in plan.evaluate))) > MOST_STEPS:
        raise SettingError(
            f"Plan {plan.name} has {counted(many, 'run')} and up to {counted(work, 'step')}, more than {MOST_STEPS:,}. "
            "Make several plans of it."
        )
    runs = [
        (table, recipe, split, stream, seed)
        for table in plan.runs
        for recipe, split, seed, stream in product(table.recipes, table.splits, table.seeds, table.streams)
    ]
    protocols = [(item, registry.get(item.protocol)) for item in plan.evaluate]
    of_run: dict[str, list[str]] = {}
    groups: dict[tuple[Any, ...], list[str]] = {}
    for table, recipe, split, stream, seed in runs:
        run = _pretrain(table, recipe, split, stream, seed)
        if run.name in found:
            raise SettingError(
                f"Plan {plan.name} has the run {run.spec['run']} twice. Leave one of them out."
            )
        found[run.name] = run
        of_run[run.spec["run"]] = [run.name]
        groups.setdefault((table.data, recipe, split, seed), []).append(run.spec["run"])
        for item, protocol in protocols:
            if protocol.joins_streams or not _fits(item, run):
                continue
            for subject in item.subjects:
                step = _eval(item, protocol, subject, run.facts, [run.spec["run"]], found)
                found[step.name] = step
                of_run[run.spec["run"]].append(step.name)
    for (name, recipe, split, seed), members in groups.items():
        facts = {"data": name, "recipe": recipe, "split": split, "seed": str(seed)}
        for item, protocol in protocols:
            fitting = [run for run in members if _fits(item, found[of_run[run][0]])]
            if not protocol.joins_streams or len(fitting) < 2:
                continue
            after = tuple(name for run in fitting for name in of_run[run][1:])
            for subject in item.subjects:
                streams = {"stream": "3s" if len(fitting) == 3 else "2s"}
                step = _eval(item, protocol, subject, facts | streams, fitting, found, after)
                found[step.name] = step
    every = tuple(step.name for step in found.values() if step.kind in (PRETRAIN, EVAL))
    spec = {"title": plan.title, "clips": plan.page_clips, "points": plan.page_points}
    report = Step(REPORT, REPORT, "report", {"step": REPORT}, spec, after=every)
    return [*found.values(), report]


def _data(plan: Plan, place: Place, name: str) -> Iterator[Step]:
    data = plan.data[name]
    dataset = data.dataset or name
    facts, part = {"data": name}, f"data:{name}"
    needs: tuple[str, ...] = ()
    if data.synthetic:
        spec: dict[str, Any] = {"data": name, "dataset": dataset, "clips": data.synthetic}
        yield Step(f"synth-{name}", SYNTH, part, facts | {"step": SYNTH}, spec)
        needs = (f"synth-{name}",)
    spec = {"data": name, "dataset": dataset}
    if name in place.given:
        spec["file"] = str(place.given[name])
    else:
        spec |= {"prep": data.preparation, "settings": list(data.settings), "on_error": data.on_error}
    yield Step(f"convert-{name}", CONVERT, part, facts | {"step": CONVERT}, spec, needs)


def _pretrain(table: Runs, recipe: str, split: str, stream: str, seed: int) -> Step:
    run = _safe(f"{Path(recipe).stem}-{table.data}-{split}-{stream}-seed{seed}")
    facts = {
        "step": PRETRAIN, "data": table.data, "recipe": recipe, "split": split, "stream": stream,
        "seed": str(seed),
    }  # fmt: skip
    spec = {
        "run": run, "data": table.data, "recipe": recipe, "split": split, "stream": stream, "seed": seed,
        "settings": list(table.settings),
    }  # fmt: skip
    return Step(f"pretrain-{run}", PRETRAIN, f"run:{run}", facts, spec, (f"convert-{table.data}",))


def _fits(item: Evaluate, run: Step) -> bool:
    pairs = (
        (item.data, "data"), (item.recipes, "recipe"), (item.splits, "split"), (item.streams, "stream"),
    )  # fmt: skip
    return all(not wanted or run.facts[fact] in wanted for wanted, fact in pairs)


def _eval(
    item: Evaluate,
    protocol: Protocol,
    subject: str,
    facts: Mapping[str, str],
    runs: Sequence[str],
    known: Collection[str],
    after: tuple[str, ...] = (),
) -> Step:
    kind = results.SUBJECT_WORDS[subject]
    if kind == results.SUPERVISED and not (protocol.supervised or protocol.joins_streams):
        raise SettingError(
            f"The supervised baseline belongs to {registry.having('supervised')}, not to {item.protocol}."
        )
    if protocol.trains and kind in (results.STANDARDISED, results.RAW):
        raise SettingError(f"'{subject}' is not an encoder to train, as {item.protocol} does. Leave it out.")
    if protocol.needs_target and not item.on:
        raise SettingError(f"{item.protocol} goes to other data. Name them: on = 'pku2'")
    joins = protocol.joins_streams
    stem = "-".join(
        word
        for word in (runs[0] if not joins else "-".join(facts[key] for key in ("recipe", "data", "split")),
                     f"seed{facts['seed']}" if joins else "", item.protocol, item.on, subject)
        if word
    )  # fmt: skip
    names = (
        _safe(f"eval-{stem}{end}") for end in ("", f"-{item.recipe}", *(f"-{n}" for n in range(2, 1000)))
    )
    name = next((name for name in names if name not in known), None)
    if name is None:
        raise SettingError(
            f"The plan has {item.protocol} of {subject} more than 1,000 times for one run. Leave some out."
        )
    spec = {
        "runs": list(runs), "protocol": item.protocol, "recipe": item.recipe, "subject": subject,
        "seeds": item.seeds, "settings": list(item.settings), "data": facts["data"], "on": item.on,
        "split": item.split, "target": protocol.needs_target,
    }  # fmt: skip
    needs = [f"pretrain-{run}" for run in runs] + ([f"convert-{item.on}"] if item.on else [])
    given = {**facts, "step": EVAL, "protocol": item.protocol, "subject": subject}
    return Step(name, EVAL, "report" if joins else f"run:{runs[0]}", given, spec, tuple(needs), after)


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)


def only(found: Sequence[Step], words: Iterable[str]) -> list[Step]:
    """Return the steps that ``--only`` leaves.

    A step of which a fact is another is left out; so are data that no step needs.

    Args:
        found: The steps.
        words: ``FACT=VALUE`` texts, with values separated by commas.

    Raises:
        SettingError: No such fact, or no step of the value.
    """
    kept = list(found)
    for word in words:
        fact, equals, values = word.partition("=")
        if not equals or fact not in FACTS:
            raise SettingError(
                f"--only takes FACT=VALUE, such as stream=joint, not '{word}'. Facts: {', '.join(FACTS)}."
                f"{did_you_mean(fact, FACTS)}"
            )
        wanted = [value.strip() for value in values.split(",")]
        there = list(dict.fromkeys(step.facts[fact] for step in found if fact in step.facts))
        for value in wanted:
            if value not in there:
                raise SettingError(
                    f"--only {word}: no step has {fact} {value}. Choose one of: {', '.join(there)}."
                    f"{did_you_mean(value, there)}"
                )
        kept = [
            step
            for step in kept
            if step.facts.get(fact, wanted[0]) in wanted
            or (fact != "step" and step.kind in (SYNTH, CONVERT, REPORT))
        ]
    if kept == list(found):
        return kept
    needed = {name for step in kept if step.kind not in (SYNTH, CONVERT) for name in step.needs}
    for step in reversed(found):
        if step.name in needed:
            needed |= set(step.needs)
    return [step for step in kept if step.kind not in (SYNTH, CONVERT) or step.name in needed]


def parts(found: Sequence[Step]) -> dict[str, list[Step]]:
    """Return the steps by the tasks of a cluster."""
    made: dict[str, list[Step]] = {}
    for step in found:
        made.setdefault(step.part, []).append(step)
    return made


class Ledger:
    """Which steps are done, by what they left.

    Args:
        found: All steps of the plan, each behind those it needs.
        place: Where everything lies.
    """

    def __init__(self, found: Sequence[Step], place: Place) -> None:
        self.place = place
        self._steps = {step.name: step for step in found}
        self._stamps: dict[str, str] = {}
        self.look()

    def look(self) -> None:
        """Read again what there is."""
        self._stamps.clear()
        for step in self._steps.values():
            self._note(step)

    def done(self, name: str) -> bool:
        """Whether a step is done, by the words and with the inputs it has now."""
        return name in self._stamps

    def current(self, step: Step) -> bool:
        """Look once more whether a step is done, now that what it needs has been."""
        self._stamps.pop(step.name, None)
        self._note(step)
        return self.done(step.name)

    def seconds(self, name: str) -> float | None:
        """How long a step took, or None where it is not known."""
        content = self._content(name)
        found = content.get("seconds") if isinstance(content, dict) else None
        return float(found) if isinstance(found, (int, float)) else None

    def finish(self, step: Step, made: Sequence[Path], seconds: float) -> None:
        """Note that a step is done.

        Args:
            step: The step.
            made: What it made, under the root.
            seconds: How long it took.
        """
        content = {
            **self._words(step),
            "made": [path.relative_to(self.place.root).as_posix() for path in made],
            "seconds": round(seconds, 2),
        }
        self.place.failure(step.name).unlink(missing_ok=True)
        write_text(self.place.marker(step.name), json.dumps(content, indent=2) + "\n")
        self._note(step)

    def fail(self, step: Step, problem: str) -> None:
        """Note why a step failed."""
        self._stamps.pop(step.name, None)
        write_text(self.place.failure(step.name), problem.rstrip() + "\n")

    def failure(self, name: str) -> str | None:
        """Return why a step failed the last time, in one line, or None where it did not."""
        try:
            text = self.place.failure(name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        return text.splitlines()[0] if text else ""

    def _words(self, step: Step) -> dict[str, Any]:
        """Return what a step's marker must say: what is to do, and of which inputs."""
        inputs = {name: self._stamps[name] for name in (*step.needs, *step.after) if name in self._stamps}
        return {"step": step.name, "spec": json.loads(json.dumps(step.spec)), "inputs": inputs}

    def _content(self, name: str) -> Any:
        try:
            return read_json(self.place.marker(name))
        except (OSError, ValueError):
            return None

    def _note(self, step: Step) -> None:
        """Take up a step that is done."""
        content = self._content(step.name)
        if not isinstance(content, dict) or not all(name in self._stamps for name in step.needs):
            return
        words = self._words(step)
        made = content.get("made")
        if any(content.get(key) != value for key, value in words.items()) or not isinstance(made, list):
            return
        if all((self.place.root / str(path)).exists() for path in made):
            text = json.dumps(content, sort_keys=True)
            self._stamps[step.name] = hashlib.sha256(text.encode()).hexdigest()[:16]


def run_of(place: Place, found: Sequence[Step], ledger: Ledger) -> list[Path]:
    """Return the folders of the runs that are finished.

    Raises:
        RunError: There is none.
    """
    runs = [place.run(step.spec["run"]) for step in found if step.kind == PRETRAIN and ledger.done(step.name)]
    if not runs:
        raise RunError("No run is finished, so there is nothing to report.")
    return runs
