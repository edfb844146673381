"""Published numbers: what is on file, what fits a result, and what is said of differences."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from recorded import BASE

from skeltools.results import published, report
from skeltools.results import record as results

OURS = replace(
    BASE, protocol="linear", variant="", top1=0.81, best_top1=0.82, best_epoch=5, train_clips=40091,
    test_clips=16487, settings={
        "linear.lr": 3.0, "linear.batch_size": 128, "linear.epochs": 150, "linear.batch_norm": False,
    },
    pretrain_settings={
        "model.backbone": "stgcn", "model.width": 64, "train.epochs": 300, "train.batch_size": 128,
        "queue.size": 32768,
    },
)  # fmt: skip


def test_every_published_number_is_on_file(shared: Path) -> None:
    expected = set()
    for line in csv.DictReader((shared / "facts" / "published.csv").open(encoding="utf-8")):
        for key in ("ntu60_xsub", "ntu60_xview", "ntu120_xsub", "ntu120_xset", "pku1", "pku2_xsub"):
            if line[key]:
                dataset, _, split = key.partition("_")
                expected.add(
                    (line["method"], line["year"], line["stream"], line["protocol"], dataset, split,
                     round(float(line[key]) / 100, 6), line["source"])
                )  # fmt: skip
    found = {
        (i.method, i.venue, i.stream, i.protocol, i.dataset, i.split, i.top1, i.source)
        for i in published.load()
    }
    assert found == expected


def test_a_result_like_the_published_one_draws_no_warning() -> None:
    (item,) = [item for item in published.fitting(OURS) if item.method == "SkeAttnCLR"]
    assert item.top1 == 0.803
    assert published.warnings(OURS, item) == []


def test_a_note_concerns_its_column_alone() -> None:
    notes = {(i.method, i.dataset, i.split): i.note for i in published.load() if i.note}
    assert notes == {
        (
            "SkeAttnCLR",
            "ntu120",
            "xset",
        ): "the released code splits NTU-120 by camera; this column may not be xset",
        ("AimCLR (released models)", "pku1", ""): "split not named there",
    }


def test_each_setting_that_is_not_the_same_is_warned_of() -> None:
    small = replace(
        OURS, test_clips=54, train_clips=73, frames=50,
        pretrain_settings=OURS.pretrain_settings | {"model.width": 16},
        settings=OURS.settings | {"linear.epochs": 100},
    )  # fmt: skip
    by_method = {item.method: published.warnings(small, item) for item in published.fitting(small)}
    assert by_method["AimCLR"] == ["clips 73/54, official 40,091/16,487"]
    assert by_method["SkeAttnCLR"][-3:] == [
        "linear.epochs 100, published 150", "model.width 16, published 64", "frames 50, published 64",
    ]  # fmt: skip
    assert by_method["HYSP"] == ["clips 73/54, official 40,091/16,487", "its settings are not on file"]


def test_an_ensemble_stands_beside_the_published_three_streams() -> None:
    joined = replace(OURS, protocol="ensemble", variant="linear equal", stream="3s")
    assert [(item.method, item.top1) for item in published.fitting(joined)] == [
        ("AimCLR (released models)", 0.7918)
    ]


def test_a_number_without_a_split_fits_every_split_and_says_so() -> None:
    other = replace(OURS, dataset="pku1", split="xview")
    (item,) = published.fitting(other)
    assert "split not named there" in published.warnings(other, item)


def test_rows_without_a_published_number_show_a_dash() -> None:
    knn = replace(BASE, top1=0.5, test_clips=16487)
    untrained = replace(OURS, subject=results.RANDOM)
    (grid,) = published.grids(report.rows([OURS, knn, untrained]))
    assert grid.rows[-1] == ["knn k=10", "-", "-", "50.0", "-", "-", "-"]
    rows = {row[1]: row for row in grid.rows}
    assert rows["SkeAttnCLR"][2:] == ["80.3", "81.0", "+0.7", "82.0", "+1.7"]
    assert rows["AimCLR"][2:] == ["74.3", "81.0", "+6.7", "82.0", "+7.7"]
    assert sum(row[0] == "linear" for row in grid.rows) == 1
    assert any(note.startswith("Warning, linear against AimCLR") for note in grid.notes)
