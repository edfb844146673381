"""A small converted file for tests of training: random motion in NTU's format."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner
from rawfiles import write_ntu

from skeltools.cli.main import main

TINY = (
    "model.width=4", "model.dim=16", "model.embedding=8", "model.heads=4", "queue.size=32",
    "augment.swap_unit=1", "train.log_every=1", "monitor.every=1", "monitor.k=3",
)  # fmt: skip
"""Settings small enough for tests."""


def make_clips(folder: Path, train: int = 20, test: int = 4) -> Path:
    """Convert `train` clips of performer 1 and `test` of performer 3, 16 frames each, and return the file."""
    for performer, count in ((1, train), (3, test)):
        for number in range(count):
            name = f"S001C001P{performer:03d}R{number // 4 + 1:03d}A{number % 4 + 1:03d}"
            write_ntu(folder / "raw", name, seed=100 * performer + number)
    out = folder / "clips.h5"
    result = CliRunner().invoke(main, ["convert", "ntu60", str(folder / "raw"), str(out), "--frames", "16"])
    assert result.exit_code == 0, result.output
    return out
