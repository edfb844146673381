"""ViT: what its tokens are, other numbers of frames, and attention against its plainest form."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from skeltools.errors import SettingError
from skeltools.models.contract import initialise
from skeltools.models.encoder import FeatureEncoder
from skeltools.models.registry import build_backbone
from skeltools.models.stgcn import STGCN
from skeltools.models.vit import Block, ViT, positions
from skeltools.runs.settings import resolve_recipe
from skeltools.skeletons import Form, load

FORM = Form(load("kinect1"), 2, 24)


def make(form: Form = FORM, **options: object) -> ViT:
    torch.manual_seed(0)
    return ViT(16, 2, 4, form, **options).eval()  # type: ignore[arg-type]


def clips(form: Form = FORM, count: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 3, form.frames, form.joints, form.bodies, generator=generator)


def test_a_token_is_one_joint_in_its_frames() -> None:
    x = clips()
    tokens = make().cut(x).view(3, 2, 6, 20, 4, 3)
    for clip, body, time, joint in ((0, 0, 0, 0), (2, 1, 5, 19), (1, 0, 3, 7)):
        assert torch.equal(
            tokens[clip, body, time, joint], x[clip, :, 4 * time : 4 * time + 4, joint, body].T
        )


def test_the_patch_map_is_a_convolution() -> None:
    model, x = make(), clips()
    model.blocks, model.norm = torch.nn.Sequential(), torch.nn.Identity()  # type: ignore[assignment]
    flat = x.permute(0, 4, 1, 2, 3).flatten(0, 1)  # (S, 3, T, V)
    plain = model.patch(flat).permute(0, 2, 3, 1) + model.joint_position + model.time_position
    torch.testing.assert_close(model(x), plain.flatten(1, 2), rtol=0, atol=1e-6)


def test_attention_is_softmax_of_scaled_products() -> None:
    block, x = Block(16, 4, 2).double(), torch.randn(2, 5, 16, dtype=torch.float64)
    q, k, v = (part.view(2, 5, 4, 4).transpose(1, 2) for part in block.qkv(x).chunk(3, dim=2))
    weights = ((q @ k.transpose(2, 3)) * 4**-0.5).softmax(dim=3)
    plain = block.out((weights @ v).transpose(1, 2).reshape(2, 5, 16))
    torch.testing.assert_close(block.attend(x), plain, rtol=0, atol=1e-12)


def test_tokens_given_by_place_equal_those_given_whole() -> None:
    """Where all tokens are there, in whatever order, each is encoded the same."""
    model, x = make().double(), clips().double()
    patches, order = model.cut(x), torch.stack([torch.randperm(120) for _ in range(6)])
    picked = torch.stack([row[o] for row, o in zip(patches, order, strict=True)])
    whole = model(x)
    expected = torch.stack([row[o] for row, o in zip(whole, order, strict=True)])
    torch.testing.assert_close(model.encode(picked, 6, order), expected, rtol=0, atol=1e-12)


def test_time_positions_are_resized_for_other_numbers_of_frames() -> None:
    model = make()
    joint, time = model.joint_position, model.time_position
    assert torch.equal(positions(joint, time, 6), (joint + time).reshape(120, 16))
    steady = torch.ones_like(time)
    torch.testing.assert_close(positions(joint, steady, 9), (joint + 1).expand(1, 9, -1, -1).reshape(180, 16))
    wanted = F.interpolate(time[0].permute(2, 1, 0)[None], size=(1, 9), mode="bicubic", align_corners=False)
    torch.testing.assert_close(positions(0 * joint, time, 9)[::20], wanted[0, :, 0].T, rtol=0, atol=1e-6)
    assert model.features(clips(Form(FORM.skeleton, 2, 36))).shape == (3, 16)


@pytest.mark.parametrize("bodies", [1, 2, 3])
def test_the_feature_is_the_mean_over_tokens_and_bodies(bodies: int) -> None:
    form = Form(load("coco17"), bodies, 8)
    model, x = make(form), clips(form)
    tokens = model.token_map(model(x))
    assert tokens.shape == (3, bodies, 2, 17, 16)
    torch.testing.assert_close(model.features(x), tokens.mean(dim=(1, 2, 3)))


def test_bodies_left_out_change_nothing() -> None:
    """With absent bodies left out the feature is that of the others alone; which are there may be told."""
    x = clips()
    x[0, ..., 1] = 0
    ordinary, model = make(), make(absent="left_out")
    one = ordinary.token_map(ordinary(x))[0, 0].mean(dim=(0, 1))
    torch.testing.assert_close(model.features(x)[0], one)
    torch.testing.assert_close(model.features(x)[1:], ordinary.features(x)[1:])
    there = torch.tensor([[True, False], [True, True], [True, True]])
    encoder = FeatureEncoder(model)
    assert torch.equal(encoder(x, torch.full((3,), 24), there), encoder(x))
    assert torch.equal(model.features(torch.zeros_like(x)), torch.zeros(3, 16))


def test_backbones_that_ask_for_clips_alone_get_them_alone() -> None:
    encoder, x = FeatureEncoder(STGCN(4, 16, 0.0, FORM).eval()), clips()
    initialise(encoder)
    assert torch.equal(encoder(x, torch.full((3,), 9), torch.ones(3, 2, dtype=torch.bool)), encoder(x))


def test_frames_that_are_no_whole_tokens_are_refused() -> None:
    for act in (lambda: make(Form(FORM.skeleton, 2, 30)), lambda: make()(clips(Form(FORM.skeleton, 2, 30)))):
        with pytest.raises(SettingError) as caught:
            act()
        assert str(caught.value) == (
            "model.vit_patch 4 does not divide the clips' 30 frames. Choose another, or convert to another "
            "number of frames."
        )


def test_its_start_is_its_own_in_contrastive_methods_too() -> None:
    settings = resolve_recipe(
        None, dataset="ntu60", split="xsub", stream="joint", overrides=["model.backbone=vit", "model.dim=64"]
    ).values
    model = build_backbone(settings.model, FORM)
    assert isinstance(model, ViT)
    assert len(model.blocks) == 8
    initialise(model)
    assert 0.015 < model.joint_position.std().item() < 0.025
    bound = (6 / (64 + 192)) ** 0.5
    for block in model.blocks:
        assert 0.97 * bound < block.qkv.weight.abs().max().item() <= bound
        assert block.qkv.bias.abs().max().item() == 0
    assert model.patch.weight.abs().max().item() <= 12**-0.5
