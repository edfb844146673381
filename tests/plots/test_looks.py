"""Width, dots per inch and size of the text of pictures; several runs in one plot; variances of components."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from plotting import invoke, make_run

from skeltools.analysis import embedding
from skeltools.errors import DataError
from skeltools.plots import style
from skeltools.runs import log as runlog

Image = pytest.importorskip("PIL.Image", reason="the extra 'plot' is not installed")
pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_run(tmp_path_factory)


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        found: tuple[int, int] = picture.size
    return found


def test_width_and_dots_per_inch_are_those_asked_for(made: tuple[Path, Path], tmp_path: Path) -> None:
    words = ["plot", "curves", str(made[1]), "--out"]
    for name, more in (("plain", []), ("paper", ["--width", "3.5", "--dpi", "300"])):
        result = invoke(*words, str(tmp_path / f"{name}.png"), *more)
        assert result.exit_code == 0, result.output
    wide, high = size(tmp_path / "plain.png")
    assert wide == 7 * style.DPI
    assert size(tmp_path / "paper.png") == (1050, round(high / wide * 1050))


@pytest.mark.parametrize(
    "words",
    [
        ["confusion", "RUN"],
        ["embedding", "RUN", "DATA", "--method", "pca"],
        ["attention", "RUN", "DATA", "0"],
    ],
)
def test_every_picture_takes_a_width(made: tuple[Path, Path], tmp_path: Path, words: list[str]) -> None:
    named = {"DATA": str(made[0]), "RUN": str(made[1])}
    out = tmp_path / "o.png"
    result = invoke(
        "plot", *(named.get(word, word) for word in words), "--out", str(out), "--width", "4", "--dpi", "50"
    )
    assert result.exit_code == 0, result.output
    assert size(out)[0] == 200


def test_the_size_of_the_text_scales_every_text() -> None:
    from skeltools.plots import curves

    log = runlog.Curves(
        np.arange(1, 9),
        np.repeat([1, 2], 4),
        {"loss": np.ones(8), "lr": np.ones(8)},
        np.array([4]),
        np.array([0.5]),
    )

    def sizes(look: style.Look) -> list[float]:
        with style.styled(look):
            figure = curves.draw(log, "title")
            axes = figure.axes[0]
            texts = [
                figure._suptitle,
                axes.yaxis.label,
                axes.get_yticklabels()[0],
                *axes.get_legend().get_texts(),
            ]
            return [text.get_fontsize() for text in texts]

    plain = sizes(style.Look())
    assert plain[:2] == [11, 9]
    np.testing.assert_allclose(sizes(style.Look(font=18)), 2 * np.array(plain))
    assert sizes(style.Look()) == plain


def test_what_is_no_width_is_told(made: tuple[Path, Path], tmp_path: Path) -> None:
    for words in (["--width", "0"], ["--width", "nan"], ["--dpi", "6000"], ["--font-size", "1"]):
        result = invoke("plot", "curves", str(made[1]), "--out", str(tmp_path / "o.png"), *words)
        assert result.exit_code == 2
        assert words[0] in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_curves_of_several_runs_stand_in_one_plot(made: tuple[Path, Path], tmp_path: Path) -> None:
    from skeltools.plots import curves

    found = runlog.read(made[1] / "log.jsonl")
    other = runlog.Curves(
        found.steps, found.epochs, {"loss": found.values["loss"] + 1}, np.array([], np.int64), np.array([])
    )
    with style.styled():
        figure = curves.together([("runs/a", found), ("runs/b", other)])
    loss, rate, monitor = figure.axes
    drawn = {line.get_label(): line for line in loss.get_lines()}
    assert list(drawn) == ["runs/a", "runs/b"]
    np.testing.assert_array_equal(drawn["runs/b"].get_ydata(), found.values["loss"] + 1)
    assert drawn["runs/a"].get_color() != drawn["runs/b"].get_color()
    assert len(rate.get_lines()) == len(monitor.get_lines()) == 1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["runs/a", "runs/b"]
    out = tmp_path / "o.svg"
    run = str(made[1])
    result = invoke("plot", "curves", run, run, "--out", str(out), "--font-size", "7")
    assert (result.exit_code, result.stdout.strip()) == (0, str(out))
    assert out.stat().st_size > 1000


def test_axes_of_components_say_how_much_of_the_variance_they_hold() -> None:
    from skeltools.plots import embedding as drawing

    draws = np.random.default_rng(0)
    common = draws.normal(size=(40, 1))
    features = np.concatenate(
        [common + 0.01 * draws.normal(size=(40, 3)), draws.normal(size=(40, 1))], axis=1
    )
    shares = embedding.explained(features.astype(np.float32))
    assert shares == pytest.approx((0.75, 0.25), abs=0.05)
    with style.styled():
        points = embedding.project(features.astype(np.float32), "pca")
        figure = drawing.draw(points, np.zeros(40, np.int64), ["a"], "title", "pca", shares)
    axes = figure.axes[0]
    assert axes.get_xlabel() == f"component 1 ({100 * shares[0]:.1f} % of the variance)"
    assert axes.get_ylabel() == f"component 2 ({100 * shares[1]:.1f} % of the variance)"
    assert embedding.explained(np.ones((4, 1), np.float32)) == (0.0, 0.0)
    with pytest.raises(DataError):
        embedding.explained(np.ones((2, 1), np.float32))


def test_only_vectors_are_free_of_dots(made: tuple[Path, Path], tmp_path: Path) -> None:
    """The same picture in vectors has the width in its header: points, 72 to the inch."""
    out = tmp_path / "o.svg"
    assert invoke("plot", "curves", str(made[1]), "--out", str(out), "--width", "5").exit_code == 0
    assert 'width="360pt"' in out.read_text()[:2000]
