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
_RATIO = 1100
"""Deflate packs at most 1,032 bytes into one."""


def check(file: h5py.File, path: Path) -> None:
    """Walk through a file's groups and datasets; for the attributes of its root see `attributes`.

    Raises:
        ValueError: A link leads out of its group, a dataset lies outside the file or claims more than it
            holds, or something is of a kind that a converted file never has.
    """
    length = path.stat().st_size
    large: list[tuple[int, int]] = []
    seen = {_place(file)}
    stack: list[tuple[str, h5py.Group, int]] = [("", file, 0)]
    while stack:
        where, group, depth = stack.pop()
        for key in group:
            if not isinstance(key, str):
                raise ValueError("a name is no text")
            name = f"{where}/{key}"
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                raise ValueError(f"{name} is a soft or external link, which is not followed")
            item = group[key]
            if _place(item) in seen or len(seen) > _OBJECTS:
                raise ValueError(f"{name} is linked twice, or there is too much in the file")
            seen.add(_place(item))
            if isinstance(item, h5py.Dataset):
                _dataset(item, name, length)
                if item.nbytes > _LARGE and item.id.get_offset() is not None:
                    large.append((item.id.get_offset(), item.nbytes))
            elif isinstance(item, h5py.Group) and depth < _DEEPEST:
                stack.append((name, item, depth + 1))
            else:
                raise ValueError(f"{name} is neither a dataset nor a group near the root")
    _heaps(path, sorted(large), length)


def _heaps(path: Path, large: list[tuple[int, int]], length: int) -> None:
    """Look at the heaps of texts outside large datasets: HDF5 runs for ever through some damaged ones."""
    start = 0
    with open_regular(path) as file:
        for offset, size in [*large, (length, 0)]:
            while start < offset:
                file.seek(start)
                block = file.read(min(offset - start, _BLOCK))
                at = block.find(_HEAP)
                while at >= 0:
                    _heap(file, start + at, length)
                    at = block.find(_HEAP, at + 1)
                start += len(block) - len(_HEAP) if len(block) == _BLOCK else max(len(block), 1)
            start = max(start, offset + size)


def _heap(file: BinaryIO, at: int, length: int) -> None:
    """Go through the objects of a global heap collection: number, references, size, content aligned to 8."""
    file.seek(at + 8)
    size = int.from_bytes(file.read(8), "little")
    if not 16 <= size <= length - at:
        raise ValueError("a heap of texts lies outside the file")
    content = file.read(size - 16)
    place = 0
    while place + 16 <= len(content):
        number, _, _, held = _OBJECT.unpack_from(content, place)
        step = held if number == 0 else 16 + -(-held // 8) * 8
        if step < 16 or step > len(content) - place:
            raise ValueError("a heap of texts holds an object of impossible size")
        if number == 0:  # what is free, to the end
            return
        place += step


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
    if layout.get_layout() == h5py.h5d.CHUNKED:
        chunk = math.prod(layout.get_chunk()) * data.id.get_type().get_size()
        if need > _RATIO * held or chunk > _RATIO * (held + 1) + (1 << 20):
            raise ValueError(f"{name} claims {need:,} bytes, {held:,} are stored")
    elif need > held:
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
            raise ValueError(f"an attribute's name of {name} is no text")
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
