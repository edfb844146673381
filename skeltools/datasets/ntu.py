"""NTU RGB+D 60 and 120 (Shahroudy et al., CVPR 2016; Liu et al., TPAMI 2020)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, partial

from skeltools.datasets.contract import Dataset, Naming, lines


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

    @property
    def label(self) -> int:
        """0-based class."""
        return self.action - 1


_NTU_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})", re.ASCII)


def parse_ntu_name(name: str) -> NtuName | None:
    """Return the numbers of an NTU clip name, or None when it is not one (extension not allowed)."""
    match = _NTU_NAME.fullmatch(name)
    return NtuName(*map(int, match.groups())) if match else None


NAMING = Naming(
    suffix=".skeleton",
    called="NAME.skeleton",
    wrong="a clip name such as S001C001P001R001A001",
    parse=parse_ntu_name,
    columns=("subject", "camera", "setup", "replication"),
)


@cache
def incomplete_ntu_clips() -> frozenset[str]:
    """Return the 535 NTU-120 clip names that are officially incomplete (NTU-60's 302 among them)."""
    return frozenset(lines("ntu_incomplete.txt"))


def outside(name: str, setups: range, classes: int, complete: bool, clip: NtuName) -> str:
    """Say why a clip does not belong to the dataset called `name`; empty where it does.

    Args:
        name: Name of the dataset.
        setups: Its setup numbers.
        classes: Its number of classes.
        complete: Clips that are officially incomplete, which do not belong to it.
        clip: The clip.
    """
    if clip.setup not in setups:
        return f"outside: setup {clip.setup} is not in {name}"
    if not 1 <= clip.action <= classes:
        return f"outside: action {clip.action} is not in {name}"
    return "incomplete" if complete and str(clip) in incomplete_ntu_clips() else ""


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

_LICENCE = "ROSE Lab request form; academic, non-commercial use only"
_SETUPS60, _SETUPS120 = range(1, 18), range(1, 33)


def _by_camera(clip: NtuName) -> bool:
    return clip.camera in (2, 3)


def datasets() -> tuple[Dataset, ...]:
    """Return NTU-60 and NTU-120."""
    classes = lines("ntu_actions.txt")
    return (
        Dataset(
            name="ntu60",
            title="NTU RGB+D 60",
            format="ntu",
            classes=classes[:60],
            splits=("xsub", "xview"),
            licence=_LICENCE,
            namings=(NAMING,),
            train={"xsub": lambda clip: clip.subject in _XSUB60, "xview": _by_camera},
            outside=partial(outside, "ntu60", _SETUPS60, 60, True),
            setups=_SETUPS60,
            recordings="ntu",
            counts={"xsub": (40091, 16487), "xview": (37646, 18932)},
        ),
        Dataset(
            name="ntu120",
            title="NTU RGB+D 120",
            format="ntu",
            classes=classes,
            splits=("xsub", "xset"),
            licence=_LICENCE,
            namings=(NAMING,),
            train={
                "xsub": lambda clip: clip.subject in _XSUB120,
                "xset": lambda clip: clip.setup % 2 == 0,
            },
            other_train={"camera": {"xview": _by_camera}},
            outside=partial(outside, "ntu120", _SETUPS120, len(classes), True),
            setups=_SETUPS120,
            recordings="ntu",
            counts={"xsub": (63026, 50919), "xset": (54468, 59477)},
            exemplars=_EXEMPLARS120,
        ),
    )
