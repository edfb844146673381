"""One recording from a file: what is read, and what is said where it cannot be."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skeltools.errors import FormatError, SkeltoolsError, SourceError
from skeltools.exchange.recordings import read
from skeltools.skeletons import Form, load

KINECT = Form(load("kinect2"), 2, 64)
TWENTY = Form(load("kinect1"), 1, 64)


def _points(frames: int, bodies: int, joints: int = 25, seed: int = 0) -> Any:
    """(T, M, V, 3), a person a metre tall."""
    return np.random.default_rng(seed).uniform(0.1, 1.1, (frames, bodies, joints, 3)).astype(np.float32)


def _save(path: Path, content: Any) -> Path:
    if path.suffix == ".npy":
        np.save(path, content)
    elif path.suffix == ".npz":
        np.savez(path, **content)
    else:
        path.write_bytes(pickle.dumps(content))
    return path


def _error(path: Path, form: Form = KINECT, **how: Any) -> str:
    with pytest.raises(SkeltoolsError) as caught:
        read(path, form, **how)
    return str(caught.value)


@settings(max_examples=40, deadline=None)
@given(
    frames=st.integers(9, 30), bodies=st.integers(1, 2), form=st.sampled_from([KINECT, TWENTY]),
    order=st.sampled_from(["TMVC", "MTVC", "CTVM", "TVC", "CTV", "TF"]),
)  # fmt: skip
def test_any_order_of_axes_gives_the_same_recording(
    tmp_path_factory: pytest.TempPathFactory, frames: int, bodies: int, form: Form, order: str
) -> None:
    bodies = bodies if "M" in order or order == "TF" else 1
    points = _points(frames, bodies, form.joints)
    whole = points if "M" in order else points[:, 0]
    have = "TMVC" if "M" in order else "TVC"
    made = (
        points.reshape(frames, -1) if order == "TF" else whole.transpose([have.index(axis) for axis in order])
    )
    path = _save(tmp_path_factory.mktemp("axes") / "one.npy", made)
    for axes in (None, order):
        found = read(path, form, axes=axes).recording
        assert found.frames == frames
        np.testing.assert_array_equal(found.first(bodies), points.transpose(3, 0, 2, 1))


def test_a_shape_of_several_readings_asks_for_the_axes(tmp_path: Path) -> None:
    path = _save(tmp_path / "few.npy", _points(4, 3))
    assert _error(path) == (
        f"{path}: an array of shape (4, 3, 25, 3) can be read in several ways. Choose: --axes TMVC or --axes MTVC"
    )
    assert read(path, KINECT, axes="TMVC").recording.frames == 4
    assert read(path, KINECT, axes="MTVC").recording.frames == 3


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("layout", ["npy", "x_test"])
def test_a_signalling_nan_is_refused_without_a_warning(tmp_path: Path, layout: str) -> None:
    points = np.ones((9, 25, 3))
    points.view("u8")[4, 2, 1] = 0x7FF4000000000000
    path = tmp_path / "one.npy"
    if layout == "npy":
        np.save(path, points)
    else:
        path = path.with_suffix(".npz")
        np.savez(path, x_test=np.pad(points.reshape(1, 9, -1), ((0, 0), (0, 0), (0, 75))))
    assert "y of joint 2 of body 0 in frame 4, counted from 0, is not a finite number" in _error(path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            np.zeros((9, 20, 3)),
            "an array of shape (9, 20, 3) is not a recording of kinect2: expected (T, 25, 3)",
        ),
        (np.zeros((9, 25, 3), complex), "the array has type complex128; expected float32 or other numbers."),
        (np.zeros((5, 3, 64, 25, 2)), "it holds prepared clips, and preparing them twice changes them."),
        (
            np.where(np.arange(75).reshape(1, 25, 3) == 7, np.nan, np.ones((9, 25, 3))),
            "y of joint 2 of body 0 in frame 0, counted from 0, is not a finite number (and 8 numbers more). Fill in",
        ),
        (_points(9, 1) * 1000, "a person of 980 m: millimetres? Read them with --unit mm."),
    ],
)
def test_arrays_that_are_no_recording_are_refused(tmp_path: Path, content: Any, told: str) -> None:
    path = _save(tmp_path / "bad.npy", content)
    assert _error(path).startswith(f"{path}: {told}")


def test_a_unit_is_put_into_metres(tmp_path: Path) -> None:
    points = _points(9, 1)
    found = read(_save(tmp_path / "mm.npy", points * 1000), KINECT, unit="mm").recording
    np.testing.assert_allclose(found.coords, points[:, 0], rtol=1e-6)


def test_the_axes_that_are_named_must_fit(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.npy", _points(9, 1)[:, 0])
    assert _error(path, axes="TMVC") == (f"{path}: an array of shape (9, 25, 3) is not (T, M, 25, 3).")


def _annotations(count: int) -> dict[str, Any]:
    items = [
        {
            "frame_dir": f"clip{number}", "label": 0,
            "keypoint": _points(20 + number, 1, seed=number).transpose(1, 0, 2, 3),
        }
        for number in range(count)
    ]  # fmt: skip
    return {"split": {}, "annotations": items}


def test_pyskl_with_several_asks_which(tmp_path: Path) -> None:
    path = _save(tmp_path / "some.pkl", _annotations(5))
    assert _error(path) == (
        f"{path} holds 5 recordings. Choose one by name or place: --clip NAME (clip0, clip1, clip2, ...) or "
        "--clip 0 to 4"
    )
    for word in ("clip3", "3"):
        found = read(path, KINECT, clip=word)
        assert (found.clip, found.recording.frames) == ("clip3", 23)
    assert _error(path, clip="clip9") == (
        f"{path} holds no recording 'clip9' (or several); it has places 0 to 4. Did you mean 'clip4'?"
    )
    alone = _save(tmp_path / "one.pkl", _annotations(1))
    assert (read(alone, KINECT).clip, read(alone, KINECT).recording.frames) == ("", 20)
    single = _annotations(1)["annotations"][0] | {"keypoint_score": np.ones((1, 20, 25))}
    assert read(_save(tmp_path / "item.pkl", single), KINECT).notes == ("keypoint_score is not used",)
    assert "expected pyskl's annotations" in _error(_save(tmp_path / "none.pkl", {"annotations": [None]}))


def test_npz_gives_ctrgcn_rows_without_padding_and_other_arrays_by_key(tmp_path: Path) -> None:
    rows = np.zeros((2, 30, 150), np.float32)
    rows[1, :17, :75] = _points(17, 1).reshape(17, 75)
    rows[0, :5] = _points(5, 2).reshape(5, 150)
    labels = np.eye(2)
    path = _save(
        tmp_path / "NTU60_CS.npz",
        {"x_train": rows, "y_train": labels, "x_test": rows[:0], "y_test": labels[:0]},
    )
    assert read(path, KINECT, clip="train_000001").recording.frames == 17
    assert "--clip NAME (train_000000, train_000001) or --clip 0 to 1" in _error(path)
    several = _save(tmp_path / "two.npz", {"a": _points(9, 1), "b": _points(11, 1), "who": np.array(["x"])})
    assert read(several, KINECT, clip="b").recording.frames == 11
    assert read(_save(tmp_path / "one.npz", {"a": _points(9, 1)}), KINECT).recording.frames == 9
    ours = _save(
        tmp_path / "ours.npz", {"clips": np.zeros((2, 3, 8, 25, 2)), "labels": [0, 1], "names": ["a", "b"]}
    )
    assert "it holds prepared clips" in _error(ours)


def test_raw_texts_are_of_kinect_and_told_by_their_content(tmp_path: Path) -> None:
    rows = _points(7, 2)
    path = tmp_path / "0002-L.txt"
    np.savetxt(path, rows.reshape(7, 150), fmt="%.5f")
    found = read(path, KINECT).recording
    np.testing.assert_allclose(found.first(2), rows.transpose(3, 0, 2, 1), atol=1e-5)
    assert _error(path, TWENTY) == (
        f"{path}: its skeleton is kinect2 (25 joints), the run's kinect1 (20). Give a recording of kinect1, or a "
        "run on kinect2."
    )
    one_body = Form(KINECT.skeleton, 1, 64)
    assert read(path, one_body).notes == ("up to 2 bodies in a frame; clips of the run have room for 1",)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("gone.txt", None, "gone.txt: the file does not exist"),
        ("empty.txt", b"", "empty.txt is an empty file. Give an NTU .skeleton file"),
        ("page.txt", b"<!doctype html><html>", "page.txt is a web page, not the file that it offers."),
        (
            "a.json",
            b'{"joints": []}',
            "a.json: NW-UCLA's files are named aAA_sSS_eEE_vVV.json. Name it as its file_name says.",
        ),
        ("a01_s01_e00_v01.json", b"[1", "a01_s01_e00_v01.json, line 1: damaged JSON"),
        ("cut.txt", b"1 2 3\n", "cut.txt, line 1: 3 numbers in the row; expected 150."),
        ("head.npy", b"\x93NUMPY\x01\x00", "head.npy: not readable as a NumPy array (.npy) ("),
        (
            "cut.npz",
            b"PK\x03\x04" + bytes(22) + b"\x05\0\0\0a.npy",
            "cut.npz: not readable as a NumPy archive",
        ),
        ("cut.pkl", b"\x80\x04]", "cut.pkl"),
    ],
)
def test_what_is_no_recording_is_one_line_that_names_the_file(
    tmp_path: Path, name: str, content: bytes | None, told: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((FormatError, SourceError)) as caught:
        read(path, KINECT)
    assert str(caught.value).startswith(f"{tmp_path}/{told}")
    assert "\n" not in str(caught.value)


def test_nwucla_is_read_for_a_run_on_its_skeleton(tmp_path: Path) -> None:
    points = _points(9, 1, 20)[:, 0]
    path = tmp_path / "a01_s01_e00_v01.json"
    content = {"file_name": path.stem, "label": 1, "skeletons": points.astype(float).tolist()}
    path.write_text(json.dumps(content))
    np.testing.assert_array_equal(read(path, TWENTY).recording.coords, points)
    assert _error(path).startswith(f"{path}: its skeleton is kinect1 (20 joints), the run's kinect2 (25).")
