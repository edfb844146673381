"""Every protocol by name. Adding one is a module, a recipe of the same name and a line here."""

from __future__ import annotations

import importlib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, cast

from skeltools.datasets import subsets
from skeltools.errors import SettingError, did_you_mean
from skeltools.protocols.running.base import ProtocolModule
from skeltools.settings import Resolved, resolve, schema_fields

RECIPES = "skeltools.protocols.recipes"
"""Package of the protocol recipes."""


@dataclass(frozen=True)
class Entry:
    """A line of the table: what the protocol does, and where it lives.

    Attributes:
        summary: A few words.
        module: Module of this package.
        schema: Name of its settings schema there.
    """

    summary: str
    module: str
    schema: str = "Settings"


PROTOCOLS: dict[str, Entry] = {
    "linear": Entry("one linear layer on frozen features", "linear"),
    "knn": Entry("votes of the nearest training clips", "knn"),
    "retrieval": Entry("the nearest training clip, and mean average precision", "retrieval"),
    "finetune": Entry("all weights trained on all labels", "finetune"),
    "semi1": Entry("all weights trained on 1 % of the labels", "semi", "Semi1"),
    "semi10": Entry("all weights trained on 10 % of the labels", "semi", "Semi10"),
    "semi": Entry("all weights trained on P % of the labels", "semi", "Semi"),
    "transfer": Entry("linear and finetune on another file", "transfer"),
    "oneshot": Entry("NTU-120's 20 novel classes from one clip each", "oneshot"),
    "ensemble": Entry("weighted sum of the streams' scores", "ensemble"),
}
"""In the order `all` runs them. ``semi`` is asked for as ``semi:P``, P the percentage of labels."""


@dataclass(frozen=True)
class Definition:
    """A protocol ready to run.

    Attributes:
        name: As asked for: ``linear``, ``semi:5``.
        family: Section of its settings and name of its recipe: ``linear``, ``semi``.
        module: The module that runs it.
        schema: Schema of its settings.
        fixed: Settings that the name implies, by dotted key.
    """

    name: str
    family: str
    module: ProtocolModule
    schema: type
    fixed: Mapping[str, Any]

    def notes(self, context: Mapping[str, str]) -> list[str]:
        """Return what the protocol's own recipe says of its values for a dataset, split and stream.

        Where the recipe holds rows by dataset, split and stream and none fits, a sentence says whose values
        are taken instead.
        """
        text = (files(RECIPES) / f"{self.family}.toml").read_text(encoding="utf-8")
        rows = tomllib.loads(text).get("when", [])
        fitting = [row for row in rows if _fits(row["match"], context)]
        if rows and not fitting:
            where = " ".join(context[key] for key in ("dataset", "split", "stream"))
            where = f"target {where}" if self.family == "transfer" else where
            return [
                f"{self.name}: no published row for {where}; the recipe takes NTU-60 xsub joint's values."
            ]
        return [f"{self.name}: {row['note']}" for row in fitting if "note" in row]

    @property
    def epoch_keys(self) -> tuple[str, ...]:
        """Keys that ``--epochs`` sets."""
        return tuple(key for key in schema_fields(self.schema) if key.endswith(".epochs"))

    def resolve(
        self,
        context: Mapping[str, str],
        recipe: str | None = None,
        overrides: Iterable[str] = (),
        options: Mapping[str, Any] | None = None,
    ) -> Resolved[Any]:
        """Resolve the settings; see `skeltools.settings.resolve`.

        Raises:
            SettingError: An unknown key or recipe, or a value that does not fit.
        """
        return resolve(
            self.schema,
            self.family,
            recipe,
            context=context,
            overrides=overrides,
            options={**self.fixed, **(options or {})},
            package=RECIPES,
        )

    def section(self, values: Any) -> Any:
        """Return the protocol's section of resolved settings."""
        return getattr(values, self.family)


def _fits(match: Mapping[str, str | list[str]], context: Mapping[str, str]) -> bool:
    return all(context[key] in ([want] if isinstance(want, str) else want) for key, want in match.items())


def names() -> str:
    """Return the names for help texts and messages."""
    return ", ".join("semi:P" if name == "semi" else name for name in PROTOCOLS)


def get(name: str) -> Definition:
    """Return a protocol by name.

    Raises:
        SettingError: There is no such protocol; the message lists those there are.
    """
    family, _, percent = name.partition(":")
    if family not in PROTOCOLS or (":" in name) != (family == "semi"):
        hint = did_you_mean(name, PROTOCOLS)
        raise SettingError(f"Unknown protocol '{name}'. Choose one of: {names()}, all.{hint}")
    entry = PROTOCOLS[family]
    fixed: dict[str, Any] = {}
    if family == "semi":
        share = subsets.parse_percent(percent)
        fixed["semi.percent"] = float(subsets.percent_name(share))
        name = f"semi:{subsets.percent_name(share)}"
    module = importlib.import_module(f"skeltools.protocols.{entry.module}")
    schema = cast(type, getattr(module, entry.schema))
    return Definition(name, family, cast(ProtocolModule, module), schema, fixed)
