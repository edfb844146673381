"""A record of a result, for tests that need one."""

from __future__ import annotations

from skeltools.results import record as results
from skeltools.results.record import Record

BASE = results.named(
    Record(
        version=results.RECORD_VERSION,
        key="0123456789abcdef",
        outcomes=1,
        protocol="knn",
        variant="k=10",
        subject=results.PRETRAINED,
        encoder="runs/joint",
        dataset="ntu60",
        split="xsub",
        stream="joint",
        seed=0,
        pretrain_seed=0,
        epoch=4,
        top1=0.5,
        top5=0.75,
        mean_class=0.5,
        per_class=[0.5, None, 1.0],
        metrics={},
        best_top1=None,
        best_epoch=None,
        train_clips=10,
        train_per_class=[4, 3, 3],
        test_clips=4,
        num_classes=3,
        settings={"knn.k": [1, 10], "knn.temperature": 0.1},
        set_by={"knn.k": "recipe knn", "knn.temperature": "recipe knn"},
        recipe="knn",
        pretrain_settings={"train.epochs": 4},
        data="ntu60.h5",
        data_digest="aa",
        frames=64,
        preparation={"chain.frames": 64},
        pretrain_data_digest="aa",
        checkpoint_digest="bb",
        code_version="0",
        libraries={"torch": "2"},
        device="cpu",
        seconds=1.0,
        features="computed",
        created="2026-01-01T00:00:00+00:00",
        partial=False,
        limit=None,
        scores="",
        notes=["a note"],
    )
)
