"""Weights from other projects' checkpoints: what a file holds, checked, under our names, and a run folder of it.

Which projects, and what their files look like, say the modules that `skeltools.reference.registry` lists. Every
entry of an encoder is checked by name and shape and taken over, the graph ``A`` of an ST-GCN included, which may be
another than ours; the rest is listed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from skeltools.errors import DataError, RunError, SkeltoolsError, counted, did_you_mean
from skeltools.files import tensors
from skeltools.files.reading import open_regular
from skeltools.files.writing import check_writable
from skeltools.models.contract import Backbone
from skeltools.models.registry import build_backbone, find_backbone
from skeltools.preparation import chain as preparation
from skeltools.reference.contract import Encoder, Part, Project, Weights
from skeltools.reference.registry import find_project, tell
from skeltools.runs import checkpoint as checkpoints
from skeltools.runs.folder import IMPORTED, Run, check_free
from skeltools.runs.settings import resolve_recipe
from skeltools.settings import Resolved, schema_fields
from skeltools.skeletons import Form, load
from skeltools.store import ClipFile
from skeltools.transforms.streams import check_stream

WRAPPERS = ("state_dict", "model")
"""Keys under which training scripts keep a state dict beside other things."""

_BEFORE_ALL = re.compile(r"((module|model|_orig_mod)\.)+")
"""What DataParallel, Lightning and torch.compile put before the names."""

_SAVE = "Give a .pt, .pth or .ckpt file that torch.save wrote of model.state_dict(), or a safetensors file."
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Found:
    """What a file holds.

    Attributes:
        project: Whose it is.
        encoder: The architecture.
        streams: Streams it has an encoder for; one entry, ``joint``, says nothing about its real stream.
        model: ``model.*`` settings without their prefix, by stream.
        state: Weights by our names, by stream.
        frames: Frames of its clips: as the file tells, else the project's.
        left: Names of entries that are not taken over, and of what is beside the state dict.
        unknown: Those among them that are not known to be in files of the project.
        note: What a reader of results of these weights should know, or empty.
        guessed: Those of `model` that neither the file nor the caller gave: the project's own.
    """

    project: Project
    encoder: Encoder
    streams: tuple[str, ...]
    model: dict[str, dict[str, Any]]
    state: dict[str, dict[str, Tensor]]
    frames: int
    left: tuple[str, ...]
    unknown: tuple[str, ...]
    note: str
    guessed: tuple[str, ...]


def read(path: Path, project: str | None = None, heads: int | None = None) -> Found:
    """Read a checkpoint and check every key and shape of its encoders; never runs code from the file.

    Args:
        path: The file.
        project: Name of the project it is of; None tells it from the file.
        heads: Attention heads of a ViT, of which weights tell nothing; None for what the file's options say, or
            else the project used.

    Raises:
        RunError: The file is missing, is not a state dict, holds no encoder that is known, or an entry of the
            encoder is missing, unknown, of another shape or not finite.
    """
    chosen = None if project is None else find_project(project)
    return understand(unwrap(path), chosen, heads)


def unwrap(path: Path) -> Weights:
    """Read the state dict of a file: the whole content, or what is under a key of `WRAPPERS`.

    Raises:
        RunError: The file is missing or holds none.
    """
    content = tensors.load(path, "state dict", _SAVE)
    if not isinstance(content, Mapping):
        raise RunError(f"{path} is not a plain state dict: save model.state_dict() and import that.")
    state: Mapping[Any, Any] = content
    beside: tuple[str, ...] = ()
    options: dict[str, Any] = {}
    if not all(isinstance(value, Tensor) for value in content.values()):
        keys = [key for key in WRAPPERS if isinstance(content.get(key), Mapping)]
        if len(keys) != 1:
            raise RunError(
                f"{path} is not a plain state dict, nor does it hold one under {' or '.join(map(repr, WRAPPERS))}: "
                "save model.state_dict() and import that."
            )
        state = content[keys[0]]
        beside = tuple(str(key) for key in content if key != keys[0])
        told = content.get("args")
        options = dict(vars(told)) if isinstance(told, Namespace) else {}
    entries: dict[str, Tensor] = {}
    original: dict[str, str] = {}
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise RunError(
                f"{path}: '{name}' is not a tensor ({type(value).__name__}); a state dict holds tensors alone."
            )
        bare = _BEFORE_ALL.sub("", str(name), count=1) if _BEFORE_ALL.match(str(name)) else str(name)
        if bare in entries:
            raise RunError(
                f"{path}: '{original[bare]}' and '{name}' would both be '{bare}'. Save one encoder alone."
            )
        entries[bare], original[bare] = value, str(name)
    return Weights(path, entries, original, beside, options)


def understand(weights: Weights, project: Project | None = None, heads: int | None = None) -> Found:
    """Check the encoders of a file and return them under our names; None tells from the file, as in `read`.

    Raises:
        RunError: As `read`.
    """
    told = project or tell(weights)
    found = told.find(weights)
    if found is None:
        marks = [prefix + encoder.mark for encoder in told.encoders for prefix in told.prefixes]
        raise RunError(
            f"{weights.path} holds no encoder of {told.title}: no entry starts with {' or '.join(marks)}."
            f"{_others(weights)}"
        )
    encoder, prefixes = found
    given = _given(weights, encoder, told, heads)
    model: dict[str, dict[str, Any]] = {}
    state: dict[str, dict[str, Tensor]] = {}
    frames: set[int] = set()
    left = set(weights.entries)
    for prefix, stream in prefixes.items():
        part = Part(weights, prefix, encoder.title)
        sizes = encoder.sizes(part)
        model[stream] = dict(encoder.untold) | sizes.model | given
        frames |= {told.frames if sizes.frames is None else sizes.frames}
        form = Form(load("kinect2"), 2, max(frames))
        wanted = _wanted(weights, encoder.backbone, tuple(model[stream].items()), form)
        state[stream], taken = _encoder(part, encoder, told, wanted)
        left -= taken
    if len(frames) > 1:
        raise RunError(
            f"{weights.path}: its encoders are for clips of {' and '.join(map(str, sorted(frames)))} frames."
        )
    known = re.compile(told.left)
    return Found(
        project=told,
        encoder=encoder,
        streams=tuple(prefixes.values()),
        model=model,
        state=state,
        frames=frames.pop(),
        left=(*sorted(left), *weights.beside),
        unknown=tuple(
            sorted(n for n in left if not known.fullmatch(n) and not _recomputed(n, encoder, prefixes))
        ),
        note=tensors.classifier_note(
            {weights.called(n): v for n, v in weights.entries.items() if not re.fullmatch(told.heads, n)}
        )
        or "",
        guessed=tuple(key for key in encoder.untold if key not in given),
    )


def _given(weights: Weights, encoder: Encoder, project: Project, heads: int | None) -> dict[str, Any]:
    """Return settings that the file's options or the caller tell."""
    if heads is None:
        return project.options(weights.options or {})
    if "vit_heads" not in encoder.untold:
        raise RunError(f"{weights.path}: --heads is for ViT; it holds {encoder.title}.")
    return {"vit_heads": heads}


def build(found: Found, stream: str, **model: Any) -> Backbone:
    """Return the encoder of a stream with its weights; `model` holds settings that replace those found."""
    settings = _resolve(found.encoder.backbone, found.model[stream] | model, stream).values
    backbone = build_backbone(settings.model, Form(load("kinect2"), 2, found.frames))
    backbone.load_state_dict(found.state[stream])
    return backbone


def _others(weights: Weights) -> str:
    try:
        return f" It looks like one of {(other := tell(weights)).title}: --from {other.name}"
    except RunError:
        return ""


def _recomputed(name: str, encoder: Encoder, prefixes: Mapping[str, str]) -> bool:
    return any(
        name.startswith(prefix) and re.fullmatch(encoder.recomputed, name.removeprefix(prefix))
        for prefix in prefixes
    )


def _wanted(
    weights: Weights, backbone: str, model: tuple[tuple[str, Any], ...], form: Form
) -> dict[str, Tensor]:
    """Return the entries of our encoder by name, without memory for their values."""
    try:
        return _entries(backbone, model, form)
    except SkeltoolsError as error:
        raise RunError(f"{weights.path}: {error}") from None


@lru_cache(maxsize=4)
def _entries(backbone: str, model: tuple[tuple[str, Any], ...], form: Form) -> dict[str, Tensor]:
    settings = _resolve(backbone, dict(model), "joint").values
    with torch.device("meta"):
        return dict(build_backbone(settings.model, form).state_dict())


def _resolve(backbone: str, model: Mapping[str, Any], stream: str) -> Resolved[Any]:
    """Return settings with the model of an encoder; all else completes the type."""
    options = {f"model.{key}": value for key, value in ({"backbone": backbone} | dict(model)).items()}
    return resolve_recipe("skeletonclr", dataset="", split="", stream=stream, options=options)


def _encoder(
    part: Part, encoder: Encoder, project: Project, wanted: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], set[str]]:
    """Return the weights of one encoder under our names, and the names in the file that were taken."""
    path, root = part.weights.path, part.prefix.partition(".")[0] + "." if part.prefix else ""
    found: dict[str, Tensor] = {}
    taken: set[str] = set()
    for name, value in part.weights.entries.items():
        if not name.startswith(root):
            continue
        rest = name.removeprefix(part.prefix)
        ours = encoder.translate(rest) if name.startswith(part.prefix) else None
        if ours is None or ours[0] not in wanted:
            if re.fullmatch(project.left, name) or re.fullmatch(encoder.recomputed, rest):
                continue
            raise RunError(f"{path}: unknown entry '{part.weights.called(name)}'.")
        want, expected = wanted[ours[0]], ours[1](tuple(wanted[ours[0]].shape))
        if tuple(value.shape) != expected:
            raise RunError(
                f"{path}: '{part.weights.called(name)}' has shape {tuple(value.shape)}, expected {expected}."
            )
        if value.is_complex() or (want.is_floating_point() and not value.is_floating_point()):
            kinds = (str(dtype).removeprefix("torch.") for dtype in (value.dtype, want.dtype))
            raise RunError(
                f"{path}: '{part.weights.called(name)}' holds {' numbers, expected '.join(kinds)}."
            )
        tensors.check_finite({part.weights.called(name): value}, path)
        found[ours[0]] = value.to(want.dtype).reshape(want.shape)
        taken.add(name)
    missing = [name for name in wanted if name not in found and not name.endswith(_COUNTER)]
    if missing:
        under = f" '{part.prefix}'" if part.prefix else ""
        raise RunError(
            f"{path} lacks {counted(len(missing), 'weight')} of the encoder{under}, such as "
            f"'{missing[0]}' (as skeltools names it)."
        )
    counters = {name: torch.zeros_like(wanted[name], device="cpu") for name in wanted.keys() - found.keys()}
    return {name: found[name] if name in found else counters[name] for name in wanted}, taken


def make_run(
    path: Path,
    out: Path,
    *,
    project: str | None,
    stream: str | None,
    frames: int | None,
    heads: int | None,
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
        project: Name of the project the file is of; None tells it from the file.
        stream: Stream the encoder is for; needed where the file holds three.
        frames: Frames that a clip must have; None for what the file tells, or else the project used.
        heads: As in `read`.
        prep: Preparation its clips had; None for the project's own.
        data: Converted file that evaluation uses unless told otherwise, or None.
        split: Split of that file, or None for its first.
        replace: Whether to delete a run that is there.
        command: The command line, for the record.

    Raises:
        RunError: As `read`, or a stream is needed, or the data does not fit.
        OutputError: As `Run.create`.
    """
    check_free(out, replace)
    check_writable(out)
    found = read(path, project, heads)
    stream = _stream(path, found, stream)
    if found.encoder.fixed_frames and frames not in (None, found.frames):
        raise RunError(
            f"{path} has positions for {counted(found.frames, 'frame')}, not {frames}. Leave out --frames; eval "
            "--allow-mismatch takes clips of other lengths and resizes the positions."
        )
    chain = preparation.choose(
        prep or found.project.preparation, options={"chain.frames": frames or found.frames}
    ).values
    from skeltools.results.record import library_versions

    taken = stream if stream in found.state else found.streams[0]
    model = found.model[taken]
    resolved = _resolve(found.encoder.backbone, model, stream)
    own = {"model.backbone", *schema_fields(find_backbone(found.encoder.backbone).settings, "model.")}
    run = Run(
        path=out,
        kind="import",
        settings=resolved.values,
        flat={key: value for key, value in resolved.flat.items() if key in own},
        origin={
            key: ("project" if key.removeprefix("model.") in found.guessed else "file")
            if value == "option"
            else value
            for key, value in resolved.origin.items()
            if key in own
        },
        recipe=f"imported {found.project.title}",
        data=None,
        digest="",
        dataset="",
        split=split or "",
        stream=stream,
        seed=0,
        frames=chain.frames,
        preparation={"prep": prep or found.project.preparation}
        | {f"chain.{key}": value for key, value in chain.settings().items()},
        command=command,
        versions=library_versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        note=found.note,
        source=_source(path, found),
    )
    if data is not None:
        run = with_data(run, data, split)
    run.make(replace)
    saved = checkpoints.Checkpoint(
        epoch=0, batch=0, step=0,
        model={f"{IMPORTED}{name}": value for name, value in found.state[taken].items()},
        optimizer={}, rng={}, settings=dict(run.flat), versions=run.versions, data_digest="", monitor=None,
    )  # fmt: skip
    checkpoints.save(saved, run.checkpoints_dir, keep=1)
    return run, found


def _stream(path: Path, found: Found, stream: str | None) -> str:
    """Return the stream of the encoder that is taken."""
    if stream is None and len(found.streams) > 1:
        raise RunError(f"{path} holds encoders for {', '.join(found.streams)}. Choose one: --stream joint")
    stream = check_stream(stream or found.streams[0])
    if len(found.streams) > 1 and stream not in found.streams:
        raise RunError(
            f"{path} holds encoders for {', '.join(found.streams)}, not {stream}."
            f"{did_you_mean(stream, found.streams)}"
        )
    return stream


def _source(path: Path, found: Found) -> dict[str, Any]:
    """Return what the run records of the file."""
    with open_regular(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "from": found.project.name,
        "file": path.name,
        "sha256": digest,
        "encoder": found.encoder.title,
        "feature": found.encoder.feature,
        "left_out": groups(found.left),
        "not_understood": groups(found.unknown),
    }


def groups(names: tuple[str, ...]) -> dict[str, int]:
    """Return how many names begin alike, by their first two parts."""
    found: dict[str, int] = {}
    for name in names:
        start = ".".join(name.split(".")[:2])
        found[start] = found.get(start, 0) + 1
    return found


def with_data(run: Run, data: Path, split: str | None) -> Run:
    """Return the run with the data that evaluation uses unless told otherwise."""
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
