"""What a protocol of anybody's gives is checked before anything of it is recorded."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skeltools.errors import RunError, SkeltoolsError
from skeltools.protocols.running.contract import Best, Classifier, Outcome, Protocol
from skeltools.protocols.running.task import Task


@contextmanager
def blamed(name: str, kind: type[Protocol]) -> Iterator[None]:
    """Run code of a protocol.

    Raises:
        RunError: It failed and is not of this package; the message names the protocol and the line.
    """
    try:
        yield
    except (SkeltoolsError, OSError, MemoryError, torch.cuda.OutOfMemoryError):
        raise
    except Exception as error:
        module = kind.__module__
        if module.startswith("skeltools."):
            raise
        file = getattr(sys.modules.get(module), "__file__", None)
        frames = traceback.extract_tb(error.__traceback__)
        at = next((frame for frame in reversed(frames) if frame.filename == file), frames[-1])
        raise RunError(
            f"Protocol '{name}' failed ({at.filename}, line {at.lineno}): {type(error).__name__}: {error}."
        ) from error


def outcomes(protocol: Protocol, task: Task, settings: Any) -> list[Outcome]:
    """Run a protocol and return what it found, scores as float32 on the CPU.

    Raises:
        RunError: It failed, or gave something that cannot be recorded.
    """
    with blamed(protocol.name, type(protocol)):
        found = protocol.run(task, settings)
    whole = isinstance(found, Sequence) and all(isinstance(one, Outcome) for one in found)
    if not whole or not found:
        raise RunError(
            f"Protocol '{protocol.name}' must return a list of one Outcome or more, not {found!r:.60}."
        )
    for one in found:
        problem = _problem(one, task)
        if problem is not None:
            raise RunError(f"Protocol '{protocol.name}': {problem}.")
    return [replace(one, scores=one.scores.detach().float().cpu()) for one in found]


def _problem(one: Outcome, task: Task) -> str | None:
    """Return what keeps an outcome from being recorded, or None."""
    for name, rows in (("train_rows", one.train_rows), ("test_rows", one.test_rows)):
        if rows is not None and not _are_rows(rows, len(task.file.names)):
            return f"{name} must be rows of the file, int64 (n,) from 0 to {len(task.file.names) - 1}"
    want = len(task.test_rows if one.test_rows is None else one.test_rows), task.num_classes
    if not isinstance(one.scores, Tensor):
        return f"scores must be a tensor {want}, not {type(one.scores).__name__}"
    if tuple(one.scores.shape) != want or not one.scores.is_floating_point():
        return (
            f"scores must be floating-point numbers {want}, not {one.scores.dtype} {tuple(one.scores.shape)}"
        )
    for name, value in one.metrics.items():
        if not (isinstance(value, (int, float)) and 0 <= value <= 1):
            return f"metrics['{name}'] must be a number from 0 to 1, not {value!r:.60}"
    if not isinstance(one.variant, str) or not all(isinstance(note, str) for note in one.notes):
        return "variant must be a text, and notes a list of texts"
    for name, best in (("best", one.best), ("chosen", one.chosen)):
        if best is not None and not (isinstance(best, Best) and 0 <= best.top1 <= 1):
            return f"{name} must be a Best with a top1 from 0 to 1, not {best!r:.60}"
    for name, guess in one.guesses.items():
        if not (isinstance(guess, np.ndarray) and guess.shape == want[:1] and guess.dtype.kind in "iu"):
            return f"guesses['{name}'] must be whole numbers ({want[0]},)"
    layer = one.classifier
    if layer is not None and not (
        isinstance(layer, Classifier)
        and layer.weight.ndim == 2
        and len(layer.weight) == len(layer.bias) == want[1]
    ):
        return f"classifier must be a Classifier of weight ({want[1]}, D) and bias ({want[1]},)"
    return None


def _are_rows(rows: Any, size: int) -> bool:
    return (
        isinstance(rows, np.ndarray)
        and rows.ndim == 1
        and rows.dtype.kind in "iu"
        and len(rows) > 0
        and rows.min() >= 0
        and bool(rows.max() < size)
    )
