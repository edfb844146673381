"""A corpus of malformed inputs: each gives one error that names file and line, and no output."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from commands import call
from rawfiles import body_of, ntu_bytes, pku_bytes, write_ntu, write_pku

from skeltools.convert.pipeline import convert
from skeltools.datasets import registry as datasets
from skeltools.errors import FormatError, SkeltoolsError, SourceError
from skeltools.store import ClipFile

GOOD = ntu_bytes([body_of(1, 3), body_of(2, 3)])
LINES = GOOD.split(b"\r\n")[:-1]  # 1 + 3 * (1 + 2 * 27) = 166 lines
JOINT = b"0.1 0.2 0.3 4 5 6 7 8 9 10 11 2"
BODY = b"72057594037931000 0 1 1 1 1 0 -0.1 0.1 2"


def cut(lines: int, part: float = 0.0) -> bytes:
    """The file's first lines, and a part of the next."""
    whole = b"\r\n".join(LINES[:lines])
    return whole + b"\r\n" + LINES[lines][: int(len(LINES[lines]) * part)] if part else whole


def line(number: int, text: bytes, newline: bytes = b"\r\n") -> bytes:
    """The file with one line (1-based) replaced."""
    return newline.join([*LINES[: number - 1], text, *LINES[number:]])


NTU = {
    # cut off at every structural boundary, with and without a part of the next line
    "after the frame count": cut(1),
    "after a body count": cut(2),
    "inside a body line": cut(2, 0.5),
    "after a body line": cut(3),
    "after a joint count": cut(4),
    "inside the first joint line": cut(4, 0.5),
    "after the first joint line": cut(5),
    "before the last joint line of a body": cut(28),
    "after the first body": cut(29),
    "inside the second body line": cut(29, 0.3),
    "after the second joint count": cut(31),
    "inside a joint of the second body": cut(40, 0.7),
    "after the first frame": cut(56),
    "after the second body count": cut(57),
    "before the last joint line": cut(165),
    "inside the last joint line": cut(165, 0.5),
    # wrong counts
    "frame count too large": line(1, b"4"),
    "frame count too small": line(1, b"2"),
    "frame count zero but bodies": line(1, b"0"),
    "frame count enormous": line(1, b"999999999"),
    "frame count with ten digits": line(1, b"9999999999"),
    "frame count negative": line(1, b"-3"),
    "frame count fractional": line(1, b"3.0"),
    "two numbers as frame count": line(1, b"3 3"),
    "body count too large": line(2, b"3"),
    "body count too small": line(2, b"1"),
    "body count zero": line(2, b"0"),
    "seven bodies": line(2, b"7"),
    "body count a word": line(2, b"two"),
    "no joints": line(4, b"0"),
    "24 joints": line(4, b"24"),
    "26 joints": line(4, b"26"),
    "joint count a word": line(4, b"x"),
    # wrong lines
    "body line missing": b"\r\n".join([*LINES[:2], *LINES[3:]]),
    "body line of 9 values": line(3, BODY[:-2]),
    "body line of 11 values": line(3, BODY + b" 1"),
    "tracking id a word": line(3, b"x" + BODY[3:]),
    "tracking id of 21 digits": line(3, b"1111" + BODY),
    "tracking id of 65 bits": line(3, b"18446744073709551616" + BODY[BODY.index(b" ") :]),
    "letters in a body line": line(3, BODY.replace(b"-0.1", b"l.1")),
    "joint line missing": b"\r\n".join([*LINES[:10], *LINES[11:]]),
    "joint line twice": b"\r\n".join([*LINES[:10], LINES[9], *LINES[10:]]),
    "joint line of 11 values": line(5, JOINT[:-2]),
    "joint line of 13 values": line(5, JOINT + b" 1"),
    "joint line empty": line(5, b""),
    "joint line with commas": line(5, JOINT.replace(b" ", b",")),
    "letter O for nought": line(5, b"O" + JOINT[1:]),
    "decimal comma": line(5, JOINT.replace(b"0.1", b"0,1")),
    "two signs": line(5, b"--" + JOINT),
    "two points": line(5, b"0." + JOINT),
    "exponent without digits": line(5, b"0.1e" + JOINT[3:]),
    "underscore": line(5, b"1_0" + JOINT[3:]),
    "hexadecimal": line(5, b"0x1" + JOINT[3:]),
    "NaN": line(5, b"NaN" + JOINT[3:]),
    "minus infinity": line(5, b"-inf" + JOINT[3:]),
    "beyond float32": line(5, b"1e39" + JOINT[3:]),
    "beyond float64": line(5, b"1e999" + JOINT[3:]),
    "words in unused values": line(5, JOINT.replace(b" 7 ", b" none ")),
    "lone carriage returns": GOOD.replace(b"\r\n", b"\r"),
    "text after the end": GOOD + b"0.1 0.2\r\n",
    "a second file after the end": GOOD + GOOD,
    "zero bytes": line(5, b"\x00" * 20),
    # no text at all
    "empty": b"",
    "blank": b"\r\n\r\n",
    "binary": bytes(range(256)) * 8,
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(500),
    "UTF-16": GOOD.decode().encode("utf-16"),
    "HTML": b"<!DOCTYPE html><html><body>Please log in</body></html>",
}


@pytest.mark.parametrize("fault", NTU)
def test_malformed_ntu_files(fault: str, tmp_path: Path) -> None:
    path = write_ntu(tmp_path / "raw", "S001C001P001R001A001")
    path.write_bytes(NTU[fault])
    write_ntu(tmp_path / "raw", "S001C001P001R001A002")
    with pytest.raises(FormatError) as caught:
        convert(datasets.get("ntu60"), path.parent, tmp_path / "o.h5")
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text
    assert text.isprintable()
    assert caught.value.line is not None or fault in {"empty", "blank"}
    assert [item.name for item in tmp_path.iterdir()] == ["raw"]
    summary = convert(datasets.get("ntu60"), path.parent, tmp_path / "o.h5", skip_damaged=True)
    assert (summary.clips, summary.excluded) == (1, {"damaged": 1})


ROW = b" ".join([b"0.5"] * 150)
BOTH = pku_bytes(np.stack([body_of(1, 80), body_of(2, 80)], axis=1))


SKELETON, LABEL, SPLIT = "skeleton/A01N02-L.txt", "label/A01N02-L.txt", "split/cross_subject_v2.txt"

PKU = {
    "skeleton empty": (SKELETON, b""),
    "skeleton of blanks": (SKELETON, b" \n \n"),
    "row cut off": (SKELETON, BOTH[:-40]),
    "row of 149": (SKELETON, ROW + b"\n" + ROW[:-4]),
    "row of 151": (SKELETON, ROW + b" 1\n"),
    "row of 75": (SKELETON, ROW[:300]),
    "blank row inside": (SKELETON, ROW + b"\n\n" + ROW),
    "letters": (SKELETON, ROW.replace(b"0.5", b"O.5", 1)),
    "NaN": (SKELETON, ROW.replace(b"0.5", b"nan", 1)),
    "infinite": (SKELETON, ROW.replace(b"0.5", b"-inf", 1)),
    "commas": (SKELETON, ROW.replace(b" ", b",")),
    "binary": (SKELETON, bytes(range(256))),
    "label empty": (LABEL, b"\n"),
    "label of three": (LABEL, b"9,2,30\n"),
    "label of five": (LABEL, b"9,2,30,2,1\n"),
    "label with words": (LABEL, b"bow,2,30,2\n"),
    "label fractional": (LABEL, b"9,2.5,30,2\n"),
    "label class 0": (LABEL, b"0,2,30,2\n"),
    "label class 52": (LABEL, b"52,2,30,2\n"),
    "label binary": (LABEL, bytes(range(256))),
    "label without video": ("label/A01N09-M.txt", b"9,2,30,2\n"),
    "label of a strange name": ("label/bow.txt", b"9,2,30,2\n"),
    "skeleton of a strange name": ("skeleton/A01N02-X.txt", ROW),
    "split empty": (SPLIT, b""),
    "split of two lines": (SPLIT, b"Training\nA01N02-L\n"),
    "split of five lines": (SPLIT, b"Training\nA01N02-L\nTest\nA01N03-L\nMore\n"),
    "split with semicolons": (SPLIT, b"Training\nA01N02-L;A01N03-L\nTest\nA01N03-L\n"),
    "split with a video on both sides": (SPLIT, b"Training\nA01N02-L,A01N03-L\nTest\nA01N03-L\n"),
    "split naming unknown videos": (SPLIT, b"Training\nA01N02-L\nTest\nA01N03-L,A01N07-L\n"),
    "split binary": (SPLIT, bytes(range(256))),
}  # fmt: skip

LINE_OF_PKU = {
    "row cut off": 80,
    "row of 149": 2,
    "row of 151": 1,
    "row of 75": 1,
    "blank row inside": 2,
    "letters": 1,
    "NaN": 1,
    "infinite": 1,
    "commas": 1,
    "binary": 1,
    "label of three": 1,
    "label of five": 1,
    "label with words": 1,
    "label fractional": 1,
    "label class 0": 1,
    "label class 52": 1,
    "label binary": 1,
    "split with semicolons": 2,
    "split with a video on both sides": 4,
    "split naming unknown videos": 4,
}
"""The line each error names; a fault of the whole file, or of its name, has none."""


@pytest.mark.parametrize("fault", PKU)
def test_malformed_pku_files(fault: str, tmp_path: Path) -> None:
    raw = write_pku(tmp_path / "raw")
    name, content = PKU[fault]
    (raw / name).write_bytes(content)
    with pytest.raises(FormatError) as caught:
        convert(datasets.get("pku2"), raw, tmp_path / "o.h5")
    text = str(caught.value)
    assert text.startswith(str(raw / name))
    assert caught.value.line == LINE_OF_PKU.get(fault)
    assert "\n" not in text
    assert text.isprintable()
    assert [item.name for item in tmp_path.iterdir()] == ["raw"]


@pytest.mark.parametrize(
    "fault", [fault for fault in PKU if PKU[fault][0] != SPLIT or fault == "split naming unknown videos"]
)
def test_damaged_pku_files_can_be_skipped(fault: str, tmp_path: Path) -> None:
    raw = write_pku(tmp_path / "raw")
    name, content = PKU[fault]
    (raw / name).write_bytes(content)
    summary = convert(datasets.get("pku2"), raw, tmp_path / "o.h5", skip_damaged=True)
    assert summary.clips in (2, 4)
    if name != SPLIT:
        assert summary.excluded["damaged"] >= 1
    else:
        assert summary.notes == [
            "1 video of split/cross_subject_v2.txt is not in the source, A01N07-L first."
        ]


@pytest.mark.parametrize(
    "name",
    ["S001C001P001R001", "s001c001p001r001a001", "S001C001P001R001A01", "clip", "S001C001P001R001A001 (1)"],
)
def test_wrong_names(name: str, tmp_path: Path) -> None:
    path = write_ntu(tmp_path / "raw", name)
    with pytest.raises(FormatError) as caught:
        convert(datasets.get("ntu60"), path.parent, tmp_path / "o.h5")
    assert str(caught.value) == f"{path}: the file name is not a clip name such as S001C001P001R001A001."


def test_every_truncation_of_a_zip_is_a_source_or_format_error(tmp_path: Path) -> None:
    write_ntu(tmp_path / "raw", "S001C001P001R001A001", frames=2)
    whole = tmp_path / "whole.zip"
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "raw" / "S001C001P001R001A001.skeleton", "S001C001P001R001A001.skeleton")
    content = whole.read_bytes()
    path = tmp_path / "cut.zip"
    for size in range(0, len(content), 23):
        path.write_bytes(content[:size])
        with pytest.raises((SourceError, FormatError)) as caught:
            convert(datasets.get("ntu60"), path, tmp_path / "o.h5")
        assert str(caught.value).startswith(str(path))
    rng = np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(content)
        damaged[int(rng.integers(len(content)))] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            convert(datasets.get("ntu60"), path, tmp_path / "o.h5", replace=True)
        except SkeltoolsError:
            continue


def test_the_corpus_is_large_enough() -> None:
    assert len(NTU) + len(PKU) >= 60


@pytest.mark.parametrize("name", ["\udcff.skeleton", "\udcfe.txt", "\udcff/\udcfe.skeleton"])
def test_a_file_whose_name_is_no_utf8_costs_no_conversion(name: str, tmp_path: Path) -> None:
    """What is left out or passed over is listed with an escape for what HDF5 has no text for."""
    raw = tmp_path / "raw"
    (raw / name).parent.mkdir(parents=True, exist_ok=True)
    for clip in ("S001C001P001R001A001", "S001C001P002R001A002"):
        (raw / f"{clip}.skeleton").write_bytes(GOOD)
    (raw / name).write_bytes(GOOD)
    out = tmp_path / "o.h5"
    words = ["convert", "ntu60", raw, out, "--frames", "4", "--on-error", "skip"]
    result = call(*words)
    assert result.exit_code == 0, result.stderr
    assert call("verify", out).exit_code == 0
    with ClipFile(out) as file:
        told = [text for entry in file.excluded for text in entry] + [note.text for note in file.notes]
    assert any("\\udc" in text for text in told), told
