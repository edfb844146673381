"""IntelliRehabDS (Miron et al., Data 6(5):46, 2021), as raw text files or as copies in NTU's format."""

from __future__ import annotations

import re
from typing import NamedTuple

from skeltools.datasets import ntu
from skeltools.datasets.contract import Dataset, Naming

NAME = re.compile(r"([0-9]{1,6})_([0-9]{1,6})_([0-8])_([0-9]{1,4})_([123])_([A-Za-z][A-Za-z0-9-]*)", re.ASCII)

RECORDING = re.compile(r"[0-9]+_[0-9]+")
"""How names of recordings begin, faulty ones too."""


class IrdsName(NamedTuple):
    """What a raw file's name says: 0-based gesture; correct 1 (yes), 2 (no) or 3 (poorly executed)."""

    subject: int
    date: int
    label: int
    replication: int
    correct: int
    position: str


def parse_name(stem: str) -> IrdsName | None:
    """Return what a file name such as ``215_18_4_5_1_stand`` says, or None when it is not one."""
    match = NAME.fullmatch(stem)
    if match is None:
        return None
    subject, date, gesture, repetition, correct = map(int, match.groups()[:5])
    return IrdsName(subject, date, gesture, repetition, correct, match[6])


NAMING = Naming(
    suffix=".txt",
    called="SUBJECT_DATE_GESTURE_REPETITION_CORRECT_POSITION.txt",
    wrong="SUBJECT_DATE_GESTURE_REPETITION_CORRECT_POSITION",
    parse=parse_name,
    columns=("subject", "date", "replication", "correct", "position"),
    like=lambda name: RECORDING.match(name) is not None,
)

_GESTURES = (
    "elbow flexion left", "elbow flexion right", "shoulder flexion left", "shoulder flexion right",
    "shoulder abduction left", "shoulder abduction right", "shoulder forward elevation",
    "side tap left", "side tap right",
)  # fmt: skip


def _outside(clip: IrdsName | ntu.NtuName) -> str:
    return (
        ntu.outside("irds", range(1000), len(_GESTURES), False, clip) if isinstance(clip, ntu.NtuName) else ""
    )


def datasets() -> tuple[Dataset, ...]:
    """Return IntelliRehabDS."""
    return (
        Dataset(
            name="irds",
            title="IntelliRehabDS",
            format="irds",
            classes=_GESTURES,
            splits=("xsub",),
            licence="open data: CC BY 4.0; cite Miron et al., Data 6(5):46, 2021, doi 10.3390/data6050046",
            namings=(NAMING, ntu.NAMING),
            train={"xsub": lambda clip: clip.subject % 3 != 0},
            outside=_outside,
            setups=range(1000),
        ),
    )
