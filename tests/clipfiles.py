"""Converted files in tests: a small one of random motion in NTU's format, and the content of any."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from click.testing import CliRunner
from numpy.typing import NDArray
from rawfiles import write_ntu

from skeltools.cli.main import main
from skeltools.skeletons import Form, Skeleton, packaged
from skeltools.store import ClipFile
from skeltools.store.layout import content_digest
from skeltools.store.writer import Contents, seal, write_file

TINY = (
    "model.width=4", "model.dim=16", "model.embedding=8", "model.heads=4", "queue.size=32",
    "augment.swap_unit=1", "train.log_every=1", "monitor.every=1", "monitor.k=3",
)  # fmt: skip
"""Settings small enough for tests."""


def make_clips(
    folder: Path, train: int = 20, test: int = 4, frames: int = 16, prep: str = "skeattnclr", *more: str
) -> Path:
    """Convert `train` clips of performer 1 and `test` of performer 3, 16 frames each, and return the file.

    `more` are further words of the command.
    """
    for performer, count in ((1, train), (3, test)):
        for number in range(count):
            name = f"S001C001P{performer:03d}R{number // 4 + 1:03d}A{number % 4 + 1:03d}"
            write_ntu(folder / "raw", name, seed=100 * performer + number)
    out = folder / "clips.h5"
    words = [
        "convert",
        "ntu60",
        str(folder / "raw"),
        str(out),
        "--frames",
        str(frames),
        "--prep",
        prep,
        *more,
    ]
    result = CliRunner().invoke(main, words)
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


def with_form(source: Path, out: Path, form: Form, clips: NDArray[np.float32]) -> Path:
    """Write `clips` (N, 3, T, V, M) of another form under the names, labels and splits of a converted file.

    The file says that it is of the same dataset, whose clips have this skeleton and so many bodies.
    """
    with ClipFile(source) as file:
        sides = {
            split: np.isin(np.arange(len(file)), file.rows(split, "train")).astype(np.int8)
            for split in file.splits
        }
        if form.skeleton.name in packaged():
            name = form.skeleton.name
        else:
            name = str(out.with_suffix(".toml"))
            Path(name).write_text(toml_of(form.skeleton), encoding="utf-8")
        values = [np.ascontiguousarray(clip, "<f4").tobytes() for clip in clips]
        digests = b"".join(hashlib.sha256(value).digest() for value in values)
        contents = Contents(
            dataset=dataclasses.replace(file.dataset, skeleton_name=name, bodies=form.bodies),
            names=file.names,
            labels=file.labels.tolist(),
            columns={name: file.column(name) for name in file.columns},
            digests=np.frombuffer(digests, np.uint8).reshape(-1, 32),
            sides=sides,
            excluded=[],
            settings={key[6:]: value for key, value in file.attrs.items() if key.startswith("chain.")},
            prep=str(file.attrs["prep"]),
            frames=form.frames,
            dtype="float32",
            source_digest=str(file.attrs["source_digest"]),
        )
    write_file(out, contents, {"clips": values})
    return out


def toml_of(skeleton: Skeleton) -> str:
    """A skeleton as the text of a TOML file."""
    parts = skeleton.to_dict()
    of_parts = parts.pop("parts")
    lines = [f"{key} = {json.dumps(value)}" for key, value in parts.items()]
    return "\n".join([*lines, "[parts]", *(f"{json.dumps(k)} = {v}" for k, v in of_parts.items())]) + "\n"


@contextmanager
def altered(path: Path) -> Iterator[h5py.File]:
    """Open a converted file to change it; its digests are made anew at the end, so that it is a sound other file."""
    with h5py.File(path, "r+") as file:
        yield file
        digests = np.array(
            [np.frombuffer(hashlib.sha256(clip.tobytes()).digest(), np.uint8) for clip in file["clips"][:]]
        )
        file["digest"][...] = digests
        splits = {
            split: {part: rows[:] for part, rows in parts.items()} for split, parts in file["splits"].items()
        }
        names = [name.decode("utf-8") for name in file["name"][:]]
        file.attrs["content_digest"] = content_digest(names, file["label"][:].tolist(), digests, splits)
        seal(file)
