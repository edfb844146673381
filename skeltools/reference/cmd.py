"""CMD (ECCV 2022): three GRUs in one file, one for each stream."""

from __future__ import annotations

from skeltools.reference.contract import Project
from skeltools.reference.crossclr import LEFT, THREE
from skeltools.reference.encoders import BIGRU

PROJECT = Project(
    name="cmd",
    title="CMD",
    encoders=(BIGRU,),
    prefixes=THREE,
    frames=64,
    preparation="cmd",
    left=LEFT,
)
