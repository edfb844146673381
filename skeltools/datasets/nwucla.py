"""NW-UCLA, Multiview Action 3D (Wang et al., CVPR 2014), in the JSON files that the field passes round."""

from __future__ import annotations

import re
from typing import NamedTuple

from skeltools.datasets.contract import Dataset, Naming

ACTIONS = (1, 2, 3, 4, 5, 6, 8, 9, 11, 12)
"""The action number of each 0-based label; there is no action 7 or 10."""

VIEWS = (1, 2, 3)

_NAME = re.compile(r"a(\d{2})_s(\d{2})_e(\d{2})_v(\d{2})", re.ASCII)
_LIKE = re.compile(r"a\d+_?s\d+", re.ASCII | re.IGNORECASE)


class NwuclaName(NamedTuple):
    """The numbers of a clip name such as ``a08_s03_e02_v01``; subject and view are 1-based, episode 0-based."""

    action: int
    subject: int
    episode: int
    view: int

    @property
    def label(self) -> int:
        """0-based class."""
        return ACTIONS.index(self.action)


def parse_name(name: str) -> NwuclaName | None:
    """Return the numbers of a clip name, or None when it is not one (extension not allowed)."""
    match = _NAME.fullmatch(name)
    return NwuclaName(*map(int, match.groups())) if match else None


NAMING = Naming(
    suffix=".json",
    called="aAA_sSS_eEE_vVV.json",
    wrong="a clip name such as a01_s01_e00_v01",
    parse=parse_name,
    columns=("subject", "view", "episode"),
    like=lambda name: _LIKE.match(name) is not None,
)


_CLASSES = (
    "pick up with one hand", "pick up with two hands", "drop trash", "walk around", "sit down", "stand up",
    "donning", "doffing", "throw", "carry",
)  # fmt: skip


def _outside(clip: NwuclaName) -> str:
    if clip.action not in ACTIONS:
        return f"outside: action {clip.action} is not in nwucla"
    return "" if clip.view in VIEWS else f"outside: view {clip.view} is not in nwucla"


def _dev(clip: NwuclaName) -> bool | None:
    return None if clip.view == 3 else clip.view == 1


def datasets() -> tuple[Dataset, ...]:
    """Return NW-UCLA.

    Its split ``xview`` is the authors'. With ``xview-dev`` settings can be chosen without a look at view 3,
    the test view: view 1 trains, view 2 tests, view 3 is on neither side.
    """
    return (
        Dataset(
            name="nwucla",
            title="NW-UCLA",
            format="nwucla",
            classes=_CLASSES,
            splits=("xview", "xview-dev"),
            licence="its authors'; fetch it from them; cite Wang et al., CVPR 2014",
            namings=(NAMING,),
            train={"xview": lambda clip: clip.view != 3, "xview-dev": _dev},
            partial=("xview-dev",),
            outside=_outside,
            skeleton_name="kinect1",
            bodies=1,
            counts={"xview": (1020, 464), "xview-dev": (516, 504)},
        ),
    )
