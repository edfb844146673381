"""Which clips a data set of N consists of: balanced, deterministic, and a prefix of the one for N + 1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from skeltools.datasets import registry as datasets
from skeltools.datasets.registry import NtuName
from skeltools.errors import SettingError
from skeltools.synth.actions import known
from skeltools.synth.chance import generator

CAMERAS = (1, 2, 3)
VIEWS = ("L", "M", "R")
_VIEW_CAMERA = {"M": 1, "L": 2, "R": 3}
_SHORT_VIDEOS = 30
_SUBJECTS = 40
_REPLICATIONS = 2
_SETUPS, _LATER_SETUPS = range(1, 18), range(18, 33)
_NTU60_ACTIONS = 60
"""NTU-120 adds actions above this number, all of them in its later set-ups."""


def _sides(dataset: str, subjects: range) -> tuple[list[int], list[int]]:
    """Return the training and the test performers of the cross-subject split."""
    train = datasets.get(dataset).train["xsub"]
    inside = [subject for subject in subjects if train(NtuName(1, 1, subject, 1, 1))]
    return inside, [subject for subject in subjects if subject not in inside]


def _names(dataset: str) -> Iterator[NtuName]:
    """Yield every clip of the design.

    The exemplars of the dataset come first. Then round j gives each class one clip; an exemplar counts as its
    class's clip of the first round and does not come again. Within a class, consecutive clips change sides of
    the cross-subject split and cameras every time, then performers, replications and set-ups.
    """
    about, actions = datasets.get(dataset), list(known(dataset))
    train, test = _sides(dataset, range(1, _SUBJECTS + 1))
    per_side = min(len(train), len(test))
    views = 2 * per_side * len(CAMERAS)
    exemplars = {clip.action: clip for clip in map(datasets.parse_ntu_name, about.exemplars) if clip}
    yield from exemplars.values()
    rooms = {action: _SETUPS if action <= _NTU60_ACTIONS else _LATER_SETUPS for action in actions}
    for turns in range(views * _REPLICATIONS * len(_SETUPS) + 1):
        for order, action in enumerate(actions):
            index = turns - (action in exemplars)
            total = views * _REPLICATIONS * len(rooms[action])
            if not 0 <= index < total:
                continue
            turn = (index + 7 * order) % total
            person = (turn // 2) % per_side
            replication = 1 + (turn // 2 + turn // views) % _REPLICATIONS
            place = 5 * person + 3 * replication + turn // (views * _REPLICATIONS)
            clip = NtuName(
                setup=rooms[action][place % len(rooms[action])],
                camera=CAMERAS[turn % len(CAMERAS)],
                subject=(train, test)[turn % 2][person],
                replication=replication,
                action=action,
            )
            if clip != exemplars.get(action):
                yield clip


def ntu_names(dataset: str, clips: int) -> list[str]:
    """Return the names of `clips` clips of `dataset` (ntu60 or ntu120), none of them officially incomplete.

    The exemplars of the dataset, if any, come first. From 100 clips on every class is there, and both sides
    of every split.

    Raises:
        SettingError: The design has fewer clips than that.
    """
    incomplete = datasets.incomplete_ntu_clips()
    names = list(islice((name for name in map(str, _names(dataset)) if name not in incomplete), clips))
    if len(names) < clips:
        raise SettingError(f"{dataset} has room for {len(names)} synthetic clips. Ask for at most that many.")
    return names


@dataclass(frozen=True, order=True)
class Video:
    """One view of a PKU-MMD video.

    Attributes:
        title: Its name without the view: ``0002`` or ``A01N02``.
        view: L, M or R.
        performer: Number of the person in it.
        labels: 1-based class of each action, in order.
    """

    title: str
    view: str
    performer: int
    labels: tuple[int, ...]

    @property
    def name(self) -> str:
        """The name of its files, without extension."""
        return f"{self.title}-{self.view}"

    @property
    def camera(self) -> int:
        """Number of the camera, 1 to 3."""
        return _VIEW_CAMERA[self.view]


def _pku_titles(dataset: str) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Return (title, performer) of every training and every test video of the cross-subject split.

    Part I: the official test videos 0291 to 0334, done by performers of their own. Part II: performers
    with odd numbers train; this is the generator's choice.
    """
    if dataset == "pku1":
        test = [(f"{video:04d}", 58 + video % 9) for video in range(291, 335)]
        train = [(f"{video:04d}", 1 + video % 57) for video in (*range(2, 291), *range(335, 365))]
        return train, test
    every = [(f"A{part:02d}N{person:02d}", person) for part in range(1, 27) for person in range(1, 14)]
    return [video for video in every if video[1] % 2], [video for video in every if not video[1] % 2]


def on_training_side(dataset: str, split: str, video: Video) -> bool:
    """Return whether `video` trains: by performer in xsub; views M and R in xview."""
    if split == "xview":
        return video.view != "L"
    return video.performer <= 57 if dataset == "pku1" else video.performer % 2 == 1


def _videos(dataset: str) -> Iterator[tuple[str, str, int, int]]:
    """Yield (title, view, performer, position) of every video, sides in turn; the short videos come first."""
    train, test = _pku_titles(dataset)
    paired = [video for both in zip(train, test, strict=False) for video in both]
    longer = max(train, test, key=len)
    ranked = list(enumerate(paired + longer[min(len(train), len(test)) :]))
    for block in (ranked[:_SHORT_VIDEOS], ranked[_SHORT_VIDEOS:]):
        for turn in range(len(VIEWS)):
            for rank, (title, performer) in block:
                yield title, VIEWS[(rank + turn) % len(VIEWS)], performer, rank


def pku_videos(dataset: str, clips: int) -> list[Video]:
    """Return videos of `dataset` (pku1 or pku2) with `clips` actions in all; the last may stop early.

    The first thirty videos have few actions, so that small data sets have many performers; the others have
    about as many as the real ones. The first two videos stand on different sides of both splits.

    Raises:
        SettingError: The design has fewer actions, or so few are asked for that a side of a split is empty.
    """
    labels = list(known(dataset))
    short, long = (8, 22) if dataset == "pku1" else (6, 7)
    found: list[Video] = []
    left = clips
    for title, view, performer, rank in _videos(dataset):
        if left <= 0:
            break
        count = short if rank < _SHORT_VIDEOS else long
        begin = rank * short if rank < _SHORT_VIDEOS else rank * long
        mixed = generator(0, "order", title).permutation(count).tolist()
        chosen = [labels[(begin + step) % len(labels)] for step in mixed]
        found.append(Video(title, view, performer, tuple(chosen[:left])))
        left -= count
    if left > 0:
        raise SettingError(
            f"{dataset} has room for {clips - left} synthetic actions. Ask for at most that many."
        )
    if len(found) < 2:
        raise SettingError(
            f"--clips {clips} is too few for {dataset}: both sides of its splits need a video. "
            f"Ask for at least {short + 1}."
        )
    return found
