"""``verify``, ``diff``, ``derive`` and ``subset``."""
# ruff: noqa: E501 (messages stand in one line each)

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result
from rawfiles import body_of, ntu_bytes, write_ntu, write_pku

from skeltools.cli.main import main
from skeltools.convert.pipeline import convert
from skeltools.datasets import registry as datasets
from skeltools.preparation.chain import choose
from skeltools.store import ClipFile
from skeltools.store.writer import seal


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify") / "raw"
    for number in range(40):
        performer = 1 if number < 30 else 3
        name = f"S001C00{1 + number % 3}P{performer:03d}R001A{1 + number % 5:03d}"
        write_ntu(folder, name.replace("R001", f"R{number + 1:03d}"), number, frames=20 + number % 9)
    gap = body_of(77, 30)
    gap[10:13] = np.nan
    (folder / "S002C001P001R001A050.skeleton").write_bytes(ntu_bytes([gap, body_of(78, 30), body_of(79, 30)]))
    return folder


@pytest.fixture(scope="module")
def converted(raw: Path) -> Path:
    out = raw.parent / "o.h5"
    convert(datasets.get("ntu60"), raw, out, keep_raw=True)
    return out


@pytest.fixture
def copy(converted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(converted, tmp_path / "c.h5"))


def test_a_sound_file(converted: Path) -> None:
    result = run("verify", converted)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "note: split xsub: 31 / 10 clips, officially 40,091 / 16,487",
        "note: split xview: 26 / 15 clips, officially 37,646 / 18,932",
        f"{converted}: 41 clips, no faults",
    ]


def set_value(name: str, index: object, value: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file[name][index] = value

    return change


def replace_rows(name: str, rows: list[int]) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = np.array(rows, np.int64)

    return change


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (set_value("clips", (3, 0, 0, 0, 0), np.nan), "1 clip has NaN or infinite values, S001C001P001R010A005 first"),
        (set_value("clips", (3, 0, 0, 0, 0), 0.5), "1 clip has values that do not match their digest, S001C001P001R010A005 first"),
        (set_value("label", 2, 60), "S001C001P001R007A002: label 60 is not in 0 to 59"),
        (set_value("label", 2, 5), "names, labels, digests and splits do not match the content digest"),
        (set_value("name", 0, "S009"), "the names are not in alphabetical order"),
        (set_value("name", 1, "S001C001P001R001A001"), "a name occurs twice"),
        (set_value("splits/xsub/train", 30, 35), "split xsub: its train side names a row twice"),
        (set_value("splits/xsub/test", 0, 99), "split xsub: its test side names rows that do not exist"),
        (replace_rows("splits/xsub/test", [0]), "split xsub: 1 clip is on both sides, S001C001P001R001A001 first"),
        (replace_rows("splits/xsub/test", []), "split xsub: 10 clips are on neither side, "),
        (replace_rows("subsets/xsub/1/0", [40, 12]), "subset xsub/1/0 has 1 row outside the training side"),
        (replace_rows("length", [1, 2]), "/length has 2 rows, /clips 41"),
        (lambda file: file.attrs.__setitem__("count.clips", 7), "attribute count.clips says 7, there are 41"),
        (lambda file: file.__delitem__("digest"), "/digest is missing"),
        (lambda file: file.attrs.__delitem__("source_digest"), "attribute source_digest is missing"),
    ],
)  # fmt: skip
def test_each_fault_is_found(copy: Path, change: Callable[[h5py.File], None], fault: str) -> None:
    with h5py.File(copy, "r+") as file:
        change(file)
    result = run("verify", copy)
    assert result.exit_code == 1, result.output
    assert any(line.startswith(f"fault: {fault}") for line in result.stdout.splitlines()), result.stdout
    assert fault in " ".join(json.loads(run("verify", copy, "--json").stdout)["faults"])


def test_near_duplicates_are_found_by_content(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    for number in range(12):
        write_ntu(folder, f"S001C001P{1 if number < 8 else 3:03d}R{number + 1:03d}A001", number, frames=40)
    twin = body_of(5, 40)
    twin += np.random.default_rng(0).normal(0, 0.002, twin.shape)
    (folder / "S001C001P003R099A002.skeleton").write_bytes(ntu_bytes([np.round(twin, 6)]))
    convert(datasets.get("ntu60"), folder, tmp_path / "o.h5")
    result = run("verify", tmp_path / "o.h5", "--near-duplicates")
    assert result.exit_code == 0, result.output
    assert "split xsub: 1 test clip is nearly in the training set" in result.stdout
    assert "  S001C001P003R099A002 ~ S001C001P001R006A001, 0.0" in result.stdout


def test_diff_of_equal_files(converted: Path, copy: Path) -> None:
    result = run("diff", converted, copy)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == ["41 common clips, 41 of them with equal coordinates"]
    assert result.stderr == "", "no bar of 0/0 clips"


def test_diff_names_everything(raw: Path, converted: Path, tmp_path: Path) -> None:
    other = tmp_path / "raw"
    shutil.copytree(raw, other)
    (other / "S001C001P001R001A001.skeleton").unlink()
    write_ntu(other, "S001C001P001R004A004", 99, frames=22)
    write_ntu(other, "S003C001P001R001A001", 5)
    made = choose(overrides=["chain.length=last"])
    convert(datasets.get("ntu60"), other, tmp_path / "p.h5", prep=made)
    result = run("diff", converted, tmp_path / "p.h5", "--most", 1)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert "chain.length: first-body | last" in lines
    assert f"only in {converted}: 1 clip: S001C001P001R001A001" in lines
    assert f"only in {tmp_path / 'p.h5'}: 1 clip: S003C001P001R001A001" in lines
    assert "40 common clips, 39 of them with equal coordinates" in lines
    assert lines[-1].startswith("  S001C001P001R004A004: up to ")
    convert(datasets.get("ntu60"), raw, tmp_path / "q.h5", frames=50)
    result = run("diff", converted, tmp_path / "q.h5")
    assert result.exit_code == 1
    assert "41 common clips, not compared: they have different numbers of frames" in result.stdout
    assert json.loads(run("diff", converted, tmp_path / "q.h5", "--json").stdout)["coordinates"] is None


@pytest.mark.parametrize("prep", ["skeattnclr", "aimclr", "ctrgcn", "cmd"])
@pytest.mark.parametrize("kind", ["ntu60", "pku2"])
def test_derive_equals_a_conversion(kind: str, prep: str, raw: Path, tmp_path: Path) -> None:
    source = raw if kind == "ntu60" else write_pku(tmp_path / "raw")
    names = choose(prep).values.split_names if kind == "pku2" else "comma"  # what bears on the splits stays
    before = choose("skeattnclr" if prep != "aimclr" else "ctrgcn", overrides=[f"chain.split_names={names}"])
    convert(datasets.get(kind), source, tmp_path / "kept.h5", prep=before, keep_raw=True)
    convert(
        datasets.get(kind), source, tmp_path / "direct.h5", prep=choose(prep), prep_name=prep, keep_raw=True
    )
    result = run("derive", tmp_path / "kept.h5", tmp_path / "derived.h5", "--prep", prep)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "derived.h5").read_bytes() == (tmp_path / "direct.h5").read_bytes()


def test_derive_refusals(converted: Path, raw: Path, tmp_path: Path) -> None:
    convert(datasets.get("ntu60"), raw, tmp_path / "plain.h5")
    result = run("derive", tmp_path / "plain.h5", tmp_path / "d.h5")
    assert result.exit_code == 2
    assert result.stderr == (
        f"Error: {tmp_path / 'plain.h5'} holds no recordings. Convert with --keep-raw to keep them.\n"
    )
    result = run("derive", converted, tmp_path / "plain.h5")
    assert (
        result.stderr == f"Error: {tmp_path / 'plain.h5'} already exists. Use --replace to write it again.\n"
    )
    pku = tmp_path / "pku.h5"
    convert(datasets.get("pku2"), write_pku(tmp_path / "raw"), pku, keep_raw=True)
    result = run("derive", pku, tmp_path / "d.h5", "--prep", "cmd")
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: chain.split_names was 'comma' and cannot be changed to 'comma-space' without the raw files. "
        "Convert again, or keep it: --set chain.split_names=comma\n",
    )
    with h5py.File(pku, "r+") as file:
        del file["raw/id"]
        seal(file)
    result = run("derive", pku, tmp_path / "d.h5")
    assert (result.exit_code, result.stderr) == (
        2,
        f"Error: {pku} holds recordings without tracking ids: an older skeltools kept them. Convert the source "
        "again with --keep-raw.\n",
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pku.h5", "plain.h5", "raw"]


def test_derive_says_which_clips_have_no_recording(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    write_ntu(folder, "S001C001P001R001A001", 1, frames=30)
    (folder / "S001C001P001R002A001.skeleton").write_bytes(ntu_bytes([np.zeros((20, 25, 3))]))
    convert(datasets.get("ntu60"), folder, tmp_path / "o.h5", keep_raw=True)
    result = run("derive", tmp_path / "o.h5", tmp_path / "d.h5", "--prep", "cmd")
    assert result.exit_code == 0, result.output
    assert (
        f"The preparation of {tmp_path / 'o.h5'} left out 1 clip and kept no recording of what it left out; so that is "
        "left out here too."
    ) in result.stderr
    with ClipFile(tmp_path / "d.h5") as file:
        assert [name for name, _ in file.excluded] == ["S001C001P001R002A001"]


def test_every_file_holds_the_usual_subsets(converted: Path) -> None:
    with ClipFile(converted) as file:
        assert file.subsets == [
            (split, percent, seed)
            for split in ("xsub", "xview")
            for percent in ("1", "10")
            for seed in range(5)
        ]
        train = file.rows("xsub", "train")
        rows = file.subset("xsub", "10", 3)
        for label in np.unique(file.labels[train]):
            own = [row for row in train if file.labels[row] == label]
            own.sort(key=lambda row: hashlib.sha256(f"3:{file.names[row]}".encode()).digest())
            count = max(1, int(0.1 * len(own) + 0.5))
            assert set(own[:count]) == {row for row in rows if file.labels[row] == label}


def test_subset_draws_further_ones(copy: Path) -> None:
    before = copy.read_bytes()
    result = run("subset", copy, "--percent", "50", "--percent", "0.5", "--seed", "7")
    assert result.exit_code == 0, result.output
    found = json.loads(run("subset", copy, "--json").stdout)
    assert len(found) == 24
    assert {(entry["percent"], entry["seed"]) for entry in found} >= {("50", 7), ("0.5", 7), ("10", 4)}
    assert all(entry["classes"] == 6 for entry in found if entry["split"] == "xsub")
    assert run("verify", copy).exit_code == 0
    assert len(copy.read_bytes()) >= len(before)
    result = run("subset", copy, "--percent", "all")
    assert result.exit_code == 2
    assert "not 'all'" in result.stderr
    assert [path.name for path in copy.parent.iterdir()] == ["c.h5"]


@pytest.mark.parametrize(
    ("threshold", "said"),
    [
        ("nan", "nan is not a finite number."),
        ("inf", "inf is not in the range"),
        ("1e300", "1e+300 is not in"),
    ],
)
def test_a_threshold_that_is_no_finite_number_of_metres_is_refused(
    converted: Path, threshold: str, said: str
) -> None:
    result = run("verify", converted, "--near-duplicates", "--threshold", threshold)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"Invalid value for '--threshold': {said}" in result.stderr


@pytest.mark.parametrize("threshold", ["0", "1000"])
def test_the_extreme_thresholds_find_no_pair_and_every_clip(converted: Path, threshold: str) -> None:
    result = run("verify", converted, "--near-duplicates", "--threshold", threshold, "--json")
    assert result.exit_code == 0, result.output
    pairs = json.loads(result.stdout)["near_duplicates"]
    assert bool(pairs["xsub"]) == (threshold != "0")
