"""Every kind of file is told from its first bytes, and nothing but a regular file is opened."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import tarfile
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rawfiles import write_ntu

from skeltools.convert.pipeline import convert
from skeltools.datasets import registry as datasets
from skeltools.files import kinds
from skeltools.files.kinds import Kind


def made(write: object) -> bytes:
    stream = io.BytesIO()
    write(stream)  # type: ignore[operator]
    return stream.getvalue()


def zipped(name: str) -> bytes:
    def write(stream: io.BytesIO) -> None:
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr(name, b"1\n" * 50)

    return made(write)


def tarred(mode: str) -> bytes:
    def write(stream: io.BytesIO) -> None:
        with tarfile.open(fileobj=stream, mode=mode) as archive:
            archive.add(__file__, "x.py")

    return made(write)


LABELS = (["S001C001P001R001A001.skeleton", "b"], [0, 1])
STATE = {"w": torch.zeros(3)}
PAGE = "<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>"

CASES: list[tuple[Kind, bytes]] = [
    (Kind.EMPTY, b""),
    (Kind.ZIP, zipped("S001C001P001R001A001.skeleton")),
    (Kind.ZIP, made(lambda stream: zipfile.ZipFile(stream, "w").close())),
    (Kind.SEVEN_ZIP, b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(24)),
    (Kind.GZIP, gzip.compress(pickle.dumps(LABELS), mtime=0)),
    (Kind.GZIP, tarred("w:gz")),
    (Kind.ARCHIVE, tarred("w")),
    (Kind.ARCHIVE, tarred("w:bz2")),
    (Kind.ARCHIVE, tarred("w:xz")),
    (Kind.ARCHIVE, b"Rar!\x1a\x07\x01\x00"),
    (Kind.TORCH, made(lambda stream: torch.save(STATE, stream))),
    (Kind.TORCH, made(lambda stream: torch.save({"annotations": [1]}, stream))),
    (Kind.TORCH, made(lambda stream: torch.save(STATE, stream, _use_new_zipfile_serialization=False))),
    (Kind.SAFETENSORS, (31).to_bytes(8, "little") + b'{"w":{"dtype":"F32","shape":[0]}'),
    *((Kind.PICKLE, pickle.dumps(LABELS, protocol=protocol)) for protocol in range(6)),
    *((Kind.PICKLE, pickle.dumps(list(LABELS), protocol=protocol)) for protocol in range(6)),
    *((Kind.PICKLE, pickle.dumps({"split": {}}, protocol=protocol)) for protocol in range(6)),
    *((Kind.PICKLE, pickle.dumps(np.arange(3), protocol=protocol)) for protocol in range(6)),
    (Kind.NPY, made(lambda stream: np.save(stream, np.zeros(3)))),
    (Kind.NPZ, made(lambda stream: np.savez(stream, x_train=np.zeros(3)))),
    (Kind.NPZ, made(lambda stream: np.savez_compressed(stream, np.zeros(3)))),
    (Kind.MATLAB, b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(90)),
    (Kind.MATLAB, b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512, b"\0") + b"\x89HDF\r\n\x1a\n"),
    (Kind.LFS, b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"),
    (Kind.HTML, PAGE.encode()),
    (Kind.HTML, b"\xef\xbb\xbf\r\n" + PAGE.lower().encode()),
    (Kind.HTML, b'<?xml version="1.0"?>\n<!-- quota -->\n<html xmlns="x">'),
    (Kind.JSON, json.dumps({"skeletons": [[1.0]]}, indent=2).encode()),
    (Kind.JSON, b"[[[0.1, 0.2, 0.3]]]"),
    (Kind.JSON, b"\xef\xbb\xbf{}"),
    (Kind.TEXT, b"40\r\n1\r\n72057594037931101 0 1 1 1 1 0 0.02 0.2 2\r\n"),
    (Kind.TEXT, b"Version0.1\n,(SpineBase,Tracked,0.1,0.2,0.3,1,2)"),
    (Kind.TEXT, b"[[when]]\nmatch = {}\n"),
    (Kind.TEXT, b"[chain]\nframes = 64\n"),
    (Kind.TEXT, b"(see below) 1.0"),
    (Kind.TEXT, "Größe\n".encode("latin-1")),
    (Kind.BOM, b"\xef\xbb\xbf40\n1\n"),
    (Kind.UTF16, "40\n1\n".encode("utf-16")),
    (Kind.UTF16, "40\n1\n".encode("utf-16-le")),
    (Kind.UTF16, "40\n1\n".encode("utf-16-be")),
    (Kind.UTF16, b"\xfe\xff" + "Größe\n".encode("utf-16-be")),
    (Kind.UTF16, "40\n1\n".encode("utf-32")),
    (Kind.UNKNOWN, bytes(range(256))),
    (Kind.UNKNOWN, bytes(64)),
    (Kind.UNKNOWN, bytes(range(186, 256))),
    (Kind.TEXT, "日本語\n".encode()[:-2]),
    (Kind.UNKNOWN, b"\x00"),
]


@pytest.mark.parametrize(("kind", "content"), CASES, ids=lambda value: getattr(value, "name", ""))
def test_kinds_are_told_from_the_first_bytes(kind: Kind, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    assert kinds.tell(path) is kind


def test_hdf5_of_ours_and_of_others(tmp_path: Path) -> None:
    write_ntu(tmp_path / "raw", "S001C001P001R001A010", frames=20)
    convert(datasets.get("ntu60"), tmp_path / "raw", tmp_path / "o.h5")
    assert kinds.tell(tmp_path / "o.h5") is Kind.OURS
    for userblock, attributes in ((0, {}), (512, {"format": "other"}), (0, {"format": [1, 2]})):
        with h5py.File(tmp_path / "x.h5", "w", userblock_size=userblock) as file:
            file["x"] = [1]
            file.attrs.update(attributes)
        assert kinds.tell(tmp_path / "x.h5") is Kind.HDF5
    (tmp_path / "cut.h5").write_bytes((tmp_path / "o.h5").read_bytes()[:2000])
    assert kinds.tell(tmp_path / "cut.h5") is Kind.BROKEN


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # opening it would block for ever
    assert kinds.tell(tmp_path / "pipe") is Kind.SPECIAL
    assert kinds.tell("/dev/null") is Kind.SPECIAL
    assert kinds.tell(tmp_path) is Kind.FOLDER
    with pytest.raises(FileNotFoundError):
        kinds.tell(tmp_path / "none")


def test_the_kind_needs_no_more_than_the_head(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"1\n" * kinds.HEAD)
    os.truncate(path, 1 << 40)  # a sparse terabyte
    assert kinds.tell(path) is Kind.TEXT


@pytest.mark.parametrize(
    "word", [b"<!---->", b"<!-- ", b" ", b"[ ", b"{ ", b"((", b"(]}", b"a.", b"\xe6\x97"]
)
def test_no_head_takes_long(word: bytes) -> None:
    start = time.process_time()
    for head in (word * kinds.HEAD, b" " + word * kinds.HEAD, b"<?xml>" + word * kinds.HEAD):
        kinds.of(head[: kinds.HEAD])
    assert time.process_time() - start < 1


def test_every_kind_has_a_remedy() -> None:
    for kind in Kind:
        assert kinds.REMEDIES[kind]
    assert kinds.described(Kind.GZIP) == "a gzip file. Unpack it with gunzip and give what is inside."
    assert kinds.described(Kind.GZIP, {Kind.GZIP: "Do this."}) == "a gzip file. Do this."
    assert kinds.but(Kind.TEXT, "Do that.") == " but a text file. Do that."
    assert kinds.but(Kind.UNKNOWN, "Do that.") == ". Do that."
    assert (
        kinds.but(Kind.LFS, "Do that.")
        == " but a pointer of Git LFS, not the file itself. Fetch the file: git lfs pull"
    )


@given(st.binary(max_size=64))
def test_any_bytes_are_of_one_kind(head: bytes) -> None:
    assert kinds.of(head) in Kind


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40))
def test_text_is_decoded_whatever_mark_it_has(text: str) -> None:
    assert kinds.decode(b"\xef\xbb\xbf" + text.encode()) == text


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf16_is_named_with_the_remedy(encoding: str) -> None:
    for read in (kinds.decode, kinds.plain):
        with pytest.raises(
            ValueError, match=r"^a text file in UTF-16 or UTF-32\. Save it as UTF-8, for example: "
        ):
            read("40\n1\n".encode(encoding))


def test_other_encodings_are_named_with_their_line() -> None:
    with pytest.raises(ValueError, match=r"^byte 0xf6 in line 2 is not UTF-8; save it as UTF-8$"):
        kinds.decode("a\nGröße".encode("latin-1"))
    with pytest.raises(ValueError, match=r"^a gzip file\. Unpack it"):
        kinds.decode(gzip.compress(b"1\n"))
