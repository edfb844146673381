"""Counts and their nouns: ``counted`` makes every plural, so that no message says ``1 clips``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from skeltools.errors import counted

ROOT = Path(__file__).resolve().parents[2]
NOUNS = re.compile(
    r" (?:(?:test|training|further|common|raw) )?"
    r"(clips|epochs|frames|settings|seeds|steps|threads|results|processes|evaluations|runs|files|videos)\b"
)
NEVER_ONE = {
    "PADDED", "FRAME_LIMITS[1]",  # constants
    "self.size", "self.world.size",  # processes of torchrun
    "len(clips)", "max(lengths)",  # of faults that one cannot be
}  # fmt: skip
NO_COUNT = {"both", "first", "word", "protocol", "part", "_spread(found['length'])", "length['median']"}


def uncounted() -> Iterator[tuple[str, str]]:
    """File and expression of every value that stands before a plural in a message."""
    for room in ("cli", "skeltools", "protocols"):
        for path in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if not isinstance(node, ast.JoinedStr):
                    continue
                for value, after in zip(node.values, node.values[1:], strict=False):
                    is_pair = isinstance(value, ast.FormattedValue) and isinstance(after, ast.Constant)
                    if is_pair and NOUNS.match(str(after.value)):
                        yield path.relative_to(ROOT).as_posix(), ast.unparse(value.value)


def test_every_count_agrees_with_its_noun() -> None:
    odd = [(path, told) for path, told in uncounted() if told not in NEVER_ONE | NO_COUNT]
    joined = [(path, told) for path, told in odd if "join(" not in told]
    assert joined == [], f"write counted(count, 'clip'): {joined}"


@pytest.mark.parametrize(
    ("count", "words", "told"),
    [
        (0, ("clip",), "0 clips"),
        (1, ("clip",), "1 clip"),
        (40091, ("clip",), "40,091 clips"),
        (1, ("process", "processes"), "1 process"),
        (2, ("process", "processes"), "2 processes"),
        (1, ("setting differs", "settings differ"), "1 setting differs"),
        (3, ("setting differs", "settings differ"), "3 settings differ"),
    ],
)
def test_counted(count: int, words: tuple[str, ...], told: str) -> None:
    assert counted(count, *words) == told
