"""Kinds of files, found by their first bytes, so that a reader can say what to do with the wrong one."""

from __future__ import annotations

import codecs
import re
import stat
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

from skeltools.files.reading import open_regular

HEAD = 4096
"""Bytes by which a kind is found."""


class Kind(Enum):
    """Kinds of files; the value is how a message calls one."""

    EMPTY = "an empty file"
    FOLDER = "a folder"
    SPECIAL = "a device or a pipe"
    OURS = "a file that skeltools converted"
    HDF5 = "an HDF5 file that skeltools did not write"
    BROKEN = "an HDF5 file that is cut short or damaged"
    MATLAB = "a MATLAB file"
    ZIP = "a zip archive"
    SEVEN_ZIP = "a 7z archive"
    GZIP = "a gzip file"
    ARCHIVE = "an archive (tar, rar, xz, bzip2 or zstd)"
    TORCH = "a file that torch saved"
    SAFETENSORS = "a safetensors file"
    PICKLE = "a pickle"
    NPY = "a NumPy array (.npy)"
    NPZ = "a NumPy archive (.npz)"
    LFS = "a pointer of Git LFS, not the file itself"
    HTML = "a web page, not the file that it offers"
    JSON = "a JSON file"
    TEXT = "a text file"
    BOM = "a text file with a byte order mark"
    UTF16 = "a text file in UTF-16 or UTF-32"
    UNKNOWN = "a file of no known kind"


UTF8 = "Save it as UTF-8, for example: iconv -f UTF-16 -t UTF-8 FILE > NEW"
"""What to do about a text in UTF-16."""

REMEDIES: Mapping[Kind, str] = {
    Kind.EMPTY: "Fetch or write it again.",
    Kind.FOLDER: "Give a file in it.",
    Kind.SPECIAL: "Give a file.",
    Kind.OURS: "It needs no import: every command reads it as it is.",
    Kind.HDF5: "Save its arrays with numpy.save, as docs/preparing-data.md describes, and import these.",
    Kind.BROKEN: "Fetch or write it again.",
    Kind.MATLAB: "Save its arrays with numpy.save, as docs/preparing-data.md describes, and import these.",
    Kind.ZIP: "Unpack it and give what is inside.",
    Kind.SEVEN_ZIP: "Unpack it and give what is inside.",
    Kind.GZIP: "Unpack it with gunzip and give what is inside.",
    Kind.ARCHIVE: "Unpack it and give what is inside.",
    Kind.TORCH: "If it holds weights, use 'skeltools import-weights'.",
    Kind.SAFETENSORS: "If it holds weights, use 'skeltools import-weights'.",
    Kind.PICKLE: "If it holds clips, use 'skeltools import'.",
    Kind.NPY: "If it holds clips, use 'skeltools import' with the folder it lies in.",
    Kind.NPZ: "If it holds clips, use 'skeltools import'.",
    Kind.LFS: "Fetch the file: git lfs pull",
    Kind.HTML: "Download it again; the page may ask for a login or a confirmation.",
    Kind.JSON: "Give the file that was asked for.",
    Kind.TEXT: "Give the file that was asked for.",
    Kind.BOM: "Give the file that was asked for.",
    Kind.UTF16: UTF8,
    Kind.UNKNOWN: "It may be damaged: fetch or write it again.",
}
"""What to do about a file where another kind was expected; a reader may know better."""

_STARTS: tuple[tuple[bytes, Kind], ...] = (
    (b"7z\xbc\xaf\x27\x1c", Kind.SEVEN_ZIP),
    (b"\x1f\x8b", Kind.GZIP),
    (b"\x93NUMPY", Kind.NPY),
    (b"MATLAB 5.0 MAT-file", Kind.MATLAB),
    (b"MATLAB 7.3 MAT-file", Kind.MATLAB),
    (b"Rar!\x1a\x07", Kind.ARCHIVE),
    (b"\xfd7zXZ\0", Kind.ARCHIVE),
    (b"BZh", Kind.ARCHIVE),
    (b"\x28\xb5\x2f\xfd", Kind.ARCHIVE),
    (b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.", Kind.TORCH),  # torch before 1.6: its magic number
    (b"version https://git-lfs.github.com/", Kind.LFS),
)
_HDF5 = b"\x89HDF\r\n\x1a\n"
_BOM = b"\xef\xbb\xbf"
_WIDE = (b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")
_HTML = re.compile(
    rb"\s*+(<\?xml[^>]*+>\s*+)?+(<!--((?!-->).)*+-->\s*+)*+<(!doctype html|html|head|body)\b", re.I | re.S
)
_JSON = re.compile(rb'\s*+(\{\s*+(["}]|\Z)|[\[\s]*\[\s*+(["{\d\-\]]|true|false|null|\Z))')
_OLD_PICKLE = re.compile(
    rb"[(\]})]*(\((lp?\d|dp?\d|[ldt]\.|V|S['\"]|[IFL]-?\d)|c[\w.]+\n\w+\n|[\]}]q.|\([XUK\]}])"
)
"""Pickles of protocol 0 and 1, which have no mark at their start."""


def tell(path: str | Path) -> Kind:
    """Return the kind of a file from its first `HEAD` bytes; nothing but a regular file is opened.

    Raises:
        OSError: There is no such file, or it cannot be read.
    """
    path = Path(path)
    state = path.stat()
    if stat.S_ISDIR(state.st_mode):
        return Kind.FOLDER
    if not stat.S_ISREG(state.st_mode):
        return Kind.SPECIAL
    with open_regular(path) as file:
        kind = of(file.read(HEAD))
    return _hdf5(path) if kind is Kind.HDF5 else kind


def of(head: bytes) -> Kind:
    """Return the kind of a file that starts with `head`, of any length; see `HEAD`.

    Files that skeltools converted, and broken ones, are `Kind.HDF5` here: only opening them tells them apart.
    """
    if not head:
        return Kind.EMPTY
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    if any(head.startswith(_HDF5, place) for place in (0, 512, 1024, 2048)):
        return Kind.HDF5
    if head[257:262] == b"ustar":
        return Kind.ARCHIVE
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return _zipped(head)
    if len(head) > 2 and head[0] == 0x80 and 2 <= head[1] <= 5:
        return Kind.PICKLE
    if len(head) > 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 40:
        return Kind.SAFETENSORS
    return _text(head)


def _zipped(head: bytes) -> Kind:
    """Tell zip archives apart by the name of their first member."""
    name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    if name.endswith(b".npy"):
        return Kind.NPZ
    if name.endswith((b"/data.pkl", b"/version", b"/byteorder", b"/.format_version")):
        return Kind.TORCH
    return Kind.ZIP


def _text(head: bytes) -> Kind:
    if head.startswith(_WIDE) or _is_wide(head):
        return Kind.UTF16
    plain = head.removeprefix(_BOM)
    if _OLD_PICKLE.match(head):
        return Kind.PICKLE
    if re.search(rb"[\0-\x08\x0e-\x1a\x1c-\x1f]", plain) or _is_foreign(plain):
        return Kind.UNKNOWN
    if _HTML.match(plain):
        return Kind.HTML
    if _JSON.match(plain):
        return Kind.JSON
    return Kind.TEXT if plain is head else Kind.BOM


def _is_foreign(head: bytes) -> bool:
    """Tell whether these are not text in UTF-8 and mostly not plain characters, as a text in Latin-1 has."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return 3 * sum(byte > 0x7F for byte in head) > len(head)
    return False


def _is_wide(head: bytes) -> bool:
    """Tell whether these are plain characters of two bytes each, without a mark in front."""
    pairs = head[: len(head) // 2 * 2]
    for zeros, others in ((pairs[1::2], pairs[::2]), (pairs[::2], pairs[1::2])):
        if len(zeros) >= 2 and not any(zeros) and not re.search(rb"[^\t\n\r -~]", others):
            return True
    return False


def _hdf5(path: Path) -> Kind:
    import h5py

    from skeltools.files.hdf5 import FORMAT, attributes, decode

    kind = Kind.BROKEN
    try:
        with h5py.File(path, "r") as file:
            kind = Kind.HDF5
            attributes(file.attrs, path)
            if file.attrs.get_id("format").shape == () and decode(file.attrs["format"]) == FORMAT:
                kind = Kind.OURS
    except Exception:  # h5py raises nearly anything on damaged input, and the attribute may be missing
        pass
    return kind


def but(kind: Kind, remedy: str, remedies: Mapping[Kind, str] | None = None) -> str:
    """Return how "it is not a ..." goes on, such as " but a gzip file. Unpack it ...".

    Args:
        kind: What it is.
        remedy: What to do where the kind itself does not tell.
        remedies: What to do about some kinds in the reader's place, instead of `REMEDIES`.
    """
    vague = dict.fromkeys((Kind.UNKNOWN, Kind.TEXT, Kind.BOM, Kind.JSON, Kind.FOLDER, Kind.SPECIAL), remedy)
    told = described(kind, vague | dict(remedies or {}))
    return told.removeprefix(kind.value) if kind is Kind.UNKNOWN else f" but {told}"


def described(kind: Kind, remedies: Mapping[Kind, str] | None = None) -> str:
    """Return what a file of a kind is and what to do, such as ``a gzip file. Unpack it ...``."""
    return f"{kind.value}. {(remedies or {}).get(kind) or REMEDIES[kind]}"


def plain(data: bytes) -> bytes:
    """Return the bytes of a text file without a byte order mark in front.

    Raises:
        ValueError: It is a text in UTF-16 or UTF-32; the message, without a full stop, says what to do.
    """
    if data.startswith(_WIDE) or _is_wide(data[:HEAD]):
        raise ValueError(described(Kind.UTF16))
    return data.removeprefix(_BOM)


def decode(data: bytes) -> str:
    """Return the text of a file in UTF-8, with or without a byte order mark.

    Raises:
        ValueError: It is in another encoding; the message, without a full stop, says what and what to do.
    """
    data = plain(data)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        kind = of(data[:HEAD])
        if kind not in (Kind.TEXT, Kind.BOM, Kind.JSON, Kind.UNKNOWN):
            raise ValueError(described(kind).rstrip(".")) from None
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"byte {data[error.start]:#04x} in line {line} is not UTF-8; save it as UTF-8"
        ) from None
