"""The files of `skeltools synth`: their formats, their bytes, and what happens to a folder."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from skeltools import synth
from skeltools.cli import main as cli
from skeltools.convert.pipeline import convert
from skeltools.datasets import registry as datasets
from skeltools.errors import OutputError, SettingError
from skeltools.formats import ntu, pku
from skeltools.store import ClipFile
from skeltools.synth import design, motion, pku_files
from skeltools.synth import folder as folder_module
from skeltools.synth.scene import NATURAL_FRAMES
from skeltools.synth.sensor import Recording

PAIR = "S001C002P001R001A058"


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def run(*args: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.main, ["synth", *map(str, args)])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty clips in NTU's format."""
    out = tmp_path_factory.mktemp("synth") / "raw"
    synth.write("ntu60", out, 40)
    return out


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty actions in PKU-MMD's format."""
    out = tmp_path_factory.mktemp("synth") / "videos"
    synth.write("pku1", out, 20)
    return out


# NTU


def test_a_skeleton_file_has_the_structure_of_a_real_one(folder: Path) -> None:
    for path in sorted(folder.glob("*.skeleton"))[::4]:
        data = path.read_bytes()
        lines = data.split(b"\r\n")
        assert b"\n" not in data.replace(b"\r\n", b"")
        assert lines.pop() == b""
        rows = iter(lines)
        for _ in range(int(next(rows))):
            for _ in range(int(next(rows))):
                head = next(rows).split(b" ")
                assert len(head) == 10
                assert 2**56 < int(head[0]) < 2**56 + 2**20
                assert head[-1] == b"2"
                assert next(rows) == b"25"
                table = [next(rows).split(b" ") for _ in range(25)]
                assert {len(row) for row in table} == {12}
                assert {row[-1] for row in table} <= {b"1", b"2"}
                assert (
                    max(len(re.sub(rb"^-?0?\.?0*|\.|e.*$", b"", cell)) for row in table for cell in row) <= 7
                )
        assert next(rows, None) is None


def test_number_formatting_is_that_of_real_files(shared: Path, folder: Path) -> None:
    cell = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]*[1-9])?(?:[eE][-+][0-9]+)?")
    real = next((shared / "real" / "ntu").glob("*.skeleton"))
    for path in (real, *sorted(folder.glob("*.skeleton"))[:3]):
        assert all(cell.fullmatch(token) for token in path.read_bytes().split()), path


def test_a_file_reads_as_the_clip(folder: Path) -> None:
    for path in sorted(folder.glob("*.skeleton")):
        np.testing.assert_array_equal(ntu.parse(path.read_bytes(), str(path)), motion.clip(path.stem))


def test_pixels_and_orientations_follow_from_the_joints(folder: Path) -> None:
    path = folder / f"{design.ntu_names('ntu60', 1)[0]}.skeleton"
    table = np.array(
        [line.split() for line in path.read_text().splitlines() if line.count(" ") == 11], dtype=np.float64
    ).reshape(-1, 25, 12)
    x, y, z = table[..., 0], table[..., 1], table[..., 2]
    for column, ratio, focal in ((3, x / z, 366.0), (4, y / z, -366.0), (5, (x + 0.052) / z, 1060.0)):
        slope, _ = np.polyfit(ratio.ravel(), table[..., column].ravel(), 1)
        assert slope == pytest.approx(focal, rel=1e-3)
    length = np.linalg.norm(table[..., 7:11], axis=-1)
    ends = [3, 15, 19, 21, 22, 23, 24]
    assert not length[:, ends].any()
    np.testing.assert_allclose(np.delete(length, ends, axis=1), 1.0, atol=1e-5)
    w, i, j, k = np.moveaxis(table[:, 5, 7:11], -1, 0)
    along = np.stack([2 * (i * j - w * k), 1 - 2 * (i * i + k * k), 2 * (j * k + w * i)], axis=-1)
    bone = table[:, 5, :3] - table[:, 4, :3]
    np.testing.assert_allclose(along, bone / np.linalg.norm(bone, axis=-1, keepdims=True), atol=1e-4)


def test_files_have_the_size_of_real_ones(folder: Path) -> None:
    sizes = [path.stat().st_size for path in folder.glob("*.skeleton")]
    assert 150_000 < np.mean(sizes) < 400_000


def test_bytes_do_not_depend_on_workers_or_on_the_other_clips(folder: Path, tmp_path: Path) -> None:
    synth.write("ntu60", tmp_path / "two", 33, workers=2)
    one, two = digests(folder), digests(tmp_path / "two")
    names = {name for name in two if name.endswith(".skeleton")}
    assert len(names) == 33
    assert {name: one[name] for name in names} == {name: two[name] for name in names}


def test_another_seed_gives_other_files(folder: Path, tmp_path: Path) -> None:
    synth.write("ntu60", tmp_path / "raw", 3, seed=1)
    one, other = digests(folder), digests(tmp_path / "raw")
    names = [name for name in other if name.endswith(".skeleton")]
    assert len(names) == 3
    assert all(one[name] != other[name] for name in names)


def test_conversion_takes_every_clip(folder: Path, tmp_path: Path) -> None:
    summary = convert(datasets.get("ntu60"), folder, tmp_path / "x.h5")
    assert summary.clips == 40
    assert not summary.excluded
    with ClipFile(tmp_path / "x.h5") as file:
        assert sorted(file.names) == sorted(design.ntu_names("ntu60", 40))
        assert np.isfinite(file.clips()).all()


# PKU-MMD


def test_a_video_has_rows_of_150_numbers_with_six_decimals(videos: Path) -> None:
    files = sorted((videos / "skeleton").glob("*.txt"))
    assert len(files) == 3
    cell = re.compile(r"-?[0-9]+\.[0-9]{6}")
    for path in files:
        for line in path.read_text().splitlines()[::25]:
            cells = line.split(" ")
            assert len(cells) == 150
            assert all(map(cell.fullmatch, cells))


def test_labels_lie_in_the_video_and_do_not_overlap(videos: Path) -> None:
    total = 0
    for video in design.pku_videos("pku1", 20):
        content = (videos / "label" / f"{video.name}.txt").read_bytes()
        frames = len(pku.parse_skeleton((videos / "skeleton" / f"{video.name}.txt").read_bytes(), video.name))
        actions = pku.parse_labels(content, video.name, 51)
        assert [action.label for action in actions] == list(video.labels)
        ends = [0, *(action.end for action in actions)]
        assert all(end < action.start < action.end for end, action in zip(ends, actions, strict=False))
        assert ends[-1] <= frames
        total += len(actions)
    assert total == 20


def test_the_second_body_is_there_for_actions_of_two_alone() -> None:
    video = design.pku_videos("pku1", 200)[4]
    people = [motion.known("pku1")[label].people for label in video.labels]
    assert set(people) == {1, 2}
    made = motion.record_video("pku1", video)
    second = made.recording.clip()[:, :, :, 1].any(axis=(0, 2))
    for count, (_, first, last, _) in zip(people, made.labels, strict=True):
        assert (second[first - 1 : last].mean() > 0.8) == (count == 2)
        assert second[first - 1 : last].any() == (count == 2)


def test_a_video_of_fewer_actions_is_the_beginning_of_the_longer_one() -> None:
    long = design.pku_videos("pku2", 100)[2]
    short = design.Video(long.title, long.view, long.performer, long.labels[:2])
    begun, whole = motion.record_video("pku2", short), motion.record_video("pku2", long)
    assert [row[:3] for row in begun.labels] == [row[:3] for row in whole.labels[:2]]
    assert len(begun.recording.points) < len(whole.recording.points)


def test_split_files_have_four_lines_and_name_what_is_there(videos: Path) -> None:
    names = {path.stem for path in (videos / "skeleton").glob("*.txt")}
    for split, file_name in datasets.get("pku1").split_files.items():
        content = (videos / "split" / file_name).read_bytes()
        assert content.count(b"\n") == 4
        train, test = pku.parse_split(content, file_name)
        assert train
        assert test
        assert set(train) | set(test) == names
        if split == "xview":
            assert {name[-1] for name in test} == {"L"}


@pytest.mark.parametrize(("dataset", "clips"), [("pku1", 20), ("pku2", 15)])
def test_conversion_takes_every_action(dataset: str, clips: int, tmp_path: Path) -> None:
    synth.write(dataset, tmp_path / "raw", clips)
    summary = convert(datasets.get(dataset), tmp_path / "raw", tmp_path / "x.h5")
    assert summary.clips == clips
    assert not summary.excluded
    assert set(summary.splits) == {"xsub", "xview"}
    assert all(min(sides) > 0 for sides in summary.splits.values())


def test_absent_bodies_are_zeros_in_a_row() -> None:
    points = np.full((2, 1, 25, 3), 0.5)
    recording = Recording(points, np.full((2, 1, 25), 2), np.array([[0], [-1]]), (5,))
    first, second = pku_files.encode_skeleton(recording).decode().splitlines()
    assert first.split() == ["0.500000"] * 75 + ["0.000000"] * 75
    assert second.split() == ["0.000000"] * 150


# the folder


def test_the_summary_counts(folder: Path, tmp_path: Path) -> None:
    summary = synth.write("ntu60", tmp_path / "raw", 31, seed=2)
    files = list((tmp_path / "raw").glob("*.skeleton"))
    assert (summary.clips, summary.files, summary.classes, summary.seed) == (31, 31, 30, 2)
    assert summary.size == sum(path.stat().st_size for path in files)
    assert json.loads((tmp_path / "raw" / "synth.json").read_text()) == {
        "dataset": "ntu60",
        "clips": 31,
        "seed": 2,
        "frames": [40, 120],
    }
    assert not list((tmp_path / "raw").glob(".*")), "no temporary file is left"


def test_a_filled_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "mine.txt").write_text("mine")
    told = (
        f"Error: {tmp_path / 'raw'} holds files, and synth wrote none of them. Give a folder that is new, empty or "
        "written by synth.\n"
    )
    for words in ((), ("--replace",)):
        assert run("ntu60", tmp_path / "raw", "--clips", "2", *words) == (2, "", told)
        assert list(digests(tmp_path / "raw")) == ["mine.txt"]


def test_a_folder_that_synth_filled_is_rewritten_when_told(tmp_path: Path) -> None:
    synth.write("ntu60", tmp_path / "raw", 1)
    before = digests(tmp_path / "raw")
    told = f"Error: {tmp_path / 'raw'} already exists and is not empty. Use --replace to rewrite it.\n"
    assert run("ntu60", tmp_path / "raw", "--clips", "2") == (2, "", told)
    assert digests(tmp_path / "raw") == before


def test_replace_removes_what_synth_wrote_and_nothing_else(tmp_path: Path) -> None:
    out = tmp_path / "raw"
    synth.write("ntu60", out, 4)
    (out / "notes.txt").write_text("mine")
    foreign = out / "S017C003P040R002A060.skeleton"
    foreign.write_text("mine too")
    synth.write("ntu60", out, 2, seed=1, replace=True)
    left = set(design.ntu_names("ntu60", 2))
    assert set(digests(out)) == {f"{name}.skeleton" for name in left} | {
        "notes.txt",
        foreign.name,
        "synth.json",
    }
    assert foreign.read_text() == "mine too"
    synth.write("pku2", out, 10, replace=True)
    assert {path.name for path in out.iterdir()} == {
        "skeleton", "label", "split", "notes.txt", foreign.name, "synth.json",
    }  # fmt: skip
    synth.write("ntu60", out, 1, replace=True)
    assert not (out / "skeleton").exists()


def test_replace_never_writes_over_a_file_that_synth_did_not_write(tmp_path: Path) -> None:
    out = tmp_path / "raw"
    out.mkdir()
    recording = out / f"{design.ntu_names('ntu60', 3)[1]}.skeleton"
    recording.write_text("a real recording")
    code, _, err = run("ntu60", out, "--clips", "3", "--replace")
    assert code == 2
    assert err == f"Error: {recording} was not written by synth. Move it away or choose another folder.\n"
    assert digests(out).keys() == {recording.name}
    assert recording.read_text() == "a real recording"


def test_replace_gives_the_same_bytes_again(tmp_path: Path) -> None:
    synth.write("ntu60", tmp_path / "raw", 3)
    before = digests(tmp_path / "raw")
    synth.write("ntu60", tmp_path / "raw", 3, replace=True)
    assert digests(tmp_path / "raw") == before


def test_stopping_early_drops_the_work_that_waits(tmp_path: Path) -> None:
    order = folder_module.Order("ntu60", 1600, 0, (8, 8))
    units = folder_module._units(order)
    running = folder_module._run(tmp_path, order, units, workers=2)
    assert next(running)[0] == 16
    running.close()
    written = list(tmp_path.iterdir())
    assert 16 <= len(written) < 1000
    assert all(path.suffix == ".skeleton" for path in written)


@pytest.mark.parametrize(
    "note",
    [
        "{",
        "[]",
        '{"dataset": "ntu60"}',
        '{"dataset": "x", "clips": 1, "seed": 0, "frames": [40, 120]}',
    ],
)
def test_a_damaged_note_stops_replace(note: str, tmp_path: Path) -> None:
    (tmp_path / "synth.json").write_text(note)
    with pytest.raises(OutputError, match=r"synth\.json is damaged: .* Choose another folder\.$"):
        synth.write("ntu60", tmp_path, 2, replace=True)
    assert set(digests(tmp_path)) == {"synth.json"}


def test_faults_of_the_command_are_one_line(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("x")
    out = tmp_path / "new"
    cases = [
        (
            (out,),
            "synth writes no files of 'ntu6'. Choose one of: ntu60, ntu120, pku1, pku2. Did you mean 'ntu60'?",
            "ntu6",
        ),
        (
            (occupied,),
            f"{occupied} is not a folder. Give a folder that is new, empty or written by synth.",
            "ntu60",
        ),
        (
            (out, "--frames", "50", "40"),
            "--frames 50 40 does not fit. Give the least and the greatest length, 8 to 300 frames.",
            "ntu60",
        ),
    ]
    for args, message, dataset in cases:
        code, stdout, err = run(dataset, *args, "--clips", "10")
        assert (code, stdout) == (2, "")
        assert err.startswith("Error: ")
        assert err.count("\n") == 1
        assert err.removeprefix("Error: ").startswith(message.split("Choose one of")[0])
    assert run("pku1", out, "--clips", "5")[2].startswith("Error: --clips 5 is too few for pku1: ")
    assert not out.exists()
    with pytest.raises(SettingError, match=r"^--clips must be at least 1, not 0\.$"):
        synth.write("ntu60", out, 0)


def test_the_command_writes_and_tells(tmp_path: Path) -> None:
    code, out, err = run(
        "ntu120", tmp_path / "raw", "--clips", "40", "--workers", "1", "--frames", "10", "12"
    )
    assert code == 0, err
    assert out.startswith(f"{tmp_path / 'raw'}: 40 clips of 40 classes by ")
    files = list((tmp_path / "raw").glob("*.skeleton"))
    assert len(files) == 40
    assert all(10 <= int(path.read_bytes().split(None, 1)[0]) <= 12 for path in files)


def test_help_shows_the_default_length_and_an_example() -> None:
    result = CliRunner().invoke(cli.main, ["synth", "--help"])
    assert result.exit_code == 0
    assert f"[default: {NATURAL_FRAMES[0]}, {NATURAL_FRAMES[1]}" in " ".join(result.output.split())
    assert "skeltools synth ntu60 raw/ --clips 600" in result.output


def test_a_long_name_is_shown_as_it_is(tmp_path: Path) -> None:
    code, out, _ = run("ntu60", tmp_path / "[bold]raw[/bold]", "--clips", "1", "--workers", "1")
    assert code == 0
    assert "[bold]raw[/bold]: 1 clip" in out
