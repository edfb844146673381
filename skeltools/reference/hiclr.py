"""HiCLR (AAAI 2023): AimCLR's ST-GCN with other names of the edge weights, or a transformer."""

from __future__ import annotations

from dataclasses import replace

from skeltools.reference.aimclr import LEFT, QUERY
from skeltools.reference.contract import AIMCLR_FRAMES, Project, same
from skeltools.reference.encoders import DSTA_CONVOLUTION, STGCN

_EDGES = tuple(
    (f"edge_importance{number}", f"blocks.{number - 1}.spatial.edge", same) for number in range(1, 11)
)

PROJECT = Project(
    name="hiclr",
    title="HiCLR",
    encoders=(replace(STGCN, names=STGCN.names + _EDGES), DSTA_CONVOLUTION),
    prefixes=QUERY,
    frames=AIMCLR_FRAMES,
    preparation="aimclr",
    left=LEFT + "|mask_param",
    tells=lambda weights, prefix: (
        f"{prefix}edge_importance1" in weights.entries
        or any(name.startswith(f"{prefix}graph_layers.") for name in weights.entries)
    ),
)
