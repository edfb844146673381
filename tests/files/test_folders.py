"""Folders are found by what they hold, at any depth that people use, and once."""

from __future__ import annotations

from pathlib import Path

from skeltools.files.folders import DEPTH, having


def test_the_folder_itself_or_those_inside_it(tmp_path: Path) -> None:
    for place in ("b/joint", "a", "a/inner", ".hidden", "c/d/e/f", "c/d/e/f2/g"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "run.json").touch()
    (tmp_path / "linked").symlink_to(tmp_path / "a")
    found = [path.relative_to(tmp_path).as_posix() for path in having(tmp_path, "run.json")]
    assert found == ["a", "b/joint", "c/d/e/f"]  # not inside a run, hidden, by a link, or deeper than DEPTH
    assert DEPTH == 4
    assert list(having(tmp_path / "a", "run.json")) == [tmp_path / "a"]
    assert list(having(tmp_path / "absent", "run.json")) == []
