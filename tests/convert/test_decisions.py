"""Nothing is left out, shortened or guessed in converting without a row in /excluded or a counted note."""

from __future__ import annotations

import json
import shutil
import warnings
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result
from rawfiles import body_of, ntu_bytes, pku_bytes, write_ntu, write_pku

from skeltools.cli.main import main
from skeltools.convert.pipeline import convert
from skeltools.datasets import registry as datasets
from skeltools.formats import irds, ntu
from skeltools.store import ClipFile

A, B = "S001C001P001R001A001", "S001C001P001R001A002"
BOM = b"\xef\xbb\xbf"
UTF16 = (
    "this is a text file in UTF-16 or UTF-32. "
    "Save it as UTF-8, for example: iconv -f UTF-16 -t UTF-8 FILE > NEW"
)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def done(*arguments: object) -> list[str]:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def refused(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, result.output
    return errors[0].removeprefix("Error: ")


def left_out(out: Path) -> list[tuple[str, str]]:
    with ClipFile(out) as file:
        return file.excluded


@pytest.mark.parametrize(
    "name", [f"{A}.skeleton.txt", f"{A}.txt", f"deep/{A}.skeleton.bak", f"{A} (1).skl", f"{A.lower()}.txt"]
)
def test_files_that_look_like_clips_are_named(tmp_path: Path, name: str) -> None:
    path = write_ntu(tmp_path / "in", B)
    other = tmp_path / "in" / name
    other.parent.mkdir(exist_ok=True)
    shutil.copy(path, other)
    out = tmp_path / "o.h5"
    assert done("convert", "ntu60", tmp_path / "in", out)[:3] == [
        f"{out}: 1 clip of ntu60",
        "  left out: 1 misnamed",
        f"  note: 1 file under a clip's name but another extension, not read: {name}.",
    ]
    stem = other.name.partition(".")[0]
    assert left_out(out) == [(stem, f"misnamed: {name} looks like a clip but is not called NAME.skeleton")]
    path.unlink()
    assert f"({name} looks like one: rename it)" in refused(
        "convert", "ntu60", tmp_path / "in", tmp_path / "p"
    )


def test_other_files_are_listed_in_every_dataset(tmp_path: Path) -> None:
    write_ntu(tmp_path / "ntu60", A)
    write_pku(tmp_path / "pku2")
    irds_file(tmp_path / "irds")
    (tmp_path / "pku2" / "skeleton" / "README.txt").write_text("hello")
    for name in ("ntu60", "pku2", "irds"):
        (tmp_path / name / "README.txt").write_text("hello")
        (tmp_path / name / "licence.pdf").write_bytes(b"%PDF")
        (tmp_path / name / ".DS_Store").write_bytes(b"")
        out = tmp_path / f"{name}.h5"
        done("convert", name, tmp_path / name, out)
        others = [entry for entry, reason in left_out(out) if reason.startswith("other: ")]
        assert others == ["README.txt", *(["README.txt"] if name == "pku2" else []), "licence.pdf"]
        with ClipFile(out) as file:
            assert [(note.kind, note.times) for note in file.notes] == [("other", len(others))]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_texts_in_utf16_are_named_and_byte_order_marks_passed_over(tmp_path: Path, encoding: str) -> None:
    out = tmp_path / "o.h5"
    ntu60 = write_ntu(tmp_path / "ntu60", A)
    pku2 = write_pku(tmp_path / "pku2")
    one = irds_file(tmp_path / "irds")
    files = {
        "ntu60": [ntu60],
        "pku2": [
            pku2 / "label/A01N02-L.txt",
            pku2 / "skeleton/A01N02-L.txt",
            pku2 / "split/cross_view_v2.txt",
        ],
        "irds": [one],
    }
    for dataset, paths in files.items():
        done("convert", dataset, tmp_path / dataset, out, "--replace")
        with ClipFile(out) as file:
            digest = file.digest
        for path in paths:
            plain = path.read_bytes()
            path.write_bytes(plain.decode().encode(encoding))
            assert (
                refused("convert", dataset, tmp_path / dataset, out, "--replace")
                == f"{path}, line 1: {UTF16}"
            )
            path.write_bytes(BOM + plain)
            done("convert", dataset, tmp_path / dataset, out, "--replace")
            with ClipFile(out) as file:
                assert file.digest == digest
            path.write_bytes(plain)
    listed = tmp_path / "names.txt"
    listed.write_bytes(BOM + str(ntu60).encode())
    done("convert", "ntu60", f"@{listed}", out, "--replace")
    listed.write_bytes(str(ntu60).encode(encoding))
    assert refused("convert", "ntu60", f"@{listed}", out, "--replace").startswith(
        f"{listed}: this is not a text file with one path per line: a text file in UTF-16 or UTF-32. Save it"
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"<!DOCTYPE html><html>Please log in</html>", "this is a web page, not the file that it offers. "),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "this is a pointer of Git LFS, not the file itself. ",
        ),
        (b"\x1f\x8b\x08" + bytes(40), "this is a gzip file. "),
    ],
)
def test_what_is_no_text_is_named(tmp_path: Path, content: bytes, told: str) -> None:
    path = write_ntu(tmp_path / "in", A)
    path.write_bytes(content)
    assert refused("convert", "ntu60", tmp_path / "in", tmp_path / "o.h5").startswith(
        f"{path}, line 1: {told}"
    )


def scaled(folder: Path, name: str, scale: float, frames: int = 12) -> Path:
    path = write_ntu(folder, name, frames=frames)
    path.write_bytes(ntu_bytes([body_of(0, frames) * scale]))
    return path


@pytest.mark.parametrize(("unit", "scale", "word"), [("mm", 1000, "millimetres"), ("cm", 100, "centimetres")])
def test_other_units_are_refused_and_read_on_request(
    tmp_path: Path, unit: str, scale: float, word: str
) -> None:
    path = scaled(tmp_path / "in", A, scale)
    out = tmp_path / "o.h5"
    told = refused("convert", "ntu60", tmp_path / "in", out)
    assert told.startswith(f"{path}: a person of ")
    assert told.endswith(f" m: {word}? Read them with --unit {unit}.")
    assert f"1 implausible). {A}: implausible: " in refused(
        "convert", "ntu60", tmp_path / "in", out, "--on-error", "skip"
    )
    done("convert", "ntu60", tmp_path / "in", out, "--unit", unit, "--keep-raw")
    write_ntu(tmp_path / "metres", A)
    done("convert", "ntu60", tmp_path / "metres", tmp_path / "m.h5")
    with ClipFile(out) as file, ClipFile(tmp_path / "m.h5") as metres:
        np.testing.assert_allclose(file.clips(), metres.clips(), atol=1e-5)
        assert file.attrs["chain.unit"] == unit
        assert "chain.unit" not in metres.attrs
    assert done("verify", out)[-1] == f"{out}: 1 clip, no faults"
    assert done("convert", "ntu60", tmp_path / "in", out, "--unit", unit, "--resume")  # it is finished
    assert "with a different chain.unit" in refused("convert", "ntu60", tmp_path / "in", out, "--resume")
    assert "not in mm? Choose another --unit" in refused(
        "convert", "ntu60", tmp_path / "metres", tmp_path / "p.h5", "--unit", "mm"
    )
    write_ntu(tmp_path / "in", B)
    assert done("convert", "ntu60", tmp_path / "in", out, "--on-error", "skip", "--replace")[1] == (
        "  left out: 1 implausible"
    )


def test_verify_finds_other_units_and_odd_measures(tmp_path: Path) -> None:
    out = tmp_path / "o.h5"
    write_ntu(tmp_path / "in", A)
    write_ntu(tmp_path / "in", B, 1)
    done("convert", "ntu60", tmp_path / "in", out)

    def verified(factor: float, row: int = 1) -> list[str]:
        copy = tmp_path / "copy.h5"
        shutil.copy(out, copy)
        with h5py.File(copy, "r+") as file:
            file["clips"][row] = file["clips"][row] * factor
        return run("verify", copy).stdout.splitlines()

    assert not any("person" in line for line in verified(1))
    assert any(line.startswith(f"fault: 1 clip holds what no person can be, {B} first: a person of ")
               and "millimetres?" in line for line in verified(1000))  # fmt: skip
    assert any("centimetres?" in line for line in verified(100, 0))
    assert f"note: 1 clip has a person larger than 8 m, {B} first; are they scaled?" in verified(10)
    assert any(line.startswith("note: 1 clip has a bone longer than 1.5 m") for line in verified(4))


@pytest.mark.parametrize(
    ("token", "value"),
    [
        (b"0", 0),
        (b"9223372036854775807", 2**63 - 1),
        (b"9223372036854775808", 2**63),
        (b"18446744073709551615", 2**64 - 1),
    ],
)
def test_tracking_ids_of_64_bits_are_read(token: bytes, value: int) -> None:
    data = ntu_bytes([body_of(0, 2)]).replace(b"72057594037931000", token)
    found = ntu.read(data, "x")
    assert found.ids.view(np.uint64).tolist() == [value] * 2
    assert ntu.read_plain(data, "x").ids.tolist() == found.ids.tolist()


@pytest.mark.parametrize("token", ["-1", "72057594037931101.0", "7e16", "abc", "18446744073709551616", "nan"])
def test_the_message_says_what_a_tracking_id_is(tmp_path: Path, token: str) -> None:
    path = write_ntu(tmp_path / "in", A, frames=3)
    path.write_bytes(path.read_bytes().replace(b"72057594037931000", token.encode(), 1))
    assert refused("convert", "ntu60", tmp_path / "in", tmp_path / "o.h5") == (
        f"{path}, line 3: '{token}' in a body line of frame 1 of 3 is not a tracking id, which is a whole "
        "number from 0 to 18446744073709551615 written in digits."
    )


def pku1(folder: Path, labels: bytes, video: str = "0002-L", more: bytes = b"1,5,25,2\n") -> Path:
    """A PKU-MMD I folder of two videos of 80 frames."""
    for number, (name, content) in enumerate(((video, labels), ("0003-L", more))):
        both = np.zeros((80, 2, 25, 3))
        both[:, 0] = body_of(number, 80)
        for kind, written in (("skeleton", pku_bytes(both)), ("label", content)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            (folder / kind / f"{name}.txt").write_bytes(written)
    return folder


def test_labels_beyond_their_video_are_noted_or_left_out(tmp_path: Path) -> None:
    source, out = pku1(tmp_path / "in", b"1,10,60,2\n22,70,100,1\n3,81,90,1\n4,60,80,1\n"), tmp_path / "o.h5"
    told = (
        "1 label goes beyond the last frame of its video: cut there, 0002-L_002 first. "
        "Use --long-labels exclude to leave such clips out."
    )
    assert f"  note: {told}" in done("convert", "pku1", source, out)
    with ClipFile(out) as file:
        assert np.asarray(file.column("frames")).tolist() == [51, 11, 21, 21]
        assert file.excluded == [("0002-L_003", "empty: no frames")]
        assert [note for note in file.notes if note.kind == "label-beyond"] == [("label-beyond", 1, told)]
        assert file.attrs["count.note.label-beyond"] == 1
    assert f"note: {told}" in done("verify", out)
    assert any("label-beyond" in line for line in done("inspect", out))
    assert told in [note["text"] for note in json.loads(run("inspect", out, "--json").stdout)["notes"]]
    done("convert", "pku1", source, out, "--long-labels", "exclude", "--replace")
    with ClipFile(out) as file:
        assert file.names == ["0002-L_001", "0002-L_004", "0003-L_001"]
        assert file.excluded[0] == ("0002-L_002", "range: frames 70 to 100 of a video of 80")
        assert file.attrs["chain.long_labels"] == "exclude"


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (b"0,10,60,2", "class 0 is not one of 1 to 51."),
        (b"52,10,60,2", "class 52 is not one of 1 to 51."),
        (b"1;10;60;2", "expected class,start,end,confidence as four whole numbers, not '1;10;60;2'."),
    ],
)
def test_a_faulty_label_row_goes_alone(tmp_path: Path, row: bytes, fault: str) -> None:
    source, out = pku1(tmp_path / "in", row + b"\n22,20,50,1\n"), tmp_path / "o.h5"
    assert refused("convert", "pku1", source, out) == f"{source}/label/0002-L.txt, line 1: {fault}"
    done("convert", "pku1", source, out, "--on-error", "skip")
    with ClipFile(out) as file:
        assert file.names == ["0002-L_002", "0003-L_001"]
        assert file.excluded == [("0002-L_001", f"damaged: label/0002-L.txt, line 1: {fault}")]


def test_names_tell_the_part_of_pku(tmp_path: Path) -> None:
    out = tmp_path / "o.h5"
    part2 = write_pku(tmp_path / "two")
    part1 = pku1(tmp_path / "one", b"1,10,60,2\n")
    for skip in ((), ("--on-error", "skip")):
        assert refused("convert", "pku1", part2, out, *skip) == (
            f"{part2}/label/A01N02-L.txt: video A01N02-L is named as one of pku2, not of pku1. "
            "Convert it as pku2."
        )
        assert refused("convert", "pku2", part1, out, *skip).endswith("not of pku2. Convert it as pku1.")
    shutil.copytree(part2 / "skeleton", part1 / "skeleton", dirs_exist_ok=True)
    assert "Convert it as pku2." in refused("convert", "pku1", part1, out)
    done("convert", "pku1", part1, out, "--on-error", "skip")
    assert left_out(out) == [
        (video, f"outside: skeleton/{video}.txt: video {video} is named as one of pku2, not of pku1.")
        for video in ("A01N02-L", "A01N03-L")
    ]


def irds_line(coordinates: np.ndarray) -> str:
    groups = (f"({joint},Tracked,{x:.5f},{y:.5f},{z:.5f},1.5,2.5)" for joint, (x, y, z) in zip(irds.JOINTS, coordinates, strict=True))  # fmt: skip  # noqa: E501
    return "0,0,0," + ",".join(groups)


def irds_file(folder: Path, name: str = "101_18_0_1_1_stand", frames: int = 6) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["Version0.1", *map(irds_line, body_of(1, frames))]
    (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder / f"{name}.txt"


def comma(line: str) -> str:
    head, *groups = line.split("(")
    return "(".join([head, *(group.replace(".", ",", 3) for group in groups)])


IRDS_FAULTS = {
    "decimal commas": (comma, "the numbers have decimal commas. Write them with decimal points."),
    "a comma lost": (lambda line: line.replace("SpineMid,", "SpineMid", 1), "'(SpineMid"),
    "a bracket lost": (lambda line: line.replace("(Neck", "Neck", 1), "'"),
    "a closing bracket lost": (lambda line: line.replace("),(Neck", ",(Neck", 1), "'("),
    "cut within a joint": (lambda line: line[: line.index("(Head") + 9], "'(Head"),
    "a word": (lambda line: "damaged", "'damaged'"),
}


@pytest.mark.parametrize("fault", IRDS_FAULTS)
def test_damaged_lines_of_irds_are_named(tmp_path: Path, fault: str) -> None:
    path, out = irds_file(tmp_path / "in"), tmp_path / "o.h5"
    irds_file(tmp_path / "in", "102_18_0_1_1_stand")
    lines = path.read_text().split("\n")
    edit, told = IRDS_FAULTS[fault]
    lines[3] = edit(lines[3])
    path.write_text("\n".join(lines))
    assert refused("convert", "irds", tmp_path / "in", out).startswith(f"{path}, line 4: {told}")
    done("convert", "irds", tmp_path / "in", out, "--on-error", "skip")
    assert left_out(out)[0][1].startswith(f"damaged: {path.name}, line 4: {told}")


@pytest.mark.parametrize("keep", [1, 5, 20, 300, 1000])
def test_a_file_of_irds_cut_within_a_line_is_truncated(tmp_path: Path, keep: int) -> None:
    path = irds_file(tmp_path / "in")
    text = path.read_text()
    start = text.index("\n", 2000) + 1
    path.write_text(text[: start + max(keep, 6)])
    number = text.count("\n", 0, start) + 1
    told = refused("convert", "irds", tmp_path / "in", tmp_path / "o.h5")
    assert told.startswith(f"{path}, line {number}: the file ends within this line, after ")


def test_dropped_frames_of_irds_are_counted(tmp_path: Path) -> None:
    path, out = irds_file(tmp_path / "in"), tmp_path / "o.h5"
    lines = path.read_text().split("\n")
    lines[2:2] = ["8531,5,35631", lines[1].rpartition(",(")[0], ""]
    path.write_text("\n".join(lines))
    told = "2 lines with fewer than 25 joints, so not frames: passed over, 101_18_0_1_1_stand first."
    assert f"  note: {told}" in done("convert", "irds", tmp_path / "in", out)
    assert f"note: {told}" in done("verify", out)


@pytest.mark.parametrize("packed", [False, True])
def test_duplicates_say_whether_their_content_differs(tmp_path: Path, packed: bool) -> None:
    source, out = tmp_path / "in", tmp_path / "o.h5"
    for folder, seed, frames in (("a", 1, 12), ("b", 1, 12), ("c", 2, 12), ("d", 1, 20)):
        write_ntu(source / folder, A, seed, frames)
    if packed:
        with zipfile.ZipFile(tmp_path / "in.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(source.rglob("*.skeleton")):
                archive.write(path, path.relative_to(source))
        source = tmp_path / "in.zip"
    done("convert", "ntu60", source, out)
    kept = f"kept a/{A}.skeleton"
    assert left_out(out) == [
        (A, f"duplicate: {folder}/{A}.skeleton, {kept}, {what} content")
        for folder, what in (("b", "equal"), ("c", "other"), ("d", "other"))
    ]


def test_a_good_copy_is_used_when_the_first_is_damaged(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "o.h5"
    good = write_ntu(source / "b", A).read_bytes()
    write_ntu(source / "c", A)
    path = write_ntu(source / "a", A)
    path.write_bytes(good[:900])
    assert str(path) in refused("convert", "ntu60", source, out)
    done("convert", "ntu60", source, out, "--on-error", "skip")
    with ClipFile(out) as file:
        assert file.names == [A]
        first, second = file.excluded
    assert first[1].startswith(f"damaged: a/{A}.skeleton, line ")
    assert first[1].endswith(f"; b/{A}.skeleton is used")
    assert second == (A, f"duplicate: c/{A}.skeleton, kept b/{A}.skeleton, equal content")
    for folder in ("b", "c"):
        (source / folder / f"{A}.skeleton").write_bytes(b"x")
    write_ntu(source, B)
    done("convert", "ntu60", source, out, "--on-error", "skip", "--replace")
    assert [reason.partition(",")[0] for _, reason in left_out(out)] == [
        f"damaged: {folder}/{A}.skeleton" for folder in "abc"
    ]


def test_copies_of_labels_and_split_files_are_told(tmp_path: Path) -> None:
    source, out = write_pku(tmp_path / "in"), tmp_path / "o.h5"
    shutil.copytree(source / "label", source / "more" / "label")
    (source / "label" / "A01N02-L.txt").write_bytes(b"no labels")
    (source / "more" / "cross_view_v2.txt").write_bytes(b"other")
    done("convert", "pku2", source, out, "--on-error", "skip")
    with ClipFile(out) as file:
        assert len(file) == 4
    assert [reason for _, reason in left_out(out) if not reason.startswith("range")] == [
        "damaged: label/A01N02-L.txt, line 1: expected class,start,end,confidence as four whole numbers, not "
        "'no labels'.",
        "duplicate: more/label/A01N03-L.txt, kept label/A01N03-L.txt, equal content",
        "damaged: more/cross_view_v2.txt: 1 lines with text; expected four: heading, training videos, "
        "heading, test videos.",
    ]
    shutil.copy(source / "split" / "cross_subject_v2.txt", source / "more" / "cross_view_v2.txt")
    (source / "more" / "cross_view_v2.txt").open("a").write("\n")
    done("convert", "pku2", source, out, "--on-error", "skip", "--replace")
    assert (
        "cross_view_v2",
        "duplicate: split/cross_view_v2.txt, kept more/cross_view_v2.txt, other content",
    ) in (left_out(out))


@pytest.mark.parametrize(
    ("value", "dtype", "compiled"),
    [
        ("3.4e38", "float32", False),
        ("-3.4e38", "float32", True),
        ("7e4", "float16", False),
        ("3.3e38", "float16", False),
    ],
)
def test_finite_input_that_becomes_infinite_is_refused(
    tmp_path: Path, value: str, dtype: str, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from skeltools.formats import backend

    if compiled:
        monkeypatch.setattr(backend, "COMPILE_FROM", 1)
    path, out = write_ntu(tmp_path / "in", A), tmp_path / "o.h5"
    lines = path.read_bytes().split(b"\r\n")
    at = 1 + 28 * 3 + 3 + 5  # joint 5 of frame 4
    lines[at] = b" ".join([value.encode(), *lines[at].split(b" ")[1:]])
    if value.startswith("-"):  # the joint that is subtracted goes the other way
        lines[at + 15] = b" ".join([b"3.4e38", *lines[at + 15].split(b" ")[1:]])
    path.write_bytes(b"\r\n".join(lines))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        told = refused("convert", "ntu60", tmp_path / "in", out, "--dtype", dtype, "--workers", 1)
        assert told.startswith(f"{path}: x of joint ")
        assert "in frame 4 is " in told
        assert told.endswith(" m; expected coordinates in metres, of 10,000 at most.")
        write_ntu(tmp_path / "in", B)
        done("convert", "ntu60", tmp_path / "in", out, "--dtype", dtype, "--on-error", "skip", "--workers", 1)
    assert left_out(out)[0][1].startswith(f"implausible: {A}.skeleton: x of joint ")


def test_large_bodies_in_single_frames_are_noted(tmp_path: Path) -> None:
    path, out = write_ntu(tmp_path / "in", A), tmp_path / "o.h5"
    lines = path.read_bytes().split(b"\r\n")
    lines[1 + 28 * 3 + 8] = b" ".join([b"500", *lines[1 + 28 * 3 + 8].split(b" ")[1:]])
    path.write_bytes(b"\r\n".join(lines))
    told = f"  note: 1 body is larger than 8 m in single frames: kept as they are, {A} first."
    assert told in done("convert", "ntu60", tmp_path / "in", out)


def test_notes_and_copies_survive_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from skeltools.convert import pipeline as module

    folder = tmp_path / "in"
    for number in range(3):
        path = irds_file(folder, f"10{number}_18_0_1_1_stand")
        path.write_text(path.read_text() + "1,2,3\n")
    shutil.copytree(folder, folder / "again")
    whole, out = tmp_path / "whole.h5", tmp_path / "o.h5"
    done("convert", "irds", folder, whole, "--workers", 1)
    monkeypatch.setattr(module, "_BATCH_CLIPS", 1)
    monkeypatch.setattr(module, "_gather", lambda *arguments: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        convert(datasets.get("irds"), folder, out)
    monkeypatch.undo()
    done("convert", "irds", folder, out, "--resume", "--workers", 1)
    assert out.read_bytes() == whole.read_bytes()
    assert len(left_out(out)) == 3


@pytest.mark.parametrize(
    ("case", "dataset", "told"),
    [
        ("20b-skeleton-txt", "ntu60", "  left out: 1 misnamed"),
        ("20e-txt", "ntu60", "  left out: 1 misnamed"),
        ("21a-bom", "ntu60", "1 clip"),
        ("21b-utf16", "ntu60", "UTF-16"),
        ("22h-millimetres", "ntu60", "millimetres?"),
        ("22j-id-zero-negative-text", "ntu60", "not a tracking id"),
        ("32c-pku-beyond-fields", "pku1", "1 label goes beyond"),
        ("33-pku-class-0-52-a", "pku1", "3 clips"),
        ("36-pku-label-bom", "pku1", "4 clips"),
        ("39-pku-split-variants-c", "pku1", "2 train / 2 test"),
        ("44b-pku2-names-as-pku1-complete", "pku1", "Convert it as pku2."),
        ("44c-pku1-names-as-pku2", "pku2", "Convert it as pku1."),
        ("52-irds-comma-decimal", "irds", "line 2: the numbers have decimal commas"),
        ("53-irds-bom", "irds", "1 clip"),
        ("55-irds-readme-beside", "irds", "1 other file passed over: README.txt."),
        ("59-irds-half-the-lines-damaged", "irds", "line 11: '(SpineBaseTracked"),
        ("59b-irds-truncated-file", "irds", "line 22: the file ends within this line"),
        ("59c-irds-comma-decimal-among-others", "irds", "  left out: 1 damaged"),
        ("91-duplicate-of-other-content", "ntu60", "  left out: 1 duplicate"),
        ("93-damaged-copy-sorts-first", "ntu60", "2 clips"),
    ],
)
def test_the_cases_that_went_wrong(shared: Path, tmp_path: Path, case: str, dataset: str, told: str) -> None:
    source = shared / "cases" / case
    if not source.is_dir():
        pytest.skip("the folder ../shared/cases is not beside the checkout")
    source = source / "in" if (source / "in").is_dir() else source
    result = run("convert", dataset, source, tmp_path / "o.h5")
    skipping = run("convert", dataset, source, tmp_path / "p.h5", "--on-error", "skip")
    assert result.exit_code in (0, 2)
    assert told in result.output + skipping.output
