"""Clips in torsos: the same for any place and size of the image; what is not there stays zero."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from owndata import keypoints, person

from skeltools.errors import SettingError
from skeltools.formats.recording import Recording
from skeltools.preparation.chain import Chain, Prepared, apply, choose
from skeltools.skeletons import Form, load

SKELETON = load("coco17")


def chain(*overrides: str) -> Chain:
    return choose(
        "keypoints2d", skeleton=SKELETON, dimensions=2, overrides=("chain.frames=8", *overrides)
    ).values


def clip(points: np.ndarray, *overrides: str, bodies: int = 1) -> Prepared | str:
    """The clip of key points (L, M, V, 3)."""
    return apply(
        Recording.from_columns(points.astype(np.float32)), chain(*overrides), Form(SKELETON, bodies, 8, 2)
    )


def scored(seed: int, frames: int = 12) -> np.ndarray:
    points = keypoints(person(SKELETON, seed, frames)) * [1, -1]
    return np.concatenate([points, np.ones((*points.shape[:2], 1))], axis=2)[:, None]


@given(st.integers(0, 50), st.floats(0.05, 40), st.floats(-500, 500), st.floats(-500, 500))
def test_neither_place_nor_size_changes_a_clip(seed: int, scale: float, x: float, y: float) -> None:
    points = scored(seed)
    moved = points.copy()
    moved[..., :2] = moved[..., :2] * scale + [x + 3000, y + 3000]
    one, other = clip(points), clip(moved)
    assert isinstance(one, Prepared)
    assert isinstance(other, Prepared)
    assert np.abs(one.clip - other.clip).max() < 0.01 / scale + 2e-3


def test_the_chain_written_out_in_loops() -> None:
    points = scored(4)
    points[3, 0, 9] = 0
    points[5, 0, 5, 2] = 0.05  # a shoulder below the score: that frame has no centre of its own
    found = clip(points)
    assert isinstance(found, Prepared)
    frames = points[:, 0, :, :2]
    there = (points[:, 0, :, 2] >= 0.1) & frames.any(axis=2)
    whole = [t for t in range(12) if there[t, [5, 6, 11, 12]].all()]
    torso = np.median(
        [np.linalg.norm(frames[t, [5, 6]].mean(0) - frames[t, [11, 12]].mean(0)) for t in whole]
    )
    centres = {t: frames[t, [5, 6]].mean(axis=0) for t in range(12) if there[t, [5, 6]].all()}
    for out in range(8):
        at = min(max((out + 0.5) * 12 / 8 - 0.5, 0), 11)
        before = int(at)
        after = min(before + 1, 11)
        for joint in range(17):
            values = []
            for t in (before, after):
                nearest = min(centres, key=lambda other: (abs(other - t), other))
                values.append((frames[t, joint] - centres[nearest]) / torso if there[t, joint] else None)
            weight = at - before
            if values[0] is None or values[1] is None:
                value = values[1] if weight > 0.5 else values[0]
            else:
                value = (1 - weight) * values[0] + weight * values[1]
            wanted = np.zeros(3) if value is None else [*value, 0]
            assert found.clip[:, out, joint, 0] == pytest.approx(wanted, abs=1e-4), (out, joint)


def test_joints_below_the_score_are_zeros_and_bodies_of_them_are_absent() -> None:
    points = scored(1)
    points[:, 0, 9, 2] = 0.3
    kept, gone = clip(points), clip(points, "chain.score=0.5")
    assert isinstance(kept, Prepared)
    assert isinstance(gone, Prepared)
    assert kept.clip[:, :, 9].any()
    assert not gone.clip[:, :, 9].any()
    assert clip(points * [1, 1, 0.01]) == "all-zero: no body has a position in any frame"


def test_clips_without_a_torso_are_left_out_with_the_reason() -> None:
    points = scored(1)
    points[:, 0, 11] = 0
    found = clip(points)
    assert isinstance(found, str)
    assert found.startswith("no-torso: ")


def test_a_body_without_a_torso_takes_that_of_the_first_with_one() -> None:
    points = np.concatenate([scored(1), scored(2)], axis=1)
    points[:, 1, 11] = 0
    found = clip(points, bodies=2)
    assert isinstance(found, Prepared)
    assert found.bodies == 2
    assert np.isfinite(found.clip).all()
    assert found.clip[..., 1].any()


@pytest.mark.parametrize(("override", "told"), [("chain.scale=none", "need chain.scale=torso"),
                                                ("chain.rotation=yaw", "need chain.rotation=none"),
                                                ("chain.centre=person", "goes with chain.centre=frame")])  # fmt: skip
def test_settings_that_do_not_go_with_key_points(override: str, told: str) -> None:
    with pytest.raises(SettingError, match=told):
        chain(override)


def test_3d_clips_may_be_in_torsos_too() -> None:
    how = choose("anyskeleton", skeleton=SKELETON, overrides=["chain.scale=torso", "chain.frames=8"]).values
    body = person(SKELETON, 2)
    found = apply(Recording.from_columns(body.astype(np.float32)[:, None]), how, Form(SKELETON, 1, 8))
    twice = apply(Recording.from_columns(2 * body.astype(np.float32)[:, None]), how, Form(SKELETON, 1, 8))
    assert isinstance(found, Prepared)
    assert isinstance(twice, Prepared)
    assert np.abs(found.clip - twice.clip).max() < 1e-4
    torso = found.clip[:, :, [5, 6], 0].mean(axis=2) - found.clip[:, :, [11, 12], 0].mean(axis=2)
    assert np.median(np.linalg.norm(torso, axis=0)) == pytest.approx(1, abs=0.02)
