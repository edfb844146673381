"""What tests of pictures and pages share: names that want to be code, and a finished run."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result
from clipfiles import TINY, make_clips

from skeltools.cli.main import main

HOSTILE = (
    "<script>window.hacked=1</script>",
    "</script><img src=x onerror=window.hacked=1>",
    "$\\frac{broken$ & <b>bold</b>",
    "\u202eright-to-left \u05e9\u05dc\u05d5\u05dd",
    "long " * 80,
    "quote \" and ' and `${window.hacked=1}` --> ]]>",
)
"""Texts that a page or picture must show as they are."""


def invoke(*words: str) -> Result:
    """Run a command."""
    return CliRunner().invoke(main, list(words))


def run_of(data: Path, out: Path, split: str = "xsub", epochs: int = 2) -> Path:
    """Pretrain for a moment and evaluate the encoder and its untrained form by a linear classifier."""
    settings = [word for setting in TINY for word in ("--set", setting)]
    commands = [
        ["pretrain", str(data), "--split", split, "--stream", "joint", "--out", str(out), *settings,
         "--epochs", str(epochs), "--batch-size", "8"],
        ["eval", str(out), "--protocol", "linear", "--epochs", "3", "--quiet"],
        ["eval", str(out), "--protocol", "linear", "--epochs", "3", "--init", "random", "--quiet"],
    ]  # fmt: skip
    for command in commands:
        result = invoke(*command)
        assert result.exit_code == 0, result.output
    return out


_MADE: list[tuple[Path, Path]] = []


def make_run(factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make, once a session, a converted file of 32 clips of 16 frames and a run on it; return both.

    Tests read them and write nothing there.
    """
    if not _MADE:
        folder = factory.mktemp("plotting")
        data = make_clips(folder, train=20, test=12)
        _MADE.append((data, run_of(data, folder / "run")))
    return _MADE[0]


def renamed(data: Path, out: Path, names: tuple[str, ...] = HOSTILE) -> Path:
    """Copy a converted file and give its first classes and clips hostile names."""
    shutil.copy(data, out)
    with h5py.File(out, "r+") as file:
        text = h5py.string_dtype("utf-8")
        classes = list(file.attrs["class_names"])
        classes[: len(names)] = names
        del file.attrs["class_names"]
        file.attrs.create("class_names", np.array(classes, object), dtype=text)
        rows = [name.decode() for name in file["name"][:]]
        rows[: len(names)] = names
        del file["name"]
        file.create_dataset("name", data=np.array(rows, object), dtype=text)
    return out
