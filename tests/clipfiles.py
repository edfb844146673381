"""Converted files in tests: a small one of random motion in NTU's format, and the content of any."""

from __future__ import annotations

from pathlib import Path

import h5py
from click.testing import CliRunner
from rawfiles import write_ntu

from skeltools.cli.main import main

TINY = (
    "model.width=4", "model.dim=16", "model.embedding=8", "model.heads=4", "queue.size=32",
    "augment.swap_unit=1", "train.log_every=1", "monitor.every=1", "monitor.k=3",
)  # fmt: skip
"""Settings small enough for tests."""


def make_clips(
    folder: Path, train: int = 20, test: int = 4, frames: int = 16, prep: str = "skeattnclr"
) -> Path:
    """Convert `train` clips of performer 1 and `test` of performer 3, 16 frames each, and return the file."""
    for performer, count in ((1, train), (3, test)):
        for number in range(count):
            name = f"S001C001P{performer:03d}R{number // 4 + 1:03d}A{number % 4 + 1:03d}"
            write_ntu(folder / "raw", name, seed=100 * performer + number)
    out = folder / "clips.h5"
    result = CliRunner().invoke(
        main, ["convert", "ntu60", str(folder / "raw"), str(out), "--frames", str(frames), "--prep", prep]
    )
    assert result.exit_code == 0, result.output
    return out


def content(path: Path) -> dict[str, object]:
    """The bytes of every dataset of a file, and its attributes."""
    found: dict[str, object] = {}
    with h5py.File(path) as file:

        def keep(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset):
                values = item[:]
                found[name] = values.tolist() if values.dtype.hasobject else values.tobytes()

        file.visititems(keep)
        found["attributes"] = sorted((key, str(value)) for key, value in file.attrs.items())
    return found
