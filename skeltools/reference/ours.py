"""Encoders that skeltools itself wrote as safetensors: a run folder of one, as it was."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from skeltools.errors import RunError, SettingError, SkeltoolsError
from skeltools.files import kinds, safetensors, tensors
from skeltools.files.texts import parse_json
from skeltools.models.registry import BACKBONES, build_backbone, find_backbone
from skeltools.models.sizes import differing, on_meta
from skeltools.reference.portable import KEY
from skeltools.reference.weights import with_data
from skeltools.runs import checkpoint as checkpoints
from skeltools.runs.folder import IMPORTED, Run
from skeltools.runs.settings import resolve_recipe
from skeltools.settings import schema_fields
from skeltools.transforms.streams import check_stream

_KINDS: dict[str, type] = {
    "model": dict, "stream": str, "frames": int, "bodies": int, "dimensions": int, "skeleton": dict,
    "preparation": dict, "recipe": str, "note": str, "method": str, "dataset": str, "split": str,
    "data_digest": str, "epoch": int, "skeltools": str,
}  # fmt: skip
"""What is read of what such a file says, by type."""


def read(path: Path) -> dict[str, Any] | None:
    """Return what a file of ours says of its model, or None where it is not a file of ours.

    Raises:
        RunError: It is, and is damaged.
    """
    try:
        if kinds.tell(path) is not kinds.Kind.SAFETENSORS:
            return None
        text = safetensors.metadata(path).get(KEY)
    except (OSError, ValueError):
        return None  # whoever reads the weights says what is wrong
    if text is None:
        return None
    try:
        told = parse_json(text)
    except ValueError as error:
        raise RunError(f"{path}: its description of the model cannot be read: {error}.") from None
    if not isinstance(told, dict) or told.get("version") != 1:
        raise RunError(f"{path} was written by another version of skeltools. Export the run again.")
    for key, kind in _KINDS.items():
        if not isinstance(told.get(key), kind) or isinstance(told.get(key), bool):
            raise RunError(
                f"{path}: '{key}' of its description of the model must be of type {kind.__name__}."
            )
    return told


def make_run(
    path: Path,
    told: Mapping[str, Any],
    out: Path,
    *,
    data: Path | None,
    split: str | None,
    replace: bool,
    command: str,
) -> Run:
    """Make a run folder of a file that `read` understood; never runs code that it names.

    Args:
        path: The file.
        told: What `read` gave.
        out: Run folder to make.
        data: Converted file that evaluation uses unless told otherwise, or None.
        split: Split of that file, or None for its first.
        replace: Whether to delete a run that is there.
        command: The command line, for the record.

    Raises:
        RunError: What the file says does not hold together or does not fit its weights, or the backbone is not one of
            the packaged ones.
        DataError: The data do not fit.
        OutputError: As `Run.create`.
    """
    from skeltools.results.record import library_versions

    backbone = told["model"].get("model.backbone")
    if backbone not in BACKBONES:
        raise RunError(
            f"{path} holds the backbone '{backbone!s:.80}', which is not packaged; no code that a file names is run. "
            f"Packaged are {', '.join(BACKBONES)}."
        )
    known = {"model.backbone", *schema_fields(find_backbone(backbone).settings, "model.")}
    model = {key: value for key, value in told["model"].items() if key in known}
    state = tensors.load(path, "state dict", "Export the run again.")
    try:
        resolved = resolve_recipe(
            "skeletonclr", dataset="", split="", stream=check_stream(told["stream"]), options=model
        )
        run = Run(
            path=out,
            kind="import",
            settings=resolved.values,
            flat={key: value for key, value in resolved.flat.items() if key in known},
            origin={key: "file" for key in resolved.flat if key in known},
            recipe=told["recipe"],
            data=None,
            digest="",
            dataset="",
            split=split or "",
            stream=told["stream"],
            seed=0,
            frames=told["frames"],
            preparation=dict(told["preparation"]),
            command=command,
            versions=library_versions(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            note=told["note"],
            skeleton=told["skeleton"],
            bodies=told["bodies"],
            dimensions=told["dimensions"],
            source=_source(path, told),
        )
        problem = differing(on_meta(lambda: build_backbone(run.settings.model, run.form)), state)
    except SettingError as error:
        raise RunError(f"{path}: {error}") from None
    except SkeltoolsError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        raise RunError(f"{path}: its description of the model contradicts itself ({error!s:.120}).") from None
    if problem is not None:
        raise RunError(f"{path}: its weights do not fit its description of the model: {problem}.")
    tensors.check_finite(state, path)
    if data is not None:
        run = with_data(run, data, split)
    run.make(replace)
    saved = checkpoints.Checkpoint(
        epoch=0, batch=0, step=0, model={f"{IMPORTED}{name}": value for name, value in state.items()},
        optimizer={}, rng={}, settings=dict(run.flat), versions=run.versions, data_digest="", monitor=None,
    )  # fmt: skip
    checkpoints.save(saved, run.checkpoints_dir, keep=1)
    return run


def _source(path: Path, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the run records of the file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "from": "skeltools",
        "file": path.name,
        "sha256": digest,
        "encoder": str(told["model"]["model.backbone"]),
        "feature": "as its run",
        "method": told["method"],
        "epoch": told["epoch"],
        "dataset": told["dataset"],
        "split": told["split"],
        "data_digest": told["data_digest"],
        "skeltools": told["skeltools"],
    }
