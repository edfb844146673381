"""``skeltools describe``."""

from __future__ import annotations

from pathlib import Path

import click

from skeltools.cli import _options as options


@click.command()
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True, type=options.PATH)
@click.option("--out", type=options.PATH, help="The file to write.  [default: print it]")
@options.replace
def command(sources: tuple[Path, ...], out: Path | None, replace: bool) -> None:
    """Write a first descriptor of data of your own, for 'skeltools convert'.

    Looks at the files of SOURCE and writes what they tell: skeleton, unit, which axis is up, bodies, how names give
    labels and subjects. Each line says whether it was inferred; what was not is left to you (docs/your-data.md).

    \b
    Example:
      skeltools describe recordings/ --out mine.toml
      skeltools convert mine.toml recordings/ mine.h5
    """
    from skeltools.convert.describe import describe
    from skeltools.files.kinds import Kind
    from skeltools.files.texts import printable
    from skeltools.files.writing import check_output, write_text

    if out is not None:
        check_output(out, replace, *sources, kinds=(Kind.TEXT,))
    text = describe(sources)
    if out is None:
        print(printable(text), end="")
        return
    write_text(out, text)
    print(f"{out}: a first descriptor. Check it, then: skeltools convert {out} SOURCE OUT.h5")
