"""The plausibility check: people in metres, and scaled clips, pass; other units are named, never guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skeltools.errors import SettingError
from skeltools.formats import irds, ntu
from skeltools.formats.recording import Recording
from skeltools.preparation.chain import prepare
from skeltools.skeletons import load, plausible

PARENTS = load("kinect2").parents

RNG = np.random.default_rng(3)


def person(frames: int = 20, joints: int = 25, size: float = 1.7) -> np.ndarray:
    """A body (frames, joints, 3) of a size in metres, three metres from the sensor."""
    body = RNG.uniform(0, 1, (frames, joints, 3)).astype(np.float32)
    body[:, 0], body[:, 1] = 0, 1
    return (body * size + [0, 0, 3]).astype(np.float32)


def fault_of(body: np.ndarray, unit: str = "m") -> str | None:
    """What is wrong with the bodies (B, V, 3) of one person, one per frame."""
    return plausible.judge(body, np.arange(len(body)), np.zeros(len(body), int), unit)[0]


@pytest.mark.parametrize(
    ("scale", "told"),
    [
        (1000, "a person of 1,700 m: millimetres? Read them with --unit mm."),
        (100, "a person of 170 m: centimetres? Read them with --unit cm."),
        (10, "a person of 17 m; expected coordinates in metres."),
        (1e30, None),
    ],
)
def test_other_units_are_named(scale: float, told: str | None) -> None:
    body = person() * np.float32(scale)
    fault = fault_of(body)
    assert fault is not None
    assert told is None or fault == told


@pytest.mark.parametrize("unit", ["cm", "mm"])
def test_the_unit_that_was_given_is_read_and_a_wrong_one_refused(unit: str) -> None:
    body = person()
    theirs = (body / np.float32(plausible.UNITS[unit])).astype(np.float32)
    found = plausible.in_metres(theirs, unit)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, body, rtol=1e-6)
    assert fault_of(found, unit) is None
    wrong = fault_of(plausible.in_metres(body, unit), unit)
    assert wrong is not None
    assert f"not in {unit}? Choose another --unit" in wrong


def test_one_person_of_two_in_millimetres_is_found() -> None:
    both = np.concatenate([person(30), person(20) * 1000])
    which = np.repeat([0, 1], [30, 20])
    assert "millimetres?" in str(plausible.judge(both, np.arange(50), which)[0])


def test_single_frames_of_glitches_are_counted_not_refused() -> None:
    body = person(50)
    body[7, 3] = 5000
    assert plausible.judge(body, np.arange(50), np.zeros(50, int)) == (None, 1)
    body[9, 4, 1] = -3.4e38
    assert fault_of(body) == (
        "y of joint 4 in frame 10 is -3.4e+38 m; expected coordinates in metres, of 10,000 at most."
    )


@given(st.floats(0.001, 5), st.integers(2, 40), st.integers(2, 30), st.integers(1, 3))
def test_scaled_and_centred_clips_pass(scale: float, frames: int, joints: int, persons: int) -> None:
    clips = np.stack([person(frames, joints) for _ in range(persons)], axis=-1)  # (T, V, C, M)
    clips = clips.transpose(2, 0, 1, 3)[None]
    parents = [0, *range(joints - 1)]
    for made in (clips, clips - clips[:, :, :, :1], (clips - clips.mean()) / clips.std()):
        assert plausible.clip_faults(made * np.float32(scale), parents) == []


def test_clips_are_judged_one_by_one_and_absent_frames_do_not_count() -> None:
    clips = np.zeros((4, 3, 64, 25, 2), np.float32)
    clips[1, ..., 0] = person(64).transpose(2, 0, 1)
    clips[2, ..., 1] = person(64).transpose(2, 0, 1) * 1000
    clips[3, :, 50:, :, 0] = person(14).transpose(2, 0, 1) * 100
    assert [index for index, _ in plausible.clip_faults(clips, PARENTS)] == [2, 3]


def test_real_recordings_pass(shared: Path) -> None:
    files = [*(shared / "real" / "ntu").iterdir(), *(shared / "real" / "irds_ntu").iterdir()]
    recordings = [ntu.read(path.read_bytes(), str(path)) for path in sorted(files)]
    recordings += [
        Recording.from_columns(irds.parse(path.read_bytes(), str(path)))
        for path in sorted((shared / "real" / "irds_raw").iterdir())
    ]
    assert len(recordings) == 132
    for found in recordings:
        assert plausible.judge(found.coords, found.frame, found.slot) == (None, 0)
    clips = np.stack([prepare(found.first(2))[0] for found in recordings])
    assert plausible.clip_faults(clips, PARENTS, most=plausible.MOST_SIZE) == []
    measured = plausible.measure(clips, PARENTS)
    assert measured.bone.max() < plausible.LONGEST_BONE
    assert measured.distance.max() < plausible.FARTHEST


def test_an_unknown_unit_is_refused() -> None:
    with pytest.raises(SettingError, match=r"Unknown unit 'mmm'. Choose one of: m, cm, mm. Did you"):
        plausible.check_unit("mmm")
