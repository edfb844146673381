"""What an encoder is to evaluation, and loading one that somebody else wrote."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from skeltools import plugins
from skeltools.errors import RunError, counted
from skeltools.files import tensors as weights


class Encoder(Protocol):
    """The contract: an `torch.nn.Module` that maps clips to one feature each.

    ``encoder(x)`` takes clips (N, 3, T, V, M) float32 and returns features (N, D), for any N. T is the
    file's. Coordinates are those of the converted file after its stream was taken: metres, joints in the
    order of the file's skeleton, absent bodies all zeros. D is free and read from the result.

    Being a module gives the rest: ``state_dict`` (which must hold everything that decides the features, since
    its digest names the encoder and shows that it stayed frozen), ``parameters`` (what finetuning trains),
    ``train`` and ``eval``. In eval mode a clip's features must not depend on the other clips of the batch.

    Examples:
        The mean and the deviation of each coordinate over time. (``docs/examples/encoder.py`` has one with weights.)

        >>> class Moments(torch.nn.Module):
        ...     def forward(self, x):
        ...         return torch.cat([x.mean(2), x.std(2)], 1).flatten(1)
        >>> encoder: Encoder = Moments()
        >>> encoder(torch.zeros(4, 3, 64, 25, 2)).shape
        torch.Size([4, 300])
        >>> (record,) = evaluate(encoder, "knn", data="ntu60.h5", split="xsub", settings={"knn.k": [1]})
        >>> record.subject
        'pretrained'
    """

    def __call__(self, x: Tensor) -> Tensor: ...


def load_factory(spec: str) -> Callable[[], nn.Module]:
    """Return the factory that ``package.module:factory`` names.

    Raises:
        RunError: The words are not of that form, the module cannot be imported or has no such callable.
    """
    factory: Callable[[], nn.Module] = plugins.load(spec, "encoder", name="factory")
    return factory


def build(factory: Callable[[], Any], name: str, seed: int) -> nn.Module:
    """Call a factory with torch's generator at `seed`.

    Raises:
        RunError: The factory failed, or what it returned is not a module.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            encoder = factory()
        except Exception as error:
            raise RunError(
                f"Encoder '{name}' could not be built: {type(error).__name__}: {error}."
            ) from error
    if not isinstance(encoder, nn.Module):
        raise RunError(f"Encoder '{name}' must be a torch.nn.Module, not {type(encoder).__name__}.")
    return encoder


def load_weights(path: Path) -> Mapping[str, Tensor]:
    """Read a plain state dict; no code is unpickled.

    Raises:
        RunError: The file is missing, unreadable, holds something else or weights that are not finite.
    """
    if not path.exists():
        raise RunError(f"Weights file {path} does not exist.")
    state = weights.load(
        path, "weights file", "Save a plain state dict: torch.save(encoder.state_dict(), FILE)"
    )
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise RunError(f"{path} holds no plain state dict. Save one: torch.save(encoder.state_dict(), FILE)")
    weights.check_finite(state, path)
    return state


def fill(encoder: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Load `state` into `encoder`; every entry must be there and fit.

    Raises:
        RunError: Entries are missing, unknown or of another shape; the message names the first of them.
    """
    own = encoder.state_dict()
    missing = [key for key in own if key not in state]
    unknown = [key for key in state if key not in own]
    shapes = [key for key in own if key in state and own[key].shape != state[key].shape]
    if shapes:
        key = shapes[0]
        raise RunError(
            f"{where}: '{key}' has shape {tuple(state[key].shape)}, the encoder's {tuple(own[key].shape)} "
            f"({len(shapes)} entries differ). Build the encoder with the width it was trained with."
        )
    for words, keys in (("lacks", missing), ("has, unknown to the encoder,", unknown)):
        if keys:
            shown = ", ".join(keys[:3]) + (", ..." if len(keys) > 3 else "")
            raise RunError(f"{where} {words} {counted(len(keys), 'entry', 'entries')}: {shown}.")
    encoder.load_state_dict(dict(state))


def code_digest(thing: Any) -> str:
    """Return the SHA-256 (hex) of the source file of a factory or module, of nothing where there is none."""
    total = hashlib.sha256()
    try:
        kind = thing if inspect.isroutine(thing) or inspect.isclass(thing) else type(thing)
        total.update(Path(inspect.getfile(kind)).read_bytes())
    except (OSError, TypeError):
        pass
    return total.hexdigest()
