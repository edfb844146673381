"""skeltools: self-supervised skeleton action recognition, from raw files to trusted tables.

From Python::

    import skeltools

    skeltools.convert("ntu60", "raw/", "ntu60.h5")
    run = skeltools.pretrain("ntu60.h5", "xsub", "joint", "runs/joint", epochs=20)
    (record,) = skeltools.evaluate(run.path, "knn", settings={"knn.k": [1]})
    train, test = skeltools.open_clips("ntu60.h5", "xsub")

``convert`` is the module of everything that converts, and may be called. ``Run`` is a run folder, ``ClipFile`` an open
converted file, ``ClipDataset`` one side of a split for torch. ``help(skeltools.pretrain)`` and so on tell the rest;
what is wrong with an input is a ``skeltools.errors.SkeltoolsError``.

Importing this package loads neither torch nor NumPy; heavy names are resolved on first use.
"""

from skeltools import protocols as protocols  # tells the results how its protocols are shown

__version__ = "0.1.0"

__all__ = [
    "ClipDataset",
    "ClipFile",
    "Clips",
    "Run",
    "__version__",
    "convert",
    "evaluate",
    "open_clips",
    "pretrain",
]

TYPE_CHECKING = False  # what type checkers take for true; typing's own would have to be imported
if TYPE_CHECKING:
    from skeltools.clips import ClipDataset, Clips, open_clips
    from skeltools.protocols import evaluate
    from skeltools.runs.folder import Run
    from skeltools.store import ClipFile
    from skeltools.training.api import pretrain

_HOMES = {
    "ClipDataset": "skeltools.clips",
    "ClipFile": "skeltools.store",
    "Clips": "skeltools.clips",
    "Run": "skeltools.runs.folder",
    "convert": "skeltools.convert",
    "evaluate": "skeltools.protocols",
    "open_clips": "skeltools.clips",
    "pretrain": "skeltools.training.api",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'skeltools' has no attribute '{name}'")
    from importlib import import_module

    home = import_module(_HOMES[name])
    return home if name == "convert" else getattr(home, name)


def __dir__() -> list[str]:
    return sorted(__all__)
