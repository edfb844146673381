"""skeltools: self-supervised skeleton action recognition, from raw files to trusted tables.

Importing this package loads neither torch nor NumPy; heavy names are resolved on first use.
"""

from skeltools import protocols as protocols  # tells the results how its protocols are shown

__version__ = "0.1.0"

__all__ = ["ClipDataset", "ClipFile", "Clips", "__version__", "open_clips"]

_HOMES = {
    "ClipDataset": "skeltools.clips",
    "ClipFile": "skeltools.store",
    "Clips": "skeltools.clips",
    "open_clips": "skeltools.clips",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'skeltools' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
