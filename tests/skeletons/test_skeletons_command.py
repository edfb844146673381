"""``skeltools skeletons``: the list, the drawing, and TOML that is read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from skeltools.cli.main import main
from skeltools.files.texts import parse_toml
from skeltools.skeletons import Skeleton, load, packaged

TREE = """\
kinect1: Kinect v1
20 joints, 19 bones
source: order of joints: Kinect for Windows SDK 1 (NUI_SKELETON_POSITION_INDEX); parents as CTR-GCN has them for NW-UCLA

2 shoulder centre (trunk, centre)
|-- 1 spine (trunk)
|   `-- 0 hip centre (trunk)
|       |-- 12 left hip (left leg)
|       |   `-- 13 left knee (left leg)
|       |       `-- 14 left ankle (left leg)
|       |           `-- 15 left foot (left leg)
|       `-- 16 right hip (right leg)
|           `-- 17 right knee (right leg)
|               `-- 18 right ankle (right leg)
|                   `-- 19 right foot (right leg)
|-- 3 head (trunk)
|-- 4 left shoulder (left arm)
|   `-- 5 left elbow (left arm)
|       `-- 6 left wrist (left arm)
|           `-- 7 left hand (left arm)
`-- 8 right shoulder (right arm)
    `-- 9 right elbow (right arm)
        `-- 10 right wrist (right arm)
            `-- 11 right hand (right arm)

Parts
part      number joints
"""


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["skeletons", *map(str, words)])


def test_the_list_has_every_packaged_skeleton() -> None:
    result = run()
    assert result.exit_code == 0
    lines = [line.rstrip() for line in result.stdout.splitlines()]
    assert lines[0] == "Skeletons"
    assert lines[1].split() == ["name", "title", "joints", "parts", "source"]
    assert [line.split()[0] for line in lines[3:]] == packaged()
    assert (
        "kinect2     Kinect v2                25     5 NTU RGB+D's order of joints (Shahroudy et al., CVPR 2016); "
        "parts and centre as SkeAttnCLR has them"
    ) in lines
    assert json.loads(run("--json").stdout) == [load(name).to_dict() for name in packaged()]


def test_one_is_drawn_with_its_parts() -> None:
    result = run("kinect1")
    assert result.exit_code == 0
    lines = [line.rstrip() for line in result.stdout.splitlines()]
    assert lines[: len(TREE.splitlines())] == TREE.splitlines()
    assert lines[len(TREE.splitlines()) + 1 :] == [
        "trunk          4 hip centre, spine, shoulder centre, head",
        "right arm      4 right shoulder, right elbow, right wrist, right hand",
        "left arm       4 left shoulder, left elbow, left wrist, left hand",
        "right leg      4 right hip, right knee, right ankle, right foot",
        "left leg       4 left hip, left knee, left ankle, left foot",
    ]
    assert json.loads(run("kinect1", "--json").stdout) == load("kinect1").to_dict()


@pytest.mark.parametrize("name", packaged())
def test_toml_is_read_back_as_the_same_skeleton(tmp_path: Path, name: str) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text(run(name, "--toml").stdout, encoding="utf-8")
    assert load(str(mine)).to_dict() == load(name).to_dict()
    assert run(mine).stdout == run(name).stdout


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(st.data())
def test_any_names_and_trees_survive_toml_and_are_drawn_whole(data: st.DataObject) -> None:
    joints = data.draw(st.lists(TEXT, min_size=1, max_size=30, unique=True))
    parents = [0] + [data.draw(st.integers(0, joint - 1)) for joint in range(1, len(joints))]
    every = tuple(range(len(joints)))
    skeleton = Skeleton(
        "s", tuple(joints), tuple(parents), {data.draw(TEXT): every}, every, (0,), 0, 0, 0, 0, title=data.draw(TEXT)
    )  # fmt: skip
    again = Skeleton.from_dict(parse_toml(skeleton.to_toml()), "x.toml")
    assert again.to_dict() == skeleton.to_dict()
    lines = skeleton.tree()
    assert len(lines) == len(joints)
    for joint, name in enumerate(joints):
        assert sum(line.lstrip("|`- ").startswith(f"{joint} {name} (") for line in lines) >= 1


def test_a_long_chain_is_drawn_without_recursion() -> None:
    count = 3000
    names = tuple(map(str, range(count)))
    skeleton = Skeleton(
        "chain", names, (0, *range(count - 1)), {"all": tuple(range(count))}, tuple(range(count)), (0,), 0, 0, 0, 0
    )  # fmt: skip
    assert len(skeleton.tree()) == count


def test_wrong_words_are_refused_in_one_line(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text(load("kinect1").to_toml().replace('centre = ["shoulder centre"]', 'centre = ["neck"]'))
    for words, message in (
        (["kinekt1"], "Error: Unknown skeleton 'kinekt1'. Choose one of: azure, coco17, h36m17, kinect1, kinect2, "
                      "mediapipe33, openpose18, openpose25, smpl24, or give the path of a .toml file. "
                      "Did you mean 'kinect1'?"),
        ([tmp_path / "no.toml"], f"Error: Skeleton file {tmp_path / 'no.toml'} does not exist."),
        ([bad], f"Error: {bad}: centre names 'neck', which is not a joint of 20."),
        (["--toml"], "Error: --toml takes the NAME of one skeleton, and no --json."),
        (["kinect1", "--toml", "--json"], "Error: --toml takes the NAME of one skeleton, and no --json."),
    ):  # fmt: skip
        result = run(*words)
        assert result.exit_code == 2
        assert result.stderr.splitlines()[-1] == message
