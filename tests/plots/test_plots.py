"""``skeltools plot``: what is drawn, and how it fails."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from plotting import HOSTILE, invoke, make_run, renamed
from rawfiles import body_of, ntu_bytes, write_ntu

from skeltools.analysis import embedding, salience
from skeltools.convert.pipeline import convert
from skeltools.datasets import registry as datasets
from skeltools.errors import DataError, RunError, SettingError
from skeltools.plots import camera as cameras
from skeltools.plots import clip as clips
from skeltools.plots import style
from skeltools.runs import log as runlog
from skeltools.runs.folder import Run
from skeltools.skeletons import Form, load
from skeltools.store import ClipFile

Image = pytest.importorskip("PIL.Image", reason="the extra 'plot' is not installed")
pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_run(tmp_path_factory)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A converted file with recordings: one clip of one person, one of two."""
    folder = tmp_path_factory.mktemp("two")
    write_ntu(folder / "raw", "S001C001P001R001A001", 1)
    pair = ntu_bytes([body_of(2, 12), body_of(3, 12) + 1.0])
    (folder / "raw" / "S001C001P003R001A050.skeleton").write_bytes(pair)
    convert(datasets.get("ntu60"), folder / "raw", folder / "o.h5", keep_raw=True)
    return folder / "o.h5"


def _drawn(path: Path) -> float:
    """Return the share of pixels that are not background."""
    picture = np.asarray(Image.open(path).convert("RGB"), float)
    return float((np.abs(picture - 255).max(axis=2) > 40).mean())


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_strip_is_written_in_each_format_and_the_file_is_named(
    two: Path, tmp_path: Path, ending: str
) -> None:
    out = tmp_path / f"strip.{ending}"
    result = invoke("plot", "clip", str(two), "0", "--out", str(out), "--frames", "3")
    assert (result.exit_code, result.stdout.strip()) == (0, str(out))
    magic = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[ending]
    assert out.read_bytes().startswith(magic)
    assert list(tmp_path.iterdir()) == [out]


def test_equal_input_gives_equal_bytes(two: Path, tmp_path: Path) -> None:
    for ending in ("svg", "png"):
        written = []
        for number in range(2):
            out = tmp_path / f"{number}.{ending}"
            assert invoke("plot", "clip", str(two), "0", "--frames", "2", "--out", str(out)).exit_code == 0
            written.append(out.read_bytes())
        assert written[0] == written[1]


def test_a_gif_moves_and_has_a_frame_for_every_frame_of_the_clip(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "clip.gif"
    augmented = ["--augment", "crop(6)|flip(1.0)", "--seed", "3"]
    assert invoke("plot", "clip", str(made[0]), "0", "--out", str(out), *augmented).exit_code == 0
    picture = Image.open(out)
    assert picture.n_frames == 16
    first = np.asarray(picture.convert("RGB"), int)
    picture.seek(8)
    assert (np.abs(np.asarray(picture.convert("RGB"), int) - first).max(axis=2) > 40).sum() > 100


def test_panels_hold_the_recording_the_clip_and_its_augmented_form(two: Path) -> None:
    with ClipFile(two) as file:
        shown = clips.panels(file, 0, raw=True, augment="flip(1.0)", seed=1)
        stored, recording = file.clips([0])[0], file.recording(0)
    assert [panel.title.split(",")[0] for panel in shown] == ["recording", "prepared", "flip(1.0)"]
    np.testing.assert_array_equal(shown[0].clip, recording.first(2))
    np.testing.assert_array_equal(shown[1].clip, stored)
    parts = load("kinect2").parts
    left, right = parts["left arm"], parts["right arm"]
    np.testing.assert_array_equal(shown[2].clip[:, :, list(left)], shown[1].clip[:, :, list(right)])


def test_two_bodies_centred_on_themselves_are_set_apart_and_it_is_said(two: Path) -> None:
    with ClipFile(two) as file:
        panel = clips.panels(file, 1)[0]
        stored = file.clips([1])[0]
    moved = panel.clip - stored
    assert "bodies set apart" in panel.title
    np.testing.assert_allclose(moved[0, :, :, 0] - moved[0, :, :, 1], cameras.APART, atol=1e-6)
    np.testing.assert_allclose(moved[1:], 0, atol=1e-6)
    np.testing.assert_array_equal(cameras.apart(stored, "person"), stored)


def test_the_camera_sees_a_person_as_a_photograph_does() -> None:
    # A person who faces the sensor: right hand at +x, nose (nearer) at smaller z.
    right_hand, nose, head = np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])
    front = cameras.named("front")
    assert front.project(right_hand)[0] < 0
    assert front.project(nose)[2] > 0
    np.testing.assert_allclose(front.project(head), [0, 1, 0], atol=1e-12)
    side = cameras.named("side")  # from the person's left: the nose points to the left of the picture
    np.testing.assert_allclose(side.project(nose), [-1, 0, 0], atol=1e-12)
    assert side.project(right_hand)[2] < 0
    top = cameras.named("top")
    np.testing.assert_allclose(top.project(head), [0, 0, 1], atol=1e-12)
    random = np.random.default_rng(0).normal(size=(3, 50))
    turned = cameras.Camera(33.0, -21.0).project(random)
    np.testing.assert_allclose(np.linalg.norm(turned, axis=0), np.linalg.norm(random, axis=0))
    spun = np.linalg.det(cameras.Camera(33.0, -21.0).project(np.eye(3)))
    np.testing.assert_allclose(spun, 1.0)  # a rotation: nothing is mirrored


def test_every_picture_of_a_run_is_drawn(made: tuple[Path, Path], tmp_path: Path) -> None:
    data, run = map(str, made)
    for name, words in {
        "curves": ["curves", run],
        "confusion": ["confusion", run],
        "compare": ["compare", f"{run}@random", run],
        "embedding": ["embedding", run, data],
        "pca": ["embedding", run, data, "--method", "pca", "--part", "all", "--most", "9"],
        "attention": ["attention", run, data, "0"],
        "class": ["attention", run, data, "--class", "1"],
    }.items():
        out = tmp_path / f"{name}.png"
        result = invoke("plot", *words, "--out", str(out))
        assert (result.exit_code, result.stdout.strip()) == (0, str(out)), result.output
        assert _drawn(out) > 0.005, name


def test_curves_hold_the_values_of_the_log(made: tuple[Path, Path]) -> None:
    from skeltools.plots import curves

    found = runlog.read(made[1] / "log.jsonl")
    with style.styled():
        figure = curves.draw(found, "title")
    drawn = {line.get_label(): line for line in figure.axes[0].get_lines()}
    assert list(drawn) == ["total", "global", "salient", "nonsalient"]
    np.testing.assert_array_equal(drawn["salient"].get_ydata(), found.values["loss_salient"])
    np.testing.assert_array_equal(drawn["salient"].get_xdata(), found.steps)
    monitor = figure.axes[3].get_lines()[0]
    np.testing.assert_allclose(monitor.get_ydata(), 100 * found.monitor)


def test_a_confusion_matrix_holds_shares_of_true_classes_and_leaves_empty_ones_out() -> None:
    from skeltools.plots import confusion

    counts = np.zeros((5, 5), int)
    counts[1, 1], counts[1, 4], counts[4, 1] = 3, 1, 2
    with style.styled():
        figure = confusion.draw(counts, ["a", "b", "c", "d", "e"], "title")
    axes = figure.axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), [[75, 25], [100, 0]])
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["b 1", "e 4"]
    assert sorted(text.get_text() for text in axes.texts) == ["100", "25", "75"]


def test_gains_and_losses_are_sorted_and_those_of_the_comparison(made: tuple[Path, Path]) -> None:
    from skeltools.plots import compare
    from skeltools.results import compare as comparison

    one, two = (comparison.pick(f"{made[1]}@{word}", "linear") for word in ("random", "pretrained"))
    found = comparison.compare(one, two)
    with style.styled():
        figure = compare.draw(found, one[0], two[0])
    axes = figure.axes[0]
    drawn = [bar.get_width() for bar in axes.patches]
    assert drawn == sorted(drawn, reverse=True)
    gains = {f"{name} ({clips})": 100 * (b - a) for name, clips, a, b in found.classes}
    named = [tick.get_text() for tick in axes.get_yticklabels()]
    assert dict(zip(named, drawn, strict=True)) == pytest.approx(gains)


def test_a_heat_map_holds_salience_with_joints_grouped_by_part() -> None:
    from skeltools.plots import attention

    skeleton = load("kinect2")
    values = np.random.default_rng(0).uniform(size=(2, 4, 25, 2)).astype(np.float32)
    values[1, ..., 1] = np.nan
    with style.styled():
        figure = attention.mean(values, skeleton, 8, "title")
    axes = figure.axes[0]
    bodies = np.stack([values[0, ..., 0], values[0, ..., 1], values[1, ..., 0]])
    expected = np.repeat(bodies.mean(axis=0), 2, axis=0)  # (8, 25)
    order = [joint for joints in skeleton.parts.values() for joint in joints]
    np.testing.assert_allclose(axes.images[0].get_array(), expected[:, order].T, rtol=1e-5)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == [skeleton.joints[joint] for joint in order]


def test_moving_attention_is_drawn(made: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "a.gif"
    assert invoke("plot", "attention", str(made[1]), str(made[0]), "0", "--out", str(out)).exit_code == 0
    assert Image.open(out).n_frames == 16


def test_salience_is_the_share_the_mask_keeps_in_joint_and_frame_order(made: tuple[Path, Path]) -> None:
    run = Run.open(made[1])
    method = salience.load_method(run, "cpu")
    with ClipFile(made[0]) as file:
        rows = np.array([3, 0], np.int64)
        found = salience.of_clips(method, file, rows, "joint")
        x = torch.from_numpy(file.clips(rows))
    with torch.no_grad():
        tokens = method.encoder()(x)
        masked = method.mask()
        assert masked is not None
        mask = masked(tokens)
    assert found.shape == (2, 4, 25, 2)
    for clip, frame, joint in ((0, 0, 0), (0, 3, 24), (1, 2, 7)):
        token, kept = (part[2 * clip, frame * 25 + joint] for part in (tokens, mask))
        share = float((token.abs() * kept).sum() / token.abs().sum())
        assert found[clip, frame, joint, 0] == pytest.approx(share, abs=1e-6)
    assert np.isnan(found[..., 1]).all()  # these clips have one body
    spread = salience.to_frames(found, 16)
    np.testing.assert_array_equal(spread[:, 0:4], np.repeat(found[:, :1], 4, axis=1))
    np.testing.assert_array_equal(spread[:, 15], found[:, 3])


def test_a_token_without_activation_has_the_mean_of_its_mask() -> None:
    mask = torch.tensor([[[0.2, 0.4], [0.2, 0.4]]])
    found = salience.share(torch.tensor([[[0.0, 0.0], [3.0, -1.0]]]), mask)
    torch.testing.assert_close(found, torch.tensor([[0.3, 0.25]]))


def test_salience_of_frames_is_shared_by_joints_and_other_tokens_are_refused() -> None:
    form = Form(load("kinect2"), 2, 3)
    shared = salience.grid(np.arange(6, dtype=np.float32).reshape(2, 3), 2, form)
    assert shared.shape == (2, 3, 25, 2)
    assert (shared[1, 2] == 5).all()
    with pytest.raises(RunError, match="belong to no joints or frames of 2 clips"):
        salience.grid(np.zeros((4, 26), np.float32), 2, form)


def test_a_run_without_a_mask_says_so(made: tuple[Path, Path], tmp_path: Path) -> None:
    content = json.loads((made[1] / "run.json").read_text())
    content["settings"]["loss.local"] = False
    (tmp_path / "run.json").write_text(json.dumps(content))
    with pytest.raises(
        RunError, match=r"was trained without an attention mask\. Salience of joints and parts needs an"
    ):
        salience.load_method(Run.open(tmp_path), "cpu")


def test_the_sample_is_spread_over_classes_and_repeats(made: tuple[Path, Path]) -> None:
    with ClipFile(made[0]) as file:
        everything = np.arange(len(file))
        rows = embedding.sample(file, everything, 8)
        counts = np.bincount(file.labels[rows])
        assert len(set(rows.tolist())) == 8
        assert counts[counts > 0].tolist() == [2, 2, 2, 2]
        np.testing.assert_array_equal(rows, embedding.sample(file, everything[::-1], 8))
        assert rows.tolist() != embedding.sample(file, everything, 8, seed=1).tolist()
        np.testing.assert_array_equal(embedding.sample(file, everything, 99), everything)


def test_embeddings_keep_groups_apart_and_repeat() -> None:
    draws = np.random.default_rng(0)
    features = np.concatenate([draws.normal(5 * group, 1, (20, 12)) for group in range(3)]).astype(np.float32)
    for method in embedding.METHODS:
        flat = embedding.project(features, method)
        assert flat.shape == (60, 2)
        np.testing.assert_array_equal(flat, embedding.project(features, method))
        groups = flat.reshape(3, 20, 2)
        within = groups.std(axis=1).max()
        centres = groups.mean(axis=1)
        assert min(np.linalg.norm(centres[a] - centres[b]) for a, b in ((0, 1), (0, 2), (1, 2))) > 2 * within
    assert embedding.project(np.ones((4, 1), np.float32), "pca").shape == (4, 2)
    with pytest.raises(SettingError, match=r"Unknown method 'tnse'\. .* Did you mean 'tsne'"):
        embedding.project(features, "tnse")
    with pytest.raises(DataError, match="three clips at least, not 2"):
        embedding.project(features[:2], "pca")


def test_a_log_is_read_whole_and_a_broken_line_is_named(made: tuple[Path, Path], tmp_path: Path) -> None:
    found = runlog.read(made[1] / "log.jsonl")
    assert found.steps.tolist() == [1, 2, 3, 4]
    assert found.epochs.tolist() == [1, 1, 2, 2]
    assert found.losses == ["loss", "loss_global", "loss_salient", "loss_nonsalient"]
    assert found.monitor_steps.tolist() == [2, 4]
    log = tmp_path / "log.jsonl"
    good = '{"kind": "step", "step": 1, "epoch": 1, "loss": 2.0}\n'
    log.write_text(good + '{"kind": "st')
    assert runlog.read(log).values["loss"].tolist() == [2.0]
    log.write_text("oops\n" + good)
    with pytest.raises(RunError, match=r"log\.jsonl, line 1: not a line of a training log"):
        runlog.read(log)
    log.write_text("")
    with pytest.raises(RunError, match="holds no logged step yet"):
        runlog.read(log)


def test_smoothing_is_a_centred_mean() -> None:
    values = np.array([1.0, 2.0, 9.0, 4.0])
    np.testing.assert_allclose(runlog.smooth(values, 3), [1.5, 4.0, 5.0, 6.5])


@pytest.mark.parametrize("size", [2, pytest.param(120, marks=pytest.mark.slow)])
def test_no_class_name_overlaps_another(size: int) -> None:
    from skeltools.plots import confusion
    from skeltools.plots import embedding as drawing

    names = [f"a class of a rather long name number {label}" for label in range(size)]
    counts = np.random.default_rng(0).integers(1, 9, (size, size))
    with style.styled():
        figure = confusion.draw(counts, names, "title")
        figure.draw_without_rendering()
        axes = figure.axes[0]
        for ticks, side in ((axes.get_yticklabels(), "y"), (axes.get_xticklabels(), "x")):
            boxes = [tick.get_window_extent() for tick in ticks]
            edges = sorted((box.y0, box.y1) if side == "y" else (box.x0, box.x1) for box in boxes)
            gaps = [after[0] - before[1] for before, after in pairwise(edges)]
            assert min(gaps) > -0.5
        points = np.random.default_rng(1).normal(size=(3 * size, 2)).astype(np.float32)
        figure = drawing.draw(points, np.repeat(np.arange(size), 3), names, "title", "tsne")
        figure.draw_without_rendering()
        legend = figure.legends[0]
        assert len(legend.get_texts()) == size
        whole = figure.bbox
        box = legend.get_window_extent()
        assert box.x1 <= whole.x1 + 1
        assert box.y0 >= whole.y0 - 1
        assert not box.overlaps(figure.axes[0].get_window_extent())


def test_hostile_names_are_drawn_as_text(made: tuple[Path, Path], tmp_path: Path) -> None:
    data = renamed(made[0], tmp_path / "hostile.h5")
    with ClipFile(data) as file:
        names = file.names
    for number, name in enumerate(HOSTILE):
        assert names[number] == name
        out = tmp_path / f"{number}.svg"
        words = ["plot", "clip", str(data), name, "--frames", "2", "--out", str(out)]
        result = invoke(*words)
        assert result.exit_code == 0, result.output
        assert "<script" not in out.read_text()
    out = tmp_path / "class.png"
    words = ["plot", "attention", str(made[1]), str(data), "--class", HOSTILE[2], "--out", str(out)]
    assert invoke(*words).exit_code == 0
    assert _drawn(out) > 0.1


def test_a_file_name_made_of_a_clip_name_is_harmless() -> None:
    assert style.file_name("../../etc/pass wd\0") == "etc-pass-wd"
    assert style.file_name("\u202e<>") == "clip"
    assert len(style.file_name("x" * 500)) == 80


def test_without_matplotlib_the_extra_is_named(
    made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    data, run = map(str, made)
    for words in (
        ["clip", data, "0"], ["curves", run], ["confusion", run], ["compare", run, run],
        ["embedding", run, data], ["attention", run, data, "0"],
    ):  # fmt: skip
        result = invoke("plot", *words)
        assert result.exit_code == 2
        assert result.stderr == (
            "Error: Pictures need matplotlib, which is not installed. Install it: pip install matplotlib\n"
        )


def test_mp4_without_ffmpeg_is_one_line(two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    result = invoke("plot", "clip", str(two), "0", "--out", str(tmp_path / "c.mp4"))
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: MP4 needs the program ffmpeg. Install it, or pip install imageio-ffmpeg, or write a .gif.\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_mp4_is_written_where_there_is_ffmpeg(two: Path, tmp_path: Path) -> None:
    from skeltools.plots.animation import ffmpeg

    try:
        ffmpeg()
    except SettingError as error:
        pytest.skip(str(error))
    out = tmp_path / "c.mp4"
    result = invoke("plot", "clip", str(two), "0", "--out", str(out))
    assert result.exit_code == 0, result.output
    assert out.read_bytes()[4:8] == b"ftyp"


def test_faults_are_one_line_and_leave_nothing(made: tuple[Path, Path], tmp_path: Path) -> None:
    data, run = map(str, made)
    out = str(tmp_path / "o.png")
    there = tmp_path / "there.png"
    there.write_bytes(b"mine")
    for words, said in {
        ("clip", data, "S001C001P001R001A0011", "--out", out): "Did you mean 'S001C001P001R001A001'?",
        ("clip", data, "99", "--out", out): f"{data} has rows 0 to 31, not 99.",
        ("clip", data, "0", "--out", out, "--raw"): "Convert with --keep-raw",
        ("clip", data, "0", "--out", out, "--augment", "crop(0)"): "ratio of crop must be",
        ("clip", data, "0", "--out", out, "--view", "fornt"): "Did you mean 'front'?",
        ("clip", data, "0", "--out", out + ".bmp"): "give a name that ends in .gif, .mp4, .png, .svg, .pdf.",
        ("clip", data, "0", "--out", str(there)): f"{there} already exists. Use --replace to write it again.",
        ("clip", data, "0", "--out", str(tmp_path / "no" / "o.png")): "does not exist, so o.png cannot",
        ("attention", run, data, "--class", "thrwo", "--out", out): "has no class 'thrwo'. Did you mean",
        ("attention", run, data, "--class", "40", "--out", out): "has no clip of class 'sneeze/cough' here",
        ("embedding", run, data, "--split", "xset", "--out", out): "has no split 'xset'",
        ("curves", str(tmp_path), "--out", out): "is not a run folder",
        ("confusion", run, "--protocol", "knn", "--out", out): "has no knn result",
    }.items():
        result = invoke("plot", *words)
        assert result.exit_code == 2, words
        assert said in result.stderr, result.stderr
        assert result.stderr.count("\n") == 1, result.stderr
    assert list(tmp_path.iterdir()) == [there]
    assert there.read_bytes() == b"mine"


@pytest.mark.parametrize("option", ["--azimuth", "--elevation", "--rate"])
@pytest.mark.parametrize("kind", ["clip", "attention"])
def test_cameras_and_rates_that_are_no_finite_number_are_refused(
    made: tuple[Path, Path], tmp_path: Path, kind: str, option: str
) -> None:
    data, run = map(str, made)
    where = (data, "0") if kind == "clip" else (run, data, "0")
    for value in ("nan", "inf", "-inf", "1e300"):
        words = (*where, "--out", str(tmp_path / "o.gif"), option, value)
        result = invoke("plot", kind, *words)
        assert result.exit_code == 2, result.output
        assert f"Invalid value for '{option}': " in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_seed_that_t_sne_does_not_take_is_refused(made: tuple[Path, Path], tmp_path: Path) -> None:
    data, run = map(str, made)
    result = invoke("plot", "embedding", run, data, "--seed", str(2**32), "--out", str(tmp_path / "o.png"))
    assert result.exit_code == 2, result.output
    assert f"{2**32} is not in the range 0<=x<=4294967295." in result.stderr
    points = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    assert embedding.project(points, "tsne", 2**32 - 1).shape == (12, 2)
    with pytest.raises(SettingError, match=r"^--seed must be a whole number from 0 to 4294967295, not 429"):
        embedding.project(points, "tsne", 2**32)


def test_corrupted_clips_stand_beside(two: Path) -> None:
    with ClipFile(two) as file:
        shown = clips.panels(file, 0, corruptions=["part(left arm)", "camera(0)"])
        stored = file.clips([0])[0]
    assert [panel.title for panel in shown][1:] == ["part(left arm)", "camera(0)"]
    left = list(load("kinect2").parts["left arm"])
    one_body = stored[..., :1]
    assert not shown[1].clip[:, :, left, 0].any()
    np.testing.assert_array_equal(shown[2].clip[..., :1], shown[0].clip[..., :1])
    assert one_body[:, :, left].any()
