"""The generator of synthetic motion: bodies, actions, design of a data set, sensor."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from forms import SKELETON
from hypothesis import given, settings
from hypothesis import strategies as st

from skeltools.datasets import registry as datasets
from skeltools.errors import SettingError
from skeltools.preparation.chain import prepare
from skeltools.synth import design, motion
from skeltools.synth.actions import ACTIONS, Action, known
from skeltools.synth.body import joints, rotation, two_bones
from skeltools.synth.camera import camera
from skeltools.synth.chance import generator
from skeltools.synth.performer import Performer, performer
from skeltools.synth.pose import Array, Pose, join, passage
from skeltools.synth.scene import act, perform, phases
from skeltools.synth.sensor import observe, significant

LIMBS = [5, 6, 9, 10, 13, 14, 17, 18]
"""Elbows, wrists, knees and ankles: the bones that end here are rigid."""


def people_for(action: Action, seed: int) -> list[Performer]:
    return [performer(seed, f"P{number:03d}") for number in range(1, action.people + 1)]


def poses_of(action: Action, seed: int, heading: float = 0.0, frames: int = 60) -> list[Pose]:
    draw = generator(seed, "test", str(action.ntu))
    u = phases(draw, frames, 0.1, 0.1)
    return act(action, people_for(action, seed), draw, u, action.seconds, (0.0, 0.0), heading)


def named(ntu: str) -> Action:
    return next(action for action in ACTIONS if action.ntu == ntu)


# classes


@pytest.mark.parametrize(
    ("dataset", "classes", "pairs"), [("ntu60", 30, 7), ("ntu120", 51, 9), ("pku1", 26, 5), ("pku2", 21, 0)]
)
def test_classes_carry_the_official_numbers(dataset: str, classes: int, pairs: int) -> None:
    actions = known(dataset)
    assert len(actions) == classes
    assert sum(action.people == 2 for action in actions.values()) == pairs
    about = datasets.get(dataset)
    for number, action in actions.items():
        name = action.ntu if about.format == "ntu" else action.pku
        assert about.classes[number - 1] == name


def test_every_novel_class_of_one_shot_recognition_is_there() -> None:
    assert {int(name[-3:]) for name in datasets.get("ntu120").exemplars} <= set(known("ntu120"))


def test_what_ntu_120_alone_has_is_nowhere_else() -> None:
    alone = {action.ntu for action in ACTIONS if action.only == "ntu120"}
    assert len(alone) == 14
    assert alone <= {action.ntu for action in known("ntu120").values()}
    assert alone & set(datasets.get("ntu60").classes)
    for dataset in ("ntu60", "pku1", "pku2"):
        assert not alone & {action.ntu for action in known(dataset).values()}


def test_well_known_numbers() -> None:
    assert known("ntu60")[23].ntu == "hand waving"
    assert known("ntu60")[58].ntu == "handshaking"
    assert known("ntu120")[97].ntu == "arm circles"
    assert known("pku1")[16].pku == "hugging other person"


def test_every_name_of_an_action_stands_in_a_class_list() -> None:
    ntu, pku = datasets.get("ntu120").classes, datasets.get("pku1").classes
    for action in ACTIONS:
        assert action.ntu in ntu
        assert action.pku is None or action.pku in pku
        assert (action.solo is None) != (action.duo is None)


# kinematics


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(ACTIONS), st.integers(0, 1000))
def test_bones_are_rigid_and_nobody_leaves_the_floor_for_long(action: Action, seed: int) -> None:
    draw = generator(seed, "test")
    truth = perform(action, people_for(action, seed), draw, 0.3)
    assert 40 <= len(truth) <= 120
    assert truth.shape[1:] == (action.people, 25, 3)
    assert np.isfinite(truth).all()
    if action.ntu != "falling":
        lengths = np.linalg.norm(truth - truth[:, :, SKELETON.parents], axis=-1)
        assert np.ptp(lengths[:, :, LIMBS], axis=0).max() < 1e-9
        assert truth[..., 1].min() >= 0.02
        assert truth[..., 3, 1].max() < 2.4
    lowest = truth[..., [14, 18], 1].min(axis=-1)
    assert (lowest < 0.12).mean() > 0.5
    assert np.abs(np.diff(truth, axis=0)).max() < 0.75


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([a for a in ACTIONS if a.ntu not in ("falling", "walking apart from each other")]),
    st.integers(0, 99),
)
def test_knees_bend_forward(action: Action, seed: int) -> None:
    for person, pose in zip(people_for(action, seed), poses_of(action, seed), strict=True):
        x = joints(person.body, pose)
        ahead = rotation(pose.turn)[..., 2]
        for hip, knee, ankle in ((12, 13, 14), (16, 17, 18)):
            middle = 0.5 * (x[:, hip] + x[:, ankle])
            assert ((x[:, knee] - middle) * ahead).sum(-1).min() > -0.12


def test_squat_lowers_the_pelvis_and_jump_lifts_the_feet() -> None:
    person = performer(0, "P001")
    squat = joints(person.body, poses_of(named("squat down"), 0)[0])
    assert squat[:, 0, 1].min() < squat[0, 0, 1] - 0.2
    jump = joints(person.body, poses_of(named("jump up"), 0)[0])
    assert jump[:, [14, 18], 1].min(axis=1).max() > 0.2
    seated = joints(person.body, poses_of(named("sitting down"), 0)[0])
    assert seated[-1, 0, 1] < 0.65 * seated[0, 0, 1]
    risen = joints(person.body, poses_of(named("standing up (from sitting position)"), 0)[0])
    assert risen[0, 0, 1] < 0.65 * risen[-1, 0, 1]


def test_a_hand_is_where_the_action_wants_it() -> None:
    for seed in range(8):
        person = performer(seed, "P001")
        drink = joints(person.body, poses_of(named("drink water"), seed)[0])
        hands = np.linalg.norm(drink[:, [7, 11]] - drink[:, [3]], axis=-1).min(axis=0)
        assert hands.min() < 0.32 < hands.max()
        clap = joints(person.body, poses_of(named("clapping"), seed)[0])
        gap = np.linalg.norm(clap[:, 6] - clap[:, 10], axis=-1)
        assert gap.min() < 0.15 < gap.max()


def hands(ntu: str, seed: int) -> tuple[Array, Array]:
    """Return the joints (L, 25, 3) of the first person and where both hands are beside the head (L, 2, 3)."""
    x = joints(people_for(named(ntu), seed)[0].body, poses_of(named(ntu), seed)[0])
    return x, x[:, [7, 11]] - x[:, [3]]


@pytest.mark.parametrize(
    ("ntu", "both"),
    [
        ("take off glasses", None), ("wipe face", None), ("put on headphone", True), ("hush (quite)", False),
        ("sniff (smell)", None), ("apply cream on face", True), ("yawn", None),
    ],
)  # fmt: skip
def test_a_hand_goes_to_the_head_and_back(ntu: str, both: bool | None) -> None:
    for seed in range(6):
        _, offset = hands(ntu, seed)
        far = np.linalg.norm(offset, axis=-1)
        near = far.min(axis=0) < 0.32
        assert near.any()
        assert both is None or near.all() == both
        assert (far[[0, -1]] > 0.5).all()


@pytest.mark.parametrize("ntu", ["tear up paper", "open a box"])
def test_both_hands_meet_before_the_trunk_and_part(ntu: str) -> None:
    for seed in range(6):
        x, offset = hands(ntu, seed)
        gap = np.linalg.norm(x[:, 6] - x[:, 10], axis=-1)
        before = (offset[..., 1] < 0).all(axis=1) & (x[:, [6, 10], 1] > x[:, :1, 1]).all(axis=1)
        met = np.flatnonzero(before & (gap < 0.2))
        assert len(met)
        assert gap[met[0] : int(0.8 * len(gap))].max() > 0.3


def test_the_hands_of_the_other_novel_classes() -> None:
    for seed in range(6):
        x, _ = hands("reach into pocket", seed)
        idle, low = x[0, [6, 10], 1], x[:, [6, 10], 1]
        assert (low.max(axis=0) - low.min(axis=0) > 0.12).any()
        assert abs(low.min() - idle.min()) < 0.2
        x, _ = hands("staple book", seed)
        gap = np.linalg.norm(x[:, 6] - x[:, 10], axis=-1)
        assert gap.min() < 0.18
        x, _ = hands("use a fan (with hand or paper)/feeling warm", seed)
        speed = np.abs(np.diff(x[:, [7, 11]], n=2, axis=0)).sum(axis=(0, 2))
        assert max(speed) > 3 * min(speed)


def test_who_grabs_reaches_the_other_and_who_takes_a_photo_does_not() -> None:
    def reach(ntu: str, seed: int) -> Array:
        truth = perform(named(ntu), people_for(named(ntu), seed), generator(seed, "test"), 0.0)
        hand, other = truth[:, 0, [7, 11]], truth[:, 1, [7, 11]]
        return np.linalg.norm(hand[:, :, None] - other[:, None], axis=-1).min(axis=(1, 2))

    for seed in range(6):
        grab = reach("grab other person's stuff", seed)
        assert grab.min() < 0.25
        assert grab[-1] > 0.4
        assert reach("take a photo of other person", seed).min() > 0.25


def test_two_people_meet() -> None:
    def distance(ntu: str, seed: int) -> Array:
        action = named(ntu)
        draw = generator(seed, "test")
        truth = perform(action, people_for(action, seed), draw, 0.0)
        return np.linalg.norm(truth[:, 0, 0, ::2] - truth[:, 1, 0, ::2], axis=-1)

    for seed in range(6):
        towards, apart = (
            distance("walking towards each other", seed),
            distance("walking apart from each other", seed),
        )
        assert towards[-1] < 1.2 < 1.7 < towards[0]
        assert apart[0] < 1.2 < 1.7 < apart[-1]
        assert distance("hugging other person", seed).min() < 0.6


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 0.5), st.floats(0.1, 0.5))
def test_two_bones_keep_their_lengths_and_reach_what_can_be_reached(
    seed: int, first: float, second: float
) -> None:
    draw = np.random.default_rng(seed)
    start, target, pole = draw.normal(size=(3, 5, 1, 3))
    middle, end = two_bones(start, target, first, second, pole)
    np.testing.assert_allclose(np.linalg.norm(middle - start, axis=-1), first, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(end - middle, axis=-1), second, rtol=1e-6)
    away = np.linalg.norm(target - start, axis=-1)
    near = (away < 0.99 * (first + second)) & (away > abs(first - second) + 0.03)
    assert np.linalg.norm(end - target, axis=-1)[near].max(initial=0.0) < 1e-9


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(ACTIONS), st.integers(0, 99))
def test_mirroring_a_pose_mirrors_the_joints(action: Action, seed: int) -> None:
    body = performer(seed, "P001").body
    pose = poses_of(action, seed)[0]
    there = joints(body, pose)[:, SKELETON.mirror] * [-1.0, 1.0, 1.0]
    np.testing.assert_allclose(joints(body, pose.mirrored()), there, atol=1e-12)
    again = pose.mirrored().mirrored().channels()
    for name, values in pose.channels().items():
        np.testing.assert_array_equal(again[name], values)


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-4, 4))
@settings(max_examples=20, deadline=None)
def test_placing_a_pose_moves_the_joints_rigidly(x: float, z: float, heading: float) -> None:
    person = performer(3, "P001")
    pose = poses_of(named("kicking something"), 3)[0]
    size = person.body.scale
    turn = rotation(np.array([0.0, heading, 0.0]))
    expected = joints(person.body, pose) @ turn.T + [x * size, 0.0, z * size]
    np.testing.assert_allclose(joints(person.body, pose.placed(x, z, heading)), expected, atol=1e-9)


def test_a_passage_joins_two_poses_smoothly() -> None:
    first, then = poses_of(named("sitting down"), 1)[0], poses_of(named("hand waving"), 2)[0]
    between = passage(first, then, 30)
    whole = join([first, between, then])
    assert len(between) == 30
    assert len(whole) == len(first) + 30 + len(then)
    person = performer(1, "P001")
    x = joints(person.body, whole)
    lengths = np.linalg.norm(x - x[:, SKELETON.parents], axis=-1)[len(first) :, LIMBS]
    assert np.ptp(lengths, axis=0).max() < 1e-2
    assert np.abs(np.diff(x[len(first) - 1 : len(first) + 31], axis=0)).max() < 0.25


def test_performers_differ_and_stay_the_same() -> None:
    crowd = [performer(0, f"P{number:03d}") for number in range(1, 41)]
    assert performer(0, "P007") == crowd[6]
    assert performer(1, "P007") != crowd[6]
    heights = [person.body.height for person in crowd]
    assert np.std(heights) > 0.05
    assert 1.4 < min(heights) < max(heights) < 2.0
    assert 0.6 < np.mean([person.right_handed > 0.5 for person in crowd]) < 1.0


# cameras


def test_three_cameras_look_from_different_sides_and_heights() -> None:
    for place in ("S001", "S009", "S017"):
        three = [camera(0, place, number) for number in (1, 2, 3)]
        yaws = sorted(one.yaw for one in three)
        assert min(np.diff(yaws)) > np.radians(25)
        assert three[0].pitch + np.radians(8) < three[2].pitch
        for one in three:
            centre = one.see(np.array([0.0, 0.95, 0.0]))
            assert abs(centre[0]) < 0.7
            assert abs(centre[1]) < 1.0
            assert 1.8 < centre[2] < 4.6


@given(st.integers(0, 500), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_a_camera_is_a_rigid_motion_that_keeps_left_left(seed: int, number: int) -> None:
    points = np.random.default_rng(seed).normal(size=(6, 3))
    one = camera(seed, "S001", number)
    seen = one.see(points)
    for i in range(1, 6):
        assert np.linalg.norm(seen[i] - seen[0]) == pytest.approx(np.linalg.norm(points[i] - points[0]))
    axes = one.see(np.eye(3)) - one.see(np.zeros((1, 3)))
    assert np.linalg.det(axes) == pytest.approx(1.0)
    up = one.see(np.array([0.0, 1.0, 0.0])) - one.see(np.zeros(3))
    assert up[1] > 0.7


def test_whoever_faces_the_camera_has_the_left_shoulder_at_smaller_x() -> None:
    # As in real recordings: x grows to the sensor's left.
    clip = motion.clip("S001C002P001R001A023", 0)
    shoulders = clip[0, :, [4, 8], 0]
    present = shoulders.any(axis=0)
    assert (shoulders[0] < shoulders[1])[present].mean() > 0.95


def test_cameras_of_one_performance_see_the_same_motion() -> None:
    def distances(clip: Array) -> Array:
        trunk = clip[:, :, [0, 1, 20, 3, 4, 8, 12, 16], 0]
        return np.linalg.norm(trunk[:, :, :, None] - trunk[:, :, None], axis=0)

    views = [motion.clip(f"S003C00{number}P004R001A006", 5) for number in (1, 2, 3)]
    assert len({view.shape for view in views}) == 1
    there = np.all([view[2, :, 0, 0] > 0 for view in views], axis=0)
    for view in views[1:]:
        assert np.abs(distances(view) - distances(views[0]))[there].mean() < 0.03
        assert not np.allclose(view, views[0])


# design


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(["ntu60", "ntu120"]), st.integers(100, 2500))
def test_the_design_is_balanced(dataset: str, clips: int) -> None:
    about = datasets.get(dataset)
    names = design.ntu_names(dataset, clips)
    assert len(set(names)) == len(names) == clips
    assert not set(names) & datasets.incomplete_ntu_clips()
    parsed = [name for name in map(datasets.parse_ntu_name, names) if name is not None]
    assert len(parsed) == clips
    assert all(name.setup in about.setups for name in parsed)
    assert all(name.camera in (1, 2, 3) and name.replication in (1, 2) for name in parsed)
    count = np.bincount([name.action for name in parsed], minlength=121)[list(known(dataset))]
    assert count.min() >= min(2, clips // len(known(dataset)))
    assert np.ptp(count) <= 3
    for split, train in about.train.items():
        share = np.mean([train(name) for name in parsed])
        assert 0.35 < share < 0.72, split


@pytest.mark.parametrize(("dataset", "clips"), [("ntu60", 100), ("ntu120", 100), ("ntu120", 160)])
def test_every_class_comes_early(dataset: str, clips: int) -> None:
    labels = [int(name[-3:]) for name in design.ntu_names(dataset, clips)]
    count = np.bincount(labels, minlength=121)[list(known(dataset))]
    assert count.min() == clips // len(known(dataset))
    assert np.ptp(count) <= 1


def test_exemplars_come_first_and_once() -> None:
    exemplars = list(datasets.get("ntu120").exemplars)
    assert design.ntu_names("ntu120", 20) == exemplars
    every = list(map(str, islice(design._names("ntu120"), 60_000)))
    assert len(set(every)) == len(every)
    assert not datasets.get("ntu60").exemplars
    assert not set(exemplars) & set(design.ntu_names("ntu60", 20))


@given(st.sampled_from(["ntu60", "ntu120"]), st.integers(1, 500), st.integers(1, 500))
@settings(max_examples=20, deadline=None)
def test_a_smaller_design_begins_a_larger_one(dataset: str, one: int, other: int) -> None:
    small, large = sorted((one, other))
    assert design.ntu_names(dataset, small) == design.ntu_names(dataset, large)[:small]


def test_the_demo_has_many_test_clips() -> None:
    names = [datasets.parse_ntu_name(name) for name in design.ntu_names("ntu60", 1150)]
    test = [name for name in names if name is not None and not datasets.get("ntu60").train["xsub"](name)]
    assert len(test) >= 500
    assert len({name.subject for name in test}) == 20
    assert {name.camera for name in test} == {1, 2, 3}


def test_incomplete_names_would_come_up_and_are_passed_over() -> None:
    incomplete = datasets.incomplete_ntu_clips()
    every = [str(name) for name in islice(design._names("ntu60"), 60_000)]
    assert len(set(every)) == len(every)
    met = incomplete.intersection(every)
    assert met
    assert design.ntu_names("ntu60", 60_000 - len(met)) == [name for name in every if name not in met]


def test_too_many_clips_are_refused() -> None:
    with pytest.raises(
        SettingError, match=r"^ntu60 has room for \d+ synthetic clips\. Ask for at most that many\.$"
    ):
        design.ntu_names("ntu60", 10**6)
    with pytest.raises(SettingError, match=r"^pku2 has room for \d+ synthetic actions\."):
        design.pku_videos("pku2", 10**6)
    with pytest.raises(SettingError, match=r"^--clips 8 is too few for pku1: .* Ask for at least 9\.$"):
        design.pku_videos("pku1", 8)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(["pku1", "pku2"]), st.integers(100, 2500))
def test_the_video_design_is_exact_and_fills_both_sides(dataset: str, clips: int) -> None:
    videos = design.pku_videos(dataset, clips)
    assert sum(len(video.labels) for video in videos) == clips
    assert len({video.name for video in videos}) == len(videos)
    labels = [label for video in videos for label in video.labels]
    assert set(labels) == set(known(dataset))
    for split in ("xsub", "xview"):
        train = sum(len(v.labels) for v in videos if design.on_training_side(dataset, split, v))
        assert 0.25 < train / clips < 0.8
    trainers = {v.performer for v in videos if design.on_training_side(dataset, "xsub", v)}
    assert not trainers & {v.performer for v in videos if not design.on_training_side(dataset, "xsub", v)}


def test_part_one_tests_on_its_official_videos() -> None:
    for video in design.pku_videos("pku1", 3000):
        assert design.on_training_side("pku1", "xsub", video) == (not 291 <= int(video.title) <= 334)


# clips


def test_a_clip_depends_on_its_name_and_seed_alone() -> None:
    first = motion.clip("S001C001P001R001A010", 0)
    motion.clip("S002C003P005R002A050", 0)
    np.testing.assert_array_equal(motion.clip("S001C001P001R001A010", 0), first)
    for name, seed in (("S001C001P001R002A010", 0), ("S001C001P001R001A010", 1)):
        other = motion.clip(name, seed)
        assert other.shape != first.shape or not np.allclose(other, first)
    assert first.dtype == np.float32


def test_clips_of_two_have_two_bodies() -> None:
    assert motion.clip("S001C002P001R001A058", 0)[:, :, :, 1].any()
    lone = [motion.clip(f"S001C002P{subject:03d}R001A023", 0) for subject in range(1, 9)]
    assert sum(clip[:, :, :, 1].any() for clip in lone) <= 2


def test_what_cannot_be_generated_is_refused() -> None:
    for name in ("S001C001P001R001A002", "0002-L"):
        with pytest.raises(SettingError, match=f"^'{name}' cannot be generated\\. Give a name such as"):
            motion.clip(name)


@given(st.integers(8, 60), st.integers(0, 100))
@settings(max_examples=10, deadline=None)
def test_the_length_of_clips_can_be_chosen(low: int, more: int) -> None:
    clip = motion.clip("S001C001P001R001A024", 0, frames=(low, low + more))
    assert low <= clip.shape[1] <= low + more


def test_raw_coordinates_do_not_solve_the_task() -> None:
    names = design.ntu_names("ntu60", 360)
    flat = np.stack([prepare(motion.clip(name, 0))[0].ravel() for name in names])
    parsed = [name for name in map(datasets.parse_ntu_name, names) if name is not None]
    labels = np.array([name.action for name in parsed])
    train = np.array([datasets.get("ntu60").train["xsub"](name) for name in parsed])
    a, b = flat[~train], flat[train]
    far = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None] - 2 * a @ b.T
    accuracy = (labels[train][far.argmin(axis=1)] == labels[~train]).mean()
    assert 0.25 < accuracy < 0.70


# sensor


def still(frames: int, bodies: int) -> Array:
    pose = np.random.default_rng(0).normal([0.0, 0.0, 3.0], 0.3, (1, bodies, 25, 3))
    return np.tile(pose, (frames, 1, 1, 1))


def test_without_losses_everybody_is_there() -> None:
    for seed in range(20):
        recording = observe(still(30, 2), generator(seed, "x"), losses=False)
        assert recording.points.shape == (30, 2, 25, 3)
        assert sorted(recording.slots[0].tolist()) == [0, 1]
        assert (recording.slots == recording.slots[0]).all()
        assert set(np.unique(recording.state)) <= {1, 2}


def test_losses_of_every_kind_happen_and_are_rare() -> None:
    empty = late = third = swapped = 0
    draws = 600
    for seed in range(draws):
        recording = observe(still(24, 2), generator(seed, "x"))
        slots = recording.slots
        count = (slots >= 0).sum(axis=1)
        assert count.max() >= 1
        assert ((slots[:, :-1] >= 0) | (slots[:, 1:] < 0)).all(), "places fill from the front"
        assert len(set(recording.ids)) == slots.shape[1]
        empty += (count == 0).any()
        late += count[0] == 1
        third += (count == 3).any()
        first = slots[count == 2]
        swapped += len(first) > 0 and bool((first[0, :2] != first[-1, :2]).all())
        clip = recording.clip()
        assert clip.shape == (3, 24, 25, 2)
        for place in range(2):
            np.testing.assert_array_equal(clip[..., place].any(axis=(0, 2)), slots[:, place] >= 0)
    for seen, low, high in (
        (empty, 0.02, 0.10),
        (late, 0.05, 0.25),
        (third, 0.004, 0.05),
        (swapped, 0.001, 0.04),
    ):
        assert low < seen / draws < high


def test_hands_shake_more_than_the_trunk_and_hidden_joints_are_guessed() -> None:
    truth = still(200, 1)
    truth[:, 0, 6] = truth[:, 0, 1] + [0.02, 0.0, 0.3]
    recording = observe(truth, generator(0, "x"), losses=False)
    shake = np.diff(recording.points[:, 0], axis=0).std(axis=(0, 2))
    assert shake[[21, 22, 23, 24]].mean() > 5 * shake[[0, 1, 20]].mean()
    assert (recording.state[:, 0, 6] == 1).all()
    error = np.abs(recording.points - truth).max()
    assert 0.01 < error < 0.4


@given(st.floats(1e-9, 9e3), st.sampled_from([-1.0, 0.0, 1.0]))
def test_seven_digits_are_what_a_file_would_hold(value: float, sign: float) -> None:
    assert np.float32(significant(np.array([sign * value]))[0]) == np.float32(f"{sign * value:.7g}")
