"""The robust protocol: a recorded classifier on corrupted test clips; its tables."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from clipfiles import TINY, make_clips
from recorded import BASE

from skeltools.analysis.corrupted import Corruptor
from skeltools.cli.main import main
from skeltools.errors import RunError
from skeltools.protocols import evaluate
from skeltools.results import joined, layout, robustness
from skeltools.results import record as results
from skeltools.results.record import Side
from skeltools.runs.folder import Run
from skeltools.settings import packaged_recipes
from skeltools.store import ClipFile
from skeltools.transforms.streams import to_stream

FEW = 'robust.corruptions=["noise(0.05;0.5)","part(left arm)","camera(30)","second(0.5)"]'


def _run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="skeltools")


def _ok(*words: object) -> str:
    result = _run(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run with linear evaluations of the pretrained encoder and of raw coordinates."""
    folder = tmp_path_factory.mktemp("robust")
    clips = make_clips(folder, train=24, test=12)
    sizes = [word for one in TINY for word in ("--set", one)]
    out = folder / "run"
    _ok(
        "pretrain", clips, "--split", "xsub", "--stream", "motion", "--out", out, "--epochs", 1, "--batch-size", 8,
        *sizes,
    )  # fmt: skip
    for words in ((), ("--baseline", "raw"), ("--baseline", "standardised")):
        _ok("eval", folder / "run", "--protocol", "linear", "--epochs", 5, *words)
    return folder / "run"


@pytest.fixture(scope="module")
def records(run: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for words in ((), ("--baseline", "raw"), ("--baseline", "standardised"), ("--baseline", "supervised")):
        more = ("--set", "robust.supervised_epochs=1")
        (record,) = json.loads(
            _ok("eval", run, "--protocol", "robust", "--set", FEW, *words, *more, "--json")
        )
        found[record["subject"]] = record
    return found


def test_clean_and_corrupted_accuracy_are_those_of_the_recorded_classifier(
    run: Path, records: dict[str, dict[str, Any]]
) -> None:
    opened = Run.open(run)
    (linear,) = [
        record for record in results.read_all(run / "results")
        if (record.protocol, record.subject) == ("linear", results.PRETRAINED)
    ]  # fmt: skip
    side, record = linear.side(), records[results.PRETRAINED]
    assert record["top1"] == record["metrics"]["clean"] == linear.top1
    assert side.weight is not None
    assert side.bias is not None
    encoder = opened.load_encoder("cpu")
    assert opened.data is not None
    with ClipFile(opened.data) as file, torch.no_grad():
        rows = file.rows("xsub", "test")
        x = torch.from_numpy(file.clips(rows))
        for text in ("noise(0.05)", "noise(0.5)", "part(left arm)", "second(0.5)"):
            broken = to_stream(Corruptor(file, text)(rows, x), "motion", file.form.skeleton)
            scores = encoder(broken).numpy() @ side.weight.T + side.bias
            expected = (scores.argmax(axis=1) == side.labels).mean()
            assert record["metrics"][text] == pytest.approx(expected)


def test_what_cannot_be_made_is_left_out_and_said(records: dict[str, dict[str, Any]]) -> None:
    for record in records.values():
        assert set(record["metrics"]) == {
            "clean",
            "noise(0.05)",
            "noise(0.5)",
            "part(left arm)",
            "second(0.5)",
        }
        assert any(
            "robust: camera(30) is left out: Corruption 'camera(30)'" in note for note in record["notes"]
        )
        assert any("holds no recordings to turn. Convert with --keep-raw" in note for note in record["notes"])


def test_a_batch_changes_nothing(run: Path, records: dict[str, dict[str, Any]]) -> None:
    from skeltools.protocols.running import entrants, evaluation

    request = evaluation.Request(
        entrants=entrants.from_runs([run], None),
        protocol="robust",
        overrides=[FEW, "robust.supervised_epochs=1"],
        batch_size=5,
        device="cpu",
    )
    (record,) = evaluation.run(request).records
    assert record.metrics == records[results.PRETRAINED]["metrics"]


def test_without_a_classifier_it_says_which_to_make(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy, ignore=shutil.ignore_patterns("results"))
    told = _run("eval", copy, "--protocol", "robust", "--baseline", "raw")
    assert told.exit_code == 2
    assert "no linear result of 'raw coordinates' with seed 0 whose classifier could be tested" in told.stderr
    assert f"skeltools eval {copy} --protocol linear --baseline raw" in told.stderr
    assert "robust" not in {record.protocol for record in evaluate(copy, "all", settings={"knn.k": [1]}, out=copy,
        device="cpu", init="pretrained", limit=8)}  # fmt: skip


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('["nois(0.1)"]', "unknown operation 'nois'"),
        ('["part(tail)"]', "has no part 'tail'"),
        ("[]", "must be a list of one corruption or more"),
        ('["noise(0.1)|camera(30)"]', "what acts before the preparation must be written first"),
        ('["camera(30)"]', "No corruption of robust.corruptions can be made of these clips"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told(run: Path, value: str, message: str) -> None:
    told = _run("eval", run, "--protocol", "robust", "--set", f"robust.corruptions={value}")
    assert told.exit_code == 2
    assert message in told.stderr


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name != "robust-finetec"))
        for name in packaged_recipes("skeltools.protocols.recipes")
        if name.startswith("robust")
    ],
)
def test_every_recipe_runs(run: Path, recipe: str, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    words = ("--recipe", recipe, "--limit", 4)
    _ok("eval", tmp_path / "run", "--protocol", "linear", "--epochs", 1, "--limit", 4)
    (record,) = json.loads(_ok("eval", tmp_path / "run", "--protocol", "robust", *words, "--json"))
    per_family: dict[str, int] = {}
    for text in record["metrics"]:
        family = robustness.Level.of(text).family
        per_family[family] = per_family.get(family, 0) + 1
    assert per_family.pop("clean") == 1
    assert set(per_family.values()) == {5}


def test_the_report(run: Path, records: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    shown = _ok("report", run, "--severities")
    lines = [line for line in shown.splitlines() if line[:2] in ("1 ", "2 ", "3 ", "4 ")]
    assert len(lines) == 4
    corrupted = {}
    for record in records.values():
        metrics = record["metrics"]
        families = [
            (metrics["noise(0.05)"] + metrics["noise(0.5)"]) / 2,
            metrics["part(left arm)"],
            metrics["second(0.5)"],
        ]
        corrupted[record["subject"]] = sum(families) / 3
    order = sorted(corrupted.values(), reverse=True)
    assert [f"{100 * value:.1f}" for value in order] == [
        next(word for word in line.split() if word == f"{100 * value:.1f}")
        for line, value in zip(lines, order, strict=True)
    ]
    assert "top-1 in % by corruption and severity" in shown
    assert "part(left arm)" in _ok("report", run, "--format", "latex")
    (row, *_) = [line for line in _ok("report", run, "--format", "csv").splitlines() if ",robust," in line]
    assert "noise(0.05)=" in row
    _ok("plot", "robust", run, "--out", tmp_path / "robust.png")
    _ok("page", run, "--out", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "top-1 in % by corruption, mean over severities" in text
    broken = json.loads(text.split('id="values">')[1].split("</script>")[0])["broken"]
    (drawn,) = broken["severities"]
    noise = next(family for family in drawn["families"] if family["name"] == "noise")
    assert [line["severities"] for line in noise["lines"]] == [["0", "0.05", "0.5"]] * 4
    assert sorted(line["values"] for line in noise["lines"]) == sorted(
        [round(100 * record["metrics"][name], 2) for name in ("clean", "noise(0.05)", "noise(0.5)")]
        for record in records.values()
    )
    assert len(broken["parts"]) == 4
    own = next(one for one in broken["parts"] if one["salience"] is not None)
    assert own["parts"] == ["left arm"]
    assert sum(own["clips"]) == 12


ROBUST = replace(BASE, protocol="robust", variant="", settings={"robust.seed": 0}, set_by={}, recipe="robust")


def _rows(**metrics: dict[str, float]) -> list[joined.Row]:
    subjects = {"raw": results.RAW, "own": results.PRETRAINED}
    return joined.rows(
        replace(ROBUST, subject=subjects[name], key=name, top1=found["clean"], metrics=found)
        for name, found in metrics.items()
    )


def test_the_mean_corruption_error_by_hand() -> None:
    raw = {"clean": 0.8, "noise(0.1)": 0.6, "noise(0.2)": 0.4, "turn(30)": 0.5}
    own = {"clean": 0.9, "noise(0.1)": 0.8, "noise(0.2)": 0.7, "turn(30)": 0.25}
    mine, theirs = _rows(raw=raw, own=own)
    assert robustness.by_family(mine) == pytest.approx({"noise": 0.75, "turn": 0.25})
    assert robustness.corrupted(mine) == pytest.approx(0.5)
    # errors 0.5 against 1.0 under noise, 0.75 against 0.5 under turn
    assert robustness.error_to_raw(mine, [mine, theirs]) == pytest.approx((0.5 + 1.5) / 2)
    assert robustness.error_to_raw(theirs, [mine, theirs]) == pytest.approx(1)
    assert robustness.error_to_raw(mine, [mine]) is None
    first, second = robustness.grids([mine, theirs])
    assert first.rows[0][:3] == ["1", "joint", "90.0"]  # level at 50.0: the pretrained one stands first
    assert [row[-1] for row in first.rows] == ["100.0", "100.0"]
    assert second.rows == [
        ["clean", "90.0", "80.0"], ["noise", "75.0", "50.0"], ["turn", "25.0", "50.0"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("folders", "called"),
    [
        (["runs/joint"], "joint"),
        (["runs/joint-seed0", "runs/joint-seed1"], "joint"),
        (["runs/clr0", "runs/clr1", "runs/clr2"], "clr"),
        (["a/clr/seed0/joint", "a/clr/seed1/joint"], "clr"),
        (["C:\\runs\\clr_0", "C:\\runs\\clr_1"], "clr"),
        (["runs/seed0", "runs/seed1"], "seed0"),
        (["one/joint", "other/joint"], "joint"),
    ],
)
def test_runs_that_differ_in_their_seed_have_one_name(folders: list[str], called: str) -> None:
    metrics = {"clean": 0.5, "noise(0.1)": 0.4}
    records = [
        replace(ROBUST, subject=results.PRETRAINED, encoder=folder, key=folder, seed=seed, top1=0.5 + seed / 10,
                checkpoint_digest=folder, metrics=metrics | {"noise(0.1)": 0.4 + seed / 10})
        for seed, folder in enumerate(folders)
    ]  # fmt: skip
    (row,) = joined.rows(records)
    assert robustness.name(row) == called
    ranking, _ = robustness.grids([row])
    if len(folders) == 2:
        assert ranking.rows[0][2:5] == ["55.0 ± 7.1", "-", "45.0 ± 7.1"]


def test_other_corruptions_are_not_ranked_together() -> None:
    raw = {"clean": 0.8, "noise(0.1)": 0.6}
    own = {"clean": 0.9, "noise(0.1)": 0.8, "turn(30)": 0.1}
    tables = robustness.grids(_rows(raw=raw, own=own))
    assert [[row[0] for row in table.rows] for table in tables] == [
        ["1"], ["clean", "noise", "turn"], ["1"], ["clean", "noise"],
    ]  # fmt: skip
    assert len(robustness.severities(_rows(raw=raw, own=own))) == 2


def test_the_papers_layout_has_no_column_of_clean_accuracy_twice() -> None:
    linear = replace(BASE, subject=results.PRETRAINED, key="own")
    made = layout.grid(joined.rows([linear, replace(ROBUST, subject=results.PRETRAINED, key="own")]))
    assert not any("robust" in name for name, _ in made.columns)


@pytest.mark.parametrize(
    ("text", "family", "severity"),
    [
        ("noise(0.05)", "noise", "0.05"),
        ("part(left arm,0.5)", "part(left arm)", "0.5"),
        ("part(left arm)", "part(left arm)", ""),
        ("mirror()", "mirror", ""),
        ("drop_frames(block,1e-3)|turn(15)", "drop_frames(block)|turn", "1e-3 15"),
    ],
)
def test_families_of_measures(text: str, family: str, severity: str) -> None:
    assert robustness.Level.of(text) == robustness.Level(text, family, severity)


def test_the_interval_joins_corruptions_clip_by_clip(tmp_path: Path) -> None:
    labels = np.array([0, 1, 0, 1])
    guesses = {"noise(0.1)": np.array([0, 1, 1, 0]), "turn(30)": np.array([0, 1, 1, 0])}
    scores = np.eye(3, dtype=np.float32)[labels]
    record = replace(
        ROBUST,
        **results.accuracies(scores, labels),
        metrics={"clean": 1.0, "noise(0.1)": 0.5, "turn(30)": 0.5},
        scores=f"{ROBUST.stem}.npz",
    )
    kept = results.write(record, tmp_path, Side(scores, labels, list("abcd"), list("xyz"), guesses=guesses))
    found = results.read_all(tmp_path)[0].side().guesses
    assert {name: guess.tolist() for name, guess in found.items()} == {
        name: guess.tolist() for name, guess in guesses.items()
    }
    (row,) = joined.rows([kept], intervals=True)
    over = robustness.interval(row)
    assert over is not None
    assert over[0] == pytest.approx(0.0)  # two clips right everywhere, two nowhere
    assert over[1] == pytest.approx(1.0)
    theirs = {name: np.array([1, 1, 0, 0]) for name in guesses}
    raw = results.named(replace(record, subject=results.RAW, key="raw", scores="raw.npz"))
    other = results.write(raw, tmp_path, Side(scores, labels, list("badc"), list("xyz"), guesses=theirs))
    mine, baseline = joined.rows([kept, other], intervals=True)
    found = robustness.error_interval(mine, [mine, baseline])
    assert found is not None
    # wrong on c and d the one, on b and c the other: (c + d) / (b + c) of every resample of a, b, c and d
    assert robustness.error_to_raw(mine, [mine, baseline]) == pytest.approx(1)
    draws = np.random.default_rng(1).integers(0, 4, (20_000, 4))
    b, c, d = ((draws == place).sum(axis=1) for place in (1, 2, 3))
    ratio = (c + d)[b + c > 0] / (b + c)[b + c > 0]
    assert found == pytest.approx(tuple(np.percentile(ratio, [2.5, 97.5])), abs=0.05)
    assert robustness.error_interval(baseline, [mine, baseline]) == (1, 1)
    assert robustness.error_interval(mine, [mine]) is None
    short = Side(scores, labels, list("abcd"), list("xyz"), guesses={"a": labels[:3]})
    results.write(record, tmp_path, short)
    with pytest.raises(RunError, match="does not fit its record"):
        results.read_all(tmp_path)[0].side()


def test_calibration_takes_the_recorded_scores_and_holds_clips_out(run: Path, tmp_path: Path) -> None:
    (record,) = json.loads(
        _ok("eval", run, "--protocol", "calibration", "--set", "calibration.held_out=25", "--json")
    )
    kept = {(one.protocol, one.subject): one for one in results.read_all(run / "results")}
    side = kept["calibration", results.PRETRAINED].side()
    linear = kept["linear", results.PRETRAINED].side()
    assert side.names == linear.names
    np.testing.assert_array_equal(side.scores, linear.scores)
    assert record["top1"] == kept["linear", results.PRETRAINED].top1
    assert side.held_scores is not None
    assert side.held_labels is not None
    assert side.held_scores.shape == (
        8,
        record["num_classes"],
    )  # two of the six clips of each of four classes
    assert sorted(side.held_labels.tolist()) == [0, 0, 1, 1, 2, 2, 3, 3]
    shown = _ok("report", run, "--calibration")
    assert shown.count("calibration of the test scores") == 2  # of linear, and of calibration itself
    _ok("plot", "reliability", run, "--out", tmp_path / "reliability.png")
    _ok("page", run, "--out", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    (drawn,) = json.loads(text.split('id="values">')[1].split("</script>")[0])["broken"]["reliability"]
    assert [line["kind"] for line in drawn["lines"]] == ["as it is", "after temperature"]
    for line in drawn["lines"]:
        assert sum(line["clips"]) == 12
        gaps = zip(line["clips"], line["confidence"], line["accuracy"], strict=True)
        assert f"ECE {sum(n * abs(one - other) for n, one, other in gaps) / 12:.1f}" in line["name"]
    _ok("plot", "reliability", run, "--protocol", "linear", "--out", tmp_path / "linear.svg")
    told = _run("plot", "reliability", run, "--protocol", "knn", "--out", tmp_path / "knn.png")
    assert told.exit_code == 2
    assert "no result here whose scores are logits" in told.stderr
    lacking = _run("eval", run, "--protocol", "calibration", "--init", "random")
    assert lacking.exit_code == 2
    assert f"Make it: skeltools eval {run} --protocol linear --init random" in lacking.stderr


def test_parts_and_groups_of_a_run_with_a_mask(
    run: Path, records: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    (kept,) = [
        record for record in results.read_all(run / "results")
        if (record.protocol, record.subject) == ("robust", results.PRETRAINED)
    ]  # fmt: skip
    side = kept.side()
    assert list(side.salience) == ["trunk", "right arm", "left arm", "right leg", "left leg"]
    assert all(((values > 0) & (values < 1)).all() for values in side.salience.values())
    shown = _ok("report", run, "--parts", "--groups", "salience", "--groups", "performer")
    assert "points of top-1 lost when a part is missing" in shown
    assert "top-1 in % by the body part that a clip's salience favours" in shown
    assert "performer   3" in shown
    told = _ok("plot", "parts", run, "--out", tmp_path / "parts.png")
    assert told.startswith("with fewer than two parts there is no rank correlation")  # one was missing
    assert _ok("plot", "parts", f"{run}@raw", "--out", tmp_path / "raw.png").startswith(
        "there is no salience"
    )
    bad = _run("report", run, "--groups", "camra")
    assert bad.exit_code == 2
    assert "Unknown groups 'camra'" in bad.stderr
