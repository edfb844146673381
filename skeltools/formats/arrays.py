"""NumPy's files as recordings: ``.npy`` of (T, V, C) or (T, M, V, C), ``.npz`` of one such array or one per clip."""

from __future__ import annotations

import io
from typing import Any

from numpy.typing import NDArray

from skeltools.datasets.descriptor import Descriptor
from skeltools.errors import FormatError
from skeltools.files import arrays as files
from skeltools.files import kinds
from skeltools.formats import points
from skeltools.formats.recording import Recording


def read(data: bytes, path: str, how: Descriptor) -> Recording:
    """Read a ``.npy`` file.

    Raises:
        FormatError: It is none, or does not hold what the descriptor says.
    """
    try:
        array = files.array_of(data)
    except ValueError as error:
        kind = kinds.of(data[: kinds.HEAD])
        told = "damaged" if kind is kinds.Kind.NPY else kinds.described(kind).rstrip(".")
        raise FormatError(path, f"this is not a readable NumPy array ({told}): {error}.") from None
    return points.of_array(array, path, how)


def members(data: bytes, path: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of an ``.npz`` file by name.

    Raises:
        FormatError: It is none, or holds no array.
    """
    try:
        found = files.read_arrays(io.BytesIO(data))
    except (OSError, ValueError) as error:
        raise FormatError(path, f"this is not a readable NumPy archive ({str(error).rstrip('.')}).") from None
    if not found:
        raise FormatError(path, "the NumPy archive holds no array.")
    return found
