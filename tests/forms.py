"""Methods and what their clips look like, in tests."""

from __future__ import annotations

from typing import Any

from skeltools.formats.recording import Recording
from skeltools.methods.registry import make_method
from skeltools.preparation import chain
from skeltools.preparation.chain import Chain, Chosen, Prepared
from skeltools.runs.settings import resolve_recipe
from skeltools.skeletons import Form, load

SKELETON = load("kinect2")
KINECT = Form(SKELETON, 2, 64)


def kinect(frames: int) -> Form:
    """Clips of Kinect v2 with two bodies and so many frames."""
    return Form(SKELETON, 2, frames)


def settings_of(*overrides: str, recipe: str | None = None) -> Any:
    """Settings of a run on the joint stream of no dataset in particular."""
    return resolve_recipe(recipe, dataset="", split="", stream="joint", overrides=overrides).values


def method_of(settings: Any, stream: str = "joint", frames: int = 64, seed: int = 0) -> Any:
    """The initial method of settings."""
    return make_method(settings, kinect(frames), stream, seed)


def apply(recording: Recording, how: Chain, labelled: bool = False) -> Prepared | str:
    """Prepare a recording of Kinect v2 with two bodies."""
    return chain.apply(recording, how, kinect(how.frames), labelled)


def finish(used: Chosen, how: Chain) -> tuple[Any, Any]:
    """The second half of the chain, likewise."""
    return chain.finish(used, how, kinect(how.frames))
