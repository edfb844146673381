"""From raw files to one converted file. ``skeltools.convert(...)`` converts."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from skeltools.errors import take_path
from skeltools.progress import SILENT, Progress

if TYPE_CHECKING:
    from skeltools.convert.pipeline import Summary


class _Callable(ModuleType):
    """A module that may be called: this one is both the name of a verb and the room of what it needs."""

    def __call__(
        self,
        dataset: str | Path,
        source: str | Path | Sequence[str | Path],
        out: str | Path,
        *,
        prep: str | None = None,
        frames: int | None = None,
        settings: Mapping[str, Any] | None = None,
        workers: int = 1,
        keep_raw: bool = False,
        skip_damaged: bool = False,
        replace: bool = False,
        resume: bool = False,
        progress: Progress = SILENT,
    ) -> Summary:
        """Convert raw files into one HDF5 file, as ``skeltools convert`` does.

        Args:
            dataset: Name of the dataset, such as ``ntu60``; or the descriptor of data of one's own, a ``.toml`` file.
            source: One or several folders, archives or files.
            out: The file to write.
            prep: Name of a preparation or a ``.toml`` file; None for the usual one.
            frames: T, frames per prepared clip; None for the preparation's.
            settings: Settings that differ from the preparation, by dotted key, such as ``{"chain.bodies": "first"}``.
            workers: Processes. More than one need the caller's ``if __name__ == "__main__"`` guard.
            keep_raw: Also store the recordings.
            skip_damaged: Record damaged files in ``/excluded`` instead of stopping.
            replace: Rebuild `out` if it exists.
            resume: Continue an interrupted conversion.
            progress: Receiver of progress.

        Raises:
            SkeltoolsError: The source, a setting or the output cannot be used.
        """
        import json

        from skeltools.convert import pipeline
        from skeltools.datasets import descriptor, registry
        from skeltools.preparation import chain as preparation

        name = str(take_path(dataset, "dataset"))
        sources = [source] if isinstance(source, (str, Path)) or not isinstance(source, Sequence) else source
        paths = [take_path(one, "source") for one in sources]
        found = descriptor.read(name).dataset() if name.endswith(".toml") else registry.get(name)
        prep = prep or preparation.usual(found)
        resolved = preparation.choose(
            prep,
            dataset=found.name,
            skeleton=found.skeleton,
            dimensions=found.dimensions,
            overrides=[f"{key}={json.dumps(value)}" for key, value in (settings or {}).items()],
            options={"chain.frames": frames},
        )
        return pipeline.convert(
            found,
            paths,
            take_path(out, "out"),
            prep=resolved,
            prep_name=prep,
            workers=workers,
            replace=replace,
            resume=resume,
            skip_damaged=skip_damaged,
            keep_raw=keep_raw,
            progress=progress,
        )


sys.modules[__name__].__class__ = _Callable
