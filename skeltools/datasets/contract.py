"""What a dataset is: names, splits, classes, official counts, licence; and how its raw files are called."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from skeltools.skeletons import Form, Skeleton, load

if TYPE_CHECKING:
    from skeltools.datasets.descriptor import Descriptor

STREAMS: tuple[str, ...] = ("joint", "motion", "bone")
"""The streams of a clip, all derived from the stored joint coordinates."""

OTHER_STREAMS = {"j": "joint", "m": "motion", "b": "bone", "velocity": "motion", "position": "joint"}
"""What others call them."""

OTHER_SPLITS = {
    other: name
    for name, others in {
        "xsub": "cs xs sub csub subject subjects crosssubject crosssubjects xsubject",
        "xview": "cv xv view cview view crossview crossviews",
        "xset": "cset setup xsetup crosssetup crosssetups",
    }.items()
    for other in others.split()
}
"""What others call splits."""

PARTITIONS: tuple[str, str] = ("train", "test")
"""The two sides of every split."""

TRAIN, TEST, NEITHER = 1, 0, -1
"""Sides of a split as they stand in arrays of numbers; a clip may be on neither."""

_PLACEHOLDER = re.compile(r"(train|test)_\d{6,}", re.ASCII)


def placeholder(part: str, row: int) -> str:
    """Return what a clip without a name is called, by its side of a split and its row there."""
    return f"{part}_{row:06d}"


def is_placeholder(name: str) -> bool:
    """Tell whether a name says nothing of which clip it is."""
    return _PLACEHOLDER.fullmatch(name) is not None


Rule = Callable[[Any], bool | None]
"""Of a clip, from what its name says: whether it is on a split's training side; None for neither side."""


@dataclass(frozen=True)
class Naming:
    """How raw files of one clip each are called, and what their names say.

    Attributes:
        suffix: Their extension in lower case.
        called: How such a file is called, for messages.
        wrong: What is said of a name that begins as they do and is none.
        parse: What a name without extension says, or None where it is not a clip's: an object with `label`, the
            0-based class, and the columns.
        columns: Attributes of that object that are stored as columns.
        like: Whether a name that `parse` does not take is a faulty clip's; other files are passed over.
    """

    suffix: str
    called: str
    wrong: str
    parse: Callable[[str], Any | None]
    columns: tuple[str, ...]
    like: Callable[[str], bool] = lambda _: True


@dataclass(frozen=True)
class Dataset:
    """One dataset: what its files are called and how it is split.

    Attributes:
        name: The name used on the command line and in files, such as ``ntu60``.
        title: The name people write in papers.
        format: Raw format, a module of `skeltools.formats`.
        classes: Class names by 0-based label.
        splits: Names of the official splits, the customary one first.
        licence: The terms under which the recordings are given out.
        namings: How its raw files are called where each holds one clip, the customary way first.
        train: A rule per split, for clips that are known by their names.
        other_train: Further rules by value of ``chain.splits``.
        partial: Splits that leave some of the clips out, on neither side.
        outside: Why a clip does not belong to the dataset, from what its name says; empty where it does.
        setups: For NTU, the range of setup numbers that belongs to the dataset.
        skeleton_name: Name of the skeleton of its clips, as `skeltools.skeletons.load` takes it.
        bodies: Most bodies of a clip, M; absent ones are all zeros.
        split_files: For PKU, the official split file name per split.
        counts: Official clips (train, test) per split once incomplete clips are left out.
        exemplars: For one-shot recognition, the one known clip of each novel class, as the dataset's authors
            define them; empty where they define none.
        dimensions: 3, or 2 for key points of an image.
        own: The descriptor of data of one's own, which their file holds; None for the packaged ones.
        recordings: What its recordings are called; datasets with the same word here share some, under the same
            names. Empty where they are its own.
    """

    name: str
    title: str
    format: str
    classes: tuple[str, ...]
    splits: tuple[str, ...]
    licence: str
    namings: tuple[Naming, ...] = ()
    train: Mapping[str, Rule] = field(default_factory=dict)
    other_train: Mapping[str, Mapping[str, Rule]] = field(default_factory=dict)
    partial: tuple[str, ...] = ()
    outside: Callable[[Any], str] = lambda _: ""
    setups: range = range(0)
    skeleton_name: str = "kinect2"
    bodies: int = 2
    split_files: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    exemplars: tuple[str, ...] = ()
    dimensions: int = 3
    own: Descriptor | None = None
    recordings: str = ""

    @property
    def skeleton(self) -> Skeleton:
        """The skeleton of its clips."""
        return load(self.skeleton_name) if self.own is None else self.own.skeleton

    @property
    def definition(self) -> str | None:
        """What a converted file says of data of one's own, as JSON; None for the packaged datasets."""
        return None if self.own is None else self.own.to_json()

    def leaves_out(self, split: str) -> bool:
        """Tell whether a split may leave clips out; those that files of one's own state may."""
        return split in self.partial or (self.own is not None and not self.own.splits)

    def form(self, frames: int) -> Form:
        """Return what its clips look like with T = `frames`."""
        return Form(self.skeleton, self.bodies, frames, self.dimensions)


@cache
def lines(name: str) -> tuple[str, ...]:
    """Return the lines of a list that lies beside this module."""
    text = (files("skeltools.datasets") / name).read_text(encoding="utf-8")
    return tuple(text.splitlines())
