"""What decides a result is compared with its digest by everybody who reads it, and `verify` sees every change."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result
from clipfiles import TINY
from rawfiles import write_ntu

from skeltools.cli.main import main
from skeltools.clips import ClipDataset, open_clips
from skeltools.errors import DataError
from skeltools.store import reader
from skeltools.store.reader import ClipFile

SETTINGS = [word for setting in (*TINY, "monitor.every=0") for word in ("--set", setting)]


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with everything: motion, recordings, splits, subsets, something left out."""
    folder = tmp_path_factory.mktemp("whole")
    for performer, count in ((1, 12), (3, 6)):
        for number in range(count):
            name = f"S001C001P{performer:03d}R{number // 4 + 1:03d}A{number % 4 + 1:03d}"
            write_ntu(folder / "raw", name, seed=100 * performer + number)
    (folder / "raw" / "S001C001P001R009A001.skeleton").write_text("1\n0\n")
    out = folder / "o.h5"
    words = ("--frames", 16, "--keep-raw", "--set", "chain.motion=source", "--on-error", "skip")
    result = call("convert", "ntu60", folder / "raw", out, *words)
    assert result.exit_code == 0, result.output
    assert call("subset", out, "--percent", 50).exit_code == 0
    return out


def noise(name: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        row = file[name][2]
        file[name][2] = np.random.default_rng(0).normal(size=row.shape).astype(row.dtype)

    return change


def more(name: str) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        values = file[name][:]
        values.reshape(-1)[-1] ^= 1
        file[name][...] = values

    return change


def attribute(key: str, value: object) -> Callable[[h5py.File], None]:
    return lambda file: file.attrs.modify(key, value)


def shift(file: h5py.File) -> None:
    file["label"][...] = (file["label"][:] + 1) % 4


def leak(file: h5py.File) -> None:
    test = file["splits/xsub/test"][:]
    file["splits/xsub/train"][: len(test)] = test


def rename(file: h5py.File) -> None:
    file.attrs.create("class_names", np.array(["x"] * 60, object), dtype=h5py.string_dtype("utf-8"))


def strip(file: h5py.File) -> None:
    del file.attrs["record_digest"]


def unlabelled(file: h5py.File) -> None:
    del file["subsets/xsub/1"]


OPENING: dict[str, Callable[[h5py.File], None]] = {
    "labels": shift,
    "train = test": leak,
    "class names": rename,
    "chain": attribute("chain.centre", "first"),
    "skeleton": attribute("skeleton", "{}"),
    "subsets": more("subsets/xsub/10/0"),
    "a subset gone": unlabelled,
    "a column": more("subject"),
    "another": more("length"),
    "dataset": attribute("dataset", "ntu120"),
    "a digest": more("digest"),
    "a motion digest": more("motion_digest"),
    "a recording's digest": more("raw/digest"),
    "no digest": strip,
}  # fmt: skip
READING = {
    "clips": noise("clips"),
    "motion": noise("motion"),
    "raw": noise("raw/data"),
    "raw ids": more("raw/id"),
}


def changed(whole: Path, tmp_path: Path, change: Callable[[h5py.File], None]) -> Path:
    path = tmp_path / "o.h5"
    shutil.copyfile(whole, path)
    with h5py.File(path, "r+") as file:
        change(file)
    return path


@pytest.mark.parametrize("what", OPENING)
def test_what_was_changed_is_refused_when_the_file_is_opened(whole: Path, tmp_path: Path, what: str) -> None:
    path = changed(whole, tmp_path, OPENING[what])
    with pytest.raises(DataError, match=r"o\.h5 is (not as it was written|damaged)"):
        ClipFile(path)
    assert call("verify", path).exit_code != 0
    assert call("verify", whole).exit_code == 0


@pytest.mark.parametrize("what", READING)
def test_what_was_changed_is_refused_when_it_is_read(whole: Path, tmp_path: Path, what: str) -> None:
    path = changed(whole, tmp_path, READING[what])
    assert call("verify", path).exit_code != 0
    with ClipFile(path) as file:
        read = {"clips": file.clips, "motion": file.motion}.get(
            what, lambda: [*map(file.recording, range(len(file)))]
        )
        with pytest.raises(DataError, match="does not match its digest"):
            read()
        if what in ("clips", "motion"):
            assert len({"clips": file.clips, "motion": file.motion}[what]([0, 1])) == 2
    if what.startswith("raw"):
        assert call("derive", path, tmp_path / "d.h5").exit_code == 2


@pytest.mark.parametrize("number", [1, 2, 3, 50])
def test_however_many_threads_compare_the_first_wrong_clip_read_is_named(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "o.h5"
    shutil.copyfile(whole, path)
    with h5py.File(path, "r+") as file:
        for row in (2, 11, 17):
            file["clips"][row] = 0.25
    monkeypatch.setattr(reader, "_SHARED", 0)
    monkeypatch.setattr(reader, "cores", lambda: number)
    with ClipFile(path) as clips:
        sound = [row for row in range(len(clips)) if row not in (2, 11, 17)]
        assert len(clips.clips(sound)) == len(sound)
        assert len(clips.clips([])) == 0
        for order in ([2, 11, 17], [17, 0, 2], [*sound, 11]):
            first = next(row for row in order if row not in sound)
            with pytest.raises(DataError, match=clips.names[first]):
                clips.clips(order)


def test_noise_is_neither_trained_on_nor_evaluated(whole: Path, tmp_path: Path) -> None:
    """On the device, streamed, by kNN with kept features, and by other people's code."""
    run = tmp_path / "run"
    base = (
        "--split",
        "xsub",
        "--stream",
        "joint",
        "--epochs",
        1,
        "--batch-size",
        6,
        "--device",
        "cpu",
        *SETTINGS,
    )
    path = tmp_path / "o.h5"
    shutil.copyfile(whole, path)
    assert call("pretrain", path, *base, "--out", run).exit_code == 0
    result = call("eval", run, "--protocol", "knn", "--device", "cpu", "--set", "knn.k=[1]")
    assert result.exit_code == 0, result.output
    with h5py.File(path, "r+") as file:
        for row in range(len(file["clips"])):
            file["clips"][row] = np.random.default_rng(row).normal(size=file["clips"].shape[1:])
    for feed, workers in (("device", 0), ("stream", 0), ("stream", 2)):
        result = call(
            "pretrain",
            path,
            *base,
            "--set",
            f"train.feed={feed}",
            "--out",
            tmp_path / feed,
            "--workers",
            workers,
        )
        assert (result.exit_code, "does not match its digest" in result.stderr) == (2, True), result.output
        assert not (tmp_path / feed).exists()
    for protocol, setting in (("knn", "knn.k=[1]"), ("knn", "knn.k=[2]"), ("linear", "linear.epochs=2")):
        result = call("eval", run, "--protocol", protocol, "--device", "cpu", "--set", setting)
        assert (result.exit_code, "does not match its digest" in result.stderr) == (2, True), result.output
    with pytest.raises(DataError, match="does not match"):
        open_clips(path, "xsub")
    with pytest.raises(DataError, match="does not match"):
        ClipDataset(path, "xsub")[0]


@pytest.mark.parametrize(
    "words", [{"chunks": True}, {"compression": "gzip"}, {"fletcher32": True}, {"shuffle": True}]
)
@pytest.mark.parametrize("name", ["clips", "label"])
def test_chunks_and_filters_are_refused(
    whole: Path, tmp_path: Path, name: str, words: dict[str, object]
) -> None:
    """No file of ours has them: a chunk could inflate past its size, and reading row by row unpacks it each time."""

    def change(file: h5py.File) -> None:
        values = file[name][:]
        del file[name]
        file.create_dataset(name, data=values, **words)

    with pytest.raises(DataError, match="is stored in chunks or through a filter"):
        ClipFile(changed(whole, tmp_path, change))
