"""The choices of other projects: which bodies make a clip, gaps, centring, axes, resizing, type."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from forms import apply
from numpy.typing import NDArray
from rawfiles import body_of, ntu_bytes, write_pku

from skeltools.convert.pipeline import convert
from skeltools.datasets import registry as datasets
from skeltools.errors import SettingError
from skeltools.formats import ntu
from skeltools.formats.recording import Recording
from skeltools.preparation import bodies
from skeltools.preparation.chain import Chain, Prepared, choose, prepare, stored
from skeltools.skeletons import load
from skeltools.store import ClipFile


def recording(*of: NDArray[np.float64], ids: list[int] | None = None) -> Recording:
    return ntu.read_plain(ntu_bytes(list(of), ids), "x")


def selected(read: Recording, how: str) -> NDArray[np.float32]:
    found = bodies.select(read, how)
    assert not isinstance(found, str)
    return found.raw


def chain(prep: str = "skeattnclr", *overrides: str) -> Chain:
    return choose(prep, overrides=[f"chain.{override}" for override in overrides]).values


def prepared(found: Prepared | str) -> Prepared:
    assert isinstance(found, Prepared)
    return found


def moving(seed: int, frames: int, speed: float) -> NDArray[np.float64]:
    """A narrow body (taller than wide) that wanders."""
    body = body_of(seed, 1).repeat(frames, axis=0) * [0.4, 1.5, 1.0]
    return np.round(body + np.linspace(0, speed, frames)[:, None, None], 6)


def test_the_default_chain_is_prepare() -> None:
    read = recording(body_of(1, 40), body_of(2, 40))
    found = prepared(apply(read, chain()))
    clip, length = prepare(read.first(2))
    np.testing.assert_array_equal(found.clip, clip)
    assert (found.length, found.frames, found.bodies, found.gaps) == (length, 40, 2, 0)
    one = prepared(apply(recording(body_of(1, 40)), chain()))
    np.testing.assert_array_equal(one.clip, prepare(recording(body_of(1, 40)).first(2))[0])
    assert one.bodies == 1


def test_spread_takes_the_two_places_with_the_most() -> None:
    still, walker, runner = moving(1, 30, 0.0), moving(2, 30, 2.0), moving(3, 30, 6.0)
    raw = selected(recording(still, walker, runner), "spread")
    np.testing.assert_allclose(raw[..., 0], runner.transpose(2, 0, 1), rtol=1e-6)
    np.testing.assert_allclose(raw[..., 1], walker.transpose(2, 0, 1), rtol=1e-6)


def test_tracked_follows_ids_and_orders_by_motion() -> None:
    slow, fast = moving(1, 30, 0.6), moving(2, 30, 2.0)
    # The file's order of the two alternates: by file order they are torn apart, by id they are not.
    lines = {7: slow, 8: fast}
    frames = [[7, 8] if frame % 2 else [8, 7] for frame in range(30)]
    read = Recording(
        frames=30,
        coords=np.array(
            [lines[track][frame] for frame, order in enumerate(frames) for track in order], np.float32
        ),
        frame=np.repeat(np.arange(30, dtype=np.int32), 2),
        slot=np.tile(np.arange(2, dtype=np.int32), 30),
        ids=np.array(frames, np.int64).reshape(-1),
    )
    raw = selected(read, "tracked")
    np.testing.assert_allclose(raw[..., 0], fast.transpose(2, 0, 1), rtol=1e-6)
    np.testing.assert_allclose(raw[..., 1], slow.transpose(2, 0, 1), rtol=1e-6)
    first = selected(read, "first")
    assert np.abs(first[:, 0, :, 0] - raw[:, 0, :, 0]).max() == 0
    assert np.abs(first[:, 1, :, 0] - raw[:, 1, :, 0]).max() > 0


def test_tracked_drops_short_and_wide_tracks_where_there_is_another() -> None:
    person = moving(1, 40, 1.5)
    short = moving(2, 40, 1.5)
    short[11:] = np.nan
    wide = moving(3, 40, 1.5) * [8.0, 0.3, 1.0]
    still = moving(4, 40, 0.0) * 0.3
    raw = selected(recording(short, wide, person, still), "tracked")
    np.testing.assert_allclose(raw[..., 0], person.transpose(2, 0, 1), rtol=1e-6)
    np.testing.assert_allclose(raw[..., 1], still.transpose(2, 0, 1), rtol=1e-6)  # however little it moves
    for lonely in (short, wide, still):
        assert selected(recording(lonely), "tracked")[..., 0].any()
    assert selected(recording(wide, 2 * wide), "tracked")[..., 0].any(), "the last one stays, wide or not"
    assert not selected(recording(np.full((3, 25, 3), np.nan)), "tracked").any()


def test_where_every_track_is_short_the_clip_is_left_out_with_its_reason() -> None:
    early, late = moving(1, 22, 1.5), moving(2, 22, 1.2)
    early[11:], late[:11] = np.nan, np.nan
    reason = apply(recording(early, late), chain("ctrgcn"))
    assert reason == "too-short: several bodies, each of them seen 11 times or fewer, so that none is left"


def test_an_id_that_stands_twice_in_a_frame_leaves_the_clip_out() -> None:
    twice = recording(moving(1, 20, 1.5), moving(2, 20, 1.2), ids=[5, 5])
    reason = apply(twice, chain("ctrgcn"))
    assert isinstance(reason, str)
    assert reason.startswith("id-twice: a tracking id occurs twice in a frame")
    assert isinstance(apply(twice, chain("cmd")), Prepared)


def test_tracks_that_follow_one_another_share_a_column() -> None:
    early, late = moving(1, 40, 1.5), moving(2, 40, 1.2)
    early[20:], late[:20] = np.nan, np.nan
    raw = selected(recording(early, late, ids=[1, 2]), "tracked")
    np.testing.assert_allclose(raw[:, :20, :, 0], early[:20].transpose(2, 0, 1), rtol=1e-6)
    np.testing.assert_allclose(raw[:, 20:, :, 0], late[20:].transpose(2, 0, 1), rtol=1e-6)
    assert not raw[..., 1].any()


def test_closing_gaps_brings_bodies_back_too_early() -> None:
    first, second = body_of(1, 12), body_of(2, 12)
    first[3:5], first[10:] = np.nan, np.nan
    second[:3], second[5:7], second[10:] = np.nan, np.nan, np.nan
    read = recording(first, second)
    # In a file the bodies of a frame move up, so here each keeps the place that is its id.
    slots = (read.ids - read.ids.min()).astype(np.int32)
    read = Recording(read.frames, read.coords, read.frame, slots, read.ids)
    closed = bodies.select(read, "first", "close")
    assert not isinstance(closed, str)
    assert closed.raw.shape == (3, 10, 25, 2)
    ours, theirs = (body.transpose(2, 0, 1).astype(np.float32) for body in (first, second))
    np.testing.assert_array_equal(closed.raw[:, :8, :, 0], ours[:, [0, 1, 2, 5, 6, 7, 8, 9]])
    np.testing.assert_array_equal(closed.raw[:, 3:8, :, 1], theirs[:, [3, 4, 7, 8, 9]])
    np.testing.assert_array_equal(closed.there.sum(axis=0), [8, 5])
    assert not closed.raw[:, :3, :, 1].any()


def test_repeating_moves_a_late_body_to_the_front_and_fills_the_end() -> None:
    raw = np.zeros((3, 9, 25, 2), np.float32)
    body = body_of(1, 9).transpose(2, 0, 1)
    raw[:, [0, 1, 3], :, 0] = body[:, [0, 1, 3]]
    raw[:, [4, 5, 7], :, 1] = body[:, [4, 5, 7]]
    padded, there = bodies.repeat(raw, np.asarray(raw.any(axis=(0, 2))))
    np.testing.assert_array_equal(padded[..., 0], raw[..., 0][:, [0, 1, 2, 3, 0, 1, 2, 3, 0]])
    np.testing.assert_array_equal(padded[..., 1], raw[..., 1][:, [4, 5, 7, 4, 5, 7, 4, 5, 7]])
    np.testing.assert_array_equal(there, padded.any(axis=(0, 2)))


def test_first_frame_axes() -> None:
    raw = recording(body_of(1, 5)).first(2).astype(np.float64)[..., :1]
    turned = bodies.to_first_frame_axes(raw, load("kinect2"))
    spine, line = turned[:, 0, 1, 0] - turned[:, 0, 0, 0], turned[:, 0, 8, 0] - turned[:, 0, 4, 0]
    np.testing.assert_allclose(np.cross(line, [1, 0, 0]), 0, atol=1e-12)
    assert line[0] > 0
    upright = bodies._rotation_onto(raw[:, 0, 1, 0] - raw[:, 0, 0, 0], np.array([0.0, 0.0, 1.0]))
    np.testing.assert_allclose(np.linalg.norm(spine), np.linalg.norm(raw[:, 0, 1, 0] - raw[:, 0, 0, 0]))
    np.testing.assert_allclose(upright @ upright.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(upright), 1)
    gram = [np.linalg.norm(clip[:, :, 3] - clip[:, :, 11], axis=0) for clip in (raw, turned)]
    np.testing.assert_allclose(gram[0], gram[1])


@pytest.mark.parametrize("turn", [0.0, 0.7, 2.5, -1.9])
def test_rotation_by_the_first_frame_does_not_know_how_the_camera_stood(turn: float) -> None:
    """The same clip from any side; how the person goes and turns later is kept, unlike frame by frame."""
    raw = recording(body_of(1, 5)).first(2).astype(np.float64)
    kinect = load("kinect2")
    about = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    seen = (about @ raw.reshape(3, -1)).reshape(raw.shape)
    one, other = (bodies.facing(clip, kinect, clip[:, :1, :, :1]) for clip in (raw, seen))
    np.testing.assert_allclose(one, other, atol=1e-12)
    line = one[:, 0, kinect.right_shoulder, 0] - one[:, 0, kinect.left_shoulder, 0]
    assert line[0] > 0
    assert abs(line[2]) < 1e-12
    np.testing.assert_allclose(one[1], raw[1])
    gone = [np.linalg.norm(clip[:, -1] - clip[:, 0], axis=0) for clip in (raw, one)]
    np.testing.assert_allclose(gone[0], gone[1])


def test_rotation_by_a_first_frame_without_shoulders_turns_nothing() -> None:
    raw = recording(body_of(1, 5)).first(2).astype(np.float64)
    first = np.zeros((3, 1, 25, 1))
    np.testing.assert_array_equal(bodies.facing(raw, load("kinect2"), first), raw)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("centre=first", lambda raw: raw - raw[:, :1, 20:21, :1]),
        ("centre=person", lambda raw: raw - raw[:, :, 20:21, :1]),
        ("centre=none", lambda raw: raw),
        ("centre=frame", lambda raw: raw - raw[:, :, 20:21]),
    ],
)
def test_centring(override: str, expected: object) -> None:
    read = recording(body_of(1, 64), body_of(2, 64))
    raw = read.first(2).astype(np.float64)
    found = prepared(apply(read, chain("skeattnclr", "rotation=none", override)))
    np.testing.assert_allclose(found.clip, expected(raw), atol=1e-6)  # type: ignore[operator]


def test_an_absent_second_body_stays_zero_or_is_copied() -> None:
    read = recording(body_of(1, 30))
    for centre in ("frame", "person", "first", "none"):
        assert not prepared(apply(read, chain("skeattnclr", f"centre={centre}"))).clip[..., 1].any()
    copied = prepared(apply(read, chain("skeattnclr", "absent=copy")))
    np.testing.assert_array_equal(copied.clip[..., 1], copied.clip[..., 0])
    assert copied.bodies == 1


def test_length_span_resize_and_type() -> None:
    body = body_of(1, 30)
    body[10:14] = np.nan
    read = recording(body, body_of(2, 30))
    lengths = {
        how: prepared(apply(read, chain("skeattnclr", f"length={how}"))).length
        for how in ("first-body", "any-body", "last")
    }
    assert lengths == {
        "first-body": 30,
        "any-body": 30,
        "last": 30,
    }  # the other body moves up in those frames
    alone = recording(body)
    assert prepared(apply(alone, chain())).length == 26
    assert prepared(apply(alone, chain("skeattnclr", "length=last"))).length == 30
    assert prepared(apply(alone, chain("skeattnclr", "gaps=close"))).gaps == 0
    whole = recording(body_of(1, 40))
    found = prepared(
        apply(whole, chain("skeattnclr", "span=0.5", "frames=20", "rotation=none", "centre=none"))
    )
    np.testing.assert_allclose(found.clip, whole.first(2)[:, 10:30], atol=1e-6)
    found = prepared(
        apply(whole, chain("skeattnclr", "resize=sample", "frames=4", "rotation=none", "centre=none"))
    )
    np.testing.assert_array_equal(found.clip, whole.first(2)[:, [5, 15, 25, 35]])
    half = prepared(apply(whole, chain("skeattnclr", "dtype=float16")))
    assert half.clip.dtype == np.float16
    np.testing.assert_allclose(half.clip, prepared(apply(whole, chain())).clip, atol=2e-3)


def test_motion_before_the_resize() -> None:
    read = recording(body_of(1, 64))
    found = prepared(apply(read, chain("skeattnclr", "motion=source", "rotation=none")))
    assert found.motion is not None
    np.testing.assert_allclose(found.motion[:, :-1], np.diff(found.clip, axis=1), atol=1e-6)
    assert not found.motion[:, -1].any()
    assert prepared(apply(read, chain())).motion is None


def test_clips_of_zeros_are_left_out_or_kept() -> None:
    nothing = recording(np.zeros((5, 25, 3)))
    assert apply(nothing, chain()) == "all-zero: no body has a position in any frame"
    kept = prepared(apply(nothing, chain("skeattnclr", "zeros=keep")))
    assert (kept.clip.shape, kept.length, kept.bodies) == ((3, 64, 25, 2), 0, 0)
    assert not kept.clip.any()


@pytest.mark.parametrize("prep", ["skeattnclr", "aimclr", "ctrgcn", "cmd"])
def test_every_preparation_converts_and_is_stored(prep: str, tmp_path: Path) -> None:
    made = choose(prep)
    convert(datasets.get("pku2"), write_pku(tmp_path / "raw"), tmp_path / "o.h5", prep=made, prep_name=prep)
    with ClipFile(tmp_path / "o.h5") as file:
        assert file.attrs["prep"] == prep
        assert stored(file.attrs) == made.values
        assert file.frames == made.values.frames
        assert np.isfinite(file.clips()).all()
        dropped = int(made.values.range == "start..end")
        assert np.asarray(file.column("frames")).tolist() == [
            29 - dropped,
            40 - dropped,
            21 - dropped,
            48 - dropped,
        ]


def test_a_carriage_return_moves_the_last_training_video(tmp_path: Path) -> None:
    raw = write_pku(tmp_path / "raw")
    (raw / "split" / "cross_subject_v2.txt").write_bytes(b"Training\r\nA01N03-L, A01N02-L\r\nTest\r\n\r\n")
    (raw / "split" / "cross_subject_v2.txt").write_bytes(
        b"Training\r\nA01N03-L, A01N02-L\r\nTest\r\nA01N04-L\r\n"
    )
    for file in ("skeleton", "label"):
        (raw / file / "A01N04-L.txt").write_bytes((raw / file / "A01N03-L.txt").read_bytes())
    found = {}
    for names in ("comma", "comma-space"):
        made = choose(overrides=[f"chain.split_names={names}"])
        found[names] = convert(datasets.get("pku2"), raw, tmp_path / f"{names}.h5", prep=made).splits["xsub"]
    assert found == {"comma": (4, 2), "comma-space": (2, 4)}


def test_an_unknown_preparation_or_setting_names_those_there_are() -> None:
    with pytest.raises(SettingError, match=r"Unknown recipe 'ctrgnc'\. .*Did you mean 'ctrgcn'\?"):
        choose("ctrgnc")
    with pytest.raises(SettingError, match=r"chain\.centr"):
        choose(overrides=["chain.centr=first"])
    with pytest.raises(SettingError, match=r"chain\.bodies"):
        choose(overrides=["chain.bodies=all"])
