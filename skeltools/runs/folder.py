"""A run folder: what was run, its log, checkpoints and results.

``run.json`` says what was run and is written when the run starts, ``clips.npz`` on which clips; ``log.jsonl`` holds one
line a logged step; ``checkpoints/`` the last ones; ``results/`` what protocols recorded.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skeltools.errors import OutputError, RunError, SettingError, SkeltoolsError, counted, take_path
from skeltools.files.folders import astray
from skeltools.files.reading import open_regular
from skeltools.files.texts import other_version, read_json
from skeltools.files.writing import check_links, exchange, lock, make_folder, sweep, write_text
from skeltools.runs import seen
from skeltools.settings import MOST_SEED

if TYPE_CHECKING:
    import torch

    from skeltools.models.encoder import FeatureEncoder
    from skeltools.runs.checkpoint import Checkpoint
    from skeltools.runs.settings import PretrainSettings
    from skeltools.settings import Resolved
    from skeltools.skeletons import Form
    from skeltools.store import ClipFile
    from skeltools.store.overlap import Clips

VERSION = 1

IMPORTED = "query.backbone."
"""The prefix of the names of an imported encoder's weights in its checkpoint."""

_OURS = ("run.json", "log.jsonl", "checkpoints", "results", "tensorboard", "wandb", "ended.json", seen.NAME)


@dataclass(frozen=True)
class Run:
    """One pretraining run.

    Examples:
        >>> run = skeltools.Run.open("runs/joint")
        >>> run.stream, run.seed, run.epoch
        ('joint', 0, 2)

    Attributes:
        path: The folder.
        kind: ``pretrain``, or ``import`` for weights that came from elsewhere.
        settings: Effective settings.
        flat: The same by dotted key.
        origin: Where each value came from, by dotted key.
        recipe: Title of the recipe.
        data: The converted file it was trained on; None for an import that names none.
        digest: Content digest of that file; empty for an import.
        dataset: Name of the dataset; empty for an import.
        split: Name of the split; empty for an import.
        stream: Name of the stream.
        seed: Seed of every draw and of the initial weights.
        frames: T, frames per clip.
        preparation: Root attributes of the file that say how its clips were prepared.
        command: The command line that started it.
        versions: Versions of skeltools and the libraries.
        created: When it started, ISO 8601, UTC.
        note: What a reader of results of it should know, which each record holds; empty for nothing.
        skeleton: Definition of the clips' skeleton, as `Skeleton.to_dict` gives it; empty for Kinect v2.
        bodies: M, the bodies that a clip has room for.
        source: Of an import, what its file was: project, name, digest, how a clip's feature is made, what was
            left out.
        dimensions: 3, or 2 for clips of key points.
        extended: Each time that epochs were added: the ``step`` and ``epoch`` at which the run went on, the epochs
            ``before`` and ``after`` it, its ``command`` and when it was (``at``, ISO 8601, UTC).
        saved: Whether a checkpoint was written since it started; None in runs of earlier versions, which do not say.
    """

    path: Path
    kind: str
    settings: PretrainSettings
    flat: dict[str, Any]
    origin: dict[str, str]
    recipe: str
    data: Path | None
    digest: str
    dataset: str
    split: str
    stream: str
    seed: int
    frames: int
    preparation: dict[str, Any]
    command: str
    versions: dict[str, str]
    created: str
    note: str = ""
    skeleton: Mapping[str, Any] = field(default_factory=dict)
    bodies: int = 2
    source: dict[str, Any] = field(default_factory=dict)
    dimensions: int = 3
    extended: tuple[dict[str, Any], ...] = ()
    saved: bool | None = False

    def __repr__(self) -> str:
        what = self.recipe
        if self.kind == "pretrain":
            epochs = counted(self.settings.train.epochs, "epoch")
            what += f", {self.dataset} {self.split} {self.stream}, seed {self.seed}, {epochs}"
        return f"<Run {self.path}: {what}>"

    @staticmethod
    def open(path: str | Path) -> Run:
        """Read a run folder.

        A setting that the run does not store was added to skeltools after it. It takes the base recipe's
        value for the run's dataset, split and stream, whatever recipe the run used, and `origin` says so.

        Raises:
            RunError: There is no such folder, it is not a run, its ``run.json`` is damaged, or the code of its
                method or backbone cannot be found.
        """
        from skeltools.runs.settings import find_code

        path = take_path(path, "path")
        file = path / "run.json"
        if not path.is_dir():
            what = "is a file, not a run folder" if path.is_file() else "does not exist or is not a folder"
            raise RunError(f"{path} {what}. {astray(path) or _MAKE.format('a run')}")
        try:
            content = read_json(file)
        except FileNotFoundError:
            told = astray(path) or _MAKE.format("one")
            raise RunError(f"{path} is not a run folder: it has no run.json. {told}") from None
        except (OSError, ValueError) as error:
            raise RunError(f"{file} cannot be read: {error}.") from None
        if not isinstance(content, dict) or content.get("version") != VERSION:
            raise RunError(f"{file} {other_version(content, VERSION)}")
        try:
            find_code(content["settings"])
        except SettingError as error:
            raise RunError(f"{file}: {error}") from None
        except (AttributeError, KeyError, TypeError):
            pass  # no table: reported below
        try:
            settings, flat, origin = _stored_settings(content)
            return Run(
                path=path,
                settings=settings,
                flat=flat,
                origin=origin,
                data=None if content["data"] is None else Path(content["data"]),
                **{
                    name: _typed(
                        name, content[name] if name in content or name not in _LATER else _LATER[name]
                    )
                    for name in _PLAIN
                    if name != "origin"
                },
            )
        except (AttributeError, KeyError, TypeError, ValueError, SkeltoolsError) as error:
            raise RunError(f"{file} is damaged ({error}). Make the run again.") from None

    @staticmethod
    def create(
        path: str | Path,
        resolved: Resolved[PretrainSettings],
        *,
        file: ClipFile,
        split: str,
        stream: str,
        seed: int,
        command: str,
        replace: bool = False,
    ) -> Run:
        """Make a run folder for new training and write its ``run.json``.

        Args:
            path: The folder; parents are made.
            resolved: Settings of the run.
            file: The open data.
            split: Name of the split.
            stream: Name of the stream.
            seed: Seed.
            command: The command line, for the record.
            replace: Whether to delete a run that is there.

        Raises:
            OutputError: The folder exists and `replace` is False, or it is not a run folder.
        """
        from skeltools.results.record import library_versions
        from skeltools.store.overlap import Clips

        path = Path(path)
        run = Run(
            path=path,
            kind="pretrain",
            settings=resolved.values,
            flat=dict(resolved.flat),
            origin=dict(resolved.origin),
            recipe=resolved.title,
            data=file.path.resolve(),
            digest=file.digest,
            dataset=file.dataset.name,
            split=split,
            stream=stream,
            seed=seed,
            frames=file.frames,
            skeleton=file.form.skeleton.to_dict(),
            bodies=file.form.bodies,
            dimensions=file.form.dimensions,
            preparation=preparation_of(file.attrs),
            command=command,
            versions=library_versions(),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        run.make(replace)
        seen.write(run.path, Clips.of(file, file.rows(split, "train")))
        return run

    def make(self, replace: bool) -> None:
        """Make the folder and write ``run.json``.

        Raises:
            OutputError: As `create`.
        """
        check_free(self.path, replace)
        if self.path.exists():
            for name in _OURS:  # run.json first: what is left of an old run never looks like a whole one
                there = self.path / name
                if there.is_dir() and not there.is_symlink():
                    shutil.rmtree(there)
                else:
                    there.unlink(missing_ok=True)
        self.checkpoints_dir.mkdir(parents=True, exist_ok=True)
        self.results_dir.mkdir(exist_ok=True)
        self._write()

    def _write(self) -> None:
        content = {"version": VERSION, "settings": self.flat}
        content["data"] = None if self.data is None else str(self.data)
        content |= {name: getattr(self, name) for name in _PLAIN}
        write_text(self.path / "run.json", json.dumps(content, indent=2) + "\n")

    def extend(self, epochs: int, command: str) -> Run:
        """Add epochs, from the last checkpoint on, and write ``run.json``; return the run as it is then.

        Args:
            epochs: Epochs that the run has from now on.
            command: The command line, for the record.

        Raises:
            RunError: The last checkpoint is damaged or of another run.
        """
        from skeltools.runs import checkpoint

        there = bool(checkpoint.paths(self.checkpoints_dir))
        entry = {
            "step": self._last.step if there else 0,
            "epoch": self._last.epoch if there else 0,
            "before": self.settings.train.epochs,
            "after": epochs,
            "command": command,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        run = replace(
            self,
            settings=replace(self.settings, train=replace(self.settings.train, epochs=epochs)),
            flat=self.flat | {"train.epochs": epochs},
            origin=self.origin | {"train.epochs": "option"},
            extended=(*self.extended, entry),
        )
        run._write()
        return run

    def mark_saved(self) -> Run:
        """Write into ``run.json`` that there is a checkpoint; return the run as it is then."""
        run = replace(self, saved=True)
        run._write()
        return run

    def check_kept(self) -> None:
        """Check that the checkpoints that the run wrote were not removed, before it is begun again from nothing.

        Raises:
            RunError: They were.
        """
        from skeltools.runs import checkpoint

        lost = self.saved or (self.saved is None and self.log_path.exists())
        if lost and self.kind == "pretrain" and not checkpoint.paths(self.checkpoints_dir):
            raise RunError(self._without_checkpoint())

    def _without_checkpoint(self) -> str:
        if self.saved:
            return (
                f"{self.path} has no checkpoint any more: those it wrote were removed. Put them back into "
                f"{self.checkpoints_dir}, or start again by its first command with --replace."
            )
        return f"{self.path} has no checkpoint yet. Train it with 'skeltools pretrain --resume {self.path}'."

    @property
    def unfinished(self) -> str | None:
        """How far the training got at the last checkpoint where that is not its end, else None.

        Raises:
            RunError: There is no checkpoint, or it is damaged.
        """
        if self.kind != "pretrain" or self._last.epoch >= self.settings.train.epochs:
            return None
        return f"step {self._last.step:,}, {self._last.epoch:,} of {counted(self.settings.train.epochs, 'epoch')}"

    def epochs_at(self, step: int) -> int:
        """Return the epochs that the run had when it did a step (from 0); its schedules go by them."""
        later = (entry["before"] for entry in self.extended if step < entry["step"])
        return int(next(later, self.settings.train.epochs))

    def misfit(self, file: ClipFile, allow: bool = False) -> str | None:
        """Return why the clips of `file` do not suit the encoder, in one line, or None when they do.

        They must have as many frames and must have been prepared alike, but for what does not reach the
        encoder (`_NOT_COMPARED`). Settings that either side does not record are not compared.

        Args:
            file: The data.
            allow: Whether other frames and another preparation are taken; another skeleton never is.
        """
        other = self._other_form(file)
        if other is not None or allow:
            return other
        theirs = {"frames": file.frames} | {
            key: value for key, value in preparation_of(file.attrs).items() if key not in _NOT_COMPARED
        }
        for key, need in ({"frames": self.frames} | preparation_of(self.preparation)).items():
            if key in theirs and theirs[key] != need:
                return (
                    f"{self.path} needs clips with {key.removeprefix('chain.')} {need}, {file.path} has "
                    f"{theirs[key]}. Convert the source accordingly, or use --allow-mismatch."
                )
        return None

    def _other_form(self, file: ClipFile) -> str | None:
        """Return why the encoder cannot take the clips of `file` at all, or None when it can.

        The skeleton and the number of bodies must be its own.
        """
        mine, theirs = self.form, file.form
        if mine.skeleton.joints != theirs.skeleton.joints:
            return (
                f"{self.path} needs clips of the skeleton {mine.skeleton.name} ({mine.joints} joints), {file.path} "
                f"has {theirs.skeleton.name} ({theirs.joints}). Convert or derive the clips to {mine.skeleton.name}."
            )
        if mine.dimensions != theirs.dimensions:
            return (
                f"{self.path} needs {mine.dimensions}-D clips, those of {file.path} are {theirs.dimensions}-D. Convert "
                "a source of the other kind."
            )
        if mine.bodies != theirs.bodies:
            return (
                f"{self.path} needs clips with room for {counted(mine.bodies, 'body', 'bodies')}, {file.path} "
                f"has room for "
                f"{theirs.bodies}. Convert the source accordingly."
            )
        return None

    def clips_seen(self) -> Clips | None:
        """Return the clips that the pretraining saw; None where that is not known, as of imported weights.

        Runs of earlier versions do not name them; they are then taken from the data, where those are still there.

        Raises:
            RunError: The file that names them is damaged.
        """
        from skeltools.store import ClipFile
        from skeltools.store.overlap import Clips

        if self.kind != "pretrain":
            return None
        found = seen.read(self.path)
        if found is not None or self.data is None:
            return found
        try:
            with ClipFile(self.data) as file:
                return Clips.of(file, file.rows(self.split, "train")) if file.digest == self.digest else None
        except (SkeltoolsError, OSError):
            return None

    @property
    def checkpoints_dir(self) -> Path:
        """Folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def results_dir(self) -> Path:
        """Folder of result records."""
        return self.path / "results"

    @property
    def log_path(self) -> Path:
        """``log.jsonl``."""
        return self.path / "log.jsonl"

    def last_checkpoint(self) -> Path:
        """Return the path of the last checkpoint.

        Raises:
            RunError: There is none yet.
        """
        from skeltools.runs import checkpoint

        found = checkpoint.paths(self.checkpoints_dir)
        if not found:
            raise RunError(self._without_checkpoint())
        return found[-1]

    @cached_property
    def _last(self) -> Checkpoint:
        from skeltools.runs import checkpoint

        path = self.last_checkpoint()
        found = checkpoint.load(path)
        self.check_checkpoint(found, path)
        return found

    @property
    def identity(self) -> dict[str, Any]:
        """What makes the run this one beside its settings and its data; a checkpoint holds it too."""
        return {
            name: getattr(self, name) for name in ("split", "stream", "seed", "frames", "bodies", "created")
        }

    def check_checkpoint(self, saved: Checkpoint, path: Path) -> None:
        """Compare ``run.json`` with a checkpoint, which holds the settings that it was trained with.

        Raises:
            RunError: They differ; the message names the first field that does.
        """
        from skeltools.runs.checkpoint import instead

        mine = {key: list(value) if isinstance(value, tuple) else value for key, value in self.flat.items()}
        if self.kind == "pretrain":
            mine["train.epochs"] = self.epochs_at(saved.step - 1)
        theirs = {
            key: list(value) if isinstance(value, tuple) else value for key, value in saved.settings.items()
        }
        if self.kind == "pretrain" and not theirs:
            raise RunError(
                f"{path} holds no settings, so it is not known which run it belongs to. {instead(path)}"
            )
        pairs = [(key, mine[key], theirs[key]) for key in mine if key in theirs]
        pairs += [(key, value, saved.identity.get(key, value)) for key, value in self.identity.items()]
        if saved.data_digest:
            pairs.append(("digest", self.digest, saved.data_digest))
        for key, value, other in pairs:
            if value != other or isinstance(value, bool) != isinstance(other, bool):
                raise RunError(
                    f"{self.path / 'run.json'} has {key} {value!s:.80}, {path} was trained with {other!s:.80}. One of "
                    "them was changed or is of another run: put the original back."
                )

    @property
    def epoch(self) -> int:
        """Epochs finished at the last checkpoint."""
        return self._last.epoch

    def checkpoint_digest(self) -> str:
        """Return the SHA-256 of the last checkpoint's file, hex."""
        with open_regular(self.last_checkpoint()) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    @property
    def form(self) -> Form:
        """What the run's clips look like."""
        from skeltools.skeletons import Form, Skeleton, load

        skeleton = Skeleton.from_dict(self.skeleton, str(self.path)) if self.skeleton else load("kinect2")
        return Form(skeleton, self.bodies, self.frames, self.dimensions)

    def new_encoder(self, seed: int, device: torch.device | str) -> FeatureEncoder:
        """Return an untrained encoder of the same architecture, in eval mode; a function of `seed`."""
        import torch

        from skeltools.models.contract import initialise
        from skeltools.models.encoder import FeatureEncoder
        from skeltools.models.registry import build_backbone
        from skeltools.models.sizes import fits

        fits(self._planned_encoder, torch.device("cpu"))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            encoder = FeatureEncoder(build_backbone(self.settings.model, self.form))
            initialise(encoder)
        return encoder.to(device).eval()

    @cached_property
    def _planned_encoder(self) -> FeatureEncoder:
        """The encoder of the settings on the meta device."""
        from skeltools.models.encoder import FeatureEncoder
        from skeltools.models.registry import build_backbone
        from skeltools.models.sizes import on_meta

        return on_meta(lambda: FeatureEncoder(build_backbone(self.settings.model, self.form)))

    @cached_property
    def _prefix(self) -> str:
        """What the names of the encoder's weights begin with in a checkpoint."""
        from skeltools.methods.registry import encoder_prefix

        return IMPORTED if self.kind == "import" else encoder_prefix(self.settings, self.form)

    def load_encoder(self, device: torch.device | str) -> FeatureEncoder:
        """Return the encoder of the last checkpoint, in eval mode.

        Raises:
            RunError: There is no checkpoint, or its weights do not fit the settings.
        """
        from skeltools.models.sizes import differing

        state = {
            name.removeprefix(self._prefix): value
            for name, value in self._last.model.items()
            if name.startswith(self._prefix)
        }
        problem = differing(self._planned_encoder.backbone, state)
        if problem is not None:
            raise RunError(
                f"{self.last_checkpoint()} does not fit the run's settings: {problem}. Take the run.json that was "
                "written with it, or another checkpoint."
            )
        encoder = self.new_encoder(0, "cpu")
        encoder.backbone.load_state_dict(state)
        return encoder.to(device).eval()


def _stored_settings(
    content: Mapping[str, Any],
) -> tuple[PretrainSettings, dict[str, Any], dict[str, str]]:
    """Return settings, the same by dotted key, and their origins, from the content of a ``run.json``."""
    from skeltools.runs.settings import complete
    from skeltools.settings import build

    stored, origin = content["settings"], dict(content["origin"])
    context = {key: content[key] for key in ("dataset", "split", "stream")}
    schema, values, added = complete(stored, origin, context)
    settings = build(schema, dict(stored) | values)
    values = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
    if content["kind"] == "import":  # knows its model only; the rest is there to complete the type
        values = {key: value for key, value in values.items() if key.startswith("model.")}
    origin = {key: where for key, where in (added | origin).items() if key in values}
    return settings, values, origin


_NOT_COMPARED = (
    "prep", "chain.dtype", "chain.frames", "chain.motion", "chain.splits", "chain.split_names", "chain.zeros",
    "chain.unit", "chain.long_labels",
)  # fmt: skip
"""The preparation's name, how raw files were read, how coordinates are stored, and what decides which clips
there are, not what is in them. Encoders never see ``/motion``: the motion stream is taken from the
augmented clip."""

_LATER: dict[str, Any] = {
    "note": "",
    "skeleton": {},
    "bodies": 2,
    "source": {},
    "dimensions": 3,
    "extended": [],
    "saved": None,
}
"""What runs of earlier versions do not store; they were of Kinect v2, two bodies."""

_PLAIN = (
    "kind", "origin", "recipe", "digest", "dataset", "split", "stream", "seed", "frames", "preparation",
    "command", "versions", "created", "note", "skeleton", "bodies", "source", "dimensions",
    "extended", "saved",
)  # fmt: skip


def _typed(name: str, value: Any) -> Any:
    """Return an entry of ``run.json`` that is of its type, and a seed within its bounds.

    Raises:
        TypeError: It is not.
    """
    kind: type[Any] = {
        "seed": int, "frames": int, "bodies": int, "dimensions": int, "preparation": dict, "versions": dict,
        "skeleton": dict, "source": dict, "extended": list,
    }.get(name, str)  # fmt: skip
    if name == "saved" and (value is None or isinstance(value, bool)):
        return value
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{name} must be a {kind.__name__}")
    if name == "seed" and value not in range(MOST_SEED + 1):
        raise TypeError(f"seed must be a whole number from 0 to {MOST_SEED}, not {value}")
    if name == "extended":
        for entry in value:
            counts = [entry[key] for key in ("step", "epoch", "before", "after")]
            if not all(type(count) is int and count >= 0 for count in counts):
                raise TypeError("extended must hold whole numbers")
        return tuple(value)
    return value


def check_seed(seed: int) -> None:
    """Check that every generator takes a seed.

    Raises:
        SettingError: It is negative or above `MOST_SEED`.
    """
    if not 0 <= seed <= MOST_SEED:
        raise SettingError(f"--seed must be a whole number from 0 to {MOST_SEED}, not {seed}.")


def preparation_of(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the root attributes that say how clips were prepared, as JSON takes them: prep and chain.*."""
    found = {key: _json(value) for key, value in attrs.items() if key == "prep" or key.startswith("chain.")}
    if found.get("chain.bodies") == "tracked" and "chain.pad" not in found:
        found["chain.bodies"] = "tracked by older rules"  # which gave other clips than today's
    return found


def _json(value: Any) -> Any:
    if isinstance(value, (str, bool, int, float)) or value is None:
        return value
    return list(value) if isinstance(value, Sequence) else str(value)


def _is_ours(item: Path) -> bool:
    return item.name in _OURS or (item.name.startswith(".run.json.") and item.name.endswith(".part"))


_MAKE = "Make {} with 'skeltools pretrain'."


def check_free(path: str | Path, replace: bool) -> None:
    """Check that a new run may go to `path`.

    Raises:
        OutputError: It exists and `replace` is False, or it is a file or a folder that is not a run.
    """
    path = Path(path)
    check_links(path)
    if not path.exists():
        return
    if not path.is_dir():
        raise OutputError(f"{path} is a file. Choose another --out.")
    if not any(path.iterdir()):
        return
    if not (path / "run.json").exists():
        if not all(_is_ours(item) for item in path.iterdir()):
            raise OutputError(f"{path} exists and is not a run folder. Choose another --out.")
        if not any(item.is_file() for item in path.rglob("*") if ".run.json." not in str(item)):
            return  # what a process left that was killed while it started
    if not replace:
        raise OutputError(f"{path} already exists. Use --resume to continue it or --replace to start again.")


def put_in_place(staged: Path, path: Path) -> None:
    """Let a new run take the place of what is at `path`, an old run or nothing; others' files there stay.

    Args:
        staged: The new run, made in `skeltools.files.writing.beside` of `path`.
        path: The folder, which exists.

    Raises:
        OutputError: It cannot be written; the old run is as it was.
    """
    try:
        exchange(path, staged)
        for item in staged.iterdir():  # which is the old folder now
            if not _is_ours(item):
                item.rename(path / item.name)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}.") from error


def is_held(path: Path) -> bool:
    """Tell whether a process of this machine trains in a run folder; False where the disk knows no locks."""
    if os.name != "posix":
        return False
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not lock(handle)
    except OSError:
        return False
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    """Lock a folder, which `is_held` may keep for a moment."""
    for _ in range(5):
        if lock(handle):
            return True
        time.sleep(0.05)
    return False


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Make a run folder where there is none, and keep other processes from training in it.

    Raises:
        OutputError: Another process is at it, or the folder cannot be made.
    """
    try:
        made = not path.exists()
        make_folder(path)
        handle = os.open(path, os.O_RDONLY) if os.name == "posix" else None
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}.") from error
    try:
        if handle is not None:
            with suppress(OSError):  # a disk without locks
                if not _locked(handle):
                    raise OutputError(f"Another process is training in {path}. Wait for it, or end it.")
        sweep(path.absolute().parent, path.name)  # what a process left that was killed while the run was new
        yield
    finally:
        if made:  # and nothing was put there
            with suppress(OSError):
                path.rmdir()
        if handle is not None:
            os.close(handle)
