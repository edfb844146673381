"""What a self-supervised method is to the engine, the run folder and evaluation.

A method is one file: its settings, its views, its losses, and what happens after a step. The engine feeds it a
batch, asks for views, minimises the loss of its `forward`, and calls `after_step`; it knows no method.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from skeltools.models.contract import Backbone
from skeltools.skeletons import Form
from skeltools.transforms.augment import Pipeline
from skeltools.transforms.draws import Draws


class Output(NamedTuple):
    """What one forward pass gives.

    Attributes:
        loss: What is minimised, a scalar.
        parts: Named parts of it for the log, scalars; `loss_` is put before their names there.
        kept: What `after_step` takes, detached, one row per clip.
    """

    loss: Tensor
    parts: dict[str, Tensor]
    kept: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Batch:
    """The joint batch of a step, over all processes, on the device.

    Attributes:
        x: Joint coordinates (N, 3, T, V, M).
        draws: Random draws of its clips, functions of (seed, epoch, clip).
        step: Random draws made once per step.
        mine: Which clips are this process's.
        lengths: Valid frames of each clip, int64 (N,); None where all T are.
    """

    x: Tensor
    draws: Draws
    step: Draws
    mine: slice
    lengths: Tensor | None = None

    @property
    def whole(self) -> bool:
        """Whether all clips are this process's."""
        return (self.mine.start, self.mine.stop) == (0, len(self.x))

    def of(self, rows: slice | Tensor) -> Batch:
        """Return some of the clips, by their places, as a batch of its own."""
        lengths = None if self.lengths is None else self.lengths[rows]
        x = self.x[rows]
        return Batch(x, self.draws.of(rows), self.step, slice(0, len(x)), lengths)

    def view(self, pipeline: Pipeline, name: str) -> Tensor:
        """Return the view of every clip that a pipeline draws under `name`, in joint coordinates."""
        return pipeline(self.x, self.draws.scoped(name), self.lengths)


class Method(nn.Module):
    """Base of the methods.

    A method draws its initial weights from torch's generator when it is made, and holds in its state whatever
    a resumed run needs.

    Attributes:
        settings: Dataclasses of the settings it reads, by table (``model``, ``loss``, ...), declared with
            `skeltools.settings.setting`; values come from a recipe. Those of the backbone are added to ``model``.
    """

    settings: ClassVar[Mapping[str, type]] = {}

    @classmethod
    def create(cls, settings: Any, form: Form, stream: str) -> Method:
        """Return the method of a run's settings, for clips of `form` whose `stream` is learned from."""
        return cls(settings, form, stream)

    @classmethod
    def validate(cls, settings: Any) -> None:
        """Check settings as far as it goes without data.

        Raises:
            SettingError: They do not fit together.
        """

    def __init__(self, settings: Any, form: Form, stream: str) -> None:
        super().__init__()

    def notices(self, clips: int, steps: int) -> Iterable[str]:
        """Return what the user should know before training begins, each in one line.

        Args:
            clips: Training clips.
            steps: Steps of the whole run.
        """
        return ()

    def check(self, batch: int) -> None:
        """Check that batches of `batch` clips can be trained on, before anything is written.

        Raises:
            SettingError: They cannot.
        """

    def encoder(self) -> Backbone:
        """Return what is evaluated, monitored and exported."""
        raise NotImplementedError

    def mask(self) -> nn.Module | None:
        """Return what maps the encoder's tokens to a mask of them in (0, 1), or None where there is none."""
        return None

    def views(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return what `forward` takes, for this process's clips; called without gradients."""
        raise NotImplementedError

    def forward(self, *views: Tensor) -> Output:
        """Return the loss of views, whose first axis is the clip: a batch may come in parts."""
        raise NotImplementedError

    def after_step(self, step: int, total: int, *kept: Tensor) -> dict[str, float]:
        """Do what follows the optimiser's step.

        Args:
            step: The step just done, from 0.
            total: Steps of the run.
            kept: `Output.kept` of the joint batch, in its order.

        Returns:
            Values to log.
        """
        return {}
