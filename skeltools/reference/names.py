"""Names of weights in the state dicts of SkeAttnCLR, AimCLR, CrosSCLR and SkeletonCLR (spec section 7).

`translate` maps such a name to the one it has here. Shapes agree up to a reshape: 1x1 convolutions there are
linear layers here; only the queue is transposed.
"""

from __future__ import annotations

import re

_STGCN: tuple[tuple[str, str], ...] = (
    (r"data_bn\.(\w+)", r"input_norm.\1"),
    (r"A", "graph"),
    (r"edge_importance\.(\d)", r"blocks.\1.spatial.edge"),
    (r"st_gcn_networks\.(\d)\.gcn\.conv\.(weight|bias)", r"blocks.\1.spatial.\2"),
    (r"st_gcn_networks\.(\d)\.tcn\.0\.(\w+)", r"blocks.\1.norm1.\2"),
    (r"st_gcn_networks\.(\d)\.tcn\.2\.(weight|bias)", r"blocks.\1.temporal.\2"),
    (r"st_gcn_networks\.(\d)\.tcn\.3\.(\w+)", r"blocks.\1.norm2.\2"),
    (r"st_gcn_networks\.(\d)\.residual\.0\.(weight|bias)", r"blocks.\1.shortcut.conv.\2"),
    (r"st_gcn_networks\.(\d)\.residual\.1\.(\w+)", r"blocks.\1.shortcut.norm.\2"),
)
_BIGRU: tuple[tuple[str, str], ...] = (
    (r"input_norm\.(\w+)", r"input_norm.\1"),
    (r"encoder\.gru\.(weight|bias)_(ih|hh)_l(\d)", r"first.\3.\1_\2_l0"),
    (r"encoder\.gru\.(weight|bias)_(ih|hh)_l(\d)_reverse", r"second.\3.\1_\2_l0"),
)
_DSTA: tuple[tuple[str, str], ...] = (
    (r"proj\.(weight|bias)", r"input.conv.\1"),
    (r"input_map\.0\.(\w+)", r"input.norm.\1"),
    (r"graph_layers\.(\d)\.alphas", r"blocks.\1.spatial.alpha"),
    (r"graph_layers\.(\d)\.alphat", r"blocks.\1.temporal.alpha"),
    (r"graph_layers\.(\d)\.attention0s", r"blocks.\1.spatial.base"),
    (r"graph_layers\.(\d)\.in_nets\.(\w+)", r"blocks.\1.spatial.query_key.\2"),
    (r"graph_layers\.(\d)\.in_nett\.(\w+)", r"blocks.\1.temporal.query_key.\2"),
    (r"graph_layers\.(\d)\.out_nets\.0\.(\w+)", r"blocks.\1.spatial_out.conv.\2"),
    (r"graph_layers\.(\d)\.out_nets\.1\.(\w+)", r"blocks.\1.spatial_out.norm.\2"),
    (r"graph_layers\.(\d)\.ff_nets\.0\.(\w+)", r"blocks.\1.spatial_mix.conv.\2"),
    (r"graph_layers\.(\d)\.ff_nets\.1\.(\w+)", r"blocks.\1.spatial_mix.norm.\2"),
    (r"graph_layers\.(\d)\.out_nett\.0\.(\w+)", r"blocks.\1.temporal_out.conv.\2"),
    (r"graph_layers\.(\d)\.out_nett\.1\.(\w+)", r"blocks.\1.temporal_out.norm.\2"),
    (r"graph_layers\.(\d)\.ff_nett\.0\.(\w+)", r"blocks.\1.temporal_mix.conv.\2"),
    (r"graph_layers\.(\d)\.ff_nett\.1\.(\w+)", r"blocks.\1.temporal_mix.norm.\2"),
    (r"graph_layers\.(\d)\.downs1\.0\.(\w+)", r"blocks.\1.skip1.conv.\2"),
    (r"graph_layers\.(\d)\.downs1\.1\.(\w+)", r"blocks.\1.skip1.norm.\2"),
    (r"graph_layers\.(\d)\.downs2\.0\.(\w+)", r"blocks.\1.skip2.conv.\2"),
    (r"graph_layers\.(\d)\.downs2\.1\.(\w+)", r"blocks.\1.skip2.norm.\2"),
    (r"graph_layers\.(\d)\.downt1\.0\.(\w+)", r"blocks.\1.skip3.conv.\2"),
    (r"graph_layers\.(\d)\.downt1\.1\.(\w+)", r"blocks.\1.skip3.norm.\2"),
    (r"graph_layers\.(\d)\.downt2\.0\.(\w+)", r"blocks.\1.skip4.conv.\2"),
    (r"graph_layers\.(\d)\.downt2\.1\.(\w+)", r"blocks.\1.skip4.norm.\2"),
)
_BLOCK: tuple[tuple[str, str], ...] = (
    (r"(\d+)\.(norm[12])\.(weight|bias)", r"\1.\2.\3"),
    (r"(\d+)\.attn\.qkv\.(weight|bias)", r"\1.qkv.\2"),
    (r"(\d+)\.attn\.proj\.(weight|bias)", r"\1.out.\2"),
    (r"(\d+)\.mlp\.fc1\.(weight|bias)", r"\1.first.\2"),
    (r"(\d+)\.mlp\.fc2\.(weight|bias)", r"\1.second.\2"),
)
_VIT: tuple[tuple[str, str], ...] = (
    (r"pos_embed", "joint_position"),
    (r"temp_embed", "time_position"),
    (r"joints_embed\.proj\.(weight|bias)", r"patch.\1"),
    (r"norm\.(weight|bias)", r"norm.\1"),
    *((r"blocks\." + pattern, "blocks." + target) for pattern, target in _BLOCK),
)
_MAMP_DECODER: tuple[tuple[str, str], ...] = (
    (r"mask_token", "mask_token"),
    (r"decoder_pos_embed", "joint_position"),
    (r"decoder_temp_embed", "time_position"),
    (r"decoder_(embed|norm)\.(weight|bias)", r"\1.\2"),
    (r"decoder_pred\.(weight|bias)", r"predict.\1"),
    *((r"decoder_blocks\." + pattern, "blocks." + target) for pattern, target in _BLOCK),
)
_BACKBONES = {"stgcn": _STGCN, "bigru": _BIGRU, "dsta": _DSTA, "vit": _VIT}
_NECK: tuple[tuple[str, str], ...] = (
    (r"norm0\.(weight|bias)", r"attention.norm.\1"),
    (r"Attn\.qkv\.(weight|bias)", r"attention.qkv.\1"),
    (r"Attn\.proj\.(weight|bias)", r"attention.out.\1"),
    (r"proj\.mlp\.(0|1|3)\.(\w+)", "head"),
)
_MLP = {"0": "first", "1": "norm", "3": "second"}
_PREDICTORS = {
    "predictor": "predict_whole",
    "predictor_s": "predict_salient",
    "predictor_ns": "predict_nonsalient",
}
_BRANCHES = {"encoder_q": "query", "encoder_k": "key"}


def translate_backbone(name: str, backbone: str = "stgcn") -> str | None:
    """Return the name in our backbone of an entry of theirs, or None for one without a counterpart."""
    return _translated(name, _BACKBONES[backbone])


def translate_mamp(name: str) -> str | None:
    """Return the name in `skeltools.methods.mamp.MAMP` of an entry of MAMP's state dict, or None."""
    for part, table in (("backbone", _VIT), ("decoder", _MAMP_DECODER)):
        inner = _translated(name, table)
        if inner is not None:
            return f"{part}.{inner}"
    return None


def _translated(name: str, table: tuple[tuple[str, str], ...]) -> str | None:
    for pattern, target in table:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(target)
    return None


def translate_neck(name: str) -> str | None:
    """Return the name in `Branch` of an entry of SkeAttnCLR's neck, or None."""
    for pattern, target in _NECK:
        match = re.fullmatch(pattern, name)
        if match:
            if target == "head":
                return f"head.{_MLP[match.group(1)]}.{match.group(2)}"
            return match.expand(target)
    return None


def translate(name: str, backbone: str = "stgcn") -> str | None:
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
            inner = translate_backbone(rest, backbone)
            return inner and f"{_BRANCHES[head]}.backbone.{inner}"
        if part == "neck":
            inner = translate_neck(rest)
            return inner and f"{_BRANCHES[head]}.{inner}"
    return None
