"""ViT: the plain transformer of MAMP and STARS. A token is one joint in a few successive frames of one body.

Each body is a sequence of its own. S = N * M sequences, L = (T / patch) * V tokens, time slowest, D channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeltools.errors import SettingError, counted
from skeltools.models.absent import pooled_once
from skeltools.models.contract import ExtentBackbone
from skeltools.settings import setting
from skeltools.skeletons import Form

ABSENT = ("ordinary", "left_out")


@dataclass(frozen=True)
class ViTSettings:
    """What ViT reads of ``model.*``."""

    dim: int = setting("Channels of a token; the feature's size.", low=1, high=16384)
    vit_depth: int = setting("Blocks of ViT.", low=1, high=256)
    vit_heads: int = setting("Attention heads of ViT; must divide model.dim.", low=1, high=16384)
    vit_patch: int = setting("Frames per token of ViT; must divide the clip's frames.", low=1, high=1000)
    vit_mlp: int = setting("Hidden size of ViT's MLPs, in multiples of their input.", low=1, high=64)
    vit_absent: str = setting(
        "A body that is all zeros: an ordinary sequence, or left out of the feature and of MAMP's loss.",
        choices=ABSENT,
    )


class ViT(ExtentBackbone):
    """Linear map of each token's numbers, learned positions of joint and time, pre-norm blocks, a last norm.

    The global feature is the mean over tokens and bodies.

    Args:
        dim: D.
        depth: Blocks.
        heads: Attention heads.
        form: Of the clips; other numbers of frames are taken too, with time positions resized.
        patch: Frames per token.
        mlp: Hidden size of the MLPs, in multiples of D.
        absent: ``ordinary``: a body of zeros is a sequence like any other. ``left_out``: its tokens are 0 and
            the others' grow by M / bodies present, so that a mean over all is the mean over those present.

    Raises:
        SettingError: `heads` does not divide `dim`, or `patch` the frames.
    """

    settings = ViTSettings

    @classmethod
    def build(cls, settings: Any, form: Form) -> Self:
        return cls(
            settings.dim, settings.vit_depth, settings.vit_heads, form,
            settings.vit_patch, settings.vit_mlp, settings.vit_absent,
        )  # fmt: skip

    def __init__(
        self,
        dim: int,
        depth: int,
        heads: int,
        form: Form,
        patch: int = 4,
        mlp: int = 4,
        absent: str = "ordinary",
    ) -> None:
        super().__init__()
        check_heads("model.vit_heads", heads, "model.dim", dim)
        self.feature_dim = self.head_dim = dim
        self.bodies, self.token_joints = form.bodies, form.joints
        self.patch_frames, self.absent = patch, absent
        steps = self._steps(form.frames)
        self.patch = nn.Conv2d(3, dim, (patch, 1), stride=(patch, 1))
        self.joint_position = nn.Parameter(torch.zeros(1, 1, form.joints, dim))
        self.time_position = nn.Parameter(torch.zeros(1, steps, 1, dim))
        self.blocks = nn.Sequential(*(Block(dim, heads, mlp) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.reset()

    def reset(self) -> None:
        """Start all weights: positions truncated normal, the patch map as torch does, linear maps Xavier."""
        self.patch.reset_parameters()
        start_positions(self.joint_position, self.time_position)
        start_linear(self.blocks)

    def _steps(self, frames: int) -> int:
        if frames % self.patch_frames:
            raise SettingError(
                f"model.vit_patch {self.patch_frames} does not divide the clips' {counted(frames, 'frame')}. Choose "
                "another, or convert to another number of frames."
            )
        return frames // self.patch_frames

    def cut(self, x: Tensor) -> Tensor:
        """Return the numbers of each token, frame then coordinate: (S, L, patch * 3) of clips (N, 3, T, V, M)."""
        clips, _, frames, joints, bodies = x.shape
        steps = self._steps(frames)
        cut = x.reshape(clips, 3, steps, self.patch_frames, joints, bodies).permute(0, 5, 2, 4, 3, 1)
        return cut.reshape(clips * bodies, steps * joints, -1)

    def encode(self, patches: Tensor, steps: int, places: Tensor | None = None) -> Tensor:
        """Return tokens (S, K, D) of some of a sequence's patches; they see one another alone.

        Args:
            patches: Numbers of the tokens (S, K, patch * 3), as `cut` gives them.
            steps: T / patch of the clips.
            places: Which tokens these are, int64 (S, K); None for all L in order.
        """
        weight = self.patch.weight.squeeze(3).transpose(1, 2).flatten(1)  # (D, patch * 3)
        where = positions(self.joint_position, self.time_position, steps)
        tokens = F.linear(patches, weight, self.patch.bias)
        tokens = tokens + (where if places is None else F.embedding(places, where))
        return cast(Tensor, self.norm(self.blocks(tokens)))

    def forward(self, x: Tensor, lengths: Tensor | None = None, bodies: Tensor | None = None) -> Tensor:
        """Return tokens (S, L, D). `lengths` changes nothing here; `bodies` counts where absent ones are left out."""
        tokens = self.encode(self.cut(x), self._steps(x.shape[2]))
        if self.absent == "ordinary":
            return tokens
        return tokens * self._weights(x, bodies, tokens.dtype).reshape(-1, 1, 1)

    @staticmethod
    def _weights(x: Tensor, bodies: Tensor | None, dtype: torch.dtype) -> Tensor:
        """Return what the tokens of bodies (N, M) are multiplied by where absent ones are left out."""
        there = present(x) if bodies is None else bodies
        return there.to(dtype) * there.shape[1] / there.sum(dim=1, keepdim=True).clamp(min=1)

    def pool(self, tokens: Tensor) -> Tensor:
        return tokens.reshape(-1, self.bodies, *tokens.shape[1:]).mean(dim=(1, 2))

    def features(self, x: Tensor, lengths: Tensor | None = None, bodies: Tensor | None = None) -> Tensor:
        if self.training:
            return super().features(x, lengths, bodies)
        steps = self._steps(x.shape[2])
        pooled = pooled_once(self.cut(x), lambda patches: self.encode(patches, steps).mean(dim=1))
        pooled = pooled.view(-1, self.bodies, pooled.shape[1])
        if self.absent != "ordinary":
            pooled = pooled * self._weights(x, bodies, pooled.dtype).unsqueeze(2)
        return pooled.mean(dim=1)

    def layers(self) -> list[list[nn.Parameter]]:
        """Return patch map and positions, then each block; the last norm is in none."""
        first = [*self.patch.parameters(), self.joint_position, self.time_position]
        return [first, *(list(block.parameters()) for block in self.blocks)]

    def set_drop_path(self, most: float) -> bool:
        """Set the probability of each block's two branches: 0 in the first, `most` in the last."""
        for place, block in enumerate(self.blocks):
            cast(Block, block).drop_path = most * place / max(len(self.blocks) - 1, 1)
        return True


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)).

    Args:
        dim: Channels.
        heads: Attention heads; divides `dim`.
        mlp: Hidden size of the MLP, in multiples of `dim`.

    Attributes:
        drop_path: Probability that a sequence skips a branch in training mode.
    """

    def __init__(self, dim: int, heads: int, mlp: int) -> None:
        super().__init__()
        self.heads, self.drop_path = heads, 0.0
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.first, self.second = nn.Linear(dim, mlp * dim), nn.Linear(mlp * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._kept(self.attend(self.norm1(x)))
        return x + self._kept(self.second(F.gelu(self.first(self.norm2(x)))))

    def _kept(self, branch: Tensor) -> Tensor:
        """Return a branch (S, L, D), zero for some of the sequences in training, the others scaled in turn."""
        if not (self.training and self.drop_path):
            return branch
        keep = 1 - self.drop_path
        return branch * (torch.rand(len(branch), 1, 1, device=branch.device) < keep).to(branch.dtype) / keep

    def attend(self, x: Tensor) -> Tensor:
        """Return self-attention of (S, L, D), scaled by (D / heads)^-0.5."""
        heads = self.qkv(x).view(*x.shape[:2], 3, self.heads, x.shape[2] // self.heads)
        return cast(Tensor, self.out(attention(*heads.permute(2, 0, 3, 1, 4))))


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return torch's fused attention of (S, heads, L, D / heads) each, as (S, L, D).

    On the CPU it is in float32 at least: torch's bf16 kernel takes some ten times as long backward.
    """
    if q.device.type == "cpu" and q.dtype == torch.bfloat16:
        with torch.autocast("cpu", enabled=False):
            return attention(q.float(), k.float(), v.float())
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def positions(joint: Tensor, time: Tensor, steps: int) -> Tensor:
    """Return the position of each token (steps * V, D), from those of joints (1, 1, V, D) and times (1, T', 1, D).

    Where `steps` is not T', those of time are resized: bicubic, half-pixel centres.
    """
    if time.shape[1] != steps:
        table = time.permute(0, 3, 1, 2)
        table = F.interpolate(table, size=(steps, 1), mode="bicubic", align_corners=False)
        time = table.permute(0, 2, 3, 1)
    return (time + joint).flatten(0, 2)


def present(x: Tensor) -> Tensor:
    """Return which bodies of clips (N, 3, T, V, M) are there, that is not all zeros: bool (N, M)."""
    return (x != 0).flatten(1, 3).any(dim=1)


def start_positions(*tables: Tensor) -> None:
    """Start learned tables: normal of deviation 0.02, truncated at 2."""
    for table in tables:
        nn.init.trunc_normal_(table, std=0.02)


def start_linear(module: nn.Module) -> None:
    """Start linear maps as MAMP does (Xavier uniform, zero bias), and layer norms as the identity."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            nn.init.zeros_(part.bias)
        elif isinstance(part, nn.LayerNorm):
            part.reset_parameters()


def check_heads(key: str, heads: int, dim_key: str, dim: int) -> None:
    """Raise SettingError unless `heads` divides `dim`."""
    if dim % heads:
        raise SettingError(f"{key} {heads} does not divide {dim_key} {dim}.")
