"""Results that are given away and taken: nothing is lost, nothing private goes, and differences are told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from recorded import BASE

from skeltools.cli.main import main
from skeltools.errors import OutputError, RunError
from skeltools.results import joined, sharing
from skeltools.results import record as results

OURS = replace(BASE, encoder="/home/ada/secret/runs/joint", data="/data/ada/ntu60.h5")


def run(*words: object) -> Result:
    return CliRunner().invoke(main, list(map(str, words)))


def kept(folder: Path, *records: results.Record) -> Path:
    """A folder with records, without their scores."""
    (folder / "results").mkdir(parents=True)
    for place, record in enumerate(records):
        (folder / f"results/{place}.json").write_text(json.dumps(record.content()))
    return folder


def test_what_is_exported_comes_back_whole_and_tells_no_folder(tmp_path: Path) -> None:
    other = replace(OURS, seed=1, top1=0.6)
    file = tmp_path / "ours.json"
    done = run("results", "export", kept(tmp_path / "run", OURS, other), "--out", file)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"{file}: 2 records, ")
    assert "ada" not in file.read_text()
    done = run("results", "import", file, "--out", tmp_path / "theirs")
    assert done.stdout == f"{tmp_path / 'theirs'}: 2 records\n"
    found = results.read_folders([tmp_path / "theirs"])
    plain = {"encoder": "joint", "data": "ntu60.h5", "scores": ""}
    assert found == [replace(one, **plain) for one in (OURS, other)]  # type: ignore[arg-type]
    assert run("report", tmp_path / "theirs").exit_code == 0
    assert joined.rows(found, intervals=True)[0].clips is None
    with pytest.raises(RunError, match="their scores were not exported with them"):
        found[0].side()


def test_a_changed_record_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    file = tmp_path / "theirs.json"
    file.write_text(sharing.bundle([OURS]).replace('"top1": 0.5', '"top1": 0.9'))
    with pytest.raises(RunError, match="record 1 was changed after it was written"):
        sharing.unpack(file, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "is not a readable file of results"),
        ("[]", "is not a file of results. Make one"),
        (
            '{"format": "skeltools results", "version": 9}',
            "is of version 9, which a newer skeltools wrote; this one reads version 1",
        ),
        ('{"format": "skeltools results", "version": 1, "records": []}', "holds no record"),
        ('{"format": "skeltools results", "version": 1, "records": [3]}', "record 1 was changed"),
    ],
)
def test_what_is_no_such_file_is_one_line(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "file.json").write_text(text)
    with pytest.raises(RunError, match=problem):
        sharing.unpack(tmp_path / "file.json", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_record_of_another_layout_is_refused_whole(tmp_path: Path) -> None:
    content = {key: value for key, value in OURS.content().items() if key != "top5"}
    entry = {"digest": sharing._digest(content), "record": content}
    text = json.dumps({"format": sharing.FORMAT, "version": sharing.VERSION, "records": [entry]})
    (tmp_path / "file.json").write_text(text)
    with pytest.raises(RunError, match="missing, unknown or misfit entry 'top5'"):
        sharing.unpack(tmp_path / "file.json", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "file.json").write_text(sharing.bundle([OURS]))
    kept(tmp_path / "out", OURS)
    with pytest.raises(OutputError, match="is not empty"):
        sharing.unpack(tmp_path / "file.json", tmp_path / "out")
    done = run("results", "export", tmp_path / "out", "--out", tmp_path / "file.json")
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "already exists. Use --replace" in done.stderr


def test_every_difference_behind_two_results_is_named(tmp_path: Path) -> None:
    theirs = replace(
        OURS, data_digest="cc", test_clips=5, preparation={"chain.frames": 50}, seed=7, top1=0.9,
        settings={"knn.k": [1, 10], "knn.temperature": 0.07}, pretrain_settings={"train.epochs": 9},
    )  # fmt: skip
    name = "ntu60 xsub joint knn k=10, pretrained"
    assert sharing.differences([OURS], [theirs]) == [
        f"other clips (content digest aa, theirs cc): {name}",
        f"test_clips 4, theirs 5: {name}",
        f"chain.frames 64, theirs 50: {name}",
        f"knn.temperature 0.1, theirs 0.07: {name}",
    ]
    assert sharing.differences([OURS], [replace(OURS, seed=3)]) == []
    assert sharing.differences([OURS], [replace(OURS, stream="bone")]) == [
        "nothing of one's own to compare with: ntu60 xsub bone knn k=10, pretrained"
    ]
    (tmp_path / "file.json").write_text(sharing.bundle([theirs]))
    done = run(
        "results", "import", tmp_path / "file.json", "--out", tmp_path / "theirs", "--against",
        kept(tmp_path / "ours", OURS),
    )  # fmt: skip
    assert done.stdout.splitlines()[1:] == [
        f"not the same: {what}" for what in sharing.differences([OURS], [theirs])
    ]


@pytest.mark.parametrize(
    "wrong", [{"limit": 10**20, "partial": True}, {"top1": 1.5}, {"seconds": 1e301}, {"best_top1": 0.5}]
)
def test_no_record_is_written_that_could_not_be_read(wrong: dict[str, object], tmp_path: Path) -> None:
    record = replace(OURS, **wrong)  # type: ignore[arg-type]
    side = results.Side(np.eye(4, 3, dtype=np.float32), np.zeros(4, np.int64), list("abcd"), list("xyz"))
    with pytest.raises(RunError, match=next(iter(wrong))):
        results.write(results.named(record), tmp_path / "results", side)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "long", [{"protocol": f"semi:0.{'0' * 300}1"}, {"split": "x" * 400}, {"dataset": "é" * 250}]
)
def test_a_name_longer_than_the_system_takes_is_shortened_to_one_of_its_own(
    long: dict[str, str], tmp_path: Path
) -> None:
    side = results.Side(np.eye(4, 3, dtype=np.float32), np.zeros(4, np.int64), list("abcd"), list("xyz"))
    for key in ("0123456789", "abcdef0123"):
        record = replace(OURS, **long, key=key)  # type: ignore[arg-type]
        results.write(results.named(record), tmp_path / "results", side)
    assert [record.key for record in results.read_all(tmp_path / "results")] == ["0123456789", "abcdef0123"]
    assert len(list((tmp_path / "results").glob("*.npz"))) == 2
