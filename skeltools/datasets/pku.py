"""PKU-MMD, parts I and II (Liu et al., 2017)."""

from __future__ import annotations

from skeltools.datasets.contract import Dataset, lines

_LICENCE = "PKU-MMD agreement; academic, non-commercial use only"


def datasets() -> tuple[Dataset, ...]:
    """Return PKU-MMD I and II."""
    classes = lines("pku_actions.txt")
    return (
        Dataset(
            name="pku1",
            title="PKU-MMD I",
            format="pku",
            classes=classes,
            splits=("xsub", "xview"),
            licence=_LICENCE,
            split_files={"xsub": "cross-subject.txt", "xview": "cross-view.txt"},
            counts={"xsub": (18841, 2704)},
        ),
        Dataset(
            name="pku2",
            title="PKU-MMD II",
            format="pku",
            classes=classes,
            splits=("xsub", "xview"),
            licence=_LICENCE,
            split_files={"xsub": "cross_subject_v2.txt", "xview": "cross_view_v2.txt"},
        ),
    )
