"""The linear protocol against torch's own layer and optimiser; its variants; the classifier it records."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from protocol_stubs import Mean, settings, task
from torch import nn
from torch.nn import functional as F

from skeltools.protocols import linear
from skeltools.results import record as results


def _data(n: int = 50, dim: int = 6, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(5)
    train, test = (torch.randn(n, dim, generator=draws) for _ in range(2))
    return train, test, torch.randint(0, classes, (n,), generator=draws)


def _by_torch(train: torch.Tensor, test: torch.Tensor, labels: torch.Tensor, use: Any) -> torch.Tensor:
    """The same training by torch's modules, autograd and SGD."""
    draws = torch.Generator().manual_seed(0)
    layer = nn.Linear(6, 4)
    with torch.no_grad():
        layer.weight.normal_(0, use.init_std, generator=draws)
        layer.bias.zero_()
    model = nn.Sequential(nn.BatchNorm1d(6, affine=False), layer) if use.batch_norm else layer
    optimiser = torch.optim.SGD(
        model.parameters(), lr=use.lr, momentum=use.momentum, weight_decay=use.weight_decay
    )
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, list(use.lr_steps), use.lr_gamma)
    for _ in range(use.epochs):
        for batch in torch.randperm(len(train), generator=draws).split(use.batch_size):
            optimiser.zero_grad()
            F.cross_entropy(model(train[batch]), labels[batch]).backward()
            optimiser.step()
        schedule.step()
    model.eval()
    with torch.no_grad():
        out: torch.Tensor = model(test)
    return out


@pytest.mark.parametrize("decay", [0.0, 0.01])
@pytest.mark.parametrize("norm", ["false", "true"])
def test_training_equals_torchs(norm: str, decay: float) -> None:
    train, test, labels = _data()
    use = settings(
        "linear", "linear.epochs=8", "linear.batch_size=12", "linear.lr=0.5", "linear.lr_steps=[3,6]",
        f"linear.batch_norm={norm}", f"linear.weight_decay={decay}",
    )  # fmt: skip
    fit = linear.fit_layer(train, lambda: test, labels, labels, dim=6, classes=4, settings=use, seed=0)
    torch.testing.assert_close(fit.scores, _by_torch(train, test, labels, use), atol=1e-5, rtol=1e-5)
    again = test @ fit.classifier.weight.T + fit.classifier.bias
    torch.testing.assert_close(again, fit.scores, atol=1e-5, rtol=1e-5)


def test_features_passed_through_the_encoder_each_time_give_the_same() -> None:
    this = task()
    train, test = this.features
    encoder, clips = Mean().eval(), this.clips(this.train_rows)
    tests = this.clips(this.test_rows)
    common: Any = {
        "train_labels": this.train_labels, "test_labels": this.test_labels, "dim": 3, "classes": 3,
        "settings": settings("linear", "linear.epochs=5"), "seed": 0,
    }  # fmt: skip
    cached = linear.fit_layer(train, lambda: test, **common)
    passed = linear.fit_layer(
        lambda rows: encoder(clips.batch(rows)), lambda: encoder(tests.batch(torch.arange(30))), **common
    )
    torch.testing.assert_close(cached.scores, passed.scores, atol=1e-4, rtol=1e-4)
    assert cached.curve == passed.curve


def test_gathering_fewer_batches_at_a_time_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    train, test, labels = _data()
    common: Any = {"dim": 6, "classes": 4, "settings": settings("linear", "linear.epochs=3"), "seed": 0}
    whole = linear.fit_layer(train, lambda: test, labels, labels, **common)
    monkeypatch.setattr(linear, "_BLOCK", 1)
    assert torch.equal(linear.fit_layer(train, lambda: test, labels, labels, **common).scores, whole.scores)


@pytest.mark.parametrize(
    ("overrides", "variant"),
    [((), ""), (("linear.batch_size=1024",), "b1024"), (("linear.batch_norm=true",), "bn"),
     (("linear.batch_norm=true", "linear.batch_size=1024"), "bn b1024")],
)  # fmt: skip
def test_variants_are_named(overrides: tuple[str, ...], variant: str) -> None:
    (outcome,) = linear.Linear().run(task(), settings("linear", "linear.epochs=1", *overrides))
    assert outcome.variant == variant


@pytest.mark.parametrize("recipe", ["linear-b1024", "linear-bn", "linear-bn-b1024"])
def test_each_variant_has_a_recipe(recipe: str) -> None:
    from skeltools.protocols.running import registry

    definition = registry.get("linear")
    found = definition.resolve({}, recipe).values
    assert linear.variant(found) == recipe.removeprefix("linear-").replace("-", " ")
    assert found.epochs == 150


@pytest.mark.parametrize("subject", [results.PRETRAINED, results.STANDARDISED])
@pytest.mark.parametrize("norm", ["false", "true"])
def test_the_recorded_classifier_gives_the_scores_from_plain_features(subject: str, norm: str) -> None:
    this = task(subject=subject)
    (outcome,) = linear.Linear().run(this, settings("linear", "linear.epochs=4", f"linear.batch_norm={norm}"))
    assert outcome.classifier is not None
    plain = this.features_of(this.test_rows, "test")
    again = plain @ outcome.classifier.weight.T + outcome.classifier.bias
    torch.testing.assert_close(again, outcome.scores, atol=1e-4, rtol=1e-4)
