"""Augmentations of 2-D clips: none makes depth, each says what it does, and one that needs depth is refused."""

from __future__ import annotations

import pytest
import torch

from skeltools.errors import SettingError
from skeltools.skeletons import load
from skeltools.transforms import augment
from skeltools.transforms.draws import Draws

SKELETON = load("coco17")
TEXTS = {
    "crop": "crop(6)", "shear": "shear(0.5)", "rotate": "rotate(30, 10)", "flip": "flip(1)", "reverse": "reverse(1)",
    "noise": "noise(0.1, 1)", "blur": "blur(5, 0.5, 2, 1)", "axis_mask": "axis_mask(1)",
    "crop_resize": "crop_resize(0.5, 0.8, 2)", "centre_resize": "centre_resize(0.6)",
    "rotate_uniform": "rotate_uniform(0.5)", "rotate_axes": "rotate_axes(10, 90, 40)",
}  # fmt: skip


def flat_clips() -> torch.Tensor:
    x = torch.randn(6, 3, 12, 17, 1, generator=torch.Generator().manual_seed(0))
    x[:, 2] = 0
    return x


def view(text: str, x: torch.Tensor, dimensions: int = 2) -> torch.Tensor:
    return augment.parse(text, SKELETON, dimensions)(x, Draws(3, 0, torch.arange(len(x))))


def test_every_packaged_operation_is_tried() -> None:
    assert TEXTS.keys() == augment.OPERATIONS.keys()
    assert all(operation.in_plane for operation in augment.OPERATIONS.values())


@pytest.mark.parametrize("name", TEXTS)
def test_no_depth_comes_out_and_something_changes(name: str) -> None:
    x = flat_clips()
    found = view(TEXTS[name], x)
    assert not found[:, 2].any()
    assert not torch.equal(found, x)


@pytest.mark.parametrize("name", ["crop", "crop_resize", "centre_resize", "flip", "reverse", "blur"])
def test_those_that_say_so_do_the_same_as_in_space(name: str) -> None:
    assert augment.OPERATIONS[name].in_plane == augment.SAME
    assert torch.equal(view(TEXTS[name], flat_clips()), view(TEXTS[name], flat_clips(), 3))


def test_a_turn_in_the_plane_keeps_every_length() -> None:
    x = flat_clips()
    assert torch.allclose(view("rotate(90, 40)", x).norm(dim=1), x.norm(dim=1), atol=1e-5)


def test_a_mask_takes_x_or_y_of_every_clip() -> None:
    found = view("axis_mask(1)", flat_clips())
    gone = ~found.flatten(2).any(dim=2)
    assert (gone[:, :2].sum(dim=1) == 1).all()
    assert gone[:, 0].any()
    assert gone[:, 1].any()


def test_an_operation_that_does_not_say_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tilt(augment.Operation):
        """Needs depth."""

        name = "tilt"
        parameters = ()

    monkeypatch.setitem(augment.OPERATIONS, "tilt", Tilt)
    assert augment.parse("tilt()", SKELETON).text == "tilt()"
    with pytest.raises(
        SettingError, match=r"tilt needs depth, which 2-D clips do not have. For 2-D clips there are: crop, "
    ):
        augment.parse("tilt()", SKELETON, 2)


def test_what_is_told_of_a_pipeline() -> None:
    told = augment.parse("crop(6)|shear(0.5)|rotate(30, 10)", SKELETON, 2).in_plane()
    assert told == "shear: x and y sheared by one another; rotate: turned about the line of sight alone"
    assert augment.parse("crop(6)|shear(0.5)", SKELETON).in_plane() == ""
