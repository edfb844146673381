"""No text of a record leaves its cell, its comment or its line, whatever the format."""

from __future__ import annotations

import csv
import io
import re

import pytest

from skeltools.results.tables import Grid, to_csv, to_latex, to_markdown

ENDS = ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x85", "\u2028", "\u2029", "\x1c"]
ATTACKS = [
    "\\input{/etc/passwd}", "\\write18{id}", "<script>alert(1)</script>", "[x](javascript:alert(1))",
    "<img src=x onerror=alert(1)>", "\\|<b>", "&#60;script&#62;", "`<x>`", "a | b",
    "![x](http://x/y.png)", "{}%$&#_^~\\",
]  # fmt: skip


def grid(text: str) -> Grid:
    return Grid(
        [f"title {text}"], [("name", False), (text, True)], [[text, "1"], ["x", text]], notes=[f"note {text}"]
    )


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("end", ENDS)
def test_latex_gets_comments_of_one_line_and_cells_without_commands(attack: str, end: str) -> None:
    lines = re.split(
        "|".join(map(re.escape, sorted(ENDS, key=len, reverse=True))), to_latex(grid(f"a{end}{attack}"))
    )
    commands = ("\\begin{tabular}", "\\toprule", "\\midrule", "\\bottomrule", "\\end{tabular}")
    for line in lines:
        if line and not line.startswith(("% ", *commands)):
            bare = re.sub(r"\\(textbackslash\{\}|text\w+\{\}|[&%$#_{}]|\\$)|\$\\pm\$", "", line)
            assert not re.search(r"[\\%$#_^~{}]", bare), line
            assert bare.count("&") == 1, line


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("end", ENDS)
def test_markdown_gets_neither_html_nor_links_nor_lines(attack: str, end: str) -> None:
    text = to_markdown(grid(f"a{end}{attack}"))
    assert not re.search(r"[<>]|(?<!\\)(\\\\)*[\[\]`]|&(?!lt;|gt;|amp;)(?=#?\w+;)", text)
    assert len(text.splitlines()) == 8
    for line in text.splitlines()[2:6]:
        assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 3, line


@pytest.mark.parametrize(
    "attack",
    [
        "=cmd|' /C calc'!A0",
        '=HYPERLINK("http://x")',
        "+1+1",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        " =1",
        "\uff1d1+1",
        "\n=1",
    ],
)
def test_csv_gets_no_formula(attack: str) -> None:
    rows = list(csv.reader(io.StringIO(to_csv(["name", attack], [[attack, 1.5], [None, -2]]))))
    assert len(rows) == 3
    assert all(not cell.lstrip().startswith(("=", "+", "@", "-2+", "\uff1d")) for row in rows for cell in row)
    assert rows[2] == ["", "-2"]
    assert to_csv(["x"], [["-0.5"], ["+1e-3"], ["xsub"]]) == "x\n-0.5\n+1e-3\nxsub\n"


def test_a_row_of_latex_does_not_begin_as_an_argument() -> None:
    assert "\n{}[2cm] & 1" in to_latex(Grid(["t"], [("a", False), ("b", True)], [["[2cm]", "1"], ["*", "2"]]))
