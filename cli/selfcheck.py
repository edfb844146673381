"""``skeltools selfcheck``."""

from __future__ import annotations

from pathlib import Path

import click

from skeltools.cli import _options as options


@click.command()
@click.argument("references", nargs=-1, metavar="[FILE.npz]...", type=options.PATH)
@options.device
def command(references: tuple[Path, ...], device: str) -> None:
    """Recompute reference numbers on this machine.

    Without files, the numbers that ship with the package; with files, those in them as well. Ends with
    status 1 when one is out of tolerance. Fields that a file lacks are skipped by name.

    \b
    Example:
      skeltools selfcheck
      skeltools selfcheck --device cuda reference/*_tiny.npz
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from skeltools.cli._console import out
    from skeltools.environment import device_name, pick_device
    from skeltools.reference.selfcheck import Row, check_file, check_shipped
    from skeltools.results.record import library_versions

    chosen = pick_device(device)
    tables: list[tuple[str, list[Row]]] = [(str(path), check_file(path, chosen)) for path in references]
    tables.insert(0, ("shipped numbers", check_shipped(chosen)))
    versions = ", ".join(f"{name} {version}" for name, version in library_versions().items())
    out().print(f"{device_name(chosen)}; {versions}", markup=False)
    bad = 0
    for title, rows in tables:
        table = Table(title=Text(title), title_justify="left", title_style="bold", box=SIMPLE_HEAD)
        table.add_column("quantity", overflow="fold")
        table.add_column("in")
        for heading in ("expected", "got", "error", "tolerance"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("")
        for row in rows:
            if row.skipped:
                table.add_row(Text(row.quantity), row.dtype, "", "", "", "", "skipped: not in file")
                continue
            unit = " rel" if row.relative else ""
            table.add_row(
                Text(row.quantity),
                row.dtype,
                f"{row.expected:.8g}",
                f"{row.got:.8g}",
                f"{row.error:.1e}{unit}",
                f"{row.tolerance:.0e}{unit}" if row.tolerance else "exact",
                "ok" if row.ok else "OUT",
            )
        bad += sum(not row.ok for row in rows)
        out().print(table)
    compared = sum(not row.skipped for _, rows in tables for row in rows)
    out().print(f"{compared} quantities compared, {bad} out of tolerance.", markup=False)
    if bad:
        raise click.exceptions.Exit(1)
