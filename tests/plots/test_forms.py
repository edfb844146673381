"""Pictures, pages, salience and the terminal with skeletons and numbers of bodies of all kinds."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clipfiles import with_form
from hypothesis import given, settings
from hypothesis import strategies as st
from plotting import ELEVEN, FRAMES, invoke, make_run, moving

from skeltools.analysis import salience
from skeltools.errors import RunError
from skeltools.methods.registry import make_method
from skeltools.page import clips as packing
from skeltools.plots import attention, palette, style, terminal
from skeltools.plots import camera as cameras
from skeltools.plots import clip as clips
from skeltools.plots import skeletons as drawing
from skeltools.runs.folder import Run
from skeltools.skeletons import Form, Skeleton, load, packaged
from skeltools.store import ClipFile

Image = pytest.importorskip("PIL.Image", reason="the extra 'plot' is not installed")
pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")

LONE = Skeleton("lone", ("joint",), (0,), {"all": (0,)}, (0,), (0,), 0, 0, 0, 0)
FORMS = [(name, 2) for name in packaged()] + [(ELEVEN, bodies) for bodies in (1, 2, 3)]
DRAWN = [
    form if form in {("kinect2", 2), (ELEVEN, 1)} else pytest.param(*form, marks=pytest.mark.slow)
    for form in FORMS
]
"""All forms: the usual one and one of a single body at once, the others among the slow tests."""


class Made:
    """A converted file of some form, and a run that says that its clips had it."""

    def __init__(self, file: Path, run: Path) -> None:
        self.file, self.run = str(file), str(run)


@pytest.fixture
def made(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Form, bool], Made]:
    """Make a file and a run of the form that is asked for; the run's mask has initial weights."""
    data, run = make_run(tmp_path_factory)

    def make(form: Form, flat: bool = False) -> Made:
        folder = tmp_path_factory.mktemp("form")
        with ClipFile(data) as file:
            clips = np.stack([moving(form.skeleton, form.bodies, flat, row) for row in range(len(file))])
        there = with_form(data, folder / "clips.h5", form, clips)
        shutil.copytree(run, folder / "run")
        place = folder / "run" / "run.json"
        content = json.loads(place.read_text()) | {"skeleton": form.skeleton.to_dict(), "bodies": form.bodies}
        place.write_text(json.dumps(content | {"data": str(there)}))
        monkeypatch.setattr(
            salience, "load_method", lambda run, _: make_method(run.settings, form, "joint", 0).eval()
        )
        return Made(there, folder / "run")

    return make


@pytest.mark.parametrize(("name", "bodies"), DRAWN)
def test_every_picture_of_clips_is_drawn(
    made: Callable[..., Made], tmp_path: Path, name: str, bodies: int
) -> None:
    at = made(Form(load(name), bodies, FRAMES))
    for out, words in {
        "strip.png": ["clip", at.file, "0", "--augment", "crop(6)|flip(1.0)", "--frames", "3"],
        "corner.svg": ["clip", at.file, "0", "--view", "corner", "--frames", "2"],
        "attention.png": ["attention", at.run, at.file, "0"],
        "attention.gif": ["attention", at.run, at.file, "0"],
        "class.png": ["attention", at.run, at.file, "--class", "1"],
    }.items():
        result = invoke("plot", *words, "--out", str(tmp_path / out))
        assert (result.exit_code, result.stdout) == (0, f"{tmp_path / out}\n"), result.output
        if not out.endswith("svg"):
            picture = np.asarray(Image.open(tmp_path / out).convert("RGB"), int)
            assert (picture.min(axis=2) < 200).mean() > 0.004, out


@pytest.mark.parametrize(("name", "bodies"), FORMS)
def test_a_page_holds_joints_bones_parts_and_every_body(
    made: Callable[..., Made], tmp_path: Path, name: str, bodies: int
) -> None:
    skeleton = load(name)
    at = made(Form(skeleton, bodies, FRAMES))
    result = invoke("view", at.file, "3", "--out", str(tmp_path / "view.html"))
    assert result.exit_code == 0, result.output
    block = re.search(r'<script[^>]*json"[^>]*>(.*?)</script>', (tmp_path / "view.html").read_text(), re.S)
    assert block is not None
    values = json.loads(block.group(1))
    (held,) = values["skeletons"]
    assert held["name"] == skeleton.name
    assert held["joints"] == list(skeleton.joints)
    assert [tuple(bone) for bone in held["bones"]] == list(skeleton.bones)
    assert {part["name"]: tuple(part["joints"]) for part in held["parts"]} == dict(skeleton.parts)
    assert len({part["colour"] for part in held["parts"]}) == len(skeleton.parts)
    (clip,) = values["clips"]
    assert (clip["skeleton"], clip["bodies"], clip["flat"]) == (0, bodies, False)
    packed = np.frombuffer(base64.b64decode(clip["data"]), "<i2").reshape(
        FRAMES, bodies, skeleton.num_joints, 3
    )
    apart = cameras.apart(moving(skeleton, bodies, seed=3), "frame").transpose(1, 3, 2, 0)
    np.testing.assert_allclose(packed * clip["unit"], apart, atol=0.0005001)


def test_runs_on_different_skeletons_share_a_page(made: Callable[..., Made]) -> None:
    pool = packing.Pool()
    for name in ("coco17", ELEVEN, "coco17"):
        with ClipFile(made(Form(load(name), 1, FRAMES)).file) as file:
            pool.add(file, len(pool.packed))
    values = pool.values()
    assert [one["name"] for one in values["skeletons"]] == ["coco17", "eleven"]
    assert [clip["skeleton"] for clip in values["clips"]] == [0, 1, 0]


@pytest.mark.parametrize(("name", "bodies"), FORMS)
def test_the_terminal_draws_every_skeleton(made: Callable[..., Made], name: str, bodies: int) -> None:
    at = made(Form(load(name), bodies, FRAMES))
    with ClipFile(at.file) as file:
        clip = file.names[0]
    lines = invoke("inspect", at.file, "--clip", clip).stdout.splitlines()[2:]
    assert len(lines) == 16
    assert max(map(len, lines)) <= 80
    assert sum(char not in " " for line in lines for char in line) > 40


def test_a_lone_joint_is_a_dot() -> None:
    clip = np.full((3, 4, 1, 1), 0.5, np.float32)
    assert "".join(terminal.draw(clip, LONE)).strip()
    with style.styled():
        figure = clips.strip([clips.Panel("", clip, LONE)], "title", cameras.Camera())
        figure.draw_without_rendering()
        assert len(attention.mean(np.ones((1, 4, 1, 1), np.float32), LONE, 4, "title").axes[0].images) == 1


@pytest.mark.parametrize("bodies", [1, 2, 3, 5])
def test_bodies_stand_apart_in_their_order_and_have_their_own_dashes(bodies: int) -> None:
    skeleton = load(ELEVEN)
    clip = moving(skeleton, bodies)
    moved = cameras.apart(clip, "frame") - clip
    np.testing.assert_allclose(np.diff(moved[0].mean(axis=(0, 1))), -cameras.APART, atol=1e-6)
    np.testing.assert_allclose(moved.mean(axis=(1, 2, 3)), 0, atol=1e-6)
    with style.styled():
        panel = clips.Panel("", cameras.apart(clip, "frame"), skeleton)
        figure = clips.strip([panel], "title", cameras.Camera(), 2)
        texts = [text.get_text() for text in figure.legends[0].get_texts()]
    further = ["second body", "third body", "fourth body", "fifth body"][: bodies - 1]
    assert texts == [*skeleton.parts, *further]
    assert len({str(drawing.body_style(body)) for body in range(bodies)}) == bodies


def test_bodies_that_are_there_close_the_gap_of_one_that_is_not() -> None:
    clip = moving(load(ELEVEN), 3)
    clip[..., 1] = 0
    moved = cameras.apart(clip, "frame")
    shift = (moved - clip)[0].mean(axis=(0, 1))
    np.testing.assert_allclose(shift, [cameras.APART / 2, 0, -cameras.APART / 2], atol=1e-6)
    assert not moved[..., 1].any()


@pytest.mark.parametrize("view", ["front", "side", "top"])
def test_a_flat_clip_is_drawn_from_the_front_and_it_is_said(
    made: Callable[..., Made], tmp_path: Path, view: str
) -> None:
    skeleton = load("coco17")
    at = made(Form(skeleton, 1, FRAMES), True)
    with ClipFile(at.file) as file:
        (panel,) = clips.panels(file, 0)
    assert panel.title == "prepared, 16 frames, 2-D"
    made_scene = drawing.scene(panel.clip, skeleton, cameras.named(view))
    np.testing.assert_allclose(made_scene.flat[0], -panel.clip[0], atol=1e-12)
    np.testing.assert_allclose(made_scene.flat[1], panel.clip[1], atol=1e-12)
    for words in (["clip", at.file, "0"], ["attention", at.run, at.file, "0"]):
        result = invoke("plot", *words, "--view", view, "--out", str(tmp_path / f"{words[0]}.png"))
        assert result.exit_code == 0, result.output
        said = "The clip is 2-D (every z is 0), so it is drawn from the front.\n"
        assert (said in result.stderr) == (view != "front")
    with ClipFile(at.file) as file:
        assert packing.pack(file, 0)["flat"]


def test_a_clip_without_a_body_is_not_flat() -> None:
    assert not cameras.is_flat(np.zeros((3, 4, 11, 2)))


@pytest.mark.parametrize("bodies", [1, 2, 3])
@pytest.mark.parametrize("name", ["coco17", ELEVEN])
def test_salience_has_a_value_for_each_joint_of_each_body(
    made: Callable[..., Made], name: str, bodies: int
) -> None:
    form = Form(load(name), bodies, FRAMES)
    at = made(form)
    with ClipFile(at.file) as file:
        run = Run.open(at.run)
        found = salience.of_clips(salience.load_method(run, "cpu"), file, np.array([0, 5]), "joint")
    assert found.shape == (2, FRAMES // 4, form.joints, bodies)
    assert ((found > 0) & (found < 1)).all()
    assert np.ptp(found, axis=2).min() > 0  # joints differ


@settings(max_examples=60, deadline=None)
@given(clips=st.integers(1, 3), frames=st.integers(1, 4), joints=st.integers(2, 40), bodies=st.integers(1, 4))
def test_tokens_find_their_clip_frame_joint_and_body(
    clips: int, frames: int, joints: int, bodies: int
) -> None:
    kinect = load("kinect2")
    names = tuple(map(str, range(joints)))
    skeleton = replace(
        kinect, joints=names, parents=(0, *range(joints - 1)), parts={"all": tuple(range(joints))},
        mirror=tuple(range(joints)), centre=(0,), left_shoulder=0, right_shoulder=0, left_hip=0, right_hip=0,
    )  # fmt: skip
    form = Form(skeleton, bodies, 4 * joints + 1)
    values = np.arange(clips * bodies * frames * joints, dtype=np.float32)
    cube = values.reshape(clips, bodies, frames, joints)
    found = salience.grid(values.reshape(clips * bodies, -1), clips, form)
    np.testing.assert_array_equal(found, cube.transpose(0, 2, 3, 1))
    whole = values[: clips * form.frames]
    whole = np.arange(clips * form.frames, dtype=np.float32).reshape(clips, -1)
    shared = salience.grid(whole, clips, form)
    assert shared.shape == (clips, form.frames, joints, bodies)
    np.testing.assert_array_equal(shared[:, :, -1, -1], whole)
    with pytest.raises(RunError, match="belong to no joints or frames"):
        salience.grid(np.zeros((clips * (bodies + 1) + clips, 3), np.float32), clips * 7, form)


@given(st.lists(st.text(max_size=8), max_size=60, unique=True))
def test_parts_of_any_number_have_different_colours_and_known_ones_their_own(names: list[str]) -> None:
    for parts in (names, [*names, *palette.PARTS], [*palette.PARTS, *names]):
        found = palette.of_parts(parts)
        assert list(found) == list(dict.fromkeys(parts))
        assert len(set(found.values())) == len(found)
        assert all(re.fullmatch("#[0-9a-f]{6}", colour) for colour in found.values())
        assert all(found[part] == colour for part, colour in palette.PARTS.items() if part in found)
        assert palette.PARTS["trunk"] not in {found[part] for part in found if part != "trunk"}


def test_a_coordinate_beyond_32_metres_is_not_cut_off(
    made: Callable[..., Made], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = made(Form(load(ELEVEN), 1, FRAMES))
    large = moving(load(ELEVEN), 1) * 500
    monkeypatch.setattr(ClipFile, "clips", lambda *_: large[None])
    with ClipFile(at.file) as file:
        packed = packing.pack(file, 0)
    values = np.frombuffer(base64.b64decode(packed["data"]), "<i2").reshape(FRAMES, 1, 11, 3)
    np.testing.assert_allclose(values * packed["unit"], large.transpose(1, 3, 2, 0), atol=packed["unit"])
    assert packed["unit"] > 0.001
