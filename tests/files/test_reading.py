"""No reader waits for a pipe, and no archive is read in two ways."""

from __future__ import annotations

import io
import os
import signal
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from skeltools.errors import SkeltoolsError
from skeltools.files import arrays, hdf5, kinds, pickles, tensors, texts
from skeltools.files.reading import open_regular, read_regular
from skeltools.formats.sources import list_entries
from skeltools.results import record
from skeltools.runs import checkpoint, log
from skeltools.runs.folder import Run
from skeltools.settings import recipe_values
from skeltools.store.reader import ClipFile

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX")

READERS: dict[str, Callable[[Path], object]] = {
    "bytes": read_regular,
    "open": open_regular,
    "kind": lambda path: {kinds.Kind.SPECIAL: None}[kinds.tell(path)] or open_regular(path),
    "npy": arrays.open_array,
    "npz": arrays.read_arrays,
    "hdf5 heaps": lambda path: hdf5._heaps(path, [], 10),
    "json": texts.read_json,
    "text": lambda path: texts.read_text(path, 100),
    "pickle": pickles.Clipped,
    "checkpoint": checkpoint.load,
    "torch": lambda path: tensors.load(path, "x", "y"),
    "clips": ClipFile,
    "log": log.read,
    "rewind": lambda path: log.Log(path, path, []).rewind(1),
    "record": record.read,
    "recipe": lambda path: recipe_values(str(path), None),
    "source": lambda path: [entry.read() for entry in list_entries([path])] or open_regular(path),
    "run": lambda path: Run.open(path.parent),
}  # fmt: skip


@pytest.fixture
def soon() -> Iterator[None]:
    """Fail, rather than wait, after ten seconds."""

    def late(*_: object) -> None:
        pytest.fail("it waits")  # which no reader takes for a fault of the file

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ["pipe", "link to a pipe", "device"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, reader: str, kind: str, soon: None) -> None:
    path = tmp_path / ("run.json" if reader == "run" else "S001C001P001R001A001.toml")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        os.mkfifo(tmp_path / "pipe")
        path.symlink_to(tmp_path / "pipe")
    with pytest.raises((OSError, ValueError, SkeltoolsError)):
        READERS[reader](path)


def saved() -> bytes:
    file = io.BytesIO()
    torch.save({"x": torch.zeros(4)}, file)
    return file.getvalue()


def test_a_checkpoint_has_one_table_of_members(tmp_path: Path) -> None:
    """Two tables, a comment that hides one, an offset that only some readers follow."""
    path, good = tmp_path / "x.pt", saved()
    path.write_bytes(good)
    assert torch.equal(tensors.load(path, "x", "y")["x"], torch.zeros(4))
    end = good.rindex(b"PK\x05\x06")
    hidden = good[: end + 20] + struct.pack("<H", 22) + good[end:]
    prefix = b"PK\x03\x04" + bytes(60) + good
    moved = bytearray(good)
    struct.pack_into("<L", moved, end + 16, 7)
    for bad in (good + good, hidden, prefix, bytes(moved), good[:-1], good + b"\0"):
        path.write_bytes(bad)
        with pytest.raises(SkeltoolsError, match=r"x\.pt"):
            tensors.load(path, "x", "y")


def test_members_that_overlap_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, a=np.zeros(1000), b=np.ones(10))
    assert arrays.read_arrays(path)["a"].shape == (1000,)
    data = bytearray(path.read_bytes())
    tables = [at for at in range(len(data)) if data[at : at + 4] == b"PK\x01\x02"]
    struct.pack_into("<L", data, tables[1] + 42, 0)
    path.write_bytes(data)
    with pytest.raises(ValueError, match="overlaps"):
        arrays.read_arrays(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"x")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.npy", b"x")
    with pytest.raises(ValueError, match="one name"):
        arrays.read_arrays(path)
