"""No text of a record leaves its cell, its comment or its line, whatever the format."""

from __future__ import annotations

import csv
import io
import re

import pytest
from rich.console import Console

from skeltools.results.tables import Grid, to_csv, to_latex, to_markdown, to_rich

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


def test_a_wide_table_comes_in_parts_that_fit_and_name_their_rows() -> None:
    columns = [("group", False), ("clips", True)]
    for number in range(4):
        columns += [(f"encoder {number} linear", True), ("95 %", True)]
    whole = Grid(["title"], columns, notes=["note"])
    for row in range(3):
        whole.add([f"camera {row}", "12", *["50.0", "42.5-57.5"] * 4], new_section=row == 2)
    parts = whole.within(80)
    assert [[heading for heading, _ in part.columns] for part in parts] == [
        ["group", "clips", "encoder 0 linear", "95 %", "encoder 1 linear", "95 %"],
        ["group", "clips", "encoder 2 linear", "95 %", "encoder 3 linear", "95 %"],
    ]
    assert [part.title for part in parts] == [["title"], []]
    assert [part.notes for part in parts] == [[], ["note"]]
    for part in parts:
        assert (part.breaks, part.rows[0]) == ({2}, ["camera 0", "12", *["50.0", "42.5-57.5"] * 2])
        table = to_rich(part)
        table.title = table.caption = None
        text = io.StringIO()
        Console(width=80, file=text).print(table)
        lines = text.getvalue().splitlines()
        assert lines[0].split() == " ".join(heading for heading, _ in part.columns).split()
        assert lines[2].split() == " ".join(part.rows[0]).split()  # no cell is folded
    assert whole.within(240) == [whole]
    assert whole.within(20) == [whole]  # no room for anything beside the names


def test_the_columns_that_name_a_row_can_be_said() -> None:
    wide = Grid(["title"], [("a", False), ("T", True), ("b" * 30, True), ("c" * 30, True)], keys=2)
    wide.add(["x", "0.5", "1", "2"])
    assert [part.rows for part in wide.within(40)] == [[["x", "0.5", "1"]], [["x", "0.5", "2"]]]
    assert wide.without({"a"}).keys == 1
