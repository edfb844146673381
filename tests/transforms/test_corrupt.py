"""Corruptions: what each must leave alone, that severity 0 changes nothing, and that everybody corrupts alike."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skeltools import skeletons
from skeltools.errors import SettingError
from skeltools.formats.recording import Recording
from skeltools.preparation import chain
from skeltools.skeletons import Form
from skeltools.transforms import corrupt
from skeltools.transforms.corrupt import Space

SKELETON = skeletons.load("kinect2")
T, M = 24, 2
NAMES = [f"clip {number}" for number in range(6)]
ZERO = (
    "noise(0)", "dropout(hold,0)", "dropout(zero,0)", "part(left arm,0)", "second(0)", "drop_frames(uniform,0)",
    "drop_frames(random,0)", "drop_frames(block,0)", "rate(1)", "shift(0)", "crop(0)", "turn(0)", "mirror(0)",
    "smooth(0)", "camera(0)",
)  # fmt: skip
FULL = (
    "noise(0.05)", "dropout(hold,0.3)", "dropout(zero,0.3)", "part(trunk)", "part(left arm,0.5)", "second(0.5)",
    "drop_frames(uniform,0.5)", "drop_frames(random,0.5)", "drop_frames(block,0.5)", "rate(4)", "shift(0.25)",
    "crop(0.5)", "turn(30)", "mirror(0.5)", "smooth(0.7)",
)  # fmt: skip
METRIC = {
    "turn(30)",
    "mirror(0.5)",
    "drop_frames(uniform,0.5)",
    "drop_frames(random,0.5)",
    "drop_frames(block,0.5)",
}
METRIC |= {"shift(0.25)", "camera(30)"}
"""What keeps every frame a pose that was there, turned or mirrored at most: bones keep their lengths."""

SHIFTED = {"drop_frames(uniform,0.5)", "drop_frames(random,0.5)", "drop_frames(block,0.5)", "shift(0.25)"}


DRAWLESS = {"part(trunk)", "smooth(0.7)", "rate(4)", "drop_frames(uniform,0.5)"}


def clips(seed: int = 0) -> torch.Tensor:
    """Clips (6, 3, T, V, M): the second person is absent in the first three, and comes late in the fourth."""
    draws = torch.Generator().manual_seed(seed)
    x = torch.randn(len(NAMES), 3, T, SKELETON.num_joints, M, generator=draws)
    x = x.cumsum(dim=2) / 10 + torch.randn(len(NAMES), 3, 1, SKELETON.num_joints, M, generator=draws)
    x[:3, ..., 1] = 0
    x[3, :, :5, :, 1] = 0
    return x


def done(text: str, x: torch.Tensor, names: list[str] = NAMES, **words: Any) -> torch.Tensor:
    return corrupt.parse(text, SKELETON, **words)(x, corrupt.draws_of(names))


def test_every_corruption_is_tried() -> None:
    assert {text.partition("(")[0] for text in ZERO} == set(corrupt.CORRUPTIONS)
    assert {text.partition("(")[0] for text in FULL} == set(corrupt.CORRUPTIONS) - {"camera"}


@pytest.mark.parametrize("text", ZERO)
def test_severity_zero_is_the_identity(text: str) -> None:
    x = clips()
    assert torch.equal(done(text, x), x)


@pytest.mark.parametrize("text", FULL)
def test_input_and_absent_bodies_stay_as_they_are(text: str) -> None:
    x = clips()
    before = x.clone()
    found = done(text, x)
    assert torch.equal(x, before)
    assert found.shape == x.shape
    assert found.dtype == x.dtype
    assert not torch.equal(found, x)
    assert not found[:3, ..., 1].any()
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("text", FULL)
@given(order=st.permutations(range(6)), size=st.integers(1, 6))
@settings(max_examples=10, deadline=None)
def test_a_clip_is_corrupted_alike_in_every_batch(text: str, order: list[int], size: int) -> None:
    whole = done(text, clips())
    for begin in range(0, 6, size):
        rows = order[begin : begin + size]
        assert torch.equal(done(text, clips()[rows], [NAMES[row] for row in rows]), whole[rows])


_ELSEWHERE = """
import hashlib, sys, torch
sys.path[:0] = sys.argv[1:3]
import test_corrupt as here
torch.set_num_threads(3)
rows = list(range(int(sys.argv[3]), 6, 2))
for text in here.FULL:
    found = here.done(text, here.clips()[rows], [here.NAMES[row] for row in rows])
    print(*(hashlib.sha256(clip.numpy().tobytes()).hexdigest() for clip in found))
"""


@pytest.mark.slow
def test_processes_that_share_the_clips_corrupt_them_alike() -> None:
    """Two processes of other hash seeds and three threads take every second clip each."""
    here = Path(__file__).parent
    programs = [
        subprocess.Popen(
            [sys.executable, "-B", "-c", _ELSEWHERE, str(here), str(here.parent), str(first)],
            stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONHASHSEED": str(first + 1)},
        )
        for first in (0, 1)
    ]  # fmt: skip
    try:
        told = [program.communicate(timeout=300)[0].split() for program in programs]
    finally:
        for program in programs:
            program.kill()
    expected = [
        [hashlib.sha256(clip.numpy().tobytes()).hexdigest() for clip in done(text, clips())] for text in FULL
    ]
    assert told == [[one for clip in expected for one in clip[first::2]] for first in (0, 1)]


@pytest.mark.parametrize("text", sorted(set(FULL) - DRAWLESS))
def test_another_name_or_seed_is_another_draw(text: str) -> None:
    x = clips()[4:5].expand(8, -1, -1, -1, -1)
    names = [f"twin {number}" for number in range(8)]
    found = done(text, x, names)
    assert any(not torch.equal(found[0], other) for other in found[1:])
    again = corrupt.parse(text, SKELETON)(x, corrupt.draws_of(names, seed=1))
    assert not torch.equal(found, again)


def bones(x: torch.Tensor) -> torch.Tensor:
    ends = torch.tensor(SKELETON.bones).T
    return (x[:, :, :, ends[0]] - x[:, :, :, ends[1]]).norm(dim=1)


@pytest.mark.parametrize("text", sorted(METRIC - {"camera(30)"}))
def test_bones_keep_their_lengths_where_poses_stay(text: str) -> None:
    x = clips()
    found, known = bones(done(text, x)), bones(x)
    if text.startswith("mirror"):
        known = torch.where(
            (done(text, x) == x).flatten(1).all(1).view(-1, 1, 1, 1), known,
            bones(x.index_select(3, torch.tensor(SKELETON.mirror))),
        )  # fmt: skip
    if text in SHIFTED:  # each frame is one that was there
        distance = (done(text, x)[:, :, :, None] - x[:, :, None]).abs().amax(dim=(1, 4, 5))
        assert (distance.min(dim=2).values == 0).all()
        return
    torch.testing.assert_close(found, known, rtol=1e-5, atol=1e-5)


def test_noise_is_of_the_size_that_is_asked_for_and_on_those_there_alone() -> None:
    x = clips()
    change = done("noise(0.05)", x) - x
    assert change[4:].std().item() == pytest.approx(0.05, rel=0.05)
    assert change[4:].mean().item() == pytest.approx(0, abs=0.002)
    assert not change[3, :, :5, :, 1].any()
    assert change[3, :, 5:, :, 1].all()


@given(size=st.floats(0.1, 300))
@settings(max_examples=20, deadline=None)
def test_noise_on_clips_of_another_unit_is_that_share_of_a_torso(size: float) -> None:
    x = clips()
    plain = done("noise(0.05)", x, space=Space(metric=False)) - x
    other = done("noise(0.05)", x * size, space=Space(metric=False)) - x * size
    torch.testing.assert_close(other, plain * size, rtol=1e-3, atol=1e-4 * size)
    length = corrupt.torso(x, SKELETON)
    expected = 0.05 * length / 0.5
    torch.testing.assert_close(plain[4:].flatten(1).std(dim=1), expected[4:], rtol=0.06, atol=0)


def test_a_torso_that_no_frame_shows_counts_as_one() -> None:
    x = torch.zeros(2, 3, 4, SKELETON.num_joints, 1)
    x[1, 1, 2:, [SKELETON.left_shoulder, SKELETON.right_shoulder]] = 3
    x[1, 1, 2:, [SKELETON.left_hip, SKELETON.right_hip]] = 1
    assert corrupt.torso(x, SKELETON).tolist() == [1, 2]


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_joints_are_lost_for_that_share_of_the_time_in_bursts(share: float) -> None:
    x = torch.ones(200, 3, 32, SKELETON.num_joints, 1)
    lost = (done(f"dropout(zero,{share})", x, [str(n) for n in range(200)]) == 0).all(dim=1)[..., 0]
    assert lost.float().mean().item() == pytest.approx(share, rel=0.03)
    inside = lost[:, 4:-4]
    runs = (inside[:, 1:] & ~inside[:, :-1]).sum() / inside[:, 1:].sum()
    assert runs < 1 / 3  # mostly runs of four frames and more


def test_a_lost_joint_holds_its_last_place() -> None:
    x = clips()[4:5]
    lost = (done("dropout(zero,0.4)", x, NAMES[4:5]) == 0).all(dim=1)[0]
    held = done("dropout(hold,0.4)", x, NAMES[4:5])[0]
    for joint in range(SKELETON.num_joints):
        for body in range(M):
            seen = [t for t in range(T) if not lost[t, joint, body]]
            for t in range(T):
                source = max([s for s in seen if s <= t], default=seen[0] if seen else t)
                assert torch.equal(held[:, t, joint, body], x[0, :, source, joint, body])


@pytest.mark.parametrize("part", SKELETON.parts)
def test_a_missing_part_leaves_all_other_joints_alone(part: str) -> None:
    x = clips()
    found = done(f"part({part})", x)
    inside = list(SKELETON.parts[part])
    outside = [joint for joint in range(SKELETON.num_joints) if joint not in inside]
    assert not found[:, :, :, inside].any()
    assert torch.equal(found[:, :, :, outside], x[:, :, :, outside])
    half = done(f"part({part},0.5)", x)
    gone = ~half[4:, :, :, inside].flatten(3).any(dim=3).any(dim=1)
    assert (gone.sum(dim=1) == T // 2).all()


def test_a_missing_second_person_leaves_the_first_alone() -> None:
    x = clips()
    found = done("second()", x)
    assert torch.equal(found[..., 0], x[..., 0])
    assert not found[..., 1].any()


@pytest.mark.parametrize("how", ["uniform", "random", "block"])
@pytest.mark.parametrize("share", [0.25, 0.5, 0.9, 1])
def test_missing_frames_show_the_last_that_is_not(how: str, share: float) -> None:
    x = torch.arange(1.0, T + 1).view(1, 1, T, 1, 1).expand(20, 3, T, SKELETON.num_joints, M)
    found = done(f"drop_frames({how},{share})", x, [str(n) for n in range(20)])[:, 0, :, 0, 0]
    kept = min(int(share * T), T - 1)
    for line in found:
        values = line.tolist()
        assert len(set(values)) == T - kept
        shown = [t for t in range(T) if values[t] == t + 1]
        assert len(shown) == T - kept
        assert values == [max([t for t in shown if t <= at], default=shown[0]) + 1 for at in range(T)]


def test_a_lower_rate_keeps_each_kth_frame_and_straight_lines_between() -> None:
    x = clips()
    found = done("rate(4)", x)
    assert torch.equal(found[:, :, ::4], x[:, :, ::4])
    middle = (x[4:, :, 0] + x[4:, :, 4]) / 2
    torch.testing.assert_close(found[4:, :, 2], middle)
    line = torch.arange(float(T)).view(1, 1, T, 1, 1).expand(6, 3, T, SKELETON.num_joints, M) + 1
    torch.testing.assert_close(done("rate(4)", line)[:, :, :21], line[:, :, :21])


def test_shift_and_crop_keep_the_order_of_time() -> None:
    x = torch.arange(1.0, T + 1).view(1, 1, T, 1, 1).expand(20, 3, T, SKELETON.num_joints, M)
    names = [str(n) for n in range(20)]
    moved = done("shift(0.25)", x, names)[:, 0, :, 0, 0]
    assert {tuple(line.tolist()) for line in moved} == {
        tuple(min(max(t + sign * T // 4, 0), T - 1) + 1.0 for t in range(T)) for sign in (-1, 1)
    }
    cropped = done("crop(0.5)", x, names)[:, 0, :, 0, 0]
    assert (cropped.diff(dim=1) >= 0).all()
    assert ((cropped[:, -1] - cropped[:, 0]) == T // 2 - 1).all()


def test_a_turn_leaves_the_vertical_alone_and_goes_either_way() -> None:
    x = clips()
    for vertical in (1, 2):
        found = done("turn(90)", x, space=Space(vertical=vertical))
        assert torch.equal(found[:, vertical], x[:, vertical])
        one, other = (axis for axis in range(3) if axis != vertical)
        signs = {int(torch.sign((found[row, one] * -x[row, other]).sum())) for row in range(6)}
        assert signs == {-1, 1}
        back = done("turn(90)|turn(270)", x, space=Space(vertical=vertical))
        assert back.shape == x.shape


def test_mirroring_twice_is_the_identity() -> None:
    x = clips()
    once = done("mirror()", x)
    assert torch.equal(done("mirror()", once), x)
    left, right = SKELETON.joints.index("left hand"), SKELETON.joints.index("right hand")
    assert torch.equal(once[:, 0, :, left], -x[:, 0, :, right])
    assert torch.equal(once[:, 1:, :, left], x[:, 1:, :, right])


@given(keep=st.floats(0.05, 0.95))
@settings(max_examples=10, deadline=None)
def test_smoothing_lags_and_leaves_what_stands_still(keep: float) -> None:
    still = clips()[:, :, :1].expand(-1, -1, T, -1, -1)
    torch.testing.assert_close(done(f"smooth({keep})", still), still)
    x = clips()[4:]
    expected = [x[:, :, 0]]
    for at in range(1, T):
        expected.append(keep * expected[-1] + (1 - keep) * x[:, :, at])
    torch.testing.assert_close(
        done(f"smooth({keep})", x, NAMES[4:]), torch.stack(expected, dim=2), rtol=1e-5, atol=1e-6
    )
    late = done(f"smooth({keep})", clips())
    assert torch.equal(late[3, :, 5, :, 1], clips()[3, :, 5, :, 1])  # not drawn from the origin


def test_composition_is_one_after_the_other() -> None:
    x = clips()
    draws = corrupt.draws_of(NAMES)
    pipeline = corrupt.parse("part(left leg)|shift(0.25)", SKELETON)
    first, second = pipeline.operations
    own = draws.scoped("0"), draws.scoped("1")
    step = first.apply(x, first.draw(own[0], x))
    assert torch.equal(pipeline(x, draws), second.apply(step, second.draw(own[1], step)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("text", FULL)
def test_types_stay(text: str, dtype: torch.dtype) -> None:
    assert done(text, clips().to(dtype)).dtype == dtype


def test_a_turned_camera_before_the_chain_is_a_turn_after_it_where_the_chain_only_centres() -> None:
    draws = np.random.default_rng(0)
    coords = draws.normal(size=(T, SKELETON.num_joints, 3)) + np.array([0, 0, 3])
    recording = Recording.from_columns(coords[:, None].astype(np.float32))
    form = Form(SKELETON, 1, 16)
    use = chain.choose(overrides=["chain.rotation=none", "chain.frames=16"]).values
    plain, turned = (
        chain.apply(one, use, form) for one in (recording, corrupt.turn_recording(recording, 30))
    )
    assert not isinstance(plain, str)
    assert not isinstance(turned, str)
    x = torch.from_numpy(plain.clip)[None]
    operation = corrupt.parse("turn(30)", SKELETON).operations[0]
    expected = operation.apply(x, {"angle": torch.deg2rad(torch.tensor([30.0]))})
    torch.testing.assert_close(torch.from_numpy(turned.clip)[None], expected, atol=1e-5, rtol=1e-5)
    assert corrupt.turn_recording(recording, 0) is recording
    middle = recording.coords.reshape(-1, 3).mean(axis=0)
    np.testing.assert_allclose(
        corrupt.turn_recording(recording, 30).coords.reshape(-1, 3).mean(axis=0), middle, atol=1e-5
    )


def test_key_points_in_the_plane_stay_there() -> None:
    x = clips()
    x[:, 2] = 0
    for text in FULL:
        if text.startswith("turn"):
            continue
        assert not done(text, x, dimensions=2, space=Space(metric=False))[:, 2].any(), text
    with pytest.raises(SettingError, match="turn needs depth, which 2-D clips do not have"):
        corrupt.parse("turn(30)", SKELETON, 2)


def test_levels() -> None:
    (one,) = corrupt.levels("noise(0.01;0.02)", SKELETON)
    assert (one.name, one.severities, one.texts) == (
        "noise",
        ("0.01", "0.02"),
        ("noise(0.01)", "noise(0.02)"),
    )
    (two,) = corrupt.levels("drop_frames(block,0.1;0.5)|turn(15;30)", SKELETON)
    assert (two.name, two.severities) == ("drop_frames(block)|turn", ("0.1 15", "0.5 30"))
    assert two.texts == ("drop_frames(block,0.1)|turn(15)", "drop_frames(block,0.5)|turn(30)")
    parts = corrupt.levels("part(each,0.5;1)", SKELETON)
    assert [family.name for family in parts] == [f"part({name})" for name in SKELETON.parts]
    assert parts[0].texts == ("part(trunk,0.5)", "part(trunk,1)")
    (plain,) = corrupt.levels("mirror()", SKELETON)
    assert (plain.name, plain.severities, plain.texts) == ("mirror", ("",), ("mirror()",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nois(0.1)", r"Corruption 'nois\(0.1\)': unknown operation 'nois'. Choose one of: noise, .* mean 'noise'"),
        ("noise", r"Corruption 'noise': write noise\(sigma\), not 'noise'."),
        ("noise(a)", "sigma of noise must be a number, not 'a'"),
        ("noise(-1)", "sigma of noise must be a number from 0 to 10, not -1"),
        ("dropout(keep,0.1)", "how of dropout must be hold or zero, not 'keep'"),
        ("dropout(hold)", r"write dropout\(how, share\), not"),
        ("part(left wing)", "the skeleton kinect2 has no part 'left wing'. Choose one of: trunk, right arm"),
        ("noise(0.1", r"cannot read 'noise\(0.1'. Write operations as noise\(0.05\)\|turn\(30\), or none."),
        ("part()", r"write part\(part, share\)"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told(text: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        corrupt.parse(text, SKELETON)


def test_lists_of_several_lengths_are_told() -> None:
    with pytest.raises(SettingError, match="its lists of severities have several lengths"):
        corrupt.levels("noise(0.1;0.2)|turn(15)|crop(0.1;0.2;0.3)", SKELETON)


def test_the_vertical_follows_the_preparation() -> None:
    assert Space.of({"chain.rotation": "axes"}) == Space(True, 2)
    assert Space.of({"chain.rotation": "yaw", "chain.scale": "minmax"}) == Space(False, 1)
    assert Space.of({}) == Space(True, 1)
