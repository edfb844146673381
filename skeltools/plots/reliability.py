"""Reliability diagrams and risk-coverage curves: does a classifier know how sure it may be?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from skeltools.errors import RunError
from skeltools.plots import palette, style
from skeltools.results import calibration, report
from skeltools.results.robustness import name

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from skeltools.results.joined import Row


def draw(rows: Sequence[Row]) -> Figure:
    """Draw accuracy by confidence, as it is and after a temperature, and risk by coverage.

    Args:
        rows: Rows whose scores are logits, those of one table; the first seed of each is drawn.

    Raises:
        RunError: There are none, or of several tables.
    """
    rows = [row for row in rows if calibration.has_logits(row)]
    if not rows:
        raise RunError(
            "There is no result here whose scores are logits. Make one: skeltools eval RUN --protocol calibration"
        )
    if len(report.by_table(rows, kinds=True)) > 1:
        raise RunError(
            "The results are of several data, splits or kinds of protocol. Choose one with --protocol."
        )
    figure = style.figure(10.5, 4.6)
    before, after, curve = figure.subplots(1, 3)
    for axes, title in ((before, "as it is"), (after, "after temperature")):
        axes.plot([0, 100], [0, 100], color="#999999", lw=0.8, ls=":")
        axes.set_title(title)
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 100)
        axes.set_xlabel("confidence in %")
        axes.set_ylabel("accuracy in %")
        axes.grid()
    called = [name(row) for row in rows]
    for row, own, colour in zip(rows, called, palette.series(len(rows)), strict=True):
        side = row.first.side()
        label = style.plain(own if called.count(own) == 1 else f"{own} {row.label}", 40)
        plain = calibration.judge(calibration.probabilities(side.scores), side.labels)
        drawn = [(before, plain)]
        if side.held_scores is not None and side.held_labels is not None:
            by = calibration.temperature(side.held_scores, side.held_labels)
            drawn.append((after, calibration.judge(calibration.probabilities(side.scores, by), side.labels)))
        for axes, clips in drawn:
            bins = [one for one in calibration.reliability(clips) if one.clips]
            told = f"{label}: ECE {100 * calibration.ece(clips):.1f}"
            axes.plot([100 * one.confidence for one in bins], [100 * one.accuracy for one in bins], lw=1,
                      color=colour, label=told)  # fmt: skip
            axes.scatter(
                [100 * one.confidence for one in bins], [100 * one.accuracy for one in bins],
                s=[6 + 120 * one.clips / len(clips.right) for one in bins], color=colour, linewidths=0,
                clip_on=False,
            )  # fmt: skip
        risk = calibration.risks(plain)
        curve.plot(
            [100 * (place + 1) / len(risk) for place in range(len(risk))], 100 * risk, color=colour, lw=1.2,
            label=f"{label}: AURC {100 * calibration.aurc(plain):.1f}",
        )  # fmt: skip
    for axes in (before, after, curve):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), fontsize=7.5, frameon=False)
    curve.set_title("risk of the most confident")
    curve.set_xlabel("coverage in %")
    curve.set_ylabel("wrong guesses in %")
    curve.set_xlim(0, 100)
    curve.grid()
    if not after.lines[1:]:
        after.text(
            0.5, 0.5, "no held-out scores:\neval RUN --protocol calibration", ha="center", va="center",
            transform=after.transAxes,
        )  # fmt: skip
    figure.suptitle(style.plain(report.title(rows)[0], 110), x=0.01, ha="left", fontsize=9.5)
    return figure
