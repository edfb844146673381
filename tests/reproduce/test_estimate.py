"""What an evaluation is reckoned to cost, by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from reproducing import PLAN

from skeltools.datasets import registry as datasets
from skeltools.reproduce import estimate
from skeltools.reproduce import plan as plans
from skeltools.reproduce.steps import Place, steps


@pytest.mark.parametrize(
    ("settings", "clips", "flop"),
    [
        ("", 30 + 30, 3 * 30 + 30),  # there and back, and the test clips
        # A fifth held out: 24 clips there and back before, and 6 scored.
        (', "finetune.held_out_people" = 20', 30 + 24 + 30 + 6, 3 * (30 + 24) + 30 + 6),
    ],
)
def test_finetuning_counts_what_is_trained_on_and_what_is_scored(
    settings: str, clips: int, flop: int, tmp_path: Path
) -> None:
    text = PLAN.replace('"finetune.epochs" = 1', f'"finetune.epochs" = 1{settings}')
    (step,) = [
        step
        for step in steps(plans.parse(text, "tiny.toml"), Place(tmp_path))
        if step.facts.get("protocol") == "finetune"
    ]
    unused: Any = None
    model = estimate.Model(forward=1.0, step=1.0, speed=2.0, state=1, dim=1, settings=unused)
    held = estimate.Sizes(datasets.get("ntu60"), unused, 1, 60, {"xsub": (30, 30)})
    cost = estimate._evaluation(step, model, held, set())
    assert (cost.clips, cost.flop, cost.seconds) == (clips, flop, flop / 2)
