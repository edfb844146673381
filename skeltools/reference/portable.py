"""A run's encoder for other programs: ONNX, TorchScript or safetensors, each with a model card.

ONNX and TorchScript map joint clips, as they stand in a converted file, to features: the stream is taken inside. What
was written is run on clips and compared with the encoder before it is kept. Safetensors holds weights alone, and what
`skeltools.reference.ours` needs to make a run of them.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import skeltools
from skeltools.datasets import registry as datasets
from skeltools.errors import OutputError, RunError, SettingError, SkeltoolsError, counted
from skeltools.files import safetensors
from skeltools.files.writing import check_output, replacing, write_text
from skeltools.models.encoder import FeatureEncoder
from skeltools.results import record as results
from skeltools.runs import listing
from skeltools.runs.folder import Run
from skeltools.store import ClipFile
from skeltools.transforms.streams import Stream

FORMS = {"onnx": ".onnx", "torchscript": ".pt", "safetensors": ".safetensors"}
"""What a model is written as -> how the file is called."""

CLOSEST = 1e-5
"""Largest difference of a feature from the encoder's, relative to the largest value where that is above 1."""

KEY = "skeltools"
"""Name under which a file holds what `facts` says, as JSON."""

_TRIED = 4
"""Clips that a file is compared on; one of them lacks its last body."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: The model.
        card: The model card beside it.
        difference: Largest difference of its features from the encoder's; None where it was not run.
        largest: Largest absolute feature it was compared on.
    """

    path: Path
    card: Path
    difference: float | None
    largest: float


class Portable(nn.Module):
    """Joint clips (N, 3, T, V, M), metres, to features (N, D): the stream, the backbone, the pooling.

    Without the shorter way that a backbone may take to its features, which looks at the clips' values.
    """

    def __init__(self, encoder: FeatureEncoder, run: Run) -> None:
        super().__init__()
        self.stream = Stream(run.stream, run.form.skeleton)
        self.backbone = encoder.backbone

    def forward(self, clips: Tensor) -> Tensor:
        return self.backbone.pool(self.backbone(self.stream(clips)))


def check(path: Path, to: str, replace: bool) -> Path:
    """Check that a model can be written to `path` in the form `to`; return the place of its card.

    Raises:
        OutputError: The ending is another, one of the two exists and `replace` is not set, or their folder is missing.
        SettingError: A package is not installed.
    """
    if path.suffix != FORMS[to]:
        raise OutputError(f"{path}: --to {to} writes a file whose name ends in {FORMS[to]}.")
    card = path.with_name(f"{path.name}.md")
    for place in (path, card):
        check_output(place, replace)
    if to == "onnx":
        try:
            import onnxscript  # noqa: F401
        except ImportError:
            raise SettingError(
                "ONNX needs the packages onnx and onnxscript, which are not installed. Install them with "
                "'pip install onnx onnxscript onnxruntime', or use --to torchscript."
            ) from None
    return card


def export(run: Run, path: Path, to: str, *, replace: bool = False) -> Exported:
    """Write a run's encoder, compare what was written with it, and write a model card beside it.

    Args:
        run: The run; its last checkpoint counts.
        path: The file; the card goes beside it, its name with ``.md`` after it.
        to: One of `FORMS`.
        replace: Whether files that are there are replaced.

    Raises:
        OutputError: As `check`, or the folder cannot be written.
        RunError: There is no checkpoint, the encoder cannot be exported in this form, or what was written gives
            other features than the encoder.
        SettingError: A package is not installed.
    """
    card = check(path, to, replace)
    encoder = run.load_encoder("cpu")
    told = facts(run, encoder)
    model = Portable(encoder, run).eval()
    clips = _clips(run)
    with replacing(path) as part:
        try:
            with _quiet(), torch.no_grad():
                again = _WRITERS[to](model, clips[:2], part, json.dumps(told))
        except (SkeltoolsError, OSError):
            raise
        except Exception as error:  # of a backbone of one's own, or torch's exporter
            line = next(iter(str(error).splitlines()), type(error).__name__)
            raise RunError(
                f"{run.path}: the backbone {run.settings.model.backbone} cannot be exported as {to} ({line:.200}). "
                "Choose another form; safetensors takes any."
            ) from error
        difference, largest = _compare(model, again, clips, path)
    write_text(card, card_of(run, told, path, to, difference))
    return Exported(path, card, difference, largest)


def facts(run: Run, encoder: FeatureEncoder) -> dict[str, Any]:
    """Return what a file says of the model in it, as JSON takes it."""
    form = run.form
    settings = {key: list(value) if isinstance(value, tuple) else value for key, value in run.flat.items()}
    licence, licensed = _licence(run)
    return {
        "version": 1,
        "model": {key: value for key, value in settings.items() if key.startswith("model.")},
        "settings": settings,
        "method": _trained_on(run, "method", "" if run.kind == "import" else run.settings.method),
        "recipe": run.recipe,
        "stream": run.stream,
        "frames": form.frames,
        "bodies": form.bodies,
        "dimensions": form.dimensions,
        "skeleton": form.skeleton.to_dict(),
        "feature_dim": encoder.feature_dim,
        "preparation": run.preparation,
        "dataset": _trained_on(run, "dataset", run.dataset),
        "split": _trained_on(run, "split", run.split),
        "data_digest": _trained_on(run, "data_digest", run.digest),
        "licence": licence,
        "licence_of": licensed,
        "seed": run.seed,
        "epoch": int(run.source.get("epoch", 0)) if run.kind == "import" else run.epoch,
        "epochs": None if run.kind == "import" else run.settings.train.epochs,
        "state": listing.of(run.path).state,
        "checkpoint_sha256": run.checkpoint_digest(),
        "source": run.source,
        "note": run.note,
        "skeltools": skeltools.__version__,
    }


def _trained_on(run: Run, key: str, own: str) -> str:
    """Return a fact of the training: of imported weights what their file said, if anything."""
    return str(run.source.get(key, "")) if run.kind == "import" else own


def _licence(run: Run) -> tuple[str, str]:
    """Return the terms of the recordings that the encoder was trained on, and who says so."""
    digest, dataset = _trained_on(run, "data_digest", run.digest), _trained_on(run, "dataset", run.dataset)
    if run.data is not None and run.data.exists():
        with contextlib.suppress(SkeltoolsError), ClipFile(run.data) as file:
            if file.digest == digest:
                return str(file.attrs.get("licence", "not stated")), file.dataset.title
    known = datasets.registry()
    if dataset in known:
        return known[dataset].licence, known[dataset].title
    return "not stated", dataset or str(run.source.get("from", "unknown data"))


def _clips(run: Run) -> Tensor:
    """Return clips to compare on, float32 (n, 3, T, V, M): of the run's data where that is there, else drawn ones."""
    form = run.form
    found: Tensor | None = None
    if run.data is not None and run.data.exists():
        with contextlib.suppress(SkeltoolsError), ClipFile(run.data) as file:
            if file.form == form:
                found = torch.from_numpy(file.clips(list(range(min(_TRIED, len(file)))))).float()
    if found is None or len(found) < 2:
        draw = torch.Generator().manual_seed(0)
        found = torch.randn(_TRIED, 3, form.frames, form.joints, form.bodies, generator=draw) / 2
    found[-1, ..., -1] = 0
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's exporters from printing: what they warn of is compared afterwards."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            log.setLevel(level)


Again = Callable[[Tensor], Tensor]
"""The model read from the file that was written: clips to features."""


def _onnx(model: Portable, clips: Tensor, path: Path, told: str) -> Again | None:
    program = torch.onnx.export(
        model,
        (clips,),
        dynamo=True,
        input_names=["clips"],
        output_names=["features"],
        dynamic_shapes={"clips": {0: torch.export.Dim("n")}},
        verbose=False,
    )
    assert program is not None
    program.model.metadata_props[KEY] = told
    program.save(str(path), external_data=False)
    try:
        import onnxruntime
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def run(x: Tensor) -> Tensor:
        return torch.from_numpy(session.run(["features"], {"clips": x.numpy()})[0])

    return run


def _torchscript(model: Portable, clips: Tensor, path: Path, told: str) -> Again:
    traced = torch.jit.trace(model, (clips,), check_trace=False)  # type: ignore[no-untyped-call]
    torch.jit.save(traced, str(path), _extra_files={f"{KEY}.json": told})  # type: ignore[no-untyped-call]
    found: Again = torch.jit.load(str(path), map_location="cpu")  # type: ignore[no-untyped-call]
    return found


def _safetensors(model: Portable, clips: Tensor, path: Path, told: str) -> Again:
    safetensors.write(path, model.backbone.state_dict(), {"format": "pt", KEY: told})
    state = safetensors.read(path)
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}

    def run(x: Tensor) -> Tensor:
        model.backbone.load_state_dict(state)
        try:
            found: Tensor = model(x)
        finally:
            model.backbone.load_state_dict(before)
        return found

    return run


_WRITERS: dict[str, Callable[[Portable, Tensor, Path, str], Again | None]] = {
    "onnx": _onnx,
    "torchscript": _torchscript,
    "safetensors": _safetensors,
}


@torch.no_grad()
def _compare(model: Portable, again: Again | None, clips: Tensor, path: Path) -> tuple[float | None, float]:
    """Return the largest difference from the encoder's features, and the largest of these.

    Raises:
        RunError: It is above `CLOSEST`.
    """
    wanted: Tensor = model.backbone.features(model.stream(clips))
    largest = float(wanted.abs().max())
    if again is None:
        return None, largest
    with _quiet():
        # Also other numbers of clips than it was written with.
        found = torch.cat([again(clips[:1]), again(clips[1:])])
    difference = float((found - wanted).abs().max())
    if not difference <= CLOSEST * max(1.0, largest):
        raise RunError(
            f"{path} was not written: its features differ from the encoder's by up to {difference:.3g}, of "
            f"{largest:.3g}."
        )
    return difference, largest


_USE = {
    "onnx": """import numpy as np, onnxruntime

session = onnxruntime.InferenceSession("{name}")
features = session.run(["features"], {{"clips": clips.astype(np.float32)}})[0]  # (N, {dim})
""",
    "torchscript": """import torch

encoder = torch.jit.load("{name}").eval()
with torch.no_grad():
    features = encoder(clips)  # (N, {dim})
""",
    "safetensors": """skeltools import-weights {name} --out runs/imported
skeltools eval runs/imported --protocol linear --data CLIPS.h5
""",
}


def card_of(run: Run, told: dict[str, Any], path: Path, to: str, difference: float | None) -> str:
    """Return the model card: what the model is, what it takes and gives, what it was trained on, and the licence."""
    shape = f"(N, 3, {told['frames']}, {run.form.joints}, {told['bodies']})"
    trained = [f"- Recipe: {told['recipe']}"]
    if run.kind != "import":
        trained = [
            f"- Method: {told['method']}, recipe {told['recipe']}, seed {told['seed']}",
            f"- Epochs: {told['epoch']:,} of {told['epochs']:,}"
            + ("" if told["state"] == listing.FINISHED else f"; the run is {told['state']}, not finished"),
            f"- Data: {told['dataset']}, training side of {told['split']}; no test clip took part",
            f"- Content digest of the data (SHA-256): `{told['data_digest']}`",
        ]
    else:
        trained += [f"- {key}: {value}" for key, value in run.source.items() if isinstance(value, str)]
    compared = "not compared with the encoder: onnxruntime is not installed"
    if difference is not None:
        compared = f"differs from the encoder by at most {difference:.1e}"
    takes = f"joint coordinates `{shape}`, float32, clips x coordinates x frames x joints x bodies; the "
    takes += told["stream"]
    takes += " stream is taken inside" if to != "safetensors" else " stream is taken by skeltools"
    prep = [f"- {key.removeprefix('chain.')}: {value}" for key, value in told["preparation"].items()]
    lines = [
        f"# {run.path.resolve().name}: {told['model'].get('model.backbone')} encoder of skeleton clips",
        "",
        f"`{path.name}`, written by skeltools {told['skeltools']} ({to}); {compared}.",
        "",
        "## Trained",
        "",
        *trained,
        f"- Checkpoint (SHA-256): `{told['checkpoint_sha256']}`",
        *([f"- Note: {told['note']}"] if told["note"] else []),
        "",
        "## Takes and gives",
        "",
        f"- Input `clips`: {takes}",
        f"- Skeleton: {told['skeleton'].get('name')}, {run.form.joints} joints, {told['dimensions']}-D",
        f"- Output `features`: (N, {told['feature_dim']}), float32, before any head",
        "",
        "```",
        _USE[to].format(name=path.name, dim=told["feature_dim"]).rstrip(),
        "```",
        "",
        "## Preparation of the clips",
        "",
        "Clips must be prepared as those it was trained on (`skeltools convert`):",
        "",
        *(prep or ["- not known"]),
        "",
        "## Evaluated",
        "",
        *_evaluated(run),
        "",
        "## Licence",
        "",
        f"- Recordings ({told['licence_of']}): {told['licence']}",
        "- What their terms say of models trained on them is for you to find out before you pass this file on.",
        "- skeltools, which trained and wrote it: MIT",
        "",
        "## Settings",
        "",
        *(f"- {key}: {value}" for key, value in told["settings"].items()),
    ]
    return "\n".join(lines) + "\n"


def _evaluated(run: Run) -> list[str]:
    """Return a line for each recorded result of this very encoder."""
    try:
        records = results.read_all(run.results_dir)
    except RunError as error:
        return [f"- not read: {error}"]
    lines = [
        f"- {record.experiment}, {record.dataset} {record.split}, seed {record.seed}: top-1 {100 * record.top1:.2f} % "
        f"of {counted(record.test_clips, 'test clip')}{', part of the data' if record.partial else ''}, after "
        f"{counted(record.epoch or 0, 'epoch')}"
        for record in records
        if record.subject == results.PRETRAINED
    ]
    return lines or ["- nothing is recorded"]
