"""Weights of other projects: files of their own structure give the features that their own code gave."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from clipfiles import make_clips
from torch import Tensor

from skeltools.cli.main import main
from skeltools.errors import RunError
from skeltools.reference.registry import PROJECTS
from skeltools.reference.weights import read
from skeltools.results import record as results
from skeltools.runs.folder import Run
from skeltools.skeletons import load
from skeltools.transforms.streams import to_stream

State = dict[str, Tensor]


@dataclass(frozen=True)
class Golden:
    """Numbers of a released project: the state dict of its file, and what it gave."""

    arrays: Any
    state: State

    @property
    def x(self) -> Tensor:
        return torch.from_numpy(self.arrays["x"].astype(np.float32))

    def feature(self, name: str) -> Tensor:
        return torch.from_numpy(self.arrays[name])


def golden(shared: Path, name: str) -> Golden:
    """The state dict of a reference file, with entries that it only lists filled with random numbers."""
    arrays: Any = np.load(shared / "reference" / "peers" / f"{name}_tiny.npz")
    generator = torch.Generator().manual_seed(0)
    state: State = {}
    if arrays["others_name"].dtype.kind == "U":
        for entry, shape in zip(arrays["others_name"].tolist(), arrays["others_shape"].tolist(), strict=True):
            state[entry] = torch.rand([int(size) for size in shape.split(",") if size], generator=generator)
    for key in arrays.files:
        if key.startswith("init/"):
            value = torch.from_numpy(arrays[key])
            state[key.removeprefix("init/")] = value.float() if value.is_floating_point() else value
    return Golden(arrays, state)


def call(*words: object) -> Result:
    return CliRunner().invoke(main, ["import-weights", *map(str, words)])


def imported(file: Path, out: Path, *more: object) -> tuple[Run, list[str]]:
    result = call(file, "--out", out, *more)
    assert result.exit_code == 0, result.output
    return Run.open(out), result.stdout.splitlines()


def encoder_of(run: Run, train: bool) -> Any:
    encoder = run.load_encoder("cpu")
    for part in encoder.modules():
        if hasattr(part, "dropout"):
            part.dropout = 0.0
    return encoder.train(train)


def off(got: Tensor, want: Tensor) -> float:
    """Largest error relative to the largest value."""
    return float((got - want).abs().max() / want.abs().max())


def wrapped(state: State) -> Any:
    return {"epoch": 3, "state_dict": state, "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}}


def lightning(state: State) -> Any:
    """A checkpoint as HYSP's Lightning writes it."""
    return {
        "epoch": 3,
        "global_step": 12,
        "pytorch-lightning_version": "1.5.10",
        "state_dict": {f"model.{name}": value for name, value in state.items()},
        "hyper_parameters": {
            "cfg": argparse.Namespace(lr=0.1, opt=argparse.Namespace(name="sgd", steps=[1]))
        },
        "callbacks": {},
    }


def parallel(state: State) -> Any:
    return {f"module.{name}": value for name, value in state.items()}


def compiled(state: State) -> Any:
    return {"model": {f"module._orig_mod.{name}": value for name, value in state.items()}}


def plain(state: State) -> Any:
    return state


def save_safetensors(state: State, path: Path) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    content = b""
    for name, value in state.items():
        raw = value.contiguous().numpy().tobytes()
        kind = {torch.float32: "F32", torch.int64: "I64"}[value.dtype]
        header[name] = {
            "dtype": kind,
            "shape": list(value.shape),
            "data_offsets": [len(content), len(content) + len(raw)],
        }
        content += raw
    told = json.dumps(header).encode()
    path.write_bytes(len(told).to_bytes(8, "little") + told + content)


STGCN = {
    "aim": ("aimclr", "AimCLR family", 50),
    "mix": ("skelemixclr", "SkeleMixCLR", 64),
    "hic": ("hiclr", "HiCLR", 50),
    "act": ("actclr", "ActCLR", 50),
    "pstl": ("pstl", "PSTL", 50),
    "hysp": ("hysp", "HYSP", 50),
}
WAYS: tuple[Callable[[State], Any], ...] = (plain, wrapped, lightning, parallel, compiled)


@pytest.mark.parametrize("name", STGCN)
def test_st_gcn_encoders_give_their_projects_features(shared: Path, tmp_path: Path, name: str) -> None:
    theirs = golden(shared, f"stgcn_{name}")
    project, title, frames = STGCN[name]
    torch.save(theirs.state, tmp_path / "a.pt")
    run, lines = imported(tmp_path / "a.pt", tmp_path / "run")
    assert lines[0] == f"{tmp_path / 'run'}: ST-GCN of {title}, width 4, dim 24, stream joint"
    assert lines[1] == f"needs clips of {frames} frames, prepared as 'aimclr'"
    assert "not known" not in "".join(lines)
    assert (run.source["from"], run.frames) == (project, frames)
    assert run.source["feature"] == "mean over frames and joints, then over bodies"
    assert run.source["not_understood"] == {}
    with torch.no_grad():
        train = encoder_of(run, train=True)
        assert off(encoder_of(run, train=False)(theirs.x), theirs.feature("eval/feature")) < 1e-5
        assert off(train(theirs.x), theirs.feature("train/feature")) < 1e-5
        assert off(train.eval()(theirs.x), theirs.feature("eval_after_train/feature")) < 1e-5


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("name", ["hysp", "pstl", "mix"])
def test_wrappers_and_prefixes_change_nothing(shared: Path, tmp_path: Path, name: str, way: Any) -> None:
    state = golden(shared, f"stgcn_{name}").state
    torch.save(state, tmp_path / "plain.pt")
    torch.save(way(state), tmp_path / "a.ckpt", _use_new_zipfile_serialization=way is not compiled)
    found, want = read(tmp_path / "a.ckpt"), read(tmp_path / "plain.pt")
    assert found.project is want.project
    assert found.state["joint"].keys() == want.state["joint"].keys()
    assert all(torch.equal(value, want.state["joint"][key]) for key, value in found.state["joint"].items())


def test_safetensors_are_read(shared: Path, tmp_path: Path) -> None:
    theirs = golden(shared, "stgcn_mix")
    save_safetensors(theirs.state, tmp_path / "a.safetensors")
    run, _ = imported(tmp_path / "a.safetensors", tmp_path / "run")
    with torch.no_grad():
        assert off(encoder_of(run, train=False)(theirs.x), theirs.feature("eval/feature")) < 1e-5


@pytest.mark.parametrize("change", [b"F16", b"XYZ", b"I64"])
def test_safetensors_that_claim_what_is_not_there_are_refused(tmp_path: Path, change: bytes) -> None:
    save_safetensors({"encoder_q.A": torch.zeros(3, 25, 25)}, tmp_path / "a.safetensors")
    data = (tmp_path / "a.safetensors").read_bytes()
    for broken in (data.replace(b"F32", change), data[:-1], data[:40], data.replace(b"[0, ", b"[9, ")):
        (tmp_path / "a.safetensors").write_bytes(broken)
        with pytest.raises(RunError, match=r"a\.safetensors is not a readable state dict \("):
            read(tmp_path / "a.safetensors")


@pytest.mark.parametrize("stream", ["joint", "motion", "bone"])
def test_each_encoder_of_cmd_gives_its_features(shared: Path, tmp_path: Path, stream: str) -> None:
    theirs = golden(shared, "cmd_bigru")
    torch.save(wrapped(theirs.state), tmp_path / "checkpoint_0450.pth.tar")
    out = tmp_path / "run"
    run, lines = imported(tmp_path / "checkpoint_0450.pth.tar", out, "--stream", stream)
    assert lines[:3] == [
        f"{out}: BiGRU of CMD, gru_hidden 6, gru_layers 3, stream {stream}",
        "needs clips of 64 frames, prepared as 'cmd'",
        "feature: last state of both directions, of all bodies together",
    ]
    assert "left out: optimizer (1 entry)" in lines
    assert "not known" not in "".join(lines)
    assert run.preparation["chain.bodies"] == "spread"
    x = to_stream(theirs.x, stream, load("kinect2"))
    with torch.no_grad():
        for mode in ("eval", "train"):
            got = encoder_of(run, train=mode == "train")(x)
            assert (got - theirs.feature(f"{mode}/{stream}/feature")).abs().max() < 1e-5


def test_cmd_needs_a_stream(shared: Path, tmp_path: Path) -> None:
    torch.save(wrapped(golden(shared, "cmd_bigru").state), tmp_path / "a.tar")
    result = call(tmp_path / "a.tar", "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert result.stderr == (
        f"Error: {tmp_path / 'a.tar'} holds encoders for joint, motion, bone. Choose one: --stream joint\n"
    )


def test_pcm3_is_cmds_encoder_once(shared: Path, tmp_path: Path) -> None:
    theirs = golden(shared, "cmd_bigru")
    state = {
        name: value for name, value in theirs.state.items() if "motion" not in name and "bone" not in name
    }
    for name in ("cl_prompt", "mp_prompt"):
        state[name] = torch.rand(1, 256)
    for name in ("base_prompt", "mask_prompt", "recons_prompt", "mix_prompt"):
        state[name] = torch.rand(1, 1, 150)
    state |= {"linear.weight": torch.rand(60, 12), "recons_decoder.0.weight": torch.rand(3, 3)}
    torch.save(wrapped(parallel(state)), tmp_path / "a.tar")
    run, lines = imported(tmp_path / "a.tar", tmp_path / "run")
    assert lines[0].endswith("BiGRU of PCM3, gru_hidden 6, gru_layers 3, stream joint")
    assert "the file does not tell its stream: taken as joint; --stream says otherwise" in lines
    assert "not known" not in "".join(lines)
    assert run.note == ""  # its linear map is part of the pretraining, not a classifier
    with torch.no_grad():
        got = encoder_of(run, train=False)(theirs.x)
    assert (got - theirs.feature("eval/joint/feature")).abs().max() < 1e-5


def test_hiclrs_transformer_gives_its_features(shared: Path, tmp_path: Path) -> None:
    theirs = golden(shared, "dsta_hiclr")
    torch.save(theirs.state, tmp_path / "a.pt")
    run, lines = imported(tmp_path / "a.pt", tmp_path / "run")
    assert lines[0].startswith(
        f"{tmp_path / 'run'}: DSTA with convolutions over time of HiCLR, width 8, dim 24, "
    )
    assert lines[1] == "needs clips of 20 frames, prepared as 'aimclr'"  # its position codes tell
    assert "not known" not in "".join(lines)
    assert run.settings.model.temporal == "convolution"
    assert run.settings.model.dsta_channels == (8, 8, 16, 16, 16, 16, 16, 24)
    assert run.settings.model.dsta_inner == (4,) * 8
    with torch.no_grad():
        train = encoder_of(run, train=True)
        tokens = encoder_of(run, train=False).backbone(theirs.x)
        assert list(theirs.arrays["eval/map_shape"]) == [6, 24, 5, 25]
        assert tokens.shape == (6, 5 * 25, 24)
        first = tokens[0].view(5, 25, 24)[:3, :5, :4].permute(2, 0, 1)
        assert off(first, theirs.feature("eval/map_first")) < 1e-5
        assert off(encoder_of(run, train=False)(theirs.x), theirs.feature("eval/feature")) < 1e-5
        assert off(train(theirs.x), theirs.feature("train/feature")) < 1e-5
        assert off(train.eval()(theirs.x), theirs.feature("eval_after_train/feature")) < 1e-5


def test_position_codes_that_contradict_one_another_are_told(shared: Path, tmp_path: Path) -> None:
    state = golden(shared, "dsta_hiclr").state
    state["encoder_q.graph_layers.3.pes.pe"] = torch.zeros(1, 16, 7, 25)
    torch.save(state, tmp_path / "a.pt")
    with pytest.raises(RunError, match=r"see 20, 20, 20, 7, 10, 5, 5, 5 frames; expected each as many as"):
        read(tmp_path / "a.pt")


def mamp_state(arrays: Any) -> State:
    return {key[5:]: torch.from_numpy(arrays[key]) for key in arrays.files if key.startswith("init/")}


def test_mamps_encoder_gives_its_features(shared: Path, tmp_path: Path) -> None:
    arrays: Any = np.load(shared / "reference" / "peers" / "mamp_tiny.npz")
    args = argparse.Namespace(lr=1e-3, model_args={"num_heads": 4, "dim_feat": 32}, config=None)
    content = {"model": mamp_state(arrays), "optimizer": {}, "epoch": 399, "scaler": {}, "args": args}
    torch.save(content, tmp_path / "checkpoint-399.pth")
    run, lines = imported(tmp_path / "checkpoint-399.pth", tmp_path / "run")
    assert lines[:3] == [
        f"{tmp_path / 'run'}: ViT of MAMP, vit_heads 4, dim 32, vit_depth 3, vit_patch 4, vit_mlp 4, stream joint",
        "needs clips of 24 frames, prepared as 'ctrgcn'",
        "feature: mean over tokens and bodies, absent ones included",
    ]
    assert "not known" not in "".join(lines)
    assert len(read(tmp_path / "checkpoint-399.pth").left) == len(arrays["encoder/left_out"]) + 4
    assert run.preparation["chain.bodies"] == "tracked"
    x = torch.from_numpy(arrays["x0"].astype(np.float32))
    want = torch.from_numpy(arrays["encoder/feature"])
    with torch.no_grad():
        for train in (False, True):  # it has neither dropout nor batch statistics
            assert (encoder_of(run, train)(x) - want).abs().max() < 1e-5
        tokens = run.load_encoder("cpu").backbone(x)
    first = tokens.view(6, 6, 25, 32)[0, :2, :3]
    assert (first - torch.from_numpy(arrays["encoder/tokens_first"])).abs().max() < 1e-5


def test_heads_are_told_or_said_to_be_assumed(shared: Path, tmp_path: Path) -> None:
    torch.save(mamp_state(np.load(shared / "reference" / "peers" / "mamp_tiny.npz")), tmp_path / "a.pth")
    run, lines = imported(tmp_path / "a.pth", tmp_path / "run")
    assert (
        "the file does not tell vit_heads: taken as 8, as the project has it; --heads says otherwise" in lines
    )
    assert (run.settings.model.vit_heads, run.origin["model.vit_heads"]) == (8, "project")
    run, lines = imported(tmp_path / "a.pth", tmp_path / "run", "--heads", 4, "--replace")
    assert run.settings.model.vit_heads == 4
    assert "vit_heads: taken" not in "".join(lines)
    result = call(tmp_path / "a.pth", "--out", tmp_path / "other", "--heads", 5)
    assert result.exit_code == 2
    assert result.stderr == f"Error: {tmp_path / 'a.pth'}: model.vit_heads 5 does not divide model.dim 32.\n"
    result = call(tmp_path / "a.pth", "--out", tmp_path / "other", "--frames", 64)
    assert result.exit_code == 2
    assert f"{tmp_path / 'a.pth'} has positions for 24 frames, not 64." in result.stderr
    torch.save(golden(shared, "stgcn_pstl").state, tmp_path / "b.pt")
    result = call(tmp_path / "b.pt", "--out", tmp_path / "other", "--heads", 4)
    assert result.stderr == f"Error: {tmp_path / 'b.pt'}: --heads is for ViT; it holds ST-GCN.\n"


@pytest.mark.parametrize("head", ["linear", "finetune"])
def test_a_finetuned_mamp_is_noted(shared: Path, tmp_path: Path, head: str) -> None:
    state = mamp_state(np.load(shared / "reference" / "peers" / "mamp_tiny.npz"))
    state = {key: value for key, value in state.items() if not key.startswith(("decoder", "mask"))}
    if head == "linear":
        name = "head.fc.1.weight"
        state |= {"head.fc.0.running_mean": torch.zeros(32), name: torch.zeros(60, 32)}
    else:
        name = "head.fc2.weight"
        state |= {"head.fc1.weight": torch.zeros(2048, 800), name: torch.zeros(60, 2048)}
    torch.save({"model": state}, tmp_path / "a.pth")
    run, _ = imported(tmp_path / "a.pth", tmp_path / "run", "--heads", 4)
    assert run.note == (
        f"The checkpoint holds a classifier of 60 classes ('{name}'): its encoder may have seen labels."
    )


@pytest.mark.parametrize("variant", ["nnclr", "moco", "dino"])
def test_stars_encoder_is_mamps(shared: Path, tmp_path: Path, variant: str) -> None:
    peers = shared / "reference" / "peers"
    arrays: Any = np.load(peers / "stars_tiny.npz")
    source: Any = np.load(peers / "mamp_tiny.npz")
    own = {f"encoder_student.{key}": value for key, value in mamp_state(source).items()}
    if variant == "nnclr":
        shapes = dict(zip(arrays["names"].tolist(), arrays["shapes"].tolist(), strict=True))
    else:
        shapes = dict.fromkeys(arrays[f"{variant}_names_outside_blocks"].tolist(), "60,32")
        shapes |= dict.fromkeys(key for key in own if ".blocks." in key and "decoder" not in key)
    state = {
        name: own[name] if name in own else torch.rand([int(size) for size in shape.split(",") if size])
        for name, shape in shapes.items()
    }
    torch.save(state, tmp_path / "a.pth")
    run, lines = imported(tmp_path / "a.pth", tmp_path / "run", "--heads", 4)
    assert " ViT of STARS, " in lines[0]
    assert "not known" not in "".join(lines)
    assert run.note == ""  # DINO's head is a single linear map, and no classifier
    x = torch.from_numpy(source["x0"].astype(np.float32))
    with torch.no_grad():
        got = encoder_of(run, train=False)(x)
    assert (got - torch.from_numpy(arrays["feature"])).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["bigru", "dsta"])
def test_skeattnclrs_other_backbones_are_taken(shared: Path, tmp_path: Path, name: str) -> None:
    arrays: Any = np.load(shared / "reference" / f"backbone_{name}_tiny.npz")
    state = {
        "encoder_q." + key.removeprefix("init/"): torch.from_numpy(arrays[key])
        for key in arrays.files
        if key.startswith("init/")
    }
    torch.save(state, tmp_path / "a.pt")
    run, lines = imported(tmp_path / "a.pt", tmp_path / "run")
    assert " of SkeAttnCLR, " in lines[0]
    assert lines[1] == "needs clips of 64 frames, prepared as 'skeattnclr'"
    assert "not known" not in "".join(lines)
    backbone = run.load_encoder("cpu").double().backbone
    x = torch.from_numpy(arrays["x"].astype(np.float64))
    weight, bias = (
        torch.from_numpy(arrays[f"init/backbone.fc.{part}"]).double() for part in ("weight", "bias")
    )
    with torch.no_grad():
        got = backbone.train().features(x) @ weight.T + bias
    assert off(got, torch.from_numpy(arrays["train/logits"]).double()) < 1e-5


@pytest.mark.parametrize("name", STGCN)
def test_from_names_the_project(shared: Path, tmp_path: Path, name: str) -> None:
    torch.save(golden(shared, f"stgcn_{name}").state, tmp_path / "a.pt")
    project, title, _ = STGCN[name]
    run, _ = imported(tmp_path / "a.pt", tmp_path / "run", "--from", project)
    assert run.source["from"] == project
    wrong = "cmd" if project != "cmd" else "pstl"
    result = call(tmp_path / "a.pt", "--out", tmp_path / "other", "--from", wrong)
    assert result.exit_code == 2
    assert result.stderr == (
        f"Error: {tmp_path / 'a.pt'} holds no encoder of CMD: no entry starts with encoder_q.encoder.gru. or "
        "encoder_q_motion.encoder.gru. or encoder_q_bone.encoder.gru.. "
        f"It looks like one of {title}: --from {project}\n"
    )
    assert not (tmp_path / "other").exists()


def test_a_file_of_the_older_skelemixclr_needs_a_word(shared: Path, tmp_path: Path) -> None:
    """After linear evaluation the head is gone, and another graph may be in use: --from says whose it is."""
    state = {key: value for key, value in golden(shared, "stgcn_mix").state.items() if ".fc." not in key}
    torch.save(state, tmp_path / "a.pt")
    assert read(tmp_path / "a.pt").project.name == "skelemixclr"  # its graph tells
    state["encoder_q.A"] = state["encoder_q.A"] * 2
    torch.save(state, tmp_path / "a.pt")
    assert read(tmp_path / "a.pt").project.name == "aimclr"
    run, _ = imported(tmp_path / "a.pt", tmp_path / "run", "--from", "skelemixclr")
    assert (run.frames, run.preparation["prep"]) == (64, "aimclr")


def test_an_unknown_project_is_told(tmp_path: Path) -> None:
    result = call(tmp_path / "a.pt", "--out", tmp_path / "run", "--from", "hyspp")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: Unknown project 'hyspp'. Choose one of: ")
    assert result.stderr.endswith("Did you mean 'hysp'?\n")


def test_what_is_not_understood_is_listed_and_recorded(shared: Path, tmp_path: Path) -> None:
    state = golden(shared, "stgcn_hysp").state | {
        "teacher.a.b": torch.zeros(2),
        "teacher.a.c": torch.zeros(2),
    }
    torch.save(state, tmp_path / "a.pt")
    run, lines = imported(tmp_path / "a.pt", tmp_path / "run")
    assert "left out: teacher.a (2 entries, 2 not known to be in files of HYSP)" in lines
    assert run.source["not_understood"] == {"teacher.a": 2}
    assert run.source["left_out"]["target_projector.net"] == 9


@pytest.mark.parametrize(
    ("name", "entry"),
    [("pstl", "stem.weight"), ("hysp", "online_encoder.stem.weight"), ("mix", "encoder_q.stem.weight")],
)
def test_an_unknown_entry_of_the_encoder_is_refused(
    shared: Path, tmp_path: Path, name: str, entry: str
) -> None:
    torch.save(lightning(golden(shared, f"stgcn_{name}").state | {entry: torch.zeros(2)}), tmp_path / "a.pt")
    with pytest.raises(RunError, match=re.escape(f"a.pt: unknown entry 'model.{entry}'.")):
        read(tmp_path / "a.pt")


@pytest.mark.parametrize(
    "name", ["stgcn_pstl", "cmd_bigru", pytest.param("dsta_hiclr", marks=pytest.mark.slow)]
)
def test_weights_that_are_missing_or_of_another_shape_are_named(
    shared: Path, tmp_path: Path, name: str
) -> None:
    theirs = golden(shared, name).state
    whole = read_state(theirs, tmp_path)
    encoder = [key for key in theirs if re.match(r"(encoder_q(_\w+)?\.|A$|data_bn|edge|st_gcn)", key)]
    kept = [
        key
        for key in encoder
        if ".fc." not in key and not re.search(r"\.(att[st]|pe[st]\.pe|num_b\w+)$", key)
    ]
    for key in kept[:: max(1, len(kept) // 12)]:
        for change in ({}, {key: theirs[key][None]}):
            state = {other: value for other, value in theirs.items() if other != key} | change
            torch.save(state, tmp_path / "a.pt")
            with pytest.raises(RunError, match=r"a\.pt"):
                read(tmp_path / "a.pt")
    assert read_state(theirs, tmp_path).left == whole.left


@pytest.mark.parametrize("kind", [torch.int64, torch.bool, torch.complex64])
def test_weights_of_another_kind_of_numbers_are_refused(
    shared: Path, tmp_path: Path, kind: torch.dtype
) -> None:
    state = golden(shared, "stgcn_pstl").state
    state["data_bn.weight"] = state["data_bn.weight"].to(kind)
    told = str(kind).removeprefix("torch.")
    with pytest.raises(RunError, match=f"'data_bn.weight' holds {told} numbers, expected float32"):
        read_state(state, tmp_path)
    state["data_bn.weight"] = state["data_bn.bias"].to(torch.bfloat16)  # of fewer digits is none
    assert read_state(state, tmp_path).state["joint"]["input_norm.weight"].dtype == torch.float32


def read_state(state: State, folder: Path) -> Any:
    torch.save(state, folder / "a.pt")
    return read(folder / "a.pt")


def test_options_in_a_checkpoint_are_data(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    for args in (Evil(), argparse.Namespace(a=Evil()), argparse.Namespace(a=[argparse.Namespace(b=Evil())])):
        torch.save({"state_dict": {"encoder_q.A": torch.zeros(1)}, "args": args}, tmp_path / "evil.pt")
        with pytest.raises(RunError, match="is not a readable state dict"):
            read(tmp_path / "evil.pt")
        assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["stgcn_aim", "cmd_bigru", "dsta_hiclr", "mamp"])
def test_each_kind_of_encoder_is_evaluated(shared: Path, tmp_path: Path, name: str) -> None:
    frames, prep = {"cmd_bigru": (16, "cmd"), "mamp": (24, "ctrgcn")}.get(name, (16, "aimclr"))
    state = mamp_state(np.load(shared / "reference" / "peers" / "mamp_tiny.npz")) if name == "mamp" else None
    torch.save(state or golden(shared, name).state, tmp_path / "a.pt")
    data = make_clips(tmp_path, train=8, test=4, frames=frames, prep=prep)
    words = ["--frames", frames, "--stream", "joint", "--data", data, "--split", "xsub"]
    run, _ = imported(tmp_path / "a.pt", tmp_path / "run", *words)
    evaluated = CliRunner().invoke(
        main, ["eval", str(tmp_path / "run"), "--protocol", "knn", "--set", "knn.k=[1]", "--device", "cpu"]
    )
    assert evaluated.exit_code == 0, evaluated.output
    (record,) = results.read_all(run.results_dir)
    assert record.protocol == "knn"


def test_every_project_says_what_it_is() -> None:
    for name, project in PROJECTS.items():
        assert project.name == name
        assert project.frames in (50, 64, 120)
        re.compile(project.left)


def test_the_documentation_has_each_project() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "weights.md").read_text(encoding="utf-8")
    rows = {
        row[1].strip(" `"): row for row in (line.split("|") for line in page.splitlines()) if len(row) == 8
    }
    for name, project in PROJECTS.items():
        assert rows[name][3].strip() == str(project.frames)
        assert rows[name][4].strip(" `") == project.preparation
    assert len(rows) == len(PROJECTS) + 2
