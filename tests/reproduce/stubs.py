"""Protocols that end as no protocol should."""

from __future__ import annotations

import os
import signal
from typing import Any

from skeltools.protocols import Outcome, Protocol, Task


class Killed(Protocol):
    """Ends its process, as a system does that lacks memory."""

    def run(self, task: Task, settings: Any) -> list[Outcome]:
        os.kill(os.getpid(), signal.SIGKILL)
        return []


class Wrong(Protocol):
    """Has a fault."""

    def run(self, task: Task, settings: Any) -> list[Outcome]:
        raise ValueError("no such thing")
