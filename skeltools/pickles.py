"""Reading other people's pickles safely: a loader that can build only plain containers and NumPy arrays."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from skeltools.errors import FormatError, SourceError

# As numpy pickles its own: the module they stand in has another name before numpy 2.
_RECONSTRUCT: Any = np.empty(0).__reduce__()[0]
_SCALAR: Any = np.float64(0).__reduce__()[0]


def _array(kind: Any, shape: Any, code: Any) -> Any:
    if kind is not np.ndarray:
        raise pickle.UnpicklingError("an array of another type than numpy.ndarray")
    return _RECONSTRUCT(np.ndarray, shape, code)


def _from_buffer(buffer: Any, dtype: Any, shape: Any, order: Any, *_: Any) -> Any:
    return np.frombuffer(buffer, dtype=dtype).reshape(shape, order=order)


def _scalar(dtype: np.dtype[Any], value: Any = None) -> Any:
    if dtype.hasobject:
        raise pickle.UnpicklingError("a NumPy scalar of objects")
    return _SCALAR(dtype, value) if value is not None else _SCALAR(dtype)


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"the encoding {encoding}")
    return text.encode("latin1")


_ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,
    **{
        (f"numpy.{core}.{module}", name): function
        for core in ("core", "_core")
        for module, name, function in (
            ("multiarray", "_reconstruct", _array),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}
"""All that a pickle may name. Lists, tuples, dictionaries, sets, texts and numbers need no name."""


class _Loader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}") from None

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("it refers to something outside itself")


def load(path: Path) -> Any:
    """Read a pickle that holds only lists, tuples, dictionaries, texts, numbers and NumPy arrays.

    Nothing else is ever built or called, so a hostile file cannot run code.

    Raises:
        SourceError: There is no such file.
        FormatError: It is no pickle, is damaged, or holds anything else.
    """
    try:
        with path.open("rb") as file:
            return _Loader(file, encoding="latin1").load()
    except FileNotFoundError:
        raise SourceError(f"{path} does not exist.") from None
    except pickle.UnpicklingError as error:
        told = " ".join(str(error).split())
        raise FormatError(
            path, f"not a pickle of plain lists, texts, numbers and arrays ({told}); it is refused."
        ) from None
    except (OSError, MemoryError, RecursionError) as error:
        raise FormatError(path, f"the pickle cannot be read ({type(error).__name__}).") from None
    except Exception as error:  # the pickle machine raises nearly anything on damaged input
        raise FormatError(path, f"the pickle is damaged ({type(error).__name__}).") from None
