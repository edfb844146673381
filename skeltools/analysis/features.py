"""Features of clips from a frozen encoder: the one place where clips pass through it for evaluation."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from skeltools.environment import full_float32
from skeltools.errors import OutputError, RunError, counted
from skeltools.files.writing import check_output, replacing
from skeltools.progress import SILENT, Progress
from skeltools.transforms.streams import to_stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from skeltools.store import ClipFile


@torch.no_grad()
def extract(
    encoder: nn.Module,
    file: ClipFile,
    rows: NDArray[np.int64],
    stream: str,
    *,
    batch_size: int = 128,
    device: str | torch.device = "cpu",
    progress: Progress = SILENT,
    label: str = "Features",
) -> Tensor:
    """Return the encoder's features of some clips, without augmentation.

    The encoder runs in eval mode and is put back into the mode it was in. Memory does not grow with the
    number of clips beyond the features themselves.

    Args:
        encoder: Module that maps (N, 3, T, V, M) float32 to (N, D), such as
            `skeltools.models.encoder.FeatureEncoder`.
        file: An open clip file.
        rows: Rows of the clips, int64 (n,), in the order wanted.
        stream: ``joint``, ``motion`` or ``bone``.
        batch_size: Clips per forward pass.
        device: Where the encoder lies.
        progress: Receiver of progress.
        label: What the progress display calls this pass.

    Returns:
        float32 (n, D) on the CPU.

    Raises:
        RunError: The encoder does not return (N, D), or a feature is not finite.
    """
    if torch.device(device).type == "cuda":
        full_float32()
    was_training = encoder.training
    encoder.eval()
    out: Tensor | None = None
    progress.start(label, len(rows))
    try:
        for begin in range(0, len(rows), batch_size):
            chunk = rows[begin : begin + batch_size]
            x = torch.from_numpy(file.clips(chunk)).to(device=device, dtype=torch.float32)
            features = encoder(to_stream(x, stream, file.form.skeleton))
            if features.ndim != 2 or features.shape[0] != len(chunk):
                raise RunError(
                    f"The encoder returned {tuple(features.shape)} for {counted(len(chunk), 'clip')}; "
                    "features must be (N, D)."
                )
            if not torch.isfinite(features).all():
                bad = chunk[int((~torch.isfinite(features)).any(dim=1).nonzero()[0])]
                raise RunError(f"The encoder's feature of clip '{file.names[int(bad)]}' is not finite.")
            if out is None:
                out = torch.empty(len(rows), features.shape[1])
            out[begin : begin + len(chunk)] = (
                features  # a copy: kept as they are, views would keep whole maps
            )
            progress.advance(len(chunk))
    finally:
        progress.finish()
        encoder.train(was_training)
    return torch.empty(0, 0) if out is None else out


def state_digest(module: nn.Module) -> str:
    """Return the SHA-256 (hex) of every parameter and buffer of `module`, names included.

    Two modules have the same digest exactly when their states are bit-equal; protocols use it to show
    that a frozen encoder did not move.
    """
    total = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        array = value.detach().cpu().contiguous()
        total.update(f"{name} {array.dtype} {tuple(array.shape)}".encode())
        total.update(array.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def write(
    path: Path, features: Tensor, file: ClipFile, facts: Mapping[str, str], *, replace: bool = False
) -> None:
    """Write the features of every clip of a file as a compressed ``.npz``.

    It holds ``features`` float32 (N, D), ``labels`` int64 (N,), ``names``, ``classes``, for every split rows
    ``<split>_train`` and ``<split>_test``, and `facts` as texts.

    Args:
        path: The file to write.
        features: float32 (N, D), all clips in row order.
        file: The open clip file.
        facts: What else to tell, such as stream and digests.
        replace: Whether an existing file is replaced.

    Raises:
        OutputError: The file exists, is not named ``.npz``, or cannot be written.
    """
    check_target(path, replace=replace)
    arrays = {
        "features": features.numpy(),
        "labels": file.labels,
        "names": np.array(file.names, dtype=np.str_),
        "classes": np.array(file.classes, dtype=np.str_),
        **{key: np.array(value) for key, value in facts.items()},
    }
    for split in file.splits:
        for part in ("train", "test"):
            arrays[f"{split}_{part}"] = file.rows(split, part)
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]


def check_target(path: Path, *, replace: bool) -> None:
    """Check that features may be written to `path`.

    Raises:
        OutputError: It exists and `replace` is not set, it is not named ``.npz``, or nothing can be written there.
    """
    if path.suffix != ".npz":
        raise OutputError(f"{path}: features are written as .npz. Give a name that ends so.")
    check_output(path, replace)
