"""The settings of pretraining: names, types, bounds, help. Values stand in ``skeltools/recipes/*.toml``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from skeltools.errors import SettingError
from skeltools.models.registry import BACKBONES
from skeltools.settings import Resolved, resolve, setting
from skeltools.transforms import augment, partswap

BASE_RECIPE = "skeattnclr"
"""The recipe that gives every setting a value."""


@dataclass(frozen=True)
class ModelSettings:
    """``model.*``"""

    backbone: str = setting("Backbone.", choices=tuple(BACKBONES))
    width: int = setting("Channels of the first blocks of ST-GCN and DSTA.", low=1)
    dim: int = setting("Channels of their last block: the feature, the head's hidden size.", low=1)
    embedding: int = setting("Channels of the vectors that are compared.", low=1)
    heads: int = setting("Heads of the attention mask; must divide the feature's channels.", low=1)
    mask_scale: float = setting("Lambda in the mask sigmoid(Lambda * y).", above=0)
    dropout: float = setting("Dropout in ST-GCN blocks 2 to 10.", low=0, high=0.99)
    gru_hidden: int = setting("Units a direction of BiGRU.", low=1)
    gru_layers: int = setting("Layers of BiGRU.", low=1)
    subsets: int = setting("Attention maps of each attention of DSTA.", low=1)


@dataclass(frozen=True)
class TrainSettings:
    """``train.*``"""

    epochs: int = setting("Passes over the training clips.", low=1)
    batch_size: int = setting("Clips an optimiser step, over all processes.", low=1)
    accumulate: int = setting("Parts a batch is computed in, one after the other, to save memory.", low=1)
    optimizer: str = setting("Optimiser.", choices=("sgd", "adamw"))
    lr: float = setting("Learning rate.", above=0)
    momentum: float = setting("Momentum of SGD; ignored by AdamW.", low=0, high=0.9999)
    nesterov: bool = setting("Whether SGD uses Nesterov momentum.")
    weight_decay: float = setting("Weight decay on every weight.", low=0)
    schedule: str = setting(
        "Learning rate over time: steps, or half a cosine to 0.", choices=("step", "cosine")
    )
    lr_steps: tuple[int, ...] = setting("Epochs after which the rate is multiplied by lr_gamma.", low=1)
    lr_gamma: float = setting("Factor of each of lr_steps.", above=0)
    warmup: int = setting("Epochs over which the rate rises linearly from 0.", low=0)
    precision: str = setting("Arithmetic of the networks.", choices=("float32", "bf16", "float64"))
    compile: bool = setting("Whether to try torch.compile; without it where that fails.")
    deterministic: bool = setting("Whether to allow only operations whose result is the same every time.")
    sync_bn: bool = setting("Whether processes share batch norm statistics.")
    save_every: int = setting("Epochs between checkpoints.", low=1)
    keep: int = setting("Checkpoints kept, the last ones.", low=1)
    log_every: int = setting("Steps between writes of the log, which has a line for every step.", low=1)
    tensorboard: bool = setting("Whether to write TensorBoard files too (extra 'tensorboard').")
    feed: str = setting(
        "Where clips lie: on the device, streamed from the file, or whichever fits.",
        choices=("auto", "device", "stream"),
    )


@dataclass(frozen=True)
class QueueSettings:
    """``queue.*``"""

    size: int = setting("Keys kept as negatives.", low=1)
    momentum: float = setting("Momentum of the key encoder at the start; it rises to 1.", low=0, high=1)


@dataclass(frozen=True)
class LossSettings:
    """``loss.*``"""

    temperature: float = setting("Temperature of every InfoNCE loss.", above=0)
    mu: float = setting("Weight of the salient loss; the non-salient one has 1 - mu.", low=0, high=1)
    local: bool = setting("Whether there is a local branch (part swap, mask, local losses).")


@dataclass(frozen=True)
class AugmentSettings:
    """``augment.*``"""

    view: str = setting("Augmentations of each of the two views, such as crop(6)|shear(0.5).")
    swap_choose: str = setting("What the part swap chooses.", choices=partswap.CHOICES)
    swap_count: tuple[int, ...] = setting("Fewest and most parts (or joints) swapped.", low=1)
    swap_window: tuple[int, ...] = setting("Shortest and longest window, in units.", low=1)
    swap_unit: int = setting("Frames a unit of the window.", low=1)
    swap_fill: str = setting("What replaces the joints.", choices=partswap.FILLS)

    def swap_range(self) -> partswap.SwapRange:
        """Return what the part swap may draw.

        Raises:
            SettingError: A range is not two numbers.
        """
        for key in ("swap_count", "swap_window"):
            value = getattr(self, key)
            if len(value) != 2 or value[0] > value[1]:
                raise SettingError(
                    f"Setting 'augment.{key}' must be two numbers, low and high, not {list(value)}."
                )
        return partswap.SwapRange(
            choose=self.swap_choose,
            count=(self.swap_count[0], self.swap_count[1]),
            window=(self.swap_window[0], self.swap_window[1]),
            unit=self.swap_unit,
            fill=self.swap_fill,
        )


@dataclass(frozen=True)
class MonitorSettings:
    """``monitor.*``"""

    every: int = setting("Epochs between kNN checks on training clips; 0 for none.", low=0)
    share: float = setting(
        "Share of the training clips that are queries, the rest is the bank.", above=0, high=0.9
    )
    clips: int = setting("Most training clips used.", low=2)
    k: int = setting("Neighbours that vote.", low=1)
    temperature: float = setting("Temperature of the votes.", above=0)


@dataclass(frozen=True)
class PretrainSettings:
    """Everything that decides a pretraining run, apart from data, split, stream, seed and device."""

    model: ModelSettings
    train: TrainSettings
    queue: QueueSettings
    loss: LossSettings
    augment: AugmentSettings
    monitor: MonitorSettings


def resolve_recipe(
    recipe: str | None,
    *,
    dataset: str,
    split: str,
    stream: str,
    overrides: Iterable[str] = (),
    options: Mapping[str, Any] | None = None,
) -> Resolved[PretrainSettings]:
    """Return the settings of a run.

    Args:
        recipe: Name of a packaged recipe or path of a TOML file; the paper's when None.
        dataset: Name of the dataset.
        split: Name of the split.
        stream: Name of the stream.
        overrides: ``key=value`` texts.
        options: Values by dotted key from short options; None is skipped.

    Raises:
        SettingError: Unknown recipe or key, a value that does not fit, or values that do not fit together.
    """
    resolved = resolve(
        PretrainSettings,
        BASE_RECIPE,
        recipe,
        context={"dataset": dataset, "split": split, "stream": stream},
        overrides=overrides,
        options=options,
    )
    settings = resolved.values
    augment.parse(settings.augment.view)
    settings.augment.swap_range()
    if settings.train.batch_size % settings.train.accumulate:
        raise SettingError(
            f"train.accumulate {settings.train.accumulate} does not divide train.batch_size "
            f"{settings.train.batch_size}."
        )
    return resolved
