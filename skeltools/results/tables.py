"""Tables as plain data, and their four faces: rich, Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


@dataclass
class Grid:
    """A table of texts.

    Attributes:
        title: What stands above it; lines.
        columns: Heading and whether the column is right-aligned.
        rows: Cells, one text a column.
        breaks: Indices of rows that begin a new section.
        notes: What stands below it, a sentence each.
    """

    title: list[str]
    columns: list[tuple[str, bool]]
    rows: list[list[str]] = field(default_factory=list)
    breaks: set[int] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def add(self, cells: Sequence[str], *, new_section: bool = False) -> None:
        """Append a row."""
        if new_section and self.rows:
            self.breaks.add(len(self.rows))
        self.rows.append(list(cells))

    def without(self, headings: set[str]) -> Grid:
        """Return the grid without some columns."""
        keep = [place for place, (heading, _) in enumerate(self.columns) if heading not in headings]
        rows = [[row[place] for place in keep] for row in self.rows]
        return Grid(self.title, [self.columns[place] for place in keep], rows, self.breaks, self.notes)


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


def to_markdown(grid: Grid) -> str:
    """Return a grid as a GitHub table."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    lines = ["**" + "; ".join(grid.title) + "**", ""]
    lines += [line([heading for heading, _ in grid.columns])]
    lines += [line(["---:" if right else "---" for _, right in grid.columns])]
    lines += [line(row) for row in grid.rows]
    lines += ["", *(f"{note}  " for note in grid.notes)] if grid.notes else []
    return "\n".join(lines) + "\n"


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "<": r"\textless{}",
    ">": r"\textgreater{}",
}  # fmt: skip


def latex_text(text: str) -> str:
    """Return a text with LaTeX's special characters escaped."""
    return "".join(_LATEX.get(char, char) for char in text)


def to_latex(grid: Grid) -> str:
    """Return a grid as a ``tabular`` of the booktabs package; title and notes are comments."""
    spec = "".join("r" if right else "l" for _, right in grid.columns)
    lines = [f"% {text}" for text in (*grid.title, *grid.notes)]
    lines += [f"\\begin{{tabular}}{{{spec}}}", "\\toprule"]
    lines += [" & ".join(latex_text(heading) for heading, _ in grid.columns) + r" \\", "\\midrule"]
    for place, row in enumerate(grid.rows):
        if place in grid.breaks:
            lines.append("\\midrule")
        lines.append(" & ".join(latex_text(cell) for cell in row) + r" \\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"


def to_csv(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return rows as CSV with a header; None is an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([["" if cell is None else cell for cell in row] for row in rows])
    return text.getvalue()
