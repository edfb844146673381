"""Conversion end to end: parity with the reference, the layout, exclusions, and what is refused."""
# ruff: noqa: E501 (messages stand in one line each)

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result
from rawfiles import body_of, ntu_bytes, write_ntu, write_pku

from skeltools.cli.main import main
from skeltools.convert.pipeline import convert
from skeltools.datasets import registry as datasets
from skeltools.errors import FormatError
from skeltools.formats import backend
from skeltools.store import ClipFile


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def refused(result: Result) -> str:
    """The error's one line, after checking that it is one and the exit status is 2."""
    assert result.exit_code == 2, result.output
    lines = [line for line in result.stderr.splitlines() if not line.startswith("converting")]
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("numbers", "folder"), [("ntu_samples.npz", "real/ntu"), ("ntu_edge/expected.npz", "reference/ntu_edge")]
)
@pytest.mark.parametrize("frames", [64, 50])
def test_ntu_clips_equal_the_reference(
    shared: Path, tmp_path: Path, numbers: str, folder: str, frames: int
) -> None:
    expected = np.load(shared / "reference" / numbers)
    summary = convert(datasets.get("ntu60"), shared / folder, tmp_path / "o.h5", frames=frames)
    with ClipFile(tmp_path / "o.h5") as file:
        assert len(file) == summary.clips == len({key.partition("/")[0] for key in expected})
        clips, lengths = file.clips(), file.column("length")
        for row, name in enumerate(file.names):
            assert lengths[row] == expected[f"{name}/length"]
            if f"{name}/position{frames}" in expected:
                np.testing.assert_allclose(clips[row], expected[f"{name}/position{frames}"], atol=1e-5)


def test_pku_clips_equal_the_reference(shared: Path, tmp_path: Path) -> None:
    folder = shared / "reference" / "pku_sample"
    expected = np.load(folder / "expected.npz")
    summary = convert(datasets.get("pku2"), folder, tmp_path / "o.h5")
    assert summary.clips == 4
    assert summary.splits == {}
    assert [note.partition(" ")[0] for note in summary.notes] == ["1", "No", "No"]
    with ClipFile(tmp_path / "o.h5") as file:
        clips = file.clips()
        for row in range(4):
            assert file.labels[row] == expected[f"{row}/label"] - 1
            np.testing.assert_allclose(clips[row], expected[f"{row}/position64"], atol=1e-5)


def test_real_recordings(shared: Path, tmp_path: Path) -> None:
    result = run("convert", "ntu60", shared / "real" / "irds_ntu", tmp_path / "irds.h5")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        f"{tmp_path / 'irds.h5'}: 127 clips of ntu60",
        "  xsub: 73 train / 54 test (note: the official counts are 40,091 / 16,487)",
        "  xview: 127 train / 0 test (note: the official counts are 37,646 / 18,932)",
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four usable clips in nested folders, and one of each kind that is left out."""
    source = tmp_path / "raw"
    write_ntu(source / "b" / "deep", "S001C001P001R001A001", 1)
    write_ntu(source / "a", "S002C002P003R001A002", 2)
    write_ntu(source, "S003C003P001R002A060", 3, frames=70)
    write_ntu(source, "S001C002P008R001A001", 4)
    write_ntu(source / "c", "S001C002P008R001A001", 4)
    write_ntu(source, "S001C002P005R002A008", 5)
    write_ntu(source, "S018C001P001R001A001", 6)
    write_ntu(source, "S001C001P001R001A061", 7)
    (source / "S001C001P002R001A001.skeleton").write_bytes(b"0\r\n")
    (source / "S001C001P002R001A002.skeleton").write_bytes(b"2\r\n0\r\n0\r\n")
    zeros = np.zeros((4, 25, 3))
    (source / "S001C001P002R001A003.skeleton").write_bytes(ntu_bytes([zeros]))
    (source / "S001C001P002R001A004.skeleton").write_bytes(ntu_bytes([zeros, body_of(1, 4)]))
    (source / "readme.txt").write_text("not a clip")
    return source


def test_layout(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.h5"
    summary = convert(datasets.get("ntu60"), folder, out)
    names = ["S001C001P001R001A001", "S001C002P008R001A001", "S002C002P003R001A002", "S003C003P001R002A060"]
    with h5py.File(out) as file:
        assert file["clips"].shape == (4, 3, 64, 25, 2)
        assert file["clips"].dtype == np.float32
        assert file["name"].asstr()[:].tolist() == names
        for key, values in {
            "label": [0, 0, 1, 59],
            "subject": [1, 8, 3, 1],
            "camera": [1, 2, 2, 3],
            "setup": [1, 1, 2, 3],
            "replication": [1, 1, 1, 2],
            "frames": [12, 12, 12, 70],
            "length": [12, 12, 12, 70],
            "bodies": [1, 1, 1, 1],
            "gaps": [0, 0, 0, 0],
            "splits/xsub/train": [0, 1, 3],
            "splits/xsub/test": [2],
            "splits/xview/train": [1, 2, 3],
            "splits/xview/test": [0],
        }.items():
            assert file[key].dtype == np.int64
            assert file[key][:].tolist() == values, key
        assert file.attrs["format"] == "skeltools clips"
        assert file.attrs["format_version"] == 2
        assert file.attrs["dataset"] == "ntu60"
        assert file.attrs["chain.frames"] == 64
        assert file.attrs["count.clips"] == 4
        assert file.attrs["count.xsub.train"] == 3
        assert file.attrs["class_names"][0] == "drink water"
        assert len(file.attrs["source_digest"]) == len(file.attrs["content_digest"]) == 64
        excluded = [(name.decode(), reason.decode()) for name, reason in file["excluded"][:]]
    assert excluded == [
        ("S001C001P001R001A061", "outside: action 61 is not in ntu60"),
        ("S001C001P002R001A001", "empty: no frames"),
        ("S001C001P002R001A002", "all-zero: no body has a position in any frame"),
        ("S001C001P002R001A003", "all-zero: no body has a position in any frame"),
        ("S001C001P002R001A004", "untracked: joint 0 of the first body has no position in any frame"),
        (
            "S001C002P005R002A008",
            "incomplete",
        ),
        (
            "S001C002P008R001A001",
            "duplicate: c/S001C002P008R001A001.skeleton, kept S001C002P008R001A001.skeleton, equal content",
        ),
        ("S018C001P001R001A001", "outside: setup 18 is not in ntu60"),
        ("readme.txt", "other: readme.txt is not called NAME.skeleton"),
    ]
    assert summary.excluded == {
        "outside": 2, "all-zero": 2, "empty": 1, "untracked": 1, "incomplete": 1, "duplicate": 1,
        "other": 1,
    }  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.h5", "raw"]


def test_the_same_source_gives_the_same_file_whatever_its_folders(tmp_path: Path) -> None:
    names = ["S001C001P001R001A001", "S001C001P001R001A002", "S001C001P002R001A001"]
    for number, name in enumerate(names):
        write_ntu(tmp_path / "flat", name, number)
        write_ntu(tmp_path / "nested" / str(9 - number), name, number)
    files = []
    for source in ("flat", "nested"):
        convert(datasets.get("ntu60"), tmp_path / source, tmp_path / f"{source}.h5")
        files.append((tmp_path / f"{source}.h5").read_bytes())
    assert files[0] == files[1]


def test_without_numba_the_same_file_is_made_and_the_remedy_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "COMPILE_FROM", 1)
    made = {}
    for name, there in (("with", backend.available()), ("without", False)):
        with monkeypatch.context() as patched:
            patched.setattr(backend, "available", lambda there=there: there)
            made[name] = run("convert", "ntu60", folder, tmp_path / f"{name}.h5", "--workers", 1)
        assert made[name].exit_code == 0, made[name].output
        assert (
            "Numba is not installed: the plain parser reads the same clips, but takes some 7 times as long. "
            "Where Numba has a wheel for this Python, 'pip install numba' mends that." in made[name].stderr
        ) is not there
    assert (tmp_path / "with.h5").read_bytes() == (tmp_path / "without.h5").read_bytes()


def test_pku_folder(tmp_path: Path) -> None:
    out = tmp_path / "o.h5"
    result = run("convert", "pku2", write_pku(tmp_path / "raw"), out)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        f"{out}: 4 clips of pku2",
        "  left out: 1 range",
        "  xsub: 2 train / 2 test",
        "  xview: 2 train / 2 test",
    ]
    with ClipFile(out) as file:
        assert file.names == ["A01N02-L_001", "A01N02-L_003", "A01N03-L_001", "A01N03-L_002"]
        assert file.labels.tolist() == [8, 19, 0, 50]
        assert file.column("video") == ["A01N02-L"] * 2 + ["A01N03-L"] * 2
        assert file.column("view") == ["L"] * 4
        assert np.asarray(file.column("start")).tolist() == [2, 41, 5, 30]
        assert np.asarray(file.column("end")).tolist() == [30, 80, 25, 77]
        assert np.asarray(file.column("frames")).tolist() == [29, 40, 21, 48]
        assert file.rows("xsub", "train").tolist() == [0, 1]
        assert file.excluded == [("A01N02-L_002", "range: frames 40 to 20")]
        assert file.classes[8] == "drop"


def test_json(folder: Path, tmp_path: Path) -> None:
    result = run("convert", "ntu60", folder, tmp_path / "o.h5", "--json")
    assert json.loads(result.stdout) == {
        "path": str(tmp_path / "o.h5"),
        "dataset": "ntu60",
        "clips": 4,
        "excluded": {
            "outside": 2,
            "all-zero": 2,
            "empty": 1,
            "untracked": 1,
            "incomplete": 1,
            "duplicate": 1,
            "other": 1,
        },
        "splits": {"xsub": {"train": 3, "test": 1}, "xview": {"train": 3, "test": 1}},
        "notes": ["1 other file passed over: readme.txt."],
    }


def test_existing_output(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "ntu60.h5"
    assert run("convert", "ntu60", folder, out, "--frames", 8).exit_code == 0
    before = out.read_bytes()
    assert (
        refused(run("convert", "ntu60", folder, out))
        == f"Error: {out} already exists. Use --replace to write it again."
    )
    assert out.read_bytes() == before
    assert run("convert", "ntu60", folder, out, "--replace").exit_code == 0
    with ClipFile(out) as file:
        assert len(file) == 4


def test_missing_and_empty_sources(tmp_path: Path) -> None:
    missing, empty, other = tmp_path / "nope", tmp_path / "empty", tmp_path / "other"
    empty.mkdir()
    other.mkdir()
    (other / "x.txt").write_text("x")
    out = tmp_path / "o.h5"
    assert refused(run("convert", "ntu60", missing, out)) == (
        f"Error: {missing} does not exist. Give the folder, archive or files with the raw data."
    )
    assert refused(run("convert", "ntu60", empty, out)) == (
        f"Error: {empty} is empty. Give the folder that holds the raw files."
    )
    assert refused(run("convert", "ntu60", other, out)) == (
        f"Error: {other} holds no .skeleton file, of which ntu60 consists."
    )
    assert refused(run("convert", "pku1", other, out)) == (
        f"Error: {other} holds no skeleton file; pku1 needs a folder 'skeleton' and a folder 'label' with one "
        ".txt file per video in each."
    )
    assert refused(run("convert", "ntu6", other, out)).startswith("Error: Unknown dataset 'ntu6'.")
    assert not out.exists()


def test_output_folder_must_exist(folder: Path, tmp_path: Path) -> None:
    assert refused(run("convert", "ntu60", folder, tmp_path / "no" / "o.h5")) == (
        f"Error: {tmp_path / 'no'} does not exist, so o.h5 cannot be written there. Create it."
    )
    assert refused(run("convert", "ntu60", folder, tmp_path)) == (
        f"Error: {tmp_path} is a folder. Give the name of the file to write."
    )


def test_a_damaged_clip_stops_the_conversion_and_keeps_the_work(folder: Path, tmp_path: Path) -> None:
    path = folder / "S003C003P001R002A060.skeleton"
    whole = path.read_bytes()
    path.write_bytes(whole[:5000])
    before = sorted(tmp_path.iterdir())
    result = run("convert", "ntu60", folder, tmp_path / "o.h5")
    assert result.exit_code == 2
    *_, kept, message = result.stderr.splitlines()
    assert kept == (
        "3 of 8 clips are done and kept. When the cause is gone, run the same command with --resume to continue."
    )
    assert message.startswith(f"Error: {path}, line ")
    assert message.endswith("it is truncated. Fetch it again.")
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / ".o.h5.partial"])
    path.write_bytes(whole)
    run("convert", "ntu60", folder, tmp_path / "o.h5", "--resume")
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "o.h5"])


def test_a_wrong_file_name_is_refused(folder: Path, tmp_path: Path) -> None:
    write_ntu(folder, "S001C001P001R001")
    assert refused(run("convert", "ntu60", folder, tmp_path / "o.h5")) == (
        f"Error: {folder / 'S001C001P001R001.skeleton'}: the file name is not a clip name such as "
        "S001C001P001R001A001."
    )


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("label/A01N09-L.txt", "1,2,3,1\n", "label/A01N09-L.txt: video A01N09-L has labels but no skeleton file."),
        ("label/A01N02-L.txt", "1,2\n", "label/A01N02-L.txt, line 1: expected class,start,end,confidence as four whole numbers, not '1,2'."),
        ("split/cross_view_v2.txt", "a\nA01N02-L\nb\nA01N04-L\n", "split/cross_view_v2.txt, line 4: video A01N04-L is not in the source. Use --on-error skip to convert part of the videos."),
        ("skeleton/A01N02-L.txt", "1 2 3\n", "skeleton/A01N02-L.txt, line 1: 3 numbers in the row; expected 150."),
        ("skeleton/x.txt", "1 2 3\n", "skeleton/x.txt: the file name is not a video name such as 0002-L or A01N02-R."),
    ],
)  # fmt: skip
def test_pku_faults(tmp_path: Path, path: str, content: str, message: str) -> None:
    source = write_pku(tmp_path / "raw")
    (source / path).write_text(content)
    assert refused(run("convert", "pku2", source, tmp_path / "o.h5")) == f"Error: {source}/{message}"
    assert [item.name for item in tmp_path.iterdir()] == ["raw"]


def test_only_left_out_clips(tmp_path: Path) -> None:
    write_ntu(tmp_path / "raw", "S001C002P005R002A008")
    assert refused(run("convert", "ntu60", tmp_path / "raw", tmp_path / "o.h5")) == (
        f"Error: {tmp_path / 'raw'} holds no clip of ntu60 to convert (left out: 1 incomplete)."
    )


def test_an_unreadable_format_error_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "raw" / "S001C001P001R001A001.skeleton"
    path.parent.mkdir()
    path.write_bytes(b"")
    with pytest.raises(FormatError, match=r"the file is empty; expected a frame count\."):
        convert(datasets.get("ntu60"), path.parent, tmp_path / "o.h5")


@pytest.mark.parametrize(
    ("name", "train"),
    [("ntu60", {"xsub": (40091, 16487), "xview": (37646, 18932)}), ("ntu120", {"xsub": (63026, 50919), "xset": (54468, 59477)})],
)  # fmt: skip
def test_split_rules_at_full_size(shared: Path, name: str, train: dict[str, tuple[int, int]]) -> None:
    import gzip

    dataset = datasets.get(name)
    assert dict(dataset.counts) == train
    with gzip.open(shared / "facts" / "ntu120_usable_names.txt.gz", "rt") as file:
        clips = [datasets.parse_ntu_name(line.strip()) for line in file]
    clips = [clip for clip in clips if clip is not None and clip.setup in dataset.setups]
    facts = json.loads((shared / "facts" / "datasets.json").read_text())
    assert len(clips) == facts["counts"][name]["usable"]
    for split, rule in dataset.train.items():
        side = sum(map(rule, clips))
        assert [side, len(clips) - side] == facts["counts"][name][split]
    assert not {str(clip) for clip in clips} & datasets.incomplete_ntu_clips()


def test_official_counts_of_pku_mmd(shared: Path) -> None:
    """What `verify` holds a file against; the labels these were counted from are not free to pass on."""
    facts = json.loads((shared / "facts" / "datasets.json").read_text())["counts"]["pku_mmd_1"]
    assert list(datasets.get("pku1").counts["xsub"]) == facts["xsub"]
    assert sum(facts["xsub"]) == facts["instances"] == sum(facts["instances_by_view"].values())


def test_options_of_the_command(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.h5"
    (folder / "S003C003P001R002A060.skeleton").write_bytes(b"3\n")
    options = (
        "--prep",
        "ctrgcn",
        "--set",
        "chain.span=0.9",
        "--frames",
        20,
        "--dtype",
        "float16",
        "--keep-raw",
    )
    result = run("convert", "ntu60", folder, out, *options, "--on-error", "skip", "--workers", 1)
    assert result.exit_code == 0, result.output
    with ClipFile(out) as file:
        assert {"S001C001P001R001A001", "S001C002P008R001A001", "S002C002P003R001A002"} <= set(file.names)
        assert (file.frames, file.attrs["chain.dtype"], file.attrs["chain.span"]) == (20, "float16", 0.9)
        assert (file.attrs["prep"], file.attrs["chain.bodies"]) == ("ctrgcn", "tracked")
        assert file.has_raw
        assert file.clips().dtype == np.float32
        assert [
            reason.partition(":")[0] for name, reason in file.excluded if name == "S003C003P001R002A060"
        ] == ["damaged"]
    again = run("convert", "ntu60", folder, out, *options, "--resume")
    assert again.exit_code == 0
    assert f"{out} is complete already." in again.stderr
    assert refused(
        run("convert", "ntu60", folder, tmp_path / "p.h5", "--set", "chain.bodys=first")
    ).startswith("Error: Unknown setting 'chain.bodys'")


def test_ntu120_splits_and_the_camera_split_of_some(folder: Path, tmp_path: Path) -> None:
    result = run("convert", "ntu120", folder, tmp_path / "o.h5")
    assert [line.partition(" (note")[0] for line in result.stdout.splitlines()[-2:]] == [
        "  xsub: 5 train / 1 test", "  xset: 2 train / 4 test",
    ]  # fmt: skip
    run("convert", "ntu120", folder, tmp_path / "p.h5", "--set", "chain.splits=camera")
    with ClipFile(tmp_path / "p.h5") as file:
        assert file.splits == ("xsub", "xset", "xview")
