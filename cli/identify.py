"""``skeltools identify``."""

from __future__ import annotations

from pathlib import Path

import click

from skeltools.cli import _complete as complete
from skeltools.cli import _options as options
from skeltools.errors import counted


@click.command()
@click.argument("dataset", shell_complete=complete.datasets)
@click.argument("arrays", type=options.PATH)
@click.argument("raw", metavar="RAW...", nargs=-1, required=True, type=options.PATH)
@click.option("--clips", type=click.IntRange(min=1), default=6, show_default=True, help="Clips to try.")
@options.labels
@options.as_json
def command(
    dataset: str, arrays: Path, raw: tuple[Path, ...], clips: int, labels: Path | None, as_json: bool
) -> None:
    """Find out by which preparation somebody's clips were made.

    ARRAYS are the prepared clips: whatever 'import' reads, or a converted file. CTR-GCN's rows take the names of
    RAW where there are as many, or those of --labels.
    RAW are raw files of some of the same clips. All known ways to prepare them are tried, as joints,
    motion or bones; those that reproduce the clips are named. Which clips are there, and on which side of the
    splits, tells the rest. Exits with status 1 when nothing reproduces the clips.

    \b
    Example:
      skeltools identify ntu60 NTU60_frame50/ nturgb+d_skeletons/
      skeltools identify ntu60 NTU60_CS.npz nturgb+d_skeletons/ --labels skes_available_name.txt
    """
    from skeltools.cli import _console as console
    from skeltools.datasets import registry as datasets
    from skeltools.exchange.arrays import holds_clips
    from skeltools.exchange.identify import CHOICES, MORE_CHOICES, identify
    from skeltools.preparation.chain import choose

    options.check_dataset_first(dataset, "ARRAYS", arrays)
    options.check_order(
        "ARRAYS", arrays, "RAW", raw[0],
        swapped=len(raw) == 1 and arrays.exists() and not holds_clips(arrays) and holds_clips(raw[0]),
    )  # fmt: skip
    progress = console.progress()
    try:
        found = identify(datasets.get(dataset), arrays, raw, clips, progress, labels=labels)
    finally:
        progress.finish()
    if as_json:
        import json

        print(
            json.dumps(
                {
                    "found": found.found,
                    "frames": found.frames,
                    "dtype": found.dtype,
                    "clips": found.clips,
                    "error": found.error,
                    "stream": found.stream,
                    "values": found.values,
                    "others": found.others,
                    "preparations": found.preparations,
                    "stored": found.stored,
                    "nearest": found.nearest.settings(),
                }
            )
        )
        raise click.exceptions.Exit(int(not found.found))

    def show(text: str) -> None:
        console.out().print(text, markup=False, soft_wrap=True)

    what = f"{found.stream}, {counted(found.frames, 'frame')}, {found.dtype}"
    show(f"{counted(len(found.clips), 'clip')} of {what}: {', '.join(found.clips)}")
    if found.found:
        show(f"They are reproduced to {found.error:.2g} m by:")
        for key, values in found.values.items():
            show(_line(key, values, (CHOICES | MORE_CHOICES)[key]))
        for name in found.preparations:
            show(f"That is --prep {name} ({choose(name).title}), with {counted(found.frames, 'frame')}.")
        for name in found.stored:
            show(
                f"That is --prep {name} ({choose(name).title}) before its frames are cropped and resized, as "
                "its scripts store it."
            )
    else:
        show(f"No known preparation gives them. The nearest is off by up to {found.error:.3g} m:")
        for key in found.values:
            show(f"  {key}: {getattr(found.nearest, key)}")
    if found.others:
        show("Which clips are there, and on which side of the splits, tells:")
        for key, sides in found.others.items():
            show(_line(key, sides, MORE_CHOICES[key]))
    raise click.exceptions.Exit(int(not found.found))


def _line(key: str, values: tuple[object, ...], choices: tuple[object, ...]) -> str:
    if not values:
        return f"  {key}: neither {' nor '.join(map(str, choices))}   <- differs from the reference"
    mark = "" if choices[0] in values else "   <- differs from the reference"
    several = "   (these clips do not tell them apart)" if len(values) > 1 else ""
    return f"  {key}: {' or '.join(map(str, values))}{several}{mark}"
