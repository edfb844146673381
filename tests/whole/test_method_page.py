"""The specification and the code say the same: settings, their choices and defaults, recipes, splits and counts."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from skeltools.datasets import ntu
from skeltools.datasets import registry as datasets
from skeltools.preparation.chain import Chain, choose
from skeltools.settings import packaged_recipes

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "method.md").read_text(encoding="utf-8")
DECIDES = [
    (number, cell)
    for number, cell in re.findall(r'^\| <a id="divergence-(\d+)"></a>.*\| ([^|]*) \|$', PAGE, re.M)
]
PROTOCOLS = "skeltools.protocols.recipes"


def packaged(name: str, package: str) -> dict[str, Any]:
    return tomllib.loads((files(package) / f"{name}.toml").read_text("utf-8"))


@pytest.fixture(scope="module")
def defaults() -> dict[str, Any]:
    """Every setting of the base recipes by dotted key, where a list or text as the page writes it."""
    found = {f"chain.{key}": value for key, value in choose().values.settings().items()}
    for name, package in (
        ("skeattnclr", "skeltools.methods.recipes"),
        *((name, PROTOCOLS) for name in ("linear", "knn", "finetune", "semi1", "semi10", "semi", "ensemble")),
    ):
        for section, values in packaged(name, package).items():
            if isinstance(values, dict):
                found |= {f"{section}.{key}": value for key, value in values.items()}
    return found


@pytest.mark.parametrize(("number", "cell"), DECIDES)
def test_the_settings_of_a_divergence_are_there(number: str, cell: str, defaults: dict[str, Any]) -> None:
    keys = re.findall(r"`([a-z0-9]+\.[a-z_]+)`", cell)
    assert [key for key in keys if key not in defaults] == []
    recipes = re.findall(r"`--recipe ([\w-]+)`", cell)
    assert set(recipes) <= set(packaged_recipes(PROTOCOLS))
    assert set(re.findall(r"`--prep ([\w-]+)`", cell)) <= set(
        packaged_recipes("skeltools.preparation.recipes")
    )
    assert keys or recipes or cell.startswith("none") or "`--allow-leak`" in cell, "nothing decides it"


CHOICES = [
    (key, re.findall(r"`([^`]+)`", words))
    for _, cell in DECIDES
    for key, words in re.findall(r"`((?:chain|semi|ensemble)\.\w+)` = ((?:`[^`]+`(?:, )?)+)", cell)
]


@pytest.mark.parametrize(("key", "words"), CHOICES)
def test_the_first_choice_is_the_default_and_none_is_missing(
    key: str, words: list[str], defaults: dict[str, Any]
) -> None:
    section, _, name = key.partition(".")
    if section == "chain":
        (field,) = (each for each in fields(Chain) if each.name == name)
        assert (words[0], sorted(words)) == (defaults[key], sorted(field.metadata["choices"]))
    elif key == "ensemble.weights":
        assert words[:1] == defaults[key]
        assert words[1:-1] == [each for each in defaults["ensemble.table"] if each != words[0]]
    else:
        assert words[0] == defaults[key]


def test_choices_and_numbers_are_found_on_the_page(defaults: dict[str, Any]) -> None:
    assert len(CHOICES) >= 14
    numbers = re.findall(r"`(\w+\.\w+)` = ([\d.]+)", PAGE)
    assert len(numbers) >= 3
    assert [key for key, number in numbers if defaults[key] != float(number)] == []


def numbers_of(text: str) -> set[int]:
    found: set[int] = set()
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", text):
        found |= set(range(int(first), int(last or first) + 1))
    return found


def test_splits_and_official_counts_are_those_of_the_datasets() -> None:
    rows = re.findall(r"^\| NTU-(\d+) `(\w+)` \| (.+) \| ([\d,]+), ([\d,]+) \|$", PAGE, re.M)
    assert len(rows) == 4
    xsub: set[int] = set()
    for size, split, side, train, test in rows:
        dataset = datasets.get(f"ntu{size}")
        assert dataset.counts[split] == tuple(int(count.replace(",", "")) for count in (train, test))
        if split == "xsub":
            xsub |= numbers_of(side)
            trains = {
                performer
                for performer in range(1, 107)
                if dataset.train[split](
                    ntu.NtuName(setup=1, camera=1, subject=performer, replication=1, action=1)
                )
            }
            assert trains == xsub
