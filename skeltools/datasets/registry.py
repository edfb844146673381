"""The datasets skeltools knows (docs/method.md#formats). Each family's facts are in its own module.

Adding a dataset is one `Dataset` entry in a module of this package, named here and, when its raw format is
new, one reader in `skeltools.formats`.
"""

from __future__ import annotations

from functools import cache, lru_cache

from skeltools.datasets import irds, ntu, nwucla, pku
from skeltools.datasets.contract import PARTITIONS, STREAMS, Dataset, Naming
from skeltools.datasets.ntu import NtuName, incomplete_ntu_clips, parse_ntu_name
from skeltools.errors import SettingError, did_you_mean

__all__ = [
    "PARTITIONS",
    "STREAMS",
    "Dataset",
    "Naming",
    "NtuName",
    "get",
    "incomplete_ntu_clips",
    "of_file",
    "parse_ntu_name",
    "registry",
]


@cache
def registry() -> dict[str, Dataset]:
    """Return every known dataset by name."""
    return {dataset.name: dataset for family in (ntu, pku, irds, nwucla) for dataset in family.datasets()}


def get(name: str) -> Dataset:
    """Return the dataset called `name`.

    Raises:
        SettingError: There is no such dataset; the message lists those there are.
    """
    known = registry()
    if name not in known:
        hint = did_you_mean(name, known)
        raise SettingError(f"Unknown dataset '{name}'. Choose one of: {', '.join(known)}.{hint}")
    return known[name]


@lru_cache(maxsize=8)
def of_file(name: str, definition: str | None) -> Dataset:
    """Return the dataset that a converted file states: a packaged one by name, one's own by its definition.

    Args:
        name: Its name.
        definition: What `Descriptor.to_json` wrote; None for a packaged one.

    Raises:
        SettingError: There is no such dataset, or the definition is none.
    """
    if definition is None:
        return get(name)
    from skeltools.datasets import descriptor

    return descriptor.from_json(definition, "its definition").dataset()
