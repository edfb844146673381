"""A converted file made of another: prepared anew from the recordings it keeps, or on another skeleton."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from skeltools.datasets.contract import NEITHER, PARTITIONS, TEST, TRAIN
from skeltools.errors import DataError, SettingError, counted
from skeltools.files.writing import CONVERTED, check_output
from skeltools.formats.recording import Recording
from skeltools.preparation.chain import OF_CHAIN, Chain, Prepared, apply
from skeltools.progress import SILENT, Progress
from skeltools.skeletons import Form
from skeltools.skeletons.mapping import JointMap
from skeltools.store.layout import narrowed, sha256
from skeltools.store.notes import Note
from skeltools.store.reader import ClipFile
from skeltools.store.writer import Contents, Raw, RawBodies, read_clips, write_file

_OF_THE_SPLITS = {"ntu120": "splits", "pku1": "split_names", "pku2": "split_names"}
"""The setting that bears on the splits, by dataset; it takes the raw files to change them."""

_OF_READING = ("unit", "long_labels")
"""Settings of reading, which stay whatever the chain does afterwards."""

_BLOCK = 256


def derive(
    file: ClipFile,
    out: str | Path,
    chain: Chain,
    prep_name: str,
    *,
    joint_map: JointMap | None = None,
    bodies: int | None = None,
    replace: bool = False,
    progress: Progress = SILENT,
) -> int:
    """Prepare the recordings of a file anew and write the result as another file, recordings included.

    Args:
        file: A file made with recordings kept.
        out: The file to write.
        chain: How to prepare the clips. Settings that bear on the splits must be those of `file`.
        prep_name: Name of the preparation.
        joint_map: From the skeleton of `file` to that of the result; None leaves it.
        bodies: M of the result; None for that of `file`.
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
    check_output(out, replace, file.path, kinds=CONVERTED)
    joints = joint_map or JointMap.identity(file.form.skeleton)
    form = Form(joints.target, bodies or file.form.bodies, chain.frames, file.form.dimensions)
    lost = sum(reason.partition(":")[0] in OF_CHAIN for _, reason in file.excluded)
    if lost:
        progress.message(
            f"The preparation of {file.path} left out {counted(lost, 'clip')} and kept no recording of what it left "
            "out; so that is left out here too."
        )
    with _room(out, 2) as (clips, motion):
        found: list[Prepared] = []
        rows: list[int] = []
        digests: list[str] = []
        excluded = list(file.excluded)
        untracked = 0
        progress.start("deriving", len(file))
        for row in range(len(file)):
            recording, without = _mapped(file.recording(row), joints)
            result = apply(recording, chain, form, labelled=file.dataset.format == "pku")
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
                untracked += without
            progress.advance()
        progress.finish()
        if not rows:
            raise DataError(f"{file.path}: no clip is left after this preparation.")
        reading = {key: file.attrs[f"chain.{key}"] for key in _OF_READING if f"chain.{key}" in file.attrs}
        contents = Contents(
            dataset=file.dataset,
            names=[file.names[row] for row in rows],
            labels=file.labels[rows].tolist(),
            columns=_columns(file, rows, found),
            digests=np.frombuffer(bytes.fromhex("".join(digests)), np.uint8).reshape(-1, 32),
            sides=sides_of(file, rows),
            excluded=sorted(excluded),
            settings={**chain.settings(), **{key: str(value) for key, value in reading.items()}},
            prep=prep_name,
            frames=chain.frames,
            dtype=chain.dtype,
            source_digest=str(file.attrs["source_digest"]),
            raw=_raw(file, rows, joints),
            notes=[*_kept_notes(file, joints), *_of_map(joints, untracked)],
            stated=form,
            attributes=_map_attribute(file, joints),
        )
        arrays = {"clips": read_clips(clips, range(len(rows)), chain.clip_bytes(form))}
        if chain.motion == "source":
            arrays["motion"] = read_clips(motion, range(len(rows)), chain.clip_bytes(form))
        write_file(out, contents, arrays)
    return len(rows)


_NOTHING = np.zeros(0, np.float32)


def derive_clips(
    file: ClipFile,
    out: str | Path,
    *,
    joint_map: JointMap | None = None,
    bodies: int | None = None,
    replace: bool = False,
    progress: Progress = SILENT,
) -> int:
    """Put the prepared clips of a file, without its recordings, on another skeleton or number of bodies.

    Length, rotation and frames stay as the file's chain made them. Where it subtracted the centre of the same
    frame and body, that of the new skeleton is subtracted instead, which is what the chain would have done; other
    centres stay, and ``chain.centre_joint`` is the joint made of the old one, or absent. The notes of the result
    say so.

    Args:
        file: A converted file.
        out: The file to write.
        joint_map: From its skeleton to that of the result; None leaves it.
        bodies: M of the result; further bodies are zeros, and those left out are counted. None leaves M.
        replace: Rebuild `out` if it exists.
        progress: Receiver of progress.

    Returns:
        The number of clips.

    Raises:
        OutputError: `out` exists and `replace` is not set, or it cannot be written there.
    """
    out = Path(out)
    check_output(out, replace, file.path, kinds=CONVERTED)
    joints = joint_map or JointMap.identity(file.form.skeleton)
    form = Form(joints.target, bodies or file.form.bodies, file.frames, file.form.dimensions)
    settings = {
        key.removeprefix("chain."): value for key, value in file.attrs.items() if key.startswith("chain.")
    }
    metres = settings.get("scale", "none") == "none"
    anew = settings.get("centre") == "frame" and metres and not joints.is_identity
    dtype = np.dtype("float16" if file.stored(0, 0).dtype == np.float16 else "float32").newbyteorder("<")
    dropped = 0
    digests: list[str] = []
    names = ["clips", *(["motion"] if file.has_motion else [])]
    with _room(out, len(names)) as places:
        progress.start("deriving", len(file))
        for start in range(0, len(file), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(file)))
            for name, place in zip(names, places, strict=True):
                block = file.clips(rows) if name == "clips" else file.motion(rows)
                if name == "clips":
                    dropped += int(block[..., form.bodies :].any(axis=(1, 2, 3, 4)).sum())
                where = f"{file.path}, clips {start + 1} to {start + len(rows)}"
                made = narrowed(_on(block, joints, form, anew), dtype, where)
                place.write(made.tobytes())
                if name == "clips":
                    digests += [sha256(clip.tobytes()) for clip in made]
            progress.advance(len(rows))
        progress.finish()
        rows = np.arange(len(file))
        columns: dict[str, Any] = {name: file.column(name) for name in file.columns}
        if "bodies" in columns:
            columns["bodies"] = np.minimum(columns["bodies"], form.bodies)
        contents = Contents(
            dataset=file.dataset,
            names=file.names,
            labels=file.labels.tolist(),
            columns=columns,
            digests=np.frombuffer(bytes.fromhex("".join(digests)), np.uint8).reshape(-1, 32),
            sides=sides_of(file, rows.tolist()),
            excluded=file.excluded,
            settings=_settings_of(settings, joints, anew),
            prep=str(file.attrs.get("prep", "")),
            frames=file.frames,
            dtype=dtype.name,
            source_digest=str(file.attrs["source_digest"]),
            notes=[
                *_kept_notes(file, joints),
                *_of_map(joints, 0),
                *_of_clips(settings, joints, anew, dropped),
            ],
            stated=form,
            attributes=_map_attribute(file, joints),
        )
        size = dtype.itemsize * 3 * form.frames * form.joints * form.bodies
        arrays = {
            name: read_clips(place, range(len(file)), size) for name, place in zip(names, places, strict=True)
        }
        write_file(out, contents, arrays)
    return len(file)


@contextmanager
def _room(out: Path, count: int) -> Iterator[list[BinaryIO]]:
    """Open so many files without names on the disk of `out`."""
    with ExitStack() as stack:
        folder = out.absolute().parent
        yield [stack.enter_context(tempfile.TemporaryFile(dir=folder)) for _ in range(count)]  # type: ignore[misc]


def _mapped(recording: Recording, joints: JointMap) -> tuple[Recording, int]:
    """Return a recording on the other skeleton, and how many of its joints are made of an untracked one."""
    if joints.is_identity:
        return recording, 0
    coords, untracked = joints.map_bodies(recording.coords)
    return Recording(
        frames=recording.frames,
        coords=coords,
        frame=recording.frame,
        slot=recording.slot,
        ids=recording.ids,
        notes=recording.notes,
    ), untracked


def _on(block: NDArray[np.float32], joints: JointMap, form: Form, anew: bool) -> NDArray[np.float64]:
    """Return clips (n, 3, T, V, M), or their motion, on another skeleton, with form.bodies bodies."""
    made = joints.apply(block, 3)
    if anew:
        made -= made[:, :, :, list(joints.target.centre)].mean(axis=3, keepdims=True)
    every = np.zeros((*made.shape[:4], form.bodies))
    every[..., : made.shape[4]] = made[..., : form.bodies]
    return every


def _settings_of(settings: dict[str, Any], joints: JointMap, anew: bool) -> dict[str, Any]:
    """Return the settings of a chain as they are true of the other skeleton."""
    if joints.is_identity or "centre_joint" not in settings:
        return settings
    others = {key: value for key, value in settings.items() if key != "centre_joint"}
    centre = _new_centre(settings, joints, anew)
    return others if centre is None else others | {"centre_joint": centre}


def _new_centre(settings: dict[str, Any], joints: JointMap, anew: bool) -> int | None:
    if anew or settings.get("centre") == "none":
        return joints.target.centre[0] if len(joints.target.centre) == 1 else -1
    made = (
        joint for joint, of in enumerate(joints.weights) if [at for at, _ in of] == [settings["centre_joint"]]
    )
    return next(made, None)


def _of_map(joints: JointMap, untracked: int) -> list[Note]:
    if joints.is_identity:
        return []
    found = [Note("map", max(len(joints.missing), 1), joints.told())]
    if untracked:
        what = f"{untracked:,} {'joint is' if untracked == 1 else 'joints are'}"
        text = f"{what} at the origin, for a joint that it is made of was not tracked there."
        found.append(Note("map-untracked", untracked, text))
    return found


def _of_clips(settings: dict[str, Any], joints: JointMap, anew: bool, dropped: int) -> list[Note]:
    """Say what was done to prepared clips, and what stays of their preparation."""
    found = []
    if not joints.is_identity:
        source, target = joints.source, joints.target
        centre = " and ".join(target.joints[joint] for joint in target.centre)
        if anew:
            text = f"centred anew, on {centre}"
        elif settings.get("centre") == "none":
            text = "not centred"
        else:
            only = "a centre of the same frame, in metres,"
            text = f"centred as they were on {source.name}, for only {only} can be changed"
        text = f"prepared clips were mapped, not recordings: {text}; frames and rotation stay."
        found.append(Note("map-clips", 1, text))
    if dropped:
        what = "clip holds" if dropped == 1 else "clips hold"
        found.append(
            Note("bodies", dropped, f"{dropped:,} {what} more bodies: the further ones were left out.")
        )
    return found


def _kept_notes(file: ClipFile, joints: JointMap) -> list[Note]:
    """Return the notes of a file that stay true; a map of a map has the notes of the last."""
    return [note for note in file.notes if joints.is_identity or not note.kind.startswith("map")]


def _map_attribute(file: ClipFile, joints: JointMap) -> dict[str, str | int]:
    """Return what the file states of maps: all, the last at the end, one line of JSON each."""
    before = str(file.attrs["map"]).splitlines() if "map" in file.attrs else []
    lines = before if joints.is_identity else [*before, joints.to_json()]
    return {"map": "\n".join(lines)} if lines else {}


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


def _raw(file: ClipFile, rows: Sequence[int], joints: JointMap) -> Raw:
    counts, frames = file.raw_counts()

    def read(number: int) -> RawBodies:
        recording, _ = _mapped(file.recording(rows[number]), joints)
        return recording.coords, recording.frame, recording.slot, recording.ids

    return Raw(counts[rows].tolist(), frames[rows].tolist(), read)
