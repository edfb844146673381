"""Seeded mutations of bytes: flips, numbers, blocks, words of a format."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

NUMBERS = (
    0,
    1,
    2,
    7,
    24,
    25,
    26,
    127,
    128,
    255,
    256,
    65535,
    1 << 31,
    (1 << 32) - 1,
    (1 << 63) - 1,
    (1 << 64) - 1,
)
DECIMALS = (b"0", b"-1", b"3", b"7", b"25", b"26", b"1e39", b"1e999", b"nan", b"inf", b"999999999", b"9" * 30)


def mutate(rng: Random, data: bytes, words: Sequence[bytes] = (), others: Sequence[bytes] = ()) -> bytes:
    """Return `data` with one to four changes, equal for an equal state of `rng`.

    Args:
        rng: The source of draws.
        data: The bytes.
        words: Pieces that mean something in the format.
        others: Further inputs, from which blocks are taken over.
    """
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 4))):
        kind = rng.randrange(9)
        at = rng.randrange(len(out) + 1)
        if rng.random() < 0.2:
            at = max(len(out) - rng.randrange(120), 0)  # tables and ends matter more than their size says
        stop = min(len(out), at + rng.choice((1, 2, 4, 8, 16, 64)))
        if kind == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(out):
            out[at] = rng.randrange(256)
        elif kind == 2:
            width = rng.choice((1, 2, 4, 8))
            number = rng.choice(NUMBERS) & ((1 << 8 * width) - 1)
            out[at : at + width] = number.to_bytes(width, rng.choice(("little", "big")))
        elif kind == 3:
            del out[at:stop]
        elif kind == 4:
            out[at:at] = out[at:stop] * rng.choice((1, 1, 2, 20))
        elif kind == 5:
            out[at:at] = rng.choice(words or DECIMALS)
        elif kind == 6:
            word = rng.choice(words or DECIMALS)
            out[at : at + len(word)] = word
        elif kind == 7:
            # a decimal number of the text becomes another
            while at < len(out) and not 48 <= out[at] <= 57:
                at += 1
            stop = at
            while stop < len(out) and 48 <= out[stop] <= 57:
                stop += 1
            out[at:stop] = rng.choice(DECIMALS)
        elif others:
            other = rng.choice(others)
            start = rng.randrange(len(other) + 1)
            out[at:stop] = other[start : start + rng.choice((4, 16, 64, 256))]
        else:
            del out[at:]
    return bytes(out)
