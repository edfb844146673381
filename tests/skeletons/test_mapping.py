"""Maps from one skeleton to another: what each joint is made of, and that nothing is lost on the way."""
# ruff: noqa: E501 (messages stand in one line each)

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skeltools.errors import SettingError
from skeltools.skeletons import Skeleton, load, packaged
from skeltools.skeletons.mapping import JointMap, find_map, load_map, packaged_maps

MAPS = [(name, "kinect2") for name in ("azure", "h36m17", "kinect1", "mediapipe33", "smpl24")]


def found(source: str, target: str) -> JointMap:
    return find_map(load(source), load(target))


def test_the_packaged_maps_are_these() -> None:
    assert packaged_maps() == MAPS


@pytest.mark.parametrize(("source", "target"), MAPS)
def test_weights_are_shares_of_one_and_agree_with_the_mirror(source: str, target: str) -> None:
    made = found(source, target)
    assert all(sum(weight for _, weight in of) == 1 for of in made.weights)
    assert (made.matrix >= 0).all()
    np.testing.assert_allclose(made.matrix.sum(axis=1), 1, rtol=1e-15)
    one, other = list(made.source.mirror), list(made.target.mirror)
    np.testing.assert_array_equal(made.matrix[other], made.matrix[:, one])
    assert {other[joint] for joint in made.missing} == set(made.missing)
    assert made.rule


@pytest.mark.parametrize(("source", "target"), MAPS)
@given(seed=st.integers(0, 2**32 - 1))
def test_mapping_goes_with_mirroring_moving_and_turning(source: str, target: str, seed: int) -> None:
    made, rng = found(source, target), np.random.default_rng(seed)
    points = rng.normal(0, 1, (2, 3, 4, made.source.num_joints, 2))
    mapped = made.apply(points, 3)
    assert mapped.shape == (2, 3, 4, made.target.num_joints, 2)
    flipped = made.apply(points[:, :, :, list(made.source.mirror)], 3)
    np.testing.assert_allclose(flipped, mapped[:, :, :, list(made.target.mirror)], atol=1e-12)
    shift = rng.normal(0, 3, (1, 3, 1, 1, 1))
    np.testing.assert_allclose(made.apply(points + shift, 3), mapped + shift, atol=1e-12)
    turn, _ = np.linalg.qr(rng.normal(0, 1, (3, 3)))
    turned = np.einsum("ij,njtvm->nitvm", turn, points)
    np.testing.assert_allclose(made.apply(turned, 3), np.einsum("ij,njtvm->nitvm", turn, mapped), atol=1e-12)


@pytest.mark.parametrize(("source", "target"), MAPS)
def test_joints_of_one_name_and_one_parent_are_copied_to_the_last_bit(source: str, target: str) -> None:
    made = found(source, target)
    points = np.random.default_rng(0).normal(0, 1, (5, made.source.num_joints, 3)).astype(np.float32)
    mapped, untracked = made.map_bodies(points)
    assert untracked == 0
    for name in ("left elbow", "right knee", "left shoulder", "right hip"):
        np.testing.assert_array_equal(
            mapped[:, made.target.joints.index(name)], points[:, made.source.joints.index(name)]
        )


@pytest.mark.parametrize("name", packaged())
def test_a_skeleton_to_itself_is_the_identity(name: str) -> None:
    made = found(name, name)
    assert made.is_identity
    points = np.random.default_rng(0).normal(0, 1, (5, made.source.num_joints, 3)).astype(np.float32)
    np.testing.assert_array_equal(made.map_bodies(points)[0], points)


def test_a_joint_made_of_an_untracked_one_is_untracked() -> None:
    made = found("kinect1", "kinect2")
    points = np.ones((2, 20, 3), np.float32)
    points[1, 3] = 0  # the head
    mapped, untracked = made.map_bodies(points)
    gone = [joint for joint in range(25) if not mapped[1, joint].any()]
    assert [made.target.joints[joint] for joint in gone] == ["neck", "head"]
    assert untracked == 2
    assert (mapped[0] == 1).all()


def test_what_is_missing_is_told() -> None:
    made = found("kinect1", "kinect2")
    assert made.told() == (
        "kinect1 mapped to kinect2: joints without a counterpart are made up: neck of 2/3 shoulder centre + 1/3 "
        "head, left hand tip of left hand, left thumb of left hand, right hand tip of right hand, right thumb of "
        "right hand."
    )
    assert found("azure", "kinect2").told() == "azure mapped to kinect2: every joint has a counterpart."
    content = json.loads(made.to_json())
    assert (content["from"], content["to"]) == ("kinect1", "kinect2")
    assert content["missing"]["left thumb"] == {"left hand": 1.0}
    assert len(content["joints"]) == 20


PAIR = Skeleton("pair", ("low", "high"), (0, 0), {"all": (0, 1)}, (0, 1), (0,), 0, 1, 0, 1)
LINE = Skeleton("line", ("a", "b", "c"), (0, 0, 1), {"all": (0, 1, 2)}, (0, 1, 2), (0,), 0, 1, 0, 1)


def of(**tables: Any) -> JointMap:
    return JointMap.from_dict({"from": "pair", "to": "line"} | tables, PAIR, LINE, "m.toml")


def test_weights_of_ones_own_may_lie_beyond() -> None:
    made = of(joints={"a": "low", "c": "high"}, missing={"b": {"low": -0.5, "high": 1.5}})
    assert made.weights[1] == ((0, Fraction(-1, 2)), (1, Fraction(3, 2)))
    np.testing.assert_allclose(made.apply(np.array([[0.0], [2.0]]), 0), [[0.0], [3.0], [2.0]])


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({}, "m.toml: a map of joints lacks 'joints'. Its keys are from, joints, missing, rule, source, title, to."),
        ({"joints": {}, "more": 1}, "m.toml: a map of joints does not know 'more'. Its keys are from, joints, missing, rule, source, title, to."),
        ({"joints": {}, "from": "other"}, "m.toml: it maps from 'other', but that skeleton is pair here."),
        ({"joints": {}, "to": 3}, "m.toml: it maps to 3, but that skeleton is line here."),
        ({"joints": ["a"]}, "m.toml: joints must be a table of joints, not ['a']."),
        ({"joints": {"a": "low", "d": "high"}}, "m.toml: joints names 'd', which is not a joint of line."),
        ({"joints": {"a": "lou"}}, "m.toml: joints.a names 'lou', which is not a joint of pair. Did you mean 'low'?"),
        ({"joints": {"a": "low"}, "missing": {"a": "low"}}, "m.toml: 'a' is given twice."),
        ({"joints": {"a": "low"}}, "m.toml: nothing is said of b, c of line. Give what each is made of, under [missing] where it has no counterpart."),
        ({"joints": {"a": {"low": 0.5, "high": 0.4}}}, "m.toml: joints.a: its weights sum to 0.9, not to 1."),
        ({"joints": {"a": {}}}, "m.toml: joints.a must be a joint of pair, or a table of joints with weights."),
        ({"joints": {"a": 0}}, "m.toml: joints.a must be a joint of pair, or a table of joints with weights."),
        *(
            ({"joints": {"a": {"low": weight}}}, f"m.toml: joints.a.low: the weight must be a number up to 16, such as 0.5 or '1/3', not {weight!r}.")
            for weight in (True, "half", "1/0", "1e999999999", float("nan"), float("inf"), 17, "99999/2")
        ),
    ],
)  # fmt: skip
def test_maps_that_do_not_hold_together(tables: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError) as caught:
        of(**tables)
    assert str(caught.value) == message


def test_files_of_maps(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    with pytest.raises(SettingError, match=r"m\.toml does not exist\."):
        load_map(path, PAIR, LINE)
    path.write_text("from = ")
    with pytest.raises(SettingError, match=r"m\.toml cannot be read: "):
        load_map(path, PAIR, LINE)
    path.write_text(
        'from = "pair"\nto = "line"\n[joints]\na = "low"\nb = { low = "1/3", high = "2/3" }\nc = "high"\n'
    )
    assert load_map(path, PAIR, LINE).weights[1] == ((0, Fraction(1, 3)), (1, Fraction(2, 3)))
    with pytest.raises(SettingError, match="Unknown skeleton 'line'"):
        load_map(path, PAIR)
    with pytest.raises(
        SettingError, match=r"There is no map from the skeleton coco17 to kinect2\. There are: azure"
    ):
        found("coco17", "kinect2")
