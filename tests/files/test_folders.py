"""Folders are found by what they hold, at any depth that people use, and once."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Any

import pytest

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


@pytest.mark.parametrize("where", ["the folder itself", "one inside it", "one below that"])
def test_a_folder_that_cannot_be_looked_into_is_said(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shut = {"the folder itself": tmp_path, "one inside it": tmp_path / "b"}.get(where, tmp_path / "b" / "c")
    for place in ("a", "b/c/run", "d"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "run.json").touch()
    scandir = os.scandir

    def scan(path: Path) -> Any:
        if Path(path) == shut:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan)
    with pytest.raises(PermissionError, match=re.escape(str(shut))):
        list(having(tmp_path, "run.json"))
    closed: list[tuple[Path, str]] = []
    found = list(having(tmp_path, "run.json", closed=closed))
    assert found == ([] if shut == tmp_path else [tmp_path / "a", tmp_path / "d"])
    assert closed == [(shut, "Permission denied")]
