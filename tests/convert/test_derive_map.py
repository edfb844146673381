"""``skeltools derive --skeleton``: clips of one skeleton on another, from recordings and from clips, up to an evaluation."""
# ruff: noqa: E501 (messages stand in one line each)

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from clipfiles import TINY, make_clips
from numpy.typing import NDArray

from skeltools.cli.main import main
from skeltools.datasets import registry as datasets
from skeltools.formats.recording import Recording
from skeltools.preparation.chain import apply, choose
from skeltools.runs.folder import Run
from skeltools.skeletons import load
from skeltools.skeletons.mapping import find_map
from skeltools.store import ClipFile
from skeltools.store.layout import sha256
from skeltools.store.writer import Contents, Raw, write_file

NAMES = [
    f"S001C001P{performer:03d}R{number // 4 + 1:03d}A{number % 4 + 1:03d}"
    for performer in (1, 3)
    for number in range(8)
]
TOLD = (
    "  note: kinect1 mapped to kinect2: joints without a counterpart are made up: neck of 2/3 shoulder centre + 1/3 "
    "head, left hand tip of left hand, left thumb of left hand, right hand tip of right hand, right thumb of right "
    "hand."
)


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def made_up(skeleton: str, seed: int, frames: int) -> NDArray[np.float32]:
    """A body of any skeleton, (frames, V, 3)."""
    rng = np.random.default_rng(seed)
    pose = rng.uniform(0.1, 1.0, (1, load(skeleton).num_joints, 3))
    return (pose + np.cumsum(rng.normal(0, 0.02, (frames, *pose.shape[1:])), axis=0) + [0, 0, 2]).astype(
        np.float32
    )


def make_file(
    path: Path,
    skeleton: str,
    *sets: str,
    bodies: int = 1,
    raw: bool = True,
    untracked: int | None = None,
    prep: str = "skeattnclr",
) -> Path:
    """Write clips of a skeleton as a conversion of a data set of that skeleton would."""
    dataset = dataclasses.replace(datasets.get("ntu60"), skeleton_name=skeleton, bodies=bodies)
    chain = choose(prep, skeleton=dataset.skeleton, overrides=["chain.frames=16", *sets]).values
    recordings = []
    for row in range(len(NAMES)):
        persons = [made_up(skeleton, 100 * row + body, 20 + row) for body in range(bodies)]
        if bodies > 1:
            persons[1][:5] = 0
        if untracked is not None and row == 0:
            persons[0][3, untracked] = 0
        recordings.append(Recording.from_columns(np.stack(persons, axis=1)))
    made = [apply(recording, chain, dataset.form(16)) for recording in recordings]
    assert not any(isinstance(item, str) for item in made)
    clips = [item.clip for item in made]  # type: ignore[union-attr]
    digests = [bytes.fromhex(sha256(clip.tobytes())) for clip in clips]
    contents = Contents(
        dataset=dataset,
        names=NAMES,
        labels=[int(name[-3:]) - 1 for name in NAMES],
        columns={
            name: [getattr(item, name) for item in made] for name in ("frames", "length", "bodies", "gaps")
        },
        digests=np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32),
        sides={"xsub": np.array(["P001" in name for name in NAMES], np.int8)},
        excluded=[],
        settings=chain.settings(),
        prep=prep,
        frames=16,
        dtype=chain.dtype,
        source_digest="0" * 64,
        raw=Raw(
            [len(item.frame) for item in recordings],
            [item.frames for item in recordings],
            lambda row: (*(getattr(recordings[row], key) for key in ("coords", "frame", "slot", "ids")),),  # type: ignore
        )
        if raw
        else None,
    )
    arrays = {"clips": [clip.tobytes() for clip in clips]}
    if chain.motion == "source":
        arrays["motion"] = [item.motion.astype("<f4").tobytes() for item in made]  # type: ignore[union-attr]
    write_file(path, contents, arrays)
    return path


def test_recordings_are_mapped_and_then_prepared(tmp_path: Path) -> None:
    source = make_file(tmp_path / "a.h5", "kinect1")
    result = run("derive", source, tmp_path / "b.h5", "--skeleton", "kinect2", "--bodies", 2, "--frames", 16)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        f"{tmp_path / 'b.h5'}: 16 clips by the preparation skeattnclr", TOLD
    ]  # fmt: skip
    assert run("verify", tmp_path / "b.h5").exit_code == 0
    with ClipFile(source) as before, ClipFile(tmp_path / "b.h5") as file:
        assert (file.form.skeleton, file.form.bodies) == (load("kinect2"), 2)
        assert json.loads(str(file.attrs["map"]))["missing"]["left thumb"] == {"left hand": 1.0}
        assert (file.names, file.labels.tolist()) == (before.names, before.labels.tolist())
        assert file.rows("xsub", "test").tolist() == before.rows("xsub", "test").tolist()
        chain = choose(options={"chain.frames": 16}).values
        for row in range(len(file)):
            recording = before.recording(row)
            coords, _ = find_map(load("kinect1"), load("kinect2")).map_bodies(recording.coords)
            np.testing.assert_array_equal(file.recording(row).coords, coords)
            wanted = apply(dataclasses.replace(recording, coords=coords), chain, file.form)
            np.testing.assert_array_equal(file.clips([row])[0], wanted.clip)  # type: ignore[union-attr]


def test_untracked_joints_of_recordings_are_counted(tmp_path: Path) -> None:
    source = make_file(tmp_path / "a.h5", "kinect1", untracked=3)  # the head, in one frame
    result = run("derive", source, tmp_path / "b.h5", "--skeleton", "kinect2")
    assert result.stdout.splitlines()[2] == (
        "  note: 2 joints are at the origin, for a joint that it is made of was not tracked there."
    )


SKELETONS = ("kinect1", "azure", "smpl24", "h36m17", "mediapipe33")
SETS = ("", "chain.resize=sample", "chain.motion=source", "chain.dtype=float16")
"""Each of them with each skeleton, those off the diagonal among the slow tests."""


@pytest.mark.parametrize(
    ("skeleton", "sets"),
    [
        pytest.param(skeleton, [text] if text else [], marks=[pytest.mark.slow] * (at % len(SETS) != number))
        for at, skeleton in enumerate(SKELETONS)
        for number, text in enumerate(SETS)
    ],
)
def test_clips_centred_frame_by_frame_are_as_from_recordings(
    skeleton: str, sets: list[str], tmp_path: Path
) -> None:
    """All steps but the angle of the rotation are linear; shoulders have counterparts, so the angle is the same."""
    kept = make_file(tmp_path / "kept.h5", skeleton, *sets, bodies=2)
    bare = make_file(tmp_path / "bare.h5", skeleton, *sets, bodies=2, raw=False)
    words = [word for text in sets for word in ("--set", text)]
    result = run("derive", kept, tmp_path / "anew.h5", "--skeleton", "kinect2", "--frames", 16, *words)
    assert result.exit_code == 0, result.output
    result = run("derive", bare, tmp_path / "mapped.h5", "--skeleton", "kinect2")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == (
        "  note: prepared clips were mapped, not recordings: centred anew, on spine shoulder; frames and rotation stay."
    )
    assert run("verify", tmp_path / "mapped.h5").exit_code == 0
    with ClipFile(tmp_path / "anew.h5") as anew, ClipFile(tmp_path / "mapped.h5") as mapped:
        bound = 4e-3 if "chain.dtype=float16" in sets else 2e-6
        np.testing.assert_allclose(mapped.clips(), anew.clips(), atol=bound)
        if anew.has_motion:
            np.testing.assert_allclose(mapped.motion(), anew.motion(), atol=2e-6)
        chains = [
            {key: value for key, value in file.attrs.items() if key.startswith("chain")}
            for file in (anew, mapped)
        ]
        assert chains[0] == chains[1]
        assert mapped.attrs["chain.dtype"] == anew.attrs["chain.dtype"]


@pytest.mark.parametrize(
    ("sets", "joint", "told"),
    [
        (["chain.centre=none"], 20, "not centred"),
        (["chain.scale=minmax", "chain.centre_joint=3"], 3, "centred as they were on kinect1, for only a centre of the same frame, in metres, can be changed"),
        (["chain.centre=person", "chain.centre_joint=1"], 1, "centred as they were on kinect1, for only a centre of the same frame, in metres, can be changed"),
        (["chain.centre=first", "chain.centre_joint=2"], 20, "centred as they were on kinect1, for only a centre of the same frame, in metres, can be changed"),
    ],
)  # fmt: skip
def test_other_centres_of_clips_stay(tmp_path: Path, sets: list[str], joint: int, told: str) -> None:
    source = make_file(tmp_path / "a.h5", "kinect1", *sets, raw=False)
    result = run("derive", source, tmp_path / "b.h5", "--skeleton", "kinect2", "--bodies", 2)
    assert result.stdout.splitlines()[1:] == [
        TOLD, f"  note: prepared clips were mapped, not recordings: {told}; frames and rotation stay."
    ]  # fmt: skip
    with ClipFile(source) as before, ClipFile(tmp_path / "b.h5") as file:
        assert file.attrs["chain.centre_joint"] == joint
        mapped = find_map(load("kinect1"), load("kinect2")).apply(before.clips(), 3).astype(np.float32)
        np.testing.assert_array_equal(file.clips()[..., 0], mapped[..., 0])
        assert not file.clips()[..., 1].any()


def test_fewer_bodies_are_counted(tmp_path: Path) -> None:
    source = make_file(tmp_path / "a.h5", "kinect2", bodies=2, raw=False)
    result = run("derive", source, tmp_path / "b.h5", "--bodies", 1)
    assert result.stdout.splitlines()[1:] == [
        "  note: 16 clips hold more bodies: the further ones were left out."
    ]
    with ClipFile(source) as before, ClipFile(tmp_path / "b.h5") as file:
        np.testing.assert_array_equal(file.clips(), before.clips()[..., :1])
        assert set(np.asarray(file.column("bodies")).tolist()) == {1}
        assert "map" not in file.attrs


def test_a_map_of_ones_own_by_path(tmp_path: Path) -> None:
    joints = "\n".join(f'"{name}" = "{name}"' for name in load("kinect1").joints)
    source = make_file(tmp_path / "a.h5", "kinect2", raw=False)
    path = tmp_path / "down.toml"
    known = [f'"{name}" = "{name}"' for name in load("kinect1").joints if name in load("kinect2").joints]
    more = ['"hip centre" = "spine base"', '"spine" = "spine mid"', '"shoulder centre" = "spine shoulder"']
    assert len(known) + len(more) == joints.count("\n") + 1
    path.write_text("\n".join(['from = "kinect2"', 'to = "kinect1"', "[joints]", *known, *more]) + "\n")
    result = run("derive", source, tmp_path / "b.h5", "--map", path)
    assert result.exit_code == 0, result.output
    with ClipFile(tmp_path / "b.h5") as file:
        assert file.form.skeleton == load("kinect1")
    result = run("derive", tmp_path / "b.h5", tmp_path / "c.h5", "--skeleton", "kinect2")
    assert result.exit_code == 0, result.output
    with ClipFile(tmp_path / "c.h5") as file, ClipFile(source) as before:
        assert [json.loads(line)["to"] for line in str(file.attrs["map"]).splitlines()] == [
            "kinect1",
            "kinect2",
        ]
        shared = [
            joint
            for joint, name in enumerate(load("kinect2").joints)
            if name not in ("neck",) and "thumb" not in name and "tip" not in name
        ]
        np.testing.assert_allclose(file.clips()[:, :, :, shared], before.clips()[:, :, :, shared], atol=1e-6)


def test_what_cannot_be_asked_for(tmp_path: Path) -> None:
    source = make_file(tmp_path / "a.h5", "coco17", "chain.rotation=none", raw=False)
    for words, message in (
        (["--skeleton", "kinect2"], "There is no map from the skeleton coco17 to kinect2."),
        (["--skeleton", "kinetc2"], "Did you mean 'kinect2'?"),
        (["--bodies", 2, "--prep", "aimclr"], "holds no recordings. Convert with --keep-raw to keep them."),
        (["--map", tmp_path / "none.toml"], "none.toml does not exist."),
    ):
        result = run("derive", source, tmp_path / "b.h5", *words)
        assert result.exit_code == 2, result.output
        assert message in result.stderr
        assert not (tmp_path / "b.h5").exists()


def test_an_encoder_of_25_joints_is_evaluated_on_derived_clips(tmp_path: Path) -> None:
    data = make_clips(tmp_path)
    sets = [word for text in (*TINY, "train.epochs=1", "train.batch_size=8") for word in ("--set", text)]
    result = run("pretrain", data, "--out", tmp_path / "run", "--split", "xsub", "--stream", "joint", *sets)
    assert result.exit_code == 0, result.output
    own, derived = make_file(tmp_path / "a.h5", "kinect1", raw=False), tmp_path / "b.h5"
    words = ("eval", tmp_path / "run", "--protocol", "knn", "--split", "xsub", "--data")
    result = run(*words, own)
    assert result.exit_code == 2
    told = (
        f"Error: {tmp_path / 'run'} needs clips of the skeleton kinect2 (25 joints), {own} has kinect1 (20). Convert or "
        "derive the clips to kinect2.\n"
    )
    assert result.stderr == told
    for more in ([], ["--allow-mismatch"], ["--init", "random"]):
        result = run("features", tmp_path / "run", own, "--out", tmp_path / "f.npz", *more)
        assert (result.exit_code, result.stderr) == (2, told)
    assert run("derive", own, derived, "--skeleton", "kinect2", "--bodies", 2).exit_code == 0
    with ClipFile(derived) as file:
        assert Run.open(tmp_path / "run").misfit(file) is None
    result = run(*words, derived, "--set", "knn.k=[1]")
    assert result.exit_code == 0, result.output


def test_nw_ucla_becomes_kinect_2_and_is_evaluated(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    for number in range(12):
        name = f"a0{1 + number % 3}_s0{1 + number // 6}_e0{number % 2}_v0{1 + number % 3}"
        points = made_up("kinect1", number, 20 + number)
        entry = {"file_name": name, "skeletons": points.tolist(), "label": 1 + number % 3}
        (tmp_path / "raw" / f"{name}.json").write_text(json.dumps(entry))
    convert = ("convert", "nwucla", tmp_path / "raw", tmp_path / "ucla.h5", "--keep-raw", "--frames", 16)
    assert run(*convert).exit_code == 0
    result = run(
        "derive",
        tmp_path / "ucla.h5",
        tmp_path / "b.h5",
        "--skeleton",
        "kinect2",
        "--bodies",
        2,
        "--frames",
        16,
    )
    assert result.exit_code == 0, result.output
    data = make_clips(tmp_path)
    sets = [word for text in (*TINY, "train.epochs=1", "train.batch_size=8") for word in ("--set", text)]
    result = run("pretrain", data, "--out", tmp_path / "run", "--split", "xsub", "--stream", "joint", *sets)
    assert result.exit_code == 0, result.output
    knn = ("--protocol", "knn", "--data", tmp_path / "b.h5", "--split", "xview", "--set", "knn.k=[1]")
    result = run("eval", tmp_path / "run", *knn)
    assert result.exit_code == 0, result.output
