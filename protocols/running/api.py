"""Evaluation from Python."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from skeltools.errors import RunError, WrongTypeError, take_path, take_text
from skeltools.progress import SILENT, Progress
from skeltools.protocols.running import encoder as encoders
from skeltools.protocols.running import entrants, evaluation
from skeltools.protocols.running.entrants import Entrant
from skeltools.protocols.running.subjects import subject_of
from skeltools.results.record import Record


def evaluate(
    subject: str | Path | nn.Module | Callable[[], nn.Module],
    protocol: str = "linear",
    *,
    data: str | Path | None = None,
    weights: str | Path | None = None,
    split: str | None = None,
    streams: Sequence[str] | None = None,
    init: str = "pretrained",
    baseline: str | None = None,
    target: str | Path | None = None,
    seed: int | None = None,
    seeds: int = 1,
    settings: Mapping[str, Any] | None = None,
    recipe: str | None = None,
    limit: int | None = None,
    device: str = "auto",
    out: str | Path | None = None,
    allow_leak: bool = False,
    progress: Progress = SILENT,
) -> list[Record]:
    """Evaluate an encoder by a standard protocol and return the records.

    Args:
        subject: A run folder; the name ``package.module:factory`` of an encoder's factory; a factory; or an
            encoder that keeps the contract of `skeltools.protocols.Encoder`.
        protocol: One of `skeltools.protocols.PROTOCOLS`, ``package.module:Class``, or ``all``.
        data: Converted file; a run's own when None.
        weights: State dict file for a factory's encoder; None where the factory loads its own.
        split: Split; the run's own, or the file's first.
        streams: Streams; the run's own, or joint.
        init: ``pretrained`` or ``random``.
        baseline: ``standardised``, ``raw``, ``supervised``, or None.
        target: Converted file of a transfer.
        seed: First seed; the run's own, or 0.
        seeds: How many seeds.
        settings: Settings that differ from the recipe, by dotted key, such as ``{"linear.epochs": 20}``.
        recipe: Protocol recipe: a name or a ``.toml`` file.
        limit: Most clips of each side of the split; the records then say partial.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        out: Folder whose ``results`` take the records. A run folder takes its own when None; other subjects
            then keep nothing.
        allow_leak: Whether the encoder may be tested on clips that it saw in pretraining; the records then say so.
        progress: Receiver of progress.

    Returns:
        One record per result: one for ``linear``, one for each k of ``knn``. Under ``all``, what does not apply
        is left out, and what `out` holds already is not computed again.

    Raises:
        SkeltoolsError: The subject, the data, a protocol or a setting is not usable.

    Examples:
        A run, by one protocol; the records are also kept in its ``results``:

        >>> from skeltools.protocols import evaluate
        >>> (record,) = evaluate("runs/joint", "knn", settings={"knn.k": [1]})
        >>> record.protocol, record.variant, record.test_clips
        ('knn', 'k=1', 50)
        >>> 0 <= record.top1 <= 1
        True

        An encoder of one's own, two seeds:

        >>> encoder = torch.nn.Flatten()
        >>> records = evaluate(encoder, "retrieval", data="ntu60.h5", split="xsub", seeds=2)
        >>> [record.seed for record in records], sorted(records[0].metrics)
        ([0, 1], ['map'])
    """
    take_text(protocol, "protocol")
    words = [f"{key}={json.dumps(value)}" for key, value in (settings or {}).items()]
    request = evaluation.Request(
        entrants=_entrants(subject, weights, streams, out),
        protocol=protocol,
        kinds=(subject_of(init, baseline),),
        data=None if data is None else Path(data),
        target=None if target is None else Path(target),
        split=split,
        seed=seed,
        seeds=seeds,
        device=device,
        recipe=recipe,
        overrides=words,
        limit=limit,
        allow_leak=allow_leak,
    )
    return evaluation.run(request, progress).records


def _entrants(
    subject: str | Path | nn.Module | Callable[[], nn.Module],
    weights: str | Path | None,
    streams: Sequence[str] | None,
    out: str | Path | None,
) -> list[Entrant]:
    home = None if out is None else take_path(out, "out")
    file = None if weights is None else take_path(weights, "weights")
    if not (isinstance(subject, (str, Path, nn.Module)) or callable(subject)):
        raise WrongTypeError(
            "subject must be a run folder, an encoder or its factory, not "
            f"{'None' if subject is None else type(subject).__qualname__}."
        )
    if isinstance(subject, nn.Module):
        if file is not None:
            raise RunError("Weights go with a factory; this encoder has its own already.")
        return entrants.from_module(subject, streams, home)
    if isinstance(subject, str) and ":" in subject and not Path(subject).exists():
        return entrants.from_factory(encoders.load_factory(subject), subject, file, streams, home)
    if isinstance(subject, (str, Path)):
        if file is not None:
            raise RunError("Weights go with a factory; a run has its own checkpoints.")
        found = entrants.from_runs([Path(subject)], streams)
        return found if home is None else [entrants.moved(entrant, home) for entrant in found]
    name = f"{subject.__module__}:{getattr(subject, '__qualname__', type(subject).__qualname__)}"
    return entrants.from_factory(subject, name, file, streams, home)
