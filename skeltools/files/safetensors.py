"""Reading and writing safetensors files: a length, a JSON header, then the bytes of the tensors.

Nothing is reserved before the header was compared with the bytes that are there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import torch
from torch import Tensor

from skeltools.files.reading import open_regular

_HEADER = 1 << 26
"""Most bytes of a header."""

_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def _refuse(what: str) -> NoReturn:
    raise ValueError(what)


def _entry(name: str, told: Any, room: int) -> tuple[torch.dtype, list[int], int, int]:
    """Return type, shape and place of the tensor that a header speaks of, within `room` bytes."""
    if not isinstance(told, dict) or set(told) != {"dtype", "shape", "data_offsets"}:
        _refuse(f"'{name:.60}' is described by something other than dtype, shape and data_offsets")
    kind, shape, place = _TYPES.get(str(told["dtype"])), told["shape"], told["data_offsets"]
    if kind is None:
        _refuse(f"'{name:.60}' is of type {told['dtype']!s:.20}, expected one of {', '.join(_TYPES)}")
    for numbers, most in ((shape, 32), (place, 2)):
        if not isinstance(numbers, list) or len(numbers) > most:
            _refuse(f"'{name:.60}' has an unknown shape or place")
        if not all(type(number) is int and 0 <= number < 1 << 62 for number in numbers):
            _refuse(f"'{name:.60}' has an unknown shape or place")
    need = math.prod(shape) * kind.itemsize
    if len(place) != 2 or not place[0] <= place[1] <= room or place[1] - place[0] != need:
        _refuse(f"'{name:.60}' of {need:,} bytes is at {place} of {room:,}")
    return kind, shape, place[0], need


def read(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file by name; what is under ``__metadata__`` is passed over.

    Raises:
        ValueError: The file is damaged, or claims more than it has bytes.
        OSError: It cannot be read.
    """
    size = path.stat().st_size
    with open_regular(path) as file:
        header, length = _header(file, size)
        header.pop("__metadata__", None)
        room = size - 8 - length
        entries = {name: _entry(name, told, room) for name, told in header.items()}
        if sum(need for *_, need in entries.values()) > room:
            _refuse("tensors that overlap")
        found = {}
        for name, (kind, shape, start, need) in entries.items():
            file.seek(8 + length + start)
            content = bytearray(file.read(need))
            flat = torch.frombuffer(content, dtype=kind) if need else torch.empty(0, dtype=kind)
            found[name] = flat.reshape(shape)
    return found


def metadata(path: Path) -> dict[str, str]:
    """Return the texts under ``__metadata__`` by name; none where the file has none.

    Raises:
        ValueError: The header is damaged, or holds something else there.
        OSError: It cannot be read.
    """
    with open_regular(path) as file:
        header, _ = _header(file, path.stat().st_size)
    found = header.get("__metadata__", {})
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        _refuse("metadata that are not texts by name")
    return found


def write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors by name, and texts under ``__metadata__``.

    Raises:
        ValueError: A tensor is of a type that the format does not have.
        OSError: It cannot be written.
    """
    words = {kind: word for word, kind in _TYPES.items()}
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    at = 0
    for name, value in tensors.items():
        if value.dtype not in words:
            _refuse(f"'{name:.60}' is of type {value.dtype}, expected one of {', '.join(_TYPES)}")
        size = value.numel() * value.element_size()
        header[name] = {
            "dtype": words[value.dtype],
            "shape": list(value.shape),
            "data_offsets": [at, at + size],
        }
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that the tensors are aligned
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for value in tensors.values():
            file.write(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())


def _header(file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """Return the header of a file of `size` bytes, and its length."""
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= min(size - 8, _HEADER):
        _refuse(f"a header of {length:,} bytes in a file of {size:,}")
    header = json.loads(file.read(length).decode("utf-8"), object_pairs_hook=_once)
    if not isinstance(header, dict):
        _refuse("a header that is not a table of names")
    return header, length


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        _refuse("a name that occurs twice")
    return made
