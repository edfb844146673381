"""A tiny plan, and what tests compare of what it makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PLAN = """
title = "Tiny"
page_clips = 4
page_points = 0

[data.ntu60]
synthetic = 60
settings = { "chain.frames" = 8 }

[[run]]
data = "ntu60"
recipes = ["demo"]
splits = ["xsub"]
streams = ["joint", "bone"]

[run.settings]
train = { epochs = 2, batch_size = 8, save_every = 1, log_every = 1 }
model = { width = 4, dim = 16, embedding = 8 }
queue = { size = 16 }
monitor = { every = 0 }

[[evaluate]]
protocol = "knn"
subjects = ["pretrained", "raw"]
settings = { "knn.k" = [1] }

[[evaluate]]
protocol = "linear"
settings = { "linear.epochs" = 5 }

[[evaluate]]
protocol = "finetune"
settings = { "finetune.epochs" = 1 }
streams = ["joint"]

[[evaluate]]
protocol = "ensemble"
"""

ONE_STREAM = PLAN.replace('"joint", "bone"', '"joint"').partition('[[evaluate]]\nprotocol = "finetune"')[0]
"""The same of one stream, by kNN and linear alone."""

TIMES = ("created", "seconds", "features")
"""Fields of a record that may differ: when, how long, and whether features came from the cache."""


def written(folder: Path, text: str = PLAN, name: str = "tiny.toml") -> Path:
    """Write a plan."""
    path = folder / name
    path.write_text(text)
    return path


def records(out: Path) -> dict[str, dict[str, Any]]:
    """The records of a plan's folder by run and file, without times and where the folder lies."""
    found = {}
    for path in sorted((out / "runs").glob("*/results/*.json")):
        content = json.loads(path.read_text().replace(str(out), "OUT"))
        name = f"{path.parents[1].name}/{path.name}"
        found[name] = {key: value for key, value in content.items() if key not in TIMES}
    return found
