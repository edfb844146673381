"""What a run's attention mask holds salient in a clip, by joint and frame.

The mask m (docs/method.md#attention-mask) has a value in (0, 1) for every token x and channel; the salient vector
is pooled from x * m. A token's salience is the share of its activation that goes there: sum |x| m / sum |x| over the
channels. (A mean of m alone would give channels in which nothing is active the same say.)

Backbones that read the bodies one by one (ST-GCN, DSTA) have a token for each joint and each of T' frames,
T' <= T; one that reads a whole frame at once (BiGRU) has a token per frame, whose salience all joints share.
Clips have M bodies of V joints (`skeltools.skeletons.Form`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from skeltools.errors import RunError, counted
from skeltools.progress import SILENT, Progress
from skeltools.results.parts import NEEDS_MASK
from skeltools.transforms.streams import to_stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from skeltools.methods.contract import Method
    from skeltools.runs.folder import Run
    from skeltools.skeletons import Form, Skeleton
    from skeltools.store import ClipFile


def load_method(run: Run, device: torch.device | str) -> Method:
    """Return the run's method with its attention mask, in eval mode.

    Raises:
        RunError: The run has no mask (an import, or a method without one), no checkpoint, or weights that do
            not fit its settings.
    """
    from skeltools.methods.registry import make_method
    from skeltools.runs import checkpoint

    if run.kind != "pretrain":
        raise RunError(f"{run.path} was imported as a backbone alone. {NEEDS_MASK}")
    method = make_method(run.settings, run.form, run.stream, 0)
    if method.mask() is None:
        raise RunError(f"{run.path} was trained without an attention mask. {NEEDS_MASK}")
    path = run.last_checkpoint()
    try:
        method.load_state_dict(checkpoint.load(path).model)
    except RuntimeError as error:
        raise RunError(f"{path} does not fit the run's settings: {' '.join(str(error).split())}") from None
    return method.to(device).eval()


@torch.no_grad()
def of_clips(
    method: Method,
    file: ClipFile,
    rows: NDArray[np.int64],
    stream: str,
    *,
    batch_size: int = 32,
    device: torch.device | str = "cpu",
    progress: Progress = SILENT,
) -> NDArray[np.float32]:
    """Return the salience of clips without augmentation.

    Args:
        method: What `load_method` gave.
        file: An open clip file.
        rows: Rows, int64 (n,).
        stream: The run's stream.
        batch_size: Clips per forward pass.
        device: Where the method lies.
        progress: Receiver of progress.

    Returns:
        float32 (n, T', V, M) in (0, 1); T' is the number of the backbone's frames. An absent body (all
        zeros) has NaN.
    """
    masked = method.mask()
    if masked is None:
        raise RunError(f"The method has no attention mask. {NEEDS_MASK}")
    parts: list[NDArray[np.float32]] = []
    progress.start("Salience", len(rows))
    try:
        for begin in range(0, len(rows), batch_size):
            clips = file.clips(rows[begin : begin + batch_size])
            x = torch.from_numpy(clips).to(device)
            tokens = method.encoder()(to_stream(x, stream, file.form.skeleton))
            mask = share(tokens, masked(tokens)).float().cpu().numpy()
            there = np.asarray(clips.any(axis=(1, 2, 3)))
            parts.append(
                np.where(there[:, None, None], grid(mask, len(clips), file.form), np.float32(np.nan))
            )
            progress.advance(len(clips))
    finally:
        progress.finish()
    return np.concatenate(parts)


def of_whole_frames(found: NDArray[np.float32]) -> bool:
    """Whether salience (n, T', V, M) is the same for every joint: the backbone does not keep joints apart."""
    return bool((found[:, :, :1] == found)[np.isfinite(found)].all())


def share(tokens: Tensor, mask: Tensor) -> Tensor:
    """Return the share of each token's activation that its mask keeps, (B, L), of (B, L, D) and (B, L, D).

    A token without any activation has the mean of its mask.
    """
    weight = tokens.abs()
    weight = torch.where(weight.sum(dim=2, keepdim=True) > 0, weight, torch.ones_like(weight))
    return (weight * mask).sum(dim=2) / weight.sum(dim=2)


def grid(salience: NDArray[np.float32], clips: int, form: Form) -> NDArray[np.float32]:
    """Return the salience of tokens (clips * bodies, L) as (clips, T', V, M); bodies is M or 1.

    Tokens that each body has for itself are one per joint and frame where V divides their number. Those of all
    bodies, or of the only one, are one per frame where there are T or, of several bodies, fewer. Joints and
    bodies without tokens of their own share one.

    Raises:
        RunError: The tokens are neither one per joint and frame nor one per frame, of a body or of all.
    """
    sequences, length = salience.shape
    together = sequences == clips and (length == form.frames or (form.bodies > 1 and length < form.frames))
    joints = 1 if together or length % form.joints else form.joints
    if sequences not in (clips, clips * form.bodies) or (joints == 1 and length > form.frames):
        raise RunError(
            f"Tokens of shape ({sequences}, {length}) belong to no joints or frames of {counted(clips, 'clip')} of "
            f"{counted(form.frames, 'frame')}, {form.joints} joints and {counted(form.bodies, 'body', 'bodies')}."
        )
    found = salience.reshape(clips, sequences // clips, -1, joints).transpose(0, 2, 3, 1)
    return np.broadcast_to(found, (clips, found.shape[1], form.joints, form.bodies)).copy()


def by_part(salience: NDArray[np.float32], skeleton: Skeleton) -> NDArray[np.float32]:
    """Return the mean over the joints of each part, float32 (n, T', P, M), parts in the skeleton's order.

    Args:
        salience: (n, T', V, M), NaN for an absent body, which stays NaN.
        skeleton: Of V joints and P parts.
    """
    means = [salience[:, :, list(joints)].mean(axis=2) for joints in skeleton.parts.values()]
    return np.stack(means, axis=2)


def to_frames(salience: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """Spread (n, T', V, M) over `frames` frames: each gets the value of the backbone frame it falls into."""
    source = np.arange(frames) * salience.shape[1] // frames
    spread: NDArray[np.float32] = salience[:, source]
    return spread
