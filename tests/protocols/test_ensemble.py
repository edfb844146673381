"""Ensembles of recorded scores: arithmetic by hand, joining by name, weights that never see the test set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from protocol_stubs import MemoryFile, settings, task
from recorded import BASE

from skeltools.errors import RunError, SettingError
from skeltools.protocols import ensemble
from skeltools.protocols.running import registry
from skeltools.protocols.running.subjects import Subject
from skeltools.protocols.running.task import Task
from skeltools.results import record as results
from skeltools.results.record import Record, Side

STREAMS = ("joint", "motion", "bone")


def test_the_sum_is_weighted_by_hand() -> None:
    scores = {
        "joint": np.array([[1.0, 0.0, 2.0]], np.float32),
        "bone": np.array([[0.0, 4.0, 0.0]], np.float32),
        "motion": np.array([[2.0, 2.0, 1.0]], np.float32),
    }
    got = ensemble.joined(scores, {"joint": 0.6, "bone": 0.6, "motion": 0.4})
    np.testing.assert_allclose(got, [[0.6 + 0.8, 2.4 + 0.8, 1.2 + 0.4]], rtol=1e-6)
    two = ensemble.joined(
        {key: scores[key] for key in ("joint", "bone")}, {"joint": 1.0, "bone": 0.2, "motion": 9}
    )
    np.testing.assert_allclose(two, [[1.0, 0.8, 2.0]], rtol=1e-6)


def _members(
    folder: Path, protocol: str = "linear", variant: str = "", file: Any = None, shuffle: bool = True
) -> tuple[Task, dict[str, Side]]:
    """An ensemble's task with one recorded result a stream, each in an order of its own."""
    file = file or MemoryFile()
    members, sides = {}, {}
    for place, stream in enumerate(STREAMS):
        member = task(file)
        member.stream, member.results_dir = stream, folder / stream
        order = np.random.default_rng(place).permutation(30) if shuffle else np.arange(30)
        rows = member.test_rows[order]
        draws = np.random.default_rng(100 + place)
        side = Side(
            scores=draws.normal(size=(30, 3)).astype(np.float32),
            labels=file.labels[rows],
            names=[file.names[row] for row in rows],
            classes=list(file.classes),
        )
        use = registry.get("linear").resolve({}, None, ("linear.epochs=5",))
        record = results.named(
            _record(
                protocol=protocol, variant=variant, stream=stream, data_digest=file.digest, test_clips=30,
                key=stream * 4, checkpoint_digest=member.encoder_digest, encoder=f"runs/{stream}",
                settings=dict(use.flat), **results.accuracies(side.scores, side.labels),
            )
        )  # fmt: skip
        results.write(record, folder / stream, side)
        members[stream], sides[stream] = member, side
    this = task(file)
    this.stream, this.members = "3s", members
    return this, sides


def _record(**changes: Any) -> Record:
    from dataclasses import replace

    return replace(BASE, **changes)


def test_results_are_joined_by_clip_name(tmp_path: Path) -> None:
    this, sides = _members(tmp_path)
    use = settings("ensemble", 'ensemble.weights=["equal","aimclr"]')
    assert ensemble.Ensemble().skip(this, use) is None
    outcomes = ensemble.Ensemble().run(this, use)
    assert [outcome.variant for outcome in outcomes] == ["linear equal", "linear aimclr"]
    for row, place in ((0, 7), (29, 0)):
        name = this.file.names[this.test_rows[place]]
        expected = sum(0.5 * side.scores[side.names.index(name)] for side in sides.values())
        np.testing.assert_allclose(outcomes[0].scores[place], expected, rtol=1e-5)
        assert row < 30
    assert ensemble.Ensemble().identity(this, use) == [stream * 4 for stream in STREAMS]


def test_a_stream_that_lacks_a_result_is_named(tmp_path: Path) -> None:
    this, _ = _members(tmp_path)
    for path in (tmp_path / "bone").iterdir():
        path.unlink()
    assert ensemble.Ensemble().skip(this, settings("ensemble")) == (
        "test has no linear result of 'pretrained' with seed 0 to join. Make it: skeltools eval test "
        "--protocol linear"
    )


@pytest.mark.parametrize("change", ["seed", "encoder", "data", "limit", "subject"])
def test_results_of_something_else_are_not_joined(tmp_path: Path, change: str) -> None:
    this, _ = _members(tmp_path)
    member = this.members["motion"]
    if change == "seed":
        member.seed = 1
    elif change == "encoder":
        member.subject = Subject(results.PRETRAINED, "test", lambda device: torch.nn.Linear(1, 1))
        for name in ("encoder_digest", "_frozen"):
            del member.__dict__[name]
    elif change == "data":
        member.file = MemoryFile(seed=4)  # type: ignore[assignment]
    elif change == "limit":
        member.limit = 5
    else:
        member.subject = Subject(results.RANDOM, "test", member.subject.build)
    assert ensemble.Ensemble().skip(this, settings("ensemble")) is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("name", "The motion result of runs/motion is not of the same clips: 'clip1' is in one only."),
        ("label", "The motion result of runs/motion has other classes or labels than the other streams'."),
    ],
)
def test_results_that_do_not_fit_are_refused(tmp_path: Path, change: str, message: str) -> None:
    this, sides = _members(tmp_path)
    (record,) = results.read_all(tmp_path / "motion")
    side = sides["motion"]
    if change == "name":
        side.names[side.names.index("clip1")] = "other"
    else:
        side.labels[0] = (side.labels[0] + 1) % 3
    record = replace(record, **results.accuracies(side.scores, side.labels))
    results.write(record, tmp_path / "motion", side)
    with pytest.raises(RunError) as caught:
        ensemble.Ensemble().run(this, settings("ensemble"))
    assert message in str(caught.value)


def test_weights_have_the_published_values() -> None:
    table = settings("ensemble").table
    assert vars(table) == {
        "equal": (0.5, 0.5, 0.5),
        "skeattnclr_xsub": (0.5, 0.5, 0.4),
        "skeattnclr_xview": (1.0, 0.2, 0.2),
        "aimclr": (0.6, 0.6, 0.4),
    }
    assert settings("ensemble").weights == ("equal",)


def test_wrong_weights_are_told(tmp_path: Path) -> None:
    this, _ = _members(tmp_path)
    assert ensemble.Ensemble().skip(this, settings("ensemble", 'ensemble.weights=["equl"]')) == (
        "unknown ensemble weights 'equl'. Choose from: equal, skeattnclr_xsub, skeattnclr_xview, aimclr, "
        "held_out. Did you mean 'equal'?"
    )
    with pytest.raises(
        SettingError, match=r"^ensemble\.table\.equal must be three numbers, for joint, bone and motion\.$"
    ):
        settings("ensemble", "ensemble.table.equal=[1,2]")


def test_the_held_out_choice_never_sees_a_test_clip(tmp_path: Path) -> None:
    use = settings("ensemble", 'ensemble.weights=["held_out"]')
    notes = []
    for spoil in (False, True):
        file: Any = MemoryFile()
        this, _ = _members(tmp_path / str(spoil), file=file, shuffle=False)
        for member in this.members.values():
            train, test = member.features
            member.__dict__["features"] = (train, test * float("nan") if spoil else test)
        notes.append(ensemble.Ensemble().run(this, use)[0].notes)
    assert notes[0] == notes[1]
    assert "chosen on held-out training clips" in notes[0][0]


def test_the_held_out_choice_is_of_clips_its_classifiers_did_not_train_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def watched(*args: Any, **options: Any) -> Any:
        sizes.append((len(args[2]), len(args[3])))
        kept = {tuple(row.tolist()) for row in args[0]}
        assert len(kept) == 27
        assert not kept & {tuple(row.tolist()) for row in args[1]()}
        return SimpleNamespace(scores=torch.eye(3)[args[3]])

    monkeypatch.setattr(ensemble, "fit_layer", watched)
    this, _ = _members(tmp_path)
    ensemble.Ensemble().run(this, settings("ensemble", 'ensemble.weights=["held_out"]'))
    assert sizes == [(27, 3)] * 3
