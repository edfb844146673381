"""Completion of values in the shell: what an option or argument can be, read without torch.

Each function is what click asks of ``shell_complete``. None of them may fail or print: whatever goes wrong, nothing is
offered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

_FILES = [CompletionItem("", type="file")]


def _offering(
    find: Callable[[click.Context, str], Iterable[tuple[str, str]]], files: bool = False
) -> Completer:
    """Return a completer of the values that `find` gives, (value, help) each, that begin as what was typed.

    Args:
        find: Called with the context and what was typed.
        files: Whether a file may be there as well: offered where nothing else fits.
    """

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            found = [
                CompletionItem(value, help=told or None)
                for value, told in find(context, incomplete)
                if value.startswith(incomplete)
            ]
        except Exception:  # a file that is none, a setting that is wrong: what is run says so
            found = []
        return found or (_FILES if files else [])

    return complete


def _plain(values: Iterable[str]) -> list[tuple[str, str]]:
    return [(value, "") for value in values]


def _datasets(context: click.Context, incomplete: str) -> Iterable[tuple[str, str]]:
    from skeltools.datasets.registry import registry

    return [(name, about.title) for name, about in registry().items()]


def _streams(context: click.Context, incomplete: str) -> Iterable[tuple[str, str]]:
    """Offer streams, the last of a list with commas."""
    from skeltools.datasets.registry import STREAMS

    before, comma, _ = incomplete.rpartition(",")
    return _plain(f"{before}{comma}{stream}" for stream in STREAMS if stream not in before.split(","))


def _splits(context: click.Context, incomplete: str) -> Iterable[tuple[str, str]]:
    """Offer the splits of the file that the command line names, or of the data of the run that it names."""
    from skeltools.store.reader import ClipFile

    for path in _data(context):
        with ClipFile(path) as file:
            return [
                (name, f"{len(file.rows(name, 'train')):,} train, {len(file.rows(name, 'test')):,} test")
                for name in file.splits
            ]
    from skeltools.datasets.registry import registry

    names = dict.fromkeys(split for about in registry().values() for split in (*about.train, *about.counts))
    return _plain(names)


def _data(context: click.Context) -> Iterable[Path]:
    """Yield the converted files that the command line names or its runs were trained on; --target and --data first."""
    import json

    named = [context.params.get(key) for key in ("target", "data", "file", "runs", "run")]
    # Where the option's own value is still missing, click has not told arguments from one another.
    for value in (*named, *context.args):
        for path in map(Path, value if isinstance(value, tuple) else [value] if value else []):
            if path.is_file():
                yield path
            elif (path / "run.json").is_file():
                told = json.loads((path / "run.json").read_text(encoding="utf-8")).get("data")
                if told and Path(told).is_file():
                    yield Path(told)


def _protocols(context: click.Context, incomplete: str) -> Iterable[tuple[str, str]]:
    from skeltools.protocols import PROTOCOLS

    return _plain([*(name.replace(":P", ":5") for name in PROTOCOLS), "all"])


def _result_protocols(context: click.Context, incomplete: str) -> Iterable[tuple[str, str]]:
    return [pair for pair in _protocols(context, incomplete) if pair[0] != "all"]


def _methods(context: click.Context, incomplete: str) -> Iterable[tuple[str, str]]:
    from skeltools.methods.registry import METHODS

    return _plain(METHODS)


def _recipes(package: str) -> list[tuple[str, str]]:
    """Return the recipes of a package, with their titles."""
    from importlib.resources import files

    from skeltools.files.texts import parse_toml
    from skeltools.settings import packaged_recipes

    found = []
    for name in packaged_recipes(package):
        title = parse_toml((files(package) / f"{name}.toml").read_text(encoding="utf-8")).get("title", "")
        found.append((name, str(title)))
    return found


_PACKAGES = {
    "pretraining": "skeltools.methods.recipes",
    "protocol": "skeltools.protocols.recipes",
    "preparation": "skeltools.preparation.recipes",
}


def _protocol_recipes(context: click.Context, incomplete: str) -> Iterable[tuple[str, str]]:
    """Offer recipes of the protocol that the command line names; all where it names none."""
    asked = str(context.params.get("protocol") or "").partition(":")[0]
    found = _recipes(_PACKAGES["protocol"])
    return [pair for pair in found if pair[0].startswith(asked)] or found


def _everything(context: click.Context, incomplete: str) -> Iterable[tuple[str, str]]:
    """Offer what ``config`` takes beside run folders and files."""
    kind = context.params.get("kind")
    names = dict(
        pair for of, package in _PACKAGES.items() if kind in (None, of) for pair in _recipes(package)
    )
    if kind in (None, "protocol"):
        names |= {name: names.get(name, "") for name, _ in _result_protocols(context, incomplete)}
    return names.items()


def _settings(context: click.Context, incomplete: str) -> Iterable[tuple[str, str]]:
    """Offer ``key=value`` of the recipe that the command line names, and after the ``=`` the words it takes."""
    values = _values(context)
    key, equals, _ = incomplete.partition("=")
    choices, helps = _told(context.info_name or "")
    if equals:
        value = values.get(key)
        words = choices.get(key) or (("true", "false") if isinstance(value, bool) else (_shown(value),))
        return [(f"{key}={word}", helps.get(key, "")) for word in words] if key in values else []
    return [(f"{name}={_shown(value)}", helps.get(name, "")) for name, value in values.items()]


def _values(context: click.Context) -> dict[str, Any]:
    """Return settings of the command, by key: the values of the recipes in question, later ones winning."""
    from skeltools.settings import packaged_recipes, recipe_values

    params = context.params
    command = context.info_name or ""
    kinds = {"pretrain": ["pretraining"], "eval": ["protocol"], "config": list(_PACKAGES)}.get(
        command, ["preparation"]
    )
    found: dict[str, Any] = {}
    for kind in kinds:
        package = _PACKAGES[kind]
        names = packaged_recipes(package)
        own = params.get({"pretraining": "recipe", "protocol": "recipe", "preparation": "prep"}[kind])
        own = own or params.get("method") or (params.get("what") if command == "config" else None)
        if kind == "pretraining":
            own = own or "skeattnclr"
            order = ["mamp", "skeattnclr", own]
        elif kind == "protocol":
            asked = str(params.get("protocol") or "").partition(":")[0]
            order = [asked, own] if asked in names else [*names, own]
        else:
            order = ["skeattnclr", own]
        for name in order:
            if name in names or str(name).endswith(".toml"):
                found |= {key: value for key, value, _ in recipe_values(None, str(name), {}, package)}
    return found


def keys_ending(context: click.Context, word: str) -> list[str]:
    """Return the keys of the command's settings whose last word is `word`; none where it takes no settings."""
    if not any(param.name == "overrides" for param in context.command.params):
        return []
    return [key for key in _values(context) if key.rpartition(".")[2] == word]


def _told(command: str) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """Return the words and the help of those settings whose schema needs no torch, by key."""
    from skeltools.settings import schema_fields

    if command == "pretrain":
        from skeltools.runs.settings import MonitorSettings, TrainSettings

        known = {**schema_fields(TrainSettings, "train."), **schema_fields(MonitorSettings, "monitor.")}
    elif command == "eval":
        known = {}  # those of protocols are beside code that needs torch
    else:
        from skeltools.preparation.chain import Chain

        known = schema_fields(Chain, "chain.")
    choices = {key: tuple(meta["choices"]) for key, (_, meta) in known.items() if meta.get("choices")}
    return choices, {key: str(meta.get("help", "")) for key, (_, meta) in known.items()}


def _shown(value: Any) -> str:
    import json

    return value if isinstance(value, str) else json.dumps(value)


def _skeletons(context: click.Context, incomplete: str) -> Iterable[tuple[str, str]]:
    from skeltools.skeletons import packaged

    return _plain(packaged())


datasets = _offering(_datasets, files=True)
streams = _offering(_streams)
splits = _offering(_splits)
protocols = _offering(_protocols)
result_protocols = _offering(_result_protocols)
methods = _offering(_methods)
recipes = _offering(lambda context, incomplete: _recipes(_PACKAGES["pretraining"]), files=True)
protocol_recipes = _offering(_protocol_recipes, files=True)
preparations = _offering(lambda context, incomplete: _recipes(_PACKAGES["preparation"]), files=True)
everything = _offering(_everything, files=True)
settings = _offering(_settings)
skeletons = _offering(_skeletons, files=True)
