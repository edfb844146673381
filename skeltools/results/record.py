"""The record of one result: typed, versioned, written as JSON with the test scores beside it."""

from __future__ import annotations

import functools
import hashlib
import json
import platform
import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skeltools.errors import RunError, counted
from skeltools.files.folders import astray, having
from skeltools.files.texts import other_version, read_json
from skeltools.files.writing import replacing, write_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RECORD_VERSION = 2
_LONGEST_STEM = 200
"""Most characters of a record's file name without its extension; systems take 255 with it and a writer's marks."""

ROUNDING = 1e-6
"""By which a mean of shares may leave 0 to 1."""

PRETRAINED = "pretrained"
RANDOM = "random"
STANDARDISED = "random, standardised"
RAW = "raw coordinates"
SUPERVISED = "supervised"
SUBJECTS = (PRETRAINED, RANDOM, STANDARDISED, RAW, SUPERVISED)
"""What was evaluated, in the order tables show it. Supervised is training from random in train mode."""

SUBJECT_WORDS = {
    "pretrained": PRETRAINED,
    "random": RANDOM,
    "standardised": STANDARDISED,
    "raw": RAW,
    "supervised": SUPERVISED,
}
"""Subjects by the words of the command line."""


@dataclass(frozen=True)
class Record:
    """One result, with everything needed to tell what was done.

    Attributes:
        version: Version of this layout.
        key: SHA-256 (hex) of what the result depends on: protocol, subject, settings, data, encoder state,
            seed, part of the data. The same evaluation has the same key.
        outcomes: How many records the evaluation gave; all share the key.
        protocol: Name of the protocol.
        variant: What distinguishes results of one protocol, such as ``k=10``; empty where nothing does.
        subject: What was evaluated, one of `SUBJECTS`.
        encoder: What the encoder is: a run folder, ``package.module:factory``, or ``none``.
        dataset: Dataset of the clips.
        split: Split of the dataset.
        stream: joint, motion, bone, or the streams of an ensemble.
        seed: Seed of the evaluation (and of the encoder where it is untrained).
        pretrain_seed: Seed the encoder was pretrained with; None where it was not, or is not known.
        epoch: Pretraining epochs behind the encoder; None where there are none, or they are not known.
        top1: Share of test clips classified right at the last epoch of the protocol, in [0, 1].
        top5: The same with the true class among the five best.
        mean_class: Mean of the classes' top-1 accuracies.
        per_class: Top-1 accuracy by 0-based class; None for a class without a test clip.
        metrics: Further measures by name, such as ``map``, in [0, 1].
        best_top1: Best top-1 over the protocol's test evaluations ("test-selected"), None where there
            is only one evaluation.
        best_epoch: Protocol epoch of `best_top1`.
        held_top1: Top-1 at the protocol epoch that did best on clips of held-out training people, by a training of its
            own without them; None where none were held out.
        held_epoch: That epoch.
        train_clips: Clips the protocol trained on, or that fill the bank.
        train_per_class: The same by 0-based class.
        test_clips: Clips it was tested on.
        num_classes: Number of outputs.
        settings: Every effective setting of the protocol by dotted key.
        set_by: Where each setting came from; stored as ``origin``.
        recipe: Title of the protocol recipe.
        pretrain_settings: Every setting of the pretraining; its model settings for an untrained encoder.
        data: The converted file.
        data_digest: Content digest of the converted file.
        frames: T, frames per clip.
        preparation: How its clips were prepared, from the file's root attributes.
        pretrain_data_digest: Content digest of the file the encoder was pretrained on.
        checkpoint_digest: Digest of the encoder's state.
        code_version: Version of skeltools.
        libraries: Versions of Python, torch, numpy and h5py.
        device: Device it ran on.
        seconds: Wall time.
        features: Whether the features were ``computed`` in that time, ``cached`` before it, or ``none``.
        created: UTC time, ISO 8601.
        partial: True where only part of the data was used.
        limit: Most clips of each side that were used; None for all.
        leak: Test clips that pretraining saw, where the protocol does not allow for it; 0 also where that is not
            known, which a note says.
        scores: Name of the side file with test scores, labels, names, class names, and the classifier where
            it is one linear layer; empty for a result that was imported.
        notes: Things a reader should know, a sentence each.
        folder: Folder the record was read from or written to; not stored.
    """

    version: int
    key: str
    outcomes: int
    protocol: str
    variant: str
    subject: str
    encoder: str
    dataset: str
    split: str
    stream: str
    seed: int
    pretrain_seed: int | None
    epoch: int | None
    top1: float
    top5: float
    mean_class: float
    per_class: list[float | None]
    metrics: dict[str, float]
    best_top1: float | None
    best_epoch: int | None
    train_clips: int
    train_per_class: list[int]
    test_clips: int
    num_classes: int
    settings: dict[str, Any]
    set_by: dict[str, str]
    recipe: str
    pretrain_settings: dict[str, Any]
    data: str
    data_digest: str
    frames: int
    preparation: dict[str, Any]
    pretrain_data_digest: str | None
    checkpoint_digest: str | None
    code_version: str
    libraries: dict[str, str]
    device: str
    seconds: float
    features: str
    created: str
    partial: bool
    limit: int | None
    scores: str
    notes: list[str]
    leak: int = 0
    held_top1: float | None = None
    held_epoch: int | None = None
    folder: Path | None = field(default=None, compare=False, repr=False)

    def __repr__(self) -> str:
        return (
            f"<Record {self.stream} {self.experiment}, {self.subject}, {self.dataset} {self.split}, seed {self.seed}: "
            f"top-1 {100 * self.top1:.1f} % of {counted(self.test_clips, 'clip')}>"
        )

    @property
    def stem(self) -> str:
        """File name without extension; one an evaluation and variant, so a repeat replaces it."""
        words = [
            self.protocol, self.variant, self.subject, self.dataset, self.split, self.stream,
            f"seed{self.seed}", "partial" if self.partial else "", self.key[:8],
        ]  # fmt: skip
        text = "-".join(word for word in words if word).replace("=", "").replace("+", "_")
        text = re.sub(r"[^A-Za-z0-9._]+", "-", text)
        return text if len(text) <= _LONGEST_STEM else f"{text[: _LONGEST_STEM - 9]}-{self.key[:8]}"

    @property
    def family(self) -> str:
        """The protocol's name without what the user gave after its colon: ``semi`` of ``semi:5``."""
        return self.protocol.partition(":")[0]

    @property
    def experiment(self) -> str:
        """Protocol and variant in a word or two."""
        return f"{self.protocol} {self.variant}".strip()

    @property
    def planned(self) -> int | None:
        """Epochs that the pretraining was to have where it was not finished, else None."""
        epochs = self.pretrain_settings.get("train.epochs")
        return epochs if self.epoch is not None and isinstance(epochs, int) and self.epoch < epochs else None

    @property
    def caveat(self) -> str:
        """Words before every title that the result is under: part of the data, or test clips that were seen."""
        words = [f"LEAK, pretraining saw {counted(self.leak, 'test clip')}"] if self.leak else []
        words += [f"PARTIAL, at most {counted(self.limit or 0, 'clip')} per side"] if self.partial else []
        return "".join(f"{word}: " for word in words)

    @property
    def overrides(self) -> dict[str, Any]:
        """Settings that were not the recipe's own, by dotted key."""
        return {
            key: value
            for key, value in self.settings.items()
            if self.set_by.get(key, "") in ("--set", "option")
        }

    def side(self) -> Side:
        """Read the side file.

        Raises:
            RunError: It is missing, damaged, or not of this record.
        """
        return read_side(self)

    def content(self) -> dict[str, Any]:
        """Return what is stored, as JSON takes it."""
        return {_stored(name): value for name, value in asdict(self).items() if name != "folder"}


@dataclass(frozen=True)
class Side:
    """What lies beside a record.

    Attributes:
        scores: float32 (n, classes), test scores at the last epoch.
        labels: int64 (n,).
        names: Clip names (n,).
        classes: Class names by 0-based label.
        weight: Weight (classes, D) of the classifier on the encoder's feature, or None.
        bias: Its bias (classes,), or None.
        guesses: Best-scored classes under other conditions, int64 (n,), by their names.
        held_scores: Scores of training clips held out from the classifier, float32 (k, classes), or None.
        held_labels: Their labels, int64 (k,), or None.
        salience: What the encoder's attention mask holds salient in each clip, by body part, float32 (n,); NaN where
            a clip shows nobody. Empty without a mask.
    """

    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    names: list[str]
    classes: list[str]
    weight: NDArray[np.float32] | None = None
    bias: NDArray[np.float32] | None = None
    guesses: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    held_scores: NDArray[np.float32] | None = None
    held_labels: NDArray[np.int64] | None = None
    salience: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Side: scores of {counted(len(self.names), 'clip')}, {counted(len(self.classes), 'class', 'classes')}>"


@dataclass(frozen=True)
class Held:
    """Training clips held out from a classifier.

    Attributes:
        scores: Its scores of them, float32 (k, classes).
        labels: int64 (k,).
    """

    scores: NDArray[np.float32]
    labels: NDArray[np.int64]


def named(record: Record) -> Record:
    """Return the record with the name of its side file filled in."""
    return replace(record, scores=f"{record.stem}.npz")


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries results depend on."""
    return {"python": platform.python_version()} | {
        name: _version(name) for name in ("torch", "numpy", "h5py")
    }


@functools.cache
def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def key_of(parts: Mapping[str, Any]) -> str:
    """Return the key of an evaluation: SHA-256 (hex) of what it depends on."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def write(record: Record, folder: Path, side: Side) -> Record:
    """Write a record and its side file into `folder`, replacing those of the same evaluation.

    Args:
        record: The record.
        folder: A results folder; made when absent.
        side: What goes beside it.

    Returns:
        The record, with its folder.

    Raises:
        RunError: `read` would not take it; nothing was written.
    """
    import numpy as np

    path = folder / f"{record.stem}.json"
    text = json.dumps(record.content(), indent=2, allow_nan=False) + "\n"
    _checked(json.loads(text), path)
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, NDArray[Any]] = {
        "scores": side.scores,
        "labels": side.labels,
        "names": np.array(side.names, dtype=np.str_),
        "classes": np.array(side.classes, dtype=np.str_),
    }
    if side.weight is not None and side.bias is not None:
        arrays |= {"weight": side.weight, "bias": side.bias}
    if side.held_scores is not None and side.held_labels is not None:
        arrays |= {"held_scores": side.held_scores, "held_labels": side.held_labels}
    if side.salience:
        arrays["parts"] = np.array(list(side.salience), dtype=np.str_)
        arrays["salience"] = np.stack(list(side.salience.values())).astype(np.float32)
    if side.guesses:
        arrays["conditions"] = np.array(list(side.guesses), dtype=np.str_)
        arrays["guesses"] = np.stack(list(side.guesses.values())).astype(np.int32)
    # The side file first: a record is complete once its JSON file exists.
    with replacing(folder / record.scores) as part, part.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    write_text(path, text)
    return replace(record, folder=folder)


def read_side(record: Record) -> Side:
    """Read what lies beside a record; see `Record.side`."""
    from skeltools.files.arrays import read_arrays

    if record.folder is None:
        raise RunError("The result was not kept in a folder, so its scores cannot be read.")
    if not record.scores:
        raise RunError(
            f"{record.folder}: the results were imported, and their scores were not exported with them."
        )
    path = record.folder / record.scores
    try:
        arrays = read_arrays(path)
        side = Side(
            arrays["scores"], arrays["labels"], arrays["names"].tolist(), arrays["classes"].tolist(),
            arrays.get("weight"), arrays.get("bias"),
            dict(zip(arrays["conditions"].tolist(), arrays["guesses"].astype("int64"), strict=True))
            if "conditions" in arrays else {},
            arrays.get("held_scores"), arrays.get("held_labels"),
            dict(zip(arrays["parts"].tolist(), arrays["salience"], strict=True)) if "parts" in arrays else {},
        )  # fmt: skip
    except FileNotFoundError:
        raise RunError(f"{path}, the scores of a result, is missing. Run the protocol again.") from None
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise RunError(f"{path} holds no readable scores ({error}). Run the protocol again.") from None
    n = record.test_clips
    extra: list[NDArray[Any]] = [*side.guesses.values(), *side.salience.values()]
    guesses = all(values.shape == (n,) for values in extra)
    if (
        side.scores.shape != (n, record.num_classes)
        or len(side.labels) != n
        or len(side.names) != n
        or not guesses
    ):
        raise RunError(f"{path} does not fit its record. Run the protocol again.")
    if side.held_scores is not None and side.held_labels is not None:
        held = len(side.held_labels), record.num_classes
        wrong = side.held_labels.dtype.kind not in "iu" or side.held_scores.shape != held or not held[0]
        if wrong or side.held_labels.min() < 0 or side.held_labels.max() >= held[1]:
            raise RunError(f"{path} does not fit its record. Run the protocol again.")
    _compare(record, side, path)
    return side


def accuracies(scores: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]) -> dict[str, Any]:
    """Return ``top1``, ``top5``, ``mean_class`` and ``per_class`` of a record by its scores.

    They are what `skeltools.analysis.metrics` counts, without torch.

    Args:
        scores: (n, classes), n at least 1.
        labels: (n,), from 0 to classes - 1.
    """
    import numpy as np

    own = np.take_along_axis(scores, labels[:, None], 1)
    ahead = ~((scores < own) | ((scores == own) & (np.arange(scores.shape[1]) >= labels[:, None])))
    ranks = np.where(own[:, 0] == -np.inf, scores.shape[1], ahead.sum(axis=1))
    many = np.bincount(labels, minlength=scores.shape[1]).tolist()
    right = np.bincount(labels, weights=ranks == 0, minlength=scores.shape[1]).tolist()
    by_class = [good / count if count else None for good, count in zip(right, many, strict=True)]
    present = [value for value in by_class if value is not None]
    return {
        "top1": float((ranks == 0).mean()),
        "top5": float((ranks < 5).mean()),
        "mean_class": sum(present) / len(present),
        "per_class": by_class,
    }


def _compare(record: Record, side: Side, path: Path) -> None:
    """Compare a record's accuracies with those of its scores.

    Raises:
        RunError: They differ; the message names the first that does.
    """
    labels = side.labels
    if not len(labels):
        return
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= record.num_classes:
        raise RunError(f"{path} does not fit its record. Run the protocol again.")
    pairs: list[tuple[str, float | None, float | None]] = []
    for key, found in accuracies(side.scores, labels).items():
        mine = getattr(record, key)
        if not isinstance(found, list):
            pairs.append((key, mine, found))
        elif len(found) != len(mine):
            raise RunError(f"{path} does not fit its record. Run the protocol again.")
        else:
            pairs += [(f"{key}[{place}]", *both) for place, both in enumerate(zip(mine, found, strict=True))]
    for key, *both in pairs:
        stored, given = (float("nan") if value is None else value for value in both)
        if not (both == [None, None] or abs(stored - given) <= ROUNDING):
            told = ["none" if value is None else f"{value:.6g}" for value in both]
            raise RunError(
                f"{record.folder}/{record.stem}.json has {key} {told[0]}, its scores give {told[1]}. "
                "One of them was changed: run the protocol again."
            )


def read(path: Path) -> Record:
    """Read one record.

    Raises:
        RunError: The file is not a record of a version this program reads.
    """
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path} is not a readable result: {error}. Remove it or run the protocol again."
        ) from None
    return _checked(content, path)


def _checked(content: Any, path: Path) -> Record:
    """Return the record that the content of the file at `path` is.

    Raises:
        RunError: It is none, or one of another version.
    """
    if not isinstance(content, dict) or content.get("version") != RECORD_VERSION:
        raise RunError(f"{path} {other_version(content, RECORD_VERSION)}")
    hints = _hints()
    names = {_stored(item.name): item.name for item in fields(Record) if item.name != "folder"}
    content = _LATER | content
    wrong = sorted(names.keys() ^ content.keys())
    wrong += [key for key, name in names.items() if key in content and not _fits(content[key], hints[name])]
    if not wrong and Path(content["scores"]).name != content["scores"]:
        wrong = ["scores"]  # a name in the record's own folder, never a path
    if wrong:
        raise RunError(f"{path}: missing, unknown or misfit entry '{wrong[0]:.60}'. Run the protocol again.")
    for key, value in _shares(content):
        if not -ROUNDING <= value <= 1 + ROUNDING:
            raise RunError(
                f"{path}: '{key:.60}' must be from 0 to 1, not {value:.6g}. Run the protocol again."
            )
    for kind in ("best", "held"):
        if (content[f"{kind}_top1"] is None) != (content[f"{kind}_epoch"] is None):
            raise RunError(
                f"{path}: of '{kind}_top1' and '{kind}_epoch' only one is given. Run the protocol again."
            )
    return Record(**{names[key]: value for key, value in content.items()}, folder=path.parent)


_LATER: dict[str, Any] = {"leak": 0, "held_top1": None, "held_epoch": None}
"""What records of earlier versions do not store."""

_USUAL = {"precision": "float32", "compile": False, "accumulate": 1, "held_out_people": 0}
"""Settings of protocols that came later: as long as they are these, results are those of before."""


def deciding(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a protocol that results depend on: all but those that came later and change nothing."""
    return {
        key: value for key, value in settings.items() if _USUAL.get(key.rpartition(".")[2], _USUAL) != value
    }


def _stored(name: str) -> str:
    """Return the key under which an attribute is stored."""
    return "origin" if name == "set_by" else name


def _shares(content: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the key and value of every measure of a record's content; all are shares."""
    for key in ("top1", "top5", "mean_class", "best_top1", "held_top1"):
        if content[key] is not None:
            yield key, content[key]
    for value in content["per_class"]:
        if value is not None:
            yield "per_class", value
    for name, value in content["metrics"].items():
        yield f"metrics.{name}", value


@functools.cache
def _hints() -> dict[str, Any]:
    """Return the types of a record's attributes."""
    return typing.get_type_hints(Record)


@functools.cache
def _parts(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return an annotated type without what it holds, and what it holds."""
    return typing.get_origin(kind) or kind, typing.get_args(kind)


def _fits(value: Any, kind: Any) -> bool:
    """Tell whether a JSON value is of the annotated type, its members included; floats are finite."""
    plain, inside = _parts(kind)
    if type(None) in inside:
        return value is None or any(_fits(value, one) for one in inside if one is not type(None))
    if plain is Any:
        return True
    if plain is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300
    if plain is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63
    if plain is list:
        return isinstance(value, list) and all(_fits(item, inside[0]) for item in value)
    if plain is dict:
        return isinstance(value, dict) and all(_fits(item, inside[1]) for item in value.values())
    return isinstance(value, plain)


def read_all(folder: Path) -> list[Record]:
    """Read every record of a results folder, in file name order; an absent folder holds none."""
    return [read(path) for path in sorted(folder.glob("*.json"))] if folder.is_dir() else []


def read_folders(paths: Iterable[Path]) -> list[Record]:
    """Read the records of run folders, of folders of them at any depth, and of others with a ``results`` folder.

    Raises:
        RunError: A folder does not exist or holds no record.
    """
    found: list[Record] = []
    for path in paths:
        if not path.is_dir():
            what = "is a file" if path.is_file() else "does not exist or is not a folder"
            raise RunError(f"{path} {what}. {astray(path) or 'Give a run folder.'}")
        records = [record for home in having(path, "results") for record in read_all(home / "results")]
        if not records:
            if not any(having(path, "run.json")):
                told = astray(path)
                what = ". " if told else " and holds no results. Give a run folder, or a folder of runs."
                raise RunError(f"{path} is not a run folder{what}{told}")
            raise RunError(f"{path} holds no results yet. Make some: skeltools eval {path} --protocol linear")
        found += records
    return found
