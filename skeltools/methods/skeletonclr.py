"""SkeletonCLR: two views of a clip; the query of one must find the key of the other among K earlier keys.

N clips, E embedding, K keys in the queue. The momentum encoder and the queue are MoCo's; SkeAttnCLR adds a local
branch to this.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeltools.errors import counted
from skeltools.methods.contract import Batch, Method, Output
from skeltools.models.contract import Backbone, initialise
from skeltools.models.heads import MLP
from skeltools.models.registry import build_backbone
from skeltools.settings import setting
from skeltools.skeletons import Form
from skeltools.transforms import augment
from skeltools.transforms.streams import to_stream

KEPT = 0.01
"""Share of the key encoder's first weights that may be left at the end of a run without a word."""


@dataclass(frozen=True)
class ModelSettings:
    """``model.*`` beside the backbone's."""

    embedding: int = setting("Channels of the vectors that are compared.", low=1, high=65536)


@dataclass(frozen=True)
class QueueSettings:
    """``queue.*``"""

    size: int = setting("Keys kept as negatives.", low=1, high=2**24)
    momentum: float = setting("Momentum of the key encoder at the start; it rises to 1.", low=0, high=1)


@dataclass(frozen=True)
class LossSettings:
    """``loss.*``"""

    temperature: float = setting("Temperature of every InfoNCE loss.", above=0)


@dataclass(frozen=True)
class AugmentSettings:
    """``augment.*``"""

    view: str = setting("Augmentations of each of the two views, such as crop(6)|shear(0.5).")


class Branch(nn.Module):
    """An encoder with its head, and an attention mask where the method has one.

    Attributes:
        backbone: Clips to tokens.
        attention: Tokens to a mask of them, or None.
        head: Vectors to embeddings.
    """

    def __init__(self, backbone: Backbone, attention: nn.Module | None, embedding: int) -> None:
        super().__init__()
        self.backbone, self.attention = backbone, attention
        self.head = MLP(backbone.feature_dim, backbone.head_dim, embedding)

    def embed(self, view: Tensor) -> Tensor:
        """Return the head's output (N, E) for the global vectors of a view."""
        return cast(Tensor, self.head(self.backbone.features(view)))


class SkeletonCLR(Method):
    """The baseline of the family.

    Args:
        settings: Of the run.
        form: Of the clips.
        stream: The run's stream.

    Attributes:
        query: Encoder that is trained.
        key: Momentum encoder; starts equal to the query encoder, has no gradient.
        queue: Normalised global keys (K, E), starting as random unit vectors.
        pointer: int64 (), the row the next key goes to.
    """

    settings = {  # noqa: RUF012 (declared ClassVar by the base)
        "model": ModelSettings, "queue": QueueSettings, "loss": LossSettings, "augment": AugmentSettings,
    }  # fmt: skip
    queue: Tensor
    pointer: Tensor

    def __init__(self, settings: Any, form: Form, stream: str) -> None:
        super().__init__(settings, form, stream)
        self.temperature, self.momentum = settings.loss.temperature, settings.queue.momentum
        self.form, self.stream = form, stream
        self.pipeline = augment.parse(settings.augment.view, form.skeleton, form.dimensions)
        backbone = build_backbone(settings.model, form)
        self.query = Branch(
            backbone, self.make_mask(settings, backbone.feature_dim), settings.model.embedding
        )
        self.add_predictors(settings.model.embedding, backbone.head_dim)
        initialise(self)
        self.key = copy.deepcopy(self.query).requires_grad_(False)
        queue = torch.empty(settings.queue.size, settings.model.embedding)
        if not queue.is_meta:  # there, torch would import its compiler to draw nothing
            queue = F.normalize(queue.normal_(), dim=1)
        self.register_buffer("queue", queue)
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))

    @classmethod
    def validate(cls, settings: Any) -> None:
        augment.parse(settings.augment.view)

    def notices(self, clips: int, steps: int) -> Iterator[str]:
        if told := self.pipeline.in_plane():
            yield f"2-D clips are augmented in their plane: {told}."
        if len(self.queue) > clips:
            yield (
                f"queue.size {len(self.queue):,} is above the {counted(clips, 'training clip')}: their own earlier "
                f"keys are among their negatives. Set it to {clips:,} or less."
            )
        left = first_weights_left(self.momentum, steps)
        if left > KEPT:
            fitting = math.floor(1000 * max(0.0, 1 + 2 * math.log(KEPT) / steps)) / 1000
            yield (
                f"queue.momentum {self.momentum:g} is slow for a run of {counted(steps, 'step')}: {100 * left:.0f} % "
                "of the key encoder's first weights, which are random, are left at its end. Set it to "
                f"{fitting:g}{' or less' if fitting else ''}, or raise --epochs."
            )

    def make_mask(self, settings: Any, channels: int) -> nn.Module | None:
        """Return the attention mask of a branch; None here."""
        return None

    def add_predictors(self, embedding: int, hidden: int) -> None:
        """Add what maps query embeddings onto keys, one module per branch."""
        self.predict_whole = MLP(embedding, hidden, embedding)

    def encoder(self) -> Backbone:
        return self.query.backbone

    def mask(self) -> nn.Module | None:
        return self.query.attention

    def views(self, batch: Batch) -> tuple[Tensor, ...]:
        return self.in_stream(self.augmented(batch, "first"), self.augmented(batch, "second"))

    def augmented(self, batch: Batch, name: str, rows: slice | Tensor | None = None) -> Tensor:
        """Return one augmented view of clips, in joint coordinates; of this process's own where `rows` is None."""
        if rows is None:
            rows = batch.mine
        return (batch if batch.whole and rows is batch.mine else batch.of(rows)).view(self.pipeline, name)

    def in_stream(self, *views: Tensor) -> tuple[Tensor, ...]:
        """Return joint views in the run's stream."""
        return tuple(to_stream(view, self.stream, self.form.skeleton) for view in views)

    def forward(self, *views: Tensor) -> Output:
        view1, view2 = views
        q = unit(self.predict_whole(self.query.embed(view1)))  # (N, E)
        with torch.no_grad():
            k = unit(self.key.embed(view2))
        loss = self.contrast(q, k)
        return Output(loss, {"global": loss.detach()}, (k,))

    def contrast(self, query: Tensor, key: Tensor, own: Tensor | None = None) -> Tensor:
        """Return the InfoNCE loss of queries (N, E) against their keys and the queue."""
        return info_nce(query, key, self.queue, self.temperature, own)

    @torch.no_grad()
    def after_step(self, step: int, total: int, *kept: Tensor) -> dict[str, float]:
        """Move the key encoder towards the query's, then replace the oldest keys of the queue."""
        momentum = key_momentum(self.momentum, step, total)
        self.update_key(momentum)
        self.enqueue(kept[0])
        return {"momentum": momentum}

    @torch.no_grad()
    def update_key(self, momentum: float) -> None:
        """Move every float entry of the key encoder's state towards the query's; copy the others.

        key = momentum * key + (1 - momentum) * query, batch norm statistics included.
        """
        pairs = list(zip(_state(self.key), _state(self.query), strict=True))
        floats = [pair for pair in pairs if pair[0].is_floating_point()]
        others = [pair for pair in pairs if not pair[0].is_floating_point()]
        torch._foreach_lerp_([key for key, _ in floats], [query for _, query in floats], 1 - momentum)
        if others:
            torch._foreach_copy_([key for key, _ in others], [query for _, query in others])

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Put keys (N, E) into the queue in place of the oldest; of more than K, the last K are kept."""
        size, count = len(self.queue), len(keys)
        kept = keys[max(0, count - size) :]
        # The pointer stays a tensor: reading it would wait for the GPU.
        places = (torch.arange(count - len(kept), count, device=keys.device) + self.pointer) % size
        self.queue[places] = kept.to(self.queue.dtype)
        self.pointer.add_(count).remainder_(size)


def info_nce(
    query: Tensor, positive: Tensor, queue: Tensor, temperature: float, own: Tensor | None = None
) -> Tensor:
    """Return the mean InfoNCE loss.

    Args:
        query: Normalised (N, E).
        positive: Normalised positive key of each query (N, E).
        queue: Normalised negatives (K, E), shared by all queries.
        temperature: Divides the similarities.
        own: One more negative for each query (N, E), or None.

    Returns:
        Scalar: the mean of -log(exp(positive) / sum of exp over positive and negatives).
    """
    hit = (query * positive).sum(dim=1, keepdim=True)
    parts = [hit, query @ queue.T]
    if own is not None:
        parts.append((query * own).sum(dim=1, keepdim=True))
    logits = torch.cat(parts, dim=1) / temperature
    return (torch.logsumexp(logits, dim=1) - logits[:, 0]).mean()


def key_momentum(start: float, step: int, total: int) -> float:
    """Return the key encoder's momentum at a step: from `start` at 0 to 1 at `total`, half a cosine."""
    return 1 - (1 - start) * (math.cos(math.pi * step / total) + 1) / 2


def first_weights_left(start: float, steps: int) -> float:
    """Return the share that the key encoder's first weights have in its last ones.

    It is the product of `key_momentum` over all steps, whose closed form (Chebyshev polynomials) takes no longer for
    more of them.
    """
    root = math.sqrt(start)
    return root * (((1 + root) / 2) ** (2 * steps) - ((1 - root) / 2) ** (2 * steps))


def unit(x: Tensor) -> Tensor:
    """Return rows of length 1, in float32 at least."""
    return F.normalize(x.float() if x.dtype in (torch.bfloat16, torch.float16) else x, dim=1)


def _state(module: nn.Module) -> Iterator[Tensor]:
    """Yield every entry of a module's state, weights first; cheaper than `nn.Module.state_dict`."""
    yield from (weight.detach() for weight in module.parameters())
    yield from module.buffers()
