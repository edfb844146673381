"""Random generators keyed by a seed and words, so that nothing depends on the order of work."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, *words: str) -> np.random.Generator:
    """Return the generator that belongs to `seed` and `words`, the same in every process and order.

    Args:
        seed: Seed of the whole data set.
        words: What the draws are for, such as ``"performer", "P003"``.
    """
    digest = hashlib.blake2b("\0".join((str(seed), *words)).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest, dtype=np.uint64)))
