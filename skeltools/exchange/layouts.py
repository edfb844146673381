"""Somebody's prepared clips read, whatever layout they are in: AimCLR's, CTR-GCN's, pyskl's or our own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skeltools.datasets.registry import PARTITIONS, Dataset, get, parse_ntu_name
from skeltools.errors import FormatError, SettingError, SourceError, counted
from skeltools.files import kinds, pickles
from skeltools.files.arrays import open_array
from skeltools.files.arrays import read_arrays as read_npz
from skeltools.files.kinds import Kind
from skeltools.formats.ntu import SUFFIX
from skeltools.formats.recording import Recording
from skeltools.preparation.chain import Chain, apply
from skeltools.skeletons import Form, Skeleton, plausible
from skeltools.store.notes import Note, listed

SIDES = {"train": "train", "test": "val"}
"""Names of the sides of a split in AimCLR's and pyskl's files."""

WANTED = (
    "Give a folder of AimCLR's .npy files, CTR-GCN's .npz file, a pyskl pickle or skeltools' own .npz file."
)

_REMEDIES = {
    Kind.NPY: "Give the folder that holds it beside its labels: train_position.npy, train_label.pkl ...",
    Kind.TORCH: "Load it with torch.load and save what it holds with pickle.dump.",
    Kind.HDF5: "Save its arrays in a layout that import reads, for example numpy.savez(FILE, x_train=..., "
    "y_train=..., x_test=..., y_test=...) as CTR-GCN's.",
    Kind.MATLAB: "Save its arrays in a layout that import reads, for example numpy.savez(FILE, x_train=..., "
    "y_train=..., x_test=..., y_test=...) as CTR-GCN's.",
}
_REMEDIES |= dict.fromkeys((Kind.EMPTY, Kind.TEXT, Kind.BOM, Kind.JSON, Kind.SPECIAL), WANTED)
_REMEDIES |= dict.fromkeys((Kind.ZIP, Kind.SEVEN_ZIP), "Unpack it; raw recordings are read by 'convert'.")

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


@dataclass(frozen=True)
class _Reading:
    """How files are read.

    Attributes:
        chain: How to prepare sequences; None takes them as they are, which asks for equal lengths.
        unequal: What to do about sequences of several lengths, for the message.
        unit: Unit of the coordinates, of `skeltools.skeletons.plausible.UNITS`.
        labels: Where the names are, for arrays that lie without them; see `read_arrays`.
        dataset: What the clips are from, where that is known.
    """

    chain: Chain | None = None
    unequal: str = "Give --prep to prepare them."
    unit: str = "m"
    labels: Path | None = None
    dataset: Dataset | None = None

    @property
    def form(self) -> Form:
        """What the clips look like; those of NTU where the dataset is not known."""
        return (self.dataset or get("ntu60")).form(1)


def read_arrays(
    source: str | Path,
    chain: Chain | None = None,
    *,
    unequal: str = "Give --prep to prepare them.",
    unit: str = "m",
    labels: str | Path | None = None,
    dataset: Dataset | None = None,
) -> Arrays:
    """Read somebody's prepared clips.

    Args:
        source: A folder with ``<split>/{train,val}_position.npy`` and ``_label.pkl`` (AimCLR, CrosSCLR,
            SkeAttnCLR, PSTL), or with these files themselves; a pyskl pickle; CTR-GCN's ``NTU60_CS.npz``
            (MAMP, STARS); or an ``.npz`` file of `skeltools export`.
        chain: For the sequences of pyskl and CTR-GCN, how to prepare them; None takes them as they are, which
            asks for equal lengths. The others take none: their clips are prepared.
        unequal: What to do about a pickle with sequences of several lengths, for the message.
        unit: Unit of the coordinates: m, cm or mm. Clips that `chain` prepares come out in metres, others as
            they stand, for `checked`.
        labels: For a folder with ``_label.npy``, a folder with the ``_label.pkl`` that hold the names; for
            CTR-GCN's file, a text file with one clip name per line.
        dataset: What the clips are from; CTR-GCN's order of names depends on it.

    Raises:
        SettingError: `chain` or `labels` is given for what takes none.
        SourceError: There is no such folder or file, or it is of another kind.
        FormatError: A file in it is damaged or does not fit the others.
    """
    source = Path(source)
    how = _Reading(chain, unequal, unit, None if labels is None else Path(labels), dataset)
    if not source.exists():
        raise SourceError(f"{source} does not exist. {WANTED}")
    kind = kinds.tell(source)
    if kind is Kind.FOLDER:
        if chain is not None:
            raise _prepared(source, "is a folder")
        return _read_aimclr(source, how)
    if kind is Kind.NPZ:
        return _read_archive(source, how)
    if kind not in (Kind.PICKLE, Kind.UNKNOWN):
        raise SourceError(f"{source} is {kinds.described(kind, _REMEDIES)}")
    _takes_no_names(source, how)
    return _read_pyskl(source, how)


def _prepared(source: Path, what: str) -> SettingError:
    return SettingError(
        f"--prep and its --set prepare sequences of pyskl and CTR-GCN; {source} {what} of prepared clips. "
        "Leave them out."
    )


def _takes_no_names(source: Path, how: _Reading) -> None:
    if how.labels is not None:
        raise SettingError(f"--labels gives names to arrays without any; {source} has them. Leave it out.")


def checked(clip: NDArray[Any], name: str, file: Path, skeleton: Skeleton, unit: str = "m") -> NDArray[Any]:
    """Return a clip (3, T, V, M) of finite numbers in metres, float16 where it was, else float32.

    Raises:
        FormatError: It holds NaN or an infinite number, or bodies of a size that no person has.
    """
    if clip.dtype != np.float16:
        with np.errstate(over="ignore"):
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


def _numbers(values: NDArray[Any], what: str, file: Path) -> None:
    if values.dtype.kind not in "fiu":
        raise FormatError(file, f"{what} has type {values.dtype}; expected float32 or other numbers.")


def _stored_type(clips: Iterable[NDArray[Any]]) -> str:
    return "float16" if all(clip.dtype == np.float16 for clip in clips) else "float32"


def _told(value: Any) -> str:
    """Return a value from a pickle for a message; containers, which may be endless to write, by type."""
    plain = value is None or isinstance(value, (str, bool, float, np.generic))
    return f"{value!r:.60}" if plain else f"a value of type {type(value).__name__}"


def _name(name: Any) -> str:
    """Return a clip's name without its suffix.

    Raises:
        TypeError: It is not a printable text of a sensible length.
    """
    if not isinstance(name, str) or not name.isprintable() or not 1 <= len(name) <= _LONGEST:
        raise TypeError(f"{_told(name)} is no name of a clip")
    return str(name).removesuffix(SUFFIX)


def _label(label: Any) -> int:
    """Return a label as a whole number.

    Raises:
        TypeError: It is none.
    """
    if isinstance(label, (bool, np.bool_)) or not isinstance(label, (int, np.integer)):
        raise TypeError(f"the label, {_told(label)}, is no whole number")
    return int(label)


# --- AimCLR and its relatives


def _read_aimclr(source: Path, how: _Reading) -> Arrays:
    folders = (
        [source]
        if (source / "train_position.npy").exists()
        else sorted(folder for folder in source.iterdir() if (folder / "train_position.npy").exists())
    )
    if not folders:
        raise SourceError(f"{source} holds neither train_position.npy nor folders with one, such as xsub/.")
    found: dict[str, tuple[int, NDArray[Any], Path]] = {}
    sides: dict[str, dict[str, set[str]]] = {part: {} for part in PARTITIONS}
    shapes = set()
    for folder in folders:
        split = "xsub" if folder == source and source.name not in ("xview", "xset") else folder.name
        for part, side in SIDES.items():
            names, labels, path_of_names = _names_of(folder, side, how)
            path = folder / f"{side}_position.npy"
            clips = _read_npy(path, how.form)
            if len(clips) != len(names):
                raise FormatError(path, f"{len(clips)} clips, but {path_of_names.name} names {len(names)}.")
            shapes.add(clips.shape[1:])
            if len(set(names)) != len(names):
                raise FormatError(path_of_names, "a name occurs twice.")
            for row, (name, label) in enumerate(zip(names, labels, strict=True)):
                known = found.setdefault(name, (label, clips[row], path))
                if known[0] != label:
                    raise FormatError(path_of_names, f"{name} has label {label} here, {known[0]} elsewhere.")
            sides[part][split] = set(names)
    if len(shapes) > 1:
        raise FormatError(source, f"its clips have different shapes: {', '.join(map(str, sorted(shapes)))}.")
    order = sorted(found)
    return Arrays(
        names=order,
        labels=[found[name][0] for name in order],
        clips=[found[name][1] for name in order],
        files=[found[name][2] for name in order],
        train=sides["train"],
        test=sides["test"],
        frames=next(iter(shapes))[1],
        dtype=_stored_type(found[name][1] for name in order),
    )


def _names_of(folder: Path, side: str, how: _Reading) -> tuple[list[str], list[int], Path]:
    """Return names, labels and the file the names are from, of one side of a split.

    The projects' scripts leave ``_label.pkl`` beside the arrays, or ``_label.npy`` there and the names in
    another folder, which is `how.labels`.
    """
    pickled, bare = (folder / f"{side}_label.{suffix}" for suffix in ("pkl", "npy"))
    if how.labels is not None:
        if not how.labels.is_dir():
            raise SourceError(f"{how.labels} is no folder with {pickled.name}. Give one to --labels.")
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
    values = _open(path)
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
        return [_name(name) for name in content[0]], [_label(label) for label in content[1]]
    except (TypeError, ValueError):
        raise FormatError(path, "expected a list of names and a list of whole numbers.") from None


def _is_row(values: Any) -> bool:
    return isinstance(values, (list, tuple)) or (isinstance(values, np.ndarray) and values.ndim == 1)


def _open(path: Path) -> NDArray[Any]:
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
    clips = _open(path)
    if (
        clips.ndim != 5
        or clips.shape[1] != 3
        or clips.shape[3:] != (form.joints, form.bodies)
        or clips.shape[2] < 1
    ):
        raise FormatError(
            path, f"its shape is {clips.shape}; expected (N, 3, T, {form.joints}, {form.bodies})."
        )
    _numbers(clips, "the array", path)
    return clips


# --- Sequences, of pyskl and CTR-GCN


class _Sequences:
    """Collects sequences; prepares them where that is asked for.

    Args:
        path: The file they are from.
        how: How it is read.
    """

    def __init__(self, path: Path, how: _Reading) -> None:
        self.path, self.how = path, how
        self.names: list[str] = []
        self.labels: list[int] = []
        self.clips: list[NDArray[Any]] = []
        self.excluded: list[tuple[str, str]] = []
        self.crowded = 0

    def add(self, name: str, label: int, points: NDArray[Any]) -> None:
        """Take a sequence (3, T, V, M) of any M."""
        form = self.how.form
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
        self.names.append(name)
        self.labels.append(label)
        self.clips.append(points)

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
            choice = f"{'' if self.how.chain else '--prep NAME '}--set chain.bodies=spread (or tracked)"
            text = (
                f"{self.crowded:,} {told} more than two persons: the first two were taken, the others left "
                f"out. To choose among all: {choice}"
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
            dtype=_stored_type(self.clips),
            excluded=sorted(self.excluded),
            notes=notes,
        )


def _first_bodies(points: NDArray[Any], bodies: int) -> NDArray[Any]:
    """Return (3, T, V, m) with the first bodies alone, absent ones zeros."""
    if points.shape[3] == bodies:
        return points
    kept = np.zeros((*points.shape[:3], bodies), points.dtype)
    kept[..., : min(points.shape[3], bodies)] = points[..., :bodies]
    return kept


def _read_pyskl(path: Path, how: _Reading) -> Arrays:
    try:
        content = pickles.load(path)
    except FormatError as error:
        raise FormatError(path, f"{error.problem} {WANTED}") from None
    expected = "expected pyskl's dictionary with 'split' and 'annotations'"
    if not isinstance(content, dict) or not {"split", "annotations"} <= content.keys():
        raise FormatError(path, f"{expected}.")
    annotations = content["annotations"]
    if not isinstance(annotations, (list, tuple)):
        raise FormatError(path, f"'annotations' is no list; {expected}.")
    splits = _pyskl_splits(path, content["split"])
    sequences = _Sequences(path, how)
    for number, item in enumerate(annotations, start=1):
        sequences.add(*_annotation(path, f"annotation {number} of {len(annotations)}", item, how.form.joints))
    named = {*sequences.names, *(name for name, _ in sequences.excluded)}
    sides: dict[str, dict[str, set[str]]] = {part: {} for part in PARTITIONS}
    notes: list[Note] = []
    for key, members in splits.items():
        split, _, side = key.rpartition("_")
        part = {"train": "train", "val": "test", "test": "test"}.get(side)
        if part is None or not split:
            raise FormatError(path, f"split '{key}' is not named like xsub_train or xsub_val.")
        sides[part][split] = members
        what = f"of split {key} {'has' if len(members - named) == 1 else 'have'} no annotation"
        notes += listed(f"split-missing.{key}", sorted(members - named), "clip", what)
    return sequences.arrays(sides["train"], sides["test"], notes)


def _pyskl_splits(path: Path, found: Any) -> dict[str, set[str]]:
    try:
        return {_name(key): set(map(_name, names)) for key, names in found.items()}
    except (TypeError, AttributeError) as error:
        told = str(error) if "no name" in str(error) else "'split' is no dictionary of lists of names"
        raise FormatError(
            path, f"{told}; expected names such as S001C001P001R001A001 by xsub_train."
        ) from None


def _annotation(path: Path, where: str, item: Any, joints: int) -> tuple[str, int, NDArray[Any]]:
    """Return name, label and sequence (3, T, V, M) of one of pyskl's annotations."""
    keys = "frame_dir, label and keypoint"
    if not isinstance(item, dict):
        told = "None" if item is None else f"of type {type(item).__name__}"
        raise FormatError(path, f"{where} is {told}; expected a dictionary with {keys}.")
    missing = next((key for key in ("frame_dir", "label", "keypoint") if key not in item), None)
    if missing is not None:
        raise FormatError(path, f"{where} has no '{missing}'; expected a dictionary with {keys}.")
    try:
        name, label = _name(item["frame_dir"]), _label(item["label"])
    except TypeError as error:
        raise FormatError(path, f"{where}: {error}.") from None
    points = item["keypoint"]
    if not isinstance(points, np.ndarray):
        raise FormatError(path, f"{where}, {name}: keypoint is {type(points).__name__}; expected an array.")
    if points.ndim != 4 or points.shape[2:] != (joints, 3) or 0 in points.shape:
        raise FormatError(path, f"{name}: keypoint has shape {points.shape}; expected (M, T, {joints}, 3).")
    _numbers(points, f"{name}: keypoint", path)
    return name, label, points.transpose(3, 1, 2, 0)


# --- NumPy archives: CTR-GCN's, and those of skeltools export


def _read_archive(path: Path, how: _Reading) -> Arrays:
    try:
        content = read_npz(path)
    except (OSError, ValueError) as error:
        raise FormatError(path, f"not a readable NumPy archive ({' '.join(str(error).split())}).") from None
    if {"clips", "labels", "names"} <= content.keys():
        if how.chain is not None:
            raise _prepared(path, "is a file")
        _takes_no_names(path, how)
        return _read_own(path, content, how.form)
    if {"x_train", "y_train", "x_test", "y_test"} <= content.keys():
        return _read_ctrgcn(path, content, how)
    raise FormatError(
        path,
        f"it holds {', '.join(sorted(content))[:200] or 'nothing'}; expected x_train, y_train, x_test and "
        "y_test (CTR-GCN), or clips, labels and names (skeltools export).",
    )


def _read_own(path: Path, content: dict[str, NDArray[Any]], form: Form) -> Arrays:
    clips, labels = content["clips"], content["labels"]
    if (
        clips.ndim != 5
        or clips.shape[1] != 3
        or clips.shape[3:] != (form.joints, form.bodies)
        or 0 in clips.shape
    ):
        raise FormatError(
            path, f"clips has shape {clips.shape}; expected (N, 3, T, {form.joints}, {form.bodies})."
        )
    _numbers(clips, "clips", path)
    if labels.shape != (len(clips),) or labels.dtype.kind not in "iu":
        raise FormatError(path, f"labels has shape {labels.shape}; expected {len(clips)} whole numbers.")
    if content["names"].shape != (len(clips),):
        raise FormatError(path, f"names has shape {content['names'].shape}; expected {len(clips)} names.")
    try:
        names = [_name(name) for name in content["names"].tolist()]
    except TypeError as error:
        raise FormatError(path, f"{error}.") from None
    if len(set(names)) != len(names):
        raise FormatError(path, "a name occurs twice.")
    sides: dict[str, dict[str, set[str]]] = {part: {} for part in PARTITIONS}
    for key, rows in content.items():
        split, _, part = key.rpartition("_")
        if split and part in sides:
            if (
                rows.ndim != 1
                or rows.dtype.kind not in "iu"
                or (rows < 0).any()
                or (rows >= len(clips)).any()
            ):
                raise FormatError(path, f"{key} holds something else than rows 0 to {len(clips) - 1}.")
            sides[part][split] = {names[row] for row in rows.tolist()}
    for split in sides["train"].keys() ^ sides["test"].keys():
        raise FormatError(
            path, f"split '{split}' has one side only; expected {split}_train and {split}_test."
        )
    order = sorted(range(len(names)), key=names.__getitem__)
    return Arrays(
        names=[names[row] for row in order],
        labels=[int(labels[row]) for row in order],
        clips=[clips[row] for row in order],
        files=[path] * len(order),
        train=sides["train"],
        test=sides["test"],
        frames=clips.shape[2],
        dtype=_stored_type([clips]),
        classes=len(content["classes"]) if "classes" in content else None,
    )


_SPLITS = {"cs": "xsub", "csub": "xsub", "xsub": "xsub", "cv": "xview", "xview": "xview", "cset": "xset",
           "xset": "xset"}  # fmt: skip
"""Splits by the end of the file's name: CTR-GCN's words and those of MAMP and STARS."""

_ROW_ORDER: dict[str, Callable[[Any], int]] = {
    "xsub": lambda clip: int(clip.subject),
    "xview": lambda clip: {2: 0, 3: 1, 1: 2}.get(clip.camera, 3),
    "xset": lambda clip: int(clip.setup),
}
"""What CTR-GCN's rows are ordered by on each side of a split, before the name."""


def _read_ctrgcn(path: Path, content: dict[str, NDArray[Any]], how: _Reading) -> Arrays:
    split = _SPLITS.get(re.split(r"[_\-.]", path.stem)[-1].lower())
    if split is None:
        raise FormatError(
            path,
            "its name does not tell the split. Call it as CTR-GCN does, such as NTU60_CS.npz (xsub), "
            "NTU60_CV.npz (xview) or NTU120_CSet.npz (xset).",
        )
    names, notes = _ctrgcn_names(path, content, split, how)
    sequences = _Sequences(path, how)
    classes = 0
    for part in PARTITIONS:
        points = content[f"x_{part}"]
        form = how.form
        width = form.bodies * form.joints * 3
        if points.ndim != 3 or points.shape[2] != width or points.shape[1] == 0:
            raise FormatError(path, f"x_{part} has shape {points.shape}; expected (N, T, {width}).")
        _numbers(points, f"x_{part}", path)
        labels, classes = _one_hot(path, f"y_{part}", content[f"y_{part}"], len(points))
        # A frame: body slowest, then joint, then x y z.
        shaped = points.reshape(*points.shape[:2], form.bodies, form.joints, 3).transpose(0, 4, 1, 3, 2)
        for name, label, clip in zip(names[part], labels, shaped, strict=True):
            sequences.add(name, label, clip if how.chain is None else _without_padding(clip))
    arrays = sequences.arrays({split: set(names["train"])}, {split: set(names["test"])}, notes)
    return Arrays(**{**vars(arrays), "classes": classes or None})


def _without_padding(clip: NDArray[Any]) -> NDArray[Any]:
    """Return (3, T, V, M) up to its last frame with a position."""
    there = np.flatnonzero(clip.any(axis=(0, 2, 3)))
    return clip[:, : int(there[-1]) + 1 if len(there) else 1]


def _one_hot(path: Path, key: str, values: NDArray[Any], count: int) -> tuple[list[int], int]:
    """Return the labels of one-hot rows and the number of classes; of whole numbers, these and 0."""
    if values.shape == (count,) and values.dtype.kind in "iu":
        return [int(value) for value in values], 0
    if values.ndim != 2 or len(values) != count or values.dtype.kind not in "fiub":
        raise FormatError(
            path, f"{key} has shape {values.shape}; expected ({count}, classes), one 1 in each row."
        )
    wrong = np.flatnonzero(((values != 0) & (values != 1)).any(axis=1) | ((values == 1).sum(axis=1) != 1))
    if len(wrong):
        raise FormatError(path, f"row {wrong[0]} of {key} is not one 1 among zeros.")
    return [int(label) for label in values.argmax(axis=1)], values.shape[1]


def _ctrgcn_names(
    path: Path, content: dict[str, NDArray[Any]], split: str, how: _Reading
) -> tuple[dict[str, list[str]], list[Note]]:
    """Return names by side, in the order of the rows, and what to tell about them.

    Raises:
        FormatError: The names that were given are not as many as the rows.
    """
    counts = {part: len(content[f"x_{part}"]) for part in PARTITIONS}
    if how.labels is None:
        named = {part: [f"{part}_{row:06d}" for row in range(counts[part])] for part in PARTITIONS}
        text = (
            f"{path.name} holds no names: its clips are called train_000000 and so on, by side and row. With "
            "--labels NAMES.txt, one clip name per line, they get their own."
        )
        return named, [Note("unnamed", sum(counts.values()), text)]
    given = _listed_names(how.labels)
    if how.dataset is None or split not in how.dataset.train:
        raise SettingError(f"--labels names the rows of NTU's splits only, not of {path}. Leave it out.")
    trains = how.dataset.train[split]
    sides: dict[str, list[str]] = {part: [] for part in PARTITIONS}
    for number, name in given:
        clip = parse_ntu_name(name)
        if clip is None:
            raise FormatError(how.labels, f"'{name:.60}' is no name such as S001C001P001R001A001.", number)
        sides["train" if trains(clip) else "test"].append(name)
    for part, names in sides.items():
        names.sort(key=lambda name: (_ROW_ORDER[split](parse_ntu_name(name)), name))
        if len(names) != counts[part]:
            raise FormatError(
                how.labels,
                f"{len(names):,} of its names are on the {part} side of {split}, but x_{part} of {path} has "
                f"{counts[part]:,} rows. Give the names of exactly these clips (CTR-GCN: "
                "statistics/skes_available_name.txt).",
            )
    return sides, []


def _listed_names(path: Path) -> list[tuple[int, str]]:
    """Return (line, name) of a text file with one clip name per line."""
    from skeltools.files.texts import LARGEST, read_text

    try:
        lines = read_text(path, LARGEST).splitlines()
    except FileNotFoundError:
        raise SourceError(f"{path} does not exist. Give a text file with one clip name per line.") from None
    except (OSError, ValueError) as error:
        raise SourceError(
            f"{path} cannot be read: {error}. Give a text file with one clip name per line."
        ) from None
    found = [
        (number, line.strip().removesuffix(SUFFIX)) for number, line in enumerate(lines, 1) if line.strip()
    ]
    if len({name for _, name in found}) != len(found):
        raise FormatError(path, "a name occurs twice.")
    return found
