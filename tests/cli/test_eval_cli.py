"""Evaluation from the command line, on synthetic files, their conversion and three short runs."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from clipfiles import altered

from skeltools.cli.main import main
from skeltools.store import ClipFile
from skeltools.store.writer import seal

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
TINY = (
    "--set",
    "model.width=4",
    "--set",
    "model.dim=16",
    "--set",
    "model.heads=4",
    "--set",
    "queue.size=32",
    "--set",
    "train.lr=1e-6",
)
SHORT = ("finetune", "semi1", "semi10", "linear")


def _run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="skeltools")


def _ok(*words: object) -> str:
    result = _run(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def _error(*words: object) -> str:
    result = _run(*words)
    assert result.exit_code == 2, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1
    return lines[0].removeprefix("Error: ")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ntu60.h5, pku2.h5 and short runs of three streams on the former."""
    folder = tmp_path_factory.mktemp("eval")
    _ok("synth", "ntu60", folder / "raw", "--clips", 40)
    _ok("convert", "ntu60", folder / "raw", folder / "ntu60.h5")
    _ok("synth", "pku2", folder / "raw_pku", "--clips", 24)
    _ok("convert", "pku2", folder / "raw_pku", folder / "pku2.h5")
    for name, stream, seed in (("joint", "joint", 0), ("motion", "motion", 0), ("bone", "bone", 0)):
        _ok(
            "pretrain", folder / "ntu60.h5", "--split", "xsub", "--stream", stream, "--seed", seed,
            "--out", folder / "runs" / name, "--epochs", 1, "--batch-size", 8, *TINY,
        )  # fmt: skip
    return folder


def _records(out: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(out)
    return found


@pytest.fixture(scope="module")
def everything(place: Path) -> list[dict[str, Any]]:
    """Records of every protocol and subject on all three runs."""
    out = _ok(
        "eval", place / "runs", "--protocol", "all", "--epochs", 2, "--set", "knn.k=[1,5]", "--target",
        place / "pku2.h5", "--streams", "joint,motion,bone", "--json",
    )  # fmt: skip
    return _records(out)


def test_all_runs_whatever_applies_to_every_subject(everything: list[dict[str, Any]]) -> None:
    frozen = {"pretrained", "random", "random, standardised", "raw coordinates"}
    trained = {"pretrained", "random"}
    expected = {
        "linear": frozen, "knn": frozen, "retrieval": frozen, "finetune": trained | {"supervised"},
        "semi1": trained, "semi10": trained, "transfer": frozen, "ensemble": frozen | {"supervised"},
    }  # fmt: skip
    found: dict[str, set[str]] = {}
    for record in everything:
        found.setdefault(record["protocol"], set()).add(record["subject"])
    assert found == expected
    streams = {record["stream"] for record in everything if record["protocol"] != "ensemble"}
    assert streams == {"joint", "motion", "bone"}
    assert {record["stream"] for record in everything if record["protocol"] == "ensemble"} == {"3s"}
    assert {record["dataset"] for record in everything if record["protocol"] == "transfer"} == {"pku2"}
    assert {record["num_classes"] for record in everything if record["protocol"] == "transfer"} == {51}


def test_records_say_what_was_done(place: Path, everything: list[dict[str, Any]]) -> None:
    by = {(r["protocol"], r["variant"], r["subject"], r["stream"]): r for r in everything}
    semi = by["semi10", "eval", "pretrained", "joint"]
    assert semi["settings"]["semi10.percent"] == 10.0
    assert semi["settings"]["semi10.epochs"] == 2
    assert semi["origin"]["semi10.epochs"] == "option"
    assert semi["origin"]["semi10.lr"] == "recipe semi10 (dataset ntu60, split xsub, stream joint)"
    assert sum(semi["train_per_class"]) == semi["train_clips"]
    assert min(count for count in semi["train_per_class"] if count) >= 1
    supervised = by["finetune", "train", "supervised", "bone"]
    assert supervised["settings"]["finetune.mode"] == "train"
    assert supervised["settings"]["finetune.lr"] == 0.1
    assert supervised["epoch"] is None
    transfer = by["transfer", "finetune eval", "pretrained", "motion"]
    assert transfer["notes"] == [
        "transfer: no published row for target pku2 xsub motion; the recipe takes NTU-60 xsub joint's values."
    ]
    pretrained = by["linear", "", "pretrained", "joint"]
    assert pretrained["epoch"] == 1
    assert pretrained["pretrain_settings"]["model.width"] == 4
    assert pretrained["preparation"]["chain.bodies"] == "first"
    assert pretrained["frames"] == 64
    assert by["linear", "", "random", "joint"]["pretrain_seed"] is None
    assert 0 < by["retrieval", "", "pretrained", "joint"]["metrics"]["map"] <= 1
    assert (
        by["knn", "k=1", "pretrained", "joint"]["top1"] == by["retrieval", "", "pretrained", "joint"]["top1"]
    )


def test_all_again_computes_nothing(place: Path, everything: list[dict[str, Any]]) -> None:
    result = _run(
        "eval", place / "runs", "--protocol", "all", "--epochs", 2, "--set", "knn.k=[1,5]", "--target",
        place / "pku2.h5", "--streams", "joint,motion,bone", "--json",
    )  # fmt: skip
    key = ("key", "variant", "subject", "created")
    again = {tuple(record[name] for name in key) for record in _records(result.stdout)}
    assert again == {tuple(record[name] for name in key) for record in everything}
    assert "Recorded already" in result.stderr
    assert "oneshot: one-shot exemplars are defined for ntu120, not for ntu60." in result.stderr


def test_the_report_fits_eighty_columns_and_every_form_works(
    place: Path, everything: list[dict[str, Any]]
) -> None:
    out = _ok("report", place / "runs", "--published", "--per-class", "--confusions", 3)
    tables = [
        line for line in out.splitlines() if "─" not in line and not line.startswith(("Warning", "Note"))
    ]
    wide = [line.rstrip() for line in tables if len(line.rstrip()) > 100]
    assert wide == []
    ours = out[: out.index("Published numbers beside")]
    assert max(len(line.rstrip()) for line in ours.splitlines()) <= 80
    for words in ("SkeAttnCLR", "AimCLR", "standardised", "most frequent confusions", "top-1 in % by class"):
        assert words in out
    latex = _ok("report", place / "runs", "--format", "latex")
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") >= 5
    assert "| --- |" in _ok("report", place / "runs", "--format", "markdown")
    lines = list(csv.DictReader(io.StringIO(_ok("report", place / "runs", "--format", "csv"))))
    assert {line["protocol"] for line in lines} == {record["protocol"] for record in everything}
    assert len(_records(_ok("report", place / "runs", "--format", "json"))) == len(everything)


def test_seeds_share_rows_and_the_encoder_runs_once(place: Path) -> None:
    home = place / "seeds"
    words = (
        "eval",
        place / "runs" / "joint",
        "--protocol",
        "linear",
        "--out",
        home,
        "--set",
        "linear.epochs=3",
    )
    found = _records(_ok(*words, "--seeds", 3, "--json"))
    assert [record["seed"] for record in found] == [0, 1, 2]
    assert [record["features"] for record in found] == ["computed", "cached", "cached"]
    assert len(list((home / "results" / "cache").iterdir())) == 2
    again = _records(_ok(*words, "--json"))
    assert again[0]["features"] == "cached"
    assert again[0]["top1"] == found[0]["top1"]
    assert again[0]["key"] == found[0]["key"]
    assert len(list((home / "results").glob("*.json"))) == 3
    table = _ok("report", home)
    assert "seeds 0-2" in table
    assert "set by hand: linear epochs 3" in table


def test_all_goes_on_after_a_loss_that_is_not_finite(place: Path) -> None:
    result = _run(
        "eval", place / "runs" / "joint", "--protocol", "all", "--init", "pretrained", "--out",
        place / "diverged", "--set", "linear.lr=2e9", "--set", "linear.weight_decay=2e9",
        "--set", "linear.epochs=20", "--set", "knn.k=[1]",
        *(word for name in ("finetune", "semi1", "semi10") for word in ("--set", f"{name}.epochs=1")),
    )  # fmt: skip
    assert result.exit_code == 0
    assert "Left out: linear: " in result.stderr
    assert "The loss of the linear classifier is not finite" in result.stderr
    found = {record["protocol"] for record in _records(_ok("report", place / "diverged", "--json"))}
    assert found == {"knn", "retrieval", "finetune", "semi1", "semi10"}
    assert "The loss of the linear classifier is not finite in epoch" in _error(
        "eval", place / "runs" / "joint", "--protocol", "linear", "--out", place / "diverged",
        "--set", "linear.lr=2e9", "--set", "linear.weight_decay=2e9",
    )  # fmt: skip


def test_a_partial_run_says_so_everywhere(place: Path) -> None:
    home = place / "partial"
    words = ("eval", place / "runs" / "joint", "--protocol", "knn", "--set", "knn.k=[1]", "--out", home)
    assert "PARTIAL, at most 9 clips per side" in _ok(*words, "--limit", 9)
    (record,) = _records(_ok("report", home, "--json"))
    assert (record["partial"], record["limit"], record["train_clips"], record["test_clips"]) == (
        True,
        9,
        9,
        9,
    )
    assert any("partial" in path.name for path in (home / "results").glob("*.json"))
    _ok(*words)
    assert len(_records(_ok("report", home, "--json"))) == 2
    assert "PARTIAL" in _ok("compare", next((home / "results").glob("*partial*.json")), *[
        next((home / "results").glob("*partial*.json"))
    ])  # fmt: skip


def test_variants_are_kept_beside_one_another(place: Path) -> None:
    home = place / "variants"
    words = ("eval", place / "runs" / "joint", "--protocol", "linear", "--out", home, "--epochs", 2)
    for recipe in ("linear", "linear-b1024", "linear-bn"):
        _ok(*words, "--recipe", recipe)
    assert {record["variant"] for record in _records(_ok("report", home, "--json"))} == {"", "b1024", "bn"}


def test_compare_tests_the_same_clips(place: Path, everything: list[dict[str, Any]]) -> None:
    run = place / "runs" / "joint"
    found = json.loads(
        _ok("compare", f"{run}@random", run, "--protocol", "knn", "--variant", "k=1", "--json")
    )
    by = {(r["protocol"], r["variant"], r["subject"], r["stream"]): r for r in everything}
    assert found["a"] == pytest.approx(by["knn", "k=1", "random", "joint"]["top1"])
    assert found["b"] == pytest.approx(by["knn", "k=1", "pretrained", "joint"]["top1"])
    test = found["tests"][0]
    assert test["only_b"] - test["only_a"] == round((found["b"] - found["a"]) * found["clips"])
    assert found["low"] <= found["b"] - found["a"] <= found["high"]
    assert sum(row[1] for row in found["classes"]) == found["clips"]
    text = _ok("compare", f"{run}@random", run)
    assert "McNemar's exact test on the same clips" in text


def test_features_are_those_of_the_encoder(place: Path) -> None:
    out = place / "f.npz"
    _ok("features", place / "runs" / "joint", place / "ntu60.h5", "--out", out)
    from skeltools.runs.folder import Run
    from skeltools.store import ClipFile

    with np.load(out, allow_pickle=False) as found, ClipFile(place / "ntu60.h5") as file:
        encoder = Run.open(place / "runs" / "joint").load_encoder("cpu")
        with torch.no_grad():
            expected = encoder(torch.from_numpy(file.clips([5])))
        np.testing.assert_allclose(found["features"][5], expected[0], rtol=1e-4, atol=1e-6)
        assert found["names"].tolist() == file.names
        np.testing.assert_array_equal(found["xsub_train"], file.rows("xsub", "train"))
    assert "already exists. Use --replace to write it again." in _error(
        "features", place / "runs" / "joint", place / "ntu60.h5", "--out", out
    )
    assert "Give a name that ends so." in _error(
        "features", place / "runs" / "joint", place / "ntu60.h5", "--out", place / "f.txt"
    )


def test_predict_gives_the_scores_of_the_recorded_classifier(
    place: Path, everything: list[dict[str, Any]]
) -> None:
    run = place / "runs" / "joint"
    (record,) = [
        record
        for record in everything
        if (record["protocol"], record["subject"], record["stream"]) == ("linear", "pretrained", "joint")
    ]
    with np.load(run / "results" / record["scores"]) as side:
        name, scores, classes = str(side["names"][3]), side["scores"][3], side["classes"].tolist()
    raw = next((place / "raw").rglob(f"{name}.skeleton"))
    (found,) = json.loads(_ok("predict", run, raw, "--json"))
    expected = torch.from_numpy(scores).softmax(dim=0)
    assert found["classes"][0] == classes[int(expected.argmax())]
    assert found["scores"] == pytest.approx(expected.sort(descending=True).values[:5].tolist(), abs=1e-5)
    assert "score" in _ok("predict", run, raw, "--top", 2)


def test_data_that_were_moved_are_asked_for(place: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(place / "runs" / "joint", run, ignore=shutil.ignore_patterns("results"))
    note = json.loads((run / "run.json").read_text())
    data, note["data"] = note["data"], str(tmp_path / "gone.h5")
    (run / "run.json").write_text(json.dumps(note))
    assert _error("eval", run, "--protocol", "linear", "--epochs", 1) == (
        f"{run} needs the data it was pretrained on, and {tmp_path / 'gone.h5'} does not exist. If the file "
        "was moved, give its new place: --data FILE"
    )
    _ok("eval", run, "--protocol", "linear", "--epochs", 1, "--data", data)


def test_predict_says_what_it_lacks(place: Path, tmp_path: Path) -> None:
    run = tmp_path / "fresh"
    shutil.copytree(place / "runs" / "joint", run, ignore=shutil.ignore_patterns("results"))
    raw = next((place / "raw").rglob("*.skeleton"))
    assert _error("predict", run, raw) == (
        f"{run} has no recorded classifier of its last checkpoint. Make one: "
        f"skeltools eval {run} --protocol linear"
    )
    _ok("eval", run, "--protocol", "linear", "--epochs", 1)
    cut = tmp_path / "cut.skeleton"
    cut.write_bytes(raw.read_bytes()[:500])
    assert str(cut) in _error("predict", run, cut)
    assert _error("predict", run, tmp_path / "none.skeleton") == (
        f"{tmp_path / 'none.skeleton'}: the file does not exist"
    )
    (side,) = (run / "results").glob("linear*.npz")
    with np.load(side) as content:
        arrays = {key: content[key] for key in content.files}
    np.savez(side, **{**arrays, "classes": arrays["classes"][:9]})
    assert "the classifier has 60 outputs for 9 classes. Run the protocol again." in _error(
        "predict", run, raw
    )
    np.savez(side, **{**arrays, "weight": arrays["weight"][:, :5]})
    assert "takes features of 5 numbers, the encoder gives 16." in _error("predict", run, raw)
    assert _error("predict", run, place / "ntu60.h5") == (
        f"{place / 'ntu60.h5'} is a file that skeltools converted. Its clips are prepared; a protocol's record holds "
        "their scores. Give a recording."
    )


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of somebody with an encoder and its weights."""
    shutil.copy(EXAMPLES / "encoder.py", tmp_path / "encoder.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "encoder", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    import encoder

    torch.manual_seed(9)
    torch.save(encoder.build().state_dict(), tmp_path / "weights.pt")
    monkeypatch.delitem(sys.modules, "encoder", raising=False)
    return tmp_path


def test_oneshot_runs_on_synthetic_clips(example: Path) -> None:
    _ok("synth", "ntu120", "raw", "--clips", 160, "--frames", 12, 12, "--workers", 1)
    _ok("convert", "ntu120", "raw", "ntu120.h5", "--frames", 12, "--workers", 1)
    words = ("eval", "--encoder", "encoder:build", "--data", "ntu120.h5", "--protocol", "oneshot")
    (random,) = _records(_ok(*words, "--init", "random", "--json"))
    (raw,) = _records(_ok(*words, "--baseline", "raw", "--json"))
    for record in (random, raw):
        assert (record["protocol"], record["dataset"]) == ("oneshot", "ntu120")
        assert record["train_clips"] == 20
        assert sum(record["train_per_class"]) == 20
        assert record["train_per_class"][:120:6] == [1] * 20
        assert record["test_clips"] >= 40
        assert 0 <= record["metrics"]["map"] <= 1
    assert raw["top1"] > 0.15  # chance is 0.05
    assert "oneshot" in _ok("report", "evaluations/encoder.build")


def test_the_example_encoder_is_short() -> None:
    assert len((EXAMPLES / "encoder.py").read_text().splitlines()) < 30


def test_every_protocol_runs_on_somebodys_encoder(place: Path, example: Path) -> None:
    out = _ok(
        "eval", "--encoder", "encoder:build", "--weights", "weights.pt", "--data", place / "ntu60.h5",
        "--protocol", "all", "--epochs", 1, "--set", "knn.k=[1]", "--streams", "joint,bone", "--target",
        place / "pku2.h5", "--json",
    )  # fmt: skip
    found = _records(out)
    assert {record["encoder"] for record in found if record["subject"] == "pretrained"} == {"encoder:build"}
    assert {record["protocol"] for record in found} == {
        "linear", "knn", "retrieval", "finetune", "semi1", "semi10", "transfer", "ensemble",
    }  # fmt: skip
    assert {record["stream"] for record in found if record["protocol"] == "ensemble"} == {"joint+bone"}
    assert (example / "evaluations" / "encoder.build" / "results").is_dir()
    assert "standardised" in _ok("report", "evaluations/encoder.build")


def test_the_same_from_python(place: Path, example: Path) -> None:
    from skeltools.protocols import evaluate

    words: dict[str, Any] = {"data": place / "ntu60.h5", "settings": {"linear.epochs": 2}, "device": "cpu"}
    (named,) = evaluate("encoder:build", "linear", weights="weights.pt", **words)
    import encoder

    mine = encoder.build()
    mine.load_state_dict(torch.load("weights.pt", weights_only=True))
    (given,) = evaluate(mine, "linear", **words)
    assert (named.top1, named.checkpoint_digest) == (given.top1, given.checkpoint_digest)
    (untrained,) = evaluate(encoder.build, "linear", init="random", **words)
    assert untrained.checkpoint_digest != named.checkpoint_digest
    assert not Path("evaluations").exists()
    (kept,) = evaluate(mine, "linear", out="mine", **words)
    assert kept.folder == Path("mine/results")
    (run,) = evaluate(place / "runs" / "joint", "knn", settings={"knn.k": [3]}, out="other")
    assert (run.variant, run.split, run.pretrain_seed) == ("k=3", "xsub", 0)


def test_wrong_use_is_told_in_one_line(place: Path, example: Path, everything: list[dict[str, Any]]) -> None:
    run, data = place / "runs" / "joint", place / "ntu60.h5"
    assert "Choose one of: linear, knn" in _error("eval", run, "--protocol", "liner")
    assert "has no split 'xset': it has xsub, xview." in _error(
        "eval", run, "--protocol", "knn", "--split", "xset"
    )
    assert "neighbours asked for, but the bank holds" in _error(
        "eval", run, "--protocol", "knn", "--set", "knn.k=[1000]"
    )
    wide = torch.load("weights.pt", weights_only=True)
    wide["conv.weight"] = torch.zeros(64, 150, 5)
    torch.save(wide, "wide.pt")
    assert _error(
        "eval", "--encoder", "encoder:build", "--weights", "wide.pt", "--data", data, "--protocol", "knn"
    ) == (
        "wide.pt: 'conv.weight' has shape (64, 150, 5), the encoder's (32, 150, 5) (1 entries differ). Build "
        "the encoder with the width it was trained with."
    )
    assert "names no data of its own. Give the converted file: --data FILE" in _error(
        "eval", "--encoder", "encoder:build", "--protocol", "knn"
    )
    assert _error("eval", run, "--protocol", "oneshot") == (
        "One-shot exemplars are defined for ntu120, not for ntu60."
    )
    assert _error("eval", run, "--protocol", "transfer") == (
        "Transfer needs a target, another converted file. Give it: --target FILE."
    )
    assert "is the file the encoder was pretrained on" in _error(
        "eval", run, "--protocol", "transfer", "--target", data
    )
    assert "needs two or three streams" in _error("eval", run, "--protocol", "ensemble")
    assert "are both of stream joint and seed 0" in _error("eval", run, run, "--protocol", "ensemble")
    assert "is not an encoder to train" in _error("eval", run, "--protocol", "finetune", "--baseline", "raw")
    assert "Unknown setting 'liner.epochs' (--set). Did you mean 'linear.epochs'?" in _error(
        "eval", run, "--protocol", "all", "--set", "liner.epochs=3"
    )
    assert "No run of stream 'bone' among those given (joint)." in _error(
        "eval", run, "--protocol", "knn", "--streams", "bone"
    )
    assert "Give either RUN or --encoder" in _error("eval", "--protocol", "knn")
    assert "--recipe fits one protocol" in _error("eval", run, "--protocol", "all", "--recipe", "linear-bn")
    assert "is not a run folder and holds no results" in _error("report", example)
    assert "does not exist" in _error("report", example / "none")
    assert "has no finetune result" in _error(
        "compare", run, run, "--protocol", "finetune", "--variant", "odd"
    )


@pytest.mark.parametrize("fault", ["missing", "unlabelled", "beyond"])
def test_a_file_without_good_labels_is_told(place: Path, tmp_path: Path, fault: str) -> None:

    data = tmp_path / "labels.h5"
    shutil.copy(place / "ntu60.h5", data)
    if fault == "missing":
        with h5py.File(data, "r+") as file:
            del file["label"]
            seal(file)
    else:
        with altered(data) as file:
            file["label"][...] = -1 if fault == "unlabelled" else 60
    message = _error(
        "eval", place / "runs" / "joint", "--protocol", "knn", "--data", data, "--set", "knn.k=[1]"
    )
    assert {
        "missing": "object 'label' doesn't exist",
        "unlabelled": "is damaged (/label holds -1, of 60 classes). Convert the source again.",
        "beyond": "is damaged (/label holds 60, of 60 classes). Convert the source again.",
    }[fault] in message


def test_options_that_would_do_nothing_are_refused(place: Path) -> None:
    run = place / "runs" / "joint"
    for protocol in ("linear", "knn", "semi:5", "ensemble"):
        assert _error("eval", run, "--protocol", protocol, "--target", place / "pku2.h5") == (
            f"Protocol '{protocol}' evaluates on the file of the run alone, so it takes no --target; transfer does. "
            "Give the file to evaluate on as --data."
        )
    for protocol in ("linear", "all"):
        for init in ("random", "pretrained"):
            assert _error("eval", run, "--protocol", protocol, "--init", init, "--baseline", "raw") == (
                "--init and --baseline each name what is evaluated. Give one of them."
            )
    assert _error("eval", run, "--protocol", "knn", "--set", "knn.k=[]") == (
        "Setting 'knn.k' must be a list of one whole number or more, each at least 1, not []. "
        "Example: --set knn.k=[1,10]"
    )


def test_python_refuses_an_untrained_encoder_and_a_baseline_at_once(place: Path) -> None:
    from skeltools.errors import SettingError
    from skeltools.protocols import evaluate

    with pytest.raises(SettingError, match="Give one of them"):
        evaluate(place / "runs" / "joint", "knn", init="random", baseline="raw")


def test_a_message_keeps_the_names_it_begins_with(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    assert _error("eval", "runs/joint", "--protocol", "transfer", "--target", "ntu60.h5") == (
        "ntu60.h5 is the file the encoder was pretrained on. Give another: --target FILE."
    )
    shutil.copy("ntu60.h5", "plain")
    assert _error("eval", "runs/joint", "--protocol", "transfer", "--target", "plain").startswith("plain is")
    assert _error("eval", "runs/joint", "--protocol", "knn", "--set", "knn.k=[1000]").startswith("k = 1,000 ")
    assert _error("eval", "runs/joint", "--protocol", "ensemble").startswith("An ensemble needs")


@pytest.mark.parametrize("inside", ["", "below", "results"])
def test_an_out_that_is_a_file_is_told_before_the_work(place: Path, tmp_path: Path, inside: str) -> None:
    plain = tmp_path / "results" if inside == "results" else tmp_path / "plain"
    plain.write_text("")
    out = {"": plain, "below": plain / "below", "results": tmp_path}[inside]
    # The data is missing too; nothing was opened before the message.
    assert _error(
        "eval", place / "runs" / "joint", "--protocol", "linear", "--data", tmp_path / "none", "--out", out
    ) == (f"{plain} is a file. Choose another --out.")
    assert plain.read_text() == ""


def test_a_protocol_recipe_that_extends_one_of_pretraining_is_told(place: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "my.toml"
    recipe.write_text('extends = "skeattnclr"\n')
    message = _error("eval", place / "runs" / "joint", "--protocol", "linear", "--recipe", recipe)
    assert message.startswith(
        f"{recipe}: extends names 'skeattnclr', which is not a recipe that fits here. Choose one of: "
    )
    assert ", linear, " in message


def test_testing_on_clips_that_pretraining_saw_is_refused_or_said_everywhere(
    place: Path, tmp_path: Path
) -> None:
    home = tmp_path / "run"
    shutil.copytree(place / "runs" / "joint", home, ignore=shutil.ignore_patterns("results"))
    words = ("eval", home, "--protocol", "knn", "--set", "knn.k=[1]", "--split", "xview")
    told = _error(*words)
    assert told.startswith(f"Pretraining of {home} (ntu60 xsub) saw "), told
    assert "--allow-leak" in told
    assert not list(home.glob("results/*.json"))
    (record,) = _records(_ok(*words, "--allow-leak", "--json"))
    assert 0 < record["leak"] <= record["test_clips"]
    warning = f"LEAK, pretraining saw {record['leak']} test clips: ntu60 xview"
    _ok(*words, "--init", "random")
    for form in ("table", "markdown", "latex"):
        shown = _ok("report", home, "--format", form)
        assert warning in shown
        assert (
            len([line for line in shown.splitlines() if "ntu60 xview: knn" in line]) == 2
        )  # apart from the clean
    assert [row["leak"] for row in csv.DictReader(io.StringIO(_ok("report", home, "--format", "csv")))] == [
        "0", str(record["leak"]),
    ]  # fmt: skip
    (file,) = (home / "results").glob("*pretrained*.json")
    assert warning in _ok("compare", file, file)
    (other,) = (home / "results").glob("*random*.json")
    assert f"A: LEAK, pretraining saw {record['leak']} test clips: ntu60" in _ok("compare", file, other)
    _ok("page", home, "--out", tmp_path / "page.html")
    assert f"LEAK, pretraining saw {record['leak']} test clips" in (tmp_path / "page.html").read_text()
    left = _run("eval", home, "--protocol", "all", "--init", "pretrained", "--split", "xview", "--epochs", 1)
    assert left.exit_code == 2
    assert f"Left out: linear, retrieval, finetune, semi1, semi10: pretraining of {home}" in left.stderr
    assert "Error: Nothing was evaluated: every protocol was left out, for the reasons above." in left.stderr


def test_a_run_of_an_earlier_version_is_looked_up_in_its_data(place: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(place / "runs" / "joint", run, ignore=shutil.ignore_patterns("results"))
    words = ("eval", run, "--protocol", "knn", "--set", "knn.k=[1]", "--split", "xview")
    named = _error(*words)
    (run / "clips.npz").unlink()
    assert _error(*words) == named
    content = json.loads((run / "run.json").read_text())
    copy = shutil.copy(place / "ntu60.h5", tmp_path / "moved.h5")
    (run / "run.json").write_text(json.dumps(content | {"data": str(tmp_path / "gone.h5")}))
    (record,) = _records(_ok(*words, "--data", copy, "--json"))
    assert record["leak"] == 0
    assert any("is not known, nor whether test clips are among them" in note for note in record["notes"])


def test_verify_tells_what_two_files_share(place: Path, tmp_path: Path) -> None:
    _ok("convert", "ntu60", place / "raw", tmp_path / "short.h5", "--frames", 32)
    found = json.loads(_ok("verify", tmp_path / "short.h5", "--against", place / "ntu60.h5", "--json"))[
        "against"
    ]
    assert len(found["same"]["all"]["any"]) == 40
    assert {part: len(names) for part, names in found["same"]["xsub"].items()} == {
        part: len(names) for part, names in _sides(place / "ntu60.h5", "xsub").items()
    }
    assert (found["near"], found["notes"]) == (
        [], ["the files differ in chain.frames, so a near duplicate may look like another clip"],
    )  # fmt: skip
    shown = _ok("verify", place / "pku2.h5", "--against", place / "ntu60.h5")
    assert f"0 clips are in {place / 'ntu60.h5'}" in shown
    assert f"0 further clips are nearly in {place / 'ntu60.h5'}" in shown
    twin = tmp_path / "twin.h5"
    shutil.copy(place / "pku2.h5", twin)
    with ClipFile(place / "ntu60.h5") as file, altered(twin) as other:
        other["clips"][3] = file.clips(np.array([7]))[0] + np.float32(0.001)
        name, like = other["name"][3].decode(), file.names[7]
    found = json.loads(_ok("verify", twin, "--against", place / "ntu60.h5", "--json"))["against"]
    assert [(pair["clip"], pair["other"]) for pair in found["near"]] == [(name, like)]


def _sides(path: Path, split: str) -> dict[str, list[int]]:
    with ClipFile(path) as file:
        return {part: file.rows(split, part).tolist() for part in ("train", "test")}
