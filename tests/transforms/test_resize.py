"""Crop and rotation of MAMP's field: against its released code, and what holds for any clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skeltools.errors import SettingError
from skeltools.transforms import augment
from skeltools.transforms.draws import Draws


def draws(count: int, epoch: int = 0) -> Draws:
    return Draws(3, epoch, torch.arange(count))


def test_crop_and_rotation_equal_the_released_code(shared: Path) -> None:
    with np.load(shared / "reference/peers/layouts/expected.npz") as file:
        want = {key: torch.from_numpy(file[key]) for key in file.files if key.startswith("augment/")}
    x = want["augment/x"][None].float()
    for number, (u, length, start) in enumerate(want["augment/crop_draws"]):
        assert int(min(max(90 * (0.5 + u / 2), 64), 90)) == length
        got = augment.resize(x, start.long()[None], length.long()[None], 24)
        torch.testing.assert_close(got[0], want[f"augment/crop{number}"].float(), rtol=0, atol=5e-6)
    turned = (
        augment.parse("rotate_uniform(0.3)")
        .operations[0]
        .apply(want["augment/crop0"][None].float(), {"angles": want["augment/rotate_angles"][None]})
    )
    torch.testing.assert_close(turned[0], want["augment/rotated_crop0"].float(), rtol=0, atol=5e-6)


def test_the_centre_equals_the_released_readers(shared: Path) -> None:
    with np.load(shared / "reference/peers/layouts/expected.npz") as file:
        want = dict(file)
    operation = augment.parse("centre_resize(0.95)").operations[0]
    assert isinstance(operation, augment.Resize)
    for number in range(3):
        valid = int(want[f"ctrgcn/{number}/valid_frames"])
        x = torch.from_numpy(want["clips"][number]).permute(3, 0, 2, 1)[None].float()  # (1, C, T, V, M)
        drawn = operation.draw_valid(draws(1), torch.tensor([valid]))
        got = augment.resize(x, drawn["start"], drawn["length"], 24)
        expected = torch.from_numpy(want[f"ctrgcn/{number}/center95"]).float()
        torch.testing.assert_close(got[0], expected, rtol=0, atol=5e-6)


@pytest.mark.parametrize(("valid", "cut"), [(1, 0), (39, 0), (40, 1), (90, 2), (300, 7)])
def test_the_centre_leaves_the_released_number_of_frames_out(valid: int, cut: int) -> None:
    drawn = augment.CentreResize(0.95).draw_valid(draws(1), torch.tensor([valid]))
    assert (drawn["start"].item(), drawn["length"].item()) == (cut, valid - 2 * cut)


@given(
    frames=st.integers(1, 40), low=st.floats(0, 1), high=st.floats(0, 1), shortest=st.integers(1, 64),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_a_crop_is_of_valid_frames(frames: int, low: float, high: float, shortest: int, seed: int) -> None:
    low, high = sorted((low, high))
    operation = augment.CropResize(low, high, shortest)
    lengths = torch.arange(1, frames + 1)
    drawn = operation.draw_valid(Draws(seed, 0, lengths), lengths)
    start, length = drawn["start"], drawn["length"]
    assert (start >= 0).all()
    assert (start + length <= lengths).all()
    assert (length >= lengths.clamp(max=shortest)).all()
    assert (length <= (lengths * high + 1e-3).clamp(min=shortest)).all()
    x = torch.rand(frames, 3, frames, 4, 2)
    x[:, :, :, 0] = torch.arange(frames).view(1, 1, -1, 1).float()
    for clip, valid in enumerate(lengths):
        x[clip, :, valid:] = 1e9
    got = operation.apply(x, drawn)
    assert got.shape == x.shape
    assert (got < 1e8).all(), "a frame that is not valid"
    assert (got[:, 0, 1:, 0, 0] >= got[:, 0, :-1, 0, 0]).all(), "time goes on"


def test_lengths_are_the_clip_s_whole_where_none_are_given() -> None:
    pipeline, x = augment.parse("crop_resize(0.5,1,4)|crop_resize(0.5,1,4)"), torch.rand(5, 3, 16, 4, 2)
    whole = pipeline(x, draws(5), torch.full((5,), 16))
    assert torch.equal(pipeline(x, draws(5)), whole)
    assert not torch.equal(pipeline(x, draws(5), torch.full((5,), 8)), whole)
    assert not torch.equal(pipeline(x, draws(5, epoch=1)), whole)


def test_the_whole_clip_at_its_own_length_stays() -> None:
    x = torch.rand(3, 3, 16, 4, 2)
    for text in (
        "crop_resize(1,1,1)",
        "crop_resize(0.5,1,64)",
        "centre_resize(1)",
        "rotate_uniform(0)",
        "rotate_axes(0,0,0)",
    ):
        torch.testing.assert_close(augment.parse(text)(x, draws(3)), x, rtol=0, atol=1e-6)


def test_rotations_keep_lengths_and_turn_both_bodies_alike() -> None:
    x = torch.randn(200, 3, 2, 4, 2)
    x[..., 1] = x[..., 0]
    pipeline = augment.parse("rotate_uniform(0.3)")
    got = pipeline(x, draws(200))
    torch.testing.assert_close(got.norm(dim=1), x.norm(dim=1))
    assert torch.equal(got[..., 0], got[..., 1])
    angles = pipeline.operations[0].draw(draws(2000), x)["angles"]
    assert angles.abs().max() <= 0.3
    assert (angles.mean(0).abs() < 0.02).all()
    assert ((angles.std(0) - 0.6 / 12**0.5).abs() < 0.01).all()


def test_a_turn_about_the_vertical_alone_keeps_heights() -> None:
    x = torch.randn(200, 3, 2, 4, 2)
    pipeline = augment.parse("rotate_axes(0,180,0)")
    got = pipeline(x, draws(200))
    torch.testing.assert_close(got[:, 1], x[:, 1])
    torch.testing.assert_close(got[:, [0, 2]].norm(dim=1), x[:, [0, 2]].norm(dim=1))
    assert not torch.allclose(got, x)


def test_each_axis_has_its_own_limit() -> None:
    angles = augment.parse("rotate_axes(20,180,5)").operations[0].draw(draws(4000), torch.empty(0))["angles"]
    limits = torch.tensor([20.0, 180.0, 5.0])
    assert (angles.abs().amax(0) <= limits).all()
    assert (angles.abs().amax(0) > 0.99 * limits).all()
    assert (angles.mean(0).abs() < 0.05 * limits).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crop_resize(0.5,1)", "write crop_resize(low, high, shortest), not 'crop_resize(0.5,1)'"),
        ("crop_resize(1,0.5,1)", "crop_resize: low 1 is above high 0.5."),
        ("crop_resize(0.5,1,0)", "shortest of crop_resize must be a whole number from 1 to 100000, not 0."),
        ("rotate_uniform(4)", "limit of rotate_uniform must be a number from 0 to 3.2, not 4."),
        ("rotate_axes(0,200,0)", "y of rotate_axes must be a number from 0 to 180, not 200."),
        ("centre_resize(2)", "share of centre_resize must be a number from 0 to 1, not 2."),
    ],
)
def test_wrong_words_are_refused(text: str, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        augment.parse(text)
    assert message in str(caught.value)
