"""A coordinate that its type cannot hold is refused or leaves its clip out with a reason; it never becomes infinite."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from clipfiles import make_clips
from rawfiles import body_of, ntu_bytes

from skeltools.cli.main import main
from skeltools.errors import DataError
from skeltools.exchange import pyskl
from skeltools.formats.recording import Recording
from skeltools.preparation import chain
from skeltools.progress import SILENT
from skeltools.skeletons import Form, load
from skeltools.store import ClipFile
from skeltools.store.layout import narrowed


@pytest.fixture(autouse=True)
def no_warning() -> Iterator[None]:
    """What NumPy says of infinite values is a fault."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        yield


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.mark.parametrize("value", [3.4e38, -1e30, 70_000.0])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_raw_coordinate_that_no_sensor_sees_is_refused(tmp_path: Path, value: float, dtype: str) -> None:
    body = body_of(1, 3)
    body[1, 7] = value
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "S001C001P001R001A001.skeleton").write_bytes(ntu_bytes([body]))
    result = call("convert", "ntu60", tmp_path / "raw", tmp_path / "o.h5", "--set", f"chain.dtype={dtype}")
    assert result.exit_code == 2, result.output
    assert "coordinates in metres, of 10,000 at most" in result.stderr
    assert not (tmp_path / "o.h5").exists()


def points(torso: float, far: float) -> Recording:
    """Key points of COCO with a torso of some pixels and a hand far off."""
    found = np.zeros((6, 17, 3), np.float32)
    found[:, :, 0] = 100 + np.arange(17) * np.float32(torso)
    found[:, [5, 6], 1], found[:, [11, 12], 1] = 100 + torso, 100
    found[:, 9, 0] = far
    found[..., 2] = 1
    order = np.arange(6, dtype=np.int32)
    return Recording(6, found, order, np.zeros(6, np.int32), np.zeros(6, np.int64))


@pytest.mark.parametrize(
    ("torso", "dtype", "fits"), [(1e-3, "float16", False), (1e-3, "float32", True), (50, "float16", True)]
)
def test_a_clip_that_is_divided_by_next_to_nothing_is_left_out(torso: float, dtype: str, fits: bool) -> None:
    """A torso of a thousandth of a pixel makes a thousand pixels into a million torsos."""
    skeleton = load("coco17")
    how = chain.choose(
        "keypoints2d", skeleton=skeleton, dimensions=2, options={"chain.dtype": dtype, "chain.frames": 4}
    )
    made = chain.apply(points(torso, 1e6), how.values, Form(skeleton, 1, 4, 2))
    if fits:
        assert isinstance(made, chain.Prepared)
        assert np.isfinite(made.clip).all()
    else:
        assert made == "too-large: centred, turned or scaled, a coordinate is beyond what float16 holds"


@pytest.mark.parametrize("prep", ["skeattnclr", "ctrgcn", "cmd"])
def test_a_recording_with_huge_coordinates_makes_no_infinite_clip(prep: str) -> None:
    """As an old file could keep one; compiled and plain, and the motion that is taken before the resize."""
    coords = np.stack([body_of(1, 6)[frame] for frame in range(6)]).astype(np.float32)
    coords[2, 3], coords[3, 3] = 3.4e38, -3.4e38
    order = np.arange(6, dtype=np.int32)
    recording = Recording(6, coords, order, np.zeros(6, np.int32), np.zeros(6, np.int64))
    for options in ({}, {"chain.motion": "source"}, {"chain.dtype": "float16"}):
        how = chain.choose(prep, options={"chain.frames": 6} | options).values
        made = chain.apply(recording, how, Form(load("kinect2"), 2, 6))
        assert isinstance(made, str) or np.isfinite(made.clip).all()
        assert isinstance(made, str) or made.motion is None or np.isfinite(made.motion).all()
        assert made == chain.TOO_LARGE.format(how.dtype) or prep != "skeattnclr"


def test_what_an_export_or_another_skeleton_rounds_to_float16_stays_finite(tmp_path: Path) -> None:
    source = make_clips(tmp_path, 2, 2)
    with ClipFile(source) as file:
        clips = file.clips() * np.float32(1e6)
        np.savez(
            tmp_path / "x.npz",
            clips=clips,
            labels=file.labels,
            names=np.array(file.names),
            classes=np.array(file.classes),
        )
        with pytest.raises(DataError, match="is beyond what float16 holds"):
            narrowed(clips, np.dtype(np.float16), "x")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(file, "clips", lambda rows: clips[rows])
            with pytest.raises(
                DataError, match=r"S001C001P001R001A001: a coordinate of .* is beyond what float16"
            ):
                pyskl.write(file, tmp_path / "x.pkl", SILENT)
