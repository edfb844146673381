"""The picture of a timeline: rows, band, score and gaps stand where the frames are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from timelines import make_timeline

from skeltools.analysis.timeline import GAP
from skeltools.plots import style

pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")
from skeltools.plots import timeline as drawing


def test_rows_are_the_classes_and_gaps_are_hatched() -> None:
    found = make_timeline()
    with style.styled():
        rows, band, line = drawing.draw(found).axes
    assert [text.get_text() for text in rows.get_yticklabels()] == ["class 0", "class 1", "class 2"]
    bars = [path.get_extents() for item in band.collections for path in item.get_paths()]
    assert sorted((round(box.x0), round(box.x1)) for box in bars) == [
        (one.start, one.stop) for one in found.stretches() if one.label != GAP
    ]
    assert [patch.get_hatch() for patch in band.patches] == ["///"]
    values = line.patches[0].get_data().values
    np.testing.assert_array_equal(np.isnan(values), np.arange(200) // 20 == 3)
    assert line.get_xlim() == (0, 200)


def test_more_classes_than_colours_share_a_row_of_others() -> None:
    found = make_timeline(classes=11, frames=220, gap=False)
    with style.styled():
        labels = [text.get_text() for text in drawing.draw(found).axes[0].get_yticklabels()]
    assert labels[-1] == "3 other classes"
    assert len(labels) == drawing.MOST_CLASSES + 1


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_it_is_written_and_equal_ones_are_equal(tmp_path: Path, suffix: str) -> None:
    written: list[Any] = []
    for name in ("a", "b"):
        with style.styled():
            style.save(drawing.draw(make_timeline()), tmp_path / f"{name}{suffix}")
        written.append((tmp_path / f"{name}{suffix}").read_bytes())
    assert written[0] == written[1]
    assert len(written[0]) > 5000
