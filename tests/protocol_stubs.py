"""Stand-ins that the tests of protocols share."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from forms import kinect
from torch import nn

from skeltools import skeletons
from skeltools.datasets import registry as datasets
from skeltools.protocols.running import registry
from skeltools.protocols.running.subjects import Subject
from skeltools.protocols.running.task import Task
from skeltools.results import record as results
from skeltools.skeletons import Form


class MemoryFile:
    """Stands in for an open clip file: each class is shifted along an axis of its own."""

    columns: tuple[str, ...] = ("frames",)

    def __init__(self, n: int = 60, classes: int = 3, seed: int = 0) -> None:
        draws = np.random.default_rng(seed)
        self.labels = np.arange(n) % classes
        self._clips = draws.normal(size=(n, 3, 8, 25, 2)).astype(np.float32)
        self._clips[np.arange(n), self.labels % 3] += 3
        self.names = [f"clip{i}" for i in range(n)]
        self.classes = tuple(f"class {i}" for i in range(classes))
        self.path, self.digest, self.dataset = "memory.h5", f"digest {seed}", datasets.get("ntu60")
        self.form = Form(skeletons.load("kinect2"), 2, 8)
        self.frames, self.splits, self.has_labels = 8, ("xsub",), True
        self.form = kinect(8)
        self.attrs: dict[str, object] = {"chain.frames": 8, "dataset": "ntu60"}
        self._rows = {"train": np.arange(0, n, 2), "test": np.arange(1, n, 2)}

    @property
    def subsets(self) -> list[tuple[str, str, int]]:
        return []

    def rows(self, split: str, part: str) -> Any:
        return self._rows[part]

    def clips(self, rows: Any) -> Any:
        return self._clips[rows]

    @property
    def digests(self) -> Any:
        rows = [hashlib.sha256(clip.tobytes()).digest() for clip in self._clips]
        return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 32)

    def confirm(self, rows: Any) -> None:
        pass

    def digest_of(self, rows: Any) -> str:
        return f"{self.digest} {np.asarray(rows).tolist()}"


class Mean(nn.Module):
    """A tiny encoder with a batch norm, whose statistics must not move."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.norm(x.mean(dim=(2, 3, 4)))
        return out


class Drifting(Mean):
    """Moves its statistics whatever the mode."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.norm.running_mean += 1
        return super().forward(x)


def task(file: Any = None, subject: str = results.PRETRAINED, encoder: Any = Mean, seed: int = 0) -> Task:
    build = None if encoder is None else (lambda device: encoder())
    return Task(
        file=file or MemoryFile(),
        split="xsub",
        stream="joint",
        subject=Subject(subject, "test", build),
        seed=seed,
        device=torch.device("cpu"),
        batch_size=7,
    )


def settings(name: str, *overrides: str) -> Any:
    return registry.get(name).resolve({}, overrides=overrides).values
