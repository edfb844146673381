"""Settings: typed schemas, TOML recipes and ``--set``, for pretraining and protocols alike.

A schema is a frozen dataclass of frozen dataclasses; its fields have a type and a help text but no
value, because every hyperparameter lives in a TOML recipe. Values are resolved in this order, later
ones winning:

1. the base recipe of the schema, which must name every setting;
2. the chosen recipe (which may ``extends = "other"``), holding only what differs;
3. inside each recipe, its ``[[when]]`` tables whose ``match`` fits the dataset, split and stream;
4. ``--set key=value``, in the order given.

An unknown key, a value of the wrong type or one outside its bounds is a `SettingError` that names the
key and the nearest known one.
"""

from __future__ import annotations

import difflib
import functools
import json
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, is_dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Generic, TypeVar

from skeltools.errors import SettingError, did_you_mean
from skeltools.files.texts import parse_toml, read_named

T = TypeVar("T")

Context = Mapping[str, str]
"""What ``[[when]]`` tables match against, such as dataset, split and stream."""

_HEADER = {"title", "source", "note", "extends", "when"}

MOST_SEED = 2**32 - 1
"""Largest seed: every generator takes it, and a process adds its rank above these 32 bits."""

MOST_SEEDS = 1000
"""Most seeds of one evaluation."""

MOST_NUMBER = 2**31 - 1
"""Largest number of a setting that declares no `high`."""

_MOST_ENTRIES = 1000
"""Most entries of a setting that is a list."""

_MOST_TEXT = 4096
"""Most characters of a setting that is a text."""

_LONGEST = 32
"""Most recipes that extend one another."""

_MATCHABLE = ("dataset", "split", "stream")


def setting(
    help: str,
    *,
    choices: Sequence[str] | None = None,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    each: Sequence[str] | None = None,
    only: str = "",
    **default: Any,
) -> Any:
    """Declare a schema field: its help text and the values it takes.

    Args:
        help: One sentence, with the unit or source where there is one.
        choices: The words allowed.
        low: Smallest value allowed.
        high: Largest value allowed; 2**31 - 1 where none is given, for no setting is without a bound.
        above: The value must be greater than this.
        each: The words that each entry of a list may be; who reads the setting refuses others.
        only: ``key=value`` of a setting beside it with which alone it has an effect, such as ``optimizer=adamw``.
        default: ``default=value`` for settings of your own method or backbone, which no packaged recipe names.
    """
    meta = {
        "help": help,
        "choices": choices,
        "low": low,
        "high": high,
        "above": above,
        "each": each,
        "only": only,
    }
    return field(metadata=meta | default)


Known = Mapping[str, tuple[Any, Mapping[str, Any]]]
"""Type and metadata of settings by dotted key."""


@dataclass(frozen=True)
class Schema(Generic[T]):
    """What settings there are.

    Attributes:
        kind: The dataclass that is built.
        known: Its settings.
        idle: Settings that have no effect with this choice of method and backbone, but with another: a recipe
            may name them, and so may ``--set``.
    """

    kind: type[T]
    known: Known
    idle: Known = field(default_factory=dict)

    @staticmethod
    def of(kind: type[T]) -> Schema[T]:
        """Return the schema of a dataclass."""
        return Schema(kind, schema_fields(kind))


@dataclass(frozen=True)
class Resolved(Generic[T]):
    """Settings ready for use, and where each value came from.

    Attributes:
        values: An instance of the schema.
        flat: Every setting by dotted key.
        origin: The recipe, ``--set`` or option each value came from, by dotted key.
        title: Title of the chosen recipe.
        idle: Settings given by ``--set`` or an option that have no effect with the method and backbone chosen.
        unused: Likewise with the value of another setting: sentences.
    """

    values: T
    flat: dict[str, Any]
    origin: dict[str, str]
    title: str
    idle: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()


@functools.lru_cache(maxsize=1024)  # some schemas are made as they are needed
def _hints(schema: type) -> dict[str, Any]:
    """Return the types of a dataclass's fields."""
    return typing.get_type_hints(schema)


def schema_fields(schema: type, prefix: str = "") -> dict[str, tuple[Any, Mapping[str, Any]]]:
    """Return (type, metadata) of every setting of `schema` by dotted key."""
    hints = _hints(schema)
    found: dict[str, tuple[Any, Mapping[str, Any]]] = {}
    for item in fields(schema):
        kind, key = hints[item.name], prefix + item.name
        if is_dataclass(kind):
            found |= schema_fields(typing.cast(type, kind), key + ".")
        else:
            found[key] = (kind, item.metadata)
    return found


def resolve(
    schema: type[T] | Callable[[Mapping[str, Any]], Schema[T]],
    base: str | None,
    recipe: str | None = None,
    *,
    context: Context | None = None,
    overrides: Iterable[str] = (),
    options: Mapping[str, Any] | None = None,
    package: str = "skeltools.methods.recipes",
) -> Resolved[T]:
    """Resolve the settings of `schema`.

    Args:
        schema: Frozen dataclass (of frozen dataclasses) declared with `setting`; or, where some settings decide
            which others there are, a function from all values, not yet checked, to the schema.
        base: Name of the packaged recipe that gives every setting a value; None where their defaults do.
        recipe: Name of a packaged recipe or path of a ``.toml`` file; `base` itself when None.
        context: Dataset, split and stream that ``[[when]]`` tables match against.
        overrides: ``key=value`` strings as given to ``--set``.
        options: Values by dotted key that came from short options such as ``--epochs``; None is skipped.
        package: Where packaged recipes lie.

    Raises:
        SettingError: Unknown key or recipe, wrong type, value out of bounds, or a base with gaps.
    """
    words = [parse_override(text) for text in overrides]
    options = {key: value for key, value in (options or {}).items() if value is not None}
    twice = [key for key, value in words if key in options and options[key] != value]
    if twice:
        raise SettingError(
            f"--set {twice[0]} contradicts another option or name, which sets it to {options[twice[0]]}. Give one of "
            "them."
        )
    given = recipe_values(base, recipe, context, package)
    given += [(key, value, "option") for key, value in options.items()]
    given += [(*override, "--set") for override in words]
    found = Schema.of(schema) if isinstance(schema, type) else schema({key: value for key, value, _ in given})
    flat: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for key, value, where in given:
        flat[key] = _check(key, value, {**found.idle, **found.known}, where, _accepting(found, flat, key))
        origin[key] = where
    gaps = [key for key in found.known if key not in flat and "default" not in found.known[key][1]]
    if gaps:
        if recipe is base is None:
            raise SettingError(f"Settings without a default: {', '.join(gaps)}. Add one, or give a --recipe.")
        raise SettingError(f"Recipe '{recipe or base}' gives no value for: {', '.join(gaps)}. Add them.")
    for key, (_, meta) in found.known.items():
        if key not in flat:
            flat[key], origin[key] = meta["default"], "default"
    used = {key: flat[key] for key in found.known}
    return Resolved(
        _assemble(found.kind, used),
        used,
        {key: where for key, where in origin.items() if key in used},
        "defaults" if base is recipe is None else _layers(base, recipe, package)[-1].title,
        tuple(key for key in flat if key not in used and origin[key] in ("option", "--set")),
        tuple(_unused(found.known, used, origin)),
    )


def _unused(known: Known, flat: Mapping[str, Any], origin: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each setting given by hand that another one leaves without effect; see `setting`."""
    for key in flat:
        if origin[key] in ("option", "--set") and known[key][1].get("only"):
            name, _, value = known[key][1]["only"].partition("=")
            other = f"{key.rpartition('.')[0]}.{name}"
            if other in flat and str(flat[other]) != value:
                yield f"{key} has no effect: {other} is {flat[other]}, not {value}."


def recipe_values(
    base: str | None,
    recipe: str | None,
    context: Context | None = None,
    package: str = "skeltools.methods.recipes",
) -> list[tuple[str, Any, str]]:
    """Return (dotted key, value, where from) of all that a recipe says, in order; not checked.

    Raises:
        SettingError: Unknown recipe, or one that cannot be read.
    """
    return [
        (key, value, where)
        for layer in _layers(base, recipe, package)
        for where, values in _sections(layer, context or {})
        for key, value in values.items()
    ]


def _layers(base: str | None, recipe: str | None, package: str) -> list[_Layer]:
    """Return the base recipe and the chosen one, each after those it extends."""
    layers = [] if base is None else _chain(base, package)
    if recipe is not None and recipe != base:
        layers += [layer for layer in _chain(recipe, package) if layer.name != base]
    return layers


def build(schema: type[T] | Schema[T], flat: Mapping[str, Any]) -> T:
    """Build a schema instance from values by dotted key, such as those stored in a run folder.

    Raises:
        SettingError: A key is missing, unknown, or its value does not fit.
    """
    found = Schema.of(schema) if isinstance(schema, type) else schema
    known = {**found.idle, **found.known}
    flat = {key: _check(key, value, known, "stored settings") for key, value in flat.items()}
    gaps = [key for key in found.known if key not in flat]
    if gaps:
        raise SettingError(f"Stored settings lack: {', '.join(gaps)}.")
    return _assemble(found.kind, flat)


def checked(schema: Schema[Any], key: str, value: Any, where: str) -> Any:
    """Return one value as its setting has it.

    Raises:
        SettingError: An unknown key, or a value that does not fit.
    """
    return _check(key, value, {**schema.idle, **schema.known}, where)


def _assemble(schema: type[T], flat: Mapping[str, Any], prefix: str = "") -> T:
    """Return a schema instance of checked values."""
    hints = _hints(typing.cast(Any, schema))
    kwargs = {}
    for item in fields(typing.cast(Any, schema)):
        kind, key = hints[item.name], prefix + item.name
        kwargs[item.name] = (
            _assemble(typing.cast(Any, kind), flat, key + ".") if is_dataclass(kind) else flat[key]
        )
    try:
        return schema(**kwargs)
    except SettingError as error:
        if prefix in str(error):
            raise
        raise SettingError(f"Settings {prefix}*: {error}") from None


def parse_override(text: str) -> tuple[str, Any]:
    """Split ``key=value`` and read the value as TOML, or as a plain word where it is none.

    Raises:
        SettingError: There is no ``=`` or no key.
    """
    key, equals, value = text.partition("=")
    key, value = key.strip(), value.strip()
    if not equals or not key:
        asked = key if re.fullmatch(r"\w+(\.\w+)*", key) and not equals else "KEY"
        raise SettingError(f"--set takes KEY=VALUE, not '{text}': write --set {asked}=VALUE.")
    try:
        return key, parse_toml(f"value = {value}")["value"]
    except ValueError:
        return key, value


def packaged_recipes(package: str = "skeltools.methods.recipes") -> list[str]:
    """Return the names of the recipes that ship in `package`, sorted."""
    return list(_names(package))


@functools.cache
def _names(package: str) -> tuple[str, ...]:
    found = (entry.name for entry in files(package).iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in found if name.endswith(".toml")))


@dataclass(frozen=True)
class _Layer:
    name: str
    content: dict[str, Any]

    @property
    def title(self) -> str:
        title = self.content.get("title", self.name)
        if not isinstance(title, str):
            raise SettingError(f"Recipe '{self.name}': title must be a text.")
        return title


def _chain(recipe: str, package: str) -> list[_Layer]:
    """Return the recipe and those it extends, the most basic first."""
    chain: list[_Layer] = []
    seen: list[str] = []
    following: str | None = recipe
    while following is not None:
        if following in seen:
            raise SettingError(f"Recipes extend one another in a circle: {' -> '.join([*seen, following])}.")
        content = _read(following, package, seen[-1] if seen else None)
        seen.append(following)
        chain.insert(0, _Layer(following, content))
        following = content.get("extends")
        if following is not None and not isinstance(following, str):
            raise SettingError(f"Recipe '{seen[-1]}': extends must be a recipe's name.")
        if len(chain) > _LONGEST:
            raise SettingError(f"Recipe '{recipe}' extends more than {_LONGEST} others.")
    return chain


def _read(recipe: str, package: str, by: str | None = None) -> dict[str, Any]:
    """Return the content of a recipe that the recipe `by` extends, or that was asked for where it is None."""
    if recipe.endswith(".toml"):
        if by is not None and not Path(recipe).exists():
            raise SettingError(f"{by}: extends names {recipe}, which does not exist.")
        text = read_named(recipe, "Recipe file")
    else:
        known = packaged_recipes(package)
        if recipe not in known:
            problem = f"Unknown recipe '{recipe}'."
            if by is not None:
                problem = f"{by}: extends names '{recipe}', which is not a recipe that fits here."
            raise SettingError(
                f"{problem} Choose one of: {', '.join(known)}, or give the path of a "
                f".toml file.{did_you_mean(recipe, known)}"
            )
        return _packaged(recipe, package)
    try:
        return parse_toml(text)
    except ValueError as error:  # tomllib.TOMLDecodeError, or a number with too many digits
        raise SettingError(f"Recipe '{recipe}' is not valid TOML: {error}.") from None


@functools.cache
def _packaged(recipe: str, package: str) -> dict[str, Any]:
    """Return the content of a packaged recipe, which is only read."""
    return parse_toml((files(package) / f"{recipe}.toml").read_text(encoding="utf-8"))


def _sections(layer: _Layer, context: Context) -> list[tuple[str, dict[str, Any]]]:
    """Return (origin, values by dotted key) of the recipe's body and of each fitting [[when]] table."""
    body = {key: value for key, value in layer.content.items() if key not in _HEADER}
    found = [(f"recipe {layer.name}", _flatten(body))]
    tables = layer.content.get("when", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise SettingError(f"Recipe '{layer.name}': when must be tables, each under [[when]].")
    for table in tables:
        match = table.get("match", {})
        if not isinstance(match, dict):
            raise SettingError(f"Recipe '{layer.name}': match must be a table, such as {{split = 'xsub'}}.")
        for key, want in match.items():
            if not isinstance(want, (str, list)):
                raise SettingError(
                    f"Recipe '{layer.name}': match must give '{key}' a text or a list of texts."
                )
            if key not in _MATCHABLE:
                raise SettingError(
                    f"Recipe '{layer.name}': [[when]] cannot match on '{key}', only on "
                    f"{', '.join(_MATCHABLE)}."
                )
        if all(
            context.get(key) in ([want] if isinstance(want, str) else want) for key, want in match.items()
        ):
            rest = {key: value for key, value in table.items() if key not in {"match", "source", "note"}}
            where = ", ".join(f"{key} {context[key]}" for key in match)
            found.append((f"recipe {layer.name} ({where})", _flatten(rest)))
    return found


def _flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _accepting(
    schema: Schema[Any], flat: Mapping[str, Any], key: str
) -> Callable[[list[Any]], list[Any] | None]:
    """Return what gives the first of several values that a setting takes among the others; None for none of them."""

    def first(values: list[Any]) -> list[Any] | None:
        usual = flat.get(key)
        for value in (*values, *((usual[:1], usual) if isinstance(usual, tuple) else ())):
            if value:
                with suppress(SettingError):
                    fitted = _check(key, list(value), {**schema.idle, **schema.known}, "")
                    whole = {name: flat[name] for name in schema.known if name in flat} | {key: fitted}
                    if key in schema.known and whole.keys() == schema.known.keys():
                        _assemble(schema.kind, whole)
                    return list(value)
        return None

    return first


def _check(
    key: str,
    value: Any,
    known: Mapping[str, tuple[Any, Mapping[str, Any]]],
    where: str,
    accepting: Callable[[list[Any]], list[Any] | None] = lambda _: None,
) -> Any:
    if key not in known:
        raise unknown(key, where, known)
    kind, meta = known[key]
    fitted = _fit(value, kind)
    if fitted is _MISFIT:
        example = _example(key, value, kind, where, meta.get("each"), accepting)
        raise SettingError(
            f"Setting '{key}' ({where}) must be {_describe(kind)}, not {_shown(value)}.{example}"
        )
    choices, low, high, above = (meta.get(name) for name in ("choices", "low", "high", "above"))
    if choices is not None and fitted not in choices:
        hint = did_you_mean(str(fitted), choices)
        raise SettingError(
            f"Setting '{key}' ({where}) must be one of {', '.join(choices)}, not {_shown(value)}.{hint}"
        )
    high = MOST_NUMBER if high is None else high
    entries = fitted if isinstance(fitted, tuple) else (fitted,)
    if len(entries) > _MOST_ENTRIES or any(
        isinstance(entry, str) and len(entry) > _MOST_TEXT for entry in entries
    ):
        raise SettingError(
            f"Setting '{key}' ({where}) must have at most {_MOST_ENTRIES:,} entries, and a text at most "
            f"{_MOST_TEXT:,} characters."
        )
    for number in entries:
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            if low is not None and not number >= low:
                raise SettingError(f"Setting '{key}' ({where}) must be at least {low}, not {_shown(value)}.")
            if above is not None and not number > above:
                raise SettingError(
                    f"Setting '{key}' ({where}) must be greater than {above}, not {_shown(value)}."
                )
            if not number <= high:
                raise SettingError(f"Setting '{key}' ({where}) must be at most {high}, not {_shown(value)}.")
    return fitted


_HOMES = {
    "skeltools.methods.recipes": "pretraining, which 'skeltools pretrain' takes",
    "skeltools.preparation.recipes": "preparations, which 'skeltools convert' takes",
    "skeltools.protocols.recipes": "the protocol {section}, which 'skeltools eval --protocol {section}' takes",
}
"""Whose settings they are that packaged recipes give values."""


def unknown(key: str, where: str, known: Iterable[str]) -> SettingError:
    """Return the error for a key that is not known here: whose it is, and what may have been meant.

    Args:
        key: The key.
        where: Where it was given, such as ``--set``.
        known: Keys that are known here.
    """
    known = list(known)
    section, _, last = key.rpartition(".")
    section = section.partition(".")[0]
    whose = ""
    if section and not any(other.startswith(f"{section}.") for other in known):
        whose = next((told for package, told in _HOMES.items() if section in _sections_of(package)), "")
    problem = f"Unknown setting '{key}' ({where})"
    if whose:
        problem += f": {section}.* are settings of {whose.format(section=section)}"
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.8)
    near = near or [other for other in known if other.rpartition(".")[2] == last][:3]
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return SettingError(f"{problem}.{hint or ('' if whose else did_you_mean(key, known))}")


def _sections_of(package: str) -> set[str]:
    """Return the first words of the keys that the packaged recipes name."""
    return {
        key.partition(".")[0]
        for recipe in packaged_recipes(package)
        for key, _, _ in recipe_values(None, recipe, package=package)
    }


def _example(
    key: str,
    value: Any,
    kind: Any,
    where: str,
    each: Sequence[str] | None,
    accepting: Callable[[list[Any]], list[Any] | None],
) -> str:
    """Return an example of a list where one was to be given, made of the value or what the recipe has; else nothing.

    `each` are the words that entries are of; `accepting` tells which of some lists the setting takes.
    """
    lists = [option for option in (kind, *typing.get_args(kind)) if typing.get_origin(option) is tuple]
    if not lists:
        return ""
    item = typing.get_args(lists[0])[0]
    words = value if isinstance(value, list) else value.split(",") if isinstance(value, str) else [value]
    parsed = [parse_override(f"x={word}")[1] if isinstance(word, str) else word for word in words]
    fitting = [entry for entry in parsed if _fit(entry, item) is not _MISFIT]
    if item is str:
        fitting = [word for word in (str(word).strip() for word in words) if word in (each or ())]
    found = accepting([fitting, {int: [1, 5], float: [0.5, 1.0]}.get(item, [])])
    if found is None:
        return ""
    text = json.dumps(found)
    return f" Example: --set '{key}={text}'" if where == "--set" else f" Example: {key} = {text}"


def _shown(value: Any) -> str:
    """Return a value as a message shows it, cut where it is long."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of more digits than Python prints
        return "a number with thousands of digits"
    return text if len(text) <= 80 else f"{text[:77]}..."


_MISFIT = object()


def _fit(value: Any, kind: Any) -> Any:
    """Return `value` as `kind`, or `_MISFIT`. Only lossless conversions are made."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        options = [_fit(value, option) for option in typing.get_args(kind)]
        return next((option for option in options if option is not _MISFIT), _MISFIT)
    if origin is tuple:
        item = typing.get_args(kind)[0]
        if not isinstance(value, (list, tuple)):
            return _MISFIT
        items = [_fit(entry, item) for entry in value]
        return _MISFIT if any(entry is _MISFIT for entry in items) else tuple(items)
    if kind is bool:
        return value if isinstance(value, bool) else _MISFIT
    if kind is int:
        if isinstance(value, float) and value.is_integer():
            return int(value)
        return value if isinstance(value, int) and not isinstance(value, bool) else _MISFIT
    if kind is float:
        try:
            return (
                float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else _MISFIT
            )
        except OverflowError:
            return _MISFIT
    if kind is str:
        return value if isinstance(value, str) else _MISFIT
    if kind is types.NoneType:
        return None if value in (None, "none") else _MISFIT
    raise TypeError(f"settings of type {kind} are not supported")


def _number(value: float) -> str:
    """Return a bound as it is typed: whole numbers with all their digits."""
    return str(int(value)) if value == int(value) else f"{value:g}"


def takes(kind: Any, meta: Mapping[str, Any]) -> str:
    """Return what a setting takes, in words: its type, its choices or its bounds."""
    if meta.get("choices") is not None:
        return f"one of {', '.join(meta['choices'])}"
    text = _describe(kind)
    low, high, above = (meta.get(name) for name in ("low", "high", "above"))
    bounds = [] if above is None else [f"above {_number(above)}"]
    if low is not None and high is not None:
        bounds.append(f"{_number(low)} to {_number(high)}")
    else:
        bounds += [] if low is None else [f"at least {_number(low)}"]
        bounds += [] if high is None else [f"at most {_number(high)}"]
    return ", ".join([text, *bounds])


def _describe(kind: Any) -> str:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_describe(option) for option in typing.get_args(kind))
    if origin is tuple:
        return f"a list, each entry {_describe(typing.get_args(kind)[0])}"
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    return names.get(kind, "none")
