"""torch.compile, on trial: without it where it fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from skeltools.progress import Progress


def on_trial(
    network: nn.Module,
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    device: torch.device,
    progress: Progress,
    loss: Callable[[Any], Tensor] = lambda output: output.loss,
) -> Callable[..., Any]:
    """Return the compiled network if it passes a trial, else the network itself.

    The trial leaves no trace in the state or torch's generators.

    Args:
        network: What is called: the model, or what wraps it.
        model: The model, whose state is kept.
        inputs: What it is called with.
        device: Where they are.
        progress: Receives a message that it is at work, and why it failed.
        loss: Makes a scalar of what it returns.
    """
    progress.message("torch.compile is at work: the first step may take minutes.")
    state = {name: value.clone() for name, value in model.state_dict().items()}
    chosen: Callable[..., Any] = network
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            compiled: Callable[..., Any] = torch.compile(network)
            loss(compiled(*inputs)).backward()  # type: ignore[no-untyped-call]
            chosen = compiled
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            progress.message(f"torch.compile failed, going on without it: {reason}")
    model.load_state_dict(state)
    model.zero_grad(set_to_none=True)
    return chosen
