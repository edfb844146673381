"""``skeltools import``."""

from __future__ import annotations

from pathlib import Path

import click

from skeltools.cli import _complete as complete
from skeltools.cli import _options as options
from skeltools.errors import counted


@click.command()
@click.argument("dataset", shell_complete=complete.datasets)
@click.argument("source", type=options.PATH)
@click.argument("out", type=options.PATH)
@click.option(
    "--prep",
    metavar="NAME",
    shell_complete=complete.preparations,
    help="Prepare the sequences of pyskl, CTR-GCN or 2s-AGCN.  [default: take clips as they are]",
)
@options.labels
@click.option(
    "--unit",
    default="m",
    show_default=True,
    metavar="m|cm|mm",
    help="Unit of the coordinates; they are stored in metres.",
)
@click.option(
    "--skeleton",
    metavar="NAME",
    shell_complete=complete.skeletons,
    help="Skeleton of the clips, a packaged one or a TOML file.  [default: the dataset's]",
)
@click.option("--bodies", type=click.IntRange(1, 16), help="Most bodies of a clip.  [default: the dataset's]")
@options.settings
@options.replace
def command(
    dataset: str,
    source: Path,
    out: Path,
    prep: str | None,
    labels: Path | None,
    unit: str,
    skeleton: str | None,
    bodies: int | None,
    overrides: tuple[str, ...],
    replace: bool,
) -> None:
    """Turn somebody's prepared clips into a converted file.

    SOURCE is a folder of AimCLR and its relatives, with xsub/train_position.npy, train_label.pkl and so on; one of
    2s-AGCN and CMD, with train_data_joint.npy, train_label.pkl and train_num_frame.npy; a pyskl pickle, in 3-D or in
    pixels; NTU60_CS.npz and its like of CTR-GCN, MAMP and STARS; or an .npz file of skeltools export.
    Pickles are read by a loader that builds only lists, texts, numbers and arrays.

    \b
    Example:
      skeltools import ntu60 NTU60_frame50/ ntu60-theirs.h5
      skeltools import ntu60 ntu60_3danno.pkl ntu60-pyskl.h5 --prep ctrgcn --set chain.bodies=first
      skeltools import ntu60 NTU60_CS.npz ntu60-ctrgcn.h5 --labels skes_available_name.txt
    """
    from skeltools.cli import _console as console
    from skeltools.convert.pipeline import reason_counts
    from skeltools.datasets import registry as datasets
    from skeltools.errors import SettingError
    from skeltools.exchange.arrays import import_arrays
    from skeltools.preparation import chain as preparation
    from skeltools.skeletons import Form, load
    from skeltools.store import ClipFile

    options.check_dataset_first(dataset, "SOURCE", source)
    options.check_order(
        "SOURCE", source, "OUT", out, swapped=not source.exists() and source.suffix == ".h5" and out.exists()
    )
    if overrides and not prep:
        raise SettingError("--set changes a preparation: give --prep too.")
    form = datasets.get(dataset).form(1)
    form = Form(load(skeleton) if skeleton else form.skeleton, bodies or form.bodies, 1, form.dimensions)
    chain = None
    if prep:
        chain = preparation.choose(
            prep, dataset=dataset, skeleton=form.skeleton, dimensions=form.dimensions, overrides=overrides
        ).values
    progress = console.progress()
    try:
        clips = import_arrays(
            datasets.get(dataset),
            source,
            out,
            chain=chain,
            prep_name=prep or "imported",
            unit=unit,
            labels=labels,
            form=form,
            replace=replace,
            progress=progress,
        )
    finally:
        progress.finish()
    show = console.out().print
    show(f"{out}: {counted(clips, 'clip')} of {dataset}", markup=False, soft_wrap=True)
    with ClipFile(out) as file:
        for code, count in reason_counts(file.excluded).items():
            show(f"  left out: {count:,} {code}", markup=False, soft_wrap=True)
        for note in file.notes:
            show(f"  note: {note.text}", markup=False, soft_wrap=True)
