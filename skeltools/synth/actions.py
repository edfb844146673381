"""The actions the generator knows, under the names they have in the datasets.

Names, not numbers, stand here: the numbers follow from the class lists of `skeltools.datasets.registry`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from skeltools.datasets import registry as datasets
from skeltools.synth import fine_gestures, gestures, pairs, whole_body
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
        only: The one dataset whose synthetic data has it although others know the class; None for all.
    """

    ntu: str | None
    pku: str | None
    seconds: float
    solo: Solo | None = None
    duo: Duo | None = None
    gap: tuple[float, float] = (1.0, 1.4)
    only: str | None = None

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
    Action("tear up paper", None, 2.1, fine_gestures.tear_paper, only="ntu120"),
    Action("take off glasses", None, 2.1, fine_gestures.take_off_glasses, only="ntu120"),
    Action("cheer up", "cheer up", 1.8, gestures.cheer),
    Action("hand waving", "hand waving", 1.8, gestures.wave),
    Action("kicking something", "kicking something", 1.3, whole_body.kick),
    Action("hopping (one foot jumping)", "hopping (one foot jumping)", 1.9, whole_body.hop),
    Action("jump up", "jump up", 1.4, whole_body.jump_up),
    Action("reach into pocket", None, 2.2, fine_gestures.reach_into_pocket, only="ntu120"),
    Action("make a phone call/answer phone", "make a phone call/answer phone", 2.1, gestures.phone),
    Action("pointing to something with finger", "pointing to something with finger", 1.6, gestures.point),
    Action("rub two hands together", "rub two hands together", 1.8, gestures.rub_hands),
    Action("nod head/bow", "bow", 1.8, gestures.bow),
    Action("wipe face", None, 2.0, fine_gestures.wipe_face, only="ntu120"),
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
    Action("use a fan (with hand or paper)/feeling warm", None, 2.0, fine_gestures.use_fan, only="ntu120"),
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
    Action("put on headphone", None, 2.3, fine_gestures.put_on_headphone, only="ntu120"),
    Action("hush (quite)", None, 1.8, fine_gestures.hush, only="ntu120"),
    Action("staple book", None, 2.1, fine_gestures.staple_book, only="ntu120"),
    Action("sniff (smell)", None, 2.0, fine_gestures.sniff, only="ntu120"),
    Action("squat down", None, 2.0, whole_body.squat),
    Action("apply cream on face", None, 2.3, fine_gestures.apply_cream, only="ntu120"),
    Action("open a box", None, 2.0, fine_gestures.open_box, only="ntu120"),
    Action("hands up (both hands)", None, 1.8, gestures.hands_up),
    Action("cross arms", None, 1.8, gestures.cross_arms),
    Action("arm circles", None, 2.2, gestures.arm_circles),
    Action("running on the spot", None, 2.1, whole_body.run_on_spot),
    Action("butt kicks (kick backward)", None, 2.1, whole_body.butt_kicks),
    Action("side kick", None, 1.4, whole_body.side_kick),
    Action("yawn", None, 2.3, fine_gestures.yawn, only="ntu120"),
    Action("grab other person's stuff", None, 1.8, duo=pairs.grab, gap=(1.0, 1.4), only="ntu120"),
    Action("take a photo of other person", None, 2.2, duo=pairs.take_photo, gap=(1.3, 2.0), only="ntu120"),
)
"""Every action, in the order of the NTU numbers."""


def known(dataset: str) -> dict[int, Action]:
    """Return the actions of `dataset` by 1-based class number, in ascending order.

    NTU-60 goes without the actions that are `only` NTU-120's, which the novel classes of one-shot recognition
    need; part II of PKU-MMD has no actions of two people.

    Raises:
        SettingError: There is no such dataset.
    """
    about = datasets.get(dataset)
    found: dict[int, Action] = {}
    for action in ACTIONS:
        name = action.ntu if about.format == "ntu" else action.pku
        elsewhere = action.only not in (None, dataset)
        if name in about.classes and not elsewhere and not (dataset == "pku2" and action.people == 2):
            found[about.classes.index(name) + 1] = action
    return dict(sorted(found.items()))
