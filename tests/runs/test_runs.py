"""Run folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from clipfiles import TINY, make_clips

from skeltools.analysis.features import state_digest
from skeltools.errors import OutputError, RunError
from skeltools.runs.folder import Run, preparation_of
from skeltools.runs.settings import resolve_recipe
from skeltools.store import ClipFile
from skeltools.training.engine import Trainer


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    data = make_clips(folder, train=8)
    with ClipFile(data) as file:
        create(folder / "run", file)
        Trainer(Run.open(folder / "run"), file, torch.device("cpu")).train()
    return folder / "run"


def create(path: Path, file: ClipFile, replace: bool = False) -> Run:
    overrides = [*TINY, "train.epochs=1", "train.batch_size=4"]
    resolved = resolve_recipe(None, dataset="ntu60", split="xsub", stream="bone", overrides=overrides)
    return Run.create(
        path,
        resolved,
        file=file,
        split="xsub",
        stream="bone",
        seed=7,
        command="skeltools pretrain",
        replace=replace,
    )


def test_a_run_is_read_back_as_it_was_written(trained: Path) -> None:
    run = Run.open(trained)
    with ClipFile(run.data) as file:
        assert run.digest == file.digest
        assert run.frames == file.frames == 16
    assert (run.kind, run.dataset, run.split, run.stream, run.seed) == (
        "pretrain",
        "ntu60",
        "xsub",
        "bone",
        7,
    )
    assert run.settings.model.width == 4
    assert run.flat["augment.swap_count"] == (3, 4)
    assert run.origin["model.width"] == "--set"
    assert run.origin["queue.momentum"] == "recipe skeattnclr"
    assert run.recipe == "SkeAttnCLR"
    assert run.epoch == 1
    assert {"torch", "skeltools"} & run.versions.keys()
    assert run.results_dir.is_dir()
    assert len(run.checkpoint_digest()) == 64


def test_the_encoder_is_the_query_encoder_of_the_last_checkpoint(trained: Path) -> None:
    run = Run.open(trained)
    encoder = run.load_encoder("cpu")
    assert not encoder.training
    saved = torch.load(run.last_checkpoint(), weights_only=True)["model"]
    for name, value in encoder.backbone.state_dict().items():
        assert torch.equal(value, saved[f"query.backbone.{name}"])
    assert state_digest(encoder) != state_digest(run.new_encoder(7, "cpu"))


def test_untrained_encoders_depend_on_the_seed_alone(trained: Path) -> None:
    run = Run.open(trained)
    torch.manual_seed(99)
    before = torch.get_rng_state()
    a, b, c = (state_digest(run.new_encoder(seed, "cpu")) for seed in (1, 1, 2))
    assert a == b != c
    assert torch.equal(torch.get_rng_state(), before)


def test_what_is_no_run_is_named(tmp_path: Path, trained: Path) -> None:
    with pytest.raises(RunError, match=r"none does not exist or is not a folder. Make a run with"):
        Run.open(tmp_path / "none")
    (tmp_path / "clips.h5").write_bytes(b"")
    with pytest.raises(RunError, match=r"clips\.h5 is a file, not a run folder\. Make a run with"):
        Run.open(tmp_path / "clips.h5")
    with pytest.raises(RunError, match=r"is not a run folder: it has no run.json"):
        Run.open(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(RunError, match=r"run.json cannot be read"):
        Run.open(tmp_path)
    content = json.loads((trained / "run.json").read_text())
    (tmp_path / "run.json").write_text(json.dumps(content | {"version": 9}))
    with pytest.raises(
        RunError,
        match=r"run.json is of version 9, which a newer skeltools wrote; this one reads version 1. Update",
    ):
        Run.open(tmp_path)
    stored = content["settings"]
    for change, message in (
        ({"settings": stored | {"model.width": "wide"}}, r"Setting 'model.width' .* must be a whole number"),
        ({"settings": stored | {"model.wdth": 4}}, r"Unknown setting 'model.wdth' .* 'model.width'"),
        ({"settings": None}, "NoneType"),
        ({"origin": None}, "NoneType"),
    ):
        (tmp_path / "run.json").write_text(json.dumps(content | change))
        with pytest.raises(RunError, match=rf"run.json is damaged \(.*{message}"):
            Run.open(tmp_path)
    del content["stream"]
    (tmp_path / "run.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=r"is damaged \('stream'\)"):
        Run.open(tmp_path)


def test_settings_added_after_a_run_take_the_base_recipes_value_for_its_context(
    tmp_path: Path, trained: Path
) -> None:
    """NTU-60 joint has a mu of its own in the base recipe; the rule takes it for such a run alone."""
    content = json.loads((trained / "run.json").read_text())
    for key in ("train.warmup", "loss.mu", "model.width"):
        del content["settings"][key], content["origin"][key]
    for stream, mu, where in (("bone", 0.5, ""), ("joint", 1.0, " (dataset ntu60, stream joint)")):
        (tmp_path / "run.json").write_text(json.dumps(content | {"stream": stream}))
        run = Run.open(tmp_path)
        assert (run.settings.train.warmup, run.settings.loss.mu, run.settings.model.width) == (0, mu, 64)
        assert (run.settings.train.epochs, run.flat["train.epochs"], run.flat["loss.mu"]) == (1, 1, mu)
        assert run.origin["loss.mu"] == f"recipe skeattnclr{where}, not stored by the run"
        assert run.origin["train.epochs"] == "--set"
        assert run.flat.keys() == Run.open(trained).flat.keys()


def test_a_run_without_checkpoint_says_so(tmp_path: Path, trained: Path) -> None:
    (tmp_path / "run.json").write_text((trained / "run.json").read_text())
    with pytest.raises(RunError) as told:
        Run.open(tmp_path).load_encoder("cpu")
    assert str(told.value) == (
        f"{tmp_path} has no checkpoint any more: those it wrote were removed. Put them back into "
        f"{tmp_path}/checkpoints, or start again by its first command with --replace."
    )
    content = json.loads((tmp_path / "run.json").read_text())
    for saved in (False, None):
        (tmp_path / "run.json").write_text(json.dumps(content | {"saved": saved}))
        with pytest.raises(RunError) as told:
            Run.open(tmp_path).load_encoder("cpu")
        assert str(told.value) == (
            f"{tmp_path} has no checkpoint yet. Train it with 'skeltools pretrain --resume {tmp_path}'."
        )


def test_only_runs_are_replaced_and_only_when_asked(tmp_path: Path, trained: Path) -> None:
    with ClipFile(Run.open(trained).data) as file:
        path = tmp_path / "run"
        create(path, file)
        (path / "results" / "old.json").write_text("{}")
        (path / "notes.txt").write_text("mine")
        with pytest.raises(OutputError) as caught:
            create(path, file)
        assert str(caught.value) == (
            f"{path} already exists. Use --resume to continue it or --replace to start again."
        )
        create(path, file, replace=True)
        assert not list((path / "results").iterdir())
        assert (path / "notes.txt").read_text() == "mine"
        stranger = tmp_path / "photos"
        stranger.mkdir()
        (stranger / "a.jpg").write_text("")
        with pytest.raises(OutputError, match=r"exists and is not a run folder. Choose another --out"):
            create(stranger, file, replace=True)
        assert (stranger / "a.jpg").exists()


@pytest.mark.parametrize("seed", [-1, 2**32, 2**64])
def test_a_stored_seed_out_of_bounds_is_named(tmp_path: Path, trained: Path, seed: int) -> None:
    content = json.loads((trained / "run.json").read_text())
    file = tmp_path / "run.json"
    file.write_text(json.dumps(content | {"seed": 2**32 - 1}))
    assert Run.open(tmp_path).seed == 2**32 - 1
    file.write_text(json.dumps(content | {"seed": seed}))
    with pytest.raises(RunError) as caught:
        Run.open(tmp_path)
    assert str(caught.value) == (
        f"{file} is damaged (seed must be a whole number from 0 to 4294967295, not {seed}). "
        "Make the run again."
    )


def test_clips_of_the_former_rules_of_tracking_are_not_taken_for_todays() -> None:
    old = {"prep": "ctrgcn", "chain.bodies": "tracked", "chain.gaps": "close"}
    assert preparation_of(old)["chain.bodies"] == "tracked by older rules"
    assert preparation_of(preparation_of(old)) == preparation_of(old)
    now = old | {"chain.pad": "zeros"}
    assert preparation_of(now) == now
