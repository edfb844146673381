"""The preparation chain: parity with the reference and its properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from forms import apply
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from skeltools.formats import backend
from skeltools.formats.recording import Recording
from skeltools.preparation.chain import choose, length_of, missing_frames, prepare, window


def raw_clip(seed: int, frames: int, bodies: int = 2) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    raw = np.zeros((3, frames, 25, 2), np.float32)
    raw[..., :bodies] = rng.normal(0, 1, (3, frames, 25, bodies))
    return raw


def slow_chain(raw: NDArray[np.float32], frames: int) -> NDArray[np.float64]:
    """docs/method.md#chain word for word, with loops."""
    length = sum(bool(raw[:, frame, 0, 0].any()) for frame in range(raw.shape[1]))
    x = raw[:, :length].astype(np.float64)
    centred = x.copy()
    for frame in range(length):
        for body in range(2):
            for joint in range(25):
                centred[:, frame, joint, body] = x[:, frame, joint, body] - x[:, frame, 20, body]
    out = np.zeros((3, frames, 25, 2))
    for t in range(frames):
        at = min(max((t + 0.5) * length / frames - 0.5, 0), length - 1)
        low = math.floor(at)
        high = min(low + 1, length - 1)
        out[:, t] = centred[:, low] * (1 - (at - low)) + centred[:, high] * (at - low)
    for body in range(2):
        line = out[:, :, 8, body] - out[:, :, 4, body]
        sign = -1 if line[2].sum() >= 0 else 1
        for t in range(frames):
            v = np.array([line[0, t], 0, line[2, t]])
            theta = sign * math.radians(math.degrees(math.acos(v[0] / (np.linalg.norm(v) + 0.0001))))
            cos, sin = math.cos(theta), math.sin(theta)
            out[:, t, :, body] = np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]]) @ out[:, t, :, body]
    return out


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 90), st.sampled_from([1, 2, 50, 64]), st.integers(1, 2))
def test_equals_the_chain_written_out_with_loops(seed: int, length: int, frames: int, bodies: int) -> None:
    raw = raw_clip(seed, length, bodies)
    clip, found = prepare(raw, frames)
    assert found == length
    assert clip.dtype == np.float32
    np.testing.assert_allclose(clip, slow_chain(raw, frames), atol=2e-6)


def test_a_gap_shortens_the_tail() -> None:
    raw = raw_clip(3, 30)
    raw[:, 10:15, :, 0] = 0
    assert length_of(raw) == 25
    assert missing_frames(raw) == 5
    np.testing.assert_array_equal(prepare(raw)[0], prepare(raw[:, :25])[0] * 0 + prepare(raw)[0])
    tail = raw.copy()
    tail[:, 25:, 3:] += 7  # the first-body joint stays, so the length stays; these frames are cut off
    np.testing.assert_array_equal(prepare(tail)[0], prepare(raw)[0])


def test_longer_clips_keep_their_middle_300_frames() -> None:
    raw = raw_clip(4, 371)
    chain = choose().values
    np.testing.assert_array_equal(window(raw, chain), raw[:, 35:335])
    first = choose(overrides=["chain.cut=first"]).values
    np.testing.assert_array_equal(window(raw, first), raw[:, :300])
    assert window(raw, choose(overrides=["chain.most_frames=0"]).values) is raw
    assert window(raw[:, :300], chain).shape[1] == 300
    np.testing.assert_array_equal(prepare(raw)[0], prepare(raw[:, 35:335])[0])


def test_a_clip_without_a_first_body_has_length_zero() -> None:
    clip, length = prepare(np.zeros((3, 9, 25, 2), np.float32))
    assert length == 0
    assert clip.shape == (3, 64, 25, 2)
    assert not clip.any()


def test_the_shoulder_line_ends_parallel_to_x_and_the_centre_at_zero() -> None:
    raw = raw_clip(5, 64)
    raw[2, :, 8] += 3  # one side always deeper, so one sign fits every frame
    clip, _ = prepare(raw)
    assert not clip[:, :, 20].any()
    line = clip[:, :, 8] - clip[:, :, 4]
    assert np.abs(line[2]).max() < 0.03  # theta is not quite exact: |v| + 0.0001
    assert (line[0] > 0).all()


@pytest.mark.parametrize("frames", [50, 64])
def test_distances_within_a_body_are_kept(frames: int) -> None:
    raw = raw_clip(6, frames)
    clip, _ = prepare(raw, frames)
    np.testing.assert_allclose(
        np.linalg.norm(clip[:, :, 3] - clip[:, :, 11], axis=0),
        np.linalg.norm(raw[:, :, 3] - raw[:, :, 11], axis=0),
        atol=1e-5,
    )


OBSERVED = st.lists(st.lists(st.integers(0, 3), unique=True, max_size=3), min_size=0, max_size=40)


@settings(max_examples=150, deadline=None)
@given(OBSERVED, st.integers(0, 10**6), st.sampled_from([0, 7, 300]), st.sampled_from([1, 16, 64]), st.data())
def test_the_compiled_chain_gives_the_same_bits(
    observed: list[list[int]], seed: int, most: int, frames: int, data: st.DataObject
) -> None:
    pytest.importorskip("numba", reason="numba is not installed")
    slots = [(frame, slot) for frame, of in enumerate(observed) for slot in sorted(of)]
    rng = np.random.default_rng(seed)
    coords = rng.normal(0, 1, (len(slots), 25, 3)).astype(np.float32)
    zero = data.draw(st.sampled_from(["none", "some", "joint 0", "all"]))
    if zero == "all":
        coords[:] = 0
    elif zero == "joint 0":
        coords[:, 0] = 0
    elif zero == "some":
        coords[rng.random(len(slots)) < 0.4] = 0
    recording = Recording(
        frames=len(observed),
        coords=coords,
        frame=np.array([frame for frame, _ in slots], np.int32),
        slot=np.array([slot for _, slot in slots], np.int32),
        ids=np.array([slot for _, slot in slots], np.int64),
    )
    cut = data.draw(st.sampled_from(["middle", "first"]))
    chain = choose(options={"chain.most_frames": most, "chain.frames": frames, "chain.cut": cut}).values
    before = backend.compiled()
    found = []
    try:
        for use in (False, True):
            backend.use_compiled(use)
            found.append(apply(recording, chain))
    finally:
        backend.use_compiled(before)
    plain, compiled = found
    if isinstance(plain, str) or isinstance(compiled, str):
        assert plain == compiled
    else:
        assert plain.clip.tobytes() == compiled.clip.tobytes()
        assert plain[1:] == compiled[1:]
