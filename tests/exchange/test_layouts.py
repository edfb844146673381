"""Layouts of other projects, both ways: their own arrays, round trips, what is lost, and what identify and diff say."""
# ruff: noqa: E501 (messages stand in one line each)

from __future__ import annotations

import json
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from rawfiles import body_of, ntu_bytes, write_ntu
from slowchains import Frame, slow_cmd_stored, slow_ctrgcn_stored

from skeltools.cli.main import main
from skeltools.convert.pipeline import convert
from skeltools.datasets import registry as datasets
from skeltools.exchange.arrays import LAYOUTS, export, read_arrays
from skeltools.files import arrays as npz_files
from skeltools.files import pickles
from skeltools.formats import ntu
from skeltools.preparation.chain import choose
from skeltools.skeletons import load
from skeltools.store import ClipFile
from skeltools.store.writer import seal
from skeltools.transforms.streams import to_stream

SETS = {"span": 0.95, "centre": "none", "rotation": "none"}


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def words(**sets: object) -> list[str]:
    return [word for key, value in sets.items() for word in ("--set", f"chain.{key}={value}")]


def notes(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [
        line.removeprefix("  note: ") for line in result.stdout.splitlines() if line.startswith("  note: ")
    ]


@pytest.fixture(scope="module")
def peers(shared: Path) -> Path:
    return shared / "reference" / "peers" / "layouts"


@pytest.fixture(scope="module")
def expected(peers: Path) -> dict[str, NDArray[Any]]:
    with np.load(peers / "expected.npz") as found:
        return dict(found)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of performers, cameras and set-ups of both sides: one body, two, three, gaps, and 299 frames."""
    folder = tmp_path_factory.mktemp("layouts") / "raw"
    for number in range(9):
        name = f"S00{1 + number % 2}C00{1 + number % 3}P00{(1, 3, 2)[number % 3]}R{number + 1:03d}A0{10 + number}"
        write_ntu(folder, name, number, frames=40 + number)
    gap = body_of(77, 60)
    gap[20:30] = np.nan
    late = body_of(78, 60)
    late[:7] = np.nan
    (folder / "S002C002P001R001A050.skeleton").write_bytes(ntu_bytes([gap, late]))
    (folder / "S002C003P003R001A051.skeleton").write_bytes(ntu_bytes([body_of(80, 299)]))
    (folder / "S002C001P001R001A052.skeleton").write_bytes(
        ntu_bytes([body_of(81, 50), body_of(82, 50), 0.2 * body_of(83, 50)])
    )
    return folder


@pytest.fixture(scope="module")
def converted(raw: Path) -> Path:
    convert(datasets.get("ntu60"), raw, raw.parent / "o.h5", prep=choose(overrides=["chain.frames=20"]))
    return raw.parent / "o.h5"


def content(path: Path, *splits: str) -> dict[str, object]:
    with ClipFile(path) as file:
        return {
            "names": file.names,
            "labels": file.labels.tolist(),
            "clips": file.clips().tobytes(),
            **{
                f"{split}/{part}": file.rows(split, part).tolist()
                for split in splits
                for part in ("train", "test")
            },
        }


# --- What peers' own readers make of their own files


def test_ctrgcn_with_a_gap_is_fed_as_its_reader_feeds_it(
    peers: Path, expected: dict[str, NDArray[Any]], tmp_path: Path
) -> None:
    """chain.length=any-body is CTR-GCN's count of frames that are not zero, which cuts the tail after a gap."""
    (tmp_path / "names.txt").write_text("\n".join(expected["names"]))
    more = ["--labels", tmp_path / "names.txt", "--prep", "aimclr", "--frames", 24]
    sets = words(length="any-body", frames=24, **SETS)
    result = run("import", "ntu60", peers / "NTU60_CS.npz", tmp_path / "o.h5", *more[:4], *sets)
    assert notes(result) == []
    with ClipFile(tmp_path / "o.h5") as file:
        for number in range(3):
            assert np.abs(file.clips([number])[0] - expected[f"ctrgcn/{number}/center95"]).max() < 5e-6
            assert file.column("length")[number] == expected[f"ctrgcn/{number}/valid_frames"]
        assert np.asarray(file.column("frames")).tolist() == expected["lengths"].tolist()


def test_agcn_is_read_as_it_stands_and_as_its_reader_feeds_it(
    peers: Path, expected: dict[str, NDArray[Any]], tmp_path: Path
) -> None:
    home = tmp_path / "xsub"
    home.mkdir()
    for name in ("train_data_joint.npy", "train_label.pkl", "train_num_frame.npy"):
        (home / name).write_bytes((peers / name).read_bytes())
    np.save(home / "val_data_joint.npy", np.zeros((0, 3, 40, 25, 2), np.float32))
    np.save(home / "val_num_frame.npy", np.zeros(0, np.int64))
    (home / "val_label.pkl").write_bytes(pickle.dumps(([], [])))
    for source in (tmp_path, home):
        assert notes(run("import", "ntu60", source, tmp_path / "o.h5", "--replace")) == []
        with ClipFile(tmp_path / "o.h5") as file:
            assert file.names == expected["names"].tolist()
            assert file.labels.tolist() == expected["labels"].tolist()
            assert np.asarray(file.column("frames")).tolist() == expected["lengths"].tolist()
            np.testing.assert_array_equal(file.clips(), np.load(peers / "train_data_joint.npy"))
            assert file.rows("xsub", "train").tolist() == [0, 1, 2]
    sets = words(length="last", frames=16, **SETS)
    assert notes(run("import", "ntu60", home, tmp_path / "p.h5", "--prep", "aimclr", *sets)) == []
    with ClipFile(tmp_path / "p.h5") as file:
        for number in range(3):
            np.testing.assert_allclose(file.clips([number])[0], expected[f"agcn/{number}/graph"], atol=1e-6)


def test_keypoints_in_pixels_are_those_of_pysklreader(
    peers: Path, expected: dict[str, NDArray[Any]], tmp_path: Path
) -> None:
    content = pickles.load(peers / "ntu60_hrnet.pkl")
    for number, item in enumerate(content["annotations"]):
        path = tmp_path / f"{number}.pkl"
        path.write_bytes(pickle.dumps({"split": {}, "annotations": [item]}))
        told = notes(run("import", "ntu60", path, tmp_path / f"{number}.h5"))
        assert told[0].startswith(
            "keypoints in pixels of 1 clip: x and y from -1 to 1 across the image, y down, z = 0; "
        )
        with ClipFile(tmp_path / f"{number}.h5") as file:
            assert (file.form.skeleton, file.form.dimensions) == (load("coco17"), 2)
            clip = torch.from_numpy(file.clips())
        for stream, key in (("joint", "j"), ("bone", "b"), ("motion", "jm")):
            made = to_stream(clip, stream, load("coco17")).numpy()[0, :2]  # (2, T, V, M)
            taken = made[:, expected[f"pyskl/{number}/frame_inds"]].transpose(3, 1, 2, 0)
            wanted = expected[f"pyskl/{number}/{key}"][0][..., :2]
            np.testing.assert_array_equal(taken, wanted)


def test_keypoints_in_pixels_of_several_lengths_are_prepared(peers: Path, tmp_path: Path) -> None:
    source = peers / "ntu60_hrnet.pkl"
    result = run(
        "import", "ntu60", source, tmp_path / "o.h5", "--prep", "keypoints2d", "--set", "chain.frames=16"
    )
    assert notes(result) == [
        "keypoints in pixels of 3 clips: y up, prepared as 2-D key points; those of a score below 0.1 are absent, scores are not kept."
    ]
    with ClipFile(tmp_path / "o.h5") as file:
        assert file.clips().shape == (3, 3, 16, 17, 2)
        assert not file.clips()[:, 2].any()
        assert (file.attrs["chain.centre_joint"], file.form.dimensions) == (-1, 2)
        assert file.splits == ("xsub", "xview")
        made = file.clips()
    content = pickles.load(source)
    for item in content["annotations"]:  # another place and size in the image
        item["keypoint"] = item["keypoint"].astype(np.float64) / 2 + 100
    (tmp_path / "moved.pkl").write_bytes(pickle.dumps(content))
    words = ("--prep", "keypoints2d", "--set", "chain.frames=16")
    assert run("import", "ntu60", tmp_path / "moved.pkl", tmp_path / "m.h5", *words).exit_code == 0
    with ClipFile(tmp_path / "m.h5") as file:
        np.testing.assert_allclose(file.clips(), made, atol=1e-3)
    for words, message in (
        (("--unit", "mm"), "--unit is for metres; the keypoints of"),
        (
            ("--prep", "aimclr"),
            "2-D key points need chain.scale=torso. Take --prep keypoints2d, which has it.",
        ),
    ):
        result = run("import", "ntu60", source, tmp_path / "p.h5", *words)
        assert result.exit_code == 2
        assert message in result.stderr


def pixels(**changes: Any) -> dict[str, Any]:
    item = {
        "frame_dir": "S001C001P001R001A001", "label": 0, "img_shape": (100, 200), "total_frames": 4,
        "keypoint": np.full((1, 4, 17, 2), 30, np.float16), "keypoint_score": np.ones((1, 4, 17), np.float16),
    } | changes  # fmt: skip
    return {"split": {}, "annotations": [{key: value for key, value in item.items() if value is not None}]}


SIGNALLING = np.full((1, 4, 17), 0x7FF4000000000000, "u8").view("f8")
"""NaN, of which NumPy warns where it casts it."""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"img_shape": None}, "img_shape is missing or is not (height, width) in pixels."),
        ({"img_shape": (0, 5)}, "img_shape is missing or is not (height, width) in pixels."),
        ({"img_shape": 5}, "img_shape is missing or is not (height, width) in pixels."),
        ({"keypoint": np.zeros((1, 4, 18, 2))}, "keypoint has shape (1, 4, 18, 2); expected (M, T, 17, 2)."),
        ({"keypoint_score": np.ones((1, 4, 16))}, "keypoint_score is not an array of numbers (1, 4, 17)."),
        ({"keypoint_score": np.full((1, 4, 17), np.nan)}, "keypoint_score holds NaN or an infinite number."),
        ({"keypoint_score": SIGNALLING}, "keypoint_score holds NaN or an infinite number."),
        ({"keypoint_score": [1]}, "keypoint_score is not an array of numbers (1, 4, 17)."),
        ({"keypoint": np.full((1, 4, 17, 2), np.nan)}, "x of joint 0 of body 0 in frame 0, counted from 0, is NaN (and 135 numbers more); expected finite numbers."),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_pixels_that_do_not_fit(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "p.pkl").write_bytes(pickle.dumps(pixels(**changes)))
    result = run("import", "ntu60", tmp_path / "p.pkl", tmp_path / "o.h5")
    assert result.exit_code == 2, result.output
    assert result.stderr.splitlines()[-1].endswith(f"S001C001P001R001A001: {message}")
    assert not (tmp_path / "o.h5").exists()


# --- Out and back


SPLITS = ("xsub", "xview")


def test_ctrgcn_and_back(converted: Path, tmp_path: Path) -> None:
    out = tmp_path / "theirs"
    told = notes(run("export", converted, out, "--to", "ctrgcn"))
    assert told == [
        "it has no place for frames of the recordings, class names, how the clips were prepared; keep o.h5 for these.",
        "its rows have no names: skes_available_name.txt beside it gives them back (import --labels skes_available_name.txt).",
        "CTR-GCN's own arrays are not resized but padded to 300 frames: for these, prepare with --prep ctrgcn --set chain.length=padded --set chain.span=1.0 --frames 300.",
    ]
    assert sorted(path.name for path in out.iterdir()) == [
        "NTU60_CS.npz",
        "NTU60_CV.npz",
        "skes_available_name.txt",
    ]
    for split, name in zip(SPLITS, ("NTU60_CS", "NTU60_CV"), strict=True):
        labels = out / "skes_available_name.txt"
        assert (
            notes(run("import", "ntu60", out / f"{name}.npz", tmp_path / f"{split}.h5", "--labels", labels))
            == []
        )
        assert content(tmp_path / f"{split}.h5", split) == content(converted, split)
        with ClipFile(tmp_path / f"{split}.h5") as file:
            assert file.splits == (split,)
    with np.load(out / "NTU60_CV.npz", allow_pickle=False) as found, ClipFile(converted) as file:
        assert {key: found[key].dtype.str for key in found} == {
            "x_train": "<f4", "y_train": "<f8", "x_test": "<f4", "y_test": "<f8"
        }  # fmt: skip
        assert found["y_train"].shape[1] == 60
        order = sorted(
            (file.names[row] for row in file.rows("xview", "train")), key=lambda name: (name[5:8], name)
        )
        clip = file.clips([file.names.index(order[0])])[0]  # camera 2 comes first
        np.testing.assert_array_equal(found["x_train"][0].reshape(20, 2, 25, 3), clip.transpose(1, 3, 2, 0))
    assert run("export", converted, out, "--to", "ctrgcn").exit_code == 2
    assert run("export", converted, out, "--to", "ctrgcn", "--replace").exit_code == 0
    (out / "mine.npz").write_bytes(b"")
    assert run("export", converted, out, "--to", "ctrgcn", "--replace").exit_code == 2
    assert (out / "mine.npz").exists()


def test_ctrgcn_of_splits_that_no_rule_gives_has_no_names(converted: Path, tmp_path: Path) -> None:
    data = tmp_path / "o.h5"
    run("export", converted, tmp_path / "o.npz", "--to", "npz")
    with np.load(tmp_path / "o.npz") as found:
        swapped = dict(found) | {"xsub_train": found["xsub_test"], "xsub_test": found["xsub_train"]}
    np.savez(tmp_path / "o.npz", **swapped)
    assert run("import", "ntu60", tmp_path / "o.npz", data).exit_code == 0
    told = notes(run("export", data, tmp_path / "theirs", "--to", "ctrgcn"))
    assert (
        told[0]
        == "it has no place for frames of the recordings, class names, names, how the clips were prepared; keep o.h5 for these."
    )
    assert not (tmp_path / "theirs" / "skes_available_name.txt").exists()


def test_agcn_and_back(converted: Path, tmp_path: Path) -> None:
    out = tmp_path / "theirs"
    told = notes(run("export", converted, out, "--to", "agcn"))
    assert told == [
        "it has no place for frames of the recordings (these clips are resized: num_frame is T), class names, how the clips were prepared; keep o.h5 for these.",
        "2s-AGCN's own arrays are not resized but padded to 300 frames: for these, prepare with --prep cmd --set chain.length=padded --set chain.span=1.0 --frames 300.",
    ]
    counts = np.load(out / "xview" / "val_num_frame.npy")
    assert (counts.dtype, set(counts.tolist())) == (np.int64, {20})
    assert notes(run("import", "ntu60", out, tmp_path / "back.h5")) == []
    assert content(tmp_path / "back.h5", *SPLITS) == content(converted, *SPLITS)
    for path in out.rglob("*_num_frame.npy"):
        path.unlink()
    (out / "xview").rename(out / "xsetup")
    assert notes(run("import", "ntu60", out, tmp_path / "without.h5")) == [
        "12 clips without _num_frame.npy: all frames were taken as the recording's, padding included."
    ]
    with ClipFile(tmp_path / "without.h5") as file:
        assert file.splits == ("xsub", "xset")
    result = run("import", "ntu60", out / "xsetup", tmp_path / "one.h5")
    assert (
        notes(result)[1]
        == "the name of the folder xsetup tells no split: its clips were taken as those of xsub."
    )


def test_agcn_of_its_own_preparation_keeps_the_frames_of_the_recordings(raw: Path, tmp_path: Path) -> None:
    stored = choose("cmd", overrides=["chain.length=padded", "chain.span=1.0", "chain.frames=300"])
    convert(datasets.get("ntu60"), raw, tmp_path / "o.h5", prep=stored, prep_name="cmd")
    assert len(notes(run("export", tmp_path / "o.h5", tmp_path / "theirs", "--to", "agcn"))) == 1
    assert notes(run("import", "ntu60", tmp_path / "theirs", tmp_path / "back.h5")) == []
    with ClipFile(tmp_path / "o.h5") as file, ClipFile(tmp_path / "back.h5") as back:
        np.testing.assert_array_equal(back.column("frames"), file.column("frames"))
    convert(datasets.get("ntu60"), raw, tmp_path / "fed.h5", prep=choose("cmd"), prep_name="cmd")
    fed = words(bodies="first", pad="zeros", centre="none", rotation="none", length="last")
    assert (
        notes(run("import", "ntu60", tmp_path / "theirs", tmp_path / "mine.h5", "--prep", "cmd", *fed)) == []
    )
    with ClipFile(tmp_path / "fed.h5") as file, ClipFile(tmp_path / "mine.h5") as back:
        np.testing.assert_allclose(back.clips(), file.clips(), atol=1e-6)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (np.ones(2, np.int64), "its shape is (2,), its type int64; expected 8 whole numbers."),
        (np.ones(8), "its shape is (8,), its type float64; expected 8 whole numbers."),
        (np.arange(8), "row 0 is 0; expected frames of a recording."),
        (np.full(8, 21), "S001C002P003R005A014 has 21 frames here, 20 elsewhere."),
    ],
)
def test_numbers_of_frames_that_do_not_fit(
    converted: Path, tmp_path: Path, counts: NDArray[Any], message: str
) -> None:
    run("export", converted, tmp_path / "theirs", "--to", "agcn")
    path = tmp_path / "theirs" / "xview" / "train_num_frame.npy"
    assert len(np.load(path)) == 8
    np.save(path, counts)
    result = run("import", "ntu60", tmp_path / "theirs", tmp_path / "o.h5")
    assert result.exit_code == 2, result.output
    assert result.stderr.splitlines()[-1] == f"Error: {path}: {message}"


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_npz_and_back(raw: Path, tmp_path: Path, dtype: str) -> None:
    prep = choose(overrides=["chain.frames=20", f"chain.dtype={dtype}"])
    convert(datasets.get("ntu60"), raw, tmp_path / "o.h5", prep=prep)
    assert notes(run("export", tmp_path / "o.h5", tmp_path / "o.npz", "--to", "npz")) == [
        "it has no place for frames of the recordings, how the clips were prepared; keep o.h5 for these."
    ]
    assert run("import", "ntu60", tmp_path / "o.npz", tmp_path / "back.h5").exit_code == 0
    with ClipFile(tmp_path / "o.h5") as file, ClipFile(tmp_path / "back.h5") as back:
        assert back.digest == file.digest
        assert back.attrs["chain.dtype"] == dtype
    before = (tmp_path / "o.npz").read_bytes()
    run("export", tmp_path / "o.h5", tmp_path / "o.npz", "--to", "npz", "--replace")
    assert (tmp_path / "o.npz").read_bytes() == before


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_another_dataset_comes_back_from_every_layout(layout: str, tmp_path: Path) -> None:
    """NW-UCLA: 20 joints, one body, and a split that leaves clips out."""
    rng = np.random.default_rng(0)
    (tmp_path / "raw").mkdir()
    for number in range(12):
        name = f"a0{1 + number % 3}_s0{1 + number // 6}_e0{number % 2}_v0{1 + number % 3}"
        points = rng.normal(0, 0.3, (20 + number, 20, 3)).tolist()
        entry = {"file_name": name, "skeletons": points, "label": 1 + number % 3}
        (tmp_path / "raw" / f"{name}.json").write_text(json.dumps(entry))
    made = ("--dtype", "float16", "--frames", 16)  # which pyskl's layout holds to the last bit
    assert run("convert", "nwucla", tmp_path / "raw", tmp_path / "o.h5", *made).exit_code == 0
    told = notes(run("export", tmp_path / "o.h5", tmp_path / "theirs", "--to", layout))
    assert told[0].endswith("how the clips were prepared; keep o.h5 for these.")
    if layout != "ctrgcn":
        result = run("import", "nwucla", tmp_path / "theirs", tmp_path / "back.h5")
        assert result.exit_code == 0, result.output
        assert content(tmp_path / "back.h5", "xview", "xview-dev") == content(
            tmp_path / "o.h5", "xview", "xview-dev"
        )
        return
    for split in ("xview", "xview-dev"):
        path, labels = (
            tmp_path / "theirs" / f"NWUCLA_{split}.npz",
            tmp_path / "theirs" / "skes_available_name.txt",
        )
        result = run("import", "nwucla", path, tmp_path / f"{split}.h5", "--labels", labels)
        assert result.exit_code == 0, result.output
        with ClipFile(tmp_path / "o.h5") as file, ClipFile(tmp_path / f"{split}.h5") as back:
            there = sorted(row for part in ("train", "test") for row in file.rows(split, part).tolist())
            assert back.names == [file.names[row] for row in there]
            np.testing.assert_array_equal(back.clips(), file.clips(there))
            for part in ("train", "test"):
                names = [[one.names[row] for row in one.rows(split, part).tolist()] for one in (file, back)]
                assert names[0] == names[1]


@pytest.mark.parametrize("layout", ["aimclr", "agcn", "npz"])
def test_clips_on_another_skeleton_come_back_when_it_is_named(
    converted: Path, tmp_path: Path, layout: str
) -> None:
    path = tmp_path / "to17.toml"
    target = load("h36m17")
    joints = {name: name for name in target.joints if name in load("kinect2").joints}
    joints |= {"pelvis": "spine base", "spine": "spine mid", "thorax": "spine shoulder"}
    rows = "\n".join(f'"{one}" = "{other}"' for one, other in joints.items())
    path.write_text(f'from = "kinect2"\nto = "h36m17"\n[joints]\n{rows}\n')
    assert run("derive", converted, tmp_path / "o.h5", "--map", path, "--bodies", 3).exit_code == 0
    assert run("export", tmp_path / "o.h5", tmp_path / "theirs", "--to", layout).exit_code == 0
    assert run("import", "ntu60", tmp_path / "theirs", tmp_path / "back.h5").exit_code == 2
    named = ("--skeleton", "h36m17", "--bodies", 3)
    result = run("import", "ntu60", tmp_path / "theirs", tmp_path / "back.h5", *named)
    assert result.exit_code == 0, result.output
    assert content(tmp_path / "back.h5", *SPLITS) == content(tmp_path / "o.h5", *SPLITS)
    with ClipFile(tmp_path / "back.h5") as file:
        assert (file.form.skeleton, file.form.bodies) == (target, 3)
    assert run("diff", tmp_path / "o.h5", tmp_path / "theirs").exit_code == 0


def test_a_folder_of_two_layouts_is_refused(converted: Path, tmp_path: Path) -> None:
    run("export", converted, tmp_path / "theirs", "--to", "agcn")
    run("export", converted, tmp_path / "more", "--to", "aimclr")
    (tmp_path / "more" / "xview").rename(tmp_path / "theirs" / "other")
    result = run("import", "ntu60", tmp_path / "theirs", tmp_path / "o.h5")
    assert result.stderr == (
        f"Error: {tmp_path / 'theirs'} holds both train_position.npy and train_data_joint.npy. Put them into folders of "
        "their own.\n"
    )


def test_what_pyskl_has_no_place_for(converted: Path, tmp_path: Path) -> None:
    told = notes(run("export", converted, tmp_path / "p.pkl", "--to", "pyskl"))
    assert (
        told[0]
        == "it has no place for frames of the recordings, class names, how the clips were prepared; keep o.h5 for these."
    )
    assert told[1].startswith("coordinates are rounded to float16: up to 0.00")
    data = (tmp_path / "p.pkl").read_bytes()
    assert b"numpy._core" not in data
    ours, plain = pickles.load(tmp_path / "p.pkl"), pickle.loads(data)
    assert [item["frame_dir"] for item in ours["annotations"]] == [
        item["frame_dir"] for item in plain["annotations"]
    ]
    for one, other in zip(ours["annotations"], plain["annotations"], strict=True):
        np.testing.assert_array_equal(one["keypoint"], other["keypoint"])


def test_further_columns_excluded_clips_and_recordings_are_named(raw: Path, tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    write_ntu(folder, "S001C001P001R001A001", 1, frames=30)
    (folder / "S001C001P001R002A001.skeleton").write_bytes(ntu_bytes([np.zeros((20, 25, 3))]))
    prep = choose(overrides=["chain.motion=source"])
    convert(datasets.get("ntu60"), folder, tmp_path / "o.h5", prep=prep, keep_raw=True)
    with h5py.File(tmp_path / "o.h5", "r+") as file:
        file["label_2"] = np.zeros(1, np.int64)
        seal(file)
    assert notes(run("export", tmp_path / "o.h5", tmp_path / "theirs", "--to", "aimclr")) == [
        "it has no place for frames of the recordings, class names, how the clips were prepared, the clips left out, the motion stream, the recordings, the column label_2; keep o.h5 for these."
    ]


@pytest.mark.parametrize(
    "layout",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name not in ("npz", "pyskl")))
        for name in sorted(LAYOUTS)
    ],
)
def test_an_export_needs_no_more_memory_for_more_clips(layout: str, tmp_path: Path) -> None:
    peaks = []
    for count in (150, 600):
        names = [f"S001C001P00{1 + row % 3}R{row // 3 + 1:03d}A001" for row in range(count)]
        content = {
            "clips": np.ones((count, 3, 16, 25, 2), np.float32),
            "labels": np.zeros(count, int),
            "names": names,
        }
        sides = [[row for row in range(count) if (row % 3 == 2) == test] for test in (False, True)]
        np.savez(tmp_path / f"{count}.npz", xsub_train=sides[0], xsub_test=sides[1], **content)
        path = tmp_path / f"{count}.h5"
        assert run("import", "ntu60", tmp_path / f"{count}.npz", path).exit_code == 0
        with ClipFile(path) as file:
            export(file, layout, tmp_path / f"warm-{count}")
            tracemalloc.start()
            export(file, layout, tmp_path / f"out-{count}")
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] - peaks[0] < 450 * 16 * 25 * 6 * 4 / 10  # a tenth of what the further clips take


def test_a_streamed_list_is_a_list_and_lets_its_values_go(tmp_path: Path) -> None:
    shared = "shared text"
    content = {
        "a": shared,
        "list": pickles.Stream({"k": shared, "v": np.arange(n)} for n in range(5)),
        "b": shared,
    }
    with (tmp_path / "a.pkl").open("wb") as file:
        pickles.dump(content, file)
    for found in (pickles.load(tmp_path / "a.pkl"), pickle.loads((tmp_path / "a.pkl").read_bytes())):
        assert (found["a"], found["b"], len(found["list"])) == (shared, shared, 5)
        for number, item in enumerate(found["list"]):
            assert item["k"] == shared
            np.testing.assert_array_equal(item["v"], np.arange(number))


def test_large_arrays_of_an_archive_are_mapped_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(npz_files, "_MAPPED", 1000)
    values = np.random.default_rng(0).normal(0, 1, (40, 30)).astype(np.float32)
    np.savez(
        tmp_path / "a.npz",
        x=values,
        f=np.asfortranarray(values),
        small=values[:1],
        names=np.array(["a"] * 2000),
    )
    found = npz_files.read_arrays(tmp_path / "a.npz")
    assert [type(found[key]) is np.memmap for key in ("x", "f", "small", "names")] == [
        True,
        True,
        False,
        False,
    ]
    np.testing.assert_array_equal(found["x"], values)
    np.testing.assert_array_equal(found["f"], values)
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[600] ^= 1
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(ValueError, match="CRC"):
        npz_files.read_arrays(tmp_path / "a.npz")


# --- What identify and diff say of them


def frames_of(path: Path) -> list[Frame]:
    recording = ntu.read(path.read_bytes(), path)
    frames: list[Frame] = [[] for _ in range(recording.frames)]
    for frame, track, points in zip(recording.frame, recording.ids, recording.coords, strict=True):
        frames[frame].append((int(track), points))
    return frames


@pytest.fixture(scope="module")
def theirs(raw: Path) -> Path:
    """The arrays of CTR-GCN's and CMD's scripts by the independent slow chains, in their own layouts."""
    out = raw.parent / "theirs"
    (out / "agcn" / "xsub").mkdir(parents=True)
    files = {path.stem: path for path in raw.iterdir()}
    train = sorted(
        (name for name in files if name[8:12] in ("P001", "P002")), key=lambda name: (name[8:12], name)
    )
    test = sorted(name for name in files if name[8:12] == "P003")
    content: dict[str, NDArray[Any]] = {}
    for part, side, names in (("train", "train", train), ("test", "val", test)):
        x, joint = (
            np.zeros((len(names), 300, 150), np.float32),
            np.zeros((len(names), 3, 300, 25, 2), np.float32),
        )
        for row, name in enumerate(names):
            frames = frames_of(files[name])
            stored = slow_ctrgcn_stored(frames, "ntu60")
            assert not isinstance(stored, str), stored
            x[row, : len(stored)] = np.array(stored, np.float32).reshape(-1, 150)
            joint[row] = np.array(slow_cmd_stored(frames), np.float32).transpose(3, 0, 2, 1)
        labels = [int(name[-3:]) - 1 for name in names]
        content |= {f"x_{part}": x, f"y_{part}": np.eye(60)[labels]}
        np.save(out / "agcn" / "xsub" / f"{side}_data_joint.npy", joint)
        np.save(
            out / "agcn" / "xsub" / f"{side}_num_frame.npy", [len(frames_of(files[name])) for name in names]
        )
        (out / "agcn" / "xsub" / f"{side}_label.pkl").write_bytes(
            pickle.dumps(([f"{name}.skeleton" for name in names], labels))
        )
    np.savez(out / "NTU60_CS.npz", **content)
    return out


@pytest.mark.parametrize(("source", "prep"), [("NTU60_CS.npz", "ctrgcn"), ("agcn", "cmd")])
def test_identify_names_the_preparation_of_arrays_as_projects_pass_them_round(
    raw: Path, theirs: Path, source: str, prep: str
) -> None:
    result = run("identify", "ntu60", theirs / source, raw, "--clips", 4, "--json")
    assert result.exit_code == 0, result.output
    verdict = json.loads(result.stdout)
    assert (verdict["stored"], verdict["preparations"], verdict["frames"]) == ([prep], [], 300)
    assert verdict["error"] < 1e-5


def test_identify_asks_for_names_where_rows_have_none(raw: Path, theirs: Path, tmp_path: Path) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for path in sorted(raw.iterdir())[:3]:
        (few / path.name).write_bytes(path.read_bytes())
    result = run("identify", "ntu60", theirs / "NTU60_CS.npz", few)
    assert result.exit_code == 2
    assert "With --labels NAMES.txt, one clip name per line, they get their own." in result.stderr
    (tmp_path / "names.txt").write_text("\n".join(path.stem for path in raw.iterdir()))
    words = ("--labels", tmp_path / "names.txt", "--clips", 1, "--json")
    result = run("identify", "ntu60", theirs / "NTU60_CS.npz", few, *words)
    assert result.exit_code == 0, result.output
    assert "ctrgcn" in json.loads(result.stdout)["stored"]


@pytest.mark.parametrize(("source", "prep"), [("NTU60_CS.npz", "ctrgcn"), ("agcn", "cmd")])
def test_diff_of_a_file_and_somebodys_arrays(
    raw: Path, theirs: Path, tmp_path: Path, source: str, prep: str
) -> None:
    sets = ["chain.length=padded", "chain.span=1.0", "chain.frames=300"]
    convert(datasets.get("ntu60"), raw, tmp_path / "o.h5", prep=choose(prep, overrides=sets), prep_name=prep)
    for pair in ((tmp_path / "o.h5", theirs / source), (theirs / source, tmp_path / "o.h5")):
        result = run("diff", *pair, "--json")
        found = json.loads(result.stdout)
        assert (found["common"], found["only_a"], found["only_b"], found["labels"]) == (12, [], [], [])
        assert not any(found["sides"].values())
        assert all(gap < 1e-5 for _, gap in found["coordinates"])
    run("export", tmp_path / "o.h5", tmp_path / "mine", "--to", "agcn")
    assert run("diff", tmp_path / "o.h5", tmp_path / "mine").exit_code == 0


def test_diff_needs_a_converted_file(converted: Path, theirs: Path) -> None:
    result = run("diff", theirs / "agcn", theirs / "NTU60_CS.npz")
    assert (result.exit_code, result.stderr) == (
        2,
        f"Error: Neither {theirs / 'agcn'} nor {theirs / 'NTU60_CS.npz'} is a converted file: one must be.\n",
    )
    result = run("diff", converted, converted, "--labels", "x")
    assert result.stderr == (
        "Error: --labels gives names to arrays without any; both are converted files. Leave it out.\n"
    )


def test_known_names_are_taken_only_where_there_are_as_many(theirs: Path, raw: Path) -> None:
    names = sorted(path.stem for path in raw.iterdir())
    dataset = datasets.get("ntu60")
    assert read_arrays(theirs / "NTU60_CS.npz", dataset=dataset, known=names).names == names
    assert read_arrays(theirs / "NTU60_CS.npz", dataset=dataset, known=names[1:]).names[0] == "test_000000"
