"""Writing a whole data set of synthetic motion into a folder, with many processes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from skeltools import processes
from skeltools.datasets import registry as datasets
from skeltools.errors import OutputError, SettingError, did_you_mean
from skeltools.files.reading import read_regular
from skeltools.files.writing import replacing, write_text
from skeltools.progress import SILENT, Progress
from skeltools.synth import design, motion, ntu_files, pku_files
from skeltools.synth.chance import generator
from skeltools.synth.design import Video
from skeltools.synth.scene import NATURAL_FRAMES

NOTE = "synth.json"
"""The file that says what `write` put into a folder. Only files that follow from it are ever replaced."""

FRAME_LIMITS = (8, 300)
_CHUNK = 16


@dataclass(frozen=True)
class Order:
    """What to write; the note in the folder holds just this.

    Attributes:
        dataset: Name of the dataset whose format, names and classes are used.
        clips: Number of clips (for PKU-MMD: actions over all videos).
        seed: Seed of every random draw.
        frames: Least and greatest length of a clip in frames (NTU only).
    """

    dataset: str
    clips: int
    seed: int
    frames: tuple[int, int]


@dataclass(frozen=True)
class Summary:
    """What was written.

    Attributes:
        path: The folder.
        dataset: Name of the dataset.
        clips: Number of clips (for PKU-MMD: actions).
        classes: Number of different action classes.
        performers: Number of different performers.
        files: Number of raw files, label and split files included.
        size: Bytes of these files.
        seed: The seed.
    """

    path: Path
    dataset: str
    clips: int
    classes: int
    performers: int
    files: int
    size: int
    seed: int


def write(
    dataset: str,
    out: str | Path,
    clips: int,
    *,
    seed: int = 0,
    workers: int = 1,
    progress: Progress = SILENT,
    frames: tuple[int, int] = NATURAL_FRAMES,
    replace: bool = False,
) -> Summary:
    """Write raw files of synthetic motion in the format of `dataset` to the folder `out`.

    The bytes of an NTU file depend on its name, `seed` and `frames` alone, those of a PKU-MMD video on its
    name, `seed` and number of actions, never on the number of workers. The clips of a smaller data set are
    among those of a larger one.

    Args:
        dataset: ``ntu60``, ``ntu120``, ``pku1`` or ``pku2``.
        out: The folder; made if missing.
        clips: Number of clips; for PKU-MMD, of actions over all videos.
        seed: Seed of every random draw.
        workers: Number of processes.
        progress: Receiver of progress.
        frames: Least and greatest length of an NTU clip, frames at 30 per second.
        replace: Rewrite a folder that an earlier call has written. What that call wrote and this one does
            not is removed; files that no call wrote are left alone.

    Raises:
        SettingError: Unknown dataset, or a number out of bounds.
        OutputError: `out` is not empty and `replace` is not set, or a file that was not written by this
            function is in the way.
    """
    order = Order(dataset, clips, seed, frames)
    units = _units(order)
    out = Path(out)
    _prepare(out, order, replace)
    progress.start("writing", clips)
    size = 0
    for name, data in _split_files(order, units).items():
        size += _put(out / name, data)
    for done, written in _run(out, order, units, workers):
        size += written
        progress.advance(done)
    progress.finish()
    if datasets.get(dataset).format == "pku":
        videos = [unit for unit in units if isinstance(unit, Video)]
        classes = {label for video in videos for label in video.labels}
        performers = {video.performer for video in videos}
    else:
        names = [clip for unit in units if (clip := datasets.parse_ntu_name(str(unit))) is not None]
        classes, performers = {clip.action for clip in names}, {clip.subject for clip in names}
    return Summary(
        path=out,
        dataset=dataset,
        clips=clips,
        classes=len(classes),
        performers=len(performers),
        files=len(_file_names(order)),
        size=size,
        seed=seed,
    )


WRITTEN = tuple(name for name, dataset in datasets.registry().items() if dataset.format in ("ntu", "pku"))
"""Datasets whose raw files `write` writes."""

Unit = str | Video
"""One piece of work: the name of an NTU clip, or a PKU-MMD video."""


def _units(order: Order) -> list[Unit]:
    """Return the pieces of work of `order`, once it is found to be sound."""
    if order.dataset not in WRITTEN:
        raise SettingError(
            f"synth writes no files of '{order.dataset}'. Choose one of: {', '.join(WRITTEN)}."
            f"{did_you_mean(order.dataset, WRITTEN)}"
        )
    if order.clips < 1:
        raise SettingError(f"--clips must be at least 1, not {order.clips}.")
    if order.seed < 0:
        raise SettingError(f"--seed must be 0 or more, not {order.seed}.")
    low, high = order.frames
    if not FRAME_LIMITS[0] <= low <= high <= FRAME_LIMITS[1]:
        raise SettingError(
            f"--frames {low} {high} does not fit. Give the least and the greatest length, "
            f"{FRAME_LIMITS[0]} to {FRAME_LIMITS[1]} frames."
        )
    if datasets.get(order.dataset).format == "ntu":
        return list(design.ntu_names(order.dataset, order.clips))
    return list(design.pku_videos(order.dataset, order.clips))


def _split_files(order: Order, units: list[Unit]) -> dict[str, bytes]:
    """Return the content of the split files by name, which only PKU-MMD has."""
    about = datasets.get(order.dataset)
    videos = [unit for unit in units if isinstance(unit, Video)]
    found = {}
    for split, file_name in about.split_files.items():
        train = {video.name for video in videos if design.on_training_side(about.name, split, video)}
        names = sorted(video.name for video in videos)
        found[f"split/{file_name}"] = pku_files.encode_split(
            [name for name in names if name in train], [name for name in names if name not in train]
        )
    return found


def _unit_files(unit: Unit) -> list[str]:
    if isinstance(unit, Video):
        return [f"skeleton/{unit.name}.txt", f"label/{unit.name}.txt"]
    return [f"{unit}.skeleton"]


def _file_names(order: Order) -> list[str]:
    """Return the name inside the folder of every raw file of `order`."""
    units = _units(order)
    return [*_split_files(order, units), *(name for unit in units for name in _unit_files(unit))]


def _prepare(out: Path, order: Order, replace: bool) -> None:
    """Make the folder ready: check what is in it, remove what an earlier order alone wrote, leave a note."""
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is not a folder. Give a folder that is new, empty or written by synth.")
    filled = out.is_dir() and any(out.iterdir())
    foreign = filled and not (out / NOTE).exists()
    if filled and not foreign and not replace:
        raise OutputError(f"{out} already exists and is not empty. Use --replace to rewrite it.")
    wanted = set(_file_names(order))
    ours = _earlier(out / NOTE) if filled else set()
    for name in sorted(wanted - ours):
        if filled and (out / name).exists():
            raise OutputError(
                f"{out / name} was not written by synth. Move it away or choose another folder."
            )
    if foreign:
        raise OutputError(
            f"{out} holds files, and synth wrote none of them. Give a folder that is new, empty or written by synth."
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in ours - wanted:
            (out / name).unlink(missing_ok=True)
        for folder in (
            {(out / name).parent for name in ours} - {(out / name).parent for name in wanted} - {out}
        ):
            with suppress(OSError):
                folder.rmdir()
        for folder in {(out / name).parent for name in wanted}:
            folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{error.filename or out} cannot be written: {error.strerror}.") from error
    write_text(out / NOTE, json.dumps(asdict(order), indent=2) + "\n")


def _earlier(note: Path) -> set[str]:
    """Return the names of the files that the note in a folder answers for; none without a sound note."""
    try:
        content = json.loads(read_regular(note))
        low, high = content["frames"]
        return set(_file_names(Order(content["dataset"], content["clips"], content["seed"], (low, high))))
    except FileNotFoundError:
        return set()
    except (OSError, ValueError, KeyError, TypeError, SettingError) as error:
        raise OutputError(
            f"{note} is damaged: it does not say what synth wrote. Choose another folder."
        ) from error


def _put(path: Path, data: bytes) -> int:
    with replacing(path, tidy=False) as part:
        part.write_bytes(data)
    return len(data)


def _do(out: Path, order: Order, units: list[Unit]) -> tuple[int, int]:
    """Write the files of `units`; return how many clips and bytes that were."""
    clips = size = 0
    for unit in units:
        if isinstance(unit, Video):
            video = motion.record_video(order.dataset, unit, order.seed)
            content = [pku_files.encode_skeleton(video.recording), pku_files.encode_labels(video.labels)]
            clips += len(unit.labels)
        else:
            recording = motion.record(unit, order.seed, order.frames)
            content = [ntu_files.encode(recording, generator(order.seed, "file", unit))]
            clips += 1
        for name, data in zip(_unit_files(unit), content, strict=True):
            size += _put(out / name, data)
    return clips, size


def _doing(out: Path, order: Order) -> Callable[[list[Unit]], tuple[int, int]]:
    return partial(_do, out, order)


def _run(out: Path, order: Order, units: list[Unit], workers: int) -> Iterator[tuple[int, int]]:
    """Yield (clips, bytes) as the files get written."""
    step = 1 if isinstance(units[0], Video) else _CHUNK
    chunks = [units[begin : begin + step] for begin in range(0, len(units), step)]
    yield from processes.run(chunks, _doing, (out, order), min(workers, len(chunks)))
