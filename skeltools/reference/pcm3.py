"""PCM3 (ACM MM 2023): CMD's GRU, once; prompts and a decoder are beside it, which evaluation does not use."""

from __future__ import annotations

from skeltools.reference.aimclr import LEFT, QUERY
from skeltools.reference.contract import Project
from skeltools.reference.encoders import BIGRU

_PROMPTS = ("cl_prompt", "mp_prompt", "base_prompt", "mask_prompt", "recons_prompt", "mix_prompt")

PROJECT = Project(
    name="pcm3",
    title="PCM3",
    encoders=(BIGRU,),
    prefixes=QUERY,
    frames=64,
    preparation="cmd",
    left=LEFT + r"|encoder_[qk]\.\w+_prompt|\w+_prompt|(encoder_[qk]\.)?(linear|recons_decoder)\..*",
    tells=lambda weights, prefix: any(name.rpartition(".")[2] in _PROMPTS for name in weights.entries),
    heads=r"linear\..*|recons_decoder\..*",
)
