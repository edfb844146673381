"""PSTL (AAAI 2023): the encoder alone, without prefix and head."""

from __future__ import annotations

from skeltools.reference.contract import AIMCLR_FRAMES, Project
from skeltools.reference.encoders import STGCN

PROJECT = Project(
    name="pstl",
    title="PSTL",
    encoders=(STGCN,),
    prefixes={"": "joint"},
    frames=AIMCLR_FRAMES,
    preparation="aimclr",
    left=r"fc\..*",
)
