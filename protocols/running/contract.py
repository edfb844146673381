"""The contract of a protocol: a task goes in, outcomes come out."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass, replace
from importlib.resources import files
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from skeltools.errors import RunError, SettingError
from skeltools.settings import Resolved, build, recipe_values, resolve, schema_fields, setting
from skeltools.training.schedule import learning_rate
from skeltools.transforms.augment import parse

if TYPE_CHECKING:
    from skeltools.protocols.running.task import Task
    from skeltools.results.record import Held

RECIPES = "skeltools.protocols.recipes"
"""Package of the protocol recipes."""


class DivergedError(RunError):
    """The loss of a classifier stopped being finite."""

    def __init__(self, name: str, epoch: int, lr: float) -> None:
        super().__init__(f"The loss of {name} is not finite in epoch {epoch}. Lower its lr ({lr:g}).")


@dataclass(frozen=True)
class Best:
    """A test top-1 that a protocol met on its way, in [0, 1], and the epoch it was met at."""

    epoch: int
    top1: float


def best_of(curve: Mapping[int, float]) -> Best:
    """Return the best of accuracies by epoch; of equal ones the earliest."""
    epoch = min(curve, key=lambda epoch: (-curve[epoch], epoch))
    return Best(epoch, curve[epoch])


@dataclass(frozen=True)
class Classifier:
    """A linear classifier on the subject's plain features: ``scores = features @ weight.T + bias``.

    Whatever was done to the features before the layer (standardisation, batch norm) is folded in.

    Attributes:
        weight: float32 (classes, D), on the CPU.
        bias: float32 (classes,), on the CPU.
    """

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class Outcome:
    """What a protocol found.

    Attributes:
        scores: Class scores of the test clips at the last epoch, float32 (n_test, classes), on the CPU.
        variant: What tells apart several outcomes of one protocol, such as ``k=10``; else empty.
        best: The test-selected best, where the protocol evaluates more than once.
        chosen: Test top-1 at the epoch chosen on held-out training people, where that was asked for.
        metrics: Further measures by name, such as ``map``; shares in [0, 1].
        train_rows: Rows of the clips trained on, where they are not the split's training rows.
        test_rows: Rows of the clips tested on, where they are not the split's test rows.
        classifier: The classifier, where it is one linear layer on the features.
        notes: Things a reader should know, a sentence each.
        held: Scores of training clips that were held out from the classifier.
        salience: What the attention mask holds salient in each test clip, by body part, float32 (n_test,).
        guesses: Best-scored classes of the test clips under other conditions, int64 (n_test,), by their names.

    Examples:
        Three test clips of two classes, and a measure of the protocol's own:

        >>> scores = torch.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 1.5]])
        >>> outcome = Outcome(scores, variant="k=1", metrics={"map": 0.8})
        >>> outcome.scores.argmax(1).tolist()
        [0, 1, 1]
    """

    scores: Tensor
    variant: str = ""
    best: Best | None = None
    chosen: Best | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    train_rows: NDArray[np.int64] | None = None
    test_rows: NDArray[np.int64] | None = None
    classifier: Classifier | None = None
    notes: list[str] = field(default_factory=list)
    guesses: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    held: Held | None = None
    salience: dict[str, NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of every protocol that trains a classifier."""

    epochs: int = setting("Passes over the training clips.", low=1)
    batch_size: int = setting("Clips per step; the last partial batch is kept.", low=1)
    view: str = setting(
        "Augmentations of a clip while the classifier is trained, such as crop_resize(0.5,1,64); none for none."
    )
    lr: float = setting("Learning rate.", above=0)
    schedule: str = setting(
        "Learning rate over time: steps, or half a cosine to lr_min.", choices=("step", "cosine")
    )
    lr_steps: tuple[int, ...] = setting(
        "Epochs after which the rate is multiplied by lr_gamma.", low=0, only="schedule=step"
    )
    lr_gamma: float = setting("Factor of the rate at each step epoch.", above=0, only="schedule=step")
    lr_min: float = setting("Learning rate at the end of the cosine.", low=0, only="schedule=cosine")
    warmup: int = setting("Epochs over which the rate rises linearly from 0.", low=0)
    momentum: float = setting("Momentum of SGD.", low=0, only="optimizer=sgd")
    weight_decay: float = setting("Weight decay.", low=0)
    init_std: float = setting(
        "Standard deviation of a linear layer's initial weights; the bias starts at 0.", low=0
    )
    eval_every: int = setting(
        "Epochs between test evaluations, among which the selected ones are found.", low=1
    )
    held_out_people: float = setting(
        "Per cent of the training people on whose clips the epoch is chosen as well, by a training of its own on "
        "the other people's clips; 0 for no such choice.",
        low=0,
        high=90,
    )

    warmup_from_zero: ClassVar[bool] = True

    def __post_init__(self) -> None:
        parse(self.view)
        if self.schedule == "cosine" and self.lr_min > self.lr:
            raise SettingError(f"lr_min {self.lr_min:g} is above lr {self.lr:g}. Lower it.")

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate of a step, from 0, of epochs of `steps`."""
        return learning_rate(self, step, steps)

    def evaluates(self, epoch: int) -> bool:
        """Tell whether the test clips are scored after a 1-based epoch; always after the last."""
        return epoch % self.eval_every == 0 or epoch == self.epochs


@dataclass(frozen=True)
class NoSettings:
    """Nothing to set."""


@functools.lru_cache(maxsize=1024)
def _schema(section: str, settings: type) -> type:
    """Return a schema of one section."""
    return make_dataclass("Settings", [(section, settings)], frozen=True)


class Protocol:
    """Base of the protocols: a task goes in, outcomes come out.

    Attributes:
        settings: Frozen dataclass of its settings, declared with `skeltools.settings.setting`.
        recipe: Name of the packaged recipe that gives them values, and of their section. Without one the
            section is named like the class, in lower case, and settings declare a ``default``.
        needs_target: Whether it evaluates on the file of ``--target``, not on that of the encoder's pretraining.
        joins_streams: Whether it joins the recorded results of several streams, `Task.members`.
        trains: Whether it trains the encoder, so that a subject without one cannot be served.
        may_have_seen: Whether the protocol's definition lets pretraining see the clips it tests on, without labels;
            it then says so in its notes itself. Else such a test is refused.
        named_only: Whether ``all`` leaves it out, for what it costs.
        parallel: Whether the processes that ``torchrun`` started share its work; else the first of them does it.
        supervised: Recipe by which it gives the baseline ``supervised``; None where it does not.
        fixed: Settings that the name implies, by dotted key.
        name: As asked for: ``linear``, ``semi:5``, ``package.module:Class``.

    Examples:
        The class of the nearest training clip. In a file ``mine.py``, it is ``--protocol mine:Nearest``.

        >>> class Nearest(Protocol):
        ...     def run(self, task, settings):
        ...         train, test = task.features  # (n, D), (m, D)
        ...         labels = task.train_labels[torch.cdist(test, train).argmin(1)]
        ...         return [Outcome(torch.nn.functional.one_hot(labels, task.num_classes).float())]
        >>> with skeltools.ClipFile("ntu60.h5") as file:
        ...     raw = Subject("raw coordinates", "none", build=None)
        ...     task = Task(file, "xsub", "joint", raw, seed=0, device=torch.device("cpu"))
        ...     (outcome,) = Nearest().run(task, settings=None)
        >>> outcome.scores.shape
        torch.Size([50, 60])

        ``docs/examples/protocol.py`` has one with a setting:

        >>> (record,) = evaluate("runs/joint", "protocol:ClassMeans", settings={"classmeans.shrink": 0.1})
        >>> record.settings["classmeans.shrink"]
        0.1
    """

    settings: ClassVar[type] = NoSettings
    recipe: ClassVar[str | None] = None
    needs_target: ClassVar[bool] = False
    joins_streams: ClassVar[bool] = False
    trains: ClassVar[bool] = False
    may_have_seen: ClassVar[bool] = False
    named_only: ClassVar[bool] = False
    parallel: ClassVar[bool] = False
    supervised: ClassVar[str | None] = None
    fixed: Mapping[str, Any] = {}

    def __init__(self, name: str | None = None) -> None:
        self.name = name or self.section

    def run(self, task: Task, settings: Any) -> Sequence[Outcome]:
        """Run the protocol on a task and return at least one outcome.

        Args:
            task: The task.
            settings: An instance of the class's `settings`.

        Raises:
            SettingError: A setting does not fit the data.
        """
        raise NotImplementedError

    def skip(self, task: Task, settings: Any) -> str | None:
        """Return why the task cannot be served by the protocol, or None.

        ``all`` leaves such a protocol out with that reason; asked for by name, the reason is an error.
        """
        return obstacle(task) if self.trains else None

    def identity(self, task: Task, settings: Any) -> Any:
        """Return what else outcomes depend on beside subject, data, settings and seed, as JSON takes it."""
        return None

    @property
    def section(self) -> str:
        """The first word of its settings' keys."""
        return self.recipe or type(self).__name__.lower()

    @property
    def schema(self) -> type:
        """The schema of its settings: one section."""
        return _schema(self.section, self.settings)

    @property
    def epoch_keys(self) -> tuple[str, ...]:
        """Keys that ``--epochs`` sets."""
        return tuple(key for key in schema_fields(self.schema) if key.endswith(".epochs"))

    def resolve(
        self,
        context: Mapping[str, str],
        recipe: str | None = None,
        overrides: Iterable[str] = (),
        options: Mapping[str, Any] | None = None,
    ) -> Resolved[Any]:
        """Resolve the settings; the values are an instance of `settings`. See `skeltools.settings.resolve`.

        Raises:
            SettingError: An unknown key or recipe, or a value that does not fit.
        """
        self._check_recipe(recipe, context)
        found: Resolved[Any] = resolve(
            self.schema,
            self.recipe,
            recipe,
            context=context,
            overrides=overrides,
            options={**self.fixed, **(options or {})},
            package=RECIPES,
        )
        return replace(found, values=getattr(found.values, self.section))

    def _check_recipe(self, recipe: str | None, context: Mapping[str, str]) -> None:
        """Refuse a recipe of which no value is the protocol's."""
        found = [] if recipe is None else recipe_values(None, recipe, context, RECIPES)
        sections = dict.fromkeys(key.partition(".")[0] for key, _, _ in found)
        if sections and self.section not in sections:
            raise SettingError(
                f"Unknown setting '{found[0][0]}' ({found[0][2]}). Recipe '{recipe}' is of "
                f"{', '.join(f'{name}.*' for name in sections)}, protocol '{self.name}' takes {self.section}.*."
            )

    def stored(self, flat: Mapping[str, Any]) -> Any:
        """Return an instance of `settings` of the values that a record holds.

        A setting that was added to skeltools after the record takes the value of the protocol's recipe.

        Raises:
            SettingError: They are not all there, or do not fit.
        """
        base = [] if self.recipe is None else recipe_values(self.recipe, None, {}, RECIPES)
        return getattr(build(self.schema, {key: value for key, value, _ in base} | dict(flat)), self.section)

    def notes(self, context: Mapping[str, str]) -> list[str]:
        """Return what the protocol's own recipe says of its values for a dataset, split and stream.

        Where the recipe holds rows by dataset, split and stream and none fits, a sentence says whose values
        are taken instead.
        """
        if self.recipe is None:
            return []
        text = (files(RECIPES) / f"{self.recipe}.toml").read_text(encoding="utf-8")
        rows = tomllib.loads(text).get("when", [])
        fitting = [row for row in rows if _fits(row["match"], context)]
        if rows and not fitting:
            where = " ".join(context[key] for key in ("dataset", "split", "stream"))
            where = f"target {where}" if self.needs_target else where
            return [
                f"{self.name}: no published row for {where}; the recipe takes NTU-60 xsub joint's values."
            ]
        return [f"{self.name}: {row['note']}" for row in fitting if "note" in row]


def _fits(match: Mapping[str, str | list[str]], context: Mapping[str, str]) -> bool:
    return all(context[key] in ([want] if isinstance(want, str) else want) for key, want in match.items())


def obstacle(task: Task) -> str | None:
    """Return why a task's subject cannot be trained, or None."""
    return None if task.subject.trainable else f"'{task.subject.kind}' is not an encoder to train"
