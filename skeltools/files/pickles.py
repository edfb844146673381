"""Reading other people's pickles safely: a loader that can build only plain containers and NumPy arrays.

A pickle is a program. This one runs on Python's own pickle machine written in Python, whose every step can be
refused; the compiled one reserves memory at a number that the file names. Nothing is reserved before the file
was found to hold as many bytes, and no NumPy type or array is ever given a state that was not checked.
"""

from __future__ import annotations

import io
import math
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, NoReturn

import numpy as np

from skeltools.errors import FormatError, SourceError
from skeltools.files import kinds
from skeltools.files.kinds import Kind
from skeltools.files.reading import open_raw

_KINDS = "biufSU"
"""Kinds of NumPy types that are taken: truth values, numbers and texts; no objects, no records."""

_WIDEST = 1 << 16
"""Most bytes of one value of a NumPy type; a text of a name has fewer."""

_DIMENSIONS = 32

_KEYS = (str, bytes, float, bool, type(None), np.integer, np.bool_)
"""What a dictionary's key or a set's member may be, beside smaller whole numbers. A nested tuple's hash can take
for ever."""

_SMALL_KEY = 60
"""Bits of a whole number that is its own hash. Larger ones, and NumPy's long doubles, can be made to have one hash in
any number, and each would then be compared with all before it."""

_MEMO = 1 << 32
"""Places of a pickle's memo are below this, what a place of four bytes can say; for the same reason."""

_TIMES = 8
"""Bytes of arrays and encoded texts that are made of a pickle, in multiples of its size: what is there once can be
named again and again, and each time a copy is made."""

_SPARE = 1 << 26
"""Such bytes beyond that (64 MiB)."""


def _refuse(what: str) -> NoReturn:
    raise pickle.UnpicklingError(what)


class _Type:
    """A NumPy type under way: plain until its byte order is set, once."""

    __slots__ = ("made",)

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or len(code) > 12:
            _refuse("a NumPy type that is not a plain code")
        made = np.dtype(code)
        if made.kind not in _KINDS or made.itemsize > _WIDEST or made.shape:
            _refuse("a NumPy type of objects, records or times")
        self.made = made

    def set(self, state: Any) -> None:
        # (version, byte order, sub-array, names, fields, size, alignment, flags)
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in ("<", ">", "|", "="):
            _refuse("a NumPy type with an unknown state")
        if any(part is not None for part in state[2:5]):
            _refuse("a NumPy type with fields")
        size = state[5] if len(state) > 5 else -1
        if self.made.kind in "SU" and isinstance(size, int) and size > 0:
            if size > _WIDEST:
                _refuse("a NumPy text that is too long")
            self.made = np.dtype(f"{self.made.kind}{size // (4 if self.made.kind == 'U' else 1)}")
        if state[1] in "<>":
            self.made = self.made.newbyteorder(state[1])


class _Array:
    """A NumPy array under way; it is filled once, and replaced by the array wherever it is."""

    __slots__ = ("made",)

    def __init__(self) -> None:
        self.made: np.ndarray[Any, Any] | None = None


def _shape(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or len(shape) > _DIMENSIONS:
        _refuse("an array with an unknown shape")
    if not all(type(size) is int and 0 <= size < 1 << 62 for size in shape):
        _refuse("an array with an unknown shape")
    return shape


def _built(buffer: Any, kind: Any, shape: Any, order: Any) -> np.ndarray[Any, Any]:
    """Return an array over bytes that are all there."""
    if not isinstance(kind, _Type):
        _refuse("an array of an unknown type")
    if isinstance(buffer, str):
        buffer = buffer.encode("latin1")
    if not isinstance(buffer, (bytes, bytearray)) or order not in ("C", "F"):
        _refuse("an array of something other than bytes")
    shape = _shape(shape)
    need = math.prod(shape) * kind.made.itemsize
    if need != len(buffer):
        _refuse(f"an array of shape {shape} needs {need} bytes, {len(buffer)} are there")
    if need == 0:
        return np.zeros(shape, kind.made) if 0 in shape else _refuse("an array of empty values")
    return np.frombuffer(bytearray(buffer), kind.made).reshape(shape, order=order)


def _reconstruct(kind: Any, shape: Any, code: Any) -> _Array:
    if kind is not _ndarray:
        _refuse("an array of another type than numpy.ndarray")
    return _Array()  # its true shape comes with its state


def _ndarray(*_: Any) -> NoReturn:
    _refuse("an array that is made without its content")


def _from_buffer(buffer: Any, kind: Any, shape: Any, order: Any, *_: Any) -> np.ndarray[Any, Any]:
    return _built(buffer, kind, shape, order)


def _scalar(kind: Any, value: Any) -> Any:
    return _built(value, kind, (), "C")[()]


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        _refuse("an encoding other than latin1")  # never shown: nested lists may be endless to write
    if not isinstance(text, str):
        _refuse("an encoding of something other than a text")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _ndarray,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encode,
    **{
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}
"""All that a pickle may name. Lists, tuples, dictionaries, sets, texts and numbers need no name."""

_CALLED = set(_ALLOWED.values()) - {_ndarray}


class Clipped(io.BufferedReader):
    """An open file that never reserves more than is left of it, whatever number it is asked for."""

    def __init__(self, source: Path | bytes) -> None:
        raw: Any = io.BytesIO(source) if isinstance(source, bytes) else open_raw(source)
        super().__init__(raw, 1 << 16)
        self._length = len(source) if isinstance(source, bytes) else source.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """Return at most `size` bytes."""
        left = max(self._length - self.tell(), 0)
        if size is None or size < 0:
            size = left
        elif size > 1 << 16:
            size = min(size, left)
        return super().read(size)

    def readinto(self, buffer: Any, /) -> int:
        """Fill `buffer`."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


_Base: Any = pickle._Unpickler  # type: ignore[attr-defined]


class Machine(_Base):  # type: ignore[misc]
    """Python's pickle machine without the steps that reach out of the file.

    Args:
        file: A `Clipped` file.
        length: Bytes that the file holds.
    """

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(_Base.dispatch)  # type: ignore[attr-defined]

    def __init__(self, file: Any, length: int) -> None:
        super().__init__(file, encoding="latin1")
        self.room = length
        self._copies = _TIMES * length + _SPARE

    def _spend(self, made: Any) -> None:
        """Count what was made of bytes that may be named again."""
        size = made.nbytes if isinstance(made, np.ndarray | np.generic) else len(made)
        self._copies -= size
        if self._copies < 0:
            _refuse("it makes many times its size of copies")

    def _no(self) -> NoReturn:
        _refuse("it builds or refers to something outside itself")

    # INST, OBJ, NEWOBJ, NEWOBJ_EX, EXT1, EXT2, EXT4, NEXT_BUFFER, READONLY_BUFFER
    dispatch |= dict.fromkeys(b"io\x81\x92\x82\x83\x84\x97\x98", _no)

    def load_bytearray8(self) -> None:
        (size,) = pickle.unpack("<Q", self.read(8))  # type: ignore[attr-defined]
        if size > self.room:
            _refuse("it claims more bytes than the file has")
        self.append(bytearray(self.read(size)))

    dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8

    def load_frame(self) -> None:
        (size,) = pickle.unpack("<Q", self.read(8))  # type: ignore[attr-defined]
        if size > self.room:
            _refuse("it claims more bytes than the file has")
        self._unframer.load_frame(size)

    dispatch[pickle.FRAME[0]] = load_frame

    def persistent_load(self, pid: Any) -> Any:
        self._no()

    def find_class(self, module: str, name: str) -> Any:
        raise NotImplementedError

    def _keys(self, keys: Any) -> None:
        for key in keys:
            if type(key) is int:
                if key.bit_length() > _SMALL_KEY:
                    _refuse("a whole number above 60 bits as a key")
            elif not isinstance(key, _KEYS):
                _refuse("a key that is neither a text nor a number")

    def load_dict(self) -> None:
        items = self.pop_mark()
        self._keys(items[::2])
        self.append({items[at]: items[at + 1] for at in range(0, len(items), 2)})

    dispatch[pickle.DICT[0]] = load_dict

    def load_setitem(self) -> None:
        value = self.stack.pop()
        key = self.stack.pop()
        self._keys((key,))
        self._dictionary()[key] = value

    dispatch[pickle.SETITEM[0]] = load_setitem

    def load_setitems(self) -> None:
        items = self.pop_mark()
        self._keys(items[::2])
        self._dictionary().update(zip(items[::2], items[1::2], strict=True))

    dispatch[pickle.SETITEMS[0]] = load_setitems

    def _dictionary(self) -> Any:
        if not isinstance(self.stack[-1], dict):
            _refuse("entries for something other than a dictionary")
        return self.stack[-1]

    def load_append(self) -> None:
        value = self.stack.pop()
        if not isinstance(self.stack[-1], list):
            _refuse("members for something other than a list")
        self.stack[-1].append(value)

    dispatch[pickle.APPEND[0]] = load_append

    def load_appends(self) -> None:
        items = self.pop_mark()
        if not isinstance(self.stack[-1], list):
            _refuse("members for something other than a list")
        self.stack[-1].extend(items)

    dispatch[pickle.APPENDS[0]] = load_appends

    def load_additems(self) -> None:
        items = self.pop_mark()
        self._keys(items)
        if not isinstance(self.stack[-1], set):
            _refuse("members for something other than a set")
        self.stack[-1].update(items)

    dispatch[pickle.ADDITEMS[0]] = load_additems

    def load_frozenset(self) -> None:
        items = self.pop_mark()
        self._keys(items)
        self.append(frozenset(items))

    dispatch[pickle.FROZENSET[0]] = load_frozenset

    def load_put(self) -> None:
        place = int(self.readline()[:-1])
        if not 0 <= place < _MEMO:
            _refuse("a place of the memo that does not exist")
        self.memo[place] = self.stack[-1]

    dispatch[pickle.PUT[0]] = load_put


class _Loader(Machine):
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(Machine.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}") from None

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        function = self.stack[-1]
        if not isinstance(arguments, tuple) or not callable(function) or function not in _CALLED:
            _refuse("it calls something other than NumPy's builders")
        made = function(*arguments)
        if not isinstance(made, (_Type, _Array)):
            self._spend(made)
        self.stack[-1] = made

    dispatch[pickle.REDUCE[0]] = load_reduce

    def load_build(self) -> None:
        state = self.stack.pop()
        under_way = self.stack[-1]
        if isinstance(under_way, _Type):
            under_way.set(state)
        elif isinstance(under_way, _Array) and under_way.made is None:
            if not isinstance(state, tuple) or len(state) not in (4, 5):
                _refuse("an array with an unknown state")
            shape, kind, fortran, data = state[-4:]
            under_way.made = _built(data, kind, shape, "F" if fortran is True or fortran == 1 else "C")
            self._spend(under_way.made)
            self.stack[-1] = under_way.made
        else:
            _refuse("it sets the state of something other than an array")

    dispatch[pickle.BUILD[0]] = load_build

    def _again(self, place: int) -> None:
        kept = self.memo[place]
        self.append(kept.made if isinstance(kept, _Array) and kept.made is not None else kept)

    def load_get(self) -> None:
        self._again(int(self.readline()[:-1]))

    dispatch[pickle.GET[0]] = load_get

    def load_binget(self) -> None:
        self._again(self.read(1)[0])

    dispatch[pickle.BINGET[0]] = load_binget

    def load_long_binget(self) -> None:
        self._again(int.from_bytes(self.read(4), "little"))

    dispatch[pickle.LONG_BINGET[0]] = load_long_binget


_REMEDY = "Give a file that pickle.dump wrote."
_REMEDIES = {Kind.TORCH: "Load it with torch.load and save what it holds with pickle.dump."}


def load(path: Path) -> Any:
    """Read a pickle that holds only lists, tuples, dictionaries, texts, numbers and NumPy arrays.

    Nothing else is ever built or called, so a hostile file cannot run code; nor can it make the program
    reserve more memory than a few times the file's size.

    Raises:
        SourceError: There is no such file.
        FormatError: It is not a pickle, is damaged, or holds anything else.
    """
    try:
        kind = kinds.tell(path)
        if kind not in _PICKLES:
            raise FormatError(path, f"not a pickle{kinds.but(kind, _REMEDY, _REMEDIES)}")
        with Clipped(path) as file:
            return _values(file, path.stat().st_size, path)
    except FileNotFoundError:
        raise SourceError(f"{path} does not exist.") from None
    except OSError as error:
        raise FormatError(path, f"the pickle cannot be read ({type(error).__name__}).") from None


def loads(data: bytes, path: str) -> Any:
    """Read the content of a pickle, as `load` does.

    Raises:
        FormatError: As `load`.
    """
    kind = kinds.of(data[: kinds.HEAD])
    if kind not in _PICKLES:
        raise FormatError(path, f"not a pickle{kinds.but(kind, _REMEDY, _REMEDIES)}")
    with Clipped(data) as file:
        return _values(file, len(data), path)


_PICKLES = (Kind.PICKLE, Kind.UNKNOWN, Kind.TEXT)


def _values(file: Clipped, length: int, path: Path | str) -> Any:
    """Return what a pickle holds."""
    try:
        found = _Loader(file, length).load()
        if isinstance(found, (_Type, _Array)) or callable(found):
            _refuse("it holds a type, not values")
        return found
    except pickle.UnpicklingError as error:
        told = " ".join(str(error).split())
        raise FormatError(
            path, f"not a pickle of plain lists, texts, numbers and arrays ({told:.200}); it is refused."
        ) from None
    except (OSError, MemoryError, RecursionError) as error:
        raise FormatError(path, f"the pickle cannot be read ({type(error).__name__}).") from None
    except Exception as error:  # the pickle machine raises nearly anything on damaged input
        raise FormatError(path, f"not a pickle, or a damaged one ({type(error).__name__}).") from None


_Writer: Any = pickle._Pickler  # type: ignore[attr-defined]


class Stream:
    """Values that `dump` writes as a list, one at a time, and lets go.

    Args:
        values: The values.
    """

    def __init__(self, values: Iterable[Any]) -> None:
        self.values = values


class _Portable(_Writer):  # type: ignore[misc]
    """Python's pickler, naming NumPy's functions as NumPy 1 did, which NumPy 2 reads as well."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, protocol=4)
        self._memoized = 0

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if not isinstance(obj, Stream):
            super().save(obj, save_persistent_id)
            return
        self.write(pickle.EMPTY_LIST)
        self.memoize(obj)
        for value in obj.values:
            known = set(self.memo)
            super().save(value)
            self.write(pickle.APPEND)
            for key in self.memo.keys() - known:  # what is written is not held, nor is it referred to again
                del self.memo[key]

    def memoize(self, obj: Any) -> None:
        """Number an object as the reader does: by how many came before, be they still known here or not."""
        self.write(pickle.MEMOIZE)
        self.memo[id(obj)] = self._memoized, obj
        self._memoized += 1

    def save_global(self, obj: Any, name: str | None = None) -> None:
        module = str(getattr(obj, "__module__", ""))
        if not module.startswith("numpy._core."):
            super().save_global(obj, name)
            return
        self.save(module.replace("numpy._core.", "numpy.core.", 1))
        self.save(obj.__name__)
        self.write(pickle.STACK_GLOBAL)
        self.memoize(obj)


def dump(content: Any, file: BinaryIO) -> None:
    """Write plain values and NumPy arrays as a pickle of protocol 4 that NumPy 1 and 2 read.

    A `Stream` among them becomes a list, whose values are held one at a time.
    """
    _Portable(file).dump(content)
