"""``skeltools export-model``."""

from __future__ import annotations

from pathlib import Path

import click

from skeltools.cli import _options as options


@click.command()
@click.argument("run", type=options.PATH)
@click.option(
    "--to",
    type=options.Choice(["onnx", "torchscript", "safetensors"]),
    required=True,
    help="onnx, torchscript: a model that maps joint clips to features, its stream taken inside; safetensors: the "
    "weights, which 'import-weights' reads back.",
)
@click.option(
    "--out",
    type=options.PATH,
    help="File to write; its card goes beside it, with .md after its name.  [default: RUN.onnx, RUN.pt or "
    "RUN.safetensors in the working folder]",
)
@options.replace
def command(run: Path, to: str, out: Path | None, replace: bool) -> None:
    """Write a run's encoder as ONNX, TorchScript or safetensors, with a model card.

    The card says method, data digest, preparation, settings, recorded results and licence; the file holds the same as
    JSON under the name 'skeltools'. What was written is run on clips and compared with the encoder: a difference above
    1e-5 is an error. ONNX needs the packages onnx and onnxscript, and onnxruntime to be compared.

    \b
    Example:
      skeltools export-model runs/joint --to onnx
      skeltools export-model runs/joint --to safetensors --out joint.safetensors
      skeltools import-weights joint.safetensors --out runs/imported
    """
    from skeltools.cli._console import out as stdout
    from skeltools.plots.style import file_name
    from skeltools.reference.portable import FORMS, check, export
    from skeltools.runs.folder import Run

    path = out or Path(f"{file_name(run.resolve().name)}{FORMS[to]}")
    check(path, to, replace)
    done = export(Run.open(run), path, to, replace=replace)
    told = "not compared: onnxruntime is not installed"
    if done.difference is not None:
        told = f"features differ by at most {done.difference:.1e}, of {done.largest:.3g}"
    show = stdout().print
    show(f"{done.path}: {to}, {told}", markup=False, soft_wrap=True)
    show(f"{done.card}: its model card", markup=False, soft_wrap=True)
