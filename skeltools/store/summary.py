"""What is in a converted file, as plain values."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skeltools.datasets.registry import PARTITIONS
from skeltools.store.reader import ClipFile


def summarise(file: ClipFile) -> dict[str, Any]:
    """Return counts, splits, classes, lengths, bodies, gaps, exclusions, settings and digests of a file.

    The result holds only texts, numbers, lists and dictionaries, so that it can be printed as JSON.
    """
    official = file.dataset.counts
    labels = file.labels
    splits: dict[str, Any] = {}
    by_class: dict[str, NDArray[np.int64]] = {"clips": np.bincount(labels, minlength=len(file.classes))}
    for split in file.splits:
        splits[split] = {}
        for part in PARTITIONS:
            rows = file.rows(split, part)
            splits[split][part] = len(rows)
            by_class[f"{split} {part}"] = np.bincount(labels[rows], minlength=len(file.classes))
        splits[split]["official"] = list(official[split]) if split in official else None
    excluded = Counter(reason.partition(":")[0] for _, reason in file.excluded)
    bodies = Counter(np.asarray(file.column("bodies")).tolist())
    return {
        "path": str(file.path),
        "bytes": file.path.stat().st_size,
        "dataset": file.dataset.name,
        "title": file.dataset.title,
        "clips": len(file),
        "frames": file.frames,
        "splits": splits,
        "source_frames": _spread(np.asarray(file.column("frames"))),
        "length": _spread(np.asarray(file.column("length"))),
        "bodies": {str(key): bodies[key] for key in sorted(bodies)},
        "clips_with_gaps": int((np.asarray(file.column("gaps")) > 0).sum()),
        "excluded": dict(excluded.most_common()),
        "notes": [note._asdict() for note in file.notes],
        "classes": [
            {"label": label, "name": name, **{key: int(counts[label]) for key, counts in by_class.items()}}
            for label, name in enumerate(file.classes)
        ],
        "prep": file.attrs.get("prep"),
        "keeps_recordings": file.has_raw,
        "subsets": [f"{split}/{percent}/{seed}" for split, percent, seed in file.subsets],
        "chain": {
            key.removeprefix("chain."): value for key, value in file.attrs.items() if key.startswith("chain.")
        },
        "source_digest": file.attrs.get("source_digest"),
        "content_digest": file.digest,
        "format_version": file.attrs.get("format_version"),
        "skeltools_version": file.attrs.get("skeltools_version"),
        "licence": file.attrs.get("licence"),
    }


def _spread(values: NDArray[np.int64]) -> dict[str, float]:
    if len(values) == 0:
        return {"least": 0, "median": 0.0, "most": 0}
    return {"least": int(values.min()), "median": float(np.median(values)), "most": int(values.max())}
