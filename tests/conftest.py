"""Fixtures that many tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference numbers and real recordings beside the checkout; skips where it is absent."""
    if not (SHARED / "reference").is_dir():
        pytest.skip(
            "the folder ../shared with reference numbers and real recordings is not beside the checkout"
        )
    return SHARED
