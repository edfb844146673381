"""NW-UCLA's clips as CTR-GCN's released reader feeds them, and under the default preparation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from skeltools.datasets import registry as datasets
from skeltools.formats import backend
from skeltools.formats.recording import Recording
from skeltools.preparation.chain import Chain, Prepared, apply, choose, floor, minmax, stored
from skeltools.transforms.streams import to_stream

UCLA = datasets.get("nwucla")


def chain(prep: str, **options: object) -> Chain:
    changes = {f"chain.{key}": value for key, value in options.items()}
    return choose(prep, dataset="nwucla", skeleton=UCLA.skeleton, options=changes).values


def prepared(raw: NDArray[np.float32], settings: Chain) -> Prepared:
    found = apply(Recording.from_columns(raw[:, None]), settings, UCLA.form(settings.frames))
    assert isinstance(found, Prepared)
    return found


def test_joint_bone_and_motion_are_their_readers(shared: Path) -> None:
    known = np.load(shared / "reference" / "peers" / "nwucla_sample.npz")
    assert len(known["names"]) == 6
    for name in known["names"].tolist():
        found = prepared(known[f"{name}/raw"], chain("ctrgcn"))
        assert (found.frames, found.length, found.bodies) == (len(known[f"{name}/raw"]),) * 2 + (1,)
        clip = torch.from_numpy(found.clip)[None]
        for stream, bound in (("joint", 5e-6), ("bone", 1e-5), ("motion", 1e-5)):
            ours = to_stream(clip, stream, UCLA.skeleton)[0, ..., 0].numpy()
            assert ours.shape == (3, 52, 20)
            np.testing.assert_allclose(ours, known[f"{name}/{stream}"], rtol=0, atol=bound)


def test_frames_are_theirs_for_every_length(shared: Path) -> None:
    theirs = np.load(shared / "reference" / "peers" / "nwucla_sample.npz")["frames_of_length"]
    for length, frames in enumerate(theirs, start=1):
        numbers = np.arange(length, dtype=np.float64).reshape(1, length, 1, 1)
        np.testing.assert_array_equal(floor(numbers, 52)[0, :, 0, 0], frames)


@given(st.integers(1, 400), st.integers(1, 120))
def test_floor_goes_from_the_first_frame_to_the_last(length: int, frames: int) -> None:
    at = floor(np.arange(length, dtype=np.float64).reshape(1, length, 1, 1), frames)[0, :, 0, 0].astype(int)
    assert at.tolist() == [k * (length - 1) // (frames - 1) if frames > 1 else 0 for k in range(frames)]
    assert at[0] == 0
    assert frames == 1 or at[-1] == length - 1


@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 3))
@settings(deadline=None)
def test_scaled_coordinates_fill_minus_one_to_one(seed: int, frames: int, bodies: int) -> None:
    rng = np.random.default_rng(seed)
    there = rng.random((frames, bodies)) < 0.7
    there[0, 0] = True
    clip = rng.normal(3, 2, (3, frames, 5, bodies)) * there[None, :, None]
    flat = bool(rng.integers(2))
    if flat:
        clip[2] = 1.5 * there[:, None]
    found = minmax(clip, there)
    for axis in range(2 if flat else 3):
        seen = found[axis].transpose(0, 2, 1)[there]
        assert abs(seen.min() + 1) < 1e-12
        assert abs(seen.max() - 1) < 1e-12
    if flat:
        assert not found[2].any()
    assert not found.transpose(0, 1, 3, 2)[:, ~there].any()
    moved = minmax(clip * 3.0 + 7.0 * there[None, :, None], there)  # neither place nor size matters
    np.testing.assert_allclose(moved, found, atol=1e-12)


@given(st.integers(0, 10**6), st.integers(1, 60))
@settings(deadline=None, max_examples=40)
def test_the_default_preparation_centres_on_the_shoulder_centre(seed: int, frames: int) -> None:
    rng = np.random.default_rng(seed)
    pose = rng.normal(0, 0.5, (20, 3))
    pose[4], pose[8] = (
        (-0.2, 0.4, 3.1),
        (0.2, 0.4, 2.9),
    )  # left and right shoulder, turned to one side throughout
    raw = (pose + rng.normal(0, 0.005, (frames, 20, 3))).astype(np.float32)
    default = chain("skeattnclr")
    assert default.centre_joint == 2
    found = prepared(raw, default)
    assert found.clip.shape == (3, 64, 20, 1)
    assert np.abs(found.clip[:, :, 2]).max() < 1e-6
    line = found.clip[:, :, 8, 0] - found.clip[:, :, 4, 0]
    assert np.abs(line[2]).max() < 0.01  # parallel to x
    assert (line[0] > 0).all()
    assert found.length == frames


@given(st.integers(0, 10**6), st.integers(1, 40), st.sampled_from([1, 52, 64]))
@settings(deadline=None, max_examples=40)
def test_the_compiled_chain_gives_the_same_bits_of_one_body(seed: int, frames: int, size: int) -> None:
    pytest.importorskip("numba", reason="numba is not installed")
    rng = np.random.default_rng(seed)
    raw = rng.normal(0, 0.5, (frames, 20, 3)).astype(np.float32)
    raw[rng.random((frames, 20)) < 0.1] = 0
    raw[0, 0] = 1
    before = backend.compiled()
    found = []
    try:
        for use in (False, True):
            backend.use_compiled(use)
            found.append(prepared(raw, chain("skeattnclr", frames=size)))
    finally:
        backend.use_compiled(before)
    assert found[0].clip.tobytes() == found[1].clip.tobytes()
    assert found[0][1:] == found[1][1:]


def test_other_datasets_keep_metres_and_files_of_earlier_builds_are_read() -> None:
    for prep in ("skeattnclr", "aimclr", "ctrgcn", "cmd"):
        found = choose(prep, dataset="ntu60")
        assert found.values.scale == "none"
        del found.flat["chain.scale"]
        assert stored(found.flat) == found.values
