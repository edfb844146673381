"""Training encoder and classifier together: what finetune, semi and transfer share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from skeltools.analysis import metrics
from skeltools.errors import RunError
from skeltools.protocols.running.clips import Clips
from skeltools.protocols.running.contract import Best, DivergedError, Outcome, TrainingSettings
from skeltools.protocols.running.task import Task
from skeltools.settings import setting


@dataclass(frozen=True)
class TuneSettings(TrainingSettings):
    mode: str = setting(
        "Mode of the encoder while it is trained: eval keeps its batch norm statistics and drops nothing "
        "(reference), train updates them and uses dropout.",
        choices=("eval", "train"),
    )


def tune(task: Task, rows: NDArray[np.int64], settings: TuneSettings, name: str) -> Outcome:
    """Train a fresh copy of the encoder and a linear layer on some clips and score the test clips.

    All weights are trained, clips are not augmented, the last partial batch is kept. The draws (initial
    layer, order of clips, dropout) depend on the task's seed alone.

    Args:
        task: The task.
        rows: Rows of the clips to train on, int64 (n,).
        settings: Settings.
        name: What the progress display calls this.

    Returns:
        Scores after the last epoch; the variant is the mode.

    Raises:
        DivergedError: The loss stopped being finite.
        RunError: In eval mode the encoder's statistics moved.
    """
    # Building and dropout draw from torch's own generators; they are put back afterwards.
    with torch.random.fork_rng(devices=[task.device] if task.device.type == "cuda" else []):
        torch.manual_seed(task.seed)
        return _tune(task, rows, settings, name)


def _tune(task: Task, rows: NDArray[np.int64], settings: TuneSettings, name: str) -> Outcome:
    draws = torch.Generator().manual_seed(task.seed)
    encoder = task.new_encoder().requires_grad_(True)
    clips, tests = task.clips(rows), task.clips(task.test_rows)
    labels, test_labels = task.labels(rows).to(task.device), task.test_labels.to(task.device)
    with torch.no_grad():
        dim = encoder(clips.batch(torch.zeros(1, dtype=torch.int64))).shape[1]
        head = nn.Linear(dim, task.num_classes)
        head.weight.normal_(0, settings.init_std, generator=draws)
        head.bias.zero_()
    head.to(task.device)
    statistics = {key: value.clone() for key, value in encoder.named_buffers()}
    optimiser = torch.optim.SGD(
        [*encoder.parameters(), *head.parameters()],
        lr=settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
    )
    best: Best | None = None
    scores = torch.empty(0)
    task.progress.start(f"{task.subject.kind}: {name}", settings.epochs * len(rows))
    for epoch in range(1, settings.epochs + 1):
        encoder.train(settings.mode == "train")
        for group in optimiser.param_groups:
            group["lr"] = settings.rate(epoch)
        order = torch.randperm(len(rows), generator=draws)
        for batch in _batches(order, settings):
            loss = F.cross_entropy(head(encoder(clips.batch(batch))), labels[batch.to(task.device)])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            task.progress.advance(len(batch))
        if not torch.isfinite(loss):
            raise DivergedError(name, epoch, settings.lr)
        if settings.evaluates(epoch):
            scores = _scores(encoder, head, tests, task.batch_size)
            top1 = metrics.topk(scores, test_labels, 1)
            task.progress.status(epoch=epoch, loss=float(loss.detach()))
            if best is None or top1 > best.top1:
                best = Best(epoch, top1)
    task.progress.finish()
    if settings.mode == "eval":
        moved = [key for key, value in encoder.named_buffers() if not torch.equal(value, statistics[key])]
        if moved:
            raise RunError(
                f"The encoder's '{moved[0]}' moved in eval mode; statistics must stay as they were."
            )
    return Outcome(scores.float().cpu(), settings.mode, best=best, train_rows=rows)


def _batches(order: Tensor, settings: TuneSettings) -> list[Tensor]:
    """Return the epoch's batches of indices; the last may be partial.

    In train mode a single clip left over joins the batch before it, since one clip has no statistics.
    """
    batches = list(order.split(settings.batch_size))  # type: ignore[no-untyped-call]
    if settings.mode == "train" and len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


@torch.no_grad()
def _scores(encoder: nn.Module, head: nn.Module, clips: Clips, batch_size: int) -> Tensor:
    """Return the scores of clips, (n, classes), in eval mode."""
    encoder.eval()
    index = torch.arange(len(clips))
    parts = [head(encoder(clips.batch(part))) for part in index.split(batch_size)]  # type: ignore[no-untyped-call]
    return torch.cat(parts)
