"""Plans: which data, which runs, which protocols, as TOML.

A plan names datasets under ``[data.NAME]``, what is pretrained under ``[[run]]`` and what is evaluated under
``[[evaluate]]``. Methods are named by their recipes, protocols by their names, so that a plan knows as little of
them as the engine does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, TypeVar

from skeltools.datasets import registry as datasets
from skeltools.errors import SettingError, did_you_mean
from skeltools.files.texts import parse_toml, read_named
from skeltools.results.record import SUBJECT_WORDS
from skeltools.settings import MOST_SEED, MOST_SEEDS, packaged_recipes, resolve, setting

PACKAGE = "skeltools.reproduce.plans"
"""Package of the plans."""

T = TypeVar("T")

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""What may name data: it becomes the name of a file."""


@dataclass(frozen=True)
class Data:
    """One converted file of a plan, ``[data.NAME]``."""

    dataset: str = setting(
        "Dataset, or the path of a descriptor (.toml); empty for the table's name.", default=""
    )
    preparation: str = setting("Preparation; empty for the dataset's usual one.", default="")
    on_error: str = setting("What becomes of a damaged file.", choices=("stop", "skip"), default="stop")
    synthetic: int = setting(
        "Clips of synthetic motion that stand in for a source; 0 where there is a source.", low=0, default=0
    )
    settings: tuple[str, ...] = setting("Settings of the preparation, KEY=VALUE.", default=())


@dataclass(frozen=True)
class Runs:
    """What is pretrained, ``[[run]]``: one run for each recipe, split, stream and seed."""

    data: str = setting("Name of the data.")
    recipes: tuple[str, ...] = setting("Recipes, each of which names its method.")
    splits: tuple[str, ...] = setting("Splits.")
    streams: tuple[str, ...] = setting("Streams.", default=("joint", "motion", "bone"))
    seeds: tuple[int, ...] = setting("Seeds.", low=0, high=MOST_SEED, default=(0,))
    settings: tuple[str, ...] = setting("Settings of the pretraining, KEY=VALUE.", default=())


@dataclass(frozen=True)
class Evaluate:
    """One protocol, ``[[evaluate]]``, for each run that it fits."""

    protocol: str = setting("Name of a protocol, or package.module:Class.")
    recipe: str = setting("Protocol recipe; empty for the protocol's own.", default="")
    on: str = setting(
        "Name of other data that it goes to, as a transfer does; empty for the run's.", default=""
    )
    split: str = setting("Split of the data; empty for the run's own.", default="")
    subjects: tuple[str, ...] = setting(
        f"What is evaluated: {', '.join(SUBJECT_WORDS)}.", default=("pretrained",)
    )
    seeds: int = setting("How many seeds, from the run's own on.", low=1, high=MOST_SEEDS, default=1)
    settings: tuple[str, ...] = setting("Settings of the protocol, KEY=VALUE.", default=())
    data: tuple[str, ...] = setting("Data whose runs are evaluated; empty for all.", default=())
    recipes: tuple[str, ...] = setting("Recipes whose runs are evaluated; empty for all.", default=())
    splits: tuple[str, ...] = setting("Splits whose runs are evaluated; empty for all.", default=())
    streams: tuple[str, ...] = setting("Streams whose runs are evaluated; empty for all.", default=())


@dataclass(frozen=True)
class Plan:
    """A plan.

    Attributes:
        name: Its name, or the path of its file.
        title: What it makes.
        text: The file's content.
        data: The data by name.
        runs: What is pretrained.
        evaluate: What is evaluated.
        page_clips: Most test clips in the page.
        page_points: Most test clips in the embedding of a run there.
    """

    name: str
    title: str
    text: str
    data: Mapping[str, Data]
    runs: tuple[Runs, ...]
    evaluate: tuple[Evaluate, ...]
    page_clips: int = 240
    page_points: int = 1500


@dataclass(frozen=True)
class _Head:
    """What a plan says of itself."""

    title: str = setting("What it makes.")
    source: str = setting("Where its choices come from.", default="")
    note: str = setting("What a reader should know.", default="")
    page_clips: int = setting("Most test clips in the page.", low=1, default=240)
    page_points: int = setting("Most test clips in the embedding of a run.", low=0, default=1500)


def packaged() -> list[str]:
    """Return the names of the packaged plans, sorted."""
    return packaged_recipes(PACKAGE)


def read(name: str) -> Plan:
    """Read a packaged plan, or the one in a ``.toml`` file.

    Raises:
        SettingError: There is no such plan, or a fault in it; the message names the table and the key.
    """
    if name.endswith(".toml"):
        text = read_named(name, "Plan")
    else:
        known = packaged()
        if name not in known:
            raise SettingError(
                f"Unknown plan '{name}'. Choose one of: {', '.join(known)}, or give the path of a .toml file."
                f"{did_you_mean(name, known)}"
            )
        text = (files(PACKAGE) / f"{name}.toml").read_text(encoding="utf-8")
    return parse(text, name)


def parse(text: str, name: str) -> Plan:
    """Return the plan that a text says.

    Raises:
        SettingError: There is a fault in it.
    """
    try:
        content = parse_toml(text)
    except ValueError as error:
        raise SettingError(f"Plan {name} is not valid TOML: {error}.") from None
    tables = {key: content.pop(key, {} if key == "data" else []) for key in ("data", "run", "evaluate")}
    head = _table(_Head, content, name)
    if not isinstance(tables["data"], dict) or not tables["data"]:
        raise SettingError(f"Plan {name} names no data. Add a table such as [data.ntu60].")
    data = {key: _table(Data, table, f"{name}, [data.{key}]") for key, table in tables["data"].items()}
    runs = _tables(Runs, tables["run"], name, "run")
    evaluate = _tables(Evaluate, tables["evaluate"], name, "evaluate")
    if not runs:
        raise SettingError(f"Plan {name} pretrains nothing. Add a table [[run]].")
    found = Plan(name, head.title, text, data, runs, evaluate, head.page_clips, head.page_points)
    _check(found)
    return found


def _table(schema: type[T], table: Any, where: str) -> T:
    """Return an instance of a schema of a plan's table; ``settings`` may be a table of its own."""
    if not isinstance(table, dict):
        raise SettingError(f"{where} must be a table, not {table!r:.40}.")
    table = dict(table)
    if isinstance(table.get("settings"), dict):
        table["settings"] = [f"{key}={json.dumps(value)}" for key, value in _flat(table["settings"])]
    try:
        return resolve(schema, None, options=table).values
    except SettingError as error:
        raise SettingError(f"Plan {where}: {str(error).replace(' (option)', '')}") from None


def _flat(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in table.items():
        found += _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, value)]
    return found


def _tables(schema: type[T], tables: Any, name: str, key: str) -> tuple[T, ...]:
    if not isinstance(tables, list):
        raise SettingError(f"Plan {name}: {key} must be tables, each under [[{key}]].")
    return tuple(
        _table(schema, table, f"{name}, [[{key}]] {place}") for place, table in enumerate(tables, start=1)
    )


def _check(plan: Plan) -> None:
    """Check that what a plan names is there.

    Raises:
        SettingError: It names data that it does not have, an unknown dataset, recipe, stream or subject.
    """
    where = f"Plan {plan.name}"
    for name, data in plan.data.items():
        if not _WORD.fullmatch(name):
            raise SettingError(f"{where}: data may not be called {name!r:.40}: letters, digits, . _ - alone.")
        if not (data.dataset or name).endswith(".toml"):
            datasets.get(data.dataset or name)
    recipes = packaged_recipes()
    for place, runs in enumerate(plan.runs, start=1):
        at = f"{where}, [[run]] {place}"
        _known(runs.data, plan.data, "data", at)
        for stream in runs.streams:
            _known(stream, datasets.STREAMS, "stream", at)
        for recipe in runs.recipes:
            if not recipe.endswith(".toml"):
                _known(recipe, recipes, "recipe", at)
        for key in ("recipes", "splits", "streams", "seeds"):
            if not getattr(runs, key):
                raise SettingError(f"{at}: {key} is empty. Name at least one.")
    used = {
        "data": [runs.data for runs in plan.runs],
        "recipes": [recipe for runs in plan.runs for recipe in runs.recipes],
        "splits": [split for runs in plan.runs for split in runs.splits],
        "streams": [stream for runs in plan.runs for stream in runs.streams],
    }
    for place, item in enumerate(plan.evaluate, start=1):
        at = f"{where}, [[evaluate]] {place}"
        if item.on:
            _known(item.on, plan.data, "data", at)
        for subject in item.subjects:
            _known(subject, SUBJECT_WORDS, "subject", at)
        for key, known in used.items():
            for word in getattr(item, key):
                _known(word, known, key.removesuffix("s"), at)


def _known(word: str, known: Sequence[str] | Mapping[str, Any], what: str, where: str) -> None:
    if word not in known:
        words = ", ".join(dict.fromkeys(known))
        raise SettingError(f"{where}: no {what} '{word}'. Choose one of: {words}.{did_you_mean(word, known)}")
