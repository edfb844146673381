"""``skeltools predict --data mine.toml``: data of one's own, in each format, 3-D and 2-D."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clipfiles import TINY
from owndata import KINDS, kinds, make
from plotting import invoke

from skeltools.results import record as results


def _ok(*words: object) -> Any:
    result = invoke(*map(str, words))
    assert result.exit_code == 0, result.output
    return result


def _run(folder: Path, kind: str) -> tuple[Path, Path, Path]:
    """Return descriptor, raw folder and an evaluated run of a kind of made-up data."""
    toml, raw = make(folder, kind)
    run = folder / "run"
    sets = [word for setting in TINY for word in ("--set", setting)]
    _ok("convert", toml, raw, folder / "mine.h5", "--frames", 8)
    assert "no faults" in _ok("verify", folder / "mine.h5").stdout
    _ok("pretrain", folder / "mine.h5", "--split", "xsub", "--stream", "joint", "--out", run, "--epochs", 1,
        "--batch-size", 8, *sets)  # fmt: skip
    _ok("eval", run, "--protocol", "linear", "--epochs", 2, "--set", "linear.lr=0.1", "--quiet")
    return toml, raw, run


@pytest.mark.parametrize("kind", kinds("npy", "plain tsv", "k4abt"))
def test_scores_are_those_of_the_recorded_evaluation_and_a_window_is_shown(kind: str, tmp_path: Path) -> None:
    """From files to predictions and the page: every kind of source, every packaged skeleton."""
    pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")
    toml, raw, run = _run(tmp_path, kind)
    (record,) = [one for one in results.read_all(run / "results") if one.subject == results.PRETRAINED]
    side = record.side()
    name = str(side.names[3])
    file = (
        raw / "mine.pkl"
        if kind == "pyskl"
        else next(path for path in sorted(raw.iterdir()) if path.stem == name)
    )
    words = [run, file, "--data", toml, *(["--clip", name] if kind == "pyskl" else [])]
    (found,) = json.loads(_ok("predict", *words, "--json").stdout)
    scores = np.exp(side.scores[3] - side.scores[3].max())
    expected = dict(zip(side.classes, (scores / scores.sum()).tolist(), strict=True))
    assert dict(zip(found["classes"], found["scores"], strict=True)) == pytest.approx(expected, abs=1e-4)
    page, plot = tmp_path / "t.html", tmp_path / "t.png"
    shown = _ok("predict", *words, "--window", 4, "--stride", 4, "--page", page, "--plot", plot)
    assert "9 frames, 3 windows" in shown.stdout
    values = json.loads(page.read_text().split('id="values">')[1].split("</script>")[0])
    assert values["skeletons"][0]["name"] == KINDS[kind].skeleton
    (clip,) = values["clips"]
    assert clip["flat"] == (KINDS[kind].unit == "pixel")
    assert clip["unit"] * 32767 < 50  # metres, whatever the file is in
    assert plot.read_bytes().startswith(b"\x89PNG")
    _ok("page", run, "--points", 0, "--clips", 4, "--out", tmp_path / "run.html")
    values = json.loads((tmp_path / "run.html").read_text().split('id="values">')[1].split("</script>")[0])
    assert values["skeletons"][0]["name"] == KINDS[kind].skeleton
    assert len(values["clips"]) == 4


def test_what_does_not_suit_the_run_is_one_line(tmp_path: Path) -> None:
    toml, raw, run = _run(tmp_path / "flat", "plain tsv")
    other, _ = make(tmp_path / "other", "npy")
    file = next(iter(sorted(raw.iterdir())))
    for words, told in (
        ([file], f"{file}: the run's clips are 2-D. Name the descriptor of the data: --data mine.toml"),
        (
            [file, "--data", other],
            f"{file}: its skeleton is h36m17 (17 joints), the run's openpose18 (18). Give a recording of openpose18, "
            "or a run on h36m17.",
        ),
        (
            [file, "--data", toml, "--unit", "cm"],
            "The descriptor says unit and axes. Leave --unit and --axes out.",
        ),
        ([raw, "--data", toml], f"{raw} holds 32 recordings. Choose one by name or place: --clip NAME ("),
        ([raw / "none.tsv", "--data", toml], f"{raw / 'none.tsv'}: the file does not exist"),
    ):
        result = invoke("predict", str(run), *map(str, words))
        assert result.exit_code == 2, result.output
        (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
        assert line.startswith(f"Error: {told}")
