"""The architectures that other projects' files hold: their names there and here."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

from skeltools.errors import RunError
from skeltools.models.dsta import STRIDES, plan
from skeltools.reference.contract import Encoder, Name, Part, Shape, Sizes, batched, pointwise, same


def _parts(shape: Shape) -> Shape:
    """The three parts of a graph convolution are one after the other there."""
    return (shape[0] * shape[1], *((shape[2], 1, 1) if len(shape) == 3 else ()))


def _stgcn_sizes(part: Part) -> Sizes:
    width, dim = (part.size(f"st_gcn_networks.{block}.tcn.0.weight", 0, 1) for block in (0, 9))
    return Sizes({"width": width, "dim": dim})


_BLOCK = r"st_gcn_networks\.(\d)\."
STGCN = Encoder(
    title="ST-GCN",
    backbone="stgcn",
    mark="st_gcn_networks.",
    names=(
        (r"data_bn\.(\w+)", r"input_norm.\1", same),
        (r"A", "graph", same),
        (r"edge_importance\.(\d)", r"blocks.\1.spatial.edge", same),
        (_BLOCK + r"gcn\.conv\.(weight|bias)", r"blocks.\1.spatial.\2", _parts),
        (_BLOCK + r"tcn\.0\.(\w+)", r"blocks.\1.norm1.\2", same),
        (_BLOCK + r"tcn\.2\.(weight|bias)", r"blocks.\1.temporal.\2", same),
        (_BLOCK + r"tcn\.3\.(\w+)", r"blocks.\1.norm2.\2", same),
        (_BLOCK + r"residual\.0\.(weight|bias)", r"blocks.\1.shortcut.conv.\2", pointwise),
        (_BLOCK + r"residual\.1\.(\w+)", r"blocks.\1.shortcut.norm.\2", same),
    ),
    sizes=_stgcn_sizes,
    feature="mean over frames and joints, then over bodies",
)


def _bigru_sizes(part: Part) -> Sizes:
    hidden = part.size("encoder.gru.weight_hh_l0", 1, 2)
    return Sizes({"gru_hidden": hidden, "gru_layers": part.count("encoder.gru.weight_hh_l#")})


BIGRU = Encoder(
    title="BiGRU",
    backbone="bigru",
    mark="encoder.gru.",
    names=(
        (r"input_norm\.(\w+)", r"input_norm.\1", same),
        (r"encoder\.gru\.(weight|bias)_(ih|hh)_l(\d+)", r"first.\3.\1_\2_l0", same),
        (r"encoder\.gru\.(weight|bias)_(ih|hh)_l(\d+)_reverse", r"second.\3.\1_\2_l0", same),
    ),
    sizes=_bigru_sizes,
    feature="last state of both directions, of all bodies together",
)


def _dsta_sizes(part: Part, temporal: str) -> Sizes:
    count = max(1, part.count("graph_layers.#.out_nets.0.weight"))
    layers = [f"graph_layers.{block}" for block in range(count)]
    channels = tuple(part.size(f"{layer}.out_nets.0.weight", 0, 4) for layer in layers)
    subsets = part.size("graph_layers.0.alphas", 1, 4)
    inner = tuple(max(1, part.size(f"{layer}.in_nets.weight", 0, 4) // (2 * subsets)) for layer in layers)
    width, dim = channels[0], channels[-1]
    model: dict[str, Any] = {"width": width, "dim": dim, "subsets": subsets, "temporal": temporal}
    frames, strides = _dsta_frames(part, layers)
    blocks = [
        (*sizes, stride) for *sizes, stride in zip((width, *channels), channels, inner, strides, strict=False)
    ]
    if blocks != plan(width, dim):
        model |= {"dsta_channels": channels, "dsta_inner": inner, "dsta_strides": strides}
    return Sizes(model, frames)


def _dsta_frames(part: Part, layers: list[str]) -> tuple[int | None, tuple[int, ...]]:
    """Return the frames of a clip and the stride of each block, of which the sizes of the position codes tell.

    The last block has none of them after it, and a file without codes tells nothing: strides are then the paper's.
    """
    strides = [*STRIDES, *(1 for _ in layers)][: len(layers)]
    codes = [f"{layer}.pes.pe" for layer in layers]
    if not all(map(part.has, codes)):
        return None, tuple(strides)
    frames = [part.shape(code, 4)[2] for code in codes]
    for block, (before, after) in enumerate(itertools.pairwise(frames)):
        if after not in (before, (before + 1) // 2):
            raise RunError(
                f"{part.weights.path}: blocks of '{part.prefix}' see {', '.join(map(str, frames))} frames; expected "
                "each as many as the one before, or half of them."
            )
        strides[block] = 1 if after == before else 2
    return frames[0], tuple(strides)


def _layer(there: str, here: str) -> tuple[Name, ...]:
    """A convolution and its batch norm in each block."""
    start = rf"graph_layers\.(\d+)\.{there}\."
    return (
        (start + r"0\.(\w+)", rf"blocks.\1.{here}.conv.\2", pointwise),
        (start + r"1\.(\w+)", rf"blocks.\1.{here}.norm.\2", same),
    )


DSTA = Encoder(
    title="DSTA",
    backbone="dsta",
    mark="graph_layers.",
    names=(
        (r"proj\.(weight|bias)", r"input.conv.\1", pointwise),
        (r"input_map\.0\.(\w+)", r"input.norm.\1", same),
        (r"graph_layers\.(\d+)\.alphas", r"blocks.\1.spatial.alpha", batched),
        (r"graph_layers\.(\d+)\.alphat", r"blocks.\1.temporal.alpha", batched),
        (r"graph_layers\.(\d+)\.attention0s", r"blocks.\1.spatial.base", batched),
        (r"graph_layers\.(\d+)\.in_nets\.(\w+)", r"blocks.\1.spatial.query_key.\2", pointwise),
        (r"graph_layers\.(\d+)\.in_nett\.(\w+)", r"blocks.\1.temporal.query_key.\2", pointwise),
        *_layer("out_nets", "spatial_out"),
        *_layer("ff_nets", "spatial_mix"),
        *_layer("out_nett", "temporal_out"),
        *_layer("ff_nett", "temporal_mix"),
        *_layer("downs1", "skip1"),
        *_layer("downs2", "skip2"),
        *_layer("downt1", "skip3"),
        *_layer("downt2", "skip4"),
    ),
    sizes=partial(_dsta_sizes, temporal="attention"),
    feature="mean over frames and joints, then over bodies",
    recomputed=r"graph_layers\.\d+\.(att[st]|pe[st]\.pe)",
)
"""As in SkeAttnCLR; with attention over time."""

DSTA_CONVOLUTION = Encoder(
    title="DSTA with convolutions over time",
    backbone="dsta",
    mark="graph_layers.",
    names=(
        *(
            (there, here, shape)
            for there, here, shape in DSTA.names
            if "temporal" not in here and "skip3" not in here
        ),
        (r"graph_layers\.(\d+)\.out_nett\.0\.(\w+)", r"blocks.\1.temporal_conv.conv.\2", same),
        (r"graph_layers\.(\d+)\.out_nett\.1\.(\w+)", r"blocks.\1.temporal_conv.norm.\2", same),
    ),
    sizes=partial(_dsta_sizes, temporal="convolution"),
    feature=DSTA.feature,
    recomputed=DSTA.recomputed,
)
"""As in HiCLR."""


def _vit_sizes(part: Part) -> Sizes:
    dim = part.size("joints_embed.proj.weight", 0, 4)
    patch = part.size("joints_embed.proj.weight", 2, 4)
    steps = part.size("temp_embed", 1, 4)
    hidden = part.size("blocks.0.mlp.fc1.weight", 0, 2)
    model = {
        "dim": dim,
        "vit_depth": part.count("blocks.#.mlp.fc1.weight"),
        "vit_patch": patch,
        "vit_mlp": max(1, hidden // dim),
    }
    return Sizes(model, steps * patch)


def vit_block(there: str, here: str) -> tuple[Name, ...]:
    """The names in blocks of a transformer, which are under `there` and `here`."""
    start = rf"{there}\.(\d+)\."
    return (
        (start + r"(norm[12])\.(weight|bias)", rf"{here}.\1.\2.\3", same),
        (start + r"attn\.qkv\.(weight|bias)", rf"{here}.\1.qkv.\2", same),
        (start + r"attn\.proj\.(weight|bias)", rf"{here}.\1.out.\2", same),
        (start + r"mlp\.fc1\.(weight|bias)", rf"{here}.\1.first.\2", same),
        (start + r"mlp\.fc2\.(weight|bias)", rf"{here}.\1.second.\2", same),
    )


VIT = Encoder(
    title="ViT",
    backbone="vit",
    mark="joints_embed.",
    names=(
        (r"pos_embed", "joint_position", same),
        (r"temp_embed", "time_position", same),
        (r"joints_embed\.proj\.(weight|bias)", r"patch.\1", same),
        (r"norm\.(weight|bias)", r"norm.\1", same),
        *vit_block("blocks", "blocks"),
    ),
    sizes=_vit_sizes,
    feature="mean over tokens and bodies, absent ones included",
    fixed_frames=True,
    untold={"vit_heads": 8},
)
