"""The clips that a pretraining saw, kept in its run folder, so that no evaluation takes them for unseen ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from skeltools.errors import RunError
from skeltools.files.arrays import read_arrays
from skeltools.files.writing import replacing
from skeltools.store.overlap import Clips

NAME = "clips.npz"
"""The file in a run folder."""


def write(folder: Path, clips: Clips) -> None:
    """Write the clips of a pretraining into its run folder."""
    with replacing(folder / NAME) as part, part.open("wb") as file:
        np.savez_compressed(
            file,
            dataset=np.array(clips.dataset),
            names=np.array(clips.names, dtype=np.str_),
            digests=clips.digests,
        )


def read(folder: Path) -> Clips | None:
    """Return the clips that a run folder names; None where it names none, as those of earlier versions.

    Raises:
        RunError: The file is damaged.
    """
    path = folder / NAME
    try:
        arrays = read_arrays(path)
        dataset, names, digests = (arrays[key] for key in ("dataset", "names", "digests"))
        if names.dtype.kind != "U" or digests.dtype != np.uint8 or digests.shape != (len(names), 32):
            raise ValueError("its entries are of another kind")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path}, the clips that the run was trained on, cannot be read ({error}). Remove it: they are then "
            "looked up in the run's data."
        ) from None
    return Clips(str(dataset), names.tolist(), digests)
