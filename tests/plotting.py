"""What tests of pictures and pages share: names that want to be code, and a finished run."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result
from clipfiles import TINY, altered, make_clips
from numpy.typing import NDArray

from skeltools.cli.main import main
from skeltools.skeletons import Skeleton

HOSTILE = (
    "<script>window.hacked=1</script>",
    "</script><img src=x onerror=window.hacked=1>",
    "$\\frac{broken$ & <b>bold</b>",
    "\u202eright-to-left \u05e9\u05dc\u05d5\u05dd",
    "long " * 80,
    "quote \" and ' and `${window.hacked=1}` --> ]]>",
)
"""Texts that a page or picture must show as they are."""

ELEVEN = str(Path(__file__).parent / "skeletons" / "eleven.toml")
"""A skeleton of eleven joints with names of its own for parts."""

FRAMES = 16

_STEPS = {
    "arm": (0.22, -0.1), "leg": (0.05, -0.38), "head": (0.0, 0.2), "spine": (0.0, 0.45), "trunk": (0.0, 0.16),
}  # fmt: skip


def moving(skeleton: Skeleton, bodies: int, flat: bool = False, seed: int = 0) -> NDArray[np.float32]:
    """A person, or several, each centred on itself, who stretches and bends: (3, 16, V, M)."""
    draws = np.random.default_rng(seed)
    part_of = {joint: part for part, joints in skeleton.parts.items() for joint in joints}
    clip = np.zeros((3, FRAMES, skeleton.num_joints, bodies))
    for body in range(bodies):
        phase = draws.uniform(0, 2 * np.pi)
        placed = {skeleton.root}
        while len(placed) < skeleton.num_joints:
            for joint, parent in skeleton.bones:
                if joint in placed or parent not in placed:
                    continue
                word = next((key for key in _STEPS if key in part_of[joint]), "trunk")
                across, up = _STEPS[word]
                name = skeleton.joints[joint]
                side = 1 if "right" in name else -1 if "left" in name else 0
                turn = 0.4 * np.sin(np.linspace(0, 2 * np.pi, FRAMES) + phase + joint)
                step = np.stack(
                    [side * across * np.cos(turn), up + across * np.sin(turn), 0.3 * across * turn]
                )
                clip[:, :, joint, body] = clip[:, :, parent, body] + step
                placed.add(joint)
    clip += 0.01
    if flat:
        clip[2] = 0
    return clip.astype(np.float32)


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
    """Make, once per session, a converted file of 32 clips of 16 frames and a run on it; return both.

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
    with altered(out) as file:
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
