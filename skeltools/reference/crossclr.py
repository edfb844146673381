"""CrosSCLR (CVPR 2021): three streams in one file."""

from __future__ import annotations

from skeltools.reference.contract import AIMCLR_FRAMES, Project
from skeltools.reference.encoders import STGCN

THREE = {"encoder_q.": "joint", "encoder_q_motion.": "motion", "encoder_q_bone.": "bone"}
"""A query encoder for each stream."""

LEFT = r"encoder_q(_motion|_bone)?\.fc\..*|encoder_k(_motion|_bone)?\..*|queue(_ptr)?(_motion|_bone)?"

PROJECT = Project(
    name="crossclr",
    title="CrosSCLR",
    encoders=(STGCN,),
    prefixes=THREE,
    frames=AIMCLR_FRAMES,
    preparation="aimclr",
    left=LEFT,
    tells=lambda weights, prefix: any(name.startswith("encoder_q_motion.") for name in weights.entries),
)
