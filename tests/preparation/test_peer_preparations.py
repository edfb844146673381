"""Preparations of other projects against what their scripts do: independent chains in plain loops, and the
scripts' own numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from forms import apply, finish
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from slowchains import Frame, slow_cmd, slow_ctrgcn

from skeltools.formats import backend, ntu
from skeltools.formats.recording import Recording
from skeltools.preparation.chain import Chosen, Prepared, central, choose, length_of


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
    pytest.importorskip("numba", reason="numba is not installed")
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
