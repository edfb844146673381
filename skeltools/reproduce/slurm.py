"""A plan as job arrays for SLURM: one task for each converted file, one for each run, a last one for the report."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from skeltools.errors import OutputError, SettingError
from skeltools.files.writing import as_utf8, write_text
from skeltools.reproduce.plan import PACKAGE, Plan
from skeltools.reproduce.steps import Step, parts


def write(path: Path, plan: Plan, chosen: Sequence[Step], out: Path, only: Sequence[str] = ()) -> None:
    """Write the script.

    Args:
        path: Where to.
        plan: The plan.
        chosen: The steps that are wanted.
        out: The folder of the plan, which the tasks share.
        only: The words of ``--only``, which the tasks get too.

    Raises:
        OutputError: A file that is no such script is there already.
    """
    head = (files(PACKAGE) / "jobs.sh").read_text(encoding="utf-8")
    first = head.splitlines()[1]
    if path.exists() and first not in path.read_text(encoding="utf-8", errors="replace")[:1000]:
        raise OutputError(f"{path} exists and is not a script of skeltools reproduce. Choose another name.")
    there = parts(chosen)
    words = [sys.executable, "-m", "skeltools", "reproduce", plan.name, "--out", str(out.absolute())]
    words += [word for text in only for word in ("--only", text)]
    lists = {
        "DATA": [part for part in there if part.startswith("data:")],
        "RUNS": [part for part in there if part.startswith("run:")],
    }
    values = {
        "FOLDER": shlex.quote(str(Path.cwd())),
        "LOGS": shlex.quote(str(out.absolute() / "logs")),
        "COMMAND": " ".join(map(_quoted, words)),
        **{name: "\n".join(f"  {shlex.quote(part)}" for part in found) for name, found in lists.items()},
    }
    for name, value in values.items():
        head = head.replace(f"@{name}@", value)
    if as_utf8(head) != head:
        raise SettingError(f"{path}: a script cannot name a file whose name is not UTF-8. Rename it.")
    write_text(path, head)
    path.chmod(path.stat().st_mode | 0o111)


def _quoted(word: str) -> str:
    """Return a word as the script takes it; with a comma it would look like two of the list's."""
    return "'" + word.replace("'", "'\"'\"'") + "'" if "," in word else shlex.quote(word)
