"""Weights from other projects' checkpoints: SkeAttnCLR, AimCLR, CrosSCLR and SkeletonCLR (spec section 7).

Their state dicts hold an ST-GCN query encoder among other things. Every entry of that encoder is checked by
name and shape and taken over, the graph ``A`` included, which may be another than ours; the rest is listed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from skeltools.errors import DataError, RunError, counted, did_you_mean
from skeltools.files import tensors as weights
from skeltools.models.stgcn import STGCN
from skeltools.preparation import chain as preparation
from skeltools.reference.names import translate_backbone
from skeltools.runs import checkpoint as checkpoints
from skeltools.runs.folder import Run
from skeltools.runs.settings import resolve_recipe
from skeltools.skeletons import Form, load
from skeltools.store import ClipFile
from skeltools.transforms.streams import check_stream

PREFIXES = {"encoder_q.": "joint", "encoder_q_motion.": "motion", "encoder_q_bone.": "bone"}
"""Prefix of a query encoder in a state dict -> the stream it is for where a file holds several."""

_WITHIN = re.compile(r"(fc|neck)\..*")
"""Entries beside the backbone in an encoder that evaluation does not need."""

_COUNTER = "num_batches_tracked"

_FORM = Form(load("kinect2"), 2, 64)
"""What the clips of those projects look like; of the frames no weight depends."""

_WIDEST = 4096
"""Most channels an encoder is read with; the projects use 16 to 256."""


@dataclass(frozen=True)
class Found:
    """What a file holds.

    Attributes:
        origin: ``SkeAttnCLR``, or ``AimCLR family`` for AimCLR, CrosSCLR and SkeletonCLR.
        streams: Streams it has an encoder for; one entry, ``joint``, says nothing about its real stream.
        width: Channels of the first block.
        dim: Channels of the last.
        state: Weights by our names, by stream.
        left: Names of entries that are not taken over.
        preparation: Name of the packaged preparation its clips had.
        note: What a reader of results of these weights should know, or empty.
    """

    origin: str
    streams: tuple[str, ...]
    width: int
    dim: int
    state: dict[str, dict[str, Tensor]]
    left: list[str] = field(default_factory=list)
    preparation: str = "skeattnclr"
    note: str = ""


def read(path: Path) -> Found:
    """Read a state dict and check every key and shape; never runs code from the file.

    Raises:
        RunError: The file is missing, is no plain state dict, holds no ST-GCN query encoder, or an entry is
            missing, unknown, of another shape or not finite.
    """
    entries = _plain(path)
    streams = [
        stream for prefix, stream in PREFIXES.items() if any(name.startswith(prefix) for name in entries)
    ]
    if not streams:
        raise RunError(
            f"{path} holds no query encoder: no entry starts with {' or '.join(PREFIXES)} "
            f"({len(entries)} entries, the first is '{next(iter(entries), 'none')}')."
        )
    inner = "backbone." if any(name.startswith("encoder_q.backbone.") for name in entries) else ""
    width = dim = 0
    state: dict[str, dict[str, Tensor]] = {}
    taken: set[str] = set()
    for prefix, stream in PREFIXES.items():
        if stream not in streams:
            continue
        full = prefix + inner
        width, dim = (_channels(entries, full, block, path) for block in (0, 9))
        state[stream] = _encoder(entries, prefix, inner, _wanted(width, dim), path)
        taken |= {name for name in entries if name.startswith(full) and translate_backbone(name[len(full) :])}
    return Found(
        origin="SkeAttnCLR" if inner else "AimCLR family",
        streams=tuple(streams),
        width=width,
        dim=dim,
        state=state,
        left=sorted(entries.keys() - taken),
        preparation="skeattnclr" if inner else "aimclr",
        note=weights.classifier_note(entries) or "",
    )


def _plain(path: Path) -> dict[str, Tensor]:
    content = weights.load(
        path, "state dict", "Give a .pt or .pth file that torch.save wrote of model.state_dict()."
    )
    if not isinstance(content, Mapping) or not all(isinstance(v, Tensor) for v in content.values()):
        raise RunError(f"{path} is not a plain state dict: save model.state_dict() and import that.")
    return {str(name).removeprefix("module."): value for name, value in content.items()}


def _channels(entries: Mapping[str, Tensor], full: str, block: int, path: Path) -> int:
    name = f"{full}st_gcn_networks.{block}.tcn.0.weight"
    if name not in entries or entries[name].dim() != 1:
        raise RunError(f"{path} lacks '{name}', from which channels are read; it is no ST-GCN of ten blocks.")
    width = len(entries[name])
    if not 1 <= width <= _WIDEST:
        raise RunError(f"{path}: '{name}' has {width:,} channels; 1 to {_WIDEST:,} are read.")
    return width


@lru_cache(maxsize=4)
def _wanted(width: int, dim: int) -> dict[str, Tensor]:
    """Return the entries of our encoder by name, without memory for their values."""
    with torch.device("meta"):
        return dict(STGCN(width, dim, 0.0, _FORM).state_dict())


def _encoder(
    entries: Mapping[str, Tensor], prefix: str, inner: str, wanted: Mapping[str, Tensor], path: Path
) -> dict[str, Tensor]:
    """Return the weights of one encoder under our names."""
    found: dict[str, Tensor] = {}
    for name, value in entries.items():
        if not name.startswith(prefix):
            continue
        rest = name.removeprefix(prefix)
        if inner and not rest.startswith(inner):
            if not _WITHIN.fullmatch(rest):
                raise RunError(f"{path}: unknown entry '{name}'.")
            continue
        rest = rest.removeprefix(inner)
        ours = translate_backbone(rest)
        if ours is None or ours not in wanted:
            if _WITHIN.fullmatch(rest):
                continue
            raise RunError(f"{path}: unknown entry '{name}'.")
        want = wanted[ours]
        expected = _theirs(rest, want)
        if tuple(value.shape) != expected:
            raise RunError(f"{path}: '{name}' has shape {tuple(value.shape)}, expected {expected}.")
        found[ours] = value.to(want.dtype).reshape(want.shape)
        weights.check_finite({name: found[ours].reshape(value.shape)}, path)
    missing = [name for name in wanted if name not in found and not name.endswith(_COUNTER)]
    if missing:
        raise RunError(
            f"{path} lacks {counted(len(missing), 'weight')} of the encoder '{prefix}', such as "
            f"'{missing[0]}' (as skeltools names it)."
        )
    return {name: found.get(name, torch.zeros_like(value, device="cpu")) for name, value in wanted.items()}


def _theirs(rest: str, want: Tensor) -> tuple[int, ...]:
    """Return the shape an entry should have in the other project's layout."""
    if ".gcn.conv." in rest:
        return (want.shape[0] * want.shape[1], *([want.shape[2], 1, 1] if want.dim() == 3 else []))
    if re.search(r"residual\.0\.weight", rest):
        return (*want.shape, 1, 1)
    return tuple(want.shape)


def make_run(
    path: Path,
    out: Path,
    *,
    stream: str | None,
    frames: int | None,
    prep: str | None,
    data: Path | None,
    split: str | None,
    replace: bool,
    command: str,
) -> tuple[Run, Found]:
    """Make a run folder of a checkpoint file that evaluation takes.

    Args:
        path: The file.
        out: Run folder to make.
        stream: Stream the encoder is for; needed where the file holds three.
        frames: Frames a clip must have; None for what the project used (64 SkeAttnCLR, 50 the others).
        prep: Preparation its clips had; None for the project's own.
        data: Converted file that evaluation uses unless told otherwise, or None.
        split: Split of that file, or None for its first.
        replace: Whether to delete a run that is there.
        command: The command line, for the record.

    Raises:
        RunError: As `read`, or a stream is needed, or the data does not fit.
        OutputError: As `Run.create`.
    """
    found = read(path)
    if stream is None and len(found.streams) > 1:
        raise RunError(f"{path} holds encoders for {', '.join(found.streams)}. Choose one: --stream joint")
    stream = check_stream(stream or found.streams[0])
    if len(found.streams) > 1 and stream not in found.streams:
        raise RunError(
            f"{path} holds encoders for {', '.join(found.streams)}, not {stream}."
            f"{did_you_mean(stream, found.streams)}"
        )
    chain = preparation.choose(prep or found.preparation, options={"chain.frames": frames}).values
    from skeltools.results.record import library_versions

    overrides = [f"model.width={found.width}", f"model.dim={found.dim}"]
    resolved = resolve_recipe(None, dataset="", split="", stream=stream, overrides=overrides)
    run = Run(
        path=out,
        kind="import",
        settings=resolved.values,
        flat={key: value for key, value in resolved.flat.items() if key.startswith("model.")},
        origin={key: "file" if "--set" in value else value for key, value in resolved.origin.items()},
        recipe=f"imported {found.origin}",
        data=None,
        digest="",
        dataset="",
        split=split or "",
        stream=stream,
        seed=0,
        frames=chain.frames,
        preparation={"prep": prep or found.preparation}
        | {f"chain.{key}": value for key, value in chain.settings().items()},
        command=command,
        versions=library_versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        note=found.note,
    )
    if data is not None:
        run = _with_data(run, data, split)
    run.make(replace)
    taken = found.state[stream if stream in found.state else found.streams[0]]
    saved = checkpoints.Checkpoint(
        epoch=0, batch=0, step=0,
        model={f"query.backbone.{name}": value for name, value in taken.items()},
        optimizer={}, rng={}, settings=dict(run.flat), versions=run.versions, data_digest="", monitor=None,
    )  # fmt: skip
    checkpoints.save(saved, run.checkpoints_dir, keep=1)
    return run, found


def _with_data(run: Run, data: Path, split: str | None) -> Run:
    """Return the run with the data that evaluation uses unless told otherwise."""
    import dataclasses

    with ClipFile(data) as file:
        problem = run.misfit(file)
        if problem is not None:
            raise DataError(problem)
        if split is not None:
            file.rows(split, "train")
        return dataclasses.replace(
            run,
            data=data.resolve(),
            dataset=file.dataset.name,
            split=split or (file.splits[0] if file.splits else ""),
        )
