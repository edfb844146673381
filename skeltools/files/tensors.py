"""Reading checkpoint files: what a file claims is compared with what it holds before torch reserves anything.

A checkpoint is a zip archive with one pickle and one member per storage, or, from torch before 1.6, a row of
pickles followed by the storages. The pickle is read here first, by a machine that builds nothing: it notes
which storages and tensors the file speaks of. Only when each of them is covered by bytes of the file does
`torch.load`, weights only, read it. That runs no code by itself, but reserves what a file asks for: torch 2.13
took 3 GiB for a file of 1,249 bytes and 1 GiB for a deflated one of 1 MB. An ``argparse.Namespace``, as training
scripts keep their options in, is data like a dictionary. Files of safetensors are read too.
"""

from __future__ import annotations

import argparse
import io
import math
import pickle
import re
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import torch
from torch import Tensor

from skeltools.errors import RunError
from skeltools.files import kinds, safetensors
from skeltools.files.kinds import Kind
from skeltools.files.pickles import Clipped, Machine
from skeltools.files.reading import open_regular

_MAGIC = 0x1950A86A20F9469CFC6C
_MEMBERS = 100_000
_PICKLE = 1 << 28
"""Most bytes of the pickle inside a checkpoint; the storages are outside it."""

_SIZES = {
    **dict.fromkeys(("DoubleStorage", "LongStorage", "ComplexFloatStorage"), 8),
    **dict.fromkeys(("FloatStorage", "IntStorage"), 4),
    **dict.fromkeys(("HalfStorage", "BFloat16Storage", "ShortStorage"), 2),
    **dict.fromkeys(("ByteStorage", "CharStorage", "BoolStorage"), 1),
    "ComplexDoubleStorage": 16,
    "UntypedStorage": 1,
}
"""Bytes of a value by the name of torch's storage class."""


class _Kind:
    """A storage class that the pickle names."""

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        self.size = size


class _Storage:
    """A storage that the pickle refers to."""

    __slots__ = ("count", "key", "size")

    def __init__(self, key: str, count: int, size: int) -> None:
        self.key, self.count, self.size = key, count, size


class _Tensor:
    """A tensor that the pickle speaks of."""

    __slots__ = ()


class _Options:
    """An ``argparse.Namespace`` that the pickle makes: attributes, no code."""

    __slots__ = ()


def _refuse(what: str) -> Any:
    raise pickle.UnpicklingError(what)


def _whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    if not isinstance(storage, _Storage) or not _whole(offset):
        _refuse("a tensor without a storage")
    if not all(isinstance(part, tuple) and all(map(_whole, part)) for part in (shape, strides)):
        _refuse("a tensor of unknown shape")
    if len(shape) != len(strides) or len(shape) > 64:
        _refuse("a tensor of unknown shape")
    count = math.prod(shape)
    reach = offset + 1 + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
    if count and (count > storage.count or reach > storage.count):
        _refuse(f"a tensor of shape {shape} with a storage of {storage.count} values")
    return _Tensor()


def _tensor_1(storage: Any, offset: Any, shape: Any, strides: Any) -> _Tensor:
    return _tensor(storage, offset, shape, strides)


def _parameter(data: Any, *_: Any) -> Any:
    return data if isinstance(data, _Tensor) else _refuse("a parameter that is not a tensor")


def _ordered(*arguments: Any) -> OrderedDict[Any, Any]:
    return OrderedDict() if not arguments else _refuse("an ordered dictionary with arguments")


def _size(values: Any) -> Any:
    return values if isinstance(values, tuple) else _refuse("a shape that is none")


def _dtype() -> Any:
    return _refuse("a type that is called")


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _ordered,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor"): _tensor_1,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch", "Size"): _size,
    **{("torch", name): _Kind(size) for name, size in _SIZES.items()},
    ("torch.storage", "UntypedStorage"): _Kind(1),
    ("argparse", "Namespace"): _Options,
}
_CALLED = (_ordered, _tensor, _tensor_1, _parameter, _size)
_REMEDIES = {
    Kind.NPZ: "Make tensors of its arrays and save them with torch.save.",
    Kind.OURS: "It holds clips; give weights.",
    Kind.HDF5: "Make tensors of its arrays and save them with torch.save.",
}
"""What to do about files of some kinds that are not checkpoints."""

_DTYPES = frozenset(name for name in dir(torch) if isinstance(getattr(torch, name), torch.dtype))


class _Reader(Machine):
    """Notes the storages that a pickle refers to; builds nothing of torch's."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(Machine.dispatch)

    def __init__(self, file: Any, length: int) -> None:
        super().__init__(file, length)
        self.storages: dict[str, _Storage] = {}
        self.options = False

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _DTYPES:
            return _dtype
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        if not isinstance(pid, tuple) or len(pid) not in (5, 6) or pid[0] != "storage":
            _refuse("a reference that is not a storage")
        kind, key, _, count = pid[1:5]
        if not isinstance(kind, _Kind) or not isinstance(key, str) or not _whole(count):
            _refuse("a storage of unknown type")
        if len(pid) == 6 and pid[5] is not None:
            _refuse("a view of a storage")
        known = self.storages.setdefault(key, _Storage(key, count, kind.size))
        if (known.count, known.size) != (count, kind.size):
            _refuse(f"storage '{key}' with two sizes")
        return known

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        function = self.stack[-1]
        if not isinstance(arguments, tuple) or not any(function is known for known in _CALLED):
            _refuse("it calls something other than torch's builders of tensors")
        self.stack[-1] = function(*arguments)

    dispatch[pickle.REDUCE[0]] = load_reduce

    def load_newobj(self) -> None:
        arguments = self.stack.pop()
        if self.stack[-1] is not _Options or arguments != ():
            _refuse("it builds something other than argparse.Namespace")
        self.stack[-1] = _Options()
        self.options = True

    dispatch[pickle.NEWOBJ[0]] = load_newobj

    def load_build(self) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], _Options):
            if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
                _refuse("options that are not a table of names")
            return
        # A state dict carries its modules' versions as an attribute.
        known = isinstance(self.stack[-1], OrderedDict) and isinstance(state, dict)
        if not known or set(state) - {"_metadata"}:
            _refuse("it sets the state of something other than a state dict")

    dispatch[pickle.BUILD[0]] = load_build


def _check_zip(path: Path) -> bool:
    """Check a zip archive; tell whether its pickle holds an ``argparse.Namespace``."""
    length = path.stat().st_size
    with open_regular(path) as source, zipfile.ZipFile(source) as archive:
        _check_table(source, length)
        members = archive.infolist()
        if len(members) > _MEMBERS:
            _refuse(f"{len(members):,} members")
        if sum(item.compress_size for item in members) > length:
            _refuse("members that overlap")
        for item in members:
            if item.compress_type != zipfile.ZIP_STORED or item.file_size != item.compress_size:
                _refuse(f"member '{item.filename:.60}' is compressed")
            if item.header_offset + item.file_size > length:
                _refuse(f"member '{item.filename:.60}' is larger than the file")
        sizes = {item.filename: item.file_size for item in members}
        pickles = [name for name in sizes if name.endswith("/data.pkl")]
        if len(pickles) != 1 or len(sizes) != len(members):
            _refuse("no single data.pkl")
        root = pickles[0].removesuffix("data.pkl")
        if sizes[pickles[0]] > _PICKLE:
            _refuse("a data.pkl that is too large")
        content = archive.read(pickles[0])
    reader = _Reader(io.BytesIO(content), len(content))
    reader.load()
    for storage in reader.storages.values():
        held, need = sizes.get(f"{root}data/{storage.key}", -1), storage.count * storage.size
        if held < need:
            _refuse(f"storage '{storage.key:.40}' of {need:,} bytes, {max(held, 0):,} are there")
    return reader.options


def _check_table(file: BinaryIO, length: int) -> None:
    """Refuse a table of members that readers could look for in different places.

    It must end where its end record begins, which must be the last thing in the file.
    """
    end = length - _END.size
    file.seek(max(end, 0))
    record = file.read()
    if end < 0 or record[:4] != b"PK\x05\x06" or len(record) != _END.size:
        _refuse("no table of members at its end")
    *_, size, offset, comment = _END.unpack(record)
    file.seek(max(end - _LOCATOR.size, 0))
    locator = file.read(_LOCATOR.size)
    if locator[:4] == b"PK\x06\x07":
        end = _LOCATOR.unpack(locator)[2]
        file.seek(max(min(end, length), 0))
        large = file.read(_END64.size)
        if end + _END64.size + _LOCATOR.size + _END.size != length or large[:4] != b"PK\x06\x06":
            _refuse("a table of members that is not at its end")
        *_, size64, offset64 = _END64.unpack(large)
        if size not in (size64, 0xFFFFFFFF) or offset not in (offset64, 0xFFFFFFFF):
            _refuse("two tables of members")
        size, offset = size64, offset64
    if comment or offset + size != end:
        _refuse("a table of members that does not end where it should")


_END, _END64, _LOCATOR = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL")


def _begins(file: Any, length: int) -> bool:
    """Tell whether a file begins with torch's magic number and protocol."""
    try:
        return bool(_Reader(file, length).load() == _MAGIC and _Reader(file, length).load() == 1001)
    except Exception:  # the pickle machine raises nearly anything on what is not a pickle
        return False


def _check_rows(path: Path) -> bool:
    """Check a file of torch before 1.6: magic number, protocol, system, content, keys, storages.

    Tells whether it holds an ``argparse.Namespace``.
    """
    length = path.stat().st_size
    with Clipped(path) as file:
        if not _begins(file, length):
            _refuse("torch did not save it")
        _Reader(file, length).load()
        reader = _Reader(file, length)
        reader.load()
        need = sum(8 + storage.count * storage.size for storage in reader.storages.values())
        if need > length - file.tell():
            _refuse(f"storages of {need:,} bytes, {length - file.tell():,} are left in the file")
    return reader.options


_HEAD = re.compile(
    r"(?:.*\.)?(?:fc|cls|clf|classifier|linear|head|(?:head|classifier)\.(?:fc\.)?\d|head\.fc2)"
    r"\.weight"
)
"""What a classifier's linear map is called; the layers of a projection are numbered."""


def classifier_note(entries: Mapping[str, Tensor]) -> str | None:
    """Return a note where a state dict holds a classifier, for its encoder may have been trained with labels.

    A single linear map to a power of two of at least 64 outputs is a projection.
    """
    for name, value in entries.items():
        outputs = len(value) if value.dim() in (2, 4) and math.prod(value.shape[2:]) == 1 else 0
        projects = outputs >= 64 and outputs & (outputs - 1) == 0
        if _HEAD.fullmatch(name) and outputs > 1 and not projects:
            return (
                f"The checkpoint holds a classifier of {outputs} classes ('{name}'): "
                "its encoder may have seen labels."
            )
    return None


def check_finite(entries: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights that are not finite.

    Raises:
        RunError: There are such; the message names the first.
    """
    for name, value in entries.items():
        wrong = ~torch.isfinite(value)
        if wrong.any():
            place = tuple(torch.nonzero(wrong)[0].tolist())
            told = str(value[place].item()).replace("nan", "NaN")
            raise RunError(
                f"{path}: '{name}' holds {told} at {list(place)} ({int(wrong.sum()):,} of {value.numel():,} "
                "values are not finite). Its training went wrong or it is damaged: give another checkpoint."
            )


def load(path: Path, what: str, remedy: str) -> Any:
    """Read a checkpoint onto the CPU; no code is unpickled.

    Args:
        path: The file.
        what: What the file should be, for messages, such as ``checkpoint``.
        remedy: What to do about a file that is not.

    Raises:
        RunError: The file is missing, damaged, holds anything but plain values and tensors, or claims more
            than it has bytes.
    """
    try:
        kind = kinds.tell(path)
        if kind is Kind.SAFETENSORS:
            return safetensors.read(path)
        if kind not in (Kind.TORCH, Kind.ZIP, Kind.PICKLE, Kind.UNKNOWN):
            raise RunError(f"{path} is not a readable {what}{kinds.but(kind, remedy, _REMEDIES)}")
        with open_regular(path) as file:
            start = file.read(4)
        if (_check_zip if start == b"PK\x03\x04" else _check_rows)(path):
            torch.serialization.add_safe_globals([argparse.Namespace])
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise RunError(f"{path} does not exist.") from None
    except RunError:
        raise
    except Exception as error:
        # torch, zipfile and the pickle machine raise nearly anything on damaged input
        told = next(iter(str(error).strip().splitlines()), "")
        if not told or isinstance(error, LookupError):  # a key or an index alone tells nothing
            told = type(error).__name__
        raise RunError(f"{path} is not a readable {what} ({told:.200}). {remedy}") from None
