"""MAMP (ICCV 2023): masked motion prediction. The encoder has no prefix; the decoder is beside it.

`translate` maps a name in its state dict to the one in `skeltools.methods.mamp`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from skeltools.reference.contract import Project
from skeltools.reference.encoders import VIT, vit_block


def heads_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attention heads that the training script's options tell."""
    told = options.get("model_args")
    heads = told.get("num_heads") if isinstance(told, Mapping) else None
    return {"vit_heads": heads} if type(heads) is int and heads > 0 else {}


PROJECT = Project(
    name="mamp",
    title="MAMP",
    encoders=(VIT,),
    prefixes={"": "joint"},
    frames=120,
    preparation="ctrgcn",
    left=r"decoder_.*|mask_token|head\..*",
    options=heads_of,
)

_DECODER = (
    (r"mask_token", "mask_token"),
    (r"decoder_pos_embed", "joint_position"),
    (r"decoder_temp_embed", "time_position"),
    (r"decoder_(embed|norm)\.(weight|bias)", r"\1.\2"),
    (r"decoder_pred\.(weight|bias)", r"predict.\1"),
    *((there, here) for there, here, _ in vit_block("decoder_blocks", "blocks")),
)


def translate(name: str) -> str | None:
    """Return the name in `skeltools.methods.mamp.MAMP` of an entry of MAMP's state dict, or None."""
    inner = VIT.translate(name)
    if inner is not None:
        return f"backbone.{inner[0]}"
    for there, here in _DECODER:
        match = re.fullmatch(there, name)
        if match:
            return f"decoder.{match.expand(here)}"
    return None
