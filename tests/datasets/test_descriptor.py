"""Descriptors: what they say comes back from JSON, and rules put clips where they say."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from owndata import KINDS, descriptor

from skeltools.datasets import descriptor as descriptors
from skeltools.datasets.descriptor import Split, Term, sides
from skeltools.errors import SettingError

WORDS = st.text("abcxyz019", min_size=1, max_size=4)
NUMBERS = st.integers(0, 30)


@st.composite
def rules(draw: st.DrawFn) -> str:
    terms = []
    for _ in range(draw(st.integers(1, 3))):
        values = draw(st.lists(st.one_of(NUMBERS.map(str), st.tuples(NUMBERS, NUMBERS).map(
            lambda pair: f"{min(pair)}-{max(pair)}")), min_size=1, max_size=4))  # fmt: skip
        terms.append(f"subject {draw(st.sampled_from(('in', 'not in')))} {', '.join(values)}")
    return " and ".join(terms)


def meant(rule: str, subject: int) -> bool:
    """What a rule says of a subject, word by word."""
    for term in rule.split(" and "):
        said, _, values = term.rpartition(" in ") if " not in " not in term else term.rpartition(" not in ")
        inside = "not in" not in term
        assert said == "subject"
        hit = any(
            int(word.partition("-")[0]) <= subject <= int(word.rpartition("-")[2])
            for word in values.split(", ")
        )
        if hit != inside:
            return False
    return True


@given(rules())
def test_a_rule_holds_where_its_words_say_so(rule: str) -> None:
    split = descriptors._split("x", {"train": rule}, "x")
    clips = [{"name": f"c{who}", "subject": who} for who in range(31)]
    wanted = [meant(rule, who) for who in range(31)]
    if all(wanted) or not any(wanted):
        with pytest.raises(SettingError, match="no clip is on the"):
            sides(split, clips, "x")
    else:
        assert sides(split, clips, "x") == {"x": wanted}
        again = descriptors._split("x", descriptors._written(split), "x")
        assert sides(again, clips, "x") == {"x": wanted}


def test_texts_are_compared_as_texts_and_numbers_as_numbers() -> None:
    clips = [{"name": "a", "subject": 7, "site": "07"}, {"name": "b", "subject": 8, "site": "7b"}]
    for rule, wanted in (
        ("subject in 007", [True, False]),
        ("site in 07", [True, False]),
        ("site in 7b", [False, True]),
    ):
        assert sides(descriptors._split("x", {"train": rule}, "x"), clips, "x")["x"] == wanted


def test_leave_one_out_makes_a_split_per_value_in_their_order() -> None:
    clips = [{"name": str(number), "subject": subject} for number, subject in enumerate([10, 2, 10])]
    found = sides(Split("loso", leave="subject"), clips, "x")
    assert found == {"loso-2": [True, False, True], "loso-10": [False, True, False]}


def test_clips_of_neither_rule_are_on_neither_side() -> None:
    clips = [{"name": "a"}, {"name": "b"}, {"name": "c"}]
    split = Split("x", (Term("name", True, ("a",)),), (Term("name", True, ("c",)),))
    assert sides(split, clips, "x") == {"x": [True, None, False]}


@pytest.mark.parametrize("kind", KINDS)
def test_json_gives_the_same_descriptor(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        descriptor(KINDS[kind], 'title = "Mine"\nlicence = "ours"\nrate = 29.97\nfirst_label = 1')
    )
    found = descriptors.read(path)
    assert descriptors.from_json(found.to_json(), "x") == found
    made = found.dataset()
    assert (made.title, made.licence, made.splits) == ("Mine", "ours", ("xsub", "loso"))
    assert made.form(5).dimensions == found.dimensions


def test_labels_by_code_name_and_number(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    text = descriptor(KINDS["npy"])
    path.write_text(text.replace('["bend", "wave"]', '{A02 = "bend", A01 = "wave"}'))
    found = descriptors.read(path)
    assert [found.label(word, "x") for word in ("A02", "A01", "wave", "bend")] == [0, 1, 1, 0]
    path.write_text(f"first_label = 1\n{text}")
    assert [descriptors.read(path).label(word, "x") for word in ("1", 2, "bend")] == [0, 1, 0]


def test_paths_are_relative_to_the_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    own = Path(__file__).parents[1] / "skeletons" / "eleven.toml"
    (tmp_path / "here" / "eleven.toml").write_text(own.read_text())
    path = tmp_path / "here" / "mine.toml"
    path.write_text(descriptor(KINDS["npy"]).replace('"h36m17"', '"eleven.toml"'))
    monkeypatch.chdir(tmp_path)
    assert descriptors.read(path).skeleton.num_joints == 11
