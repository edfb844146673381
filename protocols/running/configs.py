"""Every setting of a recipe, a run, a protocol or a preparation: value, where it is from, what it takes, help."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import Any

from skeltools.errors import SettingError, did_you_mean
from skeltools.files.texts import parse_toml, read_named
from skeltools.preparation import chain as preparation
from skeltools.protocols import PROTOCOLS
from skeltools.protocols.running import registry
from skeltools.protocols.running.contract import RECIPES, Protocol
from skeltools.runs.folder import Run
from skeltools.runs.settings import BASE_RECIPE, pretrain_schema, resolve_recipe
from skeltools.settings import (
    Known,
    Resolved,
    packaged_recipes,
    recipe_values,
    resolve,
    schema_fields,
    takes,
)

KINDS = ("pretraining", "protocol", "preparation")
"""What settings are of; where a name is of several, the first is meant."""


@dataclass(frozen=True)
class Entry:
    """One setting.

    Attributes:
        value: Its value; None where it is the word none.
        origin: Where the value came from: a recipe, ``--set``, an option, a default.
        takes: Its type and bounds, in words.
        help: What it is, a sentence.
        low: Smallest value, or None.
        high: Largest value, or None.
        above: What the value must be greater than, or None.
        choices: The words it takes, or None.
    """

    value: Any
    origin: str
    takes: str
    help: str
    low: float | None
    high: float | None
    above: float | None
    choices: tuple[str, ...] | None


@dataclass(frozen=True)
class Config:
    """Every setting of one thing.

    Attributes:
        name: As it was asked for.
        kind: One of `KINDS`.
        title: Title of the recipe.
        context: What ``[[when]]`` tables of recipes were matched with: dataset, split, stream; of a run also its
            seed, the frames of its clips and the content digest of its data.
        settings: By dotted key, in the order of the schema.
    """

    name: str
    kind: str
    title: str
    context: dict[str, str]
    settings: dict[str, Entry]


def find(
    name: str | None,
    *,
    kind: str | None = None,
    context: Mapping[str, str] | None = None,
    overrides: Iterable[str] = (),
) -> Config:
    """Return the settings of what `name` names.

    Args:
        name: A run folder, a packaged recipe, a ``.toml`` file, a protocol or ``package.module:Class`` of one;
            None for the default pretraining recipe.
        kind: One of `KINDS`; None finds it out.
        context: Dataset, split and stream that ``[[when]]`` tables match; what is missing matches none. A run
            has its own.
        overrides: ``key=value`` texts.

    Raises:
        SettingError: There is nothing of that name, a setting is wrong, or a run was given settings.
        RunError: The run folder is damaged.
    """
    overrides, told = tuple(overrides), {key: value for key, value in (context or {}).items() if value}
    asked = BASE_RECIPE if name is None else name
    if name is not None and kind in (None, "pretraining") and _means_run(name):
        if overrides or told:
            raise SettingError(f"{name} is a run, whose settings are fixed: leave --set and the options out.")
        return _of_run(name)
    of = _kind_of(asked, kind)
    if of == "pretraining":
        return _of_pretraining(asked, told, overrides)
    if of == "preparation":
        return _of_preparation(asked, told, overrides)
    return _of_protocol(asked, told, overrides)


def differing(a: Config, b: Config) -> dict[str, tuple[Entry | None, Entry | None]]:
    """Return the settings in which two differ, by dotted key; None where one of them has no such setting.

    What both state of their context, such as the streams of two runs, comes first, by its own name.
    """
    found: dict[str, tuple[Entry | None, Entry | None]] = {
        key: (_fact(a.context[key]), _fact(b.context[key]))
        for key in a.context
        if key in b.context and a.context[key] != b.context[key]
    }
    for key in dict.fromkeys([*a.settings, *b.settings]):
        one, two = a.settings.get(key), b.settings.get(key)
        if one is None or two is None or one.value != two.value:
            found[key] = one, two
    return found


def _fact(value: str) -> Entry:
    """Return what a context says, as a difference shows it."""
    return Entry(value, "given", "a text", "Of the run, or given beside it.", None, None, None, None)


def _names() -> dict[str, list[str]]:
    """Return what is packaged, by kind."""
    protocols = [name for name in PROTOCOLS if ":" not in name]
    return {
        "pretraining": packaged_recipes(),
        "protocol": list(dict.fromkeys([*protocols, *packaged_recipes(RECIPES)])),
        "preparation": packaged_recipes(preparation.PACKAGE),
    }


def _means_run(name: str) -> bool:
    """Return whether a name means a run folder: one is there, or another folder of a name that means nothing else."""
    if not Path(name).is_dir():
        return False
    if (Path(name) / "run.json").exists():
        return True
    try:
        _kind_of(name, None)
    except SettingError:
        return True  # and the fault is reported
    return False  # such as demo, the folder that 'skeltools demo' writes, and the recipe


def _kind_of(name: str, kind: str | None) -> str:
    if name.endswith(".toml"):
        return kind or _kind_of_file(name)
    known = _names()
    for of in KINDS if kind is None else (kind,):
        if name in known[of]:
            return of
    if ":" in name and kind in (None, "protocol"):
        return "protocol"
    every = {each: of for of in KINDS if kind in (None, of) for each in known[of]}
    raise SettingError(
        f"'{name}' is not a run folder, recipe or protocol{'' if kind is None else f' of kind {kind}'}. Choose one of: "
        f"{', '.join(every)}, or give a run folder or the path of a .toml file.{did_you_mean(name, every)}"
    )


def _kind_of_file(name: str) -> str:
    """Return what a recipe file is of, by its tables, or by what it extends where it has none."""
    try:
        content = parse_toml(read_named(name, "Recipe file"))
    except ValueError as error:
        raise SettingError(f"Recipe file {name} cannot be read: {error}.") from None
    rows = content.get("when", [])
    words = {*content, *(key for row in rows if isinstance(row, dict) for key in row)} - {"when"}
    sections = {word.partition(".")[0] for word in words}
    if "chain" in sections:
        return "preparation"
    if sections & {protocol.section for protocol in _protocols()}:
        return "protocol"
    base = content.get("extends")
    if isinstance(base, str) and base != name and not sections & set(_MAIN):
        return _kind_of_file(base) if base.endswith(".toml") else _kind_of(base, None)
    return "pretraining"


_MAIN = ("method", "model", "train", "monitor")


def _protocols() -> list[Protocol]:
    return [registry.get(name.replace(":P", ":5")) for name in PROTOCOLS]


def _config(
    name: str,
    kind: str,
    title: str,
    context: Mapping[str, str],
    known: Known,
    flat: Mapping[str, Any],
    origin: Mapping[str, str],
) -> Config:
    entries = {}
    for key, (type_, meta) in known.items():
        if key in flat:
            choices = meta.get("choices")
            entries[key] = Entry(
                value=list(flat[key]) if isinstance(flat[key], tuple) else flat[key],
                origin=origin.get(key, ""),
                takes=takes(type_, meta),
                help=str(meta.get("help", "")),
                low=meta.get("low"),
                high=meta.get("high"),
                above=meta.get("above"),
                choices=None if choices is None else tuple(choices),
            )
    return Config(name, kind, title, dict(context), entries)


def _of_run(name: str) -> Config:
    run = Run.open(name)
    context = {"dataset": run.dataset, "split": run.split, "stream": run.stream}
    context |= {"seed": str(run.seed), "frames": str(run.frames), "digest": run.digest}
    known = pretrain_schema(run.flat).known
    return _config(
        name, "pretraining", run.recipe, {k: v for k, v in context.items() if v}, known, run.flat, run.origin
    )


def _of_pretraining(name: str, context: Mapping[str, str], overrides: tuple[str, ...]) -> Config:
    dataset, split, stream = (context.get(key, "") for key in ("dataset", "split", "stream"))
    found = resolve_recipe(name, dataset=dataset, split=split, stream=stream, overrides=overrides)
    known = pretrain_schema(found.flat).known
    return _config(name, "pretraining", found.title, context, known, found.flat, found.origin)


def _of_preparation(name: str, context: Mapping[str, str], overrides: tuple[str, ...]) -> Config:
    schema = make_dataclass("Settings", [("chain", preparation.Chain)], frozen=True)
    found: Resolved[Any] = resolve(
        schema, preparation.BASE, name, context=context, overrides=overrides, package=preparation.PACKAGE
    )
    return _config(name, "preparation", found.title, context, schema_fields(schema), found.flat, found.origin)


def _of_protocol(name: str, context: Mapping[str, str], overrides: tuple[str, ...]) -> Config:
    is_protocol = name in PROTOCOLS or (":" in name and not name.endswith(".toml"))
    protocol = registry.get(name) if is_protocol else _of_recipe(name, context)
    found = protocol.resolve(context, None if is_protocol else name, overrides)
    known = schema_fields(protocol.schema)
    return _config(name, "protocol", found.title, context, known, found.flat, found.origin)


def _of_recipe(name: str, context: Mapping[str, str]) -> Protocol:
    """Return the protocol that a recipe gives values to."""
    values = recipe_values(None, name, context, RECIPES)
    sections = {key.partition(".")[0] for key, _, _ in values}
    return next(protocol for protocol in _protocols() if protocol.section in sections)
