"""``skeltools verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from skeltools.cli import _options as options
from skeltools.errors import counted


@click.command()
@click.argument("file", type=options.PATH)
@click.option(
    "--near-duplicates",
    is_flag=True,
    help="Also find test clips that are nearly in the training set, by content.",
)
@click.option(
    "--against",
    type=options.PATH,
    default=None,
    metavar="OTHER",
    help="Also find clips that are in another file: the same ones, and nearly the same by content.",
)
@click.option(
    "--threshold",
    type=options.FiniteRange(0, 1000),
    default=0.01,
    show_default=True,
    help="Mean joint distance in metres under which two clips count as near duplicates.",
)
@options.as_json
def command(file: Path, near_duplicates: bool, against: Path | None, threshold: float, as_json: bool) -> None:
    """Check a converted file.

    Structure, digests, NaN and infinite values, persons of impossible size, label range, disjointness and
    coverage of the splits: a fault exits with status 1. Counts other than the official ones are notes, as
    they are for any subset; so are odd sizes, bones and distances, and what was decided when the file was
    made. Clips that two files share are not a fault.

    \b
    Example:
      skeltools verify ntu60.h5
      skeltools verify ntu60.h5 --near-duplicates
      skeltools verify ntu60.h5 --against ntu120.h5
    """
    from skeltools.cli import _console as console
    from skeltools.store import ClipFile
    from skeltools.store import verify as checks

    options.check_used(
        near_duplicates or against is not None, "without --near-duplicates or --against", "--threshold"
    )
    progress = console.progress()
    pairs: dict[str, list[checks.Pair]] = {}
    shared = None
    try:
        if against is not None:  # before the first file is read, which takes long
            ClipFile(against).close()
        with ClipFile(file, checked=False) as opened:
            found = checks.verify(opened, progress)
            if near_duplicates and not found.faults:
                pairs = {
                    split: checks.near_duplicates(opened, split, threshold, progress)
                    for split in opened.splits
                }
            if against is not None and not found.faults:
                with ClipFile(against) as other:
                    shared = checks.against(opened, other, threshold, progress)
            clips = len(opened)
    finally:
        progress.finish()
    if as_json:
        import json

        listed = {split: [pair._asdict() for pair in of] for split, of in pairs.items()}
        told: dict[str, Any] = {"faults": found.faults, "notes": found.notes, "near_duplicates": listed}
        if shared is not None:
            near = [twin._asdict() for twin in shared.near]
            told["against"] = {"same": shared.same, "near": near, "notes": shared.notes}
        print(json.dumps(told))
    else:
        show = console.out().print
        for fault in found.faults:
            show(f"fault: {fault}", markup=False, soft_wrap=True)
        for note in found.notes:
            show(f"note: {note}", markup=False, soft_wrap=True)
        for split, of in pairs.items():
            show(
                f"split {split}: {counted(len(of), 'test clip is', 'test clips are')} nearly in the training set",
                markup=False,
                soft_wrap=True,
            )
            for pair in of[:20]:
                show(f"  {pair.test} ~ {pair.train}, {pair.distance:.4f} m", markup=False, soft_wrap=True)
        if shared is not None:
            for split, sides in shared.same.items():
                for part, names in sides.items():
                    where = str(against) if split == "all" else f"{against} {split} {part}"
                    such = f", {names[0]} first" if names else ""
                    show(
                        f"{counted(len(names), 'clip is', 'clips are')} in {where}{such}",
                        markup=False,
                        soft_wrap=True,
                    )
            show(
                f"{counted(len(shared.near), 'further clip is', 'further clips are')} nearly in {against}",
                markup=False,
                soft_wrap=True,
            )
            for twin in shared.near[:20]:
                show(f"  {twin.clip} ~ {twin.other}, {twin.distance:.4f} m", markup=False, soft_wrap=True)
            for note in shared.notes:
                show(f"note: {note}", markup=False, soft_wrap=True)
        if not found.faults:
            show(f"{file}: {counted(clips, 'clip')}, no faults", markup=False, soft_wrap=True)
    if found.faults:
        raise click.exceptions.Exit(1)
