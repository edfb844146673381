"""Preparations of other projects against what their scripts do: independent chains in plain loops, and the
scripts' own numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from forms import apply, finish
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from skeltools.formats import backend, ntu
from skeltools.formats.recording import Recording
from skeltools.preparation.chain import Chosen, Prepared, central, choose, length_of

Frame = list[tuple[int, NDArray[np.float32]]]
"""The bodies of a frame in file order: tracking id and coordinates (25, 3)."""

Clip = list[list[NDArray[np.float32]]]
"""Frames of two bodies of (25, 3) each."""


def zero() -> NDArray[np.float32]:
    return np.zeros((25, 3), np.float32)


def spread_over(points: list[NDArray[np.float32]], kind: type) -> list[float]:
    """Mean squared distance from the mean along each axis, of all joints of all frames."""
    found = []
    for axis in range(3):
        values = np.array([joint[axis] for frame in points for joint in frame], kind)
        found.append(float(((values - values.mean()) ** 2).mean()))
    return found


def slow_ctrgcn(frames: list[Frame], dataset: str, size: int) -> NDArray[np.float64] | str:
    """Spec section 10, ctrgcn, written out with loops; a text where the scripts would stop."""
    frames = [frame for frame in frames if frame]  # 1
    if not frames:
        return "empty"
    tracks: dict[int, dict[str, object]] = {}  # 2
    for number, frame in enumerate(frames):
        for track, points in frame:
            if track not in tracks:
                tracks[track] = {"start": number, "points": []}
            tracks[track]["points"].append(points)  # type: ignore[attr-defined]
    left = [(int(t["start"]), list(t["points"])) for t in tracks.values()]  # type: ignore
    if any(start + len(points) > len(frames) for start, points in left):
        return "an id twice in a frame"
    several = len(left) > 1
    ordered = [(start, points, 0.0) for start, points in left]
    if several:  # 3
        left = [(start, points) for start, points in left if len(points) > 11]  # a
        if not left:
            return "all short"
        remaining = len(left)
        ordered = []
        for start, points in left:  # b
            motion = sum(spread_over(points, np.float64))
            narrow = []
            for one in points:
                width = float(one[:, 0].max()) - float(one[:, 0].min())
                height = float(one[:, 1].max()) - float(one[:, 1].min())
                if width <= 0.8 * height:
                    narrow.append(one)
            if remaining > 1 and len(narrow) < len(points):
                if (len(points) - len(narrow)) / len(points) >= 0.69754:
                    remaining -= 1
                    continue
                motion = min(motion, sum(spread_over(narrow, np.float64)))
            ordered.append((start, points, motion))
        if len(ordered) > 1:  # d
            ordered = sorted(ordered, key=lambda item: -item[2])
    two = len(ordered) > 1
    clip: Clip = [[zero(), zero()] for _ in frames]
    here = [[0, 0], [0, 0]]
    for rank, (start, points, _) in enumerate(ordered):
        end = start + len(points) - 1
        if rank == 0:
            here[0] = [start, end]
            onto = 0
        elif min(here[0][1], end) - max(here[0][0], start) <= 0:
            onto = 0
        elif min(here[1][1], end) - max(here[1][0], start) <= 0:
            onto = 1
        else:
            continue
        here[onto] = [min(start, here[onto][0]), max(end, here[onto][1])]
        for step, one in enumerate(points):
            clip[start + step][onto] = one.copy()
    if several:  # e
        clip = [both for both in clip if both[0].any() or both[1].any()]
    with_first = [both for both in clip if both[0].any()]
    if not with_first:
        return "no first body"
    origin = with_first[0][0][1].astype(np.float64)  # 4
    moved = []
    for both in clip:
        a, b = (one.astype(np.float64) for one in both)
        if not two:
            a = a - origin
            moved.append([a, a.copy() if dataset == "ntu120" else b])  # 5
        else:
            moved.append([one - origin if one.any() else one for one in (a, b)])
    valid = sum(bool(a.any() or b.any()) for a, b in moved)  # 6
    bias = int(0.05 * valid / 2)
    return interpolated(moved[bias : valid - bias], size)


def interpolated(frames: list[list[NDArray[np.float64]]], size: int) -> NDArray[np.float64]:
    out = np.zeros((3, size, 25, 2))
    for t in range(size):
        at = min(max((t + 0.5) * len(frames) / size - 0.5, 0.0), len(frames) - 1.0)
        low = math.floor(at)
        high = min(low + 1, len(frames) - 1)
        for body in range(2):
            mixed = frames[low][body] * (1 - (at - low)) + frames[high][body] * (at - low)
            out[:, t, :, body] = mixed.T
    return out


def slow_cmd(frames: list[Frame], size: int) -> NDArray[np.float64]:
    """Spec section 10, cmd, written out with loops."""
    places = []
    for place in range(4):
        points = [frame[place][1] if place < len(frame) else zero() for frame in frames]
        seen = [one for one in points if one.any()]
        energy = sum(math.sqrt(v) for v in spread_over(seen, np.float64)) if seen else 0.0
        places.append((energy, points))
    places.sort(key=lambda item: -item[0])
    bodies = []
    for _, points in places[:2]:
        filled = (points + [zero()] * 300)[:300]
        if any(one.any() for one in filled):
            if not filled[0].any():
                filled = [one for one in filled if one.any()]
                filled += [zero()] * (300 - len(filled))
            last = max(number for number, one in enumerate(filled) if one.any())
            for number in range(last + 1, 300):
                filled[number] = filled[number - last - 1]
        bodies.append(filled)
    centred = []
    for number in range(300):
        middle = bodies[0][number][1]
        both = []
        for body in range(2):
            one = bodies[body][number].copy()
            for joint in range(25):
                if one[joint].any():
                    one[joint] = one[joint] - middle  # float32
            both.append(one)
        centred.append(both)
    for start, end, target in ((0, 1, [0.0, 0.0, 1.0]), (4, 8, [1.0, 0.0, 0.0])):
        bone = (centred[0][0][end] - centred[0][0][start]).astype(np.float64)
        turn = np.eye(3)
        axis = np.cross(bone, target)
        if np.abs(bone).sum() >= 1e-6 and np.abs(axis).sum() >= 1e-6:
            angle = math.atan2(float(np.linalg.norm(axis)), float(bone @ target))
            a = math.cos(angle / 2)
            b, c, d = -axis / np.linalg.norm(axis) * math.sin(angle / 2)
            turn = np.array(
                [
                    [a * a + b * b - c * c - d * d, 2 * (b * c + a * d), 2 * (b * d - a * c)],
                    [2 * (b * c - a * d), a * a + c * c - b * b - d * d, 2 * (c * d + a * b)],
                    [2 * (b * d + a * c), 2 * (c * d - a * b), a * a + d * d - b * b - c * c],
                ]
            )
        centred = [[(one @ turn.T).astype(np.float32) for one in both] for both in centred]
    valid = min(len(frames), 300)
    bias = int(0.05 * valid / 2)
    used = [[one.astype(np.float64) for one in both] for both in centred[bias : valid - bias]]
    return interpolated(used, size)


def recording_of(frames: list[Frame]) -> Recording:
    observed = [
        (number, slot, *body) for number, frame in enumerate(frames) for slot, body in enumerate(frame)
    ]
    return Recording(
        frames=len(frames),
        coords=np.array([item[3] for item in observed], np.float32).reshape(-1, 25, 3),
        frame=np.array([item[0] for item in observed], np.int32),
        slot=np.array([item[1] for item in observed], np.int32),
        ids=np.array([item[2] for item in observed], np.int64),
    )


@st.composite
def made_up(draw: st.DrawFn) -> list[Frame]:
    """People who come, leave and return, under one id or several, some of them wide; empty frames between."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    length = draw(st.one_of(st.integers(1, 40), st.integers(41, 330)))
    frames: list[Frame] = [[] for _ in range(length)]
    for track in range(draw(st.integers(1, 5))):
        pose = rng.uniform(-1, 1, (25, 3)) * [0.3, 0.9, 0.2] + [*rng.uniform(-2, 2, 2), 3.0]
        here = np.zeros(length, bool)
        for _ in range(draw(st.integers(1, 3))):
            start, stop = sorted(rng.integers(0, length + 1, 2)) if draw(st.booleans()) else (0, length)
            here[start:stop] = True
        wide = rng.random(length) < draw(st.sampled_from([0.0, 0.0, 0.3, 0.69, 0.72, 1.0]))
        zeros = rng.random(length) < draw(st.sampled_from([0.0, 0.0, 0.0, 0.1]))
        moving = draw(st.sampled_from([0.0, 0.02, 0.1]))
        wander = np.cumsum(rng.normal(0, 1, (length, 25, 3)), axis=0) * moving
        for number in np.flatnonzero(here).tolist():
            points = pose + wander[number]
            if wide[number]:
                points = pose * [4.0, 1.0, 1.0] + wander[number]
            if zeros[number]:
                points = np.zeros((25, 3))
            frames[number].append((1000 + track, points.astype(np.float32)))
    for frame in frames:
        if draw(st.integers(0, 30)) == 0:
            rng.shuffle(frame)  # type: ignore[arg-type]
    return frames


def compared(
    found: Prepared | str, wanted: NDArray[np.float64] | str, said: str = "too-short empty all-zero untracked"
) -> None:
    if isinstance(wanted, str):
        assert isinstance(found, str), wanted
        assert found.partition(":")[0] in said
    else:
        assert isinstance(found, Prepared), found
        np.testing.assert_allclose(found.clip, wanted, atol=1e-5)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@example([[], []], "ntu60", 64)
@given(made_up(), st.sampled_from(["ntu60", "ntu120", "irds"]), st.sampled_from([64, 120, 24]))
def test_ctrgcn_is_the_chain_of_its_scripts(frames: list[Frame], dataset: str, size: int) -> None:
    chain = choose("ctrgcn", dataset=dataset, options={"chain.frames": size}).values
    compared(apply(recording_of(frames), chain), slow_ctrgcn(frames, dataset, size))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@example([[], []])
@given(made_up())
def test_cmd_is_the_chain_of_its_scripts(frames: list[Frame]) -> None:
    found = apply(recording_of(frames), choose("cmd", dataset="ntu60").values)
    compared(found, slow_cmd(frames, 64))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(made_up(), st.sampled_from(["skeattnclr", "aimclr", "ctrgcn", "cmd"]), st.booleans())
def test_compiled_and_plain_path_agree_for_every_preparation(
    frames: list[Frame], prep: str, labelled: bool
) -> None:
    pytest.importorskip("numba", reason="numba (extra 'fast') is not installed")
    chain = choose(prep, dataset="ntu120").values
    recording = recording_of(frames)
    before = backend.compiled()
    found = []
    try:
        for use in (False, True):
            backend.use_compiled(use)
            found.append(apply(recording, chain, labelled))
    finally:
        backend.use_compiled(before)
    plain, compiled = found
    if isinstance(plain, str) or isinstance(compiled, str):
        assert plain == compiled
    else:
        assert plain.clip.tobytes() == compiled.clip.tobytes()
        assert plain[1:] == compiled[1:]


def test_bodies_of_equal_motion_keep_the_order_of_their_appearance() -> None:
    still = [np.full((25, 3), depth, np.float32) * np.linspace(0.1, 1, 25)[:, None] for depth in (2, 2, 3)]
    frames = [[(5, still[0]), (4, still[1] + np.float32(0)), (3, still[2])] for _ in range(20)]
    wanted = slow_ctrgcn(frames, "ntu60", 64)  # type: ignore[arg-type]
    compared(apply(recording_of(frames), choose("ctrgcn").values), wanted)  # type: ignore[arg-type]


OF_SCRIPTS = [
    ("01", "ctrgcn", "ntu60", "expected"),
    ("02", "ctrgcn", "ntu60", "expected"),
    ("02", "ctrgcn", "ntu120", "expected"),
    ("02b", "ctrgcn", "ntu60", "expected"),
    ("02b", "ctrgcn", "ntu120", "expected"),
    ("02c", "ctrgcn", "ntu60", "expected_ntu60"),
    ("02c", "ctrgcn", "ntu120", "expected_ntu120"),
    ("02d", "ctrgcn", "ntu60", "expected_ntu60"),
    ("02d", "ctrgcn", "ntu120", "expected_ntu120"),
    ("04", "cmd", "ntu60", "expected"),
    ("04", "cmd", "ntu120", "expected"),
]


@pytest.mark.parametrize(("case", "prep", "dataset", "expected"), OF_SCRIPTS)
def test_the_arrays_of_the_released_scripts(
    shared: Path, case: str, prep: str, dataset: str, expected: str
) -> None:
    folder = next((shared / "cases").glob(f"{case}-*"))
    (path,) = (folder / "in").iterdir()
    found = apply(ntu.read(path.read_bytes(), path), choose(prep, dataset=dataset).values)
    compared(found, np.load(folder / f"{expected}.npy"))


def fed(stored: NDArray[np.float32], length: int, frames: int) -> NDArray[np.float32]:
    """What a peer's test reader makes of a stored clip (3, F, 25, 2), by our steps."""
    chain = choose(
        "cmd", options={"chain.frames": frames, "chain.centre": "none", "chain.rotation": "none"}
    ).values
    whole = Chosen.of(stored, np.asarray(stored.any(axis=(0, 2))), length)
    return finish(central(whole, chain), chain)[0]


def test_frames_are_fed_as_by_the_readers_of_ctrgcn_and_mamp(shared: Path) -> None:
    layouts = shared / "reference" / "peers" / "layouts"
    expected = np.load(layouts / "expected.npz")
    with np.load(layouts / "NTU60_CS.npz") as file:
        rows = np.concatenate([file["x_train"], file["x_test"]])
    for number, row in enumerate(rows):
        stored = np.ascontiguousarray(row.reshape(-1, 2, 25, 3).transpose(3, 0, 2, 1))
        length = length_of(stored, "any-body")
        assert length == expected[f"ctrgcn/{number}/valid_frames"]
        np.testing.assert_allclose(fed(stored, length, 24), expected[f"ctrgcn/{number}/center95"], atol=5e-6)


def test_frames_are_fed_as_by_the_reader_of_cmd(shared: Path) -> None:
    layouts = shared / "reference" / "peers" / "layouts"
    expected = np.load(layouts / "expected.npz")
    counts = np.load(layouts / "train_num_frame.npy")
    for number, stored in enumerate(np.load(layouts / "train_data_joint.npy")):
        clip = fed(stored, min(int(counts[number]), 300), 16)
        np.testing.assert_allclose(clip, expected[f"agcn/{number}/graph"], atol=1e-6)


def test_aimclr_is_the_reference_chain_of_50_frames(shared: Path) -> None:
    samples = np.load(shared / "reference" / "ntu_samples.npz")
    chains: dict[str, Callable[[], object]] = {"position50": lambda: choose("aimclr").values,
                                               "position64": lambda: choose("skeattnclr").values}  # fmt: skip
    names = sorted({key.partition("/")[0] for key in samples})
    assert len(names) == 3
    for name in names:
        raw = samples[f"{name}/raw"].astype(np.float32)
        recording = Recording.from_columns(np.ascontiguousarray(raw.transpose(1, 3, 2, 0)))
        for which, chain in chains.items():
            found = apply(recording, chain())  # type: ignore[arg-type]
            assert isinstance(found, Prepared)
            assert found.length == samples[f"{name}/length"]
            np.testing.assert_allclose(found.clip, samples[f"{name}/{which}"], atol=1e-5)
