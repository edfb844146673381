"""Is an HDF5 file safe to read? What it claims is compared with what it holds before anything is reserved."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

from skeltools.files.reading import open_regular

FORMAT = "skeltools clips"
"""What a converted file calls its format, in its root attribute ``format``."""

_OBJECTS = 100_000
_DEEPEST = 6
_ATTRIBUTES = 10_000
_LARGE = 1 << 20
_BLOCK = 1 << 22
_HEAP = b"GCOL\x01\0\0\0"
_OBJECT = struct.Struct("<HHIQ")
_REFERENCE = np.dtype([("bytes", "<u4"), ("heap", "<u8"), ("object", "<u4")])
"""The entry of a dataset in place of a text: its length, and where it is in the heaps."""

_TEXTS = 1 << 28
"""Most bytes of texts that attributes could hold, were each the longest text of the file (256 MiB)."""


def check(file: h5py.File, path: Path) -> None:
    """Walk through a file's groups and datasets; for the attributes of its root see `attributes`.

    Raises:
        ValueError: A link leads out of its group, a dataset lies outside the file or claims more than it
            holds, or something is of a kind that a converted file never has.
    """
    length = path.stat().st_size
    large: list[tuple[int, int]] = []
    texts: list[h5py.Dataset] = []
    scattered = _texts(file.attrs)
    seen = {_place(file)}
    stack: list[tuple[str, h5py.Group, int]] = [("", file, 0)]
    while stack:
        where, group, depth = stack.pop()
        for key in group:
            if not isinstance(key, str):
                raise ValueError("a name is not text")
            name = f"{where}/{key}"
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise ValueError(f"{name} is a soft or external link, which is not followed")
            item = group[key]
            if _place(item) in seen or len(seen) > _OBJECTS:
                raise ValueError(f"{name} is linked twice, or there is too much in the file")
            seen.add(_place(item))
            if isinstance(item, h5py.Dataset):
                _dataset(item, name, length)
                scattered += _texts(item.attrs)
                if _fields(item.dtype):
                    texts.append(item)
                if item.nbytes > _LARGE and item.id.get_offset() is not None:
                    large.append((item.id.get_offset(), item.nbytes))
            elif isinstance(item, h5py.Group) and depth < _DEEPEST:
                stack.append((name, item, depth + 1))
            else:
                raise ValueError(f"{name} is neither a dataset nor a group near the root")
    longest = _heaps(path, sorted(large), length)
    if scattered * longest > _TEXTS:
        raise ValueError(f"attributes hold {scattered:,} texts in a file with one of {longest:,} bytes")
    _shared(path, texts, length)


def _fields(kind: np.dtype[Any]) -> int:
    """Return how many texts one value of a type holds."""
    if kind.names:
        return sum(_fields(kind[name]) for name in kind.names)
    text = h5py.check_string_dtype(kind)
    return int(text is not None and text.length is None)


def _texts(attributes: h5py.AttributeManager) -> int:
    """Return how many texts attributes hold, whose lengths are elsewhere."""
    found = (attributes.get_id(key) for key in attributes)
    return sum(_fields(one.dtype) * math.prod(one.shape or ()) for one in found)


def _shared(path: Path, texts: list[h5py.Dataset], length: int) -> None:
    """Refuse texts that are longer together than the file: many places would name one, and each be a copy of it."""
    left = length
    with open_regular(path) as file:
        for data in texts:
            count = data.size * _fields(data.dtype)
            if not count:
                continue
            offset = data.id.get_offset()
            if offset is None or data.id.get_storage_size() != count * _REFERENCE.itemsize:
                raise ValueError(f"{data.name} holds texts in a way that no converted file does")
            file.seek(offset)
            references = np.frombuffer(file.read(count * _REFERENCE.itemsize), _REFERENCE)
            left -= int(references["bytes"].sum(dtype=np.uint64))
            if left < 0:
                raise ValueError(f"{data.name} holds texts of more bytes than the file")


def _heaps(path: Path, large: list[tuple[int, int]], length: int) -> int:
    """Look at the heaps of texts outside large datasets: HDF5 runs for ever through some damaged ones.

    Returns:
        Bytes of the longest text.
    """
    start = longest = 0
    with open_regular(path) as file:
        for offset, size in [*large, (length, 0)]:
            while start < offset:
                file.seek(start)
                block = file.read(min(offset - start, _BLOCK))
                at = block.find(_HEAP)
                while at >= 0:
                    longest = max(longest, _heap(file, start + at, length))
                    at = block.find(_HEAP, at + 1)
                start += len(block) - len(_HEAP) if len(block) == _BLOCK else max(len(block), 1)
            start = max(start, offset + size)
    return longest


def _heap(file: BinaryIO, at: int, length: int) -> int:
    """Go through the objects of a global heap collection: number, references, size, content aligned to 8.

    Returns:
        Bytes of the longest object.
    """
    file.seek(at + 8)
    size = int.from_bytes(file.read(8), "little")
    if not 16 <= size <= length - at:
        raise ValueError("a heap of texts lies outside the file")
    content = file.read(size - 16)
    place = longest = 0
    while place + 16 <= len(content):
        number, _, _, held = _OBJECT.unpack_from(content, place)
        step = held if number == 0 else 16 + -(-held // 8) * 8
        if step < 16 or step > len(content) - place:
            raise ValueError("a heap of texts holds an object of impossible size")
        if number == 0:  # what is free, to the end
            break
        longest = max(longest, held)
        place += step
    return longest


def _place(item: Any) -> Any:
    return h5py.h5o.get_info(item.id).addr


def _kind(dtype: Any, name: str) -> None:
    """Refuse everything but numbers, texts and pairs of texts."""
    kinds = [dtype[key] for key in dtype.names] if dtype.names else [dtype]
    if len(kinds) > 8:
        raise ValueError(f"{name} has {len(kinds)} fields")
    for kind in kinds:
        text = h5py.check_string_dtype(kind)
        if kind.shape or kind.names or not (kind.kind in "biufS" or text is not None):
            raise ValueError(f"{name} has the type {kind!s:.60}, which no converted file has")
        if text is not None and text.encoding not in ("utf-8", "ascii"):
            raise ValueError(f"{name} has texts in {text.encoding}")


def _dataset(data: h5py.Dataset, name: str, length: int) -> None:
    layout = data.id.get_create_plist()
    if layout.get_external_count() or layout.get_layout() == h5py.h5d.VIRTUAL:
        raise ValueError(f"{name} keeps its values in another file, which is not read")
    if data.shape is None or len(data.shape) > 5:
        raise ValueError(f"{name} has no shape of a converted file")
    _kind(data.dtype, name)
    need = math.prod(data.shape) * data.id.get_type().get_size()
    held = data.id.get_storage_size()
    if held > length:
        raise ValueError(f"{name} claims {held:,} bytes in a file of {length:,}")
    if layout.get_layout() == h5py.h5d.CHUNKED or layout.get_nfilters():
        raise ValueError(f"{name} is stored in chunks or through a filter, as no converted file is")
    if need > held:
        raise ValueError(f"{name} claims {need:,} bytes, {held:,} are stored")
    offset = data.id.get_offset()
    if layout.get_layout() == h5py.h5d.CONTIGUOUS and need and (offset is None or offset + need > length):
        raise ValueError(f"{name} lies outside the file; it is truncated")
    _attributes(data.attrs, length, name)


def attributes(found: h5py.AttributeManager, path: Path) -> None:
    """Look at the attributes of a file's root before any is read: some damaged ones end the process in HDF5.

    Raises:
        ValueError: One is of a type or size that a converted file never has.
    """
    _attributes(found, path.stat().st_size, "/")


def _attributes(found: h5py.AttributeManager, length: int, name: str) -> None:
    if len(found) > _ATTRIBUTES:
        raise ValueError(f"{name} has {len(found):,} attributes")
    for key in found:
        if not isinstance(key, str):
            raise ValueError(f"an attribute's name of {name} is not text")
        _attribute(found, key, length, name)


def _attribute(attributes: h5py.AttributeManager, key: str, length: int, name: str) -> None:
    found = attributes.get_id(key)
    if found.shape is None:
        raise ValueError(f"attribute {key} of {name} is empty")
    _kind(found.dtype, f"attribute {key} of {name}")
    if math.prod(found.shape) * found.get_type().get_size() > length:
        raise ValueError(f"attribute {key} of {name} claims more than the file holds")


def decode(value: Any) -> object:
    """Return an HDF5 attribute as a plain Python value: text, number, or a list of them."""
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, np.ndarray):
        return [decode(item) for item in value.tolist()]
    return value.item() if isinstance(value, np.generic) else value
