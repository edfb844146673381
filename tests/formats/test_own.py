"""Readers of one's own data: every way of writing the same recording reads as the same."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from owndata import CLASSES, person

from skeltools.datasets.descriptor import Descriptor
from skeltools.errors import FormatError
from skeltools.formats import own
from skeltools.formats.recording import Recording
from skeltools.formats.sources import list_entries
from skeltools.skeletons import load

SKELETON = load("smpl24")
HOW = Descriptor("mine", SKELETON, "m", CLASSES, bodies=2)
FLAT = Descriptor("mine", load("coco17"), "pixel", CLASSES, up="-y")
BODY = person(SKELETON, 3, 4)


def read(data: bytes | str, name: str, how: Descriptor = HOW) -> Recording:
    found = next(iter(own.read(data.encode() if isinstance(data, str) else data, name, how)))
    assert isinstance(found, Recording)
    return found


def npy(array: np.ndarray) -> bytes:
    target = io.BytesIO()
    np.save(target, array)
    return target.getvalue()


def same(one: Recording, other: Recording) -> bool:
    return one.frames == other.frames and all(
        np.array_equal(getattr(one, key), getattr(other, key)) for key in ("coords", "frame", "slot")
    )


def csv(header: list[str], *rows: list[object]) -> str:
    return "\n".join(",".join(map(str, row)) for row in (header, *rows))


WIDE = [f"{joint}_{axis}" for joint in SKELETON.joints for axis in "xyz"]
FLAT_ROWS = BODY.reshape(4, -1).tolist()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (npy(BODY), "a.npy"),
        (npy(np.asfortranarray(BODY)), "a.npy"),
        (npy(np.stack([BODY, 0 * BODY, 0 * BODY], axis=1)), "a.npy"),
        (json.dumps(BODY.tolist()), "a.json"),
        (json.dumps({"frames": BODY.tolist()}), "a.json"),
        (json.dumps([[body] for body in BODY.tolist()]), "a.json"),
        (json.dumps([[dict(zip("xyz", point, strict=True)) for point in body] for body in BODY.tolist()]), "a.json"),
        ("\ufeff" + csv(WIDE, *FLAT_ROWS), "a.csv"),
        (csv(WIDE, *FLAT_ROWS).replace("\n", "\r\n"), "A.CSV"),
        (csv([name.replace(" ", "").upper() for name in WIDE], *FLAT_ROWS), "a.csv"),
        (csv([f"{axis}{joint}" for joint in range(24) for axis in "xyz"], *FLAT_ROWS), "a.csv"),
        (csv(["time", "Frame", *WIDE[::-1]], *[[0.1, 7 + n, *row[::-1]] for n, row in enumerate(FLAT_ROWS)]), "a.csv"),
        (csv([str(value) for value in FLAT_ROWS[0]], *FLAT_ROWS[1:]), "a.csv"),
        (csv(["frame", "joint", "z", "x", "y"],
             *[[n, j, p[2], p[0], p[1]] for n, body in enumerate(BODY.tolist()) for j, p in enumerate(body)]), "a.csv"),
    ],
)  # fmt: skip
def test_ways_of_writing_a_recording(data: bytes | str, name: str) -> None:
    assert same(read(data, name), Recording.from_columns(BODY.astype(np.float32)[:, None]))


@pytest.mark.parametrize(
    ("up", "turned"),
    [
        ("y", lambda x, y, z: (x, y, z)), ("-y", lambda x, y, z: (x, -y, -z)), ("z", lambda x, y, z: (x, -z, y)),
        ("-z", lambda x, y, z: (x, z, -y)), ("x", lambda x, y, z: (y, -x, z)), ("-x", lambda x, y, z: (-y, x, z)),
    ],
)  # fmt: skip
def test_the_axis_that_is_up_becomes_y_by_a_rotation(up: str, turned: object) -> None:
    there = np.stack(turned(*np.moveaxis(BODY, -1, 0)), axis=-1)  # type: ignore[operator]
    how = Descriptor("mine", SKELETON, "mm", CLASSES, up=up)
    found = read(npy(1000 * there), "a.npy", how)
    assert np.allclose(found.coords, BODY, atol=1e-5)


def test_units_give_metres() -> None:
    for unit, scale in (("m", 1), ("cm", 100), ("mm", 1000)):
        how = Descriptor("mine", SKELETON, unit, CLASSES)
        assert np.allclose(read(npy(scale * BODY), "a.npy", how).coords, BODY, atol=1e-5)


def test_frames_without_a_body_and_bodies_that_come_and_go() -> None:
    two = csv(
        ["frame", "body", *WIDE],
        [3, 5, *FLAT_ROWS[0]], [3, 9, *FLAT_ROWS[1]], [6, 9, *FLAT_ROWS[2]],
    )  # fmt: skip
    found = read(two, "a.csv")
    assert found.frames == 4
    assert found.frame.tolist() == [0, 0, 3]
    assert found.slot.tolist() == [0, 1, 0]
    assert found.ids.tolist() == [5, 9, 9]
    bodies = [{"body_id": track, "joint_positions": BODY[0].tolist()} for track in (4, 2)]
    found = read(json.dumps({"frames": [{"bodies": []}, {"bodies": bodies}]}), "a.json")
    assert (found.frames, found.frame.tolist(), found.ids.tolist()) == (2, [1, 1], [4, 2])


def test_key_points_keep_their_scores_and_those_without_have_one() -> None:
    points = np.ones((2, 17, 2)) * np.arange(1, 18)[:, None]
    points[1, 4] = 0
    found = read(npy(points), "a.npy", FLAT)
    assert found.coords[0, 3].tolist() == [4, -4, 1]
    assert found.coords[1, 4].tolist() == [0, 0, 0]
    scored = np.concatenate([points, np.full((2, 17, 1), 0.25)], axis=2)
    assert (read(npy(scored), "a.npy", FLAT).coords[..., 2] == 0.25).all()
    person = {"people": [{"pose_keypoints_2d": scored[0].reshape(-1).tolist()}]}
    assert same(read(json.dumps(person), "a.json", FLAT), read(npy(scored[:1]), "a.npy", FLAT))


def test_clips_of_archives_and_files_of_several(tmp_path: Path) -> None:
    """A zip holds the same clips as the folder; an .npz of several arrays is several clips."""
    for number in range(3):
        (tmp_path / f"raw/v{number}").mkdir(parents=True)
        for frame in (10, 9):
            (tmp_path / f"raw/v{number}/{frame:03d}_keypoints.json").write_text('{"people": []}')
    np.savez(tmp_path / "raw/many.npz", one=BODY, two=BODY)
    np.savez(tmp_path / "raw/single.npz", BODY)
    with zipfile.ZipFile(tmp_path / "raw.zip", "w") as archive:
        for path in sorted((tmp_path / "raw").rglob("*")):
            archive.write(path, path.relative_to(tmp_path / "raw"))
    for source in (tmp_path / "raw", tmp_path / "raw.zip"):
        found = own.find(list_entries([source]))
        assert sorted(clip.stem for clip in found.clips) == ["one", "single", "two", "v0", "v1", "v2"]
        video = next(clip for clip in found.clips if clip.stem == "v0")
        assert [video.entry.name, *(part.name for part in video.parts)] == [
            "009_keypoints.json",
            "010_keypoints.json",
        ]


def test_a_fault_of_one_clip_stands_in_its_place() -> None:
    target = io.BytesIO()
    np.savez(target, a=BODY, b=BODY[:, :3], c=BODY)
    found = list(own.read(target.getvalue(), "x.npz", HOW, [0, 1, 2]))
    assert [isinstance(item, FormatError) for item in found] == [False, True, False]


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize(("kind", "bits"), [("f4", 0x7FA00000), ("f8", 0x7FF4000000000000)])
@pytest.mark.parametrize("people", [1, 2])
def test_a_signalling_nan_is_refused_without_a_warning(kind: str, bits: int, people: int) -> None:
    """As any NaN is; NumPy warns where it casts or tests one."""
    body = np.stack([BODY] * people, axis=1).astype(kind)
    body.view(kind.replace("f", "u"))[2, 0, 3, 1] = bits
    with pytest.raises(FormatError, match="NaN"):
        read(npy(body[:, 0] if people == 1 else body), "a.npy")
