"""Recomputing reference numbers with this machine's device and library versions.

Two kinds of numbers: a small set that ships with the package (made once in float64 on a CPU; weights and
inputs come from counter-based draws, so only results are stored), and ``.npz`` files in the layout of
``skeattnclr_tiny.npz``, ``backbone_*_tiny.npz``, ``mamp_tiny.npz`` and those of other projects' encoders (``x``,
``init/``, ``eval/feature``), which hold weights, inputs and results of another implementation. Fields that a file
lacks are skipped by name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from skeltools.errors import DataError, SettingError
from skeltools.files import kinds
from skeltools.files.arrays import read_arrays
from skeltools.files.kinds import Kind
from skeltools.methods.mamp import MAMP, masking_order
from skeltools.methods.skeattnclr import SkeAttnCLR
from skeltools.models.attention import AttentionMask
from skeltools.models.bigru import BiGRU
from skeltools.models.contract import Backbone
from skeltools.models.dsta import DSTA, plan
from skeltools.models.heads import MLP
from skeltools.models.sizes import on_meta
from skeltools.models.stgcn import STGCN
from skeltools.reference import encoders
from skeltools.reference.contract import Weights
from skeltools.reference.mamp import translate as translate_mamp
from skeltools.reference.skeattnclr import translate, translate_neck
from skeltools.reference.weights import build, understand
from skeltools.runs.settings import resolve_recipe
from skeltools.skeletons import Form, load
from skeltools.transforms import augment, partswap
from skeltools.transforms.draws import Draws, step_draws
from skeltools.transforms.streams import check_stream, to_stream

KINECT = Form(load("kinect2"), 2, 64)
"""What the clips of the references look like."""

SHIPPED = "selfcheck.json"
"""Name of the shipped numbers within ``skeltools/reference``."""

GRADIENT_FLOOR = 0.01
"""Smaller gradient norms are rounding noise in float32: biases in front of a batch norm."""

EXACT_GRADIENT_FLOOR = 1e-6
"""The same for references in float64."""

EXACT_BOUND = 1e-10
"""Largest relative error against a reference that was computed in float64."""


@dataclass(frozen=True)
class Row:
    """One compared quantity.

    Attributes:
        quantity: What it is.
        dtype: Arithmetic it was computed in.
        expected: The reference's number, or of an array the one that is furthest off; None when skipped.
        got: This machine's.
        error: Absolute error, or relative where `relative`.
        tolerance: Largest error allowed.
        relative: Whether error and tolerance are relative.
    """

    quantity: str
    dtype: str
    expected: float | None
    got: float | None
    error: float | None
    tolerance: float
    relative: bool

    @property
    def skipped(self) -> bool:
        """Whether the reference does not have it."""
        return self.expected is None

    @property
    def ok(self) -> bool:
        """Whether it is within tolerance, or skipped."""
        return self.error is None or self.error <= self.tolerance


@dataclass
class _Table:
    """Collects rows; `want` holds the reference's fields.

    `exact` says that the reference was computed in float64 and is compared in it: every bound is then at most
    `EXACT_BOUND`, relative to the largest number of the field.
    """

    want: Mapping[str, Any]
    dtype: torch.dtype
    exact: bool = False
    rows: list[Row] = field(default_factory=list)

    @property
    def word(self) -> str:
        return str(self.dtype).removeprefix("torch.")

    def skip(self, name: str, tolerance: float = 0.0, relative: bool = False) -> None:
        """Note that the reference does not have a field."""
        self.rows.append(Row(name, self.word, None, None, None, tolerance, relative))

    def compare(
        self, name: str, got: Any, tolerance: float, relative: bool = False, floor: float = 0.0, at: str = ""
    ) -> None:
        """Compare `got` with the field `name`.

        Args:
            name: The field.
            got: Number, array or tensor of the same shape, or a function that gives it.
            tolerance: Largest error.
            relative: Divide each error by the largest expected magnitude.
            floor: Entries below this expected magnitude are left out, and each error is relative to its own.
            at: What to call it instead of the name.
        """
        if self.exact:
            tolerance, relative = min(tolerance, EXACT_BOUND), True
        if name not in self.want:
            self.skip(at or name, tolerance, relative)
            return
        value = got() if callable(got) else got
        ours = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value, np.float64).reshape(
            -1
        )
        theirs = np.asarray(self.want[name], np.float64).reshape(-1)
        if ours.shape != theirs.shape:
            raise DataError(
                f"'{name}' has {theirs.size} numbers, not {ours.size}. The file does not fit its hparams."
            )
        if floor:
            kept = theirs > floor
            ours, theirs = ours[kept], theirs[kept]
            scale = theirs
        else:
            scale = (
                np.full_like(theirs, np.abs(theirs).max(initial=1e-300)) if relative else np.ones_like(theirs)
            )
        error = np.abs(ours - theirs) / scale
        error = np.where(np.isfinite(ours), error, math.inf)
        worst = int(error.argmax())
        row = Row(
            quantity=at or name,
            dtype=self.word,
            expected=float(theirs[worst]),
            got=float(ours[worst]),
            error=float(error[worst]),
            tolerance=tolerance,
            relative=relative or bool(floor),
        )
        self.rows.append(row)


def check_file(path: Path, device: torch.device) -> list[Row]:
    """Recompute the numbers of one reference file.

    Raises:
        DataError: The file is missing, not an ``.npz`` file, or of no known layout.
    """
    want = _read(path)
    try:
        if "eval/feature" in want or "eval/joint/feature" in want:
            return _check_project(want, path, device)
        if "hparams" in want:
            check = _check_mamp if "init/joints_embed.proj.weight" in want else _check_method
            return [*check(want, device, torch.float32), *check(want, device, torch.float64)]
        if "hparams/hidden" in want or "hparams/blocks" in want:
            return _check_backbone(want, device)
    except KeyError as error:
        raise DataError(f"{path} lacks {error}, which its layout needs.") from None
    except (RuntimeError, ValueError, IndexError, DataError, SettingError) as error:
        raise DataError(f"{path}: {' '.join(str(error).split())}") from None
    raise DataError(
        f"{path} is in no known layout: no 'hparams', 'hparams/hidden', 'hparams/blocks' or 'eval/feature'."
    )


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        if not path.is_file() and path.exists():
            raise ValueError("not a file")
        return read_arrays(path)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.") from None
    except (OSError, ValueError):
        kind = kinds.tell(path)
        instead = (
            "." if kind is Kind.NPZ else kinds.but(kind, "Give reference numbers as numpy.savez writes them.")
        )
        raise DataError(f"{path} is not an .npz file of numbers{instead}") from None


def _initial(
    want: Mapping[str, Any], prefix: str, name: Callable[[str], str | None], state: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the stored initial state under our names and shapes."""
    found = {}
    for key, value in want.items():
        ours = name(key.removeprefix(prefix)) if key.startswith(prefix) else None
        if ours is not None and ours in state:
            tensor = torch.from_numpy(np.asarray(value))
            found[ours] = tensor.T if ours == "queue" else tensor.reshape(state[ours].shape)
    return found


M = TypeVar("M", bound=nn.Module)


def _built(make: Callable[[], M], want: Mapping[str, Any]) -> M:
    """Build a model whose initial weights are in a file; sizes that the file only names reserve no memory.

    Raises:
        DataError: The model would have many more weights than there are numbers in the file.
    """
    state = on_meta(make).state_dict()
    need, held = (
        sum(value.numel() for value in state.values()),
        sum(np.size(value) for value in want.values()),
    )
    if need > 4 * held + _OF_ITS_OWN:  # a momentum encoder and a queue need not be there
        raise DataError(f"its hparams ask for a model of {need:,} numbers, {held:,} are there.")
    return make()


_OF_ITS_OWN = 1 << 20
"""Weights that a model may have which its file does not hold."""


def _check_method(want: dict[str, Any], device: torch.device, dtype: torch.dtype) -> list[Row]:
    """Two training steps. In float32 only what comes before any gradient: single ReLU inputs that lie within
    rounding of zero decide about gradients, so gradients and what follows are compared in float64."""
    in_double = dtype == torch.float64
    stream = check_stream(str(want.get("view", "joint")))
    exact = in_double and all(
        value.dtype == np.float64 for name, value in want.items() if name.startswith("step0/neck_")
    )
    width, dim, embedding, queue, heads, _ = (int(value) for value in want["hparams"])
    temperature, mu = float(want["temperature"]), float(want["mu"])
    model = _built(
        lambda: _method(
            stream, width=width, dim=dim, embedding=embedding, heads=heads, size=queue, temperature=temperature, mu=mu
        ),
        want,
    )  # fmt: skip
    state = model.state_dict()
    model.load_state_dict(state | _initial(want, "init/", translate, state))
    model.key.load_state_dict(model.query.state_dict())
    model.to(device=device, dtype=dtype).train()
    optimizer = torch.optim.SGD(
        [weight for weight in model.parameters() if weight.requires_grad],
        lr=0.1,
        momentum=0.9,
        weight_decay=1e-4,
    )
    necks, keys, masks = _recorded(model)
    rows: list[Row] = []
    for step in range(2 if in_double else 1):
        prefix = f"step{step}/"
        fields = {k.removeprefix(prefix): v for k, v in want.items() if k.startswith(prefix)}
        table = _Table(fields, dtype, exact)
        needed = ("xq", "xk", "swap_shift", "swap_joints", "swap_frames")
        lacking = [name for name in needed if name not in table.want]
        if lacking:
            table.skip(f"{prefix}{lacking[0]} and what follows")
            return rows + table.rows
        for seen in (necks, keys, masks):
            seen.clear()
        _one_step(model, optimizer, table, step, stream, device, (necks, keys, masks))
        rows += [replace(row, quantity=prefix + row.quantity) for row in table.rows]
    if in_double:
        table = _Table(want, dtype, exact)
        model.eval()
        x = to_stream(_clips(want, "step1/xq", device, dtype), stream, KINECT.skeleton)
        with torch.no_grad():
            feature = model.query.backbone.features(x)
        table.compare("eval/logits", lambda: _logits(feature, want, "init/encoder_q."), 0.02, True)
        rows += table.rows
    return rows


def _recorded(model: SkeAttnCLR) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Return lists that fill with the query's head outputs, the keys and the masks of each pass."""
    necks: list[Tensor] = []
    keys: list[Tensor] = []
    masks: list[Tensor] = []
    model.query.head.register_forward_hook(lambda module, given, out: necks.append(out.detach()))
    model.key.head.register_forward_hook(lambda module, given, out: keys.append(F.normalize(out, dim=1)))
    assert model.query.attention is not None
    model.query.attention.register_forward_hook(lambda module, given, out: masks.append(out.detach()))
    return necks, keys, masks


def _one_step(
    model: SkeAttnCLR,
    optimizer: torch.optim.Optimizer,
    table: _Table,
    step: int,
    stream: str,
    device: torch.device,
    seen: tuple[list[Tensor], list[Tensor], list[Tensor]],
) -> None:
    want = table.want
    first, second = (_clips(want, name, device, table.dtype) for name in ("xq", "xk"))
    begin, end = (int(value) for value in want["swap_frames"])
    swap = partswap.PartSwap(int(want["swap_shift"]), tuple(int(j) for j in want["swap_joints"]), begin, end)
    swapped = partswap.apply(first, swap)
    order = torch.arange(swapped.numel(), device=device, dtype=torch.float64)
    table.compare("x_swap_sum", swapped.double().sum(), 1e-5, True)
    table.compare("x_swap_weighted_sum", (swapped.double().flatten() * order).sum(), 1e-5, True)
    output = model(*model.in_stream(first, second, swapped))
    necks, keys, masks = seen
    if step == 0 or table.exact:
        for name, neck in zip(("global", "swap_global", "salient", "nonsalient"), necks, strict=True):
            table.compare(f"neck_{name}", neck, 1e-4)
        table.compare("mask", masks[0][:2, :8], 1e-4)
        table.compare("mask_sum", masks[0].double().sum(), 1e-5, True)
        for name, key in zip(("k_z", "k_s", "k_ns"), keys, strict=True):
            table.compare(name, key, 1e-4)
    bound = 1e-4 if step == 0 else 2e-4
    for name, loss in (("", output.loss), *((f"_{name}", part) for name, part in output.parts.items())):
        table.compare(f"loss{name}", loss, bound)
    if table.dtype != torch.float64:
        return
    optimizer.zero_grad()
    output.loss.backward()
    gradients = _gradients(model)

    def norms(names: str, values: Mapping[str, Tensor]) -> Iterator[float]:
        for name in want[names].tolist():
            value = values.get(translate(name) or "")
            yield math.nan if value is None else value.double().norm().item()

    if "grad_names" in want:
        bound = 1e-4 if step == 0 else 0.05
        floor = EXACT_GRADIENT_FLOOR if table.exact else GRADIENT_FLOOR
        found = list(norms("grad_names", gradients))
        table.compare("grad_norms", found, bound, floor=floor, at=f"grad_norms above {floor}")
    optimizer.step()
    values = model.after_step(step, 100, *output.kept)
    table.compare("momentum", values["momentum"], 0.0)
    table.compare("queue_ptr", model.pointer.double(), 0.0)
    if "param_names" in want and "param_norms" in want:
        ours = [name for name in want["param_names"].tolist() if translate(name) is not None]
        kept = np.isin(want["param_names"], ours)
        narrowed = _Table({"param_norms": want["param_norms"][kept]}, table.dtype, table.exact)
        state = model.state_dict()
        sizes = [state[str(translate(name))].double().norm().item() for name in ours]
        narrowed.compare("param_norms", sizes, 1e-4 if step == 0 else 5e-3, floor=1e-6)
        table.rows += narrowed.rows
    else:
        table.compare("param_norms", 0.0, 1e-4 if step == 0 else 5e-3)


def _clips(want: Mapping[str, Any], name: str, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return clips of a reference, which is in float32 and exact in float64."""
    return torch.from_numpy(want[name].astype(np.float32)).to(device=device, dtype=dtype)


def _logits(feature: Tensor, want: Mapping[str, Any], prefix: str) -> Tensor:
    """Return what the reference's own classifier makes of features (N, D)."""
    weight, bias = (
        torch.from_numpy(want[f"{prefix}backbone.fc.{n}"]).to(feature) for n in ("weight", "bias")
    )
    return feature @ weight.T + bias


def _gradients(model: nn.Module) -> dict[str, Tensor]:
    """Return the gradients in float64 by name, of the weights that have one."""
    return {
        name: weight.grad.double() for name, weight in model.named_parameters() if weight.grad is not None
    }


def _check_project(want: dict[str, Any], path: Path, device: torch.device) -> list[Row]:
    """Features of the encoders of another project's file, in eval and training mode, in float64."""
    entries = {
        key.removeprefix("init/"): torch.from_numpy(value)
        for key, value in want.items()
        if key.startswith("init/")
    }
    found = understand(Weights(path, entries, {}))
    x = torch.from_numpy(want["x"].astype(np.float64)).to(device)
    table = _Table(want, torch.float64)
    for stream in found.streams:
        names = f"{stream}/feature" if len(found.streams) > 1 else "feature"
        quiet = {"dropout": 0.0} if found.encoder.backbone == "stgcn" else {}
        backbone = build(found, stream, **quiet).to(device=device, dtype=torch.float64)
        with torch.no_grad():
            for mode in ("eval", "train", "eval_after_train"):
                features = backbone.train(mode == "train").features(to_stream(x, stream, KINECT.skeleton))
                table.compare(f"{mode}/{names}", features, 1e-5, True)
    return table.rows


def _check_backbone(want: dict[str, Any], device: torch.device) -> list[Row]:
    """One pass in training mode and one in eval mode after it, in float64."""
    number = {
        key.removeprefix("hparams/"): value for key, value in want.items() if key.startswith("hparams/")
    }
    backbone: Backbone
    if "hidden" in number:
        hidden, layers = int(number["hidden"]), min(int(number["layers"]), len(want))  # each has arrays
        names, backbone = encoders.BIGRU, _built(lambda: BiGRU(hidden, layers, KINECT), want)
    else:
        blocks = [(int(a), int(b), int(c), int(d)) for a, b, c, d in number["blocks"][: len(want)]]
        subsets = int(number["subsets"])
        names, backbone = encoders.DSTA, _built(lambda: DSTA(blocks, subsets, KINECT), want)
    heads, head_hidden, embedding = (int(number[key]) for key in ("heads", "head_hidden", "embedding"))
    width = backbone.feature_dim
    neck = _built(
        lambda: nn.ModuleDict(
            {"attention": AttentionMask(width, heads, 2.0), "head": MLP(width, head_hidden, embedding)}
        ),
        want,
    )

    def restart() -> None:
        backbone.load_state_dict(
            _initial(
                want,
                "init/backbone.",
                lambda name: (names.translate(name) or (None,))[0],
                backbone.state_dict(),
            )
        )
        neck.load_state_dict(_initial(want, "init/neck.", translate_neck, neck.state_dict()))
        for module in (backbone, neck):
            module.to(device=device, dtype=torch.float64).train()

    table = _Table(want, torch.float64)
    x = torch.from_numpy(want["x"].astype(np.float64)).to(device)
    restart()
    with torch.no_grad():
        tokens = backbone(x)
        table.compare("train/logits", _logits(backbone.pool(tokens), want, "init/"), 1e-5, True)
        table.compare("train/feature_sum", tokens.sum(), 1e-5, True)
        table.compare("train/feature_abs_mean", tokens.abs().mean(), 1e-5, True)
        restart()
        tokens = backbone(x)
        mask = neck["attention"](tokens)
        whole, salient = backbone.pool(tokens), backbone.pool(tokens * mask)
        for name, vector in (("z", whole), ("z_salient", salient), ("z_nonsalient", whole - salient)):
            table.compare(f"train/{name}", neck["head"](vector), 1e-5, True)
        table.compare("train/mask_sum", mask.sum(), 1e-5, True)
        table.compare("train/mask_shape", np.array(mask.shape), 0.0)
        backbone.eval()
        neck.eval()
        feature = backbone.features(x)
        table.compare("eval/logits", _logits(feature, want, "init/"), 1e-5, True)
        table.compare("eval/z", neck["head"](feature), 1e-5, True)
    return table.rows


_MAMP_PASSES: dict[str, dict[str, Any]] = {
    "step0": {},
    "half": {"mask.ratio": 0.5, "mask.tau": 0.75},
    "plain": {"mask.tau": 0.0},
    "unnormalised": {"mask.ratio": 0.5, "mask.tau": 0.75, "loss.normalise": False},
    "stride2": {"mask.ratio": 0.5, "mask.tau": 0.75, "loss.stride": 2},
    "mae": {"mask.tau": 0.0, "loss.target": "joint"},
}
"""What the passes in a reference of MAMP set beside the recipe."""


def _check_mamp(want: dict[str, Any], device: torch.device, dtype: torch.dtype) -> list[Row]:
    """MAMP's passes and its encoder, from the initial weights on the first clips."""
    heads = int(want["hparams"][2])
    sizes = {  # of the arrays, so that numbers beside them reserve no memory
        "model.dim": want["init/norm.bias"].size, "decoder.dim": want["init/decoder_norm.bias"].size,
        "model.vit_depth": sum(key.startswith("init/blocks.") and key.endswith("norm1.bias") for key in want),
        "decoder.depth": sum(key.startswith("init/decoder_blocks.") and key.endswith("norm1.bias") for key in want),
        "model.vit_patch": want["init/joints_embed.proj.weight"].shape[2],
        "model.vit_heads": heads, "decoder.heads": heads,
    }  # fmt: skip
    double = dtype == torch.float64
    table = _Table(want, dtype)
    x = _clips(want, "x0", device, dtype)
    clips, _, frames, _, bodies = x.shape
    form = Form(KINECT.skeleton, bodies, frames)
    for name, options in _MAMP_PASSES.items():
        settings = resolve_recipe(
            "mamp", dataset="", split="", stream="joint", options=sizes | options
        ).values
        model = _built(partial(MAMP, settings, form, "joint"), want)
        model.load_state_dict(_initial(want, "init/", translate_mamp, model.state_dict()))
        model.to(device, dtype)
        draws = f"uniform/{name if f'uniform/{name}' in want else 'half'}"
        uniform = torch.from_numpy(want[draws]).to(device)
        order = masking_order(model.backbone.cut(x), uniform, model.steps, model.mask_settings.tau)
        table.compare(f"{name}/kept", order[:, : model.kept], 0.0)
        loss = model(x, order.view(clips, bodies, -1), x.new_full((clips, bodies), 1 / bodies)).loss
        table.compare(f"float64/{name}/loss" if double else f"{name}/loss", loss, 1e-10 if double else 2e-6)
        loss.backward()
        gradients = _gradients(model)
        if name == "step0":
            for key in (key for key in want if key.startswith("step0/grad/")):
                gradient = gradients.get(str(translate_mamp(key.removeprefix("step0/grad/"))))
                table.compare(key, math.nan if gradient is None else gradient.norm(), 1e-5, True)
        else:
            total = torch.stack([gradient.norm() for gradient in gradients.values()]).norm()
            table.compare(f"{name}/grad_total", total, 1e-5, True)
    with torch.no_grad():
        feature = model.backbone.features(x)
    name = "float64/encoder/feature" if double else "encoder/feature"
    table.compare(name, feature, 1e-10 if double else 1e-5)
    return table.rows


def _method(stream: str = "joint", **values: Any) -> SkeAttnCLR:
    """Return the method of a small size."""
    given = {
        "model.width": 8, "model.dim": 32, "model.embedding": 16, "model.heads": 8, "model.dropout": 0.0,
        "queue.size": 36, "loss.temperature": 0.2, "loss.mu": 0.5,
    }  # fmt: skip
    for key in given:
        given[key] = values.get(key.split(".")[1], given[key])
    settings = resolve_recipe(None, dataset="", split="", stream=stream, options=given).values
    return SkeAttnCLR(settings, KINECT, stream)


def check_shipped(device: torch.device) -> list[Row]:
    """Recompute the numbers that ship with the package, in float64 and, with a wider bound, in float32."""
    want = json.loads((files("skeltools.reference") / SHIPPED).read_text(encoding="utf-8"))
    rows = []
    for dtype, bound in ((torch.float32, 1e-4), (torch.float64, 1e-9)):
        table = _Table(want, dtype)
        for name, value in shipped_numbers(device, dtype).items():
            table.compare(name, value, bound, relative=True)
        rows += table.rows
    return rows


def shipped_numbers(device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """Compute the numbers that are compared with the shipped ones.

    Weights and inputs are uniform draws, the same on every device; nothing depends on torch's generators.
    """
    clips = torch.arange(6, device=device)
    draws = Draws(1, 0, clips)
    points = KINECT.joints * KINECT.bodies
    walk = draws.uniform("clips", 3 * 16 * points, -0.5, 0.5).double()
    walk = walk.view(6, 3, 16, KINECT.joints, KINECT.bodies).cumsum(2) * 0.1
    place = draws.uniform("place", 3 * points, -1, 1).double().view(6, 3, 1, KINECT.joints, KINECT.bodies)
    x = (walk + place).to(dtype)
    x[::2, ..., 1] = 0
    found: dict[str, float] = {}

    def note(name: str, y: Tensor) -> None:
        order = torch.arange(1, y.numel() + 1, device=y.device, dtype=torch.float64)
        found[f"{name} sum"] = y.double().abs().sum().item()
        found[f"{name} weighted sum"] = (y.double().flatten() * torch.sin(order)).sum().item()

    for text in ("crop(6)", "shear(0.5)", "rotate(30,1)", "flip(0.5)", "reverse(0.5)", "blur(15,0.1,2,0.5)"):
        note(f"augmentation {text}", augment.parse(text, KINECT.skeleton)(x, draws))
    for stream in ("motion", "bone"):
        note(f"stream {stream}", to_stream(x, stream, KINECT.skeleton))
    backbones: dict[str, Backbone] = {
        "stgcn": STGCN(8, 32, 0.0, KINECT),
        "bigru": BiGRU(16, 2, KINECT),
        "dsta": DSTA(plan(8, 32), 2, KINECT),
    }
    for name, backbone in backbones.items():
        _fill(backbone, device, dtype)
        with torch.no_grad():
            note(f"{name} training", backbone.train()(x))
            note(f"{name} eval", backbone.eval().features(x))
    model = _method()
    _fill(model, device, dtype)
    model.key.load_state_dict(model.query.state_dict())
    with torch.no_grad():
        limits = partswap.SwapRange("parts", (3, 4), (4, 7), 1, "partner")
        swapped = partswap.apply(x, partswap.draw(step_draws(1, 0), 6, 16, limits, KINECT.skeleton))
        note("part swap", swapped)
        output = model.train()(x, x.flip(0), swapped)
    for name, value in (("total", output.loss), *output.parts.items()):
        found[f"loss {name}"] = value.item()
    note("keys", output.kept[0])
    return found


def _fill(module: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Fill every float entry of the state with draws named after it."""
    module.to(device=device, dtype=dtype)
    for name, value in module.state_dict().items():
        if not value.is_floating_point() or name.endswith("graph"):
            continue
        low, high = (
            (0.5, 1.5) if (value.dim() == 1 and "weight" in name) or "running_var" in name else (-0.2, 0.2)
        )
        number = torch.tensor([0], device=device)
        value.copy_(Draws(2, 0, number).uniform(name, value.numel(), low, high).view(value.shape))
    if isinstance(module, SkeAttnCLR):
        module.queue.copy_(F.normalize(module.queue, dim=1))
