"""Comparing two results: pairs, clips joined by name, numbers worked by hand, and what cannot be compared."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from recorded import BASE

from skeltools.cli.main import main
from skeltools.errors import RunError
from skeltools.results import compare as comparison
from skeltools.results import joined
from skeltools.results import record as results
from skeltools.results.record import Record

LABELS = [0, 0, 0, 1, 1, 2]


def _write(folder: Path, seed: int, guesses: list[int], **changes: object) -> Record:
    """A record on clips c0 to c5 of classes x x x y y z, in an order of its own."""
    order = np.random.default_rng(seed + 7 * len(str(folder))).permutation(6)
    side = results.Side(
        scores=np.eye(3, dtype=np.float32)[guesses][order],
        labels=np.array(LABELS)[order],
        names=[f"c{i}" for i in order],
        classes=["x", "y", "z"],
    )
    record = replace(
        BASE, seed=seed, pretrain_seed=seed, test_clips=6, variant="",
        **({"key": f"{seed}" * 8, "protocol": "linear"} | results.accuracies(side.scores, side.labels) | changes),
    )  # type: ignore[arg-type]  # fmt: skip
    return results.write(results.named(record), folder / "results", side)


def test_seeds_are_paired_and_clips_joined(tmp_path: Path) -> None:
    a = [_write(tmp_path / "a", 0, [0, 0, 1, 1, 0, 2]), _write(tmp_path / "a", 1, [0, 1, 1, 1, 0, 2])]
    b = [_write(tmp_path / "b", 1, [0, 0, 0, 1, 0, 0]), _write(tmp_path / "b", 2, [0, 0, 0, 0, 0, 0])]
    found = comparison.compare(a, b)
    # Seed 1 alone is common: A is right on c0 c3 c5, B on c0 c1 c2 c3.
    assert found.seeds == [(1, 1)]
    assert (found.a, found.b) == (pytest.approx(3 / 6), pytest.approx(4 / 6))
    (test,) = found.tests
    assert (test.only_a, test.only_b) == (1, 2)
    assert test.p == 1.0
    assert found.classes == [
        ("x", 3, pytest.approx(1 / 3), 1.0), ("y", 2, 0.5, 0.5), ("z", 1, 1.0, 0.0),
    ]  # fmt: skip
    assert found.low < 1 / 6 < found.high
    head, mcnemar, gains, losses = comparison.grids(found, a[1], b[0], 5)
    assert head.rows[0][:4] == ["top-1", "50.0", "66.7", "+16.7"]
    assert mcnemar.rows == [["1", "1", "2", "1"]]
    assert gains.rows == [["x", "3", "33.3", "100.0", "+66.7"]]
    assert losses.rows == [["z", "1", "100.0", "0.0", "-100.0"]]


def test_two_single_results_are_paired_whatever_their_seeds(tmp_path: Path) -> None:
    a, b = _write(tmp_path / "a", 0, LABELS), _write(tmp_path / "b", 5, LABELS)
    assert comparison.compare([a], [b]).seeds == [(0, 5)]


def test_no_seed_in_common_is_told(tmp_path: Path) -> None:
    a = [_write(tmp_path / "a", seed, LABELS) for seed in (0, 1)]
    b = [_write(tmp_path / "b", seed, LABELS) for seed in (2, 3)]
    with pytest.raises(
        RunError, match=r"no seed in common: 0, 1 against 2, 3\. Run the protocol with the same"
    ):
        comparison.compare(a, b)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("names", "not of the same test clips: 'c0' is in one only"),
        ("labels", "different labels for the same"),
    ],
)
def test_other_clips_or_labels_are_told(tmp_path: Path, change: str, message: str) -> None:
    a, b = _write(tmp_path / "a", 0, LABELS), _write(tmp_path / "b", 0, LABELS)
    side = b.side()
    if change == "names":
        side.names[side.names.index("c0")] = "other"
    else:
        side.labels[:] = (side.labels + 1) % 3
        side.scores[:] = np.roll(side.scores, 1, axis=1)
    results.write(b, tmp_path / "b" / "results", side)
    with pytest.raises(RunError, match=message):
        comparison.compare([a], [b])


def test_results_are_picked_by_folder_subject_or_file(tmp_path: Path) -> None:
    home = tmp_path / "a"
    both = [_write(home, seed, LABELS) for seed in (0, 1)]
    untrained = _write(home, 0, LABELS, subject=results.RANDOM)
    assert comparison.pick(str(home), "linear") == both
    assert comparison.pick(f"{home}@random", "linear") == [untrained]
    assert comparison.pick(str(home / "results" / f"{both[1].stem}.json"), "knn") == [both[1]]


def test_what_cannot_be_picked_is_told(tmp_path: Path) -> None:
    home = tmp_path / "a"
    _write(home, 0, LABELS)
    _write(home, 0, LABELS, stream="bone")
    joint, bone = (row.id for row in joined.rows(results.read_folders([home])))
    with pytest.raises(RunError) as told:
        comparison.pick(str(home), "linear")
    assert str(told.value) == (
        f"{home} has several linear results: {joint} joint linear; {bone} bone linear. Choose with --stream, "
        f"--variant, --data, --split, --epoch, --limit or --set, or name one by its id: {home}@{joint}"
    )
    assert len(comparison.pick(str(home), "linear", stream="bone")) == 1
    with pytest.raises(RunError, match="has no knn result of 'pretrained' with variant k=1"):
        comparison.pick(str(home), "knn", "k=1")
    with pytest.raises(RunError, match=r"Unknown subject 'randon' .* Did you mean 'random'\?"):
        comparison.pick(f"{home}@randon", "linear")
    with pytest.raises(RunError, match="does not exist or is not a folder"):
        comparison.pick(str(tmp_path / "none"), "linear")


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


PLAIN: dict[str, object] = {
    "settings": {"linear.lr": 1.0}, "pretrain_settings": {"train.epochs": 4, "train.lr": 0.1},
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of joint linear on two files, two splits, after two and four epochs, and at two rates, two seeds each."""
    folder = tmp_path_factory.mktemp("many") / "a"
    made: list[dict[str, object]] = [
        {},
        {"data": "/far/pku.h5", "data_digest": "cd" * 32},
        {"split": "xview"},
        {"epoch": 2},
        {"pretrain_settings": {"train.epochs": 4, "train.lr": 0.05}},
        {"settings": {"linear.lr": 0.5}},
    ]
    for seed in (0, 1):
        for number, changes in enumerate(made):
            _write(
                folder,
                seed,
                LABELS,
                checkpoint_digest=f"{number}",
                key=f"{number}{seed}" * 4,
                **(PLAIN | changes),
            )
    return folder


def test_candidates_say_how_they_differ_and_every_way_out_leads_to_one(home: Path) -> None:
    result = call("compare", home, home)
    assert result.exit_code == 2
    rows = {row.first.checkpoint_digest: row for row in joined.rows(results.read_folders([home]))}
    told = result.stderr.removeprefix(f"Error: {home} has several linear results: ").split(". Choose ")[0]
    assert sorted(told.split("; ")) == sorted(
        f"{rows[number].id} joint linear ({words})"
        for number, words in {
            "0": "data=ntu60.h5 split=xsub epoch=4 train.lr=0.1 linear.lr=1.0",
            "1": "data=pku.h5 split=xsub epoch=4 train.lr=0.1 linear.lr=1.0",
            "2": "data=ntu60.h5 split=xview epoch=4 train.lr=0.1 linear.lr=1.0",
            "3": "data=ntu60.h5 split=xsub epoch=2 train.lr=0.1 linear.lr=1.0",
            "4": "data=ntu60.h5 split=xsub epoch=4 train.lr=0.05 linear.lr=1.0",
            "5": "data=ntu60.h5 split=xsub epoch=4 train.lr=0.1 linear.lr=0.5",
        }.items()
    )
    for number, words in {
        "1": ["--data", "pku.h5"],
        "2": ["--split", "xview"],
        "3": ["--epoch", 2],
        "4": ["--set", "train.lr=0.05"],
        "5": ["--set", "linear.lr=0.5"],
    }.items():
        found = comparison.pick(f"{home}@{rows[number].id}", "no matter")
        assert [record.seed for record in found] == [0, 1]
        chosen = call("compare", home, f"{home}@{rows[number].id}", *words, "--json")
        assert chosen.exit_code == 0, chosen.output
        assert found == list(rows[number].records)
    for data in ("pku.h5", "/far/pku.h5", "cdcdcd"):
        assert comparison.pick(str(home), "linear", data=data) == list(rows["1"].records)


def test_plot_takes_the_same_filters(home: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for words in (["confusion", home], ["compare", home, home]):
        lost = call("plot", *words, "--out", tmp_path / "a.png")
        assert lost.exit_code == 2
        assert lost.stderr.startswith(f"Error: {home} has several linear results: ")
        drawn = call("plot", *words, "--out", tmp_path / f"{words[0]}.png", "--epoch", 2)
        assert drawn.exit_code == 0, drawn.output


def test_report_shows_the_ids_and_further_seeds_leave_them(home: Path, tmp_path: Path) -> None:
    rows = joined.rows(results.read_folders([home]))
    table = call("report", home, "--ids").stdout
    assert [row.id for row in rows if f" {row.id}\n" not in table] == []
    assert "id: names the result, as in 'skeltools compare RUN@ID RUN@ID'\n" in table
    assert rows[0].id not in call("report", home).stdout
    first = next(csv.DictReader(io.StringIO(call("report", home, "--format", "csv").stdout)))
    assert first["id"] == rows[0].id
    one = _write(tmp_path / "b", 0, LABELS)
    assert joined.identity(one) == joined.identity(_write(tmp_path / "b", 7, LABELS))
    assert len({row.id for row in rows}) == len(rows) == 6


def test_filters_and_ids_that_fit_nothing_are_told(home: Path) -> None:
    there = f"See what there is: skeltools report {home}"
    for words, told in (
        (["--epoch", 3], f"{home} has no linear result of 'pretrained' with epoch 3. {there}"),
        (
            ["--data", "x.h5", "--set", "train.epochs=9"],
            f"{home} has no linear result of 'pretrained' with data x.h5, train.epochs=9. {there}",
        ),
        (["--set", "train.lrr=1"], "Unknown setting 'train.lrr' (--set). Did you mean 'train.lr'?"),
    ):
        result = call("compare", home, home, *words)
        assert (result.exit_code, result.stderr) == (2, f"Error: {told}\n")
    result = call("compare", f"{home}@abcdef", home)
    assert result.stderr == (
        f"Error: {home} has no result with id abcdef. See the ids: skeltools report {home} --ids\n"
    )


def test_partial_results_are_left_out_unless_asked_for_and_it_is_said(home: Path, tmp_path: Path) -> None:
    a = tmp_path / "a"
    _write(a, 0, LABELS)
    part = _write(a, 0, [1, 0, 0, 1, 1, 2], partial=True, limit=6, key="f" * 16)
    note = f"Note: {a}: 1 partial result of linear left out; --limit N takes those of N clips per side.\n"
    for words in (["compare", a, a], ["plot", "confusion", a, "--out", tmp_path / "a.png"]):
        result = call(*words)
        assert (result.exit_code, result.stderr) == (0, note), result.output
    assert "PARTIAL" not in call("compare", a, a).stdout
    asked = call("compare", a, a, "--limit", 6)
    assert (asked.exit_code, asked.stderr) == (0, "")
    assert asked.stdout.startswith("PARTIAL, at most 6 clips per side: ")
    assert comparison.pick(f"{a}@{joined.identity(part)}", "linear") == [part]
    result = call("compare", a, a, "--limit", 7)
    assert result.stderr == (
        f"Error: {a} has no linear result of 'pretrained' with limit 7. See what there is: skeltools report {a}\n"
    )
    alone = tmp_path / "b"
    _write(alone, 0, LABELS, partial=True, limit=6)
    assert call("compare", alone, alone).stderr == ""  # there is no other


def test_advice_names_only_options_that_the_command_has(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "r"
    for number in (1, 2):
        _write(folder, 0, LABELS, protocol="robust", settings={"robust.seed": number}, key=f"{number}" * 16)
    for words in (
        ["compare", home, home],
        ["plot", "confusion", home],
        ["plot", "compare", home, home],
        ["plot", "parts", folder],
    ):
        result = call(*words)
        assert result.exit_code == 2
        assert " has several " in result.stderr
        named = set(re.findall(r"--[a-z]+", result.stderr))
        assert named >= {"--stream", "--limit"}
        command: click.Command = main
        for word in words:
            if isinstance(command, click.Group):
                found = command.get_command(click.Context(command), str(word))
                assert found is not None
                command = found
        assert named <= {name for param in command.params for name in param.opts}
    assert call("plot", "parts", folder, "--set", "robust.seed=1").stderr.startswith(
        "Error: No result here has body parts missing."
    )


def test_two_results_of_one_encoder_are_told_apart(home: Path) -> None:
    rows = {row.first.checkpoint_digest: row.id for row in joined.rows(results.read_folders([home]))}
    lines = call("compare", f"{home}@{rows['0']}", f"{home}@{rows['5']}").stdout.splitlines()
    assert lines[1].endswith(" linear.lr=1.0")
    assert lines[2].endswith(" linear.lr=0.5")
