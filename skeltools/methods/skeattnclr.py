"""SkeAttnCLR: part-aware contrastive learning (IJCAI 2023, arXiv 2305.00666). Read `SkeAttnCLR.forward`.

SkeletonCLR's global branch, and a local one: a third view, in which some body parts are another clip's, is split by
an attention mask into salient and non-salient features, each of which must find its own key.

N clips, E embedding, L tokens of D channels; S = N * bodies sequences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from skeltools.errors import SettingError
from skeltools.methods import skeletonclr
from skeltools.methods.contract import Batch, Method, Output
from skeltools.methods.skeletonclr import Branch, SkeletonCLR, unit
from skeltools.models.attention import AttentionMask
from skeltools.models.heads import MLP
from skeltools.settings import setting
from skeltools.skeletons import Form
from skeltools.transforms import partswap
from skeltools.transforms.draws import step_draws


@dataclass(frozen=True)
class ModelSettings(skeletonclr.ModelSettings):
    """``model.*`` beside the backbone's."""

    heads: int = setting(
        "Heads of the attention mask; must divide the feature's channels.", low=1, high=16384
    )
    mask_scale: float = setting("Lambda in the mask sigmoid(Lambda * y).", above=0)


@dataclass(frozen=True)
class LossSettings(skeletonclr.LossSettings):
    """``loss.*``"""

    mu: float = setting("Weight of the salient loss; the non-salient one has 1 - mu.", low=0, high=1)
    local: bool = setting("Whether there is a local branch; without it this is SkeletonCLR.")


@dataclass(frozen=True)
class AugmentSettings(skeletonclr.AugmentSettings):
    """``augment.*``"""

    swap_choose: str = setting("What the part swap chooses.", choices=partswap.CHOICES)
    swap_count: tuple[int, ...] = setting("Fewest and most parts (or joints) swapped.", low=1)
    swap_window: tuple[int, ...] = setting("Shortest and longest window, in units.", low=1)
    swap_unit: int = setting("Frames per unit of the window.", low=1)
    swap_fill: str = setting("What replaces the joints.", choices=partswap.FILLS)

    def __post_init__(self) -> None:
        for key in ("swap_count", "swap_window"):
            value = getattr(self, key)
            if len(value) != 2 or value[0] > value[1]:
                raise SettingError(
                    f"Setting 'augment.{key}' must be two numbers, low and high, not {list(value)}."
                )

    def swap_range(self) -> partswap.SwapRange:
        """Return what the part swap may draw."""
        return partswap.SwapRange(
            choose=self.swap_choose,
            count=(self.swap_count[0], self.swap_count[1]),
            window=(self.swap_window[0], self.swap_window[1]),
            unit=self.swap_unit,
            fill=self.swap_fill,
        )


class SkeAttnCLR(SkeletonCLR):
    """The whole method."""

    settings = SkeletonCLR.settings | {
        "model": ModelSettings, "loss": LossSettings, "augment": AugmentSettings,
    }  # fmt: skip

    @classmethod
    def create(cls, settings: Any, form: Form, stream: str) -> Method:
        return (cls if settings.loss.local else SkeletonCLR)(settings, form, stream)

    def __init__(self, settings: Any, form: Form, stream: str) -> None:
        super().__init__(settings, form, stream)
        self.mu, self.limits = settings.loss.mu, settings.augment.swap_range()

    def make_mask(self, settings: Any, channels: int) -> nn.Module:
        return AttentionMask(channels, settings.model.heads, settings.model.mask_scale)

    def add_predictors(self, embedding: int, hidden: int) -> None:
        super().add_predictors(embedding, hidden)
        self.predict_salient = MLP(embedding, hidden, embedding)
        self.predict_nonsalient = MLP(embedding, hidden, embedding)

    def check(self, batch: int) -> None:
        partswap.draw(step_draws(0, 0), batch, self.form.frames, self.limits, self.form.skeleton)

    def views(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return the first view, the second, and the first with the parts of other clips.

        The swap acts on joint coordinates and the stream is made after it: swapping in the stream differs at the
        window's ends and at the borders of the parts.
        """
        first, second = (self.augmented(batch, name) for name in ("first", "second"))
        return self.in_stream(first, second, self.swapped(first, batch))

    def swapped(self, first: Tensor, batch: Batch) -> Tensor:
        """Return `first` with some parts of each clip replaced by its partner's first view."""
        clips = len(batch.x)
        swap = partswap.draw(batch.step, clips, self.form.frames, self.limits, self.form.skeleton)
        partner = None
        if not batch.whole and self.limits.fill == "partner":
            own = torch.arange(batch.mine.start, batch.mine.stop, device=batch.x.device)
            partner = self.augmented(batch, "first", (own + swap.shift) % clips)
        return partswap.apply(first, swap, self.limits.fill, batch.draws.of(batch.mine), partner)

    def forward(self, *views: Tensor) -> Output:
        view1, view2, swapped = views
        q = unit(self.predict_whole(self.query.embed(view1)))  # (N, E)
        tokens = self.query.backbone(swapped)  # (S, L, D)
        mask = cast(nn.Module, self.query.attention)(tokens)
        whole, salient, rest = split(self.query, tokens, mask)
        with torch.no_grad():
            self.predict_whole(whole)  # in no loss, but it moves the predictor's batch norm statistics
        q_s, q_n = unit(self.predict_salient(salient)), unit(self.predict_nonsalient(rest))
        with torch.no_grad():
            k, k_s, k_n = map(unit, split(self.key, self.key.backbone(view2), mask.detach()))
        loss_global = self.contrast(q, k)
        loss_salient = self.contrast(q_s, k_s, own=q_n.detach())
        loss_nonsalient = self.contrast(q_n, k_n, own=q_s.detach())
        loss = loss_global + self.mu * loss_salient + (1 - self.mu) * loss_nonsalient
        parts = {"global": loss_global, "salient": loss_salient, "nonsalient": loss_nonsalient}
        return Output(loss, {name: part.detach() for name, part in parts.items()}, (k,))


def split(branch: Branch, tokens: Tensor, mask: Tensor) -> list[Tensor]:
    """Return head outputs (N, E) of all tokens, of what the mask keeps and of the rest (pooling is linear)."""
    whole, salient = branch.backbone.pool(tokens), branch.backbone.pool(tokens * mask)
    return [branch.head(vector) for vector in (whole, salient, whole - salient)]
