"""Descriptors and sources that are wrong: one line that names the place, exit status 2, nothing written."""

# ruff: noqa: E501 (tables stand in one line each)

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from owndata import Kind, descriptor, person

from skeltools.cli.main import main
from skeltools.convert import own
from skeltools.datasets import descriptor as descriptors
from skeltools.skeletons import load

SMPL = load("smpl24")
M3 = Kind("smpl24", "m", "y", None)
P2 = Kind("coco17", "pixel", "-y", None)
CLIPS = [f"S{who}_{word}_0" for who in (1, 2, 3, 4) for word in ("bend", "wave")]
BODY = person(SMPL, 0, 5)


def good(raw: Path) -> None:
    for seed, name in enumerate(CLIPS):
        np.save(raw / f"{name}.npy", person(SMPL, seed, 5))


# --- Descriptors: (id, text changed or the whole text, what the message says)

BASE = descriptor(M3)
SKELETON = """
name = "three"
joints = ["a", "b", "c"]
parents = {parents}
centre = 0
left_shoulder = 0
right_shoulder = 0
left_hip = 0
right_hip = 0
[parts]
all = {parts}
"""


def changed(old: str, new: str) -> str:
    assert old in BASE
    return BASE.replace(old, new)


def keyed(line: str) -> str:
    return f"{line}\n{BASE}"


DESCRIPTORS: dict[str, tuple[str, str]] = {
    "no toml": ("name = ", "is not valid TOML"),
    "empty": ("", "'name' is missing. A descriptor needs name, skeleton, unit, classes"),
    "unknown key": (keyed("licens = 'x'"), "unknown key 'licens'.* Did you mean 'licence'"),
    "unknown key of names": (changed("pattern =", "patern ="), "unknown key 'patern' in names.* Did you mean 'pattern'"),
    "unknown side": (changed("{train", "{trian"), "splits.xsub: unknown key 'trian'.* Did you mean 'train'"),
    "name missing": (changed('name = "mine"', ""), "'name' is missing"),
    "name with a space": (changed('"mine"', '"my data"'), "name must be a letter followed by"),
    "name a number": (changed('"mine"', "3"), "name must be a text, not 3"),
    "name of a packaged dataset": (changed('"mine"', '"ntu60"'), "name 'ntu60' is that of a packaged dataset"),
    "unit missing": (changed('unit = "m"', ""), "'unit' is missing"),
    "unit unknown": (changed('unit = "m"', 'unit = "metre"'), "unit must be one of m, cm, mm, pixel, not 'metre'"),
    "skeleton unknown": (changed("smpl24", "smpl42"), "Unknown skeleton 'smpl42'.* Did you mean 'smpl24'"),
    "skeleton a number": (changed('"smpl24"', "24"), "skeleton must be a packaged name or the path"),
    "skeleton file missing": (changed('"smpl24"', '"none.toml"'), "none.toml does not exist"),
    "skeleton in a circle": (changed('"smpl24"', '"circle.toml"'), "run in a circle|must be its own parent"),
    "skeleton with a circle beside the root": (changed('"smpl24"', '"beside.toml"'), "run in a circle"),
    "skeleton with two roots": (changed('"smpl24"', '"roots.toml"'), "exactly one joint must be its own parent"),
    "skeleton with a joint in no part": (changed('"smpl24"', '"parts.toml"'), "every joint must be in exactly one part"),
    "up unknown": (changed('up = "y"', 'up = "top"'), "up must be one of y, -y, z, -z, x, -x, not 'top'"),
    "up of key points": (descriptor(P2).replace('up = "-y"', 'up = "z"'), "up must be y or -y of 2-D key points"),
    "bodies zero": (changed("bodies = 1", "bodies = 0"), "bodies must be a whole number from 1 to 100, not 0"),
    "bodies a text": (changed("bodies = 1", 'bodies = "two"'), "bodies must be a whole number"),
    "bodies true": (changed("bodies = 1", "bodies = true"), "bodies must be a whole number"),
    "rate negative": (keyed("rate = -1"), "rate must be frames per second"),
    "rate not finite": (keyed("rate = nan"), "rate must be frames per second"),
    "crowd unknown": (keyed('crowd = "drop"'), "crowd must be one of refuse, choose"),
    "classes missing": (changed('classes = ["bend", "wave"]', ""), "'classes' is missing"),
    "classes empty": (changed('["bend", "wave"]', "[]"), "classes must name 1 to"),
    "classes twice": (changed('["bend", "wave"]', '["bend", "bend"]'), "classes names 'bend' twice"),
    "classes of numbers": (changed('["bend", "wave"]', "[1, 2]"), "each a text"),
    "classes a text": (changed('["bend", "wave"]', '"bend"'), "classes must be a list of names"),
    "class with an empty name": (changed('["bend", "wave"]', '["bend", ""]'), "that is not empty"),
    "label not in classes": (changed('"wave"]', '"waves"]'), "label 'wave' is not one of the classes.* Did you mean 'waves'"),
    "first_label negative": (keyed("first_label = -1"), "first_label must be a whole number"),
    "labels out of range": (
        changed("(?P<label>[a-z]+)_(?P<take>[0-9])", "[a-z]+_(?P<label>[0-9])").replace("bodies = 1", "first_label = 1"),
        "label 0 is not one of 1 to 2",
    ),
    "pattern does not compile": (changed("(?P<take>[0-9])", "(?P<take>[0-9]"), "names.pattern is not a regular expression"),
    "pattern without a group": (changed("S(?P<subject>[0-9])_(?P<label>[a-z]+)_(?P<take>[0-9])", ".*"), "no named group"),
    "pattern that matches nothing": (changed("S(?P<subject>", "T(?P<subject>"), "names.pattern matches none of the 8 clips"),
    "pattern without a label": (changed("?P<label>", "?P<action>"), "nothing gives clip 'S1_bend_0' a label"),
    "pattern with a reserved group": (changed("?P<take>", "?P<frames>"), "'frames' cannot be a group"),
    "pattern with a group of capitals": (changed("?P<take>", "?P<Take>"), "'Take' cannot be a group"),
    "pattern with an empty group": (changed("(?P<take>[0-9])", "(?P<take>[5-9])?[0-9]"), "names.pattern finds no take"),
    "names.of unknown": (changed("pattern =", 'of = "folder"\npattern ='), "names.of must be one of file, path"),
    "names a list": (descriptor(M3).replace("[names]\n", "names = 3\n[other]\n"), "unknown key 'other'"),
    "table missing": (descriptor(M3, names='table = "none.csv"'), "none.csv does not exist"),
    "table empty": (descriptor(M3, names='table = "empty.csv"'), "empty.csv: this is an empty file"),
    "table without names": (descriptor(M3, names='table = "nameless.csv"'), "no column 'name' or 'file'"),
    "table ragged": (descriptor(M3, names='table = "ragged.csv"'), "ragged.csv, line 3: 1 cell; the header has 2"),
    "table with a clip twice": (descriptor(M3, names='table = "twice.csv"'), "line 3: clip 'S1_bend_0' occurs twice"),
    "table with an empty cell": (descriptor(M3, names='table = "hole.csv"'), "the label of clip 'S1_bend_0' is empty"),
    "table of other clips": (descriptor(M3, names='table = "other.csv"'), "other.csv has a row for none of the 8 clips"),
    "table without some clip": (descriptor(M3, names='table = "some.csv"', splits='x = {train = "label in bend"}'),
                                "some.csv has no row for clip"),
    "table with a column twice": (descriptor(M3, names='table = "columns.csv"'), "column 'label' occurs twice"),
    "table with a column of the file's": (descriptor(M3, names='table = "length.csv"'), "'length' cannot be a column"),
    "no splits": (descriptor(M3, splits=""), r"has no \[splits\]"),
    "splits a text": (BASE[: BASE.index("[splits]")].replace("[names]", 'splits = "xsub"\n[names]'), "splits must be a table"),
    "split a number": (descriptor(M3, splits="xsub = 3"), "splits.xsub must be a table"),
    "split without train": (descriptor(M3, splits='xsub = {test = "subject in 1"}'), "splits.xsub has no train"),
    "split with a rule that is none": (descriptor(M3, splits='xsub = {train = "subject = 1"}'), "'subject = 1' is not a rule"),
    "split with an empty value": (descriptor(M3, splits='xsub = {train = "subject in 1,,2"}'), "has an empty value"),
    "split with a range backwards": (descriptor(M3, splits='xsub = {train = "subject in 3-1"}'), "runs backwards"),
    "split of an unknown column": (descriptor(M3, splits='x = {train = "subjekt in 1"}'), "no column 'subjekt'.* Did you mean 'subject'"),
    "split whose test side is empty": (descriptor(M3, splits='x = {train = "subject in 1-9"}'), "no clip is on the test side"),
    "split whose train side is empty": (descriptor(M3, splits='x = {train = "subject in 9"}'), "no clip is on the train side"),
    "subject on both sides": (descriptor(M3, splits='x = {train = "subject in 1,2", test = "subject in 2,3"}'),
                              "subject 2 .* is on both sides"),
    "clip on both sides": (descriptor(M3, splits=f'x = {{train = ["{CLIPS[0]}"], test = ["{CLIPS[0]}"]}}'),
                           f"clip {CLIPS[0]} is on both sides"),
    "list with an unknown clip": (descriptor(M3, splits='x = {train = ["S1_bend_9"]}'), "no clip 'S1_bend_9'.* Did you mean"),
    "list with a clip twice": (descriptor(M3, splits='x = {train = ["a", "a"]}'), "names 'a' twice"),
    "list of numbers": (descriptor(M3, splits="x = {train = [1, 2]}"), "a rule, or a list of clip names"),
    "leave out an unknown column": (descriptor(M3, splits='x = "leave one actor out"'), "no column 'actor'"),
    "leave out the only one": (descriptor(M3, splits='x = "leave one take out"'), "there is one take only"),
    "leave what": (descriptor(M3, splits='x = "leave one out"'), "splits.x must be a table"),
    "two splits of one name": (descriptor(M3, splits='"x-1" = {train = "subject in 1"}\nx = "leave one subject out"'),
                               "two splits are called 'x-1'"),
    "split with a slash": (descriptor(M3, splits='"a/b" = {train = "subject in 1"}'), "a split's name is letters"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DESCRIPTORS)
def test_a_faulty_descriptor(kind: str, tmp_path: Path) -> None:
    text, message = DESCRIPTORS[kind]
    raw = tmp_path / "raw"
    raw.mkdir()
    good(raw)
    for name, parents, parts in (("circle", [1, 2, 0], [0, 1, 2]), ("beside", [0, 2, 1], [0, 1, 2]),
                                 ("roots", [0, 1, 0], [0, 1, 2]), ("parts", [0, 0, 0], [0, 1])):  # fmt: skip
        (tmp_path / f"{name}.toml").write_text(SKELETON.format(parents=parents, parts=parts))
    rows = "".join(f"{name},bend\n" for name in CLIPS)
    for name, content in {
        "empty": "", "nameless": "clip,label\n", "ragged": "name,label\nS1_bend_0,bend\nS2\n",
        "twice": "name,label\nS1_bend_0,bend\nS1_bend_0,bend\n", "hole": "name,label\nS1_bend_0,\n",
        "other": "name,label\nx,bend\n", "some": f"name,label\n{rows[:-15]}", "columns": "name,label,label\n",
        "length": "name,label,length\n",
    }.items():  # fmt: skip
        (tmp_path / f"{name}.csv").write_text(content)
    (tmp_path / "mine.toml").write_text(text)
    refused(tmp_path, message)


def refused(folder: Path, message: str, *args: str) -> None:
    """One line, exit status 2, and nothing written."""
    import re

    before = sorted(folder.iterdir())
    result = CliRunner().invoke(
        main, ["convert", str(folder / "mine.toml"), str(folder / "raw"), str(folder / "out.h5"), *args]
    )
    assert result.exit_code == 2, result.output
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, result.output
    assert "Traceback" not in result.output
    assert re.search(message, errors[0]), errors[0]
    assert sorted(folder.iterdir()) == before


# --- Sources: (how they are described, what writes them, what the message says)


def saved(array: Any, name: str = CLIPS[0]) -> Callable[[Path], None]:
    return lambda raw: np.save(raw / f"{name}.npy", array)


def with_value(value: float) -> Any:
    body = BODY.copy()
    body[2, 3, 1] = value
    return body


def written(text: str | bytes, name: str) -> Callable[[Path], None]:
    return lambda raw: (raw / name).write_bytes(text.encode() if isinstance(text, str) else text) and None


def table(*rows: str) -> Callable[[Path], None]:
    return written("\n".join(rows) + "\n", "S1_bend_0.csv")


def frames(*items: Any) -> Callable[[Path], None]:
    return written(json.dumps(list(items)), "S1_bend_0.json")


def pickled(content: Any) -> Callable[[Path], None]:
    return written(pickle.dumps(content, 4), "mine.pkl")


HEADER = ",".join(f"{joint}_{axis}" for joint in SMPL.joints for axis in "xyz")
ROW = ",".join(f"{value:.3f}" for value in BODY[0].reshape(-1))
POSE = BODY[0].tolist()
LANDMARKS = [{"x": 0.1, "y": 0.2, "z": 0.3} for _ in range(24)]
KEYPOINTS = np.ones((1, 5, 17, 2)) * np.arange(17)[:, None]


def annotation(**changes: Any) -> dict[str, Any]:
    base = {
        "frame_dir": "S1_bend_0",
        "label": 0,
        "keypoint": KEYPOINTS,
        "keypoint_score": np.ones((1, 5, 17)),
    }
    return {key: value for key, value in {**base, **changes}.items() if value is not None}


def openpose(raw: Path, *numbers: int, content: Any = None) -> None:
    for number in numbers:
        people = [{"pose_keypoints_2d": [1.0] * 51}]
        (raw / f"S1_bend_0_{number:012d}_keypoints.json").write_text(
            json.dumps(content if content is not None else {"people": people})
        )


def nobody(raw: Path) -> None:
    for who in (1, 2):
        (raw / f"S{who}_bend_0.json").write_text("[[], []]")


def cut(raw: Path) -> None:
    np.save(raw / "S1_bend_0.npy", BODY)
    (raw / "S1_bend_0.npy").write_bytes((raw / "S1_bend_0.npy").read_bytes()[:-9])


def twice(raw: Path) -> None:
    saved(BODY)(raw)
    frames(POSE)(raw)


def no_zip(raw: Path) -> None:
    raw.rmdir()
    raw.write_bytes(b"PK\x03\x04")


def long(*rows: str) -> Callable[[Path], None]:
    return table("frame,joint,x,y,z", *rows)


SOURCES: dict[str, tuple[Kind, Callable[[Path], None], str]] = {
    "nothing": (M3, lambda raw: None, "is empty"),
    "no file that is read": (M3, written("x", "a.avi"), "holds no file of a format in which your own data are read"),
    "npy: another number of joints": (M3, saved(BODY[:, :20]), "20 joints; the skeleton smpl24 has 24"),
    "npy: one coordinate": (M3, saved(BODY[..., :1]), "1 number per joint; expected x, y, z"),
    "npy: 2-D where metres are said": (M3, saved(BODY[..., :2]), 'unit = "pixel" reads 2-D'),
    "npy: four coordinates": (M3, saved(np.ones((5, 24, 4))), "4 numbers per joint"),
    "npy: two dimensions": (M3, saved(BODY[0]), r"shape \(24, 3\); expected \(T, 24, C\)"),
    "npy: five dimensions": (M3, saved(BODY[None, None]), "has shape"),
    "npy: no frames": (M3, saved(BODY[:0]), "there are no frames"),
    "npy: NaN": (M3, saved(with_value(np.nan)), "y of '.*' of body 1 in frame 3 is NaN"),
    "npy: infinite": (M3, saved(with_value(np.inf)), "is inf"),
    "npy: texts": (M3, saved(np.full((5, 24, 3), "a")), "has type <U1; expected numbers"),
    "npy: objects": (M3, written(pickle.dumps([1]), "S1_bend_0.npy"), "not a readable NumPy array"),
    "npy: complex": (M3, saved(BODY.astype(complex)), "has type complex128"),
    "npy: empty file": (M3, written("", "S1_bend_0.npy"), "not a readable NumPy array"),
    "npy: cut off": (M3, cut, "claims"),
    "npy: millimetres": (M3, saved(1000 * BODY), 'with unit = "m". Did you mean unit = "mm"'),
    "npy: a person of 1,700 m": (M3, saved(1000 * BODY), "a person of 1,[0-9.]+ m|a person of [0-9,.]+ m"),
    "npy: metres said to be millimetres": (Kind("smpl24", "mm", "y", None), saved(BODY), 'Did you mean unit = "m"'),
    "npy: far away": (M3, saved(BODY + 1e6), "10,000 m at most"),
    "npy: more bodies": (M3, saved(np.stack([BODY, BODY], axis=1)), "frame 1 has 2 bodies, the descriptor says bodies = 1"),
    "npy: a score beyond": (P2, saved(np.full((5, 17, 3), 255.0)), "a score is 255"),
    "npy: pixels beyond": (P2, saved(np.full((5, 17, 2), 1e9)), "1e\\+09 pixels"),
    "npy: named unlike": (M3, saved(BODY, "other"), "matches none of the 1 clip"),
    "npz: damaged": (M3, written(b"PK\x03\x04 broken", "S1_bend_0.npz"), "not a readable NumPy archive"),
    "npz: empty": (M3, lambda raw: np.savez(raw / "S1_bend_0.npz"), "holds no array"),
    "csv: empty": (M3, written("", "S1_bend_0.csv"), "empty file"),
    "csv: header alone": (M3, table(HEADER), "there are no frames"),
    "csv: ragged": (M3, table(HEADER, ROW, ROW + ",1"), "line 3: 73 cells; the first row has 72"),
    "csv: column missing": (M3, table(HEADER.replace("pelvis_x,", "").replace(f"{SMPL.joints[0]}_x,", ""),
                                      ROW.partition(",")[2]), "no column '.*_x' .1 column"),
    "csv: unknown column": (M3, table(HEADER + ",mood", ROW + ",3"), "unknown column 'mood'"),
    "csv: column twice": (M3, table(HEADER + f",{SMPL.joints[0]}_x", ROW + ",3"), "occurs twice in the header"),
    "csv: no number": (M3, table(HEADER, ROW.replace("0", "o", 1)), "line 2: column .* is not a number"),
    "csv: empty cell": (M3, table(HEADER, "," + ROW.partition(",")[2]), "line 2: column .* is empty"),
    "csv: decimal comma": (M3, table(HEADER.replace(",", ";"), ROW.replace(",", ";").replace(".", ",")), "decimal comma"),
    "csv: NaN": (M3, table(HEADER, "nan," + ROW.partition(",")[2]), "line 2: x of .* is NaN"),
    "csv: frames out of order": (M3, table("frame," + HEADER, "2," + ROW, "1," + ROW), "line 3: frame 1 comes after frame 2"),
    "csv: frame twice": (M3, table("frame," + HEADER, "2," + ROW, "2," + ROW), "line 3: frame 2 occurs twice"),
    "csv: frame no whole number": (M3, table("frame," + HEADER, "1.5," + ROW), "expected a whole number"),
    "csv: frames far apart": (M3, table("frame," + HEADER, "1," + ROW, "99999999," + ROW), "more than 1,000,000"),
    "csv: bodies without frames": (M3, table("body," + HEADER, "1," + ROW), "a column of bodies but none of frames"),
    "csv: no header and another width": (M3, table("1,2,3"), "3 numbers per row without a header"),
    "csv: quotes": (M3, table(HEADER, '"' + ROW), "not a CSV row|ragged|is not a number"),
    "csv: UTF-16": (M3, written(HEADER.encode("utf-16"), "S1_bend_0.csv"), "UTF-16"),
    "csv: a web page": (M3, written("<!doctype html><html>", "S1_bend_0.csv"), "a web page"),
    "csv: joint unknown": (M3, long("1,tail,0,0,0"), "'tail' is not a joint of the skeleton smpl24"),
    "csv: joint twice": (M3, long(f"1,{SMPL.joints[0]},1,1,1", f"1,{SMPL.joints[0]},1,1,1"), "occurs twice in frame 1"),
    "csv: joint missing": (M3, long(f"1,{SMPL.joints[0]},1,1,1"), "lacks joint"),
    "csv: long without frame": (M3, table("joint,x,y,z", "0,1,1,1"), "no column 'frame' beside 'joint'"),
    "json: none": (M3, written("{", "S1_bend_0.json"), "not readable JSON"),
    "json: empty": (M3, written("", "S1_bend_0.json"), "it is empty"),
    "json: a number": (M3, written("3", "S1_bend_0.json"), "expected a list of frames"),
    "json: NaN": (M3, written("[[[NaN, 1, 2]]]", "S1_bend_0.json"), "not a number of JSON"),
    "json: no frames": (M3, frames(), "there are no frames"),
    "json: no such key": (M3, written('{"hello": 1}', "S1_bend_0.json"), "no list of frames"),
    "json: ragged": (M3, frames([[1, 2, 3], [1, 2]]), "ragged"),
    "json: texts": (M3, frames([["1", "2", "3"]] * 24), "no list of numbers"),
    "json: joints missing": (M3, frames(POSE[:20]), "20 joints; the skeleton smpl24 has 24"),
    "json: nested too deeply": (M3, written("[" * 9000, "S1_bend_0.json"), "nested too deeply|not readable JSON"),
    "json: landmark without z": (M3, frames([{"x": 1, "y": 1}] * 24), "landmark 0 of frame 1 has no z"),
    "json: landmark of text": (M3, frames([{"x": "1", "y": 1, "z": 2}] * 24), "which is not a number"),
    "json: image landmarks for metres": (M3, frames({"pose_landmarks": LANDMARKS}), "image landmarks alone"),
    "json: times out of order": (M3, frames({"timestamp": 2, "world_landmarks": LANDMARKS},
                                            {"timestamp": 1, "world_landmarks": LANDMARKS}), "out of order"),
    "json: bodies of nothing": (M3, frames({"bodies": [{}]}), "has no joint_positions"),
    "json: bodies no list": (M3, frames({"bodies": 3}), "must be a list of objects"),
    "json: body_id a text": (M3, frames({"bodies": [{"joint_positions": POSE, "body_id": "a"}]}), "expected a whole number"),
    "json: strange frame": (M3, frames("x"), "frame 1 is str"),
    "openpose: gap": (P2, lambda raw: openpose(raw, 0, 2), "frame 2 follows frame 0"),
    "openpose: joints": (P2, lambda raw: openpose(raw, 0, content={"people": [{"pose_keypoints_2d": [1.0] * 75}]}),
                         "75 numbers; expected 3 for each of the 17"),
    "openpose: none": (P2, lambda raw: openpose(raw, 0, content=[1]), "object with 'people'"),
    "nobody in any frame": (P2, nobody, "no clip of mine to convert .*all-zero"),
    "pyskl: no pickle": (P2, written(b"hello", "mine.pkl"), "not a pickle"),
    "pyskl: code": (P2, written(b"cos\nsystem\n(S'true'\ntR.", "mine.pkl"), "refused|not a pickle"),
    "pyskl: no annotations": (P2, pickled({"split": {}}), "'annotations'"),
    "pyskl: empty": (P2, pickled({"split": {}, "annotations": []}), "no annotation"),
    "pyskl: no name": (P2, pickled([annotation(frame_dir=None)]), "annotation 1 of 1 has no frame_dir"),
    "pyskl: name twice": (P2, pickled([annotation(), annotation()]), "two annotations are called"),
    "pyskl: label negative": (P2, pickled([annotation(label=-1)]), "label must be a whole number from 0"),
    "pyskl: joints": (P2, pickled([annotation(keypoint=np.ones((1, 5, 18, 2)))]), "keypoint_score has shape|18 joints"),
    "pyskl: scores": (P2, pickled([annotation(keypoint_score=np.ones((1, 4, 17)))]), "keypoint_score has shape"),
    "pyskl: NaN": (P2, pickled([annotation(keypoint=KEYPOINTS * np.nan)]), "is NaN"),
    "pyskl: frames": (P2, pickled([annotation(total_frames=9)]), "total_frames is 9, keypoint has 5"),
    "pyskl: split": (P2, pickled({"annotations": [annotation()], "split": {"x": ["S1_bend_0"]}}), "is not named like"),
    "pyskl: one side": (P2, pickled({"annotations": [annotation()], "split": {"x_train": ["a"]}}), "one side only"),
    "pyskl: both sides": (P2, pickled({"annotations": [annotation()], "split": {"x_train": ["a"], "x_val": ["a"]}}),
                          "'a' on both sides"),
    "two files of one name": (M3, twice, "a clip is called 'S1_bend_0'"),
    "a single clip": (M3, saved(BODY), "no clip is on the test side"),
    "unit by option": (M3, good, "is in its descriptor"),
    "a preparation for space": (P2, saved(np.ones((5, 17, 2))), "2-D key points need"),
    "a damaged zip": (M3, no_zip, "holds no file of a format in which your own data are read"),
}  # fmt: skip
OPTIONS = {"unit by option": ["--unit", "mm"], "a preparation for space": ["--prep", "skeattnclr"]}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_faulty_source(kind: str, tmp_path: Path) -> None:
    how, write, message = SOURCES[kind]
    raw = tmp_path / "raw"
    raw.mkdir()
    write(raw)
    splits = 'xsub = {train = "subject in 1"}'
    if kind.split(":")[0] in ("npy", "npz", "csv", "json", "openpose", "pyskl"):
        splits = 'xsub = {train = "subject in 1", test = "subject in 2"}'
        if raw.is_dir() and "unlike" not in kind:
            good_one(raw, how)
    (tmp_path / "mine.toml").write_text(descriptor(how, splits=splits))
    refused(tmp_path, message, *OPTIONS.get(kind, []))


def good_one(raw: Path, how: Kind) -> None:
    """A sound clip of the other side, so that the fault alone is what stops."""
    skeleton = load(how.skeleton)
    body = person(skeleton, 1, 5)
    array = np.abs(100 * body[..., :2]) if how.unit == "pixel" else body * {"m": 1, "mm": 1000}[how.unit]
    np.save(raw / "S2_wave_0.npy", array)


def test_how_many_kinds_there_are() -> None:
    assert len(DESCRIPTORS) + len(SOURCES) >= 60


@pytest.mark.parametrize("part", ["([a-z]+)+", "([a-z]|[a-z])+", "([a-z]?){30}[a-z]{30}"])
def test_a_pattern_that_would_need_years_is_named(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own, "_PATIENCE", 0.3)
    raw = tmp_path / "raw"
    raw.mkdir()
    np.save(raw / f"S1_{'a' * 40}_0.npy", BODY)
    (tmp_path / "m.toml").write_text(changed("(?P<label>[a-z]+)", f"(?P<label>{part})X"))
    result = CliRunner().invoke(main, ["convert", str(tmp_path / "m.toml"), str(raw), str(tmp_path / "o.h5")])
    assert result.exit_code == 2
    assert "names.pattern takes more than 0.3 s for the clip's name 'S1_aaaa" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "o.h5").exists()


@pytest.mark.parametrize("rule", ["subject in 1{} 2", "subject{}in 1", "subject in 1{}and label in bend"])
def test_a_rule_with_many_spaces_is_read_at_once(rule: str) -> None:
    text = rule.format(" " * 400_000)
    assert len(text) > 400_000
    terms = descriptors._rule(text, "x")  # by the square of the spaces this took minutes
    assert terms[0].column == "subject"
    assert len(terms) == (2 if "and" in rule else 1)


STRANGE = os.fsdecode(b"\xff")
"""A name of a file that is no UTF-8."""


def test_a_clip_whose_name_is_no_utf8_is_named_before_any_work(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    good(raw)
    np.save(raw / f"S1_be{STRANGE}d_0.npy", BODY)
    (tmp_path / "mine.toml").write_text(BASE)
    refused(
        tmp_path, r"a clip's name, 'S1_be\\udcffd_0', is not UTF-8. Rename the file.", "--on-error", "skip"
    )


@pytest.mark.parametrize("place", ["folder", "name", "both"])
def test_what_is_left_out_may_be_called_anything(place: str, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    good(raw)
    inside = raw / (STRANGE if place != "name" else "plain")
    inside.mkdir()
    (inside / f"S1_wave_1{STRANGE if place != 'folder' else ''}.csv").write_text("nothing")
    (tmp_path / "m.toml").write_text(BASE)
    out = tmp_path / "o.h5"
    words = ["convert", str(tmp_path / "m.toml"), str(raw), str(out), "--on-error", "skip"]
    result = CliRunner().invoke(main, words)
    if place == "folder":
        assert result.exit_code == 0, result.stderr
        assert "left out: 1 damaged" in result.stdout
        assert CliRunner().invoke(main, ["verify", str(out)]).exit_code == 0
    else:
        assert (result.exit_code, out.exists()) == (2, False)
        assert "is not UTF-8" in result.stderr
