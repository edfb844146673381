"""Where the encoder under evaluation comes from: a run, its architecture untrained, nothing, or elsewhere."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

import skeltools
from skeltools.analysis.salience import load_method
from skeltools.errors import RunError, SettingError
from skeltools.files.tensors import classifier_note
from skeltools.protocols.running import encoder as encoders
from skeltools.results import record as results

if TYPE_CHECKING:
    from skeltools.methods.contract import Method
    from skeltools.runs.folder import Run
    from skeltools.store.overlap import Clips


@dataclass(frozen=True)
class Pretraining:
    """What shaped a pretrained encoder, as far as it is known.

    Attributes:
        seed: Seed of the pretraining.
        epoch: Epochs behind it.
        data: The converted file it saw.
        data_digest: Content digest of that file.
        dataset: Its dataset.
        split: The split whose training clips it saw.
        clips: The clips it saw.
        settings: Every setting of the pretraining by dotted key.
        note: What a reader of results of the encoder should know, or empty.
    """

    seed: int | None = None
    epoch: int | None = None
    data: Path | None = None
    data_digest: str | None = None
    dataset: str = ""
    split: str = ""
    clips: Clips | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Subject:
    """One subject of evaluation.

    Attributes:
        kind: One of `skeltools.results.record.SUBJECTS`.
        name: What it is, for the record: a run folder, ``package.module:factory``, or ``none``.
        build: Returns a fresh copy of the encoder in eval mode on a device; None for raw coordinates. Every
            copy is the same.
        code: Digest of the code that maps clips to features, so that cached features are not taken for
            those of other code.
        settings: Settings that shaped the subject: all of the pretraining's, or the model's alone where it
            is untrained.
        pretraining: What is known of the pretraining; None for an untrained subject.
        frames: Frames that a clip must have; None where any number will do.
        masked: Returns the method with its attention mask on a device, for a run whose method has one.
    """

    kind: str
    name: str
    build: Callable[[torch.device], nn.Module] | None
    code: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    pretraining: Pretraining | None = None
    frames: int | None = None
    masked: Callable[[torch.device], Method] | None = None

    @property
    def trainable(self) -> bool:
        """Whether there is an encoder to finetune, on features as they are."""
        return self.build is not None and self.kind != results.STANDARDISED


_BOTH = "--init and --baseline each name what is evaluated. Give one of them."


def subject_of(init: str, baseline: str | None) -> str:
    """Return the subject that ``--init`` and ``--baseline`` name.

    Raises:
        SettingError: Unknown words, or an untrained encoder and a baseline at once.
    """
    if init == "random" and baseline is not None:
        raise SettingError(_BOTH)
    word = init if baseline is None else baseline
    if word not in results.SUBJECT_WORDS:
        raise SettingError(f"Unknown subject '{word}'. Choose one of: {', '.join(results.SUBJECT_WORDS)}.")
    return results.SUBJECT_WORDS[word]


def subjects_of(init: str | None, baseline: str | None, *, whole: bool) -> tuple[str, ...]:
    """Return the subjects that ``--init`` and ``--baseline`` name; without either, the pretrained encoder, or
    with all protocols every subject.

    Raises:
        SettingError: Unknown words, or both at once.
    """
    if init is not None and baseline is not None:
        raise SettingError(_BOTH)
    if init is None and baseline is None:
        return results.SUBJECTS if whole else (results.PRETRAINED,)
    return (subject_of(init or "pretrained", baseline),)


def raw() -> Subject:
    """Return the subject without an encoder: flattened coordinates."""
    return Subject(results.RAW, "none", None)


def from_run(run: Run, kind: str, seed: int) -> Subject:
    """Return a run's encoder, or that architecture untrained.

    Args:
        run: The run.
        kind: One of `skeltools.results.record.SUBJECTS`.
        seed: Seed of an untrained encoder's weights.

    Raises:
        RunError: The run has no checkpoint.
    """
    if kind == results.RAW:
        return raw()
    flat = {key: list(value) if isinstance(value, tuple) else value for key, value in run.flat.items()}
    name = str(run.path)
    if kind != results.PRETRAINED:
        model = {key: value for key, value in flat.items() if key.startswith("model.")}
        return Subject(kind, name, lambda device: run.new_encoder(seed, device), _own_code(), model)
    known = run.kind == "pretrain"
    if not known:
        # Imported weights bring no training settings; those of the run folder are not theirs.
        flat = {key: value for key, value in flat.items() if key.startswith("model.")}
    pretraining = Pretraining(
        seed=run.seed if known else None,
        epoch=run.epoch if known else None,
        data=run.data if known else None,
        data_digest=(run.digest or None) if known else None,
        dataset=run.dataset,
        split=run.split,
        clips=run.clips_seen(),
        settings=flat,
        note=" ".join(word for word in (run.note, unfinished(run) if known else "") if word),
    )
    return Subject(
        kind, name, run.load_encoder, _own_code(), flat, pretraining, run.frames or None,
        masked=lambda device: load_method(run, device),
    )  # fmt: skip


def unfinished(run: Run) -> str:
    """Return the sentence that says how far an unfinished run's training is; empty for a finished one.

    Raises:
        RunError: The run has no checkpoint.
    """
    far = run.unfinished
    return "" if far is None else f"{run.path} is not finished: {far}."


def from_factory(
    factory: Callable[[], nn.Module], name: str, weights: Path | None, kind: str, seed: int
) -> Subject:
    """Return an encoder that somebody else wrote.

    Args:
        factory: Returns the encoder; called with torch's generator seeded.
        name: What to call it, such as ``package.module:factory``.
        weights: File with its state dict; None where the factory loads its own.
        kind: One of `skeltools.results.record.SUBJECTS`; pretrained takes the weights, the others do not.
        seed: Seed of an untrained encoder's weights.

    Raises:
        RunError: The factory or the weights cannot be used.
    """
    if kind == results.RAW:
        return raw()
    trained = kind == results.PRETRAINED
    made = encoders.build(factory, name, 0 if trained else seed)
    note = ""
    if trained and weights is not None:
        state = encoders.load_weights(weights)
        encoders.fill(made, state, str(weights))
        note = classifier_note(state) or ""
    made.eval()

    def fresh(device: torch.device) -> nn.Module:
        return copy.deepcopy(made).to(device).eval()

    return Subject(
        kind, name, fresh, encoders.code_digest(factory), {}, Pretraining(note=note) if trained else None
    )


def from_module(encoder: nn.Module, kind: str) -> Subject:
    """Return an encoder that is in memory already; it is copied, never changed.

    Raises:
        RunError: Another subject than pretrained or raw: an untrained one needs a factory.
    """
    if kind == results.RAW:
        return raw()
    if kind != results.PRETRAINED:
        raise RunError(f"Subject '{kind}' needs an encoder's factory, not an encoder. Give the factory.")
    kept = copy.deepcopy(encoder).cpu().eval()
    name = f"{type(encoder).__module__}:{type(encoder).__qualname__}"

    def fresh(device: torch.device) -> nn.Module:
        return copy.deepcopy(kept).to(device).eval()

    return Subject(kind, name, fresh, encoders.code_digest(encoder), {}, Pretraining())


@cache
def _own_code() -> str:
    """Return the digest of the package's code between a stored clip and its feature."""
    root = Path(skeltools.__file__).parent
    total = hashlib.sha256()
    for path in [*sorted((root / "models").glob("*.py")), root / "transforms" / "streams.py"]:
        total.update(path.read_bytes())
    return total.hexdigest()
