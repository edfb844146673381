"""PKU-MMD text files: skeletons, labels and the split files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from skeltools.synth.body import NUM_JOINTS
from skeltools.synth.sensor import Recording

_ROW = " ".join(["%.6f"] * (2 * 3 * NUM_JOINTS)) + "\n"


def rows(recording: Recording) -> NDArray[np.float64]:
    """Return the 150 numbers of each frame (L, 150): body 1, then body 2, metres; an absent body is zeros."""
    both = recording.clip().transpose(1, 3, 2, 0)
    return both.reshape(len(both), -1).astype(np.float64)


def encode_skeleton(recording: Recording) -> bytes:
    """Return the bytes of a skeleton file: a row per frame, 150 numbers with six decimals."""
    values = rows(recording)
    return (_ROW * len(values) % tuple(values.ravel().tolist())).encode("ascii")


def encode_labels(labels: Sequence[tuple[int, int, int, int]]) -> bytes:
    """Return the bytes of a label file from (class, first frame, last frame, confidence), all 1-based."""
    return "".join(f"{label},{first},{last},{sure}\n" for label, first, last, sure in labels).encode("ascii")


def encode_split(train: Sequence[str], test: Sequence[str]) -> bytes:
    """Return the bytes of a split file: heading, training videos, heading, test videos."""
    lines = ("Training videos:", ", ".join(train) + ", ", "Validation videos:", ", ".join(test) + ", ")
    return ("\n".join(lines) + "\n").encode("ascii")
