"""NW-UCLA: JSON files, names, splits that leave clips out."""
# ruff: noqa: E501 (messages stand in one line each)

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from clipfiles import altered
from hypothesis import given, settings
from hypothesis import strategies as st

from skeltools.cli.main import main
from skeltools.convert.pipeline import convert
from skeltools.datasets import registry as datasets
from skeltools.datasets.nwucla import ACTIONS
from skeltools.errors import FormatError, SourceError
from skeltools.formats import nwucla
from skeltools.skeletons import load
from skeltools.store import ClipFile
from skeltools.store.verify import verify

UCLA = datasets.get("nwucla")
NAME = "a08_s03_e02_v01"


def body(seed: int, frames: int) -> np.ndarray:
    """Somebody of human size who moves, float64 (frames, 20, 3) with six decimals."""
    rng = np.random.default_rng(seed)
    pose = rng.uniform(-0.7, 0.7, (20, 3)) + np.array([0, 0, 3])
    return np.round(pose + rng.normal(0, 0.02, (frames, 20, 3)).cumsum(0), 6)


def content(name: str = NAME, frames: int = 4, **changes: Any) -> dict[str, Any]:
    label = ACTIONS.index(int(name[1:3])) + 1
    return {"file_name": name, "skeletons": body(7, frames).tolist(), "label": label, **changes}


def write(folder: Path, *names: str, frames: int = 9) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.json").write_text(json.dumps(content(name, frames)))
    return folder


def read(found: Any) -> Any:
    data = found if isinstance(found, bytes) else json.dumps(found).encode()
    return nwucla.read(data, "x.json", NAME)


@given(st.integers(0, 30), st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_coordinates_come_back_as_float32_of_the_decimals(frames: int, seed: int) -> None:
    values = body(seed, frames)
    found = read(content(skeletons=values.tolist()))
    assert found.frames == frames
    assert found.coords.dtype == np.float32
    np.testing.assert_array_equal(found.coords, values.astype(np.float32))
    assert found.notes == ((("one-frame", 1),) if frames == 1 else ())


def test_joints_of_zeros_are_counted_and_frames_of_zeros_have_nobody() -> None:
    values = body(1, 5)
    values[1, [4, 9]] = 0
    values[3] = 0
    found = read(content(skeletons=values.tolist(), length=5))
    assert found.notes == (("other-keys", 1), ("zero-joints", 2))
    assert found.frame.tolist() == [0, 1, 2, 4]


def changed(frame: int, joint: int, value: Any) -> dict[str, Any]:
    skeletons = body(7, 4).tolist()
    skeletons[frame][joint] = value
    return content(skeletons=skeletons)


WHOLE = json.dumps(content()).encode()


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (b"", "x.json, line 1: damaged JSON at column 1: Expecting value. Fetch it again."),
        (b'{"file_name":\n nothing}', "x.json, line 2: damaged JSON at column 2: Expecting value. Fetch it again."),
        (WHOLE[:20], "x.json, line 1: damaged JSON at column 15: Unterminated string starting at. Fetch it again."),
        (b'{\n"file_name": "\xff"}', "x.json, line 2: byte 16 is not UTF-8. Fetch it again."),
        (b"[" * 200_000, None),
        (b"[1]", "x.json: this is not a JSON object; expected one object of file_name, label, skeletons."),
        (b'{"label": 1, "label": 2}', "x.json: a key occurs twice in an object; expected one object of file_name, label, skeletons."),
        ({"label": 7}, "x.json: there is no 'file_name'. Its keys must be file_name, label, skeletons."),
        (content(label=8), "x.json: its label is '8', but the name says action 8, which is label 7."),
        (content(label="7"), "x.json: its label is '\"7\"', but the name says action 8, which is label 7."),
        (content(file_name="a08_s03_e02_v02"), "x.json: its file_name is '\"a08_s03_e02_v02\"', not 'a08_s03_e02_v01'."),
        (content(skeletons={}), "x.json: skeletons must be a list of frames, not '{}'."),
        (content(skeletons=[*body(1, 2).tolist(), 5]), "x.json: frame 3 of 3 is '5'; expected a list of 20 joints."),
        (content(skeletons=[[]]), "x.json: frame 1 of 1 has 0 joints; expected 20."),
        (content(skeletons=[*body(1, 2).tolist(), body(1, 1)[0, :19].tolist()]), "x.json: frame 3 of 3 has 19 joints; expected 20."),
        (changed(1, 7, [1.0, 2.0]), "x.json: frame 2 of 4, left hand: '[1.0, 2.0]' is not [x, y, z]."),
        (changed(1, 7, None), "x.json: frame 2 of 4, left hand: 'null' is not [x, y, z]."),
        (changed(1, 7, "abc"), "x.json: frame 2 of 4, left hand: '\"abc\"' is not [x, y, z]."),
        (changed(0, 3, [1.0, True, 2]), "x.json: frame 1 of 4, head: 'true' is not a number."),
        (changed(0, 3, [1.0, "2", 2]), "x.json: frame 1 of 4, head: '\"2\"' is not a number."),
        (changed(0, 3, [1.0, float("nan"), 2]), "x.json: frame 1 of 4, head: 'NaN' is not a finite coordinate in metres."),
        (changed(0, 3, [1.0, float("-inf"), 2]), "x.json: frame 1 of 4, head: '-Infinity' is not a finite coordinate in metres."),
        (changed(3, 0, [1e39, 1, 2]), "x.json: frame 4 of 4, hip centre: '1e+39' is not a finite coordinate in metres."),
        (changed(3, 0, [10**400, 1, 2]), None),
    ],
)  # fmt: skip
def test_faults(found: Any, message: str | None) -> None:
    with pytest.raises(FormatError) as caught:
        read(found)
    if message is not None:
        assert str(caught.value) == message
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


@given(st.binary(max_size=60), st.integers(0, len(WHOLE)), st.integers(0, 60))
@settings(max_examples=200, deadline=None)
def test_damage_is_refused_or_read(noise: bytes, place: int, cut: int) -> None:
    """Whatever stands in a file: a recording of finite numbers, or one error of ours."""
    try:
        found = read(WHOLE[:place] + noise + WHOLE[place + cut :])
    except FormatError:
        return
    assert np.isfinite(found.coords).all()


def test_sources_splits_and_what_verify_says(tmp_path: Path) -> None:
    names = ["a01_s01_e00_v01", "a01_s01_e00_v02", "a01_s01_e00_v03", "a12_s10_e05_v01"]
    folder = write(tmp_path / "all_sqe", *names)
    (folder / "val_label.json").write_text("[]")
    write(folder / "deeper", "a02_s02_e01_v02")
    (folder / "a07_s01_e00_v01.json").write_text("{}")
    (folder / "a01_s01_e00_v04.json").write_text("{}")
    (folder / "a01_s02_e00_v01.txt").write_text("")
    with zipfile.ZipFile(tmp_path / "all_sqe.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*.*")):
            archive.write(path, f"all_sqe/{path.relative_to(folder)}")
    digests = set()
    for workers, source in ((1, folder), (2, tmp_path / "all_sqe.zip")):
        out = tmp_path / f"{workers}.h5"
        summary = convert(UCLA, source, out, workers=workers)
        assert summary.splits == {"xview": (4, 1), "xview-dev": (2, 2)}
        with ClipFile(out) as file:
            assert file.shape == (5, 3, 64, 20, 1)
            assert file.form.skeleton == load("kinect1")
            assert file.names == ["a01_s01_e00_v01", "a01_s01_e00_v02", "a01_s01_e00_v03", "a02_s02_e01_v02", "a12_s10_e05_v01"]  # fmt: skip
            assert file.labels.tolist() == [0, 0, 0, 1, 9]
            assert [file.column(key).tolist() for key in ("subject", "view", "episode")] == [  # type: ignore[union-attr]
                [1, 1, 1, 2, 10],
                [1, 2, 3, 2, 1],
                [0, 0, 0, 1, 5],
            ]
            assert file.rows("xview", "test").tolist() == [2]
            assert file.rows("xview-dev", "train").tolist() == [0, 4]
            assert file.rows("xview-dev", "test").tolist() == [1, 3]
            assert [name for name, reason in file.excluded if reason.startswith("outside: ")] == [
                "a01_s01_e00_v04",
                "a07_s01_e00_v01",
            ]
            assert [note.kind for note in file.notes] == ["misnamed", "other"]
            digests.add((file.digest, file.attrs["source_digest"]))
            assert verify(file).faults == []
    assert len(digests) == 1


def test_a_split_that_must_name_every_clip_is_still_checked(tmp_path: Path) -> None:
    folder = write(tmp_path / "raw", "a01_s01_e00_v01", "a01_s01_e00_v03")
    convert(UCLA, folder, tmp_path / "o.h5")
    with altered(tmp_path / "o.h5") as file:
        del file["splits/xview/test"]
        file["splits/xview/test"] = np.zeros(0, np.int64)
    with ClipFile(tmp_path / "o.h5") as opened:
        assert "split xview: 1 clip is on neither side, a01_s01_e00_v03 first" in verify(opened).faults


def test_derive_keeps_clips_off_both_sides(tmp_path: Path) -> None:
    folder = write(tmp_path / "raw", "a01_s01_e00_v01", "a01_s01_e00_v02", "a01_s01_e00_v03")
    convert(UCLA, folder, tmp_path / "o.h5", keep_raw=True)
    done = CliRunner().invoke(
        main,
        ["derive", str(tmp_path / "o.h5"), str(tmp_path / "d.h5"), "--frames", "16"],
        catch_exceptions=False,
    )
    assert done.exit_code == 0, done.output
    with ClipFile(tmp_path / "d.h5") as file:
        assert file.rows("xview-dev", "train").tolist() == [0]
        assert file.rows("xview-dev", "test").tolist() == [1]


@pytest.mark.parametrize("name", ["A01_S01_E00_V01", "a01_s01_e00_v1", "a1_s01_e00_v01", "a01s01e00v01"])
def test_names_like_a_clips_are_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / f"{name}.json").write_text("{}")
    with pytest.raises(FormatError) as caught:
        convert(UCLA, folder, tmp_path / "o.h5")
    assert str(caught.value) == (
        f"{folder / name}.json: the file name is not a clip name such as a01_s01_e00_v01."
    )


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "a01_s01_e00_v01.txt").write_text("{}")
    with pytest.raises(SourceError) as caught:
        convert(UCLA, folder, tmp_path / "o.h5")
    assert str(caught.value) == (
        f"{folder} holds no .json file, of which nwucla consists (a01_s01_e00_v01.txt looks like one: rename it)."
    )


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    folder = write(tmp_path / "raw", "a01_s01_e00_v01", "a01_s01_e00_v02")
    write(folder, "a02_s09_e04_v03", frames=1)
    out = tmp_path / "o.h5"
    done = CliRunner().invoke(main, ["convert", "nwucla", str(folder), str(out)])
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        f"{out}: 3 clips of nwucla",
        "  note: 1 clip is of one frame, which is repeated: a02_s09_e04_v03 first.",
        "  xview: 2 train / 1 test (note: the official counts are 1,020 / 464)",
        "  xview-dev: 1 train / 1 test (note: the official counts are 516 / 504)",
    ]
    (folder / "a03_s01_e00_v01.json").write_bytes(WHOLE[:500])
    done = CliRunner().invoke(main, ["convert", "nwucla", str(folder), str(out), "--replace"])
    assert done.exit_code == 2
    assert done.stderr.splitlines()[-1].startswith(
        f"Error: {folder / 'a03_s01_e00_v01.json'}, line 1: damaged JSON at column "
    )


def test_official_counts_of_the_whole(shared: Path, tmp_path: Path) -> None:
    summary = convert(UCLA, shared / "real" / "nwucla_all_sqe.zip", tmp_path / "o.h5", frames=2)
    assert summary.clips == 1484
    assert summary.excluded == {}
    assert summary.splits == summary.official == {"xview": (1020, 464), "xview-dev": (516, 504)}
    with ClipFile(tmp_path / "o.h5") as file:
        assert np.bincount(file.labels).tolist() == [150, 152, 141, 173, 148, 149, 142, 142, 145, 142]
        for column, counts in {
            "subject": [0, 160, 154, 159, 162, 119, 138, 147, 158, 139, 148],
            "episode": [289, 288, 291, 283, 262, 46, 11, 6, 4, 3, 1],
            "view": [0, 516, 504, 464],
        }.items():
            assert np.bincount(file.column(column)).tolist() == counts  # type: ignore[arg-type]
        known = np.load(shared / "reference" / "peers" / "nwucla_sample.npz")
        for part, stored in (("train", "train_names"), ("test", "test_names")):
            assert sorted(known[stored].tolist()) == [file.names[row] for row in file.rows("xview", part)]
