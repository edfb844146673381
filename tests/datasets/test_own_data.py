"""Data of one's own from the files to a result, for each format and each packaged skeleton."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from clipfiles import TINY, content
from owndata import KINDS, descriptor, kinds, make, names, person

from skeltools.cli.main import main
from skeltools.convert.describe import describe
from skeltools.datasets import descriptor as descriptors
from skeltools.formats.recording import Recording
from skeltools.preparation.chain import apply, choose
from skeltools.skeletons import load, packaged
from skeltools.store import ClipFile


def run(*args: object) -> str:
    result = CliRunner().invoke(main, [str(arg) for arg in args])
    assert result.exit_code == 0, result.output
    return result.output


def converted(folder: Path, kind: str, *args: object) -> Path:
    toml, raw = make(folder, kind)
    run("convert", toml, raw, folder / "mine.h5", "--frames", 8, *args)
    return folder / "mine.h5"


def test_every_packaged_skeleton_is_tried() -> None:
    assert {kind.skeleton for kind in KINDS.values()} == set(packaged())


@pytest.mark.parametrize("kind", kinds(*KINDS.keys() - {"npy", "plain tsv", "k4abt"}))
def test_from_files_to_a_result(kind: str, tmp_path: Path) -> None:
    """convert, verify, inspect, two steps of pretraining and the linear protocol, without the descriptor."""
    path = converted(tmp_path, kind)
    (tmp_path / "mine.toml").unlink()
    assert "no faults" in run("verify", path)
    assert "mine (mine)" in run("inspect", path)
    with ClipFile(path) as file:
        assert len(file) == 32
        assert file.form.dimensions == (2 if KINDS[kind].unit == "pixel" else 3)
        assert {"xsub", "loso-1", "loso-4"} <= set(file.splits)
        assert file.column("subject").tolist() == [int(name[1]) for name in file.names]  # type: ignore[union-attr]
    sets = [word for text in TINY for word in ("--set", text)]
    out = tmp_path / "run"
    run(
        "pretrain",
        path,
        "--split",
        "xsub",
        "--stream",
        "joint",
        "--out",
        out,
        "--epochs",
        1,
        "--batch-size",
        8,
        *sets,
    )
    assert len((out / "log.jsonl").read_text().splitlines()) >= 2
    run("eval", out, "--protocol", "linear", "--set", "linear.epochs=1")


@pytest.mark.parametrize("kind", [kind for kind, how in KINDS.items() if how.unit != "pixel"])
def test_3d_clips_are_those_of_the_coordinates_in_metres(kind: str, tmp_path: Path) -> None:
    """Units, axes and forms are undone: the file holds what the chain makes of the person itself."""
    path = converted(tmp_path, kind)
    how = KINDS[kind]
    skeleton = load(how.skeleton)
    chain = choose("skeattnclr" if how.skeleton == "kinect2" else "anyskeleton", skeleton=skeleton,
                   options={"chain.frames": 8}).values  # fmt: skip
    with ClipFile(path) as file:
        for name, seed in names()[::5]:
            body = person(skeleton, seed).astype(np.float32)
            wanted = apply(Recording.from_columns(body[:, None]), chain, file.form)
            assert not isinstance(wanted, str)
            assert np.abs(file.clips([file.names.index(name)])[0] - wanted.clip).max() < 2e-4


@pytest.mark.parametrize("kind", ["openpose", "pyskl", "plain tsv"])
def test_2d_clips_are_in_torsos_with_y_up_and_no_depth(kind: str, tmp_path: Path) -> None:
    path = converted(tmp_path, kind)
    skeleton = load(KINDS[kind].skeleton)
    with ClipFile(path) as file:
        clips = file.clips()
        assert file.attrs["chain.scale"] == "torso"
        assert not clips[:, 2].any()
        shoulders = clips[..., [skeleton.left_shoulder, skeleton.right_shoulder], :].mean(axis=3)
        hips = clips[..., [skeleton.left_hip, skeleton.right_hip], :].mean(axis=3)
        assert np.median(np.linalg.norm(shoulders - hips, axis=1)) == pytest.approx(1, abs=0.05)
        assert (shoulders[:, 1] > hips[:, 1]).all()
        centre = clips[..., list(skeleton.centre), :].mean(axis=3)
        assert np.abs(centre).max() < 1e-5


def test_the_same_file_for_any_number_of_workers_and_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from skeltools.convert import pipeline

    path = converted(tmp_path, "lists")
    monkeypatch.setattr(pipeline, "_WORKER_BYTES", 1)
    toml, raw = tmp_path / "mine.toml", tmp_path / "raw"
    run("convert", toml, raw, tmp_path / "two.h5", "--frames", 8, "--workers", 2)
    monkeypatch.setattr(pipeline, "_BATCH_CLIPS", 4)
    judge = pipeline._Worker._clip
    calls = 0

    def stop(*args: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 11:
            raise KeyboardInterrupt
        return judge(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline._Worker, "_clip", stop)
    assert CliRunner().invoke(main, ["convert", str(toml), str(raw), str(tmp_path / "three.h5"), "--frames", "8",
                                     "--workers", "1"]).exit_code == 130  # fmt: skip
    run("convert", toml, raw, tmp_path / "three.h5", "--frames", 8, "--workers", 1, "--resume")
    assert calls == 11 + 32 - 8
    assert content(path) == content(tmp_path / "two.h5") == content(tmp_path / "three.h5")


def test_another_descriptor_does_not_continue_what_one_began(tmp_path: Path) -> None:
    path = converted(tmp_path, "lists")
    toml = tmp_path / "mine.toml"
    assert "complete already" in run("convert", toml, tmp_path / "raw", path, "--frames", 8, "--resume")
    toml.write_text(toml.read_text().replace('"wave"', '"salute"').replace('"bend"', '"wave"'))
    result = CliRunner().invoke(main, ["convert", str(toml), str(tmp_path / "raw"), str(path), "--frames", "8",
                                       "--resume"])  # fmt: skip
    assert result.exit_code == 2
    assert "with a different definition" in result.output


def test_derive_equals_another_conversion_of_key_points(tmp_path: Path) -> None:
    path = converted(tmp_path, "openpose", "--keep-raw")
    args = ["derive", str(path), str(tmp_path / "none.h5"), "--set", "chain.score=0.85"]
    assert "no clip is left" in CliRunner().invoke(main, args).output, "every score is 0.8"
    run("convert", tmp_path / "mine.toml", tmp_path / "raw", tmp_path / "other.h5", "--set", "chain.score=0.1",
        "--frames", 8, "--set", "chain.resize=sample", "--keep-raw")  # fmt: skip
    run("derive", path, tmp_path / "sampled.h5", "--frames", 8, "--set", "chain.resize=sample")
    with ClipFile(tmp_path / "sampled.h5") as one, ClipFile(tmp_path / "other.h5") as two:
        assert one.digest == two.digest
        assert one.dataset.definition == two.dataset.definition


def test_a_folder_per_class_by_path_and_a_table_of_names(tmp_path: Path) -> None:
    skeleton = load("smpl24")
    for name, seed in names():
        who, word, take = name.split("_")
        (tmp_path / "raw" / word).mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "raw" / word / f"{who}-{take}.npy", person(skeleton, seed))
    how = KINDS["wide csv"]
    (tmp_path / "path.toml").write_text(
        descriptor(
            how, names="of = \"path\"\npattern = '(?P<label>[a-z]+)/S(?P<subject>[0-9])-(?P<take>[0-9])'"
        )
    )
    run("convert", tmp_path / "path.toml", tmp_path / "raw", tmp_path / "path.h5", "--frames", 8)
    rows = "".join(f"{n.split('_')[1]}/{n.split('_')[0]}-{n.split('_')[2]},{n.split('_')[1]},{n[1]},mine,ok\n"
                   for n, _ in names())  # fmt: skip
    (tmp_path / "raw" / "clips.csv").write_text(
        f"name,label,subject,camera,remark\n{rows}absent/S9-1,wave,9,mine,ok\n"
    )
    (tmp_path / "table.toml").write_text(descriptor(how, names='of = "path"\ntable = "raw/clips.csv"'))
    told = run("convert", tmp_path / "table.toml", tmp_path / "raw", tmp_path / "table.h5", "--frames", 8)
    assert "1 clip of raw/clips.csv not in the source: absent/S9-1." in told
    with ClipFile(tmp_path / "path.h5") as one, ClipFile(tmp_path / "table.h5") as two:
        assert one.digest == two.digest
        assert one.names[0] == "bend/S1-0"
        assert two.column("camera") == ["mine"] * 32


def test_a_damaged_clip_of_several_is_left_out_where_that_is_asked_for(tmp_path: Path) -> None:
    toml, raw = make(tmp_path, "lists")
    (raw / "S1_wave_0.json").write_text("[[[1, 2")
    (raw / "unlike.json").write_text("[[[1, 2, 3]]]")
    (raw / "README.txt").write_text("hello")
    told = run("convert", toml, raw, tmp_path / "mine.h5", "--on-error", "skip", "--frames", 8)
    assert "31 clips of mine" in told
    assert "left out: 2 damaged" in told
    assert "left out: 1 other" in told
    with ClipFile(tmp_path / "mine.h5") as file:
        reasons = dict(file.excluded)
    assert reasons["unlike"].startswith(
        "damaged: unlike.json: the clip's name 'unlike' is not as names.pattern says"
    )


def test_splits_of_pyskl_are_taken_where_the_descriptor_has_none(tmp_path: Path) -> None:
    toml, raw = make(tmp_path, "pyskl")
    toml.write_text(descriptor(KINDS["pyskl"], splits="", names=""))
    assert "xsub: 16 train / 16 test" in run("convert", toml, raw, tmp_path / "mine.h5", "--frames", 8)
    assert "no faults" in run("verify", tmp_path / "mine.h5")


def test_more_bodies_than_the_clip_holds_are_chosen_where_that_is_said_and_noted(tmp_path: Path) -> None:
    toml, raw = make(tmp_path, "npz")
    two = np.stack([person(load("kinect2"), seed) for seed in (1, 2)], axis=1)
    np.savez(raw / "S1_bend_0.npz", two)
    toml.write_text(descriptor(KINDS["npz"], 'crowd = "choose"').replace("bodies = 2", "bodies = 1"))
    told = run("convert", toml, raw, tmp_path / "mine.h5", "--frames", 8)
    assert (
        "9 frames with more bodies than a clip holds, of which chain.bodies chooses: S1_bend_0 first." in told
    )


def test_the_definition_in_the_file_is_the_descriptor(tmp_path: Path) -> None:
    path = converted(tmp_path, "k4abt")
    with h5py.File(path) as file:
        stored = descriptors.from_json(file.attrs["definition"], "x")
    assert stored == descriptors.read(tmp_path / "mine.toml")
    assert json.loads(stored.to_json())["skeleton"]["name"] == "azure"


@pytest.mark.parametrize("kind", KINDS)
def test_describe_writes_a_descriptor_that_converts(kind: str, tmp_path: Path) -> None:
    """The right unit, axis and names; the skeleton where its number of joints is unlike any other's."""
    _, raw = make(tmp_path, kind)
    out = tmp_path / "first.toml"
    run("describe", raw, "--out", out)
    text, how = out.read_text(), KINDS[kind]
    found = descriptors.read(out)
    assert found.unit == ("m" if how.unit == "m" else how.unit)
    assert found.up == how.up
    assert found.skeleton.num_joints == load(how.skeleton).num_joints
    assert len(found.classes) == 2
    assert ("wave" in found.classes) == (kind != "pyskl")
    assert text == describe([raw])
    run("convert", out, raw, tmp_path / "first.h5", "--frames", 8)


def test_describe_says_what_it_could_not_tell(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    np.save(raw / "first take.npy", np.random.default_rng(0).uniform(1, 2, (5, 11, 3)))
    np.save(raw / "x.npy", np.random.default_rng(0).uniform(1, 2, (5, 11, 3)))
    told = run("describe", raw)
    assert 'skeleton = ""  # not inferred: no packaged skeleton fits.' in told
    assert "has 11 joints" in told
    assert '# not inferred: the clips are called "first take", "x"' in told
    assert 'classes = ["?"]  # not inferred' in told
