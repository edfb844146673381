"""Published numbers: what is on file, what fits a result, and what is said of differences."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest
from recorded import BASE

from skeltools.errors import SettingError
from skeltools.results import joined, layout, published, report, tables
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


STREAMS = {
    "J+M+B": "3s (one model)", "3s .6/.6/.4": "3s (weights .6 .6 .4)",
    "3s+multi-skeleton ensemble": "3s (and skeletons)", "4s?": "4s (not certain)",
}  # fmt: skip
NAMES = {
    "AimCLR (independent rerun)": "AimCLR", "PCM3 (independent rerun)": "PCM3", "UmURL (independent rerun)": "UmURL",
    "USDRL DSTE (independent rerun)": "USDRL (DSTE)", "MacDiff (independent rerun T01)": "MacDiff (T01)",
    "MacDiff (independent rerun T13, other input statistics, batch 256)": "MacDiff (T13)",
    "MacDiff (paper's own decoder ablation: 2 layers)": "MacDiff (2 layers)",
    "MacDiff (paper's own decoder ablation: 3 layers)": "MacDiff (3 layers)",
    "MacDiff (paper's own decoder ablation: 5 layers, the stated default)": "MacDiff (5 layers)",
}  # fmt: skip
"""Names that are too long for a table; what they lack stands in the kind of the source, or in the note."""

PROTOCOLS = {"knn1": "knn k=1", "linear last epoch": "linear", "linear best epoch": "linear"}


def test_every_published_number_is_on_file(shared: Path) -> None:
    """Those of both lists, but for the three streams of AimCLR that the older one has under joint."""
    expected = []
    for line in csv.DictReader((shared / "facts" / "published.csv").open(encoding="utf-8")):
        for key in ("ntu60_xsub", "ntu60_xview", "ntu120_xsub", "ntu120_xset", "pku1", "pku2_xsub"):
            if line[key] and line["method"] != "AimCLR (released models)":  # those stand in the newer list
                dataset, _, split = key.partition("_")
                stream = "3s" if (line["method"], key) == ("AimCLR", "pku2_xsub") else line["stream"]
                expected.append(
                    (line["method"], line["year"], "", stream, line["protocol"], "", dataset, split,
                     round(float(line[key]) / 100, 6))
                )  # fmt: skip
    old = {(line[0], line[1]) for line in expected}
    venues = dict(old) | {"AimCLR (released models)": "AAAI 2022"}
    for line in csv.DictReader((shared / "facts" / "published_2026.csv").open(encoding="utf-8")):
        protocol, _, pretrained = line["protocol"].partition(" from ")
        method = NAMES.get(line["method"], line["method"])
        expected.append(
            (method, venues.get(method, ""), line["backbone"],
             STREAMS.get(line["stream"], line["stream"]),
             PROTOCOLS.get(protocol, protocol.replace("transfer-finetune", "transfer finetune")), pretrained,
             line["dataset"], line["split"].replace("unnamed", ""), round(float(line["top1"]) / 100, 6))
        )  # fmt: skip
    found = [
        (i.method, i.venue, i.backbone, i.stream, i.protocol, i.pretrained_on, i.dataset, i.split, i.top1)
        for i in published.load()
    ]
    assert len(found) == 80 + 419
    assert sorted(found) == sorted(expected)


def test_every_number_says_where_it_stands_and_of_what_kind_that_is() -> None:
    kinds = {item.kind for item in published.load()}
    assert kinds <= published.KINDS_OF_SOURCE.keys()
    assert {item.kind for item in published.load() if "README" in item.source} == {"page"}
    assert {item.source for item in published.load() if item.kind == "list"} == {
        "Awesome-Self-supervised-Skeleton-based-Action-Recognition"
    }
    assert published.SECOND_HAND.keys() == {"paper", "list", "rerun"}


def test_the_three_streams_of_aimclr_on_pku_ii_do_not_stand_under_joint() -> None:
    found = {
        (item.stream, item.top1)
        for item in published.load()
        if item.method == "AimCLR" and item.dataset == "pku2"
    }
    assert found == {("3s", 0.385), ("3s", 0.3852)}


def test_a_result_like_the_published_one_draws_no_warning() -> None:
    (item,) = [item for item in published.fitting(OURS) if item.method == "SkeAttnCLR"]
    assert item.top1 == 0.803
    assert published.warnings(OURS, item) == []


def test_each_setting_that_is_not_the_same_is_warned_of() -> None:
    small = replace(
        OURS, test_clips=54, train_clips=73, frames=50,
        pretrain_settings=OURS.pretrain_settings | {"model.width": 16},
        settings=OURS.settings | {"linear.epochs": 100},
    )  # fmt: skip
    by_method = {item.method: published.warnings(small, item) for item in published.fitting(small)}
    assert by_method["AimCLR"] == ["clips 73/54, official 40,091/16,487"]
    assert by_method["MAMP"][:2] == [
        "clips 73/54, official 40,091/16,487",
        "backbone stgcn-16, published vit-8x256",
    ]
    assert by_method["SkeAttnCLR"][-3:] == [
        "linear.epochs 100, published 150", "model.width 16, published 64", "frames 50, published 64",
    ]  # fmt: skip
    assert by_method["HYSP"] == ["clips 73/54, official 40,091/16,487", "its settings are not on file"]


def test_an_ensemble_stands_beside_the_published_three_streams() -> None:
    joined = replace(OURS, protocol="ensemble", variant="linear equal", stream="3s")
    found = published.fitting(joined)
    assert {item.stream.partition(" ")[0] for item in found} == {"3s"}
    own = [item for item in found if item.method == "AimCLR"]
    assert [(item.top1, item.kind) for item in own] == [
        (0.7918, "page"), (0.789, "paper"), (0.7797, "rerun"),
    ], "they differ"  # fmt: skip
    (skeletons,) = [item for item in found if item.top1 == 0.88]
    assert "streams (and skeletons)" in published.warnings(joined, skeletons)


@pytest.mark.parametrize(
    ("protocol", "variant", "stream", "dataset", "split", "method", "top1"),
    [
        ("knn", "k=1", "joint", "ntu60", "xsub", "STARS", 0.799),
        ("retrieval", "", "3s", "ntu60", "xview", "UmURL", 0.889),
        ("semi1", "eval", "joint", "ntu60", "xsub", "DiMoP", 0.701),
        ("semi10", "train joints", "joint", "ntu60", "xview", "MAMP", 0.915),
        ("finetune", "train", "joint", "ntu120", "xset", "MAMP", 0.915),
        ("transfer", "finetune eval", "joint", "pku2", "xsub", "MAMP", 0.732),
        ("ensemble", "finetune eval equal", "3s", "ntu60", "xsub", "ActCLR", 0.882),
        ("ensemble", "semi1 eval equal", "3s", "ntu60", "xsub", "STJD-CL", 0.675),
    ],
)
def test_every_protocol_has_its_published_numbers(
    protocol: str, variant: str, stream: str, dataset: str, split: str, method: str, top1: float
) -> None:
    record = replace(OURS, protocol=protocol, variant=variant, stream=stream, dataset=dataset, split=split)
    found = {(item.method, item.top1) for item in published.fitting(record)}
    assert (method, top1) in found
    assert not published.fitting(replace(record, subject=results.RANDOM))


def test_supervised_stands_beside_supervised_and_nothing_else() -> None:
    record = replace(OURS, protocol="finetune", variant="train", subject=results.SUPERVISED, stream="3s")
    assert {item.method for item in published.fitting(record)} == {"ST-GCN"}


def test_sources_that_agree_are_one_row_and_those_that_do_not_are_two() -> None:
    mamp = [item for item in published.fitting(OURS) if item.method == "MAMP"]
    assert [(item.top1, item.kind) for item in mamp] == [(0.85, "page"), (0.849, "paper")]
    aimclr = [item for item in published.fitting(OURS) if item.method == "AimCLR"]
    assert [(item.top1, item.kind) for item in aimclr] == [(0.7434, "page")], "74.3 of the list is the same"


def test_a_number_without_a_split_fits_every_split_and_says_so() -> None:
    other = replace(OURS, dataset="pku1", split="xview")
    found = published.fitting(other)
    assert found
    assert all("split not named there" in published.warnings(other, item) for item in found)


def test_rows_without_a_published_number_show_a_dash() -> None:
    knn = replace(BASE, top1=0.5, test_clips=16487)
    untrained = replace(OURS, subject=results.RANDOM)
    (grid,) = published.grids(joined.rows([OURS, knn, untrained]))
    assert grid.rows[-1] == ["knn k=10", "-", "-", "-", "50.0", "-", "-", "-"]
    rows = {row[1]: row for row in grid.rows}
    assert rows["SkeAttnCLR"][2:] == ["list", "80.3", "81.0", "+0.7", "82.0", "+1.7"]
    assert rows["AimCLR"][2:] == ["page", "74.3", "81.0", "+6.7", "82.0", "+7.7"]
    assert sum(row[0] == "linear" for row in grid.rows) == 1
    (note,) = [note for note in grid.notes if "SkeleMixCLR+" in note and note.startswith("Warning")]
    assert note.endswith(": backbone stgcn-64, published stgcn-16; its settings are not on file")
    assert "source list: second-hand, of a survey list" in grid.notes


TABLE_I = "DiMoP (2026), Table I"


def test_the_layout_of_papers_line_by_line_with_the_table_of_one(shared: Path) -> None:
    """Table I of DiMoP (2026): linear evaluation, joint and three streams, NTU-60, NTU-120 and PKU-MMD I."""
    splits = (("ntu60", "xsub"), ("ntu60", "xview"), ("ntu120", "xsub"), ("ntu120", "xset"), ("pku1", ""))
    columns = [("linear", dataset, split, "") for dataset, split in splits]
    table: dict[tuple[str, str], list[str]] = {}
    for line in csv.DictReader((shared / "facts" / "published_2026.csv").open(encoding="utf-8")):
        if line["source"].startswith("paper-ocr:DiMoP 2026 Table I") and line["protocol"] == "linear":
            place = splits.index((line["dataset"], line["split"].replace("unnamed", "")))
            table.setdefault((line["method"], line["stream"]), ["-"] * 5)[place] = line["top1"]
    assert len(table) > 15
    found = layout.lines(columns, ["joint", "3s"])
    for (method, stream), cells in table.items():
        rows = [
            [f"{100 * line.values[column]:.1f}" if column in line.values else "-" for column in columns]
            for line in found
            if (line.method, line.stream) == (method, stream) and "paper" in line.kinds
        ]
        assert [
            row for row in rows if all(cell == "-" or abs(float(cell) - float(own)) < 0.06
                                       for cell, own in zip(cells, row, strict=True))
        ], (method, stream, cells, rows)  # fmt: skip


def test_an_epoch_chosen_on_held_out_people_stands_between_the_last_and_the_selected_one() -> None:
    (plain,) = published.grids(joined.rows([OURS]))
    assert "held-out" not in [name for name, _ in plain.columns]
    (grid,) = published.grids(joined.rows([replace(OURS, held_top1=0.815, held_epoch=10)]))
    names = [name for name, _ in grid.columns]
    assert names[4:] == ["ours", "diff.", "held-out", "selected", "diff."]
    (own,) = [row for row in grid.rows if row[1] == "SkeAttnCLR"]
    assert own[3:] == ["80.3", "81.0", "+0.7", "81.5", "82.0", "+1.7"]
    assert report.HELD_OUT in grid.notes


def test_the_layout_of_papers_has_one_s_own_rows_below() -> None:
    view = replace(OURS, split="xview", top1=0.861, best_top1=0.865, held_top1=0.862, held_epoch=5)
    knn = replace(
        BASE, variant="k=1", top1=0.5, test_clips=16487, outcomes=4, pretrain_settings=OURS.pretrain_settings
    )
    own = replace(OURS, pretrain_settings={**OURS.pretrain_settings, "method": "skeattnclr"})
    grid = layout.grid(joined.rows([own, replace(view, pretrain_settings=own.pretrain_settings), knn]))
    assert [name for name, _ in grid.columns] == [
        "method", "venue", "stream", "backbone", "source", "linear xsub", "knn k=1 xsub", "linear xview",
    ]  # fmt: skip
    by_name = {(row[0], row[4]): row[5:] for row in grid.rows}
    assert by_name["SkeAttnCLR", "list"] == ["80.3", "-", "86.1"]
    assert by_name["STARS", "page"] == ["87.1", "79.9", "90.9"]
    assert by_name["MAMP", "page"] == ["85.0", "-", "89.0"]
    assert by_name["MAMP", "paper + list"] == ["84.9", "-", "89.1"]
    assert by_name["skeattnclr (ours)", "ours"] == ["81.0", "-", "86.1"]
    assert by_name["skeattnclr (ours, held-out)", "ours"] == ["-", "-", "86.2"]
    assert by_name["skeattnclr (ours, selected)", "ours"] == ["82.0", "-", "86.5"]
    assert report.HELD_OUT in grid.notes
    assert "source: README of TaatiTeam/STARS" in grid.notes
    for face in (tables.to_markdown, tables.to_latex):
        assert "80.3" in face(grid)
    latex = tables.to_latex(grid).splitlines()
    assert "SkeAttnCLR & IJCAI 2023 & joint &  & list & 80.3 & - & 86.1 \\\\" in latex


def test_the_layout_of_papers_warns_of_one_s_own_clips_where_they_are_not_the_official_ones() -> None:
    few = replace(OURS, train_clips=300, test_clips=290)
    told = [note for note in layout.grid(joined.rows([OURS, few])).notes if note.startswith("Warning")]
    assert told == ["Warning, ours, ntu60 xsub, linear: clips 300/290, official 40,091/16,487"]


def test_without_a_whole_result_the_layout_of_papers_has_nothing_to_show() -> None:
    with pytest.raises(SettingError, match="no whole result of a trained encoder"):
        layout.grid(joined.rows([replace(OURS, partial=True, limit=10)]))


GOOD = "method,protocol,dataset,split,stream,top1,source\nMine,linear,ntu60,xsub,joint,81.5,our draft\n"


def test_rows_of_one_s_own_stand_beside(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(GOOD)
    more = published.read_added(path)
    assert [(item.method, item.top1, item.source, item.kind) for item in more] == [
        ("Mine", 0.815, "our draft", "added")
    ]
    (grid,) = published.grids(joined.rows([OURS]), more)
    (row,) = [row for row in grid.rows if row[1] == "Mine"]
    assert row[2:] == ["added", "81.5", "81.0", "-0.5", "82.0", "+0.5"]
    (row,) = [row for row in layout.grid(joined.rows([OURS]), more).rows if row[0] == "Mine"]
    assert row[-1] == "81.5"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("method", "metod", "line 1: unknown column 'metod'. .* Did you mean 'method'"),
        (",top1", ",source2", "line 1: unknown column 'source2'"),
        ("81.5", "815", "line 2: top1 must be per cent, from 0 to 100, not '815'"),
        ("81.5", "nan", "line 2: top1 must be per cent, from 0 to 100, not 'nan'"),
        ("81.5", "", "line 2: top1 is empty"),
        ("ntu60", "ntu61", "line 2: Unknown dataset 'ntu61'"),
        ("xsub", "xvieww", "line 2: ntu60 has no split 'xvieww'. Choose one of: xsub, xview"),
        (",our draft", "", "line 2: it has another number of cells than line 1 has columns"),
        ("our draft", "a,b", "line 2: it has another number of cells than line 1 has columns"),
        ("protocol,", "", "line 1: column 'protocol' is missing"),
    ],
)
def test_a_fault_in_rows_of_one_s_own_is_named(tmp_path: Path, old: str, new: str, problem: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(SettingError, match=problem):
        published.read_added(path)
    with pytest.raises(SettingError, match=r"none.csv does not exist"):
        published.read_added(tmp_path / "none.csv")


def test_methods_have_a_row_each_in_the_layout_of_papers_and_no_mark_that_repeats_their_name() -> None:
    records = [
        replace(OURS, pretrain_settings={**OURS.pretrain_settings, "method": method, "augment.view": view})
        for method, view in (("mamp", "none"), ("skeattnclr", "crop(6)"))
    ]
    rows = [row[0] for row in layout.grid(joined.rows(records)).rows]
    assert {"mamp (ours)", "skeattnclr (ours)"} <= set(rows)
    assert not any("=" in name for name in rows)
