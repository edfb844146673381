"""What a protocol works on: the clips of a split and the subject under evaluation."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skeltools.analysis.features import extract, state_digest
from skeltools.datasets import subsets
from skeltools.environment import full_float32
from skeltools.errors import DataError, RunError, counted
from skeltools.models.contract import Backbone
from skeltools.models.encoder import FeatureEncoder
from skeltools.progress import SILENT, Progress
from skeltools.protocols.running.cache import FeatureCache, key
from skeltools.protocols.running.clips import Clips
from skeltools.protocols.running.contract import Classifier
from skeltools.protocols.running.subjects import Subject
from skeltools.results import record as results
from skeltools.store import ClipFile
from skeltools.training.distributed import World


@dataclass
class Task:
    """One subject on one split of one file.

    Attributes:
        file: The open clip file.
        split: Its split.
        stream: joint, motion or bone; for an ensemble the joined streams' common name.
        subject: What is evaluated.
        seed: Seed of the protocol's draws.
        device: Where to compute.
        batch_size: Clips per forward pass.
        limit: Most clips of each side of the split, None for all. Which ones depends on their names alone.
        cache: Where features are kept.
        results_dir: Folder of the subject's records, None where nothing is kept.
        members: For an ensemble, the tasks of its streams.
        target: Whether the file was named as the target of a transfer.
        progress: Receiver of progress.
        world: The processes that share the work of `Protocol.parallel` protocols.
        saves: Where the state of a training under way is kept, without extension; None keeps nothing.
        features_from: After `features`: ``computed``, ``cached`` or ``none``.

    Examples:
        A protocol is given one; made by hand, it tries out a protocol of one's own:

        >>> with skeltools.ClipFile("ntu60.h5") as file:
        ...     raw = Subject("raw coordinates", "none", build=None)
        ...     task = Task(file, "xsub", "motion", raw, seed=0, device=torch.device("cpu"))
        ...     train, test = task.features
        ...     labels = task.train_labels
        >>> train.shape, labels.shape, task.num_classes
        (torch.Size([50, 9600]), torch.Size([50]), 60)
    """

    file: ClipFile
    split: str
    stream: str
    subject: Subject
    seed: int
    device: torch.device
    batch_size: int = 128
    limit: int | None = None
    cache: FeatureCache = field(default_factory=lambda: FeatureCache(None))
    results_dir: Path | None = None
    members: Mapping[str, Task] = field(default_factory=dict)
    target: bool = False
    progress: Progress = SILENT
    world: World = World()  # noqa: RUF009 (immutable)
    saves: Path | None = None
    features_from: str = field(default="none", init=False)

    @cached_property
    def recorded(self) -> list[results.Record]:
        """The records that lie in `results_dir` when first asked for."""
        return [] if self.results_dir is None else results.read_all(self.results_dir)

    def recorded_of(self, protocol: str) -> dict[str, results.Record]:
        """Return the subject's records of a protocol on these clips by variant, the latest where settings differ."""
        return {record.variant: record for record in self.recorded_as(protocol)}

    def recorded_as(self, protocol: str) -> list[results.Record]:
        """Return the subject's records of a protocol on these clips, the latest last."""
        fitting = [
            record
            for record in self.recorded
            if (record.protocol, record.subject, record.split, record.stream, record.seed, record.limit)
            == (protocol, self.subject.kind, self.split, self.stream, self.seed, self.limit)
            and record.data_digest == self.file.digest
            and record.checkpoint_digest == self.encoder_digest
        ]
        return sorted(fitting, key=lambda record: record.created)

    @cached_property
    def train_rows(self) -> NDArray[np.int64]:
        """Rows of the training clips (n,)."""
        return self._rows("train")

    @cached_property
    def test_rows(self) -> NDArray[np.int64]:
        """Rows of the test clips (m,)."""
        return self._rows("test")

    def _rows(self, part: str) -> NDArray[np.int64]:
        rows = self.file.rows(self.split, part)
        if len(rows) == 0:
            raise DataError(
                f"{self.file.path}: split '{self.split}' has no {part} clip, so nothing can be evaluated. "
                "Convert more of the dataset or choose another --split."
            )
        return self.limited(rows)

    def limited(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return at most `limit` of some rows, those whose names have the smallest SHA-256."""
        if self.limit is None or len(rows) <= self.limit:
            return rows
        ranked = sorted(rows.tolist(), key=lambda row: subsets.rank(self.file.names[row], 0))
        return np.array(sorted(ranked[: self.limit]), np.int64)

    @property
    def num_classes(self) -> int:
        """Number of classes of the file's dataset."""
        return len(self.file.classes)

    @cached_property
    def train_labels(self) -> Tensor:
        """Labels of the training clips, int64 (n,), on the CPU."""
        return self.labels(self.train_rows)

    @cached_property
    def test_labels(self) -> Tensor:
        """Labels of the test clips, int64 (m,), on the CPU."""
        return self.labels(self.test_rows)

    def labels(self, rows: NDArray[np.int64]) -> Tensor:
        """Return the labels of some clips, int64 (n,), on the CPU.

        Raises:
            DataError: The file has no labels, or some that are of no class.
        """
        if not self.file.has_labels:
            raise DataError(f"{self.file.path} has no labels, and every protocol needs them.")
        return torch.from_numpy(np.ascontiguousarray(self.file.labels[rows]))

    def subset(self, percent: float, by_class: bool = True) -> NDArray[np.int64]:
        """Return the rows of the label subset of a percentage of the training clips, for the task's seed.

        The file's own subset where it is stored and all clips are used; the same rule draws it elsewhere.

        Args:
            percent: The percentage.
            by_class: Whether each class gives its share; else the clips are drawn whatever their classes.

        Raises:
            SettingError: It is of no clip.
        """
        if not by_class:
            return subsets.draw_plain(self.file.names, self.train_rows, percent / 100, self.seed)
        stored = self.split, subsets.percent_name(percent / 100), self.seed
        if self.limit is None and stored in self.file.subsets:
            return self.file.subset(*stored)
        return subsets.draw(self.file.names, self.file.labels, self.train_rows, percent / 100, self.seed)

    @cached_property
    def encoder_digest(self) -> str | None:
        """SHA-256 of the encoder's state; None for raw coordinates."""
        return None if self.subject.build is None else state_digest(self._frozen)

    @cached_property
    def _frozen(self) -> nn.Module:
        """The encoder that features are computed with; its digest is taken before and compared after."""
        return self.new_encoder()

    def new_encoder(self) -> nn.Module:
        """Return a fresh copy of the encoder, in eval mode, on the device.

        Raises:
            RunError: The subject has no encoder, or it takes clips of another length.
        """
        if self.subject.build is None:
            raise RunError(f"Subject '{self.subject.kind}' has no encoder.")
        if self.subject.frames not in (None, self.file.frames):
            raise RunError(
                f"{self.subject.name} was trained on clips of {counted(self.subject.frames, 'frame')}; "
                f"{self.file.path} holds clips of {self.file.frames}. Convert the source with as many frames."
            )
        return self.subject.build(self.device).eval()

    @property
    def backbone(self) -> Backbone | None:
        """The encoder's backbone; None where it is of another make."""
        encoder = None if self.subject.build is None else self._frozen
        return encoder.backbone if isinstance(encoder, FeatureEncoder) else None

    def clips(self, rows: NDArray[np.int64], view: str = "none") -> Clips:
        """Return some clips as batches of the task's stream, augmented by `view`."""
        return Clips(self.file, rows, self.stream, self.device, view=view, seed=self.seed)

    @cached_property
    def features(self) -> tuple[Tensor, Tensor]:
        """Features of the training and of the test clips, float32 (n, D) and (m, D), on the CPU.

        Taken from the cache where they are, else computed, with the encoder shown to be unchanged by it.
        Standardised on the training clips where the subject says so.

        Raises:
            RunError: The encoder's weights or statistics moved.
        """
        return self.compared(self.train_rows, "train"), self.compared(self.test_rows, "test")

    def compared(self, rows: NDArray[np.int64], part: str) -> Tensor:
        """Return the features of some clips as protocols compare them, float32 (n, D), on the CPU.

        Those of `features_of`, standardised on the training clips where the subject says so.
        """
        return self.scaled(self.features_of(rows, part))

    def scaled(self, found: Tensor) -> Tensor:
        """Return plain features (n, D), on the CPU, as protocols compare them."""
        if self.subject.kind != results.STANDARDISED:
            return found
        mean, sd = self._scale
        return (found - mean) / sd

    @cached_property
    def _scale(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the training clips' features, each (D,)."""
        train = self.features_of(self.train_rows, "train")
        mean, sd = train.mean(dim=0), train.std(dim=0)
        return mean, torch.where(sd > 0, sd, 1.0)

    def on_plain_features(self, classifier: Classifier) -> Classifier:
        """Return a classifier of `features` as one of the encoder's features as they are."""
        if self.subject.kind != results.STANDARDISED:
            return classifier
        mean, sd = self._scale
        weight = classifier.weight / sd
        return Classifier(weight, classifier.bias - weight @ mean)

    def features_of(self, rows: NDArray[np.int64], part: str) -> Tensor:
        """Return the subject's plain features of some clips, float32 (n, D), on the CPU.

        Args:
            rows: Rows of the clips.
            part: What the progress display calls them.

        Raises:
            RunError: The encoder's weights or statistics moved.
        """
        if self.subject.build is None:
            return self._extract(nn.Flatten(), rows, part)
        name = self._key(rows)
        found = self.cache.load(name)
        if found is not None:
            self.file.confirm(rows)  # they are not read for their features
            self.features_from = "cached" if self.features_from == "none" else self.features_from
            return found
        features = self._extract(self._frozen, rows, part)
        self.check_frozen()
        self.cache.store(name, features)
        self.features_from = "computed"
        return features

    def kept(self, rows: NDArray[np.int64]) -> bool:
        """Tell whether the features of some clips lie in the cache."""
        return self.subject.build is not None and self.cache.load(self._key(rows)) is not None

    def _key(self, rows: NDArray[np.int64]) -> str:
        """Return the cache's key of the features of some clips."""
        return key(
            {
                "encoder": self.encoder_digest or "",
                "code": self.subject.code,
                "data": self.file.digest_of(rows),
                "skeleton": self.file.form.skeleton.to_json(),
                "stream": self.stream,
                "device": self.device.type,
            },
            rows,
        )

    def time_per_clip(self, clips: int = 64) -> float:
        """Return the seconds that a training clip takes through the encoder, by some of them; nothing is kept."""
        encoder = nn.Flatten() if self.subject.build is None else self._frozen
        spent = 0.0
        for rows in (self.train_rows[:2], self.train_rows[:clips]):  # the first warms up
            began = time.perf_counter()
            extract(encoder, self.file, rows, self.stream, batch_size=self.batch_size, device=self.device)
            spent = (time.perf_counter() - began) / len(rows)
        return spent

    @torch.no_grad()
    def pass_through(self, clips: Clips, index: Tensor) -> Tensor:
        """Return the features of some of `clips`, augmented as they are, as protocols compare them.

        Args:
            clips: The clips.
            index: Their places, int64 (b,).

        Returns:
            float32 (b, D), on the device.
        """
        if self.device.type == "cuda":
            full_float32()
        encoder = nn.Flatten() if self.subject.build is None else self._frozen
        parts = [encoder(clips.batch(part)).float() for part in index.split(self.batch_size)]  # type: ignore[no-untyped-call]
        found = torch.cat(parts)
        return (
            found if self.subject.kind != results.STANDARDISED else self.scaled(found.cpu()).to(found.device)
        )

    def check_frozen(self) -> None:
        """Check that no weight and no statistic of the encoder moved since its digest was taken.

        Raises:
            RunError: One did.
        """
        if self.subject.build is not None and state_digest(self._frozen) != self.encoder_digest:
            raise RunError("The encoder changed while features were computed; a frozen encoder must not.")

    def _extract(self, encoder: nn.Module, rows: NDArray[np.int64], part: str) -> Tensor:
        return extract(
            encoder,
            self.file,
            rows,
            self.stream,
            batch_size=self.batch_size,
            device=self.device,
            progress=self.progress,
            label=f"{self.subject.kind}: {part} features",
        )
