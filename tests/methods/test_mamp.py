"""MAMP against its released code, an independent slow masking, and what a method promises the engine."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from skeltools.errors import DataError, SettingError
from skeltools.methods.contract import Batch
from skeltools.methods.mamp import MAMP, masking_order
from skeltools.reference.mamp import translate as translate_mamp
from skeltools.reference.selfcheck import check_file
from skeltools.runs.settings import resolve_recipe
from skeltools.skeletons import Form, load
from skeltools.training.optimizer import make_optimizer, weight_groups
from skeltools.training.schedule import learning_rate
from skeltools.transforms.draws import Draws, step_draws

TINY = {
    "model.dim": 32, "model.vit_depth": 3, "model.vit_heads": 4,
    "decoder.dim": 16, "decoder.depth": 2, "decoder.heads": 4, "augment.view": "none",
}  # fmt: skip
PASSES = {
    "half": {"mask.ratio": 0.5, "mask.tau": 0.75},
    "plain": {"mask.tau": 0},
    "unnormalised": {"mask.ratio": 0.5, "mask.tau": 0.75, "loss.normalise": False},
    "stride2": {"mask.ratio": 0.5, "mask.tau": 0.75, "loss.stride": 2},
    "mae": {"mask.tau": 0, "loss.target": "joint"},
}
UNIFORM = {"step0": "step0", "step1": "step1", "half": "half", "unnormalised": "half", "stride2": "half"}
KINECT = load("kinect2")
Weights = dict[str, Any]


@pytest.fixture(scope="module")
def want(shared: Path) -> Weights:
    with np.load(shared / "reference/peers/mamp_tiny.npz") as file:
        return dict(file)


def settings_of(**options: Any) -> Any:
    return resolve_recipe(
        "mamp", dataset="ntu60", split="xsub", stream="joint", options=TINY | options
    ).values


def make(form: Form = Form(KINECT, 2, 24), **options: Any) -> MAMP:  # noqa: B008 (immutable)
    return MAMP(settings_of(**options), form, "joint")


def released(want: Weights, dtype: torch.dtype, **options: Any) -> MAMP:
    """The method with the released model's initial weights."""
    model = make(**options)
    state = model.state_dict()
    stored = {key.removeprefix("init/"): value for key, value in want.items() if key.startswith("init/")}
    assert len(stored) == len(state)
    model.load_state_dict(
        {str(translate_mamp(key)): torch.from_numpy(value) for key, value in stored.items()}
    )
    return model.to(dtype)


def clips(want: Weights, name: str, dtype: torch.dtype) -> Tensor:
    return torch.from_numpy(want[name].astype(np.float32)).to(dtype)


def ordered(model: MAMP, x: Tensor, uniform: Any) -> Tensor:
    tokens = model.backbone.cut(x)
    order = masking_order(tokens, torch.from_numpy(uniform), model.steps, model.mask_settings.tau)
    return order.unflatten(0, (len(x), -1))


def weighted(y: Tensor) -> float:
    return float((y.double().flatten() * (torch.arange(y.numel()) % 97)).sum())


def predictions(model: MAMP, x: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
    """Encoded tokens in the order kept, and predictions in the order of tokens."""
    order = order.flatten(0, 1)
    kept = order[:, : model.kept]
    patches = torch.stack([row[k] for row, k in zip(model.backbone.cut(x), kept, strict=True)])
    latent = model.backbone.encode(patches, model.steps, kept)
    return latent, torch.stack(
        [row[o.argsort()] for row, o in zip(model.decoder(latent, order), order, strict=True)]
    )


def close(got: Any, expected: Any, bound: float, relative: bool = False) -> None:
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    error = np.abs(got - expected) / (np.abs(expected) if relative else 1)
    assert error.max() <= bound, f"{error.max():.2e} is more than {bound:.0e}"


def test_two_training_steps_equal_the_released_code(want: Weights) -> None:
    model = released(want, torch.float32)
    optimizer = make_optimizer(settings_of().train, model)
    for group in optimizer.param_groups:
        group["lr"] = 1e-3
    for step in range(2):
        fields = {k.removeprefix(f"step{step}/"): v for k, v in want.items() if k.startswith(f"step{step}/")}
        x = clips(want, f"x{step}", torch.float32)
        order = ordered(model, x, want[f"uniform/step{step}"])
        np.testing.assert_array_equal(order.flatten(0, 1)[:, : model.kept], fields["kept"])
        target = model.target(x)
        close(weighted(target), fields["target_norm_weighted"], 1e-5, True)
        close(target.abs().sum(), fields["target_norm_abs_sum"], 1e-6, True)
        with torch.no_grad():
            latent, predicted = predictions(model, x, order)
        close(latent[0, :2], fields["latent_first"], 1e-5)
        close(weighted(latent), fields["latent_weighted"], 1e-5, True)
        close(predicted[0, :2], fields["pred_first"], 1e-5)
        close(predicted.double().sum(), fields["pred_sum"], 1e-6, True)
        close(weighted(predicted), fields["pred_weighted"], 1e-6, True)
        optimizer.zero_grad()
        output = model(x, order, torch.full((3, 2), 0.5))
        close(output.loss.detach(), fields["loss"], 2e-6)
        each = [model(x, order, torch.eye(6)[i].view(3, 2) * 3).loss.item() for i in range(6)]
        close(each, fields["loss_by_body"], 1e-5)
        output.loss.backward()
        found = dict(model.named_parameters())
        for key, value in fields.items():
            kind, _, name = key.partition("/")
            if kind == "grad":
                close(found[str(translate_mamp(name))].grad.double().norm(), value, 1e-5, True)
        optimizer.step()
        for key, value in fields.items():
            if key.startswith("after/norm/"):
                bound = 5e-3 if key.endswith("qkv.bias") else 1e-6
                name = str(translate_mamp(key.removeprefix("after/norm/")))
                close(found[name].detach().double().norm(), value, bound, True)


@pytest.mark.parametrize("name", PASSES)
def test_other_passes_equal_the_released_code(want: Weights, name: str) -> None:
    model = released(want, torch.float32, **PASSES[name])
    x = clips(want, "x0", torch.float32)
    order = ordered(model, x, want[f"uniform/{UNIFORM.get(name, name)}"])
    np.testing.assert_array_equal(order.flatten(0, 1)[:, : model.kept], want[f"{name}/kept"])
    loss = model(x, order, torch.full((3, 2), 0.5)).loss
    close(loss.detach(), want[f"{name}/loss"], 2e-6)
    _, predicted = predictions(model, x, order)
    close(predicted.detach().double().sum(), want[f"{name}/pred_sum"], 1e-6, True)
    close(weighted(predicted.detach()), want[f"{name}/pred_weighted"], 1e-6, True)
    loss.backward()
    total = torch.stack([p.grad.double().norm() for p in model.parameters() if p.grad is not None]).norm()
    close(total, want[f"{name}/grad_total"], 1e-5, True)


@pytest.mark.parametrize("name", ["step0", *PASSES])
def test_float64_equals_the_released_code_in_float64(want: Weights, name: str) -> None:
    model = released(want, torch.float64, **PASSES.get(name, {}))
    x = clips(want, "x0", torch.float64)
    order = ordered(model, x, want[f"uniform/{UNIFORM.get(name, name)}"])
    loss = model(x, order, torch.full((3, 2), 0.5, dtype=torch.float64)).loss
    close(loss.item(), want[f"float64/{name}/loss"], 1e-10)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_encoder_equals_that_of_mamp_and_stars(want: Weights, shared: Path, dtype: torch.dtype) -> None:
    encoder = released(want, dtype).backbone.eval()
    x = clips(want, "x0", dtype)
    with torch.no_grad():
        tokens = encoder.token_map(encoder(x))  # (N, M, T', V, D)
        feature = encoder.features(x)
    double = dtype == torch.float64
    at, bound = ("float64/encoder/", 1e-10) if double else ("encoder/", 1e-5)
    close(feature, want[f"{at}feature"], bound)
    close(tokens.mean(2).mean(1).flatten(1), want[f"{at}feature_by_joint"], bound)
    close(tokens[0, 0, :2, :3], want["encoder/tokens_first"], 1e-5)
    close(tokens[1, 1, :2, :3], want["encoder/tokens_absent_body_first"], 1e-5)
    with np.load(shared / "reference/peers/stars_tiny.npz") as stars:
        close(feature, stars["float64/feature" if double else "feature"], bound)


def test_the_entries_the_encoder_has_none_of_are_those_it_leaves_out(want: Weights) -> None:
    names = [key.removeprefix("init/") for key in want if key.startswith("init/")]
    left = {name for name in names if not str(translate_mamp(name)).startswith("backbone.")}
    assert left == set(want["encoder/left_out"].tolist())


def test_what_decays_is_what_decays_in_the_released_code(want: Weights) -> None:
    model = make()
    decays, still = weight_groups(settings_of().train, model)
    number = {id(weight): name for name, weight in model.named_parameters()}
    for group, names in ((decays, want["adamw/decay"]), (still, want["adamw/no_decay"])):
        assert {number[id(weight)] for weight in group["params"]} == {translate_mamp(str(n)) for n in names}
    assert still["weight_decay"] == 0


def test_the_schedule_is_the_released_one(want: Weights) -> None:
    train = settings_of().train
    for epoch, rate in want["schedule/pretrain"]:
        assert learning_rate(train, round(epoch * 10_000), 10_000) == pytest.approx(rate, abs=1e-12)


def slow_order(tokens: Tensor, uniform: Tensor, times: int, tau: float) -> list[list[int]]:
    """The masking in plain loops, in Python's floats."""
    rows = []
    for sequence, draws in zip(tokens.tolist(), uniform.tolist(), strict=True):
        joints = len(sequence) // times
        motion = []
        for place, token in enumerate(sequence):
            now = place if place >= joints else place + joints
            if times == 1:
                motion.append(0.0)
            else:
                pairs = zip(sequence[now], sequence[now - joints], strict=True)
                motion.append(sum(abs(a - b) for a, b in pairs) / len(token))
        heat = [value / (max(motion) * tau + 1e-10) for value in motion]
        total = sum(math.exp(value) for value in heat)
        score = [
            math.log(math.exp(value) / total) - math.log(-math.log(u + 1e-10) + 1e-10)
            for value, u in zip(heat, draws, strict=True)
        ]
        rows.append(sorted(range(len(score)), key=lambda place: score[place]))
    return rows


@given(
    times=st.integers(1, 5), joints=st.integers(1, 7), tau=st.sampled_from([0.05, 0.75, 0.8, 3.0]),
    still=st.booleans(), seed=st.integers(0, 1000),
)  # fmt: skip
def test_masking_equals_plain_loops(times: int, joints: int, tau: float, still: bool, seed: int) -> None:
    draws = Draws(seed, 0, torch.arange(3))
    tokens = draws.uniform("x", times * joints * 6).double().view(3, -1, 6)
    tokens[0] = 0 if still else tokens[0]
    uniform = draws.uniform("u", times * joints).double()
    got = masking_order(tokens, uniform, times, tau)
    assert got.tolist() == slow_order(tokens, uniform, times, tau)


def test_what_moves_is_hidden_more_often() -> None:
    tokens = torch.zeros(400, 2 * 10, 3)
    tokens[:, 10:15] = 1.0  # of ten joints five move
    uniform = Draws(0, 0, torch.arange(400)).uniform("u", 20)
    kept = masking_order(tokens, uniform, 2, 0.75)[:, :10] % 10
    assert (kept < 5).float().mean() < 0.3


def batch_of(x: Tensor, mine: slice | None = None, epoch: int = 0) -> Batch:
    return Batch(x, Draws(7, epoch, torch.arange(len(x)) + 100), step_draws(7, 0), mine or slice(0, len(x)))


def walk(count: int, frames: int, joints: int, bodies: int) -> Tensor:
    x = (
        torch.randn(count, 3, frames, joints, bodies, generator=torch.Generator().manual_seed(1)).cumsum(2)
        * 0.1
    )
    if bodies > 1:
        x[::2, ..., 1:] = 0
    return x


@pytest.mark.parametrize("absent", ["ordinary", "left_out"])
def test_parts_of_a_batch_give_together_what_the_whole_gives(absent: str) -> None:
    """Several processes, or micro-batches: the mean of their losses and gradients is that of the batch."""
    options = {"augment.view": "crop_resize(0.5,1,8)|rotate_uniform(0.3)", "model.vit_absent": absent}
    model = make(**options).double()
    x = walk(6, 24, 25, 2).double()

    def grads(parts: list[slice]) -> tuple[float, Tensor]:
        model.zero_grad()
        losses = []
        for part in parts:
            loss = model(*model.views(batch_of(x, part))).loss / len(parts)
            loss.backward()
            losses.append(loss.item())
        return sum(losses), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    whole, expected = grads([slice(0, 6)])
    for parts in ([slice(0, 3), slice(3, 6)], [slice(i, i + 1) for i in range(6)]):
        loss, found = grads(parts)
        assert loss == pytest.approx(whole, rel=1e-12)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-14)


def test_draws_are_of_clip_and_body_not_of_the_batch() -> None:
    model, x = make(**{"augment.view": "crop_resize(0.5,1,8)|rotate_uniform(0.3)"}), walk(4, 24, 25, 2)
    whole = model.views(batch_of(x))
    for some in (slice(0, 1), slice(2, 4)):
        for got, all_of_them in zip(model.views(batch_of(x, some)), whole, strict=True):
            torch.testing.assert_close(got, all_of_them[some], rtol=0, atol=1e-6)
    assert not torch.equal(whole[1][:, 0], whole[1][:, 1])
    assert not torch.equal(whole[1], model.views(batch_of(x, epoch=1))[1])


@pytest.mark.parametrize("absent", ["ordinary", "left_out"])
def test_an_absent_body(absent: str) -> None:
    """An ordinary sequence whose target is zero; or else neither in the loss nor in the feature."""
    model, x = make(**{"model.vit_absent": absent}).eval(), walk(2, 24, 25, 2)
    x[:, ..., 1] = 0
    views = model.views(batch_of(x))
    alone = model(views[0][..., :1], views[1][:, :1], torch.ones(2, 1)).loss
    assert (model(*views).loss.item() == pytest.approx(alone.item(), rel=1e-6)) is (absent == "left_out")
    model.backbone.bodies = 1
    single = model.backbone.pool(model.backbone.encode(model.backbone.cut(x[..., :1]), model.steps))
    model.backbone.bodies = 2
    features = model.backbone.features(x)
    assert torch.allclose(features, single, atol=1e-5) is (absent == "left_out")
    told = model.backbone.features(x, bodies=torch.ones(2, 2, dtype=torch.bool))
    assert torch.equal(told, features) is (absent == "ordinary")


def test_clips_without_any_body_leave_the_loss_finite() -> None:
    model = make(**{"model.vit_absent": "left_out"})
    output = model(*model.views(batch_of(torch.zeros(2, 3, 24, 25, 2))))
    output.loss.backward()
    assert output.loss.item() == 0
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


@given(
    joints=st.sampled_from([17, 20, 25, 33]), bodies=st.integers(1, 3), steps=st.integers(1, 5),
    patch=st.integers(1, 5), ratio=st.sampled_from([0.05, 0.5, 0.9]),
)  # fmt: skip
def test_any_form_trains(joints: int, bodies: int, steps: int, patch: int, ratio: float) -> None:
    skeleton = next(
        s for s in map(load, ("coco17", "kinect1", "kinect2", "mediapipe33")) if s.num_joints == joints
    )
    form = Form(skeleton, bodies, steps * patch)
    options = {"model.vit_patch": patch, "mask.ratio": ratio, "augment.view": "crop_resize(0.5,1,1)"}
    if form.frames == 1:
        options["loss.target"] = "joint"
    model = make(form, **options)
    model.check(2)
    output = model(*model.views(batch_of(walk(2, form.frames, joints, bodies))))
    output.loss.backward()
    assert torch.isfinite(output.loss)
    assert set(output.parts) == {options.get("loss.target", "motion")}


@pytest.mark.slow
@pytest.mark.parametrize("bf16", [False, True])
def test_torch_compile_sees_one_graph(bf16: bool) -> None:
    """Where all bodies are ordinary; and the graph's loss is the method's."""
    model = make()
    views = model.views(batch_of(walk(2, 24, 25, 2)))
    # All that torch.compile does but the machine's code; fullgraph: an error at the first break.
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        plain, found = model(*views).loss, compiled(*views).loss
    found.backward()
    assert found.item() == pytest.approx(plain.item(), rel=1e-2 if bf16 else 1e-6)
    assert plain.dtype == torch.float32


def test_bf16_is_near_float32() -> None:
    model = make()
    views = model.views(batch_of(walk(4, 24, 25, 2)))
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(*views).loss
    assert loss.item() == pytest.approx(model(*views).loss.item(), rel=1e-2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask.ratio": 1.0}, "mask.ratio 1 hides 150 of the 150 tokens"),
        ({"mask.ratio": 0.999}, "mask.ratio 0.999 hides 150 of the 150 tokens"),
        ({"loss.stride": 24}, "loss.stride 24 is not below the clips' 24 frames."),
        ({"decoder.heads": 3}, "decoder.heads 3 does not divide decoder.dim 16."),
        ({"model.vit_heads": 5}, "model.vit_heads 5 does not divide model.dim 32."),
        ({"model.vit_patch": 5}, "model.vit_patch 5 does not divide the clips' 24 frames."),
        ({"model.backbone": "stgcn"}, "model.backbone must be vit"),
        ({"train.lr_min": 1.0}, "train.lr_min 1 is above train.lr 0.001."),
        ({"train.betas": [0.9]}, "Setting 'train.betas' must be two numbers, not [0.9]."),
        ({"mask.ratio": 0.0}, "Setting 'mask.ratio' (option) must be greater than 0, not 0.0."),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError) as caught:
        make(**options).check(2)
    assert message in str(caught.value)


def changed(want: Weights, **changes: Any) -> Weights:
    return {key: value for key, value in (want | changes).items() if value is not None}


def test_selfcheck_knows_the_file_and_refuses_a_damaged_one(
    want: Weights, shared: Path, tmp_path: Path
) -> None:
    rows = check_file(shared / "reference/peers/mamp_tiny.npz", torch.device("cpu"))
    assert len(rows) > 150
    assert all(row.ok and not row.skipped for row in rows)
    path = tmp_path / "own.npz"
    np.savez(path, **changed(want, **{"step0/loss": want["step0/loss"] + 1e-4, "half/loss": None}))
    rows = check_file(path, torch.device("cpu"))
    assert [row.quantity for row in rows if not row.ok] == ["step0/loss"]
    assert [row.quantity for row in rows if row.skipped] == ["half/loss"]
    for changes in (
        {"x0": None}, {"x0": want["x0"][..., 0]}, {"x0": want["x0"][:, :, :20]}, {"hparams": np.arange(2)},
        {"init/mask_token": None}, {"init/norm.bias": np.zeros(31, np.float32)}, {"uniform/half": np.zeros(3)},
        {"hparams": np.zeros(8, np.int64)}, {"init/joints_embed.proj.weight": np.zeros(3, np.float32)},
    ):  # fmt: skip
        np.savez(path, **changed(want, **changes))
        with pytest.raises(DataError, match=str(path)):
            check_file(path, torch.device("cpu"))
