"""Pretraining from Python."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skeltools.environment import pick_device
from skeltools.errors import take_path, take_text
from skeltools.progress import SILENT, Progress
from skeltools.runs.folder import Run
from skeltools.training.launch import Request, launch


def pretrain(
    data: str | Path,
    split: str,
    stream: str,
    out: str | Path,
    *,
    recipe: str | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
    workers: int = 2,
    replace: bool = False,
    resume: bool = False,
    progress: Progress = SILENT,
) -> Run:
    """Pretrain an encoder, as ``skeltools pretrain`` does, and return its run.

    Ctrl-C writes a checkpoint and ends in KeyboardInterrupt; the same call with `resume` goes on.

    Args:
        data: Converted file.
        split: Split whose training side is used, such as ``xsub``.
        stream: ``joint``, ``motion`` or ``bone``.
        out: Run folder to make.
        recipe: Packaged recipe or path of a ``.toml`` file.
        epochs: Short for the setting ``train.epochs``.
        batch_size: Short for ``train.batch_size``.
        settings: Settings that differ from the recipe, by dotted key, such as ``{"train.lr": 0.05}``.
        seed: Seed of every draw and of the initial weights.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        workers: Processes that read clips which do not fit the device.
        replace: Whether a run at `out` may be replaced.
        resume: Whether a run at `out` is continued.
        progress: Receiver of progress.

    Raises:
        SkeltoolsError: The data, a setting or the folder cannot be used.
        KeyboardInterrupt: A signal came.

    Examples:
        >>> run = skeltools.pretrain(
        ...     "ntu60.h5", "xsub", "bone", "runs/bone", recipe="demo-bigru", epochs=1, batch_size=16,
        ...     settings={"train.lr": 0.002},
        ... )
        >>> run
        <Run runs/bone: SkeAttnCLR, demo size, BiGRU, ntu60 xsub bone, seed 0, 1 epoch>
    """
    request = Request(
        data=take_path(data, "data"),
        split=take_text(split, "split"),
        stream=take_text(stream, "stream"),
        out=take_path(out, "out"),
        recipe=recipe,
        options={"train.epochs": epochs, "train.batch_size": batch_size},
        overrides=tuple(f"{key}={json.dumps(value)}" for key, value in (settings or {}).items()),
        seed=seed,
        replace=replace,
        resume=resume,
        command="skeltools.pretrain",
        workers=workers,
    )
    outcome = launch(request, pick_device(take_text(device, "device")), progress)
    if outcome.signal is not None:
        raise KeyboardInterrupt
    return Run.open(outcome.path)
