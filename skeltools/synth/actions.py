"""The actions the generator knows, under the names they have in the datasets.

Names, not numbers, stand here: the numbers follow from the class lists of `skeltools.datasets`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from skeltools import datasets
from skeltools.synth import gestures, pairs, whole_body
from skeltools.synth.stage import Stage

Solo = Callable[[Stage], None]
Duo = Callable[[Stage, Stage, float], None]


@dataclass(frozen=True)
class Action:
    """One action.

    Attributes:
        ntu: Its class name in NTU RGB+D, or None.
        pku: Its class name in PKU-MMD, or None.
        seconds: Usual duration.
        solo: Performs it with one person; None for two people.
        duo: Performs it with two people; None for one person.
        gap: For two people, range of their distance at the start, metres.
    """

    ntu: str | None
    pku: str | None
    seconds: float
    solo: Solo | None = None
    duo: Duo | None = None
    gap: tuple[float, float] = (1.0, 1.4)

    @property
    def people(self) -> int:
        """How many perform it."""
        return 1 if self.duo is None else 2


ACTIONS: tuple[Action, ...] = (
    Action("drink water", "drink water", 2.1, gestures.drink),
    Action("pickup", "pickup", 1.8, whole_body.pick_up),
    Action("throw", "throw", 1.3, gestures.throw),
    Action("sitting down", "sitting down", 1.6, whole_body.sit_down),
    Action("standing up (from sitting position)", "standing up", 1.5, whole_body.stand_up),
    Action("clapping", "clapping", 1.7, gestures.clap),
    Action("cheer up", "cheer up", 1.8, gestures.cheer),
    Action("hand waving", "hand waving", 1.8, gestures.wave),
    Action("kicking something", "kicking something", 1.3, whole_body.kick),
    Action("hopping (one foot jumping)", "hopping (one foot jumping)", 1.9, whole_body.hop),
    Action("jump up", "jump up", 1.4, whole_body.jump_up),
    Action("make a phone call/answer phone", "make a phone call/answer phone", 2.1, gestures.phone),
    Action("pointing to something with finger", "pointing to something with finger", 1.6, gestures.point),
    Action("rub two hands together", "rub two hands together", 1.8, gestures.rub_hands),
    Action("nod head/bow", "bow", 1.8, gestures.bow),
    Action("salute", "salute", 1.6, gestures.salute),
    Action("put the palms together", None, 1.8, gestures.palms_together),
    Action("cross hands in front (say stop)", "cross hands in front (say stop)", 1.7, gestures.cross_hands),
    Action("staggering", None, 2.3, whole_body.stagger),
    Action("falling", "falling", 1.7, whole_body.fall),
    Action("touch head (headache)", "touch head (headache)", 1.8, gestures.touch_head),
    Action(
        "touch chest (stomachache/heart pain)",
        "touch chest (stomachache/heart pain)",
        1.8,
        gestures.touch_chest,
    ),
    Action("touch back (backache)", "touch back (backache)", 1.8, gestures.touch_back),
    Action(
        "punching/slapping other person",
        "punching/slapping other person",
        1.4,
        duo=pairs.punch,
        gap=(0.9, 1.2),
    ),
    Action("kicking other person", "kicking other person", 1.5, duo=pairs.kick_other, gap=(1.0, 1.4)),
    Action("pushing other person", "pushing other person", 1.5, duo=pairs.push, gap=(0.8, 1.1)),
    Action("hugging other person", "hugging other person", 2.3, duo=pairs.hug, gap=(1.0, 1.5)),
    Action("handshaking", "handshaking", 1.9, duo=pairs.shake_hands, gap=(0.9, 1.4)),
    Action("walking towards each other", None, 1.8, duo=pairs.walk_together, gap=(2.0, 2.9)),
    Action("walking apart from each other", None, 1.9, duo=pairs.walk_apart, gap=(0.6, 0.9)),
    Action("squat down", None, 2.0, whole_body.squat),
    Action("hands up (both hands)", None, 1.8, gestures.hands_up),
    Action("cross arms", None, 1.8, gestures.cross_arms),
    Action("arm circles", None, 2.2, gestures.arm_circles),
    Action("running on the spot", None, 2.1, whole_body.run_on_spot),
    Action("butt kicks (kick backward)", None, 2.1, whole_body.butt_kicks),
    Action("side kick", None, 1.4, whole_body.side_kick),
)
"""Every action, in the order of the NTU numbers."""


def known(dataset: str) -> dict[int, Action]:
    """Return the actions of `dataset` by 1-based class number, in ascending order.

    Part II of PKU-MMD has no actions of two people.

    Raises:
        SettingError: There is no such dataset.
    """
    about = datasets.get(dataset)
    found: dict[int, Action] = {}
    for action in ACTIONS:
        name = action.ntu if about.format == "ntu" else action.pku
        if name in about.classes and not (dataset == "pku2" and action.people == 2):
            found[about.classes.index(name) + 1] = action
    return dict(sorted(found.items()))
