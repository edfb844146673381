"""linear-mamp, finetune-mamp and semi-mamp: against MAMP's released code, and what each mechanism promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from protocol_stubs import Mean, MemoryFile, task
from torch import Tensor

from skeltools.datasets import registry as datasets
from skeltools.datasets import subsets
from skeltools.errors import SettingError
from skeltools.models.contract import Backbone, initialise
from skeltools.models.encoder import FeatureEncoder
from skeltools.models.registry import BACKBONES, build_backbone
from skeltools.models.vit import ViT
from skeltools.progress import Silent, duration
from skeltools.protocols import finetune, linear, semi
from skeltools.protocols.linear import Norm, Views
from skeltools.protocols.running import registry, tuning
from skeltools.protocols.running.clips import Clips
from skeltools.protocols.running.task import Task
from skeltools.reference.encoders import VIT
from skeltools.runs.settings import resolve_recipe
from skeltools.skeletons import Form, load

CPU = torch.device("cpu")
KINECT = load("kinect2")
FORM = Form(KINECT, 2, 8)
VIEW = "crop_resize(0.5,1,4)|rotate_uniform(0.3)"
Reference = dict[str, Any]


def in_vit(name: str) -> str | None:
    """The name in ViT of an entry of MAMP's encoder, or None."""
    found = VIT.translate(name)
    return None if found is None else found[0]


@pytest.fixture(scope="module")
def want(shared: Path) -> Reference:
    with np.load(shared / "reference/peers/mamp_tiny.npz") as file:
        return dict(file)


def use(protocol: str, recipe: str | None = None, *overrides: str) -> Any:
    return registry.get(protocol).resolve({}, recipe, overrides).values


def released(want: Reference, dtype: torch.dtype = torch.float32) -> ViT:
    """The encoder with the released model's initial weights."""
    model = ViT(32, 3, 4, Form(KINECT, 2, 24))
    names = {f"init/{name.removeprefix('init/')}": in_vit(name.removeprefix("init/"))
             for name in want if name.startswith("init/")}  # fmt: skip
    model.load_state_dict({ours: torch.from_numpy(want[name]) for name, ours in names.items() if ours})
    return model.to(dtype)


def clips(want: Reference) -> Tensor:
    return torch.from_numpy(want["x0"].astype(np.float32))


def close(got: Any, expected: Any, bound: float, relative: bool = False) -> None:
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    error = np.abs(got - expected) / (np.abs(expected) if relative else 1)
    assert error.max() <= bound, f"{error.max():.2e} is more than {bound:.0e}"


# linear-mamp


def test_the_linear_layer_equals_the_released_code(want: Reference) -> None:
    fields = {k.removeprefix("linear/"): v for k, v in want.items() if k.startswith("linear/")}
    settings = use("linear", "linear-mamp")
    with torch.no_grad():
        features = released(want).eval().features(clips(want))
    weight, bias = torch.from_numpy(fields["weight"]), torch.from_numpy(fields["bias"])
    norm = Norm(32, settings.batch_norm_eps, CPU)

    def scored() -> Tensor:
        w, b = norm.fold(weight, bias)
        return features @ w.T + b

    close(scored(), fields["logits_fresh_eval"], 2e-5)
    close(norm.train(features) @ weight.T + bias, fields["logits_train"], 2e-5)
    close(norm.mean, fields["running_mean"], 1e-6)
    close(norm.var, fields["running_var"], 1e-6)
    close(scored(), fields["logits_eval_after"], 2e-5)


@pytest.mark.parametrize(
    ("protocol", "recipe"),
    [("linear", "linear-mamp"), ("finetune", "finetune-mamp"), ("semi:10", "semi-mamp")],
)
def test_rates_equal_the_released_schedules(want: Reference, protocol: str, recipe: str) -> None:
    settings = use(protocol, recipe)
    rows = want["schedule/linear" if protocol == "linear" else "schedule/finetune"]
    for epoch, rate in rows:
        assert settings.rate(round(epoch * 100), 100) == pytest.approx(rate, rel=1e-12, abs=0)


def test_the_steps_of_other_recipes_are_the_former_rates() -> None:
    settings = use("finetune", None, "finetune.lr_steps=[2,0,7]", "finetune.lr=0.03")
    for epoch in range(1, 12):
        former = float(0.03 * 0.1 ** sum(epoch > step for step in (2, 0, 7)))
        for step in range((epoch - 1) * 5, epoch * 5):
            assert settings.rate(step, 5) == former


@pytest.mark.parametrize(
    ("dataset", "batch", "rate"),
    [("ntu60", 256, 0.1), ("ntu120", 256, 0.1), ("pku1", 128, 0.1), ("pku2", 32, 0.01)],
)
def test_linear_mamp_takes_the_released_rows(dataset: str, batch: int, rate: float) -> None:
    where = {"dataset": dataset, "split": "xsub", "stream": "joint"}
    found = registry.get("linear").resolve(where, "linear-mamp").values
    assert (found.batch_size, found.lr, found.lr_min, found.epochs) == (batch, rate, 0, 100)
    assert found.batch_norm
    assert found.view == "crop_resize(0.5,1,64)|rotate_uniform(0.3)"


def views_of(this: Task, *overrides: str) -> Views:
    return Views(
        this, use("linear", None, f"linear.view={VIEW}", "linear.epochs=4", *overrides), this.train_rows
    )


def test_k_views_are_the_passes_of_the_first_k_epochs_taken_in_turn() -> None:
    fresh, fixed = views_of(task(seed=3)), views_of(task(seed=3), "linear.views=2")
    rows = torch.tensor([4, 0, 17])
    found = {}
    for epoch in range(4):
        fresh.epoch = fixed.epoch = epoch
        found[epoch] = fresh(rows)
        torch.testing.assert_close(fixed(rows), found[epoch] if epoch < 2 else found[epoch - 2])
    assert len({tuple(value.flatten().tolist()) for value in found.values()}) == 4


@pytest.mark.parametrize("subject", ["pretrained", "random, standardised", "raw coordinates"])
def test_as_many_views_as_epochs_give_the_protocol_itself(subject: str) -> None:
    outcomes = []
    for views in (0, 3):
        this = task(subject=subject, encoder=None if subject == "raw coordinates" else Mean)
        words = (f"linear.view={VIEW}", "linear.epochs=3", "linear.lr=0.1", f"linear.views={views}")
        outcomes += linear.Linear().run(this, use("linear", None, *words))
    torch.testing.assert_close(outcomes[0].scores, outcomes[1].scores, rtol=1e-4, atol=1e-4)
    assert [outcome.variant for outcome in outcomes] == ["augmented", "augmented views=3"]
    assert [bool(outcome.notes) for outcome in outcomes] == [False, True]


def test_augmented_training_learns_and_the_recorded_classifier_gives_the_scores() -> None:
    this = task()
    words = ("linear.batch_size=8", "linear.epochs=30")
    (outcome,) = linear.Linear().run(this, use("linear", "linear-mamp", *words))
    assert outcome.best is not None
    assert outcome.best.top1 == 1.0
    assert outcome.classifier is not None
    plain = this.features_of(this.test_rows, "test")
    again = plain @ outcome.classifier.weight.T + outcome.classifier.bias
    torch.testing.assert_close(again, outcome.scores, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("views", "count", "times"), [(0, "120", "4 x 30"), (7, "210", "7 x 30")])
def test_the_cost_is_said_at_the_start(views: int, count: str, times: str) -> None:
    said: list[str] = []

    class Loud(Silent):
        def message(self, text: str) -> None:
            said.append(text)

    this = task()
    this.progress = Loud()
    views_of(this, f"linear.views={views}")
    (line,) = said
    assert line.startswith(f"pretrained: {count} clips pass through the encoder ({times}), about ")
    assert line.endswith("a second." if views else "With views=K it is K passes, an approximation.")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.1, "a second"),
        (2, "2 seconds"),
        (119, "119 seconds"),
        (120, "2 minutes"),
        (9000, "2 hours"),
        (9e5, "10 days"),
    ],
)
def test_times_are_in_the_unit_that_suits_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize("stream", ["joint", "motion", "bone"])
def test_a_view_depends_on_seed_epoch_and_row_alone(stream: str) -> None:
    file: Any = MemoryFile()
    held = Clips(file, np.array([3, 9, 1, 4]), stream, CPU, in_memory=True, view=VIEW, seed=5)
    read = Clips(file, np.array([4, 9, 7]), stream, CPU, in_memory=False, view=VIEW, seed=5)
    plain = Clips(file, np.array([3, 9, 1, 4]), stream, CPU)
    held.epoch = read.epoch = 2
    first = held.batch(torch.tensor([3, 1]))
    torch.testing.assert_close(first, read.batch(torch.tensor([0, 1])))
    assert not torch.allclose(first, plain.batch(torch.tensor([3, 1])))
    read.epoch = 3
    assert not torch.allclose(first, read.batch(torch.tensor([0, 1])))


def test_a_stream_is_made_of_the_augmented_joints() -> None:
    file: Any = MemoryFile()
    joints, motion = (Clips(file, np.arange(4), stream, CPU, view=VIEW).batch(torch.arange(4))
                      for stream in ("joint", "motion"))  # fmt: skip
    torch.testing.assert_close(motion[:, :, :-1], joints[:, :, 1:] - joints[:, :, :-1])


# finetune-mamp


def tuned(want: Reference, *overrides: str) -> tuple[tuning.TunedModel, Any]:
    """The released finetuning model: its head's sizes, nothing dropped."""
    words = ("finetune.head_hidden=12", "finetune.token_dropout=0", "finetune.drop_path=0", *overrides)
    settings = use("finetune", "finetune-mamp", *words)
    head = tuning.JointHead(25, 32, 12, 5, settings.token_dropout, torch.Generator())
    names = {"fc1": "first", "bn": "norm", "fc2": "second"}
    state = {}
    for key, value in want.items():
        if key.startswith("finetune/head/"):
            layer, entry = key.removeprefix("finetune/head/").split(".")
            state[f"{names[layer]}.{entry}"] = torch.from_numpy(value)
    head.load_state_dict(state, strict=False)
    assert len(state) == len(head.state_dict()) - 1  # num_batches_tracked
    return tuning.TunedModel(FeatureEncoder(released(want)), head), settings


def ours(name: str) -> str:
    for theirs, own in (("head.fc1", "head.first"), ("head.bn", "head.norm"), ("head.fc2", "head.second")):
        if name.startswith(theirs):
            return name.replace(theirs, own)
    return f"encoder.backbone.{in_vit(name)}"


def test_finetuning_equals_the_released_code(want: Reference) -> None:
    fields = {k.removeprefix("finetune/"): v for k, v in want.items() if k.startswith("finetune/")}
    model, settings = tuned(want)
    x, labels = clips(want), torch.from_numpy(fields["labels"])
    with torch.no_grad():
        close(model.eval()(x), fields["logits_eval"], 3e-5)
    optimizer = tuning.make_optimizer(model.train(), settings)
    logits = model(x)
    close(logits.detach(), fields["logits_train"], 3e-5)
    loss = F.cross_entropy(logits, labels, label_smoothing=settings.label_smoothing)
    close(loss.item(), fields["loss"], 3e-5)
    loss.backward()  # type: ignore[no-untyped-call]
    weights = dict(model.named_parameters())
    known = {k.removeprefix("grad/"): v for k, v in fields.items() if k.startswith("grad/")}
    assert {ours(name) for name in known} == weights.keys()
    for name, value in known.items():
        if value > 1e-3:
            grad = weights[ours(name)].grad
            assert grad is not None
            close(grad.double().norm(), value, 1e-4, True)
    for group in optimizer.param_groups:
        group["lr"] = settings.lr * group["scale"]
    optimizer.step()
    for name in known:
        if name in ("norm.bias", "head.fc1.bias"):
            continue
        bound = 5e-3 if name.endswith("qkv.bias") else 1e-6
        close(weights[ours(name)].detach().double().norm(), fields[f"after/norm/{name}"], bound, True)
    after = F.cross_entropy(model(x), labels, label_smoothing=settings.label_smoothing)
    close(after.item(), fields["loss_after"], 3e-5)


def test_groups_equal_the_released_code(want: Reference) -> None:
    model, settings = tuned(want)
    names = {id(weight): name for name, weight in model.named_parameters()}
    found = {
        names[id(weight)]: (group["scale"], group["weight_decay"])
        for group in tuning.make_optimizer(model, settings).param_groups
        for weight in group["params"]
    }
    columns = (want[f"finetune/groups_{word}"] for word in ("name", "scale", "decay"))
    expected = {ours(str(name)): (scale, decay) for name, scale, decay in zip(*columns, strict=True)}
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, rel=1e-12), name


# Mechanisms


def backbone(name: str, *overrides: str) -> Backbone:
    small = ("model.width=4", "model.dim=16", "model.gru_hidden=8", "model.gru_layers=2", "model.subsets=2",
             "model.vit_depth=3", "model.vit_heads=2", f"model.backbone={name}", *overrides)  # fmt: skip
    recipe = "mamp" if name == "vit" else "skeletonclr"
    settings = resolve_recipe(recipe, dataset="ntu60", split="xsub", stream="joint", overrides=small).values
    torch.manual_seed(0)
    made = build_backbone(settings.model, FORM)
    initialise(made)
    return made


def encoder(name: str) -> FeatureEncoder:
    return FeatureEncoder(backbone(name)).eval()


@pytest.mark.parametrize("name", BACKBONES)
def test_layers_hold_each_weight_once_in_the_order_of_their_use(name: str) -> None:
    made = backbone(name)
    layers = made.layers()
    weights = [weight for layer in layers for weight in layer]
    assert len({id(weight) for weight in weights}) == len(weights)
    left = {name for name, weight in made.named_parameters() if all(weight is not one for one in weights)}
    assert left == ({"norm.weight", "norm.bias"} if name == "vit" else set())
    assert len(layers) == {"stgcn": 11, "bigru": 3, "dsta": 9, "vit": 4}[name]
    assert all(layers)


@given(decay=st.floats(0.05, 1), name=st.sampled_from(list(BACKBONES)), all_=st.booleans())
def test_layer_decay_scales_by_the_distance_from_the_head(decay: float, name: str, all_: bool) -> None:
    made = backbone(name)
    words = (
        f"finetune.layer_decay={decay}",
        f"finetune.decay_all={str(all_).lower()}",
        "finetune.weight_decay=0.5",
    )
    model = tuning.TunedModel(FeatureEncoder(made), torch.nn.Linear(made.feature_dim, 3))
    groups = tuning.make_optimizer(model, use("finetune", None, *words)).param_groups
    scale = {id(weight): group["scale"] for group in groups for weight in group["params"]}
    assert scale.keys() == {id(weight) for weight in model.parameters()}
    layers = made.layers()
    for place, layer in enumerate(layers):
        assert {scale[id(weight)] for weight in layer} == {decay ** (len(layers) - place)}
    assert {scale[id(weight)] for weight in model.head.parameters()} == {1.0}
    still = {id(w) for group in groups if not group["weight_decay"] for w in group["params"]}
    expected = {id(w) for n, w in model.named_parameters() if w.dim() == 1 or n.endswith(".bias")}
    assert still == (set() if all_ else expected)


def test_one_rate_for_all_is_one_group() -> None:
    made = backbone("vit")
    model = tuning.TunedModel(FeatureEncoder(made), torch.nn.Linear(16, 3))
    (group,) = tuning.make_optimizer(model, use("finetune")).param_groups
    assert [id(weight) for weight in group["params"]] == [id(weight) for weight in model.parameters()]


def test_paths_are_dropped_in_training_alone_and_none_unless_told() -> None:
    x = torch.randn(6, 3, 8, 25, 2)
    plain, dropping = backbone("vit"), backbone("vit")
    assert dropping.set_drop_path(0.9)
    assert torch.equal(plain.eval()(x), dropping.eval()(x))
    assert torch.equal(plain.train()(x), plain.eval()(x))
    assert not torch.equal(dropping.train()(x), plain(x))
    dropping.set_drop_path(0)
    assert torch.equal(dropping(x), plain(x))


def test_drop_path_rises_from_the_first_block_to_the_last() -> None:
    made = backbone("vit")
    made.set_drop_path(0.3)
    assert isinstance(made, ViT)
    assert [block.drop_path for block in made.blocks] == pytest.approx([0, 0.15, 0.3])
    single = ViT(16, 1, 2, FORM)
    single.set_drop_path(0.3)
    assert [block.drop_path for block in single.blocks] == [0]


def test_a_dropped_branch_is_dropped_for_the_whole_sequence_and_scaled_otherwise() -> None:
    made = backbone("vit")
    assert isinstance(made, ViT)
    block: Any = made.blocks[2].train()
    block.drop_path = 0.4
    torch.manual_seed(0)
    branch = torch.ones(20_000, 3, 2)
    kept = block._kept(branch)
    assert torch.equal(kept, kept[:, :1, :1].expand_as(kept))
    assert kept.unique().tolist() == pytest.approx([0, 1 / 0.6])
    assert float(kept.mean()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", ["stgcn", "dsta", "vit"])
def test_the_mean_of_the_token_map_is_the_feature(name: str) -> None:
    made, x = backbone(name).eval(), torch.randn(3, 3, 8, 25, 2)
    tokens = made(x)
    grid = made.token_map(tokens)
    assert grid.shape[:2] == (3, 2)
    assert grid.shape[3] == 25
    torch.testing.assert_close(grid.mean(dim=(1, 2, 3)), made.pool(tokens), rtol=1e-4, atol=1e-9)


def test_the_head_reads_joint_by_joint() -> None:
    """A change of one joint's tokens reaches the head through that joint's columns alone."""
    head = tuning.JointHead(5, 4, 6, 3, 0.0, torch.Generator().manual_seed(0)).eval()
    tokens = torch.randn(2, 2, 3, 5, 4)
    by_joint = tokens.mean(dim=(1, 2)).flatten(1)
    hidden = F.relu(head.norm(by_joint @ head.first.weight.T + head.first.bias))
    torch.testing.assert_close(head(tokens), hidden @ head.second.weight.T + head.second.bias)


SMALL = ("head_hidden=8", "epochs=2", "batch_size=8", "view=none")


def small(section: str, *more: str) -> tuple[str, ...]:
    return tuple(f"{section}.{word}" for word in (*SMALL, *more))


def test_finetune_mamp_trains_every_weight_and_repeats_itself() -> None:
    made: list[FeatureEncoder] = []

    def build() -> FeatureEncoder:
        made.append(encoder("vit"))
        return made[-1]

    settings = use("finetune", "finetune-mamp", *small("finetune", f"view={VIEW}"))
    (first,) = finetune.Finetune().run(task(encoder=build, seed=1), settings)
    torch.manual_seed(99)
    (again,) = finetune.Finetune().run(task(encoder=build, seed=1), settings)
    (other,) = finetune.Finetune().run(task(encoder=build, seed=2), settings)
    assert torch.equal(first.scores, again.scores)
    assert not torch.equal(first.scores, other.scores)
    assert first.variant == "train joints augmented"
    before = encoder("vit").state_dict()
    assert all(not torch.equal(before[key], value) for key, value in made[0].state_dict().items())


@pytest.mark.parametrize("name", ["stgcn", "dsta"])
def test_other_backbones_with_joint_tokens_take_the_head_without_drop_path(name: str) -> None:
    this = task(encoder=lambda: encoder(name))
    settings = use("finetune", "finetune-mamp", *small("finetune", "drop_path=0"))
    assert finetune.Finetune().skip(this, settings) is None
    (outcome,) = finetune.Finetune().run(this, settings)
    assert torch.isfinite(outcome.scores).all()


@pytest.mark.parametrize(
    ("make", "word", "told"),
    [
        (lambda: encoder("bigru"), "drop_path=0",
         "finetune.head joints needs a token for each joint, which BiGRU does not give. Set finetune.head=linear "
         "and finetune.token_dropout=0"),
        (lambda: encoder("stgcn"), "drop_path=0.3",
         "finetune.drop_path 0.3 skips branches of blocks, which STGCN cannot. Set finetune.drop_path=0"),
        (Mean, "drop_path=0",
         "finetune.head joints needs a token for each joint, which test does not give. Set finetune.head=linear "
         "and finetune.token_dropout=0"),
    ],
)  # fmt: skip
def test_what_an_encoder_does_not_give_is_refused(make: Any, word: str, told: str) -> None:
    settings = use("finetune", "finetune-mamp", f"finetune.{word}")
    assert finetune.Finetune().skip(task(encoder=make), settings) == told


def test_layer_decay_of_an_encoder_without_layers_is_refused() -> None:
    settings = use("semi:10", None, "semi.layer_decay=0.8")
    assert registry.get("semi:10").skip(task(encoder=Mean), settings) == (
        "semi.layer_decay 0.8 needs the encoder's layers, which test does not tell. Set semi.layer_decay=1"
    )
    this = task(encoder=Mean)
    this.target = True
    assert "transfer.finetune.layer_decay 0.8 needs" in str(
        registry.get("transfer").skip(this, use("transfer", None, "transfer.finetune.layer_decay=0.8"))
    )


@pytest.mark.parametrize(
    ("protocol", "words", "told"),
    [
        ("finetune", ("betas=[0.9]",), "betas must be two numbers, not [0.9]."),
        (
            "finetune",
            ("token_dropout=0.3",),
            "token_dropout = 0.3 has an effect only where head is joints, not linear.",
        ),
        ("finetune", ("drop_path=0.3",), "drop_path = 0.3 has an effect only in mode train."),
        ("finetune", ("schedule=cosine", "lr_min=1"), "lr_min 1 is above lr 0.008. Lower it."),
        ("finetune", ("head=joints", "batch_size=1"), "which needs a batch_size of 2 or more."),
        ("finetune", ("view=shear",), "Augmentation 'shear': write shear(amplitude), not 'shear'."),
        ("linear", ("view=sheer(1)",), "unknown operation 'sheer'"),
        ("linear", ("views=3",), "views = 3 is a number of augmented passes, but view is none."),
        ("semi:10", ("subset=all",), "must be one of class, plain, not 'all'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(protocol: str, words: tuple[str, ...], told: str) -> None:
    section = registry.get(protocol).section
    with pytest.raises(SettingError) as caught:
        use(protocol, None, *(f"{section}.{word}" for word in words))
    assert told in str(caught.value)


def test_a_head_with_batch_norm_is_not_trained_on_one_clip() -> None:
    settings = use("finetune", "finetune-mamp", *small("finetune"))
    with pytest.raises(SettingError, match="needs more than one training clip"):
        tuning.tune(task(encoder=lambda: encoder("vit")), np.array([0]), settings, "x")


def test_one_clip_left_over_joins_the_last_batch_where_the_head_has_batch_norm() -> None:
    words = ("finetune.head=joints", "finetune.mode=eval", "finetune.batch_size=29")
    assert [len(part) for part in tuning._batches(torch.arange(30), use("finetune", None, *words))] == [30]


def test_a_recipe_of_another_protocol_is_told_as_such() -> None:
    with pytest.raises(SettingError) as caught:
        use("semi10", "semi-mamp")
    assert str(caught.value) == (
        "Unknown setting 'semi.percent' (recipe semi). Recipe 'semi-mamp' is of semi.*, "
        "protocol 'semi10' takes semi10.*."
    )


def test_views_of_finetuning_are_of_the_training_clips_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int]] = []
    batch = Clips.batch

    def watched(self: Clips, index: Tensor) -> Tensor:
        seen.append((self._view.text, self.epoch))
        return batch(self, index)

    monkeypatch.setattr(Clips, "batch", watched)
    words = (f"finetune.view={VIEW}", "finetune.epochs=2", "finetune.batch_size=99")
    (outcome,) = finetune.Finetune().run(
        task(encoder=lambda: encoder("stgcn")), use("finetune", None, *words)
    )
    assert outcome.variant == "eval augmented"
    assert [one for one in seen if one[0] != "none"] == [(VIEW, 0), (VIEW, 1)]
    assert {one for one in seen if one[0] == "none"} == {("none", 0)}


# semi-mamp


@given(share=st.integers(1, 1000), count=st.integers(1, 300), seed=st.integers(0, 9))
def test_the_plain_draw_takes_its_share_rounded_down_and_is_nested(share: int, count: int, seed: int) -> None:
    names, rows = [f"clip{i}" for i in range(2 * count)], np.arange(0, 2 * count, 2)
    fraction, size = share / 1000, share * count // 1000
    if size == 0:
        with pytest.raises(SettingError, match=r"training clips? is less than one clip"):
            subsets.draw_plain(names, rows, fraction, seed)
        return
    drawn = subsets.draw_plain(names, rows, fraction, seed)
    assert len(drawn) == size
    assert (np.diff(drawn) > 0).all()
    assert set(drawn) <= set(rows) & set(subsets.draw_plain(names, rows[::-1].copy(), 1.0, seed))
    larger = subsets.draw_plain(names, rows, min(1.0, fraction * 2), seed)
    assert set(drawn) <= set(larger)


@pytest.mark.parametrize("recipe", ["semi-mamp", "semi-mamp-plain"])
def test_semi_mamp_draws_as_its_recipe_says(recipe: str) -> None:
    definition = registry.get("semi:30")
    settings = definition.resolve({}, recipe, small("semi")).values
    this = task(encoder=lambda: encoder("vit"), seed=4)
    (outcome,) = semi.Semi().run(this, settings)
    names, labels = this.file.names, this.file.labels
    plain = recipe == "semi-mamp-plain"
    expected = (
        subsets.draw_plain(names, this.train_rows, 0.3, 4)
        if plain
        else subsets.draw(names, labels, this.train_rows, 0.3, 4)
    )
    assert outcome.train_rows is not None
    np.testing.assert_array_equal(outcome.train_rows, expected)
    assert outcome.variant == "train joints" + (" plain" if plain else "")
    assert ("whatever their classes" in outcome.notes[0]) == plain
    assert settings.percent == 30


def test_a_record_of_before_takes_new_settings_from_the_protocols_recipe() -> None:
    flat = registry.get("linear").resolve({}).flat
    added = ("view", "views", "schedule", "lr_min", "warmup", "batch_norm_eps")
    old = {key: value for key, value in flat.items() if key.partition(".")[2] not in added}
    assert len(old) == len(flat) - len(added)
    assert registry.get("linear").stored(old) == registry.get("linear").resolve({}).values


def test_oneshot_without_a_clip_to_ask_for_is_left_out() -> None:
    file: Any = MemoryFile()
    file.dataset = datasets.get("ntu120")
    file.names = [*file.dataset.exemplars, *(f"clip{i}" for i in range(40))]
    file.labels = np.array([*range(100, 120), *([0] * 40)])
    assert registry.get("oneshot").skip(task(file), None) == (
        "memory.h5 holds no clip of the novel classes but the one-shot exemplars. Convert the whole dataset"
    )
    file.labels[30] = 119
    assert registry.get("oneshot").skip(task(file), None) is None


def test_settings_that_do_not_fit_together_are_told_with_their_section() -> None:
    for name in ("linear", "transfer"):
        section = "linear" if name == "linear" else "transfer.linear"
        with pytest.raises(SettingError) as caught:
            use(name, None, f"{section}.views=3")
        assert str(caught.value) == (
            f"Settings {section}.*: views = 3 is a number of augmented passes, but view is none. Set view, or leave "
            "views out."
        )
