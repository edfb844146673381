"""The plainest PyTorch version of a SkeAttnCLR training step, to measure against.

One module per layer, channels first, the graph convolution as an einsum, nothing fused; names as in the
released implementation, so that `skeltools.reference.skeattnclr` carries weights over.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeltools.skeletons import load


class GraphConv(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, 3 * outputs, 1)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        x = self.conv(x)
        n, kc, t, v = x.shape
        return torch.einsum("nkctv,kvw->nctw", x.view(n, 3, kc // 3, t, v), adjacency)


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int, residual: bool, dropout: float) -> None:
        super().__init__()
        self.gcn = GraphConv(inputs, outputs)
        self.tcn = nn.Sequential(
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, (9, 1), (stride, 1), (4, 0)),
            nn.BatchNorm2d(outputs),
            nn.Dropout(dropout),
        )
        self.kind = "none" if not residual else "same" if inputs == outputs and stride == 1 else "conv"
        if self.kind == "conv":
            self.residual = nn.Sequential(nn.Conv2d(inputs, outputs, 1, (stride, 1)), nn.BatchNorm2d(outputs))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        out = self.tcn(self.gcn(x, adjacency))
        if self.kind == "same":
            out = out + x
        elif self.kind == "conv":
            out = out + self.residual(x)
        return self.relu(out)


class Backbone(nn.Module):
    def __init__(self, width: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("A", torch.from_numpy(load("kinect2").graph()))
        self.data_bn = nn.BatchNorm1d(75)
        plan = [width] * 4 + [2 * width] * 3 + [4 * width] * 2 + [dim]
        blocks, inputs = [], 3
        for place, outputs in enumerate(plan):
            stride = 2 if place in (4, 7) else 1
            blocks.append(Block(inputs, outputs, stride, place > 0, dropout if place else 0.0))
            inputs = outputs
        self.st_gcn_networks = nn.ModuleList(blocks)
        self.edge_importance = nn.ParameterList(torch.ones(3, 25, 25) for _ in blocks)

    def forward(self, x: Tensor) -> Tensor:
        n, c, t, v, m = x.shape
        x = x.permute(0, 4, 3, 1, 2).reshape(n * m, v * c, t)
        x = self.data_bn(x).view(n, m, v, c, t).permute(0, 1, 3, 4, 2).reshape(n * m, c, t, v)
        for block, importance in zip(self.st_gcn_networks, self.edge_importance, strict=True):
            x = block(x, self.A * importance)
        return x


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        weights = ((q @ k.transpose(-2, -1)) * (c // self.heads) ** -0.5).softmax(dim=-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(b, n, c))


class Head(nn.Module):
    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Conv1d(inputs, hidden, 1, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Conv1d(hidden, outputs, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(x[:, :, None])[:, :, 0]


class Neck(nn.Module):
    def __init__(self, dim: int, embedding: int, heads: int) -> None:
        super().__init__()
        self.norm0 = nn.LayerNorm(dim)
        self.Attn = Attention(dim, heads)
        self.proj = Head(dim, dim, embedding)

    def mask(self, x: Tensor) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        return torch.sigmoid(2.0 * self.Attn(self.norm0(tokens)))

    def vectors(self, x: Tensor, mask: Tensor | None) -> list[Tensor]:
        tokens = x.flatten(2).transpose(1, 2)
        parts = [tokens] if mask is None else [tokens, tokens * mask, tokens * (1 - mask)]
        return [self.proj(part.mean(dim=1).view(-1, 2, part.shape[2]).mean(dim=1)) for part in parts]


class Encoder(nn.Module):
    def __init__(self, width: int, dim: int, embedding: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.backbone = Backbone(width, dim, dropout)
        self.neck = Neck(dim, embedding, heads)


class Plain(nn.Module):
    def __init__(
        self, width: int, dim: int, embedding: int, heads: int, dropout: float, queue: int, mu: float
    ) -> None:
        super().__init__()
        self.mu = mu
        self.encoder_q = Encoder(width, dim, embedding, heads, dropout)
        self.encoder_k = copy.deepcopy(self.encoder_q).requires_grad_(False)
        self.predictor = Head(embedding, dim, embedding)
        self.predictor_s = Head(embedding, dim, embedding)
        self.predictor_ns = Head(embedding, dim, embedding)
        self.register_buffer("queue_z", F.normalize(torch.randn(embedding, queue), dim=0))
        self.pointer = 0

    def forward(self, view1: Tensor, view2: Tensor, swapped: Tensor) -> tuple[Tensor, Tensor]:
        q, k = self.encoder_q, self.encoder_k
        z = F.normalize(self.predictor(q.neck.vectors(q.backbone(view1), None)[0]), dim=1)
        x = q.backbone(swapped)
        mask = q.neck.mask(x)
        whole, salient, nonsalient = q.neck.vectors(x, mask)
        self.predictor(whole)
        s = F.normalize(self.predictor_s(salient), dim=1)
        ns = F.normalize(self.predictor_ns(nonsalient), dim=1)
        with torch.no_grad():
            keys = [F.normalize(v, dim=1) for v in k.neck.vectors(k.backbone(view2), mask)]
        queue = self.queue_z.clone().detach()

        def loss(query: Tensor, key: Tensor, own: Tensor | None) -> Tensor:
            logits = [torch.einsum("nc,nc->n", query, key)[:, None], torch.einsum("nc,ck->nk", query, queue)]
            if own is not None:
                logits.append(torch.einsum("nc,nc->n", query, own.detach())[:, None])
            target = torch.zeros(len(query), dtype=torch.long, device=query.device)
            return F.cross_entropy(torch.cat(logits, dim=1) / 0.2, target)

        local = self.mu * loss(s, keys[1], ns) + (1 - self.mu) * loss(ns, keys[2], s)
        return loss(z, keys[0], None) + local, keys[0]

    @torch.no_grad()
    def after(self, momentum: float, keys: Tensor) -> None:
        for key, query in zip(self.encoder_k.parameters(), self.encoder_q.parameters(), strict=True):
            key.data = key.data * momentum + query.data * (1 - momentum)
        for key, query in zip(self.encoder_k.buffers(), self.encoder_q.buffers(), strict=True):
            if key.is_floating_point():
                key.data = key.data * momentum + query.data * (1 - momentum)
            else:
                key.data = query.data.clone()
        self.queue_z[:, self.pointer : self.pointer + len(keys)] = keys.T
        self.pointer = (self.pointer + len(keys)) % self.queue_z.shape[1]
