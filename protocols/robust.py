"""Robustness: the classifier of a recorded linear evaluation, trained on clean clips, on corrupted test clips.

Nothing is trained but the supervised baseline, which keeps no model of its own. Every batch of test clips is read once,
corrupted in every way and severity (`skeltools.transforms.corrupt`), and passed through the encoder once for each.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skeltools.analysis import metrics, salience
from skeltools.analysis.corrupted import Corruptor
from skeltools.environment import full_float32
from skeltools.errors import RunError, SettingError, counted
from skeltools.protocols.finetune import Finetune
from skeltools.protocols.running.contract import Classifier, Outcome, Protocol
from skeltools.protocols.running.recorded import linear_record, missing, which
from skeltools.protocols.running.task import Task
from skeltools.protocols.running.tuning import fit
from skeltools.results import record as results
from skeltools.results.parts import NEEDS_MASK
from skeltools.settings import setting
from skeltools.transforms import corrupt
from skeltools.transforms.streams import to_stream


@dataclass(frozen=True)
class RobustSettings:
    corruptions: tuple[str, ...] = setting(
        "Corruptions with their severities, such as noise(0.01;0.02); each stands for every body part in turn."
    )
    seed: int = setting(
        "Seed of the corruptions, the same for everybody; clips differ by their names.", low=0
    )
    variant: str = setting(
        "Variant of linear whose classifier is taken, such as bn; empty for the plain one."
    )
    supervised_epochs: int = setting(
        "Epochs of the supervised baseline, which is trained anew; 0 for those of its recipe.", low=0
    )

    def __post_init__(self) -> None:
        if not self.corruptions:
            raise SettingError("Setting 'robust.corruptions' must be a list of one corruption or more.")


class Robust(Protocol):
    """Accuracy on corrupted test clips.

    Attributes:
        spent: What the last run took.
    """

    spent: Stopwatch | None = None

    settings = RobustSettings
    recipe = "robust"
    supervised = "robust"
    named_only = True

    def skip(self, task: Task, settings: RobustSettings) -> str | None:
        """Return why the task cannot be served: no classifier is recorded, or nothing can be corrupted."""
        if task.subject.kind != results.SUPERVISED and linear_record(task, settings.variant) is None:
            return missing(task, settings.variant)
        families, _ = _families(task, settings)
        return None if families else "no corruption of robust.corruptions can be made of these clips"

    def identity(self, task: Task, settings: RobustSettings) -> str | None:
        """Return the key of the record whose classifier is tested."""
        found = linear_record(task, settings.variant)
        return None if found is None else found.key

    @torch.no_grad()
    def run(self, task: Task, settings: RobustSettings) -> list[Outcome]:
        """Return the clean scores, with top-1 of every corruption and severity as measures.

        Raises:
            RunError: The recorded classifier does not fit the encoder.
        """
        families, notes = _families(task, settings)
        texts = [text for family in families for text in family.texts]
        corruptors = {text: Corruptor(task.file, text, settings.seed) for text in texts}
        model = _model(task, settings)
        used = linear_record(task, settings.variant)
        if task.subject.kind != results.SUPERVISED and used is not None:
            notes += which(task, used, "robust")
        labels, rows = task.test_labels, task.test_rows
        guesses = {text: torch.empty(len(rows), dtype=torch.int64) for text in texts}
        clean = torch.empty(len(rows), task.num_classes)
        self.spent = watch = Stopwatch(task.device)
        task.progress.start(f"{task.subject.kind}: corrupted clips", len(rows) * (1 + len(texts)))
        for begin in range(0, len(rows), task.batch_size):
            part = slice(begin, begin + task.batch_size)
            watch.start()
            x = torch.from_numpy(task.file.clips(rows[part])).to(task.device, torch.float32)
            watch.passed("reading")
            clean[part] = model(_stream(task, x)).float().cpu()
            watch.passed("the encoder")
            for text, corruptor in corruptors.items():
                broken = _stream(task, corruptor(rows[part], x))
                watch.passed("corrupting")
                guesses[text][part] = model(broken).argmax(dim=1).cpu()
                watch.passed("the encoder")
                task.progress.advance(len(x))
            task.progress.advance(len(x))
        task.progress.finish()
        task.progress.message(
            f"{task.subject.kind}: {counted(1 + len(texts), 'pass', 'passes')} of {counted(len(rows), 'clip')}: "
            + ", ".join(f"{seconds:.1f} s {what}" for what, seconds in watch.wall.items())
        )
        held, told = _salience(task)
        found = {text: float((guess == labels).double().mean()) for text, guess in guesses.items()}
        return [
            Outcome(
                clean,
                metrics={"clean": metrics.topk(clean, labels, 1)} | found,
                guesses={text: guess.numpy() for text, guess in guesses.items()},
                salience=held,
                notes=notes + told,
            )
        ]


class Stopwatch:
    """Seconds by what they were spent on.

    Attributes:
        wall: By the clock.
        processor: Of all threads of this process together; beside other programs it is what a measurement goes by.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.wall, self.processor = (
            dict.fromkeys(("reading", "corrupting", "the encoder"), 0.0) for _ in range(2)
        )
        self.start()

    def start(self) -> None:
        """Begin to count."""
        self._since = time.perf_counter(), time.process_time()

    def passed(self, what: str) -> None:
        """Count the time since the last call as spent on `what`, the work of a GPU included."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        before = self._since
        self.start()
        self.wall[what] += self._since[0] - before[0]
        self.processor[what] += self._since[1] - before[1]


def _salience(task: Task) -> tuple[dict[str, NDArray[np.float32]], list[str]]:
    """Return the mean salience of each body part in the test clips, (n,), and notes.

    Nothing for an encoder without a mask, or with one that knows no joints.
    """
    if task.subject.masked is None:
        return {}, []
    try:
        method = task.subject.masked(task.device)
    except RunError:
        return {}, []
    skeleton = task.file.form.skeleton
    found = salience.of_clips(
        method, task.file, task.test_rows, task.stream, device=task.device, progress=task.progress
    )
    if salience.of_whole_frames(found):
        return {}, [f"robust: no salience is recorded. {NEEDS_MASK}"]
    parts = salience.by_part(found, skeleton)  # (n, T', P, M)
    there = np.isfinite(parts)
    total = np.where(there, parts, 0).sum(axis=(1, 3)) / np.maximum(there.sum(axis=(1, 3)), 1)
    means = np.where(there.any(axis=(1, 3)), total, np.nan).astype(np.float32)
    return {name: means[:, place] for place, name in enumerate(skeleton.parts)}, []


def _stream(task: Task, x: Tensor) -> Tensor:
    return to_stream(x, task.stream, task.file.form.skeleton)


def _families(task: Task, settings: RobustSettings) -> tuple[list[corrupt.Family], list[str]]:
    """Return the families of corruptions that can be made of the clips, and notes on those that cannot."""
    made, notes = [], []
    for text in settings.corruptions:
        for family in corrupt.levels(text, task.file.form.skeleton):
            try:
                reason = next((Corruptor(task.file, one).idle for one in family.texts), None)
            except SettingError as error:
                if "needs depth" not in str(error) and "no recordings" not in str(error):
                    raise
                reason = str(error)
            if reason is None:
                made.append(family)
            else:
                notes.append(f"robust: {family.name} is left out: {reason.rstrip('.')}.")
    return made, notes


def _model(task: Task, settings: RobustSettings) -> nn.Module:
    """Return what maps clips of the stream to scores, in eval mode, on the device."""
    if task.device.type == "cuda":
        full_float32()
    if task.subject.kind == results.SUPERVISED:
        tuned = Finetune()
        context = {"dataset": task.file.dataset.name, "split": task.split, "stream": task.stream}
        use = tuned.resolve(context, Finetune.supervised).values
        use = replace(use, epochs=settings.supervised_epochs or use.epochs)
        with torch.enable_grad():
            return fit(task, task.train_rows, use, "supervised").model.eval()
    found = linear_record(task, settings.variant)
    assert found is not None
    side = found.side()
    if side.weight is None or side.bias is None:
        raise SettingError(f"{found.scores} holds no classifier. Run linear again.")
    layer = Classifier(torch.from_numpy(side.weight), torch.from_numpy(side.bias))
    encoder = nn.Flatten() if task.subject.build is None else task.new_encoder()
    return _Scores(encoder, layer).to(task.device).eval()


class _Scores(nn.Module):
    """A frozen encoder and the layer on its plain features."""

    def __init__(self, encoder: nn.Module, layer: Classifier) -> None:
        super().__init__()
        self.encoder = encoder
        self.register_buffer("weight", layer.weight)
        self.register_buffer("bias", layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores (N, classes) of clips (N, 3, T, V, M)."""
        weight, bias = self.get_buffer("weight"), self.get_buffer("bias")
        return torch.addmm(bias, self.encoder(x).float(), weight.T)
