"""Code, messages and documents are in plain English: rates are "per", things are, and messages say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("skeltools", "cli", "protocols", "docs", "tests", "benchmarks", ".github", ".ci")
ENDINGS = (".py", ".toml", ".md", ".html", ".js", ".yml", ".sh")

COUNTED = (
    "arrays|batches|bits?|bodies|bytes|channels|characters|classes|clips|commands|dots|entries|epochs|files|floats|"
    "frames|hours|images|inputs|joints|kills|labels|lines|memory|milliseconds|minutes|nats|numbers|operations|parts|"
    "pixels|points|queries|records|rows|samples|seconds|seeds|settings|steps|tokens|trials|tuples|units|values|videos|views|"
    "weights|windows|words|ms|[kKMG]i?B|[MGT]?FLOPs?|once|twice|hundredfold"
)
UNIT = (
    "archive|array|batch|body|cell|channel|class|clip|column|command|copy|dataset|device|draw|encoder|entrant|entry|"
    "epoch|file|float|folder|format|frame|grid|hour|inch|joint|kernel|kind|label|layer|line|member|method|minute|"
    "module|number|panel|part|pass|path|person|pixel|point|preparation|process|product|protocol|reader|record|"
    "recording|result|row|run|second|seed|session|side|sign|source|split|state|step|storage|stream|subject|subset|table|"
    "target|task|token|trial|value|vector|video|view|weight|window|word|worker"
)
_GAP = r"(?: |\s*\n\s*(?:# )?)"
PER = re.compile(
    rf"(?<![-\w])(?:{COUNTED}|times|(?:an?|one|two|\d+) (?:\.txt )?(?:{UNIT})|one|\d+(?:\.\d+)?){_GAP}an?{_GAP}"
    rf"(?:{UNIT}|corruption|forward|prepared clip|global step|body part)\b",
    re.IGNORECASE,
)
"""What counts or measures, directly before "a" or "an" and what it is counted by."""

RELATIVE = re.compile(r"\b(?:how many|which)\b[^.;:]{0,40}$")
"""What makes of such words a clause of their own: how many clips a subset takes."""


DIALECT = {
    "say that things are, not that they stand": re.compile(
        r"(?<![-`\"'_])\bstands?\b(?! for\b| in for\b| still\b| out\b| up\b|[-`\"'_(])"
    ),
    "say what finds or prints it, not that it is told": re.compile(
        r"\b(?:is|are|be|was|were|been) told\b(?! apart| otherwise| to\b)"
    ),
    "write 'something other than'": re.compile(r"\b(?:something|anything|nothing|all) else than\b"),
    "write 'is not one of', not 'is none of'": re.compile(
        r"(?<![Tt]here )\b(?:is|are|was|were) none of (?!them\b|these\b|those\b)"
    ),
    "say that it is not known, not that nobody knows": re.compile(r"\bnobody (?:can|could|knows|knew)\b"),
    "say 'that does not exist'": re.compile(r"\bthat there (?:is|are) not\b"),
    "write 'cannot be used'": re.compile(r"\b(?:is|are|was|were) of no use\b"),
    "write 'is not a', not 'is no'": re.compile(
        r"(?<![Tt]here )\b(?:is|are|was|were) no (?!longer|more|other|further|such|one\b|substitute|proof|claim|news|"
        r"gain|opponent|less|room|reason|difference)\w"
    ),
}
"""Words that plain English says otherwise."""

IDIOMS = re.compile("as (?:it|they) stands?|choices stand|pictures that stand")


def texts() -> list[Path]:
    """The files with sentences in them, but for cli.md, which is made of the help texts, and this one."""
    found = [path for path in ROOT.iterdir() if path.suffix == ".md" or path.name == "Makefile"]
    for folder in FOLDERS:
        found += [path for path in (ROOT / folder).rglob("*") if path.suffix in ENDINGS or folder == ".ci"]
    left = {ROOT / "docs" / "cli.md", Path(__file__)}
    return sorted(
        path for path in found if path.is_file() and path not in left and "fixtures" not in path.parts
    )


def rates(text: str) -> list[str]:
    """Return where a text says "frames a second" and the like, as ``line: words``."""
    return [
        f"{text.count(chr(10), 0, found.start()) + 1}: {found[0]}"
        for found in PER.finditer(text)
        if not RELATIVE.search(text, max(0, found.start() - 60), found.start())
    ]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("114 frames a second", 1),
        ("ms a step", 1),
        ("Clips a forward pass", 1),
        ("one module a layer", 1),
        ("one float an\n    entry", 1),
        ("# a line\n# a frame", 1),
        ("1.2 KB a clip, once a batch", 2),
        ("frames per second; three frames of a clip", 0),
        ("how many of its clips a subset takes", 0),
        ("with a clip, reads a file, holds a row", 0),
        ("NTU-120 a copy", 0),
    ],
)
def test_the_finder_of_rates_finds_them(text: str, count: int) -> None:
    assert len(rates(text)) == count


def test_rates_are_per() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{rate}"
        for path in texts()
        for rate in rates(path.read_text(encoding="utf-8"))
    ]
    assert not found, "write 'per': " + "; ".join(found)
    assert len(texts()) > 500


@pytest.mark.parametrize("rule", DIALECT)
def test_no_private_dialect(rule: str) -> None:
    """In the product and its documents; people stand in the synthetic motion and in names of actions."""
    apart = [
        ROOT / "skeltools" / "synth",
        ROOT / "skeltools" / "datasets",
        ROOT / "tests",
        ROOT / "CHANGELOG.md",
    ]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts()
        if not any(path.is_relative_to(one) for one in apart)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if DIALECT[rule].search(line) and not IDIOMS.search(line)
    ]
    assert not found, f"{rule}: " + "; ".join(found)
