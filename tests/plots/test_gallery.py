"""The gallery: its page is what the script writes, its pictures are there and small."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_gallery_is_in_step_with_its_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS))
    import make_gallery  # type: ignore[import-not-found]

    page = (DOCS / "gallery.md").read_text(encoding="utf-8")
    assert page == make_gallery.text(), "run python docs/make_gallery.py work/"
    shown = re.findall(r"!\[[^]]*\]\((gallery/[^)]+)\)", page)
    assert sorted(shown) == sorted(f"gallery/{path.name}" for path in (DOCS / "gallery").iterdir())
    assert sum((DOCS / name).stat().st_size for name in shown) < 1_500_000
