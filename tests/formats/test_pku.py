"""PKU-MMD files: parity with the reference, equality of the two parsers, and one clear error a fault."""
# ruff: noqa: E501 (messages stand in one line each)

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rawfiles import body_of, pku_bytes

from skeltools.errors import FormatError
from skeltools.formats import backend, pku

compiled = pytest.importorskip("skeltools.formats._compiled", reason="numba is not installed")

BOTH = np.stack([body_of(1, 4), body_of(2, 4)], axis=1)
FILE = pku_bytes(BOTH)


def both(data: bytes) -> np.ndarray | str:
    """Read by both parsers, check that they agree, and return the values or the error."""
    fast = compiled.table(data, pku.COLUMNS)
    try:
        plain = pku._plain(data, "v.txt")
    except FormatError as error:
        assert fast is None or len(fast) == 0
        return str(error)
    if fast is not None:
        assert fast.tobytes() == plain.tobytes()
    return plain


@pytest.mark.parametrize("use", [False, True])
def test_raw_clips_equal_the_reference(shared: Path, use: bool) -> None:
    folder = shared / "reference" / "pku_sample"
    expected = np.load(folder / "expected.npz")
    path = next((folder / "skeleton").iterdir())
    before = backend.compiled()
    backend.use_compiled(use)
    try:
        rows = pku.parse_skeleton(path.read_bytes(), str(path))
    finally:
        backend.use_compiled(before)
    label = folder / "label" / path.name
    for action in pku.parse_labels(label.read_bytes(), str(label), 51):
        raw = rows[action.start - 1 : action.end].transpose(3, 0, 2, 1)
        if raw.shape[1] > 300:
            start = (raw.shape[1] - 300) // 2
            raw = raw[:, start : start + 300]
        np.testing.assert_array_equal(raw, expected[f"{action.row - 1}/raw"])


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b" \n", b" \r\n"])
def test_values_come_back_whatever_the_line_end(newline: bytes) -> None:
    found = both(FILE.replace(b"\n", newline) + b"\n\r\n")
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found.reshape(BOTH.shape), BOTH.astype(np.float32))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "v.txt: the file is empty; expected rows of 150 numbers."),
        (FILE[:-9] + b"\n", "v.txt, line 4: 149 numbers in the row; expected 150."),
        (FILE.replace(b"\n", b" 1.0\n", 1), "v.txt, line 1: 151 numbers in the row; expected 150."),
        (FILE.replace(b"\n", b"\n\n", 1), "v.txt, line 2: 0 numbers in the row; expected 150."),
        (FILE.replace(b" 0", b" O", 1), None),
        (b" ".join([b"1"] * 149 + [b"nan"]), "v.txt, line 1: 'nan' is not a finite coordinate in metres."),
        (b" ".join([b"1"] * 149 + [b"1_0"]), "v.txt, line 1: '1_0' is not a number."),
        (
            b"\x89HDF\r\n\x1a\n",
            "v.txt, line 1: this is an HDF5 file that skeltools did not write. Save its arrays with numpy.save, "
            "as docs/preparing-data.md describes, and import these.",
        ),
    ],
)
def test_each_fault_is_one_line(data: bytes, message: str | None) -> None:
    found = both(data)
    assert isinstance(found, str)
    if message is None:
        assert found.startswith("v.txt, line 1: 'O.")
        assert found.endswith("is not a number.")
    else:
        assert found == message


NUMBERS = st.one_of(
    st.floats(-10, 10).map(lambda value: f"{value:.6f}"),
    st.floats().map(repr),
    st.from_regex(r"[+-]?[0-9]{0,19}\.?[0-9]{0,19}([eE][+-]?[0-9]{1,3})?", fullmatch=True),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(NUMBERS, min_size=150, max_size=150))
def test_both_parsers_read_every_number_alike(tokens: list[str]) -> None:
    both(" ".join(tokens).encode())


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_fuzzed_files_give_values_or_a_format_error(data: st.DataObject) -> None:
    content = bytearray(FILE[: data.draw(st.integers(0, len(FILE)))])
    at = data.draw(st.integers(0, len(content)))
    content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    both(bytes(content))


def test_labels() -> None:
    found = pku.parse_labels(b"9,12,57,2\r\n\n 33 , 80 ,171,2\n4,20,10,1", "l.txt", 51)
    assert [(item.row, item.label, item.start, item.end) for item in found] == [
        (1, 9, 12, 57),
        (2, 33, 80, 171),
        (3, 4, 20, 10),
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "l.txt: the file is empty; expected rows class,start,end,confidence."),
        (b"1,2,3\n", "l.txt, line 1: expected class,start,end,confidence as four whole numbers, not '1,2,3'."),
        (b"1,2,3,4\n1,x,3,4", "l.txt, line 2: expected class,start,end,confidence as four whole numbers, not '1,x,3,4'."),
        (b"0,2,3,4\n", "l.txt, line 1: class 0 is not one of 1 to 51."),
        (b"52,2,3,4\n", "l.txt, line 1: class 52 is not one of 1 to 51."),
        (b"\x80\x81,2,3,4\n", "l.txt, line 1: expected class,start,end,confidence as four whole numbers, not '\\x80\\x81,2,3,4'."),
        (b"\xff\xfe1\0,\0", "l.txt, line 1: this is a text file in UTF-16 or UTF-32. Save it as UTF-8, for example: iconv -f UTF-16 -t UTF-8 FILE > NEW"),
    ],
)  # fmt: skip
def test_label_faults(data: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        pku.parse_labels(data, "l.txt", 51)
    assert str(caught.value) == message


def test_split_files_may_end_lists_with_commas_and_spaces() -> None:
    text = b"Training videos:\r\n0002-L, 0002-M ,0002-R, \r\n\r\nValidation videos:\r\n0003-L,\r\n"
    train, test = pku.parse_split(text, "cross-view.txt")
    assert list(train) == ["0002-L", "0002-M", "0002-R"]
    assert test == {"0003-L": 5}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "s.txt: 0 lines with text; expected four: heading, training videos, heading, test videos."),
        (b"a\n0002-L\nb\n", "s.txt: 3 lines with text; expected four: heading, training videos, heading, test videos."),
        (b"a\n0002-L;0003-L\nb\n0004-L", "s.txt, line 2: '0002-L;0003-L' is not a video name such as 0002-L."),
        (b"a\n0002-L\nb\n0003-L,0002-L", "s.txt, line 4: video 0002-L is on both sides of the split."),
        (b"a\n\xff\nb\nc", "s.txt: the file is not plain text; expected a split file."),
    ],
)  # fmt: skip
def test_split_faults(data: bytes, message: str) -> None:
    with pytest.raises(FormatError) as caught:
        pku.parse_split(data, "s.txt")
    assert str(caught.value) == message
