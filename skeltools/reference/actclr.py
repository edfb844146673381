"""ActCLR (CVPR 2023): AimCLR's names; the layers of its head are 1x1 convolutions."""

from __future__ import annotations

import re

from skeltools.reference.aimclr import LEFT, QUERY
from skeltools.reference.contract import AIMCLR_FRAMES, Project, Weights
from skeltools.reference.encoders import STGCN


def _tells(weights: Weights, prefix: str) -> bool:
    head = re.compile(re.escape(prefix) + r"fc\.(\d\.)?weight")
    return any(head.fullmatch(name) and value.dim() == 4 for name, value in weights.entries.items())


PROJECT = Project(
    name="actclr",
    title="ActCLR",
    encoders=(STGCN,),
    prefixes=QUERY,
    frames=AIMCLR_FRAMES,
    preparation="aimclr",
    left=LEFT,
    tells=_tells,
)
