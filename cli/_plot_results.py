"""Pictures of results: ``skeltools plot confusion``, ``compare``, ``robust``, ``reliability`` and ``parts``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from skeltools.cli import _options as options
from skeltools.cli import _pictures as pictures


@click.command()
@click.argument("result", type=options.RESULT)
@pictures.out("RESULT-confusion.png")
@options.result
@pictures.looks
@options.replace
def confusion(result: str, out: Path | None, choice: dict[str, Any], replace: bool) -> None:
    """Draw the confusion matrix of a result, in % of each true class.

    RESULT is a run folder, with @random, @standardised, @raw or @supervised where not the pretrained encoder
    is meant, or with the @ID that 'skeltools report --ids' shows, or the .json file of a record. Seeds are added up.

    \b
    Example:
      skeltools plot confusion runs/joint
      skeltools plot confusion runs/joint@random --protocol knn --variant k=1 --out random.pdf
    """
    from skeltools.plots import confusion as drawing
    from skeltools.results import class_tables, joined
    from skeltools.results import compare as comparison

    path = pictures.place(out or pictures.beside(result, "confusion"), replace)
    row = joined.rows(comparison.pick(result, **choice))[0]
    counts, classes = class_tables.confusion_matrix(row)
    pictures.write(lambda: drawing.draw(counts, classes, drawing.heading(row)), path)


@click.command()
@click.argument("a", metavar="A", type=options.RESULT)
@click.argument("b", metavar="B", type=options.RESULT)
@pictures.out("A-B-compare.png")
@options.result
@pictures.looks
@options.replace
def compare(
    a: str,
    b: str,
    out: Path | None,
    choice: dict[str, Any],
    replace: bool,
) -> None:
    """Draw what B gains and loses against A, class by class, sorted.

    A and B are results as 'skeltools plot confusion' takes them, of the same test clips.

    \b
    Example:
      skeltools plot compare runs/joint@random runs/joint
      skeltools plot compare runs/joint-60 runs/joint-300 --out gains.svg
    """
    from skeltools.plots import compare as drawing
    from skeltools.results import compare as comparison

    path = pictures.place(
        out or Path(f"{pictures.beside(a, '').stem}{pictures.beside(b, 'compare')}"), replace
    )
    one, two = (comparison.pick(where, **choice) for where in (a, b))
    found = comparison.compare(one, two)
    pictures.write(lambda: drawing.draw(found, one[0], two[0]), path)


@click.command()
@click.argument("runs", nargs=-1, required=True, type=options.PATH, metavar="RUN...")
@pictures.out("robust.png")
@options.replace
def robust(runs: tuple[Path, ...], out: Path | None, replace: bool) -> None:
    """Draw accuracy against severity, one panel per corruption, one line per encoder.

    RUN is a run folder, a folder of runs, or the --out of an evaluation; their results of robust are drawn.

    \b
    Example:
      skeltools eval runs/joint --protocol robust
      skeltools plot robust runs/joint runs/other
    """
    from skeltools.plots import robust as drawing
    from skeltools.results import joined
    from skeltools.results import record as results

    path = pictures.place(out or Path("robust.png"), replace)
    rows = joined.rows(results.read_folders(runs))
    pictures.write(lambda: drawing.draw(rows), path)


@click.command()
@click.argument("runs", nargs=-1, required=True, type=options.PATH, metavar="RUN...")
@pictures.out("reliability.png")
@click.option(
    "--protocol", default="calibration", show_default=True, help="Protocol of the results, such as linear."
)
@options.replace
def reliability(runs: tuple[Path, ...], out: Path | None, protocol: str, replace: bool) -> None:
    """Draw reliability diagrams and risk-coverage curves, one line per encoder.

    RUN is a run folder, a folder of runs, or the --out of an evaluation. Points are bins of confidence, their size the
    share of test clips in them.

    \b
    Example:
      skeltools eval runs/joint --protocol calibration
      skeltools plot reliability runs/joint runs/other
    """
    from skeltools.plots import reliability as drawing
    from skeltools.results import joined
    from skeltools.results import record as results

    path = pictures.place(out or Path("reliability.png"), replace)
    found = [record for record in results.read_folders(runs) if record.protocol == protocol]
    pictures.write(lambda: drawing.draw(joined.rows(found)), path)


@click.command()
@click.argument("result", type=options.RESULT)
@pictures.out("RESULT-parts.png")
@options.result_of("robust")
@options.replace
def parts(result: str, out: Path | None, choice: dict[str, Any], replace: bool) -> None:
    """Draw the accuracy lost when a body part is missing, beside the salience of the attention mask.

    RESULT is a run folder, with @random, @standardised, @raw or @supervised where not the pretrained encoder is meant,
    or with the @ID that 'skeltools report --ids' shows, or the .json file of a record of robust. Prints the rank
    correlation of the two with its interval.

    \b
    Example:
      skeltools eval runs/joint --protocol robust
      skeltools plot parts runs/joint
    """
    from skeltools.plots import parts as drawing
    from skeltools.results import compare as comparison
    from skeltools.results import joined, report
    from skeltools.results import parts as results

    path = pictures.place(out or pictures.beside(result, "parts"), replace)
    row = joined.rows(comparison.pick(result, **choice))[0]
    found = results.look(row)
    click.echo(str(found))
    pictures.write(
        lambda: drawing.draw(found, f"{report.title([row])[0]}, {comparison.describe(row.first)}"), path
    )
