"""Settings: order of precedence, and one clear error for every kind of mistake."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from skeltools.errors import SettingError
from skeltools.protocols import PROTOCOLS
from skeltools.protocols.running import registry
from skeltools.runs.settings import resolve_recipe
from skeltools.settings import build, packaged_recipes, parse_override, resolve, setting


@dataclass(frozen=True)
class _Inner:
    lr: float = setting("rate", above=0)
    steps: tuple[int, ...] = setting("steps", low=1)
    kind: str = setting("kind", choices=("sgd", "adamw"))
    wide: bool = setting("wide")
    limit: int | None = setting("limit")


@dataclass(frozen=True)
class _Schema:
    train: _Inner


BASE = """
title = "base"
[train]
lr = 1
steps = [2, 3]
kind = "sgd"
wide = false
limit = "none"

[[when]]
match = { dataset = "ntu60", stream = ["joint", "bone"] }
source = "somewhere"
train.lr = 2.0
"""


@pytest.fixture
def base(tmp_path: Path) -> str:
    path = tmp_path / "base.toml"
    path.write_text(BASE)
    return str(path)


def test_values_come_from_the_last_layer_that_names_them(base: str, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(f'title = "other"\nextends = "{base}"\n[train]\nsteps = [5]\n')
    found = resolve(
        _Schema, base, str(other), overrides=["train.wide=true", "train.limit=7"], options={"train.lr": 4}
    )
    assert found.flat == {
        "train.lr": 4.0,
        "train.steps": (5,),
        "train.kind": "sgd",
        "train.wide": True,
        "train.limit": 7,
    }
    assert found.values.train.steps == (5,)
    assert found.title == "other"
    assert found.origin["train.wide"] == "--set"
    assert found.origin["train.lr"] == "option"
    assert found.origin["train.steps"] == f"recipe {other}"
    assert found.origin["train.kind"] == f"recipe {base}"


@pytest.mark.parametrize(
    ("context", "lr"),
    [
        ({"dataset": "ntu60", "stream": "joint"}, 2.0),
        ({"dataset": "ntu60", "stream": "bone"}, 2.0),
        ({"dataset": "ntu60", "stream": "motion"}, 1.0),
        ({"dataset": "pku1", "stream": "joint"}, 1.0),
        ({}, 1.0),
    ],
)
def test_when_tables_apply_only_where_every_key_matches(
    base: str, context: dict[str, str], lr: float
) -> None:
    assert resolve(_Schema, base, context=context).values.train.lr == lr


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.lrr=1", "Unknown setting 'train.lrr' (--set). Did you mean 'train.lr'?"),
        ("train.lr=fast", "Setting 'train.lr' (--set) must be a number, not 'fast'."),
        ("train.lr=true", "Setting 'train.lr' (--set) must be a number, not True."),
        ("train.lr=0", "Setting 'train.lr' (--set) must be greater than 0, not 0."),
        ("train.lr=nan", "Setting 'train.lr' (--set) must be greater than 0, not nan."),
        ("train.steps=[0]", "Setting 'train.steps' (--set) must be at least 1, not [0]."),
        ("lr=1", "Unknown setting 'lr' (--set). Did you mean 'train.lr'?"),
        ("optim.lr=1", "Unknown setting 'optim.lr' (--set). Did you mean 'train.lr'?"),
        ("knn.k=[1]", "Unknown setting 'knn.k' (--set): knn.* are settings of the protocol knn, which 'skeltools eval "
         "--protocol knn' takes."),
        ("chain.frames=9", "Unknown setting 'chain.frames' (--set): chain.* are settings of preparations, which "
         "'skeltools convert' takes."),
        ("train.steps=3", "Setting 'train.steps' (--set) must be a list, each entry a whole number, not 3. "
         "Example: --set 'train.steps=[3]'"),
        ("train.steps=3,5", "Setting 'train.steps' (--set) must be a list, each entry a whole number, not '3,5'. "
         "Example: --set 'train.steps=[3, 5]'"),
        ("train.steps=often", "Setting 'train.steps' (--set) must be a list, each entry a whole number, not 'often'. "
         "Example: --set 'train.steps=[1, 5]'"),
        ("train.kind=sdg", "Setting 'train.kind' (--set) must be one of sgd, adamw, not 'sdg'. "
         "Did you mean 'sgd'?"),
        ("train.wide=1", "Setting 'train.wide' (--set) must be true or false, not 1."),
        ("train.limit=x", "Setting 'train.limit' (--set) must be a whole number or none, not 'x'."),
        ("train.lr", "--set takes KEY=VALUE, not 'train.lr': write --set train.lr=VALUE."),
        ("a b", "--set takes KEY=VALUE, not 'a b': write --set KEY=VALUE."),
        ("=3", "--set takes KEY=VALUE, not '=3': write --set KEY=VALUE."),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_remedy(base: str, override: str, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        resolve(_Schema, base, overrides=[override])
    assert str(caught.value) == message


def test_a_base_recipe_with_a_gap_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gap.toml"
    path.write_text("[train]\nlr = 1.0\nwide = true\n")
    with pytest.raises(SettingError, match=r"gives no value for: train\.steps, train\.kind, train\.limit\."):
        resolve(_Schema, str(path))


def test_recipes_that_extend_one_another_in_a_circle_are_refused(tmp_path: Path) -> None:
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    one.write_text(f'extends = "{two}"\n')
    two.write_text(f'extends = "{one}"\n')
    with pytest.raises(SettingError, match="in a circle"):
        resolve(_Schema, str(one))


def test_unreadable_recipes_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"Recipe file .*nowhere\.toml does not exist\."):
        resolve(_Schema, str(tmp_path / "nowhere.toml"))
    broken = tmp_path / "broken.toml"
    broken.write_text("[train\n")
    with pytest.raises(SettingError, match=r"is not valid TOML: .*line 1"):
        resolve(_Schema, str(broken))
    with pytest.raises(SettingError, match=r"Unknown recipe 'skeatnclr'.*Did you mean 'skeattnclr'"):
        resolve(_Schema, "skeatnclr")


def test_stored_settings_build_the_same_values(base: str) -> None:
    found = resolve(_Schema, base)
    assert build(_Schema, found.flat) == found.values
    as_json = {key: list(value) if isinstance(value, tuple) else value for key, value in found.flat.items()}
    assert build(_Schema, as_json) == found.values


def test_override_values_are_read_as_toml_or_as_a_word() -> None:
    assert parse_override("a.b = [1, 2]") == ("a.b", [1, 2])
    assert parse_override("a=1e-3") == ("a", 1e-3)
    assert parse_override("augment.view=crop(6)|shear(0.5)") == ("augment.view", "crop(6)|shear(0.5)")
    assert parse_override("a=b=c") == ("a", "b=c")


def test_packaged_recipes_are_listed() -> None:
    assert {"knn", "linear"} <= set(packaged_recipes("skeltools.protocols.recipes"))


@pytest.mark.parametrize(
    ("extends", "message"),
    [
        ("skeatnclr", r"mine\.toml: extends names 'skeatnclr', .*Did you mean 'skeattnclr'"),
        ("nowhere.toml", r"mine\.toml: extends names nowhere\.toml, which does not exist\."),
    ],
)
def test_a_recipe_that_extends_an_unknown_one_is_named(extends: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'extends = "{extends}"\n')
    with pytest.raises(SettingError, match=message):
        resolve(_Schema, str(path))


def test_the_recipe_that_extends_no_name_is_named(tmp_path: Path) -> None:
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    one.write_text(f'extends = "{two}"\n')
    two.write_text("extends = 1\n")
    with pytest.raises(SettingError, match=r"two\.toml': extends must be a recipe's name\."):
        resolve(_Schema, str(one))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["pretrain", "lr=1"],
            "Unknown setting 'lr' (--set). Did you mean 'train.lr'?",
        ),
        (
            ["pretrain", "linear.lr=1"],
            "Unknown setting 'linear.lr' (--set): linear.* are settings of the protocol linear, which 'skeltools eval "
            "--protocol linear' takes. Did you mean 'train.lr'?",
        ),
        (["eval", "linear", "lr=1"], "Unknown setting 'lr' (--set). Did you mean 'linear.lr'?"),
        (
            ["eval", "linear", "knn.k=[1]"],
            "Unknown setting 'knn.k' (--set): knn.* are settings of the protocol knn, which 'skeltools eval --protocol "
            "knn' takes.",
        ),
        (
            ["eval", "linear", "queue.size=9"],
            "Unknown setting 'queue.size' (--set): queue.* are settings of pretraining, which 'skeltools "
            "pretrain' takes.",
        ),
        (
            ["eval", "knn", "knn.k=10"],
            "Setting 'knn.k' (--set) must be a list, each entry a whole number, not 10. Example: --set 'knn.k=[10]'",
        ),
        (
            ["eval", "knn", "knn.k=0"],
            "Setting 'knn.k' (--set) must be a list, each entry a whole number, not 0. Example: --set 'knn.k=[1, 5]'",
        ),
        (
            ["eval", "linear", "linear.lr"],
            "--set takes KEY=VALUE, not 'linear.lr': write --set linear.lr=VALUE.",
        ),
        (
            ["eval", "ensemble", "ensemble.weights=equal,aimclr"],
            "Setting 'ensemble.weights' (--set) must be a list, each entry a text, not 'equal,aimclr'. Example: --set "
            """'ensemble.weights=["equal", "aimclr"]'""",
        ),
    ],
)
def test_a_key_of_elsewhere_says_whose_it_is(words: list[str], message: str) -> None:
    """As pretrain and each protocol resolve them."""

    def resolved() -> object:
        if words[0] == "pretrain":
            return resolve_recipe(None, dataset="ntu60", split="xsub", stream="joint", overrides=words[-1:])
        return registry.get(words[1]).resolve({}, overrides=words[-1:])

    with pytest.raises(SettingError) as caught:
        resolved()
    assert str(caught.value) == message


def _lists() -> Iterator[tuple[str, Callable[[list[str]], object]]]:
    """Every setting that is a list, with what resolves the settings it stands among from ``--set`` texts."""
    for name in (
        "skeattnclr",
        "skeletonclr",
        "mamp",
        "demo",
        "demo-bigru",
        "nwucla-bigru",
        "nwucla-bigru-skeattnclr",
    ):

        def pretraining(words: list[str], name: str = name) -> Any:
            return resolve_recipe(name, dataset="ntu60", split="xsub", stream="joint", overrides=words)

        for key, value in pretraining([]).flat.items():
            if isinstance(value, tuple):
                yield key, pretraining
    for name in PROTOCOLS:
        protocol = registry.get(name.replace(":P", ":5"))
        for key, value in protocol.resolve({}).flat.items():
            if isinstance(value, tuple):
                yield key, lambda words, protocol=protocol: protocol.resolve({}, None, words)


def test_every_example_in_an_error_is_accepted() -> None:
    """``knn.k=[0]`` was offered for ``knn.k=0``, and refused."""
    tried = set()
    for key, resolving in _lists():
        for value in ("0", "-1", "7.5", "1e12", "word", "equal,linear", "true", "nan"):
            with pytest.raises(SettingError) as error:
                resolving([f"{key}={value}"])
            found = re.search(r"Example: --set '([^']+)'$", str(error.value))
            assert found, str(error.value)
            assert found[1].startswith(f"{key}=[")
            resolving([found[1]])
            tried.add(key)
    assert tried >= {
        "knn.k", "linear.lr_steps", "train.lr_steps", "ensemble.weights", "ensemble.table.equal", "robust.corruptions",
        "transfer.parts",
    }  # fmt: skip
