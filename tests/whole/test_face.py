"""What a session of Python shows of the package: its names, its help, short reprs, one sentence for a wrong type."""

from __future__ import annotations

import contextlib
import inspect
import io
import pydoc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from plotting import make_run

import skeltools
from skeltools.convert import pipeline
from skeltools.errors import SkeltoolsError, WrongTypeError
from skeltools.results import record as results

FACE = [
    "ClipDataset", "ClipFile", "Clips", "Run", "__version__", "convert", "evaluate", "open_clips", "pretrain",
]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_run(tmp_path_factory)


def test_dir_shows_the_public_face_and_every_name_of_it_is_there_with_an_example() -> None:
    assert dir(skeltools) == FACE
    for name in FACE:
        assert getattr(skeltools, name) is not None
    text = skeltools.__doc__ or ""
    assert [name for name in FACE if name not in text and name != "__version__"] == [
        "Clips"
    ] or "Clips" in text
    for line in ("skeltools.convert(", "skeltools.pretrain(", "skeltools.evaluate(", "skeltools.open_clips("):
        assert line in text


def test_help_tells_each_name_and_how_it_is_called() -> None:
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        pydoc.Helper(output=told)(skeltools)
    text = told.getvalue()
    for name in ("ClipDataset", "ClipFile", "Run", "evaluate(", "open_clips(", "pretrain("):
        assert name in text
    assert 'skeltools.convert("ntu60", "raw/", "ntu60.h5")' in text
    assert list(inspect.signature(skeltools.convert).parameters)[:3] == ["dataset", "source", "out"]  # type: ignore[arg-type]
    assert skeltools.convert.pipeline is pipeline


def test_reprs_are_one_short_line(made: tuple[Path, Path]) -> None:
    data, run = made
    train, _ = skeltools.open_clips(data, "xsub")
    record = results.read_all(run / "results")[0]
    with skeltools.ClipFile(data) as file:
        found = repr(file)
    assert found == f"<ClipFile {data}: 32 clips of ntu60, 16 frames, kinect2, splits xsub, xview>"
    assert repr(file) == f"<ClipFile {data}, closed>"
    assert repr(train) == "<Clips: 20 clips, x float32 (20, 3, 16, 25, 2)>"
    assert repr(skeltools.ClipDataset(data, "xsub", stream="bone")) == f"<ClipDataset {data}: 20 clips, bone>"
    assert repr(
        skeltools.Run.open(run)
    ) == f"<Run {run}: SkeAttnCLR, ntu60 xsub joint, seed 0, 2 epochs>".replace(
        "SkeAttnCLR", skeltools.Run.open(run).recipe
    )
    assert repr(record) == (
        f"<Record joint linear, {record.subject}, ntu60 xsub, seed 0: top-1 {100 * record.top1:.1f} % of 12 clips>"
    )
    assert repr(record.side()) == f"<Side: scores of 12 clips, {record.num_classes} classes>"


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: skeltools.ClipFile(3), "path must be a path, a str or pathlib.Path, not int."),  # type: ignore[arg-type]
        (lambda: skeltools.open_clips(None, "xsub"), "path must be a path, a str or pathlib.Path, not None."),  # type: ignore[arg-type]
        (
            lambda: skeltools.ClipDataset("x.h5", "xsub", transform=3),  # type: ignore[arg-type]
            "transform must be callable or None, not int.",
        ),
        (lambda: skeltools.Run.open(["a"]), "path must be a path, a str or pathlib.Path, not list."),
        (
            lambda: skeltools.convert("ntu60", 5, "x.h5"),
            "source must be a path, a str or pathlib.Path, not int.",
        ),
        (
            lambda: skeltools.convert("ntu60", ["raw", 5], "x.h5"),
            "source must be a path, a str or pathlib.Path, not int.",
        ),
        (lambda: skeltools.pretrain("x.h5", 1, "joint", "run"), "split must be a str, not int."),
        (
            lambda: skeltools.evaluate(3),
            "subject must be a run folder, an encoder or its factory, not int.",
        ),
        (lambda: skeltools.evaluate("run", 3), "protocol must be a str, not int."),
    ],
)
def test_a_wrong_type_gets_one_sentence(call: Callable[[], Any], told: str, tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path), pytest.raises(WrongTypeError) as caught:
        call()
    assert str(caught.value) == told
    assert isinstance(caught.value, (SkeltoolsError, TypeError))
    assert not list(tmp_path.iterdir())


def test_converting_and_pretraining_from_python(made: tuple[Path, Path], tmp_path: Path) -> None:
    summary = skeltools.convert("ntu60", made[0].parent / "raw", tmp_path / "x.h5", frames=16)  # type: ignore[operator]
    assert summary.clips == 32
    run = skeltools.pretrain(
        tmp_path / "x.h5", "xsub", "joint", tmp_path / "run", recipe="demo-bigru", epochs=1, batch_size=8,
        settings={"queue.size": 16}, device="cpu",
    )  # fmt: skip
    assert (run.epoch, run.settings.train.epochs, run.flat["queue.size"]) == (1, 1, 16)
