"""What a plan will cost, before it begins: clips, arithmetic, time on this device, and disk.

Arithmetic is counted, not guessed: one training step of each recipe is gone through on the meta device, forward and
backward, and torch's counter of floating-point operations adds up its products and convolutions. Time is that
arithmetic over the speed that the device reaches in the recipe's encoder, measured for some seconds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from skeltools.convert.plan import make_plan
from skeltools.datasets.contract import Dataset
from skeltools.errors import DataError
from skeltools.formats.sources import list_entries
from skeltools.methods.contract import Batch, Method
from skeltools.methods.registry import find_method
from skeltools.models.encoder import FeatureEncoder
from skeltools.models.registry import build_backbone
from skeltools.preparation import chain as preparation
from skeltools.protocols.running import registry
from skeltools.protocols.running.tuning import TuneSettings
from skeltools.reproduce.plan import Plan
from skeltools.reproduce.steps import CONVERT, EVAL, PRETRAIN, Ledger, Place, Step
from skeltools.reproduce.work import dataset_of
from skeltools.runs.settings import PretrainSettings, resolve_recipe
from skeltools.skeletons import Form
from skeltools.store import ClipFile
from skeltools.transforms.draws import Draws, step_draws

_CLIPS = 4
"""Clips of the step that is counted."""

_MOST = 512
"""Most clips of a pass that is measured."""

BACKWARD = 2.0
"""Arithmetic of a backward pass, in forward passes."""


@dataclass(frozen=True)
class Cost:
    """What a step costs.

    Attributes:
        step: The step.
        done: Whether it is done already; the rest is zero then.
        clips: Clips that pass through the encoder, each as often as it does.
        flop: Floating-point operations, a product and a sum counted as two.
        seconds: Time on the device; None where it was not measured.
        disk: Bytes that it leaves.
    """

    step: Step
    done: bool = False
    clips: int = 0
    flop: float = 0.0
    seconds: float | None = None
    disk: int = 0


@dataclass(frozen=True)
class Sizes:
    """What data hold: the form of a clip, bytes of one, and clips (train, test) by split."""

    dataset: Dataset
    form: Form
    clip_bytes: int
    clips: int
    splits: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Model:
    """The cost of a recipe per clip.

    Attributes:
        forward: Operations of the encoder on one clip.
        step: Operations of a training step, per clip.
        speed: Operations per second on the device in the encoder.
        state: Bytes of a checkpoint.
        dim: Channels of a feature.
        settings: The recipe's settings.
    """

    forward: float
    step: float
    speed: float
    state: int
    dim: int
    settings: PretrainSettings


def estimate(
    plan: Plan, found: Sequence[Step], place: Place, ledger: Ledger, device: torch.device, budget: float = 2.0
) -> list[Cost]:
    """Return what each step costs.

    Args:
        plan: The plan.
        found: The steps.
        place: Where everything lies.
        ledger: Which are done.
        device: Where it would be done.
        budget: Seconds of measuring, over all recipes.

    Raises:
        SkeltoolsError: A source, a setting or a split is not usable.
    """
    sizes = {name: data_sizes(plan, place, name) for name in plan.data}
    runs = {step.spec["run"]: step for step in found if step.kind == PRETRAIN}
    left = [
        runs[name] for step in found if not ledger.done(step.name) for name in _runs(step) if name in runs
    ]
    kinds = {_kind(step): step for step in left}
    models = {
        kind: model_of(step, sizes[step.spec["data"]], device, budget / max(1, len(kinds)))
        for kind, step in kinds.items()
    }
    seen: set[tuple[str, ...]] = set()
    costs = []
    for step in found:
        if ledger.done(step.name):
            costs.append(Cost(step, done=True))
        elif step.kind == CONVERT and "file" not in step.spec:
            held = sizes[step.spec["data"]]
            costs.append(Cost(step, disk=held.clips * held.clip_bytes))
        elif step.kind == PRETRAIN:
            costs.append(_pretraining(step, models[_kind(step)], sizes[step.spec["data"]]))
        elif step.kind == EVAL and step.spec["runs"][0] in runs:
            model = models[_kind(runs[step.spec["runs"][0]])]
            costs.append(_evaluation(step, model, sizes[step.spec["on"] or step.spec["data"]], seen))
        else:
            costs.append(Cost(step))
    return costs


def _runs(step: Step) -> list[str]:
    """Return the run whose model says what a step costs, if one does."""
    return [step.spec["run"]] if step.kind == PRETRAIN else step.spec["runs"][:1] if step.kind == EVAL else []


def _kind(step: Step) -> tuple[Any, ...]:
    """Return what runs have in common whose steps cost the same."""
    return step.spec["recipe"], tuple(step.spec["settings"]), step.spec["data"]


def data_sizes(plan: Plan, place: Place, name: str) -> Sizes:
    """Return what data hold: those of the converted file, else what the names of the raw files say.

    Raises:
        SkeltoolsError: The source is not usable.
    """
    path = place.data(name)
    if path.exists():
        with ClipFile(path) as file:
            return Sizes(
                file.dataset,
                file.form,
                path.stat().st_size // max(1, len(file)),
                len(file),
                {
                    split: (len(file.rows(split, "train")), len(file.rows(split, "test")))
                    for split in file.splits
                },
            )
    data = plan.data[name]
    dataset = dataset_of(data.dataset or name)
    chain = preparation.choose(
        data.preparation or preparation.usual(dataset),
        dataset=dataset.name,
        skeleton=dataset.skeleton,
        dimensions=dataset.dimensions,
        overrides=data.settings,
    ).values
    form = dataset.form(chain.frames)
    if data.synthetic:
        clips = data.synthetic
        splits = {split: (clips // 2, clips - clips // 2) for split in dataset.splits}
    else:
        made = make_plan(dataset, list_entries(place.sources[name]), name, chain, True)
        clips = len(made.names)
        splits = {
            split: (sum(side is True for side in sides), sum(side is False for side in sides))
            for split, sides in made.train.items()
        }
    return Sizes(dataset, form, chain.clip_bytes(form), clips, splits)


def model_of(step: Step, held: Sizes, device: torch.device, budget: float) -> Model:
    """Return the cost per clip of a run's recipe, and how fast the device is in its encoder."""
    settings = resolve_recipe(
        step.spec["recipe"],
        dataset=held.dataset.name,
        split=step.spec["split"],
        stream=step.spec["stream"],
        overrides=step.spec["settings"],
    ).values
    with torch.random.fork_rng(devices=[]):
        method = find_method(settings.method).create(settings, held.form, step.spec["stream"]).train()
        encoder = FeatureEncoder(build_backbone(settings.model, held.form))
    copies = 2 if settings.train.optimizer == "adamw" else 1
    state = sum(
        value.numel() * value.element_size() * (1 + copies * value.requires_grad)
        for value in (*method.parameters(), *method.buffers())
    )
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        dim = int(encoder(_clips(1, held.form, "cpu")).shape[1])
    forward = float(counter.get_total_flops())
    speed = _speed(encoder.to(device), forward, held.form, device, budget)
    return Model(forward, _step(method, held.form), speed, state, dim, settings)


def _clips(count: int, form: Form, device: torch.device | str) -> torch.Tensor:
    return torch.randn(count, 3, form.frames, form.joints, form.bodies, device=device)


def _step(method: Method, form: Form) -> float:
    """Return the operations of a training step, per clip.

    The views of a few clips are made as they are; what follows is gone through without values.
    """
    with torch.random.fork_rng(devices=[]):
        batch = Batch(
            _clips(_CLIPS, form, "cpu"), Draws(0, 0, torch.arange(_CLIPS)), step_draws(0, 0), slice(0, _CLIPS)
        )
        with torch.no_grad():
            views = tuple(view.to("meta") for view in method.views(batch))
        method.to("meta")
        with FlopCounterMode(display=False) as counter:
            method(*views).loss.backward()  # type: ignore[no-untyped-call]
    return float(counter.get_total_flops()) / _CLIPS


def _speed(
    encoder: torch.nn.Module, forward: float, form: Form, device: torch.device, budget: float
) -> float:
    """Return the operations per second in an encoder: there and back, in the largest batch that time allows.

    A device that needs long for one clip is measured on the way there alone.
    """
    began = time.perf_counter()

    def once(count: int, back: bool) -> float:
        """Return the operations per second of one pass."""
        x = _clips(count, form, device)
        start = time.perf_counter()
        with torch.set_grad_enabled(back):
            found = encoder(x).sum()
            if back:
                found.backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return count * forward * (1 + BACKWARD * back) / (time.perf_counter() - start)

    speed = once(1, False)
    count = 2
    while count <= _MOST:
        spent = time.perf_counter() - began
        if spent + 1.2 * count * forward * (1 + BACKWARD) / speed > budget:
            break
        speed = once(count, True)
        count *= 2
    encoder.zero_grad(set_to_none=True)
    return speed


def _pretraining(step: Step, model: Model, held: Sizes) -> Cost:
    train = model.settings.train
    clips = _side(step, held, step.spec["split"])[0] // train.batch_size * train.batch_size * train.epochs
    flop = clips * model.step
    return Cost(step, False, clips, flop, flop / model.speed, model.state * train.keep)


def _evaluation(step: Step, model: Model, held: Sizes, seen: set[tuple[str, ...]]) -> Cost:
    """Return the cost of an evaluation: passes for its features, or passes forward and back."""
    spec = step.spec
    protocol = registry.get(spec["protocol"])
    if protocol.joins_streams or spec["subject"] == "raw":
        return Cost(step, seconds=0.0)
    split = spec["split"] or step.facts["split"]
    split = split if split in held.splits else next(iter(held.splits), split)
    train, test = _side(step, held, split)
    recipe = spec["recipe"] or (protocol.supervised if spec["subject"] == "supervised" else None)
    context = {"dataset": held.dataset.name, "split": split, "stream": step.facts["stream"]}
    values = protocol.resolve(context, recipe, spec["settings"]).values
    tuned = list(_tuned(values))
    clips, flop, disk = 0, 0.0, 0
    for item in tuned:
        some = max(1, round(train * getattr(item, "percent", 100) / 100))
        aside = round(some * item.held_out_people / 100)  # of which a training on the others chooses an epoch
        times = len([epoch for epoch in range(1, item.epochs + 1) if item.evaluates(epoch)])
        shown = item.epochs * (some + (some - aside) * bool(item.held_out_people))
        scored = times * (test + aside)
        clips += shown + scored
        flop += model.forward * ((1 + BACKWARD) * shown + scored)
    if not isinstance(values, TuneSettings):  # features, which are kept for the protocols that follow
        subject = "random" if spec["subject"] == "standardised" else spec["subject"]
        kept = (spec["runs"][0], subject, spec["on"])
        if kept not in seen:
            seen.add(kept)
            clips, flop = clips + train + test, flop + model.forward * (train + test)
            disk = 4 * model.dim * (train + test)
    clips, flop = clips * spec["seeds"], flop * spec["seeds"]
    return Cost(step, False, clips, flop, flop / model.speed, disk)


def _tuned(values: Any) -> Iterator[TuneSettings]:
    """Yield the settings by which an encoder is trained, wherever they are in a protocol's settings."""
    if isinstance(values, TuneSettings):
        yield values
    elif is_dataclass(values):
        for item in fields(values):
            yield from _tuned(getattr(values, item.name))


def _side(step: Step, held: Sizes, split: str) -> tuple[int, int]:
    if split not in held.splits:
        raise DataError(
            f"{step.name}: {held.dataset.name} has no split '{split}'. Choose one of: {', '.join(held.splits)}."
        )
    return held.splits[split]


def free_disk(root: Path) -> int:
    """Return the bytes free where a folder is, or will be."""
    import shutil

    there = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free
