"""MAMP: masked motion prediction (ICCV 2023, arXiv 2308.07092). Read `MAMP.forward`.

Most tokens of a skeleton sequence are hidden, those that move more often than the others. An encoder sees the rest,
and a small decoder predicts the motion of the hidden ones. ``loss.target = "joint"`` with ``mask.tau = 0`` is the
sister that predicts the hidden joints themselves (a masked autoencoder).

N clips of M bodies are S = N * M sequences of L tokens, of which K are kept; a token is one joint in P frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeltools.errors import SettingError, counted
from skeltools.methods.contract import Batch, Method, Output
from skeltools.models.registry import build_backbone, find_backbone
from skeltools.models.vit import Block, ViT, check_heads, positions, present, start_linear, start_positions
from skeltools.settings import setting
from skeltools.skeletons import Form
from skeltools.transforms import augment
from skeltools.transforms.streams import to_stream


@dataclass(frozen=True)
class MaskSettings:
    """``mask.*``"""

    ratio: float = setting("Share of the tokens of a sequence that is hidden.", above=0, high=1)
    tau: float = setting(
        "Temperature of the masking: the smaller, the more motion decides; 0 hides tokens regardless of motion.",
        low=0,
    )


@dataclass(frozen=True)
class DecoderSettings:
    """``decoder.*``"""

    dim: int = setting("Channels of the decoder.", low=1, high=16384)
    depth: int = setting("Blocks of the decoder.", low=1, high=256)
    heads: int = setting("Attention heads of the decoder; must divide decoder.dim.", low=1, high=16384)


@dataclass(frozen=True)
class LossSettings:
    """``loss.*``"""

    target: str = setting(
        "What is predicted of a hidden token: its motion, or its joint.", choices=("motion", "joint")
    )
    stride: int = setting("Frames between the two ends of a motion.", low=1, high=1000)
    normalise: bool = setting("Whether a token's target gets mean 0 and variance 1.")


@dataclass(frozen=True)
class AugmentSettings:
    """``augment.*``"""

    view: str = setting("Augmentations of a clip, such as crop_resize(0.5,1,64)|rotate_uniform(0.3).")


class Decoder(nn.Module):
    """Encoded tokens and one learned vector for each hidden one to predictions of all.

    Args:
        channels: Of an encoded token.
        dim: Of a token here.
        depth: Blocks.
        heads: Attention heads.
        mlp: Hidden size of the MLPs, in multiples of `dim`.
        grid: Times and joints of a sequence's tokens.
        numbers: Numbers predicted of a token.
    """

    def __init__(
        self, channels: int, dim: int, depth: int, heads: int, mlp: int, grid: tuple[int, int], numbers: int
    ) -> None:
        super().__init__()
        check_heads("decoder.heads", heads, "decoder.dim", dim)
        self.embed = nn.Linear(channels, dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.joint_position = nn.Parameter(torch.zeros(1, 1, grid[1], dim))
        self.time_position = nn.Parameter(torch.zeros(1, grid[0], 1, dim))
        self.blocks = nn.Sequential(*(Block(dim, heads, mlp) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.predict = nn.Linear(dim, numbers)
        start_positions(self.mask_token, self.joint_position, self.time_position)
        start_linear(self)

    def forward(self, latent: Tensor, order: Tensor) -> Tensor:
        """Return predictions (S, L, numbers) of tokens `order` (S, L); `latent` (S, K, C) are the first K of them."""
        known = self.embed(latent)
        hidden = self.mask_token.to(known.dtype).expand(len(order), order.shape[1] - known.shape[1], -1)
        where = positions(self.joint_position, self.time_position, self.time_position.shape[1])
        tokens = torch.cat([known, hidden], dim=1) + F.embedding(order, where)
        return cast(Tensor, self.predict(self.norm(self.blocks(tokens))))


class MAMP(Method):
    """The whole method.

    Args:
        settings: Of the run.
        form: Of the clips.
        stream: The run's stream; token, masking and target are made of it.

    Attributes:
        backbone: The encoder, a `skeltools.models.vit.ViT`.
        decoder: What is thrown away after pretraining.
    """

    settings = {  # noqa: RUF012 (declared ClassVar by the base)
        "mask": MaskSettings, "decoder": DecoderSettings, "loss": LossSettings, "augment": AugmentSettings,
    }  # fmt: skip

    def __init__(self, settings: Any, form: Form, stream: str) -> None:
        super().__init__(settings, form, stream)
        self.form, self.stream, self.mask_settings, self.loss = form, stream, settings.mask, settings.loss
        self.pipeline = augment.parse(settings.augment.view, form.skeleton)
        self.backbone = cast(ViT, build_backbone(settings.model, form))
        self.steps = form.frames // self.backbone.patch_frames
        decoder = settings.decoder
        self.decoder = Decoder(
            self.backbone.feature_dim, decoder.dim, decoder.depth, decoder.heads, settings.model.vit_mlp,
            (self.steps, form.joints), 3 * self.backbone.patch_frames,
        )  # fmt: skip
        self.kept = int(self.steps * form.joints * (1 - settings.mask.ratio))

    @classmethod
    def validate(cls, settings: Any) -> None:
        augment.parse(settings.augment.view)
        if not issubclass(find_backbone(settings.model.backbone), ViT):
            raise SettingError(
                f"Method mamp hides tokens from a transformer: model.backbone must be vit, or a class derived "
                f"from skeltools.models.vit.ViT, not {settings.model.backbone}."
            )

    def check(self, batch: int) -> None:
        tokens = self.steps * self.form.joints
        if not 0 < self.kept < tokens:
            raise SettingError(
                f"mask.ratio {self.mask_settings.ratio:g} hides {tokens - self.kept} of the "
                f"{counted(tokens, 'token')} of a "
                "sequence; at least one must be hidden and one kept."
            )
        if self.loss.target == "motion" and self.loss.stride >= self.form.frames:
            raise SettingError(
                f"loss.stride {self.loss.stride} is not below the clips' {counted(self.form.frames, 'frame')}."
            )

    def encoder(self) -> ViT:
        return self.backbone

    def views(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return the augmented clips (n, 3, T, V, M), the order of their tokens (n, M, L), weights of bodies (n, M)."""
        weight = self.weights(batch.x)[batch.mine]
        own = batch if batch.whole else batch.of(batch.mine)
        x = to_stream(own.view(self.pipeline, "view"), self.stream, self.form.skeleton)
        tokens = self.backbone.cut(x)
        bodies = self.form.bodies
        uniform = own.draws.uniform("mask", bodies * tokens.shape[1]).view(tokens.shape[:2])
        order = masking_order(tokens, uniform, self.steps, self.mask_settings.tau)
        return x, order.view(-1, bodies, order.shape[1]), weight.to(x.dtype)

    def weights(self, x: Tensor) -> Tensor:
        """Return the weight of each body in the loss (N, M), N in all: equal, or equal for those that are there."""
        there = present(x)
        if self.backbone.absent == "ordinary":
            there = torch.ones_like(there)
        return there * len(x) / there.sum().clamp(min=1)

    def forward(self, *views: Tensor) -> Output:
        x, order, weight = views
        patches, order, weight = self.backbone.cut(x), order.flatten(0, 1), weight.flatten()
        target = self.target(x)
        if self.backbone.absent == "left_out":
            there = weight.nonzero()[:, 0]
            patches, target, order, weight = patches[there], target[there], order[there], weight[there]
        kept, hidden = order.tensor_split([self.kept], dim=1)
        latent = self.backbone.encode(pick(patches, kept), self.steps, kept)  # (S, K, D)
        predicted = self.decoder(latent, order)[:, self.kept :]  # (S, L - K, P * 3)
        error = (predicted - pick(target, hidden)).square().mean(dim=(1, 2))  # (S,)
        loss = (error * weight).sum() / len(x)
        return Output(loss, {self.loss.target: loss.detach()})

    @torch.no_grad()
    def target(self, x: Tensor) -> Tensor:
        """Return what is to be predicted of each token of clips: (S, L, P * 3)."""
        if self.loss.target == "motion":
            stride = self.loss.stride
            x = F.pad(x[:, :, stride:] - x[:, :, :-stride], (0, 0, 0, 0, 0, stride))
        tokens = self.backbone.cut(x)
        if not self.loss.normalise:
            return tokens
        variance, mean = torch.var_mean(tokens, dim=2, keepdim=True)
        return (tokens - mean) / (variance + 1e-6).sqrt()


def masking_order(tokens: Tensor, uniform: Tensor, steps: int, tau: float) -> Tensor:
    """Return the tokens of each sequence in the order in which they are kept: int64 (S, L).

    A token's probability to be hidden grows with its motion, the mean of |token - token of the time before|; the
    draw without replacement is Gumbel's.

    Args:
        tokens: (S, L, P * 3), time slowest.
        uniform: Draws in [0, 1), (S, L).
        steps: Times T'; 1 leaves no motion.
        tau: Temperature, in shares of the sequence's largest motion; 0 for none of all this.
    """
    if tau == 0:
        return uniform.argsort(dim=1, stable=True)
    grid = tokens.view(len(tokens), steps, -1, tokens.shape[2])
    moved = (grid[:, 1:] - grid[:, :-1]).abs().mean(dim=3)  # (S, T' - 1, V)
    motion = torch.cat([moved[:, :1], moved], dim=1) if steps > 1 else grid.new_zeros(grid.shape[:3])
    motion = motion.flatten(1)
    motion = motion / (motion.amax(dim=1, keepdim=True) * tau + 1e-10)
    noise = -torch.log(-torch.log(uniform.to(tokens.dtype) + 1e-10) + 1e-10)
    return (motion.log_softmax(dim=1) + noise).argsort(dim=1, stable=True)


def pick(tokens: Tensor, places: Tensor) -> Tensor:
    """Return the tokens (S, K, C) of (S, L, C) at places (S, K)."""
    return tokens.gather(1, places.unsqueeze(2).expand(-1, -1, tokens.shape[2]))
