"""From a recording to classes over time, by a recorded linear classifier."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from skeltools.analysis.features import state_digest
from skeltools.analysis.timeline import Timeline, cut, windows
from skeltools.datasets.descriptor import Descriptor
from skeltools.errors import FormatError, RunError, SettingError, counted
from skeltools.exchange.recordings import Found, read, read_own
from skeltools.preparation import chain as preparation
from skeltools.preparation.chain import Chain
from skeltools.progress import SILENT, Progress
from skeltools.results import compare as comparison
from skeltools.results import joined
from skeltools.results import record as results
from skeltools.results.record import Record
from skeltools.runs.folder import Run
from skeltools.skeletons import Form
from skeltools.transforms.streams import to_stream

BATCH = 64
"""Windows that pass through the encoder at once."""

LONG = 300
"""A recording of more frames is longer than any clip of NTU; as one clip it is worth a word."""


@dataclass(frozen=True)
class Source:
    """How recordings are read; see `skeltools.exchange.recordings`.

    Attributes:
        unit: Unit of the coordinates; None for the one that the classifier's data were read in.
        clip: Which recording of a file with several.
        axes: The order of an array's axes.
        data: Descriptor of data of one's own, whose readers then read the files.
    """

    unit: str | None = None
    clip: str | None = None
    axes: str | None = None
    data: Descriptor | None = None

    def read(self, path: Path, form: Form, unit: str) -> Found:
        """Read one recording, in `unit` where no other is named."""
        if self.data is not None:
            return read_own(path, form, self.data, clip=self.clip)
        return read(path, form, unit=self.unit or unit, clip=self.clip, axes=self.axes)


def predict(
    run: Run,
    paths: Sequence[Path],
    device: torch.device,
    *,
    window: int = 0,
    stride: int = 0,
    source: Source = Source(),
    result: str | None = None,
    progress: Progress = SILENT,
) -> list[Timeline]:
    """Classify recordings, whole or window by window.

    Each window is prepared as the clips of the classifier were, passed through the run's encoder, and scored by
    the linear classifier that the last linear evaluation of this checkpoint recorded; where there are several, the
    receiver of progress gets a sentence that says which. Memory holds a recording,
    `BATCH` prepared windows and the scores.

    Args:
        run: The run.
        paths: Files with a recording each.
        device: Where to compute.
        window: Frames of a window; 0 takes a recording as one clip.
        stride: Frames from one window to the next.
        source: How the files are read.
        result: Id of the linear result whose classifier is meant; None for the last one.
        progress: Receiver of progress.

    Raises:
        FormatError: A file is damaged, does not suit the run, or no clip can be made of it.
        SourceError: A file is of no kind that holds a recording.
        SettingError: The preparation would cut windows of so many frames, or the stride does not suit.
        RunError: The run has no classifier of its last checkpoint, or it does not fit.
    """
    encoder = run.load_encoder(device)
    record = _record(run, state_digest(encoder), result, progress)
    weight, bias, classes = _classifier(record)
    chain = preparation.stored(record.preparation)
    if 0 < chain.most_frames < window:
        raise SettingError(
            f"--window {window} is more than the {counted(chain.most_frames, 'frame')} that the run's "
            f"preparation keeps of a "
            f"clip. Choose at most --window {chain.most_frames}."
        )

    def score(clips: Tensor) -> Tensor:
        stream = to_stream(clips.to(device), record.stream, run.form.skeleton)
        features: Tensor = encoder(stream).float().cpu()
        if features.shape[1] != weight.shape[1]:
            raise RunError(
                f"{record.scores}: the classifier takes features of {counted(weight.shape[1], 'number')}, the "
                f"encoder gives "
                f"{features.shape[1]}. Run the protocol again: skeltools eval {run.path} --protocol linear"
            )
        return (features @ weight.T + bias).softmax(dim=1)

    unit = str(record.preparation.get("chain.unit", "m"))
    made = []
    for path in paths:
        found = source.read(path, run.form, unit)
        made.append(_timeline(found, chain, run.form, score, classes, (window, stride), progress))
    return made


@torch.no_grad()
def _timeline(
    found: Found,
    chain: Chain,
    form: Form,
    score: Callable[[Tensor], Tensor],
    classes: list[str],
    asked: tuple[int, int],
    progress: Progress,
) -> Timeline:
    """Score the windows of a recording, `BATCH` at a time."""
    bounds = windows(found.recording.frames, *asked)
    scores = np.full((len(bounds), len(classes)), np.nan, np.float32)
    used, gaps = [0] * len(bounds), [""] * len(bounds)
    progress.start("Windows", len(bounds), "windows")
    try:
        for begin in range(0, len(bounds), BATCH):
            rows, clips = [], []
            for row in range(begin, min(begin + BATCH, len(bounds))):
                made = preparation.apply(cut(found.recording, *bounds[row]), chain, form)
                if isinstance(made, str):
                    gaps[row] = made
                    continue
                used[row] = made.length
                rows.append(row)
                clips.append(np.asarray(made.clip, np.float32))
            if rows:
                scores[rows] = score(torch.from_numpy(np.stack(clips))).numpy()
            progress.advance(min(BATCH, len(bounds) - begin))
    finally:
        progress.finish()
    if all(gaps):  # an empty recording has no window
        raise FormatError(found.path, f"no clip can be made of it ({gaps[0] if gaps else preparation.EMPTY})")
    if not np.isfinite(scores[[row for row, gap in enumerate(gaps) if not gap]]).all():
        raise RunError(f"The classifier's scores of {found.path} are not finite. Run the protocol again.")
    return Timeline(
        path=str(found.path),
        clip=found.clip,
        recording=found.recording,
        length=asked[0],
        stride=asked[1],
        classes=classes,
        bounds=bounds,
        used=used,
        gaps=gaps,
        scores=scores,
        notes=(*found.notes, *_notes(found.recording.frames, asked[0], chain, gaps)),
    )


def _notes(frames: int, window: int, chain: Chain, gaps: list[str]) -> Iterator[str]:
    """Say what the user may not expect of the windows."""
    if window > frames:
        yield f"{counted(frames, 'frame')}, fewer than --window {window}: it is one window of them all"
    kept = min(frames, chain.most_frames or frames)
    if not window and (kept < frames or frames > LONG):
        which = f"the {chain.cut} {kept:,} of " if kept < frames else ""
        yield f"{which}{counted(frames, 'frame')} taken as one clip. For classes over time: --window 64 --stride 16"
    reasons = Counter(gap for gap in gaps if gap)
    for reason, count in sorted(reasons.items()):
        yield f"{count:,} of {counted(len(gaps), 'window')} without a class ({reason})"


def _record(run: Run, digest: str, asked: str | None, progress: Progress) -> Record:
    """Return the linear result of an encoder with an id, or the latest, the reference's variant before others."""
    found = [
        record
        for record in results.read_all(run.results_dir)
        if (record.protocol, record.subject, record.checkpoint_digest)
        == ("linear", results.PRETRAINED, digest)
    ]
    if not found:
        raise RunError(
            f"{run.path} has no recorded classifier of its last checkpoint. Make one: "
            f"skeltools eval {run.path} --protocol linear"
        )
    if asked is not None:
        found = [record for record in found if joined.identity(record) == asked]
        if not found:
            raise RunError(
                f"{run.path} has no linear result of its last checkpoint with id {asked}. See the ids: "
                f"skeltools report {run.path} --ids"
            )
    best = max(found, key=lambda record: (not record.partial, record.variant == "", record.created))
    rows = joined.rows(record for record in found if record.partial == best.partial)
    if len(rows) > 1:
        names = dict(zip((row.id for row in rows), comparison.named(rows), strict=True))
        progress.message(
            f"Classifier: {names[joined.identity(best)]}, the last of {counted(len(rows), 'linear result')}. To "
            f"take another: "
            f"{run.path}@ID, with an id of 'skeltools report {run.path} --ids'"
        )
    return best


def _classifier(record: Record) -> tuple[Tensor, Tensor, list[str]]:
    side = record.side()
    if side.weight is None or side.bias is None:
        raise RunError(f"{record.scores} holds no classifier. Run the protocol again.")
    if len(side.classes) != len(side.weight):
        raise RunError(
            f"{record.scores}: the classifier has {len(side.weight)} outputs for {len(side.classes)} "
            "classes. Run the protocol again."
        )
    return torch.from_numpy(side.weight), torch.from_numpy(side.bias), side.classes
