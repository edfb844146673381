"""``predict`` on a file whose bodies have other joints than the run's clips."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from rawfiles import write_ntu

from skeltools.errors import FormatError
from skeltools.protocols.running.prediction import _clip
from skeltools.skeletons import Form, load


def test_other_joints_are_refused_in_one_line(tmp_path: Path) -> None:
    write_ntu(tmp_path, "S001C001P001R001A001")
    path = tmp_path / "S001C001P001R001A001.skeleton"
    with pytest.raises(FormatError) as caught:
        _clip(path, cast(Any, None), Form(load("kinect1"), 1, 16))
    assert str(caught.value) == (
        f"{path}: it has 25 joints per body, but the run was trained on kinect1 clips of 20. "
        "Predict NTU files by a run of an NTU data set."
    )
