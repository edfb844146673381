"""From a raw file to classes, by a recorded linear classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from skeltools.analysis.features import state_digest
from skeltools.errors import FormatError, RunError
from skeltools.formats import ntu
from skeltools.preparation import chain as preparation
from skeltools.results import record as results
from skeltools.results.record import Record
from skeltools.runs.folder import Run
from skeltools.skeletons import Form
from skeltools.transforms.streams import to_stream


@dataclass(frozen=True)
class Prediction:
    """What one clip was taken for.

    Attributes:
        path: The raw file.
        classes: Class names, the best first.
        scores: Their softmax scores, which add up to 1 over all classes.
    """

    path: str
    classes: list[str]
    scores: list[float]


@torch.no_grad()
def predict(run: Run, paths: Sequence[Path], device: torch.device, top: int = 5) -> list[Prediction]:
    """Classify raw NTU ``.skeleton`` files.

    Each is prepared as the clips of the classifier were, passed through the run's encoder, and scored by the
    linear classifier that the last linear evaluation of this checkpoint recorded.

    Args:
        run: The run.
        paths: Raw files.
        device: Where to compute.
        top: Classes a clip.

    Raises:
        FormatError: A file is not a ``.skeleton`` file, or holds no clip that can be prepared.
        RunError: The run has no classifier of its last checkpoint, or it does not fit.
    """
    encoder = run.load_encoder(device)
    record = _record(run, state_digest(encoder))
    weight, bias, classes = _classifier(record)
    clips = torch.stack([_clip(path, record, run.form) for path in paths]).to(device)
    features = encoder(to_stream(clips, record.stream, run.form.skeleton)).float().cpu()
    if features.shape[1] != weight.shape[1]:
        raise RunError(
            f"{record.scores}: the classifier takes features of {weight.shape[1]} numbers, the encoder gives "
            f"{features.shape[1]}. Run the protocol again: skeltools eval {run.path} --protocol linear"
        )
    scores = (features @ weight.T + bias).softmax(dim=1)
    best = scores.topk(min(top, len(classes)), dim=1)
    return [
        Prediction(str(path), [classes[index] for index in indices], values)
        for path, values, indices in zip(paths, best.values.tolist(), best.indices.tolist(), strict=True)
    ]


def _record(run: Run, digest: str) -> Record:
    """Return the latest linear result of an encoder, the reference's variant before others."""
    found = [
        record
        for record in results.read_all(run.results_dir)
        if (record.protocol, record.subject, record.checkpoint_digest)
        == ("linear", results.PRETRAINED, digest)
    ]
    if not found:
        raise RunError(
            f"{run.path} has no recorded classifier of its last checkpoint. Make one: "
            f"skeltools eval {run.path} --protocol linear"
        )
    return max(found, key=lambda record: (not record.partial, record.variant == "", record.created))


def _classifier(record: Record) -> tuple[Tensor, Tensor, list[str]]:
    side = record.side()
    if side.weight is None or side.bias is None:
        raise RunError(f"{record.scores} holds no classifier. Run the protocol again.")
    if len(side.classes) != len(side.weight):
        raise RunError(
            f"{record.scores}: the classifier has {len(side.weight)} outputs for {len(side.classes)} "
            "classes. Run the protocol again."
        )
    return torch.from_numpy(side.weight), torch.from_numpy(side.bias), side.classes


def _clip(path: Path, record: Record, form: Form) -> Tensor:
    """Read and prepare one raw file, float32 (3, T, V, M)."""
    if path.suffix != ntu.SUFFIX:
        raise FormatError(path, f"expected a raw NTU file named *{ntu.SUFFIX}")
    if not path.exists():
        raise FormatError(path, "the file does not exist")
    if not path.is_file():
        raise FormatError(path, "it is not a file")
    recording = ntu.read(path.read_bytes(), str(path))
    joints = recording.coords.shape[1]
    if joints != form.joints:
        skeleton = form.skeleton
        raise FormatError(
            path,
            f"it has {joints} joints per body, but the run was trained on {skeleton.name} clips of {form.joints}. "
            "Predict NTU files by a run of an NTU data set.",
        )
    made = preparation.apply(recording, preparation.stored(record.preparation), form)
    if isinstance(made, str):
        raise FormatError(path, f"no clip can be made of it ({made})")
    return torch.from_numpy(np.asarray(made.clip, np.float32))
