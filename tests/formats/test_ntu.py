"""NTU files: parity with the reference, equality of the two parsers, and one clear error a fault."""
# ruff: noqa: E501 (messages stand in one line each)

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from forms import SKELETON
from hypothesis import given, settings
from hypothesis import strategies as st
from rawfiles import body_of, ntu_bytes

from skeltools.errors import FormatError
from skeltools.formats import backend, ntu
from skeltools.formats.recording import Recording

compiled = pytest.importorskip("skeltools.formats._compiled", reason="numba is not installed")

FILE = ntu_bytes([body_of(1, 3), body_of(2, 3)])


def both(data: bytes) -> Recording | str:
    """Read by both parsers, check that they agree, and return the recording or the error."""
    try:
        plain = ntu.read_plain(data, "x.skeleton")
    except FormatError as error:
        assert compiled.skeleton(data, SKELETON.num_joints, ntu.MOST_BODIES) is None
        return str(error)
    fast = compiled.skeleton(data, SKELETON.num_joints, ntu.MOST_BODIES)
    if fast is not None:
        assert fast[0] == plain.frames
        for ours, theirs in zip(fast[1:], (plain.coords, plain.frame, plain.slot, plain.ids), strict=True):
            assert ours.dtype == theirs.dtype
            assert ours.tobytes() == theirs.tobytes()
    return plain


@pytest.mark.parametrize("use", [False, True])
@pytest.mark.parametrize(
    ("numbers", "folder"), [("ntu_samples.npz", "real/ntu"), ("ntu_edge/expected.npz", "reference/ntu_edge")]
)
def test_raw_clips_equal_the_reference(shared: Path, numbers: str, folder: str, use: bool) -> None:
    before = backend.compiled()
    backend.use_compiled(use)
    try:
        expected = np.load(shared / "reference" / numbers)
        for path in sorted((shared / folder).glob("*.skeleton")):
            raw = ntu.parse(path.read_bytes(), str(path))
            assert raw.dtype == np.float32
            np.testing.assert_array_equal(raw, expected[f"{path.stem}/raw"])
    finally:
        backend.use_compiled(before)


def test_coordinates_bodies_and_ids_come_back() -> None:
    first, second = body_of(1, 5), body_of(2, 5)
    second[:2] = np.nan
    found = both(ntu_bytes([first, second], ids=[7, 9]))
    assert isinstance(found, Recording)
    raw = found.first(2)
    np.testing.assert_array_equal(raw[..., 0], first.astype(np.float32).transpose(2, 0, 1))
    assert not raw[:, :2, :, 1].any()
    np.testing.assert_array_equal(raw[:, 2:, :, 1], second[2:].astype(np.float32).transpose(2, 0, 1))
    assert found.ids.tolist() == [7, 7, 7, 9, 7, 9, 7, 9]


def test_line_ends_do_not_matter() -> None:
    crlf, lf = both(FILE), both(FILE.replace(b"\r\n", b"\n"))
    mixed = both(FILE.replace(b"\r\n", b"\n", 20) + b"\n\r\n \n")
    assert isinstance(crlf, Recording)
    for other in (lf, mixed):
        assert isinstance(other, Recording)
        assert other.coords.tobytes() == crlf.coords.tobytes()


def edited(line: int, text: bytes) -> bytes:
    lines = FILE.split(b"\r\n")
    lines[line - 1] = text
    return b"\r\n".join(lines)


JOINT = b"0.1 0.2 0.3 4 5 6 7 8 9 10 11 2"

FAULTS = {
    "empty": (b"", "x.skeleton: the file is empty; expected a frame count."),
    "blank": (b"\r\n \r\n", "x.skeleton: the file is empty; expected a frame count."),
    "binary": (bytes(range(256)), "x.skeleton, line 1: expected a frame count, not '\\x00\\x01\\x02\\x03\\x04\\x05\\x06\\x07\\x08'."),
    "negative frames": (edited(1, b"-3"), "x.skeleton, line 1: expected a frame count, not '-3'."),
    "too many frames": (edited(1, b"4"), "x.skeleton, line 166: the file ends here, in frame 4 of 4; it is truncated. Fetch it again."),
    "too few frames": (edited(1, b"2"), "x.skeleton, line 112: the file goes on after its 2 frames; is the count right?"),
    "body count": (edited(2, b"two"), "x.skeleton, line 2: expected a body count of frame 1 of 3, not 'two'."),
    "seven bodies": (edited(2, b"7"), "x.skeleton, line 2: 7 bodies in frame 1 of 3; a Kinect follows at most 6."),
    "body line": (edited(3, b"1 2 3"), "x.skeleton, line 3: 3 values in a body line of frame 1 of 3; expected 10."),
    "body id": (edited(3, b"a 0 1 1 1 1 0 0 0 2"), "x.skeleton, line 3: 'a' in a body line of frame 1 of 3 is not a tracking id, which is a whole number from 0 to 18446744073709551615 written in digits."),
    "no joints": (edited(4, b"0"), "x.skeleton, line 4: 0 joints in frame 1 of 3; expected 25."),
    "26 joints": (edited(4, b"26"), "x.skeleton, line 4: 26 joints in frame 1 of 3; expected 25."),
    "11 values": (edited(5, JOINT[:-2]), "x.skeleton, line 5: 11 values in a joint line of frame 1 of 3; expected 12."),
    "13 values": (edited(5, JOINT + b" 1"), "x.skeleton, line 5: 13 values in a joint line of frame 1 of 3; expected 12."),
    "letter": (edited(5, b"O" + JOINT[1:]), "x.skeleton, line 5: 'O.1' is not a number."),
    "letter in a value not used": (edited(5, JOINT.replace(b" 5 ", b" l ")), "x.skeleton, line 5: 'l' in frame 1 of 3 is not a number."),
    "NaN": (edited(6, b"NaN" + JOINT[3:]), "x.skeleton, line 6: 'NaN' is not a finite coordinate in metres."),
    "infinite": (edited(6, b"1e39" + JOINT[3:]), "x.skeleton, line 6: '1e39' is not a finite coordinate in metres."),
    "underscore": (edited(6, b"1_0" + JOINT[3:]), "x.skeleton, line 6: '1_0' is not a number."),
    "missing joint line": (FILE.replace(b"\r\n", b"\n").replace(FILE.split(b"\r\n")[10] + b"\n", b"", 1), "x.skeleton, line 29: 10 values in a joint line of frame 1 of 3; expected 12."),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_one_line(fault: str) -> None:
    data, message = FAULTS[fault]
    assert both(data) == message


def test_truncation_anywhere_is_an_error_or_loses_only_unused_digits() -> None:
    whole = both(FILE)
    assert isinstance(whole, Recording)
    for cut in [*range(0, 400), *range(len(FILE) - 400, len(FILE) - 3)]:
        found = both(FILE[:cut])
        if isinstance(found, Recording):  # the cut fell inside the very last, unused value
            assert found.coords.tobytes() == whole.coords.tobytes()
            assert cut >= len(FILE) - 3
        else:
            assert found.startswith("x.skeleton")


NUMBERS = st.one_of(
    st.floats(-10, 10).map(repr),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(lambda value: f"{value:.7g}"),
    st.from_regex(r"[+-]?[0-9]{0,20}\.?[0-9]{0,20}([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.sampled_from(
        ["-0", "-0.0", "0e999", "1e-400", ".5", "5.", ".", "+", "1e", "nan", "inf", "-1.#IND", "0x1"]
    ),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(NUMBERS, min_size=75, max_size=75))
def test_both_parsers_read_every_number_alike(tokens: list[str]) -> None:
    lines = [b"1", b"1", b"5 0 1 1 1 1 0 0 0 2", b"25"]
    for joint in range(25):
        lines.append(" ".join(tokens[3 * joint : 3 * joint + 3]).encode() + b" 1 1 1 1 1 1 1 1 2")
    found = both(b"\n".join(lines))
    if isinstance(found, Recording):
        expected = np.array([float(token) for token in tokens], np.float64).astype(np.float32)
        assert found.coords.tobytes() == expected.tobytes()


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_fuzzed_files_give_a_recording_or_a_format_error(data: st.DataObject) -> None:
    content = bytearray(FILE[: data.draw(st.integers(0, 3000))] if data.draw(st.booleans()) else FILE)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        piece = data.draw(
            st.one_of(st.binary(max_size=4), st.sampled_from([b"\n", b" ", b"-", b"9", b"e", b"25"]))
        )
        content[at : at + data.draw(st.integers(0, 3))] = piece
    both(bytes(content))
