"""``skeltools convert``."""

from __future__ import annotations

from pathlib import Path

import click

from skeltools.cli import _options as options


@click.command()
@click.argument("dataset")
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@options.preparation
@click.option("--keep-raw", is_flag=True, help="Also store the recordings, for 'skeltools derive'.")
@click.option(
    "--on-error",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="Stop at a damaged file, or leave it out and list it in the output.",
)
@options.unit
@click.option(
    "--long-labels",
    type=click.Choice(["cut", "exclude"]),
    default="cut",
    show_default=True,
    help="PKU-MMD labels that go beyond their video: cut there and count, or leave the clips out.",
)
@options.workers
@click.option("--resume", is_flag=True, help="Continue an interrupted conversion.")
@options.replace
@options.as_json
def command(
    dataset: str,
    sources: tuple[Path, ...],
    out: Path,
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
    as_json: bool,
) -> None:
    """Convert raw skeleton files into one verified HDF5 file.

    DATASET is ntu60, ntu120, pku1, pku2, irds or nwucla; or the descriptor of data of your own, a TOML file
    (docs/your-data.md; 'skeltools describe' writes a first one). SOURCE is a folder, nested as it may be, a .zip or .7z
    archive, which is read in place, a raw file, or @FILE with one path a line; give as many as there are.
    NTU takes .skeleton files; PKU-MMD a folder 'skeleton', a folder 'label' and the split files. Clips left
    out and files passed over are listed in the output with their reasons; what else was decided is noted.
    OUT appears only when it is complete.

    \b
    Example:
      skeltools convert ntu60 nturgbd_skeletons_s001_to_s017.zip ntu60.h5
      skeltools convert ntu120 part1.zip part2.zip ntu120.h5 --workers 8
      skeltools convert pku2 pku-mmd-2/ pku2.h5
      skeltools convert ntu60 raw/ other.h5 --prep ctrgcn --set chain.bodies=first
      skeltools convert ntu60 in-millimetres/ ntu60.h5 --unit mm
      skeltools convert mine.toml recordings/ mine.h5
    """
    from skeltools.cli import _console as console
    from skeltools.convert.pipeline import convert
    from skeltools.convert.plan import Reading
    from skeltools.datasets import registry as datasets
    from skeltools.preparation import chain as preparation

    progress = console.progress()
    if dataset.endswith(".toml"):
        from skeltools.datasets import descriptor

        found = descriptor.read(dataset).dataset()
    else:
        found = datasets.get(dataset)
    prep = prep or preparation.usual(found)
    try:
        summary = convert(
            found,
            sources,
            out,
            prep=preparation.choose(
                prep,
                dataset=found.name,
                skeleton=found.skeleton,
                dimensions=found.dimensions,
                overrides=overrides,
                options={"chain.frames": frames, "chain.dtype": dtype},
            ),
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
    show(f"{summary.path}: {summary.clips:,} clips of {summary.dataset}", markup=False, soft_wrap=True)
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
