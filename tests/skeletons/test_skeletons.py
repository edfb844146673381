"""Skeletons: the packaged ones hold together, and a definition that does not is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skeltools.errors import SettingError
from skeltools.skeletons import Skeleton, load, packaged

NAMES = (
    "azure",
    "coco17",
    "h36m17",
    "kinect1",
    "kinect2",
    "mediapipe33",
    "openpose18",
    "openpose25",
    "smpl24",
)
JOINTS = dict(zip(NAMES, (32, 17, 17, 20, 25, 33, 18, 25, 24), strict=True))


def test_the_packaged_skeletons_are_these() -> None:
    assert tuple(packaged()) == NAMES
    assert {name: load(name).num_joints for name in NAMES} == JOINTS
    assert all(load(name).name == name and load(name).title and load(name).source for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_tree_parts_and_mirror(name: str) -> None:
    skeleton = load(name)
    joints = range(skeleton.num_joints)
    assert len(skeleton.bones) == skeleton.num_joints - 1
    for joint in joints:  # every joint reaches the root
        at, steps = joint, 0
        while skeleton.parents[at] != at:
            at, steps = skeleton.parents[at], steps + 1
        assert at == skeleton.root
        assert steps < skeleton.num_joints
    assert sorted(joint for part in skeleton.parts.values() for joint in part) == list(joints)
    assert list(skeleton.parts) == ["trunk", "right arm", "left arm", "right leg", "left leg"]
    for joint in joints:
        assert skeleton.mirror[skeleton.mirror[joint]] == joint
        assert skeleton.mirror[skeleton.parents[joint]] == skeleton.parents[skeleton.mirror[joint]]
        named, other = skeleton.joints[joint], skeleton.joints[skeleton.mirror[joint]]
        swapped = named.replace("left", "!").replace("right", "left").replace("!", "right")
        assert other == swapped
    for side in ("left", "right"):
        for limb in ("arm", "leg"):
            assert all(skeleton.joints[joint].startswith(side) for joint in skeleton.parts[f"{side} {limb}"])
    assert skeleton.joints[skeleton.left_shoulder] == "left shoulder"
    assert skeleton.mirror[skeleton.left_hip] == skeleton.right_hip
    assert {skeleton.mirror[joint] for joint in skeleton.centre} == set(skeleton.centre)


@pytest.mark.parametrize("name", NAMES)
def test_the_graph_is_the_tree_and_columns_sum_to_one(name: str) -> None:
    skeleton = load(name)
    graph = skeleton.graph()
    assert graph.shape == (3, skeleton.num_joints, skeleton.num_joints)
    np.testing.assert_array_equal(graph[0], np.eye(skeleton.num_joints, dtype=np.float32))
    for part in graph[1:]:
        sums = part.sum(axis=0)
        np.testing.assert_allclose(sums[sums > 0], 1, rtol=1e-6)
    assert {(int(j), int(p)) for p, j in np.argwhere(graph[1] > 0)} == set(skeleton.bones)
    assert {(int(j), int(p)) for j, p in np.argwhere(graph[2] > 0)} == set(skeleton.bones)


@pytest.mark.parametrize("name", NAMES)
def test_a_definition_goes_through_plain_values_and_a_file(name: str, tmp_path: Path) -> None:
    skeleton = load(name)
    again = Skeleton.from_dict(skeleton.to_dict(), "here")
    assert again == skeleton
    assert again.source == skeleton.source
    assert hash(again) == hash(skeleton)
    path = tmp_path / "mine.toml"
    path.write_text((Path(__file__).parents[2] / "skeltools" / "skeletons" / f"{name}.toml").read_text())
    assert load(str(path)) == skeleton


def definition() -> dict[str, Any]:
    return {
        "name": "stick", "joints": ["hip", "left a", "right a", "head"], "parents": ["hip", "hip", "hip", "hip"],
        "parts": {"all": ["hip", "left a", "right a", "head"]}, "mirror": [0, 2, 1, 3], "centre": "hip",
        "left_shoulder": 1, "right_shoulder": 2, "left_hip": 1, "right_hip": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"parents": ["hip", "hip", "hip", "left"]}, "parents names 'left', which is not a joint of 4"),
        ({"parents": [0, 0, 0]}, "parents must give a joint for each of the 4 joints"),
        (
            {"parents": [0, 1, 0, 0]},
            r"exactly one joint must be its own parent \(the root\), not 2 \(hip, left a\)",
        ),
        ({"parents": [3, 0, 0, 0]}, r"exactly one joint must be its own parent \(the root\), not 0 \(none\)"),
        ({"parents": [0, 2, 1, 0]}, "the parents of 'left a' run in a circle"),
        ({"parts": {"all": [0, 1, 2]}}, "every joint must be in exactly one part: 'head' is in 0"),
        ({"parts": {"a": [0, 1, 2, 3], "b": [3]}}, "'head' is in 2"),
        ({"parts": {"a": [0, 1, 2, 3], "b": []}}, "a part is empty"),
        ({"parts": [0, 1, 2, 3]}, "parts must be a table"),
        ({"mirror": [0, 2, 3, 1]}, "the mirror of the mirror of 'left a' must be the joint itself"),
        ({"parents": [0, 0, 1, 0]}, "mirror must map the parent of 'left a'"),
        ({"centre": 9}, "centre names 9, which is not a joint"),
        ({"centre": []}, "centre must name a joint"),
        ({"left_hip": True}, "left_hip names True"),
        ({"joints": ["a", "a", "b", "c"]}, "parents names 'hip'"),
        ({"joints": []}, "joints must be a list of names"),
        ({"joint": []}, "does not know 'joint'"),
    ],
)
def test_a_definition_that_does_not_hold_together_is_named(change: dict[str, Any], words: str) -> None:
    assert Skeleton.from_dict(definition(), "mine.toml").num_joints == 4
    with pytest.raises(SettingError, match=words):
        Skeleton.from_dict(definition() | change, "mine.toml")


def test_two_joints_of_one_name_and_a_missing_key() -> None:
    plain = definition() | {
        "joints": ["hip", "a", "a", "b"],
        "parents": [0, 0, 0, 0],
        "parts": {"x": [0, 1, 2, 3]},
    }
    with pytest.raises(SettingError, match=r"two joints are called 'a'"):
        Skeleton.from_dict(plain | {"centre": 0}, "mine.toml")
    lacking = definition()
    del lacking["parents"]
    with pytest.raises(SettingError, match=r"mine.toml: a skeleton lacks 'parents'"):
        Skeleton.from_dict(lacking, "mine.toml")


def test_unknown_names_and_files(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"Unknown skeleton 'kinekt2'.*Did you mean 'kinect2'"):
        load("kinekt2")
    with pytest.raises(SettingError, match=r"none.toml does not exist"):
        load(str(tmp_path / "none.toml"))
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(SettingError, match=r"bad.toml is not valid TOML"):
        load(str(tmp_path / "bad.toml"))


@given(st.data())
def test_any_tree_is_a_skeleton(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 60))
    parents = [0] + [data.draw(st.integers(0, joint - 1)) for joint in range(1, count)]
    skeleton = Skeleton(
        "tree", tuple(map(str, range(count))), tuple(parents), {"all": tuple(range(count))}, tuple(range(count)),
        (0,), 0, 0, 0, 0,
    )  # fmt: skip
    assert len(skeleton.bones) == count - 1
    assert skeleton.graph().sum(axis=1).sum() >= count
