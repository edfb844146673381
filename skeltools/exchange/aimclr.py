"""AimCLR's layout, and that of CrosSCLR, SkeAttnCLR and PSTL: a folder with arrays and labels of each split."""

from __future__ import annotations

from pathlib import Path

from skeltools.errors import SourceError
from skeltools.exchange.shared import SIDES, Arrays, Reading, as_they_are, lost, read_folder, write_folder
from skeltools.progress import Progress
from skeltools.store.reader import ClipFile

ARRAY = "position.npy"
HINT = "train_position.npy"
NEEDS_SPLIT = True


def read(source: Path, how: Reading) -> Arrays:
    """Read ``<split>/{train,val}_position.npy`` (N, 3, T, V, M) and ``_label.pkl`` (names, 0-based labels).

    Raises:
        SettingError: A preparation is asked for.
        SourceError: There are no such files.
        FormatError: One is damaged or does not fit the others.
    """
    how.takes_no_chain(source, "is a folder")
    found = read_folder(source, how, ARRAY)
    if not found.sides["train"]:
        raise SourceError(
            f"{source} holds neither train_position.npy nor train_data_joint.npy, nor folders with one, such as "
            "xsub/."
        )
    return as_they_are(found)


def paths(file: ClipFile) -> list[str]:
    """Return the names of the files that an export of `file` makes."""
    ends = (ARRAY, "label.pkl")
    return [f"{split}/{side}_{end}" for split in file.splits for side in SIDES.values() for end in ends]


def write(file: ClipFile, out: Path, progress: Progress) -> list[str]:
    """Write the clips of every split, float32; return what is lost."""
    progress.start("exporting", len(file) * len(file.splits))
    write_folder(file, out, ARRAY, progress)
    progress.finish()
    return [lost(file, "frames of the recordings", "class names")]
