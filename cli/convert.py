"""``skeltools convert``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skeltools.cli import _complete as complete
from skeltools.cli import _options as options
from skeltools.errors import counted

if TYPE_CHECKING:
    from skeltools.convert.rehearsal import Rehearsal


_HELP = "See 'skeltools convert --help'."


@click.command()
@click.argument("dataset", shell_complete=complete.datasets)
@click.argument("sources", metavar="SOURCE...", nargs=-1, type=options.PATH)
@click.argument("out", metavar="OUT", required=False, type=options.PATH)
@options.preparation
@click.option("--keep-raw", is_flag=True, help="Also store the recordings, for 'skeltools derive'.")
@click.option(
    "--on-error",
    type=options.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="Stop at a damaged file, or leave it out and list it in the output.",
)
@options.unit
@click.option(
    "--long-labels",
    type=options.Choice(["cut", "exclude"]),
    default="cut",
    show_default=True,
    help="PKU-MMD labels that go beyond their video: cut there and count, or leave the clips out.",
)
@options.workers
@click.option("--resume", is_flag=True, help="Continue an interrupted conversion.")
@options.replace
@options.dry_run
@options.as_json
def command(
    dataset: str,
    sources: tuple[Path, ...],
    out: Path | None,
    prep: str | None,
    frames: int | None,
    dtype: str | None,
    overrides: tuple[str, ...],
    keep_raw: bool,
    on_error: str,
    unit: str,
    long_labels: str,
    workers: int,
    resume: bool,
    replace: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Convert raw skeleton files into one verified HDF5 file.

    DATASET is ntu60, ntu120, pku1, pku2, irds or nwucla; or the descriptor of data of your own, a TOML file
    (docs/your-data.md; 'skeltools describe' writes a first one). SOURCE is a folder, nested as it may be, a .zip or .7z
    archive, which is read in place, a raw file, or @FILE with one path per line; give as many as there are.
    NTU takes .skeleton files; PKU-MMD a folder 'skeleton', a folder 'label' and the split files. Clips left
    out and files passed over are listed in the output with their reasons; what else was decided is noted.
    OUT appears only when it is complete. --dry-run lists and plans the same, reads and prepares some of the raw files,
    and writes nothing.

    \b
    Example:
      skeltools convert ntu60 nturgbd_skeletons_s001_to_s017.zip ntu60.h5
      skeltools convert ntu120 part1.zip part2.zip ntu120.h5 --workers 8
      skeltools convert pku2 pku-mmd-2/ pku2.h5
      skeltools convert ntu60 raw/ other.h5 --prep ctrgcn --set chain.bodies=first
      skeltools convert ntu60 in-millimetres/ ntu60.h5 --unit mm
      skeltools convert mine.toml recordings/ mine.h5
      skeltools convert ntu60 raw/ ntu60.h5 --dry-run
    """
    from skeltools.cli import _console as console
    from skeltools.convert.pipeline import convert
    from skeltools.convert.plan import Reading
    from skeltools.datasets import registry as datasets
    from skeltools.preparation import chain as preparation

    known = datasets.registry()
    if out is None:
        raise click.UsageError(f"Missing arguments 'SOURCE...' and 'OUT'. {_HELP}")
    if not sources:  # the last of two is taken for OUT
        if dataset in known or dataset.endswith(".toml"):
            raise click.UsageError(f"Missing argument 'OUT', the file to write: {dataset} {out} OUT. {_HELP}")
        raise click.UsageError(
            f"Missing argument 'DATASET', one of {', '.join(known)}, or a descriptor (.toml). {_HELP}"
        )
    options.check_dataset_first(dataset, "SOURCE", sources[0])
    options.check_order(
        "SOURCE", sources[0], "OUT", out,
        swapped=len(sources) == 1 and not sources[0].exists() and sources[0].suffix == ".h5" and out.exists(),
    )  # fmt: skip
    progress = console.progress()
    if dataset.endswith(".toml"):
        from skeltools.datasets import descriptor

        found = descriptor.read(dataset).dataset()
    else:
        found = datasets.get(dataset)
    options.check_used(
        found.format == "pku", "but for PKU-MMD, whose labels may go beyond their video", "--long-labels"
    )
    prep = prep or preparation.usual(found)
    resolved = preparation.choose(
        prep,
        dataset=found.name,
        skeleton=found.skeleton,
        dimensions=found.dimensions,
        overrides=overrides,
        options={"chain.frames": frames, "chain.dtype": dtype},
    )
    if dry_run:
        from skeltools.convert.rehearsal import rehearse

        would = rehearse(
            found,
            sources,
            out,
            prep=resolved,
            replace=replace,
            resume=resume,
            skip_damaged=on_error == "skip",
            reading=Reading(unit, long_labels),
        )
        _print(would, prep, workers, as_json)
        return
    try:
        summary = convert(
            found,
            sources,
            out,
            prep=resolved,
            prep_name=prep,
            workers=workers,
            replace=replace,
            resume=resume,
            skip_damaged=on_error == "skip",
            keep_raw=keep_raw,
            reading=Reading(unit, long_labels),
            progress=progress,
        )
    finally:
        progress.finish()
    if as_json:
        import json

        print(
            json.dumps(
                {
                    "path": str(summary.path),
                    "dataset": summary.dataset,
                    "clips": summary.clips,
                    "excluded": summary.excluded,
                    "splits": {
                        split: {"train": train, "test": test}
                        for split, (train, test) in summary.splits.items()
                    },
                    "notes": summary.notes,
                }
            )
        )
        return
    show = console.out().print
    show(
        f"{summary.path}: {counted(summary.clips, 'clip')} of {summary.dataset}", markup=False, soft_wrap=True
    )
    for code, count in summary.excluded.items():
        show(f"  left out: {count:,} {code}", markup=False, soft_wrap=True)
    for told in summary.notes:
        show(f"  note: {told}", markup=False, soft_wrap=True)
    for split, counts in summary.splits.items():
        official = summary.official.get(split)
        note = ""
        if official is not None and official != counts:
            note = f" (note: the official counts are {official[0]:,} / {official[1]:,})"
        show(f"  {split}: {counts[0]:,} train / {counts[1]:,} test{note}", markup=False, soft_wrap=True)


def _print(found: Rehearsal, prep: str, workers: int, as_json: bool) -> None:
    """Print what would be converted."""
    from dataclasses import asdict

    from skeltools.cli import _console as console
    from skeltools.progress import duration

    seconds = found.seconds / workers
    if as_json:
        import json

        click.echo(json.dumps(asdict(found) | {"path": str(found.path), "seconds": seconds}), file=sys.stdout)
        return

    def show(text: str) -> None:
        console.out().print(text, markup=False, soft_wrap=True)

    state = "goes on" if found.resumes else "replaces the one there" if found.path.exists() else "new"
    show(f"{found.path} ({state}): {counted(found.clips, 'clip')} of {found.dataset}, prepared as '{prep}'")
    show(f"  reads: {counted(found.files, 'raw file')}, {found.raw_bytes / 1e9:,.2f} GB")
    for code, count in found.excluded.items():
        show(f"  left out: {count:,} {code}")
    for told in found.notes:
        show(f"  note: {told}")
    for split, (train, test) in found.splits.items():
        show(f"  {split}: {train:,} train / {test:,} test, before recordings are read")
    left = ", ".join(f"{count:,} {code}" for code, count in found.left_out.items()) or "none"
    show(f"  tried: {counted(found.tried, 'clip')}, of which would be left out: {left}")
    show(
        f"  time: about {duration(seconds)} with {counted(workers, 'process', 'processes')}, by those "
        "that were tried"
    )
    room = found.free_bytes / 1e9
    show(f"  disk: {found.clip_bytes / 1e9:,.2f} GB of clips, {room:,.1f} GB free; --keep-raw is not counted")
    if found.free_bytes < found.clip_bytes:
        console.err().print("The disk has too little room.", markup=False)
    show("Nothing was written.")
