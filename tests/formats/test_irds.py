"""IntelliRehabDS: raw text files and NTU-format copies."""
# ruff: noqa: E501 (messages stand in one line each)

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rawfiles import body_of, write_ntu

from skeltools.convert.pipeline import convert
from skeltools.datasets import registry as datasets
from skeltools.errors import FormatError, SourceError
from skeltools.formats import irds
from skeltools.store import ClipFile

IRDS = datasets.get("irds")


def frame(coordinates: np.ndarray) -> str:
    groups = (
        f"({name},Tracked,{x:.7g},{y:.7g},{z:.7g},192.5,204.2)"
        for name, (x, y, z) in zip(irds.JOINTS, coordinates, strict=True)
    )
    return "8530,5,35600," + ",".join(groups)


def raw_bytes(body: np.ndarray) -> bytes:
    return ("Version0.1\n" + "\n".join(map(frame, body)) + "\n").encode()


FILE = raw_bytes(body_of(1, 4))


def test_coordinates_come_back_and_short_lines_are_no_frames() -> None:
    lines = FILE.split(b"\n")
    lines[2:2] = [b"8531,5,35631", lines[1].rpartition(b",(")[0], b""]
    for data in (FILE, b"\n".join(lines), FILE.replace(b"\n", b"\r\n")):
        found = irds.parse(data, "x.txt")
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found[:, 0], body_of(1, 4).astype(np.float32))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "x.txt, line 1: no version line."),
        (b"12,5,7\n", "x.txt, line 1: expected a version, not '12,5,7'."),
        (FILE.replace(b"SpineMid", b"SpineMd", 1), "x.txt, line 2: joint 'SpineMd' is where SpineMid was expected."),
        (FILE.replace(b"(Neck,Tracked,", b"(Neck,Tracked,O", 1), None),
        (FILE.replace(b"(Neck,Tracked,", b"(Neck,Tracked,NaN,1,2,3,4),(Neck,Tracked,", 1), "x.txt, line 2: 26 joints in a frame; expected 25."),
    ],
)  # fmt: skip
def test_faults(data: bytes, message: str | None) -> None:
    with pytest.raises(FormatError) as caught:
        irds.parse(data, "x.txt")
    if message is None:
        assert str(caught.value).startswith("x.txt, line 2: 'O")
    else:
        assert str(caught.value) == message


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_fuzzed_files_give_frames_or_a_format_error(data: st.DataObject) -> None:
    content = bytearray(FILE[: data.draw(st.integers(0, len(FILE)))])
    for _ in range(3):
        at = data.draw(st.integers(0, len(content)))
        content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        found = irds.parse(bytes(content), "x.txt")
    except FormatError as error:
        message = str(error)
        assert message.startswith("x.txt")
    else:
        assert np.isfinite(found).all()


def test_raw_folder(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    for number, name in enumerate(("215_18_4_5_1_stand", "216_18_0_1_2_chair", "217_18_8_12_3_wheelchair")):
        (folder / f"{name}.txt").write_bytes(raw_bytes(body_of(number, 20 + number)))
    (folder / "218_18_0_1_2_stand.txt").write_bytes(b"Version0.1\n")
    summary = convert(IRDS, folder, tmp_path / "o.h5")
    assert summary.excluded == {"empty": 1}
    with ClipFile(tmp_path / "o.h5") as file:
        assert file.names == ["215_18_4_5_1_stand", "216_18_0_1_2_chair", "217_18_8_12_3_wheelchair"]
        assert [file.classes[label] for label in file.labels] == [
            "shoulder abduction left", "elbow flexion left", "side tap right",
        ]  # fmt: skip
        assert np.asarray(file.column("correct")).tolist() == [1, 2, 3]
        assert np.asarray(file.column("subject")).tolist() == [215, 216, 217]
        assert file.column("position") == ["stand", "chair", "wheelchair"]
        assert file.rows("xsub", "test").tolist() == [1]  # 216 is divisible by three
        assert np.asarray(file.column("frames")).tolist() == [20, 21, 22]


def test_real_recordings(shared: Path, tmp_path: Path) -> None:
    raw = convert(IRDS, shared / "real" / "irds_raw", tmp_path / "raw.h5")
    assert raw.clips == 2
    assert raw.splits == {"xsub": (1, 1)}
    copies = convert(IRDS, shared / "real" / "irds_ntu", tmp_path / "copies.h5")
    assert copies.clips == 127
    assert copies.splits == {"xsub": (73, 54)}
    with ClipFile(tmp_path / "copies.h5") as file:
        assert set(file.labels.tolist()) == set(range(9))
        assert len(file.classes) == 9


def test_wrong_names_and_mixed_kinds(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "notes.txt").write_text("x")
    with pytest.raises(SourceError, match=r"holds no clip of irds to convert \(left out: 1 other\)"):
        convert(IRDS, folder, tmp_path / "o.h5")
    (folder / "notes.txt").rename(folder / "215_18_4_5_1.txt")
    with pytest.raises(FormatError) as caught:
        convert(IRDS, folder, tmp_path / "o.h5")
    assert str(caught.value) == (
        f"{folder / '215_18_4_5_1.txt'}: the file name is not "
        "SUBJECT_DATE_GESTURE_REPETITION_CORRECT_POSITION."
    )
    (folder / "215_18_4_5_1.txt").rename(folder / "215_18_4_5_1_stand.txt")
    write_ntu(folder, "S001C001P001R001A001")
    with pytest.raises(SourceError, match="which may be the same clips"):
        convert(IRDS, folder, tmp_path / "o.h5")
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "x.csv").write_text("x")
    with pytest.raises(SourceError, match=r"holds neither \.txt files of IntelliRehabDS nor"):
        convert(IRDS, tmp_path / "none", tmp_path / "o.h5")
