"""SkeAttnCLR (IJCAI 2023): files of the released code, whose method is trained here too.

`translate` maps a name in its state dict to the one in `skeltools.methods.skeattnclr`. Shapes agree up to a
reshape: 1x1 convolutions there are linear layers here; only the queue is transposed.
"""

from __future__ import annotations

import re

from skeltools.reference.contract import Encoder, Project
from skeltools.reference.encoders import BIGRU, DSTA, STGCN

_NECK: tuple[tuple[str, str], ...] = (
    (r"norm0\.(weight|bias)", r"attention.norm.\1"),
    (r"Attn\.qkv\.(weight|bias)", r"attention.qkv.\1"),
    (r"Attn\.proj\.(weight|bias)", r"attention.out.\1"),
    (r"proj\.mlp\.0\.(\w+)", r"head.first.\1"),
    (r"proj\.mlp\.1\.(\w+)", r"head.norm.\1"),
    (r"proj\.mlp\.3\.(\w+)", r"head.second.\1"),
)
_MLP = {"0": "first", "1": "norm", "3": "second"}
_PREDICTORS = {
    "predictor": "predict_whole",
    "predictor_s": "predict_salient",
    "predictor_ns": "predict_nonsalient",
}
_BRANCHES = {"encoder_q": "query", "encoder_k": "key"}

PROJECT = Project(
    name="skeattnclr",
    title="SkeAttnCLR",
    encoders=(STGCN, BIGRU, DSTA),
    prefixes={
        "encoder_q.backbone.": "joint",
        "encoder_q_motion.backbone.": "motion",
        "encoder_q_bone.backbone.": "bone",
    },
    frames=64,
    preparation="skeattnclr",
    left=r"encoder_q(_motion|_bone)?\.((backbone\.)?fc|neck)\..*|encoder_k\w*\..*|predictor\w*\..*|queue\w*",
)


def translate_neck(name: str) -> str | None:
    """Return the name in `Branch` of an entry of SkeAttnCLR's neck, or None."""
    for pattern, target in _NECK:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(target)
    return None


def translate(name: str, backbone: Encoder = STGCN) -> str | None:
    """Return the name in `SkeAttnCLR` of an entry of SkeAttnCLR's state dict.

    None for entries without a counterpart here: the classifier ``fc``, the unused ``proj_obj``.
    """
    if name == "queue_z":
        return "queue"
    head, _, rest = name.partition(".")
    if head in _PREDICTORS:
        match = re.fullmatch(r"mlp\.(0|1|3)\.(\w+)", rest)
        return f"{_PREDICTORS[head]}.{_MLP[match.group(1)]}.{match.group(2)}" if match else None
    if head in _BRANCHES:
        part, _, rest = rest.partition(".")
        if part == "backbone":
            inner = backbone.translate(rest)
            return inner and f"{_BRANCHES[head]}.backbone.{inner[0]}"
        if part == "neck":
            found = translate_neck(rest)
            return found and f"{_BRANCHES[head]}.{found}"
    return None
