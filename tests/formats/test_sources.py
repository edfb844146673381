"""What an entry of a source is called."""

from __future__ import annotations

from pathlib import PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from skeltools.formats.sources import Entry

NAMES = st.text("aB. é", min_size=1, max_size=8).filter(lambda name: name not in (".", ".."))


@given(st.lists(NAMES, min_size=1, max_size=3))
def test_stem_and_extension_are_those_of_pathlib(parts: list[str]) -> None:
    inside = "/".join(parts)
    entry, path = Entry("there", inside, 0, "source", 0), PurePosixPath(inside)
    if not inside.endswith("."):  # later versions of pathlib count a dot at the end as an extension
        assert (entry.stem, entry.suffix) == (path.stem, path.suffix.lower())
    assert entry.name == path.name
