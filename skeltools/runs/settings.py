"""The settings of pretraining: those of the engine, and how a method's and a backbone's join them.

Values are in ``skeltools/methods/recipes/*.toml``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, make_dataclass, replace
from typing import Any, get_type_hints

from skeltools.errors import SettingError
from skeltools.methods.registry import METHODS, find_method
from skeltools.models.registry import BACKBONES, find_backbone
from skeltools.settings import (
    Known,
    Resolved,
    Schema,
    packaged_recipes,
    parse_override,
    recipe_values,
    resolve,
    schema_fields,
    setting,
)

BASE_RECIPE = "skeattnclr"
"""The recipe that gives every setting of the packaged contrastive methods a value."""


@dataclass(frozen=True)
class TrainSettings:
    """``train.*``"""

    epochs: int = setting("Passes over the training clips.", low=1)
    batch_size: int = setting("Clips per optimiser step, over all processes.", low=1)
    accumulate: int = setting(
        "Parts in which a batch is computed, one after the other, to save memory.", low=1
    )
    optimizer: str = setting("Optimiser.", choices=("sgd", "adamw"))
    lr: float = setting("Learning rate.", above=0)
    momentum: float = setting("Momentum of SGD; ignored by AdamW.", low=0, high=0.9999, only="optimizer=sgd")
    nesterov: bool = setting("Whether SGD uses Nesterov momentum.", only="optimizer=sgd")
    betas: tuple[float, ...] = setting(
        "The two betas of AdamW; ignored by SGD.", low=0, high=0.999999, only="optimizer=adamw"
    )
    weight_decay: float = setting("Weight decay.", low=0)
    decay_all: bool = setting("Whether every weight decays; else none of one axis (norms), and no bias.")
    schedule: str = setting(
        "Learning rate over time: steps, or half a cosine to lr_min.", choices=("step", "cosine")
    )
    lr_steps: tuple[int, ...] = setting(
        "Epochs after which the rate is multiplied by lr_gamma.", low=1, only="schedule=step"
    )
    lr_gamma: float = setting("Factor of each of lr_steps.", above=0, only="schedule=step")
    lr_min: float = setting("Learning rate at the end of the cosine.", low=0, only="schedule=cosine")
    warmup: int = setting("Epochs over which the rate rises linearly from 0.", low=0)
    warmup_from_zero: bool = setting("Whether the first step of a warm-up has rate 0, not that after a step.")
    precision: str = setting("Arithmetic of the networks.", choices=("float32", "bf16", "float64"))
    compile: bool = setting("Whether to try torch.compile; without it where that fails.")
    deterministic: bool = setting("Whether to allow only operations whose result is the same every time.")
    sync_bn: bool = setting("Whether processes share batch norm statistics.")
    save_every: int = setting("Epochs between checkpoints.", low=1)
    keep: int = setting("Checkpoints kept, the last ones.", low=1)
    log_every: int = setting("Steps between writes of the log, which has a line for every step.", low=1)
    tensorboard: bool = setting("Whether to write TensorBoard files too (extra 'tensorboard').")
    wandb: str = setting(
        "Whether to log to Weights & Biases too (extra 'wandb'); offline writes into the run folder.",
        choices=("off", "online", "offline"),
    )
    feed: str = setting(
        "Where clips lie: on the device, streamed from the file, or whichever fits.",
        choices=("auto", "device", "stream"),
    )

    def __post_init__(self) -> None:
        if len(self.betas) != 2:
            raise SettingError(f"Setting 'train.betas' must be two numbers, not {list(self.betas)}.")


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
    """Everything that decides a pretraining run, apart from data, split, stream, seed and device.

    A method's own tables (``loss``, ``augment``, ...) are attributes of their names too.

    Attributes:
        method: Name of the method, or ``package.module:Class``.
        model: ``model.*``: ``backbone``, and what method and backbone read.
        train: ``train.*``
        monitor: ``monitor.*``
    """

    method: str
    model: Any
    train: TrainSettings
    monitor: MonitorSettings


def _backbone_field(choices: tuple[str, ...]) -> Any:
    return setting(f"Backbone: {', '.join(choices)}, or package.module:Class.")


def _sections(method: str, backbone: str) -> dict[str, type]:
    """Return the dataclass of each table that a method with a backbone has."""
    tables = dict(find_method(method).settings)
    own = tables.pop("model", None)
    members: dict[str, tuple[Any, Any]] = {"backbone": (str, _backbone_field(tuple(BACKBONES)))}
    for part in (find_backbone(backbone).settings, own):
        hints = get_type_hints(part) if part is not None else {}
        for item in fields(part) if part is not None else ():
            members[item.name] = (hints[item.name], setting(**item.metadata))
    model = make_dataclass(
        "ModelSettings", [(name, kind, item) for name, (kind, item) in members.items()], frozen=True
    )
    return {"model": model, "train": TrainSettings, **tables, "monitor": MonitorSettings}


def _known(method: str, backbone: str) -> tuple[type[PretrainSettings], Known]:
    """Return the settings class of a method with a backbone, and its settings by dotted key."""
    tables = _sections(method, backbone)
    kind = make_dataclass(
        "PretrainSettings",
        [("method", str, setting(f"Method: {', '.join(METHODS)}, or package.module:Class."))]
        + [(name, table) for name, table in tables.items()],
        bases=(PretrainSettings,),
        frozen=True,
    )
    return kind, schema_fields(kind)


def pretrain_schema(values: Mapping[str, Any]) -> Schema[PretrainSettings]:
    """Return what settings there are with the method and backbone that `values` name.

    Settings of the other packaged methods and backbones are known too, and idle.

    Raises:
        SettingError: There is no such method or backbone.
    """
    method, backbone = values.get("method", BASE_RECIPE), values.get("model.backbone", "stgcn")
    for key, name in (("method", method), ("model.backbone", backbone)):
        if not isinstance(name, str):
            raise SettingError(f"Setting '{key}' must be a text, not {name!r}.")
    kind, known = _known(method, backbone)
    every: dict[str, Any] = {}
    for other in BACKBONES:
        every |= {
            f"model.{key}": value for key, value in schema_fields(find_backbone(other).settings).items()
        }
    for other in METHODS:
        for table, part in find_method(other).settings.items():
            every |= schema_fields(part, f"{table}.")
    return Schema(kind, known, {key: value for key, value in every.items() if key not in known})


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
        recipe: Name of a packaged recipe or path of a TOML file. None for the packaged one of the method that
            `overrides` or `options` name, or else for `BASE_RECIPE`.
        dataset: Name of the dataset.
        split: Name of the split.
        stream: Name of the stream.
        overrides: ``key=value`` texts.
        options: Values by dotted key from short options; None is skipped.

    Raises:
        SettingError: Unknown recipe or key, a value that does not fit, or values that do not fit together.
    """
    overrides = tuple(overrides)
    asked = [value for key, value in map(parse_override, overrides) if key == "method"]
    method = asked[-1] if asked else (options or {}).get("method")
    if recipe is None and method in packaged_recipes():
        recipe = method
    context = {"dataset": dataset, "split": split, "stream": stream}
    resolved = resolve(
        pretrain_schema, BASE_RECIPE, recipe, context=context, overrides=overrides, options=options
    )
    settings = resolved.values
    its = [value for key, value, _ in recipe_values(BASE_RECIPE, recipe, context) if key == "method"]
    if settings.method != its[-1]:
        resolved = replace(resolved, title=f"{resolved.title}, method {settings.method}")
    find_method(settings.method).validate(settings)
    train = settings.train
    if train.lr_min > train.lr:
        raise SettingError(f"train.lr_min {train.lr_min:g} is above train.lr {train.lr:g}. Lower it.")
    if train.batch_size % train.accumulate:
        raise SettingError(
            f"train.accumulate {train.accumulate} does not divide train.batch_size {train.batch_size}."
        )
    return resolved


def find_code(stored: Mapping[str, Any]) -> None:
    """Find the method and the backbone that stored settings name.

    Raises:
        SettingError: There is none of that name.
    """
    for key, find in (("method", find_method), ("model.backbone", find_backbone)):
        name = stored.get(key)
        if isinstance(name, str):
            find(name)


def complete(
    stored: Mapping[str, Any], origin: Mapping[str, str], context: Mapping[str, str]
) -> tuple[Schema[PretrainSettings], dict[str, Any], dict[str, str]]:
    """Return the schema of stored settings, them with what they lack, and where that came from.

    A setting that was added to skeltools after a run takes the value of the method's recipe. The method itself was:
    a run that does not name it is of the recipe that the value of ``loss.local`` came from.

    Args:
        stored: Settings by dotted key.
        origin: Where they came from, by dotted key.
        context: Dataset, split and stream.

    Raises:
        SettingError: An unknown method or backbone, or a setting without a value.
    """
    source = origin.get("loss.local", "").removeprefix("recipe ")
    named = {"method": source if source in METHODS else BASE_RECIPE} | dict(stored)
    schema = pretrain_schema(named)
    recipe = named["method"] if named["method"] in packaged_recipes() else BASE_RECIPE
    values = {key: (value, where) for key, value, where in recipe_values(BASE_RECIPE, recipe, context)}
    for key, (_, meta) in schema.known.items():
        if "default" in meta:
            values.setdefault(key, (meta["default"], "default"))
    lacking = [key for key in schema.known if key not in stored and key in values]
    added = {key: values[key][0] for key in lacking}
    return (
        schema,
        {key: value for key, value in (dict(stored) | added).items() if key in schema.known},
        {key: f"{values[key][1]}, not stored by the run" for key in lacking},
    )
