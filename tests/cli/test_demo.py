"""``skeltools demo`` in a terminal: Ctrl-C ends it, whatever it is at."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from terminals import CTRL_C, Terminal

from skeltools.cli.main import main

_SMALL = """
from skeltools.cli import demo
from skeltools.cli.main import main
demo.CLIPS = 70
main()
"""
"""The demo with so few clips that a batch is there soon; it still pretrains for twenty epochs."""


@pytest.mark.skipif(os.name != "posix", reason="terminals are POSIX")
@pytest.mark.parametrize("moment", ["synth", pytest.param("pretrain", marks=pytest.mark.slow)])
def test_ctrl_c_ends_the_demo_and_nothing_is_begun_after_it(tmp_path: Path, moment: str) -> None:
    """A pretraining that is stopped writes its checkpoint, and no seed or evaluation comes after it."""
    with Terminal([sys.executable, "-c", _SMALL, "demo", "out"], columns=200, folder=tmp_path) as terminal:
        terminal.wait_for({"synth": "$ skeltools synth", "pretrain": "loss_global"}[moment])
        terminal.type(CTRL_C)
        status = terminal.end()
    begun = [line for line in terminal.lines if line.startswith("$ skeltools ")]
    assert begun[-1].startswith(f"$ skeltools {moment} ")
    assert status == 130
    assert "Traceback" not in terminal.text
    if moment == "synth":
        assert terminal.lines[-2].removeprefix("^C") == "Error: Interrupted."
        return
    told = [line for line in terminal.lines if line.startswith(("Interrupted", "The demo"))]
    assert told[0].startswith("Interrupted after step ")
    assert told[0].endswith(" Continue with: skeltools pretrain --resume out/runs/motion-seed0")
    assert told[1:] == ["The demo ends here. Begin it again with: skeltools demo out --replace"]
    assert [path.name for path in (tmp_path / "out" / "runs").iterdir()] == ["motion-seed0"]
    assert list((tmp_path / "out" / "runs" / "motion-seed0" / "checkpoints").glob("*.pt"))


def test_a_step_that_was_stopped_ends_the_demo_with_its_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands that the demo runs tell by their status that a signal came, as pretrain does with 143."""
    from click.exceptions import Exit

    from skeltools import synth

    def stopped(*words: object, **more: object) -> None:
        raise Exit(143)

    monkeypatch.setattr(synth, "write", stopped)
    result = CliRunner().invoke(main, ["demo", str(tmp_path / "out")])
    assert result.exit_code == 143
    assert result.stderr.splitlines() == [
        f"$ skeltools synth ntu60 {tmp_path}/out/raw --clips 1150",
        f"The demo ends here. Begin it again with: skeltools demo {tmp_path}/out --replace",
    ]
