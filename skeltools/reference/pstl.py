"""PSTL (AAAI 2023): the encoder alone, without prefix and head."""

from __future__ import annotations

from skeltools.reference.contract import Project
from skeltools.reference.encoders import STGCN

PROJECT = Project(
    name="pstl",
    title="PSTL",
    encoders=(STGCN,),
    prefixes={"": "joint"},
    frames=50,
    preparation="aimclr",
    left=r"fc\..*",
)
