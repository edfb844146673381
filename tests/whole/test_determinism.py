"""The same commands twice, in two folders and two processes: what they write is the same to the bit.

Python's hash seed differs between the two, so that no order may hang on a set of texts. The first converts
with one worker and the second with two; `tests/convert/test_resume.py` has more on workers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from clipfiles import TINY

from skeltools.convert import pipeline as conversion
from skeltools.runs import checkpoint as checkpoints

pytestmark = pytest.mark.slow  # runs the main job twice

TRAIN = [word for setting in (*TINY, "train.deterministic=true") for word in ("--set", setting)]

COMMANDS = (
    ("synth", "ntu60", "raw", "--clips", "80", "--frames", "20", "24", "--workers", "WORKERS"),
    ("convert", "ntu60", "raw", "clips.h5", "--frames", "16", "--workers", "WORKERS"),
    ("subset", "clips.h5", "--percent", "5", "--seed", "7"),
    (
        "pretrain", "clips.h5", "--split", "xsub", "--stream", "joint", "--out", "run", "--epochs", "2",
        "--batch-size", "16", "--device", "cpu", *TRAIN,
    ),
    ("eval", "run", "--protocol", "linear", "--epochs", "5", "--quiet"),
    ("eval", "run", "--protocol", "semi:20", "--epochs", "2", "--set", "semi.lr=1e-4", "--quiet"),
    ("eval", "run", "--protocol", "knn", "--init", "random", "--set", "knn.k=[1]", "--quiet"),
)  # fmt: skip

PROGRAM = """
import json, sys
import torch
from skeltools.convert import pipeline
from skeltools.cli.main import main
if __name__ == "__main__":
    torch.set_num_threads(1)
    pipeline._WORKER_BYTES = 1  # so that two workers start for a few files
    for command in json.loads(sys.argv[1]):
        sys.argv[1:] = command  # run.json keeps it
        main(command, standalone_mode=False)
"""

ONLY_WHEN = {"created", "seconds"}
"""Keys of records and of run.json that say when something was done, or how long it took."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folders of the two passes."""
    assert conversion._WORKER_BYTES > 1
    base = tmp_path_factory.mktemp("twice")
    folders = base / "one", base / "two"
    for number, folder in enumerate(folders, start=1):
        folder.mkdir()
        (folder / "program.py").write_text(PROGRAM)
        commands = [[str(number) if word == "WORKERS" else word for word in words] for words in COMMANDS]
        done = subprocess.run(
            [sys.executable, "program.py", json.dumps(commands)],
            cwd=folder,
            env=os.environ | {"PYTHONHASHSEED": str(number), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    return folders


def lasting(path: Path, folder: Path) -> dict[str, Any]:
    """Return a JSON object without what tells the time, paths as seen from `folder`."""
    content: dict[str, Any] = json.loads(path.read_text().replace(str(folder), "."))
    assert content.keys() & ONLY_WHEN
    return {key: value for key, value in content.items() if key not in ONLY_WHEN}


def test_raw_files_are_the_same(pair: tuple[Path, Path]) -> None:
    one, two = (
        {path.relative_to(folder): path.read_bytes() for path in folder.glob("raw/**/*") if path.is_file()}
        for folder in pair
    )
    assert len(one) >= 80
    assert one == two


def test_clips_splits_and_subsets_are_the_same(pair: tuple[Path, Path]) -> None:
    found = []
    for folder in pair:
        content: dict[str, Any] = {}
        with h5py.File(folder / "clips.h5") as file:

            def keep(name: str, item: object, content: dict[str, Any] = content) -> None:
                if isinstance(item, h5py.Dataset):
                    values = item[:]
                    content[name] = values.tolist() if values.dtype.hasobject else values.tobytes()

            file.visititems(keep)
            content |= {f"attribute {key}": str(value) for key, value in file.attrs.items()}
        found.append(content)
    one, two = found
    assert {"clips", "digest", "subsets/xsub/5/7", "subsets/xsub/10/0"} <= one.keys()
    assert one == two


def test_losses_and_weights_are_the_same(pair: tuple[Path, Path]) -> None:
    logs = [
        [
            {key: value for key, value in json.loads(line).items() if key != "clips_per_second"}
            for line in (folder / "run/log.jsonl").read_text().splitlines()
        ]
        for folder in pair
    ]
    assert {line["kind"] for line in logs[0]} == {"step", "monitor"}
    assert logs[0] == logs[1]
    one, two = (checkpoints.load(checkpoints.paths(folder / "run/checkpoints")[-1]) for folder in pair)
    for name, value in one.model.items():
        assert value.numpy().tobytes() == two.model[name].numpy().tobytes(), name


def test_records_and_scores_are_the_same(pair: tuple[Path, Path]) -> None:
    one, two = (sorted((folder / "run/results").glob("*.json")) for folder in pair)
    assert [path.name for path in one] == [path.name for path in two]
    assert len(one) == 3
    for ours, theirs in zip(one, two, strict=True):
        record = lasting(ours, pair[0])
        assert record == lasting(theirs, pair[1])
        with (
            np.load(ours.parent / record["scores"]) as scores,
            np.load(theirs.parent / record["scores"]) as more,
        ):
            assert scores.files == more.files
            for name in scores.files:
                assert scores[name].tobytes() == more[name].tobytes(), name


def test_the_note_of_the_run_is_the_same(pair: tuple[Path, Path]) -> None:
    one, two = (lasting(folder / "run/run.json", folder) for folder in pair)
    assert one == two
    assert one["command"].startswith("skeltools pretrain clips.h5")
