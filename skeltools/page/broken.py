"""What breaks an encoder, for the page of runs: accuracy by severity, reliability diagrams, and missing body parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from skeltools.errors import RunError
from skeltools.plots import palette
from skeltools.progress import SILENT, Progress
from skeltools.results import calibration, parts, report, robustness

if TYPE_CHECKING:
    from skeltools.results.joined import Row


def gather(rows: Sequence[Row], progress: Progress = SILENT) -> dict[str, Any]:
    """Return the pictures of rows of ``robust`` and ``calibration``; empty lists where there are none.

    Args:
        rows: Rows of any protocols, whose scores lie in a folder.
        progress: Receiver of progress.
    """
    broken = [row for row in rows if robustness.CLEAN in row.metrics and len(row.metrics) > 1]
    asked = [row for row in rows if row.first.protocol == "calibration" and calibration.has_logits(row)]
    return {
        "severities": [
            _severities(part)
            for table in report.by_table(broken, kinds=True)
            for part in robustness.alike(table)
        ],
        "reliability": [_reliability(part) for part in report.by_table(asked, kinds=True)],
        "parts": _parts(broken, progress),
    }


def _severities(rows: Sequence[Row]) -> dict[str, Any]:
    """Return top-1 in % of every row by corruption and severity; severity 0 is the clean clips."""
    rows = robustness.ranked(rows)
    families: dict[str, dict[str, Any]] = {}
    for row, name in zip(rows, robustness.names(rows), strict=True):
        for family, levels in robustness.families(row).items():
            one = families.setdefault(family, {"name": family, "lines": []})
            values = [row.top1.mean, *(row.metrics[level.text].mean for level in levels)]
            one["lines"].append(
                {
                    "name": name,
                    "severities": ["0", *(level.severity for level in levels)],
                    "values": [round(100 * value, 2) for value in values],
                }
            )
    return {"title": report.title(rows)[0], "families": list(families.values())}


def _reliability(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the bins of confidence of the first seed of every row, as it is and after its temperature, in %."""
    found: list[dict[str, Any]] = []
    for row, name in zip(rows, robustness.names(rows), strict=True):
        side = row.first.side()
        kinds = [("as it is", 1.0)]
        if side.held_scores is not None and side.held_labels is not None:
            kinds.append(("after temperature", calibration.temperature(side.held_scores, side.held_labels)))
        for kind, by in kinds:
            clips = calibration.judge(calibration.probabilities(side.scores, by), side.labels)
            bins = [one for one in calibration.reliability(clips) if one.clips]
            found.append(
                {
                    "kind": kind,
                    "name": f"{name}, ECE {100 * calibration.ece(clips):.1f}",
                    "confidence": [round(100 * one.confidence, 2) for one in bins],
                    "accuracy": [round(100 * one.accuracy, 2) for one in bins],
                    "clips": [one.clips for one in bins],
                }
            )
    return {"title": report.title(rows)[0], "bins": calibration.BINS, "lines": found}


def _parts(rows: Sequence[Row], progress: Progress) -> list[dict[str, Any]]:
    """Return what each row of missing body parts loses by class, beside the salience of its mask."""
    made = []
    progress.start("Missing parts", len(rows))
    for row, name in zip(rows, robustness.names(rows), strict=True):
        progress.advance()
        try:
            found = parts.look(row)
        except RunError:
            continue
        made.append(
            {
                "title": f"{report.title([row])[0]}, {name}",
                "told": str(found),
                "classes": found.classes,
                "clips": found.clips,
                "parts": found.parts,
                "lost": (100 * found.lost).round(1).tolist(),
                "salience": None if found.salience is None else found.salience.round(4).tolist(),
                "colours": [palette.GAIN, palette.LOSS],
            }
        )
    progress.finish()
    return made
