"""A clip of synthetic motion by its official name: the same whenever, wherever and in whatever order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from skeltools.datasets import registry as datasets
from skeltools.errors import SettingError
from skeltools.synth.actions import known
from skeltools.synth.camera import camera
from skeltools.synth.chance import generator
from skeltools.synth.design import Video
from skeltools.synth.performer import performer
from skeltools.synth.scene import NATURAL_FRAMES, perform
from skeltools.synth.sensor import Recording, observe
from skeltools.synth.timeline import play

if TYPE_CHECKING:
    from numpy.typing import NDArray


def record(name: str, seed: int = 0, frames: tuple[int, int] = NATURAL_FRAMES) -> Recording:
    """Return the recording of the NTU clip `name`.

    The three cameras of one performance see the same motion; a performer has the same body in every clip.

    Args:
        name: Official name such as ``S001C002P003R001A023``.
        seed: Seed of the whole data set.
        frames: Least and greatest number of frames.

    Raises:
        SettingError: `name` is not an NTU name or its action is not among those generated.
    """
    about = datasets.parse_ntu_name(name)
    actions = known("ntu120")
    if about is None or about.action not in actions:
        raise SettingError(
            f"'{name}' cannot be generated. Give a name such as S001C002P003R001A023 with one of the actions "
            f"{', '.join(map(str, actions))}."
        )
    action = actions[about.action]
    people = [performer(seed, f"P{about.subject:03d}")]
    if action.people == 2:
        people.append(performer(seed, f"partner of P{about.subject:03d} in S{about.setup:03d}"))
    event = generator(
        seed, "event", f"S{about.setup:03d}P{about.subject:03d}R{about.replication:03d}", str(action.ntu)
    )
    # The first repetition is done towards the camera on the right, the second towards the one on the left.
    heading = np.radians((-45.0 if about.replication % 2 else 45.0) + event.normal(0, 8))
    truth = perform(action, people, event, float(heading), frames)
    seen = camera(seed, f"S{about.setup:03d}", about.camera).see(truth)
    return observe(seen, generator(seed, "sensor", name))


@dataclass(frozen=True)
class VideoRecording:
    """A PKU-MMD video.

    Attributes:
        recording: What the sensor wrote down.
        labels: (class, first frame, last frame, confidence) of each action, all 1-based, both ends inside.
    """

    recording: Recording
    labels: list[tuple[int, int, int, int]]


def record_video(dataset: str, video: Video, seed: int = 0) -> VideoRecording:
    """Return the recording of `video` of `dataset` (pku1 or pku2).

    The three views of one video see the same motion.
    """
    actions = known(dataset)
    people = [
        performer(seed, f"{dataset} {video.performer}"),
        performer(seed, f"{dataset} helper of {video.title}"),
    ]
    film = f"{dataset} {video.title}"
    time = play([actions[label] for label in video.labels], people, seed, film)
    seen = camera(seed, film, video.camera).see(time.truth)
    draw = generator(seed, "sensor", f"{dataset} {video.name}")
    there = time.there.copy()
    for _ in range(draw.poisson(len(there) / 3000)):
        begin = int(draw.integers(len(there)))
        there[begin : begin + int(draw.integers(1, 6))] = False
    confidence = draw.choice([1, 2], len(time.spans), p=[0.15, 0.85]).tolist()
    labels = [
        (label, begin + 1, end, sure)
        for label, (begin, end), sure in zip(video.labels, time.spans, confidence, strict=True)
    ]
    return VideoRecording(observe(seen, draw, there, losses=False), labels)


def clip(name: str, seed: int = 0, frames: tuple[int, int] = NATURAL_FRAMES) -> NDArray[np.float32]:
    """Return the raw clip of `name` as reading its file would, float32 (3, L, 25, 2) in metres.

    The first two bodies of each frame in file order; an absent body is zeros. Arguments and errors as
    for `record`.
    """
    return record(name, seed, frames).clip()
