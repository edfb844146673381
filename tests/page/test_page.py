"""``skeltools page`` and ``skeltools view``: what a page holds, and how the commands fail."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clipfiles import altered
from plotting import HOSTILE, invoke, make_run, renamed

from skeltools.page import clips as packing
from skeltools.page import document
from skeltools.page import runs as gathering
from skeltools.page.runs import shares
from skeltools.results import class_tables, joined, report
from skeltools.results import record as results
from skeltools.store import ClipFile


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_run(tmp_path_factory)


class _Parts(HTMLParser):
    """Tags with their attributes, and the text of scripts and styles."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside in ("script", "style", "title"):
            self.texts.append((self.inside, data))


def _parts(path: Path) -> _Parts:
    parts = _Parts()
    parts.feed(path.read_text(encoding="utf-8"))
    return parts


def values_of(path: Path) -> dict[str, Any]:
    """Return the values that a page holds."""
    texts = [text for tag, text in _parts(path).texts if tag == "script"]
    found: dict[str, Any] = json.loads(texts[0])
    return found


@pytest.fixture(scope="module")
def page(made: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "report.html"
    result = invoke("page", str(made[1]), "--out", str(out))
    assert result.exit_code == 0, result.output
    assert "The player holds all 12 test clips of run." in result.stdout
    assert result.stdout.splitlines()[-1] == f"{out}: {out.stat().st_size / 1e6:.1f} MB"
    return out


def test_a_page_needs_nothing_but_itself_and_its_policy_admits_its_own_parts_alone(page: Path) -> None:
    parts = _parts(page)
    for tag, attributes in parts.tags:
        for name in ("src", "href", "srcset", "action", "data"):
            value = attributes.get(name)
            assert value is None or (tag, value) == ("link", "data:,"), (tag, value)
        assert not any(name.startswith("on") for name in attributes)
    policy = next(a["content"] for t, a in parts.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in html.unescape(policy).split(";"))
    assert rules["default-src"] == "'none'"
    texts = {
        tag: text for tag, text in parts.texts if tag in ("script", "style")
    }  # the last script is the code
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        digest = base64.b64encode(hashlib.sha256(texts[tag].encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)", page.read_text()) == []


def test_the_page_says_what_was_run_and_repeats_the_report(page: Path, made: tuple[Path, Path]) -> None:
    values = values_of(page)
    run = values["runs"][0]
    facts = dict(run["facts"])
    content = json.loads((made[1] / "run.json").read_text())
    assert facts["content digest"] == content["digest"]
    assert facts["command"] == content["command"]
    assert len(run["settings"]["rows"]) == len(content["settings"]) + len(content["preparation"])
    assert ["model.width", "4", "--set"] in run["settings"]["rows"]
    records = results.read_all(made[1] / "results")
    grids = report.grids(joined.rows(records, intervals=True))
    assert [table["rows"] for table in values["tables"]] == [grid.rows for grid in grids]
    checkpoint = sorted((made[1] / "checkpoints").iterdir())[-1]
    assert facts["checkpoint"] == checkpoint.name
    assert facts["its digest"] == hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert {row[4] for row in run["records"]["rows"]} == {record.data_digest for record in records}
    assert [row[5] for row in run["records"]["rows"]] == [record.checkpoint_digest for record in records]
    assert run["curves"]["steps"] == [1, 2, 3, 4]
    assert run["curves"]["monitor"]["steps"] == [2, 4]


def test_confusions_and_guesses_are_those_of_the_record(page: Path, made: tuple[Path, Path]) -> None:
    run = values_of(page)["runs"][0]
    clips = values_of(page)["clips"]
    records = results.read_all(made[1] / "results")
    assert len(run["confusions"]) == len(records) == 2
    record = next(one for one in records if one.subject == results.PRETRAINED)
    side = record.side()
    title = run["confusions"][0]  # the result whose predictions the player shows
    assert [one["shown"] for one in run["confusions"]] == [True, False]
    assert title["title"] == "joint linear, pretrained, seed 0"
    counts = np.zeros((60, 60), int)
    np.add.at(counts, (side.labels, side.scores.argmax(axis=1)), 1)
    assert sorted(map(tuple, title["cells"])) == [
        (true, guess, counts[true, guess]) for true, guess in np.argwhere(counts).tolist()
    ]
    share = shares(side.scores)
    for entry in run["player"]["clips"]:
        place = side.names.index(clips[entry["clip"]]["name"])
        assert entry["guess"][0][0] == side.scores[place].argmax()
        assert entry["guess"][0][1] == pytest.approx(share[place].max(), abs=1e-4)
        assert clips[entry["clip"]]["label"] == side.labels[place]
    assert run["player"]["result"] == "joint linear, pretrained"


def test_an_accuracy_is_rounded_once(made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """248 of 464 clips are 53.448 %: 53.4 as in tables, not 53.5 by way of 53.45."""
    record = next(one for one in results.read_all(made[1] / "results") if one.subject == results.PRETRAINED)
    matrix = (np.eye(2, dtype=int), ["a", "b"])
    monkeypatch.setattr(joined, "rows", list)  # both compare a record with its scores
    monkeypatch.setattr(class_tables, "confusion_matrix", lambda row: matrix)
    assert gathering._confusion(replace(record, top1=248 / 464))["top1"] == "53.4"


def test_clips_are_kept_to_the_millimetre(page: Path, made: tuple[Path, Path]) -> None:
    clip = values_of(page)["clips"][0]
    packed = np.frombuffer(base64.b64decode(clip["data"]), "<i2").reshape(
        clip["frames"], clip["bodies"], 25, 3
    )
    with ClipFile(made[0]) as file:
        stored = file.clips([file.names.index(clip["name"])])[0]
    np.testing.assert_allclose(packed[:, 0] / 1000, stored[..., 0].transpose(1, 2, 0), atol=0.0005001)
    entry = values_of(page)["runs"][0]["player"]["clips"][0]
    salience = np.frombuffer(base64.b64decode(entry["salience"]["data"]), np.uint8)
    assert salience.size == entry["salience"]["frames"] * clip["bodies"] * 25


def test_the_embedding_points_to_clips_of_the_player(page: Path) -> None:
    values = values_of(page)
    run = values["runs"][0]
    shown = run["embedding"]
    assert len(shown["points"]) == 12
    assert np.abs(shown["points"]).max() == 1000
    for name, label, place in zip(shown["names"], shown["labels"], shown["clips"], strict=True):
        clip = values["clips"][run["player"]["clips"][place]["clip"]]
        assert (clip["name"], clip["label"]) == (name, label)


def test_pages_need_no_matplotlib(
    made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert invoke("view", str(made[0]), "--out", str(tmp_path / "v.html")).exit_code == 0
    words = ["--method", "pca", "--out", str(tmp_path / "p.html")]
    assert invoke("page", str(made[1]), *words).exit_code == 0


def test_a_sample_is_said_to_be_one(made: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "o.html"
    words = ["--clips", "5", "--points", "6", "--method", "pca"]
    result = invoke("page", str(made[1]), "--out", str(out), *words)
    note = (
        "The player holds 5 of 12 test clips of run, sampled evenly over the classes, by a digest of names."
    )
    assert note in result.stdout
    values = values_of(out)
    assert note in values["notes"]
    assert len(values["clips"]) == 5
    title = values["runs"][0]["embedding"]["title"]
    assert title == "PCA of the features of 6 of 12 test clips, sampled by class"


def test_the_budget_bounds_the_clips(made: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with ClipFile(made[0]) as file:
        size = len(packing.pack(file, 0)["data"])
        monkeypatch.setattr(packing, "BUDGET", 3 * size + 1)
        pool = packing.Pool()
        assert [pool.add(file, row) for row in (0, 1, 0, 2, 3, 1)] == [0, 1, 0, 2, None, 1]
    assert pool.size == 3 * size


def test_seeds_on_one_file_share_their_clips(made: tuple[Path, Path], tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(made[1], tmp_path / "runs" / name)
    out = tmp_path / "o.html"
    assert invoke("page", str(tmp_path / "runs"), "--out", str(out)).exit_code == 0
    values = values_of(out)
    assert [run["name"] for run in values["runs"]] == ["a", "b"]
    assert values["heading"] == "a, b"
    assert len(values["clips"]) == 12


def test_many_runs_have_a_short_heading_and_what_holds_for_each_is_said_once(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    for name in "abcde":
        shutil.copytree(made[1], tmp_path / "runs" / name)
    found = gathering.find([tmp_path / "runs"])
    values = gathering.gather(found, clips=10, points=0)
    assert values["heading"] == "a and 4 further runs"
    players = [note for note in values["notes"] if note.startswith("The player holds")]
    assert len(players) == 1
    assert players[0].endswith(" The same goes for 4 further runs.")
    assert gathering.gather(found[:1], clips=10, points=0, heading="A plan")["heading"] == "A plan"


def test_what_a_run_lacks_is_left_out_and_said(made: tuple[Path, Path], tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(made[1], bare, ignore=shutil.ignore_patterns("log.jsonl", "*.pt", "results"))
    content = json.loads((bare / "run.json").read_text())
    content["data"] = str(tmp_path / "gone.h5")
    (bare / "run.json").write_text(json.dumps(content))
    out = tmp_path / "o.html"
    assert invoke("page", str(bare), "--out", str(out)).exit_code == 0
    values = values_of(out)
    assert any("has no log" in note for note in values["notes"])
    assert f"bare was trained on {tmp_path / 'gone.h5'}, which is not there" in " ".join(values["notes"])
    assert "player" not in values["runs"][0]
    result = invoke("page", str(bare), "--data", str(made[0]), "--out", str(out), "--replace")
    assert result.exit_code == 0, result.output
    values = values_of(out)
    assert "so clips have no prediction" in " ".join(values["notes"])
    assert "has no checkpoint any more" in " ".join(values["notes"])
    assert len(values["runs"][0]["player"]["clips"]) == 12
    assert "embedding" not in values["runs"][0]


def test_view_holds_the_named_clips_or_a_sample_of_all(made: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "v.html"
    result = invoke("view", str(made[0]), "3", "S001C001P001R001A001", "--out", str(out))
    assert result.exit_code == 0, result.output
    values = values_of(out)
    assert [clip["name"] for clip in values["clips"]] == ["S001C001P001R001A004", "S001C001P001R001A001"]
    assert values["notes"] == ["The player holds 2 of 32 clips of the file, named on the command line."]
    assert dict(values["facts"])["content digest"]
    assert invoke("view", str(made[0]), "--out", str(out), "--replace").exit_code == 0
    assert len(values_of(out)["clips"]) == 32


def test_hostile_texts_are_never_markup(made: tuple[Path, Path], tmp_path: Path) -> None:
    data = renamed(made[0], tmp_path / "</title><script>alert(1)<!--.h5".replace("/", "_"))
    out = tmp_path / "v.html"
    assert invoke("view", str(data), "--out", str(out)).exit_code == 0
    tags = [tag for tag, _ in _parts(out).tags]
    assert tags.count("script") == 2
    assert "img" not in tags
    assert "b" not in tags
    values = values_of(out)
    assert set(HOSTILE) <= {clip["name"] for clip in values["clips"]}
    assert values["runs"][0]["classes"][: len(HOSTILE)] == list(HOSTILE)
    raw = out.read_text()
    block = raw[raw.index('id="values">') + 12 :].split("</script>")[0]
    assert not set("<>&") & set(block)
    assert block.isascii()


def test_texts_that_look_like_placeholders_stay_texts() -> None:
    made = document.document("{{script}} <x>", {"a": "{{style}}", "b": float("nan")})
    assert "<title>{{script}} &lt;x&gt;</title>" in made
    assert '"a":"{{style}}","b":null' in made


def test_shares_add_up_for_logits_and_for_votes() -> None:
    logits = np.array([[1.0, -2.0, 0.5]], np.float32)
    np.testing.assert_allclose(shares(logits)[0], np.exp(logits[0]) / np.exp(logits[0]).sum(), rtol=1e-6)
    np.testing.assert_allclose(shares(np.array([[3.0, 1.0], [0.0, 0.0]], np.float32)), [[0.75, 0.25], [0, 0]])


def test_long_clips_are_thinned_and_it_is_said(made: tuple[Path, Path], tmp_path: Path) -> None:
    data = tmp_path / "long.h5"
    shutil.copy(made[0], data)
    with altered(data) as file:
        stored = np.repeat(file["clips"][:], 20, axis=2)
        del file["clips"]
        file.create_dataset("clips", data=stored)
    out = tmp_path / "v.html"
    assert invoke("view", str(data), "--out", str(out)).exit_code == 0
    values = values_of(out)
    assert "Clips have 320 frames; the player holds one in 3." in values["notes"]
    assert values["clips"][0]["frames"] == 107


def test_faults_are_one_line_and_leave_nothing(made: tuple[Path, Path], tmp_path: Path) -> None:
    data, run = map(str, made)
    there = tmp_path / "there.html"
    there.write_text("mine")
    out = ["--out", str(tmp_path / "o.html")]
    for words, said in {
        ("page", run, "--out", str(there)): f"{there} already exists. Use --replace to write it again.",
        ("page", run, "--out", str(tmp_path / "o.pdf")): "give a name that ends in .html, .htm.",
        ("page", str(tmp_path / "no"), *out): "does not exist or is not a folder",
        ("page", run, "--data", str(tmp_path / "no.h5"), *out): "no.h5 does not exist",
        ("page", run, "--points", "1", *out): "An embedding needs three clips at least, not 1.",
        ("page", run, "--points", "2", *out): "Give more points, or 0 for none.",
        ("page", run, "--method", "umap", *out): "Unknown method 'umap'. Choose one of: tsne, pca.",
        ("view", data, "nobody", *out): "has no clip 'nobody'",
        ("view", str(there), *out): "is not an HDF5 file",
        (
            "view",
            data,
            "--out",
            str(tmp_path / "x" / "o.html"),
        ): "does not exist, so o.html cannot be written",
    }.items():
        result = invoke(*words)
        assert result.exit_code == 2, words
        assert said in result.stderr, result.stderr
        assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [there]
    assert there.read_text() == "mine"
