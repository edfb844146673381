"""AimCLR (AAAI 2022), and files that are named alike: SkeletonCLR's, and CrosSCLR's with one stream."""

from __future__ import annotations

from skeltools.reference.contract import AIMCLR_FRAMES, Project
from skeltools.reference.encoders import STGCN

QUERY = {"encoder_q.": "joint"}
"""One query encoder, of whatever stream."""

LEFT = r"encoder_q\.fc\..*|encoder_k\..*|queue(_ptr)?"
"""The projection head, the key encoder and its queue."""

PROJECT = Project(
    name="aimclr",
    title="AimCLR family",
    encoders=(STGCN,),
    prefixes=QUERY,
    frames=AIMCLR_FRAMES,
    preparation="aimclr",
    left=LEFT,
)
