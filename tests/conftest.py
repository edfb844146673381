"""Fixtures that many tests share, and the device and threads that tests see."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # before torch: tensors are tiny, and files of tests run side by side

hypothesis.settings.register_profile("skeltools", deadline=None)  # a busy machine is not a fault
hypothesis.settings.load_profile("skeltools")

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Let CUDA find its devices before a test hides them: it looks once in a process."""
    if any(item.get_closest_marker("gpu") for item in session.items):
        import torch

        if torch.cuda.is_available():
            torch.cuda.init()
            torch.cuda.device_count()  # kept by torch from now on


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail where processes are left: Python would wait for them at its end, some of them for ever."""
    left = multiprocessing.active_children()
    for process in left:
        process.kill()
    if left:
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
        raise RuntimeError(f"Tests left processes behind: {left}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Hide GPUs from tests not marked `gpu`: they are of the CPU, to the bit.

    Around the whole protocol, so that fixtures of every scope and the programs that they start are included.
    """
    if item.get_closest_marker("gpu"):
        return (yield)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        torch = sys.modules.get("torch")  # where it is not imported yet, the variable is enough
        if torch is not None:
            patch.setattr(torch.cuda, "is_available", lambda: False)
            patch.setattr(torch.cuda, "device_count", lambda: 0)
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests marked `gpu` where there is none, unless SKELTOOLS_TEST_DEVICE names another device."""
    if item.get_closest_marker("gpu") and os.environ.get("SKELTOOLS_TEST_DEVICE", "cuda") == "cuda":
        import torch

        if not torch.cuda.is_available():
            pytest.skip("torch finds no CUDA device")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference numbers and real recordings beside the checkout; skips where it is absent."""
    if not (SHARED / "reference").is_dir():
        pytest.skip(
            "the folder ../shared with reference numbers and real recordings is not beside the checkout"
        )
    return SHARED
