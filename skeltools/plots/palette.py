"""Colours that people with a colour vision deficiency can tell apart; after Okabe and Ito (2008)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from colorsys import hls_to_rgb
from itertools import islice

PARTS: dict[str, str] = {
    "trunk": "#5b5b5b",
    "right arm": "#d55e00",
    "left arm": "#0072b2",
    "right leg": "#e69f00",
    "left leg": "#56b4e9",
}
"""Colour of the parts that the packaged skeletons have: warm on the right, cool on the left."""

SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a7500", "#5b5b5b")
"""Colours of lines and classes, in the order they are taken."""

GAIN, LOSS = "#0072b2", "#d55e00"
"""Better and worse."""

SALIENCE = (
    "#440154", "#482878", "#3e4a89", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6dcd59", "#b4de2c",
    "#fde725",
)  # fmt: skip
"""Low to high salience: ten steps of viridis, which is even in lightness."""


def of_parts(names: Iterable[str]) -> dict[str, str]:
    """Return a colour for each body part, ``#rrggbb``, all different.

    A part called as one of `PARTS` has that colour; others take, in their order, colours that none of the
    named ones has. Grey is the trunk's alone, since a page has another one on a dark ground.

    Args:
        names: Names of the parts of a skeleton, in its order; as many as it has.
    """
    parts = list(dict.fromkeys(names))
    taken = {PARTS["trunk"], *(PARTS[name] for name in parts if name in PARTS)}
    free = (colour for colour in _endless() if colour not in taken)
    return {name: PARTS[name] if name in PARTS else next(free) for name in parts}


def series(count: int) -> list[str]:
    """Return a colour for each of so many lines, all different."""
    return list(islice(_endless(), count))


def _endless() -> Iterator[str]:
    """Yield the colours of `SERIES`, then hues that are far from those before, without end."""
    yield from SERIES
    seen, hue = set(SERIES), 0.0
    while True:
        hue += 0.618034  # the golden section of a turn
        red, green, blue = hls_to_rgb(hue % 1, (0.42, 0.56, 0.34)[int(hue / 4) % 3], 0.55)
        colour = "#" + "".join(f"{round(255 * value):02x}" for value in (red, green, blue))
        if colour not in seen:
            seen.add(colour)
            yield colour
