"""The folder of a conversion under way: what is not ours is never touched, and no error costs the work done."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from clipfiles import content
from rawfiles import write_ntu

from skeltools.cli.main import main
from skeltools.store.reader import ClipFile


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Forty raw files."""
    for number in range(40):
        write_ntu(tmp_path / "raw", f"S001C001P{1 + 2 * (number % 2):03d}R001A{1 + number:03d}", seed=number)
    return tmp_path / "raw"


def convert(raw: Path, *words: object) -> Result:
    return CliRunner().invoke(main, ["convert", "ntu60", str(raw), *map(str, words), "--frames", "8"])


@pytest.mark.parametrize("flag", ["--replace", "--resume"])
@pytest.mark.parametrize(
    "kind", ["link", "dangling link", "folder", "journal and theirs", "file", "linked clips"]
)
def test_a_folder_that_only_has_the_name_is_left_alone(
    raw: Path, tmp_path: Path, flag: str, kind: str
) -> None:
    """Neither what a link names nor a user's own folder of that name is emptied."""
    theirs, partial = tmp_path / "theirs", tmp_path / ".o.h5.partial"
    theirs.mkdir()
    (theirs / "journal").write_text("mine")
    (theirs / "thesis.tex").write_text("years")
    if kind == "link":
        partial.symlink_to(theirs)
    elif kind == "dangling link":
        partial.symlink_to(tmp_path / "nowhere")
    elif kind == "file":
        partial.write_text("mine")
    elif kind == "linked clips":
        partial.mkdir()
        (partial / "journal").touch()
        (partial / "clips").symlink_to(theirs / "thesis.tex")
    else:
        partial.mkdir()
        (partial / "thesis.tex").write_text("years")
        if kind == "journal and theirs":
            (partial / "journal").touch()
    before = sorted((str(path), path.is_symlink()) for path in tmp_path.rglob("*"))
    result = convert(raw, tmp_path / "o.h5", flag)
    assert result.exit_code == 2, result.output
    assert f"Error: {partial} has the name of a conversion under way but is not one (" in result.stderr
    assert sorted((str(path), path.is_symlink()) for path in tmp_path.rglob("*")) == before
    assert (theirs / "thesis.tex").read_text() == "years"


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("remedy", ["mended", "skip"])
def test_a_damaged_file_costs_no_work(raw: Path, tmp_path: Path, workers: int, remedy: str) -> None:
    """Every clip before it is kept, and --resume goes on with the file mended or left out."""
    bad = raw / "S001C001P001R001A039.skeleton"
    whole = bad.read_bytes()
    bad.write_bytes(whole[: len(whole) // 2])
    out = tmp_path / "o.h5"
    result = convert(raw, out, "--workers", workers)
    assert result.exit_code == 2
    assert "19 of 40 clips are done and kept." in result.stderr or workers > 1, result.stderr
    if remedy == "mended":
        bad.write_bytes(whole)
        os.utime(bad, (1, 1))
    result = convert(raw, out, "--resume", *(["--on-error", "skip"] if remedy == "skip" else []))
    assert result.exit_code == 0, result.output
    assert "Resuming: 19 of 40 clips are done." in result.stderr or workers > 1, result.stderr
    assert not (tmp_path / ".o.h5.partial").exists()
    other = tmp_path / "other.h5"
    assert convert(raw, other, "--on-error", "skip").exit_code == 0
    assert content(out) == content(other)


def test_a_file_that_changed_since_is_read_again(raw: Path, tmp_path: Path) -> None:
    """The work kept is that of the very files that were read."""
    bad, changed = raw / "S001C001P001R001A039.skeleton", raw / "S001C001P001R001A001.skeleton"
    whole = bad.read_bytes()
    bad.write_bytes(whole[: len(whole) // 2])
    out = tmp_path / "o.h5"
    assert convert(raw, out).exit_code == 2
    bad.write_bytes(whole)
    before = changed.read_bytes()
    changed.write_bytes((raw / "S001C001P001R001A003.skeleton").read_bytes())
    os.utime(changed, (5, 5))
    assert changed.read_bytes() != before
    assert convert(raw, out, "--resume").exit_code == 0
    with ClipFile(out) as file:
        first, third = (file.names.index(f"S001C001P001R001A{number:03d}") for number in (1, 3))
        assert (file.digests[first] == file.digests[third]).all()
