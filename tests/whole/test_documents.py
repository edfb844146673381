"""Documents lead somewhere: links, anchors that code cites, and files that are named."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FOLDERS = ("benchmarks", "cli", "docs", "protocols", "skeltools", "tests")
FENCED = re.compile(r"^```.*?^```$", re.M | re.S)
LINK = re.compile(r"\[[^\]\[]*(?:\[[^\]]*\][^\]\[]*)*\]\(([^)\s]+)\)")
CITED = re.compile(r"\b(docs/[\w/-]+\.md)(?:#([\w-]+))?")
NAMED = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*\w)(?:::\w+)?`")


def slugs(heading: str) -> set[str]:
    """The anchor of a heading, as GitHub makes it and as the site does; one text where both agree."""
    text = unicodedata.normalize("NFKD", re.sub(r"`|\[([^\]]*)\]\([^)]*\)", r"\1", heading))
    text = re.sub(r"[^\w\s-]", "", text).strip().lower()
    return {text.replace(" ", "-"), re.sub(r"[-\s]+", "-", text)}


@cache
def anchors(path: Path) -> frozenset[str]:
    """Anchors of a page that lead to the same place on GitHub and on the site."""
    text = FENCED.sub("", path.read_text(encoding="utf-8"))
    made = [slugs(heading) for heading in re.findall(r"^#{1,6} (.+?)\s*$", text, re.M)]
    found = {next(iter(each)) for each in made if len(each) == 1}
    return frozenset(found | set(re.findall(r'<a id="([\w-]+)">', text)))


def fault(path: Path, anchor: str) -> str:
    if not path.exists():
        return f"{path} is not there"
    if anchor and anchor not in anchors(path):
        return f"{path.name} has no #{anchor}"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    wrong = []
    for target in LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        if not target.startswith(("http://", "https://")):
            name, _, anchor = target.partition("#")
            wrong.append(fault((page.parent / name).resolve() if name else page, anchor))
    assert [each for each in wrong if each] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    named = NAMED.findall(page.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_page_has_a_place_on_the_site() -> None:
    """Said here in a moment what `make docs` says in a minute."""
    nav = (
        (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2].partition("\nmarkdown_")[0]
    )
    places = re.findall(r"- (?:[^:\n]+: )?([\w/-]+\.md)$", nav, re.M)
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert pages - set(places) == set(), "Add these pages to nav in mkdocs.yml."
    assert set(places) - pages == {
        "index.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
    }  # of the root


def test_code_cites_pages_and_anchors_that_are_there() -> None:
    cited = 0
    wrong = []
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in (".py", ".toml"):
                text = path.read_text(encoding="utf-8")
                assert not re.search(r"\bspec(ification)? sections?\b", text), f"{path} cites what nobody has"
                for name, anchor in CITED.findall(text):
                    cited += name == "docs/method.md"
                    wrong.append(f"{path.name}: {found}" if (found := fault(ROOT / name, anchor)) else "")
    assert [each for each in wrong if each] == []
    assert cited > 30


def test_the_divergences_are_numbered_in_order() -> None:
    text = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
    rows = re.findall(r'^\| <a id="divergence-(\d+)"></a>(\d+) \|', text, re.M)
    assert rows == [(str(number), str(number)) for number in range(1, len(rows) + 1)]
    assert len(rows) >= 31


@pytest.mark.parametrize(
    ("heading", "same"),
    [("NTU RGB+D", {"ntu-rgbd"}), ("A & b", {"a--b", "a-b"}), ("`skeltools` [x](y.md)", {"skeltools-x"})],
)
def test_anchors_are_made_as_both_make_them(heading: str, same: set[str]) -> None:
    assert slugs(heading) == same


def test_the_page_of_127_clips_says_as_which_dataset_they_are_converted() -> None:
    """It was made before the dataset had a name of its own; whoever repeats it is to take that name."""
    page = " ".join((ROOT / "docs" / "lab" / "results-irds.md").read_text("utf-8").split())
    assert "The files were converted as `ntu60`, whose format and names they have." in page
    assert "`skeltools convert irds irds_ntu irds.h5` reads the same files" in page
