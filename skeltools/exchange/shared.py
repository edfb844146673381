"""What the layouts of other projects share: clips that were read, how they are read, and their checks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skeltools.datasets.registry import PARTITIONS, Dataset, get
from skeltools.errors import FormatError, SettingError, SourceError, counted
from skeltools.files import kinds, pickles
from skeltools.files.arrays import open_array, write_array
from skeltools.files.kinds import Kind
from skeltools.formats.ntu import SUFFIX
from skeltools.formats.recording import Recording
from skeltools.preparation.chain import Chain, Prepared, apply
from skeltools.progress import Progress
from skeltools.skeletons import Form, Skeleton, plausible
from skeltools.store.notes import Note
from skeltools.store.reader import ClipFile

SIDES = {"train": "train", "test": "val"}
"""Names of the sides of a split in the files of AimCLR, 2s-AGCN and pyskl."""

BLOCK = 64
"""Clips that an export holds at a time."""

_LONGEST = 255
"""Most characters of a clip's name."""


@dataclass(frozen=True)
class Arrays:
    """Prepared clips from elsewhere.

    Attributes:
        names: n clip names, all different.
        labels: n 0-based labels.
        clips: n clips (3, T, V, M), each an array of numbers, as they stand in the files.
        files: n files, the one each clip is from.
        train: For each split, the names on its training side.
        test: For each split, the names on its test side.
        frames: T.
        dtype: ``float32`` or ``float16``, the type to keep them in.
        excluded: (name, reason) of every clip that the preparation leaves out.
        notes: What the user should know.
        classes: How many classes the labels are from, where the files say so.
        columns: n whole numbers by name, of those that `frames`, `length`, `bodies` and `gaps` of a converted file
            are, where the files or their preparation tell them.
        skeleton: That of the clips, where it is not the dataset's.
        chain: How the clips were prepared on reading.
    """

    names: list[str]
    labels: list[int]
    clips: Sequence[NDArray[Any]]
    files: list[Path]
    train: dict[str, set[str]]
    test: dict[str, set[str]]
    frames: int
    dtype: str
    excluded: list[tuple[str, str]] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    classes: int | None = None
    columns: dict[str, list[int]] = field(default_factory=dict)
    skeleton: Skeleton | None = None
    chain: Chain | None = None


@dataclass(frozen=True)
class Reading:
    """How files are read.

    Attributes:
        chain: How to prepare sequences; None takes them as they are, which asks for equal lengths.
        unequal: What to do about sequences of several lengths, for the message.
        unit: Unit of the coordinates, of `skeltools.skeletons.plausible.UNITS`.
        labels: Where the names are, for arrays that lie without them; see `read_arrays`.
        dataset: What the clips are from, where that is known.
        known: Names that the clips of a layout without names have, if there are as many.
        given: What the clips look like, whatever their T, where not as the dataset's.
        skeleton: That of the clips, where the layout tells another, which is of key points of images.
    """

    chain: Chain | None = None
    unequal: str = "Give --prep to prepare them."
    unit: str = "m"
    labels: Path | None = None
    dataset: Dataset | None = None
    known: Sequence[str] | None = None
    given: Form | None = None
    skeleton: Skeleton | None = None

    @property
    def form(self) -> Form:
        """What the clips look like, whatever their T; those of NTU where the dataset is not known."""
        form = self.given or (self.dataset or get("ntu60")).form(1)
        return form if self.skeleton is None else replace(form, skeleton=self.skeleton, dimensions=2)

    def takes_no_names(self, source: Path) -> None:
        """Refuse ``--labels`` where the files hold names.

        Raises:
            SettingError: It is given.
        """
        if self.labels is not None:
            raise SettingError(
                f"--labels gives names to arrays without any; {source} has them. Leave it out."
            )

    def takes_no_chain(self, source: Path, what: str) -> None:
        """Refuse ``--prep`` for clips that are prepared.

        Raises:
            SettingError: It is given.
        """
        if self.chain is not None:
            raise SettingError(
                f"--prep and its --set prepare sequences of pyskl, CTR-GCN and 2s-AGCN; {source} {what} of prepared "
                "clips. Leave them out."
            )


def checked(clip: NDArray[Any], name: str, file: Path, skeleton: Skeleton, unit: str = "m") -> NDArray[Any]:
    """Return a clip (3, T, V, M) of finite numbers in metres, float16 where it was, else float32.

    Raises:
        FormatError: It holds NaN or an infinite number, or bodies of a size that no person has.
    """
    if clip.dtype != np.float16:
        with np.errstate(over="ignore", invalid="ignore"):
            clip = clip.astype(np.float32, copy=False)
    finite = np.isfinite(clip)
    if not finite.all():
        axis, frame, joint, body = (int(place) for place in np.argwhere(~finite)[0])
        value = str(clip[axis, frame, joint, body]).replace("nan", "NaN")
        more = int((~finite).sum()) - 1
        also = f" (and {counted(more, 'number')} more)" if more else ""
        half = " float16 ends at 65,504: save the file with float32." if clip.dtype == np.float16 else ""
        raise FormatError(
            file,
            f"{name}: {'xyz'[axis]} of joint {joint} of body {body} in frame {frame}, counted from 0, is "
            f"{value}{also}; expected finite numbers.{half if value != 'NaN' else ''}",
        )
    clip = plausible.in_metres(clip, unit)
    for _, fault in plausible.clip_faults(clip[None], skeleton.parents, unit):
        raise FormatError(file, f"{name}: {fault}")
    return clip


def check_numbers(values: NDArray[Any], what: str, file: Path) -> None:
    if values.dtype.kind not in "fiu":
        raise FormatError(file, f"{what} has type {values.dtype}; expected float32 or other numbers.")


def stored_type(clips: Iterable[NDArray[Any]]) -> str:
    return "float16" if all(clip.dtype == np.float16 for clip in clips) else "float32"


def _told(value: Any) -> str:
    """Return a value from a pickle for a message; containers, which may be endless to write, by type."""
    plain = value is None or isinstance(value, (str, bool, float, np.generic))
    return f"{value!r:.60}" if plain else f"a value of type {type(value).__name__}"


def clip_name(name: Any) -> str:
    """Return a clip's name without its suffix.

    Raises:
        TypeError: It is not a printable text of a sensible length.
    """
    if not isinstance(name, str) or not name.isprintable() or not 1 <= len(name) <= _LONGEST:
        raise TypeError(f"{_told(name)} is not a name of a clip")
    return str(name).removesuffix(SUFFIX)


def clip_label(label: Any) -> int:
    """Return a label as a whole number.

    Raises:
        TypeError: It is none.
    """
    if isinstance(label, (bool, np.bool_)) or not isinstance(label, (int, np.integer)):
        raise TypeError(f"the label, {_told(label)}, is not a whole number")
    return int(label)


# --- Folders with two arrays per split, of AimCLR and 2s-AGCN


@dataclass
class Found:
    """The clips of a folder: label, values (3, T, V, M) and file of each by name; names by file; sides of splits."""

    clips: dict[str, tuple[int, NDArray[Any], Path]] = field(default_factory=dict)
    names: dict[Path, list[str]] = field(default_factory=dict)
    sides: dict[str, dict[str, set[str]]] = field(default_factory=lambda: {part: {} for part in PARTITIONS})
    notes: list[Note] = field(default_factory=list)


_SPLIT_FOLDERS = {"xsetup": "xset"}
"""Folders that projects call otherwise than the split."""


def read_folder(source: Path, how: Reading, array: str) -> Found:
    """Read ``<split>/{train,val}_<array>`` and the labels beside them, or these files themselves.

    Args:
        source: The folder.
        how: How it is read.
        array: The end of the arrays' names, such as ``position.npy``.

    Raises:
        SourceError: There is no such file.
        FormatError: A file is damaged or does not fit the others.
    """
    alone = (source / f"train_{array}").exists()
    folders = (
        [source] if alone else sorted(item for item in source.iterdir() if (item / f"train_{array}").exists())
    )
    found = Found()
    shapes = set()
    for folder in folders:
        split = _SPLIT_FOLDERS.get(folder.name, folder.name)
        if alone and split not in (("xsub", "xview", "xset") if how.dataset is None else how.dataset.splits):
            text = (
                f"the name of the folder {folder.name} tells no split: its clips were taken as those of xsub."
            )
            found.notes.append(Note("split", 1, text))
            split = "xsub"
        for part, side in SIDES.items():
            names, labels, path_of_names = _names_of(folder, side, how)
            path = folder / f"{side}_{array}"
            clips = _read_npy(path, how.form)
            if len(clips) != len(names):
                raise FormatError(path, f"{len(clips)} clips, but {path_of_names.name} names {len(names)}.")
            shapes.add(clips.shape[1:])
            if len(set(names)) != len(names):
                raise FormatError(path_of_names, "a name occurs twice.")
            for row, (name, label) in enumerate(zip(names, labels, strict=True)):
                known = found.clips.setdefault(name, (label, clips[row], path))
                if known[0] != label:
                    raise FormatError(path_of_names, f"{name} has label {label} here, {known[0]} elsewhere.")
            found.names[path] = names
            found.sides[part][split] = set(names)
    if len(shapes) > 1:
        raise FormatError(source, f"its clips have different shapes: {', '.join(map(str, sorted(shapes)))}.")
    return found


def as_they_are(found: Found) -> Arrays:
    """Return the clips of a folder in the order of their names."""
    order = sorted(found.clips)
    clips = [found.clips[name][1] for name in order]
    if not clips:
        raise SourceError(f"{', '.join(map(str, found.names))}: no clip in any of these.")
    return Arrays(
        names=order,
        labels=[found.clips[name][0] for name in order],
        clips=clips,
        files=[found.clips[name][2] for name in order],
        train=found.sides["train"],
        test=found.sides["test"],
        frames=clips[0].shape[1],
        dtype=stored_type(clips),
        notes=found.notes,
    )


def write_folder(file: ClipFile, out: Path, array: str, progress: Progress) -> None:
    """Write ``<split>/{train,val}_<array>`` (N, 3, T, V, M) float32 and ``_label.pkl`` of every split."""
    for split in file.splits:
        folder = out / split
        folder.mkdir(parents=True)
        for part, side in SIDES.items():
            rows = file.rows(split, part)
            # Written, not mapped: a full disk is an error here, and the end of the process there.
            with (folder / f"{side}_{array}").open("wb") as target:
                write_array(target, (len(rows), *file.shape[1:]), "<f4", blocks(file, rows, progress))
            names = [file.names[row] + SUFFIX for row in rows.tolist()]
            with (folder / f"{side}_label.pkl").open("wb") as target:
                pickles.dump((names, file.labels[rows].tolist()), target)


def blocks(file: ClipFile, rows: NDArray[np.int64], progress: Progress) -> Iterator[NDArray[np.float32]]:
    """Yield clips of some rows, float32 (n, 3, T, V, M), a few at a time."""
    for start in range(0, len(rows), BLOCK):
        block = file.clips(rows[start : start + BLOCK])
        yield block
        progress.advance(len(block))


_RECOMPUTED = {"frames", "length", "bodies", "gaps"}
"""Columns that an import finds in the clips; those that names tell come from the names."""


def lost(file: ClipFile, *more: str) -> str:
    """Say what of a file no layout but its own holds, and `more`."""
    named = (naming for naming in file.dataset.namings if all(map(naming.parse, file.names)))
    known = {*_RECOMPUTED, *(column for naming in list(named)[:1] for column in naming.columns)}
    columns = [name for name in file.columns if name not in known]
    what = [*more, "how the clips were prepared"]
    what += ["the clips left out" if file.excluded else "", "the motion stream" if file.has_motion else ""]
    what += ["the recordings" if file.has_raw else ""]
    what += [f"the column{'s' if len(columns) > 1 else ''} {', '.join(columns)}" if columns else ""]
    return f"it has no place for {', '.join(item for item in what if item)}; keep {file.path.name} for these."


def _names_of(folder: Path, side: str, how: Reading) -> tuple[list[str], list[int], Path]:
    """Return names, labels and the file the names are from, of one side of a split.

    The projects' scripts leave ``_label.pkl`` beside the arrays, or ``_label.npy`` there and the names in
    another folder, which is `how.labels`.
    """
    pickled, bare = (folder / f"{side}_label.{suffix}" for suffix in ("pkl", "npy"))
    if how.labels is not None:
        if not how.labels.is_dir():
            raise SourceError(f"{how.labels} is not a folder with {pickled.name}. Give one to --labels.")
        inside = how.labels / folder.name / pickled.name
        named = inside if inside.exists() else how.labels / pickled.name
        names, labels = _read_labels(named)
        if bare.exists():
            _same_labels(bare, _read_bare_labels(bare), named, names, labels)
        if pickled.exists() and not pickled.samefile(named):
            raise SettingError(f"{pickled} holds names already. Leave out --labels.")
        return names, labels, named
    if not pickled.exists() and bare.exists():
        raise SourceError(
            f"{bare} holds labels without names. Give the folder with the {pickled.name} that belongs to it: "
            "--labels FOLDER"
        )
    return *_read_labels(pickled), pickled


def _same_labels(bare: Path, found: list[int], named: Path, names: list[str], labels: list[int]) -> None:
    if len(found) != len(labels):
        raise FormatError(bare, f"{len(found)} labels, but {named} has {len(labels)}.")
    for row, (one, other) in enumerate(zip(found, labels, strict=True)):
        if one != other:
            raise FormatError(
                bare, f"label {one} in row {row}, but {named} gives {names[row]} label {other}."
            )


def _read_bare_labels(path: Path) -> list[int]:
    values = open_npy(path)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise FormatError(
            path, f"its shape is {values.shape}, its type {values.dtype}; expected N whole numbers."
        )
    return [int(value) for value in values]


def _read_labels(path: Path) -> tuple[list[str], list[int]]:
    content = pickles.load(path)
    if (
        not isinstance(content, (list, tuple))
        or len(content) != 2
        or not all(map(_is_row, content))
        or len(content[0]) != len(content[1])
    ):
        raise FormatError(path, "expected a list of names and an equally long list of labels.")
    try:
        return [clip_name(name) for name in content[0]], [clip_label(label) for label in content[1]]
    except (TypeError, ValueError):
        raise FormatError(path, "expected a list of names and a list of whole numbers.") from None


def _is_row(values: Any) -> bool:
    return isinstance(values, (list, tuple)) or (isinstance(values, np.ndarray) and values.ndim == 1)


def open_npy(path: Path) -> NDArray[Any]:
    try:
        kind = kinds.tell(path)
        if kind not in (Kind.NPY, Kind.UNKNOWN, Kind.TEXT):
            raise FormatError(
                path, f"not a NumPy array{kinds.but(kind, 'Give a file that numpy.save wrote.')}"
            )
        return open_array(path)
    except FileNotFoundError:
        raise SourceError(f"{path} does not exist.") from None
    except (ValueError, OSError) as error:
        told = " ".join(str(error).split())
        raise FormatError(path, f"not a NumPy array ({told}).") from None


def _read_npy(path: Path, form: Form) -> NDArray[Any]:
    clips = open_npy(path)
    if (
        clips.ndim != 5
        or clips.shape[1] != 3
        or clips.shape[3:] != (form.joints, form.bodies)
        or clips.shape[2] < 1
    ):
        raise FormatError(
            path, f"its shape is {clips.shape}; expected (N, 3, T, {form.joints}, {form.bodies})."
        )
    check_numbers(clips, "the array", path)
    return clips


# --- Sequences, of pyskl and CTR-GCN


_NOTHING = np.zeros(0, np.float32)


class Sequences:
    """Collects sequences; prepares them where that is asked for.

    Args:
        path: The file they are from.
        how: How it is read.
    """

    def __init__(self, path: Path, how: Reading) -> None:
        self.path, self.how = path, how
        self.names: list[str] = []
        self.labels: list[int] = []
        self.clips: list[NDArray[Any]] = []
        self.frames: list[int] = []
        self.made: list[Prepared] = []
        self.excluded: list[tuple[str, str]] = []
        self.crowded = 0

    def add(self, name: str, label: int, points: NDArray[Any], frames: int | None = None) -> None:
        """Take a sequence (3, T, V, M) of any M, of a recording of so many frames; None for T."""
        form = self.how.form
        with np.errstate(invalid="ignore"):  # a signalling NaN, refused below as any NaN is
            self.crowded += bool(points[..., form.bodies :].any())
        if self.how.chain is None:
            points = _first_bodies(points, form.bodies)
        else:
            metres = checked(points, name, self.path, form.skeleton, self.how.unit)
            columns = metres.astype(np.float32, copy=False).transpose(1, 3, 2, 0)
            made = apply(Recording.from_columns(columns), self.how.chain, form)
            if isinstance(made, str):
                self.excluded.append((name, made))
                return
            points = made.clip
            self.made.append(made._replace(clip=_NOTHING, motion=None))
        self.names.append(name)
        self.labels.append(label)
        self.clips.append(points)
        self.frames.append(points.shape[1] if frames is None else frames)

    def arrays(self, train: dict[str, set[str]], test: dict[str, set[str]], notes: list[Note]) -> Arrays:
        """Return them in the order of their names.

        Raises:
            SourceError: There is none.
            FormatError: A name occurs twice, or they are of several lengths.
        """
        if not self.names:
            reason = (
                f" The first of {len(self.excluded):,}: {': '.join(self.excluded[0])}."
                if self.excluded
                else ""
            )
            raise SourceError(f"{self.path} holds no clip.{reason}")
        everyone = [*self.names, *(name for name, _ in self.excluded)]
        if len(set(everyone)) != len(everyone):
            twice = next(name for place, name in enumerate(everyone) if name in everyone[:place])
            raise FormatError(self.path, f"a frame_dir occurs twice: {twice}.")
        lengths = {clip.shape[1] for clip in self.clips}
        if len(lengths) > 1:
            raise FormatError(
                self.path, f"its sequences have {min(lengths)} to {max(lengths)} frames. {self.how.unequal}"
            )
        if self.crowded and (self.how.chain is None or self.how.chain.bodies == "first"):
            told = "clip holds" if self.crowded == 1 else "clips hold"
            most = self.how.form.bodies
            persons, first = (
                ("two persons", "the first two were")
                if most == 2
                else (counted(most, "person"), f"the first {most} {'was' if most == 1 else 'were'}")
            )
            choice = f"{'' if self.how.chain else '--prep NAME '}--set chain.bodies=spread (or tracked)"
            text = (
                f"{self.crowded:,} {told} more than {persons}: {first} taken, the others left out. To choose "
                f"among all: {choice}"
            )
            notes = [Note("persons", self.crowded, text), *notes]
        kept = set(self.names)
        order = sorted(range(len(self.names)), key=self.names.__getitem__)
        return Arrays(
            names=[self.names[place] for place in order],
            labels=[self.labels[place] for place in order],
            clips=[self.clips[place] for place in order],
            files=[self.path] * len(order),
            train={split: names & kept for split, names in train.items()},
            test={split: test.get(split, set()) & kept for split in train},
            frames=lengths.pop(),
            dtype=stored_type(self.clips),
            excluded=sorted(self.excluded),
            notes=notes,
            columns={name: [values[place] for place in order] for name, values in self._columns().items()},
            skeleton=self.how.skeleton,
            chain=self.how.chain,
        )

    def _columns(self) -> dict[str, list[int]]:
        if self.how.chain is None:
            return {"frames": self.frames}
        found = {name: [getattr(made, name) for made in self.made] for name in ("length", "bodies", "gaps")}
        return {"frames": self.frames} | found


def _first_bodies(points: NDArray[Any], bodies: int) -> NDArray[Any]:
    """Return (3, T, V, m) with the first bodies alone, absent ones zeros."""
    if points.shape[3] == bodies:
        return points
    kept = np.zeros((*points.shape[:3], bodies), points.dtype)
    kept[..., : min(points.shape[3], bodies)] = points[..., :bodies]
    return kept
