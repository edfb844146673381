"""The GPU gives what the CPU gives, trains without waiting, and resumes.

On a machine without one, ``SKELTOOLS_TEST_DEVICE=cpu`` runs what does not need it, as a check of the tests.
Bounds: float64 results differ by the order of sums only; in float32 the first loss does too, while later ones
and weights are further apart, since ReLU inputs within rounding of zero decide about gradients.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from click.testing import CliRunner
from clipfiles import TINY, make_clips
from forms import SKELETON, method_of
from torch import Tensor
from trainedruns import log_of, state_of, stop_after

from skeltools.analysis.features import extract
from skeltools.cli.main import main
from skeltools.environment import device_name, pick_device
from skeltools.errors import RunError
from skeltools.models import stgcn
from skeltools.models.encoder import FeatureEncoder
from skeltools.progress import Silent
from skeltools.runs.folder import Run
from skeltools.runs.settings import resolve_recipe
from skeltools.store import ClipFile
from skeltools.training.distributed import World
from skeltools.training.engine import Trainer
from skeltools.training.feed import DeviceFeed, StreamFeed
from skeltools.transforms import augment, partswap
from skeltools.transforms.draws import Draws, permutation, step_draws
from skeltools.transforms.streams import to_stream

CPU = torch.device("cpu")
DEVICE = torch.device(os.environ.get("SKELTOOLS_TEST_DEVICE", "cuda"))

pytestmark = pytest.mark.gpu
needs_cuda = pytest.mark.skipif(DEVICE.type != "cuda", reason="about CUDA itself")

BACKBONES = {
    "stgcn": (),
    "bigru": ("model.gru_hidden=8", "model.gru_layers=2"),
    "dsta": ("model.subsets=2",),
}
EXACT = ("train.precision=float64", "model.dropout=0", "monitor.every=0")
"""Arithmetic in which two devices agree but for the order of sums, and no votes that a last bit decides."""


@pytest.fixture(scope="module", autouse=True)
def _cublas() -> Iterator[None]:
    """Ready cuBLAS for `train.deterministic`: that can be done only before the first product of a process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 training and 16 test clips of four classes, 16 frames each."""
    return make_clips(tmp_path_factory.mktemp("clips"), test=16)


def start(path: Path, file: ClipFile, *overrides: str) -> Run:
    """A run of 20 training clips in batches of 5, so 4 steps per epoch."""
    small = [*TINY, "train.epochs=2", "train.batch_size=5", "loss.mu=0.4", *overrides]
    settings = resolve_recipe(None, dataset="ntu60", split="xsub", stream="joint", overrides=small)
    words: dict[str, Any] = {"split": "xsub", "stream": "joint", "seed": 3, "command": "test"}
    return Run.create(path, settings, file=file, **words)


def losses_of(run: Run) -> list[float]:
    return [line["loss"] for line in log_of(run) if line["kind"] == "step"]


def close(ours: Run, theirs: Run, rtol: float) -> None:
    """Logs and every entry of the last checkpoints' models agree."""
    for a, b in zip(log_of(ours), log_of(theirs), strict=True):
        assert a.pop("kind") == b.pop("kind")
        assert a == pytest.approx(b, rel=rtol)
    a, b = state_of(ours).model, state_of(theirs).model
    for name, value in b.items():
        torch.testing.assert_close(a[name], value, rtol=rtol, atol=rtol, msg=lambda m, n=name: f"{n}: {m}")


def walk(n: int = 6, frames: int = 64) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, 3, frames, 25, 2, generator=generator).cumsum(2) * 0.02
    x[::2, ..., 1] = 0
    return x


def drawn(fill: str = "partner") -> partswap.PartSwap:
    limits = partswap.SwapRange("parts", (3, 4), (4, 7), 4, fill)
    return partswap.draw(step_draws(0, 4), 6, 64, limits, SKELETON)


def test_draws_are_the_same_bits() -> None:
    here, there = (
        Draws(5, 2, torch.tensor([0, 1, 7, 2**40], device=device)).scoped("first") for device in (CPU, DEVICE)
    )
    assert torch.equal(here.uniform("a", 999, -0.3, 2), there.uniform("a", 999, -0.3, 2).cpu())
    assert torch.equal(here.integers("b", -3, 12), there.integers("b", -3, 12).cpu())
    assert torch.equal(here.chance("c", 0.3), there.chance("c", 0.3).cpu())
    # Logarithm, sine and cosine may differ in the last bits: of values up to 6, where a bit is 5e-7.
    torch.testing.assert_close(here.normal("d", 999), there.normal("d", 999).cpu(), rtol=2e-6, atol=1e-6)


def test_order_and_part_swap_are_the_same_wherever_drawn() -> None:
    with DEVICE:
        order = permutation(5, 2, 100)
        swap = drawn()
    assert torch.equal(order.cpu(), permutation(5, 2, 100))
    assert swap == drawn()


@pytest.mark.parametrize("stream", ["joint", "motion", "bone"])
@pytest.mark.parametrize(
    "text",
    [
        "crop(6)|shear(0.5)",
        "rotate(30,1)|flip(0.5)|reverse(0.5)",
        "noise(0.01,0.5)",
        "blur(15,0.1,2,0.5)",
        "axis_mask(0.5)",
    ],
)
def test_views_are_the_same(text: str, stream: str) -> None:
    x = walk()
    made = [
        to_stream(
            augment.parse(text, SKELETON)(x.to(device), Draws(1, 0, torch.arange(6, device=device), "v/")),
            stream,
            SKELETON,
        )
        for device in (CPU, DEVICE)
    ]
    torch.testing.assert_close(made[1].cpu(), made[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("fill", partswap.FILLS)
def test_the_part_swap_is_the_same(fill: str) -> None:
    swap = drawn(fill)
    x = walk()
    made = [
        partswap.apply(x.to(device), swap, fill, Draws(1, 0, torch.arange(6, device=device)))
        for device in (CPU, DEVICE)
    ]
    torch.testing.assert_close(made[1].cpu(), made[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_training_is_the_same_in_float64(tmp_path: Path, data: Path, backbone: str) -> None:
    """Losses, both encoders, predictors, queue, pointer and batch norm statistics of eight steps."""
    settings = (f"model.backbone={backbone}", *BACKBONES[backbone], *EXACT)
    with ClipFile(data) as file:
        here, there = (start(tmp_path / name, file, *settings) for name in ("cpu", "gpu"))
        assert Trainer(here, file, CPU).train()
        assert Trainer(there, file, DEVICE).train()
    close(there, here, 1e-6)
    assert int(state_of(there).model["pointer"]) == 8 * 5 % 32
    assert all(value.device == CPU for value in state_of(there).model.values())


@pytest.mark.parametrize("backbone", BACKBONES)
def test_training_is_nearly_the_same_in_float32(tmp_path: Path, data: Path, backbone: str) -> None:
    """Two steps: on these few clips rounding grows a hundredfold per step, DSTA's most of all.

    Float32 on the CPU is 5e-7 from float64 in the first loss and 1.4e-5 in the second; TF32 would be off by
    1e-4 and more in the first.
    """
    settings = (f"model.backbone={backbone}", *BACKBONES[backbone], "model.dropout=0", "train.lr=0.01")
    with ClipFile(data) as file:
        here, there = (start(tmp_path / name, file, *settings) for name in ("cpu", "gpu"))
        for run, device in ((here, CPU), (there, DEVICE)):
            Trainer(run, file, device, stop=stop_after(2)).train()
    ours, theirs = losses_of(there), losses_of(here)
    assert ours[0] == pytest.approx(theirs[0], rel=1e-5)
    assert ours[1] == pytest.approx(theirs[1], rel=1e-3)
    a, b, initial = state_of(there).model, state_of(here).model, method_of(here.settings, seed=here.seed)
    for name, before in initial.named_parameters():
        # Biases before a batch norm have no gradient but rounding, so there is an absolute part.
        bound = 0.2 * (b[name] - before).norm() + 1e-4 * before.numel() ** 0.5
        assert (a[name] - b[name]).norm() <= bound, name


@pytest.mark.parametrize(
    ("backbone", "size"),
    [
        ("stgcn", ("model.width=64", "model.dim=256")),
        ("bigru", ("model.gru_hidden=256", "model.gru_layers=2")),
    ],
)
def test_float32_is_float32_and_not_tf32(
    data: Path, backbone: str, size: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """TF32, in which cuDNN convolves and runs GRUs by default, is off by 1.4e-4 and more, float32 by 3e-7."""
    words = [*TINY, f"model.backbone={backbone}", *size]
    settings = resolve_recipe(None, dataset="", split="", stream="joint", overrides=words).values
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    device = pick_device(str(DEVICE))
    found = []
    with ClipFile(data) as file:
        for place in (CPU, device):
            model = method_of(settings, frames=16)
            # Weights of 0.02 would hide the clips behind batch norm's epsilon.
            for weight in model.query.parameters():
                if weight.dim() > 1 and weight.std() > 0:
                    weight.data.mul_(weight[0].numel() ** -0.5 / weight.std())
            encoder = FeatureEncoder(model.query.backbone).to(place)
            found.append(extract(encoder, file, np.arange(24), "joint", device=place))
    assert float((found[1] - found[0]).norm() / found[0].norm()) < 1e-5


@pytest.mark.parametrize("backbone", BACKBONES)
def test_bf16_is_near_and_keeps_float32_weights(tmp_path: Path, data: Path, backbone: str) -> None:
    """The first loss, and 20 steps."""
    settings = (f"model.backbone={backbone}", *BACKBONES[backbone], "model.dropout=0", "train.lr=0.01")
    with ClipFile(data) as file:
        full, half = (
            start(tmp_path / word, file, f"train.precision={word}", f"train.epochs={epochs}", *settings)
            for word, epochs in (("float32", 1), ("bf16", 5))
        )
        for run in (full, half):
            Trainer(run, file, DEVICE).train()
    assert losses_of(half)[0] == pytest.approx(losses_of(full)[0], rel=0.04)
    assert len(losses_of(half)) == 20
    assert all(math.isfinite(loss) for loss in losses_of(half))
    state = state_of(half).model
    assert {value.dtype for value in state.values()} == {torch.float32, torch.int64}
    assert all(torch.isfinite(value).all() for value in state.values())


@pytest.mark.parametrize("backbone", ["stgcn", "dsta"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_first_steps_do_not_depend_on_the_feed(
    tmp_path: Path, data: Path, backbone: str, precision: str
) -> None:
    with ClipFile(data) as file:
        runs = [
            start(tmp_path / feed, file, f"train.feed={feed}", f"train.precision={precision}",
                  "train.deterministic=true", f"model.backbone={backbone}")
            for feed in ("device", "stream")
        ]  # fmt: skip
        for run in runs:
            Trainer(run, file, DEVICE).train()
    assert log_of(runs[0]) == log_of(runs[1])


def test_feeds_bring_the_same_clips(data: Path) -> None:
    with ClipFile(data) as file:
        rows, places = file.rows("xsub", "train"), torch.randperm(20)[:18].view(6, 3)
        feeds = DeviceFeed(file, rows, DEVICE), StreamFeed(file, rows, DEVICE, 2)
        for (rows_a, a), (rows_b, b) in zip(*(feed.batches(places) for feed in feeds), strict=True):
            assert a.device.type == b.device.type == rows_b.device.type == DEVICE.type
            assert torch.equal(rows_a, rows_b)
            assert torch.equal(a, b)
            np.testing.assert_array_equal(a.cpu().numpy(), file.clips(rows_a.cpu().numpy()))


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_deterministic_run_resumes_exactly(tmp_path: Path, data: Path, precision: str) -> None:
    """With dropout, whose generator on the GPU is in the checkpoint; stopped within an epoch."""
    settings = ("train.deterministic=true", f"train.precision={precision}")
    with ClipFile(data) as file:
        whole, broken = (start(tmp_path / name, file, *settings) for name in ("whole", "broken"))
        Trainer(whole, file, DEVICE).train()
        for steps in (2, 3):
            torch.manual_seed(99)
            assert not Trainer(broken, file, DEVICE, stop=stop_after(steps)).train()
        Trainer(broken, file, DEVICE).train()
    assert log_of(broken) == log_of(whole)
    ours = state_of(broken).model
    for name, value in state_of(whole).model.items():
        assert torch.equal(ours[name], value), name


@pytest.mark.parametrize("order", [(DEVICE, CPU), (CPU, DEVICE)], ids=["to cpu", "to gpu"])
def test_a_run_moves_between_devices(tmp_path: Path, data: Path, order: tuple[Any, Any]) -> None:
    with ClipFile(data) as file:
        whole, moved = (start(tmp_path / name, file, *EXACT) for name in ("whole", "moved"))
        Trainer(whole, file, CPU).train()
        assert not Trainer(moved, file, order[0], stop=stop_after(3)).train()
        assert Trainer(moved, file, order[1]).train()
    close(moved, whole, 1e-6)


@needs_cuda
@pytest.mark.parametrize(
    "settings",
    [
        ("train.precision=bf16",),
        ("train.precision=bf16", "loss.local=false"),
        ("train.optimizer=adamw", "train.feed=stream"),
        (
            "augment.swap_fill=noise",
            'augment.view="rotate(30,1)|flip(0.5)|noise(0.01,0.5)|blur(15,0.1,2,0.5)"',
        ),
        ("model.backbone=bigru", *BACKBONES["bigru"]),
        ("model.backbone=dsta", *BACKBONES["dsta"]),
    ],
    ids=["bf16", "baseline", "adamw and stream", "views", "bigru", "dsta"],
)
def test_a_step_never_waits_for_the_gpu(tmp_path: Path, data: Path, settings: tuple[str, ...]) -> None:
    """CUDA's own watch over synchronising calls, between the log's writes and an epoch's ends."""
    quiet = (
        "train.log_every=100", "train.save_every=100", "monitor.every=0", "train.epochs=4",
        "train.feed=device",
    )  # fmt: skip
    with ClipFile(data) as file:
        trainer = Trainer(start(tmp_path / "run", file, *quiet, *settings), file, DEVICE)

        def watch() -> bool:
            torch.cuda.set_sync_debug_mode("error" if 5 <= trainer.step < 7 else "default")
            return trainer.step >= 8

        trainer.stop = watch
        try:
            trainer.train()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert trainer.step == 8


@needs_cuda
def test_memory_stays_flat(tmp_path: Path, data: Path) -> None:
    taken: dict[int, int] = {}
    with ClipFile(data) as file:
        run = start(tmp_path / "run", file, "train.epochs=20", "monitor.every=0", "train.save_every=50")
        trainer = Trainer(run, file, DEVICE)

        def note() -> bool:
            taken[trainer.step] = torch.cuda.memory_allocated()
            return False

        trainer.stop = note
        trainer.train()
    assert taken[78] == taken[38] == taken[18]


@needs_cuda
def test_the_logged_speed_is_the_gpu_s(tmp_path: Path, data: Path) -> None:
    """The time of a step is measured where the step happens, so a step of the log cannot beat the clock."""
    import time

    with ClipFile(data) as file:
        run = start(tmp_path / "run", file, "monitor.every=0", "train.log_every=4", "train.save_every=50")
        trainer = Trainer(run, file, DEVICE)
        began = time.perf_counter()
        trainer.train()
        took = time.perf_counter() - began
    speeds = [json.loads(line)["clips_per_second"] for line in run.log_path.read_text().splitlines()]
    assert 0 < sum(5 / speed for speed in speeds) < took


def test_a_loss_that_is_not_finite_names_the_clips(tmp_path: Path, data: Path) -> None:
    with ClipFile(data) as file:
        run = start(tmp_path / "run", file, "monitor.every=0", "train.log_every=10")
        trainer = Trainer(run, file, DEVICE)
        with torch.no_grad():
            trainer.model.query.backbone.blocks[0].spatial.weight.fill_(math.nan)
        with pytest.raises(
            RunError, match=r"loss of step 1 is not finite.*There is no checkpoint yet"
        ) as caught:
            trainer.train()
    assert str(caught.value).count("S001C001P001R") == 5


def test_a_compiled_run_is_the_same_and_resumes(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of ST-GCN's ten equal blocks, since the compiler takes minutes for all."""

    def shallow(settings: Any, form: Any) -> stgcn.STGCN:
        backbone = stgcn.STGCN(settings.width, settings.dim, 0.0, form)
        backbone.blocks = backbone.blocks[:2]
        return backbone

    class Told(Silent):
        texts: list[str] = []  # noqa: RUF012

        def message(self, text: str) -> None:
            self.texts.append(text)

    monkeypatch.setattr(stgcn.STGCN, "build", shallow)
    settings = (
        "model.width=16", "model.dim=16", "model.dropout=0", "train.epochs=1", "train.lr=0.01",
        "monitor.every=0",
    )  # fmt: skip
    with ClipFile(data) as file:
        plain, compiled = (
            start(tmp_path / word, file, f"train.compile={word}", *settings) for word in ("false", "true")
        )
        Trainer(plain, file, DEVICE).train()
        told = Told()
        first = Trainer(compiled, file, DEVICE, stop=stop_after(2), progress=told)
        assert not first.train()
        assert first._compiled is not None
        assert first._compiled is not first.network
        assert Trainer(compiled, file, DEVICE, progress=told).train()
    compiling = [text for text in told.texts if "compile" in text]
    assert compiling == ["torch.compile is at work: the first step may take minutes."] * 2
    ours, theirs = losses_of(compiled), losses_of(plain)
    assert ours[0] == pytest.approx(theirs[0], rel=1e-5)
    assert ours == pytest.approx(theirs, rel=1e-3)


class Joined(World):
    """A group of one process that takes the ways of several."""

    alone = False  # type: ignore[assignment]


@pytest.mark.skipif(not dist.is_available(), reason="this torch has no distributed package")
def test_collectives_on_the_gpu_change_nothing(tmp_path: Path, data: Path) -> None:
    """DistributedDataParallel, shared batch norm, gathered keys and partners, over NCCL."""
    device = torch.device("cuda", 0) if DEVICE.type == "cuda" else DEVICE
    with ClipFile(data) as file:
        plain, joined = (
            start(tmp_path / name, file, *EXACT, "train.sync_bn=true", "train.lr=0.02")
            for name in ("plain", "joined")
        )
        assert Trainer(plain, file, device).train()
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1,
        )  # fmt: skip
        try:
            assert Trainer(joined, file, device, world=Joined()).train()
        finally:
            dist.destroy_process_group()
    close(joined, plain, 1e-6)


@pytest.mark.skipif(not dist.is_available(), reason="this torch has no distributed package")
def test_torchrun_of_one_process_is_a_plain_run(tmp_path: Path, data: Path) -> None:
    """Each a program of its own, deterministic: so what that needs of cuBLAS is asked for in time."""
    settings = (*TINY, "train.deterministic=true", "train.batch_size=5", "train.epochs=2")
    words = [
        "-m", "skeltools", "pretrain", str(data), "--split", "xsub", "--stream", "joint", "--device",
        str(DEVICE), *(word for setting in settings for word in ("--set", setting)), "--out",
    ]  # fmt: skip
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1"]
    environment = {key: value for key, value in os.environ.items() if key != "CUBLAS_WORKSPACE_CONFIG"}
    outs = tmp_path / "plain", tmp_path / "torchrun"
    programs = [
        subprocess.Popen(
            [sys.executable, *before, *words, str(out)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment | {"OMP_NUM_THREADS": "1"},
        )
        for before, out in zip(([], torchrun), outs, strict=True)
    ]
    try:
        for program in programs:
            errors = program.communicate(timeout=120)[1]
            assert program.returncode == 0, errors
    finally:
        for program in programs:
            program.kill()
    plain, other = (log_of(Run.open(out)) for out in outs)
    assert len([line for line in plain if line["kind"] == "step"]) == 8
    assert other == plain


def test_selfcheck_passes() -> None:
    result = CliRunner().invoke(main, ["selfcheck", "--device", str(DEVICE)])
    assert result.exit_code == 0, result.output
    if DEVICE.type == "cuda":
        assert result.stdout.startswith(device_name(DEVICE))


def test_selfcheck_of_the_reference_passes(shared: Path) -> None:
    files = sorted(map(str, (shared / "reference").glob("*tiny.npz")))
    assert files
    result = CliRunner().invoke(main, ["selfcheck", "--device", str(DEVICE), *files])
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A short run on the CPU."""
    with ClipFile(data) as file:
        path = tmp_path_factory.mktemp("trained") / "run"
        run = start(path, file, "train.lr=0.01", "monitor.every=0")
        Trainer(run, file, CPU).train()
    return path


@pytest.mark.parametrize(
    ("protocol", "settings", "clips"),
    [
        ("knn", ("knn.k=[3]",), 1),
        ("linear", ("linear.epochs=5",), 3),
        ("finetune", ("finetune.epochs=2", "finetune.batch_size=5"), 3),
        ("semi10", ("semi10.epochs=2", "semi10.batch_size=5"), 3),
    ],
)
def test_protocols_give_what_they_give_on_the_cpu(
    tmp_path: Path, trained: Path, protocol: str, settings: tuple[str, ...], clips: int
) -> None:
    """But for some of the 16 test clips, where scores are close; the record names the device."""
    tops = []
    for device in (CPU, DEVICE):
        command = [
            "eval", str(trained), "--protocol", protocol, "--device", str(device), "--json", "--out",
            str(tmp_path / device.type), *(word for setting in settings for word in ("--set", setting)),
        ]  # fmt: skip
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 0, result.output
        (record,) = json.loads(result.stdout)
        assert record["device"] == device_name(device)
        tops.append(record["top1"])
    assert abs(tops[1] - tops[0]) * 16 < clips + 0.5
