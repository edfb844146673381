"""Another preparation from recordings that a converted file keeps, without the raw files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skeltools.datasets.contract import NEITHER, PARTITIONS, TEST, TRAIN
from skeltools.errors import DataError, SettingError, counted
from skeltools.formats.recording import Recording
from skeltools.preparation.chain import OF_CHAIN, Chain, Prepared, apply
from skeltools.progress import SILENT, Progress
from skeltools.store.layout import sha256
from skeltools.store.reader import ClipFile
from skeltools.store.writer import Contents, Raw, RawBodies, check_output, read_clips, write_file

_OF_THE_SPLITS = {"ntu120": "splits", "pku1": "split_names", "pku2": "split_names"}
"""The setting that bears on the splits, by dataset; it takes the raw files to change them."""


def derive(
    file: ClipFile,
    out: str | Path,
    chain: Chain,
    prep_name: str,
    *,
    replace: bool = False,
    progress: Progress = SILENT,
) -> int:
    """Prepare the recordings of a file anew and write the result as another file, recordings included.

    Args:
        file: A file made with recordings kept.
        out: The file to write.
        chain: How to prepare the clips. Settings that bear on the splits must be those of `file`.
        prep_name: Name of the preparation.
        replace: Rebuild `out` if it exists.
        progress: Receiver of progress.

    Returns:
        The number of clips written.

    Raises:
        DataError: The file holds no recordings.
        SettingError: A setting cannot be changed without the raw files.
        OutputError: `out` exists and `replace` is not set, or it cannot be written there.
    """
    out = Path(out)
    if not file.has_raw:
        raise DataError(f"{file.path} holds no recordings. Convert with --keep-raw to keep them.")
    if not file.has_ids:
        raise DataError(
            f"{file.path} holds recordings without tracking ids: an older skeltools kept them. Convert the "
            "source again with --keep-raw."
        )
    key = _OF_THE_SPLITS.get(file.dataset.name)
    if key is not None and (before := file.attrs.get(f"chain.{key}")) != getattr(chain, key):
        raise SettingError(
            f"chain.{key} was '{before}' and cannot be changed to '{getattr(chain, key)}' without the raw "
            f"files. Convert again, or keep it: --set chain.{key}={before}"
        )
    check_output(out, replace, file.path)
    lost = sum(reason.partition(":")[0] in OF_CHAIN for _, reason in file.excluded)
    if lost:
        progress.message(
            f"{counted(lost, 'clip')} left out by the preparation of {file.path}, without a recording there: "
            "left out here too."
        )
    recordings = (file.recording(row) for row in range(len(file)))
    with (
        tempfile.TemporaryFile(dir=out.absolute().parent) as clips,
        tempfile.TemporaryFile(dir=out.absolute().parent) as motion,
    ):
        found: list[Prepared] = []
        rows: list[int] = []
        digests: list[str] = []
        excluded = list(file.excluded)
        progress.start("deriving", len(file))
        for row, recording in enumerate(recordings):
            result = apply(recording, chain, file.form, labelled=file.dataset.format == "pku")
            if isinstance(result, str):
                excluded.append((file.names[row], result))
            else:
                values = result.clip.astype(result.clip.dtype.newbyteorder("<"), copy=False).tobytes()
                clips.write(values)
                if result.motion is not None:
                    motion.write(result.motion.astype(result.clip.dtype.newbyteorder("<")).tobytes())
                rows.append(row)
                digests.append(sha256(values))
                found.append(result._replace(clip=_NOTHING, motion=None))
            progress.advance()
        progress.finish()
        if not rows:
            raise DataError(f"{file.path}: no clip is left after this preparation.")
        contents = Contents(
            dataset=file.dataset,
            names=[file.names[row] for row in rows],
            labels=file.labels[rows].tolist(),
            columns=_columns(file, rows, found),
            digests=np.frombuffer(bytes.fromhex("".join(digests)), np.uint8).reshape(-1, 32),
            sides=sides_of(file, rows),
            excluded=sorted(excluded),
            settings=chain.settings(),
            prep=prep_name,
            frames=chain.frames,
            dtype=chain.dtype,
            source_digest=str(file.attrs["source_digest"]),
            raw=_raw(file, rows),
        )
        arrays = {"clips": read_clips(clips, range(len(rows)), chain.clip_bytes(file.form))}
        if chain.motion == "source":
            arrays["motion"] = read_clips(motion, range(len(rows)), chain.clip_bytes(file.form))
        write_file(out, contents, arrays)
    return len(rows)


_NOTHING = np.zeros(0, np.float32)


def sides_of(file: ClipFile, rows: Iterable[int]) -> dict[str, NDArray[np.int8]]:
    """Return, for each split, the side of each of `rows`, int8 (n,)."""
    found = {}
    for split in file.splits:
        sides = np.full(len(file), NEITHER, np.int8)
        for part, side in zip(PARTITIONS, (TRAIN, TEST), strict=True):
            sides[file.rows(split, part)] = side
        found[split] = sides[list(rows)]
    return found


def _columns(
    file: ClipFile, rows: Sequence[int], found: Sequence[Prepared]
) -> dict[str, Sequence[int] | Sequence[str]]:
    columns: dict[str, Sequence[int] | Sequence[str]] = {}
    for name in file.columns:
        values = file.column(name)
        columns[name] = [values[row] for row in rows] if isinstance(values, list) else values[rows].tolist()
    for name in ("frames", "length", "bodies", "gaps"):
        columns[name] = [getattr(item, name) for item in found]
    return columns


def _raw(file: ClipFile, rows: Sequence[int]) -> Raw:
    counts, frames = file.raw_counts()

    def read(number: int) -> RawBodies:
        recording: Recording = file.recording(rows[number])
        return recording.coords, recording.frame, recording.slot, recording.ids

    return Raw(counts[rows].tolist(), frames[rows].tolist(), read)
