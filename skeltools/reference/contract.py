"""What is said of a project whose weights are read: how its encoders are named, and what its files hold.

An `Encoder` maps names and shapes of an architecture to a backbone's here; a `Project` says which encoders are
under which prefix of its files, what its clips look like, and what may be left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from skeltools.errors import RunError

AIMCLR_FRAMES = 50
"""Frames per clip of AimCLR, and of those that take its data."""

WIDEST = 4096
"""Most channels that an encoder is read with; the projects use 16 to 2,048."""

_MOST = 100
"""Most layers or blocks that an encoder is read with."""

Shape = tuple[int, ...]
Name = tuple[str, str, Callable[[Shape], Shape]]
"""Pattern of a name there, the name here, and how a shape here is there."""


@dataclass(frozen=True)
class Weights:
    """The entries of a file, read and not yet understood.

    Attributes:
        path: The file.
        entries: By name, without the prefixes that DataParallel, Lightning and torch.compile put before all.
        original: Name in the file by name in `entries`.
        beside: What the file holds beside its state dict, such as an optimiser's state.
        options: Options of the training script that are in the file, by name.
    """

    path: Path
    entries: Mapping[str, Tensor]
    original: Mapping[str, str]
    beside: tuple[str, ...] = ()
    options: Mapping[str, Any] | None = None

    def called(self, name: str) -> str:
        """Return how the file calls an entry."""
        return self.original.get(name, name)


@dataclass(frozen=True)
class Part:
    """The entries of one encoder in a file: those under a prefix.

    Attributes:
        weights: The file.
        prefix: The text before the encoder's names.
        title: Of the architecture, for messages.
    """

    weights: Weights
    prefix: str
    title: str

    def has(self, rest: str) -> bool:
        """Tell whether there is an entry."""
        return self.prefix + rest in self.weights.entries

    def shape(self, rest: str, dimensions: int) -> Shape:
        """Return the shape of an entry.

        Raises:
            RunError: It is missing or has another number of dimensions.
        """
        value = self.weights.entries.get(self.prefix + rest)
        if value is None or value.dim() != dimensions:
            problem = "lacks" if value is None else f"has {value.dim()} instead of {dimensions} dimensions in"
            raise RunError(
                f"{self.weights.path} {problem} '{self.weights.called(self.prefix + rest)}', from which channels are "
                f"read; it is not a {self.title}."
            )
        return tuple(value.shape)

    def size(self, rest: str, axis: int, dimensions: int) -> int:
        """Return the size of an axis of an entry, which is a number of channels.

        Raises:
            RunError: As `shape`, or there are none or more than `WIDEST`.
        """
        size = self.shape(rest, dimensions)[axis]
        if not 1 <= size <= WIDEST:
            raise RunError(
                f"{self.weights.path}: '{self.weights.called(self.prefix + rest)}' has {size:,} channels; "
                f"1 to {WIDEST:,} are read."
            )
        return size

    def count(self, pattern: str) -> int:
        """Return how many numbers, from 0 on and fewer than 100, are in place of ``#`` in a name."""
        number = 0
        while number < _MOST and self.has(pattern.replace("#", str(number))):
            number += 1
        return number


@dataclass(frozen=True)
class Sizes:
    """What the shapes of an encoder's entries tell.

    Attributes:
        model: ``model.*`` settings without their prefix.
        frames: Frames of its clips, or None where no shape depends on them.
    """

    model: dict[str, Any]
    frames: int | None = None


@dataclass(frozen=True)
class Encoder:
    """How an architecture is named elsewhere.

    Attributes:
        title: What it is called.
        backbone: Its name here.
        mark: How names of its entries begin.
        names: Each of its entries.
        sizes: Reads what the shapes tell.
        feature: How one vector is made of a clip.
        recomputed: Pattern of its entries that are not weights and are made anew here.
        fixed_frames: Whether weights belong to so many frames.
        untold: ``model.*`` settings of which no shape tells, with what the projects use.
    """

    title: str
    backbone: str
    mark: str
    names: tuple[Name, ...]
    sizes: Callable[[Part], Sizes]
    feature: str
    recomputed: str = r"\Z."
    fixed_frames: bool = False
    untold: Mapping[str, Any] = field(default_factory=dict)

    def translate(self, rest: str) -> tuple[str, Callable[[Shape], Shape]] | None:
        """Return the name here of an entry, and how its shape is there; None for one without a counterpart."""
        for pattern, target, shape in self.names:
            match = re.fullmatch(pattern, rest)
            if match:
                return match.expand(target), shape
        return None


def same(shape: Shape) -> Shape:
    """The shape there is the shape here."""
    return shape


def pointwise(shape: Shape) -> Shape:
    """A linear map here is a 1x1 convolution there."""
    return (*shape, 1, 1) if len(shape) == 2 else shape


def batched(shape: Shape) -> Shape:
    """There is one more axis there, of size 1, in front."""
    return (1, *shape)


@dataclass(frozen=True)
class Project:
    """A project whose files are read.

    Attributes:
        name: As ``--from`` takes it.
        title: As its authors write it.
        encoders: Architectures that its files hold, one per file.
        prefixes: The text before an encoder's names -> the stream it is for where a file holds several.
        frames: Frames of its clips, unless the file tells.
        preparation: Name of the packaged preparation of its clips.
        left: Pattern of names that its files hold beside the encoder's weights and that are left out.
        tells: Whether a file with an encoder under a prefix of this project is its own, given the file and the
            first of these prefixes.
        heads: Pattern of names that look like a classifier's and belong to the pretraining.
        options: Settings that only the training script's options tell, given these or None.
    """

    name: str
    title: str
    encoders: tuple[Encoder, ...]
    prefixes: Mapping[str, str]
    frames: int
    preparation: str
    left: str
    tells: Callable[[Weights, str], bool] = lambda weights, prefix: True
    heads: str = r"\Z."
    options: Callable[[Mapping[str, Any]], dict[str, Any]] = lambda options: {}

    def find(self, weights: Weights) -> tuple[Encoder, dict[str, str]] | None:
        """Return the encoder that a file holds and prefix -> stream, or None where it holds none of this project's."""
        for encoder in self.encoders:
            there = {
                prefix: stream
                for prefix, stream in self.prefixes.items()
                if any(name.startswith(prefix + encoder.mark) for name in weights.entries)
            }
            if there:
                return encoder, there
        return None

    def owns(self, weights: Weights) -> bool:
        """Tell whether a file looks like one of this project's."""
        found = self.find(weights)
        return found is not None and self.tells(weights, next(iter(found[1])))
