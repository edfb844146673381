"""STARS (2024): MAMP's encoder, tuned against nearest neighbours, another view (MoCo) or a teacher (DINO)."""

from __future__ import annotations

from skeltools.reference.contract import Project
from skeltools.reference.encoders import VIT
from skeltools.reference.mamp import heads_of

PROJECT = Project(
    name="stars",
    title="STARS",
    encoders=(VIT,),
    prefixes={"encoder_student.": "joint"},
    frames=120,
    preparation="ctrgcn",
    left=r"encoder_student\.head\..*|encoder_teacher\..*|queue(_ptr|_id)?",
    heads=r"encoder_(student|teacher)\.head\..*",
    options=heads_of,
)
