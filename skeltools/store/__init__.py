"""The converted file: one HDF5 file a dataset, laid out as in docs/data-format.md."""

from skeltools.store.reader import ClipFile

__all__ = ["ClipFile"]
