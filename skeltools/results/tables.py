"""Tables as plain data, and their four faces: rich, Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from skeltools.files.texts import printable

if TYPE_CHECKING:
    from rich.table import Table


@dataclass
class Grid:
    """A table of texts.

    Attributes:
        title: Lines above it.
        columns: Heading and whether the column is right-aligned.
        rows: Cells, one text per column.
        breaks: Indices of rows that begin a new section.
        notes: Sentences below it.
        keys: How many of the first columns name a row; 0 for those that are left-aligned, and ``clips`` after them.
    """

    title: list[str]
    columns: list[tuple[str, bool]]
    rows: list[list[str]] = field(default_factory=list)
    breaks: set[int] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    keys: int = 0

    def add(self, cells: Sequence[str], *, new_section: bool = False) -> None:
        """Append a row."""
        if new_section and self.rows:
            self.breaks.add(len(self.rows))
        self.rows.append(list(cells))

    def without(self, headings: set[str]) -> Grid:
        """Return the grid without some columns."""
        keep = [place for place, (heading, _) in enumerate(self.columns) if heading not in headings]
        rows = [[row[place] for place in keep] for row in self.rows]
        keys = sum(place < self.keys for place in keep)
        return Grid(self.title, [self.columns[place] for place in keep], rows, self.breaks, self.notes, keys)

    def within(self, width: int) -> list[Grid]:
        """Return the grid in parts of at most `width` columns of text, each with the columns that name its rows.

        These are the first `keys`. A column ``95 %`` stays beside the one before it. A grid whose rows' names alone
        leave no room, or that has no further columns, stays whole. The first part has the title, the last one the
        notes.
        """
        from rich.cells import cell_len

        heads = [heading for heading, _ in self.columns]
        sizes = [
            max(map(cell_len, (heading, *(row[place] for row in self.rows))), default=0) + 1
            for place, heading in enumerate(heads)
        ]  # with the space after it
        keys = self.keys or next(
            (place for place, (_, right) in enumerate(self.columns) if right), len(heads)
        )
        keys += heads[keys : keys + 1] == ["clips"]
        units: list[list[int]] = []
        for place in range(keys, len(heads)):
            if units and heads[place].endswith("95 %"):
                units[-1].append(place)
            else:
                units.append([place])
        room = width + 1 - sum(sizes[:keys])
        if sum(sizes) <= width + 1 or any(sum(sizes[place] for place in unit) > room for unit in units):
            return [self]
        parts: list[list[int]] = [[]]
        for unit in units:
            if sum(sizes[place] for place in (*parts[-1], *unit)) > room:
                parts.append([])
            parts[-1] += unit
        kept = [[*range(keys), *part] for part in parts]
        return [
            Grid(
                self.title if number == 0 else [],
                [self.columns[place] for place in places],
                [[row[place] for place in places] for row in self.rows],
                self.breaks,
                self.notes if number == len(kept) - 1 else [],
            )
            for number, places in enumerate(kept)
        ]


def to_rich(grid: Grid) -> Table:
    """Return a grid as a rich table; texts are never read as markup."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=Text("\n".join(grid.title)),
        title_justify="left",
        title_style="bold",
        caption=Text("\n".join(grid.notes)) if grid.notes else None,
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 0),
        show_edge=False,
    )
    for heading, right in grid.columns:
        table.add_column(Text(heading), justify="right" if right else "left", overflow="fold")
    for place, row in enumerate(grid.rows):
        if place in grid.breaks:
            table.add_section()
        table.add_row(*(Text(cell) for cell in row))
    return table


_LINE_ENDS = re.compile(r"[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")


def _flat(text: str) -> str:
    """Return a text on one line, without characters that a program could act on. Every format begins with it."""
    return printable(_LINE_ENDS.sub(" ", text)).replace("\t", " ")


_MARKDOWN = {
    "\\": "\\\\", "|": "\\|", "<": "&lt;", ">": "&gt;", "[": "\\[", "]": "\\]", "`": "\\`",
}  # fmt: skip


_ENTITY = re.compile(r"&(?=#?\w+;)")
"""Where Markdown would read a character's name; anywhere else it shows the sign as it stands."""


def markdown_text(text: str) -> str:
    """Return a text that Markdown shows as it stands: no HTML, no link, no cell's end."""
    plain = _ENTITY.sub("&amp;", _flat(text))
    return "".join(_MARKDOWN.get(char, char) for char in plain)


def to_markdown(grid: Grid) -> str:
    """Return a grid as a GitHub table."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cells) + " |"

    lines = ["**" + "; ".join(map(markdown_text, grid.title)) + "**", ""]
    lines += [line([markdown_text(heading) for heading, _ in grid.columns])]
    lines += [line(["---:" if right else "---" for _, right in grid.columns])]
    lines += [line([markdown_text(cell) for cell in row]) for row in grid.rows]
    lines += ["", *(f"{markdown_text(note)}  " for note in grid.notes)] if grid.notes else []
    return "\n".join(lines) + "\n"


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "<": r"\textless{}",
    ">": r"\textgreater{}",
}  # fmt: skip


def latex_text(text: str) -> str:
    """Return a text with LaTeX's special characters escaped."""
    return "".join(_LATEX.get(char, char) for char in _flat(text))


def to_latex(grid: Grid) -> str:
    """Return a grid as a ``tabular`` of the booktabs package; title and notes are comments."""
    spec = "".join("r" if right else "l" for _, right in grid.columns)
    lines = [f"% {_flat(text)}" for text in (*grid.title, *grid.notes)]
    lines += [f"\\begin{{tabular}}{{{spec}}}", "\\toprule"]
    lines += [_latex_row([heading for heading, _ in grid.columns]), "\\midrule"]
    for place, row in enumerate(grid.rows):
        if place in grid.breaks:
            lines.append("\\midrule")
        lines.append(_latex_row(row))
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


def _latex_row(cells: Sequence[str]) -> str:
    line = " & ".join(map(latex_text, cells)) + r" \\"
    return f"{{}}{line}" if line.startswith(("[", "*")) else line  # which the line's end before would take


def to_csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows as CSV with a header; None is an empty cell, and no text is a spreadsheet's formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([_csv_cell(cell) for cell in header])
    writer.writerows([[_csv_cell(cell) for cell in row] for row in rows])
    return text.getvalue()


def _csv_cell(cell: object) -> object:
    if cell is None:
        return ""
    if not isinstance(cell, str):
        return cell
    flat = _flat(cell)
    return f"'{flat}" if flat.lstrip().startswith(_FORMULA) and not _NUMBER.fullmatch(flat) else flat


_FORMULA = ("=", "+", "-", "@", "|", "%", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes for a formula's beginning, in full width too."""

_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?", re.ASCII)
