"""Colours that people with a colour vision deficiency can tell apart; after Okabe and Ito (2008)."""

from __future__ import annotations

PARTS: dict[str, str] = {
    "trunk": "#5b5b5b",
    "right arm": "#d55e00",
    "left arm": "#0072b2",
    "right leg": "#e69f00",
    "left leg": "#56b4e9",
}
"""Colour of each body part of `skeltools.skeletons.kinect2.PARTS`: warm on the right, cool on the left."""

SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a7500", "#5b5b5b")
"""Colours of lines and classes, in the order they are taken."""

GAIN, LOSS = "#0072b2", "#d55e00"
"""Better and worse."""

SALIENCE = (
    "#440154", "#482878", "#3e4a89", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6dcd59", "#b4de2c",
    "#fde725",
)  # fmt: skip
"""Low to high salience: ten steps of viridis, which is even in lightness."""
