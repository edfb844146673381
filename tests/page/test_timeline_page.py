"""What the page of a timeline holds."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from plotting import invoke, make_run
from timelines import make_timeline

from skeltools.analysis.timeline import GAP
from skeltools.page import clips, timeline
from skeltools.skeletons import Form, load

FORM = Form(load("kinect2"), 2, 64)


def test_it_holds_the_recording_its_windows_and_stretches() -> None:
    found = make_timeline()
    values = timeline.gather(found, FORM, Path("runs/joint"))
    (clip,) = values["clips"]
    packed = np.frombuffer(base64.b64decode(clip["data"]), "<i2").reshape(200, 1, 25, 3)
    points = found.recording.first(1).transpose(1, 3, 2, 0)
    np.testing.assert_allclose(packed * clip["unit"], points, atol=0.0005001)
    held = values["runs"][0]["player"]["timeline"]
    assert (held["frames"], held["step"]) == (200, 1)
    assert [one[:3] for one in held["stretches"]] == [
        [one.start, one.stop, one.label] for one in found.stretches()
    ]
    assert held["windows"][0][:2] == [0, 20]
    assert held["windows"][0][2][0] == [0, pytest.approx(0.8)]
    assert held["windows"][3] == [60, 80, [], "all-zero: nobody"]
    assert held["stretches"][3] == [60, 80, GAP, None]
    assert values["tables"][0]["rows"][3] == ["60", "79", "(no class)", ""]
    assert values["notes"] == []


def test_an_hour_is_thinned_to_the_room_of_a_page_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert timeline.thinning(108_000, FORM) == 13
    assert timeline.thinning(10_000, Form(load("kinect1"), 1, 64)) == 1
    monkeypatch.setattr(timeline, "BUDGET", 60_000)
    monkeypatch.setattr(timeline, "MOST_WINDOWS", 4)
    values = timeline.gather(make_timeline(), FORM, Path("runs/joint"))
    assert values["notes"] == [
        "The player holds one frame in 3.",
        "The page holds the scores of one window in 3.",
    ]
    assert values["clips"][0]["frames"] == 67
    held = values["runs"][0]["player"]["timeline"]
    assert [one[0] for one in held["windows"]] == [0, 60, 120, 180]


def test_a_page_is_written_with_a_picture_beside(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")
    data, run = make_run(tmp_path_factory)
    raw = next((data.parent / "raw").rglob("*.skeleton"))
    page, plot = tmp_path / "t.html", tmp_path / "t.png"
    result = invoke("predict", str(run), str(raw), "--window", "8", "--page", str(page), "--plot", str(plot))
    assert result.exit_code == 0, result.output
    assert f"Written: {plot}\nWritten: {page}\n" in result.stderr
    text = page.read_text()
    values = json.loads(text.split('id="values">')[1].split("</script>")[0])
    assert values["kind"] == "timeline"
    assert len(text) < clips.BUDGET
    assert plot.read_bytes().startswith(b"\x89PNG")
