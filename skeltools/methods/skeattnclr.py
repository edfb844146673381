"""SkeAttnCLR: query and momentum encoder, mask, predictors, queue and losses (spec section 5)."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeltools.models.attention import AttentionMask
from skeltools.models.contract import Backbone, ModelSettings, initialise
from skeltools.models.heads import MLP
from skeltools.models.registry import build_backbone


class Necks(NamedTuple):
    """Head outputs of one view, each (N, E), before predictor and normalisation.

    Attributes:
        whole: Of the global vector.
        salient: Of the salient vector.
        nonsalient: Of the non-salient vector.
    """

    whole: Tensor
    salient: Tensor
    nonsalient: Tensor


class Losses(NamedTuple):
    """Losses of a batch, scalars, and the keys for the queue.

    Attributes:
        total: What is minimised.
        whole: InfoNCE of the global vectors.
        salient: InfoNCE of the salient vectors; 0 without the local branch.
        nonsalient: InfoNCE of the non-salient vectors; 0 without the local branch.
        keys: Normalised global keys (N, E), detached.
    """

    total: Tensor
    whole: Tensor
    salient: Tensor
    nonsalient: Tensor
    keys: Tensor


class Branch(nn.Module):
    """An encoder: backbone, attention mask (with the local branch) and one head for all three vectors."""

    def __init__(self, settings: ModelSettings, local: bool) -> None:
        super().__init__()
        self.backbone: Backbone = build_backbone(settings)
        dim = self.backbone.feature_dim
        self.attention = AttentionMask(dim, settings.heads, settings.mask_scale) if local else None
        self.head = MLP(dim, self.backbone.head_dim, settings.embedding)

    def mask(self, tokens: Tensor) -> Tensor:
        """Return the attention mask of a token map."""
        if self.attention is None:
            raise RuntimeError("this model was built without the local branch")
        return cast(Tensor, self.attention(tokens))

    def split(self, tokens: Tensor, mask: Tensor) -> Necks:
        """Send the global, salient and non-salient vectors through the head, in this order."""
        whole = self.backbone.pool(tokens)
        salient = self.backbone.pool(tokens * mask)
        # Pooling is linear, so x * (1 - mask) pools to the difference.
        vectors = (whole, salient, whole - salient)
        return Necks(*(self.head(vector) for vector in vectors))


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


def _unit(x: Tensor) -> Tensor:
    """Return rows of length 1, in float32 at least."""
    return F.normalize(x.float() if x.dtype in (torch.bfloat16, torch.float16) else x, dim=1)


def _state(module: nn.Module) -> Iterator[Tensor]:
    """Yield every entry of a module's state, weights first; cheaper than `nn.Module.state_dict`."""
    yield from (weight.detach() for weight in module.parameters())
    yield from module.buffers()


class SkeAttnCLR(nn.Module):
    """The whole method.

    Args:
        settings: ``model.*``.
        queue_size: Keys the queue holds, K.
        temperature: Of every InfoNCE loss.
        mu: Weight of the salient loss; the non-salient one has 1 - mu.
        local: Whether the local branch is there; False leaves the global branch alone.

    Attributes:
        query: Encoder that is trained.
        key: Momentum encoder; starts equal to the query encoder, has no gradient.
        queue: Normalised global keys (K, E), starting as random unit vectors.
        pointer: int64 (), the row the next key goes to.
    """

    queue: Tensor
    pointer: Tensor

    def __init__(
        self, settings: ModelSettings, *, queue_size: int, temperature: float, mu: float, local: bool
    ) -> None:
        super().__init__()
        self.temperature, self.mu, self.local = temperature, mu, local
        self.query = Branch(settings, local)
        hidden, embedding = self.query.backbone.head_dim, settings.embedding
        self.predict_whole = MLP(embedding, hidden, embedding)
        self.predict_salient = MLP(embedding, hidden, embedding) if local else None
        self.predict_nonsalient = MLP(embedding, hidden, embedding) if local else None
        initialise(self)
        self.key = copy.deepcopy(self.query).requires_grad_(False)
        self.register_buffer("queue", F.normalize(torch.randn(queue_size, embedding), dim=1))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))

    def forward(self, view1: Tensor, swapped: Tensor | None, view2: Tensor) -> Losses:
        """Return the losses of a batch.

        Args:
            view1: First view (N, 3, T, 25, 2), in the run's stream.
            swapped: The part-swapped first view; None without the local branch.
            view2: Second view.
        """
        q = _unit(self.predict_whole(self.query.head(self.query.backbone.features(view1))))
        if swapped is None:
            with torch.no_grad():
                k = _unit(self.key.head(self.key.backbone.features(view2)))
            loss = info_nce(q, k, self.queue, self.temperature)
            nothing = loss.detach().new_zeros(())
            return Losses(loss, loss.detach(), nothing, nothing, k)

        q_s, q_ns, mask = self._local_queries(swapped)
        k, k_s, k_ns = self.keys(view2, mask)
        loss_whole = info_nce(q, k, self.queue, self.temperature)
        loss_s = info_nce(q_s, k_s, self.queue, self.temperature, own=q_ns.detach())
        loss_ns = info_nce(q_ns, k_ns, self.queue, self.temperature, own=q_s.detach())
        total = loss_whole + self.mu * loss_s + (1 - self.mu) * loss_ns
        return Losses(total, loss_whole.detach(), loss_s.detach(), loss_ns.detach(), k)

    def _local_queries(self, swapped: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return normalised salient and non-salient queries (N, E) and the mask, detached."""
        assert self.predict_salient is not None
        assert self.predict_nonsalient is not None
        tokens = self.query.backbone(swapped)
        mask = self.query.mask(tokens)
        necks = self.query.split(tokens, mask)
        with torch.no_grad():
            # In no loss, but it moves the predictor's batch norm statistics.
            self.predict_whole(necks.whole)
        salient = _unit(self.predict_salient(necks.salient))
        nonsalient = _unit(self.predict_nonsalient(necks.nonsalient))
        return salient, nonsalient, mask.detach()

    @torch.no_grad()
    def keys(self, view2: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the normalised global, salient and non-salient keys, each (N, E).

        Args:
            view2: Second view (N, 3, T, 25, 2).
            mask: The query's mask, with which the key's token map is pooled.
        """
        necks = self.key.split(self.key.backbone(view2), mask)
        whole, salient, nonsalient = (_unit(neck) for neck in necks)
        return whole, salient, nonsalient

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Put keys (N, E) into the queue in place of the oldest; of more than K, the last K are kept."""
        size, count = len(self.queue), len(keys)
        kept = keys[max(0, count - size) :]
        # The pointer stays a tensor: reading it would wait for the GPU.
        places = (torch.arange(count - len(kept), count, device=keys.device) + self.pointer) % size
        self.queue[places] = kept.to(self.queue.dtype)
        self.pointer.add_(count).remainder_(size)

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
