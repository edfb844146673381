"""Salience by body part: any skeleton, any number of bodies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from clipfiles import TINY
from hypothesis import given, settings
from hypothesis import strategies as st
from plotting import ELEVEN, invoke, make_run

from skeltools.analysis import salience
from skeltools.errors import DataError
from skeltools.results.parts import NEEDS_MASK
from skeltools.skeletons import load, packaged

pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")
from skeltools.plots import attention, palette, style


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from([*packaged(), ELEVEN]), clips=st.integers(1, 3), bodies=st.integers(1, 3),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_a_part_has_the_mean_of_its_joints_and_an_absent_body_none(
    name: str, clips: int, bodies: int, seed: int
) -> None:
    skeleton = load(name)
    values = np.random.default_rng(seed).random((clips, 4, skeleton.num_joints, bodies), np.float32)
    values[0, ..., -1] = np.nan
    found = salience.by_part(values, skeleton)
    assert found.shape == (clips, 4, len(skeleton.parts), bodies)
    assert np.isnan(found[0, ..., -1]).all()
    for place, joints in enumerate(skeleton.parts.values()):
        for clip in range(clips):
            expected = sum(values[clip, 2, joint, 0] for joint in joints) / len(joints)
            np.testing.assert_allclose(found[clip, 2, place, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("name", [*packaged(), ELEVEN])
def test_every_skeleton_has_lines_dots_and_a_table(name: str) -> None:
    skeleton = load(name)
    values = np.random.default_rng(1).random((1, 4, skeleton.num_joints, 3), np.float32)
    values[..., 1] = np.nan
    shown = attention.of_parts(values, skeleton)
    assert [heading for heading, _ in shown] == ["body 1", "body 3"]
    with style.styled():
        figure = attention.parts(shown, skeleton, 64, "title")
        figure.draw_without_rendering()
    over, beside = figure.axes[:2]
    assert len(over.patches) == len(beside.lines) == len(skeleton.parts)
    colours = [patch.get_edgecolor() for patch in over.patches]
    assert len(set(colours)) == len(palette.of_parts(skeleton.parts))
    dots = [dot.get_xdata()[0] for dot in beside.lines]
    np.testing.assert_allclose(dots, shown[0][1].mean(axis=0), rtol=1e-6)
    table = attention.part_table(shown, skeleton, "class\nclip")
    assert [row[0] for row in table.rows] == [
        f"{body}, {part}" for body, _ in shown for part in skeleton.parts
    ]
    assert table.rows[0][1:] == [
        str(len(next(iter(skeleton.parts.values())))),
        *(
            f"{value:.4f}"
            for value in (shown[0][1][:, 0].mean(), shown[0][1][:, 0].min(), shown[0][1][:, 0].max())
        ),
    ]


def test_clips_of_a_class_are_averaged_over_clips_and_bodies_that_are_there() -> None:
    skeleton = load(ELEVEN)
    values = np.full((2, 1, 11, 2), np.nan, np.float32)
    values[0, ..., 0], values[1, ..., 0], values[1, ..., 1] = 0.2, 0.4, 0.6
    ((heading, found),) = attention.of_parts(values, skeleton)
    assert heading == ""
    np.testing.assert_allclose(found, 0.4, rtol=1e-6)
    with pytest.raises(DataError, match="No clip has a body"):
        attention.of_parts(values[:, :, :, :1] * np.nan, skeleton)


def test_the_command_prints_the_table_and_then_the_file(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    data, run = make_run(tmp_path_factory)
    for words in (["0"], ["--class", "1"]):
        out = tmp_path / f"{len(words)}.png"
        result = invoke("plot", "attention", str(run), str(data), *words, "--by-part", "--out", str(out))
        assert result.exit_code == 0, result.output
        lines = result.stdout.splitlines()
        assert lines[-1] == str(out)
        assert [line.rsplit(maxsplit=4)[0].strip() for line in lines[-6:-1]] == [*load("kinect2").parts]
        assert out.read_bytes().startswith(b"\x89PNG")
    result = invoke(
        "plot", "attention", str(run), str(data), "0", "--by-part", "--out", str(tmp_path / "a.gif")
    )
    assert result.exit_code == 2
    assert result.stderr.endswith(
        f"Error: {tmp_path / 'a.gif'}: give a name that ends in .png, .svg, .pdf.\n"
    )


def test_every_command_says_in_the_same_words_why_there_is_no_salience(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BiGRU reads whole frames: what its mask keeps is the same for every joint."""
    data, _ = make_run(tmp_path_factory)
    monkeypatch.chdir(tmp_path)
    tiny = (*TINY, "model.backbone=bigru", "model.gru_hidden=4", "model.gru_layers=1", "augment.swap_unit=1")
    words = [word for setting in tiny for word in ("--set", setting)]
    for command in (
        ["pretrain", str(data), "--split", "xsub", "--stream", "joint", "--out", "gru", *words, "--epochs", "1",
         "--batch-size", "8"],
        ["eval", "gru", "--protocol", "linear", "--epochs", "1", "--quiet"],
        ["eval", "gru", "--protocol", "robust", "--set", 'robust.corruptions=["part(each,1)"]', "--quiet"],
    ):  # fmt: skip
        result = invoke(*command)
        assert result.exit_code == 0, result.output
    (note,) = [note for note in invoke("report", "gru").stdout.splitlines() if "no salience" in note]
    assert note.startswith("Note: robust: no salience is recorded. Salience of joints and parts needs")
    drawn = invoke("plot", "attention", "gru", str(data), "0")
    assert (
        drawn.stderr.splitlines()[-1] == f"Note: every joint of a frame has the same salience. {NEEDS_MASK}"
    )
    drawn = invoke("plot", "parts", "gru")
    assert drawn.stdout.splitlines() == [
        f"there is no salience to compare with. {NEEDS_MASK}",
        "gru-parts.png",
    ]
    asked = invoke("report", "gru", "--groups", "salience")
    assert (asked.exit_code, asked.stderr) == (
        2,
        f"Error: No result here holds salience. {NEEDS_MASK} Record it: skeltools eval RUN --protocol robust\n",
    )
