"""What is given to evaluate: run folders, or an encoder from elsewhere, one entrant per stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from skeltools.datasets.registry import STREAMS
from skeltools.errors import OutputError, RunError
from skeltools.files.folders import having
from skeltools.files.writing import check_writable
from skeltools.protocols.running import encoder as encoders
from skeltools.protocols.running import subjects
from skeltools.protocols.running.subjects import Subject
from skeltools.runs.folder import Run
from skeltools.store import ClipFile
from skeltools.transforms.streams import check_stream


@dataclass(frozen=True)
class Entrant:
    """One encoder on one stream.

    Attributes:
        name: A run folder or the encoder's name.
        stream: joint, motion or bone.
        subject: Returns the subject of a kind and a seed.
        seed: Default seed.
        data: Default converted file, if any.
        split: Default split, if any.
        home: Folder whose ``results`` take the records; None keeps nothing.
        misfit: Returns why the clips of a file do not suit the trained encoder, or None; None where nothing
            is known about the clips it needs.
        warning: Returns what to say before the trained encoder is evaluated, or an empty text.
    """

    name: str
    stream: str
    subject: Callable[[str, int], Subject]
    seed: int = 0
    data: Path | None = None
    split: str | None = None
    home: Path | None = None
    misfit: Callable[[ClipFile, bool], str | None] | None = None
    warning: Callable[[], str] = str

    @property
    def results_dir(self) -> Path | None:
        """Folder of the records."""
        return None if self.home is None else self.home / "results"

    @property
    def cache_dir(self) -> Path | None:
        """Folder of cached features."""
        return None if self.home is None else self.home / "results" / "cache"


def from_runs(paths: Iterable[Path], streams: Sequence[str] | None) -> list[Entrant]:
    """Return the runs in some folders.

    Args:
        paths: Run folders, or folders of run folders.
        streams: Streams to take; None for all.

    Raises:
        RunError: A folder holds no run, or no run has a stream asked for.
    """
    runs = [run for path in paths for run in open_runs(path)]
    if streams is not None:
        for stream in streams:
            check_stream(stream)
            if all(run.stream != stream for run in runs):
                there = ", ".join(sorted({run.stream for run in runs}))
                raise RunError(
                    f"No run of stream '{stream}' among those given ({there}). Pretrain one: "
                    f"skeltools pretrain DATA --split SPLIT --stream {stream} --out RUN"
                )
        runs = [run for run in runs if run.stream in streams]
    return [_from_run(run) for run in runs]


def open_runs(path: Path) -> list[Run]:
    """Return the run at `path`, or the runs in the folders inside it, by path.

    Raises:
        RunError: There is none.
    """
    return [Run.open(at) for at in having(path, "run.json")] or [Run.open(path)]


def _from_run(run: Run) -> Entrant:
    return Entrant(
        name=str(run.path),
        stream=run.stream,
        subject=lambda kind, seed: subjects.from_run(run, kind, seed),
        seed=run.seed,
        data=run.data,
        split=run.split or None,
        home=run.path,
        misfit=run.misfit,
        warning=lambda: subjects.unfinished(run),
    )


def moved(entrant: Entrant, home: Path) -> Entrant:
    """Return an entrant whose records go to another folder."""
    return replace(entrant, home=home)


def check_home(entrant: Entrant) -> None:
    """Check that the folders of an entrant's records and features are there or can be made.

    Raises:
        OutputError: One of them, or a folder above, is a file or takes none.
    """
    if entrant.cache_dir is None:
        return
    there = next((path for path in (entrant.cache_dir, *entrant.cache_dir.parents) if path.exists()), None)
    if there is not None and not there.is_dir():
        raise OutputError(f"{there} is a file. Choose another --out.")
    try:
        check_writable(entrant.cache_dir / "features")
    except OutputError as error:
        raise OutputError(f"{str(error).removesuffix('.')}. Choose another --out.") from None


def from_factory(
    factory: Callable[[], nn.Module],
    name: str,
    weights: Path | None,
    streams: Sequence[str] | None,
    home: Path | None,
) -> list[Entrant]:
    """Return somebody else's encoder, once per stream."""
    return [
        Entrant(
            name=name,
            stream=check_stream(stream),
            subject=lambda kind, seed: subjects.from_factory(factory, name, weights, kind, seed),
            home=home,
        )
        for stream in streams or STREAMS[:1]
    ]


def from_name(
    spec: str, weights: Path | None, streams: Sequence[str] | None, home: Path | None
) -> list[Entrant]:
    """Return the encoder that ``package.module:factory`` names, once per stream.

    Raises:
        RunError: There is no such factory.
    """
    factory = encoders.load_factory(spec)
    if home is None:
        home = Path("evaluations") / spec.replace(":", ".")
    return from_factory(factory, spec, weights, streams, home)


def from_module(encoder: nn.Module, streams: Sequence[str] | None, home: Path | None) -> list[Entrant]:
    """Return an encoder in memory, once per stream."""
    name = f"{type(encoder).__module__}:{type(encoder).__qualname__}"
    return [
        Entrant(
            name=name,
            stream=check_stream(stream),
            subject=lambda kind, seed: subjects.from_module(encoder, kind),
            home=home,
        )
        for stream in streams or STREAMS[:1]
    ]
