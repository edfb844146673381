"""Ensemble of streams: the weighted sum of recorded scores, joined by clip name (docs/method.md#ensemble).

Weights are fixed beforehand by name. ``held_out`` chooses among the named ones on training clips that the
classifiers of the choice did not see; the test clips never take part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray

from skeltools.analysis import metrics
from skeltools.datasets import subsets
from skeltools.errors import RunError, SettingError, counted, did_you_mean
from skeltools.protocols.linear import Linear, fit_layer
from skeltools.protocols.running.contract import Outcome, Protocol
from skeltools.protocols.running.recorded import which
from skeltools.protocols.running.task import Task
from skeltools.results import record as results
from skeltools.results.record import Record
from skeltools.settings import setting

HELD_OUT = "held_out"
"""The word for a choice on held-out training clips."""

_ORDER = ("joint", "bone", "motion")
"""The streams in the order of a weight triple."""


@dataclass(frozen=True)
class Weights:
    """Weights of joint, bone and motion, by name."""

    equal: tuple[float, ...] = setting("The streams alike.", low=0)
    skeattnclr_xsub: tuple[float, ...] = setting("SkeAttnCLR's other choice for xsub.", low=0)
    skeattnclr_xview: tuple[float, ...] = setting("SkeAttnCLR's other choice for xview.", low=0)
    aimclr: tuple[float, ...] = setting("AimCLR's.", low=0)


@dataclass(frozen=True)
class EnsembleSettings:
    table: Weights
    of: tuple[str, ...] = setting("Protocols whose recorded scores are joined.")
    weights: tuple[str, ...] = setting(
        "Names of weights, one result each; or held_out.",
        each=(*(item.name for item in fields(Weights)), HELD_OUT),
    )
    held_out: float = setting("Per cent of the training clips that held_out chooses on.", above=0, high=50)

    def __post_init__(self) -> None:
        for item in fields(Weights):
            if len(getattr(self.table, item.name)) != len(_ORDER):
                raise SettingError(
                    f"ensemble.table.{item.name} must be three numbers, for joint, bone and motion."
                )


class Ensemble(Protocol):
    """The weighted sum of the streams' recorded scores."""

    settings = EnsembleSettings
    recipe = "ensemble"
    joins_streams = True

    def skip(self, task: Task, settings: EnsembleSettings) -> str | None:
        """Return why the task cannot be served: an unknown name, or no protocol recorded for every stream."""
        known = [item.name for item in fields(Weights)]
        for name in settings.weights:
            if name not in (*known, HELD_OUT):
                hint = did_you_mean(name, [*known, HELD_OUT])
                return (
                    f"unknown ensemble weights '{name}'. Choose from: {', '.join(known)}, {HELD_OUT}.{hint}"
                )
        if not _complete(task, settings):
            protocol = settings.of[0] if settings.of else "linear"
            for member in task.members.values():
                if not member.recorded_of(protocol):
                    return (
                        f"{member.subject.name} has no {protocol} result of '{member.subject.kind}' with "
                        f"seed {member.seed} to join. Make it: skeltools eval {member.subject.name} "
                        f"--protocol {protocol}"
                    )
            return "the streams have no result of the same protocol and variant to join"
        return None

    def run(self, task: Task, settings: EnsembleSettings) -> list[Outcome]:
        """Join the streams' recorded scores, one outcome for each protocol, variant and weighting.

        Raises:
            RunError: The records are not of the same clips and classes.
        """
        outcomes = []
        for (protocol, variant), members in _complete(task, settings).items():
            scores, order = aligned(members, [task.file.names[row] for row in task.test_rows])
            title = f"{protocol} {variant}".strip()
            for name in settings.weights:
                if name == HELD_OUT:
                    if protocol != "linear":
                        continue
                    chosen = _choose(task, members, settings)
                    notes = [f"ensemble of {title}: {chosen} weights, chosen on held-out training clips."]
                    if any(
                        record.settings.get("linear.view", "none") != "none" for record in members.values()
                    ):
                        notes.append(f"ensemble of {title}: the choice was made without augmentation.")
                else:
                    chosen, notes = name, []
                notes += [
                    note
                    for stream, one in members.items()
                    for note in which(task.members[stream], one, "ensemble")
                ]
                weights = dict(zip(_ORDER, getattr(settings.table, chosen), strict=True))
                epochs = sorted({str(record.epoch) for record in members.values()})
                if len(epochs) > 1:
                    notes.append(
                        f"ensemble of {title}: the streams have {', '.join(epochs)} pretraining epochs."
                    )
                outcomes.append(
                    Outcome(
                        torch.from_numpy(joined(scores, weights)[order]),
                        f"{title} {name}",
                        train_rows=_trained_on(task, next(iter(members.values()))),
                        notes=notes,
                    )
                )
        return outcomes

    def identity(self, task: Task, settings: EnsembleSettings) -> list[str]:
        """Return the keys of the records that are joined."""
        return [record.key for members in _complete(task, settings).values() for record in members.values()]


def _trained_on(task: Task, record: Record) -> NDArray[np.int64] | None:
    """Return the rows that a member was trained on, where they are not the split's training rows."""
    percent = record.settings.get(f"{record.family}.percent")
    plain = record.settings.get(f"{record.family}.subset") == "plain"
    return None if percent is None else task.subset(percent, not plain)


def joined(scores: Mapping[str, NDArray[np.float32]], weights: Mapping[str, float]) -> NDArray[np.float32]:
    """Return the weighted sum of scores (n, classes) by stream."""
    total = sum(weights[stream] * values.astype(np.float64) for stream, values in scores.items())
    return np.asarray(total, np.float32)


def aligned(
    members: Mapping[str, Record], names: list[str]
) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.int64]]:
    """Return the members' scores by stream in one order of clips, and where each of `names` is in it.

    Raises:
        RunError: The clips, labels or numbers of classes differ.
    """
    first: results.Side | None = None
    scores: dict[str, NDArray[np.float32]] = {}
    for stream, record in members.items():
        side = record.side()
        first = side if first is None else first
        place = {name: row for row, name in enumerate(side.names)}
        odd = set(first.names) ^ place.keys()
        if odd:
            raise RunError(
                f"The {stream} result of {record.encoder} is not of the same clips: '{min(odd)}' is in one "
                "only. Run the protocol again on the same file for every stream."
            )
        rows = np.array([place[name] for name in first.names], np.int64)
        if side.scores.shape[1] != first.scores.shape[1] or (side.labels[rows] != first.labels).any():
            raise RunError(
                f"The {stream} result of {record.encoder} has other classes or labels than the other "
                "streams'. Run the protocol again on the same file for every stream."
            )
        scores[stream] = side.scores[rows]
    assert first is not None
    place = {name: row for row, name in enumerate(first.names)}
    missing = [name for name in names if name not in place]
    if missing or len(names) != len(place):
        raise RunError(
            f"The recorded results are not of the file's {counted(len(names), 'test clip')}. Run them again."
        )
    return scores, np.array([place[name] for name in names], np.int64)


def _complete(task: Task, settings: EnsembleSettings) -> dict[tuple[str, str], dict[str, Record]]:
    """Return the records to join by stream, for each protocol and variant that every stream has."""
    groups: dict[tuple[str, str], dict[str, Record]] = {}
    for protocol in settings.of:
        found = {stream: member.recorded_of(protocol) for stream, member in task.members.items()}
        shared = [
            variant for variant in next(iter(found.values())) if all(variant in by for by in found.values())
        ]
        for variant in shared:
            groups[protocol, variant] = {stream: by[variant] for stream, by in found.items()}
    return groups


def _choose(task: Task, members: Mapping[str, Record], settings: EnsembleSettings) -> str:
    """Return the name of the weights that do best on training clips held out from the classifiers."""
    scores: dict[str, NDArray[np.float32]] = {}
    labels = None
    for stream, member in task.members.items():
        rows = member.train_rows
        held = subsets.draw(member.file.names, member.file.labels, rows, settings.held_out / 100, member.seed)
        out = torch.from_numpy(np.isin(rows, held))
        features, known = member.features[0], member.train_labels
        labels = known[out]
        use = Linear().stored(members[stream].settings)
        kept, asked = features[~out].to(task.device), features[out].to(task.device)
        fit = fit_layer(
            kept,
            lambda asked=asked: asked,  # type: ignore[misc]
            known[~out].to(task.device),
            labels.to(task.device),
            dim=features.shape[1],
            classes=member.num_classes,
            settings=use,
            seed=member.seed,
            progress=task.progress,
            label=f"{member.subject.kind}: held-out choice, {stream}",
        )
        scores[stream] = fit.scores.cpu().numpy()
    assert labels is not None
    right = {
        item.name: metrics.topk(
            torch.from_numpy(
                joined(scores, dict(zip(_ORDER, getattr(settings.table, item.name), strict=True)))
            ),
            labels,
            1,
        )
        for item in fields(Weights)
    }
    return max(right, key=lambda name: right[name])
