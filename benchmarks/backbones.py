"""Does pretraining help, for each backbone and stream, and does the local branch matter? On synthetic data.

Writes synthetic recordings, converts them, pretrains every backbone on every stream, and evaluates linearly
the pretrained encoder (plainly, and with batch norm before the layer), the same encoder untrained, and its
untrained features standardised. A margin is the difference in top-1 on the same test clips, with its 95 %
interval by bootstrap over test clips of the mean over seeds. The ablation pretrains variants of the loss for
every backbone on one stream.

    python benchmarks/backbones.py work/ --seeds 2 > results-pretraining.md
    python benchmarks/backbones.py work/ --backbones bigru --streams motion --seeds 1 --no-ablation
    python benchmarks/backbones.py view/ --setting view --seeds 1 --no-ablation
    python benchmarks/backbones.py work/ --seeds 2 --only-table

Runs and results stay in the folder; a second call goes on where the first one ended. The tables go to
standard output, the same numbers to tables.json in the folder.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from skeltools import synth
from skeltools.convert.pipeline import convert
from skeltools.datasets import registry as datasets
from skeltools.preparation.chain import choose
from skeltools.progress import SILENT
from skeltools.protocols import evaluate
from skeltools.results import record as results
from skeltools.results.compare import compare
from skeltools.results.record import Record
from skeltools.store import ClipFile
from skeltools.training.launch import Request, launch

RECIPE = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True)
class Setting:
    """Data, split and what pretraining has besides the recipe.

    Attributes:
        split: Split.
        clips: Synthetic clips.
        frames: Frames per clip.
        rotation: ``chain.rotation`` of the conversion.
        common: Settings of every backbone.
        own: What each backbone has of its own.
    """

    split: str
    clips: int
    frames: int
    rotation: str
    common: tuple[str, ...]
    own: dict[str, tuple[str, ...]]


SETTINGS = {
    "subject": Setting(
        split="xsub",
        clips=1150,
        frames=16,
        rotation="yaw",
        common=(),
        own={
            "stgcn": ("train.epochs=20",),
            "bigru": ("train.lr=0.005", "train.epochs=20"),
            "dsta": ("model.subsets=1", "train.lr=0.003", "train.epochs=14"),
        },
    ),
    "view": Setting(
        split="xview",
        clips=1560,
        frames=8,
        rotation="none",
        common=(
            'augment.view="crop(3)|rotate(90,20)"',
            "augment.swap_window=[2,3]",
            "model.dim=64",
            "queue.size=256",
        ),
        own={
            "stgcn": ("train.lr=0.001", "train.epochs=36"),
            "bigru": ("train.lr=0.002", "train.epochs=60"),
            "dsta": ("model.subsets=1", "train.optimizer=sgd", "train.lr=0.05", "train.epochs=10"),
        },
    ),
}
"""``subject``: new performers, clips turned to the body's axes, the paper's views.
``view``: a new camera, clips left in the axes of their camera, views that turn them.
``long``: the same data, views that turn clips less and shear them, lower temperature, thousands of steps.
``batch``: the same data, batches of 128: in smaller ones batch statistics tell a clip's key from others.
``wide``: batches of 512 and width 32 in place of 8, for a GPU."""

SETTINGS["long"] = replace(
    SETTINGS["view"],
    common=(
        'augment.view="crop(3)|rotate(30,10)|shear(0.3)"',
        "augment.swap_window=[2,3]",
        "model.dim=64",
        "queue.size=256",
        "loss.temperature=0.07",
    ),
    own={
        "stgcn": ("train.lr=0.0005", "train.epochs=90"),
        "bigru": ("train.lr=0.002", "train.epochs=60"),
        "dsta": (
            "model.subsets=1",
            "train.optimizer=sgd",
            "train.lr=0.05",
            "train.epochs=150",
            'augment.view="crop(3)|rotate(30,10)|shear(1)"',
        ),
    },
)

SETTINGS["batch"] = replace(
    SETTINGS["view"],
    common=(
        'augment.view="crop(3)|rotate(90,20)|shear(0.3)"',
        "augment.swap_window=[2,3]",
        "model.dim=64",
        "queue.size=512",
        "loss.temperature=0.07",
        "train.batch_size=128",
        "train.lr=0.003",
        "train.epochs=100",
    ),
    own={"stgcn": (), "bigru": (), "dsta": ("model.subsets=1",)},
)

SETTINGS["wide"] = replace(
    SETTINGS["batch"],
    common=(
        *SETTINGS["batch"].common,
        'augment.view="crop(3)|rotate(30,10)|shear(0.5)"',
        "model.width=32",
        "train.batch_size=512",
        "train.epochs=250",
    ),
)

BACKBONES = ("stgcn", "bigru", "dsta")

STREAMS = ("joint", "motion", "bone")

VARIANTS: dict[str, tuple[str, ...]] = {
    "global alone": ("loss.local=false",),
    "salient alone (mu 1)": ("loss.mu=1",),
    "non-salient alone (mu 0)": ("loss.mu=0",),
}
"""What the ablation changes; the whole method has mu 0.5."""

WHOLE = "whole (mu 0.5)"

PRETRAINED, NORMED, RANDOM, STANDARDISED = "pretrained", "pretrained, bn", "random", "random, standardised"
EVALUATIONS: dict[str, dict[str, str]] = {
    PRETRAINED: {},
    NORMED: {"recipe": "linear-bn"},
    RANDOM: {"init": "random"},
    STANDARDISED: {"baseline": "standardised"},
}
"""What is evaluated, and how it is asked for. Batch norm does for the pretrained features what standardising
does for untrained ones."""


@dataclass(frozen=True)
class Trial:
    """One pretraining run."""

    backbone: str
    stream: str
    variant: str
    seed: int

    @property
    def folder(self) -> str:
        words = [self.backbone, self.stream, *self.variant.split("(")[0].split(), f"seed{self.seed}"]
        return "-".join(words)

    @property
    def overrides(self) -> tuple[str, ...]:
        return (f"model.backbone={self.backbone}", *VARIANTS.get(self.variant, ()))


def trials(options: argparse.Namespace) -> list[Trial]:
    """Return the runs, seed by seed, so that whatever is finished is balanced."""
    found = []
    for seed in range(options.seeds):
        for stream in options.streams:
            found += [Trial(backbone, stream, WHOLE, seed) for backbone in options.backbones]
        if options.ablation:
            found += [
                Trial(backbone, options.ablation_stream, variant, seed)
                for variant in VARIANTS
                for backbone in options.backbones
            ]
    return found


def prepare(folder: Path, options: argparse.Namespace) -> Path:
    """Return the converted file, made unless it is there."""
    data = folder / "ntu60.h5"
    if not data.exists():
        synth.write("ntu60", folder / "raw", options.clips, workers=1)
        chain = (f"chain.frames={options.frames}", f"chain.rotation={SETTINGS[options.setting].rotation}")
        convert(datasets.get("ntu60"), folder / "raw", data, prep=choose(overrides=chain))
    return data


def do(trial: Trial, data: Path, folder: Path, options: argparse.Namespace) -> list[Record]:
    """Pretrain and evaluate one run, as far as that is not done; return its records."""
    out = folder / "runs" / trial.folder
    began = time.perf_counter()
    setting = SETTINGS[options.setting]
    outcome = launch(
        Request(
            data=data,
            split=setting.split,
            stream=trial.stream,
            out=out,
            recipe=str(RECIPE),
            options={},
            overrides=(*setting.common, *setting.own[trial.backbone], *trial.overrides, *options.set),
            seed=trial.seed,
            replace=False,
            resume=True,
            command=f"benchmarks/backbones.py {trial.folder}",
        ),
        torch.device(options.device),
        SILENT,
    )
    if outcome.signal is not None:
        raise SystemExit(f"{trial.folder} was stopped at step {outcome.step}. Start again to go on.")
    there = {name_of(record) for record in results.read_all(out / "results")}
    for name, how in EVALUATIONS.items():
        if name not in there:
            evaluate(out, "linear", device=options.device, **how)
    records = results.read_all(out / "results")
    tops = {name_of(record): f"{100 * record.top1:.1f}" for record in records}
    print(f"{trial.folder}: {tops}, {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return records


def name_of(record: Record) -> str:
    """Return which of `EVALUATIONS` a record is of."""
    return f"{record.subject}, {record.variant}" if record.variant else record.subject


def of(records: Mapping[Trial, Sequence[Record]], name: str, **wanted: str) -> list[Record]:
    """Return the records of one of `EVALUATIONS`, one per seed."""
    return [
        record
        for trial, group in records.items()
        if all(getattr(trial, key) == value for key, value in wanted.items())
        for record in group
        if name_of(record) == name
    ]


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def margin(baseline: Sequence[Record], found: Sequence[Record]) -> dict[str, float | list[float]]:
    """Return the gain of `found` over `baseline` in top-1: mean, 95 % interval, and seed by seed."""
    seeds = {record.seed for record in found}
    result = compare([record for record in baseline if record.seed in seeds], found)
    before = {record.seed: record.top1 for record in baseline}
    return {
        "gain": result.b - result.a,
        "low": result.low,
        "high": result.high,
        "by_seed": [record.top1 - before[record.seed] for record in sorted(found, key=lambda r: r.seed)],
    }


def words(gain: Mapping[str, float | list[float]]) -> str:
    return f"{100 * gain['gain']:+.1f} ({100 * gain['low']:+.1f} to {100 * gain['high']:+.1f})"


def mean(records: Sequence[Record]) -> float:
    return sum(record.top1 for record in records) / len(records)


def main_rows(
    records: Mapping[Trial, Sequence[Record]], options: argparse.Namespace
) -> Iterator[dict[str, object]]:
    """Yield a row for every backbone and stream."""
    for backbone in options.backbones:
        for stream in options.streams:
            one = {"backbone": backbone, "stream": stream, "variant": WHOLE}
            groups = {name: of(records, name, **one) for name in EVALUATIONS}
            if groups[PRETRAINED]:
                yield {
                    "backbone": backbone,
                    "stream": stream,
                    "seeds": len(groups[PRETRAINED]),
                    "steps": steps_of(groups[PRETRAINED][0]),
                    **{name: mean(group) for name, group in groups.items()},
                    "over random": margin(groups[RANDOM], groups[PRETRAINED]),
                    "over standardised": margin(groups[STANDARDISED], groups[PRETRAINED]),
                    "bn over standardised": margin(groups[STANDARDISED], groups[NORMED]),
                }


def steps_of(record: Record) -> int:
    """Return the optimiser steps behind a pretrained encoder."""
    assert record.folder is not None
    lines = (record.folder.parent / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return int(json.loads(lines[-1])["step"])


def ablation_rows(
    records: Mapping[Trial, Sequence[Record]], options: argparse.Namespace
) -> Iterator[dict[str, object]]:
    """Yield a row for every backbone and variant, and the gain of the whole method over it."""
    for backbone in options.backbones:
        one = {"backbone": backbone, "stream": options.ablation_stream}
        whole = of(records, PRETRAINED, variant=WHOLE, **one)
        if whole:
            yield {"backbone": backbone, "variant": WHOLE, "seeds": len(whole), PRETRAINED: mean(whole)}
        for variant in VARIANTS:
            other = of(records, PRETRAINED, variant=variant, **one)
            if whole and other:
                yield {
                    "backbone": backbone,
                    "variant": variant,
                    "seeds": len(other),
                    PRETRAINED: mean(other),
                    "whole over it": margin(other, [r for r in whole if r.seed in {o.seed for o in other}]),
                }


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Return rows as a Markdown table."""
    columns = list(dict.fromkeys(key for row in rows for key in row))

    def cell(value: object) -> str:
        if isinstance(value, Mapping):
            return words(value)
        return percent(value) if isinstance(value, float) else str(value)

    lines = [columns, ["---:" if isinstance(rows[0].get(c), (int, float)) else "---" for c in columns]]
    lines += [[cell(row.get(column, "")) for column in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where data, runs and tables go")
    parser.add_argument("--setting", default="subject", choices=SETTINGS, help="data, split and views")
    parser.add_argument("--clips", type=int, help="synthetic clips, in place of the setting's number")
    parser.add_argument("--frames", type=int, help="frames per clip, likewise")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--backbones", nargs="+", default=list(BACKBONES), choices=BACKBONES)
    parser.add_argument("--streams", nargs="+", default=list(STREAMS), choices=STREAMS)
    parser.add_argument("--ablation-stream", default="motion", choices=STREAMS)
    parser.add_argument("--no-ablation", dest="ablation", action="store_false")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in pretrain")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--only-table", action="store_true", help="print what is finished, run nothing")
    options = parser.parse_args()
    options.clips = options.clips or SETTINGS[options.setting].clips
    options.frames = options.frames or SETTINGS[options.setting].frames
    options.folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    records: dict[Trial, list[Record]] = {}
    if options.only_table:
        for trial in trials(options):
            found = results.read_all(options.folder / "runs" / trial.folder / "results")
            if len(found) == len(EVALUATIONS):
                records[trial] = found
    else:
        data = prepare(options.folder, options)
        records = {trial: do(trial, data, options.folder, options) for trial in trials(options)}
    with ClipFile(options.folder / "ntu60.h5") as file:
        train, test = (len(file.rows(SETTINGS[options.setting].split, part)) for part in ("train", "test"))
        frames = file.frames  # of the file, which may have been there before
    rows = list(main_rows(records, options))
    ablation = list(ablation_rows(records, options)) if options.ablation else []
    facts = {"train_clips": train, "test_clips": test, "frames": frames}
    content = facts | {"rows": rows, "ablation": ablation, "ablation_stream": options.ablation_stream}
    (options.folder / "tables.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(f"{train} training and {test} test clips of {frames} frames; linear top-1 in percent\n")
    print(table(rows))
    if ablation:
        print(f"\nStream {options.ablation_stream}\n")
        print(table(ablation))


if __name__ == "__main__":
    main()
