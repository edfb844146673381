"""Tests on clips that pretraining saw: refused for each pair of splits and datasets where there are any, else not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from protocol_stubs import MemoryFile, task

from skeltools.datasets import registry as datasets
from skeltools.datasets.contract import is_placeholder, placeholder
from skeltools.errors import RunError
from skeltools.protocols.running import leakage
from skeltools.protocols.running.subjects import Pretraining, Subject
from skeltools.results import record as results
from skeltools.runs import seen
from skeltools.store.overlap import Clips

NTU60, NTU120, NWUCLA = (datasets.get(name) for name in ("ntu60", "ntu120", "nwucla"))
GRID = [
    f"S{setup:03d}C{camera:03d}P{performer:03d}R001A{action:03d}"
    for setups, performers, actions in (
        ((1, 2, 16, 17), (1, 3, 38, 40), (1, 60)),
        ((18, 19, 32), (44, 45, 103, 106), (61, 120)),
    )
    for setup in setups
    for camera in (1, 2, 3)
    for performer in performers
    for action in actions
]
"""Clips of NTU-120, the first block of NTU-60: performers and setups of either side of every split."""

PLANE = [f"a{a:02d}_s{s:02d}_e00_v{v:02d}" for a in (1, 12) for s in (1, 10) for v in (1, 2, 3)]
LEAKS = {
    ("ntu60 xsub", "ntu60 xsub"): False,
    ("ntu60 xsub", "ntu60 xview"): True,
    ("ntu60 xsub", "ntu120 xsub"): False,
    ("ntu60 xsub", "ntu120 xset"): True,
    ("ntu60 xsub", "ntu120 xview"): True,
    ("ntu60 xview", "ntu60 xsub"): True,
    ("ntu60 xview", "ntu60 xview"): False,
    ("ntu60 xview", "ntu120 xsub"): True,
    ("ntu60 xview", "ntu120 xset"): True,
    ("ntu60 xview", "ntu120 xview"): False,
    ("ntu120 xsub", "ntu60 xsub"): False,
    ("ntu120 xsub", "ntu60 xview"): True,
    ("ntu120 xsub", "ntu120 xsub"): False,
    ("ntu120 xsub", "ntu120 xset"): True,
    ("ntu120 xsub", "ntu120 xview"): True,
    ("ntu120 xset", "ntu60 xsub"): True,
    ("ntu120 xset", "ntu60 xview"): True,
    ("ntu120 xset", "ntu120 xsub"): True,
    ("ntu120 xset", "ntu120 xset"): False,
    ("ntu120 xset", "ntu120 xview"): True,
    ("ntu120 xview", "ntu60 xsub"): True,
    ("ntu120 xview", "ntu60 xview"): False,
    ("ntu120 xview", "ntu120 xsub"): True,
    ("ntu120 xview", "ntu120 xset"): True,
    ("ntu120 xview", "ntu120 xview"): False,
    ("nwucla xview", "nwucla xview"): False,
    ("nwucla xview", "nwucla xview-dev"): True,
    ("nwucla xview-dev", "nwucla xview"): False,
    ("nwucla xview-dev", "nwucla xview-dev"): False,
}
"""Whether an encoder of the first saw test clips of the second, by the definitions of the splits."""


def side(where: str, train: bool) -> list[str]:
    """The names on a side of ``dataset split``, by the dataset's own rule."""
    name, _, split = where.partition(" ")
    dataset = datasets.get(name)
    rules = {**dataset.train, **dataset.other_train.get("camera", {})}
    found = []
    for clip in PLANE if name == "nwucla" else GRID:
        parsed = dataset.namings[0].parse(clip)
        if parsed is not None and not dataset.outside(parsed) and rules[split](parsed) is train:
            found.append(clip)
    return found


def clips(where: str, names: list[str], salt: int = 0) -> Clips:
    """Clips of a dataset whose values are of their own in every preparation (`salt`)."""
    draws = np.random.default_rng(salt)
    return Clips(where.split()[0], names, draws.integers(0, 256, (len(names), 32), np.uint8))


@pytest.mark.parametrize(("pretrained", "tested"), LEAKS)
def test_each_pair_of_splits_that_share_recordings(pretrained: str, tested: str) -> None:
    known, asked = side(pretrained, True), side(tested, False)
    assert known
    assert asked
    found = clips(tested, asked, 1).among(clips(pretrained, known, 2))
    assert found.any() == LEAKS[pretrained, tested]
    assert [name for name, hit in zip(asked, found, strict=True) if hit] == [
        name for name in asked if name in set(known)
    ]


def test_the_table_has_every_pair_of_splits_whose_clips_are_told_by_name() -> None:
    splits = {
        family: [f"{one.name} {split}" for one in found for split in {**one.train, **extra}]
        for family, found, extra in (
            ("ntu60", [NTU60], {}),
            ("ntu120", [NTU120], NTU120.other_train["camera"]),
            ("nwucla", [NWUCLA], {}),
        )
    }
    ntu = splits["ntu60"] + splits["ntu120"]
    pairs = [(a, b) for group in (ntu, splits["nwucla"]) for a in group for b in group]
    assert sorted(pairs) == sorted(LEAKS)


@pytest.mark.parametrize("one", datasets.registry())
@pytest.mark.parametrize("other", datasets.registry())
def test_only_datasets_that_share_recordings_are_compared_by_name(one: str, other: str) -> None:
    names = ["clip a", "clip b"]
    shared = one == other or {one, other} == {"ntu60", "ntu120"}
    assert (clips(one, names, 1).among(clips(other, names, 2))).all() == shared
    assert clips(one, names, 1).among(clips(other, names, 1)).all()  # the very values, under any dataset


def test_equal_values_under_two_names_of_one_dataset_are_two_recordings() -> None:
    mine, theirs = clips("ntu60", ["a"], 1), clips("ntu60", ["b"], 1)
    assert not mine.among(theirs).any()
    nameless = clips("ntu60", [placeholder("train", 3)], 1)
    assert is_placeholder(nameless.names[0])
    assert mine.among(nameless).all()
    assert nameless.among(mine).all()
    assert not clips("ntu60", nameless.names, 2).among(nameless).any()  # the third of two archives


def _leaky(file: Any, known: Clips | None, digest: str = "other", split: str = "xsub") -> Any:
    this = task(file)
    pretraining = Pretraining(data_digest=digest, dataset="ntu60", split=split, clips=known)
    this.subject = Subject(results.PRETRAINED, "runs/a", this.subject.build, pretraining=pretraining)
    return this


def test_what_is_said_of_a_leak() -> None:
    file: Any = MemoryFile(n=8)
    this = _leaky(file, Clips.of(file, np.array([0, 3, 5])))
    found = leakage.seen(this, this.test_rows)
    assert found.rows.tolist() == [3, 5]
    assert leakage.refusal(this, found, 4) == (
        "pretraining of runs/a (ntu60 xsub) saw 2 of the 4 test clips of memory.h5 xsub, such as clip3. Test on a "
        "split of clips that it did not see; with --allow-leak it is done, and the results say so"
    )
    clean = leakage.seen(_leaky(file, Clips.of(file, this.train_rows)), this.test_rows)
    assert leakage.refusal(this, clean, 4) is None
    unknown = leakage.seen(_leaky(file, None), this.test_rows)
    assert unknown.notes == [
        "Which clips runs/a saw in pretraining is not known, nor whether test clips are among them."
    ]
    assert leakage.refusal(this, unknown, 4) is None
    untrained = leakage.seen(task(file), this.test_rows)
    assert (len(untrained.rows), untrained.notes) == (0, [])


def test_nameless_twins_on_the_two_sides_of_the_very_file_are_no_leak() -> None:
    file: Any = MemoryFile(n=4)
    file.names = [placeholder("train" if row % 2 == 0 else "test", row // 2) for row in range(4)]
    file._clips[:] = file._clips[0]
    train = Clips.of(file, np.array([0, 2]))
    assert not len(leakage.seen(_leaky(file, train, file.digest), np.array([1, 3])).rows)
    assert len(leakage.seen(_leaky(file, train), np.array([1, 3])).rows) == 2


def test_an_ensemble_is_asked_stream_by_stream() -> None:
    file: Any = MemoryFile(n=8)
    clean, leaky = (_leaky(file, Clips.of(file, np.array([row]))) for row in (0, 3))
    joint = task(file)
    joint.members = {"joint": clean, "bone": leaky}
    assert leakage.seen(joint, joint.test_rows).rows.tolist() == [3]


def test_a_run_folder_names_its_clips(tmp_path: Path) -> None:
    assert seen.read(tmp_path) is None
    known = clips("ntu60", GRID, 3)
    seen.write(tmp_path, known)
    found = seen.read(tmp_path)
    assert found is not None
    assert (found.dataset, found.names) == ("ntu60", GRID)
    np.testing.assert_array_equal(found.digests, known.digests)
    for content in (b"", b"PK", json.dumps({}).encode()):
        (tmp_path / seen.NAME).write_bytes(content)
        with pytest.raises(RunError, match="the clips that the run was trained on, cannot be read"):
            seen.read(tmp_path)
    np.savez(tmp_path / seen.NAME, dataset="ntu60", names=np.arange(2), digests=np.zeros((2, 32), np.uint8))
    with pytest.raises(RunError, match="of another kind"):
        seen.read(tmp_path)
