"""Augmentations, streams, part swap and draws: reference numbers, properties, distributions."""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forms import SKELETON
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from skeltools.errors import SettingError
from skeltools.transforms import augment, partswap
from skeltools.transforms.draws import Draws, permutation, step_draws
from skeltools.transforms.partswap import PartSwap, SwapRange
from skeltools.transforms.streams import to_stream

ALL = {
    "crop": "crop(6)",
    "shear": "shear(0.5)",
    "rotate": "rotate(30, 1)",
    "flip": "flip(0.5)",
    "reverse": "reverse(0.5)",
    "noise": "noise(0.01, 0.5)",
    "blur": "blur(15, 0.1, 2, 0.5)",
    "axis_mask": "axis_mask(0.5)",
}
ELSEWHERE = {"crop_resize", "centre_resize", "rotate_uniform", "rotate_axes"}
"""Operations of test_resize.py."""
SWAP = SwapRange("parts", (3, 4), (4, 7), 4, "partner")


def clips(n: int = 5, frames: int = 64, seed: int = 0) -> Tensor:
    """Clips of random walks; the second body of every other clip is absent."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, frames, 25, 2, generator=generator).cumsum(2) * 0.02
    x = x + torch.randn(n, 3, 1, 25, 2, generator=generator)
    x[::2, ..., 1] = 0
    return x


def draws(n: int, seed: int = 0, epoch: int = 0, first: int = 0) -> Draws:
    return Draws(seed, epoch, torch.arange(first, first + n))


def one(text: str) -> augment.Operation:
    return augment.parse(text, SKELETON).operations[0]


# Reference numbers


def test_fixed_draws_give_the_reference_results(shared: Path) -> None:
    golden = np.load(shared / "reference" / "augment.npz")
    x = torch.from_numpy(golden["x"])[None]

    def check(name: str, y: Tensor, bound: float = 0.0) -> None:
        np.testing.assert_allclose(y[0].numpy(), golden[name], rtol=0, atol=bound)

    yes = torch.tensor([True])
    entries = torch.from_numpy(golden["shear/draws"])[None]
    check("shear/y", one("shear(0.5)").apply(x, {"entries": entries}), 1e-6)
    for start in (0, 7, 20):
        check(f"crop6/start{start}", one("crop(6)").apply(x, {"start": torch.tensor([start])}))
    check("flip/y", one("flip(0.5)").apply(x, {"flag": yes}))
    check("reverse/y", one("reverse(0.5)").apply(x, {"flag": yes}))
    for axis in range(3):
        angles = torch.from_numpy(golden[f"rotate/angles{axis}"])[None]
        check(f"rotate/axis{axis}", one("rotate(30, 1)").apply(x, {"angles": angles}), 1e-6)
    masked = one("axis_mask(0.5)").apply(x, {"flag": yes, "axis": torch.tensor([1])})
    check("axis_mask/axis1", masked)


# Every operation: what it preserves


def test_every_operation_is_tested_here() -> None:
    assert ALL.keys() | ELSEWHERE == augment.OPERATIONS.keys()


@pytest.mark.parametrize("text", ALL.values())
def test_shape_dtype_input_and_absent_bodies_are_preserved(text: str) -> None:
    for frames in (64, 50, 7):
        x = clips(6, frames)
        before = x.clone()
        y = augment.parse(text, SKELETON)(x, draws(6))
        assert y.shape == x.shape
        assert y.dtype == x.dtype
        assert torch.equal(x, before)
        assert torch.isfinite(y).all()
        assert (y[::2, ..., 1] == 0).all()
        assert not torch.equal(y, x)


def bone_lengths(x: Tensor) -> Tensor:
    return torch.stack([(x[:, :, :, a] - x[:, :, :, b]).norm(dim=1) for a, b in SKELETON.bones], dim=-1)


def test_rotation_keeps_bone_lengths_and_handedness() -> None:
    x = clips(8)
    angles = torch.rand(8, 3) * 360
    y = one("rotate(360, 360)").apply(x, {"angles": angles})
    torch.testing.assert_close(bone_lengths(y), bone_lengths(x), rtol=1e-5, atol=1e-5)
    eye = torch.eye(3)[None, :, None, :, None].expand(8, 3, 1, 3, 1)
    axes = one("rotate(360, 360)").apply(torch.cat([eye, eye], 4), {"angles": angles})[:, :, 0, :, 0]
    torch.testing.assert_close(torch.linalg.det(axes), torch.ones(8))


def test_flip_keeps_bone_lengths_up_to_sides_and_is_an_involution() -> None:
    x, yes = clips(4), torch.ones(4, dtype=torch.bool)
    y = one("flip(1)").apply(x, {"flag": yes})
    assert torch.equal(one("flip(1)").apply(y, {"flag": yes}), x)
    mirrored = [SKELETON.bones.index((SKELETON.mirror[a], SKELETON.mirror[b])) for a, b in SKELETON.bones]
    assert torch.equal(bone_lengths(y), bone_lengths(x)[..., mirrored])
    assert torch.equal(one("flip(1)").apply(x, {"flag": ~yes}), x)


def test_reversal_is_an_involution() -> None:
    x, yes = clips(4), torch.ones(4, dtype=torch.bool)
    y = one("reverse(1)").apply(x, {"flag": yes})
    assert not torch.equal(y, x)
    assert torch.equal(one("reverse(1)").apply(y, {"flag": yes}), x)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 80), st.integers(1, 12), st.integers(0, 10**6))
def test_crop_takes_neighbouring_frames_of_the_clip(frames: int, ratio: int, seed: int) -> None:
    x = torch.arange(frames, dtype=torch.float32).view(1, 1, -1, 1, 1).expand(2, 3, -1, 25, 2).contiguous()
    y = augment.parse(f"crop({ratio})")(x, draws(2, seed))[:, 0, :, 0, 0]
    assert ((y >= 0) & (y < frames)).all()
    steps = (y[:, 1:] - y[:, :-1]).abs()
    assert ((steps == 1) | (steps == 0)).all()
    assert (steps == 0).sum(dim=1).max() <= 2 if frames > 1 else True


@settings(max_examples=30, deadline=None)
@given(st.floats(0.05, 50), st.sampled_from([1, 3, 15, 31]))
def test_blur_kernel_has_unit_sum_and_keeps_constants(sigma: float, size: int) -> None:
    blur = one(f"blur({size}, 0.01, 100, 1)")
    assert isinstance(blur, augment.Blur)
    kernel = blur.kernel(torch.tensor([sigma]))
    assert kernel.shape == (1, size)
    torch.testing.assert_close(kernel.sum(), torch.tensor(1.0))
    torch.testing.assert_close(kernel, kernel.flip(1))
    still = clips(1)[:, :, :1].expand(-1, -1, 20, -1, -1)
    blurred = blur.apply(still, {"flag": torch.tensor([True]), "sigma": torch.tensor([sigma])})
    torch.testing.assert_close(blurred, still)


def test_axis_mask_zeroes_exactly_one_coordinate() -> None:
    x = clips(64) + 1
    y = augment.parse("axis_mask(1)")(x, draws(64))
    zero = (y == 0).flatten(2).all(dim=2)
    assert (zero.sum(dim=1) == 1).all()
    assert torch.equal(y[~zero], x[~zero])


# Every operation: the batch equals a simple loop over clips


def per_clip(name: str, x: Any, drawn: dict[str, Any], values: tuple[float, ...]) -> Any:
    """One clip (3, T, 25, 2) in NumPy, straight from the description."""
    frames = x.shape[1]
    if name == "crop":
        pad = frames // int(values[0])
        padded = np.concatenate([x[:, :pad][:, ::-1], x, x[:, frames - pad :][:, ::-1]], axis=1)
        return padded[:, drawn["start"] : drawn["start"] + frames]
    if name == "shear":
        d = drawn["entries"]
        matrix = np.array([[1, d[0], d[3]], [d[1], 1, d[4]], [d[2], d[5], 1]])
        return np.einsum("ij,jtvm->itvm", matrix, x)
    if name == "rotate":
        for axis, angle in enumerate(np.deg2rad(drawn["angles"])):
            a, b = [(1, 2), (2, 0), (0, 1)][axis]
            y = x.copy()
            y[a] = np.cos(angle) * x[a] + np.sin(angle) * x[b]
            y[b] = -np.sin(angle) * x[a] + np.cos(angle) * x[b]
            x = y
        return x
    if name == "noise":
        y = x + values[0] * drawn["noise"] * (x != 0).any(axis=(0, 1, 2))
        return y if drawn["flag"] else x
    if name == "blur":
        if not drawn["flag"]:
            return x
        radius = int(values[0]) // 2
        weights = [math.exp(-0.5 * (k / drawn["sigma"]) ** 2) for k in range(-radius, radius + 1)]
        y = np.zeros_like(x)
        for t in range(frames):
            for k, weight in zip(range(-radius, radius + 1), weights, strict=True):
                y[:, t] += weight / sum(weights) * x[:, min(max(t + k, 0), frames - 1)]
        return y
    if name == "axis_mask":
        y = x.copy()
        if drawn["flag"]:
            y[drawn["axis"]] = 0
        return y
    if not drawn["flag"]:
        return x
    return x[:, :, list(SKELETON.mirror)] if name == "flip" else x[:, ::-1]


@pytest.mark.parametrize("name", ALL)
def test_the_batch_equals_clip_by_clip(name: str) -> None:
    operation = one(ALL[name])
    x = clips(12)
    drawn = operation.draw(draws(12), x)
    y = operation.apply(x, drawn)
    for i in range(12):
        mine = {
            key: value[i].double().numpy() if value.is_floating_point() else value[i].numpy()
            for key, value in drawn.items()
        }
        expected = per_clip(name, x[i].double().numpy(), mine, operation.values)
        np.testing.assert_allclose(y[i].numpy(), expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("text", [*ALL.values(), "crop(6)|shear(0.5)|flip(0.5)|noise(0.01,0.5)"])
def test_a_clip_gets_the_same_view_in_every_batch(text: str) -> None:
    x = clips(7)
    pipeline = augment.parse(text, SKELETON)
    together = pipeline(x, draws(7, seed=3, epoch=2))
    order = torch.tensor([4, 0, 6])
    some = pipeline(x[order], Draws(3, 2, order))
    torch.testing.assert_close(some, together[order], rtol=0, atol=1e-6)


# Every operation: how its draws are distributed


def uniformity(values: Tensor, low: float, high: float, bins: int = 20) -> float:
    """Return chi-square per degree of freedom of values against the uniform distribution."""
    counts = torch.histc(values.double(), bins, low, high)
    expected = len(values) / bins
    assert int(counts.sum()) == len(values)
    return float((((counts - expected) ** 2) / expected).sum() / (bins - 1))


N = 20000
FLAT = 2.2
"""Chi-square per degree of freedom (19 of them) exceeds this with probability 0.002."""


def drawn(text: str) -> Any:
    return one(text).draw(draws(N, seed=11), torch.zeros(1, 3, 64, 25, 2).expand(N, -1, -1, -1, -1))


def test_crop_starts_are_uniform() -> None:
    start = drawn("crop(6)")["start"]
    assert sorted(start.unique().tolist()) == list(range(21))
    counts = torch.bincount(start).double()
    assert float((((counts - N / 21) ** 2) / (N / 21)).sum() / 20) < FLAT


def test_shear_entries_are_uniform_and_independent() -> None:
    entries = drawn("shear(0.5)")["entries"]
    for column in entries.T:
        assert uniformity(column, -0.5, 0.5) < FLAT
    correlation = torch.corrcoef(entries.T) - torch.eye(6)
    assert correlation.abs().max() < 4.5 / math.sqrt(N)


def test_rotation_has_one_main_axis_and_uniform_angles() -> None:
    angles = drawn("rotate(30, 1)")["angles"]
    large = angles > 1
    assert (large.sum(dim=1) <= 1).all()
    for axis in range(3):
        share = large[:, axis].double().mean().item()
        assert share == pytest.approx(29 / 30 / 3, abs=5 * math.sqrt(0.25 / N))
        assert uniformity(angles[large[:, axis], axis], 1, 30) < FLAT
        assert uniformity(angles[~large[:, axis], axis], 0, 1) < 3


@pytest.mark.parametrize("name", ["flip", "reverse", "blur", "axis_mask"])
@pytest.mark.parametrize("probability", [0.0, 0.2, 0.5, 1.0])
def test_chances_are_as_asked(name: str, probability: float) -> None:
    text = f"blur(15,0.1,2,{probability})" if name == "blur" else f"{name}({probability})"
    share = drawn(text)["flag"].double().mean().item()
    assert share == pytest.approx(probability, abs=4 * math.sqrt(probability * (1 - probability) / N))


def test_blur_sigmas_and_masked_axes_are_uniform() -> None:
    assert uniformity(drawn("blur(15,0.1,2,0.5)")["sigma"], 0.1, 2) < FLAT
    axes = torch.bincount(drawn("axis_mask(0.5)")["axis"]).double() / N
    assert axes.tolist() == pytest.approx([1 / 3] * 3, abs=5 * math.sqrt(2 / 9 / N))


def test_noise_is_standard_normal() -> None:
    x = torch.ones(3, 3, 64, 25, 2)
    y = augment.parse("noise(0.01, 1)")(x, draws(3)) - x
    values = (y / 0.01).flatten().double()
    n = len(values)
    assert values.mean().item() == pytest.approx(0, abs=5 / math.sqrt(n))
    assert values.std().item() == pytest.approx(1, abs=5 / math.sqrt(2 * n))
    normal = torch.distributions.Normal(0.0, 1.0)
    assert uniformity(normal.cdf(values), 0, 1) < FLAT


# Draws


def test_draws_depend_on_each_of_seed_epoch_clip_and_purpose_and_on_nothing_else() -> None:
    base = draws(1000).uniform("a", 3)
    assert torch.equal(base, draws(1000).uniform("a", 3))
    assert torch.equal(base[500:], draws(500, first=500).uniform("a", 3))
    for other in (
        draws(1000, seed=1).uniform("a", 3),
        draws(1000, seed=2**32).uniform("a", 3),
        draws(1000, epoch=1).uniform("a", 3),
        draws(1000, first=1000).uniform("a", 3),
        draws(1000).uniform("b", 3),
        draws(1000).scoped("view").uniform("a", 3),
    ):
        correlation = torch.corrcoef(torch.stack([base.flatten(), other.flatten()]))[0, 1]
        assert abs(correlation) < 4.5 / math.sqrt(3000)
        assert (base == other).double().mean() < 0.01


def slow_word(seed: int, epoch: int, clip: int, purpose: str, place: int) -> int:
    """The hash with Python's unbounded integers, one value at a time."""
    mask = 2**32 - 1

    def mix(x: int) -> int:
        x = ((x ^ x >> 16) * 0x7FEB352D) & mask
        x = ((x ^ x >> 15) * 0x46CA68B5) & mask
        return x ^ x >> 16

    key = mix(zlib.crc32(purpose.encode()) ^ 0x5BD1E995)
    for word in (seed & mask, seed >> 32, epoch):
        key = mix(((3 * key + 0x3C6EF372) & mask) ^ mix((word + 0x1B873593) & mask))
    row = mix((((clip & mask) ^ key) + (clip >> 32)) & mask)
    return mix((mix(row ^ (place + 1) * 0x1E3779B1 & mask) + key) & mask)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**64 - 1), st.integers(0, 2**31), st.integers(0, 2**40), st.text(max_size=8))
def test_draws_are_exact_integers_on_every_machine(seed: int, epoch: int, clip: int, purpose: str) -> None:
    made = Draws(seed, epoch, torch.tensor([clip]))
    words = [slow_word(seed, epoch, clip, purpose, place) for place in range(5)]
    assert made.uniform(purpose, 5)[0].tolist() == [(word >> 8) / 2**24 for word in words]
    assert made.integers(purpose, -3, 96).item() == -3 + (words[0] * 100 >> 32)


def test_uniform_draws_are_uniform_over_clips_epochs_and_places() -> None:
    over_clips = draws(N).uniform("u", 1).flatten()
    over_epochs = torch.cat([Draws(0, epoch, torch.tensor([5])).uniform("u", 1)[0] for epoch in range(4000)])
    over_places = draws(1).uniform("u", N).flatten()
    for values in (over_clips, over_epochs, over_places):
        assert values.min() >= 0
        assert values.max() < 1
        assert uniformity(values, 0, 1) < FLAT
        pairs = torch.corrcoef(torch.stack([values[1:], values[:-1]]))[0, 1]
        assert abs(pairs) < 4.5 / math.sqrt(len(values))


def test_the_order_of_an_epoch_is_a_permutation_of_its_own() -> None:
    first, again, second = permutation(1, 0, 1000), permutation(1, 0, 1000), permutation(1, 1, 1000)
    assert torch.equal(first, again)
    assert sorted(first.tolist()) == list(range(1000))
    assert (first == second).sum() < 10
    assert abs(torch.corrcoef(torch.stack([first, torch.arange(1000)]).double())[0, 1]) < 0.15


# Streams


def test_streams_equal_their_definition() -> None:
    x = clips(3)
    assert to_stream(x, "joint", SKELETON) is x
    motion, bone = (to_stream(x, stream, SKELETON) for stream in ("motion", "bone"))
    for t in range(63):
        assert torch.equal(motion[:, :, t], x[:, :, t + 1] - x[:, :, t])
    assert (motion[:, :, 63] == 0).all()
    for joint, parent in enumerate(SKELETON.parents):
        assert torch.equal(bone[:, :, :, joint], x[:, :, :, joint] - x[:, :, :, parent])
    assert (bone[:, :, :, 20] == 0).all()
    with pytest.raises(SettingError, match=r"Unknown stream 'bones'. .* Did you mean 'bone'\?"):
        to_stream(x, "bones", SKELETON)


# Part swap


def swap_of(batch: int, frames: int, limits: SwapRange, step: int = 0, seed: int = 0) -> PartSwap:
    return partswap.draw(step_draws(seed, step), batch, frames, limits, SKELETON)


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 40), st.integers(28, 80), st.integers(0, 10**6), st.sampled_from(["parts", "joints"]))
def test_part_swap_draws_stay_within_their_limits(batch: int, frames: int, step: int, choose: str) -> None:
    count = (3, 4) if choose == "parts" else (10, 15)
    swap = swap_of(batch, frames, SwapRange(choose, count, (4, 7), 4, "partner"), step)
    assert 1 <= swap.shift <= batch - 2
    assert swap.begin % 4 == 0
    assert 16 <= swap.end - swap.begin <= 28
    assert 0 <= swap.begin < swap.end <= frames
    assert len(set(swap.joints)) == len(swap.joints)
    if choose == "parts":
        whole = [name for name, joints in SKELETON.parts.items() if set(joints) <= set(swap.joints)]
        assert sum(len(SKELETON.parts[name]) for name in whole) == len(swap.joints)
        assert len(whole) in (3, 4)
    else:
        assert 10 <= len(swap.joints) <= 15


def test_part_swap_draws_are_uniform() -> None:
    swaps = [swap_of(10, 64, SWAP, step, seed=5) for step in range(4000)]

    def flat(values: list[int], kinds: int) -> None:
        counts = np.bincount(values)
        counts = counts[counts > 0]
        assert len(counts) == kinds
        expected = len(values) / kinds
        assert ((counts - expected) ** 2 / expected).sum() / (kinds - 1) < 3.5

    flat([swap.shift for swap in swaps], 8)
    flat([(swap.end - swap.begin) // 4 for swap in swaps], 4)
    flat([swap.begin for swap in swaps if swap.end - swap.begin == 16], 13)
    for joints in SKELETON.parts.values():
        share = np.mean([set(joints) <= set(swap.joints) for swap in swaps])
        assert share == pytest.approx(0.7, abs=0.035)  # 3 or 4 of 5 parts


def test_part_swap_replaces_the_window_and_nothing_else() -> None:
    x = clips(6)
    swap = PartSwap(2, (4, 5, 20), 8, 28)
    y = partswap.apply(x, swap)
    expected = x.clone()
    for i in range(6):
        for t in range(8, 28):
            for joint in swap.joints:
                expected[i, :, t, joint] = x[(i + 2) % 6, :, t, joint]
    assert torch.equal(y, expected)
    zeros = partswap.apply(x, swap, "zeros")
    assert (zeros[:, :, 8:28, [4, 5, 20]] == 0).all()
    noise = partswap.apply(x, swap, "noise", draws(6))
    inside = noise[:, :, 8:28, [4, 5, 20]]
    assert abs(inside.mean()) < 0.1
    assert abs(inside.std() - 1) < 0.1
    for changed in (zeros, noise):
        changed[:, :, 8:28, [4, 5, 20]] = x[:, :, 8:28, [4, 5, 20]]
        assert torch.equal(changed, x)


def test_part_swap_says_what_does_not_fit() -> None:
    with pytest.raises(SettingError, match=r"^The part swap needs at least 3 clips in a batch, not 2\."):
        swap_of(2, 64, SWAP)
    with pytest.raises(SettingError, match="does not fit clips of 20 frames"):
        swap_of(8, 20, SWAP)
    with pytest.raises(SettingError, match="must lie within 1 to 5 parts"):
        swap_of(8, 64, SwapRange("parts", (3, 6), (4, 7), 4, "partner"))


# Strings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("crop(6)|sheer(0.5)", "unknown operation 'sheer'. Choose one of: "),
        ("sheer(0.5)", "Did you mean 'shear'?"),
        ("crop(6", "cannot read 'crop(6'. Write operations as crop(6)|shear(0.5), or none."),
        ("", "cannot read ''."),
        ("crop(6)||flip(0.5)", "cannot read ''."),
        ("crop", "write crop(ratio), not 'crop'."),
        ("shear(0.5, 1)", "write shear(amplitude), not 'shear(0.5, 1)'."),
        ("shear(big)", "amplitude of shear must be a number, not 'big'."),
        ("flip(1.5)", "probability of flip must be a number from 0 to 1, not 1.5."),
        ("shear(nan)", "amplitude of shear must be a number from 0 to 10, not nan."),
        ("crop(2.5)", "ratio of crop must be a whole number from 1 to 1000, not 2.5."),
        ("blur(14,0.1,2,0.5)", "blur: kernel must be odd, not 14."),
        ("blur(15,2,1,0.5)", "blur: low 2 is above high 1."),
    ],
)
def test_wrong_strings_are_explained(text: str, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        augment.parse(text)
    assert message in str(caught.value)


def test_strings_are_kept_verbatim_and_none_changes_nothing() -> None:
    text = " crop( 6 ) | flip(0.5)"
    assert augment.parse(text).text == text
    assert [type(o).__name__ for o in augment.parse(text).operations] == ["Crop", "Flip"]
    x = clips(2)
    assert augment.parse("none")(x, draws(2)) is x
