"""NumPy's files: from elsewhere, where a header is compared with the file before any memory is reserved; and out."""

from __future__ import annotations

import io
import math
import struct
import sys
import zipfile
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from skeltools.files.reading import open_regular

_MAPPED = 1 << 26
"""Arrays of an archive that take as many bytes or more, and are not packed, are mapped, not read (64 MiB)."""

_MEMBERS = 10_000
_UNPACKED = 1 << 36
"""Most bytes that the arrays of one archive hold (64 GiB)."""

_RATIO, _WHOLE_RATIO = 1100, 200
"""Deflate packs at most 1,032 bytes into one; a whole archive that is large unpacks to this many times its size."""

_SMALL = 1 << 26
"""An archive that unpacks to less is not judged by its ratio (64 MiB)."""


def _header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read magic and header of a .npy stream: shape, whether it is in Fortran's order, and type."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    elif version in ((2, 0), (3, 0)):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    else:
        raise ValueError(f"version {version} of NumPy's format")
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which would run code")
    if dtype.kind not in "biufcSU" or len(shape) > 32 or not all(map(_is_size, shape)):
        raise ValueError(f"its type is {dtype!s:.60}, its shape {shape!s:.60}")
    return shape, fortran, dtype


def open_array(path: Path) -> NDArray[Any]:
    """Map a .npy file for reading.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no .npy file of numbers or texts, or shorter than its header says.
    """
    try:
        with open_regular(path) as file:
            shape, fortran, dtype = _header(file)
            start = file.tell()
            held = path.stat().st_size - start
    except (OSError, ValueError):
        raise
    except Exception as error:  # NumPy reads the header with Python's tokenizer, which raises nearly anything
        raise ValueError(f"its header is damaged ({type(error).__name__})") from None
    need = math.prod(shape) * dtype.itemsize
    if need > held:
        raise ValueError(f"its header claims {need:,} bytes, {held:,} are there")
    if need == 0:
        return np.zeros(shape, dtype) if 0 in shape else np.zeros(0, dtype)
    return np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")


def _is_size(size: Any) -> bool:
    """Tell whether a number of a shape is one; NumPy's reader takes True and False for numbers."""
    return not isinstance(size, bool) and 0 <= size < 1 << 62


def array_of(data: bytes) -> NDArray[Any]:
    """Return the array of the content of a .npy file.

    Raises:
        ValueError: It is no .npy file of numbers or texts, or shorter than its header says.
    """
    file = io.BytesIO(data)
    try:
        shape, fortran, dtype = _header(file)
    except ValueError:
        raise
    except Exception as error:  # as in `open_array`
        raise ValueError(f"its header is damaged ({type(error).__name__})") from None
    need, held = math.prod(shape) * dtype.itemsize, len(data) - file.tell()
    if need > held:
        raise ValueError(f"its header claims {need:,} bytes, {held:,} are there")
    if need == 0:
        return np.zeros(shape, dtype) if 0 in shape else np.zeros(0, dtype)
    return np.frombuffer(data, dtype, math.prod(shape), file.tell()).reshape(
        shape, order="F" if fortran else "C"
    )


def read_arrays(path: Path | BinaryIO) -> dict[str, NDArray[Any]]:
    """Read every array of an .npz file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged, holds anything but arrays of numbers and texts, or unpacks to too much.
    """
    try:
        with (
            open_regular(path) if isinstance(path, Path) else nullcontext(path) as source,
            zipfile.ZipFile(source) as archive,
        ):
            members = archive.infolist()
            unpacked = sum(item.file_size for item in members)
            if len(members) > _MEMBERS or unpacked > _UNPACKED:
                raise ValueError("it holds too much")
            packed = source.seek(0, io.SEEK_END)
            if unpacked > max(_SMALL, _WHOLE_RATIO * packed):
                raise ValueError(
                    f"it unpacks to {unpacked:,} bytes, more than {_WHOLE_RATIO} times its size. If you trust it, save "
                    "it with numpy.savez, unpacked"
                )
            _check_members(members)
            return {item.filename.removesuffix(".npy"): _member(archive, item, path) for item in members}
    except (OSError, ValueError):
        raise
    except Exception as error:  # zipfile, zlib and the header's reader raise nearly anything on damaged input
        told = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{told:.200}") from None


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    """Refuse members that share bytes: a small file would unpack to as many copies as it has entries."""
    if len({item.filename for item in members}) != len(members):
        raise ValueError("two members have one name")
    end = 0
    for item in sorted(members, key=lambda item: item.header_offset):
        if item.header_offset < end:
            raise ValueError(f"{item.filename!r:.60} overlaps another member")
        end = item.header_offset + 30 + len(item.filename.encode()) + item.compress_size


def _member(archive: zipfile.ZipFile, item: zipfile.ZipInfo, path: Path | BinaryIO) -> NDArray[Any]:
    if item.file_size > _RATIO * (item.compress_size + 1):
        raise ValueError(f"{item.filename!r:.60} claims more than it can hold")
    with archive.open(item) as stream:
        shape, fortran, dtype = _header(stream)  # type: ignore[arg-type]
        need = math.prod(shape) * dtype.itemsize
        if need > item.file_size:
            raise ValueError(f"{item.filename!r:.60} claims {need:,} bytes, {item.file_size:,} are there")
        stored = item.compress_type == zipfile.ZIP_STORED
        if isinstance(path, Path) and stored and need >= _MAPPED and dtype.kind in "biufc":
            while stream.read(1 << 24):  # to its end, where the checksum is compared
                pass
            return _mapped(path, item, shape, fortran, dtype, need)
        data = stream.read(need)
        if len(data) != need or stream.read(1):
            raise ValueError(f"{item.filename!r:.60} does not hold what its header says")
    if need == 0:
        return np.zeros(shape, dtype) if 0 in shape else np.zeros(0, dtype)
    if dtype.kind == "U" and (np.frombuffer(data, f"{dtype.byteorder}u4") > sys.maxunicode).any():
        raise ValueError(f"{item.filename!r:.60} holds texts with characters that do not exist")
    return np.frombuffer(bytearray(data), dtype).reshape(shape, order="F" if fortran else "C")


def _mapped(
    path: Path, item: zipfile.ZipInfo, shape: tuple[int, ...], fortran: bool, dtype: np.dtype[Any], need: int
) -> NDArray[Any]:
    """Map an array that lies unpacked in an archive; its values are the last of its member."""
    with open_regular(path) as file:
        file.seek(item.header_offset + 26)  # the lengths of name and extra field in the member's own header
        name, extra = struct.unpack("<HH", file.read(4))
    start = item.header_offset + 30 + name + extra + item.file_size - need
    return np.memmap(path, dtype, "r", start, shape, "F" if fortran else "C")


@dataclass(frozen=True)
class Member:
    """An array to be written.

    Attributes:
        shape: Its shape.
        descr: Its type, such as ``<f4``.
        blocks: Its values in C order, in arrays of any shape.
    """

    shape: tuple[int, ...]
    descr: str
    blocks: Iterable[NDArray[Any]]

    @classmethod
    def of(cls, values: NDArray[Any]) -> Member:
        """Return an array that is there."""
        return cls(values.shape, values.dtype.str, [values])


def write_array(file: IO[bytes], shape: tuple[int, ...], descr: str, blocks: Iterable[NDArray[Any]]) -> None:
    """Write a .npy stream from blocks of values.

    Raises:
        ValueError: They are not as many values as the shape says.
    """
    dtype = np.dtype(descr)
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    written = sum(file.write(np.ascontiguousarray(block, dtype).tobytes()) for block in blocks)
    if written != dtype.itemsize * math.prod(shape):
        raise ValueError(f"{written:,} bytes written of an array {shape} of {descr}")


def write_archive(path: Path, members: Mapping[str, Member]) -> None:
    """Write an .npz file, unpacked, the same bytes whenever it is written."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, member in members.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                write_array(file, member.shape, member.descr, member.blocks)
