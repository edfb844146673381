"""The projects whose weights are read. A new one is a module with a `PROJECT`, and a line here."""

from __future__ import annotations

from skeltools.errors import RunError, did_you_mean
from skeltools.reference import (
    actclr,
    aimclr,
    cmd,
    crossclr,
    hiclr,
    hysp,
    mamp,
    pcm3,
    pstl,
    skeattnclr,
    skelemixclr,
    stars,
)
from skeltools.reference.contract import Project, Weights

PROJECTS: dict[str, Project] = {
    module.PROJECT.name: module.PROJECT
    for module in (
        skeattnclr,
        stars,
        hysp,
        hiclr,
        crossclr,
        skelemixclr,
        actclr,
        aimclr,
        pcm3,
        cmd,
        mamp,
        pstl,
    )
}
"""By name; where a file could be of several, the first is meant."""


def find_project(name: str) -> Project:
    """Return a project by its name.

    Raises:
        RunError: There is no such project.
    """
    try:
        return PROJECTS[name]
    except KeyError:
        raise RunError(
            f"Unknown project '{name}'. Choose one of: {', '.join(PROJECTS)}.{did_you_mean(name, PROJECTS)}"
        ) from None


def tell(weights: Weights) -> Project:
    """Return the project that a file is of.

    Raises:
        RunError: It is of none that is known.
    """
    for project in PROJECTS.values():
        if project.owns(weights):
            return project
    names = weights.entries
    first = weights.called(next(iter(names))) if names else "none"
    count = "1 entry" if len(names) == 1 else f"{len(names)} entries"
    told = f"{weights.path} holds no encoder that is known ({count}, the first is '{first}'). "
    if any(".hi_encoder." in name for name in names):
        raise RunError(told + "It looks like HiCo's, whose encoder is not read.")
    titles = ", ".join(project.title for project in PROJECTS.values())
    raise RunError(told + f"Encoders of {titles} are read; docs/weights.md tells how they are named.")
