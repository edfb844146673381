"""``skeltools predict`` on a short run: recordings of every form, whole and over time."""

from __future__ import annotations

import csv
import io
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plotting import invoke, make_run

from skeltools.formats import ntu
from skeltools.protocols.running import prediction
from skeltools.results import joined
from skeltools.results import record as results
from skeltools.runs.folder import Run


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run, and a raw recording of its test clips."""
    data, run = make_run(tmp_path_factory)
    return run, next((data.parent / "raw").rglob("*P003*.skeleton"))


@pytest.fixture(scope="module")
def video(made: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PKU-MMD video of 100 frames, nobody in frames 40 to 79."""
    raw = ntu.parse(made[1].read_bytes(), str(made[1]))
    rows = np.resize(raw.transpose(1, 3, 2, 0), (100, *raw.transpose(1, 3, 2, 0).shape[1:])).copy()
    rows[40:80] = 0
    path = tmp_path_factory.mktemp("video") / "0002-L.txt"
    np.savetxt(path, rows.reshape(100, 150), fmt="%.6f")
    return path


def _ok(*words: object) -> Any:
    result = invoke("predict", *map(str, words))
    assert result.exit_code == 0, result.output
    return result


def _json(*words: object) -> Any:
    return json.loads(_ok(*words, "--json").stdout)


def _error(*words: object) -> str:
    result = invoke("predict", *map(str, words))
    assert result.exit_code == 2, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    return line.removeprefix("Error: ")


def test_one_window_of_every_frame_gives_the_scores_of_the_whole_recording(made: tuple[Path, Path]) -> None:
    run, raw = made
    (whole,), (wide,) = _json(run, raw, "--top", 60), _json(run, raw, "--top", 60, "--window", 100)
    (one,) = wide["windows"]
    assert one["scores"] == wide["scores"] == whole["scores"]
    assert one["classes"] == wide["classes"] == whole["classes"]
    assert sum(whole["scores"]) == pytest.approx(1, abs=1e-5)
    assert (one["start"], one["stop"], wide["window"], whole["window"]) == (0, whole["frames"], 100, None)
    assert wide["notes"] == [
        f"{whole['frames']} frames, fewer than --window 100: it is one window of them all"
    ]


def test_each_window_has_the_scores_of_a_recording_of_its_frames(
    made: tuple[Path, Path], video: Path, tmp_path: Path
) -> None:
    (found,) = _json(made[0], video, "--window", 32, "--stride", 8, "--top", 60)
    rows = video.read_text().splitlines()
    window = found["windows"][1]
    (tmp_path / "cut.txt").write_text("\n".join(rows[window["start"] : window["stop"]]) + "\n")
    (alone,) = _json(made[0], tmp_path / "cut.txt", "--top", 60)
    assert dict(zip(window["classes"], window["scores"], strict=True)) == pytest.approx(
        dict(zip(alone["classes"], alone["scores"], strict=True)), abs=1e-6
    )


def test_the_order_of_batches_changes_nothing(
    made: tuple[Path, Path], video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.open(made[0])
    (whole,) = prediction.predict(run, [video], "cpu", window=16, stride=4)
    monkeypatch.setattr(prediction, "BATCH", 3)
    (parts,) = prediction.predict(run, [video], "cpu", window=16, stride=4)
    assert (parts.gaps, parts.used, parts.bounds) == (whole.gaps, whole.used, whole.bounds)
    np.testing.assert_allclose(parts.scores, whole.scores, atol=1e-6)


def test_windows_without_a_body_are_a_gap_that_is_said(made: tuple[Path, Path], video: Path) -> None:
    words = (made[0], video, "--window", 20, "--stride", 20)
    result = _ok(*words)
    (found,) = _json(*words)
    nobody = "all-zero: no body has a position in any frame"
    assert [one["gap"] for one in found["windows"]] == [None, None, nobody, nobody, None]
    note = f"2 of 5 windows without a class ({nobody})"
    assert found["notes"] == [note]
    assert f"Note: {video}: {note}.\n" in result.stderr
    lines = result.stdout.splitlines()
    lines = lines[lines.index("100 frames, 5 windows") :]
    assert lines[1].split() == ["from", "to", "class", "score"]
    assert [line.split() for line in lines[3:]] == [
        f"{one['start']} {one['stop'] - 1} {one['class'] or '(no class)'} "
        f"{'' if one['score'] is None else format(one['score'], '.3f')}".split()
        for one in found["stretches"]
    ]
    assert [one["class"] is None for one in found["stretches"]].count(True) == 1


def test_csv_and_json_are_printed_and_written_alike(
    made: tuple[Path, Path], video: Path, tmp_path: Path
) -> None:
    words = (made[0], video, "--window", 20, "--top", 2)
    for kind in ("csv", "json"):
        out = tmp_path / f"t.{kind}"
        result = _ok(*words, f"--{kind}", "--out", out)
        assert out.read_text() == result.stdout
        assert f"Written: {out}\n" in result.stderr
    rows = list(csv.reader(io.StringIO((tmp_path / "t.csv").read_text())))
    (found,) = json.loads((tmp_path / "t.json").read_text())
    assert rows[0] == ["path", "clip", "start", "stop", "used", "gap", "class1", "score1", "class2", "score2"]
    assert len(rows) - 1 == len(found["windows"]) == 17  # (100 - 20) / 5 + 1: the stride is a quarter
    for row, one in zip(rows[1:], found["windows"], strict=True):
        assert row[:6] == [
            str(video), "", str(one["start"]), str(one["stop"]), str(one["used"]), one["gap"] or ""
        ]  # fmt: skip
        assert row[6::2] == (one["classes"] or ["", ""])
        assert [float(cell) for cell in row[7::2] if cell] == pytest.approx(one["scores"], abs=1e-6)


def test_every_form_of_a_recording_gives_the_same_scores(made: tuple[Path, Path], tmp_path: Path) -> None:
    run, raw = made
    points = ntu.parse(raw.read_bytes(), str(raw))  # (3, T, V, M)
    columns = points.transpose(1, 3, 2, 0)
    (expected,) = _json(run, raw, "--top", 60)
    np.save(tmp_path / "a.npy", columns)
    np.savez(tmp_path / "b.npz", x_train=columns.reshape(1, len(columns), -1))
    (tmp_path / "c.pkl").write_bytes(pickle.dumps({"keypoint": columns.transpose(1, 0, 2, 3)}))
    np.savetxt(tmp_path / "d.txt", columns.reshape(len(columns), -1), fmt="%.9g")
    np.save(tmp_path / "e.npy", columns * 100)
    for name, more in (
        ("a.npy", ()),
        ("b.npz", ()),
        ("c.pkl", ()),
        ("d.txt", ()),
        ("e.npy", ("--unit", "cm")),
    ):
        (found,) = _json(run, tmp_path / name, "--top", 60, *more)
        assert dict(zip(found["classes"], found["scores"], strict=True)) == pytest.approx(
            dict(zip(expected["classes"], expected["scores"], strict=True)), abs=1e-5
        ), name


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--stride", 4], "--stride goes with --window. Give both."),
        (
            ["--window", 8, "--stride", 9],
            "--stride 9 is more than --window 8: frames between windows would not be seen.",
        ),
        (["--csv", "--json"], "Give either --csv or --json."),
        (["--axes", "XY"], "Unknown --axes 'XY'. Choose one of: TVC, TMVC, MTVC, CTV, CTVM, TF."),
        (
            ["--window", 301],
            "--window 301 is more than the 300 frames that the run's preparation keeps of a clip. Choose at most "
            "--window 300.",
        ),
        (["--out", "t.txt"], "t.txt: give a name that ends in .csv, .json."),
        (["--plot", "t.txt"], "t.txt: give a name that ends in .png, .svg, .pdf."),
        (["--page", "t.txt"], "t.txt: give a name that ends in .html, .htm."),
    ],
)
def test_options_that_do_not_fit_are_refused(made: tuple[Path, Path], words: list[object], told: str) -> None:
    assert _error(*made, *words) == told


def test_two_files_have_no_one_picture_and_outputs_are_not_overwritten(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    run, raw = made
    plot = tmp_path / "t.png"
    assert _error(run, raw, raw, "--plot", plot) == "--plot and --page show one recording. Give one FILE."
    plot.write_bytes(b"mine")
    assert _error(run, raw, "--plot", plot) == f"{plot} already exists. Use --replace to write it again."
    assert plot.read_bytes() == b"mine"
    assert len(_json(run, raw, raw)) == 2


def test_a_recording_without_anybody_is_refused(made: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "empty.npy"
    np.save(path, np.zeros((30, 1, 25, 3)))
    out = tmp_path / "t.csv"
    assert _error(made[0], path, "--window", 8, "--out", out) == (
        f"{path}: no clip can be made of it (all-zero: no body has a position in any frame)"
    )
    np.save(path, np.zeros((0, 25, 3)))
    assert _error(made[0], path) == f"{path}: no clip can be made of it (empty: no frames)"
    assert not out.exists()


def test_a_long_recording_taken_as_one_clip_is_said(made: tuple[Path, Path], tmp_path: Path) -> None:
    path = tmp_path / "long.npy"
    np.save(path, np.random.default_rng(0).uniform(0, 1, (400, 1, 25, 3)))
    assert (
        f"Note: {path}: the middle 300 of 400 frames taken as one clip. For classes over time: --window 64 "
        "--stride 16.\n"
    ) in _ok(made[0], path).stderr


@pytest.fixture
def several(made: tuple[Path, Path], tmp_path: Path) -> Path:
    """The run with three linear results: of 3 epochs, of 2 epochs later, and of a part of the clips last of all."""
    run = tmp_path / "run"
    shutil.copytree(made[0], run)
    for words in (["--epochs", "2"], ["--epochs", "1", "--limit", "8"]):
        assert invoke("eval", str(run), "--protocol", "linear", *words, "--quiet").exit_code == 0
    for path in (run / "results").glob("*.json"):  # records are dated to the second
        content = json.loads(path.read_text())
        content["created"] = f"2026-01-01T00:00:0{9 - content['settings']['linear.epochs']}+00:00"
        path.write_text(json.dumps(content))
    return run


def test_which_of_several_linear_results_is_taken_is_said_and_can_be_chosen(
    several: Path, made: tuple[Path, Path]
) -> None:
    names = {
        record.settings["linear.epochs"]: joined.identity(record)
        for record in results.read_all(several / "results")
        if record.subject == results.PRETRAINED
    }
    assert sorted(names) == [1, 2, 3]
    result = _ok(several, made[1])
    assert (
        f"Classifier: {names[2]} joint linear (linear.epochs=2), the last of 2 linear results. To take another: "
        f"{several}@ID, with an id of 'skeltools report {several} --ids'\n"
    ) in result.stderr
    found = {epochs: _ok(f"{several}@{name}", made[1]) for epochs, name in names.items()}
    assert [epochs for epochs, one in found.items() if "Classifier" in one.stderr] == []
    assert found[2].stdout == result.stdout != found[3].stdout
    assert _error(f"{several}@abcdef", made[1]) == (
        f"{several} has no linear result of its last checkpoint with id abcdef. See the ids: "
        f"skeltools report {several} --ids"
    )


def test_protocols_that_go_on_from_linear_say_which_result_they_take(several: Path) -> None:
    for protocol, words in {
        "calibration": [],
        "robust": ["--set", 'robust.corruptions=["noise(0.01)"]'],
    }.items():
        result = invoke("eval", str(several), "--protocol", protocol, *words, "--json")
        assert result.exit_code == 0, result.output
        (record,) = json.loads(result.stdout)
        (name,) = [
            joined.identity(one)
            for one in results.read_all(several / "results")
            if (one.subject, one.settings.get("linear.epochs")) == (results.PRETRAINED, 2)
        ]
        assert (
            f"{protocol}: {name} joint linear (linear.epochs=2) is taken, the last of 2 results of linear. Evaluate "
            "another of them again to take it."
        ) in record["notes"]
