"""The page of what to know before: its commands and its script work, its computed numbers follow from measured ones."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from skeltools.cli.main import COMMANDS, main
from skeltools.datasets.registry import registry
from skeltools.runs.settings import resolve_recipe

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "before-you-start.md").read_text(encoding="utf-8")


BLOCKS = re.findall(r"```\n(.*?)```", PAGE, re.DOTALL)


def test_every_command_of_the_page_has_the_options_that_it_is_given() -> None:
    text = "\n".join(BLOCKS).replace("\\\n", " ")
    lines = [line for line in text.splitlines() if "skeltools " in line and not line.startswith("#")]
    assert len(lines) >= 4
    for line in lines:
        words = line.partition("skeltools ")[2].split()
        command = main.get_command(click.Context(main), words[0])
        assert command is not None, line
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= known, line
    named = set(re.findall(r"`skeltools (\S+?)`", PAGE)) | set(
        re.findall(r"`(?:skeltools )?(\S+) --dry-run`", PAGE)
    )
    assert named <= set(COMMANDS)
    assert set(re.findall(r"\| [^|]*\(`(\w+)`\) \|", PAGE)) <= set(registry())


def test_the_script_of_the_cluster_is_one() -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    (script,) = (block for block in BLOCKS if block.startswith("#!/bin/bash"))
    assert subprocess.run([bash, "-n", "-c", script], check=False).returncode == 0


@pytest.mark.parametrize(("name", "clips"), [("NTU-60", 40091), ("NTU-120", 63026), ("PKU-MMD I", 18841)])
def test_computed_times_follow_from_the_measured_ones(name: str, clips: int) -> None:
    assert clips in {counts[0] for about in registry().values() for counts in about.counts.values()}
    train = resolve_recipe(None, dataset="", split="", stream="").values.train
    (row,) = re.findall(rf"^\| {name} \| (.*) \|$", PAGE, re.MULTILINE)
    told = [cell.replace(",", "").split()[0] for cell in row.split(" | ")]
    steps = clips // train.batch_size * train.epochs
    found = re.search(r"GPU: ([\d.]+) ms .*? float32, ([\d.]+) in bf16 and ([\d.]+) in bf16 with", PAGE)
    cores = re.search(r"CPU: ([\d.]+) clips per second in float32 and ([\d.]+) in bf16", PAGE)
    assert found is not None
    assert cores is not None
    hours = [f"{steps * float(ms) / 3.6e6:.1f}" for ms in found.groups()]
    days = [f"{steps * train.batch_size / float(speed) / 86400:.0f}" for speed in cores.groups()]
    assert told == [str(steps), *hours, *days]


def test_computed_sizes_follow_from_the_shape_of_a_clip() -> None:
    for clips, told in re.findall(r"`\w+\.h5`: ([\d,]+) clips \| ([\d.]+) GB", PAGE):
        assert f"{int(clips.replace(',', '')) * 3 * 64 * 25 * 2 * 4 / 1e9:.1f}" == told


def test_the_measured_numbers_stand_where_the_page_says() -> None:
    for page, row in (
        ("lab/gpu.md", "| skeltools, float32 | 431 | 296.8 |"),
        ("lab/gpu.md", "| skeltools, bf16 | 1,535 | 83.4 |"),
        ("lab/gpu.md", "| skeltools, bf16, torch.compile | 1,912 | 67.0 |"),
        ("pretraining.md", "| 64 | float32 | 4.75 |"),
        ("pretraining.md", "| 64 | bf16 | 11.20 |"),
    ):
        assert row in (DOCS / page).read_text(encoding="utf-8")
