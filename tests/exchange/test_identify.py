"""``skeltools identify`` names each place where the field's projects differ, on data made that way."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from clipfiles import altered
from forms import SKELETON
from rawfiles import body_of, ntu_bytes, pku_bytes, write_ntu

from skeltools.cli.main import main
from skeltools.convert.pipeline import convert
from skeltools.datasets import registry as datasets
from skeltools.exchange.identify import _theirs
from skeltools.preparation.chain import choose
from skeltools.store import ClipFile


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def ntu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips with a gap, with a third body that moves most, alone, long, and all zero."""
    folder = tmp_path_factory.mktemp("identify") / "raw"
    for number, name in enumerate(("S001C001P001R001A010", "S002C002P003R001A011", "S001C003P046R001A012")):
        write_ntu(folder, name, number, frames=40 + number)
    write_ntu(folder, "S002C003P046R001A013", 7, frames=310)
    gap = body_of(77, 60)
    gap[20:30] = np.nan
    third = 3 * body_of(79, 60)
    (folder / "S002C001P001R001A050.skeleton").write_bytes(ntu_bytes([gap, body_of(78, 60), third]))
    alone = body_of(76, 90)
    alone[30:36] = np.nan
    (folder / "S002C001P001R002A043.skeleton").write_bytes(ntu_bytes([alone]))
    (folder / "S002C001P001R002A044.skeleton").write_bytes(ntu_bytes([np.zeros((20, 25, 3))]))
    return folder


@pytest.fixture(scope="module")
def pku(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos with an action of more than 300 frames and one of zeros, and split files with CRLF."""
    folder = tmp_path_factory.mktemp("identify-pku") / "raw"
    for kind in ("skeleton", "label", "split"):
        (folder / kind).mkdir(parents=True)
    for number, video in enumerate(("A01N02-L", "A01N03-L", "A01N04-L")):
        both = np.zeros((460, 2, 25, 3))
        both[:400, 0] = body_of(number, 400)
        (folder / "skeleton" / f"{video}.txt").write_bytes(pku_bytes(both))
        labels = b"9,2,30,2\n33,31,360,2\n" + (b"20,410,450,2\n" if number == 1 else b"")
        (folder / "label" / f"{video}.txt").write_bytes(labels)
    text = b"Training videos:\r\nA01N02-L, A01N04-L\r\nValidation videos:\r\nA01N03-L\r\n"
    for name in ("cross_subject_v2.txt", "cross_view_v2.txt"):
        (folder / "split" / name).write_bytes(text)
    return folder


def found(dataset: str, arrays: Path, raw: Path, clips: int = 4) -> dict[str, dict[str, list[object]]]:
    result = run("identify", dataset, arrays, raw, "--json", "--clips", clips)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)  # type: ignore[no-any-return]


PKU = [("1", "range", "start..end"), ("2", "cut", "first"), ("3", "zeros", "keep"), ("3", "zeros", "exclude"),
       ("4", "split_names", "comma-space"), ("4", "split_names", "comma")]  # fmt: skip
NTU = [
    ("5", "bodies", "spread"), ("5", "bodies", "tracked"), ("6", "gaps", "close"), ("7", "absent", "copy"),
    ("8", "splits", "camera"), ("9", "centre", "person"), ("9", "centre", "first"), ("9", "centre", "none"),
    ("10", "rotation", "axes"), ("10", "rotation", "none"), ("11", "length", "last"), ("12", "frames", "50"),
    ("12", "resize", "sample"), ("12", "span", "0.95"), ("14", "dtype", "float16"),
]  # fmt: skip

FEW = ("bodies", "gaps", "absent", "length")
"""What only some clips tell: each clip that is tried costs a third of a second."""


ONCE = {number: (number, key, value) for number, key, value in reversed([*PKU, *NTU])}
for _slow in ("2", "3", "6", "7", "11"):
    del ONCE[_slow]
"""The first value of most differences; the others are among the slow tests."""


@pytest.mark.parametrize(
    ("number", "key", "value"),
    [case if case in ONCE.values() else pytest.param(*case, marks=pytest.mark.slow) for case in (*PKU, *NTU)],
)
def test_each_difference_is_named(
    ntu: Path, pku: Path, tmp_path: Path, number: str, key: str, value: str
) -> None:
    of_pku = (number, key, value) in PKU
    dataset, raw = ("pku2", pku) if of_pku else ("ntu120" if key == "splits" else "ntu60", ntu)
    out = tmp_path / "o.h5"
    convert(
        datasets.get(dataset), raw, out, prep=choose(overrides=[f"chain.{key}={value}"]), skip_damaged=of_pku
    )
    verdict = found(dataset, out, raw, 4 if key in FEW else 2)
    told = verdict["others"] | verdict["values"] | {name: [verdict[name]] for name in ("frames", "dtype")}
    assert list(map(str, told[key])) == [value]
    for other, fixed in {
        "length": "first-body",
        "bodies": "first",
        "centre": "frame",
        "cut": "middle",
    }.items():
        assert other == key or fixed in told[other]


@pytest.mark.parametrize("where", ["clip", pytest.param("source", marks=pytest.mark.slow)])
def test_motion_clips_are_known_and_where_they_were_taken(ntu: Path, tmp_path: Path, where: str) -> None:
    convert(datasets.get("ntu60"), ntu, tmp_path / "o.h5", prep=choose(overrides=["chain.motion=source"]))
    folder = tmp_path / "theirs" / "xsub"
    folder.mkdir(parents=True)
    import h5py

    with ClipFile(tmp_path / "o.h5") as file, h5py.File(tmp_path / "o.h5") as plain:
        clips = file.clips()
        motion = np.zeros_like(clips)
        motion[:, :, :-1] = clips[:, :, 1:] - clips[:, :, :-1]
        for part, side in (("train", "train"), ("test", "val")):
            rows = file.rows("xsub", part)
            taken = motion[rows] if where == "clip" else plain["motion"][:][rows]
            np.save(folder / f"{side}_position.npy", taken)
            labels = ([file.names[row] for row in rows], file.labels[rows].tolist())
            (folder / f"{side}_label.pkl").write_bytes(pickle.dumps(labels))
    verdict = found("ntu60", tmp_path / "theirs", ntu, 1)
    assert (verdict["stream"], verdict["values"]["motion"]) == ("motion", [where])


def test_bones_are_known(ntu: Path, tmp_path: Path) -> None:
    import torch

    from skeltools.transforms.streams import to_stream

    convert(datasets.get("ntu60"), ntu, tmp_path / "o.h5")
    with altered(tmp_path / "o.h5") as file:
        file["clips"][:] = to_stream(torch.from_numpy(file["clips"][:]), "bone", SKELETON).numpy()
    assert found("ntu60", tmp_path / "o.h5", ntu, 1)["stream"] == "bone"


def test_rounded_clips_stored_as_float32_are_known(ntu: Path, tmp_path: Path) -> None:

    convert(datasets.get("ntu60"), ntu, tmp_path / "o.h5", prep=choose(overrides=["chain.centre=none"]))
    with altered(tmp_path / "o.h5") as file:
        file["clips"][:] = file["clips"][:].astype(np.float16)
    assert found("ntu60", tmp_path / "o.h5", ntu, 1)["dtype"] == "float16"


def test_sides_of_no_known_rule_are_told(ntu: Path, tmp_path: Path) -> None:

    convert(datasets.get("ntu60"), ntu, tmp_path / "o.h5")
    with altered(tmp_path / "o.h5") as file:
        train, test = file["splits/xsub/train"][:], file["splits/xsub/test"][:]
        del file["splits/xsub/train"], file["splits/xsub/test"]
        file["splits/xsub/train"], file["splits/xsub/test"] = test, train
    result = run("identify", "ntu60", tmp_path / "o.h5", ntu, "--clips", 2)
    assert result.exit_code == 0
    assert "  splits: neither official nor camera   <- differs from the reference" in result.stdout


def test_asking_whether_a_clip_is_there_reads_none(
    ntu: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(datasets.get("ntu60"), ntu, tmp_path / "o.h5")
    theirs = _theirs(tmp_path / "o.h5", datasets.get("ntu60"), None, []).clips
    monkeypatch.setattr(ClipFile, "clips", None)
    assert "S001C001P001R001A010" in theirs
    assert "S001C001P001R001A011" not in theirs


def test_recordings_that_were_never_prepared_are_told(ntu: Path, tmp_path: Path) -> None:
    annotations = [
        {"frame_dir": name, "label": 9, "keypoint": np.ones((1, frames, 25, 3), np.float16)}
        for name, frames in (("S001C001P001R001A010", 40), ("S002C002P003R001A011", 41))
    ]
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"split": {}, "annotations": annotations}))
    result = run("identify", "ntu60", tmp_path / "x.pkl", ntu)
    assert result.exit_code == 2
    assert "have 40 to 41 frames. These are recordings: no preparation" in result.stderr.replace("\n", " ")
    assert "--prep" not in result.stderr


@pytest.mark.parametrize(
    "prep", ["skeattnclr", "aimclr", pytest.param("ctrgcn", marks=pytest.mark.slow), "cmd"]
)
@pytest.mark.parametrize("dataset", ["ntu60", pytest.param("ntu120", marks=pytest.mark.slow)])
def test_preparations_are_named_as_fed_and_as_their_scripts_store_them(
    ntu: Path, tmp_path: Path, prep: str, dataset: str
) -> None:
    clips = {"ctrgcn": 120, "cmd": 64}.get(prep)
    made = choose(prep, dataset=dataset, options={"chain.frames": clips})
    convert(datasets.get(dataset), ntu, tmp_path / "fed.h5", prep=made)
    verdict = found(dataset, tmp_path / "fed.h5", ntu)
    assert (verdict["preparations"], verdict["stored"]) == ([prep], [])
    if prep in ("ctrgcn", "cmd"):
        whole = {"chain.frames": 300, "chain.length": "padded", "chain.span": 1.0}
        made = choose(prep, dataset=dataset, options=whole)
        convert(datasets.get(dataset), ntu, tmp_path / "stored.h5", prep=made)
        result = run("identify", dataset, tmp_path / "stored.h5", ntu, "--clips", 4)
        assert result.exit_code == 0, result.output
        line = (
            f"That is --prep {prep} ({made.title}) before its frames are cropped and resized, as its scripts "
        )
        line += "store it."
        assert [said for said in result.stdout.splitlines() if said.startswith("That is")] == [line]
