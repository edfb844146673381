"""The datasets skeltools knows: names, splits, classes, official counts, licences (spec sections 2 and 9).

The one home of these facts. Adding a dataset is one `Dataset` entry here and, when its raw format is
new, one reader in `skeltools.formats`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from skeltools.errors import SettingError, did_you_mean
from skeltools.skeletons import Form, Skeleton, load

if TYPE_CHECKING:
    from skeltools.datasets.descriptor import Descriptor

STREAMS: tuple[str, ...] = ("joint", "motion", "bone")
"""The streams of a clip, all derived from the stored joint coordinates."""

PARTITIONS: tuple[str, str] = ("train", "test")
"""The two sides of every split."""


@dataclass(frozen=True, order=True)
class NtuName:
    """The five numbers of an NTU clip name such as ``S001C002P003R002A013`` (all 1-based)."""

    setup: int
    camera: int
    subject: int
    replication: int
    action: int

    def __str__(self) -> str:
        return (
            f"S{self.setup:03d}C{self.camera:03d}P{self.subject:03d}R{self.replication:03d}A{self.action:03d}"
        )


_NTU_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})", re.ASCII)


def parse_ntu_name(name: str) -> NtuName | None:
    """Return the numbers of an NTU clip name, or None when it is not one (extension not allowed)."""
    match = _NTU_NAME.fullmatch(name)
    return NtuName(*map(int, match.groups())) if match else None


@dataclass(frozen=True)
class Dataset:
    """One dataset: what its files are called and how it is split.

    Attributes:
        name: The name used on the command line and in files, such as ``ntu60``.
        title: The name people write in papers.
        format: Raw format, a module of `skeltools.formats`: ``ntu``, ``pku`` or ``irds``.
        classes: Class names by 0-based label.
        splits: Names of the official splits, the customary one first.
        train: For NTU and irds, a rule per split telling whether a clip belongs to its training side.
        setups: For NTU, the range of setup numbers that belongs to the dataset.
        skeleton_name: Name of the skeleton of its clips, as `skeltools.skeletons.load` takes it.
        bodies: Most bodies of a clip, M; absent ones are all zeros.
        split_files: For PKU, the official split file name per split.
        counts: Official clips (train, test) per split once incomplete clips are left out.
        exemplars: For one-shot recognition, the one known clip of each novel class, as the dataset's authors
            define them; empty where they define none.
        licence: The terms under which the recordings are given out.
        dimensions: 3, or 2 for key points in an image.
        own: The descriptor of data of one's own, which is stored in their file; None for the packaged ones.
    """

    name: str
    title: str
    format: str
    classes: tuple[str, ...]
    splits: tuple[str, ...]
    licence: str
    train: Mapping[str, Callable[[NtuName], bool]] = field(default_factory=dict)
    setups: range = range(0)
    skeleton_name: str = "kinect2"
    bodies: int = 2
    split_files: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    exemplars: tuple[str, ...] = ()
    dimensions: int = 3
    own: Descriptor | None = None

    @property
    def skeleton(self) -> Skeleton:
        """The skeleton of its clips."""
        return load(self.skeleton_name) if self.own is None else self.own.skeleton

    def form(self, frames: int) -> Form:
        """Return what its clips look like with T = `frames`."""
        return Form(self.skeleton, self.bodies, frames, self.dimensions)


@cache
def _lines(name: str) -> tuple[str, ...]:
    text = (files("skeltools.datasets") / name).read_text(encoding="utf-8")
    return tuple(text.splitlines())


@cache
def incomplete_ntu_clips() -> frozenset[str]:
    """Return the 535 NTU-120 clip names that are officially incomplete (NTU-60's 302 among them)."""
    return frozenset(_lines("ntu_incomplete.txt"))


_XSUB60 = frozenset({1, 2, 4, 5, 8, 9, *range(13, 20), 25, 27, 28, 31, 34, 35, 38})
_XSUB120 = _XSUB60 | {
    45, 46, 47, 49, 50, *range(52, 60), 70, 74, 78, *range(80, 87), 89, *range(91, 96), 97, 98, 100, 103,
}  # fmt: skip

_EXEMPLARS120 = tuple(
    str(NtuName(setup=1 if action <= 60 else 18, camera=3, subject=8, replication=1, action=action))
    for action in range(1, 120, 6)
)
"""The exemplars of NTU-120's one-shot recognition: one clip of each of the classes A1, A7, A13 ... A115, as
its authors list them (Liu et al., NTU RGB+D 120, TPAMI 2020; github.com/shahroudy/NTURGB-D)."""

_IRDS_GESTURES = (
    "elbow flexion left", "elbow flexion right", "shoulder flexion left", "shoulder flexion right",
    "shoulder abduction left", "shoulder abduction right", "shoulder forward elevation",
    "side tap left", "side tap right",
)  # fmt: skip

_NTU_LICENCE = "ROSE Lab request form; academic, non-commercial use only"
_PKU_LICENCE = "PKU-MMD agreement; academic, non-commercial use only"


@cache
def registry() -> dict[str, Dataset]:
    """Return every known dataset by name."""
    ntu, pku = _lines("ntu_actions.txt"), _lines("pku_actions.txt")
    known = (
        Dataset(
            name="ntu60",
            title="NTU RGB+D 60",
            format="ntu",
            classes=ntu[:60],
            splits=("xsub", "xview"),
            licence=_NTU_LICENCE,
            train={
                "xsub": lambda clip: clip.subject in _XSUB60,
                "xview": lambda clip: clip.camera in (2, 3),
            },
            setups=range(1, 18),
            counts={"xsub": (40091, 16487), "xview": (37646, 18932)},
        ),
        Dataset(
            name="ntu120",
            title="NTU RGB+D 120",
            format="ntu",
            classes=ntu,
            splits=("xsub", "xset"),
            licence=_NTU_LICENCE,
            train={
                "xsub": lambda clip: clip.subject in _XSUB120,
                "xset": lambda clip: clip.setup % 2 == 0,
            },
            setups=range(1, 33),
            counts={"xsub": (63026, 50919), "xset": (54468, 59477)},
            exemplars=_EXEMPLARS120,
        ),
        Dataset(
            name="pku1",
            title="PKU-MMD I",
            format="pku",
            classes=pku,
            splits=("xsub", "xview"),
            licence=_PKU_LICENCE,
            split_files={"xsub": "cross-subject.txt", "xview": "cross-view.txt"},
            counts={"xsub": (18841, 2704)},
        ),
        Dataset(
            name="pku2",
            title="PKU-MMD II",
            format="pku",
            classes=pku,
            splits=("xsub", "xview"),
            licence=_PKU_LICENCE,
            split_files={"xsub": "cross_subject_v2.txt", "xview": "cross_view_v2.txt"},
        ),
        Dataset(
            name="irds",
            title="IntelliRehabDS",
            format="irds",
            classes=_IRDS_GESTURES,
            splits=("xsub",),
            licence="open data: CC BY 4.0; cite Miron et al., Data 6(5):46, 2021, doi 10.3390/data6050046",
            train={"xsub": lambda clip: clip.subject % 3 != 0},
            setups=range(1000),
        ),
    )
    return {dataset.name: dataset for dataset in known}


def get(name: str) -> Dataset:
    """Return the dataset called `name`.

    Raises:
        SettingError: There is no such dataset; the message lists those there are.
    """
    known = registry()
    if name not in known:
        hint = did_you_mean(name, known)
        raise SettingError(f"Unknown dataset '{name}'. Choose one of: {', '.join(known)}.{hint}")
    return known[name]


def of_file(name: str, definition: str | None) -> Dataset:
    """Return the dataset that a converted file states: a packaged one by name, one's own by its definition.

    Args:
        name: Its name.
        definition: What `Descriptor.to_json` wrote; None for a packaged one.

    Raises:
        SettingError: There is no such dataset, or the definition is none.
    """
    from skeltools.datasets import descriptor

    return get(name) if definition is None else descriptor.from_json(definition, "its definition").dataset()
