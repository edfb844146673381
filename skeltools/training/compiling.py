"""torch.compile, on trial: without it where it fails."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from skeltools.methods.contract import Method, Output
from skeltools.progress import Progress


def on_trial(
    network: nn.Module, method: Method, views: tuple[Tensor, ...], device: torch.device, progress: Progress
) -> Callable[..., Output]:
    """Return the compiled network if it passes a trial, else the network itself.

    The trial leaves no trace in the state or torch's generators.

    Args:
        network: What is called: the method, or what wraps it.
        method: The method, whose state is kept.
        views: Of a batch.
        device: Where they are.
        progress: Told that it is at work, and why it failed.
    """
    progress.message("torch.compile is at work: the first step may take minutes.")
    state = {name: value.clone() for name, value in method.state_dict().items()}
    chosen: Callable[..., Output] = network
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            compiled: Callable[..., Output] = torch.compile(network)
            compiled(*views).loss.backward()  # type: ignore[no-untyped-call]
            chosen = compiled
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            progress.message(f"torch.compile failed, going on without it: {reason}")
    method.load_state_dict(state)
    method.zero_grad(set_to_none=True)
    return chosen
