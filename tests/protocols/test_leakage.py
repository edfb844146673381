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
EXERCISES = [f"{subject}_18_{gesture}_1_1_stand" for subject in range(101, 110) for gesture in (0, 8)]
VIDEOS = [f"{video:04d}-{camera}/{action}" for video in (2, 3, 7) for camera in "LMR" for action in (1, 2)]
"""Of PKU-MMD, whose sides its own lists of videos name: all cameras of a video on one side, or camera L apart."""

NAMES = {"ntu60": GRID, "ntu120": GRID, "nwucla": PLANE, "irds": EXERCISES, "pku1": VIDEOS, "pku2": VIDEOS}
LISTS = {"xsub": lambda name: name[:4] != "0007", "xview": lambda name: "-L" not in name}
SPLITS = [
    f"{name} {split}"
    for name in NAMES
    for split in {
        **dict.fromkeys(datasets.get(name).splits),
        **datasets.get(name).other_train.get("camera", {}),
    }
]
"""Every split of every dataset, NTU-120's by camera among them."""

PAIRS = [(pretrained, tested) for pretrained in SPLITS for tested in SPLITS]
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
    ("irds xsub", "irds xsub"): False,
    **{
        (f"{part} {one}", f"{part} {other}"): one != other
        for part in ("pku1", "pku2") for one in ("xsub", "xview") for other in ("xsub", "xview")
    },
}  # fmt: skip
"""Whether an encoder of the first saw test clips of the second, by the definitions of the splits, for every pair of
datasets that share recordings; of any other pair it saw none."""


def side(where: str, train: bool) -> list[str]:
    """The names on a side of ``dataset split``, by the dataset's own rule."""
    name, _, split = where.partition(" ")
    dataset = datasets.get(name)
    if dataset.split_files:
        return [clip for clip in NAMES[name] if LISTS[split](clip) is train]
    rules = {**dataset.train, **dataset.other_train.get("camera", {})}
    found = []
    for clip in NAMES[name]:
        parsed = dataset.namings[0].parse(clip)
        assert parsed is not None, clip
        if not dataset.outside(parsed) and rules[split](parsed) is train:
            found.append(clip)
    return found


def clips(where: str, names: list[str], salt: int = 0) -> Clips:
    """Clips of a dataset whose values are of their own in every preparation (`salt`)."""
    draws = np.random.default_rng(salt)
    return Clips(where.split()[0], names, draws.integers(0, 256, (len(names), 32), np.uint8))


@pytest.mark.parametrize(("pretrained", "tested"), PAIRS)
def test_each_pair_of_splits_and_datasets(pretrained: str, tested: str) -> None:
    """What is seen is refused and counted, and nothing else is; `semi` tests on the same clips."""
    known, asked = side(pretrained, True), side(tested, False)
    assert known
    assert asked
    found = clips(tested, asked, 1).among(clips(pretrained, known, 2))
    leak = LEAKS.get((pretrained, tested), False)
    assert found.any() == leak
    expected = [name for name in asked if (pretrained, tested) in LEAKS and name in set(known)]
    assert [name for name, hit in zip(asked, found, strict=True) if hit] == expected

    file: Any = MemoryFile(n=len(asked))
    file.names, file.dataset, (_, split) = asked, datasets.get(tested.split()[0]), tested.split()
    rows = file._rows["test"] = np.arange(len(asked))
    this = _leaky(file, clips(pretrained, known, 2), split=pretrained.split()[1])
    this.split = split
    said = leakage.refusal(this, leakage.seen(this, rows), len(rows))
    if leak:
        assert said is not None
        assert (
            f"saw {len(expected)} of the {len(asked)} test clips of memory.h5 {split}, such as {expected[0]}"
            in said
        )
    else:
        assert said is None


def test_the_table_has_every_pair_of_splits_of_datasets_that_share_recordings() -> None:
    assert set(NAMES) == set(datasets.registry())
    shared = [
        (one, other) for one, other in PAIRS
        if one.split()[0] == other.split()[0] or {one.split()[0], other.split()[0]} == {"ntu60", "ntu120"}
    ]  # fmt: skip
    assert sorted(shared) == sorted(LEAKS)


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
