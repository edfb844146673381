"""``skeltools import-weights``: checkpoints of SkeAttnCLR, AimCLR, CrosSCLR and SkeletonCLR."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from clipfiles import make_clips
from forms import KINECT
from theirweights import theirs, under
from torch import Tensor

from skeltools.cli.main import main
from skeltools.errors import RunError
from skeltools.models.stgcn import STGCN
from skeltools.reference.weights import read
from skeltools.runs.folder import Run
from skeltools.store import ClipFile


def slow_features(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """Their ST-GCN in eval mode, written down again from its state dict."""
    import torch.nn.functional as F

    def norm(h: Tensor, name: str) -> Tensor:
        entries = (state[f"{name}.{e}"] for e in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(h, *entries, training=False)

    n, c, t, v, m = x.shape
    h = norm(x.permute(0, 4, 3, 1, 2).reshape(n * m, v * c, t), "data_bn")
    h = h.view(n * m, v, c, t).permute(0, 2, 3, 1)
    for i in range(10):
        block = f"st_gcn_networks.{i}"
        y = F.conv2d(h, state[f"{block}.gcn.conv.weight"], state[f"{block}.gcn.conv.bias"])
        y = y.view(n * m, 3, -1, *y.shape[2:])
        y = torch.einsum("bkctv,kvw->bctw", y, state["A"] * state[f"edge_importance.{i}"])
        y = F.relu(norm(y, f"{block}.tcn.0"))
        stride = 2 if i in (4, 7) else 1
        y = F.conv2d(y, state[f"{block}.tcn.2.weight"], state[f"{block}.tcn.2.bias"], (stride, 1), (4, 0))
        y = norm(y, f"{block}.tcn.3")
        if f"{block}.residual.0.weight" in state:
            weight, bias = (state[f"{block}.residual.0.{e}"] for e in ("weight", "bias"))
            y = y + norm(F.conv2d(h, weight, bias, (stride, 1)), f"{block}.residual.1")
        elif i:
            y = y + h
        h = F.relu(y)
    return h.mean(dim=(2, 3)).view(n, m, -1).mean(dim=1)


def call(*words: object) -> Result:
    return CliRunner().invoke(main, ["import-weights", *map(str, words)])


@pytest.mark.parametrize("dim", [16, 24])
def test_an_aimclr_checkpoint_becomes_a_run_with_the_same_features(tmp_path: Path, dim: int) -> None:
    state = theirs(dim=dim)
    file = tmp_path / "aimclr.pt"
    extra = under("encoder_k.", theirs(dim=dim, seed=1)) | {
        "queue": torch.rand(8, 64),
        "queue_ptr": torch.zeros(1),
    }
    torch.save(under("module.", under("encoder_q.", state) | extra), file)
    out = tmp_path / "run"
    result = call(file, "--out", out)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == f"{out}: ST-GCN of AimCLR family, width 4, dim {dim}, stream joint"
    assert lines[1] == "needs clips of 50 frames, prepared as 'aimclr'"
    assert "left out: encoder_q.fc (4 entries)" in lines
    assert "left out: queue (1 entry)" in lines
    run = Run.open(out)
    assert (run.kind, run.frames, run.data, run.epoch) == ("import", 50, None, 0)
    assert run.preparation["chain.centre"] == "frame"
    assert run.flat == {k: v for k, v in run.flat.items() if k.startswith("model.")}
    assert (run.settings.model.width, run.settings.model.dim) == (4, dim)
    encoder = run.load_encoder("cpu")
    assert torch.equal(encoder.backbone.graph, state["A"])  # the file's graph, not ours
    x = torch.randn(3, 3, 50, 25, 2) * 0.1
    with torch.no_grad():
        torch.testing.assert_close(encoder(x), slow_features(state, x), rtol=1e-4, atol=1e-4)


def test_a_crossclr_checkpoint_needs_a_stream(tmp_path: Path) -> None:
    states = {p: theirs(seed=i) for i, p in enumerate(("encoder_q.", "encoder_q_motion.", "encoder_q_bone."))}
    file, out = tmp_path / "cross.pt", tmp_path / "run"
    torch.save({k: v for prefix, state in states.items() for k, v in under(prefix, state).items()}, file)
    result = call(file, "--out", out)
    assert result.exit_code == 2
    assert (
        result.stderr == f"Error: {file} holds encoders for joint, motion, bone. Choose one: --stream joint\n"
    )
    assert not out.exists()
    assert call(file, "--out", out, "--stream", "bone").exit_code == 0
    run = Run.open(out)
    assert run.stream == "bone"
    assert torch.equal(run.load_encoder("cpu").backbone.graph, states["encoder_q_bone."]["A"])
    assert set(read(file).left) == {
        f"{p}fc.{i}.{e}" for p in states for i in (0, 2) for e in ("weight", "bias")
    }


def test_the_reference_state_dict_of_skeattnclr_is_taken(shared: Path, tmp_path: Path) -> None:
    golden: Any = np.load(shared / "reference" / "skeattnclr_tiny.npz")
    state = {
        k.removeprefix("init/"): torch.from_numpy(golden[k]) for k in golden.files if k.startswith("init/")
    }
    torch.save(state, tmp_path / "ske.pt")
    found = read(tmp_path / "ske.pt")
    assert (found.project.title, found.project.preparation) == ("SkeAttnCLR", "skeattnclr")
    assert (found.model, found.unknown) == ({"joint": {"width": 8, "dim": 32}}, ())
    assert "encoder_q.neck.norm0.weight" in found.left
    assert "predictor.mlp.0.weight" in found.left
    model = STGCN(8, 32, 0.0, KINECT)
    model.load_state_dict(found.state["joint"])
    theirs_2 = state["encoder_q.backbone.st_gcn_networks.2.tcn.2.weight"]
    assert torch.equal(model.blocks[2].temporal.weight, theirs_2)


def broken(drop: str = "", **changed: tuple[int, ...]) -> dict[str, Tensor]:
    state = under("encoder_q.", theirs())
    state.pop(f"encoder_q.st_gcn_networks.{drop}", None)
    for name, shape in changed.items():
        state[f"encoder_q.st_gcn_networks.{name}"] = torch.zeros(shape)
    return state


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (
            broken("4.tcn.2.weight"),
            "lacks 1 weight of the encoder 'encoder_q.', such as 'blocks.4.temporal.weight'",
        ),
        (
            broken(**{"4.tcn.2.weight": (8, 8, 3, 1)}),
            "'encoder_q.st_gcn_networks.4.tcn.2.weight' has shape (8, 8, 3, 1), expected (8, 8, 9, 1).",
        ),
        (
            broken(**{"5.gcn.conv.weight": (24, 4, 1, 1)}),
            "'encoder_q.st_gcn_networks.5.gcn.conv.weight' has shape (24, 4, 1, 1), expected (24, 8, 1, 1).",
        ),
        (
            broken(**{"10.tcn.0.weight": (4,)}),
            "unknown entry 'encoder_q.st_gcn_networks.10.tcn.0.weight'.",
        ),
        (broken("9.tcn.0.weight"), "from which channels are read"),
        (
            {"model.weight": torch.zeros(2)},
            "holds no encoder that is known (1 entry, the first is 'model.weight'). Encoders of SkeAttnCLR, ",
        ),
        (
            {"state_dict": {"a": torch.zeros(2)}},
            "holds no encoder that is known (1 entry, the first is 'a'). Encoders of SkeAttnCLR, ",
        ),
        (
            {"weights": {"a": torch.zeros(2)}},
            "is not a plain state dict, nor does it hold one under 'state_dict' or 'model': save "
            "model.state_dict()",
        ),
        (
            {"model": {}, "state_dict": {}},
            "is not a plain state dict, nor does it hold one under 'state_dict' or 'model': save "
            "model.state_dict()",
        ),
        ([torch.zeros(2)], "is not a plain state dict: save model.state_dict() and import that."),
        (
            {"state_dict": {"encoder_q.A": torch.zeros(2), "epoch": 3}},
            "'epoch' is not a tensor (int); a state dict holds tensors alone.",
        ),
        (
            {"A": torch.zeros(2), "module.A": torch.zeros(2)},
            "'A' and 'module.A' would both be 'A'. Save one encoder alone.",
        ),
        (
            {"encoder_q.hi_encoder.t_embedding.0.weight": torch.zeros(2)},
            "It looks like HiCo's, whose encoder is not read.",
        ),
    ],
)
def test_what_is_wrong_with_a_checkpoint_is_named(tmp_path: Path, state: Any, message: str) -> None:
    file, out = tmp_path / "file.pt", tmp_path / "run"
    torch.save(state, file)
    with pytest.raises(RunError, match=re.escape(message)):
        read(file)
    result = call(file, "--out", out)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert not out.exists()


def test_code_in_a_checkpoint_does_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"encoder_q.A": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(RunError, match="is not a readable state dict"):
        read(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


def test_clips_of_another_length_or_preparation_are_told_apart(tmp_path: Path) -> None:
    file, out = tmp_path / "aimclr.pt", tmp_path / "run"
    torch.save(under("encoder_q.", theirs()), file)
    data = make_clips(tmp_path, train=4, test=2)
    result = call(file, "--out", out, "--data", data)
    assert result.exit_code == 2
    expected = f"{out} needs clips with frames 50, {data} has 16."
    assert result.stderr.startswith(f"Error: {expected}")
    assert not out.exists()
    assert call(file, "--out", out, "--frames", 16, "--data", data, "--split", "xsub").exit_code == 0
    run = Run.open(out)
    assert run.data == data.resolve()
    assert (run.dataset, run.split) == ("ntu60", "xsub")
    with ClipFile(data) as opened:
        assert run.misfit(opened) is None
        for key, other in (("prep", "mine"), ("chain.dtype", "float16"), ("chain.splits", "camera")):
            assert opened.attrs[key] != other  # a file has this key, and it does not reach the encoder
            opened.attrs[key] = other
        assert run.misfit(opened) is None
        opened.attrs["chain.centre"] = "none"
        problem = run.misfit(opened)
    assert problem == (
        f"{out} needs clips with centre frame, {data} has none. Convert the source accordingly, or use "
        "--allow-mismatch."
    )
    resumed = CliRunner().invoke(main, ["pretrain", "--resume", str(out)])
    assert resumed.exit_code == 2
    assert "holds imported weights; there is no training to continue" in resumed.stderr


def test_eval_refuses_clips_the_encoder_was_not_trained_on(tmp_path: Path) -> None:
    file, out = tmp_path / "aimclr.pt", tmp_path / "run"
    torch.save(under("encoder_q.", theirs()), file)
    data = make_clips(tmp_path, train=8, test=4)
    assert call(file, "--out", out).exit_code == 0
    words = [
        "eval",
        str(out),
        "--protocol",
        "knn",
        "--set",
        "knn.k=[1]",
        "--data",
        str(data),
        "--device",
        "cpu",
    ]
    refused = CliRunner().invoke(main, words)
    assert refused.exit_code == 2
    assert refused.stderr == (
        f"Error: {out} needs clips with frames 50, {data} has 16. Convert the source accordingly, or use "
        "--allow-mismatch.\n"
    )
    assert not list((out / "results").glob("*.json"))
    allowed = CliRunner().invoke(main, [*words, "--allow-mismatch"])
    assert allowed.exit_code == 0, allowed.output
    untrained = CliRunner().invoke(main, [*words, "--init", "random"])
    assert untrained.exit_code == 0, untrained.output


_SAVE = "Give a .pt, .pth or .ckpt file that torch.save wrote of model.state_dict(), or a safetensors file."


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (bytes(range(186, 256)), f" (torch did not save it). {_SAVE}"),
        (b"\x80\x02].", f" (torch did not save it). {_SAVE}"),
        (b"garbage\n", f" but a text file. {_SAVE}"),
        (b"", " but an empty file. Fetch or write it again."),
        (
            gzip.compress(b"weights", mtime=0),
            " but a gzip file. Unpack it with gunzip and give what is inside.",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            " but a pointer of Git LFS, not the file itself. Fetch the file: git lfs pull",
        ),
        (
            b"\x20\0\0\0\0\0\0\0" + b'{"w":{"dtype":"F32","shape":[0]}'.ljust(32),
            f" (Expecting ',' delimiter: line 1 column 33 (char 32)). {_SAVE}",
        ),
        (
            b"<html>",
            " but a web page, not the file that it offers. Download it again; the page may ask for a login "
            "or a confirmation.",
        ),
    ],
)
def test_a_file_that_torch_did_not_save_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(RunError) as caught:
        read(tmp_path / "x")
    assert str(caught.value) == (f"{tmp_path / 'x'} is not a readable state dict{told}")


@pytest.mark.parametrize(
    ("name", "value", "place"),
    [
        ("st_gcn_networks.3.tcn.2.weight", float("nan"), (1, 2, 3, 0)),
        ("st_gcn_networks.9.tcn.3.running_var", float("inf"), (5,)),
        ("A", float("-inf"), (0, 1, 2)),
    ],
)
def test_weights_that_are_not_finite_are_named(
    tmp_path: Path, name: str, value: float, place: tuple[int, ...]
) -> None:
    state = under("encoder_q.", theirs())
    state[f"encoder_q.{name}"][place] = value
    torch.save(state, tmp_path / "a.pt")
    result = call(tmp_path / "a.pt", "--out", tmp_path / "run")
    assert result.exit_code == 2
    told = str(value).replace("nan", "NaN")
    assert result.stderr == (
        f"Error: {tmp_path / 'a.pt'}: 'encoder_q.{name}' holds {told} at {list(place)} "
        f"(1 of {state[f'encoder_q.{name}'].numel():,} values are not finite). "
        "Its training went wrong or it is damaged: give another checkpoint.\n"
    )
    assert not (tmp_path / "run").exists()


def test_what_evaluation_does_not_use_may_be_nan(tmp_path: Path) -> None:
    state = under("encoder_q.", theirs())
    state["encoder_q.fc.0.weight"][:] = float("nan")
    torch.save(state | {"queue": torch.full((2, 2), float("nan"))}, tmp_path / "a.pt")
    assert call(tmp_path / "a.pt", "--out", tmp_path / "run").exit_code == 0


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [
        ("encoder_q.fc.weight", (60, 24), 60),
        ("encoder_q.fc.weight", (60, 24, 1, 1), 60),
        ("encoder_q.fc.weight", (128, 24), 0),
        ("encoder_q.fc.weight", (120, 24), 120),
        ("fc.weight", (51, 24), 51),
        ("classifier.weight", (49, 24), 49),
        ("head.fc.1.weight", (10, 24), 10),
        ("encoder_k.fc.2.weight", (60, 24), 0),
        ("queue", (60, 24), 0),
    ],
)
def test_a_classifier_is_noted(tmp_path: Path, name: str, shape: tuple[int, ...], classes: int) -> None:
    state = {key: value for key, value in under("encoder_q.", theirs()).items() if ".fc." not in key}
    torch.save(state | {name: torch.zeros(shape)}, tmp_path / "a.pt")
    result = call(tmp_path / "a.pt", "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    note = (
        f"The checkpoint holds a classifier of {classes} classes ('{name}'): "
        "its encoder may have seen labels."
    )
    assert Run.open(tmp_path / "run").note == (note if classes else "")
    assert (f"note: {note}" in result.stdout.splitlines()) is bool(classes)


def test_the_note_stands_in_every_record_of_that_encoder(tmp_path: Path) -> None:
    from skeltools.results import record as results

    data = make_clips(tmp_path)
    state = {key: value for key, value in under("encoder_q.", theirs()).items() if ".fc." not in key}
    torch.save(state | {"encoder_q.fc.weight": torch.zeros(60, 24)}, tmp_path / "a.pt")
    assert call(tmp_path / "a.pt", "--out", tmp_path / "run").exit_code == 0
    words = [
        "eval",
        str(tmp_path / "run"),
        "--protocol",
        "knn",
        "--data",
        str(data),
        "--allow-mismatch",
        "--set",
        "knn.k=[1]",
    ]
    for more, told in (((), True), (("--init", "random"), False)):
        done = CliRunner().invoke(main, [*words, *more])
        assert done.exit_code == 0, done.output
        records = list(results.read_all(tmp_path / "run" / "results"))
        noted = [any("may have seen labels" in note for note in record.notes) for record in records]
        assert noted.count(True) == 1
        assert (not all(noted)) is not told
