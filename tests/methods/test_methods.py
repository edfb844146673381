"""The contract of methods: the packaged ones keep it, and anybody's own goes the whole way by the commands."""

from __future__ import annotations

import json
import math
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner, Result
from clipfiles import TINY, make_clips
from forms import kinect, method_of, settings_of
from hypothesis import given
from hypothesis import strategies as st
from trainedruns import log_of, state_of

from skeltools.cli.main import main
from skeltools.errors import RunError, SettingError
from skeltools.methods.contract import Batch, Method
from skeltools.methods.registry import METHODS, encoder_prefix, find_method
from skeltools.methods.skeletonclr import SkeletonCLR, first_weights_left, key_momentum
from skeltools.models.registry import BACKBONES
from skeltools.runs import checkpoint as checkpoints
from skeltools.runs.folder import Run
from skeltools.runs.settings import resolve_recipe
from skeltools.settings import packaged_recipes
from skeltools.store import ClipFile
from skeltools.transforms.draws import Draws, step_draws

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "method.py"
SMALL = (*TINY, "model.gru_hidden=8", "model.gru_layers=1", "model.subsets=2")
KINDS = [(name, ()) for name in METHODS] + [("skeattnclr", ("loss.local=false",))]
"""Methods, with settings that make another class of one."""
PAIRS = [
    (name, words, backbone)
    for name, words in KINDS
    for backbone in (("vit",) if name == "mamp" else BACKBONES)  # MAMP hides tokens of a transformer
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clips(tmp_path_factory.mktemp("clips"))


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def sets(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def pretrain(data: Path, out: Path, *words: object) -> Result:
    base = ("--split", "xsub", "--stream", "bone", "--device", "cpu", "--epochs", 2, "--batch-size", 10)
    return call("pretrain", data, *base, "--out", out, *words)


# The packaged ones


@pytest.mark.parametrize(("name", "words", "backbone"), PAIRS)
def test_the_encoder_is_found_in_the_state_of_a_method(
    name: str, words: tuple[str, ...], backbone: str
) -> None:
    settings = settings_of(*SMALL, f"model.backbone={backbone}", *words, recipe=name)
    method, prefix = method_of(settings, frames=16), encoder_prefix(settings, kinect(16))
    state, encoder = method.state_dict(), method.encoder().state_dict()
    assert {name.removeprefix(prefix) for name in state if name.startswith(prefix)} == encoder.keys()
    for entry, value in encoder.items():
        assert state[prefix + entry].data_ptr() == value.data_ptr()


@pytest.mark.parametrize(("name", "words", "backbone"), PAIRS)
def test_a_method_gives_what_the_engine_asks_of_it(name: str, words: tuple[str, ...], backbone: str) -> None:
    settings = settings_of(*SMALL, f"model.backbone={backbone}", *words, recipe=name)
    method = method_of(settings, frames=16)
    method.check(6)
    x = torch.randn(6, 3, 16, 25, 2)
    with torch.no_grad():
        views = method.views(Batch(x, Draws(0, 0, torch.arange(6)), step_draws(0, 0), slice(2, 5)))
    assert all(len(view) == 3 for view in views)
    output = method(*views)
    output.loss.backward()
    assert output.loss.shape == ()
    assert output.parts
    assert all(part.shape == () and not part.requires_grad for part in output.parts.values())
    assert all(len(kept) == 3 and not kept.requires_grad for kept in output.kept)
    logged = method.after_step(0, 10, *output.kept)
    assert all(isinstance(value, float) for value in logged.values())
    assert all(weight.grad is not None for weight in method.encoder().parameters())
    mask = method.mask()
    if mask is not None:
        tokens = method.encoder()(views[0])
        found = mask(tokens)
        assert found.shape == tokens.shape
        assert ((found > 0) & (found < 1)).all()


@pytest.mark.parametrize("dataset", ["ntu60", "pku1", "nwucla"])
@pytest.mark.parametrize("recipe", packaged_recipes())
def test_every_packaged_recipe_resolves_and_its_method_can_be_made(recipe: str, dataset: str) -> None:
    for stream in ("joint", "motion", "bone"):
        found = resolve_recipe(recipe, dataset=dataset, split="xsub", stream=stream)
        with torch.device("meta"):
            method = find_method(found.values.method).create(found.values, kinect(64), stream)
        assert isinstance(method, Method)
        assert not found.idle
        assert ", method" not in found.title


@pytest.mark.parametrize("name", METHODS)
def test_a_method_brings_the_recipe_of_its_name(name: str) -> None:
    words = {"dataset": "ntu60", "split": "xsub", "stream": "joint"}
    named = resolve_recipe(name, **words)
    for found in (
        resolve_recipe(None, options={"method": name}, **words),
        resolve_recipe(None, overrides=["method=skeattnclr", f"method={name}"], **words),
    ):
        assert (found.flat, found.title) == (named.flat, named.title)
    other = resolve_recipe("demo", options={"method": "skeletonclr"}, **words)
    assert other.title == "SkeAttnCLR, demo size, method skeletonclr"


# A recipe for tens of thousands of clips meets some hundred


@pytest.mark.parametrize(
    ("words", "clips", "steps", "notices"),
    [
        ((), 40_091, 93_900, ()),
        ((), 40_091, 2_302, ()),
        ((), 32_768, 2_302, ()),
        (
            (),
            1_020,
            2_302,
            (
                "queue.size 32,768 is above the 1,020 training clips: their own earlier keys are among their "
                "negatives. Set it to 1,020 or less.",
            ),
        ),
        (
            ("queue.size=1020",),
            1_020,
            2_100,
            (
                "queue.momentum 0.996 is slow for a run of 2,100 steps: 1 % of the key encoder's first weights, "
                "which are random, are left at its end. Set it to 0.995 or less, or raise --epochs.",
            ),
        ),
        (("queue.size=1020", "queue.momentum=0.995"), 1_020, 2_100, ()),
        (
            ("queue.size=1",),
            1,
            1,
            (
                "queue.momentum 0.996 is slow for a run of 1 step: 100 % of the key encoder's first weights, which "
                "are random, are left at its end. Set it to 0, or raise --epochs.",
            ),
        ),
    ],
)
def test_a_queue_and_a_momentum_too_large_for_the_data_are_said(
    words: tuple[str, ...], clips: int, steps: int, notices: tuple[str, ...]
) -> None:
    sizes = [word for word in SMALL if not word.startswith("queue")]
    for recipe in ("skeattnclr", "skeletonclr"):
        method = method_of(settings_of(*sizes, *words, recipe=recipe), frames=16)
        assert tuple(method.notices(clips, steps)) == notices


@cache
def tiny_skeletonclr() -> SkeletonCLR:
    method = method_of(settings_of(*SMALL, "queue.size=4", recipe="skeletonclr"), frames=16)
    assert isinstance(method, SkeletonCLR)
    return method


@given(start=st.floats(0, 1), steps=st.integers(1, 500))
def test_the_momentum_that_is_advised_leaves_a_hundredth_of_the_first_weights(
    start: float, steps: int
) -> None:
    key, query = torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    for step in range(steps):
        key.lerp_(query, 1 - key_momentum(start, step, steps))
    assert first_weights_left(start, steps) == pytest.approx(1 - float(key[0]), abs=1e-12)
    method = tiny_skeletonclr()
    method.momentum = start
    if told := " ".join(method.notices(4, steps)):
        fitting = float(told.split("Set it to ")[1].split(",")[0].removesuffix(" or less"))
        assert fitting < start
        assert first_weights_left(fitting, steps) <= 0.01


@pytest.mark.parametrize("steps", [10**9, 2**31 - 1, 10**11])
def test_the_share_of_the_first_weights_takes_no_longer_for_more_steps(steps: int) -> None:
    assert first_weights_left(0.9, steps) == 0
    assert first_weights_left(1.0, steps) == 1
    slow = 1 - 1 / steps  # momentum so near 1 that something is left whatever the number
    assert first_weights_left(slow, steps) == pytest.approx(math.exp(-0.5), abs=1e-3)


def test_pretraining_says_so_before_it_begins(tmp_path: Path, data: Path) -> None:
    result = pretrain(data, tmp_path / "run", *sets(*TINY, "queue.size=500", "monitor.every=0"))
    assert result.exit_code == 0, result.output
    with ClipFile(data) as file:
        clips = len(file.rows("xsub", "train"))
    said = [line for line in result.stderr.splitlines() if line.startswith("queue.")]
    assert said == [
        f"queue.size 500 is above the {clips} training clips: their own earlier keys are among their negatives. "
        f"Set it to {clips} or less.",
        "queue.momentum 0.996 is slow for a run of 4 steps: 99 % of the key encoder's first weights, which are "
        "random, are left at its end. Set it to 0, or raise --epochs.",
    ]


# Settings of other methods and backbones


def test_settings_without_effect_are_said(tmp_path: Path, data: Path) -> None:
    words = sets(*TINY, "model.gru_hidden=8", "loss.mu=0.3", "monitor.every=0")
    result = pretrain(data, tmp_path / "run", "--method", "skeletonclr", *words)
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.stderr.splitlines() if "No effect" in line]
    said = line.removeprefix("No effect with method skeletonclr and backbone stgcn: ").removesuffix(".")
    assert set(said.split(", ")) == {"model.gru_hidden", "model.heads", "augment.swap_unit", "loss.mu"}
    assert "loss.mu" not in Run.open(tmp_path / "run").flat


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "model.gru_hiden=8",
            r"Unknown setting 'model.gru_hiden' \(--set\)\. Did you mean 'model.gru_hidden'\?",
        ),
        ("loss.nu=0.5", r"Unknown setting 'loss.nu' \(--set\)\. Did you mean 'loss.mu'\?"),
        ("model.gru_hidden=many", r"'model.gru_hidden' \(--set\) must be a whole number, not 'many'"),
        ("loss.mu=2", r"'loss.mu' \(--set\) must be at most 1, not 2"),
        ("method=3", r"Setting 'method' must be a text, not 3"),
        ("model.backbone=3", r"Setting 'model.backbone' must be a text, not 3"),
    ],
)
def test_unknown_and_misfitting_settings_are_refused_whether_they_have_an_effect_or_not(
    override: str, message: str
) -> None:
    for method in METHODS:
        options = {} if override.startswith("method=") else {"method": method}
        with pytest.raises(SettingError, match=message):
            resolve_recipe(None, dataset="", split="", stream="joint", overrides=[override], options=options)


# Anybody's own


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The example of the docs, in the working folder under a name that nothing else has."""
    shutil.copy(EXAMPLE, tmp_path / "example_of_the_docs.py")
    monkeypatch.chdir(tmp_path)
    return "example_of_the_docs:SimSiam"


def test_the_example_is_short() -> None:
    assert len(EXAMPLE.read_text().splitlines()) < 60


@pytest.mark.parametrize(
    "backbone",
    [name if name == "bigru" else pytest.param(name, marks=pytest.mark.slow) for name in BACKBONES],
)
@pytest.mark.parametrize("how", ["--set", "--method"])
def test_a_method_of_one_s_own_trains_resumes_and_is_evaluated(
    tmp_path: Path, data: Path, own: str, backbone: str, how: str
) -> None:
    words = [*sets(*SMALL, f"model.backbone={backbone}", "train.save_every=1", "loss.spread=0.3")]
    words += ["--method", own] if how == "--method" else sets(f"method={own}")
    result = pretrain(data, Path("whole"), *words)
    assert result.exit_code == 0, result.output
    assert result.stdout == "whole: 2 epochs, 4 steps, finished.\n"
    run = Run.open("whole")
    assert run.flat["method"] == run.settings.method == own
    assert (run.flat["loss.spread"], run.origin["loss.spread"]) == (0.3, "--set")
    assert not any(key.startswith(("queue.", "augment.")) for key in run.flat)
    assert run.recipe == f"SkeAttnCLR, method {own}"
    steps = [line for line in log_of(run) if line["kind"] == "step"]
    for line in steps:
        assert line["loss"] == pytest.approx(line["loss_match"] + 0.3 * line["loss_apart"], rel=1e-5)

    shutil.copytree("whole", "broken")
    broken = Run.open("broken")
    checkpoints.paths(broken.checkpoints_dir)[-1].unlink()
    assert state_of(broken).step == 2
    assert call("pretrain", "--resume", "broken", "--device", "cpu").exit_code == 0
    broken = Run.open("broken")
    assert log_of(broken) == log_of(run)
    for name, value in state_of(run).model.items():
        assert torch.equal(state_of(broken).model[name], value), name

    encoder, initial = run.load_encoder("cpu").backbone.state_dict(), run.new_encoder(0, "cpu").backbone
    assert any(not torch.equal(value, initial.state_dict()[name]) for name, value in encoder.items())
    assert call("eval", "whole", "--protocol", "linear", "--epochs", 2, "--quiet").exit_code == 0
    (record,) = [json.loads(path.read_text()) for path in Path("whole/results").glob("*.json")]
    assert (record["protocol"], record["pretrain_settings"]["method"]) == ("linear", own)
    report = call("report", "whole")
    assert report.exit_code == 0
    assert "linear" in report.stdout


def test_a_setting_of_one_s_own_has_its_default(own: str) -> None:
    found = resolve_recipe(None, dataset="", split="", stream="joint", options={"method": own})
    assert (found.values.loss.spread, found.origin["loss.spread"]) == (0.1, "default")
    with pytest.raises(SettingError, match=r"'loss.spread' \(--set\) must be at least 0, not -1"):
        resolve_recipe(
            None, dataset="", split="", stream="joint", options={"method": own}, overrides=["loss.spread=-1"]
        )
    with pytest.raises(SettingError, match=r"Unknown setting 'loss.spred' .* Did you mean 'loss.spread'\?"):
        resolve_recipe(
            None, dataset="", split="", stream="joint", options={"method": own}, overrides=["loss.spred=1"]
        )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "skeattnclrr",
            "Unknown method 'skeattnclrr'. Choose one of: mamp, skeattnclr, skeletonclr, or give your own as "
            "package.module:Class. Did you mean 'skeattnclr'?",
        ),
        ("nowhere_at_all:X", "Method 'nowhere_at_all:X': no module named 'nowhere_at_all'. Install it, or run in the "
         "folder it lies in."),
        (
            "example_of_the_docs:SimSam",
            "Method 'example_of_the_docs:SimSam': module 'example_of_the_docs' has no callable 'SimSam'. Did you "
            "mean 'SimSiam'?",
        ),
        ("example_of_the_docs:", "A method is named package.module:name, not 'example_of_the_docs:'."),
        (":SimSiam", "A method is named package.module:name, not ':SimSiam'."),
        (
            "example_of_the_docs:LossSettings",
            "Method 'example_of_the_docs:LossSettings' is not derived from skeltools.methods.contract.Method.",
        ),
        ("broken_module:X", "Method 'broken_module:X' cannot be imported: ZeroDivisionError: division by zero."),
    ],
)  # fmt: skip
def test_wrong_names_are_one_line_and_leave_nothing(
    tmp_path: Path, data: Path, own: str, name: str, message: str
) -> None:
    Path("broken_module.py").write_text("1 / 0\n")
    result = pretrain(data, Path("run"), "--method", name)
    assert result.exit_code == 2, result.output
    assert result.stderr == f"Error: {message}\n"
    assert not Path("run").exists()


def test_a_run_whose_method_is_gone_says_what_it_lacks(tmp_path: Path, data: Path) -> None:
    result = pretrain(data, tmp_path / "run", *sets(*TINY, "monitor.every=0"))
    assert result.exit_code == 0, result.output
    file = tmp_path / "run" / "run.json"
    content = json.loads(file.read_text())
    for key, what in (("method", "Method"), ("model.backbone", "Backbone")):
        changed = content | {"settings": content["settings"] | {key: "gone_module:Gone"}}
        file.write_text(json.dumps(changed))
        with pytest.raises(RunError) as caught:
            Run.open(tmp_path / "run")
        assert str(caught.value) == (
            f"{file}: {what} 'gone_module:Gone': no module named 'gone_module'. Install it, or run in the folder "
            "it lies in."
        )


# Runs from before methods had names


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["skeattnclr", "skeletonclr"])
def test_a_run_that_names_no_method_goes_on_bit_for_bit(tmp_path: Path, data: Path, recipe: str) -> None:
    """Then every run stored all settings of SkeAttnCLR, and the baseline was loss.local = false."""
    words = ["--recipe", recipe, *sets(*TINY, "train.save_every=1")]
    whole, old = tmp_path / "whole", tmp_path / "old"
    assert pretrain(data, whole, *words).exit_code == 0
    shutil.copytree(whole, old)
    (old / "checkpoints" / "step-00000004.pt").unlink()
    content = json.loads((old / "run.json").read_text())
    context: dict[str, Any] = {"dataset": "ntu60", "split": "xsub", "stream": "bone"}
    full = resolve_recipe("skeattnclr", **context, overrides=TINY)
    for key in full.flat.keys() - content["settings"].keys():
        content["settings"][key], content["origin"][key] = full.flat[key], full.origin[key]
    content["settings"] |= {"loss.local": recipe == "skeattnclr"}
    content["origin"] |= {"loss.local": f"recipe {recipe}"}
    del content["settings"]["method"], content["origin"]["method"]
    for how in ("by its folder", "by its command"):
        folder = tmp_path / how.replace(" ", "-")
        shutil.copytree(old, folder)
        (folder / "run.json").write_text(json.dumps(content))
        run = Run.open(folder)
        assert run.settings.method == recipe
        assert run.origin["method"] == f"recipe {recipe}, not stored by the run"
        again = (
            call("pretrain", "--resume", folder, "--device", "cpu")
            if how == "by its folder"
            else pretrain(data, folder, "--resume", *words)
        )
        assert again.exit_code == 0, again.output
        assert log_of(run) == log_of(Run.open(whole))
        for name, value in state_of(Run.open(whole)).model.items():
            assert torch.equal(state_of(Run.open(folder)).model[name], value), name
