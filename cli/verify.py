"""``skeltools verify``."""

from __future__ import annotations

from pathlib import Path

import click

from skeltools.cli import _options as options


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--near-duplicates",
    is_flag=True,
    help="Also find test clips that are nearly in the training set, by content.",
)
@click.option(
    "--threshold",
    type=options.FiniteRange(0, 1000),
    default=0.01,
    show_default=True,
    help="Mean joint distance in metres under which two clips count as near duplicates.",
)
@options.as_json
def command(file: Path, near_duplicates: bool, threshold: float, as_json: bool) -> None:
    """Check a converted file.

    Structure, digests, NaN and infinite values, persons of impossible size, label range, disjointness and
    coverage of the splits: a fault exits with status 1. Counts other than the official ones are notes, as
    they are for any subset; so are odd sizes, bones and distances, and what was decided when the file was
    made.

    \b
    Example:
      skeltools verify ntu60.h5
      skeltools verify ntu60.h5 --near-duplicates
    """
    from skeltools.cli import _console as console
    from skeltools.store import ClipFile
    from skeltools.store.verify import Pair, verify
    from skeltools.store.verify import near_duplicates as find

    progress = console.progress()
    pairs: dict[str, list[Pair]] = {}
    try:
        with ClipFile(file, checked=False) as opened:
            found = verify(opened, progress)
            if near_duplicates and not found.faults:
                pairs = {split: find(opened, split, threshold, progress) for split in opened.splits}
            clips = len(opened)
    finally:
        progress.finish()
    if as_json:
        import json

        listed = {split: [pair._asdict() for pair in of] for split, of in pairs.items()}
        print(json.dumps({"faults": found.faults, "notes": found.notes, "near_duplicates": listed}))
    else:
        show = console.out().print
        for fault in found.faults:
            show(f"fault: {fault}", markup=False, soft_wrap=True)
        for note in found.notes:
            show(f"note: {note}", markup=False, soft_wrap=True)
        for split, of in pairs.items():
            show(
                f"split {split}: {len(of):,} test clips are nearly in the training set",
                markup=False,
                soft_wrap=True,
            )
            for pair in of[:20]:
                show(f"  {pair.test} ~ {pair.train}, {pair.distance:.4f} m", markup=False, soft_wrap=True)
        if not found.faults:
            show(f"{file}: {clips:,} clips, no faults", markup=False, soft_wrap=True)
    if found.faults:
        raise click.exceptions.Exit(1)
