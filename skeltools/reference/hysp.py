"""HYSP (ICLR 2023): hyperbolic self-paced learning. The encoder itself is Euclidean, and so is its feature here."""

from __future__ import annotations

from skeltools.reference.contract import AIMCLR_FRAMES, Project
from skeltools.reference.encoders import STGCN

PROJECT = Project(
    name="hysp",
    title="HYSP",
    encoders=(STGCN,),
    prefixes={"online_encoder.": "joint"},
    frames=AIMCLR_FRAMES,
    preparation="aimclr",
    left=r"online_encoder\.fc\..*|online_(projector|predictor)\..*|target_(encoder|projector)\..*",
)
