"""How long a training step takes, without waiting for it."""

from __future__ import annotations

import time

import torch


class StepTimer:
    """Times what happens on a device from now to `stop`.

    A GPU works behind the program that feeds it, so there the times are events in its own stream, read only
    when they are asked for.

    Args:
        device: Where the work happens.
    """

    def __init__(self, device: torch.device) -> None:
        self._gpu = device if device.type == "cuda" else None
        self._begin, self._end = self._now(), self._now()

    def _now(self) -> float | torch.cuda.Event:
        if self._gpu is None:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._gpu))
        return event

    def stop(self) -> None:
        """Mark the end."""
        self._end = self._now()

    def seconds(self) -> float:
        """Return the time from the start to the last `stop`; waits for the GPU to get there."""
        begin, end = self._begin, self._end
        if isinstance(begin, torch.cuda.Event) and isinstance(end, torch.cuda.Event):
            end.synchronize()
            return float(begin.elapsed_time(end)) / 1e3
        assert isinstance(begin, float)
        assert isinstance(end, float)
        return end - begin
