"""Reading a converted file: the contract of ClipFile and what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from rawfiles import write_ntu

from skeltools.convert.pipeline import convert
from skeltools.datasets import registry as datasets
from skeltools.errors import DataError
from skeltools.store import ClipFile


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    for number in range(1, 8):
        write_ntu(folder / "raw", f"S001C00{1 + number % 3}P00{number}R001A00{number}", number)
    convert(datasets.get("ntu60"), folder / "raw", folder / "o.h5", frames=16)
    return folder / "o.h5"


def test_contract(path: Path) -> None:
    with ClipFile(path) as file:
        assert file.path == path
        assert file.dataset.name == "ntu60"
        assert len(file.classes) == 60
        assert file.frames == 16
        assert len(file) == len(file.names) == len(file.labels) == 7
        assert file.names == sorted(file.names)
        assert file.labels.dtype == np.int64
        assert file.splits == ("xsub", "xview")
        assert file.digest == file.attrs["content_digest"]
        assert file.attrs["chain.frames"] == 16
        clips = file.clips()
        assert clips.shape == (7, 3, 16, 25, 2)
        assert clips.dtype == np.float32
        for split in file.splits:
            sides = [file.rows(split, part) for part in ("train", "test")]
            assert sorted(np.concatenate(sides).tolist()) == list(range(7))


def test_rows_in_any_order_and_repeated(path: Path) -> None:
    with ClipFile(path) as file:
        clips = file.clips()
        for rows in ([3, 0, 3, 6], [], np.array([5]), np.arange(7)[::-1]):
            found = file.clips(rows)
            assert found.dtype == np.float32
            assert found.flags.owndata or found.base is None
            np.testing.assert_array_equal(found, clips[np.asarray(rows, np.int64)])
        found = file.clips([1])
        found[:] = 0  # a copy, not a view of the file
        np.testing.assert_array_equal(file.clips([1]), clips[[1]])


@pytest.mark.parametrize("rows", [[7], [-1], [0, 99]])
def test_rows_out_of_range(path: Path, rows: list[int]) -> None:
    with ClipFile(path) as file, pytest.raises(DataError, match=r"has rows 0 to 6, not"):
        file.clips(rows)


def test_unknown_split_side_and_column(path: Path) -> None:
    with ClipFile(path) as file:
        with pytest.raises(DataError) as caught:
            file.rows("xset", "train")
        assert str(caught.value) == f"{path} has no split 'xset': it has xsub, xview."
        with pytest.raises(DataError, match="no side 'val'"):
            file.rows("xsub", "val")
        with pytest.raises(DataError, match="has no column 'video', only bodies, camera"):
            file.column("video")


def test_what_is_no_converted_file_is_refused(path: Path, tmp_path: Path) -> None:
    text, other, newer, damaged = (tmp_path / name for name in ("t.h5", "o.h5", "n.h5", "d.h5"))
    text.write_text("not HDF5")
    h5py.File(other, "w").close()
    for copy in (newer, damaged):
        copy.write_bytes(path.read_bytes())
    with h5py.File(newer, "r+") as file:
        file.attrs["format_version"] = 3
    with h5py.File(damaged, "r+") as file:
        del file["clips"]
    for wrong, message in (
        (tmp_path / "no.h5", f"{tmp_path / 'no.h5'} does not exist. Make it with 'skeltools convert'."),
        (tmp_path, f"{tmp_path} is a folder, not a converted file. Make one with 'skeltools convert'."),
        (text, f"{text} is not an HDF5 file but a text file. Make one with 'skeltools convert'."),
        (other, f"{other} was not written by skeltools. Make one with 'skeltools convert'."),
        (
            newer,
            f"{newer} is of version 3, which a newer skeltools wrote; this one reads versions 1 and 2. "
            "Update skeltools.",
        ),
    ):
        with pytest.raises(DataError) as caught:
            ClipFile(wrong)
        assert str(caught.value) == message
    with pytest.raises(DataError, match=r"d.h5 is damaged \(.*clips.*\). Convert the source again."):
        ClipFile(damaged)


def test_a_cut_off_file_is_refused(path: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.h5"
    cut.write_bytes(path.read_bytes()[:3000])
    told = rf"cut\.h5 is cut short: 3,000 of {path.stat().st_size:,} bytes are there\. Copy it again"
    with pytest.raises(DataError, match=told):
        ClipFile(cut)


def test_a_file_that_is_cut_off_while_open_is_named(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "o.h5"
    copy.write_bytes(path.read_bytes())
    with ClipFile(copy) as file:
        clips = file.clips()
        with h5py.File(copy) as raw:
            start = raw["clips"].id.get_offset()
        os.truncate(copy, start + 3 * clips[0].nbytes + 100)
        np.testing.assert_array_equal(file.clips([2, 0]), clips[[2, 0]])
        for row in (3, 6):
            with pytest.raises(DataError, match=rf"o\.h5 ends before row {row}: it was cut off\. Convert"):
                file.clips([0, row])


def test_an_open_file_stays_itself_when_another_takes_its_name(path: Path, tmp_path: Path) -> None:
    copy, other = tmp_path / "o.h5", tmp_path / "other"
    copy.write_bytes(path.read_bytes())
    other.write_bytes(bytes(path.stat().st_size))
    with ClipFile(copy) as file:
        clips = file.clips()
        assert clips.any()
        other.replace(copy)
        np.testing.assert_array_equal(file.clips([6, 1]), clips[[6, 1]])


def test_a_file_larger_than_the_memory_allowed_is_read(path: Path, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="limits of memory need Unix")
    large = tmp_path / "large.h5"
    with h5py.File(path) as file, h5py.File(large, "w") as out:
        for name in file:
            if name != "clips":
                file.copy(name, out)
        for name, value in file.attrs.items():
            out.attrs[name] = value
        clips = out.create_dataset("clips", (200_000, 3, 16, 25, 2), "<f4")  # 1.9 GB, hardly any on the disk
        clips[199_999] = file["clips"][6]
    assert large.stat().st_size > 1.9e9
    program = (
        "import sys; from skeltools.store import ClipFile\n"
        "with ClipFile(sys.argv[1], checked=False) as file: print(file.clips([0, 199_999]).sum(dtype='f8'))"
    )
    limit = 1_500_000_000
    done = subprocess.run(
        [sys.executable, "-c", program, str(large)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    with ClipFile(path) as file:
        assert float(done.stdout) == file.clips([6]).sum(dtype="f8")


def test_content_digest_follows_the_content(tmp_path: Path) -> None:
    digests = set()
    for number, seed in enumerate((1, 1, 2)):
        write_ntu(tmp_path / str(number), "S001C001P001R001A001", seed)
        convert(datasets.get("ntu60"), tmp_path / str(number), tmp_path / f"{number}.h5")
        with ClipFile(tmp_path / f"{number}.h5") as file:
            digests.add(file.digest)
    assert len(digests) == 2
