"""Records survive writing and reading; tables join seeds and nothing else."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from recorded import BASE
from rich.console import Console

from skeltools.analysis import metrics
from skeltools.errors import RunError
from skeltools.results import class_tables, joined, report, tables, verdicts
from skeltools.results import record as results
from skeltools.results.record import Record

SIDE = results.Side(
    scores=np.eye(4, 3, dtype=np.float32),
    labels=np.zeros(4, np.int64),
    names=["a", "b", "c", "d"],
    classes=["x", "y", "z"],
)


def _write(record: Record, folder: Path) -> Path:
    written = results.write(record, folder, SIDE)
    return folder / f"{written.stem}.json"


def test_a_record_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    record = replace(BASE, **results.accuracies(SIDE.scores, SIDE.labels))
    path = _write(record, tmp_path)
    assert results.read(path) == record
    assert path.name == "knn-k10-pretrained-ntu60-xsub-joint-seed0-01234567.json"
    side = results.read(path).side()
    assert (side.names, side.classes, side.weight) == (SIDE.names, SIDE.classes, None)
    np.testing.assert_array_equal(side.scores, SIDE.scores)
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name, BASE.scores]


def test_the_same_result_again_replaces_the_first(tmp_path: Path) -> None:
    _write(BASE, tmp_path)
    _write(replace(BASE, top1=0.25), tmp_path)
    assert [record.top1 for record in results.read_all(tmp_path)] == [0.25]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "is of version 99, which a newer skeltools wrote; this one reads version 2"),
        ({"top1": "high"}, "missing, unknown or misfit entry 'top1'"),
        ({"extra": 1}, "missing, unknown or misfit entry 'extra'"),
        ({"seed": True}, "missing, unknown or misfit entry 'seed'"),
    ],
)
def test_a_record_that_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = _write(BASE, tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RunError, match=message):
        results.read(path)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe"])
def test_a_file_that_is_no_record_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"x\.json"):
        results.read(path)


def test_seeds_share_a_row_and_other_settings_do_not() -> None:
    seeds = [replace(BASE, seed=seed, pretrain_seed=seed, top1=0.4 + seed / 10) for seed in (0, 1, 2)]
    other = replace(BASE, settings=BASE.settings | {"knn.temperature": 0.2})
    copy = replace(seeds[0])
    rows = joined.rows([*seeds, other, copy])
    assert [(row.seeds, row.top1.count) for row in rows] == [((0, 1, 2), 3), ((0,), 1)]
    assert rows[0].top1.mean == pytest.approx(0.5)
    assert rows[0].top1.sd == pytest.approx(0.1)


@pytest.mark.parametrize(
    "change",
    [{"epoch": 5}, {"data_digest": "cc"}, {"split": "xview"}, {"subject": "random"},
     {"partial": True, "limit": 5}, {"pretrain_settings": {"train.epochs": 5}}],
)  # fmt: skip
def test_results_that_are_not_alike_stand_apart(change: dict[str, object]) -> None:
    assert len(joined.rows([BASE, replace(BASE, seed=1, **change)])) == 2  # type: ignore[arg-type]


LINEAR = replace(
    BASE, protocol="linear", variant="", top1=0.625, top5=1.0, best_top1=0.75, best_epoch=20, epoch=None,
    subject=results.RANDOM,
)  # fmt: skip


def test_the_table_as_data() -> None:
    (grid,) = report.grids(joined.rows([BASE, LINEAR, replace(LINEAR, seed=1, top1=0.375)]))
    assert grid.title == [
        "ntu60 xsub: linear, knn",
        "ntu60.h5: 10 training clips, 4 test clips",
        "stream joint, 4 pretraining epochs",
    ]
    assert [name for name, _ in grid.columns] == [
        "protocol",
        "encoder",
        "top-1",
        "top-5",
        "selected",
        "gap",
        "seeds",
    ]
    assert grid.rows == [
        ["linear", "random", "50.0 ± 17.7", "100.0", "75.0", "+25.0", "0,1"],
        ["knn k=10", "pretrained", "50.0", "75.0", "-", "-", "0"],
    ]
    assert grid.breaks == {1}


def test_how_results_were_selected_is_said_with_the_gap_between_the_two_selections() -> None:
    """By hand: (62.5 + 37.5) / 2 = 50 held-out, (75 + 62.5) / 2 = 68.75 selected, 18.75 points between them."""
    held = replace(LINEAR, subject=results.PRETRAINED, held_top1=0.625, held_epoch=15)
    more = replace(held, seed=1, held_top1=0.375, held_epoch=5, best_top1=0.625, best_epoch=10)
    unheld = replace(LINEAR, variant="bn", best_top1=0.65)
    (grid,) = report.grids(joined.rows([held, more, unheld, replace(held, stream="bone"), BASE]))
    names = [name for name, _ in grid.columns]
    at = names.index("top-1")
    assert names[at:] == ["top-1", "top-5", "held-out", "selected", "gap", "seeds"]
    told = {tuple(row[:2]): row[at + 2 : at + 5] for row in grid.rows}
    assert told == {
        ("joint", "linear"): ["50.0", "68.8", "+18.8"],
        ("bone", "linear"): ["62.5 @15", "75.0 @20", "+12.5"],
        ("joint", "linear bn"): ["-", "65.0 @20", "+2.5"],  # to the last epoch's 62.5
        ("joint", "knn k=10"): ["-", "-", "-"],
    }
    assert "held-out: epoch chosen on clips of training people that were held out for it" in grid.notes
    assert any(note.startswith("gap: selected less held-out (or less top-1)") for note in grid.notes)
    for face in (tables.to_markdown, tables.to_latex):
        assert "+18.8" in face(grid)
    cells = [dict(zip(report.HEADER, line, strict=True)) for line in report.flat(joined.rows([held, more]))]
    (cell,) = cells
    assert (cell["held_top1"], cell["held_epochs"], cell["selected_top1"], cell["selected_epochs"]) == (
        0.5, "15 5", 0.6875, "20 10",
    )  # fmt: skip
    assert cell["gap"] == 0.1875


def test_a_mean_over_some_seeds_is_no_selection_of_all() -> None:
    held = replace(LINEAR, held_top1=0.625, held_epoch=15)
    (row,) = joined.rows([held, replace(LINEAR, seed=1)])
    assert row.held_top1 is None
    assert row.gap == pytest.approx(0.125)


def test_results_of_before_a_setting_that_changes_nothing_share_a_row_with_those_of_after() -> None:
    after = {**LINEAR.settings, "linear.held_out_people": 0.0, "linear.precision": "float32"}
    assert len(joined.rows([LINEAR, replace(LINEAR, seed=1, settings=after)])) == 1
    chosen = {**after, "linear.held_out_people": 10.0}
    assert len(joined.rows([LINEAR, replace(LINEAR, seed=1, settings=chosen)])) == 2


def test_a_column_that_says_the_same_everywhere_moves_to_the_title() -> None:
    (grid,) = report.grids(joined.rows([BASE, replace(BASE, stream="bone"), replace(BASE, epoch=9)]))
    names = [name for name, _ in grid.columns]
    assert "stream" in names
    assert "epoch" in names
    assert "seeds" not in names
    assert grid.title[2] == "seed 0"


def test_a_row_that_lacks_a_seed_says_so() -> None:
    found = [replace(BASE, seed=seed, variant=variant) for seed in (0, 1) for variant in ("k=1", "k=10")]
    (grid,) = report.grids(joined.rows(found[:3]))
    assert grid.notes[-1] == "Warning: joint knn k=10, pretrained: no result for seed 1"
    (whole,) = report.grids(joined.rows(found))
    assert not any(note.startswith("Warning") for note in whole.notes)


def test_settings_set_by_hand_are_in_the_title() -> None:
    set_by = BASE.set_by | {"knn.k": "--set"}
    (grid,) = report.grids(joined.rows([replace(BASE, set_by=set_by)]))
    assert grid.title[-1] == "set by hand: knn k 1,10"


def test_rows_that_differ_in_a_setting_say_in_which() -> None:
    other = replace(BASE, settings=BASE.settings | {"knn.temperature": 0.2})
    longer = replace(BASE, pretrain_settings={"train.epochs": 4, "train.lr": 0.5}, seed=1)
    labels = [row.label for row in joined.rows([BASE, other, longer])]
    assert sorted(labels) == [
        "knn k=10 [temperature=0.1 lr=0.5]", "knn k=10 [temperature=0.1 lr=None]",
        "knn k=10 [temperature=0.2 lr=None]",
    ]  # fmt: skip


def test_rows_of_several_methods_are_told_apart_by_the_method_alone() -> None:
    """Also where other settings differ, whose names come first."""
    other = {"method": "mamp", "augment.view": "none", "model.backbone": "vit"}
    third = {
        "method": "skeletonclr",
        "augment.view": "crop(6)",
        "model.backbone": "vit",
        "augment.swap_unit": 2,
    }
    found = joined.rows([BASE, *(replace(BASE, pretrain_settings=sets) for sets in (other, third))])
    assert sorted(row.mark for row in found) == ["[method=None]", "[method=mamp]", "[method=skeletonclr]"]


def test_encoders_without_settings_are_told_apart_by_name_and_weights() -> None:
    one = replace(BASE, encoder="a:b", pretrain_settings={}, pretrain_seed=None, checkpoint_digest="c" * 64)
    rows = joined.rows([one, replace(one, checkpoint_digest="d" * 64, seed=1), replace(one, encoder="a:c")])
    assert len(rows) == 3
    untrained = replace(one, subject=results.RANDOM)
    assert len(joined.rows([untrained, replace(untrained, checkpoint_digest="d" * 64, seed=1)])) == 1


def test_a_partial_result_says_so_in_the_title() -> None:
    (grid,) = report.grids(joined.rows([replace(BASE, partial=True, limit=7)]))
    assert grid.title[0] == "PARTIAL, at most 7 clips per side: ntu60 xsub: knn"


def test_kinds_of_protocols_stand_in_tables_of_their_own_with_one_legend() -> None:
    found = [
        replace(BASE, protocol=name, variant="", metrics={"map": 0.5} if name == "retrieval" else {})
        for name in ("ensemble", "retrieval", "linear", "knn")
    ]
    grids = report.grids(joined.rows(found))
    assert [grid.title[0] for grid in grids] == [
        "ntu60 xsub: linear, knn", "ntu60 xsub: retrieval", "ntu60 xsub: ensemble",
    ]  # fmt: skip
    assert [bool(grid.notes) for grid in grids] == [False, False, True]
    assert ("mAP", True) in grids[1].columns
    assert ("mAP", True) not in grids[0].columns


def _stored(folder: Path, seed: int, guesses: list[int], **changes: object) -> Record:
    """A result on four clips of classes 0 0 1 1, in an order that depends on the seed."""
    order = np.random.default_rng(seed).permutation(4)
    labels = np.array([0, 0, 1, 1])
    side = results.Side(
        scores=np.eye(3, dtype=np.float32)[guesses][order],
        labels=labels[order],
        names=[str(i) for i in order],
        classes=["x", "y", "z"],
    )
    measured = results.accuracies(side.scores, side.labels)
    record = replace(BASE, seed=seed, key=str(seed) * 16, **(measured | changes))  # type: ignore[arg-type]
    return results.write(results.named(record), folder, side)


def test_the_interval_over_clips_joins_seeds_by_clip_name(tmp_path: Path) -> None:
    found = [_stored(tmp_path, 0, [0, 0, 1, 1]), _stored(tmp_path, 1, [0, 1, 1, 2])]
    names, shares = joined.mean_hits(found)
    assert dict(zip(names, shares, strict=True)) == {"0": 1.0, "1": 0.5, "2": 1.0, "3": 0.5}
    (row,) = joined.rows(found, intervals=True)
    assert row.clips is not None
    assert 0.5 <= row.clips[0] < 0.75 < row.clips[1] <= 1.0


def test_seeds_on_other_clips_are_refused(tmp_path: Path) -> None:
    found = [_stored(tmp_path, seed, [0, 0, 1, 1]) for seed in (0, 1)]
    side = found[1].side()
    side.names[0] = "other"
    results.write(found[1], tmp_path, side)
    with pytest.raises(RunError, match="is not of the same clips as the seeds beside it"):
        joined.rows(found, intervals=True)


def test_accuracies_by_class(tmp_path: Path) -> None:
    found = [_stored(tmp_path, 0, [0, 0, 1, 1]), _stored(tmp_path, 1, [0, 1, 1, 2])]
    (grid,) = class_tables.per_class(joined.rows(found))
    assert grid.columns == [("class", False), ("clips", True), ("pretrained", True)]
    assert grid.rows == [["x", "2", "75.0"], ["y", "2", "75.0"]]


def test_confusions_are_counted_over_seeds(tmp_path: Path) -> None:
    found = [_stored(tmp_path, 0, [0, 2, 0, 1]), _stored(tmp_path, 1, [0, 1, 1, 0])]
    rows = joined.rows(found)
    counts, classes = class_tables.confusion_matrix(rows[0])
    assert classes == ["x", "y", "z"]
    assert counts.tolist() == [[2, 1, 1], [2, 2, 0], [0, 0, 0]]
    (grid,) = class_tables.confusions(rows, 2)
    assert grid.rows == [["y", "x", "2", "50.0"], ["x", "y", "1", "25.0"]]


def test_scores_that_are_missing_or_do_not_fit_are_told(tmp_path: Path) -> None:
    record = _stored(tmp_path, 0, [0, 0, 1, 1])
    with pytest.raises(RunError, match="does not fit its record"):
        replace(record, test_clips=5).side()
    (tmp_path / record.scores).write_bytes(b"x")
    with pytest.raises(RunError, match=r"holds no readable scores .*Run the protocol again"):
        record.side()
    (tmp_path / record.scores).unlink()
    with pytest.raises(RunError, match=r"is missing\. Run the protocol again"):
        record.side()


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("top1", 0.99, "has top1 0.99, its scores give 0.75"),
        ("top1", 0.5, "has top1 0.5, its scores give 0.75"),
        ("top1", 0.0, "has top1 0, its scores give 0.75"),
        ("top5", 0.75, "has top5 0.75, its scores give 1"),
        ("mean_class", 0.5, "has mean_class 0.5, its scores give 0.75"),
        ("per_class", [1.0, 1.0, None], r"has per_class\[1\] 1, its scores give 0.5"),
        ("per_class", [1.0, 0.5, 1.0], r"has per_class\[2\] 1, its scores give none"),
        ("per_class", [1.0, None, None], r"has per_class\[1\] none, its scores give 0.5"),
        ("per_class", [1.0, 0.5], "does not fit its record"),
    ],
)
def test_an_edited_accuracy_is_not_shown_beside_its_interval(
    tmp_path: Path, key: str, value: object, told: str
) -> None:
    record = _stored(tmp_path, 0, [0, 0, 1, 2])
    path = tmp_path / f"{record.stem}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(RunError, match=told):
        joined.rows([results.read(path)], intervals=True)


@pytest.mark.parametrize("labels", [[0, 0, 1, 3], [0, 0, 1, -1], [0.0, 0.0, 1.0, 1.0]])
def test_labels_of_no_class_are_refused(tmp_path: Path, labels: list[float]) -> None:
    record = _stored(tmp_path, 0, [0, 0, 1, 2])
    results.write(record, tmp_path, replace(record.side(), labels=np.array(labels)))
    with pytest.raises(RunError, match="does not fit its record"):
        joined.rows([record], intervals=True)


def test_a_record_is_compared_by_what_it_was_measured_by() -> None:
    """Equal scores, scores that are no guess, and NaN, as `skeltools.analysis.metrics` has them."""
    draw = np.random.default_rng(0)
    for _ in range(20):
        scores = draw.integers(-2, 3, (40, 7)).astype(np.float32)
        scores[draw.random(scores.shape) < 0.2] = -np.inf
        scores[draw.random(scores.shape) < 0.05] = np.nan
        labels = draw.integers(0, 6, 40)
        found = results.accuracies(scores, labels)
        tensors = torch.from_numpy(scores), torch.from_numpy(labels)
        by_class = metrics.per_class(*tensors)
        assert found["top1"] == pytest.approx(metrics.topk(*tensors, 1))
        assert found["top5"] == pytest.approx(metrics.topk(*tensors, 5))
        assert found["mean_class"] == pytest.approx(metrics.mean_class(by_class))
        assert found["per_class"] == by_class


def test_csv_holds_every_number() -> None:
    lines = tables.to_csv(report.HEADER, report.flat(joined.rows([BASE, LINEAR]))).splitlines()
    assert lines[0].split(",")[:4] == ["dataset", "split", "data", "stream"]
    cells = next(csv.DictReader(lines))
    assert len(lines) == 3
    assert (cells["protocol"], cells["top1"], cells["selected_top1"]) == ("linear", "0.625", "0.75")
    assert (cells["seeds"], cells["limit"], cells["map"]) == ("0", "", "")


GRID = tables.Grid(
    ["A & B"], [("what", False), ("50 %", True)], [["a|b_c", "1 ± 2"], ["[red]d", "<3"]], {1}, ["a note"]
)


def test_markdown() -> None:
    assert tables.to_markdown(GRID) == (
        "**A & B**\n\n| what | 50 % |\n| --- | ---: |\n| a\\|b_c | 1 ± 2 |\n| \\[red\\]d | &lt;3 |\n\na note  \n"
    )
    two = replace(GRID, title=["linear, knn", "a.h5: 2 clips"])
    assert tables.to_markdown(two).startswith("**linear, knn; a.h5: 2 clips**\n\n")


def test_latex() -> None:
    assert tables.to_latex(GRID).splitlines() == [
        "% A & B", "% a note", r"\begin{tabular}{lr}", r"\toprule", r"what & 50 \% \\", r"\midrule",
        r"a|b\_c & 1 $\pm$ 2 \\", r"\midrule", r"{}[red]d & \textless{}3 \\", r"\bottomrule", r"\end{tabular}",
    ]  # fmt: skip


def test_rich_tables_take_texts_as_they_are() -> None:
    console = Console(width=60, file=io.StringIO())
    console.print(tables.to_rich(GRID))
    assert "[red]d" in console.file.getvalue()  # type: ignore[attr-defined]


def _seeded(subject: str, *top1: float) -> list[Record]:
    return [replace(BASE, subject=subject, seed=seed, top1=value) for seed, value in enumerate(top1)]


@pytest.mark.parametrize(
    ("pretrained", "better"),
    [((0.70, 0.71, 0.72), True), ((0.5, 0.6, 0.9), False), ((0.1, 0.11, 0.12), False)],
)
def test_apart_means_intervals_do_not_overlap(pretrained: tuple[float, ...], better: bool) -> None:
    records = [*_seeded(results.PRETRAINED, *pretrained), *_seeded(results.RANDOM, 0.4, 0.41, 0.42)]
    (verdict,) = verdicts.apart(joined.rows(records), results.PRETRAINED, [results.RANDOM])
    assert verdict.better is better
    assert (", apart" in str(verdict)) is better
    assert (", OVERLAP" in str(verdict)) is not better


def test_one_seed_alone_is_never_apart() -> None:
    records = [*_seeded(results.PRETRAINED, 0.9), *_seeded(results.RANDOM, 0.1)]
    (verdict,) = verdicts.apart(joined.rows(records), results.PRETRAINED, [results.RANDOM])
    assert not verdict.better


def test_the_views_of_pretraining_are_shown_as_written_where_all_share_them() -> None:
    text = "crop(6) | shear(0.5)"
    one, other = (
        replace(BASE, key=key, pretrain_settings={"train.epochs": 4, "augment.view": view})
        for key, view in (("a", text), ("b", "flip(0.5)"))
    )
    untrained = replace(BASE, key="c", subject=results.RANDOM)
    (grid,) = report.grids(joined.rows([one, untrained]))
    assert f"views in pretraining: {text}" in grid.notes
    (grid,) = report.grids(joined.rows([one, other]))
    assert not [note for note in grid.notes if "views" in note]
    assert {f"[view={text}]", "[view=flip(0.5)]"} == {row.mark for row in joined.rows([one, other])}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"top1": 2.5}, "'top1' must be from 0 to 1, not 2.5."),
        ({"top5": -0.1}, "'top5' must be from 0 to 1, not -0.1."),
        ({"mean_class": 50.0}, "'mean_class' must be from 0 to 1, not 50."),
        ({"best_top1": 1.5}, "'best_top1' must be from 0 to 1, not 1.5."),
        ({"held_top1": 0.5}, "of 'held_top1' and 'held_epoch' only one is given."),
        ({"per_class": [0.5, None, 7.0]}, "'per_class' must be from 0 to 1, not 7."),
        ({"metrics": {"map": 3.0}}, "'metrics.map' must be from 0 to 1, not 3."),
    ],
)
def test_a_measure_that_is_no_share_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = _write(BASE, tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(RunError) as caught:
        results.read(path)
    assert str(caught.value) == f"{path}: {message} Run the protocol again."


def test_a_long_setting_that_tells_rows_apart_is_short_in_every_table() -> None:
    """The corruptions of robust are a list of hundreds of letters."""
    from skeltools.results.joined import differences

    many = [f"noise({number})" for number in range(15)]
    found = joined.rows(
        [
            replace(
                BASE,
                protocol="robust",
                variant="",
                settings={"robust.corruptions": many, "robust.note": text},
            )
            for text in ("y" * 99, "z" * 99)
        ]
        + [
            replace(
                BASE,
                protocol="robust",
                variant="",
                settings={"robust.corruptions": many[:2], "robust.note": "y"},
            )
        ]
    )
    marks = {row.mark for row in found}
    assert marks == {
        "[corruptions=noise(0),noise(1) note=y]",
        "[corruptions=15 entries (0797) note=yyyyyyyyyyyyyyyyyyyy... (d36e)]",
        "[corruptions=15 entries (0797) note=zzzzzzzzzzzzzzzzzzzz... (715e)]",
    }
    assert {row[6] for row in report.flat(found)} == marks  # the column mark of CSV
    assert max(map(len, differences(found))) < 100


def test_a_copy_without_scores_does_not_take_the_place_of_a_result_with_them() -> None:
    own = replace(BASE, folder=Path("mine"))
    copy = replace(own, folder=Path("theirs"), scores="", created="2026-02-01T00:00:00+00:00")
    for given in ([own, copy], [copy, own]):
        (row,) = joined.rows(given)
        assert row.records == (own,)
        assert row.first.folder == Path("mine")
    later = replace(own, top1=0.25, created="2026-03-01T00:00:00+00:00")
    for given in ([own, later], [later, own], [own, copy, later]):  # evaluated again, by another version say
        assert joined.rows(given)[0].top1.mean == 0.25


@pytest.mark.parametrize(
    "changed", [{"top1": 0.991}, {"top1": 0.75, "scores": ""}, {"top1": 0.0, "notes": []}]
)
def test_copies_of_one_result_with_different_accuracies_are_refused(changed: dict[str, object]) -> None:
    own = replace(BASE, folder=Path("mine"))
    copy = replace(own, folder=Path("theirs"), **changed)  # type: ignore[arg-type]
    for given in ([own, copy], [copy, own]):
        with pytest.raises(
            RunError, match=r"joint knn k=10, pretrained, seed 0.* is there twice with another top-1"
        ):
            joined.rows(given)
