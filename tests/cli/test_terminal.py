"""How the terminal looks: 80 columns, with and without colour."""

from __future__ import annotations

import io

from rich.console import Console

from skeltools.cli import _progress


def test_a_name_is_never_parted_from_its_value() -> None:
    words = _progress._values({"epoch": "1/9", "loss": 9.5, "loss_nonsalient": 4.85, "lr": 0.0004})
    assert words == ["epoch 1/9", "loss 9.500", "loss_nonsalient 4.850", "lr 0.0004000"]
    lines = _progress._filled(words, 40)
    assert lines == ["epoch 1/9  loss 9.500", "loss_nonsalient 4.850  lr 0.0004000"]
    assert all(len(line) + 2 <= 40 for line in lines)


def test_the_live_view_fits_80_columns_and_says_how_much_is_done_without_colour() -> None:
    text = io.StringIO()
    console = Console(file=text, width=80, force_terminal=True, no_color=True, color_system=None)
    bars = _progress.Bars(console)
    bars.start("Pretraining", 400)
    bars.advance(100)
    bars.status(loss=10.35, loss_global=5.118, loss_salient=5.353, loss_nonsalient=5.109, lr=0.0004, m="0.90")
    bars.finish()
    shown = text.getvalue()
    assert "█████░░░░░░░░░░░░░░░ 100/400" in shown
    assert "loss_nonsalient 5.109" in shown
    assert "\x1b[3" not in shown  # no colour
    last = [line for line in shown.replace("\r", "\n").split("\n") if "Pretraining" in line][-1]
    assert len(last) <= 80 + 20  # what the line holds beside text is control sequences
