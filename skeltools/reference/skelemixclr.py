"""SkeleMixCLR and SkeleMixCLR+ (2022): AimCLR's names, a head of three layers, this package's graph, 64 frames."""

from __future__ import annotations

import torch

from skeltools.reference.aimclr import LEFT, QUERY
from skeltools.reference.contract import Project, Weights
from skeltools.reference.encoders import STGCN
from skeltools.skeletons import load


def _tells(weights: Weights, prefix: str) -> bool:
    graph = weights.entries.get(f"{prefix}A")
    ours = torch.from_numpy(load("kinect2").graph())
    known = (
        graph is not None
        and graph.is_floating_point()
        and graph.shape == ours.shape
        and torch.allclose(graph.to(ours), ours, atol=1e-6)
    )
    return known or f"{prefix}fc.3.weight" in weights.entries


PROJECT = Project(
    name="skelemixclr",
    title="SkeleMixCLR",
    encoders=(STGCN,),
    prefixes=QUERY,
    frames=64,
    preparation="aimclr",
    left=LEFT + "|queue_label",
    tells=_tells,
)
